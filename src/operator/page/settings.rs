//! Who may decide, what is in force, and the switches for a bad day.

use maud::{Markup, html};
use serde_json::json;

use super::frame::named;
use super::say::{counted, link, moment, since, span, until};
use crate::notify::Overview;
use crate::operator::desk::{ApproverView, Frame, SettingsView, StandingView};
use crate::operator::render::line;

pub(super) fn page(frame: &Frame, settings: &SettingsView) -> Markup {
    let now = frame.now_ms;
    html! {
        h1 { "Settings" }
        @if settings.advisory {
            p.caution {
                b { "Approvals are advisory." }
                " Agents of the same user on this machine can do what you can. Run Herma as a user of its own, or require passkeys."
            }
        }
        section { h2 { "Stop" }
            p { "Freezing denies every new call that would do more than read. What waits goes on waiting." }
            div.buttons { button.deny data-act="post" data-post="/op/v1/freeze" data-body=(named("all", "")) { "Freeze all" } }
            form.freeze {
                label { "or one" select name="scope" { option value="agent" { "agent" } option value="session" { "session" } option value="warrant" { "warrant" } } }
                label { "named" input name="what" required autocomplete="off" spellcheck="false"; }
                button data-act="freeze-one" { "Freeze" }
            }
        }
        (people(frame, settings))
        @if !settings.standing.is_empty() {
            section { h2 { "Rules made from holds" }
                ul.plain { @for standing in &settings.standing { (rule(standing, now)) } }
            }
        }
        @if !settings.latches.is_empty() {
            section { h2 { "In crisis" }
                ul.plain { @for latch in &settings.latches {
                    li {
                        code { (line(&latch.key)) } ", since " (since(latch.since_ms, now)) " by " (line(&latch.by)) ": " (line(&latch.reason)) " "
                        (clear(&latch.key))
                    }
                } }
            }
        }
        @if !settings.changed_tools.is_empty() {
            section { h2 { "Tools that changed" }
                p.dim { "Described otherwise than when first seen: every call says so until somebody accepts it." }
                ul.plain { @for tool in &settings.changed_tools {
                    li { (line(&tool.tool)) " on " (line(&tool.server)) " " code.dim { "herma tools accept " (line(&tool.server)) " " (line(&tool.tool)) } }
                } }
            }
        }
        (messages(&settings.messages, now))
        (in_force(settings))
    }
}

/// A named person says that it is over, and why.
pub(super) fn clear(key: &str) -> Markup {
    html! {
        form.clear {
            input name="reason" required maxlength="500" placeholder="How do you know?" aria-label="How do you know?";
            button data-act="post" data-post="/op/v1/latches/clear" data-body=(json!({ "key": key })) { "Nobody is in crisis any more" }
        }
    }
}

fn people(frame: &Frame, settings: &SettingsView) -> Markup {
    html! {
        section { h2 { "People" }
            @if let Some(who) = &frame.who {
                p {
                    "You are " b { (line(&who.approver)) } " in this browser. It signs out by itself "
                    (until(who.idle_ends_ms.min(who.ends_ms), frame.now_ms)) "."
                }
            }
            div.buttons {
                button.primary data-act="passkey" { "Add a passkey" }
                button data-act="sign-out" { "Sign out" }
            }
            @for approver in &settings.approvers { (person(frame, approver)) }
            p.dim { "Another person or browser: " code { "herma pair" } " in a terminal. To remove one: " code { "herma approvers remove NAME" } }
        }
    }
}

fn person(frame: &Frame, approver: &ApproverView) -> Markup {
    let (now, own) = (frame.now_ms, frame.who.as_ref().is_some_and(|who| who.approver == approver.name));
    html! {
        div.person {
            h3 { (line(&approver.name)) " " span.dim { "since " (moment(approver.added_ms)) } }
            ul.plain { @for key in &approver.keys {
                li {
                    span.badge { (line(&key.kind)) } " " (line(&key.label)) " " code.dim { (line(&super::say::short(&key.id))) }
                    @if let Some(used) = key.used_ms { span.dim { ", used " (since(used, now)) } }
                    @if own { " " button data-act="post" data-twice data-post={ (link("/op/v1/keys/", &key.id)) "/remove" } { "Remove" } }
                }
            } }
        }
    }
}

fn rule(standing: &StandingView, now: i64) -> Markup {
    html! {
        li {
            b { (if standing.allows { "lets pass: " } else { "denies: " }) } (line(&standing.words)) " "
            span.dim {
                "by " (line(&standing.by)) ", " (since(standing.made_ms, now)) ", used " (standing.uses)
                @if let Some(most) = standing.max_uses { " of " (most) }
                @if let Some(expires) = standing.expires_ms { ", ends " (until(expires, now)) }
            }
            " " button data-act="post" data-post={ (link("/op/v1/standing/", &standing.id)) "/withdraw" } { "Withdraw" }
        }
    }
}

/// Channels and what did not arrive. Their secrets are in the file; of an address the host is shown.
fn messages(messages: &Overview, now: i64) -> Markup {
    html! {
        section { h2 { "Messages to people" }
            @if messages.channels.is_empty() { p.dim { "No channel: " code { "[[notify]]" } " in herma.toml names them." } }
            ul.plain { @for channel in &messages.channels {
                @let notices = || messages.notices.iter().filter(|notice| notice.channel == channel.name);
                @let (dead, waits) = (notices().filter(|notice| notice.dead).count(), notices().filter(|notice| !notice.dead).count());
                li {
                    b { (line(&channel.name)) } " " span.badge { (channel.kind) } " to " code { (line(&channel.host)) } " "
                    @match &channel.off {
                        Some(off) => span.badge.loud { "off " (since(off.since_ms, now)) ": " (line(&off.why)) },
                        None => span.dim { "on" },
                    }
                    @if waits > 0 { ", " (counted(waits as u64, "message waits", "messages wait")) }
                    @if dead > 0 { ", " b { (counted(dead as u64, "was given up", "were given up")) } }
                    " " button data-act="post" data-post={ (link("/op/v1/channels/", &channel.name)) "/test" } { "Try it" }
                    @if let Some(last) = notices().filter(|notice| notice.error.is_some()).max_by_key(|notice| notice.created_ms) {
                        p.dim { "last failure: " (line(last.error.as_deref().unwrap_or_default())) ", after " (counted(u64::from(last.attempts), "attempt", "attempts")) }
                    }
                }
            } }
            @if messages.notices.iter().any(|notice| notice.dead) {
                button data-act="post" data-post="/op/v1/notices/retry" { "Send again what was given up" }
            }
            p.error data-error role="alert" hidden {}
        }
    }
}

/// How long what is kept.
fn kept(ms: Option<i64>) -> String {
    ms.map_or_else(|| "for ever".to_owned(), |ms| format!("for {}", span(ms)))
}

fn in_force(settings: &SettingsView) -> Markup {
    let seconds = |seconds: u64| span(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000));
    html! {
        section { h2 { "In force" }
            dl.facts {
                div { dt { "mode" } dd { (line(&settings.mode)) ", profile " (line(&settings.profile)) } }
                div { dt { "file" } dd { @match &settings.file { Some(file) => code { (line(file)) }, None => "none: Herma's defaults" } } }
                div { dt { "policy" } dd { code.digest { (line(&settings.policy)) } } }
                div { dt { "rules" } dd { code.digest { (line(&settings.rules)) } } }
                @for approval in &settings.approvals { div { dt { "to approve" } dd { (line(approval)) " " code.dim { "[[approval]]" } } } }
                div { dt { "calls that may wait" } dd { (settings.holds_per_session) " of a session, " (settings.holds_per_agent) " of an agent " code.dim { "[holds]" } } }
                div { dt { "raw arguments are kept" } dd { (kept(settings.arguments_kept_ms)) " " code.dim { "[ledger] keep_arguments" } "; sooner: " code.dim { "herma audit erase" } } }
                div { dt { "decisions are kept" } dd { (kept(settings.decisions_kept_ms)) " " code.dim { "[ledger] keep_decisions" } ", the record for ever" } }
                div { dt { "a hold waits" } dd { (seconds(settings.hold_expires_s)) ", then it is denied " code.dim { "[holds] expire" } } }
                div { dt { "an approval lasts" } dd { (seconds(settings.ticket_s)) " for an agent that went away" } }
                div { dt { "a browser stays" } dd { (seconds(settings.session_idle_s)) " idle, " (seconds(settings.session_end_s)) " at most" } }
                div { dt { "this address" } dd { code { (line(&settings.url)) } @for host in &settings.hosts { ", " code { (line(host)) } } " " code.dim { "[operator]" } } }
                div { dt { "version" } dd { (settings.version) } }
            }
        }
    }
}
