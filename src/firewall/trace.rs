//! What the record and the people say of a judged call.

use herma_scoring::{Assessment, Kind, Rules, SideEffect, redact_json};
use herma_warrant::Grant;
use serde_json::{Value, json};

use super::Judged;
use super::seen::seen;
use super::session::Session;
use crate::call::{Call, Digest};
use crate::ledger::{Entry, Step};
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
    let reasons: Vec<Value> =
        assessment.reasons.iter().map(|reason| json!([reason.rule, round(reason.points)])).collect();
    let learned = policy.learn && call.kind == Kind::Tool;
    let seen = if learned { seen(&call.arguments, rules) } else { None };
    // In the order of the line, so that the writer finds them sorted.
    let entry = Entry::new(at, Step::Routed)
        .of(call.id.clone())
        .with("arguments_bytes", call.raw_arguments.len())
        .with("arguments_digest", arguments_digest(call, assessment, salt));
    let entry = match seen {
        Some(seen) => entry.with("arguments_seen", seen),
        None => entry,
    };
    // What is seldom so costs a line nothing when it is not.
    let seldom = [
        ("contested", assessment.contested),
        ("outbound", assessment.outbound),
        ("undo", assessment.undo.is_some()),
    ];
    let entry =
        seldom.into_iter().filter(|(_, so)| *so).fold(entry, |entry, (name, _)| entry.with(name, true));
    entry
        .with("carrier", call.origin.carrier.name())
        .with("class", assessment.class.name())
        .with("confidence", round(assessment.confidence))
        .with("crisis_sensitive", assessment.crisis_sensitive)
        .with("grant", grant(&checked.grant))
        .with("pattern", ruling.route.pattern())
        .with("policy", policy.revision.as_str())
        .with("principal", &*call.origin.principal)
        .with("reasons", reasons)
        .with("requires_human", ruling.route == Route::Gate)
        .with("reversible", assessment.reversible())
        .with("risk_score", round(assessment.risk_score))
        .with("route", ruling.route.name())
        .with("rule", &*ruling.rule)
        .with("server", &*call.origin.server)
        .with("session", &*call.origin.session)
        .with("tool_name", call.tool.as_str())
        .with("would", ruling.would.map(Route::name))
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
