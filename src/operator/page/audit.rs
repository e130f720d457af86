//! The record, line by line, with what proves it.

use maud::{Markup, html};
use serde_json::Value;

use super::say::{link, moment};
use crate::operator::desk::{AuditEntry, AuditPage, AuditQuery, CheckpointView};
use crate::operator::render::{block, line, thousands};

pub(super) fn page(audit: &AuditPage) -> Markup {
    html! {
        h1 { "Audit" }
        @if let Some(trouble) = &audit.trouble { p.caution role="alert" { b { "The record cannot be written: " } (line(trouble)) } }
        (integrity(audit.checkpoint.as_ref()))
        (query(&audit.query))
        (exports(&audit.query))
        @if audit.entries.is_empty() { p.dim { "No line fits." } }
        ol.record { @for entry in &audit.entries { (record(entry)) } }
        @if let Some(next) = audit.next { p { a href=(question(&format!("/log?before={next}"), &audit.query)) { "Older lines" } } }
    }
}

fn integrity(checkpoint: Option<&CheckpointView>) -> Markup {
    html! {
        @match checkpoint {
            Some(checkpoint) => {
                details.checkpoint {
                    summary {
                        "Signed up to line " b { (thousands(usize::try_from(checkpoint.size).unwrap_or(usize::MAX))) }
                        ", root " code { (line(&super::say::short(&checkpoint.root))) }
                    }
                    p { "Keep this elsewhere: the record can be held against it, even years later." }
                    div.code { (block(&checkpoint.note)) }
                    p {
                        a.button href="/op/v1/audit/checkpoint" download="herma.checkpoint" { "Download" } " "
                        span.dim { "then " code { "herma audit verify --checkpoint herma.checkpoint" } }
                    }
                }
            }
            None => { p.dim { "No checkpoint is signed yet." } }
        }
    }
}

fn query(query: &AuditQuery) -> Markup {
    let field = |name: &str, label: &str, value: Option<&str>| {
        html! { label { (label) input type="search" name=(name) value=[value] autocomplete="off" spellcheck="false"; } }
    };
    html! {
        form.query id="query" role="search" {
            (field("agent", "agent", query.agent.as_deref()))
            (field("server", "server", query.server.as_deref()))
            (field("tool", "tool", query.tool.as_deref()))
            (field("session", "session", query.session.as_deref()))
            (choice("route", &["execute", "gate", "review", "block"], query.route.as_deref()))
            (choice("step", &["received", "routed", "held", "decided", "forwarded", "settled", "refused", "policy", "latch", "warrant", "definition"], query.step.as_deref()))
            (field("approver", "approver", query.approver.as_deref()))
            (field("digest", "digest", query.digest.as_deref()))
            (field("call", "call", query.call.as_deref()))
            div.buttons { button.primary data-act="query" data-to="/log?" { "Search" } a.button href="/log" { "Clear" } }
        }
    }
}

fn choice(name: &str, values: &[&str], chosen: Option<&str>) -> Markup {
    html! {
        label {
            (name)
            select name=(name) {
                option value="" { "any" }
                @for value in values { option value=(value) selected[chosen == Some(*value)] { (value) } }
            }
        }
    }
}

fn record(entry: &AuditEntry) -> Markup {
    let fact = |name: &str| entry.detail.get(name).and_then(Value::as_str);
    html! {
        li {
            details {
                summary {
                    span.seq { (entry.seq) } " " (moment(entry.at_ms)) " "
                    b.step { (line(&entry.step)) } " "
                    span.record-what {
                        @for name in ["tool_name", "what", "hold", "server", "route", "rule", "outcome", "state", "activates", "made", "lifted", "by"] {
                            @if let Some(value) = fact(name) { span { (line(value)) } " " }
                        }
                        @if let Some(by) = entry.detail.pointer("/receipt/approver/id").and_then(Value::as_str) {
                            span { "by " (line(by)) } " "
                        }
                    }
                }
                @if let Some(call) = &entry.call { p { "call " a href=(link("/log?call=", call)) { (line(call)) } } }
                div.code { (block(&serde_json::to_string_pretty(&entry.detail).unwrap_or_default())) }
                p {
                    @if entry.proven {
                        a.button href={ "/op/v1/audit/proof/" (entry.seq) } download={ "herma-" (entry.seq) ".tlog-proof" } { "Proof" } " "
                        span.dim { "that this very line is in the signed record" }
                    } @else { span.dim { "Not covered by a checkpoint yet." } }
                }
            }
        }
    }
}

/// All that is found, as a file: redacted as it was when it was written.
fn exports(query: &AuditQuery) -> Markup {
    html! {
        p.buttons {
            span.dim { "All that is found, as a file: " }
            @for (form, name, file) in [("jsonl", "JSONL", "herma.jsonl"), ("ocsf", "OCSF", "herma-ocsf.jsonl")] {
                a.button href=(question(&format!("/op/v1/audit/export/{form}?"), query)) download=(file) { (name) }
            }
        }
    }
}

/// The same question, at another address.
fn question(address: &str, query: &AuditQuery) -> String {
    let mut address = address.to_owned();
    let pairs = [
        ("agent", &query.agent),
        ("tool", &query.tool),
        ("server", &query.server),
        ("session", &query.session),
        ("route", &query.route),
        ("step", &query.step),
        ("approver", &query.approver),
        ("call", &query.call),
        ("digest", &query.digest),
    ];
    for (name, value) in pairs {
        if let Some(value) = value {
            address.push_str(&link(&format!("&{name}="), value));
        }
    }
    for (name, value) in [("from_ms", query.from_ms), ("to_ms", query.to_ms)] {
        if let Some(value) = value {
            address.push_str(&format!("&{name}={value}"));
        }
    }
    address
}
