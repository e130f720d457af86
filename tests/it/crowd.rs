//! Ten thousand calls that wait: people still find the one that matters, and nobody else is slowed down.
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::{
    browser::Browser,
    house::Plan,
    wire::{Upstream, soon},
};

const RULES: &str = r#"
[operator]
listen = "127.0.0.1:0"
[[rule]]
id = "quick"
tool = "look"
route = "execute"
[[rule]]
id = "gated"
tool = "*"
route = "gate"
"#;

const WAITS: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"send_mail","arguments":{"to":"ann"}}}"#;
const RUNS: &str =
    r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"look","arguments":{"at":"x"}}}"#;

/// The best of three: the machine may be busy with something else.
async fn took<T, F: Future<Output = T>>(what: impl Fn() -> F) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let begun = Instant::now();
        what().await;
        best = best.min(begun.elapsed());
    }
    best
}

#[tokio::test]
async fn ten_thousand_calls_that_wait_slow_nobody_down_and_hide_no_crisis() {
    let upstream = Upstream::open().await;
    let mut house = Plan::default().url("x", &upstream.url).rules(RULES).open().await;
    let _log = upstream.answer_everything();
    let client = house.endpoint("x");
    let agent = tokio::spawn(async move { client.post(WAITS).await.json().await });
    house.held().await;
    house.kill().await;
    agent.abort();
    let database = Connection::open(house.path().join("herma.db")).unwrap();
    database
        .execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
             INSERT INTO holds SELECT 'h-n' || i, 'key' || i, digest, state, version, created_ms + i,
                 expires_ms + 600000, 's' || i, 'agent' || (i % 300), server, tool, class, i = 9999, shown, decision,
                 decided_ms, count, needs, approvals, escalated, edited FROM holds, n;",
        )
        .unwrap();
    drop(database);
    house.start().await;

    let ada = Browser::paired(&house, "ada").await;
    let inbox = ada.get("/op/v1/inbox").await.good();
    assert_eq!(inbox["figures"]["pending"], 10_001);
    assert_eq!(inbox["groups"][0]["group"], "crisis");
    assert_eq!(inbox["groups"][0]["rows"][0]["id"], "h-n9999");
    assert_eq!(inbox["groups"][1]["more"], 10_000 - 50);

    let page = took(|| async { assert_eq!(ada.get("/").await.status(), 200) }).await;
    assert!(page < Duration::from_secs(1), "the inbox took {page:?}");
    let hold = took(|| async { ada.get("/op/v1/holds/h-n17").await.good() }).await;
    assert!(hold < Duration::from_secs(1), "a hold took {hold:?}");
    let other = took(|| async { house.endpoint("x").post(RUNS).await.json().await }).await;
    assert!(other < Duration::from_millis(500), "a call that need not wait took {other:?}");

    let status = std::fs::read_to_string(format!("/proc/{}/status", house.daemon_pid())).unwrap();
    let kib: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok())
        .unwrap();
    println!("inbox {page:?}, hold {hold:?}, other call {other:?}, {} MiB", kib / 1024);
    assert!(kib < 256 << 10, "{kib} KiB");

    let listing: Vec<_> =
        (0..60).map(|_| async { ada.open(&ada.bytes("GET", "/op/v1/events", &[], "")).await }).collect();
    let mut refused = 0;
    let mut open = Vec::new();
    for one in listing {
        let reply = soon("an answer", one).await;
        refused += u32::from(reply.head.status() == 503);
        open.push(reply);
    }
    assert!(refused >= 10, "nobody counts who listens: {refused}");
    ada.get("/op/v1/me").await.good();
}
