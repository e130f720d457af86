//! What the record and the people say of a judged call.

use herma_scoring::{Assessment, Kind, Rules, SideEffect, redact_json};
use herma_warrant::Grant;
use serde_json::{Map, Value, json};

use super::Judged;
use super::seen::seen;
use super::session::Session;
use crate::call::{Beside, Call, Digest};
use crate::ledger::{Entry, Step, Thousandths};
use crate::policy::{Policy, Route, Ruling};
use crate::telemetry::Routed;

/// What every modern call says of its client, which is no news.
const OF_THE_CLIENT: [&str; 3] = [
    "io.modelcontextprotocol/clientCapabilities",
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/protocolVersion",
];
/// Bytes of each end of a long text that go into its digest.
const END: usize = 8 << 10;

/// The `routed` line, with the names the seed's trace has.
pub(super) fn routed(
    at: i64,
    call: &Call,
    judged: &Judged,
    policy: &Policy,
    rules: &Rules,
    salt: &[u8],
) -> Entry {
    let Judged { assessment, checked, ruling, .. } = judged;
    let reasons: Vec<_> =
        assessment.reasons.iter().map(|reason| (reason.rule.as_str(), Thousandths(reason.points))).collect();
    let learned = policy.learn && call.kind == Kind::Tool;
    let mut entry = Entry::new(at, Step::Routed).of(call.id.clone());
    let detail = &mut entry.detail;
    // In the order of the line, so that none must be looked for.
    detail.push("arguments_bytes", call.raw_arguments.len());
    detail.push("arguments_digest", arguments_digest(call, assessment, salt));
    if let Some(seen) = learned.then(|| seen(&call.arguments, rules)).flatten() {
        detail.push("arguments_seen", seen);
    }
    detail.push("carrier", call.origin.carrier.name());
    detail.push("class", assessment.class.name());
    detail.push("confidence", Thousandths(assessment.confidence));
    // What is seldom so costs a line nothing when it is not.
    if assessment.contested {
        detail.push("contested", true);
    }
    detail.push("crisis_sensitive", assessment.crisis_sensitive);
    detail.push("grant", grant(&checked.grant));
    if assessment.outbound {
        detail.push("outbound", true);
    }
    detail.push("pattern", ruling.route.pattern());
    detail.push("policy", policy.revision.as_str());
    detail.push("principal", &*call.origin.principal);
    detail.push("reasons", reasons);
    detail.push("requires_human", ruling.route == Route::Gate);
    detail.push("reversible", assessment.reversible());
    detail.push("risk_score", Thousandths(assessment.risk_score));
    detail.push("route", ruling.route.name());
    detail.push("rule", &*ruling.rule);
    detail.push("server", &*call.origin.server);
    detail.push("session", &*call.origin.session);
    detail.push("tool_name", call.tool.as_str());
    if assessment.undo.is_some() {
        detail.push("undo", true);
    }
    detail.push("would", ruling.would.map(Route::name));
    entry
}

/// What those who watch are told of a judged call.
pub(super) fn watched(judged: &Judged) -> Routed<'_> {
    let Judged { assessment, checked, ruling, .. } = judged;
    Routed {
        route: ruling.route.name(),
        rule: &ruling.rule,
        class: assessment.class.name(),
        grant: grant(&checked.grant),
        risk_score: round(assessment.risk_score),
        confidence: round(assessment.confidence),
        crisis_sensitive: assessment.crisis_sensitive,
    }
}

/// A salted digest of the arguments. Of a long text that is only read with, its two ends and its length: hashing
/// all of it would cost more than the call.
fn arguments_digest(call: &Call, assessment: &Assessment, salt: &[u8]) -> String {
    let whole = &call.raw_arguments;
    let ends = (whole.get(..END), whole.len().checked_sub(END).and_then(|start| whole.get(start..)));
    match ends {
        (Some(head), Some(tail)) if assessment.class == SideEffect::ReadOnly && whole.len() > 2 * END => {
            let length = whole.len().to_be_bytes();
            format!("ends:{}", Digest::salted(salt, &[head, tail, length.as_slice()].concat()))
        }
        _ => Digest::salted(salt, whole).to_string(),
    }
}

/// Everything a person sees of a held call, rendered from the bytes that would be forwarded.
pub(super) fn shown(
    call: &Call,
    session: &Session,
    assessment: &Assessment,
    ruling: &Ruling,
    policy: &Policy,
    rules: &Rules,
) -> Value {
    let client = session.client();
    // Whoever holds the inbox may be the one in danger: they see whom to call, and nothing calls for them.
    let personal = assessment.crisis_sensitive && policy.crisis.personal;
    let help = personal.then(|| rules.help_lines(policy.crisis.region.as_deref()));
    let mut shown = json!({
        "call": call.id,
        "kind": call.kind,
        "server": &*call.origin.server,
        "tool": call.tool,
        "arguments": redact_json(&call.arguments, rules),
        "arguments_sha256": Digest::of(&call.raw_arguments).to_string(),
        "principal": &*call.origin.principal,
        "session": &*call.origin.session,
        "client": format!("{} {}", client.name, client.version).trim(),
        "assessment": assessment,
        "route": ruling.route,
        "rule": ruling.rule,
        "why": ruling.why,
        "definition": call.definition.as_ref().map(|listed| listed.digest.to_string()),
        "definition_changed": call.definition.as_ref().is_some_and(|listed| listed.is_changed()),
        "policy": policy.revision,
        "rules": rules.digest(),
        "help_lines": help,
    });
    if let (Some(beside), Some(fields)) = (&call.beside, shown.as_object_mut()) {
        let Beside { query, params, headers } = &**beside;
        if let Some(query) = query {
            fields.insert("query".into(), redact_json(&query.as_str().into(), rules));
        }
        let mut extra = params.clone();
        if let Some(meta) = extra.get_mut("_meta").and_then(Value::as_object_mut) {
            meta.retain(|name, _| !OF_THE_CLIENT.contains(&name.as_str()));
        }
        extra.retain(|_, value| !value.as_object().is_some_and(Map::is_empty));
        if !headers.is_empty() {
            extra.insert("headers".into(), headers.keys().map(String::as_str).collect());
        }
        if !extra.is_empty() {
            fields.insert("extra".into(), redact_json(&Value::Object(extra), rules));
        }
    }
    shown
}

fn grant(grant: &Grant) -> &'static str {
    match grant {
        Grant::Absent => "absent",
        Grant::Authorised => "authorised",
        Grant::Gated { .. } => "gated",
        Grant::Refused { .. } => "refused",
    }
}

/// Three decimals are what the model can vouch for.
fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
