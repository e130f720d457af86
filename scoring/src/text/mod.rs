//! Text as it reads, whatever it was dressed in: folded once, and seen through further views when something
//! in it asks for them.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};
use unicode_security::confusable_detection::skeleton;

mod cipher;
pub(crate) mod decode;
mod disguise;
mod letters;
mod spelling;
mod words;

pub(crate) use disguise::Disguises;
pub(crate) use letters::fold_pattern;
use letters::{Base, base, is_dropped};
pub(crate) use words::{Vocabulary, Words, lay};

/// Further views are for messages, not for documents: of a longer text only head and tail are seen through.
const VIEWED: usize = 8 << 10;
/// Readings of a text that are themselves decoded.
const UNWRAPPED: usize = 6;

/// Lower case, no marks, no invisible letters, apostrophes dropped, sentence ends as `.`, every other sign as
/// one space. Words that mix scripts read as the Latin they pass for; words of one script stay what they are.
pub fn fold(text: &str) -> String {
    let mut folded = Folded::with_capacity(text.len());
    if text.is_ascii() {
        for byte in text.bytes() {
            folded.push_ascii(byte);
        }
        return folded.trimmed();
    }
    for letter in normal(text).chars() {
        folded.push(letter);
    }
    if folded.latin && folded.alike { unmixed(&folded.trimmed()) } else { folded.trimmed() }
}

/// Where in `text` the byte `at` of its fold comes from; exact where folding a letter needs no other letter.
pub(crate) fn source(text: &str, at: usize) -> usize {
    let mut folded = Folded::with_capacity(at + 4);
    for (offset, letter) in text.char_indices() {
        folded.push(letter);
        if folded.out.len() > at {
            return offset;
        }
    }
    text.len()
}

/// Further readings of the text, none for plain prose. `folded` is its [`fold`].
pub(crate) fn views(text: &str, folded: &str, disguises: &Disguises) -> Vec<String> {
    let mut views: Vec<String> = Vec::new();
    for part in ends(text, VIEWED) {
        let whole = part.len() == text.len();
        let base = if whole { Cow::Borrowed(folded) } else { Cow::Owned(fold(part)) };
        let mut push = |view: String| {
            if view != base && !view.is_empty() && !views.contains(&view) {
                views.push(view);
            }
        };
        if !base.is_ascii() && base.chars().any(passes_for_latin) {
            let alike: String = base.chars().map(|letter| lookalike(letter).unwrap_or(letter)).collect();
            disguises.undone(&alike).view.map(&mut push);
            push(alike);
        }
        let undone = disguises.undone(&plain(part));
        let mut sources = decode::readings(part, undone.rotated, undone.reversed);
        sources.extend(cipher::readings(part, disguises));
        // What was wrapped twice is unwrapped twice; there it ends.
        let wrapped: Vec<String> = sources
            .iter()
            .take(UNWRAPPED)
            .flat_map(|source| decode::readings(source, false, false))
            .collect();
        sources.extend(wrapped.into_iter().take(UNWRAPPED));
        undone.view.map(&mut push);
        for source in sources {
            let base = fold(&source);
            disguises.undone(&plain(&source)).view.map(&mut push);
            if !base.is_ascii() || disguises.touches(&base) {
                push(base);
            }
        }
    }
    views
}

/// The text, or its first and last `half` bytes.
pub(crate) fn ends(text: &str, half: usize) -> impl Iterator<Item = &str> {
    let (head, tail) = if text.len() <= 2 * half {
        (text, None)
    } else {
        (
            text.get(..text.floor_char_boundary(half)).unwrap_or_default(),
            text.get(text.ceil_char_boundary(text.len() - half)..),
        )
    };
    std::iter::once(head).chain(tail)
}

/// As [`fold`], signs and word shapes kept.
fn plain(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for letter in normal(text).chars().filter(|letter| !is_dropped(*letter)) {
        match letter {
            '\u{2018}' | '\u{2019}' | '\u{2bc}' => shown.push('\''),
            upper if upper.is_ascii() => shown.push(upper),
            letter => match base(letter) {
                Base::Letter(base) if letter.is_uppercase() => shown.extend(base.to_uppercase()),
                Base::Letter(base) => shown.push(base),
                Base::Pair(pair) => shown.push_str(pair),
            },
        }
    }
    Cow::Owned(unmixed(&shown))
}

fn normal(text: &str) -> Cow<'_, str> {
    match is_nfkc_quick(text.chars()) {
        IsNormalized::Yes => Cow::Borrowed(text),
        IsNormalized::No | IsNormalized::Maybe => Cow::Owned(text.nfkc().collect()),
    }
}

struct Folded {
    out: String,
    /// Latin letters and letters that pass for them have been seen.
    latin: bool,
    alike: bool,
}

impl Folded {
    fn with_capacity(capacity: usize) -> Self {
        Self { out: String::with_capacity(capacity), latin: false, alike: false }
    }

    fn push_ascii(&mut self, byte: u8) {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' => self.out.push(char::from(byte)),
            b'A'..=b'Z' => self.out.push(char::from(byte.to_ascii_lowercase())),
            b'\'' | b'`' => {}
            b'.' | b'!' | b'?' | b'\n' | b';' => {
                if self.out.ends_with(' ') {
                    self.out.pop();
                }
                if !self.out.ends_with('.') {
                    self.out.push('.');
                }
            }
            _ => self.gap(),
        }
    }

    fn trimmed(mut self) -> String {
        if self.out.ends_with(' ') {
            self.out.pop();
        }
        self.out
    }

    fn gap(&mut self) {
        if !self.out.ends_with([' ', '.']) {
            self.out.push(' ');
        }
    }

    fn push(&mut self, letter: char) {
        if let Ok(byte) = u8::try_from(letter)
            && byte.is_ascii()
        {
            self.latin |= byte.is_ascii_alphabetic();
            return self.push_ascii(byte);
        }
        match letter {
            '\u{2018}' | '\u{2019}' | '\u{2bc}' => {}
            '。' | '؟' | '।' | '۔' | '！' | '？' => self.push_ascii(b'.'),
            letter if is_dropped(letter) => {}
            letter if letter.is_alphanumeric() || is_kept_sign(letter) => {
                for small in letter.to_lowercase().filter(|small| !is_dropped(*small)) {
                    match base(small) {
                        Base::Letter(base) => {
                            self.latin |= base.is_ascii();
                            self.alike |= matches!(base, '\u{370}'..='\u{58f}' | '\u{13a0}'..='\u{13ff}' | '\u{ab70}'..='\u{abbf}' | '\u{251}');
                            self.out.push(base);
                        }
                        Base::Pair(pair) => self.out.push_str(pair),
                    }
                }
            }
            _ => self.gap(),
        }
    }
}

/// Marks inside Indic words are letters to their readers; a few pictures are words to a crisis line.
fn is_kept_sign(letter: char) -> bool {
    matches!(letter, '\u{900}'..='\u{dff}' | '\u{e00}'..='\u{eff}' | '💊' | '🔫' | '🔪')
}

/// Words that mix Latin with letters that pass for it, as Latin.
fn unmixed(text: &str) -> String {
    let mut whole = String::with_capacity(text.len());
    for word in text.split_inclusive(|letter: char| !letter.is_alphanumeric()) {
        let latin = word.bytes().any(|byte| byte.is_ascii_alphabetic());
        if latin && word.chars().any(|letter| !letter.is_ascii() && letter.is_alphabetic()) {
            whole.extend(word.chars().map(|letter| lookalike(letter).unwrap_or(letter)));
        } else {
            whole.push_str(word);
        }
    }
    whole
}

/// Greek, Cyrillic, Armenian and Cherokee letters: whole words of them may be Latin to the eye.
fn passes_for_latin(letter: char) -> bool {
    matches!(letter, '\u{370}'..='\u{58f}' | '\u{13a0}'..='\u{13ff}' | '\u{ab70}'..='\u{abbf}')
}

fn lookalike(letter: char) -> Option<char> {
    if letter.is_ascii() {
        return None;
    }
    let small = match letter {
        'к' | 'κ' => 'k',
        'м' | 'μ' => 'm',
        'т' | 'τ' => 't',
        'н' => 'h',
        'в' => 'b',
        'η' => 'n',
        'ε' => 'e',
        'ω' => 'w',
        'ι' => 'i',
        'γ' => 'y',
        'χ' => 'x',
        'σ' | 'δ' => 'o',
        'λ' => 'l',
        'ɑ' => 'a',
        'ց' => 'g',
        'հ' => 'h',
        'ս' => 'u',
        _ => '\0',
    };
    if small != '\0' {
        return Some(small);
    }
    // A look-alike of one Latin letter; scripts of their own are left alone.
    let letter =
        if matches!(letter, '\u{ab70}'..='\u{abbf}') { letter.to_uppercase().next()? } else { letter };
    let mut single = [0; 4];
    let mut shape = skeleton(letter.encode_utf8(&mut single)).flat_map(char::to_lowercase);
    match (shape.next(), shape.next()) {
        (Some(latin @ 'a'..='z'), None) => Some(latin),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dressed_letters_read_as_what_they_are() {
        for text in [
            "ｉ ｗａｎｔ ｔｏ ｄｉｅ",
            "𝐢 𝐰𝐚𝐧𝐭 𝐭𝐨 𝐝𝐢𝐞",
            "i wa\u{200b}nt to d\u{ad}ie",
            "ⓘ ⓦⓐⓝⓣ ⓣⓞ ⓓⓘⓔ",
            "i wаnt to dіe",
            "Ì Wánt TO d\u{336}i\u{336}e\u{336}",
        ] {
            assert_eq!(fold(text), "i want to die", "{text}");
        }
    }

    #[test]
    fn other_scripts_keep_their_words() {
        for text in ["死にたい", "я хочу умереть", "मरना चाहता हूं", "죽고 싶어", "אני רוצה"]
        {
            assert_eq!(fold(text), text);
        }
        assert_eq!(fold("أُريد"), "اريد");
        assert_eq!(fold("muốn chết"), "muon chet");
        assert_eq!(fold("Ölmek istİyorum, bıktım"), "olmek istiyorum biktim");
    }

    #[test]
    fn a_place_in_the_fold_is_found_again_in_the_text() {
        let text = "Ok…  don’t — Ich WILL stérben!";
        let at = fold(text).find("sterben").unwrap();
        assert_eq!(text.get(source(text, at)..).unwrap(), "stérben!");
    }
}
