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
    let itself = verify_against(later.path(), &public, Some(("kept", &kept))).unwrap();
    assert_eq!(
        (itself.problems, itself.continued),
        (vec![], Some(Continued { from: 60, to: 60, hashes: 0 }))
    );

    // Rewritten and signed anew from the first entry on: the past is on its side, the kept checkpoint is not.
    let forged = TempDir::new().unwrap();
    let mut journal = Journal::open(forged.path(), key(), ORIGIN).unwrap();
    journal.append((0..70).map(|number| entry(number + 1)).collect::<Vec<_>>().iter()).unwrap();
    journal.sign().unwrap();
    drop(journal);
    assert_eq!(check(forged.path()).problems, []);
    let forged = verify_against(forged.path(), &public, Some(("kept", &kept))).unwrap();
    assert!(forged.problems.iter().any(|problem| matches!(problem, Problem::Root { size: 60, .. })));
    let inconsistent = |problem: &Problem| matches!(problem, Problem::Inconsistent { from: 60, to: 70, .. });
    assert!(forged.problems.iter().any(inconsistent) && forged.continued.is_none());
}

#[test]
fn what_was_signed_once_leads_to_what_is_signed_now_and_to_nothing_else() {
    let sizes = [0, 1, 7, 255, 256, 257, 300, 512, 700];
    let (dir, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut journal = Journal::open(dir.path(), key(), ORIGIN).unwrap();
    let mut kept = Vec::new();
    for number in 0..=700 {
        if sizes.contains(&number) {
            journal.sign().unwrap();
            kept.push((number, journal.head().note.clone()));
        }
        journal.append([entry(number)].iter()).unwrap();
    }
    journal.sign().unwrap();
    drop(journal);
    let mut journal = Journal::open(other.path(), key(), ORIGIN).unwrap();
    journal.append((0..900).map(|number| entry(number + 1)).collect::<Vec<_>>().iter()).unwrap();
    journal.sign().unwrap();
    drop(journal);

    let public = key().verifying_key();
    let elsewhere = fs::read(other.path().join("checkpoint")).unwrap();
    for (size, note) in &kept {
        let proof = prove_consistency(dir.path(), &public, note.as_bytes()).unwrap();
        let (old, new) = check_consistency(&proof, note.as_bytes(), &public).unwrap();
        assert_eq!((old.size, new.size), (*size, 701));
        let report = verify_against(dir.path(), &public, Some(("kept", note.as_bytes()))).unwrap();
        let hashes = proof.lines().skip(1).take_while(|line| !line.is_empty()).count();
        assert_eq!(report.continued, Some(Continued { from: *size, to: 701, hashes }));
        // The ledger that was forged has signed heads as well: from them nothing leads on here, and nothing back.
        assert!(prove_consistency(dir.path(), &public, &elsewhere).is_err());
        assert!(check_consistency(&proof, &elsewhere, &public).is_err());
        assert_eq!(prove_consistency(other.path(), &public, note.as_bytes()).is_ok(), *size == 0, "{size}");
        // A hash that is missing or too many is no proof.
        let more = proof.replacen("\n\n", &format!("\n{}\n\n", old.root), 1);
        assert!(check_consistency(&more, note.as_bytes(), &public).is_err(), "{size}");
        if hashes > 0 {
            let (_, rest) = proof.split_once('\n').unwrap();
            let less = format!("old {size}\n{}", rest.split_once('\n').unwrap().1);
            assert!(check_consistency(&less, note.as_bytes(), &public).is_err(), "{size}");
        }
    }
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

/// Holds events against the published schema of their class, and the words beside numbers against its captions.
struct Published {
    schema: Value,
    schemas: boon::Schemas,
    class: boon::SchemaIndex,
}

impl Published {
    fn open() -> Self {
        const HERE: &str = "http://schema.invalid/api_activity.json";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/ocsf/api_activity.json");
        let mut schema: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        schema.as_object_mut().unwrap().remove("$id");
        let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
        compiler.add_resource(HERE, schema.clone()).unwrap();
        let class = compiler.compile(HERE, &mut schemas).unwrap();
        Self { schema, schemas, class }
    }

    fn check(&self, event: &Value) -> Result<(), String> {
        self.schemas.validate(event, self.class).map_err(|error| format!("{error:#}"))?;
        for (number, of) in self.schema["captions"].as_object().unwrap() {
            // 99 stands for what the schema has no word for.
            let (Some(value), Some(said)) = (event.get(number), event.get(of["sibling"].as_str().unwrap()))
            else {
                continue;
            };
            if *value != 99 && *said != of["enum"][value.to_string()] {
                return Err(format!("{number} {value} is not {said}"));
            }
        }
        let uid = |name: &str| event[name].as_i64().unwrap();
        if uid("type_uid") != uid("class_uid") * 100 + uid("activity_id") {
            return Err("type_uid".to_owned());
        }
        Ok(())
    }
}

/// Whatever became of the call's own lines: it may have run days before.
fn reverted(call: &str, at: i64, result: &str) -> Entry {
    let entry = Entry::new(at, Step::Reverted).of(call).with("by", "ann").with("principal", "hermes");
    entry.with("result", result).with("server", "box").with("session", "s-1").with("tool_name", "edit_file")
}

/// A call for each disposition there is.
fn every_end(dir: &Path) {
    let entries = [
        routed("c-1", 1, "hermes", "read_file", "execute").with("outcome", "ok").with("took_us", 2000_u64),
        routed("c-2", 2, "hermes", "send_mail", "gate"),
        Entry::new(3, Step::Held).of("c-2").with("hold", "h-2"),
        decided("h-2", 4, "escalate", "ann"),
        decided("h-2", 5, "approve", "bob"),
        Entry::new(6, Step::Forwarded).of("c-2").with("hold", "h-2"),
        Entry::new(7, Step::Settled).of("c-2").with("outcome", "failed").with("took_us", 1500_u64),
        routed("c-3", 8, "other", "edit_file", "gate").with("crisis_sensitive", true),
        Entry::new(9, Step::Held).of("c-3").with("hold", "h-3"),
        decided("h-3", 10, "edit", "bob"),
        routed("c-4", 11, "other", "send_mail", "gate"),
        Entry::new(12, Step::Held).of("c-4").with("hold", "h-4"),
        decided("h-4", 13, "deny", "bob"),
        routed("c-5", 14, "other", "send_mail", "gate"),
        Entry::new(15, Step::Held).of("c-5").with("hold", "h-5"),
        Entry::new(16, Step::Decided).with("hold", "h-5").with("state", "expired"),
        routed("c-6", 17, "other", "drop_table", "block").with("grant", "refused"),
        routed("c-7", 18, "other", "drop_table", "block"),
        routed("c-8", 19, "other", "tidy", "execute").with("would", "gate"),
        Entry::new(20, Step::Refused).with("server", "box").with("tool_name", "odd").with("why", "two names"),
        reverted("c-1", 21, "reverted"),
        reverted("c-1", 22, "conflict"),
    ];
    let mut journal = Journal::open(dir, key(), ORIGIN).unwrap();
    journal.append(entries.iter()).unwrap();
    journal.sign().unwrap();
}

fn events(dir: &Path) -> Vec<Value> {
    let mut events = Vec::new();
    crate::ledger::search(dir, &Query::default(), 0, |found| {
        let Found::Hit(hit) = found else { panic!("{found:?}") };
        events.extend(ocsf::event(&hit));
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    events
}

#[test]
fn every_ocsf_event_fits_the_published_schema_and_says_what_was_done() {
    let dir = TempDir::new().unwrap();
    every_end(dir.path());
    let events = events(dir.path());
    let published = Published::open();
    for event in &events {
        published.check(event).unwrap_or_else(|error| panic!("{error}\n{event:#}"));
    }
    let told: Vec<_> = events
        .iter()
        .map(|event| ["/api/operation", "/action", "/disposition"].map(|at| event.pointer(at).unwrap()))
        .collect();
    let expected = [
        ["read_file", "Allowed", "Allowed"],
        ["send_mail", "Modified", "Delayed"],
        ["send_mail", "Modified", "Delayed"],
        ["send_mail", "Allowed", "Approved"],
        ["send_mail", "Allowed", "Allowed"],
        ["edit_file", "Modified", "Delayed"],
        ["edit_file", "Modified", "Corrected"],
        ["send_mail", "Modified", "Delayed"],
        ["send_mail", "Denied", "Rejected"],
        ["send_mail", "Modified", "Delayed"],
        ["send_mail", "Denied", "Dropped"],
        ["drop_table", "Denied", "Unauthorized"],
        ["drop_table", "Denied", "Blocked"],
        ["tidy", "Observed", "Logged"],
        ["odd", "Denied", "Blocked"],
        ["edit_file", "Modified", "Restored"],
        ["edit_file", "Observed", "Uncorrected"],
    ];
    assert_eq!(told, expected);
    assert_eq!(events[0]["risk_score"], 10);
    assert_eq!(events[3]["authorizations"][0]["decision"], "decided by bob");
    assert_eq!(events[3]["actor"]["app_name"], "hermes");
    assert_eq!(events[4]["status"], "Failure");
}

#[test]
fn what_the_published_schema_does_not_have_would_be_found() {
    let dir = TempDir::new().unwrap();
    every_end(dir.path());
    let event = &events(dir.path())[0];
    let published = Published::open();
    let with = |pointer: &str, value: Value| {
        let mut event = event.clone();
        *event.pointer_mut(pointer).unwrap() = value;
        published.check(&event)
    };
    let without = |object: &str, name: &str| {
        let mut event = event.clone();
        event.pointer_mut(object).unwrap().as_object_mut().unwrap().remove(name).unwrap();
        published.check(&event)
    };
    published.check(event).unwrap();
    for name in
        ["activity_id", "actor", "api", "class_uid", "metadata", "severity_id", "src_endpoint", "time"]
    {
        assert!(without("", name).is_err(), "{name}");
    }
    assert!(without("/metadata", "product").is_err() && without("/api", "operation").is_err());
    assert!(with("/time", json!("now")).is_err() && with("/disposition_id", json!(77)).is_err());
    assert!(with("/risk_score", json!(0.1)).is_err() && with("/action", json!("Denied")).is_err());
    assert!(with("/actor", json!({})).is_err() && with("/src_endpoint", json!({ "agent": "x" })).is_err());
}
