//! Every disguise of every word the packs know, in tables that the build script lays out: they are looked into for
//! every word of every message.

use std::collections::{BTreeMap, BTreeSet};

use super::spelling::{misspellings, reversed, rotated, squeeze};
use crate::packed::{Packed, array, item, list, number, push};

/// Words the packs know.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vocabulary {
    /// Whole words and what they stand for (`u`, `2`, `kys`).
    pub(crate) words: BTreeMap<String, String>,
    /// Words worth recovering from misspellings.
    pub(crate) keys: Vec<String>,
    /// Words that only look like a misspelt key.
    pub(crate) spared: BTreeSet<String>,
    /// Other words, known as they are written.
    pub(crate) known: BTreeSet<String>,
    /// Parts of words without which a glued run is not worth taking apart.
    pub(crate) hearts: Vec<String>,
}

#[derive(Default)]
struct Draft {
    known: bool,
    spared: bool,
    rotated: bool,
    reversed: bool,
    means: Option<String>,
    lacks: Vec<String>,
}

/// What is known of a written word.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word<'p> {
    flags: u8,
    means: &'p str,
    lacks: &'p [u8],
}

const KNOWN: u8 = 1;
const SPARED: u8 = 2;
const ROTATED: u8 = 4;
const REVERSED: u8 = 8;

impl<'p> Word<'p> {
    pub(super) fn is_known(self) -> bool {
        self.flags & KNOWN != 0
    }

    /// It only looks like a misspelt key.
    pub(super) fn is_spared(self) -> bool {
        self.flags & SPARED != 0
    }

    /// A key, every letter moved on by thirteen.
    pub(super) fn is_rotated(self) -> bool {
        self.flags & ROTATED != 0
    }

    pub(super) fn is_reversed(self) -> bool {
        self.flags & REVERSED != 0
    }

    /// What it stands for.
    pub(super) fn means(self) -> Option<&'p str> {
        (!self.means.is_empty()).then_some(self.means)
    }

    /// What it lacks to be a key.
    pub(super) fn lacks(self) -> impl Iterator<Item = &'p str> {
        self.lacks
            .split(|byte| *byte == b' ')
            .filter_map(|rest| std::str::from_utf8(rest).ok())
            .filter(|rest| !rest.is_empty())
    }

    pub(super) fn lacks_start(self, start: &str) -> bool {
        !self.lacks.is_empty() && self.lacks().any(|rest| rest.starts_with(start))
    }
}

/// Lays the vocabulary out with all its disguises.
pub(crate) fn lay(vocabulary: &Vocabulary) -> Vec<u8> {
    let keys = &vocabulary.keys;
    let mut words: BTreeMap<String, Draft> = BTreeMap::new();
    let mut squeezed: BTreeMap<String, Draft> = BTreeMap::new();
    for word in keys.iter().chain(&vocabulary.known) {
        words.entry(word.clone()).or_default().known = true;
    }
    for word in &vocabulary.spared {
        words.entry(word.clone()).or_default().spared = true;
    }
    let is_known =
        |words: &BTreeMap<String, Draft>, word: &str| words.get(word).is_some_and(|word| word.known);
    for key in keys {
        for spelling in misspellings(key) {
            if !is_known(&words, &spelling) && !vocabulary.spared.contains(&spelling) {
                words.entry(spelling).or_default().means.get_or_insert_with(|| key.clone());
            }
        }
        squeezed.entry(squeeze(key)).or_default().means.get_or_insert_with(|| key.clone());
        let (forth, back) = (key.chars().map(rotated).collect::<String>(), reversed(key));
        if key.len() >= 3 && !is_known(&words, &forth) {
            words.entry(forth).or_default().rotated = true;
        }
        if key.len() >= 3 && !is_known(&words, &back) {
            words.entry(back).or_default().reversed = true;
        }
        for cut in 1..key.len() {
            if let Some((first, rest)) = key.split_at_checked(cut).filter(|_| key.len() >= 4) {
                words.entry(first.to_owned()).or_default().lacks.push(rest.to_owned());
            }
        }
    }
    for (word, means) in &vocabulary.words {
        words.entry(word.clone()).or_default().means = Some(means.clone());
    }
    let longest = keys.iter().chain(&vocabulary.known).map(String::len).max().unwrap_or_default();
    let masked: Vec<&String> = keys.iter().filter(|key| key.len() >= 3).collect();
    let [slots, entries] = table(&words);
    let [squeezed_slots, squeezed] = table(&squeezed);
    let [masked_starts, masked] = list(&masked);
    let [heart_starts, hearts] = list(&vocabulary.hearts);
    let mut begins = vec![0u8; 1 << (BITS - 3)];
    for heart in &vocabulary.hearts {
        let bit = opening(heart.as_bytes());
        if let Some(byte) = bit.and_then(|bit| begins.get_mut(bit >> 3).map(|byte| (byte, bit))) {
            *byte.0 |= 1 << (byte.1 & 7);
        }
    }
    Packed::lay(&[
        slots,
        entries,
        squeezed_slots,
        squeezed,
        masked_starts,
        masked,
        heart_starts,
        hearts,
        begins,
        array([longest]),
    ])
}

/// Slots by the hash of a word, each holding where its entry begins plus one, and the entries: the lengths of the
/// word, of what it stands for and of what it lacks, and these after another.
fn table(words: &BTreeMap<String, Draft>) -> [Vec<u8>; 2] {
    let mut slots = vec![0usize; (words.len() * 2).next_power_of_two()];
    let mut entries = Vec::new();
    for (word, draft) in words {
        let mut slot = hash(word) & (slots.len() - 1);
        while slots.get(slot).is_some_and(|taken| *taken != 0) {
            slot = (slot + 1) & (slots.len() - 1);
        }
        if let Some(free) = slots.get_mut(slot) {
            *free = entries.len() + 1;
        }
        let flags = [
            (draft.known, KNOWN),
            (draft.spared, SPARED),
            (draft.rotated, ROTATED),
            (draft.reversed, REVERSED),
        ];
        let flags = flags.iter().filter(|(set, _)| *set).map(|(_, flag)| usize::from(*flag)).sum();
        let means = draft.means.as_deref().unwrap_or_default();
        let lacks = draft.lacks.join(" ");
        for number in [word.len(), means.len(), lacks.len(), flags] {
            push(&mut entries, number);
        }
        for text in [word, means, &lacks] {
            entries.extend_from_slice(text.as_bytes());
        }
    }
    [array(slots), entries]
}

/// The tables of a [`Vocabulary`].
#[derive(Debug)]
pub(crate) struct Words(Packed<'static>);

impl Words {
    pub(crate) fn of(packed: Packed<'static>) -> Self {
        Self(packed)
    }

    pub(super) fn get(&self, word: &str) -> Option<Word<'_>> {
        find(self.0.section(0), self.0.section(1), word)
    }

    /// The key that reads so once no letter of it stands twice in a row.
    pub(super) fn squeezed(&self, word: &str) -> Option<&str> {
        find(self.0.section(2), self.0.section(3), word)?.means()
    }

    /// Keys that are looked for behind masks.
    pub(super) fn masked(&self) -> impl Iterator<Item = &str> {
        texts(self.0.section(4), self.0.section(5))
    }

    /// Letters of the longest word.
    pub(super) fn longest(&self) -> usize {
        number(self.0.section(9), 0).unwrap_or_default()
    }

    /// Whether the text holds any part of a word that matters.
    pub(super) fn has_heart(&self, text: &str) -> bool {
        let begins = self.0.section(8);
        let hearts = || items(self.0.section(6), self.0.section(7));
        let begun = |bit: usize| begins.get(bit >> 3).is_some_and(|byte| byte >> (bit & 7) & 1 == 1);
        let bytes = text.as_bytes();
        (0..bytes.len()).any(|at| {
            let rest = bytes.get(at..).unwrap_or_default();
            opening(rest).is_some_and(begun) && hearts().any(|heart| rest.starts_with(heart))
        })
    }
}

fn texts<'p>(starts: &'p [u8], bytes: &'p [u8]) -> impl Iterator<Item = &'p str> {
    items(starts, bytes).filter_map(|text| std::str::from_utf8(text).ok())
}

fn items<'p>(starts: &'p [u8], bytes: &'p [u8]) -> impl Iterator<Item = &'p [u8]> {
    (0..(starts.len() / 4).saturating_sub(1)).map(move |index| item(starts, bytes, index))
}

fn find<'p>(slots: &[u8], entries: &'p [u8], word: &str) -> Option<Word<'p>> {
    let mask = (slots.len() / 4).checked_sub(1)?;
    let mut slot = hash(word) & mask;
    loop {
        let entry = entries.get(number(slots, slot)?.checked_sub(1)?..)?;
        let length = number(entry, 0)?;
        let (here, rest) = entry.get(16..)?.split_at_checked(length)?;
        if here == word.as_bytes() {
            let (means, rest) = rest.split_at_checked(number(entry, 1)?)?;
            let lacks = rest.get(..number(entry, 2)?)?;
            let flags = u8::try_from(number(entry, 3)?).ok()?;
            return Some(Word { flags, means: std::str::from_utf8(means).ok()?, lacks });
        }
        slot = (slot + 1) & mask;
    }
}

fn hash(word: &str) -> usize {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = word.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    (hash ^ hash >> 29) as usize
}

/// Bits of a table over the first three bytes of a heart.
const BITS: u32 = 13;

fn opening(bytes: &[u8]) -> Option<usize> {
    let [first, second, third] = bytes.first_chunk::<3>()?.map(u32::from);
    Some(((first << 16 | second << 8 | third).wrapping_mul(0x9E37_79B1) >> (32 - BITS)) as usize)
}
