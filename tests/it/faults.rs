//! What breaks, breaks closed: nothing runs unseen, and whoever waits is told why.
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal};
use serde_json::json;

use crate::{
    house::{GATED, House, OPEN, Plan, alive, ended},
    pipe::Stage,
    wire::{Endpoint, Upstream, soon},
};

const CALL: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"mail","arguments":{"mark":1}}}"#;
const PING: &str = r#"{"jsonrpc":"2.0","id":2,"method":"ping"}"#;

/// A refusal says in words what happened; where in the answer is the operator's choice.
fn assert_words(answer: &serde_json::Value) {
    let text = answer["error"]["message"].as_str().map(str::to_owned);
    let text = text.unwrap_or_else(|| answer["result"]["content"][0]["text"].to_string());
    assert!(text.len() > 20 && !text.contains("\"ran\""), "{answer}");
}

#[tokio::test]
async fn a_server_that_dies_in_the_middle_of_a_call_is_seen_to_have_died() {
    let stage = Stage::open().await;
    let house = Plan::default().rules(OPEN).open().await;
    let mut client = house.wrap("x", &stage.command());
    let mut server = stage.enter().await;
    client.send(CALL).await;
    server.line().await;
    server.exit(139).await;
    // Either the call is answered with an error or the pipe ends: a client handles both.
    if let Some(line) = client.line_or_end().await {
        let answer: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(answer["id"], 1);
        assert_words(&answer);
    }
    soon("the wrapper to end", client.child.wait()).await.unwrap();
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_not_passed_for_a_whole_one() {
    let mut upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(OPEN).open().await;
    let client = house.endpoint("x");
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    for broken in [
        format!("{head}content-length: 500\r\n\r\n{{\"jsonrpc\":\"2.0\""),
        format!("{head}transfer-encoding: chunked\r\n\r\n5\r\n{{\"jso\r\n"),
    ] {
        let (reply, ()) = tokio::join!(client.post(CALL), async {
            let mut exchange = upstream.next().await;
            exchange.raw(broken.as_bytes()).await;
        });
        let mut reply = reply;
        let body = soon("the end of the answer", reply.body.body()).await;
        let whole = body.is_ok() && reply.head.status() == 200;
        assert!(!whole, "a cut answer came as a whole one: {body:?}");
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_told_as_such() {
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/mcp", listener.local_addr().unwrap())
    };
    let house = Plan::default().url("x", &gone).rules(OPEN).open().await;
    let reply = house.endpoint("x").post(PING).await;
    assert_eq!(reply.head.status(), 502);
    let answer = reply.json().await;
    assert_eq!(answer["id"], 2);
    assert_words(&answer);
    assert!(answer.to_string().contains("refused"), "{answer}");
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_named_in_the_answer() {
    let house = Plan::default().rules(OPEN).open().await;
    let mut client = house.wrap("x", &["/no/such/program".to_owned()]);
    let status = soon("the wrapper to end", client.child.wait()).await.unwrap();
    assert!(!status.success());
    soon("its words", async {
        while !client.stderr().contains("/no/such/program") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_in_single_bytes_is_an_answer() {
    let mut upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(OPEN).open().await;
    let client = house.endpoint("x");
    let body = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"ran"}]}}"#;
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let (reply, _exchange) = tokio::join!(async { client.post(CALL).await.all().await }, async {
        let mut exchange = upstream.next().await;
        for byte in answer.as_bytes() {
            exchange.raw(&[*byte]).await;
        }
        exchange
    });
    assert_eq!(reply.1, body.as_bytes());
}

/// A disk that takes nothing more, without a disk: the daemon may no longer extend any file.
fn fill_disk(house: &House) {
    let none = Rlimit { current: Some(0), maximum: None };
    rustix::process::prlimit(Pid::from_raw(house.daemon_pid()), Resource::Fsize, none).unwrap();
}

#[tokio::test]
async fn no_call_is_approved_or_run_unrecorded_on_a_full_disk() {
    let upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(GATED).open().await;
    let client = house.endpoint("x");
    let log = upstream.answer_everything();
    let reply = client.post(CALL).await;
    let hold = house.held().await;
    fill_disk(&house);
    house.cli(&["holds", "approve", &hold]).await;
    let mut reply = reply;
    let body = soon("an answer", reply.body.body()).await.unwrap_or_default();
    assert!(!String::from_utf8_lossy(&body).contains("ran"));
    assert_eq!(log.calls(), 0, "it ran and nothing was written of it");
}

fn databases(house: &House) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![house.path().to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if std::fs::read(&path).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3")) {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "no store in the data directory");
    found
}

#[tokio::test]
async fn a_call_is_refused_and_not_run_while_the_store_is_locked() {
    let upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(GATED).open().await;
    let client = house.endpoint("x");
    let log = upstream.answer_everything();
    let locks: Vec<_> = databases(&house)
        .iter()
        .map(|path| {
            let lock = rusqlite::Connection::open(path).unwrap();
            lock.busy_timeout(Duration::from_secs(10)).unwrap();
            lock.execute_batch("BEGIN IMMEDIATE").unwrap();
            lock
        })
        .collect();
    let answer = soon("a refusal", async { client.post(CALL).await.json().await }).await;
    assert_words(&answer);
    assert_eq!(log.calls(), 0);
    drop(locks);
    let (answer, ()) = tokio::join!(async { client.post(CALL).await.json().await }, house.approve());
    assert_eq!(answer["result"]["content"][0]["text"], "ran", "it does not recover");
}

#[tokio::test]
async fn a_broken_store_is_named_and_nothing_starts_on_top_of_it() {
    let mut house = Plan::default().rules(GATED).open().await;
    house.kill().await;
    for database in databases(&house) {
        std::fs::write(&database, b"SQLite format 3\0but not really".repeat(300)).unwrap();
        for side in ["-wal", "-shm"] {
            let mut name = database.clone().into_os_string();
            name.push(side);
            let _absent = std::fs::remove_file(name).is_err();
        }
    }
    let config = house.path().join("herma.toml");
    let output = house.cli(&["serve", "--config", config.to_str().unwrap()]).await;
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(house.path().to_str().unwrap()), "which store is broken? {said}");
}

#[tokio::test]
async fn a_call_held_when_the_daemon_is_killed_is_refused_and_never_runs() {
    let stage = Stage::open().await;
    let mut house = Plan::default().rules(GATED).open().await;
    let mut client = house.wrap("x", &stage.command());
    let mut server = stage.enter().await;
    client.send(CALL).await;
    house.held().await;
    house.kill().await;
    let answer = client.answer_to(&json!(1)).await;
    assert_words(&answer);
    // The un-gated goes on without a daemon.
    client.send(PING).await;
    assert_eq!(server.serve("{}").await["method"], "ping");
    client.answer_to(&json!(2)).await;
    // And with a new one the gate is back, as soon as the wrapper has found it.
    house.start().await;
    let mut id = 2;
    loop {
        id += 1;
        client.send(&CALL.replace("\"id\":1", &format!("\"id\":{id}"))).await;
        let this = json!(id);
        tokio::select! {
            refused = client.answer_to(&this) => assert_words(&refused),
            () = joined(&house) => break,
        }
    }
    house.approve().await;
    assert_eq!(server.serve(r#"{"content":[]}"#).await["id"], id);
    client.answer_to(&json!(id)).await;
}

/// Waits until the call that was asked again stands beside its first asking.
async fn joined(house: &House) {
    while house.holds().await.iter().all(|hold| hold["count"] != 2) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn without_a_daemon_the_open_frames_pass_and_the_gated_are_refused_until_it_is_back() {
    let stage = Stage::open().await;
    let house = House::empty();
    // Under a file there can be no data directory, and so no daemon.
    let blocker = house.path().join("data");
    std::fs::write(&blocker, "").unwrap();
    let data = blocker.join("herma");
    let mut command = tokio::process::Command::new(crate::house::HERMA);
    command.args(["wrap", "--name", "x", "--data-dir"]).arg(&data).arg("--");
    command.args(stage.command());
    let mut client = crate::pipe::Pipe::spawn(command);
    let mut server = stage.enter().await;
    client.send(PING).await;
    assert_eq!(server.serve("{}").await["method"], "ping");
    client.answer_to(&json!(2)).await;
    client.send(CALL).await;
    assert_words(&client.answer_to(&json!(1)).await);
    client.send(PING).await;
    assert_eq!(server.serve("{}").await["method"], "ping", "the refused call went through");
}

#[tokio::test]
async fn wrap_starts_the_daemon_that_is_missing() {
    let stage = Stage::open().await;
    let house = House::empty();
    let mut client = house.wrap("x", &stage.command());
    let _server = stage.enter().await;
    client.send(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"zorble_all","arguments":{"who":"everyone"}}}"#).await;
    house.held().await;
    assert!(house.path().join("daemon.json").exists());
}

#[tokio::test]
async fn a_daemon_that_is_stopped_leaves_no_server_behind() {
    let stage = Stage::open().await;
    let house = Plan::default().command("x", &stage.command(), &[]).rules(OPEN).open().await;
    let client = house.endpoint("x");
    let initialize = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}});
    let (reply, mut server) = tokio::join!(client.post(initialize.to_string()), async {
        let mut server = stage.enter().await;
        server.serve(r#"{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"s","version":"1"}}"#).await;
        server
    });
    assert_eq!(reply.head.status(), 200);
    assert!(alive(server.pid));
    let daemon = house.daemon_pid();
    rustix::process::kill_process(Pid::from_raw(daemon).unwrap(), Signal::TERM).unwrap();
    ended(daemon).await;
    server.gone().await;
    ended(server.pid).await;
}

#[tokio::test]
async fn a_configuration_that_cannot_be_meant_is_refused_with_exit_code_64() {
    let house = House::empty();
    let file = house.path().join("herma.toml");
    for (config, word) in [
        ("[listen]\nagent = \"127.0.0.1:0\"\nagnet = \"x\"\n", "agnet"),
        ("[[server]]\nname = \"x\"\n", "x"),
        ("[[server]]\nname = \"x\"\nurl = \"http://127.0.0.1:1/mcp\"\ncommand = \"y\"\n", "x"),
        ("[[rule]]\nid = \"r\"\ntool = \"*\"\nroute = \"maybe\"\n", "maybe"),
        ("[listen]\nagent = \"0.0.0.0:0\"\n", "0.0.0.0"),
        ("not toml", "herma.toml"),
    ] {
        std::fs::write(&file, config).unwrap();
        let output = house.cli(&["serve", "--config", file.to_str().unwrap()]).await;
        assert_eq!(output.status.code(), Some(64), "{config}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(word), "{config}: {said}");
    }
}

#[tokio::test]
async fn the_record_of_a_session_holds_up_afterwards() {
    let upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(GATED).open().await;
    let client: Endpoint = house.endpoint("x");
    let log = upstream.answer_everything();
    let (_, ()) = tokio::join!(async { client.post(CALL).await.all().await }, house.approve());
    let (_, ()) = tokio::join!(async { client.post(CALL).await.all().await }, house.deny("no more"));
    assert_eq!(log.calls(), 1);
    let output = house.cli(&["audit", "verify"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
