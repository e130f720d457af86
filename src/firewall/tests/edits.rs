//! Approving a call with other arguments.

use super::*;

fn edit(arguments: &Value) -> Decision {
    Decision::Edit { arguments: arguments.to_string() }
}

fn mail(house: &House, text: &str) -> Call {
    house.call("send_message", json!({ "target": "mail:ann@example.com", "message": text }))
}

#[tokio::test]
async fn a_changed_call_runs_with_the_changed_bytes_and_its_agent_is_told() {
    let house = House::build().await;
    house.ask_about_everything();
    let call = house.call("create_issue", json!({ "title": "Broken", "body": "all of it" }));
    let agent = house.agent(call);
    let hold = house.hold().await;
    let row = house.decide(&hold.id, edit(&json!({ "title": "Broken", "body": "a part" }))).await.unwrap();
    let permit = permit(agent.await.unwrap());
    assert_eq!(permit.edited_arguments().unwrap(), r#"{"body":"a part","title":"Broken"}"#);
    let (frame, settlement) = permit.spend();
    let expected =
        r#"{"id":1,"params":{"name":"create_issue","arguments":{"body":"a part","title":"Broken"}}}"#;
    assert_eq!(frame, expected);
    let told = settlement.told().unwrap();
    assert!(told.contains("(ann) changed the arguments") && told.contains("a part"), "{told}");
    settlement.settle(answered("{}"));
    let receipt: Value = serde_json::from_str(&row.decision.unwrap()).unwrap();
    let digest = Digest::of(br#"{"body":"a part","title":"Broken"}"#).to_string();
    assert_eq!((&receipt["decision"], &receipt["edited_args_digest"]), (&json!("edit"), &json!(digest)));
    assert!(!receipt.to_string().contains("a part"), "what was written stands in the record");
}

#[tokio::test]
async fn a_change_that_the_tool_would_not_take_is_refused_and_the_call_goes_on_waiting() {
    let house = House::build().await;
    house.ask_about_everything();
    let schema =
        json!({ "type": "object", "properties": { "title": { "type": "string" } }, "required": ["title"] });
    let tool = json!({ "name": "create_issue", "description": "Creates an issue", "inputSchema": schema });
    house.firewall.definitions.learn("box", &[tool]).await.unwrap();
    let hold = house.asked(house.call("create_issue", json!({ "title": "a" }))).await;
    for wrong in [r#"{"title": 1}"#, "{}", "[]", r#"{"title":"a","title":"b"}"#, "{"] {
        let refused = house.decide(&hold.id, Decision::Edit { arguments: wrong.into() }).await.unwrap_err();
        assert!(matches!(refused, GateError::Edit(_)), "{wrong}: {refused}");
    }
    assert_eq!(house.firewall.gate.show(&hold.id).await.unwrap().state, HoldState::Pending);
}

#[tokio::test]
async fn a_change_that_makes_it_riskier_is_a_question_of_its_own() {
    let house = House::build().await;
    house.ask_about_everything();
    let agent = house.agent(house.call("terminal", json!({ "command": "mkdir build" })));
    let first = house.hold().await;
    let worse = json!({ "command": "rm -rf /srv/data" });
    house.decide(&first.id, edit(&worse)).await.unwrap();
    let second = house.hold().await;
    assert_ne!(second.id, first.id);
    assert!(second.shown.contains("/srv/data"), "{}", second.shown);
    assert_eq!(house.firewall.gate.show(&first.id).await.unwrap().state, HoldState::Superseded);
    assert!(!agent.is_finished(), "it ran on the word given for something harmless");
    house.decide(&second.id, Decision::Approve).await.unwrap();
    let (frame, settlement) = permit(agent.await.unwrap()).spend();
    assert!(String::from_utf8_lossy(&frame).contains("/srv/data"));
    assert!(settlement.told().is_some());
    settlement.settle(answered("{}"));
}

#[tokio::test]
async fn a_change_into_something_forbidden_does_not_run() {
    let house = House::build().await;
    house.ask_about_everything();
    let agent = house.agent(house.call("terminal", json!({ "command": "mkdir build" })));
    let hold = house.hold().await;
    let matcher = Matcher::default().argument("/command", "secret").unwrap();
    let rule = Rule { id: "no".into(), matcher, route: Route::Block, reason: "not there".into() };
    house.replace_policy("next", vec![rule]);
    house.decide(&hold.id, edit(&json!({ "command": "mkdir secret" }))).await.unwrap();
    let refusal = agent.await.unwrap().unwrap_err();
    assert!(refusal.to_string().contains("not there"), "{refusal}");
}

#[tokio::test]
async fn a_change_made_after_the_client_left_is_for_its_retry_even_after_a_restart() {
    let house = House::build().await;
    let hold = house.asked(mail(&house, "pay me: key AKIAIOSFODNN7EXAMPLE")).await;
    house
        .decide(&hold.id, edit(&json!({ "target": "mail:ann@example.com", "message": "see you" })))
        .await
        .unwrap();
    let house = house.restart().await;
    let (frame, settlement) =
        permit(house.admit(mail(&house, "pay me: key AKIAIOSFODNN7EXAMPLE"), PATIENT).await).spend();
    assert!(String::from_utf8_lossy(&frame).contains("see you"));
    assert!(settlement.told().unwrap().contains("see you"));
    settlement.settle(answered("{}"));
}

#[tokio::test]
async fn whoever_joined_a_changed_call_hears_of_the_change_as_well() {
    let house = House::build().await;
    house.ask_about_everything();
    let call = || house.call("create_issue", json!({ "title": "a" }));
    let agents = [house.agent(call()), house.agent(call())];
    while house.hold().await.count < 2 {
        tokio::task::yield_now().await;
    }
    house.decide(&house.hold().await.id, edit(&json!({ "title": "b" }))).await.unwrap();
    let (first, _, mut others) = futures_util::future::select_all(agents).await;
    permit(first.unwrap()).spend().1.settle(answered(r#"{"id":1,"result":{}}"#));
    match others.remove(0).await.unwrap().unwrap() {
        Admission::Answered(answer) => assert!(answer.told.as_ref().unwrap().contains(r#""b""#)),
        Admission::Permit(_) => panic!("the same call ran twice"),
    }
}

#[tokio::test]
async fn a_changed_call_needs_the_quorum_for_that_very_change() {
    let house = House::build().await;
    let approval = crate::policy::Approval {
        of: String::new(),
        matcher: Matcher::default(),
        crisis: None,
        quorum: 2,
        method: None,
        approvers: None,
    };
    let thresholds = Thresholds { execute_below: 0.0, gate_above: 0.0, ..Thresholds::default() };
    house.replace(Policy {
        revision: "two".into(),
        thresholds,
        approvals: vec![approval],
        ..Policy::default()
    });
    let agent = house.agent(house.call("create_issue", json!({ "title": "a" })));
    let hold = house.hold().await;
    let say = async |decision, by| house.say(&hold.id, decision, by, Method::Terminal).await.unwrap();
    assert_eq!(say(Decision::Approve, "ann").await.state, HoldState::Pending);
    assert_eq!(say(edit(&json!({ "title": "b" })), "bob").await.state, HoldState::Pending);
    assert_eq!(say(edit(&json!({ "title": "c" })), "cyd").await.state, HoldState::Pending);
    let done = say(edit(&json!({ "title": "b" })), "ann").await;
    assert_eq!((done.state, done.approvals), (HoldState::Approved, 2));
    let (frame, settlement) = permit(agent.await.unwrap()).spend();
    assert!(String::from_utf8_lossy(&frame).contains(r#"{"title":"b"}"#));
    settlement.settle(answered("{}"));
}
