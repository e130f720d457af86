//! Words for what the daemon counts and classifies. No meaning is carried by colour alone.

use herma_scoring::{Reversibility, SideEffect, Undo};
use maud::{Markup, html};

use crate::gate::Method;
use crate::operator::desk::{Group, Phrase};
use crate::operator::render::line;
use crate::policy::Route;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

impl Group {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Crisis => "Crisis",
            Self::Critical => "Critical",
            Self::High => "High",
            Self::Other => "Other",
        }
    }

    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::Crisis => "a person may be in danger: read each as the one who would receive it",
            Self::Critical => "cannot be taken back, or reaches far",
            Self::High => "reaches outside",
            Self::Other => "held by doubt or by a rule",
        }
    }

    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Crisis => "crisis",
            Self::Critical => "critical",
            Self::High => "high",
            Self::Other => "other",
        }
    }

    /// A shape of its own for each, so that they differ without colour.
    fn shape(self) -> &'static str {
        match self {
            Self::Crisis => "◆",
            Self::Critical => "▲",
            Self::High => "●",
            Self::Other => "○",
        }
    }

    pub(super) fn chip(self) -> Markup {
        html! { span class={ "chip " (self.class()) } { span aria-hidden="true" { (self.shape()) } " " (self.word()) } }
    }
}

pub(super) fn phrase(phrase: &Phrase) -> Markup {
    html! {
        span.verb { (line(&phrase.verb)) }
        @if let Some(object) = &phrase.object { " " span.object { (line(object)) } }
    }
}

pub(super) fn class(class: SideEffect) -> &'static str {
    match class {
        SideEffect::ReadOnly => "only reads",
        SideEffect::LocalReversible => "changes something here",
        SideEffect::External => "reaches outside",
        SideEffect::Critical => "could do lasting harm",
    }
}

pub(super) fn reversibility(reversibility: Reversibility) -> &'static str {
    match reversibility {
        Reversibility::Yes => "can be undone",
        Reversibility::Partial => "can be undone in part",
        Reversibility::No => "cannot be undone",
    }
}

/// The undo line: what will be possible once it ran.
pub(super) fn undo(undo: Option<&Undo>, reversible: Reversibility) -> Markup {
    html! {
        @match (undo, reversible) {
            (Some(Undo::Preimage(_)), _) => "can be undone: the file is kept as it was",
            (Some(Undo::Compensate(compensate)), _) => { "can be undone by " code { (line(&compensate.call.tool)) } },
            (Some(Undo::Delay(delay)), _) => { "can be stopped within " (delay.seconds) " s" },
            (None, reversible) => (reversibility(reversible)),
        }
    }
}

pub(super) fn route(route: Route) -> &'static str {
    match route {
        Route::Execute => "runs",
        Route::Gate => "waits for a person",
        Route::Review => "runs, looked at afterwards",
        Route::Block => "blocked",
    }
}

pub(super) fn route_named(name: &str) -> &str {
    match name {
        "execute" => "ran",
        "gate" => "waited",
        "review" => "ran, to be looked at",
        "block" => "blocked",
        other => other,
    }
}

pub(super) fn method(method: Method) -> &'static str {
    match method {
        Method::Terminal => "terminal",
        Method::InBand => "the agent's own client",
        Method::Session => "paired browser",
        Method::Passkey => "passkey",
    }
}

/// A length of time, roughly: `45 s`, `12 min`, `3 h`, `5 days`.
pub(super) fn span(ms: i64) -> String {
    let ms = ms.max(0);
    match ms {
        _ if ms < MINUTE => format!("{} s", ms / SECOND),
        _ if ms < HOUR => format!("{} min", ms / MINUTE),
        _ if ms < 2 * DAY => format!("{} h", ms / HOUR),
        _ => format!("{} days", ms / DAY),
    }
}

/// `12 min ago`, kept true by the script.
pub(super) fn since(at: i64, now: i64) -> Markup {
    html! { time datetime=(stamp(at)) data-since=(at) title=(stamp(at)) { (span(now.saturating_sub(at))) " ago" } }
}

/// `in 12 min`, counted down by the script.
pub(super) fn until(at: i64, now: i64) -> Markup {
    html! { time datetime=(stamp(at)) data-until=(at) title=(stamp(at)) {
        @if at <= now { "now" } @else { "in " (span(at.saturating_sub(now))) }
    } }
}

/// The time of day and the day, in UTC.
pub(super) fn moment(at: i64) -> Markup {
    let said = jiff::Timestamp::from_millisecond(at).map(|time| time.strftime("%F %T").to_string());
    html! { time datetime=(stamp(at)) { (said.unwrap_or_default()) } }
}

fn stamp(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at).map(|time| time.strftime("%FT%TZ").to_string()).unwrap_or_default()
}

/// 0–1 as a number and as a length.
pub(super) fn score(value: f64) -> Markup {
    let width = format!("{:.0}", (value.clamp(0.0, 1.0)) * 60.0);
    html! {
        span.score {
            (format!("{value:.2}")) " "
            svg.bar width="60" height="6" viewBox="0 0 60 6" aria-hidden="true" {
                rect.bar-all width="60" height="6" rx="1" {}
                rect.bar-part width=(width) height="6" rx="1" {}
            }
        }
    }
}

/// An address within this listener; what is put into it may be anything.
pub(super) fn link(path: &str, id: &str) -> String {
    let mut address = path.to_owned();
    for byte in id.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                address.push(char::from(byte))
            }
            other => address.push_str(&format!("%{other:02X}")),
        }
    }
    address
}

pub(super) fn short(digest: &str) -> String {
    digest.chars().take(12).collect()
}

/// A count and its noun.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_leave_its_segment_of_an_address() {
        assert_eq!(link("/s/", "a/../b?c#d"), "/s/a%2F..%2Fb%3Fc%23d");
        assert_eq!(link("/s/", "ü\"<"), "/s/%C3%BC%22%3C");
    }

    #[test]
    fn times_are_rough_where_nobody_counts() {
        let said: Vec<_> = [-5, 999, 61_000, 3 * HOUR, 47 * HOUR, 3 * DAY].map(span).into();
        assert_eq!(said, ["0 s", "0 s", "1 min", "3 h", "47 h", "3 days"]);
    }
}
