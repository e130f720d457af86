//! A warrant that an agent shows with a call, and what the call begins: code, and a child.
use std::os::unix::net::UnixStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use herma::call::Digest;
use herma::control::hook::{Asker, FromHook, Hooking, ToHook};
use herma::control::wire::{self, FromRun, Hello, Role, Script, ToRun, VERSION};
use herma_warrant::capability::Capability;
use herma_warrant::json::read_args;
use herma_warrant::key::{PublicKey, SigningKey};
use herma_warrant::mint::{Draft, mint};
use herma_warrant::proof::{Claim, Proof};
use herma_warrant::text_form::to_base64;
use herma_warrant::warrant::{Warrant, WarrantId};
use serde_json::{Value, json};

use crate::house::{House, OPEN, Plan};

const CODE: &str = "print(1)";

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn warrant(tools: &[&str]) -> Warrant {
    let mut draft = Draft::new(WarrantId::new(now() * 1000, [7; 10]), PublicKey::of(&key(2)), now());
    let any = || Capability { allow_unknown: true, ..Capability::default() };
    draft.tools = tools.iter().map(|tool| ((*tool).to_owned(), any())).collect();
    mint(draft, &key(1)).unwrap()
}

/// The warrant as `_meta.tenuo` carries it, with a proof for this call.
fn tenuo(slip: &Warrant, tool: &str, arguments: &Value) -> Value {
    let args = read_args(&arguments.to_string()).unwrap();
    let claim = Claim { warrant: slip.payload.id, tool, args: &args };
    let proof = Proof::sign_v1(&key(2), &claim, now()).encode();
    json!({ "warrant": to_base64(&slip.encode()), "signature": to_base64(&proof) })
}

fn connect(house: &House, role: Role) -> UnixStream {
    let mut stream = UnixStream::connect(house.path().join("control.sock")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    wire::write(&mut stream, &Hello { version: VERSION, role }, b"").unwrap();
    stream
}

fn hook(house: &House) -> UnixStream {
    let hooking = Hooking { agent: "hermes".into(), token: None, cwd: None, home: None };
    connect(house, Role::Hook(hooking))
}

/// Asks about a call; it is under way as long as the connection is kept.
fn ask(
    house: &House,
    asker: Asker,
    tool: &str,
    arguments: &Value,
    tenuo: Option<Value>,
) -> (UnixStream, ToHook) {
    let mut line = hook(house);
    let question = FromHook::Ask { tool: tool.into(), tenuo, asker };
    wire::write(&mut line, &question, arguments.to_string().as_bytes()).unwrap();
    let said = wire::read::<ToHook>(&mut line).unwrap().0;
    (line, said)
}

fn of(session: &str, parent: Option<&str>) -> Asker {
    let tools = Some(["read_file", "terminal"].map(str::to_owned).to_vec());
    Asker {
        session: session.into(),
        call: "c".into(),
        parent: parent.map(str::to_owned),
        tools,
        ..Asker::default()
    }
}

#[track_caller]
fn assert_allowed(said: &ToHook) {
    assert!(matches!(said, ToHook::Allow { .. }), "{said:?}");
}

#[track_caller]
fn assert_refused(said: &ToHook) {
    assert!(
        matches!(said, ToHook::Block { message, .. } if message.contains("tool-not-granted")),
        "{said:?}"
    );
}

async fn house() -> House {
    let root = PublicKey::of(&key(1)).to_hex();
    let rules = format!("{OPEN}\n[warrants]\ntrusted_roots = [{root:?}]\nno_warrant = \"allow\"\n");
    Plan::default().rules(&rules).open().await
}

#[tokio::test]
async fn code_may_do_no_more_than_the_warrant_that_came_with_the_call_that_runs_it() {
    let house = house().await;
    let (slip, code) = (warrant(&["execute_code", "read_file"]), json!({ "code": CODE }));
    let shown = tenuo(&slip, "execute_code", &code);
    let (_under_way, said) = ask(&house, of("s", None), "execute_code", &code, Some(shown));
    assert_allowed(&said);
    let sha256 = Digest::of(CODE.as_bytes()).to_string();
    let mut line = hook(&house);
    let script = FromHook::Script { session: "s".into(), sha256: sha256.clone(), tools: None };
    wire::write(&mut line, &script, b"").unwrap();
    assert!(matches!(wire::read::<ToHook>(&mut line).unwrap().0, ToHook::Noted { .. }));

    let script = Script { sha256, cwd: None, home: None, isolated: false };
    let mut run = connect(&house, Role::Sandbox(script));
    let (granted, _) = wire::read::<ToRun>(&mut run).unwrap();
    let ToRun::Granted { warrant, tools, .. } = granted else { panic!("{granted:?}") };
    assert_eq!(tools, ["read_file"], "of the seven, what the warrant grants");
    let mut calls = |seq: u64, tool: &str, args: Value| {
        let line = json!({ "tool": tool, "args": args, "token": warrant }).to_string();
        wire::write(&mut run, &FromRun::Line { seq }, line.as_bytes()).unwrap();
        let (said, payload) = wire::read::<ToRun>(&mut run).unwrap();
        (said, String::from_utf8_lossy(&payload).into_owned())
    };
    let (said, _) = calls(1, "read_file", json!({ "path": "/srv/a" }));
    assert!(matches!(said, ToRun::Forward { .. }), "{said:?}");
    let (said, answer) = calls(2, "terminal", json!({ "command": "ls" }));
    assert!(matches!(said, ToRun::Reply { .. }) && answer.contains("not among"), "{said:?} {answer}");
}

#[tokio::test]
async fn a_child_may_do_no_more_than_the_warrant_that_came_with_its_task() {
    let house = house().await;
    let (slip, task) = (warrant(&["delegate_task", "read_file"]), json!({ "goal": "read it" }));
    let shown = tenuo(&slip, "delegate_task", &task);
    let (under_way, said) = ask(&house, of("s", None), "delegate_task", &task, Some(shown));
    assert_allowed(&said);
    // Work that goes on in the background: the call is over before the child asks.
    drop(under_way);
    let (file, command) = (json!({ "path": "/srv/a" }), json!({ "command": "ls" }));
    assert_allowed(&ask(&house, of("kid", Some("s")), "read_file", &file, None).1);
    assert_refused(&ask(&house, of("kid", Some("s")), "terminal", &command, None).1);
    // Nothing stands over the parent itself, nor over another's child.
    assert_allowed(&ask(&house, of("s", None), "terminal", &command, None).1);
    assert_allowed(&ask(&house, of("other", Some("t")), "terminal", &command, None).1);
}

#[tokio::test]
async fn a_warrant_without_a_proof_or_for_another_call_opens_nothing() {
    let house = house().await;
    let (slip, file) = (warrant(&["read_file"]), json!({ "path": "/srv/a" }));
    let mut bare = tenuo(&slip, "read_file", &file);
    bare.as_object_mut().unwrap().remove("signature");
    let other = tenuo(&slip, "read_file", &json!({ "path": "/srv/b" }));
    for shown in [bare, other, json!({ "warrant": "AAAA" }), json!("x")] {
        let (_, said) = ask(&house, of("s", None), "read_file", &file, Some(shown));
        assert!(matches!(said, ToHook::Block { .. }), "{said:?}");
    }
}
