//! What a cell of a notebook says that is not Python: `!ls`, `%pip install x`, `%%bash`.

use ruff_python_ast::IpyEscapeKind;

use super::{DEPTH, Reader, Understood, could_be, read_within};
use crate::Context;
use crate::read::shell;
use crate::rules::Rules;
use crate::weigh::{Findings, Place};

/// Adds what a cell does whose first line says what the others are; `None` when it says nothing.
pub(super) fn magic<'r>(
    text: &str,
    at: &Place,
    context: &Context<'_>,
    rules: &'r Rules,
    findings: &mut Findings<'r>,
) -> Option<Understood> {
    let (magic, rest) = text.trim_start().strip_prefix("%%")?.split_once('\n')?;
    Some(match magic.split_whitespace().find(|word| *word != "script").unwrap_or_default() {
        "bash" | "sh" | "!" | "zsh" | "sx" | "system" | "cmd" => {
            shell::read(rest, &at.fix(), context, rules, findings);
            Understood::All
        }
        "time" | "timeit" | "capture" | "prun" | "python" | "python3" => {
            read_within(rest, true, &at.fix(), context, rules, findings, 0)
        }
        _ => Understood::Nothing,
    })
}

impl Reader<'_, '_> {
    /// A line of a notebook that is not Python.
    pub(super) fn escape(&mut self, kind: IpyEscapeKind, value: &str) {
        let (word, rest) = value.split_once(char::is_whitespace).unwrap_or((value, ""));
        let at = self.at.fix();
        let command = match (kind, word) {
            (IpyEscapeKind::Shell | IpyEscapeKind::ShCap, _) => value,
            (IpyEscapeKind::Magic, "sx" | "system" | "sc" | "bash" | "sh") => rest,
            (
                IpyEscapeKind::Magic,
                "pip" | "conda" | "mamba" | "cd" | "ls" | "cat" | "rm" | "mv" | "cp" | "mkdir",
            ) => value,
            (IpyEscapeKind::Magic, "time" | "timeit" | "prun") if self.depth < DEPTH => {
                let read =
                    read_within(rest, true, &at, self.context, self.rules, self.findings, self.depth + 1);
                self.unknown |= read != Understood::All;
                return;
            }
            _ => {
                // `%alias`, `%macro`: a command may be in the words all the same.
                let words = rest.split_once(' ').map_or(rest, |(_, words)| words);
                for text in [rest, words] {
                    shell::attempt(text, &at, self.context, self.rules, self.findings);
                }
                self.unknown = true;
                return;
            }
        };
        self.acts = true;
        if could_be(self.text) {
            shell::read(command, &at, self.context, self.rules, self.findings);
        } else {
            // In other languages the mark means something else.
            shell::attempt(command, &at, self.context, self.rules, self.findings);
        }
    }
}
