//! What waits, in the order in which a person should look.

use maud::{Markup, html};

use super::frame::session;
use super::say::{class, counted, link, phrase, reversibility, since, span, undo, until};
use crate::operator::desk::{Figures, Frame, Group, Inbox, InboxGroup, Row};
use crate::operator::render::line;
use crate::store::Latch;

pub(super) fn page(frame: &Frame, inbox: &Inbox) -> Markup {
    let now = frame.now_ms;
    html! {
        h1.unseen { "Inbox" }
        (figures(&inbox.figures, now))
        @for latch in &inbox.latches { (crisis(latch, now)) }
        div.tools {
            label.filter { span.unseen { "Filter" } input type="search" id="filter" placeholder="Filter  /" autocomplete="off"; }
            span id="batch" hidden {
                span id="batch-count" {} " "
                button data-act="batch-approve" { "Approve selected" } " "
                button data-act="batch-deny" { "Deny selected" }
            }
        }
        div id="news" role="status" hidden { button data-act="reload" { "Show what is new" } }
        div.inbox data-last-event=(inbox.last_event) {
            @if inbox.groups.is_empty() { (nothing()) }
            @for group in &inbox.groups { (rows(group, now)) }
        }
        @if inbox.more > 0 {
            p.dim { (counted(inbox.more, "more hold waits", "more holds wait")) ": decide these first, or freeze the agent that asks." }
        }
    }
}

fn figures(figures: &Figures, now: i64) -> Markup {
    let percent = figures.approved_share.map(|share| format!("{:.0}%", share * 100.0));
    let median = figures.median_seconds.map(|seconds| {
        if seconds < 90.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
    });
    html! {
        dl.figures {
            div { dt { "waiting" } dd { (figures.pending) } }
            div {
                dt { "oldest" }
                dd { @match figures.oldest_ms { Some(at) => (span(now.saturating_sub(at))), None => "–" } }
            }
            div {
                dt { "approved today" }
                dd {
                    (percent.unwrap_or_else(|| "–".to_owned()))
                    @if figures.decided_today > 0 { small { " of " (figures.decided_today) } }
                }
            }
            div { dt { "median to decide" } dd { (median.unwrap_or_else(|| "–".to_owned())) } }
        }
        @if hurried(figures) {
            p.note {
                "Nearly everything is approved, and quickly. If these calls need nobody, let a rule say so: "
                a href="/sim" { "try one in the simulator" } "."
            }
        }
    }
}

/// Approving without looking is worse than not asking.
fn hurried(figures: &Figures) -> bool {
    figures.decided_today >= 20
        && figures.approved_share.is_some_and(|share| share > 0.95)
        && figures.median_seconds.is_some_and(|seconds| seconds < 2.0)
}

fn crisis(latch: &Latch, now: i64) -> Markup {
    html! {
        div.latch role="note" {
            p {
                b { "Somebody may be in crisis." } " Everything outbound in " code { (line(&latch.key)) }
                " waits for a person, since " (since(latch.since_ms, now)) ": " (line(&latch.reason))
            }
            (super::settings::clear(&latch.key))
        }
    }
}

fn nothing() -> Markup {
    html! {
        div.nothing {
            (super::frame::stone())
            p.lead { "Nothing waits." }
            p.dim { "What an agent may not do alone appears here by itself." }
        }
    }
}

fn rows(group: &InboxGroup, now: i64) -> Markup {
    let name = group.group.word();
    let count = u64::try_from(group.rows.len()).unwrap_or(u64::MAX).saturating_add(group.more);
    html! {
        section.group.(group.group.class()) aria-labelledby={ "group-" (group.group.class()) } data-group=(group.group.class()) {
            header {
                h2 id={ "group-" (group.group.class()) } { (name) " " span.count { (count) } }
                p.dim { (group.group.meaning()) }
            }
            ol.rows { @for one in &group.rows { (row(one, now)) } }
            @if group.more > 0 { p.dim { (counted(group.more, "more", "more")) " in this group" } }
        }
    }
}

fn row(row: &Row, now: i64) -> Markup {
    let batch = row.group != Group::Crisis && row.group != Group::Critical;
    html! {
        li.row.(row.group.class()) id=(row.id) data-id=(row.id) data-version=(row.version) data-digest=(row.call_digest)
            data-group=(row.group.class()) {
            div.row-line {
                @if batch {
                    label.pick { input type="checkbox" data-act="pick" aria-label={ "Select " (row.id) }; }
                }
                div.row-main {
                    a.row-title href=(link("/h/", &row.id)) { (phrase(&row.phrase)) }
                    p.row-facts {
                        (row.group.chip()) " "
                        span { (class(row.class)) ", " (undo(row.undo.as_ref(), row.reversibility)) } " "
                        span { (line(&row.tool)) " on " (line(&row.server)) } " "
                        span { (line(&row.principal)) " in " (session(&row.session)) } " "
                        span { "asked " (since(row.created_ms, now)) }
                        (badges(row))
                    }
                }
                div.row-end { span.countdown { span.dim { "denied " } (until(row.expires_ms, now)) } }
            }
            div.slot {}
        }
    }
}

/// What makes this one unlike the others.
pub(super) fn badges(row: &Row) -> Markup {
    html! {
        " " span.badge data-times title="equal calls that wait for the same word" hidden[row.count < 2] { "×" (row.count) }
        @if let Some(asked) = row.asked { @if asked.denied > 0 {
            " " span.badge.loud { "asked " (asked.asked) "×, denied " (asked.denied) "×" }
        } }
        @if row.escalated > 0 { " " span.badge.loud { "escalated" } }
        @if row.quorum.need > 1 { " " span.badge data-votes { (row.quorum.have.len()) " of " (row.quorum.need) " approvals" } }
        @if row.quorum.method == crate::gate::Method::Passkey { " " span.badge { "passkey" } }
    }
}

/// The line of facts a hold shares with its row.
pub(super) fn nature(row: &Row) -> Markup {
    html! { (class(row.class)) ", " (reversibility(row.reversibility)) }
}
