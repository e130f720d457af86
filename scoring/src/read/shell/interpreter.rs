//! Programs that run the code they are given: which text that is, and in which language.

use super::command::merged;
use super::{Arg, Flow, Walk};
use crate::read::path::Use;
use crate::rules::pack::Language;
use crate::rules::{Signal, Spec, option_in};

impl<'r> Walk<'_, 'r> {
    /// A program that runs the text it is given; `None` when it was given none.
    pub(super) fn interpreter(
        &mut self,
        specs: &[&'r Spec],
        language: Language,
        args: &[Arg],
        operands: &[&Arg],
        input: &Flow,
    ) -> Option<Flow> {
        let options: Vec<String> = specs.iter().flat_map(|spec| spec.code.iter().cloned()).collect();
        self.loads(specs, language, args);
        if let Some(at) = args.iter().position(|arg| arg.text.eq_ignore_ascii_case("/c")) {
            // cmd takes every word left for its text.
            let words = args.get(at + 1..).unwrap_or_default();
            let text = words.iter().map(|arg| arg.text.as_str()).collect::<Vec<_>>().join(" ");
            // Its escape does nothing to a letter.
            let text = text.replace('^', "");
            return Some(self.code_text(&Arg { flow: merged(words), ..Arg::word(&text) }, language, input));
        }
        if let Some(text) = option_value(&options, args) {
            let output = self.code_text(&text, language, input);
            self.handed(&text.text, language, args);
            return Some(output);
        }
        if language == Language::Sql {
            let text = input.literal.clone().or_else(|| {
                operands.iter().map(|arg| arg.text.clone()).find(|text| crate::read::sql::is_statement(text))
            })?;
            return Some(self.interpret(&text, language, Flow::default()));
        }
        // `awk 'program' file`, `sed script file`: the first word is the code.
        if options.iter().any(String::is_empty)
            && let Some(program) = operands.first()
        {
            let output = self.code_text(&Arg::clone(program), language, input);
            self.handed(&program.text, language, args);
            return Some(output);
        }
        let reads_stdin = operands.is_empty()
            || operands.iter().any(|arg| matches!(arg.text.as_str(), "-" | "/dev/stdin" | "/dev/fd/0"))
            || args.iter().any(|arg| arg.text == "-s");
        if let Some(script) = operands.first().filter(|_| !reads_stdin) {
            if let Some(text) = self.contents(&script.text) {
                self.positional(&[]);
                return Some(self.interpret(&text, language, Flow::default()));
            } else if script.flow.network || self.is_fetched(&script.text) {
                self.signal(Signal::ShellRemoteCode);
            } else if script.pipe
                && let Some(text) = script.flow.literal.clone()
            {
                return Some(self.interpret(&text, language, Flow::default()));
            } else if script.flow.decoded {
                self.signal(Signal::ShellDecodedCode);
            } else if !args.iter().any(|arg| arg.text == "-m") {
                self.signal(Signal::ShellScriptUnread);
                self.known_script(args, &script.text);
                self.touch(&script.text, Use::Read);
            } else if self.rules.programs.knows(&script.text) {
                // `python -m pytest -k delete` is pytest.
                self.known_script(args, &script.text);
            } else {
                return None;
            }
            return Some(Flow::default());
        }
        if let Some(text) = &input.literal {
            return Some(self.interpret(text, language, Flow::default()));
        }
        if input.network {
            self.signal(Signal::ShellRemoteCode);
        } else if input.decoded || (input.printed && (language == Language::Shell || args.is_empty())) {
            self.signal(Signal::ShellDecodedCode);
        } else if input.file {
            self.signal(if self.privileged { Signal::ShellPrivileged } else { Signal::ShellScriptUnread });
            return Some(Flow { shell: language == Language::Shell, ..Flow::default() });
        } else {
            if self.privileged && language == Language::Shell && operands.is_empty() {
                self.signal(Signal::ShellPrivileged);
            }
            return None;
        }
        Some(Flow::default())
    }

    /// `python manage.py flush`: a script that a pack knows as a program.
    fn known_script(&mut self, args: &[Arg], script: &str) {
        let name = script.rsplit('/').next().unwrap_or_default();
        let rest = args.iter().position(|arg| arg.text == script).and_then(|at| args.get(at + 1..));
        if let Some(rest) = rest.filter(|_| !self.rules.programs.of(name).is_empty()) {
            self.program(name, name, rest, Flow::default());
        }
    }

    /// Files an interpreter reads before anything else (`--rcfile`).
    fn loads(&mut self, specs: &[&'r Spec], language: Language, args: &[Arg]) {
        let options: Vec<String> = specs.iter().flat_map(|spec| spec.loads.iter().cloned()).collect();
        let Some(file) = option_value(&options, args) else { return };
        let literal = if file.pipe { file.flow.literal.clone() } else { self.contents(&file.text) };
        match literal {
            Some(text) => {
                self.interpret(&text, language, Flow::default());
            }
            None if file.flow.network => self.signal(Signal::ShellRemoteCode),
            None => self.signal(Signal::ShellScriptUnread),
        }
    }

    /// Words given to code that runs what it is given: `awk -v c='…' 'BEGIN { system(c) }'`.
    fn handed(&mut self, code: &str, language: Language, args: &[Arg]) {
        if language != Language::Code || !crate::read::code::runs_others(code) {
            return;
        }
        for arg in args.iter().filter(|arg| arg.text != code) {
            let text = arg.text.split_once('=').map_or(arg.text.as_str(), |(_, value)| value);
            if super::opens_like_command(text, self.rules) {
                self.attempt(|walk| {
                    walk.text(text, Flow::default());
                });
            }
        }
    }
}

/// The value of the first of `options` given: `-c text`, `-ctext`, `-lc text`, `--command=text`.
pub(super) fn option_value(options: &[String], args: &[Arg]) -> Option<Arg> {
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        for option in options.iter().filter(|option| !option.is_empty()) {
            if arg.text == *option
                || (arg.text.len() > 2
                    && arg.text.ends_with(option.trim_start_matches('-'))
                    && option_in(option, &arg.text))
            {
                return rest.find(|arg| arg.text != "--").cloned();
            }
            let long = option.starts_with("--");
            let attached = arg
                .text
                .strip_prefix(option.as_str())
                .and_then(|rest| if long { rest.strip_prefix('=') } else { Some(rest) });
            if let Some(text) = attached.filter(|text| !text.is_empty() && (long || text.contains(' '))) {
                return Some(Arg { text: text.to_owned(), ..arg.clone() });
            }
        }
    }
    None
}

/// `-c`, `-lc`, `-Command`: the next word is code.
pub(super) fn is_code_option(text: &str) -> bool {
    matches!(text, "--command" | "-Command" | "/c" | "/C")
        || text.strip_prefix('-').is_some_and(|letters| {
            letters.len() <= 4
                && letters.ends_with('c')
                && letters.bytes().all(|byte| byte.is_ascii_alphabetic())
        })
}
