//! Words behind masks: letters swapped for signs, drawn out, glued, split, misspelt, turned round.

use std::collections::{HashMap, HashSet};

use super::decode::{reversed, rotated};

/// Longest run of letters that is taken apart into words.
const GLUED: usize = 120;
/// Shortest glued run worth it.
const WORTH: usize = 8;

/// Words the packs know.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vocabulary {
    /// Whole words and what they stand for (`u`, `2`, `kys`).
    pub(crate) words: HashMap<String, String>,
    /// Words worth recovering from misspellings.
    pub(crate) keys: Vec<String>,
    /// Words that only look like a misspelt key.
    pub(crate) spared: HashSet<String>,
    /// Other words of the packs, known as they are written.
    pub(crate) known: HashSet<String>,
}

/// Every disguise of every key, worked out once.
#[derive(Debug)]
pub(crate) struct Disguises {
    known: HashSet<String>,
    longest: usize,
    restored: HashMap<String, String>,
    squeezed: HashMap<String, String>,
    rotated: HashSet<String>,
    reversed: HashSet<String>,
    masked: Vec<String>,
    spared: HashSet<String>,
}

impl Disguises {
    pub(crate) fn of(vocabulary: &Vocabulary) -> Self {
        let mut known = vocabulary.known.clone();
        known.extend(vocabulary.keys.iter().cloned());
        let mut restored = HashMap::new();
        let mut squeezed = HashMap::new();
        for key in &vocabulary.keys {
            for spelling in misspellings(key) {
                if !known.contains(&spelling) && !vocabulary.spared.contains(&spelling) {
                    restored.entry(spelling).or_insert_with(|| key.clone());
                }
            }
            squeezed.entry(squeeze(key)).or_insert_with(|| key.clone());
        }
        restored.extend(vocabulary.words.clone());
        let turned = |turn: &dyn Fn(&str) -> String| {
            let long = vocabulary.keys.iter().filter(|key| key.len() >= 3);
            long.map(|key| turn(key)).filter(|word| !known.contains(word)).collect::<HashSet<_>>()
        };
        Self {
            rotated: turned(&|key| key.chars().map(rotated).collect()),
            reversed: turned(&reversed),
            longest: known.iter().map(String::len).max().unwrap_or_default(),
            masked: vocabulary.keys.iter().filter(|key| key.len() >= 3).cloned().collect(),
            spared: vocabulary.spared.clone(),
            known,
            restored,
            squeezed,
        }
    }

    pub(super) fn is_rotated(&self, text: &str) -> bool {
        several(text, &self.rotated)
    }

    pub(super) fn is_reversed(&self, text: &str) -> bool {
        several(text, &self.reversed)
    }

    /// The text with its disguised words restored; `None` when it reads as its fold does.
    pub(super) fn undone(&self, text: &str, folded: &str) -> Option<String> {
        let mut whole = String::with_capacity(text.len());
        let mut run = String::new();
        let mut lower = String::new();
        let mut found: Vec<String> = Vec::new();
        for raw in text.split_whitespace() {
            let spoken = raw.chars().any(|letter| letter.is_alphanumeric());
            if !spoken && !matches!(raw, "!" | "|" | "@" | "$") {
                continue;
            }
            if let Some(letter) = single(raw) {
                run.extend(letter.to_lowercase());
                continue;
            }
            self.letters(&mut run, &mut found);
            lower.clear();
            let word = raw.chars().filter(|letter| *letter != '\'');
            lower.extend(word.map(|letter| letter.to_ascii_lowercase()));
            self.word(raw, &lower, &mut found);
            add(&mut whole, &mut found);
            if raw.len() > 2 && raw.ends_with(['.', '!', '?', ';']) {
                whole.push('.');
            }
        }
        self.letters(&mut run, &mut found);
        add(&mut whole, &mut found);
        let whole = self.rejoined(&whole).unwrap_or(whole);
        let gap = |letter: char| letter == ' ' || letter == '.';
        let words = |text: &'_ str| text.split(gap).filter(|word| !word.is_empty()).count();
        // A word a line is one sentence.
        let ladder = text.contains('\n') && words(&whole) < 3 * text.lines().count();
        let same = whole
            .split(gap)
            .filter(|word| !word.is_empty())
            .eq(folded.split(gap).filter(|word| !word.is_empty()));
        (!same || ladder).then_some(whole)
    }

    /// Letters apart (`k i l l`) come together, then fall apart into words.
    fn letters(&self, run: &mut String, found: &mut Vec<String>) {
        let letters = std::mem::take(run);
        if letters.chars().count() >= 3 {
            return self.run(&letters, found);
        }
        for letter in letters.chars().map(String::from) {
            found.push(self.restored.get(&letter).cloned().unwrap_or(letter));
        }
    }

    /// What one written word says.
    fn word(&self, raw: &str, lower: &str, found: &mut Vec<String>) {
        if lower.bytes().all(|byte| byte.is_ascii_lowercase()) || !lower.is_ascii() {
            if raw.bytes().any(|byte| byte.is_ascii_uppercase()) && raw.len() > 3 {
                let camel = camel(raw);
                if camel.len() > 1 && camel.iter().all(|part| part.len() < 14) {
                    return found
                        .extend(camel.iter().map(|part| self.plain(part).unwrap_or_else(|| part.clone())));
                }
            }
            return self.glued(lower, found);
        }
        let bare = lower.trim_matches(|letter: char| {
            letter.is_ascii_punctuation() && !matches!(letter, '*' | '$' | '@' | '!' | '|' | '+')
        });
        if bare.contains('*')
            && let Some(key) = self.unmasked(bare.trim_matches(['_', '~']))
        {
            return found.push(key);
        }
        let trimmed = bare.trim_end_matches(['!', '*', '+', '|']).trim_start_matches('*');
        if trimmed.bytes().all(|byte| byte.is_ascii_lowercase()) && !trimmed.is_empty() {
            return self.glued(trimmed, found);
        }
        if let Some(word) = self.unleeted(bare).or_else(|| self.unleeted(trimmed)) {
            return found.push(word);
        }
        let parts: Vec<&str> = trimmed
            .split(|letter: char| letter.is_ascii_punctuation() && !matches!(letter, '*' | '$' | '@'))
            .filter(|part| !part.is_empty())
            .collect();
        if parts.len() > 1 && parts.iter().all(|part| part.len() == 1) {
            return self.run(&parts.concat(), found);
        }
        for part in &parts {
            match self.unleeted(part) {
                Some(word) => found.push(word),
                None => self.glued(part, found),
            }
        }
    }

    /// Letters that were written apart: one word, or several.
    fn run(&self, letters: &str, found: &mut Vec<String>) {
        let parts =
            if self.plain(letters).is_none() && letters.len() <= GLUED { self.apart(letters) } else { None };
        match parts {
            Some(parts) => found.extend(parts),
            None => self.glued(letters, found),
        }
    }

    /// A bare lower-case word: known, restored, or taken apart.
    fn glued(&self, word: &str, found: &mut Vec<String>) {
        match self.plain(word) {
            Some(known) => found.push(known),
            None => match (WORTH..=GLUED).contains(&word.len()).then(|| self.apart(word)).flatten() {
                Some(parts) => found.extend(parts),
                None => found.push(word.to_owned()),
            },
        }
    }

    fn plain(&self, word: &str) -> Option<String> {
        // A short form may be a word in its own right ("u", "ur"), so it is asked first.
        if let Some(word) = self.restored.get(word) {
            return Some(word.clone());
        }
        if self.known.contains(word) {
            return Some(word.to_owned());
        }
        let drawn =
            !self.spared.contains(word) && word.bytes().zip(word.bytes().skip(1)).any(|(a, b)| a == b);
        drawn.then(|| squeeze(word)).and_then(|word| self.squeezed.get(&word).cloned())
    }

    fn unmasked(&self, word: &str) -> Option<String> {
        let shown = word.bytes().filter(|byte| *byte != b'*').count();
        let fits = |key: &&String| {
            key.len() == word.len()
                && key.bytes().zip(word.bytes()).all(|(letter, mask)| mask == b'*' || mask == letter)
        };
        if shown * 2 < word.len() {
            return None;
        }
        self.masked.iter().find(fits).cloned()
    }

    /// `k1ll`, `d!e`, `5uicide`: signs that stand for letters. `20mg` stays.
    fn unleeted(&self, word: &str) -> Option<String> {
        if !word.is_ascii() || word.is_empty() || word.len() > 24 || is_measure(word) {
            return None;
        }
        if !word.bytes().any(|byte| !byte.is_ascii_lowercase()) {
            return None;
        }
        if word.len() == 1 && !matches!(word, "1" | "!" | "|") {
            return None;
        }
        let spelt = |one| word.chars().map(|letter| spell(letter, one)).collect::<Option<String>>();
        let readings = [spelt('i')?, spelt('l')?];
        let sure = readings.iter().find(|word| self.known.contains(*word)).cloned();
        sure.or_else(|| readings.iter().find_map(|word| self.plain(word)))
    }

    /// The word as a run of known words, when at most a few letters are left over.
    fn apart(&self, word: &str) -> Option<Vec<String>> {
        if !word.is_ascii() {
            return None;
        }
        // For every end: letters covered, then fewer words, then where the last word starts.
        let mut best: Vec<(usize, usize, usize)> = vec![(0, 0, 0); word.len() + 1];
        for end in 1..=word.len() {
            let (covered, words, _) = best.get(end - 1).copied()?;
            let mut here = (covered, words + 1, end - 1);
            for start in end.saturating_sub(self.longest)..end {
                let part = word.get(start..end)?;
                if (part.len() > 1 || part == "i" || part == "a") && self.known.contains(part) {
                    let (before, count, _) = best.get(start).copied()?;
                    if (before + part.len(), std::cmp::Reverse(count + 1))
                        > (here.0, std::cmp::Reverse(here.1))
                    {
                        here = (before + part.len(), count + 1, start);
                    }
                }
            }
            *best.get_mut(end)? = here;
        }
        let (covered, count, _) = best.last().copied()?;
        if covered * 10 < word.len() * 9 || covered < count * 2 {
            return None;
        }
        let mut parts = Vec::new();
        let mut end = word.len();
        while end > 0 {
            let (_, _, start) = best.get(end).copied()?;
            parts.push(word.get(start..end)?.to_owned());
            end = start;
        }
        parts.reverse();
        (parts.len() > 1).then_some(parts)
    }

    /// Words broken by a space that is none (`sui cide`), put together again.
    fn rejoined(&self, text: &str) -> Option<String> {
        let words: Vec<&str> = text.split(' ').collect();
        let mut whole = String::with_capacity(text.len());
        let mut changed = false;
        let mut rest = words.as_slice();
        let mut joined = String::new();
        while let [first, tail @ ..] = rest {
            let mut used = 0;
            if !first.is_empty() && first.len() <= 8 && !first.ends_with('.') {
                joined.clear();
                joined.push_str(first);
                for (index, next) in tail.iter().take(2).enumerate() {
                    joined.push_str(next.trim_end_matches('.'));
                    let split =
                        !(self.known.contains(*first) && self.known.contains(*next)) || joined.len() > 7;
                    if joined.len() >= 4 && joined.len() <= 12 && split && self.known.contains(&joined) {
                        used = index + 1;
                        break;
                    }
                }
            }
            if !whole.is_empty() {
                whole.push(' ');
            }
            if used > 0 {
                changed = true;
                whole.push_str(&joined);
                rest = tail.get(used..).unwrap_or_default();
            } else {
                whole.push_str(first);
                rest = tail;
            }
        }
        changed.then_some(whole)
    }
}

fn add(whole: &mut String, found: &mut Vec<String>) {
    for word in found.drain(..) {
        if !whole.is_empty() {
            whole.push(' ');
        }
        whole.push_str(&word);
    }
}

/// Two words of the list, or one long one: no accident.
fn several(text: &str, list: &HashSet<String>) -> bool {
    let mut seen = 0;
    let mut lower = String::new();
    for word in text.split(|letter: char| !letter.is_ascii_alphabetic()).filter(|word| word.len() >= 3) {
        lower.clear();
        lower.extend(word.chars().map(|letter| letter.to_ascii_lowercase()));
        if list.contains(&lower) {
            seen += if lower.len() >= 6 { 2 } else { 1 };
        }
    }
    seen >= 2
}

fn spell(letter: char, one: char) -> Option<char> {
    Some(match letter {
        'a'..='z' => letter,
        '0' => 'o',
        '1' | '!' | '|' => one,
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' | '+' => 't',
        '8' => 'b',
        '9' => 'g',
        '6' => 'g',
        '(' => 'c',
        _ => return None,
    })
}

/// `20mg`, `4pm`, `500ml`: a number and its unit.
fn is_measure(word: &str) -> bool {
    let unit = word.trim_start_matches(|letter: char| letter.is_ascii_digit());
    unit.len() < word.len()
        && unit.len() <= 3
        && matches!(
            unit,
            "mg" | "g"
                | "ml"
                | "mcg"
                | "pm"
                | "am"
                | "th"
                | "st"
                | "nd"
                | "rd"
                | "h"
                | "k"
                | "kg"
                | "x"
                | "px"
                | "gb"
                | "mb"
                | "s"
                | "ms"
                | "m"
                | "d"
        )
}

fn camel(raw: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut before = ' ';
    let mut letters = raw.chars().filter(|letter| letter.is_alphanumeric()).peekable();
    while let Some(letter) = letters.next() {
        let begins = before.is_lowercase() || letters.peek().is_some_and(|next| next.is_lowercase());
        if parts.is_empty() || (letter.is_uppercase() && begins) {
            parts.push(String::new());
        }
        before = letter;
        if let Some(part) = parts.last_mut() {
            part.extend(letter.to_lowercase());
        }
    }
    parts
}

/// The one letter of a token that is nothing else.
fn single(raw: &str) -> Option<char> {
    let mut letters = raw.chars();
    let letter = letters.next().filter(|letter| letter.is_alphabetic())?;
    letters.all(|sign| matches!(sign, '.' | ',' | '-' | '_' | '*' | '~')).then_some(letter)
}

fn squeeze(word: &str) -> String {
    let mut squeezed = String::with_capacity(word.len());
    for letter in word.chars() {
        if !squeezed.ends_with(letter) {
            squeezed.push(letter);
        }
    }
    squeezed
}

/// One letter lost, doubled or swapped with its neighbour; or the vowels gone.
fn misspellings(key: &str) -> Vec<String> {
    let letters: Vec<char> = key.chars().collect();
    let mut spellings = Vec::new();
    let is_vowel = |letter: &char| matches!(letter, 'a' | 'e' | 'i' | 'o' | 'u');
    let consonants: String = letters
        .iter()
        .enumerate()
        .filter(|(index, letter)| *index == 0 || !is_vowel(letter))
        .map(|(_, letter)| letter)
        .collect();
    if consonants.len() >= 3 {
        spellings.push(consonants);
    }
    if letters.len() >= 5 {
        for gone in 1..letters.len() {
            let kept = letters.iter().enumerate().filter(|(index, _)| *index != gone);
            spellings.push(kept.map(|(_, letter)| letter).collect());
        }
        for at in 1..letters.len() - 1 {
            let mut swapped = letters.clone();
            swapped.swap(at, at + 1);
            spellings.push(swapped.into_iter().collect());
        }
    }
    spellings.retain(|spelling| spelling != key);
    spellings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{fold, views};

    fn disguises() -> Disguises {
        let keys = [
            "want", "to", "die", "kill", "myself", "suicidal", "live", "anymore", "dont", "i", "suicide",
            "a", "note", "wrote",
        ];
        Disguises::of(&Vocabulary {
            words: HashMap::from([("2".to_owned(), "to".to_owned())]),
            keys: keys.map(str::to_owned).to_vec(),
            ..Vocabulary::default()
        })
    }

    #[test]
    fn disguises_of_a_text_come_off() {
        let disguises = disguises();
        for text in [
            "i w4nt t0 d1e",
            "1 w4n7 7o d1e",
            "i w a n t t o d i e",
            "iwanttodie",
            "i.w.a.n.t t.o d.i.e",
            "iWantToDie",
            "i_want_to_die",
            "i want 2 die",
            "i wannnt to diieee",
            "aSB3YW50IHRvIGRpZQ==",
            "692077616e7420746f20646965",
            "i%20want%20to%20die",
            "i want to d*e",
            "i wnt to die",
            "v jnag gb qvr",
            "eid ot tnaw i",
            "i wa nt to die",
        ] {
            let mut views = views(text, &fold(text), &disguises);
            views.push(fold(text));
            assert!(views.iter().any(|view| view.contains("i want to die")), "{text}: {views:?}");
        }
    }

    #[test]
    fn doses_and_other_words_stay_as_they_are() {
        let disguises = disguises();
        for text in ["20mg at 4pm", "the worker restarts the pod", "see you at five"] {
            assert_eq!(views(text, &fold(text), &disguises), Vec::<String>::new(), "{text}");
        }
    }
}
