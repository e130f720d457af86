//! SQL, by statement: what it reads, changes or drops.

use std::borrow::Cow;

use crate::rules::pack::Scope;
use crate::rules::{Rules, Signal};
use crate::weigh::{Findings, Place};

/// Whether the text opens like a statement.
pub(crate) fn is_statement(text: &str) -> bool {
    const OPENINGS: [&str; 17] = [
        "select", "insert", "update", "delete", "drop", "truncate", "alter", "create", "grant", "revoke",
        "with", "merge", "replace", "vacuum", "explain", "show", "pragma",
    ];
    let mut words = text.split(|letter: char| !letter.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    words.next().is_some_and(|first| OPENINGS.iter().any(|opening| first.eq_ignore_ascii_case(opening)))
        && words.next().is_some()
}

/// Whether a text given as a command is no command but a statement.
pub(crate) fn is_bare_statement(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let (Some(first), Some(second)) = (words.next(), words.next()) else {
        return false;
    };
    let second = second.to_ascii_lowercase();
    match first.to_ascii_lowercase().as_str() {
        "drop" | "create" | "alter" => {
            matches!(second.as_str(), "table" | "database" | "schema" | "index" | "user" | "role" | "view")
        }
        "delete" => second == "from",
        "insert" => second == "into",
        "grant" | "revoke" => text.to_ascii_lowercase().contains(" on "),
        "truncate" => second == "table" || first == "TRUNCATE",
        "update" => text.to_ascii_lowercase().contains(" set "),
        "select" => text.to_ascii_lowercase().contains(" from "),
        _ => false,
    }
}

/// Adds what each statement does.
pub(crate) fn read<'r>(text: &str, at: &Place, rules: &'r Rules, findings: &mut Findings<'r>) {
    let Some(patterns) = rules.patterns.get(&Scope::Sql) else {
        return;
    };
    let bare = without_literals(text);
    let mut known = true;
    for statement in bare.split(';').filter(|statement| !statement.trim().is_empty()) {
        let found = patterns.find(statement);
        known &= !found.is_empty();
        for (rule, span) in found {
            let start = offset(&bare, statement);
            findings.add(rule, at.span((start + span.0, start + span.1)));
        }
    }
    if !known {
        findings.add(rules.signal(Signal::SqlOpaque), at.clone());
    }
}

fn offset(whole: &str, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize)
}

/// The text with strings and comments blanked, byte for byte, so that a word in a value is not a command.
fn without_literals(text: &str) -> Cow<'_, str> {
    if !text.contains(['\'', '-', '/', '#']) {
        return Cow::Borrowed(text);
    }
    let mut bare = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let length = if letter == '\'' {
            rest.get(1..).and_then(|inner| inner.find('\'')).map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") && !rest.starts_with("/*!") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else {
            bare.push(letter);
            rest = rest.get(letter.len_utf8()..).unwrap_or_default();
            continue;
        };
        bare.extend(std::iter::repeat_n(' ', length));
        rest = rest.get(length..).unwrap_or_default();
    }
    Cow::Owned(bare)
}
