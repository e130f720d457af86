//! Standing rules and freezes.

use super::*;
use crate::firewall::{For, Loose, Similar};
use crate::gate::Frozen;

fn issue(house: &House, title: &str, body: &str) -> Call {
    house.call("create_issue", json!({ "title": title, "body": body }))
}

fn loosely(pointer: &str, loose: Loose) -> Similar {
    Similar { loosen: [(pointer.to_owned(), loose)].into(), ..Similar::default() }
}

async fn rule(house: &House, call: Call, wish: &Similar) -> Result<crate::policy::Standing, GateError> {
    let hold = house.asked(call).await;
    let ann = Approver::new("ann", Method::Terminal);
    house.firewall.approve_similar(&hold.id, Seen::default(), wish, ann).await.map(|(_, rule)| rule)
}

async fn runs(house: &House, call: Call) -> bool {
    match house.admit(call, Client { patience: Duration::ZERO }).await {
        Ok(Admission::Permit(permit)) => {
            permit.spend().1.settle(answered("{}"));
            true
        }
        Err(Refusal::Pending { .. }) => false,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn calls_like_an_approved_one_run_unasked_and_others_do_not() {
    let house = House::build().await;
    house.ask_about_everything();
    let made = rule(&house, issue(&house, "a", "x"), &loosely("/body", Loose::Any)).await.unwrap();
    assert!(runs(&house, issue(&house, "a", "something else")).await);
    assert!(!runs(&house, issue(&house, "b", "x")).await, "another title is another question");
    let wider = house.call("create_issue", json!({ "title": "a", "body": "x", "assignee": "eve" }));
    assert!(!runs(&house, wider).await, "an argument nobody saw");
    let mut elsewhere = issue(&house, "a", "y");
    elsewhere.origin.session = "t".into();
    assert!(!runs(&house, elsewhere).await, "another session");
    house.firewall.ledger.close().await.unwrap();
    let lines = house.ledger_lines();
    for step in ["\"made\"", &format!("\"rule\":\"standing:{}\"", made.id)] {
        assert!(lines.contains(step), "{step} is not in the record");
    }
}

#[tokio::test]
async fn a_prefix_ends_at_a_border_and_does_not_climb() {
    let house = House::build().await;
    house.ask_about_everything();
    let write = |path: &str| house.call("write_file", json!({ "path": path, "content": "x" }));
    let wish = Similar { scope: For::All, ..loosely("/path", Loose::Prefix("notes/app".into())) };
    rule(&house, write("notes/app/a"), &wish).await.unwrap();
    assert!(runs(&house, write("notes/app/b")).await);
    for other in ["notes/apparent", "notes/app/../b", "notes/app/%2e%2e/b", "notes"] {
        assert!(!runs(&house, write(other)).await, "{other}");
    }
}

#[tokio::test]
async fn a_rule_ends_with_its_uses_its_time_or_a_persons_word_and_outlives_a_restart() {
    let house = House::build().await;
    house.ask_about_everything();
    let twice = Similar { uses: Some(2), ..loosely("/body", Loose::Any) };
    rule(&house, issue(&house, "a", "x"), &twice).await.unwrap();
    assert!(runs(&house, issue(&house, "a", "1")).await);
    let house = house.restart().await;
    house.ask_about_everything();
    assert!(runs(&house, issue(&house, "a", "2")).await);
    assert!(!runs(&house, issue(&house, "a", "3")).await, "two uses are two");

    let made = rule(&house, issue(&house, "b", "x"), &loosely("/body", Loose::Any)).await.unwrap();
    assert!(!made.in_force(made.expires_ms), "it never ends");
    house.firewall.withdraw_standing(&made.id, "ann").await.unwrap();
    assert!(!runs(&house, issue(&house, "b", "1")).await);
    let again = house.firewall.withdraw_standing(&made.id, "ann").await.unwrap_err();
    assert!(matches!(again, GateError::UnknownRule(_)), "{again}");
}

#[tokio::test]
async fn a_use_that_many_want_at_once_is_had_by_one() {
    let house = House::build().await;
    house.ask_about_everything();
    let once = Similar { uses: Some(1), ..loosely("/body", Loose::Any) };
    rule(&house, issue(&house, "a", "x"), &once).await.unwrap();
    let calls = (0..10)
        .map(|n| house.admit(issue(&house, "a", &format!("{n}")), Client { patience: Duration::ZERO }));
    let ran = futures_util::future::join_all(calls).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(ran, 1);
}

#[tokio::test]
async fn no_rule_is_offered_for_a_crisis_for_what_cannot_be_taken_back_or_against_the_policy() {
    let house = House::build().await;
    let message = "You said you want to die. Are you safe right now?";
    let crisis = house.call("send_message", json!({ "target": "telegram:1", "message": message }));
    for call in [crisis, house.dangerous()] {
        let refused = rule(&house, call, &Similar::default()).await.unwrap_err();
        assert!(refused.to_string().contains("asked every time"), "{refused}");
    }
    let house = House::build().await;
    let rule_of_policy =
        Rule { id: "ours".into(), matcher: Matcher::default(), route: Route::Gate, reason: "look".into() };
    house.replace_policy("gates", vec![rule_of_policy]);
    let refused = rule(&house, issue(&house, "a", "x"), &Similar::default()).await.unwrap_err();
    assert!(refused.to_string().contains("a rule of the policy"), "{refused}");
}

#[tokio::test]
async fn a_rule_answers_nothing_once_somebody_is_in_crisis() {
    let house = House::build().await;
    house.ask_about_everything();
    let send = |text: &str| house.call("send_message", json!({ "target": "telegram:1", "message": text }));
    rule(&house, send("See you at five"), &loosely("/message", Loose::Any)).await.unwrap();
    house.firewall.sessions.enter_crisis(&house.session(), "a message", now()).await.unwrap();
    assert!(!runs(&house, send("See you at six")).await);
}

#[tokio::test]
async fn a_preview_says_the_rule_and_which_holds_of_the_week_it_would_have_answered() {
    let house = House::build().await;
    house.ask_about_everything();
    let [first, like, _other] = [issue(&house, "a", "x"), issue(&house, "a", "y"), issue(&house, "b", "x")];
    let (first, like) = (house.asked(first).await, house.asked(like).await);
    house.asked(issue(&house, "b", "x")).await;
    let wish = Similar { uses: Some(10), ..loosely("/body", Loose::Any) };
    let preview = house.firewall.similar(&first.id, &wish).await.unwrap();
    let mut holds: Vec<_> = preview.holds.iter().map(|past| past.hold.clone()).collect();
    holds.sort();
    let mut expected = [first.id, like.id];
    expected.sort();
    assert_eq!(holds, expected);
    for said in
        ["8 hours", "at most 10 times", "`create_issue`", r#"/title is exactly "a""#, "/body is anything"]
    {
        assert!(preview.words.contains(said), "{said} is not in: {}", preview.words);
    }
    assert!(house.firewall.standing().is_empty(), "a preview makes nothing");
}

#[tokio::test]
async fn what_is_frozen_runs_nothing_that_leaves_until_it_is_lifted_and_what_waits_goes_on_waiting() {
    let house = House::build().await;
    let waiting = house.asked(house.dangerous()).await;
    house.firewall.freeze(&Frozen::All, "ann", "something is wrong").await.unwrap();
    let house = house.restart().await;
    for call in [house.call("terminal", json!({ "command": "rm -rf /srv/other" })), issue(&house, "a", "x")] {
        let refusal = house.admit(call, PATIENT).await.unwrap_err();
        assert!(refusal.to_string().contains("frozen by ann (something is wrong)"), "{refusal}");
    }
    assert!(runs(&house, house.call("read_file", json!({ "path": "README.md" }))).await);
    let refused = house.decide(&waiting.id, Decision::Approve).await.unwrap_err();
    assert!(matches!(refused, GateError::Frozen { .. }), "{refused}");
    assert!(house.firewall.thaw(&Frozen::All, "ann", "found it").await.unwrap());
    assert!(runs(&house, issue(&house, "a", "x")).await);
    house.decide(&waiting.id, Decision::Approve).await.unwrap();
    permit(house.admit(house.dangerous(), PATIENT).await).spend().1.settle(answered("{}"));
    assert!(!house.firewall.thaw(&Frozen::All, "ann", "twice").await.unwrap());
}

#[tokio::test]
async fn one_agent_or_session_can_be_frozen_alone() {
    let house = House::build().await;
    for (what, stops) in
        [("agent:local", true), ("agent:other", false), ("session:s", true), ("session:t", false)]
    {
        let what: Frozen = what.parse().unwrap();
        house.firewall.freeze(&what, "ann", "look").await.unwrap();
        let ran = house.admit(issue(&house, "a", &what.to_string()), PATIENT).await.is_ok();
        assert_eq!(ran, !stops, "{what}");
        house.firewall.thaw(&what, "ann", "looked").await.unwrap();
    }
    assert!("everything".parse::<Frozen>().is_err());
}

#[tokio::test]
async fn a_rule_does_not_speak_of_a_tool_that_is_described_otherwise_since() {
    let house = House::build().await;
    house.ask_about_everything();
    let tool = |text: &str| json!({ "name": "create_issue", "description": text, "inputSchema": {} });
    house.firewall.definitions.learn("box", &[tool("Creates an issue")]).await.unwrap();
    rule(&house, issue(&house, "a", "x"), &loosely("/body", Loose::Any)).await.unwrap();
    assert!(runs(&house, issue(&house, "a", "1")).await);
    house.firewall.definitions.learn("box", &[tool("Creates an issue for everyone")]).await.unwrap();
    assert!(!runs(&house, issue(&house, "a", "2")).await);
}

/// What was in force when the news of a decided hold was heard.
async fn in_force_at_the_news(house: &House) -> tokio::task::JoinHandle<usize> {
    let (firewall, mut news) = (Arc::clone(&house.firewall), house.firewall.gate.news());
    tokio::spawn(async move {
        while news.recv().await.unwrap().state == HoldState::Pending {}
        firewall.standing().len()
    })
}

#[tokio::test]
async fn whoever_hears_a_word_meets_the_rule_that_came_with_it() {
    let house = House::build().await;
    house.ask_about_everything();
    let hold = house.asked(issue(&house, "a", "x")).await;
    let heard = in_force_at_the_news(&house).await;
    let sticky = Decision::Deny { reason: "leave it".into(), sticky: true };
    house.decide(&hold.id, sticky).await.unwrap();
    assert_eq!(heard.await.unwrap(), 1, "a denial that sticks came after its word");

    let hold = house.asked(issue(&house, "b", "x")).await;
    let heard = in_force_at_the_news(&house).await;
    let ann = Approver::new("ann", Method::Terminal);
    let wish = loosely("/body", Loose::Any);
    house.firewall.approve_similar(&hold.id, Seen::default(), &wish, ann).await.unwrap();
    assert_eq!(heard.await.unwrap(), 2, "similar calls were let through after the word");
}

#[tokio::test]
async fn a_word_that_is_not_taken_leaves_no_rule_behind() {
    let house = House::build().await;
    house.ask_about_everything();
    let hold = house.asked(issue(&house, "a", "x")).await;
    let ann = Approver::new("ann", Method::Terminal);
    let decision = Decision::Deny { reason: "leave it".into(), sticky: true };
    let late = house.firewall.draft(&hold.id, &Seen::default(), decision, ann.clone()).await.unwrap();
    house.decide(&hold.id, Decision::deny("no")).await.unwrap();
    house.firewall.decide_drafted(late, None).await.unwrap_err();
    let hold = house.asked(issue(&house, "b", "x")).await;
    let stale = Seen { digest: None, version: Some(hold.version + 1), typed: None };
    let wish = loosely("/body", Loose::Any);
    house.firewall.approve_similar(&hold.id, stale, &wish, ann).await.unwrap_err();
    assert!(house.firewall.standing().is_empty());
}
