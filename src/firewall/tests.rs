//! The invariants of ARCHITECTURE.md, one by one.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use herma_scoring::Kind;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::outcome::Outcome;
use super::*;
use crate::call::{Carrier, Origin};
use crate::gate::{Approver, Decision, GateError, Method, Seen, Times, to_type};
use crate::policy::{Matcher, Rule, Thresholds};
use crate::store::{HoldFilter, HoldRow, HoldState, Sqlite, Store};
use crate::warrants::Setup;

mod approvals;
mod conversations;
mod edits;
mod rules;

struct House {
    firewall: Arc<Firewall>,
    dir: TempDir,
}

/// A client with as much patience as a test needs.
struct Client {
    patience: Duration,
}

impl Waits for Client {
    async fn wait(&mut self, stay: &mut Stay) -> Waited {
        tokio::select! {
            verdict = stay.decided() => Waited::Decided(verdict),
            () = tokio::time::sleep(self.patience) => Waited::OutOfPatience,
        }
    }
}

const PATIENT: Client = Client { patience: Duration::from_secs(20) };

impl House {
    async fn build() -> Self {
        let dir = TempDir::new().unwrap();
        let firewall = open(dir.path(), Times::default()).await;
        Self { firewall, dir }
    }

    fn session(&self) -> Arc<Session> {
        self.firewall.sessions.adopt(Session::new("s", "local".into(), "box".into(), false))
    }

    fn call(&self, tool: &str, arguments: Value) -> Call {
        Call {
            id: self.firewall.calls.mint(),
            origin: Origin {
                carrier: Carrier::Mcp,
                principal: "local".into(),
                session: "s".into(),
                server: "box".into(),
                serves: None,
            },
            kind: Kind::Tool,
            tool: tool.into(),
            raw_arguments: arguments.to_string().into(),
            frame: format!(r#"{{"id":1,"params":{{"name":"{tool}","arguments":{arguments}}}}}"#).into(),
            arguments,
            definition: self.firewall.definitions.get("box", tool),
            shown: None,
            beside: None,
        }
    }

    /// A call that every policy holds.
    fn dangerous(&self) -> Call {
        self.call("terminal", json!({ "command": "rm -rf /srv/data" }))
    }

    async fn admit(&self, call: Call, mut client: Client) -> Result<Admission, Refusal> {
        self.firewall.admit(call, &self.session(), &mut client).await
    }

    /// Runs `call` as an agent would, beside the test.
    fn agent(&self, call: Call) -> tokio::task::JoinHandle<Result<Admission, Refusal>> {
        let (firewall, session) = (Arc::clone(&self.firewall), self.session());
        tokio::spawn(async move { firewall.admit(call, &session, &mut { PATIENT }).await })
    }

    async fn hold(&self) -> HoldRow {
        let mut news = self.firewall.gate.news();
        loop {
            let rows = self
                .firewall
                .gate
                .list(HoldFilter { states: vec![HoldState::Pending], ..HoldFilter::default() });
            if let Some(row) = rows.await.unwrap().pop() {
                return row;
            }
            news.recv().await.unwrap();
        }
    }

    async fn decide(&self, id: &str, decision: Decision) -> Result<HoldRow, GateError> {
        let approver = Approver::new("ann", Method::Terminal);
        self.firewall.decide(id, self.typing(id).await, decision, approver).await
    }

    /// What a person has seen who types whatever it takes.
    async fn typing(&self, id: &str) -> Seen {
        let row = self.firewall.gate.show(id).await.ok();
        Seen { typed: row.and_then(|row| to_type(&row)), ..Seen::default() }
    }

    /// A call that waits without anybody to hear of it, and its hold.
    async fn asked(&self, call: Call) -> HoldRow {
        let hurried = Client { patience: Duration::ZERO };
        match self.admit(call, hurried).await {
            Err(Refusal::Pending { hold, .. }) => self.firewall.gate.show(&hold).await.unwrap(),
            other => panic!("not held: {other:?}"),
        }
    }

    async fn say(
        &self,
        id: &str,
        decision: Decision,
        by: &str,
        method: Method,
    ) -> Result<HoldRow, GateError> {
        self.firewall.decide(id, self.typing(id).await, decision, Approver::new(by, method)).await
    }

    /// From now on everything is asked about, by risk.
    fn ask_about_everything(&self) {
        let thresholds = Thresholds { execute_below: 0.0, gate_above: 0.0, ..Thresholds::default() };
        self.replace(Policy { revision: "asks".into(), thresholds, ..Policy::default() });
    }

    fn replace(&self, policy: Policy) {
        self.firewall.replace(Rules::shipped().unwrap(), policy);
    }

    async fn restart(self) -> Self {
        let Self { firewall, dir } = self;
        firewall.ledger.close().await.unwrap();
        drop(firewall);
        Self { firewall: open(dir.path(), Times::default()).await, dir }
    }

    fn replace_policy(&self, revision: &str, rules: Vec<Rule>) {
        let policy = Policy { revision: revision.into(), rules, ..Policy::default() };
        self.firewall.replace(Rules::shipped().unwrap(), policy);
    }

    fn ledger_lines(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("ledger/entries/000000.jsonl")).unwrap()
    }
}

async fn open(dir: &Path, times: Times) -> Arc<Firewall> {
    let key = SigningKey::from_bytes(&[7; 32]);
    let ledger = Ledger::open(&dir.join("ledger"), key.clone(), "test").unwrap();
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(dir).unwrap());
    Firewall::new(Parts {
        rules: Rules::shipped().unwrap(),
        policy: Policy::default(),
        gate: Gate::restore(Arc::clone(&store), ledger.clone(), key, times).await.unwrap(),
        definitions: Definitions::new(Arc::clone(&store), ledger.clone()),
        sessions: Sessions::restore(Arc::clone(&store)).await.unwrap(),
        warrants: Warrants::restore(Arc::clone(&store), Setup::default(), now()).await.unwrap(),
        salts: Salts::restore(Arc::clone(&store), now()).await.unwrap(),
        reviews: Reviews::restore(store, dir, Default::default(), [0; 32], now()).await.unwrap(),
        ledger,
        telemetry: Arc::default(),
        seed: 1,
    })
}

fn permit(admission: Result<Admission, Refusal>) -> Permit {
    match admission.unwrap() {
        Admission::Permit(permit) => *permit,
        Admission::Answered(_) => panic!("another call's answer"),
    }
}

fn answered(text: &'static str) -> Outcome {
    let response = Some(Bytes::from_static(text.as_bytes()));
    Outcome::Answered { is_error: false, bytes: text.len() as u64, response, delivered: true }
}

#[tokio::test]
async fn a_harmless_call_runs_with_the_bytes_it_came_with() {
    let house = House::build().await;
    let call = house.call("read_file", json!({ "path": "README.md" }));
    let (frame, settlement) = permit(house.admit(call, PATIENT).await).spend();
    assert_eq!(frame, r#"{"id":1,"params":{"name":"read_file","arguments":{"path":"README.md"}}}"#);
    settlement.settle(answered("{}"));
}

#[tokio::test]
async fn a_denied_call_does_not_run_and_its_agent_learns_why() {
    let house = House::build().await;
    let agent = house.agent(house.dangerous());
    let hold = house.hold().await;
    house.decide(&hold.id, Decision::deny("that is the archive")).await.unwrap();
    let refusal = agent.await.unwrap().unwrap_err();
    assert!(refusal.to_string().contains("DENIED by ann: that is the archive"), "{refusal}");
}

#[tokio::test]
async fn two_identical_calls_are_one_hold_one_execution_and_one_answer() {
    let house = House::build().await;
    let agents = [house.agent(house.dangerous()), house.agent(house.dangerous())];
    while house.hold().await.count < 2 {
        tokio::task::yield_now().await;
    }
    house.decide(&house.hold().await.id, Decision::Approve).await.unwrap();
    let (first, _, mut others) = futures_util::future::select_all(agents).await;
    let (_, settlement) = permit(first.unwrap()).spend();
    settlement.settle(answered(r#"{"id":1,"result":{}}"#));
    match others.remove(0).await.unwrap().unwrap() {
        Admission::Answered(answer) => assert_eq!(answer.response, r#"{"id":1,"result":{}}"#),
        Admission::Permit(_) => panic!("the same call ran twice"),
    }
}

#[tokio::test]
async fn a_client_that_went_away_leaves_nothing_to_approve() {
    let house = House::build().await;
    let agent = house.agent(house.dangerous());
    let hold = house.hold().await;
    agent.abort();
    let _ = agent.await;
    let refused = house.decide(&hold.id, Decision::Approve).await.unwrap_err();
    assert!(matches!(refused, GateError::Gone(_) | GateError::Settled { .. }), "{refused}");
}

#[tokio::test]
async fn an_approval_that_comes_late_is_a_ticket_for_one_identical_retry() {
    let house = House::build().await;
    let hurried = Client { patience: Duration::ZERO };
    let refusal = house.admit(house.dangerous(), hurried).await.unwrap_err();
    let Refusal::Pending { hold, .. } = refusal else { panic!("{refusal}") };
    house.decide(&hold, Decision::Approve).await.unwrap();

    let other = house.call("terminal", json!({ "command": "rm -rf /srv/other" }));
    let hurried = Client { patience: Duration::ZERO };
    assert!(
        matches!(house.admit(other, hurried).await, Err(Refusal::Pending { .. })),
        "a ticket is for one call"
    );

    let (_, settlement) = permit(house.admit(house.dangerous(), PATIENT).await).spend();
    settlement.settle(answered("{}"));
    let mut news = house.firewall.gate.news();
    while house.firewall.gate.show(&hold).await.unwrap().state != HoldState::Executed {
        news.recv().await.unwrap();
    }
    let hurried = Client { patience: Duration::ZERO };
    let again = house.admit(house.dangerous(), hurried).await.unwrap_err();
    assert!(matches!(again, Refusal::Pending { hold: fresh, .. } if fresh != hold), "a ticket is used once");
}

#[tokio::test]
async fn a_hundred_approvals_at_once_make_one_execution() {
    let house = House::build().await;
    let agent = house.agent(house.dangerous());
    let hold = house.hold().await;
    let approvals = (0..100).map(|_| house.decide(&hold.id, Decision::Approve));
    let taken = futures_util::future::join_all(approvals).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(taken, 1);
    permit(agent.await.unwrap()).spend().1.settle(answered("{}"));
}

#[tokio::test]
async fn a_decision_on_another_digest_than_the_shown_one_is_refused() {
    let house = House::build().await;
    let _agent = house.agent(house.dangerous());
    let hold = house.hold().await;
    let approver = Approver::new("ann", Method::Terminal);
    let seen = Seen::digest("0000000000000000");
    let refused = house.firewall.decide(&hold.id, seen, Decision::Approve, approver).await.unwrap_err();
    assert!(matches!(refused, GateError::OtherDigest { .. }), "{refused}");
}

#[tokio::test]
async fn holds_survive_a_restart_and_can_be_decided_then() {
    let House { firewall, dir } = House::build().await;
    let house = House { firewall, dir };
    let hurried = Client { patience: Duration::ZERO };
    let Err(Refusal::Pending { hold, .. }) = house.admit(house.dangerous(), hurried).await else {
        panic!("not held")
    };
    let House { firewall, dir } = house;
    firewall.ledger.close().await.unwrap();
    drop(firewall);

    let house = House { firewall: open(dir.path(), Times::default()).await, dir };
    house.decide(&hold, Decision::Approve).await.unwrap();
    permit(house.admit(house.dangerous(), PATIENT).await).spend().1.settle(answered("{}"));
}

#[tokio::test]
async fn what_nobody_decides_is_denied_when_its_time_is_over() {
    let dir = TempDir::new().unwrap();
    let times = Times { expire: Duration::from_millis(1), ..Times::default() };
    let house = House { firewall: open(dir.path(), times).await, dir };
    let agent = house.agent(house.dangerous());
    house.hold().await;
    house.firewall.gate.sweep(now() + 10).await.unwrap();
    assert!(matches!(agent.await.unwrap(), Err(Refusal::Expired { .. })));
}

#[tokio::test]
async fn an_approval_does_not_outlive_a_changed_policy() {
    let house = House::build().await;
    let agent = house.agent(house.dangerous());
    let hold = house.hold().await;
    let rule = Rule {
        id: "no".into(),
        matcher: Matcher::default(),
        route: Route::Block,
        reason: "not here any more".into(),
    };
    house.replace_policy("next", vec![rule]);
    house.decide(&hold.id, Decision::Approve).await.unwrap();
    assert!(matches!(agent.await.unwrap(), Err(Refusal::Superseded { .. })));
}

#[tokio::test]
async fn an_approval_does_not_outlive_a_changed_tool() {
    let house = House::build().await;
    let tool = |text: &str| json!({ "name": "terminal", "description": text, "inputSchema": {} });
    house.firewall.definitions.learn("box", &[tool("Runs a command")]).await.unwrap();
    let agent = house.agent(house.dangerous());
    let hold = house.hold().await;
    house.firewall.definitions.learn("box", &[tool("Runs a command on every machine")]).await.unwrap();
    house.decide(&hold.id, Decision::Approve).await.unwrap();
    assert!(matches!(agent.await.unwrap(), Err(Refusal::Superseded { .. })));
}

#[tokio::test]
async fn a_tool_that_is_described_otherwise_than_at_first_is_asked_about() {
    let house = House::build().await;
    let tool = |text: &str| json!({ "name": "create_issue", "description": text, "inputSchema": {} });
    let call = || house.call("create_issue", json!({ "title": "a" }));
    house.firewall.definitions.learn("box", &[tool("Creates an issue")]).await.unwrap();
    drop(permit(house.admit(call(), PATIENT).await));
    house
        .firewall
        .definitions
        .learn("box", &[tool("Creates an issue and mails it to everyone")])
        .await
        .unwrap();
    let asked = house.admit(call(), Client { patience: Duration::ZERO }).await;
    assert!(matches!(asked, Err(Refusal::Pending { .. })), "{asked:?}");
}

#[tokio::test]
async fn once_somebody_is_in_crisis_everything_outbound_waits_until_a_named_person_clears_it() {
    let house = House::build().await;
    let message = |text: &str| house.call("send_message", json!({ "target": "telegram:1", "message": text }));
    let hurried = || Client { patience: Duration::ZERO };
    let first = house.admit(message("You said you want to die. Are you safe right now?"), hurried()).await;
    assert!(matches!(first, Err(Refusal::Pending { .. })), "{first:?}");

    let rule =
        Rule { id: "all".into(), matcher: Matcher::default(), route: Route::Execute, reason: String::new() };
    house.replace_policy("open", vec![rule]);
    let neutral = house.admit(message("See you at five"), hurried()).await;
    assert!(matches!(neutral, Err(Refusal::Pending { .. })), "{neutral:?}");

    assert!(
        house
            .firewall
            .clear_crisis("local", &Approver::new("ann", Method::Terminal), "she is with her sister")
            .await
            .unwrap()
    );
    drop(permit(house.admit(message("See you at six"), hurried()).await));
}

#[tokio::test]
async fn a_crisis_is_remembered_over_a_restart() {
    let house = House::build().await;
    house.firewall.sessions.enter_crisis(&house.session(), "a message", now()).await.unwrap();
    let House { firewall, dir } = house;
    firewall.ledger.close().await.unwrap();
    drop(firewall);
    let house = House { firewall: open(dir.path(), Times::default()).await, dir };
    assert!(house.session().in_crisis());
}

#[tokio::test]
async fn more_than_reading_is_on_the_disk_before_it_may_leave() {
    let house = House::build().await;
    let call = house.call("write_file", json!({ "path": "notes.txt", "content": "x" }));
    let id = call.id.to_string();
    let permit = permit(house.admit(call, PATIENT).await);
    let written = house.ledger_lines();
    let line = written.lines().find(|line| line.contains(&id) && line.contains(r#""step":"forwarded""#));
    assert!(line.is_some(), "{written}");
    drop(permit);
}

#[tokio::test]
async fn without_a_record_nothing_runs() {
    let house = House::build().await;
    house.firewall.ledger.close().await.unwrap();
    let refused = house.admit(house.call("read_file", json!({ "path": "a" })), PATIENT).await.unwrap_err();
    assert!(refused.to_string().contains("the record of calls cannot be written"), "{refused}");
}

#[tokio::test]
async fn neither_arguments_nor_secrets_stand_in_the_record() {
    let house = House::build().await;
    let secret = "AKIAIOSFODNN7EXAMPLE";
    let hurried = Client { patience: Duration::ZERO };
    let call = house.call("send_message", json!({ "target": "x", "message": format!("key {secret}") }));
    let Err(Refusal::Pending { hold, .. }) = house.admit(call, hurried).await else { panic!("not held") };
    let row = house.firewall.gate.show(&hold).await.unwrap();
    assert!(!row.shown.contains(secret), "{}", row.shown);
    house.firewall.ledger.close().await.unwrap();
    assert!(!house.ledger_lines().contains(secret));
}

#[tokio::test]
async fn a_permit_that_is_dropped_is_recorded_as_unknown_and_frees_its_hold() {
    let house = House::build().await;
    let agent = house.agent(house.dangerous());
    let hold = house.hold().await;
    house.decide(&hold.id, Decision::Approve).await.unwrap();
    let mut news = house.firewall.gate.news();
    drop(permit(agent.await.unwrap()));
    while house.firewall.gate.show(&hold.id).await.unwrap().state != HoldState::Unknown {
        news.recv().await.unwrap();
    }
}

#[tokio::test]
async fn others_go_on_while_a_long_call_is_judged() {
    let house = House::build().await;
    let session = house.session();
    let admit = async |text: String| {
        let call = house.call("read_file", json!({ "path": "/srv/a", "note": text }));
        house.firewall.admit(call, &session, &mut { PATIENT }).await
    };
    let mut long = Box::pin(admit("x".repeat(LONG)));
    let mut here = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(long.as_mut().poll(&mut here).is_pending(), "it was judged on the thread of the others");
    assert!(matches!(admit("x".into()).await, Ok(Admission::Permit(_))));
    assert!(matches!(long.await, Ok(Admission::Permit(_))));
}
