//! Sandboxes elsewhere: `POST /sandbox/v1/call` under the warrant in the headers.
use std::time::{SystemTime, UNIX_EPOCH};

use herma_warrant::capability::Capability;
use herma_warrant::json::read_args;
use herma_warrant::key::{PublicKey, SigningKey};
use herma_warrant::limits::Limits;
use herma_warrant::mint::{Draft, mint};
use herma_warrant::proof::{Claim, Proof};
use herma_warrant::text_form::to_base64;
use herma_warrant::warrant::{Warrant, WarrantId};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    house::{HERMA, House, OPEN, Plan},
    wire::{Endpoint, Upstream},
};

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// For one tool, in one run.
fn warrant(tool: &str, run: &str) -> Warrant {
    let limits = Limits { sandbox: Some(run.to_owned()), ..Limits::default() };
    let capability =
        Capability { allow_unknown: true, limits: Some(Box::new(limits)), ..Capability::default() };
    let mut draft = Draft::new(WarrantId::new(now() * 1000, [5; 10]), PublicKey::of(&key(2)), now());
    draft.tools.insert(tool.to_owned(), capability);
    mint(draft, &key(1)).unwrap()
}

fn rules(rules: &str) -> String {
    let root = PublicKey::of(&key(1)).to_hex();
    format!(
        "{rules}\n[sandbox]\nhttp = true\n[warrants]\ntrusted_roots = [\"{root}\"]\nidempotent_tools = [\"*\"]\n"
    )
}

/// The body with the warrant and a proof for what `proven` names.
async fn send(house: &House, body: &Value, slip: &Warrant, proven: &str) -> (String, Value) {
    let args = read_args(&body["arguments"].to_string()).unwrap();
    let claim = Claim { warrant: slip.payload.id, tool: proven, args: &args };
    let proof = to_base64(&Proof::sign_v1(&key(2), &claim, now()).encode());
    let endpoint = Endpoint::new(format!("{}/sandbox/v1/call", house.agent()));
    let endpoint = endpoint.with("x-tenuo-warrant", &to_base64(&slip.encode()));
    let reply = endpoint.with("x-tenuo-pop", &proof).post(body.to_string()).await;
    (reply.head.start.clone(), reply.json().await)
}

#[tokio::test]
async fn a_call_within_its_warrant_is_allowed_and_any_other_is_not() {
    let house = Plan::default().rules(&rules(OPEN)).open().await;
    let slip = warrant("read_file", "run-7");
    let body = json!({ "tool": "read_file", "arguments": { "path": "/a" }, "run": "run-7" });
    let (status, said) = send(&house, &body, &slip, "read_file").await;
    assert_eq!((status.contains(" 200 "), &said["allow"]), (true, &json!(true)), "{said}");

    let other_run = json!({ "tool": "read_file", "arguments": { "path": "/a" }, "run": "run-8" });
    let no_run = json!({ "tool": "read_file", "arguments": { "path": "/a" } });
    let other_tool = json!({ "tool": "terminal", "arguments": { "command": "ls" }, "run": "run-7" });
    for (body, proven, why) in [
        (&other_run, "read_file", "another run"),
        (&no_run, "read_file", "another run"),
        (&other_tool, "terminal", "not among those"),
        (&body, "terminal", "does not verify"),
    ] {
        let (status, said) = send(&house, body, &slip, proven).await;
        assert!(status.contains(" 403 "), "{status} {said}");
        assert!(said["reason"].as_str().unwrap().contains(why), "{why}: {said}");
        assert_eq!(said["allow"], false);
    }
    let forged = mint(
        Draft {
            tools: slip.payload.tools.clone(),
            ..Draft::new(slip.payload.id, PublicKey::of(&key(2)), now())
        },
        &key(9),
    )
    .unwrap();
    assert!(send(&house, &body, &forged, "read_file").await.0.contains(" 403 "));

    let bare = Endpoint::new(format!("{}/sandbox/v1/call", house.agent()));
    let said = bare.post(body.to_string()).await.json().await;
    assert_eq!(said["code"], "no_warrant", "{said}");
    let twice = r#"{"tool":"read_file","tool":"terminal","arguments":{}}"#;
    let shown = bare.clone().with("x-tenuo-warrant", &to_base64(&slip.encode()));
    assert_eq!(shown.post(twice).await.json().await["code"], "malformed");
}

#[tokio::test]
async fn a_held_call_tells_a_sandbox_to_come_back_and_then_runs_once() {
    let house = Plan::default()
        .rules(&rules("[[rule]]\nid = \"ask\"\ntool = \"*\"\nroute = \"gate\"\n"))
        .open()
        .await;
    let slip = warrant("terminal", "r");
    let body = json!({ "tool": "terminal", "arguments": { "command": "make" }, "run": "r", "wait": 1 });
    let (status, said) = send(&house, &body, &slip, "terminal").await;
    assert!(status.contains(" 202 "), "{status} {said}");
    assert_eq!(said["code"], "pending");
    assert_eq!(said["hold"], house.held().await);
    house.approve().await;
    let patient = json!({ "tool": "terminal", "arguments": { "command": "make" }, "run": "r", "wait": 15 });
    assert_eq!(send(&house, &patient, &slip, "terminal").await.1["allow"], true);
    assert_eq!(send(&house, &body, &slip, "terminal").await.1["code"], "pending");
}

#[tokio::test]
async fn a_forwarded_call_reaches_the_server_without_its_warrant() {
    let upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(&rules(OPEN)).open().await;
    let log = upstream.answer_everything();
    let slip = warrant("send", "r");
    let body = json!({ "tool": "send", "arguments": { "to": "ann", "n": 1 }, "run": "r", "server": "x", "mode": "forward" });
    let (_, said) = send(&house, &body, &slip, "send").await;
    assert_eq!(said["result"]["content"][0]["text"], "ran", "{said}");
    let sent = log.all().into_iter().find(|request| request.text().contains("tools/call")).unwrap();
    assert!(
        sent.text().contains(r#""params":{"name":"send","arguments":{"n":1,"to":"ann"}}"#),
        "{}",
        sent.text()
    );
    assert!(!sent.head.headers.iter().any(|(name, _)| name.contains("tenuo")));
    let calls = log.all().iter().filter(|request| request.text().contains("tools/call")).count();

    let blocked = json!({ "tool": "drop", "arguments": {}, "run": "r", "server": "x", "mode": "forward" });
    let (status, _) = send(&house, &blocked, &slip, "drop").await;
    assert!(status.contains(" 403 "));
    let nowhere = json!({ "tool": "send", "arguments": {}, "run": "r", "server": "y", "mode": "forward" });
    assert_eq!(send(&house, &nowhere, &slip, "send").await.1["code"], "no_server");
    assert_eq!(log.all().iter().filter(|request| request.text().contains("tools/call")).count(), calls);
}

#[tokio::test]
async fn what_the_manual_says_of_a_sandbox_elsewhere_works_as_it_stands_there() {
    let manual = include_str!("../../docs/sandbox.md");
    let block = |holds: &str| {
        let blocks = manual.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
        blocks.into_iter().find(|block| block.contains(holds)).unwrap()
    };
    let dir = tempfile::tempdir().unwrap();
    let programs = std::path::Path::new(HERMA).parent().unwrap().display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    let shell = async |script: &str, listener: &str| {
        let mut command = Command::new("sh");
        command.args(["-euc", script]).current_dir(&dir).env("PATH", &path).env("HERMA", listener);
        let output = command.output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    shell(block("warrant mint"), "").await;
    let root = std::fs::read_to_string(dir.path().join("root.key.pub")).unwrap();
    let warrants = format!("\n[sandbox]\nhttp = true\n[warrants]\ntrusted_roots = [{:?}]\n", root.trim());
    let house = Plan::default().rules(&(OPEN.to_owned() + &warrants)).open().await;
    let ask = block("warrant prove");
    let said: Value = serde_json::from_str(&shell(ask, house.agent()).await).unwrap();
    assert_eq!(said["allow"], true, "{said}");
    let elsewhere = ask.replace("/srv/a", "/etc/passwd");
    let said: Value = serde_json::from_str(&shell(&elsewhere, house.agent()).await).unwrap();
    assert_eq!((&said["allow"], &said["code"]), (&json!(false), &json!("blocked")), "{said}");
}
