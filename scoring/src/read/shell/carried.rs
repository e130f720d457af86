//! Commands in the words of programs no pack knows to run any.

use super::interpreter::is_code_option;
use super::{Arg, Flow, Walk};
use crate::rules::Signal;
use crate::rules::pack::{Language, Operands};
use crate::weigh::Findings;

/// Words looked at per command.
const WORDS: usize = 24;

impl Walk<'_, '_> {
    /// Reads on the chance that it is code; what it does counts only when it is decisive.
    pub(super) fn attempt(&mut self, read: impl FnOnce(&mut Self)) {
        if self.attempting {
            return;
        }
        self.attempting = true;
        let kept = std::mem::replace(self.findings, Findings::new(&self.rules.model));
        read(self);
        let tried = std::mem::replace(self.findings, kept);
        if tried.decisive() {
            self.findings.absorb(tried);
            self.doubt(Signal::ShellUnknownProgram, self.rules.model.confidence.unknown_program);
        }
        self.attempting = false;
    }

    /// `anything -x sh -c '…'`, and for a program nobody knows also `anything rm -rf x` and `anything 'rm -rf x'`.
    pub(super) fn carried(&mut self, args: &[Arg], unknown: bool) {
        if self.attempting {
            return;
        }
        for (index, arg) in args.iter().enumerate().take(WORDS) {
            let Some(rest) = args.get(index..) else { break };
            let follows = rest.len() > 1;
            let shell =
                follows && self.is_shell(&arg.text) && rest.iter().any(|arg| is_code_option(&arg.text));
            if shell || (unknown && follows && self.starts_command(index, &arg.text)) {
                self.attempt(|walk| {
                    walk.run(rest, Flow::default());
                });
            } else if unknown && self.reads_as_command(&arg.text) {
                self.attempt(|walk| {
                    walk.text(&arg.text, Flow::default());
                });
            } else if let Some(text) = handed(args, index).filter(|text| self.opens_with_program(text)) {
                self.attempt(|walk| {
                    walk.text(text, Flow::default());
                });
            } else if !unknown && arg.text == "--" && runs_rest(args.get(..index)) {
                self.attempt(|walk| {
                    walk.run(rest.get(1..).unwrap_or_default(), Flow::default());
                });
            }
        }
    }

    fn is_shell(&self, text: &str) -> bool {
        let name = text.rsplit('/').next().unwrap_or_default();
        self.rules.programs.of(name).iter().any(|spec| spec.language == Some(Language::Shell))
    }

    /// The first word is as often a subcommand; there only what wraps others or removes files is meant.
    fn starts_command(&self, index: usize, text: &str) -> bool {
        let name = text.rsplit('/').next().unwrap_or_default();
        let removes = || self.rules.programs.of(name).iter().any(|spec| spec.operands == Operands::Delete);
        self.is_program(text)
            && (index > 0
                || text.contains('/')
                || self.rules.programs.wrappers.contains_key(name)
                || removes())
    }

    fn is_program(&self, text: &str) -> bool {
        let name = text.rsplit('/').next().unwrap_or_default();
        !name.is_empty() && self.rules.programs.knows(name)
    }

    fn opens_with_program(&self, text: &str) -> bool {
        let mut words = text.split_whitespace();
        words.next().is_some_and(|first| self.is_program(first)) && words.next().is_some()
    }

    /// A text that opens with a program and holds an option, a path or an operator: prose has none.
    fn reads_as_command(&self, text: &str) -> bool {
        let mut words = text.split_whitespace();
        words.next().is_some_and(|first| self.is_program(first))
            && words.any(|word| {
                word.starts_with(['-', '/', '~', '|', '>', '+'])
                    || word.contains("=/")
                    || word.contains("://")
            })
    }
}

/// What is handed over to be run: `--pre-hook 'rm -rf x'`, `--exec='rm -rf x'`, `alias.x='!rm -rf x'`.
fn handed(args: &[Arg], index: usize) -> Option<&str> {
    const RUN: [&str; 16] = [
        "command", "cmd", "exec", "hook", "script", "run", "pager", "editor", "rsh", "askpass", "shell",
        "program", "handler", "wrapper", "under", "launcher",
    ];
    let text = args.get(index)?.text.as_str();
    let runs =
        |option: &str| option.starts_with("--") && option.split(['-', '_']).any(|word| RUN.contains(&word));
    if let Some((name, value)) = text.split_once('=')
        && !name.contains(' ')
    {
        return value.strip_prefix('!').or_else(|| runs(name).then_some(value));
    }
    let option = index.checked_sub(1).and_then(|before| args.get(before));
    option.is_some_and(|option| runs(&option.text)).then_some(text)
}

/// `opam exec -- make`: a subcommand said that what follows is run.
fn runs_rest(before: Option<&[Arg]>) -> bool {
    before.into_iter().flatten().any(|arg| matches!(arg.text.as_str(), "exec" | "dlx" | "x"))
}
