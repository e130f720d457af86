//! What people can say of a held call beside yes and no, as agents and people live through it.
use serde_json::{Value, json};

use crate::{
    house::{GATED, House, Plan},
    pipe::Stage,
    wire::{Endpoint, Exchange, Upstream, soon},
};

/// Everything is asked about because of its risk, so that people may make rules.
const WARY: &str = "\n[policy]\nexecute_below = 0.0\ngate_above = 0.0\n";
const TOLD: &str = "changed the arguments of this call to: {\"to\":\"bob\"}";

fn mail(id: i64, to: &str) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
           "params": {"name": "send_mail", "arguments": {"to": to}}})
    .to_string()
}

async fn edit(house: &House, arguments: &str) -> String {
    let id = house.held().await;
    let file = house.path().join("changed.json");
    std::fs::write(&file, arguments).unwrap();
    say(house, &["holds", "edit", &id, "--arguments", file.to_str().unwrap()]).await;
    id
}

/// A command that must succeed, and what it said.
async fn say(house: &House, arguments: &[&str]) -> String {
    let output = house.cli(arguments).await;
    let (said, why) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {said}{why}");
    said
}

async fn refused(house: &House, arguments: &[&str]) -> String {
    let output = house.cli(arguments).await;
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

fn texts(answer: &Value) -> Vec<&str> {
    let content = answer["result"]["content"].as_array().unwrap_or_else(|| panic!("{answer}"));
    content.iter().map(|block| block["text"].as_str().unwrap()).collect()
}

async fn ask(client: &Endpoint, call: String) -> Value {
    client.post(call).await.json().await
}

#[tokio::test]
async fn a_call_changed_by_a_person_goes_to_the_server_changed_and_the_agent_hears_of_it_first() {
    let mut upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(GATED).open().await;
    let client = house.endpoint("x");
    for streamed in [false, true] {
        let serve = async {
            let mut exchange: Exchange = upstream.next().await;
            assert_eq!(exchange.request.text(), mail(7, "bob"));
            let result = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"sent"}]}}"#;
            if streamed {
                exchange.sse("").await;
                exchange.event(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#).await;
                exchange.event(result).await;
                exchange.end().await;
            } else {
                exchange.json(result).await;
            }
        };
        let (answer, _, ()) = tokio::join!(
            async { soon("the answer", client.post(mail(7, "ann"))).await.json().await },
            edit(&house, r#"{"to":"bob"}"#),
            serve
        );
        let said = texts(&answer);
        assert!(said[0].contains(TOLD) && said[1] == "sent", "{said:?}");
    }
}

#[tokio::test]
async fn a_wrapped_server_gets_the_changed_call_and_its_client_hears_of_it_first() {
    let stage = Stage::open().await;
    let house = Plan::default().rules(GATED).open().await;
    let mut client = house.wrap("x", &stage.command());
    let mut server = stage.enter().await;
    client.send(&mail(1, "ann")).await;
    // As an editor leaves it; the server reads lines.
    edit(&house, "{\n  \"to\": \"bob\"\n}").await;
    let seen = server.serve(r#"{"content":[{"type":"text","text":"sent"}]}"#).await;
    assert_eq!(seen["params"]["arguments"], json!({"to": "bob"}));
    let answer = client.answer_to(&json!(1)).await;
    let said = texts(&answer);
    assert!(
        said[0].contains("changed the arguments") && said[0].contains("bob") && said[1] == "sent",
        "{said:?}"
    );
}

#[tokio::test]
async fn a_server_that_herma_starts_gets_the_changed_call_and_its_client_hears_of_it_first() {
    let stage = Stage::open().await;
    let house = Plan::default().command("x", &stage.command(), &[]).rules(GATED).open().await;
    let client = modern(&house);
    let serve = async {
        let mut server = stage.enter().await;
        let seen = server.serve(r#"{"content":[{"type":"text","text":"sent"}]}"#).await;
        assert_eq!(seen["params"]["arguments"], json!({"to": "bob"}));
    };
    let (answer, _, ()) = tokio::join!(
        async { soon("the answer", client.post(modern_mail(1, "ann"))).await.json().await },
        edit(&house, r#"{"to":"bob"}"#),
        serve
    );
    let said = texts(&answer);
    assert!(said[0].contains(TOLD) && said[1] == "sent", "{said:?}");
}

fn modern(house: &House) -> Endpoint {
    let client = house.endpoint("x").with("mcp-protocol-version", "2026-07-28");
    client.with("mcp-method", "tools/call").with("mcp-name", "send_mail")
}

fn modern_mail(id: i64, to: &str) -> String {
    let mut call: Value = serde_json::from_str(&mail(id, to)).unwrap();
    call["params"]["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "herma-tests", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    call.to_string()
}

#[tokio::test]
async fn a_change_made_while_the_client_was_gone_is_told_with_its_retry() {
    let upstream = Upstream::open().await;
    let plan = Plan::default().url_with("x", &upstream.url, "hold_budget = \"1s\"").rules(GATED);
    let house = plan.open().await;
    let client = house.endpoint("x");
    let log = upstream.answer_everything();
    let pending = ask(&client, mail(1, "ann")).await;
    assert!(texts(&pending)[0].contains("PENDING"), "{pending}");
    edit(&house, r#"{"to":"bob"}"#).await;
    assert_eq!(log.calls(), 0);
    let answer = ask(&client, mail(2, "ann")).await;
    assert_eq!(answer["id"], 2);
    assert!(texts(&answer)[0].contains(TOLD), "{answer}");
    assert_eq!(log.calls(), 1);
    assert!(log.all().iter().any(|received| received.text().contains(r#"{"to":"bob"}"#)));
}

#[tokio::test]
async fn arguments_the_tool_does_not_take_are_refused_in_words() {
    let upstream = Upstream::open().await;
    let house =
        Plan::default().url_with("x", &upstream.url, "hold_budget = \"1s\"").rules(GATED).open().await;
    ask(&house.endpoint("x"), mail(1, "ann")).await;
    let id = house.held().await;
    let file = house.path().join("changed.json");
    std::fs::write(&file, r#"{"to":"bob","to":"eve"}"#).unwrap();
    let said = refused(&house, &["holds", "edit", &id, "--arguments", file.to_str().unwrap()]).await;
    assert!(said.contains("the changed arguments cannot run"), "{said}");
}

#[tokio::test]
async fn calls_like_an_approved_one_run_unasked_until_the_rule_is_withdrawn() {
    let upstream = Upstream::open().await;
    let house = Plan::default().url_with("x", &upstream.url, "hold_budget = \"1s\"").rules(WARY).open().await;
    let client = house.endpoint("x");
    let log = upstream.answer_everything();
    ask(&client, mail(1, "ann")).await;
    let id = house.held().await;
    let preview =
        say(&house, &["holds", "similar", &id, "--scope", "agent", "--any", "/to", "--preview"]).await;
    assert!(preview.contains("/to is anything") && preview.contains("this one included."), "{preview}");
    say(&house, &["holds", "similar", &id, "--scope", "agent", "--any", "/to", "--uses", "5", "--yes"]).await;
    assert_eq!(texts(&ask(&client, mail(2, "ann")).await), ["ran"]);
    assert_eq!(texts(&ask(&client, mail(3, "bob")).await), ["ran"]);
    assert_eq!(log.calls(), 2);
    let rules: Value = serde_json::from_str(&say(&house, &["holds", "rules", "--json"]).await).unwrap();
    assert_eq!(rules[0]["used"], 1, "the ticket is no use of the rule: {rules}");
    say(&house, &["holds", "rules", "withdraw", rules[0]["id"].as_str().unwrap()]).await;
    assert!(texts(&ask(&client, mail(4, "cyd")).await)[0].contains("PENDING"));
}

#[tokio::test]
async fn a_freeze_stops_what_leaves_over_a_restart_and_status_shows_it() {
    let upstream = Upstream::open().await;
    let mut house = Plan::default().url("x", &upstream.url).open().await;
    let log = upstream.answer_everything();
    say(&house, &["freeze", "--reason", "something is wrong"]).await;
    house.kill().await;
    house.start().await;
    let answer = ask(&house.endpoint("x"), mail(1, "ann")).await;
    assert!(texts(&answer)[0].contains("something is wrong"), "{answer}");
    assert_eq!(log.calls(), 0);
    let status = say(&house, &["status"]).await;
    assert!(status.contains("something is wrong"), "{status}");
    say(&house, &["thaw"]).await;
    assert!(refused(&house, &["thaw"]).await.contains("is not frozen"));
    ask(&house.endpoint("x"), mail(2, "ann")).await;
    assert_eq!(log.calls(), 1);
}

#[tokio::test]
async fn the_terminal_cannot_approve_what_needs_a_passkey_or_another_person_but_can_deny_it() {
    let upstream = Upstream::open().await;
    let approvals = "\n[[approval]]\ntool = \"send_mail\"\nmethod = \"passkey\"\napprovers = [\"ada\", \"bob\"]\nquorum = 2\n";
    let plan =
        Plan::default().url_with("x", &upstream.url, "hold_budget = \"1s\"").rules(GATED).rules(approvals);
    let house = plan.open().await;
    let client = house.endpoint("x");
    ask(&client, mail(1, "ann")).await;
    let id = house.held().await;
    assert!(refused(&house, &["holds", "approve", &id]).await.contains("by a passkey"));
    let shown = say(&house, &["holds", "show", &id]).await;
    assert!(shown.contains("2 approvals") && shown.contains("ada"), "{shown}");
    say(&house, &["holds", "escalate", &id, "--reason", "over my head"]).await;
    say(&house, &["holds", "deny", &id, "--sticky", "--reason", "not this one"]).await;
    for _ in 0..2 {
        let answer = ask(&client, mail(2, "ann")).await;
        assert!(texts(&answer)[0].contains("not this one"), "{answer}");
    }
    assert!(house.holds().await.is_empty());
}
