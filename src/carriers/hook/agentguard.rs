//! The server that AgentGuard's plugins expect: `/api/holds` waits and answers, the ingest paths take what follows.
//!
//! Those plugins let a tool run when they read anything but a clear word, so every answer to a question is a 200 with
//! a decision. What they do when nobody answers is theirs; docs/agentguard.md says so.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use herma_scoring::Kind;
use herma_scoring::json::{Limits, read};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use crate::call::{Call, Carrier, Digest, Origin};
use crate::carriers::mcp::http::{Reply, json as reply};
use crate::config::AgentGuard as Settings;
use crate::firewall::outcome::Outcome;
use crate::firewall::permit::Settlement;
use crate::firewall::session::{Client, Session};
use crate::firewall::{Admission, Firewall, Waited, Waits, now};
use crate::gate::Stay;

const HOLDS: &str = "/api/holds";
const ABANDON: &str = "/api/holds/_abandon-session/";
/// The plugin gives up when it has heard nothing for ten minutes; proxies between may be less patient.
const BREATH: Duration = Duration::from_secs(10);
/// Calls whose end is awaited; of the oldest beyond that it is not known.
const RUNNING: usize = 1024;

/// The stand-in for AgentGuard's server.
#[derive(Debug)]
pub struct AgentGuard {
    firewall: Arc<Firewall>,
    settings: Settings,
    running: Mutex<VecDeque<Running>>,
    /// Sessions that ended, by agent and name.
    ended: broadcast::Sender<(Arc<str>, String)>,
}

/// A call that was let through; the plugin says later how it went.
#[derive(Debug)]
struct Running {
    principal: Arc<str>,
    tool_call: String,
    settlement: Settlement,
}

/// A request to one of the paths.
pub(in crate::carriers) struct Asked {
    /// With its query: a session's name may hold anything.
    pub(in crate::carriers) target: String,
    pub(in crate::carriers) headers: HeaderMap,
    /// Who asks, or why that is not known.
    pub(in crate::carriers) principal: Result<Arc<str>, String>,
    /// What it says, or why that cannot be read.
    pub(in crate::carriers) body: Result<Bytes, String>,
}

/// The token of an agent that stands before what the plugin asks for: it can be given nothing but a URL.
pub(in crate::carriers) fn token_of(path: &str) -> Option<&str> {
    let own = ["/api/holds", "/proton/", "/timeplusd/", "/api/v1beta2/"];
    let before = own.iter().filter_map(|own| Some(path.split_once(own)?.0)).min_by_key(|before| before.len());
    before?.split_once("/ag/")?.1.split('/').next()
}

#[derive(Deserialize)]
struct Question<'a> {
    tool_name: String,
    #[serde(borrow)]
    tool_input: &'a RawValue,
    #[serde(default)]
    session_id: String,
    #[serde(default)]
    agent_type: String,
    #[serde(default)]
    agent_id: String,
    #[serde(default)]
    hook_payload: Value,
}

#[derive(Deserialize)]
struct Rows {
    columns: Vec<String>,
    data: Vec<Vec<Value>>,
}

/// What the plugin tells of one event.
struct Event<'a> {
    row: &'a [Value],
    columns: &'a [String],
}

impl Event<'_> {
    fn text(&self, column: &str) -> &str {
        let at = self.columns.iter().position(|name| name == column);
        at.and_then(|at| self.row.get(at)).and_then(Value::as_str).unwrap_or_default()
    }
}

impl AgentGuard {
    pub fn new(firewall: Arc<Firewall>, settings: Settings) -> Arc<Self> {
        let (ended, _) = broadcast::channel(64);
        Arc::new(Self { firewall, settings, running: Mutex::default(), ended })
    }

    /// Whether the path is one of AgentGuard's, whatever stands before it.
    pub(in crate::carriers) fn speaks(path: &str) -> bool {
        path.ends_with(HOLDS) || path.contains(ABANDON) || is_ingest(path)
    }

    pub(in crate::carriers) async fn answer(self: &Arc<Self>, asked: Asked) -> Response<Reply> {
        if let Some((_, session)) = asked.target.split_once(ABANDON) {
            if let Ok(principal) = asked.principal {
                let _ = self.ended.send((principal, session.to_owned()));
            }
            return reply(StatusCode::OK, Bytes::from_static(b"{}"));
        }
        let path = asked.target.split('?').next().unwrap_or_default();
        if path.ends_with(HOLDS) { self.hold(asked).await } else { self.ingest(&asked) }
    }

    /// A question: answered at once, or with a head at once and the decision when there is one.
    async fn hold(self: &Arc<Self>, asked: Asked) -> Response<Reply> {
        let (head, mut held) = oneshot::channel();
        let mut life = Box::pin(Arc::clone(self).decide(asked, head));
        tokio::select! {
            biased;
            said = &mut life => held.try_recv().unwrap_or_else(|_| reply(StatusCode::OK, said)),
            Ok(stream) = &mut held => {
                tokio::spawn(life);
                stream
            }
        }
    }

    async fn decide(self: Arc<Self>, asked: Asked, head: oneshot::Sender<Response<Reply>>) -> Bytes {
        let mut line = Line { guard: Arc::clone(&self), head: Some(head), events: None, session: None };
        let said = match self.admit(&asked, &mut line).await {
            Ok(()) => json!({ "decision": "allow" }),
            Err(why) => json!({ "decision": "block", "reason": why }),
        };
        let said = Bytes::from(said.to_string());
        if let Some(events) = line.events {
            let _ = events.send(said.clone()).await;
        }
        said
    }

    /// Steps 1 to 6; what went wrong is for the model, in words.
    async fn admit(&self, asked: &Asked, line: &mut Line) -> Result<(), String> {
        let principal = asked.principal.clone()?;
        let body = asked.body.clone()?;
        let (question, arguments) = self.read(&body).map_err(|why| {
            self.firewall.record_refused(&nobody(&principal), "question", &why);
            format!("REFUSED: {why}")
        })?;
        let session = self.session(&principal, &question);
        line.session = Some((Arc::clone(&principal), question.session_id.clone()));
        if self.firewall.runs.is_passing(&session, &question.tool_name, &arguments) {
            return Ok(());
        }
        let raw = question.tool_input.get();
        let call = Call {
            id: self.firewall.calls.mint(),
            origin: Origin { carrier: Carrier::Hook, ..session.origin() },
            kind: Kind::Tool,
            tool: question.tool_name.clone(),
            arguments,
            raw_arguments: Bytes::copy_from_slice(raw.as_bytes()),
            frame: Bytes::new(),
            definition: None,
            shown: None,
            beside: None,
        };
        match self.firewall.admit(call, &session, line).await {
            Ok(Admission::Permit(permit)) => {
                let (_, settlement) = permit.spend();
                self.started(principal, &question, settlement);
                Ok(())
            }
            Ok(Admission::Answered(_)) => {
                Err("the identical call that waited beside this one has run: its answer \
                 is not repeated here, and neither is the call"
                    .into())
            }
            Err(refusal) => Err(refusal.to_string()),
        }
    }

    fn read<'a>(&self, body: &'a Bytes) -> Result<(Question<'a>, Value), String> {
        let limits = Limits { size: body.len(), ..Limits::default() };
        let mut whole = read(body, &limits).map_err(|error| error.to_string())?;
        let question: Question<'a> =
            serde_json::from_slice(body).map_err(|error| format!("no question of AgentGuard's: {error}"))?;
        let arguments = whole.get_mut("tool_input").map(Value::take).unwrap_or_default();
        if question.tool_name.is_empty() || !arguments.is_object() {
            return Err("a question names a tool and its arguments".into());
        }
        // The plugin writes both from the same value; who makes them differ wants one judged and the other run.
        let twin = question.hook_payload.get("args").filter(|args| args.is_object());
        if twin.is_some_and(|twin| *twin != arguments) {
            return Err("`tool_input` and `hook_payload.args` differ".into());
        }
        Ok((question, arguments))
    }

    fn session(&self, principal: &Arc<str>, question: &Question<'_>) -> Arc<Session> {
        let agent: String =
            question.agent_type.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
        let server = if agent.is_empty() { "agent".to_owned() } else { agent };
        let key = format!("agentguard\0{server}\0{principal}\0{}", question.session_id);
        let session = self.firewall.sessions.get_or(&key, now(), || {
            Session::new(&question.session_id, Arc::clone(principal), server.as_str().into(), false)
        });
        session.introduce(Client {
            name: format!("AgentGuard's plugin for {server}"),
            version: question.agent_id.chars().take(64).collect(),
            elicits_forms: false,
        });
        session
    }

    fn started(&self, principal: Arc<str>, question: &Question<'_>, settlement: Settlement) {
        let tool_call = question.hook_payload.get("tool_call_id").and_then(Value::as_str).unwrap_or_default();
        if tool_call.is_empty() {
            return settlement.settle(Outcome::Passed);
        }
        settlement.release();
        let mut running = self.running.lock();
        if running.len() >= RUNNING {
            running.pop_front();
        }
        running.push_back(Running { principal, tool_call: tool_call.to_owned(), settlement });
    }

    /// What the plugin tells afterwards. It prints what goes wrong here, and goes on.
    fn ingest(&self, asked: &Asked) -> Response<Reply> {
        let said = |status, why: &str| reply(status, json!({ "error": why }).to_string().into());
        if !self.knows(&asked.headers) {
            return said(StatusCode::UNAUTHORIZED, "these are not the credentials of [agentguard]");
        }
        let principal = match &asked.principal {
            Ok(principal) => principal,
            Err(why) => return said(StatusCode::UNAUTHORIZED, why),
        };
        let rows = asked.body.as_ref().ok().and_then(|body| serde_json::from_slice::<Rows>(body).ok());
        let Some(Rows { columns, data }) = rows else {
            return said(StatusCode::BAD_REQUEST, "no rows with columns");
        };
        for row in &data {
            let event = Event { row, columns: &columns };
            match event.text("hook_name") {
                "post_tool_call" => self.ran(principal, event.text("event_data")),
                "on_session_end" => {
                    let session = event.text("session_id").to_owned();
                    let _ = self.ended.send((Arc::clone(principal), session));
                }
                _ => {}
            }
        }
        reply(StatusCode::OK, Bytes::from_static(b"{}"))
    }

    fn knows(&self, headers: &HeaderMap) -> bool {
        let Some((user, password)) = &self.settings.ingest else { return true };
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let shown = shown.and_then(|shown| shown.strip_prefix("Basic "));
        let shown = shown.and_then(|shown| data_encoding::BASE64.decode(shown.as_bytes()).ok());
        let Some((name, word)) = shown.as_deref().and_then(|shown| {
            let colon = shown.iter().position(|byte| *byte == b':')?;
            Some((shown.get(..colon)?, shown.get(colon.checked_add(1)?..)?))
        }) else {
            return false;
        };
        let same = Digest::of(word).bytes().as_slice().ct_eq(password.bytes().as_slice());
        bool::from(same & name.ct_eq(user.as_bytes()))
    }

    fn ran(&self, principal: &Arc<str>, data: &str) {
        #[derive(Deserialize)]
        struct Ran {
            #[serde(default)]
            tool_call_id: String,
            #[serde(default)]
            status: String,
            #[serde(default)]
            result: Value,
            #[serde(default)]
            duration_ms: Option<f64>,
        }
        let Ok(ran) = serde_json::from_str::<Ran>(data) else { return };
        let mut running = self.running.lock();
        let same = |one: &Running| one.principal == *principal && one.tool_call == ran.tool_call_id;
        let Some(Running { settlement, .. }) =
            running.iter().position(same).and_then(|at| running.remove(at))
        else {
            return;
        };
        drop(running);
        let result = match ran.result {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let outcome = Outcome::Answered {
            is_error: ran.status == "error",
            bytes: result.len() as u64,
            response: settlement.keeps_answer().then(|| result.into()),
            delivered: true,
        };
        match ran.duration_ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok()) {
            Some(took) => settlement.settle_after(took, outcome),
            None => settlement.settle(outcome),
        }
    }
}

fn is_ingest(path: &str) -> bool {
    path.contains("/proton/v1/ingest/streams/")
        || path.contains("/timeplusd/v2/ingest/")
        || (path.contains("/api/v1beta2/streams/") && path.ends_with("/ingest"))
}

fn nobody(principal: &Arc<str>) -> Origin {
    Origin {
        carrier: Carrier::Hook,
        principal: Arc::clone(principal),
        session: "-".into(),
        server: "agentguard".into(),
        serves: None,
    }
}

/// The road back to a plugin that waits: spaces before the answer keep it patient, and JSON does not mind them.
struct Line {
    guard: Arc<AgentGuard>,
    head: Option<oneshot::Sender<Response<Reply>>>,
    events: Option<mpsc::Sender<Bytes>>,
    session: Option<(Arc<str>, String)>,
}

impl Line {
    fn start(&mut self) -> mpsc::Sender<Bytes> {
        let (events, frames) = mpsc::channel(4);
        if let Some(head) = self.head.take() {
            let mut response = Response::new(Reply::Held(frames));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let _ = head.send(response);
        }
        self.events = Some(events.clone());
        events
    }
}

impl Waits for Line {
    async fn wait(&mut self, stay: &mut Stay) -> Waited {
        let mut ended = self.guard.ended.subscribe();
        let (events, end) = (self.start(), Instant::now() + self.guard.settings.hold_budget);
        let mut breath = interval_at(Instant::now() + BREATH, BREATH);
        breath.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                verdict = stay.decided() => return Waited::Decided(verdict),
                () = events.closed() => return Waited::Gone,
                () = sleep_until(end) => return Waited::OutOfPatience,
                over = ended.recv() => {
                    // Who falls behind misses an end, and waits on.
                    if over.is_ok_and(|over| self.session.as_ref() == Some(&over)) {
                        return Waited::Gone;
                    }
                }
                _ = breath.tick() => {
                    if events.send(Bytes::from_static(b" ")).await.is_err() {
                        return Waited::Gone;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_of_every_version_are_known_whatever_stands_before_them() {
        for path in [
            "/api/holds",
            "/ag/tok_123/api/holds",
            "/a/b/api/holds/_abandon-session/x/y z",
            "/proton/v1/ingest/streams/s",
            "/x/timeplusd/v2/ingest/ag/streams/s",
            "/default/api/v1beta2/streams/s/ingest",
        ] {
            assert!(AgentGuard::speaks(path), "{path}");
        }
        for path in ["/mcp/files", "/api/holds/h-1", "/api/v1beta2/streams/s"] {
            assert!(!AgentGuard::speaks(path), "{path}");
        }
        assert_eq!(token_of("/ag/tok_123/api/holds"), Some("tok_123"));
        assert_eq!(token_of("/ag/tok_123/ws/api/v1beta2/streams/s/ingest"), Some("tok_123"));
        for path in ["/api/holds", "/timeplusd/v2/ingest/ag/streams/s", "/api/holds/_abandon-session/ag/x"] {
            assert_eq!(token_of(path), None, "{path}");
        }
    }
}
