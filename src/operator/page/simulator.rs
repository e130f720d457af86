//! What a call, or the last days, would meet under a draft of the policy.

use maud::{Markup, html};
use serde_json::json;

use super::hold::reasons;
use super::say::{class, link, moment, reversibility, route, score};
use crate::operator::desk::{Changed, DraftLine, DraftView, Replay, SimAnswer, SimCall, SimRoute, Simulator};
use crate::operator::render::{change, line, thousands};

const EXAMPLE: &str =
    r#"{"server": "files", "tool": "write_file", "arguments": {"path": "/etc/hosts", "content": "…"}}"#;
const DRAFT: &str = "[[rule]]\nid = \"notes-are-fine\"\ntool = \"write_file\"\nroute = \"execute\"\n";

pub(super) fn page(simulator: &Simulator) -> Markup {
    let text = simulator.draft.as_ref().map(|draft| &draft.text).or(simulator.file.as_ref());
    let text = text.map(String::as_str).unwrap_or_default();
    let name = simulator.draft.as_ref().map(|draft| draft.line.name.as_str());
    html! {
        h1 { "Simulator" }
        p.dim {
            "Nothing runs here. In force: mode " b { (line(&simulator.mode)) } ", profile " b { (line(&simulator.profile)) }
            ", revision " code { (line(&simulator.revision)) }
        }
        form.sim id="sim" {
            div.sim-sides {
                label { "Draft of the policy" span.dim { " (empty: as it is)" }
                    textarea.mono name="draft" rows="14" spellcheck="false" placeholder=(DRAFT) { "\n" (text) }
                }
                div {
                    label { "One call" textarea.mono name="call" rows="6" spellcheck="false" placeholder=(EXAMPLE) {} }
                    div.buttons { button.primary data-act="ask-call" data-only="draft" data-post="/op/v1/policy/simulate" { "Judge this call" } }
                    div.choices {
                        label { "or the last" select name="days" data-number {
                            option value="1" { "day" } option value="7" selected { "7 days" } option value="30" { "30 days" }
                        } }
                        button data-act="ask" data-only="draft days" data-post="/op/v1/policy/simulate" { "Replay the record" }
                    }
                    @if simulator.file.is_some() {
                        div.choices {
                            label { "Name" input name="name" value=[name] maxlength="64" pattern="[A-Za-z0-9._\\-]+" autocomplete="off" spellcheck="false"; }
                            button data-act="post" data-only="name draft" data-post="/op/v1/policy/drafts" { "Save as draft" }
                        }
                    } @else { p.dim { "This daemon runs without a file: no draft can be put in force." } }
                    p.error data-error role="alert" hidden {}
                }
            }
        }
        @if let Some(draft) = &simulator.draft { (self::draft(draft)) }
        @if !simulator.drafts.is_empty() { (drafts(&simulator.drafts)) }
        div id="sim-answer" aria-live="polite" { @if let Some(answer) = &simulator.answer { (self::answer(answer)) } }
    }
}

/// What putting it in force would change, and the button for it.
fn draft(draft: &DraftView) -> Markup {
    let path = link("/op/v1/policy/drafts/", &draft.line.name);
    html! {
        section.card {
            h2 { "Draft " span.object { (line(&draft.line.name)) } }
            p.card-facts { "saved by " b { (line(&draft.line.by)) } ", " (moment(draft.line.at_ms)) " UTC" }
            @if draft.line.stale {
                p.caution { b { "herma.toml has changed since." } " Compare the two, and save the draft again to put it in force." }
            }
            @if draft.now == draft.text { p.dim { "It says what the file says." } } @else { (change(&draft.now, &draft.text)) }
            div.buttons {
                @if !draft.line.stale {
                    button.approve data-act="post" data-twice data-post={ (path) "/activate" } data-body=(json!({ "digest": draft.digest })) { "Put in force" }
                }
                button data-act="post" data-twice data-post={ (path) "/remove" } { "Remove" }
            }
            p.error data-error role="alert" hidden {}
        }
    }
}

fn drafts(drafts: &[DraftLine]) -> Markup {
    html! {
        section { h2 { "Drafts" }
            ul.plain { @for draft in drafts {
                li {
                    a href=(link("/sim?draft=", &draft.name)) { (line(&draft.name)) } " "
                    span.dim { "by " (line(&draft.by)) ", " (moment(draft.at_ms)) }
                    @if draft.stale { " " span.badge { "the file has changed since" } }
                }
            } }
        }
    }
}

fn answer(answer: &SimAnswer) -> Markup {
    html! {
        @match answer {
            SimAnswer::Call(call) => (one(call)),
            SimAnswer::Replay(replay) => (many(replay)),
            SimAnswer::Wrong { line: at, message } => {
                p.error { @if let Some(at) = at { "line " (at) ": " } (line(message)) }
            }
        }
    }
}

fn one(call: &SimCall) -> Markup {
    html! {
        section.card {
            h2 { "This call" }
            dl.facts {
                div { dt { "now" } dd { (way(&call.now)) } }
                @if let Some(draft) = &call.draft { div { dt { "under the draft" } dd { (way(draft)) } } }
            }
            p.scores {
                span { "risk " (score(call.risk_score)) } " " span { "confidence " (score(call.confidence)) } " "
                span { (class(call.class)) ", " (reversibility(call.reversibility)) }
                @if call.crisis { " " span.badge.loud { "crisis" } }
            }
            (reasons(&call.reasons))
        }
    }
}

fn way(way: &SimRoute) -> Markup {
    html! { b { (route(way.route)) } ", rule " code { (line(&way.rule)) } ": " (line(&way.why)) }
}

fn many(replay: &Replay) -> Markup {
    let count = |number: u64| thousands(usize::try_from(number).unwrap_or(usize::MAX));
    html! {
        section.card {
            h2 { "The last " (replay.days) " days under the draft" }
            dl.figures {
                div { dt { "calls" } dd { (count(replay.calls)) } }
                div { dt { "would change" } dd { (count(replay.changed_total)) } }
                div { dt { "holds a day, now" } dd { (format!("{:.1}", replay.holds_per_day_now)) } }
                div { dt { "holds a day, draft" } dd { (format!("{:.1}", replay.holds_per_day_draft)) } }
            }
            @if replay.cut { p.note { "The record is longer than what was read: the newest calls were taken." } }
            @if replay.unsure > 0 {
                p.note { (count(replay.unsure)) " calls are told from what the record keeps: a rule that looks into arguments may see them otherwise." }
            }
            @if !replay.changed.is_empty() {
                table.wide {
                    caption.unseen { "Calls that would go another way" }
                    thead { tr { th scope="col" { "when" } th scope="col" { "call" } th scope="col" { "risk" } th scope="col" { "now" } th scope="col" { "draft" } } }
                    tbody { @for changed in &replay.changed { (changed_row(changed)) } }
                }
            }
            @if !replay.hits.is_empty() {
                h3 { "Calls that each rule decides" }
                dl.facts { @for (rule, hits) in &replay.hits { div { dt { code { (line(rule)) } } dd { (count(*hits)) } } } }
            }
        }
    }
}

fn changed_row(changed: &Changed) -> Markup {
    html! {
        tr {
            td data-label="when" { (moment(changed.at_ms)) }
            td data-label="call" { (line(&changed.tool)) " on " (line(&changed.server)) }
            td data-label="risk" { (format!("{:.2}", changed.risk_score)) }
            td data-label="now" { (route(changed.from.route)) " " code.dim { (line(&changed.from.rule)) } }
            td data-label="draft" { b { (route(changed.to.route)) } " " code.dim { (line(&changed.to.rule)) } }
        }
    }
}
