//! Who may approve, how many must, and what is asked again.

use ed25519_dalek::VerifyingKey;

use super::*;
use crate::gate::Receipt;
use crate::policy::{Approval, CrisisRule};

fn policy(approval: Approval) -> Policy {
    Policy { revision: "needs".into(), approvals: vec![approval], ..Policy::default() }
}

fn needs(quorum: u32, method: Option<Method>, approvers: Option<&[&str]>) -> Approval {
    let approvers = approvers.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
    Approval { of: String::new(), matcher: Matcher::default(), crisis: None, quorum, method, approvers }
}

fn a_message_in_a_crisis(house: &House) -> Call {
    let message = "You said you want to die. Are you safe right now?";
    house.call("send_message", json!({ "target": "telegram:1", "message": message }))
}

#[tokio::test]
async fn two_people_must_approve_and_one_of_them_twice_is_not_two() {
    let house = House::build().await;
    house.replace(policy(needs(2, None, None)));
    let agent = house.agent(house.dangerous());
    let hold = house.hold().await;
    let say = |by: &'static str| house.say(&hold.id, Decision::Approve, by, Method::Terminal);
    let first = say("ann").await.unwrap();
    assert_eq!((first.state, first.approvals), (HoldState::Pending, 1));
    assert!(matches!(say("ann").await, Err(GateError::Again { .. })));
    assert_eq!(say("bob").await.unwrap().state, HoldState::Approved);
    permit(agent.await.unwrap()).spend().1.settle(answered("{}"));
    let votes = house.firewall.gate.votes(&hold.id).await.unwrap();
    assert_eq!(votes.iter().map(|vote| &*vote.approver).collect::<Vec<_>>(), ["ann", "bob"]);
}

#[tokio::test]
async fn a_hundred_approvals_of_three_people_make_one_execution() {
    let house = House::build().await;
    house.replace(policy(needs(3, None, None)));
    let agent = house.agent(house.dangerous());
    let hold = house.hold().await;
    let say =
        |by: usize| house.say(&hold.id, Decision::Approve, ["ann", "bob", "cyd"][by % 3], Method::Terminal);
    let said = futures_util::future::join_all((0..100).map(say)).await;
    assert_eq!(said.into_iter().filter(Result::is_ok).count(), 3);
    permit(agent.await.unwrap()).spend().1.settle(answered("{}"));
}

#[tokio::test]
async fn one_denial_ends_it_whoever_else_approved() {
    let house = House::build().await;
    house.replace(policy(needs(2, Some(Method::Passkey), Some(&["ann", "bob"]))));
    let agent = house.agent(house.dangerous());
    let hold = house.hold().await;
    house.say(&hold.id, Decision::Approve, "ann", Method::Passkey).await.unwrap();
    house.say(&hold.id, Decision::deny("no"), "cyd", Method::Terminal).await.unwrap();
    assert!(matches!(agent.await.unwrap(), Err(Refusal::Denied { .. })));
}

#[tokio::test]
async fn a_weak_method_a_stranger_and_the_asking_agent_itself_cannot_approve() {
    let house = House::build().await;
    house.replace(policy(needs(1, Some(Method::Session), Some(&["ann", "local"]))));
    let hold = house.asked(house.dangerous()).await;
    let say = async |by, method| house.say(&hold.id, Decision::Approve, by, method).await.unwrap_err();
    assert!(matches!(say("ann", Method::Terminal).await, GateError::TooWeak { needs: Method::Session, .. }));
    assert!(matches!(say("eve", Method::Passkey).await, GateError::NotAnApprover { .. }));
    assert!(matches!(say("local", Method::Passkey).await, GateError::OwnRequest(_)));
    house.say(&hold.id, Decision::Approve, "ann", Method::Session).await.unwrap();
}

#[tokio::test]
async fn all_that_speak_of_a_call_hold_together() {
    let house = House::build().await;
    let critical = Matcher::default().classes(vec![SideEffect::Critical]);
    let approvals = vec![
        Approval { matcher: critical, ..needs(1, Some(Method::Passkey), Some(&["ann", "bob"])) },
        needs(2, None, Some(&["bob", "cyd", "ann"])),
        Approval { matcher: Matcher::default().tool(Some("other")).unwrap(), ..needs(9, None, None) },
    ];
    house.replace(Policy { revision: "all".into(), approvals, ..Policy::default() });
    let needs = crate::gate::needs(&house.asked(house.dangerous()).await);
    assert_eq!((needs.quorum, needs.method), (2, Method::Passkey));
    assert_eq!(needs.approvers.unwrap(), ["ann", "bob"]);
}

#[tokio::test]
async fn where_the_operator_may_be_in_crisis_somebody_else_decides() {
    let house = House::build().await;
    let personal = |names: &[&str]| Policy {
        revision: format!("{names:?}"),
        crisis: CrisisRule {
            personal: true,
            second_person: names.iter().map(|name| (*name).to_owned()).collect(),
            region: Some("NL".into()),
        },
        ..Policy::default()
    };
    house.replace(personal(&[]));
    let calm = house.asked(house.dangerous()).await;
    assert!(calm.shown.contains(r#""help_lines":null"#), "lines are shown in a crisis only: {}", calm.shown);
    let nobody = house.asked(a_message_in_a_crisis(&house)).await;
    let refused = house.say(&nobody.id, Decision::Approve, "me", Method::Passkey).await.unwrap_err();
    assert!(refused.to_string().contains("second_person = ["), "{refused}");
    house.say(&nobody.id, Decision::deny("not so"), "me", Method::Terminal).await.unwrap();

    let shown: serde_json::Value = serde_json::from_str(&nobody.shown).unwrap();
    let contacts: Vec<_> =
        shown["help_lines"].as_array().unwrap().iter().map(|line| &line["contact"]).collect();
    assert!(
        contacts.contains(&&"113 or 0800-0113".into()),
        "the lines of the country are there: {contacts:?}"
    );
    house.replace(personal(&["ada"]));
    let hold = house.asked(a_message_in_a_crisis(&house)).await;
    for (by, method) in [("me", Method::Passkey), ("ada", Method::Terminal)] {
        let refused = house.say(&hold.id, Decision::Approve, by, method).await.unwrap_err();
        assert!(matches!(refused, GateError::SecondPerson { .. }), "{by}: {refused}");
        let clearing = house.firewall.clear_crisis("local", &Approver::new(by, method), "well").await;
        assert!(matches!(clearing, Err(GateError::SecondPerson { .. })), "{by}: {clearing:?}");
    }
    house.say(&hold.id, Decision::Approve, "ada", Method::Session).await.unwrap();
    assert!(
        house.firewall.clear_crisis("local", &Approver::new("ada", Method::Session), "well").await.unwrap()
    );
}

#[tokio::test]
async fn an_escalated_hold_goes_on_waiting_and_is_told_again() {
    let house = House::build().await;
    let hold = house.asked(house.dangerous()).await;
    let mut news = house.firewall.gate.news();
    house.decide(&hold.id, Decision::Escalate { reason: "over my head".into() }).await.unwrap();
    let told = news.recv().await.unwrap();
    assert_eq!((told.state, told.escalated, told.version), (HoldState::Pending, 1, hold.version + 1));
    assert!(told.decision.unwrap().contains("over my head"));
    house.decide(&hold.id, Decision::Approve).await.unwrap();
}

#[tokio::test]
async fn a_decision_on_an_older_version_is_refused() {
    let house = House::build().await;
    let hold = house.asked(house.dangerous()).await;
    house.decide(&hold.id, Decision::Escalate { reason: "look".into() }).await.unwrap();
    let seen = Seen { digest: Some(hold.digest), version: Some(hold.version), typed: None };
    let ann = Approver::new("ann", Method::Terminal);
    let refused = house.firewall.decide(&hold.id, seen, Decision::Approve, ann).await.unwrap_err();
    assert!(matches!(refused, GateError::Stale { .. }), "{refused}");
}

#[tokio::test]
async fn a_batch_names_what_was_seen_and_never_decides_about_a_person_in_crisis() {
    let house = House::build().await;
    let seen =
        |row: &HoldRow| Seen { digest: Some(row.digest.clone()), version: Some(row.version), typed: None };
    let plain = house.asked(house.dangerous()).await;
    let unseen = house.asked(house.call("terminal", json!({ "command": "rm -rf /srv/other" }))).await;
    let crisis = house.asked(a_message_in_a_crisis(&house)).await;
    let items = vec![
        (plain.id.clone(), seen(&plain)),
        (unseen.id.clone(), Seen::default()),
        (crisis.id.clone(), seen(&crisis)),
    ];
    let ann = Approver::new("ann", Method::Terminal);
    let said = house.firewall.decide_all(items, Decision::deny("all of it"), ann).await;
    assert!(
        matches!(said.as_slice(), [Ok(_), Err(GateError::OutOfDate(_)), Err(GateError::CrisisAlone(_))]),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_denial_that_sticks_answers_the_same_tool_on_the_same_target_until_it_is_withdrawn() {
    let house = House::build().await;
    house.ask_about_everything();
    let write = |path: &str, text: &str| house.call("write_file", json!({ "path": path, "content": text }));
    let hold = house.asked(write("/srv/a", "x")).await;
    let sticky = Decision::Deny { reason: "leave it".into(), sticky: true };
    house.decide(&hold.id, sticky).await.unwrap();
    for text in ["x", "y"] {
        let refusal = house.admit(write("/srv/a", text), PATIENT).await.unwrap_err();
        assert!(refusal.to_string().contains("DENIED by ann: leave it"), "{refusal}");
    }
    house.asked(write("/srv/b", "x")).await;
    let rule = house.firewall.standing().pop().unwrap();
    house.firewall.withdraw_standing(&rule.id, "ann").await.unwrap();
    house.asked(write("/srv/a", "y")).await;
}

#[tokio::test]
async fn asking_again_and_again_is_said_and_then_no_longer_asked() {
    let house = House::build().await;
    for _ in 0..3 {
        let hold = house.asked(house.dangerous()).await;
        house.decide(&hold.id, Decision::deny("no")).await.unwrap();
    }
    for _ in 0..50 {
        let refusal = house.admit(house.dangerous(), PATIENT).await.unwrap_err();
        assert!(refusal.to_string().contains("denied 3 times"), "{refusal}");
    }
    let house = house.restart().await;
    let refusal = house.admit(house.dangerous(), PATIENT).await.unwrap_err();
    assert!(refusal.to_string().contains("DENIED by ann: no (denied 3 times"), "{refusal}");
    let other = house.asked(house.call("terminal", json!({ "command": "rm -rf /srv/other" }))).await;
    let shown: Value = serde_json::from_str(&other.shown).unwrap();
    assert_eq!(shown["asked"], json!({ "times": 4, "denied": 3 }));
}

#[tokio::test]
async fn a_flood_of_questions_is_refused_and_other_agents_are_still_heard() {
    let house = House::build().await;
    let hurried = || Client { patience: Duration::ZERO };
    let flood = |n: usize| house.call("terminal", json!({ "command": format!("rm -rf /srv/{n}") }));
    let mut refused = 0;
    for n in 0..1000 {
        match house.admit(flood(n), hurried()).await.unwrap_err() {
            Refusal::Pending { .. } => {}
            refusal => {
                assert!(refusal.to_string().contains("already wait for a person"), "{refusal}");
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 1000 - Times::default().per_session);
    let mut other = house.dangerous();
    (other.origin.principal, other.origin.session) = ("other".into(), "t".into());
    house.asked(other).await;
}

#[tokio::test]
async fn a_receipt_says_what_was_seen_and_is_verified_without_herma() {
    let house = House::build().await;
    let hold = house.asked(house.dangerous()).await;
    let ann = Approver { credential: Some("key-1".into()), ..Approver::new("ann", Method::Passkey) };
    let draft =
        house.firewall.draft(&hold.id, &house.typing(&hold.id).await, Decision::Approve, ann).await.unwrap();
    let challenge = draft.digest();
    let row = house.firewall.decide_drafted(draft, Some(json!({ "assertion": 1 }))).await.unwrap();
    let receipt: Value = serde_json::from_str(&row.decision.unwrap()).unwrap();
    let mut body = receipt.clone();
    let fields = body.as_object_mut().unwrap();
    fields.remove("signature");
    fields.remove("evidence");
    assert_eq!(
        Digest::of(&serde_json_canonicalizer::to_vec(&body).unwrap()).to_string(),
        challenge.to_string()
    );
    let shown: Value = serde_json::from_str(&hold.shown).unwrap();
    let render = Digest::of(&serde_json_canonicalizer::to_vec(&shown).unwrap()).to_string();
    assert_eq!(receipt["render_digest"], render);
    assert_eq!((&receipt["v"], &receipt["call_digest"]), (&json!(2), &json!(hold.digest)));
    assert_eq!(receipt["approver"], json!({ "id": "ann", "method": "passkey", "cred_id": "key-1" }));
    let key = VerifyingKey::from(&SigningKey::from_bytes(&[7; 32]));
    assert!(Receipt::is_genuine(&receipt, &key));
    let mut forged = receipt;
    forged["approver"]["id"] = "eve".into();
    assert!(!Receipt::is_genuine(&forged, &key));
}

#[tokio::test]
async fn a_draft_is_void_when_the_hold_is_another_by_then() {
    let house = House::build().await;
    let first = house.asked(house.dangerous()).await;
    let ann = || Approver::new("ann", Method::Passkey);
    let draft = house
        .firewall
        .draft(&first.id, &house.typing(&first.id).await, Decision::Approve, ann())
        .await
        .unwrap();
    let late = house.firewall.gate.decide(draft, None, None, now() + 6 * 60 * 1000).await.unwrap_err();
    assert!(matches!(late, GateError::OutOfDate(_)), "{late}");
}

#[tokio::test]
async fn people_see_how_they_decide() {
    let house = House::build().await;
    for (n, decision) in [Decision::Approve, Decision::deny("no"), Decision::Approve].into_iter().enumerate()
    {
        let hold =
            house.asked(house.call("terminal", json!({ "command": format!("rm -rf /srv/{n}") }))).await;
        house.decide(&hold.id, decision).await.unwrap();
    }
    let waiting = house.asked(house.dangerous()).await;
    let figures = house.firewall.gate.figures(now()).await.unwrap();
    assert_eq!((figures.pending, figures.oldest_ms), (1, Some(waiting.created_ms)));
    assert_eq!((figures.approvals_today, figures.denials_today), (2, 1));
    assert!((figures.approved_share_today.unwrap() - 2.0 / 3.0).abs() < 1e-9);
    assert!(figures.median_seconds_today.unwrap() < 60.0);
}

#[tokio::test]
async fn a_word_given_before_more_was_asked_for_is_not_enough() {
    let house = House::build().await;
    let hold = house.asked(house.dangerous()).await;
    house.decide(&hold.id, Decision::Approve).await.unwrap();
    house.replace(policy(needs(2, None, None)));
    let refusal = house.admit(house.dangerous(), PATIENT).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Superseded { .. }), "{refusal}");
}

#[tokio::test]
async fn a_message_approved_before_anybody_was_in_crisis_is_asked_about_again() {
    let house = House::build().await;
    house.ask_about_everything();
    let message =
        || house.call("send_message", json!({ "target": "telegram:1", "message": "See you at five" }));
    let hold = house.asked(message()).await;
    house.decide(&hold.id, Decision::Approve).await.unwrap();
    house.firewall.sessions.enter_crisis(&house.session(), "a message", now()).await.unwrap();
    let refusal = house.admit(message(), PATIENT).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Superseded { .. }), "{refusal}");
    assert!(house.asked(message()).await.crisis);
}
