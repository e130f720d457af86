//! What the small languages of filters write and run: `sed 'w file'`, `awk '{ print | "cmd" }'`.

use super::{Arg, Flow, Walk};
use crate::read::path::Use;
use crate::rules::Signal;

impl Walk<'_, '_> {
    /// Adds what the program handed to a filter writes, reads and runs, beside what is filtered.
    pub(super) fn filter(&mut self, name: &str, args: &[Arg], operands: &[&Arg]) {
        let (options, awk): (&[&str], bool) = match name {
            "awk" | "gawk" | "mawk" | "nawk" => (&["-e", "--source"], true),
            "sed" | "gsed" => (&["-e", "--expression", "-ne", "-E", "-r"], false),
            _ => return,
        };
        let given = |option: &&str| {
            let after = args.iter().zip(args.iter().skip(1)).filter(move |(arg, _)| arg.text == **option);
            let attached =
                args.iter().filter_map(move |arg| arg.text.strip_prefix(*option)?.strip_prefix('='));
            after.map(|(_, value)| value.text.clone()).chain(attached.map(str::to_owned)).collect::<Vec<_>>()
        };
        let first = operands.first().filter(|arg| arg.known && !arg.pipe).map(|arg| arg.text.clone());
        for program in options.iter().flat_map(given).chain(first) {
            if awk { self.awk(&program) } else { self.sed(&program) }
        }
    }

    /// Files and commands in a program of `awk`.
    fn awk(&mut self, program: &str) {
        let mut rest = program;
        let mut before = String::new();
        while let Some(start) = rest.find('"') {
            let (between, quoted) = rest.split_at(start);
            before.push_str(between);
            let Some((text, after)) = quoted_text(quoted) else { break };
            let (told, follows) = (before.trim_end(), after.trim_start());
            let statement = told.rsplit(['{', ';', '\n', '}']).next().unwrap_or_default();
            let prints = statement.contains("print");
            if told.ends_with('|') || (follows.starts_with('|') && follows.contains("getline")) {
                self.signal(Signal::ShellWritesFile);
                self.text(&text, Flow { file: true, ..Flow::default() });
            } else if prints && told.ends_with('>') {
                self.writes(&Arg::word(&text));
            } else if told.ends_with('<') && statement.contains("getline") {
                self.touch(&text, Use::Read);
            }
            before.push_str("\"\"");
            rest = after;
        }
        before.push_str(rest);
        // The name of the file or the command is made up by the program.
        for statement in before.split(['{', ';', '\n', '}']) {
            let printed = statement.split_once("print").map(|(_, printed)| printed.replace("||", "  "));
            let Some(printed) = printed else { continue };
            let to = |mark: char| {
                let (told, to) = printed.split_once(mark)?;
                let open = told.matches('(').count() > told.matches(')').count();
                (!open && !to.trim_start_matches([mark, ' ']).starts_with('"')).then_some(())
            };
            if to('|').is_some() {
                self.signal(Signal::ShellDynamicCommand);
            } else if to('>').is_some() {
                self.signal(Signal::ShellWritesFile);
            }
        }
    }

    /// Files and commands in a script of `sed`.
    fn sed(&mut self, script: &str) {
        for line in script.lines() {
            let mut rest = line.trim_start_matches([' ', '\t', ';', '{']);
            for _ in 0..STEPS {
                let Some((command, after)) = sed_command(rest) else { break };
                match command {
                    'w' | 'W' => self.writes(&Arg::word(after.trim())),
                    'r' | 'R' => {
                        self.touch(after.trim(), Use::Read);
                    }
                    'e' if after.trim().is_empty() => self.signal(Signal::ShellDynamicCommand),
                    'e' => {
                        self.text(after.trim(), Flow::default());
                    }
                    's' | 'y' => {
                        let Some((changed, flags)) = substitution(after) else { break };
                        let own = flags.find([';', '}']).unwrap_or(flags.len());
                        if command == 's'
                            && flags.get(..own).is_some_and(|flags| flags.contains('e'))
                            && !flags.contains('w')
                        {
                            // What is run is what the text becomes.
                            self.signal(Signal::ShellDynamicCommand);
                            self.attempt(|walk| {
                                walk.text(&changed, Flow::default());
                            });
                        }
                        if let Some((_, file)) = flags.split_once('w').filter(|_| command == 's') {
                            self.writes(&Arg::word(file.trim()));
                            break;
                        }
                        rest = flags.get(own..).unwrap_or_default().trim_start_matches([';', '}', ' ']);
                        continue;
                    }
                    _ => {
                        let Some((_, next)) = after.split_once([';', '}']) else { break };
                        rest = next.trim_start();
                        continue;
                    }
                }
                break;
            }
        }
    }
}

/// Commands read on one line of a script.
const STEPS: usize = 64;

/// The command after an address, and what follows it.
fn sed_command(text: &str) -> Option<(char, &str)> {
    let mut rest = text.trim_start();
    loop {
        let letter = rest.chars().next()?;
        let after = rest.get(letter.len_utf8()..)?;
        rest = match letter {
            '0'..='9' | ',' | '$' | ' ' | '!' | '~' | '+' | '{' => after,
            '/' => past(after, '/')?.trim_start_matches(['I', 'M']),
            '\\' => {
                let mark = after.chars().next()?;
                past(after.get(mark.len_utf8()..)?, mark)?
            }
            letter => return Some((letter, after)),
        };
    }
}

/// What follows the next mark that is not escaped.
fn past(text: &str, mark: char) -> Option<&str> {
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        if letter == '\\' {
            letters.next();
        } else if letter == mark {
            return text.get(at + letter.len_utf8()..);
        }
    }
    None
}

/// What a substitution puts in place, and its flags.
fn substitution(text: &str) -> Option<(String, &str)> {
    let mark = text.chars().next()?;
    let replacement = past(text.get(mark.len_utf8()..)?, mark)?;
    let flags = past(replacement, mark)?;
    let length = replacement.len().checked_sub(flags.len() + mark.len_utf8())?;
    Some((replacement.get(..length)?.replace(&format!("\\{mark}"), &mark.to_string()), flags))
}

/// The text between double quotes, and what follows it.
fn quoted_text(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let after = past(inner, '"')?;
    let length = inner.len().checked_sub(after.len() + 1)?;
    Some((inner.get(..length)?.replace("\\\"", "\"").replace("\\\\", "\\"), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_of_a_script_is_found_behind_its_address() {
        for (script, command, after) in [
            ("w /etc/x", 'w', " /etc/x"),
            ("1,$ w x", 'w', " x"),
            ("/a\\/b/I!e ls", 'e', " ls"),
            ("\\,a,d", 'd', ""),
            ("s/a/b/", 's', "/a/b/"),
        ] {
            assert_eq!(sed_command(script), Some((command, after)), "{script}");
        }
        assert_eq!(substitution("/x/rm -rf \\/srv/e"), Some(("rm -rf /srv".to_owned(), "e")));
        assert_eq!(substitution("/x"), None);
    }
}
