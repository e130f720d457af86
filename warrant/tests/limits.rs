//! Limits that only Herma knows.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use herma_warrant::capability::Capability;
use herma_warrant::constraint::Constraint;
use herma_warrant::decide::{Call, Decision, Judgement, Outcome, decide};
use herma_warrant::json::read_args;
use herma_warrant::key::{PublicKey, SigningKey};
use herma_warrant::limits::{Budget, Limits, Measure, Rate, Window};
use herma_warrant::mint::{Draft, attenuate, mint};
use herma_warrant::revocation::Revocations;
use herma_warrant::spent::{Budgets, ClockFloor, Paces};
use herma_warrant::value::Args;
use herma_warrant::verify::{Chain, Trust};
use herma_warrant::warrant::{Payload, Warrant, WarrantId};
use std::collections::BTreeMap;

/// A Thursday, 20:26:40 UTC.
const NOW: u64 = 1_780_000_000;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8) -> PublicKey {
    PublicKey::of(&key(seed))
}

fn root(limits: Limits) -> Warrant {
    let mut draft = Draft::new(WarrantId::new(NOW * 1000, [1; 10]), public(2), NOW);
    let constraints =
        BTreeMap::from([("amount".to_owned(), Constraint::Optional(Box::new(Constraint::Wildcard)))]);
    let capability = Capability { constraints, limits: Some(Box::new(limits)), ..Capability::default() };
    draft.tools.insert("pay".to_owned(), capability);
    mint(draft, &key(1)).unwrap()
}

fn chain(links: &[Warrant]) -> Chain {
    let trust = Trust::new(vec![public(1).verifier().unwrap()]);
    Chain::verify(&Warrant::encode_stack(links), &trust, &Revocations::default(), NOW).unwrap()
}

fn ask(limits: Limits, change: impl FnOnce(Call<'_>) -> Call<'_>) -> Decision {
    let args = read_args(r#"{"amount": 1}"#).unwrap();
    decide(&chain(&[root(limits)]), &change(Call::new("pay", &args)), &[], NOW)
}

fn euros(limit: u64) -> Limits {
    let (pool, argument) = ("EUR".to_owned(), "amount".to_owned());
    let budget = Budget { pool, argument, measure: Measure::Amount, limit: limit * 1_000_000 };
    Limits { budgets: vec![budget], ..Limits::default() }
}

fn everything() -> Limits {
    Limits {
        max_calls: Some(3),
        rates: vec![Rate { calls: 2, seconds: 60 }],
        windows: vec![Window { days: 0x1f, from: 540, until: 1020, offset: -330 }],
        max_auto_risk: Some(250),
        gate_at: Some(600),
        forbid_classes: ["critical".to_owned()].into(),
        servers: ["bank".to_owned(), "files".to_owned()].into(),
        definitions: [[1; 32], [2; 32]].into(),
        sandbox: Some("run-1".to_owned()),
        ..euros(100)
    }
}

#[test]
fn limits_survive_being_written_and_read() {
    let payload = root(everything()).payload;
    let back = Payload::decode(&payload.encode()).unwrap();
    assert_eq!(back, payload);
    let shown = herma_warrant::show::tree(&[root(everything())], NOW);
    for words in
        ["3 calls", "2 calls in 60 s", "100 EUR", "at bank, files", "never critical", "from the run run-1"]
    {
        assert!(shown.contains(words), "{words} in {shown}");
    }
}

#[test]
fn an_unknown_limit_is_refused_and_not_ignored() {
    let written = root(Limits { max_calls: Some(3), ..Limits::default() }).payload.encode();
    let at = written.windows(5).position(|window| window == b"calls").unwrap();
    let mut other = written.clone();
    other.splice(at..at + 5, *b"cells");
    assert_eq!(Payload::decode(&other).unwrap_err().code(), "unknown-field");
}

#[test]
fn a_hundred_euros_pay_a_hundred_calls_of_one_whoever_makes_them() {
    let parent = root(euros(100));
    let children: Vec<Chain> = (2..5)
        .map(|number| {
            let draft =
                Draft::inherit(&parent.payload, WarrantId::new(NOW * 1000, [number; 10]), public(3), NOW);
            chain(&[parent.clone(), attenuate(&parent, draft, &key(2)).unwrap()])
        })
        .collect();
    let args = read_args(r#"{"amount": 1}"#).unwrap();
    let mut budgets = Budgets::default();
    for call in 0..101 {
        let decision = decide(children.get(call % 3).unwrap(), &Call::new("pay", &args), &[], NOW);
        assert_eq!(budgets.draw(&decision.draws).is_ok(), call < 100, "call {call}");
        // A restart between any two calls changes nothing.
        let kept: Vec<_> = budgets.entries().map(|(id, pool, spent)| (id, pool.to_owned(), spent)).collect();
        assert_eq!(Budgets::restore(kept.clone()), budgets);
        budgets = Budgets::restore(kept);
    }
}

#[test]
fn what_cannot_be_measured_or_is_negative_is_not_paid() {
    let ask = |text: &str| {
        let args: Args = read_args(text).unwrap();
        decide(&chain(&[root(euros(1))]), &Call::new("pay", &args), &[], NOW)
    };
    for text in
        ["{}", r#"{"amount": "1"}"#, r#"{"amount": -1}"#, r#"{"amount": null}"#, r#"{"amount": 1e300}"#]
    {
        assert_eq!(ask(text).code(), "budget-unmeasured", "{text}");
    }
    let draws = ask(r#"{"amount": 1.0000001}"#).draws;
    assert!(Budgets::default().draw(&draws).is_err(), "a fraction above the limit");
    assert!(Budgets::default().draw(&ask(r#"{"amount": 0.9999999}"#).draws).is_ok());
}

#[test]
fn a_draw_takes_all_it_needs_or_nothing() {
    let limits = Limits { max_calls: Some(1), ..euros(100) };
    let decision = ask(limits, |call| call);
    let mut budgets = Budgets::default();
    budgets.draw(&decision.draws).unwrap();
    let before = budgets.clone();
    let exhausted = budgets.draw(&decision.draws).unwrap_err();
    assert_eq!((exhausted.pool.as_str(), exhausted.left), ("calls", 0));
    assert_eq!(budgets, before);
}

#[test]
fn so_many_calls_in_so_many_seconds_and_no_more_after_a_restart() {
    let decision =
        ask(Limits { rates: vec![Rate { calls: 2, seconds: 60 }], ..Limits::default() }, |call| call);
    let mut paces = Paces::default();
    paces.step(&decision.paces, NOW).unwrap();
    paces.step(&decision.paces, NOW + 30).unwrap();
    assert_eq!(paces.step(&decision.paces, NOW + 59).unwrap_err().wait, 1);
    let mut paces = Paces::restore(paces.entries().collect::<Vec<_>>());
    assert!(paces.step(&decision.paces, NOW + 59).is_err());
    paces.step(&decision.paces, NOW + 60).unwrap();
    assert!(paces.step(&decision.paces, NOW + 60).is_err());
}

#[test]
fn a_window_of_time_opens_and_closes_by_its_own_clock() {
    let window = |days, from, until, offset| Window { days, from, until, offset };
    let thursday = 1 << 3;
    assert!(window(thursday, 1226, 1227, 0).holds(NOW));
    assert!(!window(thursday, 1227, 1228, 0).holds(NOW));
    assert!(!window(!thursday & 0x7f, 0, 1440, 0).holds(NOW));
    assert!(window(1 << 4, 0, 120, 300).holds(NOW), "Friday already, five hours east");
    assert!(window(thursday, 1200, 60, 0).holds(NOW), "over midnight, before it");
    assert!(window(thursday, 1200, 60, 0).holds(NOW + 4 * 3600), "over midnight, after it");
    assert!(!window(thursday, 1200, 60, 0).holds(NOW + 5 * 3600));
    let closed = Limits { windows: vec![window(1 << 2, 0, 1440, 0)], ..Limits::default() };
    assert_eq!(ask(closed, |call| call).code(), "outside-window");
}

#[test]
fn risk_gates_and_classes_are_out_of_reach() {
    let limits = || Limits {
        max_auto_risk: Some(250),
        forbid_classes: ["critical".to_owned()].into(),
        ..Limits::default()
    };
    let judged =
        |risk, class| ask(limits(), |call| Call { judgement: Some(Judgement { risk, class }), ..call });
    assert_eq!(judged(250, "external").outcome, Outcome::Authorised);
    assert!(matches!(judged(251, "external").outcome, Outcome::Gated(_)));
    assert_eq!(judged(0, "critical").code(), "class-forbidden");
    assert_eq!(ask(limits(), |call| call).code(), "unjudged");
    let gate = Limits { gate_at: Some(600), ..Limits::default() };
    let decision =
        ask(gate, |call| Call { judgement: Some(Judgement { risk: 600, class: "external" }), ..call });
    assert_eq!(decision.code(), "risk-gated");
}

#[test]
fn server_definition_and_run_are_bound() {
    let server = || Limits { servers: ["bank".to_owned()].into(), ..Limits::default() };
    assert_eq!(ask(server(), |call| call).code(), "tool-identity");
    assert_eq!(ask(server(), |call| Call { server: Some("other"), ..call }).code(), "tool-identity");
    assert_eq!(ask(server(), |call| Call { server: Some("bank"), ..call }).outcome, Outcome::Authorised);
    let definition = || Limits { definitions: [[1; 32]].into(), ..Limits::default() };
    assert_eq!(ask(definition(), |call| call).code(), "tool-identity");
    let changed = ask(definition(), |call| Call { definition: Some(&[2; 32]), ..call });
    assert!(matches!(&changed.outcome, Outcome::Gated(objection) if objection.code == "tool-changed"));
    assert_eq!(
        ask(definition(), |call| Call { definition: Some(&[1; 32]), ..call }).outcome,
        Outcome::Authorised
    );
    let sandbox = || Limits { sandbox: Some("run-1".to_owned()), ..Limits::default() };
    assert_eq!(ask(sandbox(), |call| call).code(), "sandbox-mismatch");
    assert_eq!(ask(sandbox(), |call| Call { sandbox: Some("run-1"), ..call }).outcome, Outcome::Authorised);
}

#[test]
fn an_optional_argument_may_be_absent_and_must_match_when_it_is_there() {
    let constraint = Constraint::Optional(Box::new(Constraint::Exact(1.into())));
    let capability =
        Capability { constraints: BTreeMap::from([("a".to_owned(), constraint)]), ..Capability::default() };
    let check =
        |text: &str| capability.check(&read_args(text).unwrap()).map_err(|misfit| misfit.code).map(drop);
    assert_eq!(check("{}"), Ok(()));
    assert_eq!(check(r#"{"a": 1}"#), Ok(()));
    assert_eq!(check(r#"{"a": 2}"#), Err("constraint"));
    assert_eq!(check(r#"{"a": null}"#), Err("constraint"));
    assert_eq!(check(r#"{"b": 1}"#), Err("unknown-argument"));
}

#[test]
fn a_clock_set_back_is_noticed_and_a_corrected_one_is_not() {
    let mut floor = ClockFloor::restore(NOW);
    assert_eq!(floor.observe(NOW - 30), Ok(NOW), "time does not run backwards for warrants");
    assert_eq!(floor.observe(NOW - 7200).unwrap_err().seconds, 7200);
    assert_eq!(floor.observe(NOW + 5), Ok(NOW + 5));
    assert_eq!(floor.latest(), NOW + 5);
}
