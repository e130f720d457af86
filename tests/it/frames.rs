//! Every frame of the corpus crosses byte for byte, both ways, on both transports. The ones that
//! two readers could understand differently do not cross at all.
use serde_json::Value;

use crate::{
    house::{OPEN, Plan},
    pipe::Stage,
    wire::Upstream,
};

const CORPUS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/frames/mcp-frames.tsv"));

/// Calls that Herma does not carry, because what a person would be shown is not surely what the
/// server would do.
const REFUSED: &[(&str, &str)] = &[
    ("x-malformed-tools-call-no-name", "there is no tool to ask about"),
    ("x-big-number-arg", "the number has no exact double"),
    ("raw-dup-keys", "two readers see two tools"),
    ("raw-lone-surrogate", "not a character"),
    ("raw-number-forms", "1E400 is infinite to some and a number to others"),
    ("raw-number-forms2", "the number has no exact double"),
    ("raw-escaped-method", "a method is written in plain letters"),
    ("raw-deep-128", "deeper than readers agree to follow"),
];

fn frames(direction: &str) -> Vec<(&'static str, &'static str)> {
    let frames = CORPUS.lines().map(|line| line.split_once('\t').unwrap());
    let frames: Vec<_> = frames
        .filter_map(|(name, frame)| Some((name.strip_prefix(direction)?.strip_prefix(':')?, frame)))
        .collect();
    assert!(frames.len() > 40, "the corpus is not whole");
    frames
}

fn is_refused(name: &str) -> bool {
    REFUSED.iter().any(|(refused, _)| *refused == name)
}

/// The answer that a server gives to a request; notifications get none.
fn answer(frame: &str) -> Option<String> {
    let frame = match serde_json::from_str::<Value>(frame).ok()? {
        Value::Array(batch) => batch.first()?.clone(),
        frame => frame,
    };
    let (Some(id), Some(_)) = (frame.get("id"), frame.get("method")) else {
        return None;
    };
    Some(format!(r#"{{ "jsonrpc":"2.0", "id":{id}, "result":{{"z":1,"a":1.0}} }}"#))
}

/// What is wrong with the refusal of a frame: it must be addressed to the request and say why.
fn flaw(name: &str, frame: &str, answer: &Value) -> Option<String> {
    let id = if frame.contains("\"id\":3") { 3 } else { 1 };
    let words = answer["error"]["message"].as_str().is_some_and(|text| text.len() > 10);
    let good = answer["id"] == id && answer["error"]["code"].is_i64() && words;
    (!good).then(|| format!("{name}: {answer}"))
}

#[tokio::test]
async fn what_a_client_says_arrives_at_a_stdio_server() {
    let stage = Stage::open().await;
    let house = Plan::default().rules(OPEN).open().await;
    let mut client = house.wrap("x", &stage.command());
    let mut server = stage.enter().await;
    let mut flaws = Vec::new();
    for (name, frame) in frames("c2s") {
        client.send(frame).await;
        if is_refused(name) {
            flaws.extend(flaw(name, frame, &client.json().await));
            continue;
        }
        let arrived = server.line().await;
        assert_eq!(String::from_utf8_lossy(&arrived), frame, "{name}");
        if let Some(answer) = answer(frame) {
            server.say(&answer).await;
            let arrived = client.line().await;
            assert_eq!(String::from_utf8_lossy(&arrived), answer, "the answer to {name}");
        }
    }
}

#[tokio::test]
async fn what_a_stdio_server_says_arrives_at_its_client() {
    let stage = Stage::open().await;
    let house = Plan::default().rules(OPEN).open().await;
    let mut client = house.wrap("x", &stage.command());
    let mut server = stage.enter().await;
    for (name, frame) in frames("s2c") {
        server.say(frame).await;
        let arrived = client.line().await;
        assert_eq!(String::from_utf8_lossy(&arrived), frame, "{name}");
    }
}

#[tokio::test]
async fn what_a_client_says_arrives_at_an_http_server() {
    let mut upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(OPEN).open().await;
    let client = house.endpoint("x");
    let mut flaws = Vec::new();
    for (name, frame) in frames("c2s") {
        if is_refused(name) {
            flaws.extend(flaw(name, frame, &client.post(frame).await.json().await));
            continue;
        }
        let answer = answer(frame);
        let (reply, ()) = tokio::join!(client.post(frame), async {
            let exchange = upstream.next().await;
            assert_eq!(exchange.request.text(), frame, "{name}");
            match &answer {
                Some(answer) => exchange.json(answer).await,
                None => exchange.accepted().await,
            }
        });
        let (head, body) = reply.all().await;
        assert_eq!(head.status(), if answer.is_some() { 200 } else { 202 }, "{name}");
        assert_eq!(String::from_utf8_lossy(&body), answer.unwrap_or_default(), "{name}");
    }
    assert_eq!(upstream.log().all().len(), frames("c2s").len() - REFUSED.len());
}

#[tokio::test]
async fn what_an_http_server_says_arrives_at_its_client() {
    let mut upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(OPEN).open().await;
    let client = house.endpoint("x");
    for (name, frame) in frames("s2c") {
        let ping = r#"{"jsonrpc":"2.0","id":77,"method":"ping"}"#;
        let (reply, ()) = tokio::join!(client.post(ping), async {
            upstream.next().await.json(frame).await;
        });
        let (_, body) = reply.all().await;
        assert_eq!(String::from_utf8_lossy(&body), frame, "{name}");
    }
}

#[tokio::test]
async fn what_an_http_server_streams_arrives_at_its_client() {
    let mut upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(OPEN).open().await;
    let client = house.endpoint("x");
    let events: String = frames("s2c")
        .iter()
        .map(|(name, frame)| format!("id: {name}\nevent: message\ndata: {frame}\n\n"))
        .collect();
    let ping = r#"{"jsonrpc":"2.0","id":77,"method":"ping"}"#;
    let (reply, ()) = tokio::join!(client.post(ping), async {
        let mut exchange = upstream.next().await;
        exchange.sse("").await;
        for event in events.split_inclusive("\n\n") {
            exchange.chunk(event).await;
        }
        exchange.end().await;
    });
    let (head, body) = reply.all().await;
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    assert_eq!(String::from_utf8_lossy(&body), events);
}
