//! Calls that ran because they can be undone, for somebody to look at.

use maud::{Markup, html};
use serde_json::Value;

use super::frame::session;
use super::say::{link, phrase, since, until};
use crate::operator::desk::{Frame, ReviewLine, ReviewQueue};
use crate::operator::render::{Arguments, arguments, block, change, line};
use crate::store::ReviewState;

pub(super) fn page(frame: &Frame, queue: &ReviewQueue) -> Markup {
    html! {
        h1 { "Review" }
        p.dim { "These ran: each can still be taken back." }
        @if queue.reviews.is_empty() { div.nothing { (super::frame::stone()) p.lead { "Nothing to look at." } } }
        ol.reviews { @for review in &queue.reviews { (entry(review, frame.now_ms)) } }
        @if queue.more > 0 { p.dim { (queue.more) " more" } }
    }
}

fn entry(review: &ReviewLine, now: i64) -> Markup {
    let open = matches!(review.state, ReviewState::Open | ReviewState::RevertFailed);
    html! {
        li.card.review id=(review.id) data-row data-review=(review.id) data-version=(review.version) tabindex="-1" {
            header {
                h2 { (phrase(&review.phrase)) }
                p.card-facts {
                    (line(&review.tool)) " on " b { (line(&review.server)) } ", by " b { (line(&review.principal)) }
                    " in " (session(&review.session)) ", " (since(review.created_ms, now))
                    @if review.flagged { " " span.badge.loud { "flagged" } }
                    span.countdown { "undo ends " (until(review.expires_ms, now)) }
                }
            }
            @if review.state == ReviewState::RevertFailed { p.caution { b { "It could not be taken back." } } }
            (effect(review))
            @if let Some(residue) = &review.residue { p.note { b { "What stays all the same: " } (line(residue)) } }
            details.evidence {
                summary { "The call, its result and its undo" }
                (arguments(Arguments { value: &review.arguments, reasons: &[], above: None, whole: false }))
                @if let Some(result) = &review.result { h3 { "Result" } div.code { (block(&pretty(result))) } }
                @if let Some(undo) = &review.undo { h3 { "Undo" } div.code { (block(&pretty(undo))) } }
                @if let Some(verdict) = &review.verdict { h3 { "Said so far" } div.code { (block(&pretty(verdict))) } }
            }
            @if open {
                div.buttons {
                    button.primary data-key="accept" data-act="post" data-post={ (link("/op/v1/reviews/", &review.id)) "/accept" } { "Accept" kbd { "y" } }
                    button.deny data-act="revert" { "Take it back…" kbd { "r" } }
                    button data-key="flag" data-act="post" data-post={ (link("/op/v1/reviews/", &review.id)) "/flag" } { "Flag" kbd { "f" } }
                }
                div.drawer data-drawer="revert" hidden {
                    h3 { "Take it back" }
                    div.preview data-preview aria-live="polite" {}
                    div.buttons { button.deny data-act="revert-now" { "Take it back" } button data-act="shut" { "Leave it" } }
                }
                p.error data-error hidden {}
            }
        }
    }
}

/// Before and after, where both are known.
fn effect(review: &ReviewLine) -> Markup {
    html! {
        @match (&review.before, &review.after) {
            (Some(Value::String(before)), Some(Value::String(after))) => (change(before, after)),
            (Some(Value::Null), Some(Value::String(after))) => (change("", after)),
            (None, None) => {},
            (before, after) => {
                @if let Some(before) = before { h3 { "Before" } div.code { (block(&pretty(before))) } }
                @if let Some(after) = after { h3 { "After" } div.code { (block(&pretty(after))) } }
            }
        }
    }
}

fn pretty(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    }
}
