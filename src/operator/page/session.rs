//! What an agent did in one session, call by call, with what was thought of it.

use maud::{Markup, html};

use super::frame::named;
use super::say::{counted, link, moment, route_named, score, since};
use crate::operator::desk::{Frame, Moment, SessionLine, SessionList, Timeline};
use crate::operator::render::line;

pub(super) fn list(frame: &Frame, list: &SessionList) -> Markup {
    html! {
        h1 { "Sessions" }
        @if list.sessions.is_empty() { p.dim { "No agent has called anything yet." } }
        table.wide {
            thead { tr {
                th scope="col" { "session" } th scope="col" { "agent" } th scope="col" { "servers" } th scope="col" { "calls" }
                th scope="col" { "flagged" } th scope="col" { "highest risk" } th scope="col" { "last call" }
            } }
            tbody {
                @for session in &list.sessions { (session_row(session, frame.now_ms)) }
            }
        }
        @if let Some(next) = list.next { p { a href={ "/s?before=" (next) } { "Older sessions" } } }
    }
}

fn session_row(session: &SessionLine, now: i64) -> Markup {
    html! {
        tr.flagged[session.flagged > 0] {
            td data-label="session" {
                a href=(link("/s/", &session.id)) { (line(&session.id)) }
                @if session.frozen { " " span.badge.loud { "frozen" } }
            }
            td data-label="agent" { (line(&session.principal)) }
            td data-label="servers" { (line(&session.servers.join(", "))) }
            td data-label="calls" { (session.calls) }
            td data-label="flagged" { (session.flagged) }
            td data-label="highest risk" { (score(session.highest_risk)) }
            td data-label="last call" { (since(session.last_ms, now)) }
        }
    }
}

pub(super) fn timeline(frame: &Frame, timeline: &Timeline) -> Markup {
    let now = frame.now_ms;
    html! {
        p.back { a href="/s" { "← Sessions" } }
        header.page-head {
            div {
                h1 { "Session " span.object { (line(&timeline.session)) } }
                p.dim { "of " (line(&timeline.principal)) ", " (counted(u64::try_from(timeline.calls.len()).unwrap_or_default(), "call", "calls")) " here" }
            }
            div.buttons {
                @if timeline.frozen {
                    button data-act="post" data-post="/op/v1/thaw" data-body=(named("session", &timeline.session)) { "Lift the freeze" }
                } @else {
                    button data-act="post" data-post="/op/v1/freeze" data-body=(named("session", &timeline.session)) { "Freeze session" }
                }
                a.button href=(link("/op/v1/sessions/", &timeline.session)) download { "Export" }
            }
        }
        @if timeline.in_crisis { p.caution { b { "Somebody may be in crisis here." } " Everything outbound waits for a person." } }
        (sparkline(&timeline.calls))
        div.tools { label.filter { span.unseen { "Filter" } input type="search" id="filter" placeholder="Filter  /" autocomplete="off"; } }
        ol.timeline {
            @for call in &timeline.calls { (entry(call, now)) }
        }
        @if let Some(next) = timeline.next { p { a href={ "?before=" (next) } { "Older calls" } } }
    }
}

fn entry(call: &Moment, now: i64) -> Markup {
    html! {
        li.moment.flagged[call.flagged].nested[call.parent.is_some()] data-row data-flagged[call.flagged] tabindex="-1" {
            div.moment-line {
                span.route.(route_class(&call.route)) { (route_named(&call.route)) }
                b { (line(&call.tool)) } " " span.dim { "on " (line(&call.server)) }
                @if let Some(outcome) = &call.outcome { " " span { "→ " (line(outcome)) } }
                @if let Some(took) = call.took_us { " " span.dim { (took_words(took)) } }
                span.moment-end { (score(call.risk_score)) " " (since(call.at_ms, now)) }
            }
            @if let Some(decided) = &call.decided {
                p.moment-said {
                    (line(&decided.decision)) " by " (line(&decided.by)) ", " (since(decided.at_ms, now))
                    @if let Some(hold) = &call.hold { ", " a href=(link("/h/", hold)) { (line(hold)) } }
                }
            } @else if let Some(hold) = &call.hold { p.moment-said { a href=(link("/h/", hold)) { "hold " (line(hold)) } } }
            @if call.crisis { p.moment-said.warned { "sensitive: a person may be in crisis" } }
            @if let Some(review) = &call.review { p.moment-said { a href=(link("/review/", review)) { "in the review queue" } } }
            details.why {
                summary { "why" }
                p {
                    "rule " code { (line(&call.rule)) } ", class " (line(&call.class)) ", confidence " (format!("{:.2}", call.confidence))
                    ", warrant " (line(&call.grant))
                    @if let Some(would) = &call.would { "; observed only: it would have " (line(would)) }
                }
                @if !call.reasons.is_empty() {
                    ul { @for (rule, points) in &call.reasons { li { code { (line(rule)) } " " (format!("{points:+.2}")) } } }
                }
                p.dim { (moment(call.at_ms)) " UTC, line " (call.seq) " of the record, call " code { (line(&call.call)) } }
            }
        }
    }
}

fn route_class(route: &str) -> &'static str {
    match route {
        "execute" => "r-execute",
        "gate" => "r-gate",
        "review" => "r-review",
        _ => "r-block",
    }
}

fn took_words(us: u64) -> String {
    match us {
        _ if us < 1_000 => "under 1 ms".to_owned(),
        _ if us < 10_000_000 => format!("{} ms", us / 1_000),
        _ => format!("{} s", us / 1_000_000),
    }
}

/// Risk over the session, oldest first. The same numbers stand in the list.
fn sparkline(calls: &[Moment]) -> Markup {
    const MOST: usize = 200;
    let shown: Vec<&Moment> = calls.iter().take(MOST).collect();
    let points: Vec<String> = shown
        .iter()
        .rev()
        .enumerate()
        .map(|(at, call)| {
            format!("{},{:.1}", at.saturating_mul(4), 38.0 - call.risk_score.clamp(0.0, 1.0) * 36.0)
        })
        .collect();
    let width = shown.len().saturating_sub(1).saturating_mul(4).max(4);
    html! {
        @if shown.len() > 2 {
            figure.spark {
                svg viewBox={ "0 0 " (width) " 40" } preserveAspectRatio="none" aria-hidden="true" {
                    line.spark-gate x1="0" x2=(width) y1="16.4" y2="16.4" {}
                    polyline points=(points.join(" ")) {}
                }
                figcaption.dim { "risk of the last " (shown.len()) " calls; the line is where the gate begins" }
            }
        }
    }
}
