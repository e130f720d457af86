//! Programs that run what stands in their own words: sudo, xargs, find, ssh and their like.

use super::command::merged;
use super::interpreter::{is_code_option, option_value};
use super::{Arg, Flow, Walk};
use crate::rules::pack::{Language, Wrapper};
use crate::rules::{Rule, Signal};

impl<'r> Walk<'_, 'r> {
    /// Runs what the wrapper runs; `None` when these words wrap nothing.
    pub(super) fn wrapped(
        &mut self,
        rule: &'r Rule,
        wrapper: &Wrapper,
        name: &str,
        args: &[Arg],
        input: &Flow,
    ) -> Option<Flow> {
        if !wrapper.escape.is_empty() {
            return self.escapes(rule, wrapper, args, input);
        }
        let mut rest = args;
        if !wrapper.sub.is_empty() {
            let mut index = 0;
            while let Some(arg) = args.get(index) {
                if wrapper.sub.contains(&arg.text) {
                    break;
                }
                if !arg.text.starts_with('-') {
                    return None;
                }
                index += if wrapper.values.contains(&arg.text) { 2 } else { 1 };
            }
            rest = args.get(index + 1..)?;
        }
        if rest.first().is_some_and(|arg| wrapper.without.contains(&arg.text)) {
            return None;
        }
        if !wrapper.script.is_empty() {
            let script = option_value(&wrapper.script, rest)?;
            self.findings.add(rule, self.at.clone());
            // `git rebase -x make` is still a rebase.
            let words: Vec<&str> = args.iter().map(|arg| arg.text.as_str()).collect();
            self.subs(&self.rules.programs.of(name), &words, &words, &[]);
            return Some(self.code_text(&script, Language::Shell, input));
        }
        if !wrapper.after.is_empty() {
            return self.wrapped_after(rule, wrapper, rest, input);
        }
        let mut skip = wrapper.skip;
        while let Some((arg, after)) = rest.split_first() {
            if arg.text == "--" {
                rest = after;
                if skip == 0 {
                    break;
                }
            } else if arg.text.starts_with('-') && arg.text.len() > 1 {
                let takes = wrapper.values.contains(&arg.text);
                rest = if takes { after.get(1..).unwrap_or_default() } else { after };
            } else if let Some((name, value)) =
                arg.text.split_once('=').filter(|(name, _)| wrapper.skip == 0 && is_name(name))
            {
                let value = arg.known.then(|| value.to_owned());
                self.assigned(name, value.as_ref());
                if rule.id == "shell.wrapper.alias" {
                    self.text(value.as_deref().unwrap_or_default(), Flow::default());
                    self.named.insert(self.place(name), value.clone().unwrap_or_default());
                }
                self.variables.insert(name.to_owned(), value);
                rest = after;
            } else if skip > 0 {
                skip -= 1;
                rest = after;
            } else {
                break;
            }
        }
        if rest.is_empty() && rule.id == "shell.wrapper.remote" && input.literal.is_some() {
            // What a login shell reads from its input.
            self.findings.add(rule, self.at.clone());
            return Some(self.text(input.literal.as_deref().unwrap_or_default(), Flow::default()));
        }
        let feeds = matches!(rule.id.as_str(), "shell.wrapper.xargs" | "shell.wrapper.parallel");
        if rest.is_empty() && !(feeds && input.literal.is_some()) {
            return None;
        }
        self.findings.add(rule, self.at.clone());
        let count = if rule.id == "shell.wrapper.terminal" { args.len() } else { args.len() - rest.len() };
        let own: Vec<&str> = args.iter().take(count).map(|arg| arg.text.as_str()).collect();
        self.subs(&self.rules.programs.of(name), &[], &own, &[]);
        if wrapper.joined {
            let own = rest.iter().rev().take_while(|arg| wrapper.trailing.contains(&arg.text)).count();
            let words = rest;
            let rest = rest.get(..rest.len() - own).unwrap_or_default();
            // `tmux new sh -c 'text'` takes words, `tmux send-keys` text: each may be meant.
            self.carried(words, false);
            if words.len() > 1 {
                self.attempt(|walk| {
                    walk.run(words, Flow::default());
                });
            }
            let text = Arg {
                text: rest.iter().map(|arg| arg.text.as_str()).collect::<Vec<_>>().join(" "),
                known: rest.iter().all(|arg| arg.known),
                flow: merged(rest),
                pipe: false,
            };
            if rule.id == "shell.wrapper.remote" && (input.file || input.secret) {
                self.signal(if input.secret {
                    Signal::ShellSecretToNetwork
                } else {
                    Signal::ShellFileToNetwork
                });
            }
            return Some(self.code_text(&text, Language::Shell, input));
        }
        let mut inner = rest.to_vec();
        if feeds {
            let ends = own.iter().any(|word| matches!(*word, "-0" | "--null") || word.starts_with("-0"));
            self.fed(&mut inner, &token(&own), ends, input);
        }
        Some(self.run_or_read(&inner, input.clone()))
    }

    /// `vim -c ':!cmd'`, `gdb -ex 'shell cmd'`, `psql -c '\\! cmd'`: text behind the program's own mark for a
    /// shell, in its words or its input.
    fn escapes(&mut self, rule: &'r Rule, wrapper: &Wrapper, args: &[Arg], input: &Flow) -> Option<Flow> {
        let texts = args.iter().map(|arg| arg.text.as_str());
        let lines = texts.chain(input.literal.as_deref()).flat_map(str::lines);
        let marked: Vec<String> = lines
            .filter_map(|line| {
                let line = line.trim_start();
                let rest = wrapper.escape.iter().find_map(|mark| line.strip_prefix(mark.as_str()))?;
                Some(rest.trim_start().to_owned())
            })
            .filter(|text| !text.is_empty())
            .collect();
        for text in marked {
            self.attempt(|walk| {
                walk.findings.add(rule, walk.at.clone());
                walk.text(&text, Flow::default());
            });
        }
        if let Some(code) = option_value(&wrapper.code, args) {
            self.attempt(|walk| {
                walk.findings.add(rule, walk.at.clone());
                walk.interpret(&code.text, Language::Code, Flow::default());
            });
        }
        None
    }

    /// `find … -exec cmd {} +`, `parallel ::: a b`, `kubectl exec pod -- cmd`.
    pub(super) fn wrapped_after(
        &mut self,
        rule: &'r Rule,
        wrapper: &Wrapper,
        rest: &[Arg],
        input: &Flow,
    ) -> Option<Flow> {
        let mut output = None;
        let mut from = rest;
        let mut outside: Vec<Arg> = Vec::new();
        let start = rest
            .iter()
            .take_while(|arg| !arg.text.starts_with('-'))
            .map(|arg| arg.text.clone())
            .next()
            .unwrap_or_else(|| ".".to_owned());
        while let Some(index) = from.iter().position(|arg| wrapper.after.contains(&arg.text)) {
            outside.extend(from.iter().take(index + 1).cloned());
            let inner = from.get(index + 1..)?;
            let end = inner
                .iter()
                .position(|arg| arg.text == ";" || (arg.text == "+" && rule.id.ends_with("find")));
            let (inner, later) = inner.split_at(end.unwrap_or(inner.len()));
            let inner = inner.get(wrapper.skip..).unwrap_or_default();
            self.findings.add(rule, self.at.clone());
            let every = format!("{}/*", start.trim_end_matches('/'));
            let inner: Vec<Arg> = inner
                .iter()
                .map(|arg| {
                    if arg.text.contains("{}") {
                        Arg { text: arg.text.replace("{}", &every), ..arg.clone() }
                    } else {
                        arg.clone()
                    }
                })
                .collect();
            let walking = std::mem::replace(&mut self.walking, rule.id.ends_with("find"));
            let flow = self.run_or_read(&inner, input.clone());
            self.walking = walking;
            output.get_or_insert_with(Flow::default).taint(&flow);
            from = later.get(1..).unwrap_or_default();
        }
        if output.is_some() && rule.id.ends_with("find") {
            // The walk itself may also delete.
            outside.extend(from.iter().cloned());
            self.program("find", "find", &outside, Flow::default());
        }
        output
    }

    /// Arguments that come through the pipe: known when the words are, else anything.
    pub(super) fn fed(&mut self, inner: &mut Vec<Arg>, token: &str, ends: bool, input: &Flow) {
        let whole = |index: usize, inner: &[Arg]| {
            index
                .checked_sub(1)
                .and_then(|before| inner.get(before))
                .is_some_and(|arg| is_code_option(&arg.text))
        };
        let listed = inner.iter().position(|arg| arg.text.starts_with(":::"));
        let fed: Vec<Arg> = match (listed, &input.literal) {
            (Some(index), _) => inner.split_off(index).into_iter().skip(1).collect(),
            // A shell takes its whole text as one word; `parallel` alone takes a command a line.
            (None, Some(text)) if whole(inner.len(), inner) => {
                vec![Arg::word(text.trim_matches('\0'))]
            }
            (None, Some(text)) if ends => {
                text.split('\0').filter(|part| !part.is_empty()).map(Arg::word).collect()
            }
            (None, Some(text)) if inner.is_empty() => text.lines().map(Arg::word).collect(),
            (None, Some(words)) => words.split_whitespace().map(Arg::word).collect(),
            (None, None) => vec![Arg { text: "*".to_owned(), known: true, flow: input.clone(), pipe: false }],
        };
        let code = (0..inner.len())
            .find(|index| inner.get(*index).is_some_and(|arg| arg.text == token) && whole(*index, inner));
        if input.literal.is_none() && input.printed && (code.is_some() || whole(inner.len(), inner)) {
            self.signal(Signal::ShellDecodedCode);
        }
        if let [command] = inner.as_slice()
            && command.text.contains(' ')
        {
            // `parallel 'text' ::: words`: the words follow the text.
            let command = command.clone();
            self.code_text(&command, Language::Shell, &Flow::default());
        }
        if inner.is_empty() {
            for command in fed {
                self.code_text(&command, Language::Shell, &Flow::default());
            }
            return;
        }
        let joined = fed.iter().map(|arg| arg.text.as_str()).collect::<Vec<_>>().join(" ");
        let mut placed = false;
        for arg in inner.iter_mut() {
            if arg.text.contains(token) {
                arg.text = arg.text.replace(token, &joined);
                placed = true;
            }
        }
        if !placed {
            inner.extend(fed);
        }
    }

    /// Runs the words, or reads them as shell when they are one text.
    pub(super) fn run_or_read(&mut self, args: &[Arg], input: Flow) -> Flow {
        match args {
            [only] if only.text.contains(' ') => self.code_text(&only.clone(), Language::Shell, &input),
            _ => self.run(args, input),
        }
    }

    /// Text that is run as code: read when it is known, judged by where it comes from when it is not.
    pub(super) fn code_text(&mut self, text: &Arg, language: Language, input: &Flow) -> Flow {
        if text.flow.network {
            self.signal(Signal::ShellRemoteCode);
        } else if text.flow.decoded {
            self.signal(Signal::ShellDecodedCode);
        }
        if !text.known {
            self.doubt(Signal::ShellDynamicWord, self.rules.model.confidence.dynamic_words);
            if text.text.trim().is_empty() {
                self.signal(Signal::ShellDynamicCommand);
                return Flow::default();
            }
        }
        self.interpret(&text.text, language, input.clone())
    }
}

/// What `xargs -I` replaces.
fn token(own: &[&str]) -> String {
    let mut words = own.iter();
    while let Some(word) = words.next() {
        match word.strip_prefix("-I").or_else(|| word.strip_prefix("--replace=")) {
            Some("") => return words.next().copied().unwrap_or("{}").to_owned(),
            Some(attached) => return attached.to_owned(),
            None => {}
        }
    }
    "{}".to_owned()
}

fn is_name(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_')
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}
