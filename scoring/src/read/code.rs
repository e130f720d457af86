//! Program text in any language, judged by the sinks it calls, and the shell text inside it.

use std::borrow::Cow;

use crate::Context;
use crate::read::python::{self, Understood};
use crate::read::shell;
use crate::rules::pack::Scope;
use crate::rules::{Rules, Signal};
use crate::weigh::{Findings, Place};

/// Calls whose first text argument is a command.
const SHELLS: [&str; 14] = [
    "system(",
    "popen(",
    "exec(",
    "execsync(",
    "spawn(",
    "spawnsync(",
    "run(",
    "call(",
    "check_call(",
    "check_output(",
    "terminal(",
    "getoutput(",
    "shell_exec(",
    "passthru(",
];

/// Words of which one is in every program that runs another.
const RUNNERS: [&str; 27] = [
    "os:cmd",
    "system.cmd",
    "deno.command",
    "deno.run",
    "processbuilder",
    "run-program",
    "command::new",
    "rawsystem",
    "os.cmd",
    "callcommand",
    "qx",
    "%x",
    "system",
    "popen",
    "subprocess",
    "child_process",
    "exec",
    "spawn",
    "shell",
    "pty",
    "getoutput",
    "passthru",
    "getline",
    "syscmd",
    "| \"",
    "|\"",
    "print |",
];
/// Bytes of a program searched for what it calls; one that is longer waits for a person anyway.
const SEARCHED: usize = 1 << 20;
/// Texts of a program tried as commands.
const TRIED: usize = 64;

/// Adds what the code's sinks do; code with none runs, effect unknown. A cell is the text of a tool that runs code:
/// what looks like Python and cannot be read waits for a person, where elsewhere it is taken for another language.
pub(crate) fn read<'r>(
    text: &str,
    cell: bool,
    at: &Place,
    context: &Context<'_>,
    rules: &'r Rules,
    findings: &mut Findings<'r>,
) {
    let before = findings.class();
    let other = !python::could_be(text);
    match python::read(text, cell, at, context, rules, findings) {
        Understood::All if !other => return,
        Understood::TooDeep => {
            findings.add(rules.signal(Signal::CodeUnread), at.clone());
            if text.len() > SEARCHED {
                return;
            }
        }
        Understood::Nothing if cell && !other => findings.add(rules.signal(Signal::CodeUnread), at.clone()),
        Understood::All | Understood::Nothing | Understood::Partly => {}
    }
    let shown = without_shown(text);
    for (rule, span) in
        rules.patterns.get(&Scope::Code).into_iter().flat_map(|patterns| patterns.find(&shown))
    {
        findings.add(rule, at.span(span));
    }
    let lower = shown.to_ascii_lowercase();
    for command in commands(&shown, &lower) {
        shell::read(&command, &at.fix(), context, rules, findings);
    }
    if runs_others(&shown) {
        // Which text reaches the runner is known only when it runs: through a variable, a list, a decoder.
        for candidate in candidates(&shown).iter().filter(|text| shell::opens_like_command(text, rules)) {
            shell::attempt(candidate, &at.fix(), context, rules, findings);
        }
    }
    if findings.class() == before {
        findings.add(rules.signal(Signal::CodeOpaque), at.clone());
    }
}

/// Whether the code may run another program.
pub(crate) fn runs_others(text: &str) -> bool {
    let spoken = without_literals(text).to_ascii_lowercase();
    RUNNERS.iter().any(|runner| spoken.contains(runner))
}

/// The text with what stands between quotes left out.
fn without_literals(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(['"', '\'']) {
        let (between, quoted) = rest.split_at(start);
        bare.push_str(between);
        let Some((_, after)) = literal(quoted) else {
            // No pair of quotes: an apostrophe, or a language that writes them otherwise.
            rest = quoted;
            break;
        };
        bare.push_str("\"\"");
        rest = after;
    }
    bare.push_str(rest);
    bare
}

/// The text with what is only printed blanked, byte for byte.
fn without_shown(text: &str) -> Cow<'_, str> {
    const SHOWS: [&str; 4] = ["print(", "console.log(", "puts ", "logging.info("];
    let mut shown = Cow::Borrowed(text);
    for show in SHOWS {
        for (start, _) in text.match_indices(show) {
            let from = start + show.len();
            let rest = text.get(from..).unwrap_or_default();
            let Some(quote) = rest.chars().next().filter(|quote| matches!(quote, '"' | '\'')) else {
                continue;
            };
            // A format may call what it shows; a plain text cannot.
            let Some(end) = rest.get(1..).and_then(|inner| inner.find(quote)) else { continue };
            let blank = " ".repeat(end + 2);
            if let Some(range) = shown.to_mut().get_mut(from..from + end + 2).map(|_| from..from + end + 2) {
                shown.to_mut().replace_range(range, &blank);
            }
        }
    }
    shown
}

/// Every text in the program, the words of every list joined, and what is decoded of either.
fn candidates(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut list: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(['"', '\'', '`']) {
        let (between, quoted) = rest.split_at(start);
        if between.contains([';', '\n', '='])
            || !between.trim_matches([' ', ',', '[', ']', '(', ')']).is_empty()
        {
            found.extend((list.len() > 1).then(|| list.join(" ")));
            list.clear();
        }
        let Some((literal, after)) = literal(quoted) else { break };
        list.push(literal.clone());
        found.push(literal);
        rest = after;
        if found.len() >= TRIED {
            break;
        }
    }
    found.extend((list.len() > 1).then(|| list.join(" ")));
    found.extend(bracketed(text));
    let decoded: Vec<String> = found.iter().filter_map(|text| decoded(text)).collect();
    found.extend(decoded);
    found.retain(|text| text.len() > 2);
    found
}

/// Texts between brackets that quote in Perl, Ruby and Tcl, and commands that end with their line: `qx{…}`,
/// `%w[…]`, `spawn … ;`.
fn bracketed(text: &str) -> Vec<String> {
    const MARKS: [&str; 14] =
        ["q(", "q{", "q[", "q/", "qx(", "qx{", "%q(", "%w[", "%w(", "%x(", "%x{", "qq(", "qq{", "{"];
    const VERBS: [&str; 4] = ["spawn ", "exec ", "system ", "send "];
    let mut found = Vec::new();
    for mark in MARKS {
        let close = match mark.bytes().last() {
            Some(b'(') => ')',
            Some(b'{') => '}',
            Some(b'[') => ']',
            _ => '/',
        };
        let texts = text
            .match_indices(mark)
            .take(8)
            .filter_map(|(at, _)| Some(text.get(at + mark.len()..)?.split_once(close)?.0.to_owned()));
        found.extend(texts);
    }
    for verb in VERBS {
        for (at, _) in text.match_indices(verb).take(8) {
            let rest = text.get(at + verb.len()..).unwrap_or_default();
            found.extend(rest.split([';', '\n']).next().map(|line| line.replace(['{', '}'], "'")));
        }
    }
    found
}

/// The literal a text opens with, escapes resolved, and what follows it.
fn literal(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next()?;
    let triple = text.get(..3).filter(|three| three.chars().all(|letter| letter == quote));
    if let Some(triple) = triple {
        let (inside, after) = text.get(3..)?.split_once(triple)?;
        return Some((inside.to_owned(), after));
    }
    let mut literal = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some((_, 'n')) => literal.push('\n'),
                Some((_, 't')) => literal.push('\t'),
                Some((_, 'x')) => {
                    let digits: String = letters.by_ref().take(2).map(|(_, digit)| digit).collect();
                    literal.extend(u8::from_str_radix(&digits, 16).ok().map(char::from));
                }
                other => literal.extend(other.map(|(_, letter)| letter)),
            },
            letter if letter == quote => return Some((literal, text.get(at + 1..)?)),
            letter => literal.push(letter),
        }
    }
    None
}

/// The text behind base64 or hex, when there is one.
fn decoded(text: &str) -> Option<String> {
    let text = text.trim();
    if text.len() < 12 || text.len() > 8 << 10 {
        return None;
    }
    let bytes = hex(text).or_else(|| base64(text))?;
    let decoded = String::from_utf8(bytes).ok()?;
    decoded.chars().all(|letter| !letter.is_control() || letter.is_whitespace()).then_some(decoded)
}

pub(crate) fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair.iter().fold(0, |byte, digit| byte << 4 | digit)).ok())
        .collect()
}

pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut held, mut bits) = (0u32, 0);
    for letter in text.trim_end_matches('=').bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        held = (held << 6 | u32::from(value)) & 0xf_ffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xff).ok()?);
        }
    }
    Some(bytes)
}

/// Texts handed to a shell: `os.system("…")`, `subprocess.run(["rm", "-rf"])`, backticks in Perl and Ruby.
fn commands(text: &str, lower: &str) -> Vec<String> {
    let mut commands = Vec::new();
    for sink in SHELLS {
        for (start, _) in lower.match_indices(sink).take(16) {
            let arguments = text.get(start + sink.len()..).unwrap_or_default();
            let list = arguments.trim_start().strip_prefix('[');
            let words = strings(list.unwrap_or(arguments), if list.is_some() { ']' } else { ')' });
            commands.extend(match (list, words.split_first()) {
                (_, None) => None,
                (Some(_), Some(_)) => Some(words.join(" ")),
                (None, Some((first, _))) => Some(first.clone()),
            });
        }
    }
    for sink in ["system \"", "system '", "exec \"", "exec '", "qx(", "`"] {
        for (start, _) in lower.match_indices(sink).take(16) {
            let rest = text.get(start + sink.len()..).unwrap_or_default();
            let end = match sink.chars().last() {
                Some('(') => ')',
                Some(quote) => quote,
                None => continue,
            };
            commands.extend(rest.split_once(end).map(|(command, _)| command.to_owned()));
        }
    }
    commands
}

/// String literals up to the closing bracket.
fn strings(text: &str, close: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter == close {
            break;
        }
        if !matches!(letter, '"' | '\'' | '`') {
            continue;
        }
        let mut word = String::new();
        while let Some(inner) = letters.next() {
            match inner {
                '\\' => word.extend(letters.next()),
                inner if inner == letter => break,
                inner => word.push(inner),
            }
        }
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_a_program_could_run_is_a_candidate() {
        let found = candidates(
            "import os\nc = 'rm -rf /srv'\nrun([\"rm\", '-rf', \"/x\"])\nb64decode('cm0gLXJmIC9ob21lL2Rldg==')",
        );
        for text in ["rm -rf /srv", "rm -rf /x", "rm -rf /home/dev"] {
            assert!(found.iter().any(|candidate| candidate == text), "{text}: {found:?}");
        }
        assert_eq!(candidates("'''a \"b\" c''' + \"\\x72m -rf\""), ["a \"b\" c", "rm -rf"]);
    }
}
