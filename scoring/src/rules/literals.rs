//! Many literals looked for at once, by their first three bytes. Built in a fraction of the time an automaton
//! takes, which matters at the start; as fast where, as in crisis packs, most places of a text begin none.

/// Bits of the filter: three bytes hashed.
const BITS: u32 = 16;

/// A literal, and the sets of words it belongs to.
#[derive(Debug)]
struct Entry {
    text: Box<[u8]>,
    /// Its first eight bytes, and which of them count: one comparison settles most.
    head: u64,
    mask: u64,
    sets: Box<[u32]>,
}

#[derive(Debug)]
pub(super) struct Literals {
    /// Whether any literal begins with bytes of this hash.
    filter: Box<[u64]>,
    /// Hash → the entries that begin so, by place in `entries`.
    heads: Box<[u32]>,
    entries: Vec<Entry>,
}

impl Literals {
    /// `literals`: each with the sets it belongs to; shorter ones than three bytes are never found.
    pub(super) fn of(literals: impl IntoIterator<Item = (String, Vec<u32>)>) -> Self {
        let mut hashed: Vec<(u32, Entry)> = literals
            .into_iter()
            .filter_map(|(text, sets)| {
                let text: Box<[u8]> = text.into_bytes().into();
                let mask = u64::MAX >> (64 - 8 * text.len().min(8));
                let entry = Entry { head: head(&text), mask, sets: sets.into(), text };
                Some((hash(&entry.text)?, entry))
            })
            .collect();
        hashed.sort_by(|(left, a), (right, b)| (left, &a.text).cmp(&(right, &b.text)));
        let mut filter = vec![0u64; 1 << (BITS - 6)];
        let mut heads = vec![0u32; (1 << BITS) + 1];
        for (hash, _) in &hashed {
            if let Some(word) = filter.get_mut((hash >> 6) as usize) {
                *word |= 1 << (hash & 63);
            }
            if let Some(count) = heads.get_mut(*hash as usize + 1) {
                *count += 1;
            }
        }
        let mut before = 0;
        for count in &mut heads {
            before += *count;
            *count = before;
        }
        let entries = hashed.into_iter().map(|(_, entry)| entry).collect();
        Self { filter: filter.into(), heads: heads.into(), entries }
    }

    /// Calls `found` with the place and the sets of every literal in `text`, in order of place.
    pub(super) fn each(&self, text: &[u8], mut found: impl FnMut(usize, &[u32])) {
        for (at, window) in text.windows(3).enumerate() {
            let Some(hash) = hash(window) else { continue };
            let word = self.filter.get((hash >> 6) as usize).copied().unwrap_or_default();
            if word >> (hash & 63) & 1 == 0 {
                continue;
            }
            let hash = hash as usize;
            let range = self.heads.get(hash).zip(self.heads.get(hash + 1));
            let Some((&from, &to)) = range else { continue };
            let rest = text.get(at..).unwrap_or_default();
            let here = head(rest);
            for entry in self.entries.get(from as usize..to as usize).unwrap_or_default() {
                if here & entry.mask == entry.head && (entry.text.len() <= 8 || rest.starts_with(&entry.text)) {
                    found(at, &entry.sets);
                }
            }
        }
    }
}

/// The first eight bytes as a number, nothing where there are fewer.
fn head(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<8>() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => bytes.iter().rev().fold(0, |head, byte| head << 8 | u64::from(*byte)),
    }
}

fn hash(bytes: &[u8]) -> Option<u32> {
    let &[a, b, c] = bytes.first_chunk::<3>()?;
    let key = u32::from(a) | u32::from(b) << 8 | u32::from(c) << 16;
    Some(key.wrapping_mul(0x9E37_79B1) >> (32 - BITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_literal_is_found_where_it_stands() {
        let literals = Literals::of([
            ("die".to_owned(), vec![1]),
            ("dies".to_owned(), vec![2]),
            ("死にたい".to_owned(), vec![3]),
            ("no".to_owned(), vec![4]),
        ]);
        let mut seen = Vec::new();
        literals.each("no one dies 死にたい".as_bytes(), |at, sets| seen.push((at, sets.to_vec())));
        assert_eq!(seen, [(7, vec![1]), (7, vec![2]), (12, vec![3])]);
    }
}
