//! The ways to decide a hold. What they do, the script does: a decision is signed by the browser's own key.

use maud::{Markup, html};

use super::frame::named;
use crate::operator::desk::{Group, HoldView, only_latched};
use crate::operator::render::line;

/// Reasons that help a model go on.
const REASONS: [&str; 5] = [
    "Not needed for this task. Go on without it.",
    "Too broad. Ask for no more than you need.",
    "Wrong target. Check where this goes and who gets it.",
    "Use a way that can be undone.",
    "A person will do this. Do not try again.",
];
const CRISIS_REASONS: [&str; 5] = [
    "A person will answer. Do not write to them.",
    "Use the approved wording.",
    "Wrong recipient. Do not contact anybody else either.",
    "Do not promise anything. Offer help that is there now.",
    "Not now. A person will decide when.",
];

pub(super) fn bar(hold: &HoldView) -> Markup {
    let crisis = hold.row.group == Group::Crisis && !only_latched(&hold.reasons, &hold.scope);
    html! {
        noscript { p.caution { "Deciding here needs the page's script. In a terminal: " code { "herma holds approve " (hold.row.id) } } }
        div.decide {
            div.buttons {
                @if crisis { (edit_button(true)) (approve_button("Send as it is")) }
                @else { (approve_button("Approve once")) (edit_button(false)) }
                button.deny data-act="deny" { "Deny…" kbd { "d" } }
            }
            p.armed role="status" {}
            (deny(crisis))
            (edit(hold))
            @if hold.may_generalise { (similar()) }
            (escalate())
        }
    }
}

/// What stands at the end: the name to type, and what is done more rarely.
pub(super) fn rest(hold: &HoldView) -> Markup {
    html! {
        @if let Some(typed) = &hold.typed { (confirmation(&hold.row.id, typed)) }
        div.buttons.rest {
            @if hold.may_generalise { button data-act="similar" { "Approve similar…" kbd { "s" } } }
            button data-act="escalate" { "Escalate…" }
            button data-act="post" data-post="/op/v1/freeze" data-body=(named("session", &hold.row.session)) { "Freeze this session" }
        }
    }
}

fn approve_button(words: &str) -> Markup {
    html! { button.approve data-act="approve" aria-disabled="true" { (words) kbd { "a" } } }
}

fn edit_button(first: bool) -> Markup {
    html! { button.primary[first] data-act="edit" { @if first { "Edit the text…" } @else { "Edit…" } kbd { "e" } } }
}

fn confirmation(id: &str, typed: &str) -> Markup {
    html! {
        div.typed {
            label for={ "typed-" (id) } { "It cannot be taken back. Type " code { (line(typed)) } " to approve" }
            input id={ "typed-" (id) } name="typed" autocomplete="off" autocapitalize="off" spellcheck="false";
        }
    }
}

fn deny(crisis: bool) -> Markup {
    let reasons = if crisis { CRISIS_REASONS } else { REASONS };
    html! {
        div.drawer data-drawer="deny" hidden {
            h3 { "Deny, and tell the agent" }
            ol.reasons-list {
                @for (at, reason) in reasons.iter().enumerate() {
                    li { button data-act="deny-now" data-reason=(reason) { kbd { (at.saturating_add(1)) } " " (reason) } }
                }
            }
            label { "In your own words" textarea name="reason" rows="2" maxlength="1000" {} }
            label.check { input type="checkbox" name="sticky"; " The same for every such call in this session" }
            div.buttons { button.deny data-act="deny-now" { "Deny" } button data-act="shut" { "Back" } }
        }
    }
}

/// The fields are filled when it is opened, from the arguments as they would be forwarded.
fn edit(hold: &HoldView) -> Markup {
    let message = hold.scope.message.as_ref().filter(|_| hold.row.group == Group::Crisis);
    html! {
        div.drawer data-drawer="edit" hidden {
            h3 { "Edit, then approve" }
            p.dim { "It is judged anew. The agent is told what you changed." }
            @if let Some(message) = message {
                label data-message { "The text" textarea name="message" rows="6" data-pointer=(message.pointer) {} }
            }
            label {
                "All arguments, as JSON"
                textarea.mono name="arguments" rows="10" spellcheck="false" {}
            }
            p.error data-error role="alert" hidden {}
            div.buttons { button.approve data-act="edit-now" { "Approve as edited" } button data-act="shut" { "Back" } }
        }
    }
}

fn similar() -> Markup {
    html! {
        div.drawer data-drawer="similar" hidden {
            h3 { "Approve this and similar calls" }
            div.choices {
                label { "For" select name="scope" {
                    option value="session" selected { "this session" } option value="agent" { "this agent" } option value="all" { "every agent" }
                } }
                label { "During" select name="for" {
                    option value="900" selected { "15 minutes" } option value="28800" { "8 hours" } option value="604800" { "7 days" }
                } }
                label { "At most" select name="uses" {
                    option value="5" selected { "5 times" } option value="25" { "25 times" } option value="" { "any number" }
                } }
            }
            div.preview data-preview aria-live="polite" {}
            p.error data-error hidden {}
            div.buttons { button.approve data-act="similar-now" { "Approve, and let these pass" } button data-act="shut" { "Back" } }
        }
    }
}

fn escalate() -> Markup {
    html! {
        div.drawer data-drawer="escalate" hidden {
            h3 { "Ask the next one" }
            label { "What should they know?" textarea name="why" rows="2" maxlength="1000" {} }
            div.buttons { button.primary data-act="escalate-now" { "Escalate" } button data-act="shut" { "Back" } }
        }
    }
}
