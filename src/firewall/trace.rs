//! What the record and the people say of a judged call.

use herma_scoring::{Assessment, Kind, Rules, SideEffect, redact_json};
use herma_warrant::Grant;
use serde_json::{Value, json};

use super::Judged;
use super::seen::seen;
use super::session::Session;
use crate::call::{Call, Digest};
use crate::ledger::{Entry, Step, Thousandths};
use crate::policy::{Policy, Route, Ruling};
use crate::telemetry::Routed;

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
    json!({
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
    })
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
