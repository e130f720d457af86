//! Finding entries again, and handing them to other programs.

use serde_json::{Value, json};

use super::*;
use crate::ledger::query::{Found, Page, Paging, Query, query};

const DAY: i64 = 86_400_000;

fn routed(call: &str, at: i64, agent: &str, tool: &str, route: &str) -> Entry {
    Entry::new(at, Step::Routed)
        .of(call)
        .with("arguments_digest", format!("{:0>64}", call))
        .with("class", if route == "execute" { "read_only" } else { "critical" })
        .with("confidence", 0.9)
        .with("grant", "absent")
        .with("policy", "p1")
        .with("principal", agent)
        .with("risk_score", if route == "execute" { 0.1 } else { 0.8 })
        .with("route", route)
        .with("rule", "risk")
        .with("server", "box")
        .with("session", "s-1")
        .with("tool_name", tool)
}

fn decided(hold: &str, at: i64, decision: &str, by: &str) -> Entry {
    let receipt = json!({ "hold": hold, "decision": decision, "call_digest": "abcdef0123456789", "approver": { "id": by, "method": "terminal" } });
    Entry::new(at, Step::Decided).with("receipt", receipt)
}

/// Two agents, one call that ran, one approved, one denied, one blocked.
fn story(dir: &Path) {
    let held = |call: &str, at, hold: &str| Entry::new(at, Step::Held).of(call).with("hold", hold);
    let settled = |call: &str, at| {
        Entry::new(at, Step::Settled).of(call).with("outcome", "ok").with("took_us", 1500_u64)
    };
    let entries = [
        Entry::new(1, Step::Started),
        routed("c-1", DAY, "hermes", "read_file", "execute").with("outcome", "ok").with("took_us", 2000_u64),
        routed("c-2", DAY + 1, "hermes", "send_mail", "gate"),
        held("c-2", DAY + 2, "h-2"),
        routed("c-3", DAY + 3, "other", "send_mail", "gate"),
        held("c-3", DAY + 4, "h-3"),
        decided("h-2", 2 * DAY, "approve", "ann"),
        Entry::new(2 * DAY + 1, Step::Forwarded).of("c-2").with("hold", "h-2"),
        settled("c-2", 2 * DAY + 2),
        decided("h-3", 2 * DAY + 3, "deny", "bob"),
        routed("c-4", 3 * DAY, "other", "drop_table", "block").with("grant", "refused"),
    ];
    let mut journal = Journal::open(dir, key(), ORIGIN).unwrap();
    journal.append(entries.iter()).unwrap();
    journal.sign().unwrap();
}

fn found(dir: &Path, wanted: &Query) -> Vec<u64> {
    page(dir, wanted, None, false, 100).hits.iter().map(|hit| hit.record.seq).collect()
}

fn page(dir: &Path, wanted: &Query, from: Option<u64>, newest_first: bool, limit: usize) -> Page {
    query(dir, wanted, Paging { from, newest_first, limit }).unwrap()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn a_call_is_found_with_its_decision_and_its_end() {
    let dir = TempDir::new().unwrap();
    story(dir.path());
    let of = |query: Query| found(dir.path(), &query);
    assert_eq!(of(Query { agent: some("hermes"), ..Query::default() }), [1, 2, 3, 6, 7, 8]);
    assert_eq!(of(Query { tool: some("send_*"), ..Query::default() }), [2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(of(Query { route: some("block"), ..Query::default() }), [10]);
    assert_eq!(of(Query { approver: some("ann"), ..Query::default() }), [6]);
    assert_eq!(of(Query { agent: some("other"), step: some("decided"), ..Query::default() }), [9]);
    assert_eq!(of(Query { agent: some("hermes"), approver: some("bob"), ..Query::default() }), [0; 0]);
    assert_eq!(of(Query { call: some("c-3"), ..Query::default() }), [4, 5, 9]);
    assert_eq!(of(Query { digest: some("abcdef01"), ..Query::default() }), [6, 9]);
    assert_eq!(of(Query { since: Some(2 * DAY), until: Some(3 * DAY), ..Query::default() }), [6, 7, 8, 9]);
    let agent_later = Query { agent: some("hermes"), since: Some(2 * DAY), ..Query::default() };
    assert_eq!(of(agent_later), [6, 7, 8]);
}

#[test]
fn pages_follow_each_other_in_both_directions_without_loss() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 9_000, &[9_000]);
    for newest_first in [false, true] {
        let mut seen = Vec::new();
        let mut from = None;
        loop {
            let page = page(dir.path(), &Query::default(), from, newest_first, 700);
            seen.extend(page.hits.iter().map(|hit| hit.record.seq));
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        let mut expected: Vec<u64> = (0..9_000).collect();
        if newest_first {
            expected.reverse();
        }
        assert_eq!(seen, expected, "newest first: {newest_first}");
    }
}

#[test]
fn missing_and_unreadable_entries_are_shown_where_they_should_be() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 10, &[10]);
    let file = dir.path().join("entries/000000.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    let mut lines: Vec<_> = text.lines().collect();
    lines[7] = "not an entry";
    lines.drain(3..5);
    fs::write(&file, lines.join("\n") + "\n").unwrap();
    let page = page(dir.path(), &Query::default(), None, false, 100);
    assert_eq!(page.hits.iter().map(|hit| hit.record.seq).collect::<Vec<_>>(), [0, 1, 2, 5, 6, 8, 9]);
    let gaps: Vec<_> = page.gaps.iter().map(|gap| (gap.first, gap.last, gap.unreadable.is_some())).collect();
    assert_eq!(gaps, [(3, 4, false), (5, 5, true), (6, 7, false)]);
}

#[test]
fn a_ledger_put_back_to_an_earlier_state_contradicts_a_checkpoint_kept_elsewhere() {
    let (dir, later) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    write(dir.path(), 40, &[20, 40]);
    write(later.path(), 60, &[20, 40, 60]);
    let kept = fs::read(later.path().join("checkpoint")).unwrap();
    let public = key().verifying_key();
    let rolled_back = verify_against(dir.path(), &public, Some(("kept", &kept))).unwrap();
    let said: Vec<_> = rolled_back.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        ["kept: covers 60 entries, and nothing signed here covers as many", "entries 40 to 59 are missing"]
    );
    let continued = verify_against(later.path(), &public, Some(("kept", &kept))).unwrap();
    assert_eq!(continued.problems, []);

    // Rewritten and signed anew from the first entry on: the past is on its side, the kept checkpoint is not.
    let forged = TempDir::new().unwrap();
    let mut journal = Journal::open(forged.path(), key(), ORIGIN).unwrap();
    journal.append((0..70).map(|number| entry(number + 1)).collect::<Vec<_>>().iter()).unwrap();
    journal.sign().unwrap();
    drop(journal);
    assert_eq!(check(forged.path()).problems, []);
    let forged = verify_against(forged.path(), &public, Some(("kept", &kept))).unwrap();
    assert!(forged.problems.iter().any(|problem| matches!(problem, Problem::Root { size: 60, .. })));
}

#[test]
fn a_proof_carries_its_entry_and_another_entry_does_not_fit_it() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 300, &[300]);
    let public = key().verifying_key();
    let proof = prove(dir.path(), &public, 7).unwrap();
    let entry = entry_of(&proof).unwrap();
    assert_eq!(check_proof(&proof, &entry, &public).unwrap().0, 7);
    let changed = String::from_utf8(entry).unwrap().replace("call-7", "call-8");
    assert!(check_proof(&proof, changed.as_bytes(), &public).is_err());
}

/// The part of the published schema that is used, as it stands in `fixtures/ocsf`.
fn schema() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/ocsf/api_activity.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn fit(schema: &Value, kind: &Value, value: &Value, place: &str) {
    let kinds = kind.as_object().unwrap();
    let fields = value.as_object().unwrap_or_else(|| panic!("{place} is no object"));
    for (name, kind) in kinds {
        let required = kind.as_str().unwrap().ends_with('!');
        assert!(!required || fields.contains_key(name), "{place}.{name} is required");
    }
    for (name, value) in fields {
        let place = format!("{place}.{name}");
        let kind = kinds.get(name).unwrap_or_else(|| panic!("{place} is not in the schema"));
        let mut words = kind.as_str().unwrap().trim_end_matches('!').split(' ');
        match (words.next().unwrap(), words.next()) {
            ("string", _) => assert!(value.is_string(), "{place}"),
            ("integer", _) => assert!(value.is_i64(), "{place}"),
            ("enum", Some(of)) => {
                let caption = &schema["enums"][of][value.to_string()];
                assert!(caption.is_string(), "{place}: {value}");
                // The name beside a number is the number's, except for 99, which stands for any other.
                let sibling =
                    fields.get(&name.replace("_id", "")).or(fields.get(&name.replace("_id", "_name")));
                assert!(value == 99 || sibling == Some(caption), "{place}: {sibling:?} for {caption}");
            }
            ("object", Some(of)) => fit(schema, &schema["objects"][of], value, &place),
            ("array", Some("string")) => {
                assert!(value.as_array().unwrap().iter().all(Value::is_string), "{place}");
            }
            ("array", Some(of)) => {
                for value in value.as_array().unwrap() {
                    fit(schema, &schema["objects"][of], value, &place);
                }
            }
            _ => {}
        }
    }
}

#[test]
fn every_ocsf_event_fits_the_schema_and_says_what_was_done() {
    let dir = TempDir::new().unwrap();
    story(dir.path());
    let mut events = Vec::new();
    crate::ledger::search(dir.path(), &Query::default(), 0, |found| {
        let Found::Hit(hit) = found else { panic!("{found:?}") };
        events.extend(ocsf::event(&hit));
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    let schema = schema();
    for event in &events {
        fit(&schema, &schema["class"], event, "event");
        assert_eq!(
            event["type_uid"],
            event["class_uid"].as_i64().unwrap() * 100 + event["activity_id"].as_i64().unwrap()
        );
    }
    let told: Vec<_> = events
        .iter()
        .map(|event| {
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            (event["api"]["operation"].as_str().unwrap().to_owned(), text("action"), text("disposition"))
        })
        .collect();
    let expected = [
        ("read_file", "Allowed", "Allowed"),
        ("send_mail", "Modified", "Delayed"),
        ("send_mail", "Modified", "Delayed"),
        ("send_mail", "Allowed", "Approved"),
        ("send_mail", "Allowed", "Allowed"),
        ("send_mail", "Denied", "Rejected"),
        ("drop_table", "Denied", "Unauthorized"),
    ];
    assert_eq!(told, expected.map(|(tool, action, word)| (tool.into(), action.into(), word.into())));
    assert_eq!(events[0]["risk_score"], 10);
    assert_eq!(events[3]["authorizations"][0]["decision"], "decided by ann");
    assert_eq!(events[3]["actor"]["app_name"], "hermes");
}
