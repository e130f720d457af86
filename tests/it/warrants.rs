//! Warrants on calls: what a signed permission slip lets through, and what it costs.
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use herma::control::client::Client;
use herma::control::wire::Ask;
use herma_warrant::capability::Capability;
use herma_warrant::constraint::Constraint;
use herma_warrant::gate::{Gates, ToolGate};
use herma_warrant::json::read_args;
use herma_warrant::key::{PublicKey, SigningKey};
use herma_warrant::limits::Limits;
use herma_warrant::mint::{Draft, attenuate, mint, stack};
use herma_warrant::proof::{Claim, Proof, Session};
use herma_warrant::text_form::to_base64;
use herma_warrant::value::Value as Said;
use herma_warrant::verify::ChainCache;
use herma_warrant::warrant::{Warrant, WarrantId};
use serde_json::{Value, json};

use crate::{
    house::{House, OPEN, Plan},
    pipe::Stage,
    wire::{Endpoint, Log, Upstream},
};

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Says `to` must be one of the names.
fn to_one_of(names: &[&str]) -> Capability {
    let names = names.iter().map(|name| Said::Text((*name).to_owned())).collect();
    Capability {
        constraints: BTreeMap::from([("to".to_owned(), Constraint::OneOf(names))]),
        ..Capability::default()
    }
}

fn limited(limits: Limits) -> Capability {
    Capability { limits: Some(Box::new(limits)), ..to_one_of(&["ann", "bob"]) }
}

fn draft(seed: u8, capability: Capability) -> Draft {
    let mut draft = Draft::new(WarrantId::new(now() * 1000, [seed; 10]), PublicKey::of(&key(2)), now());
    draft.tools.insert("send".to_owned(), capability);
    draft
}

/// A warrant of the root that the operator trusts, for the holder's key.
fn warrant(capability: Capability) -> Warrant {
    mint(draft(7, capability), &key(1)).unwrap()
}

fn trusting(more: &str) -> String {
    format!("{OPEN}\n[warrants]\ntrusted_roots = [\"{}\"]\n{more}\n", PublicKey::of(&key(1)).to_hex())
}

struct Scene {
    house: House,
    client: Endpoint,
    log: Log,
}

async fn scene(rules: &str) -> Scene {
    scene_with(rules, "").await
}

async fn scene_with(rules: &str, server: &str) -> Scene {
    let upstream = Upstream::open().await;
    let house = Plan::default().url_with("x", &upstream.url, server).rules(rules).open().await;
    Scene { client: house.endpoint("x"), house, log: upstream.answer_everything() }
}

fn call(to: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"send","arguments":{{"to":"{to}"}}}}}}"#
    )
}

fn proof(warrant: &Warrant, to: &str, at: u64) -> String {
    let args = read_args(&format!(r#"{{"to":"{to}"}}"#)).unwrap();
    let claim = Claim { warrant: warrant.payload.id, tool: "send", args: &args };
    to_base64(&Proof::sign_v1(&key(2), &claim, at).encode())
}

impl Scene {
    /// The call with the warrant and its holder's proof in the headers.
    async fn send(&self, stack: &[u8], leaf: &Warrant, to: &str) -> Value {
        self.send_at(stack, leaf, to, now()).await
    }

    async fn send_at(&self, stack: &[u8], leaf: &Warrant, to: &str, at: u64) -> Value {
        let client = self.client.clone().with("x-tenuo-warrant", &to_base64(stack));
        client.with("x-tenuo-pop", &proof(leaf, to, at)).post(call(to)).await.json().await
    }

    fn ask(&self, ask: &Ask, payload: &[u8]) -> Result<Value, String> {
        let mut control = Client::connect(self.house.path()).unwrap();
        control.ask_with(ask, payload).map_err(|error| error.to_string())
    }
}

#[track_caller]
fn assert_ran(answer: &Value) {
    assert_eq!(answer["result"]["content"][0]["text"], "ran", "{answer}");
}

#[track_caller]
fn assert_blocked(answer: &Value, why: &str) {
    let said = answer["result"]["content"][0]["text"].as_str().or(answer["error"]["message"].as_str());
    assert!(said.is_some_and(|said| said.contains(why)), "{why}: {answer}");
}

#[tokio::test]
async fn a_call_within_its_warrant_runs_and_the_server_sees_nothing_of_it() {
    let scene = scene(&trusting("")).await;
    let slip = warrant(to_one_of(&["ann"]));
    assert_ran(&scene.send(&slip.encode(), &slip, "ann").await);
    let meta = json!({ "warrant": to_base64(&slip.encode()), "signature": proof(&slip, "ann", now() - 30) });
    let in_meta = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {
        "name": "send", "arguments": { "to": "ann" }, "_meta": { "tenuo": meta, "kept": 1 } } });
    assert_ran(&scene.client.post(in_meta.to_string()).await.json().await);
    let meta = json!({ "warrant": to_base64(&slip.encode()), "signature": proof(&slip, "ann", now() + 30) });
    let beside = json!({ "jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {
        "name": "send", "arguments": { "to": "ann", "_herma": { "tenuo": meta } } } });
    assert_ran(&scene.client.post(beside.to_string()).await.json().await);
    for received in scene.log.all() {
        assert!(!received.text().contains("tenuo"), "{}", received.text());
        assert!(!received.text().contains("_herma"), "{}", received.text());
        assert!(!received.head.headers.iter().any(|(name, _)| name.to_lowercase().contains("tenuo")));
    }
    assert!(scene.log.all()[1].text().contains(r#""_meta":{"kept":1}"#));
}

#[tokio::test]
async fn a_server_that_asked_for_the_warrant_gets_it() {
    let scene = scene_with(&trusting(""), "forward_warrant = true").await;
    let slip = warrant(to_one_of(&["ann"]));
    assert_ran(&scene.send(&slip.encode(), &slip, "ann").await);
    let received = &scene.log.all()[0];
    assert_eq!(received.head.header("x-tenuo-warrant"), Some(&*to_base64(&slip.encode())));
}

#[tokio::test]
async fn whatever_a_warrant_does_not_say_is_blocked_and_the_reason_named() {
    let scene = scene(&trusting("")).await;
    let slip = warrant(to_one_of(&["ann"]));
    assert_blocked(&scene.send(&slip.encode(), &slip, "bob").await, "argument `to`");
    assert_blocked(&scene.client.post(call("ann")).await.json().await, "every call needs one");
    let bearer = scene.client.clone().with("x-tenuo-warrant", &to_base64(&slip.encode()));
    assert_blocked(&bearer.post(call("ann")).await.json().await, "no proof");
    let stolen = bearer.with("x-tenuo-pop", &proof(&slip, "bob", now()));
    assert_blocked(&stolen.post(call("ann")).await.json().await, "does not verify for this call");
    let own = mint(draft(8, to_one_of(&["ann"])), &key(9)).unwrap();
    assert_blocked(&scene.send(&own.encode(), &own, "ann").await, "root");
    let late = Draft { issued_at: now() - 600, ttl: 300, ..draft(9, to_one_of(&["ann"])) };
    let late = mint(late, &key(1)).unwrap();
    assert_blocked(&scene.send(&late.encode(), &late, "ann").await, "expired");
    assert_eq!(scene.log.calls(), 0);
}

#[tokio::test]
async fn a_warrant_that_comes_two_ways_is_refused() {
    let scene = scene(&trusting("")).await;
    let slip = warrant(to_one_of(&["ann"]));
    let text = to_base64(&slip.encode());
    let twice = scene.client.clone().with("x-tenuo-warrant", &text).with("x-tenuo-warrant", &text);
    let twice = twice.with("x-tenuo-pop", &proof(&slip, "ann", now()));
    assert_blocked(&twice.post(call("ann")).await.json().await, "comes twice");
    let both = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {
        "name": "send", "arguments": { "to": "ann" }, "_meta": { "tenuo": { "warrant": text } } } });
    let header = scene.client.clone().with("x-tenuo-warrant", &text);
    assert_blocked(&header.post(both.to_string()).await.json().await, "send it once");
    assert_eq!(scene.log.calls(), 0);
}

#[tokio::test]
async fn a_proof_serves_once_unless_the_tool_may_be_repeated() {
    let slip = warrant(to_one_of(&["ann"]));
    let strict = scene(&trusting("")).await;
    let at = now();
    assert_ran(&strict.send_at(&slip.encode(), &slip, "ann", at).await);
    assert_blocked(&strict.send_at(&slip.encode(), &slip, "ann", at).await, "shown before");
    assert_eq!(strict.log.calls(), 1);
    let lenient = scene(&trusting("idempotent_tools = [\"se*\"]")).await;
    assert_ran(&lenient.send_at(&slip.encode(), &slip, "ann", at).await);
    assert_ran(&lenient.send_at(&slip.encode(), &slip, "ann", at).await);
}

#[tokio::test]
async fn a_budget_is_what_all_children_share_and_a_restart_gives_none_of_it_back() {
    let mut scene = scene(&trusting("idempotent_tools = [\"*\"]")).await;
    let parent = warrant(limited(Limits { max_calls: Some(2), ..Limits::default() }));
    let child = |seed: u8| {
        let id = WarrantId::new(now() * 1000, [seed; 10]);
        let draft = Draft::inherit(&parent.payload, id, PublicKey::of(&key(2)), now());
        let child = attenuate(&parent, draft, &key(2)).unwrap();
        (stack(std::slice::from_ref(&parent), child.clone()).unwrap(), child)
    };
    let (one, two) = (child(20), child(21));
    assert_ran(&scene.send(&one.0, &one.1, "ann").await);
    scene.house.kill().await;
    scene.house.start().await;
    scene.client = scene.house.endpoint("x");
    assert_ran(&scene.send(&two.0, &two.1, "ann").await);
    assert_blocked(&scene.send(&one.0, &one.1, "ann").await, "exhausted");
    assert_blocked(&scene.send(&two.0, &two.1, "bob").await, "exhausted");
    assert_eq!(scene.log.calls(), 2);
}

#[tokio::test]
async fn what_a_person_takes_back_is_refused_at_once_and_after_a_restart() {
    let mut scene = scene(&trusting("idempotent_tools = [\"*\"]")).await;
    let slip = warrant(to_one_of(&["ann"]));
    assert_ran(&scene.send(&slip.encode(), &slip, "ann").await);
    let what = slip.payload.id.to_string();
    scene.ask(&Ask::RevokeWarrant { what, reason: "lost".into() }, b"").unwrap();
    assert_blocked(&scene.send(&slip.encode(), &slip, "ann").await, "revoked");
    scene.house.kill().await;
    scene.house.start().await;
    scene.client = scene.house.endpoint("x");
    assert_blocked(&scene.send(&slip.encode(), &slip, "ann").await, "revoked");
    assert_eq!(scene.log.calls(), 1);
}

#[tokio::test]
async fn a_person_confirms_what_the_warrant_gates() {
    let scene = scene(&trusting("")).await;
    let gates =
        Gates([("send".to_owned(), ToolGate { args: None, message: Some("ask first".into()) })].into());
    let slip = mint(
        Draft {
            gates: Some(gates),
            required_approvers: Some(vec![PublicKey::of(&key(5))]),
            ..draft(30, to_one_of(&["ann"]))
        },
        &key(1),
    )
    .unwrap();
    let (bytes, approved) = (slip.encode(), async { scene.house.approve().await });
    let (answer, ()) = tokio::join!(scene.send(&bytes, &slip, "ann"), approved);
    assert_ran(&answer);
}

#[tokio::test]
async fn a_warrant_over_a_server_an_agent_or_a_session_binds_calls_that_show_none() {
    let scene = scene(&trusting("no_warrant = \"allow\"")).await;
    assert_ran(&scene.client.post(call("eve")).await.json().await);
    let slip = warrant(to_one_of(&["ann"]));
    for party in ["server:x", "agent:local", "session:s9"] {
        let assign = Ask::AssignWarrant { party: party.into() };
        scene.ask(&assign, &slip.encode()).unwrap();
        let client = scene.client.clone().with("mcp-session-id", "s9");
        assert_ran(&client.post(call("ann")).await.json().await);
        assert_blocked(&client.post(call("eve")).await.json().await, "argument `to`");
        scene.ask(&Ask::UnassignWarrant { party: party.into() }, b"").unwrap();
        assert_ran(&client.post(call("eve")).await.json().await);
    }
    let foreign = mint(draft(40, to_one_of(&["ann"])), &key(9)).unwrap();
    let refused = scene.ask(&Ask::AssignWarrant { party: "server:x".into() }, &foreign.encode());
    assert!(refused.unwrap_err().contains("does not hold here"));
    let refused = scene.ask(&Ask::AssignWarrant { party: "everybody".into() }, &slip.encode());
    assert!(refused.unwrap_err().contains("agent:NAME"));
}

#[tokio::test]
async fn a_wrapped_server_gets_calls_without_the_warrant_they_came_with() {
    let scene = scene(&trusting("")).await;
    let slip = warrant(to_one_of(&["ann"]));
    let stage = Stage::open().await;
    let mut client = scene.house.wrap("box", &stage.command());
    let mut server = stage.enter().await;
    let meta = json!({ "warrant": to_base64(&slip.encode()), "signature": proof(&slip, "ann", now()) });
    let frame = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "send", "arguments": { "to": "ann" }, "_meta": { "tenuo": meta } } });
    client.send(&frame.to_string()).await;
    let received = String::from_utf8(server.line().await).unwrap();
    assert!(received.contains("\"send\"") && !received.contains("tenuo"), "{received}");
}

#[tokio::test]
async fn after_one_proof_on_a_pipe_a_code_stands_for_it_and_over_http_it_does_not() {
    let scene = scene(&trusting("")).await;
    let slip = warrant(to_one_of(&["ann", "bob"]));
    let stage = Stage::open().await;
    let mut client = scene.house.wrap("box", &stage.command());
    let mut server = stage.enter().await;
    let frame = |id: u64, to: &str, tenuo: &Value| {
        json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
            "name": "send", "arguments": { "to": to }, "_meta": { "tenuo": tenuo } } })
        .to_string()
    };
    let mut codes = Session::new(&[3; 32], ChainCache::digest(&slip.encode()));
    let mut code = |to: &str| {
        let (counter, tag) = codes.tag("send", format!(r#"{{"to":"{to}"}}"#).as_bytes());
        json!({ "counter": counter, "code": to_base64(&tag) })
    };
    let early = code("ann");
    client.send(&frame(1, "ann", &early)).await;
    assert_blocked(&client.json().await, "nothing was proven");
    let opening = json!({
        "warrant": to_base64(&slip.encode()),
        "signature": proof(&slip, "ann", now()),
        "channel_key": to_base64(&[3; 32]),
    });
    let over_http = scene.client.post(frame(1, "ann", &opening)).await.json().await;
    assert_blocked(&over_http, "private channel");
    client.send(&frame(2, "ann", &opening)).await;
    assert_eq!(server.serve("{}").await["params"]["arguments"]["to"], "ann");
    client.json().await;
    let next = code("bob");
    client.send(&frame(3, "bob", &next)).await;
    assert_eq!(server.serve("{}").await["params"]["arguments"]["to"], "bob");
    client.json().await;
    client.send(&frame(4, "bob", &next)).await;
    assert_blocked(&client.json().await, "shown before");
    let other = code("ann");
    client.send(&frame(5, "bob", &other)).await;
    assert_blocked(&client.json().await, "does not verify for this call");
}
