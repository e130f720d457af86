//! Options that name a file or hold a command.

use super::{Arg, Flow, Walk};
use crate::read::path::Use;
use crate::rules::Signal;
use crate::rules::options::Holds;
use crate::rules::pack::Language;

impl Walk<'_, '_> {
    /// Adds what the values of a program's options say.
    pub(super) fn options(&mut self, name: &str, args: &[Arg]) {
        let rules = self.rules;
        for known in rules.programs.options.get(name).into_iter().flatten() {
            let (rule, option) = known.as_ref();
            for (arg, start) in option.values(args, |arg| arg.text.as_str()) {
                let text = arg.text.get(start..).unwrap_or_default().to_owned();
                let value = Arg { text, ..arg.clone() };
                self.findings.add(rule, self.at.clone());
                match (option.holds, value.text.strip_prefix(['|', '!'])) {
                    (Holds::Output, Some(command)) => {
                        self.text(command, Flow::default());
                    }
                    (Holds::Output, None) => self.writes(&value),
                    (Holds::Command, _) => {
                        let text = value.text.trim_start_matches(['|', '!']).to_owned();
                        self.code_text(&Arg { text, ..value }, Language::Shell, &Flow::default());
                    }
                    (Holds::Script, _) if value.text == "-" => {}
                    (Holds::Script, _) => {
                        self.touch(&value.text, Use::Read);
                        if value.flow.network || self.is_fetched(&value.text) {
                            self.signal(Signal::ShellRemoteCode);
                        }
                    }
                }
            }
        }
    }

    /// Output that goes to a file of that name.
    pub(super) fn writes(&mut self, file: &Arg) {
        let nowhere = matches!(file.text.as_str(), "-" | "" | "/dev/null" | "/dev/tty")
            || file.text.starts_with("/dev/std");
        if !nowhere || !file.known {
            self.signal(Signal::ShellWritesFile);
            self.touch(&file.text, Use::Write);
        }
    }
}
