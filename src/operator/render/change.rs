//! What an edit takes away and what it puts there.

use std::time::Duration;

use maud::{Markup, html};
use similar::{ChangeTag, TextDiff};

use super::text::{block, thousands};

/// How long two texts may be compared; what is not aligned by then is shown as taken away and put there.
const PATIENCE: Duration = Duration::from_millis(50);
/// Equal lines that are shown around a change.
const AROUND: usize = 3;

/// Two texts line by line. Everything of both is on the page; long equal stretches are folded.
pub fn change(old: &str, new: &str) -> Markup {
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(old, new);
    let lines: Vec<(ChangeTag, &str)> =
        diff.iter_all_changes().map(|change| (change.tag(), change.value())).collect();
    let (added, removed) = (count(&lines, ChangeTag::Insert), count(&lines, ChangeTag::Delete));
    html! {
        div.diff {
            (sum(removed, added))
            @for run in lines.chunk_by(|one, next| one.0 == next.0) {
                @match run.first().map(|(tag, _)| *tag) {
                    Some(ChangeTag::Equal) => (equal(run)),
                    Some(tag) => @for (_, text) in run { (row(tag, text)) },
                    None => {}
                }
            }
        }
    }
}

fn count(lines: &[(ChangeTag, &str)], tag: ChangeTag) -> usize {
    lines.iter().filter(|(found, _)| *found == tag).count()
}

fn equal(run: &[(ChangeTag, &str)]) -> Markup {
    let ends = run.split_at_checked(AROUND).and_then(|(head, rest)| {
        let (middle, tail) = rest.split_at_checked(rest.len().checked_sub(AROUND)?)?;
        (middle.len() > AROUND).then_some((head, middle, tail))
    });
    let rows = |run: &[(ChangeTag, &str)]| html! { @for (tag, text) in run { (row(*tag, text)) } };
    match ends {
        Some((head, middle, tail)) => html! {
            (rows(head))
            details.more { summary { "show " (thousands(middle.len())) " equal lines" } (rows(middle)) }
            (rows(tail))
        },
        None => rows(run),
    }
}

fn row(tag: ChangeTag, text: &str) -> Markup {
    let (text, ended) = match text.strip_suffix('\n') {
        Some(text) => (text, true),
        None => (text, false),
    };
    html! {
        div class=(class(tag)) {
            (sign(tag))
            (block(text))
            @if !ended { span.sign { "no line break" } }
        }
    }
}

fn class(tag: ChangeTag) -> &'static str {
    match tag {
        ChangeTag::Equal => "same",
        ChangeTag::Delete => "out",
        ChangeTag::Insert => "in",
    }
}

fn sign(tag: ChangeTag) -> Markup {
    let sign = match tag {
        ChangeTag::Equal => " ",
        ChangeTag::Delete => "−",
        ChangeTag::Insert => "+",
    };
    html! { span.diff-sign { (sign) } }
}

/// A unified diff, for texts that are compared where they are kept.
pub fn unified(diff: &str) -> Markup {
    let lines: Vec<&str> = split(diff).skip(2).collect();
    let begins = |with: char| lines.iter().filter(|line| line.starts_with(with)).count();
    let (added, removed) = (begins('+'), begins('-'));
    html! {
        div.diff {
            (sum(removed, added))
            @for line in &lines {
                @match tagged(line) {
                    Some((tag, text)) => div class=(class(tag)) { (sign(tag)) (block(text.strip_suffix('\n').unwrap_or(text))) },
                    None if line.starts_with('@') => p.diff-sum { "⋯" },
                    None => p.diff-sum { "no line break at the end" },
                }
            }
        }
    }
}

fn tagged(line: &str) -> Option<(ChangeTag, &str)> {
    let mut chars = line.chars();
    let tag = match chars.next()? {
        ' ' => ChangeTag::Equal,
        '-' => ChangeTag::Delete,
        '+' => ChangeTag::Insert,
        _ => return None,
    };
    Some((tag, chars.as_str()))
}

/// Where the diff broke its lines: a lone carriage return ends one, or what follows would stand under its sign.
fn split(diff: &str) -> impl Iterator<Item = &str> {
    let mut rest = diff;
    std::iter::from_fn(move || {
        let end = rest.find(['\r', '\n']).map(|at| {
            let returns = rest.get(at..).is_some_and(|end| end.starts_with("\r\n"));
            at.saturating_add(if returns { 2 } else { 1 })
        });
        let (line, after) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
        rest = after;
        (!line.is_empty()).then_some(line)
    })
}

fn sum(removed: usize, added: usize) -> Markup {
    html! { p.diff-sum { (thousands(removed)) (if removed == 1 { " line" } else { " lines" }) " out, " (thousands(added)) " in" } }
}
