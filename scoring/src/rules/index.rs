//! What the crisis packs look for, in tables: the build script lays them out for the shipped packs, the start for
//! those of an operator.

use std::collections::{BTreeMap, HashMap};

use super::literals::{self, Literals};
use super::ways::Way;
use crate::packed::{Packed, array, item, list, number, numbers};

/// Bytes between two words of one pattern, and around the last of them.
pub(crate) const REACH: usize = 180;

/// Numbers kept of one pattern.
const PATTERN: usize = 4;

/// Patterns and their words, on the way to an [`Index`].
#[derive(Default)]
pub(crate) struct Layout {
    owners: Vec<String>,
    /// The owner of each pattern, the sets of words that come before its last one, and the set it begins with, all
    /// sets counted from one.
    patterns: Vec<[usize; PATTERN]>,
    sources: Vec<String>,
    sets: HashMap<Vec<String>, usize>,
    literals: BTreeMap<String, Vec<usize>>,
    /// The patterns that end with a set of words, by set.
    ending: Vec<Vec<usize>>,
}

impl Layout {
    /// Takes in the ways of one rule.
    ///
    /// # Errors
    /// Names a way without words.
    pub(crate) fn take(&mut self, owner: &str, ways: &[Way]) -> Result<(), String> {
        for way in ways {
            let mut sets: Vec<usize> = way.sets.iter().map(|words| self.set(words)).collect();
            let begins = sets.first().filter(|_| way.begun).map_or(0, |set| set + 1);
            let last = sets.pop().ok_or_else(|| format!("{} names no words", way.re))?;
            let before = |index: usize| sets.get(index).map_or(0, |set| set + 1);
            if let Some(ending) = self.ending.get_mut(last) {
                ending.push(self.patterns.len());
            }
            self.patterns.push([self.owners.len(), before(0), before(1), begins]);
            self.sources.push(way.re.clone());
        }
        self.owners.push(owner.to_owned());
        Ok(())
    }

    pub(crate) fn lay(self) -> Vec<u8> {
        let [owner_starts, owners] = list(&self.owners);
        let [source_starts, sources] = list(&self.sources);
        let ending: Vec<Vec<u8>> = self.ending.into_iter().map(array).collect();
        let [ending_starts, ending] = list(&ending);
        let patterns = array(self.patterns.into_iter().flatten());
        let literals = literals::lay(self.literals);
        Packed::lay(&[
            owner_starts,
            owners,
            patterns,
            source_starts,
            sources,
            ending_starts,
            ending,
            literals,
        ])
    }

    fn set(&mut self, words: &[String]) -> usize {
        if let Some(known) = self.sets.get(words) {
            return *known;
        }
        let set = self.sets.len();
        self.sets.insert(words.to_vec(), set);
        self.ending.push(Vec::new());
        for word in words {
            self.literals.entry(word.clone()).or_default().push(set);
        }
        set
    }
}

/// The tables of a [`Layout`].
#[derive(Debug)]
pub(crate) struct Index(Packed<'static>);

impl Index {
    pub(crate) fn of(packed: Packed<'static>) -> Self {
        Self(packed)
    }

    /// The rules and calms whose patterns these are.
    pub(crate) fn owners(&self) -> impl Iterator<Item = &str> {
        let starts = self.0.section(0);
        let owners = (0..starts.len() / 4 - 1).map(|owner| item(starts, self.0.section(1), owner));
        owners.map(|owner| std::str::from_utf8(owner).unwrap_or_default())
    }

    pub(crate) fn patterns(&self) -> usize {
        self.0.section(2).len() / (4 * PATTERN)
    }

    pub(crate) fn owner(&self, pattern: usize) -> Option<usize> {
        number(self.0.section(2), pattern * PATTERN)
    }

    /// The set of words that a pattern begins with, when it is known.
    pub(crate) fn begins(&self, pattern: usize) -> Option<usize> {
        number(self.0.section(2), pattern * PATTERN + 3)?.checked_sub(1)
    }

    pub(crate) fn source(&self, pattern: usize) -> &str {
        std::str::from_utf8(item(self.0.section(3), self.0.section(4), pattern)).unwrap_or_default()
    }

    /// Calls `found` with every pattern whose words stand together in `folded`, and the place of the last of them.
    /// Gives every word seen: its place and its set, in order of place.
    pub(crate) fn each(&self, folded: &str, mut found: impl FnMut(usize, usize)) -> Vec<(usize, usize)> {
        let (starts, ending) = (self.0.section(5), self.0.section(6));
        let patterns = self.0.section(2);
        let literals = Packed::at(self.0.section(7));
        // Where a word of each set was seen last, plus one.
        let mut seen = vec![0u32; (starts.len() / 4).saturating_sub(1)];
        let mut words = Vec::new();
        Literals::of(&literals).each(folded.as_bytes(), |at, set| {
            let near = |seen: &[u32], place: usize| {
                let Some(before) = number(patterns, place) else { return false };
                let last = before.checked_sub(1).and_then(|set| seen.get(set)).copied().unwrap_or_default();
                before == 0 || last > 0 && last as usize + REACH > at
            };
            for pattern in numbers(item(starts, ending, set)) {
                if near(&seen, pattern * PATTERN + 1) && near(&seen, pattern * PATTERN + 2) {
                    found(pattern, at);
                }
            }
            if let Some(last) = seen.get_mut(set) {
                *last = u32::try_from(at + 1).unwrap_or(u32::MAX);
            }
            words.push((at, set));
        });
        words
    }
}
