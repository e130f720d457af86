//! Everything about one hold: what would run, why it waits, what it would reach, and the ways to decide.

use herma_scoring::crisis::{FOR_YOU, HelpLine};
use herma_scoring::{Reason, Reversibility};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::frame::session;
use super::say::{link, method, moment, phrase, route, route_named, score, short, since, span, undo, until};
use super::{decide, inbox};
use crate::operator::desk::{Frame, Group, HoldView, Moment, Scope, only_latched, standing};
use crate::operator::render::{Arguments, address, arguments, block, change, line, spoken};
use crate::store::HoldState;

pub(super) fn page(frame: &Frame, hold: &HoldView) -> Markup {
    html! {
        p.back { a href="/" { "← Inbox" } }
        (card(frame, hold))
    }
}

fn card(frame: &Frame, hold: &HoldView) -> Markup {
    let row = &hold.row;
    let now = frame.now_ms;
    let aside = only_latched(&hold.reasons, &hold.scope);
    html! {
        article.card.(row.group.class()) data-id=(row.id) data-version=(row.version) data-digest=(row.call_digest) data-render=(hold.render_digest)
            data-group=(row.group.class()) data-typed=[&hold.typed] data-needs=(method_name(hold)) data-state=(row.state) {
            header {
                p.card-top {
                    (row.group.chip()) " " span.dim { (row.id) }
                    (inbox::badges(row))
                    span.countdown { @if row.state == HoldState::Pending { span.dim { (line(hold.on_expiry)) " " } (until(row.expires_ms, now)) } }
                }
                h1 { (phrase(&row.phrase)) }
                p.card-facts {
                    (line(&row.tool)) " on " b { (line(&row.server)) } ", asked by " b { (line(&row.principal)) }
                    @if !hold.client.is_empty() { " " span.dim { "(" (line(&hold.client)) ")" } }
                    " in " (session(&row.session)) ", " (since(row.created_ms, now))
                }
            }
            @if row.state != HoldState::Pending { (settled(hold)) }
            (cautions(hold))
            (help(&hold.help_lines))
            @if row.group == Group::Crisis { @if aside { (latched()) } @else { (message(hold)) } }
            section aria-label="What would run" {
                h2 { "Exactly this would run" }
                @if row.group != Group::Crisis || aside { (scope(&hold.scope)) }
                (arguments(Arguments {
                    above: above(hold), value: &hold.arguments, reasons: &hold.reasons, whole: row.group <= Group::Critical }))
                (beside(hold))
            }
            (why(hold))
            (facts(hold))
            (definition(hold))
            (strip(&hold.strip, now))
            (evidence(hold))
            @if row.state == HoldState::Pending { (decide::rest(hold)) }
            span.card-end {}
            @if row.state == HoldState::Pending { (decide::bar(hold)) }
        }
    }
}

/// What reaches the server beside the arguments.
fn beside(hold: &HoldView) -> Markup {
    html! {
        @if hold.query.is_some() || hold.extra.is_some() { h3 { "And beside the arguments" } }
        @if let Some(query) = &hold.query { p { "the query " code { (line(query)) } } }
        @if let Some(extra) = &hold.extra { (arguments(Arguments { above: None, value: extra, reasons: &[], whole: true })) }
    }
}

/// The argument that stands in full above the others.
fn above(hold: &HoldView) -> Option<&str> {
    let message = hold.scope.message.as_ref().filter(|_| hold.row.group == Group::Crisis);
    message.map(|message| message.pointer.as_str())
}

fn method_name(hold: &HoldView) -> &'static str {
    if hold.row.quorum.method == crate::gate::Method::Passkey { "passkey" } else { "session" }
}

fn settled(hold: &HoldView) -> Markup {
    let by =
        hold.receipt.as_ref().and_then(|receipt| receipt.pointer("/approver/id")).and_then(Value::as_str);
    let reason = hold.receipt.as_ref().and_then(|receipt| receipt.get("reason")).and_then(Value::as_str);
    html! {
        p.settled role="status" {
            b { (standing(hold.row.state)) } @if let Some(by) = by { " by " (line(by)) } @if let Some(reason) = reason { ": " (line(reason)) }
        }
    }
}

fn cautions(hold: &HoldView) -> Markup {
    html! {
        @if let Some(changed) = &hold.changed_to {
            p.note { b { "A person changed the arguments." } " Below stands what was asked; this was let go, and the agent is told:" }
            div.code { (block(changed)) }
        } @else if hold.edited {
            p.note { b { "A person changed the arguments." } " What is shown is the changed call; the agent is told." }
        }
        @if hold.definition.changed {
            p.caution { b { "The server changed what it says of this tool." } " Compare the two below before you trust its name." }
        }
        @if let Some(asked) = hold.row.asked { @if asked.denied > 0 {
            p.caution {
                b { "Asked " (asked.asked) " times, denied " (asked.denied) " times" }
                " in this session. Asking again is no new reason."
            }
        } }
        @if hold.row.escalated > 0 { p.caution { b { "Escalated." } " Somebody looked at it and did not want to decide alone." } }
    }
}

/// For the one who reads this, who may be the one in danger.
fn help(lines: &[HelpLine]) -> Markup {
    html! {
        @if !lines.is_empty() {
            section.help-lines aria-label="Help for you" {
                h2 { "If this is about you" }
                p { (FOR_YOU) }
                dl {
                    @for help in lines {
                        div {
                            dt { (line(&help.name)) }
                            dd { b { (line(&help.contact)) } " " span.dim { "as of " (line(&help.entered)) ", " (line(&help.source)) } }
                        }
                    }
                }
            }
        }
    }
}

/// What is itself no word to the one in crisis.
fn latched() -> Markup {
    html! {
        p.caution {
            b { "Somebody may be in crisis in this conversation." }
            " Everything outbound or final waits until a named person clears that. This call itself says nothing of it."
        }
    }
}

/// A message to somebody who may be in crisis, as they would receive it.
fn message(hold: &HoldView) -> Markup {
    let scope = &hold.scope;
    html! {
        section.crisis-message aria-label="The message" {
            p.lead { "A person may be in crisis. Read this as the one who would receive it." }
            dl.to {
                div { dt { "To" } dd { @if scope.recipients.is_empty() { "nobody that is named" } @else { (line(&scope.recipients.join(", "))) } } }
                div { dt { "By" } dd { (line(scope.channel.as_deref().unwrap_or(&hold.row.server))) } }
            }
            @if let Some(message) = &scope.message {
                blockquote { (spoken(&message.text, &message.pointer, &hold.reasons)) }
            }
        }
    }
}

fn scope(scope: &Scope) -> Markup {
    html! {
        dl.scope {
            @if !scope.recipients.is_empty() {
                div { dt { "To" } dd { @for to in &scope.recipients { span.party { (line(to)) } " " } } }
            }
            @if let Some(url) = &scope.url {
                div { dt { "Address" } dd { (address(&url.text).unwrap_or_else(|| line(&url.text))) } }
            }
            @if let Some(path) = &scope.path { div { dt { "File" } dd { code { (line(&path.text)) } } } }
            @if let Some(amount) = &scope.amount { div { dt { "Amount" } dd { b { (line(&amount.text)) } } } }
        }
    }
}

fn why(hold: &HoldView) -> Markup {
    html! {
        section aria-label="Why it waits" {
            h2 { "Why it waits" }
            p { (line(&hold.why)) " " span.dim { "rule " code { (line(&hold.rule)) } ", " (route(hold.route)) } }
            p.scores {
                span { "risk " (score(hold.row.risk_score)) } " "
                span { "confidence " (score(hold.row.confidence)) } " "
                span { (inbox::nature(&hold.row)) }
            }
            (reasons(&hold.reasons))
        }
    }
}

pub(super) fn reasons(reasons: &[Reason]) -> Markup {
    html! {
        @if !reasons.is_empty() {
            table.reasons {
                caption.unseen { "What rules said" }
                thead { tr { th scope="col" { "points" } th scope="col" { "of" } th scope="col" { "because" } } }
                tbody {
                    @for reason in reasons {
                        @let certainty = reason.factor == "certainty";
                        tr {
                            td.points { (if certainty { "−" } else { "+" }) (format!("{:.2}", reason.points)) }
                            td { @if certainty { "confidence" } @else { (line(&reason.factor.replace('_', " "))) } }
                            td {
                                (line(&reason.text)) " " code.dim { (line(&reason.rule)) }
                                @if let Some(pointer) = &reason.pointer { " " span.dim { "in " code { (line(pointer)) } } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn facts(hold: &HoldView) -> Markup {
    let row = &hold.row;
    html! {
        section aria-label="Bounds" {
            h2 { "Bounds" }
            dl.facts {
                div {
                    dt { "Undo" }
                    dd.warned[row.reversibility == Reversibility::No] { (undo(row.undo.as_ref(), row.reversibility)) }
                }
                div {
                    dt { "Warrant" }
                    dd {
                        @match &hold.warrant {
                            Some(warrant) => {
                                (line(&warrant.grant))
                                @if let Some(why) = &warrant.why { ": " (line(why)) }
                            }
                            None => "none shown: the policy alone decides",
                        }
                    }
                }
                div {
                    dt { "Who may say" }
                    dd {
                        @match row.quorum.approvers.as_deref() {
                            None => "anybody who is paired",
                            Some([]) => "nobody until somebody is named in the configuration",
                            Some(named) => (line(&named.join(", "))),
                        }
                        ", by " (method(row.quorum.method)) " or better"
                        @if row.quorum.need > 1 { "; " (row.quorum.need) " people" }
                        @if !row.quorum.have.is_empty() { "; approved so far: " (line(&row.quorum.have.join(", "))) }
                    }
                }
                div { dt { "If nobody decides" } dd { (line(hold.on_expiry)) } }
            }
        }
    }
}

fn definition(hold: &HoldView) -> Markup {
    let definition = &hold.definition;
    let pretty = |value: &Value| format!("{}\n", serde_json::to_string_pretty(value).unwrap_or_default());
    html! {
        @if let (true, Some(now)) = (definition.changed, &definition.now) {
            section aria-label="Change of the tool" {
                @match &definition.first {
                    Some(first) => {
                        h2 { "What the server says of the tool: first, and now" }
                        (change(&pretty(first), &pretty(now)))
                    }
                    None => {
                        h2 { "What the server says of the tool now " span.sign { "from the server: not vouched for" } }
                        div.code { (block(&pretty(now))) }
                    }
                }
                @if let Some(digest) = &definition.digest {
                    @let body = json!({ "server": hold.row.server, "tool": hold.row.tool, "digest": digest });
                    button data-act="post" data-post="/op/v1/tools/accept" data-body=(body) data-twice { "The new description is right" }
                }
            }
        }
    }
}

/// What the agent did before. What it says about it is not here.
fn strip(strip: &[Moment], now: i64) -> Markup {
    html! {
        @if !strip.is_empty() {
            section.strip aria-label="Before this, in the same session" {
                h2 { "Before this, in the same session " span.sign { "from the agent: not vouched for" } }
                ol {
                    @for moment in strip {
                        li.flagged[moment.flagged] {
                            span.strip-tool { (line(&moment.tool)) " on " (line(&moment.server)) } " "
                            span { (route_named(&moment.route)) } " "
                            span.dim { "risk " (format!("{:.2}", moment.risk_score)) ", " (since(moment.at_ms, now)) }
                        }
                    }
                }
            }
        }
    }
}

fn evidence(hold: &HoldView) -> Markup {
    let raw = serde_json::to_string_pretty(&hold.arguments).unwrap_or_default();
    let receipt =
        hold.receipt.as_ref().map(|receipt| serde_json::to_string_pretty(receipt).unwrap_or_default());
    html! {
        details.evidence {
            summary { "Bytes and digests " code.dim { (short(&hold.row.call_digest)) } }
            dl.facts {
                div { dt { "call" } dd { code.digest { (hold.row.call_digest) } } }
                div { dt { "arguments" } dd { code.digest { (hold.arguments_sha256) } } }
                div { dt { "shown" } dd { code.digest { (hold.render_digest) } } }
                @if let Some(digest) = &hold.definition.digest { div { dt { "tool" } dd { code.digest { (digest) } } } }
                div { dt { "policy" } dd { code.digest { (hold.policy) } } }
                div { dt { "rules" } dd { code.digest { (hold.rules) } } }
                div { dt { "opened" } dd { (moment(hold.row.created_ms)) " UTC, for " (span(hold.row.expires_ms.saturating_sub(hold.row.created_ms))) } }
            }
            h3 { "Arguments as JSON " span.dim { "secrets taken out" } }
            div.code { (block(&raw)) }
            @if let Some(receipt) = receipt { h3 { "Receipt" } div.code { (block(&receipt)) } }
            p { a href=(link("/log?digest=", &hold.row.call_digest)) { "In the audit record" } }
        }
    }
}
