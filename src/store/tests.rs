use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;

fn open(dir: &TempDir) -> Sqlite {
    Sqlite::open(dir.path()).unwrap()
}

/// A hold of a call that waits for the first look.
pub(crate) fn hold(id: &str) -> HoldRow {
    HoldRow {
        id: id.into(),
        key: format!("key of {id}"),
        digest: "d1".into(),
        state: HoldState::Pending,
        version: 1,
        created_ms: 1000,
        expires_ms: 2000,
        session: "s".into(),
        principal: "p".into(),
        server: "mail".into(),
        tool: "send".into(),
        class: "external".into(),
        crisis: true,
        shown: "{}".into(),
        decision: None,
        decided_ms: None,
        count: 1,
        needs: "{}".into(),
        approvals: 0,
        escalated: 0,
        edited: None,
    }
}

fn review(id: &str, created_ms: i64) -> ReviewRow {
    ReviewRow {
        id: id.into(),
        call: "c".into(),
        state: ReviewState::Open,
        version: 1,
        created_ms,
        expires_ms: 9000,
        session: "s".into(),
        server: "files".into(),
        tool: "write".into(),
        shown: "{}".into(),
        undo: Some("{\"kind\":\"preimage\"}".into()),
        verdict: None,
        reviewed_ms: None,
    }
}

fn raw(dir: &TempDir) -> Connection {
    Connection::open(dir.path().join(sqlite::FILE)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_decisions_one_counts() {
    let dir = TempDir::new().unwrap();
    let store = Arc::new(open(&dir));
    store.insert_hold(hold("h"), None).await.unwrap();
    let tasks: Vec<_> = (0..100)
        .map(|number| {
            let store = Arc::clone(&store);
            let next = [HoldState::Approved, HoldState::Denied][number % 2];
            let change =
                HoldChange { decision: Some(format!("{{\"by\":{number}}}")), ..HoldChange::to(next) };
            tokio::spawn(async move { store.change_hold("h", 1, change).await })
        })
        .collect();
    let mut won = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Ok(row) => won.push(row),
            Err(error) => assert!(matches!(error, StoreError::Stale { current: 2 }), "{error}"),
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(store.hold("h").await.unwrap(), won.pop());
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    store.insert_hold(hold("h"), Some(b"{\"to\":1}".to_vec())).await.unwrap();
    let change = HoldChange {
        decision: Some("{}".into()),
        decided_ms: Some(1500),
        count: Some(3),
        ..HoldChange::to(HoldState::Approved)
    };
    let approved = store.change_hold("h", 1, change).await.unwrap();
    store.put_definition("mail", "send", "d1", "{}").await.unwrap();
    let latch = Latch { key: "person".into(), since_ms: 7, by: "scoring".into(), reason: "words".into() };
    store.set_latch(latch.clone()).await.unwrap();
    store.enqueue_review(review("r", 5)).await.unwrap();
    drop(store);

    let store = open(&dir);
    assert_eq!((approved.version, approved.count), (2, 3));
    assert_eq!(store.hold("h").await.unwrap(), Some(approved.clone()));
    assert_eq!(store.find_open("key of h").await.unwrap(), Some(approved));
    assert_eq!(store.arguments("h").await.unwrap().unwrap(), b"{\"to\":1}");
    let pinned = store.put_definition("mail", "send", "d2", "{}").await.unwrap();
    assert_eq!(pinned, Pinned::Changed { first: "d1".into() });
    assert_eq!(store.latches().await.unwrap(), [latch]);
    let reviews = store.reviews(ReviewState::Open, 10).await.unwrap();
    assert_eq!(reviews, [review("r", 5)]);
}

#[tokio::test]
async fn equal_calls_that_race_open_one_hold() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let twin = HoldRow { key: hold("a").key, ..hold("b") };
    store.insert_hold(hold("a"), None).await.unwrap();
    let error = store.insert_hold(twin.clone(), Some(vec![1])).await.unwrap_err();
    assert!(matches!(error, StoreError::Exists { .. }), "{error}");
    assert_eq!(store.arguments("b").await.unwrap(), None);

    let denied = HoldChange::to(HoldState::Denied);
    store.change_hold("a", 1, denied).await.unwrap();
    assert_eq!(store.find_open(&twin.key).await.unwrap(), None);
    store.insert_hold(twin, None).await.unwrap();
}

#[tokio::test]
async fn a_hold_cannot_leave_its_life() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    for from in HoldState::ALL {
        for to in HoldState::ALL {
            let id = format!("{from} to {to}");
            let row = HoldRow { state: from, ..hold(&id) };
            store.insert_hold(row, None).await.unwrap();
            let changed = store.change_hold(&id, 1, HoldChange::to(to)).await;
            match changed {
                Ok(row) => assert!(from.may_become(to) && row.state == to, "{id}"),
                Err(StoreError::Forbidden { .. }) => assert!(!from.may_become(to), "{id}"),
                Err(error) => panic!("{id}: {error}"),
            }
        }
    }
    let error = store.change_hold("nobody", 1, HoldChange::default()).await.unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
}

#[test]
fn the_life_of_a_hold_is_this_table() {
    let may = |from: HoldState| {
        HoldState::ALL
            .into_iter()
            .filter(|to| from.may_become(*to))
            .map(HoldState::as_str)
            .collect::<Vec<_>>()
    };
    assert_eq!(may(HoldState::Pending), ["approved", "denied", "expired", "abandoned", "superseded"]);
    assert_eq!(may(HoldState::Approved), ["expired", "forwarding"]);
    assert_eq!(may(HoldState::Forwarding), ["superseded", "executed", "failed", "unknown"]);
    for end in HoldState::ALL.into_iter().filter(|state| may(*state).is_empty()) {
        assert!(!HoldState::OPEN.contains(&end));
        assert_ne!(end, HoldState::Forwarding);
    }
    for state in HoldState::ALL {
        assert_eq!(state.as_str().parse(), Ok(state));
    }
    for state in ReviewState::ALL {
        assert_eq!(state.as_str().parse(), Ok(state));
    }
}

#[tokio::test]
async fn holds_are_found_by_state_session_and_age() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    for (number, id) in (1..).zip(["a", "b", "c", "d"]) {
        let row =
            HoldRow { created_ms: number, session: if id == "d" { "other" } else { "s" }.into(), ..hold(id) };
        store.insert_hold(row, None).await.unwrap();
    }
    store.change_hold("b", 1, HoldChange::to(HoldState::Denied)).await.unwrap();
    let ids = async |filter| {
        let rows = store.holds(filter).await.unwrap();
        rows.into_iter().map(|row| row.id).collect::<String>()
    };
    assert_eq!(ids(HoldFilter::default()).await, "dcba");
    let pending = HoldFilter {
        states: vec![HoldState::Pending, HoldState::Approved],
        order: Order::OldestFirst,
        limit: Some(2),
        ..HoldFilter::default()
    };
    assert_eq!(ids(pending.clone()).await, "ac");
    let session = HoldFilter { session: Some("other".into()), ..pending };
    assert_eq!(ids(session).await, "d");
}

#[tokio::test]
async fn the_first_definition_seen_is_pinned_until_a_person_accepts_another() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let put = async |digest| store.put_definition("mail", "send", digest, "{}").await.unwrap();
    assert_eq!(put("d1").await, Pinned::New);
    assert_eq!(put("d1").await, Pinned::Same);
    let changed = Pinned::Changed { first: "d1".into() };
    assert_eq!(put("d2").await, changed);
    assert_eq!(put("d2").await, changed);
    store.accept_definition("mail", "send", "d2", "{}").await.unwrap();
    assert_eq!(put("d2").await, Pinned::Same);
}

#[tokio::test]
async fn a_latch_stays_set_until_somebody_clears_it_and_its_history_stays() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let latch = |since_ms, reason: &str| Latch {
        key: "person".into(),
        since_ms,
        by: "scoring".into(),
        reason: reason.into(),
    };
    store.set_latch(latch(1, "first")).await.unwrap();
    store.set_latch(latch(2, "again")).await.unwrap();
    assert_eq!(store.latches().await.unwrap(), [latch(1, "first")]);
    assert!(store.clear_latch("person", "ann", "spoke with them", 3).await.unwrap());
    assert!(!store.clear_latch("person", "ann", "twice", 4).await.unwrap());
    assert_eq!(store.latches().await.unwrap(), []);
    let history = store.latch_history("person").await.unwrap();
    let told: Vec<_> = history.iter().map(|event| (event.at_ms, event.set, event.by.as_str())).collect();
    assert_eq!(told, [(1, true, "scoring"), (2, true, "scoring"), (3, false, "ann")]);
}

#[tokio::test]
async fn a_review_is_answered_once() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    store.enqueue_review(review("later", 2)).await.unwrap();
    store.enqueue_review(review("first", 1)).await.unwrap();
    let open = store.reviews(ReviewState::Open, 1).await.unwrap();
    assert_eq!(open[0].id, "first");
    let accept =
        ReviewChange { state: Some(ReviewState::Accepted), verdict: Some("{}".into()), reviewed_ms: Some(3) };
    let row = store.change_review("first", 1, accept.clone()).await.unwrap();
    assert_eq!((row.version, row.reviewed_ms), (2, Some(3)));
    let stale = store.change_review("first", 1, accept.clone()).await.unwrap_err();
    assert!(matches!(stale, StoreError::Stale { current: 2 }), "{stale}");
    let over = store.change_review("first", 2, accept).await.unwrap_err();
    assert!(matches!(over, StoreError::Forbidden { .. }), "{over}");
}

#[tokio::test]
async fn purged_arguments_leave_the_disk_and_open_holds_keep_theirs() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let secret = b"a sentence nobody else may read".to_vec();
    store.insert_hold(hold("done"), Some(secret.clone())).await.unwrap();
    store.insert_hold(hold("open"), Some(b"{}".to_vec())).await.unwrap();
    let young = HoldRow { created_ms: 5000, state: HoldState::Executed, ..hold("young") };
    store.insert_hold(young, Some(b"{}".to_vec())).await.unwrap();
    store.change_hold("done", 1, HoldChange::to(HoldState::Expired)).await.unwrap();

    assert_eq!(store.purge(5000).await.unwrap(), Purged { arguments: 1 });
    assert_eq!(store.arguments("done").await.unwrap(), None);
    assert!(store.arguments("open").await.unwrap().is_some());
    assert!(store.arguments("young").await.unwrap().is_some());
    for file in fs::read_dir(dir.path()).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret));
    }
}

#[test]
fn the_files_are_for_their_owner_only() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let _store = Sqlite::open(&data).unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(data.clone()), 0o700);
    for file in fs::read_dir(&data).unwrap() {
        assert_eq!(mode(file.unwrap().path()), 0o600);
    }
}

#[test]
fn a_file_of_the_first_schema_is_brought_up_to_date() {
    let dir = TempDir::new().unwrap();
    let old = raw(&dir);
    old.execute_batch(include_str!("sqlite/0001_holds.sql")).unwrap();
    old.execute_batch(
        "CREATE TABLE schema_version (version INTEGER NOT NULL) STRICT;
         INSERT INTO schema_version VALUES (1);
         INSERT INTO definitions VALUES ('mail', 'send', 'd1', '{}', 1);",
    )
    .unwrap();
    drop(old);
    drop(open(&dir));
    let migrated = raw(&dir);
    let count = |sql| migrated.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT version FROM schema_version"), 9);
    assert_eq!(count("SELECT count(*) FROM definitions"), 1);
    assert_eq!(count("SELECT count(*) FROM reviews"), 0);
    assert_eq!(count("SELECT count(*) FROM warrant_budgets"), 0);
    assert_eq!(count("SELECT count(*) FROM standing"), 0);
}

#[test]
fn a_file_of_a_newer_program_is_refused_in_words() {
    let dir = TempDir::new().unwrap();
    drop(open(&dir));
    raw(&dir).execute("UPDATE schema_version SET version = 99", []).unwrap();
    let error = Sqlite::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
    assert!(error.to_string().contains("update herma"), "{error}");
}

#[test]
fn a_file_that_is_no_database_is_refused_in_words() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join(sqlite::FILE), vec![b'x'; 8192]).unwrap();
    let error = Sqlite::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn damaged_pages_are_an_error_and_not_an_answer() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    store.insert_hold(hold("h"), Some(vec![7; 100_000])).await.unwrap();
    drop(store);
    let path = dir.path().join(sqlite::FILE);
    let mut bytes = fs::read(&path).unwrap();
    for byte in bytes.iter_mut().skip(4096) {
        *byte = 0xff;
    }
    fs::write(&path, bytes).unwrap();
    let error = match Sqlite::open(dir.path()) {
        Err(error) => error,
        Ok(store) => store.hold("h").await.unwrap_err(),
    };
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn a_state_this_program_does_not_know_is_an_error() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    store.insert_hold(hold("h"), None).await.unwrap();
    raw(&dir).execute("UPDATE holds SET state = 'blessed'", []).unwrap();
    let error = store.hold("h").await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("blessed"), "{error}");
}

#[tokio::test]
async fn a_database_locked_by_another_is_an_error_in_time() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let other = raw(&dir);
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let asked = Instant::now();
    let error = store.insert_hold(hold("h"), None).await.unwrap_err();
    assert!(matches!(error, StoreError::Locked(_)), "{error}");
    assert!(asked.elapsed() < Duration::from_secs(5));
    other.execute_batch("ROLLBACK").unwrap();
    store.insert_hold(hold("h"), None).await.unwrap();
}

#[test]
fn a_fresh_database_locked_by_another_is_an_error_in_time() {
    let dir = TempDir::new().unwrap();
    let other = raw(&dir);
    other.execute_batch("BEGIN EXCLUSIVE; CREATE TABLE other (x)").unwrap();
    let error = Sqlite::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Locked(_)), "{error}");
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_not_done() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let other = raw(&dir);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut first = store.insert_hold(hold("first"), None);
    let mut given_up = store.insert_hold(hold("given up"), None);
    for task in [&mut first, &mut given_up] {
        assert!(task.now_or_never().is_none());
    }
    drop(given_up);
    other.execute_batch("ROLLBACK").unwrap();
    first.await.unwrap();
    assert_eq!(store.hold("given up").await.unwrap(), None);
}

/// The letters of the holds whose view is still there, and of those whose arguments are.
async fn left(store: &Sqlite) -> (String, String) {
    let (mut views, mut arguments) = (String::new(), String::new());
    for id in ["a", "b", "c", "d"] {
        if !store.hold(id).await.unwrap().unwrap().shown.contains("erased") {
            views.push_str(id);
        }
        if store.arguments(id).await.unwrap().is_some() {
            arguments.push_str(id);
        }
    }
    (views, arguments)
}

#[tokio::test]
async fn what_is_kept_of_a_call_a_person_or_a_time_is_forgotten_and_what_waits_is_not() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let put = async |id: &str, created_ms, principal: &str, arguments: &str, over: bool| {
        let shown = serde_json::json!({ "call": format!("call-{id}") }).to_string();
        let row = HoldRow { created_ms, principal: principal.into(), shown, key: id.into(), ..hold(id) };
        store.insert_hold(row, Some(arguments.as_bytes().to_vec())).await.unwrap();
        if over {
            store.change_hold(id, 1, HoldChange::to(HoldState::Denied)).await.unwrap();
        }
    };
    put("a", 10, "hermes", r#"{"to":"Ann@Example.com"}"#, true).await;
    put("b", 20, "hermes", r#"{"to":"bob"}"#, true).await;
    put("c", 30, "ann@example.com", r#"{}"#, true).await;
    put("d", 40, "hermes", r#"{"to":"ann@example.com"}"#, false).await;

    let erased = store.erase(Erase::Person("ann@example.com".into())).await.unwrap();
    assert_eq!(erased, Erased { arguments: 2, previews: 2, salts: 0, kept: 1 });
    assert_eq!(left(&store).await, ("bd".into(), "bd".into()));
    let erased = store.erase(Erase::Call("call-b".into())).await.unwrap();
    assert_eq!((erased.arguments, erased.previews), (1, 1));
    assert_eq!(left(&store).await, ("d".into(), "d".into()));
    let erased = store.erase(Erase::Before(1000)).await.unwrap();
    assert_eq!(erased, Erased { kept: 1, ..Erased::default() });
    let bytes: Vec<u8> = std::fs::read_dir(dir.path())
        .unwrap()
        .flat_map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .collect();
    assert!(!bytes.windows(3).any(|at| at == b"bob"), "the bytes are still in the file");
}

#[tokio::test]
async fn a_day_keeps_its_salt_until_it_is_forgotten() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    assert_eq!(store.salt(3, [1; 32]).await.unwrap(), [1; 32]);
    assert_eq!(store.salt(3, [2; 32]).await.unwrap(), [1; 32]);
    assert_eq!(store.salt(4, [2; 32]).await.unwrap(), [2; 32]);
    // In the middle of the fourth day the third is over.
    assert_eq!(store.age(4 * 86_400_000 + 5).await.unwrap().salts, 1);
    assert_eq!(store.salt(3, [9; 32]).await.unwrap(), [9; 32]);
    assert_eq!(store.salt(4, [9; 32]).await.unwrap(), [2; 32]);
}

#[tokio::test]
async fn what_was_decided_long_ago_is_forgotten_whole() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    for (id, over) in [("a", true), ("b", false)] {
        store.insert_hold(HoldRow { key: id.into(), ..hold(id) }, Some(b"{}".to_vec())).await.unwrap();
        if over {
            store.change_hold(id, 1, HoldChange::to(HoldState::Denied)).await.unwrap();
        }
    }
    assert_eq!(store.forget_decided(i64::MAX).await.unwrap(), 1);
    assert!(store.hold("a").await.unwrap().is_none());
    assert!(store.hold("b").await.unwrap().is_some());
}
