use herma_scoring::{Kind, Undo};
use serde_json::{Value, json};

use super::*;

fn judged(class: SideEffect, risk_score: f64, confidence: f64) -> Assessment {
    Assessment {
        class,
        reversibility: Reversibility::Yes,
        risk_score,
        confidence,
        outbound: false,
        crisis_sensitive: false,
        contested: false,
        reasons: Vec::new(),
        undo: None,
        pack_digest: String::new(),
    }
}

fn subject<'a>(arguments: &'a Value) -> Subject<'a> {
    Subject {
        kind: Kind::Tool,
        server: "files",
        tool: "edit_file",
        principal: "local",
        session: "s",
        arguments,
    }
}

fn rule(route: Route, matcher: Matcher) -> Rule {
    Rule { id: "mine".into(), matcher, route, reason: "because".into() }
}

fn route(policy: &Policy, assessment: &Assessment) -> Route {
    policy.route(&subject(&Value::Null), assessment, &Grant::Absent).route
}

#[test]
fn low_risk_runs_and_high_risk_waits() {
    let policy = Policy::default();
    assert_eq!(route(&policy, &judged(SideEffect::ReadOnly, 0.1, 0.9)), Route::Execute);
    assert_eq!(route(&policy, &judged(SideEffect::External, 0.61, 0.9)), Route::Gate);
    assert_eq!(route(&policy, &judged(SideEffect::External, 0.4, 0.9)), Route::Execute);
    assert_eq!(route(&policy, &judged(SideEffect::External, 0.4, 0.5)), Route::Gate);
    assert_eq!(route(&policy, &judged(SideEffect::ReadOnly, 0.1, 0.2)), Route::Gate);
    assert_eq!(route(&policy, &judged(SideEffect::Critical, 0.1, 1.0)), Route::Gate);
}

#[test]
fn a_profile_decides_what_operators_differ_on() {
    let routes = |assessment: &Assessment| {
        Profile::ALL.map(|profile| route(&Policy { profile, ..Policy::default() }, assessment))
    };
    let mut push = judged(SideEffect::External, 0.4, 0.9);
    push.contested = true;
    assert_eq!(routes(&push), [Route::Gate, Route::Execute, Route::Execute]);
    push.risk_score = 0.65;
    assert_eq!(routes(&push), [Route::Gate, Route::Gate, Route::Execute]);
    push.crisis_sensitive = true;
    push.outbound = true;
    assert_eq!(routes(&push), [Route::Gate; 3]);
    let mut edit = judged(SideEffect::LocalReversible, 0.3, 0.5);
    edit.contested = true;
    edit.undo = Some(preimage());
    assert_eq!(routes(&edit), [Route::Gate, Route::Gate, Route::Review]);
}

proptest::proptest! {
    #[test]
    fn a_profile_never_touches_a_call_that_is_not_contested(
        class in proptest::sample::select(vec![SideEffect::ReadOnly, SideEffect::LocalReversible, SideEffect::External, SideEffect::Critical]),
        risk in 0.0..=1.0_f64, confidence in 0.0..=1.0_f64, crisis: bool, outbound: bool, undo: bool,
    ) {
        let mut call = judged(class, risk, confidence);
        (call.crisis_sensitive, call.outbound) = (crisis, outbound);
        call.undo = undo.then(preimage);
        let ruling = |profile, call: &Assessment| {
            let policy = Policy { profile, ..Policy::default() };
            policy.route(&subject(&Value::Null), call, &Grant::Absent)
        };
        let [strict, balanced, quiet] = Profile::ALL.map(|profile| ruling(profile, &call));
        proptest::prop_assert_eq!(&strict, &balanced);
        proptest::prop_assert_eq!(&quiet, &balanced);
        call.contested = true;
        // Not even contested calls, where they are critical or somebody may be in crisis.
        if class == SideEffect::Critical || (crisis && outbound) {
            proptest::prop_assert_eq!(ruling(Profile::Quiet, &call).route, Route::Gate);
        }
    }
}

#[test]
fn a_rule_may_speak_of_amounts() {
    let above = |arguments: &Value| {
        Matcher::default().above("/amount", 100.0).unwrap().matches(&subject(arguments), SideEffect::Critical)
    };
    assert!(above(&json!({"amount": 100.5})) && above(&json!({"amount": "250"})));
    assert!(!above(&json!({"amount": 100})) && !above(&json!({"amount": "12.50"})) && !above(&json!({})));
    assert!(
        above(&json!({"amount": "all"}))
            && above(&json!({"amount": [1]}))
            && above(&json!({"amount": "NaN"}))
    );
    assert!(Matcher::default().above("amount", 1.0).is_err());
}

#[test]
fn review_needs_a_declared_undo() {
    let policy = Policy::default();
    let mut edit = judged(SideEffect::LocalReversible, 0.3, 0.9);
    assert_eq!(route(&policy, &edit), Route::Execute);
    edit.undo = Some(preimage());
    assert_eq!(route(&policy, &edit), Route::Review);

    let policy = Policy { rules: vec![rule(Route::Review, Matcher::default())], ..Policy::default() };
    assert_eq!(route(&policy, &judged(SideEffect::External, 0.3, 0.9)), Route::Gate);
}

#[test]
fn time_to_stop_a_call_is_no_answer_to_a_crisis_nor_to_what_is_critical() {
    let look = Policy { rules: vec![rule(Route::Review, Matcher::default())], ..Policy::default() };
    let delayed = |class| {
        let mut call = judged(class, 0.3, 0.9);
        call.undo =
            Some(serde_json::from_value(serde_json::json!({ "kind": "delay", "seconds": 5 })).unwrap());
        call
    };
    let mut note = delayed(SideEffect::External);
    assert_eq!((route(&look, &note), route(&Policy::default(), &note)), (Route::Review, Route::Review));
    note.crisis_sensitive = true;
    assert_eq!(route(&look, &note), Route::Gate);
    assert_eq!(route(&look, &delayed(SideEffect::Critical)), Route::Gate);
}

#[test]
fn no_rule_warrant_or_mode_answers_for_a_person_in_crisis() {
    let mut message = judged(SideEffect::External, 0.1, 1.0);
    message.crisis_sensitive = true;
    message.outbound = true;
    for policy in [
        Policy { rules: vec![rule(Route::Execute, Matcher::default())], ..Policy::default() },
        Policy { mode: Mode::Observe, ..Policy::default() },
        Policy { mode: Mode::Observe, observe_also: vec![Watched::Critical], ..Policy::default() },
    ] {
        let ruling = policy.route(&subject(&Value::Null), &message, &Grant::Authorised);
        assert_eq!((ruling.route, &*ruling.rule), (Route::Gate, "crisis"));
    }
    let named = Policy { mode: Mode::Observe, observe_also: vec![Watched::Crisis], ..Policy::default() };
    let ruling = named.route(&subject(&Value::Null), &message, &Grant::Absent);
    assert_eq!((ruling.route, ruling.would), (Route::Execute, Some(Route::Gate)));
}

#[test]
fn observe_records_what_it_would_have_done_and_still_holds_critical_calls() {
    let policy = Policy { mode: Mode::Observe, ..Policy::default() };
    let ruling =
        policy.route(&subject(&Value::Null), &judged(SideEffect::External, 0.9, 0.9), &Grant::Absent);
    assert_eq!((ruling.route, ruling.would), (Route::Execute, Some(Route::Gate)));
    assert_eq!(route(&policy, &judged(SideEffect::Critical, 0.9, 0.9)), Route::Gate);
}

#[test]
fn a_block_rule_beats_an_earlier_execute_rule() {
    let policy = Policy {
        rules: vec![rule(Route::Execute, Matcher::default()), rule(Route::Block, Matcher::default())],
        ..Policy::default()
    };
    assert_eq!(route(&policy, &judged(SideEffect::ReadOnly, 0.0, 1.0)), Route::Block);
}

#[test]
fn a_refusing_warrant_blocks_whatever_the_rules_say() {
    let policy = Policy { rules: vec![rule(Route::Execute, Matcher::default())], ..Policy::default() };
    let refused = Grant::Refused { why: "expired".into() };
    let ruling = policy.route(&subject(&Value::Null), &judged(SideEffect::ReadOnly, 0.0, 1.0), &refused);
    assert_eq!((ruling.route, &*ruling.why), (Route::Block, "expired"));
}

#[test]
fn a_rule_matches_server_tool_class_principal_session_and_arguments() {
    let arguments = json!({"path": "/srv/site/index.html", "size": 3});
    let matches = |matcher: Matcher| matcher.matches(&subject(&arguments), SideEffect::LocalReversible);
    assert!(matches(Matcher::default().tool(Some("edit_*")).unwrap().server(Some("files")).unwrap()));
    assert!(!matches(Matcher::default().tool(Some("edit")).unwrap()));
    assert!(!matches(Matcher::default().classes(vec![SideEffect::Critical])));
    assert!(!matches(Matcher::default().kinds(vec![Kind::Resource])));
    assert!(matches(Matcher::default().argument("/path", "^/srv/").unwrap()));
    assert!(matches(Matcher::default().argument("/size", "^3$").unwrap()));
    assert!(!matches(Matcher::default().argument("/missing", "").unwrap()));
    assert!(!matches(Matcher::default().session(Some("other")).unwrap()));
    assert!(matches(Matcher::default().principal(Some("*")).unwrap()));
    assert!(Matcher::default().argument("path", "x").is_err());
    assert!(Matcher::default().argument("/path", "(").is_err());
}

fn preimage() -> Undo {
    serde_json::from_value(serde_json::json!({ "kind": "preimage", "path": "/path" })).unwrap()
}
