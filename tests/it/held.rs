//! A call that waits for a person, as its client lives through it.
use serde_json::{Value, json};

use crate::{
    house::{GATED, House, Plan},
    pipe::Stage,
    wire::{Endpoint, Upstream, soon},
};

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

/// The operator lets the agent's own client carry the answer.
const IN_BAND: &str = r#"
[policy]
in_band = ["read_only", "local_reversible", "external", "critical"]
"#;

fn held(id: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"send_mail","arguments":{{"to":"ann"}}}}}}"#
    )
}

/// A call of a client of the newest protocol, which can do what `capabilities` says.
fn modern(id: i64, capabilities: &Value, more: &Value) -> String {
    let mut params = json!({
        "name": "send_mail",
        "arguments": {"to": "ann"},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "herma-tests", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": capabilities,
        },
    });
    for (name, value) in more.as_object().unwrap() {
        params[name] = value.clone();
    }
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).to_string()
}

fn modern_client(house: &House) -> Endpoint {
    let client = house.endpoint("x").with("mcp-protocol-version", "2026-07-28");
    client.with("mcp-method", "tools/call").with("mcp-name", "send_mail")
}

#[tokio::test]
async fn everything_else_goes_on_while_a_call_is_held() {
    let stage = Stage::open().await;
    let house = Plan::default().rules(GATED).open().await;
    let mut client = house.wrap("x", &stage.command());
    let mut server = stage.enter().await;
    client.send(&held("\"held\"")).await;
    let hold = house.held().await;
    client.send(PING).await;
    let seen = server.serve("{}").await;
    assert_eq!(seen["method"], "ping");
    assert_eq!(client.answer_to(&json!(1)).await["result"], json!({}));
    assert!(house.cli(&["holds", "approve", &hold]).await.status.success());
    assert_eq!(server.serve(r#"{"content":[]}"#).await["params"]["arguments"]["to"], "ann");
    assert_eq!(client.answer_to(&json!("held")).await["result"]["content"], json!([]));
}

#[tokio::test]
async fn a_held_call_keeps_its_connection_alive_until_it_is_decided() {
    let mut upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(GATED).open().await;
    let client = house.endpoint("x");
    let request = held("5");
    let mut reply = client.post(&request).await;
    assert_eq!(reply.head.header("content-type"), Some("text/event-stream"));
    // A comment now and then is what keeps the clients that wait for bytes.
    let mut comments = reply.body.until("\n").await;
    comments.extend(reply.body.until("\n").await);
    assert!(comments.starts_with(b":"), "{}", String::from_utf8_lossy(&comments));
    house.approve().await;
    let exchange = upstream.next().await;
    assert_eq!(exchange.request.text(), request);
    exchange.result(r#"{"content":[{"type":"text","text":"sent"}]}"#).await;
    reply.body.until("sent").await;
}

#[tokio::test]
async fn a_call_that_waits_too_long_is_told_so_and_its_retry_runs_once() {
    let upstream = Upstream::open().await;
    let plan = Plan::default().url_with("x", &upstream.url, "hold_budget = \"1s\"");
    let house = plan.rules(GATED).open().await;
    let client = house.endpoint("x");
    let log = upstream.answer_everything();
    let pending = client.post(held("1")).await.json().await;
    assert!(pending["result"]["content"][0]["text"].as_str().unwrap().contains("PENDING"), "{pending}");
    house.approve().await;
    assert_eq!(log.calls(), 0, "it ran with nobody there to hear of it");
    let answer = client.post(held("2")).await.json().await;
    assert_eq!(answer["id"], 2);
    assert_eq!(answer["result"]["content"][0]["text"], "ran");
    assert_eq!(log.calls(), 1);
    let again = client.post(held("3")).await.json().await;
    assert!(again["result"]["content"][0]["text"].as_str().unwrap().contains("PENDING"), "{again}");
    assert_eq!(log.calls(), 1, "one approval ran it twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn identical_calls_at_the_same_moment_are_one_question_and_run_once() {
    let upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(GATED).open().await;
    let client = house.endpoint("x");
    let log = upstream.answer_everything();
    for round in 1..=5 {
        let asked: Vec<_> = (1..=8)
            .map(|id| {
                let (client, call) =
                    (client.clone(), held(&id.to_string()).replace("ann", &format!("ann {round}")));
                tokio::spawn(async move { client.post(call).await.json().await })
            })
            .collect();
        soon("all of them to wait", async {
            while house.holds().await.iter().all(|hold| hold["count"] != 8) {
                assert!(!asked.iter().any(|one| one.is_finished()), "one of them was not held");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        })
        .await;
        house.approve().await;
        for (id, answer) in (1..).zip(asked) {
            let answer = answer.await.unwrap();
            assert_eq!(answer["id"], id);
            assert_eq!(answer["result"]["content"][0]["text"], "ran", "{answer}");
        }
        assert_eq!(log.calls(), round);
    }
}

#[tokio::test]
async fn a_denial_is_an_error_or_a_plain_result_as_the_operator_wishes() {
    for (denial, is_error) in [("error", true), ("result", false)] {
        let upstream = Upstream::open().await;
        let plan = Plan::default().url_with("x", &upstream.url, &format!("denial = {denial:?}"));
        let house = plan.rules(GATED).open().await;
        let client = house.endpoint("x");
        let log = upstream.answer_everything();
        let (answer, ()) = tokio::join!(
            async { client.post(held("1")).await.json().await },
            house.deny("not before Monday")
        );
        assert_eq!(answer["result"]["isError"], is_error, "{answer}");
        assert!(answer["result"]["content"][0]["text"].as_str().unwrap().contains("not before Monday"));
        assert_eq!(log.calls(), 0);
    }
}

#[tokio::test]
async fn a_client_that_knows_tasks_is_given_one_and_fetches_the_answer() {
    let upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(GATED).open().await;
    let client = modern_client(&house);
    let log = upstream.answer_everything();
    let tasks = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
    let announced = client.post(modern(1, &tasks, &json!({}))).await.json().await;
    assert_eq!(announced["result"]["resultType"], "task", "{announced}");
    let task = announced["result"]["taskId"].as_str().unwrap().to_owned();
    let get =
        json!({"jsonrpc": "2.0", "id": 2, "method": "tasks/get", "params": {"taskId": task}}).to_string();
    let client = house.endpoint("x");
    assert_ne!(client.post(&get).await.json().await["result"]["status"], "completed");
    house.approve().await;
    let answer = soon("the task to be done", async {
        loop {
            let answer = client.post(&get).await.json().await;
            if answer["result"]["status"] == "completed" {
                break answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(answer["result"]["result"]["content"][0]["text"], "ran", "{answer}");
    assert_eq!(log.calls(), 1);
    assert!(log.all().iter().all(|it| !it.text().contains("tasks/get")), "our task reached the server");
}

#[tokio::test]
async fn a_client_that_shows_forms_is_asked_and_its_answer_counts_once() {
    let upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(IN_BAND).rules(GATED).open().await;
    let client = modern_client(&house);
    let log = upstream.answer_everything();
    let forms = json!({"elicitation": {"form": {}}});
    let asked = client.post(modern(1, &forms, &json!({}))).await.json().await;
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    let (key, _) = asked["result"]["inputRequests"].as_object().unwrap().iter().next().unwrap();
    let state = &asked["result"]["requestState"];
    let reply =
        json!({"inputResponses": {key.as_str(): {"action": "accept", "content": {}}}, "requestState": state});

    // Not for another call, not with another word in it, and not twice.
    let other = modern(2, &forms, &reply).replace("ann", "everybody");
    client.post(other).await.json().await;
    assert_eq!(log.calls(), 0, "the state of one call carried another");
    let mut bent = state.as_str().unwrap().to_owned().into_bytes();
    let middle = bent.len() / 2;
    bent[middle] = if bent[middle] == b'A' { b'B' } else { b'A' };
    let forged =
        json!({"inputResponses": reply["inputResponses"], "requestState": String::from_utf8(bent).unwrap()});
    client.post(modern(3, &forms, &forged)).await.json().await;
    assert_eq!(log.calls(), 0, "an altered state was believed");

    let answer = client.post(modern(4, &forms, &reply)).await.json().await;
    assert_eq!(answer["result"]["content"][0]["text"], "ran", "{answer}");
    let again = client.post(modern(5, &forms, &reply)).await.json().await;
    assert_ne!(again["result"]["content"][0]["text"], "ran", "{again}");
    let ran: Vec<_> = log.all().iter().map(|it| it.text()).collect();
    assert_eq!(ran.len(), 1, "{ran:?}");
    assert!(
        !ran[0].contains(key.as_str()) && !ran[0].contains("requestState"),
        "ours went along: {}",
        ran[0]
    );
}

#[tokio::test]
async fn a_form_that_is_declined_is_a_denial() {
    let upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(IN_BAND).rules(GATED).open().await;
    let client = modern_client(&house);
    let log = upstream.answer_everything();
    let forms = json!({"elicitation": {"form": {}}});
    let asked = client.post(modern(1, &forms, &json!({}))).await.json().await;
    let (key, _) = asked["result"]["inputRequests"].as_object().unwrap().iter().next().unwrap();
    let state = &asked["result"]["requestState"];
    let reply = json!({"inputResponses": {key.as_str(): {"action": "decline"}}, "requestState": state});
    let answer = client.post(modern(2, &forms, &reply)).await.json().await;
    let said = answer["result"]["content"][0]["text"].as_str().unwrap();
    assert!(said.contains("DENIED by the user of herma-tests"), "{answer}");
    assert_eq!(log.calls(), 0);
    assert!(house.holds().await.is_empty(), "the question is still open");
}

#[tokio::test]
async fn an_older_client_that_shows_forms_is_asked_on_its_own_stream() {
    let stage = Stage::open().await;
    let house = Plan::default().rules(IN_BAND).rules(GATED).open().await;
    let mut client = house.wrap("x", &stage.command());
    let mut server = stage.enter().await;
    let params = json!({
        "protocolVersion": "2025-06-18", "capabilities": {"elicitation": {}},
        "clientInfo": {"name": "herma-tests", "version": "1"}
    });
    let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
    client.send(&hello.to_string()).await;
    server
        .serve(
            r#"{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"s","version":"1"}}"#,
        )
        .await;
    client.json().await;
    client.send(&held("7")).await;
    let question = client.json().await;
    assert_eq!(question["method"], "elicitation/create", "{question}");
    let reply =
        json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {}}});
    client.send(&reply.to_string()).await;
    let request = server.json().await;
    assert_eq!(request["method"], "tools/call", "the answer to our question reached the server");
}

#[tokio::test]
async fn without_the_operators_word_the_agents_client_is_not_asked() {
    let upstream = Upstream::open().await;
    let plan = Plan::default().url_with("x", &upstream.url, "hold_budget = \"1s\"");
    let house = plan.rules(GATED).open().await;
    let log = upstream.answer_everything();
    let forms = json!({"elicitation": {"form": {}, "url": {}}});
    let client = modern_client(&house);
    let reply = client.raw(&client.request("POST", modern(1, &forms, &json!({})).as_bytes())).await;
    let mut reply = reply.unwrap();
    let comment = reply.body.until("\n").await;
    assert!(comment.starts_with(b":"), "{}", String::from_utf8_lossy(&comment));
    house.approve().await;
    let answer = reply.json().await;
    assert_eq!(answer["result"]["content"][0]["text"], "ran", "{answer}");
    assert_eq!(log.calls(), 1);
}

#[tokio::test]
async fn a_tool_that_was_listed_a_moment_ago_can_be_approved() {
    let mut upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(GATED).open().await;
    let client = house.endpoint("x");
    for version in 0..8 {
        let schema = json!({"type": "object", "title": version});
        let tools = json!({"tools": [{"name": "send_mail", "inputSchema": schema}]}).to_string();
        let list = r#"{"jsonrpc":"2.0","id":0,"method":"tools/list"}"#;
        let (listed, ()) = tokio::join!(async { client.post(list).await.all().await }, async {
            upstream.next().await.result(&tools).await;
        });
        assert_eq!(listed.0.status(), 200);
        let asked = client.post(held("1").replace("ann", &version.to_string()));
        let run = async {
            house.approve().await;
            upstream.next().await.result(r#"{"content":[{"type":"text","text":"ran"}]}"#).await;
            std::future::pending::<Value>().await
        };
        let answer = tokio::select! {
            answer = async { asked.await.json().await } => answer,
            never = run => never,
        };
        assert_eq!(answer["result"]["content"][0]["text"], "ran", "version {version}: {answer}");
    }
}
