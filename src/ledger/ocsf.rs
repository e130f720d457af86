//! Entries as OCSF API Activity events (class 6003, schema 1.6.0, profile `security_control`).
//!
//! | what happened | action | disposition |
//! |---|---|---|
//! | ran by itself | Allowed | Allowed |
//! | waits for a person | Modified | Delayed |
//! | a person approved | Allowed | Approved |
//! | a person changed and approved | Modified | Corrected |
//! | a person denied | Denied | Rejected |
//! | nobody decided, or the call is void | Denied | Dropped |
//! | a warrant refuses | Denied | Unauthorized |
//! | a rule blocks, or it could not be judged | Denied | Blocked |
//! | ran only because policy just observes | Observed | Logged |
//! | a person reverted it | Modified | Restored |
//! | it could not be reverted | Observed | Uncorrected |
//!
//! What has no attribute in OCSF stands under `unmapped`. Arguments are not exported; the ledger has none.

use serde_json::{Map, Value, json};

use super::{About, Hit, Record};

/// The schema these events are written for.
pub const VERSION: &str = "1.6.0";

/// An action or a disposition: its number and its name in the schema.
type Word = (u8, &'static str);

const ALLOWED: Word = (1, "Allowed");
const DENIED: Word = (2, "Denied");
const OBSERVED: Word = (3, "Observed");
const MODIFIED: Word = (4, "Modified");

/// What was done with a call, if the entry is about one.
fn verdict(record: &Record, about: Option<&About>) -> Option<(Word, Word)> {
    let text = |name: &str| record.detail.get(name).and_then(Value::as_str);
    Some(match record.step.as_str() {
        "routed" => match about?.route.as_str() {
            "block" if about?.grant == "refused" => (DENIED, (26, "Unauthorized")),
            "block" => (DENIED, (2, "Blocked")),
            "gate" => (MODIFIED, (14, "Delayed")),
            _ if about?.would.is_some() => (OBSERVED, (17, "Logged")),
            _ => (ALLOWED, ALLOWED),
        },
        "decided" => match (record.detail.get("receipt"), text("state")) {
            (Some(receipt), _) => match receipt.get("decision").and_then(Value::as_str) {
                Some("approve") => (ALLOWED, (8, "Approved")),
                Some("edit") => (MODIFIED, (11, "Corrected")),
                Some("escalate") => (MODIFIED, (14, "Delayed")),
                _ => (DENIED, (25, "Rejected")),
            },
            (None, Some(_)) => (DENIED, (6, "Dropped")),
            (None, None) => return None,
        },
        "refused" => (DENIED, (2, "Blocked")),
        "settled" => (ALLOWED, ALLOWED),
        "reverted" => match text("result")? {
            "reverted" => (MODIFIED, (9, "Restored")),
            "waiting" => return None,
            _ => (OBSERVED, (13, "Uncorrected")),
        },
        _ => return None,
    })
}

/// The event of one entry; `None` for entries that are not about a call.
pub fn event(hit: &Hit) -> Option<Value> {
    let Hit { record, about, .. } = hit;
    let about = about.as_deref();
    let (action, disposition) = verdict(record, about)?;
    let own = |name: &str| record.detail.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let of = |name: &str, of_call: fn(&About) -> &str| {
        own(name).or(about.map(of_call).filter(|text| !text.is_empty())).unwrap_or("unknown").to_owned()
    };
    let (principal, session) = (of("principal", |it| &it.principal), of("session", |it| &it.session));
    let (server, class) = (of("server", |it| &it.server), of("class", |it| &it.class));
    let tool = own("tool_name").or(own("tool")).or(about.map(|it| it.tool.as_str())).unwrap_or("unknown");
    let (activity, activity_name) =
        if class == "read_only" { (2, "Read".to_owned()) } else { (99, class.clone()) };
    let call = record.call.as_deref().or(about.map(|about| about.call.as_str()));
    let mut event = json!({
        "activity_id": activity,
        "activity_name": activity_name,
        "category_uid": 6,
        "category_name": "Application Activity",
        "class_uid": 6003,
        "class_name": "API Activity",
        "type_uid": 600_300 + activity,
        "time": record.at,
        "message": format!("{tool} on {server}: {}", disposition.1),
        "action_id": action.0,
        "action": action.1,
        "disposition_id": disposition.0,
        "disposition": disposition.1,
        "metadata": {
            "version": VERSION,
            "product": { "name": "Herma", "vendor_name": "Herma", "version": env!("CARGO_PKG_VERSION") },
            "profiles": ["security_control"],
            "log_name": "ledger",
            "event_code": record.step,
            "sequence": record.seq,
            "uid": record.seq.to_string(),
        },
        "actor": {
            "app_name": principal,
            "session": { "uid": session },
        },
        "api": {
            "operation": tool,
            "service": { "name": server },
        },
        "src_endpoint": { "name": principal },
        "dst_endpoint": { "svc_name": server },
    });
    let Value::Object(fields) = &mut event else { return None };
    if let Some(Value::Object(metadata)) = fields.get_mut("metadata")
        && let Some(call) = call
    {
        metadata.insert("correlation_uid".into(), call.into());
    }
    add_risk(fields, about);
    add_outcome(fields, record);
    add_people(fields, record);
    fields.insert("unmapped".into(), Value::Object(unmapped(record, about, class)));
    Some(event)
}

fn add_risk(fields: &mut Map<String, Value>, about: Option<&About>) {
    let (id, name) = match about {
        Some(about) if about.crisis_sensitive => (5, "Critical"),
        Some(about) if about.risk_score > 0.6 => (4, "High"),
        Some(about) if about.risk_score >= 0.25 => (3, "Medium"),
        Some(_) => (1, "Informational"),
        None => (0, "Unknown"),
    };
    fields.insert("severity_id".into(), id.into());
    fields.insert("severity".into(), name.into());
    if let Some(about) = about {
        // OCSF counts both in whole numbers up to a hundred.
        fields.insert("risk_score".into(), hundredths(about.risk_score).into());
        fields.insert("confidence_score".into(), hundredths(about.confidence).into());
        fields.insert("policy".into(), json!({ "name": about.rule, "version": about.policy }));
    }
}

fn hundredths(value: f64) -> i64 {
    // Between 0 and 1 by construction; whatever else a line holds is cut to that.
    (value.clamp(0.0, 1.0) * 100.0).round() as i64
}

fn add_outcome(fields: &mut Map<String, Value>, record: &Record) {
    let outcome = record.detail.get("outcome").and_then(Value::as_str);
    let (id, name) = match outcome {
        Some("ok" | "passed") => (1, "Success"),
        Some("error" | "failed") => (2, "Failure"),
        _ => (0, "Unknown"),
    };
    fields.insert("status_id".into(), id.into());
    fields.insert("status".into(), name.into());
    if let Some(outcome) = outcome {
        fields.insert("status_detail".into(), outcome.into());
    }
    // `duration` counts milliseconds.
    if let Some(took) = record.detail.get("took_us").and_then(Value::as_u64) {
        fields.insert("duration".into(), (took / 1000).into());
    }
}

fn add_people(fields: &mut Map<String, Value>, record: &Record) {
    let Some(approver) = record.detail.get("receipt").and_then(|receipt| receipt.get("approver")) else {
        return;
    };
    let decision = format!("decided by {}", approver.get("id").and_then(Value::as_str).unwrap_or("unknown"));
    fields.insert("authorizations".into(), json!([{ "decision": decision }]));
}

fn unmapped(record: &Record, about: Option<&About>, class: String) -> Map<String, Value> {
    let mut unmapped = Map::new();
    unmapped.insert("side_effect_class".into(), class.into());
    if let Some(about) = about {
        unmapped.insert("route".into(), about.route.as_str().into());
        unmapped.insert("grant".into(), about.grant.as_str().into());
        unmapped.insert("carrier".into(), about.carrier.as_str().into());
        unmapped.insert("crisis_sensitive".into(), about.crisis_sensitive.into());
    }
    for name in ["arguments_digest", "digest", "hold", "receipt", "reasons", "why", "took_us"] {
        if let Some(value) = record.detail.get(name) {
            unmapped.insert(name.into(), value.clone());
        }
    }
    unmapped
}
