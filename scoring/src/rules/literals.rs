//! Many literals looked for at once, by their first bytes. Built in a fraction of the time an automaton takes,
//! which matters at the start; as fast where, as in crisis packs, most places of a text begin none.

use super::ways::INSIDE;

/// Bits of the filter: the first bytes hashed.
const BITS: u32 = 16;

/// A literal, and the sets of words it belongs to.
#[derive(Debug)]
struct Entry {
    text: Box<[u8]>,
    sets: Box<[u32]>,
}

/// The first eight bytes of a literal, and which of them count: one comparison settles most.
#[derive(Debug, Clone, Copy)]
struct Head {
    bytes: u64,
    mask: u64,
}

/// Literals by the hash of their first bytes.
#[derive(Debug)]
struct Index {
    /// How many bytes are hashed, as a mask.
    hashed: u64,
    /// Whether any literal begins with bytes of this hash.
    filter: Box<[u64]>,
    /// Hash → the literals that begin so, by place in `heads` and `entries`.
    places: Box<[u16]>,
    heads: Vec<Head>,
    entries: Vec<Entry>,
}

/// Literals that begin at a word, and those that may stand inside one: of four bytes and more, and of three.
#[derive(Debug)]
pub(super) struct Literals {
    words: [Index; 2],
    inside: [Index; 2],
}

impl Literals {
    /// `literals`: each with the sets it belongs to. Those marked [`INSIDE`] are found inside words too; those
    /// shorter than three bytes are not found.
    pub(super) fn of(literals: impl IntoIterator<Item = (String, Vec<u32>)>) -> Self {
        let (inside, words): (Vec<_>, Vec<_>) =
            literals.into_iter().partition(|(text, _)| text.starts_with(INSIDE));
        let pair = |literals: Vec<(String, Vec<u32>)>| {
            let bare = literals.into_iter().map(|(text, sets)| (text.replace(INSIDE, ""), sets));
            let (long, short): (Vec<_>, Vec<_>) = bare.partition(|(text, _)| text.len() > 3);
            [Index::of(0xffff_ffff, long), Index::of(0xff_ffff, short)]
        };
        Self { words: pair(words), inside: pair(inside) }
    }

    /// Calls `found` with the place and the sets of every literal in `text`, in order of place.
    pub(super) fn each(&self, text: &[u8], mut found: impl FnMut(usize, &[u32])) {
        let mut before = b' ';
        for (at, first) in text.iter().enumerate() {
            let rest = text.get(at..).unwrap_or_default();
            let here = head(rest);
            let begins = !before.is_ascii_alphanumeric() || !first.is_ascii_alphanumeric();
            for index in self.words.iter().filter(|_| begins).chain(&self.inside) {
                if index.may_begin(here) {
                    index.at(rest, here, &mut |sets| found(at, sets));
                }
            }
            before = *first;
        }
    }
}

impl Index {
    fn of(hashed: u64, literals: Vec<(String, Vec<u32>)>) -> Self {
        let mut sorted: Vec<(usize, Head, Entry)> = literals
            .into_iter()
            .filter(|(text, _)| text.len() >= 3)
            .map(|(text, sets)| {
                let text: Box<[u8]> = text.into_bytes().into();
                let head = Head { bytes: head(&text), mask: u64::MAX >> (64 - 8 * text.len().min(8)) };
                (hash(head.bytes & hashed), head, Entry { sets: sets.into(), text })
            })
            .collect();
        sorted.sort_by(|(left, _, a), (right, _, b)| (left, &a.text).cmp(&(right, &b.text)));
        // Places are sixteen bits wide, so that the table stays where a processor has it at hand.
        sorted.truncate(usize::from(u16::MAX));
        let mut filter = vec![0u64; 1 << (BITS - 6)];
        let mut places = vec![0u16; (1 << BITS) + 1];
        for (hash, ..) in &sorted {
            if let Some(word) = filter.get_mut(hash >> 6) {
                *word |= 1 << (hash & 63);
            }
            if let Some(count) = places.get_mut(*hash + 1) {
                *count += 1;
            }
        }
        let mut before = 0;
        for count in &mut places {
            before += *count;
            *count = before;
        }
        let (heads, entries) = sorted.into_iter().map(|(_, head, entry)| (head, entry)).unzip();
        Self { hashed, filter: filter.into(), places: places.into(), heads, entries }
    }

    fn may_begin(&self, here: u64) -> bool {
        let hash = hash(here & self.hashed);
        self.filter.get(hash >> 6).is_some_and(|word| word >> (hash & 63) & 1 == 1)
    }

    fn at(&self, rest: &[u8], here: u64, found: &mut impl FnMut(&[u32])) {
        let hash = hash(here & self.hashed);
        let range = self.places.get(hash).zip(self.places.get(hash + 1));
        let Some((from, to)) = range.map(|(from, to)| (usize::from(*from), usize::from(*to))) else { return };
        for (index, head) in self.heads.get(from..to).unwrap_or_default().iter().enumerate() {
            if here & head.mask != head.bytes {
                continue;
            }
            let Some(entry) = self.entries.get(from + index) else { continue };
            if entry.text.len() <= 8 || rest.starts_with(&entry.text) {
                found(&entry.sets);
            }
        }
    }
}

/// The first eight bytes as a number, zeros where there are fewer.
fn head(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<8>() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => bytes.iter().rev().fold(0, |head, byte| head << 8 | u64::from(*byte)),
    }
}

fn hash(bytes: u64) -> usize {
    (bytes.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_literal_is_found_where_it_stands() {
        let literals = Literals::of([
            ("die".to_owned(), vec![1]),
            (format!("{INSIDE}dies"), vec![2]),
            ("死にたい".to_owned(), vec![3]),
            ("no".to_owned(), vec![4]),
            (" me".to_owned(), vec![5]),
        ]);
        let mut seen = Vec::new();
        let text = "no one dies on me. birdies. 死死にたい";
        literals.each(text.as_bytes(), |at, sets| seen.push((at, sets.to_vec())));
        assert_eq!(seen, [(7, vec![1]), (7, vec![2]), (14, vec![5]), (22, vec![2]), (31, vec![3])]);
    }
}
