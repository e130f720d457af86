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
            p.diff-sum { (thousands(removed)) (if removed == 1 { " line" } else { " lines" }) " out, " (thousands(added)) " in" }
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
    let (sign, class) = match tag {
        ChangeTag::Equal => (" ", "same"),
        ChangeTag::Delete => ("−", "out"),
        ChangeTag::Insert => ("+", "in"),
    };
    let (text, ended) = match text.strip_suffix('\n') {
        Some(text) => (text, true),
        None => (text, false),
    };
    html! {
        div class=(class) {
            span.diff-sign { (sign) }
            (block(text))
            @if !ended { span.sign { "no line break" } }
        }
    }
}
