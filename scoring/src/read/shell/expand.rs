//! What words become when a shell expands them, as far as that is known beforehand.

use super::syntax::{Change, Piece, Script, Word};
use super::{Arg, Flow, Walk, brush};
use crate::rules::{Signal, glob};

/// Bytes of a value that patterns are tried on: each try costs its length.
const LONGEST: usize = 1_024;

impl Walk<'_, '_> {
    /// The word as one text, spaces and all.
    pub(super) fn whole(&mut self, word: &Word) -> Arg {
        let mut whole = Arg { known: true, ..Arg::default() };
        for arg in self.pieces(word, false) {
            whole.text.push_str(&arg.text);
            whole.known &= arg.known;
            whole.flow.taint(&arg.flow);
            whole.pipe |= arg.pipe;
        }
        whole
    }

    /// The word as the arguments it becomes.
    pub(super) fn expand(&mut self, word: &Word) -> Vec<Arg> {
        let args = self.pieces(word, true);
        args.into_iter().flat_map(braces).collect()
    }

    fn pieces(&mut self, word: &Word, split: bool) -> Vec<Arg> {
        let mut args: Vec<Arg> = Vec::new();
        let mut current: Option<Arg> = None;
        for piece in &word.0 {
            let (value, quoted) = match piece {
                Piece::Text(text) => (Arg::word(text), true),
                Piece::Variable { name, fallback, change, quoted } => {
                    let fallback = fallback.as_ref().map(|word| self.whole(word));
                    if let Some(fallback) = fallback.as_ref().filter(|fallback| fallback.known) {
                        // `${x:=value}` keeps what it stands for.
                        self.variables.entry(name.clone()).or_insert_with(|| Some(fallback.text.clone()));
                    }
                    let mut value = self.variable(name, fallback);
                    if let Some(origin) = self.origins.get(name) {
                        value.flow.taint(origin);
                    }
                    (self.changed(value, change.as_ref()), *quoted)
                }
                Piece::Command { script, quoted } => {
                    let flow = self.aside(script, &Flow::default());
                    let literal = flow.literal.as_deref().map(|text| text.trim_end_matches('\n').to_owned());
                    (
                        Arg {
                            known: literal.is_some(),
                            text: literal.unwrap_or_default(),
                            flow,
                            pipe: false,
                        },
                        *quoted,
                    )
                }
                Piece::Process(script) => {
                    let flow = self.aside(script, &Flow::default());
                    (Arg { flow, pipe: true, ..Arg::word(PIPE) }, true)
                }
                Piece::Sink(script) => {
                    let feeding = self.feeding.clone();
                    self.aside(script, &feeding);
                    (Arg { pipe: true, ..Arg::word(PIPE) }, true)
                }
                Piece::Aside(word) => {
                    self.whole(word);
                    continue;
                }
                Piece::Unknown => (Arg::default(), true),
            };
            if quoted || !split {
                join(current.get_or_insert_with(|| Arg::word("")), &value.text, &value);
                continue;
            }
            // Unquoted expansions fall apart at white space, or at what was put in its place.
            let separators = self.variables.get("IFS").cloned().flatten();
            let apart = |letter: char| match &separators {
                Some(separators) => separators.contains(letter),
                None => letter.is_whitespace(),
            };
            let mut parts = value.text.split(apart).filter(|part| !part.is_empty()).peekable();
            if value.text.starts_with(apart) {
                args.extend(current.take());
            }
            if parts.peek().is_none() && !value.known {
                join(current.get_or_insert_with(|| Arg::word("")), "", &value);
            }
            while let Some(part) = parts.next() {
                join(current.get_or_insert_with(|| Arg::word("")), part, &value);
                if parts.peek().is_some() {
                    args.extend(current.take());
                }
            }
            if value.text.ends_with(apart) {
                args.extend(current.take());
            }
        }
        args.extend(current);
        args
    }

    /// Runs a script in a shell of its own: where that goes is left behind with it.
    fn aside(&mut self, script: &Script, input: &Flow) -> Flow {
        let here = (self.here.clone(), self.arrived);
        let flow = self.script(script, input, false);
        (self.here, self.arrived) = here;
        flow
    }

    fn variable(&self, name: &str, fallback: Option<Arg>) -> Arg {
        match (self.variables.get(name), name) {
            (Some(Some(value)), _) => Arg::word(value),
            (None, "IFS") => Arg::word(" "),
            (None, name) => match (KNOWN.iter().find(|(known, _)| *known == name), fallback) {
                (Some((_, value)), _) => Arg::word(value),
                (None, Some(fallback)) => fallback,
                (None, None) => self.element(name).map(Arg::word).unwrap_or_default(),
            },
            (Some(None), _) => Arg::default(),
        }
    }

    /// `${a[1]}` of a list that was put together piece by piece.
    fn element(&self, name: &str) -> Option<&str> {
        let (list, index) = name.strip_suffix(']')?.split_once('[')?;
        self.variables.get(list)?.as_deref()?.split_whitespace().nth(index.parse().ok()?)
    }

    fn changed(&mut self, value: Arg, change: Option<&Change>) -> Arg {
        let Some(change) = change else { return value };
        let text = match change {
            Change::Prompt if value.known => {
                self.prompt(&value.text);
                None
            }
            Change::Prompt => {
                self.signal(Signal::ShellDynamicCommand);
                None
            }
            _ if !value.known => None,
            Change::Follow => {
                self.subscript(&value.text);
                return self.variable(&value.text, None);
            }
            change => apply(change, &value.text),
        };
        match text {
            Some(text) => Arg { text, ..value },
            None => Arg { text: String::new(), known: false, ..value },
        }
    }
}

fn apply(change: &Change, value: &str) -> Option<String> {
    if value.len() > LONGEST {
        return None;
    }
    Some(match change {
        Change::Slice { from, length } => {
            let letters: Vec<char> = value.chars().collect();
            let count = i64::try_from(letters.len()).ok()?;
            let start = if *from < 0 { count + from } else { *from }.clamp(0, count);
            let end = match length {
                Some(length) if *length < 0 => count + length,
                Some(length) => start.saturating_add(*length),
                None => count,
            };
            letters
                .get(usize::try_from(start).ok()?..usize::try_from(end.clamp(start, count)).ok()?)?
                .iter()
                .collect()
        }
        Change::Strip { pattern, end, longest } => {
            let cuts = value.char_indices().map(|(at, _)| at).chain([value.len()]);
            let mut cuts: Vec<usize> = cuts.collect();
            // Cuts in the order in which the part taken off grows, or shrinks.
            if *end != *longest {
                cuts.reverse();
            }
            let taken = cuts.into_iter().find_map(|at| {
                let (head, tail) = value.split_at_checked(at)?;
                let (part, rest) = if *end { (tail, head) } else { (head, tail) };
                glob::matches(pattern, part).then_some(rest)
            });
            taken.unwrap_or(value).to_owned()
        }
        Change::Replace { pattern, .. } if !glob::is_literal(pattern) || pattern.is_empty() => return None,
        Change::Replace { pattern, with, all: true } => value.replace(pattern, with),
        Change::Replace { pattern, with, all: false } => {
            value.replacen(pattern.trim_start_matches(['#', '%']), with, 1)
        }
        Change::Upper { all: true } => value.to_uppercase(),
        Change::Lower { all: true } => value.to_lowercase(),
        Change::Upper { all: false } => first(value, |letter| letter.to_uppercase().collect()),
        Change::Lower { all: false } => first(value, |letter| letter.to_lowercase().collect()),
        Change::Unescape => brush::ansi(value),
        Change::Follow | Change::Prompt => return None,
    })
}

fn first(value: &str, change: impl Fn(char) -> String) -> String {
    let mut letters = value.chars();
    letters.next().map(change).unwrap_or_default() + letters.as_str()
}

/// Variables whose value is the same everywhere, as far as paths are judged.
const KNOWN: [(&str, &str); 17] = [
    ("HOME", "~"),
    ("PWD", "."),
    ("TMPDIR", "/tmp"),
    ("TMP", "/tmp"),
    ("TEMP", "/tmp"),
    ("RUNNER_TEMP", "/tmp"),
    ("USER", "user"),
    ("LOGNAME", "user"),
    ("SHELL", "/bin/bash"),
    ("HERMES_HOME", "~/.hermes"),
    ("CLAUDE_CONFIG_DIR", "~/.claude"),
    ("CODEX_HOME", "~/.codex"),
    ("XDG_CONFIG_HOME", "~/.config"),
    ("GNUPGHOME", "~/.gnupg"),
    ("KUBECONFIG", "~/.kube/config"),
    ("HISTFILE", "~/.bash_history"),
    ("HERMA_DATA_DIR", "~/.local/share/herma"),
];

/// What a pipe is called when a word names it.
const PIPE: &str = "/dev/fd/63";

fn join(arg: &mut Arg, text: &str, from: &Arg) {
    if from.pipe {
        arg.flow.literal.clone_from(&from.flow.literal);
    }
    arg.text.push_str(text);
    arg.known &= from.known;
    arg.pipe |= from.pipe;
    arg.flow.taint(&from.flow);
}

/// `{rm,-rf,/}` is three words.
fn braces(arg: Arg) -> Vec<Arg> {
    let inner = arg.text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    match inner {
        Some(inner) if inner.contains(',') && !inner.contains(['{', '}', ' ', '"', ':']) => {
            inner.split(',').map(Arg::word).collect()
        }
        _ => vec![arg],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_changed_as_a_shell_changes_it() {
        let slice = |from, length| apply(&Change::Slice { from, length }, "zzrmyy").unwrap_or_default();
        assert_eq!(slice(2, Some(2)), "rm");
        assert_eq!(slice(-4, Some(-2)), "rm");
        assert_eq!(slice(9, None), "");
        let strip = |pattern: &str, end, longest| {
            apply(&Change::Strip { pattern: pattern.to_owned(), end, longest }, "/usr/bin/rm")
                .unwrap_or_default()
        };
        assert_eq!(strip("*/", false, true), "rm");
        assert_eq!(strip("*/", false, false), "usr/bin/rm");
        assert_eq!(strip("/*", true, false), "/usr/bin");
        assert_eq!(strip("/*", true, true), "");
        let replace = |pattern: &str, with: &str, all| {
            apply(&Change::Replace { pattern: pattern.to_owned(), with: with.to_owned(), all }, "rQmQ")
        };
        assert_eq!(replace("Q", "", true).as_deref(), Some("rm"));
        assert_eq!(replace("Q", "x", false).as_deref(), Some("rxmQ"));
        assert_eq!(replace("?", "", true), None);
        assert_eq!(apply(&Change::Upper { all: false }, "rm").as_deref(), Some("Rm"));
    }
}
