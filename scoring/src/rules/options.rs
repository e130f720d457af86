//! Options of programs that name a file or hold a command, whatever else the program does.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;

use super::{Effects, Pack, Rule, RuleError};

/// An option, and what its value is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProgramOption {
    pub(crate) id: String,
    pub(crate) reason: String,
    pub(crate) names: Vec<String>,
    /// One of these words must be there too (`git archive`).
    #[serde(default)]
    pub(crate) sub: Vec<String>,
    pub(crate) options: Vec<String>,
    pub(crate) holds: Holds,
    /// What the option does, beside what its value says.
    pub(crate) effect: String,
    #[serde(default, rename = "match")]
    pub(crate) matches: Vec<String>,
    #[serde(default, rename = "not_match")]
    pub(crate) differs: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Holds {
    /// A file it writes, or a command behind a bar.
    Output,
    /// A command.
    Command,
    /// A file that says what the program does.
    Script,
}

impl ProgramOption {
    /// Every value the words give it: `-o x`, `-ox`, `-no x`, `--output x`, `--output=x`.
    pub(crate) fn values<'a, W>(&self, words: &'a [W], text: impl Fn(&W) -> &str) -> Vec<(&'a W, usize)> {
        let own = words.iter().take_while(|word| text(word) != "--").count();
        let words = words.get(..own).unwrap_or_default();
        if !self.sub.is_empty() && !words.iter().any(|word| self.sub.iter().any(|sub| sub == text(word))) {
            return Vec::new();
        }
        let mut values = Vec::new();
        for (index, word) in words.iter().enumerate() {
            for option in &self.options {
                match attached(option, text(word)) {
                    Some(0) => values.extend(words.get(index + 1).map(|next| (next, 0))),
                    Some(start) => values.push((word, start)),
                    None => {}
                }
            }
        }
        values
    }
}

/// Where in a word the value of an option starts; 0 when it is the next word.
fn attached(option: &str, word: &str) -> Option<usize> {
    if word == option {
        return Some(0);
    }
    if option.starts_with("--") {
        return word.strip_prefix(option)?.starts_with('=').then_some(option.len() + 1);
    }
    let &[b'-', letter] = option.as_bytes() else { return None };
    if word.starts_with(option) {
        return Some(option.len());
    }
    let cluster = word.strip_prefix('-')?.as_bytes();
    let [flags @ .., last] = cluster else { return None };
    (*last == letter && flags.len() < 5 && flags.iter().all(u8::is_ascii_alphabetic)).then_some(0)
}

pub(crate) type Options = HashMap<String, Vec<Arc<(Rule, ProgramOption)>>>;

pub(super) fn compile(packs: &[(String, Pack, bool)], effects: &Effects<'_>) -> Result<Options, RuleError> {
    let mut options = Options::new();
    for (pack, option) in
        packs.iter().flat_map(|(name, pack, _)| pack.option.iter().map(move |option| (name, option)))
    {
        let rule = effects.rule(pack, &option.id, &option.reason, &option.effect)?;
        let option = Arc::new((rule, option.clone()));
        for name in &option.1.names {
            options.entry(name.clone()).or_default().push(Arc::clone(&option));
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_however_its_option_is_written() {
        for (option, word, start) in [
            ("-o", "-o", Some(0)),
            ("-o", "-o/etc/x", Some(2)),
            ("-o", "-nro", Some(0)),
            ("--output", "--output=x", Some(9)),
            ("--output", "--output", Some(0)),
            ("-out", "-out", Some(0)),
            ("-o", "-x", None),
            ("-out", "-outer", None),
            ("--output", "--outputs", None),
            ("-o", "--so", None),
        ] {
            assert_eq!(attached(option, word), start, "{option} in {word}");
        }
    }
}
