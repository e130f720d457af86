//! Many literals looked for at once, by their first bytes, in a table that the build script lays out.

use super::ways::INSIDE;
use crate::packed::{Packed, array, item, list, number, numbers};

/// Bits of the filter: the first bytes hashed.
const BITS: u32 = 16;
/// How many first bytes are hashed: three for literals of three, four for those of four to seven.
const HASHED: [u64; 3] = [0xff_ffff, 0xffff_ffff, u64::MAX];
/// What every literal begins with: whether any does is asked first.
const OPENING: u64 = HASHED[0];
/// Sections of one table.
const SECTIONS: usize = 7;

/// Literals of one length by the hash of their first bytes.
struct Table<'p> {
    hashed: u64,
    /// Whether any literal begins with bytes of this hash.
    filter: &'p [u8],
    /// The first bits of a hash → the first literal of such a hash.
    places: &'p [u8],
    /// How many bits of a hash are left out of its place.
    fine: u32,
    /// The first eight bytes of each literal, zeros where it has fewer.
    heads: &'p [u8],
    texts: [&'p [u8]; 2],
    payloads: [&'p [u8]; 2],
}

/// Literals that begin at a word, and those that may stand inside one.
pub(crate) struct Literals<'p> {
    words: [Table<'p>; 3],
    inside: [Table<'p>; 3],
    /// Whether any literal of the three tables opens with bytes of this hash.
    opens: [&'p [u8]; 2],
}

/// Lays out `literals`, each with what is told when it is found. Those marked [`INSIDE`] are found inside words
/// too; those shorter than three bytes are not found.
pub(crate) fn lay(literals: impl IntoIterator<Item = (String, Vec<usize>)>) -> Vec<u8> {
    let (inside, words): (Vec<_>, Vec<_>) =
        literals.into_iter().partition(|(text, _)| text.starts_with(INSIDE));
    let (mut sections, mut opens) = (Vec::new(), Vec::new());
    for literals in [words, inside] {
        let bare = literals.into_iter().map(|(text, payload)| (text.replace(INSIDE, ""), payload));
        let mut tiers: [Vec<(String, Vec<usize>)>; 3] = Default::default();
        let mut openings = Vec::new();
        let [short, middle, long] = &mut tiers;
        for literal in bare {
            match literal.0.len() {
                0..3 => {}
                3 => short.push(literal),
                4..8 => middle.push(literal),
                _ => long.push(literal),
            }
        }
        for (tier, hashed) in tiers.into_iter().zip(HASHED) {
            openings.extend(tier.iter().map(|(text, _)| hash(head(text.as_bytes()) & OPENING)));
            sections.extend(table(tier, hashed));
        }
        opens.push(filter(openings));
    }
    sections.extend(opens);
    Packed::lay(&sections)
}

fn filter(hashes: impl IntoIterator<Item = usize>) -> Vec<u8> {
    let mut filter = vec![0u8; 1 << (BITS - 3)];
    for hash in hashes {
        if let Some(byte) = filter.get_mut(hash >> 3) {
            *byte |= 1 << (hash & 7);
        }
    }
    filter
}

fn table(literals: Vec<(String, Vec<usize>)>, hashed: u64) -> [Vec<u8>; SECTIONS] {
    let mut sorted: Vec<(usize, String, Vec<usize>)> = literals
        .into_iter()
        .map(|(text, payload)| (hash(head(text.as_bytes()) & hashed), text, payload))
        .collect();
    sorted.sort();
    let filter = filter(sorted.iter().map(|(hash, ..)| *hash));
    // As many places as literals, so that few share one.
    let count = sorted.len().next_power_of_two().min(1 << BITS);
    let coarse = |hash: usize| hash >> (BITS - count.trailing_zeros());
    let places = (0..=count).map(|place| sorted.partition_point(|(hash, ..)| coarse(*hash) < place));
    let heads = sorted.iter().flat_map(|(_, text, _)| head(text.as_bytes()).to_le_bytes()).collect();
    let texts: Vec<&String> = sorted.iter().map(|(_, text, _)| text).collect();
    let payloads: Vec<Vec<u8>> =
        sorted.iter().map(|(_, _, payload)| array(payload.iter().copied())).collect();
    let ([starts, texts], [payload_starts, payloads]) = (list(&texts), list(&payloads));
    [filter, array(places), heads, starts, texts, payload_starts, payloads]
}

impl<'p> Literals<'p> {
    pub(crate) fn of(packed: &'p Packed<'_>) -> Self {
        let tables = |first: usize| {
            let mut tier = 0;
            HASHED.map(|hashed| {
                let section = |index: usize| packed.section((first + tier) * SECTIONS + index);
                let table = Table {
                    hashed,
                    filter: section(0),
                    places: section(1),
                    fine: BITS - (section(1).len() / 4).saturating_sub(1).max(1).trailing_zeros(),
                    heads: section(2),
                    texts: [section(3), section(4)],
                    payloads: [section(5), section(6)],
                };
                tier += 1;
                table
            })
        };
        let opens = |index: usize| packed.section(2 * HASHED.len() * SECTIONS + index);
        Self { words: tables(0), inside: tables(3), opens: [opens(0), opens(1)] }
    }

    /// Calls `found` with the place of every literal in `text` and what is told of it, in order of place.
    pub(crate) fn each(&self, text: &[u8], mut found: impl FnMut(usize, usize)) {
        let mut before = b' ';
        for (at, first) in text.iter().enumerate() {
            let rest = text.get(at..).unwrap_or_default();
            let here = head(rest);
            let begins = !before.is_ascii_alphanumeric() || !first.is_ascii_alphanumeric();
            let opening = hash(here & OPENING);
            for (tables, open) in [
                (&self.words, begins && has(self.opens[0], opening)),
                (&self.inside, has(self.opens[1], opening)),
            ] {
                for table in tables.iter().filter(|_| open) {
                    let hash = hash(here & table.hashed);
                    if has(table.filter, hash) {
                        table.at(hash, rest, here, &mut |told| found(at, told));
                    }
                }
            }
            before = *first;
        }
    }
}

impl Table<'_> {
    fn at(&self, hash: usize, rest: &[u8], here: u64, found: &mut impl FnMut(usize)) {
        let place = hash >> self.fine;
        let Some((from, to)) = number(self.places, place).zip(number(self.places, place + 1)) else { return };
        for index in from..to {
            let head = self.heads.get(index * 8..).and_then(|head| head.first_chunk());
            let head = head.map_or(0, |head| u64::from_le_bytes(*head));
            if (here ^ head) & self.hashed != 0 {
                continue;
            }
            if rest.starts_with(item(self.texts[0], self.texts[1], index)) {
                numbers(item(self.payloads[0], self.payloads[1], index)).for_each(&mut *found);
            }
        }
    }
}

fn has(filter: &[u8], hash: usize) -> bool {
    filter.get(hash >> 3).is_some_and(|byte| byte >> (hash & 7) & 1 == 1)
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
        let packed = lay([
            ("die".to_owned(), vec![1]),
            (format!("{INSIDE}dies"), vec![2]),
            ("死にたい".to_owned(), vec![3]),
            ("no".to_owned(), vec![4]),
            (" me".to_owned(), vec![5]),
        ]);
        let packed = Packed::at(&packed);
        let mut seen = Vec::new();
        let text = "no one dies on me. birdies. 死死にたい";
        Literals::of(&packed).each(text.as_bytes(), |at, told| seen.push((at, told)));
        assert_eq!(seen, [(7, 1), (7, 2), (14, 5), (22, 2), (31, 3)]);
    }
}
