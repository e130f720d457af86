//! Command words that do not say what they are: letters that look like others, wildcards, control characters.

use unicode_normalization::UnicodeNormalization as _;
use unicode_security::skeleton;

use super::{Arg, Walk};
use crate::rules::Signal;

impl Walk<'_, '_> {
    /// The program behind a disguised word, told to a person whatever it does.
    pub(super) fn undisguised(&mut self, head: &Arg) -> Option<String> {
        let text = &head.text;
        let strange = |letter: char| !letter.is_ascii() || letter.is_ascii_control();
        if text.contains(strange) {
            let name = self.plain(text)?;
            self.signal(Signal::ShellDisguised);
            return Some(name);
        }
        let name = text.rsplit('/').next().unwrap_or_default();
        if text.contains(['?', '*', '[']) && name.len() > 1 && self.rules.programs.any_like(name) {
            self.signal(Signal::ShellDisguised);
        }
        None
    }

    /// The known program whose name is left when the disguise is off.
    fn plain(&self, text: &str) -> Option<String> {
        let uncoloured = uncoloured(text);
        // What follows a carriage return is what a reader of the terminal does not see replaced.
        for part in uncoloured.split(|letter: char| letter.is_whitespace() || letter.is_control()).rev() {
            let compatible: String = part.nfkc().filter(|letter| !is_invisible(*letter)).collect();
            for name in [compatible.chars().map(alike).collect::<String>(), compatible] {
                let name = name.rsplit('/').next().unwrap_or_default();
                if !name.is_empty() && self.rules.programs.knows(name) {
                    return Some(name.to_owned());
                }
            }
        }
        None
    }
}

/// Without the sequences that colour a terminal.
fn uncoloured(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == ';');
        plain.extend(rest.chars().skip(1));
    }
    plain
}

/// The ASCII letter a letter of another script is drawn like.
fn alike(letter: char) -> char {
    if letter.is_ascii() {
        return letter;
    }
    let mut drawn = skeleton(letter.encode_utf8(&mut [0; 4])).collect::<Vec<_>>().into_iter();
    match (drawn.next(), drawn.next()) {
        (Some(drawn), None) if drawn.is_ascii() => drawn,
        _ => letter,
    }
}

fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}
