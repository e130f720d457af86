//! What a call, or the last days, would meet under a draft of the policy.

use maud::{Markup, html};

use super::hold::reasons;
use super::say::{class, moment, reversibility, route, score};
use crate::operator::desk::{Changed, Replay, SimAnswer, SimCall, SimRoute, Simulator};
use crate::operator::render::{line, thousands};

const EXAMPLE: &str =
    r#"{"server": "files", "tool": "write_file", "arguments": {"path": "/etc/hosts", "content": "…"}}"#;
const DRAFT: &str = "[[rule]]\nid = \"notes-are-fine\"\ntool = \"write_file\"\nroute = \"execute\"\n";

pub(super) fn page(simulator: &Simulator) -> Markup {
    html! {
        h1 { "Simulator" }
        p.dim {
            "Nothing runs here. In force: mode " b { (line(&simulator.mode)) } ", profile " b { (line(&simulator.profile)) }
            ", revision " code { (line(&simulator.revision)) }
        }
        form.sim id="sim" {
            div.sim-sides {
                label { "Draft of the policy" span.dim { " (empty: as it is)" }
                    textarea.mono name="draft" rows="14" spellcheck="false" placeholder=(DRAFT) { "\n" (simulator.file.as_deref().unwrap_or_default()) }
                }
                div {
                    label { "One call" textarea.mono name="call" rows="6" spellcheck="false" placeholder=(EXAMPLE) {} }
                    div.buttons { button.primary data-act="simulate-call" { "Judge this call" } }
                    div.choices {
                        label { "or the last" select name="days" {
                            option value="1" { "day" } option value="7" selected { "7 days" } option value="30" { "30 days" }
                        } }
                        button data-act="simulate-replay" { "Replay the record" }
                    }
                    p.error data-error hidden {}
                }
            }
        }
        div id="sim-answer" aria-live="polite" { @if let Some(answer) = &simulator.answer { (self::answer(answer)) } }
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
