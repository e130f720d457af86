//! The operator's file, as it takes effect.
use std::time::Duration;

use serde_json::json;

use crate::{
    house::{House, OPEN, Plan},
    pipe::Stage,
    wire::{Upstream, contains, soon},
};

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"send_mail","arguments":{"to":"ann"}}}"#;

async fn status(house: &House, fact: &str) -> String {
    let output = house.cli(&["status"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(fact)).unwrap_or_default();
    line.trim().to_owned()
}

async fn rewrite(house: &House, from: &str, to: &str) {
    let file = house.path().join("herma.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(from));
    // A file system may count whole seconds: the change must be seen as one.
    let before = std::fs::metadata(&file).unwrap().modified().unwrap();
    std::fs::write(&file, text.replace(from, to)).unwrap();
    let handle = std::fs::File::options().append(true).open(&file).unwrap();
    handle.set_modified(before + Duration::from_secs(2)).unwrap();
}

#[tokio::test]
async fn a_changed_file_takes_effect_without_a_restart() {
    let upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(OPEN).open().await;
    let log = upstream.answer_everything();
    let client = house.endpoint("x");
    client.post(CALL).await.json().await;
    assert_eq!(log.calls(), 1);
    let before = status(&house, "policy").await;
    rewrite(&house, r#"route = "execute""#, "route = \"block\"\nreason = \"not any more\"").await;
    soon("the new policy", async {
        while status(&house, "policy").await == before {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let answer = client.post(CALL).await.json().await;
    assert_eq!(log.calls(), 1);
    let said = answer["result"]["content"][0]["text"].as_str().unwrap();
    assert!(said.contains("not any more") && said.contains("open"), "{answer}");
}

#[tokio::test]
async fn a_file_that_cannot_be_meant_changes_nothing_and_is_named_with_its_line() {
    let upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(OPEN).open().await;
    let log = upstream.answer_everything();
    rewrite(&house, r#"route = "execute""#, r#"route = "perhaps""#).await;
    soon("the complaint", async {
        while !house.stderr().contains("the old policy stays") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let said = house.stderr();
    assert!(said.contains("herma.toml:") && said.contains("perhaps"), "{said}");
    let said = status(&house, "unused").await;
    assert!(said.contains("not in use") && said.contains("perhaps"), "{said}");
    house.endpoint("x").post(CALL).await.json().await;
    assert_eq!(log.calls(), 1, "the old policy no longer holds");
}

#[tokio::test]
async fn observe_runs_what_it_would_have_blocked_and_records_that() {
    let upstream = Upstream::open().await;
    let observe = "[policy]\nmode = \"observe\"\n";
    let block = OPEN.replace("execute", "block");
    let house = Plan::default().url("x", &upstream.url).rules(observe).rules(&block).open().await;
    let log = upstream.answer_everything();
    house.endpoint("x").post(CALL).await.json().await;
    assert_eq!(log.calls(), 1);
    let recorded = house.cli(&["audit", "grep", r#""would":"block""#]).await;
    assert!(recorded.status.success(), "{}", String::from_utf8_lossy(&recorded.stdout));
}

#[tokio::test]
async fn a_message_to_somebody_in_crisis_is_held_even_where_everything_else_runs() {
    let upstream = Upstream::open().await;
    let observe = "[policy]\nmode = \"observe\"\n";
    let house = Plan::default().url("x", &upstream.url).rules(observe).rules(OPEN).open().await;
    let log = upstream.answer_everything();
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "send_message",
        "arguments": {"to": "ann", "text": "You wrote that you want to die. Are you safe right now?"}
    }});
    let reply = house.endpoint("x").post(message.to_string()).await;
    house.deny("a person will answer her").await;
    let answer = reply.json().await;
    assert!(answer["result"]["content"][0]["text"].as_str().unwrap().contains("a person will answer her"));
    assert_eq!(log.calls(), 0);

    // From here on plain words to anybody wait too, until a named person clears it.
    let plain = CALL.replace("send_mail", "send_message").replace("ann", "see you at five");
    let reply = house.endpoint("x").post(&plain).await;
    house.deny("not yet").await;
    reply.json().await;
    assert_eq!(log.calls(), 0);
    let cleared = house.cli(&["crisis", "clear", "local", "--reason", "she is with her sister"]).await;
    assert!(cleared.status.success(), "{}", String::from_utf8_lossy(&cleared.stderr));
    house.endpoint("x").post(&plain).await.json().await;
    assert_eq!(log.calls(), 1);
}

#[tokio::test]
async fn a_server_that_asks_the_agents_model_waits_where_the_operator_says_so() {
    let rule = "[[rule]]\nid = \"no-sampling\"\nkind = \"sampling\"\nroute = \"gate\"\n";
    let stage = Stage::open().await;
    let house = Plan::default().rules(rule).open().await;
    let mut client = house.wrap("x", &stage.command());
    let mut server = stage.enter().await;
    let request = json!({"jsonrpc": "2.0", "id": 9, "method": "sampling/createMessage", "params": {
        "messages": [{"role": "user", "content": {"type": "text", "text": "hello"}}], "maxTokens": 10
    }});
    server.say(&request.to_string()).await;
    house.deny("its own model will do").await;
    let refused = server.json().await;
    assert_eq!(refused["id"], 9);
    assert!(refused["error"]["message"].as_str().unwrap().contains("its own model will do"), "{refused}");

    server.say(&request.to_string().replace("hello", "once more")).await;
    house.approve().await;
    assert_eq!(client.json().await["params"]["messages"][0]["content"]["text"], "once more");
}

#[tokio::test]
async fn a_server_over_http_that_asks_the_agents_model_waits_where_the_operator_says_so() {
    let rule = "[[rule]]\nid = \"no-sampling\"\nkind = \"sampling\"\nroute = \"gate\"\n";
    let mut upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(rule).open().await;
    let client = house.endpoint("x");
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let request = |text: &str| {
        let params = json!({"messages": [{"role": "user", "content": {"type": "text", "text": text}}], "maxTokens": 1});
        json!({"jsonrpc": "2.0", "id": 9, "method": "sampling/createMessage", "params": params}).to_string()
    };
    let (mut reply, mut turn) = tokio::join!(client.post(list), async {
        let mut turn = upstream.next().await;
        turn.sse("").await;
        turn
    });
    turn.event(&request("hello")).await;
    turn.event(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}"#)
        .await;
    let seen = reply.body.until("\n\n").await;
    assert!(contains(&seen, b"notifications/message"), "the others must not wait for it");
    assert!(!contains(&seen, b"sampling"), "it was passed on unasked");
    house.approve().await;
    assert!(contains(&reply.body.until("\n\n").await, b"hello"));
}

#[tokio::test]
async fn the_servers_of_another_client_are_taken_over_with_one_command() {
    let upstream = Upstream::open().await;
    let mut house = House::empty();
    let block = json!({"mcpServers": {"x": {"type": "http", "url": upstream.url}}});
    std::fs::write(house.path().join("other.json"), block.to_string()).unwrap();
    let file = house.path().join("other.json");
    let taken = house.cli(&["import", file.to_str().unwrap()]).await;
    let config = format!("[listen]\nagent = \"127.0.0.1:0\"\n{}", String::from_utf8(taken.stdout).unwrap());
    std::fs::write(house.path().join("herma.toml"), config).unwrap();
    house.start().await;
    let log = upstream.answer_everything();
    house.endpoint("x").post(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).await.json().await;
    assert_eq!(log.all().len(), 1);
}
