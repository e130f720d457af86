//! AgentGuard's plugins, as published, with Herma as their server.
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::{
    house::{GATED, House, OPEN, Plan},
    packages,
    wire::{Endpoint, soon},
};

const ON: &str = "\n[agentguard]\nenabled = true\n";
/// SHA-256 of `tok_123`, which stands in the URL of recorded requests.
const AGENT: &str = "\n[[agent]]\nname = \"fleet-7\"\ntoken_sha256 = \"TOKEN\"\n";

async fn house(rules: &str) -> House {
    let agent = AGENT.replace("TOKEN", &herma::call::Digest::of(b"tok_123").to_string());
    // Some plugins send no token.
    Plan::listening("anonymous = true\n").rules(&format!("{rules}{ON}{agent}")).open().await
}

fn question(tool: &str, arguments: &Value, session: &str, call: &str) -> Value {
    json!({
        "deployment_id": "local", "deployment_name": "Local Dev", "agent_id": "host", "agent_type": "hermes",
        "session_id": session, "run_id": session, "tool_name": tool, "event_time": "2026-11-20T04:48:36.975334+00:00",
        "tool_input": arguments,
        "hook_payload": { "hook_event_name": "pre_tool_call", "tool_name": tool, "args": arguments,
            "task_id": "task-7", "session_id": session, "tool_call_id": call },
    })
}

fn event(hook: &str, session: &str, data: &Value) -> Value {
    let columns = ["hook_name", "session_id", "tool_name", "event_data"];
    json!({ "columns": columns, "data": [[hook, session, "terminal", data.to_string()]] })
}

async fn post(house: &House, path: &str, body: impl AsRef<[u8]>) -> (u16, Value) {
    let reply = Endpoint::new(format!("{}{path}", house.agent())).post(body).await;
    let status = reply.head.start.split(' ').nth(1).unwrap().parse().unwrap();
    (status, reply.json().await)
}

async fn ask(house: &House, body: &Value) -> Value {
    let (status, said) = post(house, "/api/holds", body.to_string()).await;
    assert_eq!(status, 200, "{said}");
    said
}

#[tokio::test]
async fn every_recorded_request_is_answered_in_its_own_words() {
    let (open, shut) = (house(OPEN).await, house(&OPEN.replace("execute", "block")).await);
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/hooks/agentguard.jsonl");
    let mut seen = 0;
    for scenario in std::fs::read_to_string(recorded).unwrap().lines() {
        let scenario: Value = serde_json::from_str(scenario).unwrap();
        for request in scenario["requests"].as_array().unwrap() {
            let target = request["target"].as_str().unwrap();
            let body = if request["body"].is_null() { String::new() } else { request["body"].to_string() };
            for (house, decision) in [(&open, "allow"), (&shut, "block")] {
                let mut endpoint = Endpoint::new(format!("{}{target}", house.agent()));
                for header in request["headers"].as_array().unwrap() {
                    endpoint = endpoint.with(header[0].as_str().unwrap(), header[1].as_str().unwrap());
                }
                let reply = endpoint.post(&body).await;
                assert!(reply.head.start.contains(" 200 "), "{scenario}: {}", reply.head.start);
                let said = reply.json().await;
                match target.ends_with("/api/holds") {
                    true => assert_eq!(said["decision"], decision, "{scenario}: {said}"),
                    false => assert_eq!(said, json!({}), "{scenario}"),
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 200, "{seen}");
    let calls = open.recorded(r#""principal":"fleet-7".*"step":"routed""#, 1).await;
    assert!(calls.iter().all(|call| call["carrier"] == "hook" && call["server"] == "hermes"));
}

#[tokio::test]
async fn whatever_is_wrong_with_a_question_is_a_clear_no() {
    let house = house(OPEN).await;
    let plain = question("terminal", &json!({ "command": "ls" }), "s", "c").to_string();
    let two = plain.replacen(r#""args":{"command":"ls"}"#, r#""args":{"command":"id"}"#, 1);
    assert_ne!(two, plain);
    for (path, body, why) in [
        ("/ag/tok_999/api/holds", plain.as_str(), "not known"),
        ("/api/holds", "{", "line 1"),
        ("/api/holds", "[]", "question"),
        ("/api/holds", r#"{"tool_name":"a","tool_name":"b","tool_input":{}}"#, "tool_name"),
        ("/api/holds", r#"{"tool_name":"a","tool_input":{"n":NaN}}"#, "line 1"),
        ("/api/holds", r#"{"tool_name":"","tool_input":{}}"#, "names a tool"),
        ("/api/holds", two.as_str(), "differ"),
    ] {
        let (status, said) = post(&house, path, body).await;
        assert_eq!((status, &said["decision"]), (200, &json!("block")), "{body}: {said}");
        let reason = said["reason"].as_str().unwrap();
        assert!(reason.contains(why), "{why}: {reason}");
    }
    let elsewhere =
        Endpoint::new(format!("{}/api/holds", house.agent())).with("origin", "http://evil.example");
    assert_eq!(elsewhere.post(&plain).await.json().await["decision"], "block");
}

#[tokio::test]
async fn a_held_question_is_kept_alive_and_answered_when_a_person_has_decided() {
    let house = house(GATED).await;
    let body = question("terminal", &json!({ "command": "make" }), "s", "c1").to_string();
    let address = house.agent().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let length = body.len();
    let head =
        format!("POST /api/holds HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut heard = String::new();
    soon("a sign of life", async {
        while !heard.contains("\r\n\r\n1\r\n \r\n") {
            let mut bytes = [0u8; 512];
            let read = stream.read(&mut bytes).await.unwrap();
            heard += std::str::from_utf8(&bytes[..read]).unwrap();
        }
    })
    .await;
    assert!(heard.starts_with("HTTP/1.1 200 OK") && heard.contains("application/json"), "{heard}");
    house.approve().await;
    soon("the decision", async {
        while !heard.contains(r#"{"decision":"allow"}"#) {
            let mut bytes = [0u8; 512];
            let read = stream.read(&mut bytes).await.unwrap();
            assert_ne!(read, 0, "{heard}");
            heard += std::str::from_utf8(&bytes[..read]).unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn the_end_of_a_session_and_a_plugin_that_goes_away_end_their_holds() {
    let house = house(GATED).await;
    let waits = question("terminal", &json!({ "command": "make" }), "a/b c", "c1");
    let (said, ()) = tokio::join!(ask(&house, &waits), async {
        house.held().await;
        let (status, _) = post(&house, "/api/holds/_abandon-session/other", "").await;
        assert_eq!(status, 200);
        let (status, _) = post(&house, "/x/api/holds/_abandon-session/a/b%20c", "").await;
        assert_eq!(status, 200);
        assert_eq!(house.holds().await.len(), 1, "the name that was sent is another");
        let gone = event("on_session_end", "a/b c", &json!({})).to_string();
        post(&house, "/timeplusd/v2/ingest/ag/streams/s", gone).await;
    });
    assert_eq!(said["decision"], "block", "{said}");
    let endpoint = Endpoint::new(format!("{}/api/holds", house.agent()));
    let reply = endpoint.post(waits.to_string().replace("make", "make all")).await;
    house.held().await;
    drop(reply);
    soon("the hold to end", async {
        while !house.holds().await.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_plugin_tells_afterwards_is_in_the_record_and_takes_a_password_if_there_is_one() {
    let secret = herma::call::Digest::of(b"pw").to_string();
    let on = format!("{ON}ingest_password_sha256 = \"{secret}\"\n");
    let house = Plan::default().rules(&format!("{OPEN}{on}")).open().await;
    let said = ask(&house, &question("terminal", &json!({ "command": "ls" }), "s", "call_9")).await;
    assert_eq!(said["decision"], "allow");
    let ran = json!({ "tool_call_id": "call_9", "status": "error", "result": "boom", "duration_ms": 12 });
    let ran = event("post_tool_call", "s", &ran).to_string();
    let path = "/proton/v1/ingest/streams/agentguard_hook_events";
    assert_eq!(post(&house, path, &ran).await.0, 401);
    let basic = |word: &str| data_encoding::BASE64.encode(format!("proton:{word}").as_bytes());
    for (word, status) in [("wrong", " 401 "), ("pw", " 200 ")] {
        let endpoint = Endpoint::new(format!("{}{path}", house.agent()));
        let reply = endpoint.with("authorization", &format!("Basic {}", basic(word))).post(&ran).await;
        assert!(reply.head.start.contains(status), "{word}: {}", reply.head.start);
    }
    let ended = &house.recorded(r#""outcome":"error""#, 1).await[0];
    assert_eq!((&ended["bytes"], &ended["took_us"]), (&json!(4), &json!(12_000)), "{ended}");
}

/// Calls the plugin's own callbacks, as Hermes does.
const CALLBACKS: &str = r#"
import importlib, json, os, sys
plugin = importlib.import_module("agentguard_hermes.plugin")
def call(command, call_id):
    return plugin._pre_tool_call(tool_name="terminal", args={"command": command}, task_id="t", session_id="s",
        tool_call_id=call_id, turn_id="", api_request_id="", middleware_trace=[])
said = {"open": call("ls", "c1"), "blocked": call("forbidden", "c2"), "held": call("ask yes", "c3"), "denied": call("ask no", "c4")}
plugin._ingest([plugin._make_row("post_tool_call", {"tool_name": "terminal", "tool_call_id": "c1", "session_id": "s",
    "status": "ok", "result": "fine", "duration_ms": 3})])
plugin._on_session_finalize(session_id="s", platform="cli")
print(json.dumps(said))
"#;

const MIXED: &str = r#"
[[rule]]
id = "never"
tool = "terminal"
arguments = { "/command" = "forbidden" }
route = "block"
reason = "not here"
[[rule]]
id = "ask"
tool = "terminal"
arguments = { "/command" = "^ask" }
route = "gate"
"#;

async fn callbacks_of(version: &str) {
    let house = house(&format!("{MIXED}{OPEN}")).await;
    let mut python = Command::new(packages::python(&format!("agentguard-{version}"), "python"));
    python
        .args(["-c", CALLBACKS])
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    python.env("AGENTGUARD_URL", format!("{}/ag/tok_123/", house.agent()));
    python.env("AGENTGUARD_TIMEPLUS_URL", format!("{}/ag/tok_123", house.agent()));
    python.env("AGENTGUARD_HOLDS_ENABLED", "true");
    let child = python.spawn().unwrap();
    house.approve().await;
    soon("the first hold to end", async {
        while house.holds().await.iter().any(|hold| hold["shown"].to_string().contains("ask yes")) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    house.deny("rather not").await;
    let output = soon("the plugin", child.wait_with_output()).await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let last = text.lines().last().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let said: Value = serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(!text.contains("ingest error"), "{text}");
    assert_eq!((&said["open"], &said["held"]), (&Value::Null, &Value::Null), "{said}");
    for (name, why) in [("blocked", "not here"), ("denied", "rather not")] {
        assert_eq!(said[name]["action"], "block", "{said}");
        assert!(said[name]["message"].as_str().unwrap().contains(why), "{said}");
    }
    let calls = house.recorded(r#""routed""#, 4).await;
    assert_eq!(calls.len(), 4, "{calls:?}");
    assert!(calls.iter().all(|call| call["principal"] == "fleet-7" && call["session"] == "s"), "{calls:?}");
}

#[tokio::test]
async fn the_published_plugin_0_2_obeys() {
    callbacks_of("0.2").await;
}

#[tokio::test]
async fn the_published_plugin_0_4_obeys() {
    callbacks_of("0.4").await;
}

#[tokio::test]
async fn inside_real_hermes_the_plugin_keeps_a_file_from_being_written_until_a_person_agrees() {
    let rules = "[[rule]]\nid = \"ask\"\ntool = \"write_file\"\nroute = \"gate\"\n";
    let house = house(rules).await;
    let home = tempfile::tempdir().unwrap();
    let hermes_home = home.path().join(".hermes");
    std::fs::create_dir(&hermes_home).unwrap();
    let mut install = Command::new(packages::python("agentguard-0.4", "agentguard-hermes"));
    let installed = install.arg("install").env("HOME", home.path()).output().await.unwrap();
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    let config =
        "plugins: {enabled: [agentguard]}\nsecurity: {tirith_enabled: false, allow_lazy_installs: false}\n";
    std::fs::write(hermes_home.join("config.yaml"), config).unwrap();
    let script = r#"
import json, sys
from hermes_cli.plugins import discover_plugins
discover_plugins()
import model_tools
for name in sys.argv[1:]:
    out = model_tools.handle_function_call("write_file", {"path": name, "content": "x"}, task_id="t", session_id="s", tool_call_id=name)
    print("RESULT", json.dumps(out), flush=True)
"#;
    let (yes, no) = (home.path().join("yes.txt"), home.path().join("no.txt"));
    let mut hermes = Command::new(packages::python("agent", "python"));
    hermes.args(["-c", script]).arg(&yes).arg(&no).current_dir(home.path()).env_clear().kill_on_drop(true);
    hermes.env("PATH", "/usr/bin:/bin").env("HOME", home.path()).env("HERMES_HOME", &hermes_home);
    hermes.env("AGENTGUARD_URL", house.agent()).env("AGENTGUARD_TIMEPLUS_URL", house.agent());
    hermes.env("AGENTGUARD_HOLDS_ENABLED", "true").stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = hermes.spawn().unwrap();
    house.held().await;
    assert!(!yes.exists());
    house.approve().await;
    soon("the file", async {
        while !yes.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    soon("the second hold", async {
        while !house.holds().await.iter().any(|hold| hold["shown"].to_string().contains("no.txt")) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    house.deny("outside the project").await;
    let output = soon("hermes", child.wait_with_output()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("outside the project"), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(!no.exists());
}
