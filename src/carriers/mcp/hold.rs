//! How a held call is kept alive for its client.
//!
//! Clients differ in what they bear: some count any byte as life, some only progress, some end after a fixed
//! time whatever comes. Modern clients need no open connection at all: they are handed a state and come back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use super::door::Door;
use super::era::{Declared, Era};
use super::request_state::Leg;
use crate::firewall::session::{Session, UnderWay};
use crate::firewall::{Waited, Waits};
use crate::gate::{Approver, Decision, Method, Seen, Stay};
use crate::policy::Policy;

/// Every client seen alive with some sign this often; the strictest ends after 60 s of silence.
const BREATH: Duration = Duration::from_secs(10);
/// A modern client's request may last 60 s, and it follows ten states in a row.
const LEG: Duration = Duration::from_secs(45);
const LEGS: u8 = 9;
/// A client nobody has measured: the shortest limit found is 60 s.
const UNKNOWN_CLIENT: Duration = Duration::from_secs(50);
/// Clients that end at 300 s whatever comes.
const PATIENT_CLIENT: Duration = Duration::from_secs(240);
const PATIENT: [&str; 6] = ["hermes", "codex", "claude-code", "claude code", "mcp", "gemini"];

/// The road back to a client whose call is held.
pub trait Line: Send {
    /// The call is held: from now on the client must see signs of life.
    fn open(&mut self, hold: &str) -> impl Future<Output = ()> + Send;

    /// Sends the client a frame of ours. False when it is gone.
    fn say(&mut self, frame: Bytes) -> impl Future<Output = bool> + Send;

    /// A sign of life that is no frame, where the transport has one.
    fn breathe(&mut self) -> impl Future<Output = bool> + Send;

    /// Resolves when the client has gone.
    fn gone(&mut self) -> impl Future<Output = ()> + Send;
}

/// How one client is kept waiting.
#[derive(Debug)]
pub struct Patience<'a, L> {
    pub door: Arc<Door>,
    pub session: Arc<Session>,
    pub policy: Arc<Policy>,
    pub declared: Declared,
    pub progress_token: Option<Bytes>,
    pub budget: Option<Duration>,
    pub under_way: Option<&'a mut UnderWay>,
    /// How often a modern client was sent round already.
    pub legs: u8,
    /// The state of a round between the client and the upstream.
    pub upstream_state: Option<String>,
    /// Bytes of the request's JSON-RPC id.
    pub id: Bytes,
    pub line: &'a mut L,
    /// What the client is to be told when its patience has ended.
    pub next: Next,
}

/// What follows when a client must be answered before a person has decided.
#[derive(Debug, Default)]
pub enum Next {
    /// A plain `pending` result.
    #[default]
    Pending,
    /// It comes back with this state.
    Leg(Leg),
    /// It shows its user a form and comes back with this state and the answer.
    Form(Leg),
    /// It was given a task and asks for it.
    Task(String),
}

impl<L: Line> Waits for Patience<'_, L> {
    async fn wait(&mut self, stay: &mut Stay) -> Waited {
        let modern = self.declared.era == Era::Modern;
        if modern && self.declared.runs_tasks {
            return self.as_task(stay).await;
        }
        let in_band = self.may_ask_in_band(stay);
        if modern {
            let mut leg = Leg {
                hold: stay.hold_id().to_owned(),
                digest: stay.digest().to_owned(),
                leg: self.legs.saturating_add(1),
                question: None,
                upstream: self.upstream_state.clone(),
            };
            if in_band && self.declared.elicits_forms && self.legs == 0 {
                leg.question = Some(format!("herma-{}", self.id_for_question()));
                self.next = Next::Form(leg);
                return Waited::OutOfPatience;
            }
            self.next = if self.legs < LEGS { Next::Leg(leg) } else { Next::Pending };
            return self.hold(stay, LEG, None).await;
        }
        let budget = self.budget.unwrap_or_else(|| budget_for(&self.session.client().name));
        let question = (in_band && self.session.client().elicits_forms).then(|| self.id_for_question());
        self.hold(stay, budget, question).await
    }

    async fn linger(&mut self, review: &str, time: Duration) -> bool {
        self.line.open(review).await;
        let end = Instant::now() + time;
        let mut breath = interval_at(Instant::now() + BREATH, BREATH);
        loop {
            tokio::select! {
                () = sleep_until(end) => return true,
                () = self.line.gone() => return false,
                () = cancelled(&mut self.under_way) => return false,
                _ = breath.tick() => if !self.line.breathe().await {
                    return false;
                },
            }
        }
    }
}

impl<L: Line> Patience<'_, L> {
    /// The answer to a form travels through the agent's own client, so policy names the classes it may decide,
    /// and nothing about a person in crisis is decided that way.
    fn may_ask_in_band(&self, stay: &Stay) -> bool {
        let (class, crisis) = stay.class();
        !crisis
            && !stay.asks_to_type()
            && self
                .policy
                .in_band
                .iter()
                .any(|allowed| serde_json::to_value(allowed).is_ok_and(|name| name == class))
    }

    fn id_for_question(&self) -> String {
        let mut random = [0u8; 10];
        match getrandom::fill(&mut random) {
            Ok(()) => data_encoding::BASE32_NOPAD.encode(&random).to_lowercase(),
            Err(_) => String::new(),
        }
    }

    async fn hold(&mut self, stay: &mut Stay, budget: Duration, question: Option<String>) -> Waited {
        let end = Instant::now() + budget;
        self.line.open(stay.hold_id()).await;
        let mut breath = interval_at(Instant::now() + BREATH, BREATH);
        breath.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut answer = match question.filter(|question| !question.is_empty()) {
            Some(question) => {
                let (waiting, frame) = self.door.questions.ask(&question, &form(stay));
                if !self.line.say(frame).await {
                    return Waited::Gone;
                }
                Some(waiting)
            }
            None => None,
        };
        let mut breaths = 0u32;
        loop {
            tokio::select! {
                verdict = stay.decided() => return Waited::Decided(verdict),
                () = self.line.gone() => return Waited::Gone,
                () = cancelled(&mut self.under_way) => return Waited::Gone,
                () = sleep_until(end) => return Waited::OutOfPatience,
                action = answered(&mut answer) => {
                    answer = None;
                    if let Some(decision) = action.as_deref().and_then(in_band) {
                        decide_in_band(&self.door, &self.session, stay.hold_id(), stay.digest(), decision).await;
                    }
                }
                _ = breath.tick() => {
                    breaths = breaths.saturating_add(1);
                    if !self.breathe(stay.hold_id(), breaths).await {
                        return Waited::Gone;
                    }
                }
            }
        }
    }

    async fn breathe(&mut self, hold: &str, breaths: u32) -> bool {
        let alive = self.line.breathe().await;
        match &self.progress_token {
            Some(token) if alive => self.line.say(progress(token, hold, breaths)).await,
            _ => alive,
        }
    }

    /// The client is given a task at once; the hold then lives as long as a person needs.
    async fn as_task(&mut self, stay: &mut Stay) -> Waited {
        let Some((task, created)) = self.door.tasks.open(&self.session, stay.hold_id()) else {
            return Waited::OutOfPatience;
        };
        let frame = super::answer::result(&self.id, &created);
        self.next = Next::Task(task.id.clone());
        if !self.line.say(frame).await {
            return Waited::Gone;
        }
        tokio::select! {
            verdict = stay.decided() => Waited::Decided(verdict),
            () = task.cancelled() => Waited::Gone,
        }
    }
}

/// What the answer to a form decides; anything but these two decides nothing.
pub(super) fn in_band(action: &str) -> Option<Decision> {
    match action {
        "accept" => Some(Decision::Approve),
        "decline" => Some(Decision::deny("declined in the agent's own client")),
        _ => None,
    }
}

/// A person answered a form in the agent's own client. Gives back who that was, if the answer was taken.
pub(super) async fn decide_in_band(
    door: &Door,
    session: &Session,
    hold: &str,
    digest: &str,
    decision: Decision,
) -> Option<String> {
    let by = format!("the user of {}", session.client().name);
    let approver = Approver::new(by.clone(), Method::InBand);
    match door.firewall.decide(hold, Seen::digest(digest), decision, approver).await {
        Ok(_) => Some(by),
        Err(error) => {
            tracing::warn!(hold, %error, "an answer given in the agent's client was not taken");
            None
        }
    }
}

fn budget_for(client: &str) -> Duration {
    let client = client.to_lowercase();
    if PATIENT.iter().any(|known| client.starts_with(known)) { PATIENT_CLIENT } else { UNKNOWN_CLIENT }
}

/// Fractions, so that the server's own progress may still begin at 1 without going down.
fn progress(token: &[u8], hold: &str, breaths: u32) -> Bytes {
    let text = json!(format!("waiting for a person: hold {hold}"));
    let step = f64::from(breaths) / 1000.0;
    let mut frame =
        Vec::from(&br#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"#[..]);
    frame.extend_from_slice(token);
    frame.extend_from_slice(format!(r#","progress":{step},"message":{text}}}}}"#).as_bytes());
    frame.into()
}

/// No field to fill: some clients answer a form with its action alone.
pub(super) fn form(stay: &Stay) -> Value {
    json!({
        "message": format!(
            "Herma holds a call for you (hold {}, digest {}). Accept to let it run once; decline to refuse it.\n{}",
            stay.hold_id(), stay.digest().chars().take(12).collect::<String>(), stay.summary()
        ),
        "requestedSchema": { "type": "object", "properties": {} },
    })
}

async fn cancelled(under_way: &mut Option<&mut UnderWay>) {
    match under_way {
        Some(under_way) => under_way.cancelled().await,
        None => std::future::pending().await,
    }
}

async fn answered(waiting: &mut Option<super::door::Waiting>) -> Option<String> {
    match waiting {
        Some(waiting) => waiting.action().await,
        None => std::future::pending().await,
    }
}
