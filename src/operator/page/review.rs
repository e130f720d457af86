//! Calls that ran because they can be undone, or are about to, for somebody to look at.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::frame::session;
use super::say::{counted, link, phrase, since, until};
use crate::operator::desk::{Frame, PlanView, ReviewLine, ReviewQueue};
use crate::operator::render::{Arguments, arguments, block, line, thousands, unified};
use crate::review::{FilePlan, State};
use crate::store::ReviewState;

pub(super) fn page(frame: &Frame, queue: &ReviewQueue) -> Markup {
    html! {
        h1 { "Review" }
        p.dim { "These ran: each can still be taken back. What counts down has not run yet." }
        @if queue.reviews.is_empty() { div.nothing { (super::frame::stone()) p.lead { "Nothing to look at." } } }
        ol.reviews data-more=(queue.more) {
            @for review in &queue.reviews { (entry(review, alike(queue, review), frame.now_ms)) }
        }
        @if !queue.flags.is_empty() {
            section { h2 { "Flagged tools" }
                p.dim { "Calls of these wait for a person, though they could be undone." }
                ul.plain { @for flag in &queue.flags {
                    li {
                        b { (line(&flag.tool)) } " on " b { (line(&flag.server)) } " "
                        span.dim { "by " (line(&flag.by)) ", " (since(flag.at_ms, frame.now_ms)) @if !flag.reason.is_empty() { ": " (line(&flag.reason)) } } " "
                        button data-act="post" data-twice data-post="/op/v1/tools/unflag" data-body=(json!({ "server": flag.server, "tool": flag.tool })) { "Let them run again" }
                    }
                } }
            }
        }
        @if queue.more > 0 { p.dim { (counted(queue.more, "more waits", "more wait")) ", shown when these are looked at" } }
    }
}

/// How many on this page are of the same tool in the same session.
fn alike(queue: &ReviewQueue, review: &ReviewLine) -> usize {
    let is_alike = |other: &&ReviewLine| {
        other.state == ReviewState::Open
            && (&other.server, &other.tool, &other.session) == (&review.server, &review.tool, &review.session)
    };
    queue.reviews.iter().filter(is_alike).count()
}

fn entry(review: &ReviewLine, alike: usize, now: i64) -> Markup {
    let delayed = review.state == ReviewState::Delayed;
    html! {
        li.card.review id=(review.id) data-row data-review=(review.id) data-version=(review.version)
            data-plan=[review.plan.as_ref().map(|plan| &plan.digest)] tabindex="-1" {
            header {
                h2 { (phrase(&review.phrase)) }
                p.card-facts {
                    (line(&review.tool)) " on " b { (line(&review.server)) } ", by " b { (line(&review.principal)) }
                    " in " (session(&review.session)) ", " (since(review.created_ms, now)) " "
                    a.dim href=(link("/review/", &review.id)) { (line(&review.id)) }
                    @if review.flagged { " " span.badge.loud { "flagged" } }
                    @if delayed { span.countdown { "runs " (until(review.expires_ms, now)) " unless stopped" } }
                    @else if review.plan.is_some() { span.countdown { "undo ends " (until(review.expires_ms, now)) } }
                }
            }
            @if let Some(said) = over(review.state) { p.settled { b { (said) } } }
            @match &review.plan {
                Some(plan) => (effect(plan)),
                None => (arguments(Arguments { value: &review.arguments, reasons: &[], above: None, whole: false })),
            }
            @if let Some(residue) = &review.residue { p.note { b { "What stays all the same: " } (line(residue)) } }
            details.evidence {
                summary { "The call and how it is undone" }
                @if review.plan.is_some() {
                    (arguments(Arguments { value: &review.arguments, reasons: &[], above: None, whole: false }))
                }
                @if let Some(undo) = &review.undo { h3 { "Undo" } div.code { (block(&pretty(undo))) } }
                @if let Some(verdict) = &review.verdict { h3 { "Said so far" } div.code { (block(&pretty(verdict))) } }
            }
            @if delayed {
                div.buttons { button.deny data-key="revert" data-act="judge" data-word="stop" { "Stop it" kbd { "r" } } }
            } @else if let Some(plan) = &review.plan { (ways(review, plan, alike)) }
            p.error data-error hidden {}
        }
    }
}

fn ways(review: &ReviewLine, plan: &PlanView, alike: usize) -> Markup {
    let open = review.state == ReviewState::Open;
    html! {
        div.buttons {
            button.primary data-key="accept" data-act="judge" data-word="accept" { "Accept" kbd { "y" } }
            @if open && alike > 1 {
                button data-act="judge" data-word="accept" data-group { "Accept " (alike) " like it" }
            }
            @if plan.conflicts.is_empty() { button.deny data-act="revert" { "Take it back…" kbd { "r" } } }
            @if review.state != ReviewState::Flagged {
                button data-key="flag" data-act="judge" data-word="flag" data-twice { "Flag: hold the next ones" kbd { "f" } }
            }
        }
        @if plan.conflicts.is_empty() {
            div.drawer data-drawer="revert" hidden {
                h3 { "Take it back" }
                @for file in &plan.files { p { (undoing(file)) " " code { (line(&file.path)) } } }
                @if let Some(call) = &plan.call { p { "Herma calls, under your name:" } div.code { (block(&pretty(call))) } }
                p.dim { "Under your name and on the record; the agent is told. Nothing is touched if anything changes before." }
                div.buttons {
                    button.deny data-act="judge" data-word="revert" { "Take it back" }
                    button data-act="shut-review" { "Leave it" }
                }
            }
        }
    }
}

/// What the call did, what has happened since, and why that stands in the way.
fn effect(plan: &PlanView) -> Markup {
    let of_files: Vec<&String> = plan.files.iter().filter_map(|file| file.conflict.as_ref()).collect();
    html! {
        @for conflict in plan.conflicts.iter().filter(|conflict| !of_files.contains(conflict)) {
            p.caution { b { "It cannot be taken back now." } " " (line(conflict)) }
        }
        @for file in &plan.files { (changed(file)) }
        @if let Some(call) = &plan.call {
            h3 { "What would take it back" }
            div.code { (block(&pretty(call))) }
        }
    }
}

fn changed(file: &FilePlan) -> Markup {
    html! {
        section.file aria-label="A file" {
            h3 { code { (line(&file.path)) } }
            @match &file.did {
                Some(did) => (unified(did)),
                None => p.dim { "No text that could be compared: " (told(&file.before)) " before, " (known(file.after.as_ref())) " after" },
            }
            @if let Some(conflict) = &file.conflict {
                p.caution { b { "It cannot be taken back now." } " " (line(conflict)) }
                dl.facts.states {
                    div { dt { "before" } dd { (told(&file.before)) } }
                    div { dt { "after the call" } dd { (known(file.after.as_ref())) } }
                    div { dt { "now" } dd { (known(file.now.as_ref())) } }
                }
                @if let Some(since) = &file.since { h3 { "Since the call" } (unified(since)) }
            }
        }
    }
}

fn undoing(file: &FilePlan) -> &'static str {
    match file.does {
        "restore" => "Put back as it was before the call:",
        "remove" => "Remove what the call made:",
        _ => "As before the call already:",
    }
}

fn known(state: Option<&State>) -> Markup {
    html! { @match state { Some(state) => (told(state)), None => "not known" } }
}

fn told(state: &State) -> Markup {
    html! {
        @match state {
            State::Absent => "not there",
            State::Directory => "a directory",
            State::File { sha256, size, mode, .. } => {
                (thousands(usize::try_from(*size).unwrap_or(usize::MAX))) " bytes, mode " (format!("{:o}", mode & 0o7777))
                ", sha256 " code { (super::say::short(sha256)) }
            }
        }
    }
}

/// What there is to say of a review that is not simply open.
fn over(state: ReviewState) -> Option<&'static str> {
    Some(match state {
        ReviewState::Open | ReviewState::Delayed => return None,
        ReviewState::Stopped => "stopped: it never ran",
        ReviewState::Kept => "ran, and was not drawn to be looked at",
        ReviewState::Accepted => "accepted",
        ReviewState::Flagged => "flagged: the next calls of its tool wait for a person",
        ReviewState::Reverting => "somebody takes it back at this moment",
        ReviewState::Reverted => "taken back",
        ReviewState::RevertFailed => "it could not be taken back",
        ReviewState::Expired => "the time to take it back is over",
    })
}

fn pretty(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    }
}
