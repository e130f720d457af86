//! Files this text wrote, linked or copied: what they hold when they are run or sent.

use super::syntax::{Piece, Redirect, Word};
use super::{Arg, Flow, Walk};
use crate::read::path::{self, Nature, Use};
use crate::rules::Signal;

impl Walk<'_, '_> {
    /// What a command wrote goes where its redirections point.
    pub(super) fn pour(&mut self, redirects: &[Redirect], files: &[String], output: &Flow) {
        for redirect in redirects {
            if let Redirect::Write(Word(pieces)) = redirect
                && let [Piece::Sink(script)] = pieces.as_slice()
            {
                self.script(script, output, false);
            }
        }
        for file in files {
            self.remember(file, output);
        }
    }

    /// Keeps what a file now holds, for when it is run.
    pub(super) fn remember(&mut self, path: &str, flow: &Flow) {
        if flow.decoded {
            // Run later, it is as unread as it was when it was decoded.
            self.fetched.extend(path.rsplit('/').next().map(str::to_owned));
        }
        let path = self.place(path);
        let held = self.written.entry(path).or_insert_with(|| Some(String::new()));
        *held = held.take().zip(flow.literal.as_ref()).map(|(mut held, text)| {
            held.push_str(text);
            held
        });
    }

    /// What this text wrote to the file, when that is known.
    pub(super) fn contents(&self, path: &str) -> Option<String> {
        if self.written.is_empty() {
            return None;
        }
        self.written.get(&self.place(path))?.clone()
    }

    /// The input that comes of the redirections, and the files they write.
    pub(super) fn redirects(&mut self, redirects: &[Redirect], mut input: Flow) -> (Flow, Vec<String>) {
        let mut files = Vec::new();
        for redirect in redirects {
            match redirect {
                Redirect::Here(number, word) => {
                    let args = self.whole(word);
                    let mut given = args.flow;
                    given.literal = args.known.then_some(args.text);
                    if *number > 2 {
                        self.written.insert(format!("/dev/fd/{number}"), given.literal);
                    } else {
                        input = given;
                    }
                }
                Redirect::From(number) => {
                    if let Some(held) = self.written.get(&format!("/dev/fd/{number}")) {
                        input.literal.clone_from(held);
                        input.file = true;
                    }
                }
                Redirect::Read(word) => {
                    for arg in self.expand(word) {
                        input.taint(&arg.flow);
                        if arg.pipe {
                            input.literal = arg.flow.literal;
                        } else {
                            let nature = self.touch(&arg.text, Use::Read);
                            input.literal = self.contents(&arg.text);
                            input.file |= arg.text != "/dev/null";
                            input.secret |= nature.secret;
                        }
                    }
                }
                Redirect::Write(Word(pieces)) if matches!(pieces.as_slice(), [Piece::Sink(_)]) => {}
                Redirect::Write(word) => {
                    for arg in self.expand(word) {
                        if !arg.pipe
                            && arg.text != "/dev/null"
                            && !arg.text.starts_with("/dev/std")
                            && !arg.text.starts_with("/dev/tty")
                        {
                            if input.network {
                                self.fetched.extend(arg.text.rsplit('/').next().map(str::to_owned));
                            }
                            self.signal(Signal::ShellWritesFile);
                            files.extend(arg.known.then(|| arg.text.clone()));
                            self.touch(&arg.text, Use::Write);
                        }
                    }
                }
            }
        }
        (input, files)
    }

    /// Where a path leads from the directory this text went to.
    pub(super) fn place(&self, text: &str) -> String {
        path::normalise(&self.located(text).unwrap_or_else(|| text.to_owned()), self.context)
    }

    fn located(&self, text: &str) -> Option<String> {
        let here = self.here.as_deref()?;
        (!text.starts_with(['/', '~', '$'])).then(|| format!("{here}/{text}"))
    }

    /// Adds what a path says. After a change of directory that may have failed it counts from both.
    pub(super) fn touch(&mut self, text: &str, used: Use) -> Nature {
        let located = self.located(text);
        if let Some(located) = located.as_deref().filter(|_| self.arrived) {
            return path::read(located, used, &self.at, self.context, self.rules, self.findings);
        }
        let nature = path::read(text, used, &self.at, self.context, self.rules, self.findings);
        let Some(located) = located else { return nature };
        let there = path::read(&located, used, &self.at, self.context, self.rules, self.findings);
        Nature { scratch: nature.scratch && there.scratch, secret: nature.secret || there.secret }
    }

    /// What a path is, from wherever it may count.
    pub(super) fn nature(&self, text: &str) -> Nature {
        let located = self.located(text);
        if let Some(located) = located.as_deref().filter(|_| self.arrived) {
            return path::nature(located, self.context, self.rules);
        }
        let nature = path::nature(text, self.context, self.rules);
        let Some(located) = located else { return nature };
        let there = path::nature(&located, self.context, self.rules);
        Nature { scratch: nature.scratch && there.scratch, secret: nature.secret || there.secret }
    }

    /// The program this text gave another name.
    pub(super) fn renamed(&self, path: &str) -> Option<String> {
        if self.named.is_empty() {
            return None;
        }
        self.named.get(&self.place(path)).cloned()
    }

    /// `cp`, `mv` and `ln`: what the first file holds, or the program it is, the second now is too.
    pub(super) fn copied(&mut self, operands: &[&Arg]) {
        let [from, to] = operands else { return };
        if !from.known || !to.known {
            return;
        }
        let target = self.place(&to.text);
        if let Some(held) = self.written.get(&self.place(&from.text)).cloned() {
            self.written.insert(target.clone(), held);
        }
        let name = from.text.rsplit('/').next().unwrap_or_default();
        if (from.text.contains("bin/") || name == "herma") && self.rules.programs.knows(name) {
            self.named.insert(target, name.to_owned());
        }
    }

    /// Recipes of a makefile this text wrote.
    pub(super) fn makes(&mut self) {
        for name in ["Makefile", "makefile", "GNUmakefile"] {
            let Some(held) = self.contents(name) else { continue };
            for recipe in held.lines().filter_map(|line| line.strip_prefix('\t')) {
                self.text(recipe.trim_start_matches(['@', '-', '+']), Flow::default());
            }
        }
    }

    /// Every file this text put into a directory whose files are run.
    pub(super) fn parts(&mut self, operands: &[&Arg]) {
        for directory in operands {
            let within = format!("{}/", self.place(&directory.text));
            let held: Vec<String> = self
                .written
                .iter()
                .filter(|(path, _)| path.starts_with(&within))
                .filter_map(|(_, held)| held.clone())
                .collect();
            for text in held {
                self.text(&text, Flow::default());
            }
        }
    }
}
