//! Words behind masks: letters swapped for signs, drawn out, glued, split, misspelt, turned round.

use super::Words;
use super::spelling::{camel, is_measure, single, spell, squeeze};
use super::words::Word;

/// Longest run of letters that is taken apart into words.
const GLUED: usize = 120;
/// Shortest glued run worth it.
const WORTH: usize = 8;
/// Bytes around a disguised word that are read with it.
const AROUND: usize = 200;

/// Every disguise of every key.
#[derive(Debug)]
pub(crate) struct Disguises(Words);

/// A text without its disguises.
#[derive(Debug, Default)]
pub(super) struct Undone {
    /// As far as they and what is around them matter; `None` when it reads as its fold does.
    pub(super) view: Option<String>,
    /// Two words of the packs, or a long one, are rotated, or reversed: no accident.
    pub(super) rotated: bool,
    pub(super) reversed: bool,
}

impl Disguises {
    pub(crate) fn of(words: Words) -> Self {
        Self(words)
    }

    pub(super) fn knows(&self, word: &str) -> bool {
        self.0.get(word).is_some_and(Word::is_known)
    }

    /// Whether the text holds any part of a word that matters: most do not, and need no further reading.
    pub(super) fn touches(&self, text: &str) -> bool {
        self.0.has_heart(text)
    }

    /// Reads the text word by word.
    pub(super) fn undone(&self, text: &str) -> Undone {
        let mut whole = String::with_capacity(text.len() + 16);
        // Where in `whole` something reads otherwise.
        let mut turns: Vec<usize> = Vec::new();
        let mut run = String::new();
        let mut lower = String::new();
        let mut found: Vec<String> = Vec::new();
        let (mut forth, mut back) = (0, 0);
        let mut lacking: Option<Word<'_>> = None;
        let mut split = false;
        for raw in text.split_ascii_whitespace() {
            let (bare, ends) = bare(raw);
            if bare.len() > 1 && is_word(bare) {
                self.end(&mut run, &mut found, &mut whole, &mut turns);
                let word = lowered(bare, &mut lower);
                let known = self.0.get(word);
                if let Some(known) = known {
                    let weight = if word.len() >= 6 { 2 } else { 1 };
                    forth += if known.is_rotated() { weight } else { 0 };
                    back += if known.is_reversed() { weight } else { 0 };
                }
                split |= lacking.is_some_and(|lacking| lacking.lacks_start(word));
                lacking = known;
                let start = whole.len();
                if self.push(word, known, &mut whole) {
                    turns.push(start);
                }
                if ends {
                    whole.push('.');
                }
                continue;
            }
            if let Some(letter) = single(raw) {
                // What a word lacks may be one letter; what one letter lacks is looked for once it stands apart.
                split |= lacking.is_some_and(|lacking| lacking.lacks_start(letter.encode_utf8(&mut [0; 4])));
                run.extend(letter.to_lowercase());
                lower.clear();
                lower.extend(letter.to_lowercase());
                lacking = self.0.get(&lower);
                continue;
            }
            let spoken = raw.chars().any(|letter| letter.is_alphanumeric());
            if !spoken && !matches!(raw, "!" | "|" | "@" | "$") {
                if !raw.is_ascii() {
                    // A picture between words parts them in no way a reader minds.
                    turns.push(whole.len());
                }
                continue;
            }
            self.end(&mut run, &mut found, &mut whole, &mut turns);
            lower.clear();
            let word = raw.chars().filter(|letter| *letter != '\'');
            lower.extend(word.map(|letter| letter.to_ascii_lowercase()));
            self.word(raw, &lower, &mut found);
            let as_written = matches!(found.as_slice(), [word]
                if lower.starts_with(word.as_str()) && lower.len() < word.len() + 3);
            if !as_written {
                turns.push(whole.len());
            }
            if let [word] = found.as_slice() {
                split |= lacking.is_some_and(|lacking| lacking.lacks_start(word));
                lacking = self.0.get(word);
            }
            add(&mut whole, &mut found);
            if ends {
                whole.push('.');
            }
        }
        self.end(&mut run, &mut found, &mut whole, &mut turns);
        let gap = |letter: char| letter == ' ' || letter == '.';
        let ladder = || {
            // A word a line is one sentence.
            text.contains('\n')
                && whole.split(gap).filter(|word| !word.is_empty()).count() < 3 * text.lines().count()
        };
        let view = match split.then(|| self.rejoined(&whole)).flatten() {
            Some(joined) => Some(joined),
            None if ladder() => Some(whole),
            None => self.around(&whole, &turns),
        };
        Undone { view, rotated: forth >= 2, reversed: back >= 2 }
    }

    /// The letters that stood apart are over.
    fn end(&self, run: &mut String, found: &mut Vec<String>, whole: &mut String, turns: &mut Vec<usize>) {
        if !run.is_empty() {
            if run.len() > 2 {
                turns.push(whole.len());
            }
            self.letters(run, found);
            add(whole, found);
        }
    }

    /// What is around the places that read otherwise, where it matters.
    fn around(&self, whole: &str, turns: &[usize]) -> Option<String> {
        let mut view = String::new();
        let mut turns = turns.iter().peekable();
        while let Some(first) = turns.next() {
            let from = whole.floor_char_boundary(first.saturating_sub(AROUND));
            let mut to = first + AROUND;
            while let Some(next) = turns.next_if(|next| **next < to + AROUND) {
                to = next + AROUND;
            }
            let part = whole.get(from..whole.ceil_char_boundary(to.min(whole.len()))).unwrap_or_default();
            if self.touches(part) {
                if !view.is_empty() {
                    view.push('.');
                }
                view.push_str(part);
            }
        }
        (!view.is_empty()).then_some(view)
    }

    /// A bare word of small letters, as what it is. Says whether that is something else.
    fn push(&self, word: &str, known: Option<Word<'_>>, whole: &mut String) -> bool {
        match self.read(word, known) {
            Some(known) => {
                push(whole, known);
                known != word
            }
            None => match self.taken_apart(word) {
                Some(parts) => {
                    parts.iter().for_each(|part| push(whole, part));
                    true
                }
                None => {
                    push(whole, word);
                    false
                }
            },
        }
    }

    fn taken_apart(&self, word: &str) -> Option<Vec<String>> {
        let worth = (WORTH..=GLUED).contains(&word.len()) && self.touches(word);
        if worth { self.apart(word) } else { None }
    }

    /// Letters apart (`k i l l`) come together, then fall apart into words.
    fn letters(&self, run: &mut String, found: &mut Vec<String>) {
        let letters = std::mem::take(run);
        if letters.chars().count() >= 3 {
            return self.run(&letters, found);
        }
        for letter in letters.chars().map(String::from) {
            let means = self.0.get(&letter).and_then(Word::means);
            found.push(means.map_or(letter.clone(), str::to_owned));
        }
    }

    /// What one written word says.
    fn word(&self, raw: &str, lower: &str, found: &mut Vec<String>) {
        if lower.bytes().all(|byte| byte.is_ascii_lowercase()) || !lower.is_ascii() {
            if raw.bytes().any(|byte| byte.is_ascii_uppercase()) && raw.len() > 3 {
                let camel = camel(raw);
                if camel.len() > 1 && camel.iter().all(|part| part.len() < 14) {
                    return found
                        .extend(camel.iter().map(|part| self.plain(part).unwrap_or(part).to_owned()));
                }
            }
            return self.glued(lower, found);
        }
        let bare = lower.trim_matches(|letter: char| {
            letter.is_ascii_punctuation() && !matches!(letter, '*' | '$' | '@' | '!' | '|' | '+')
        });
        if bare.contains(['*', '#', '_', '-', '?', '%'])
            && let Some(key) = self.unmasked(bare.trim_matches(['_', '~', '-']))
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
        if parts.len() > 1 && trimmed.len() <= 24 {
            // `sui-cide`: a hyphen that parts no words.
            if let Some(word) = self.plain(&parts.concat()) {
                return found.push(word.to_owned());
            }
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
            Some(known) => found.push(known.to_owned()),
            None => match self.taken_apart(word) {
                Some(parts) => found.extend(parts),
                None => found.push(word.to_owned()),
            },
        }
    }

    fn plain<'w>(&'w self, word: &'w str) -> Option<&'w str> {
        self.read(word, self.0.get(word))
    }

    fn read<'w>(&'w self, word: &'w str, known: Option<Word<'w>>) -> Option<&'w str> {
        // A short form may be a word in its own right ("u", "ur"), so it is asked first.
        if let Some(means) = known.and_then(Word::means) {
            return Some(means);
        }
        if known.is_some_and(Word::is_known) {
            return Some(word);
        }
        let drawn = word.bytes().zip(word.bytes().skip(1)).any(|(a, b)| a == b);
        if !drawn || known.is_some_and(Word::is_spared) {
            return None;
        }
        self.0.squeezed(&squeeze(word))
    }

    fn unmasked(&self, word: &str) -> Option<String> {
        let is_mask = |byte: u8| matches!(byte, b'*' | b'#' | b'_' | b'-' | b'?' | b'%');
        let shown = word.bytes().filter(|byte| !is_mask(*byte)).count();
        let fits = |key: &&str| {
            key.len() == word.len()
                && key.bytes().zip(word.bytes()).all(|(letter, mask)| is_mask(mask) || mask == letter)
        };
        if shown * 2 < word.len() {
            return None;
        }
        self.0.masked().find(fits).map(str::to_owned)
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
        // A stroke is an i or an l, each by itself.
        let strokes = word.bytes().filter(|byte| matches!(byte, b'1' | b'!' | b'|')).count();
        let spelt = |choice: u32| {
            let mut stroke = 0;
            let spelt = word.chars().map(|letter| {
                let one = if choice >> stroke & 1 == 1 { 'l' } else { 'i' };
                stroke += u32::from(matches!(letter, '1' | '!' | '|'));
                spell(letter, one)
            });
            spelt.collect::<Option<String>>()
        };
        let choices = if strokes <= 4 { 1u32 << strokes } else { 2 };
        let readings: Vec<String> = (0..choices).map(spelt).collect::<Option<_>>()?;
        let sure = readings.iter().find(|word| self.knows(word)).cloned();
        sure.or_else(|| readings.iter().find_map(|word| self.plain(word).map(str::to_owned)))
    }

    /// The word as a run of known words, when at most a few letters are left over.
    fn apart(&self, word: &str) -> Option<Vec<String>> {
        if !word.is_ascii() {
            return None;
        }
        // For every end: letters covered, then fewer words, then where the last word starts.
        let longest = self.0.longest();
        let mut best: Vec<(usize, usize, usize)> = vec![(0, 0, 0); word.len() + 1];
        for end in 1..=word.len() {
            let (covered, words, _) = best.get(end - 1).copied()?;
            let mut here = (covered, words + 1, end - 1);
            for start in end.saturating_sub(longest)..end {
                let part = word.get(start..end)?;
                if (part.len() > 1 || part == "i" || part == "a") && self.knows(part) {
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
        let mut whole: Option<String> = None;
        let mut words = text.split(' ').peekable();
        let mut done = 0;
        while let Some(first) = words.next() {
            let start = done;
            done += first.len() + 1;
            let mut ahead = words.clone();
            let joined = self.0.get(first).and_then(|known| {
                let second = ahead.next()?;
                let third = ahead.next();
                let fits = |rest: &&str| {
                    let whole_word = first.len() + rest.len();
                    let loose = !(known.is_known() && self.knows(second)) || whole_word > 7;
                    if !loose {
                        return false;
                    }
                    let second = second.trim_end_matches('.');
                    *rest == second
                        || rest.strip_prefix(second).is_some_and(|rest| {
                            third.is_some_and(|third| rest == third.trim_end_matches('.'))
                        })
                };
                let rest = known.lacks().find(fits)?;
                let used = if rest == second.trim_end_matches('.') { 1 } else { 2 };
                Some((format!("{first}{rest}"), used))
            });
            match joined {
                Some((joined, used)) => {
                    let so_far = whole
                        .get_or_insert_with(|| text.get(..start).unwrap_or_default().trim_end().to_owned());
                    push(so_far, &joined);
                    for skipped in words.by_ref().take(used) {
                        done += skipped.len() + 1;
                    }
                }
                None => {
                    if let Some(so_far) = &mut whole {
                        push(so_far, first);
                    }
                }
            }
        }
        whole
    }
}

fn add(whole: &mut String, found: &mut Vec<String>) {
    for word in found.drain(..) {
        push(whole, &word);
    }
}

fn push(whole: &mut String, word: &str) {
    if !whole.is_empty() {
        whole.push(' ');
    }
    whole.push_str(word);
}

/// The word without the signs after it, and whether they end a sentence.
fn bare(raw: &str) -> (&str, bool) {
    let is_sign = |byte: &u8| matches!(byte, b',' | b'.' | b'!' | b'?' | b';' | b':' | b')' | b'"');
    let end = raw.bytes().rposition(|byte| !is_sign(&byte)).map_or(0, |last| last + 1);
    let ends = raw.len() > 2 && raw.ends_with(['.', '!', '?', ';']);
    (raw.get(..end).unwrap_or(raw), ends)
}

/// Small letters only, but for the first.
fn is_word(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic()) && bytes.all(|byte| byte.is_ascii_lowercase())
}

fn lowered<'w>(word: &'w str, lower: &'w mut String) -> &'w str {
    if word.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return word;
    }
    lower.clear();
    lower.extend(word.chars().map(|letter| letter.to_ascii_lowercase()));
    lower
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::packed::Packed;
    use crate::text::words::{Vocabulary, lay};
    use crate::text::{fold, views};

    fn disguises() -> Disguises {
        let keys = [
            "want", "to", "die", "kill", "myself", "suicidal", "live", "anymore", "dont", "i", "suicide",
            "a", "note", "wrote",
        ];
        let vocabulary = Vocabulary {
            words: BTreeMap::from([("2".to_owned(), "to".to_owned())]),
            hearts: vec!["die".to_owned()],
            keys: keys.map(str::to_owned).to_vec(),
            ..Vocabulary::default()
        };
        Disguises::of(Words::of(Packed::from(lay(&vocabulary))))
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
