//! What both transports share: a frame of a client goes in, and comes out as a permit or an answer.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use herma_scoring::Kind;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use super::answer::{self, Shape};
use super::era::{Declared, Era, Initialize, elicits_forms};
use super::frame::{CallFrame, Frame, name_of, params};
use super::hold::{Line, Next, Patience, decide_in_band, in_band};
use super::members::{Members, around};
use super::receive::{ReceiveError, Received, others, receive};
use super::request_state::{Leg, States};
use super::tasks::Tasks;
use crate::carriers::hook::Desk;
use crate::config::Denial;
use crate::firewall::session::{Client, Session, UnderWay};
use crate::firewall::{Admission, Firewall, Permit, Refusal, now};
use crate::gate::Decision;

/// The MCP side of the firewall.
#[derive(Debug)]
pub struct Door {
    pub firewall: Arc<Firewall>,
    /// What agents that ask beforehand have said of the calls that come here.
    desk: Arc<Desk>,
    pub tasks: Tasks,
    pub questions: Questions,
    pub frame_limit: usize,
    states: States,
}

/// What a server's entry says of waiting and refusing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manners {
    pub denial: Denial,
    pub hold_budget: Option<Duration>,
    /// Warrants that calls show are passed on.
    pub forward_warrant: bool,
}

/// How a gated frame comes out.
#[derive(Debug)]
pub enum End {
    /// Spend it and relay the answer.
    Forward(Box<Permit>),
    /// Spend it and give the answer to this task; the client has been told.
    ForTask(Box<Permit>, String),
    /// The answer; nothing is forwarded.
    Reply(Bytes),
    /// The answer to a task; the client has been told.
    TaskReply(Bytes, String),
    /// The client is gone.
    Silence,
}

impl Door {
    pub fn new(desk: Arc<Desk>, state_key: [u8; 32], frame_limit: usize) -> Self {
        Self {
            firewall: Arc::clone(&desk.firewall),
            desk,
            tasks: Tasks::default(),
            questions: Questions::default(),
            frame_limit,
            states: States::new(state_key),
        }
    }

    /// Takes the id of a call for it, or gives the answer that says why not.
    pub fn begin(&self, session: &Arc<Session>, call: &CallFrame, running: bool) -> Result<UnderWay, Bytes> {
        session.begin(&call.id).filter(|_| !running).ok_or_else(|| {
            let said = ReceiveError::Duplicate(String::from_utf8_lossy(&call.id).into_owned()).to_string();
            self.firewall.record_refused(&session.origin(), name_of(call.kind), &said);
            answer::error(&call.id, answer::code::INVALID_REQUEST, &said)
        })
    }

    /// A gated frame, from its bytes to its end.
    pub async fn take<L: Line>(
        self: &Arc<Self>,
        session: &Arc<Session>,
        call: CallFrame,
        under_way: &mut Option<UnderWay>,
        manners: Manners,
        line: &mut L,
    ) -> End {
        let (kind, id) = (call.kind, call.id.clone());
        let received = receive(
            &self.firewall,
            Some(&self.desk),
            session,
            call,
            self.frame_limit,
            manners.forward_warrant,
        )
        .and_then(|received| self.resume(received));
        let (received, leg) = match received {
            Ok(received) => received,
            Err(error) => {
                self.firewall.record_refused(&session.origin(), name_of(kind), &error.to_string());
                return End::Reply(answer::error(&id, code_of(&error), &error.to_string()));
            }
        };
        let Received { mut call, declared, progress_token, request_state, marked } = received;
        let mut speaker = Arc::clone(session);
        if let Some(marked) = marked {
            speaker = self.desk.speaker(&marked, session);
            call.origin = speaker.origin();
            if let Some(permit) = self.desk.parked.claim(&call, &marked.call) {
                return End::Forward(permit);
            }
        }
        let shape = Shape {
            kind,
            era: declared.era,
            denial: manners.denial,
            has_output_schema: call.definition.as_ref().is_some_and(|listed| listed.has_output_schema),
        };
        if let Some(Resumed { leg, action: Some(action) }) = &leg
            && let Some(decision) = in_band(action)
        {
            let decided = decide_in_band(self, session, &leg.hold, &leg.digest, decision.clone());
            let by = Box::pin(decided).await;
            if let (Decision::Deny { reason, .. }, Some(by)) = (decision, by) {
                let denied = Refusal::Denied { hold: leg.hold.clone(), by, reason };
                return End::Reply(answer::refusal(&id, &denied, shape));
            }
        }
        if declared.era == Era::Modern {
            introduce(session, &declared);
        }
        let mut patience = Patience {
            door: Arc::clone(self),
            session: Arc::clone(session),
            policy: self.firewall.policy(),
            declared,
            progress_token,
            budget: manners.hold_budget,
            under_way: under_way.as_mut(),
            upstream_state: leg.as_ref().and_then(|resumed| resumed.leg.upstream.clone()).or(request_state),
            legs: leg.map_or(0, |resumed| resumed.leg.leg),
            id: id.clone(),
            line,
            next: Next::Pending,
        };
        let admitted = self.firewall.admit(call, &speaker, &mut patience).await;
        self.end(&id, admitted, std::mem::take(&mut patience.next), shape)
    }

    fn end(&self, id: &Bytes, admitted: Result<Admission, Refusal>, next: Next, shape: Shape) -> End {
        let reply = match admitted {
            Ok(Admission::Permit(permit)) => {
                return match next {
                    Next::Task(task) => End::ForTask(permit, task),
                    _ => End::Forward(permit),
                };
            }
            Ok(Admission::Answered(earlier)) => {
                let told = |answer: Bytes| match &earlier.told {
                    Some(told) => answer::telling(&answer, told),
                    None => answer,
                };
                answer::readdressed(&earlier.response, id).map(told).unwrap_or_else(|| {
                    answer::error(
                        id,
                        answer::code::INTERNAL,
                        "the identical call ran, but its answer cannot be repeated",
                    )
                })
            }
            Err(Refusal::Gone) => return End::Silence,
            Err(refusal @ Refusal::Pending { .. }) => self.pending(id, &refusal, &next, shape),
            Err(refusal) => answer::refusal(id, &refusal, shape),
        };
        match next {
            Next::Task(task) => End::TaskReply(reply, task),
            _ => End::Reply(reply),
        }
    }

    /// The client is answered before a person is: a modern one is sent round again.
    fn pending(&self, id: &[u8], refusal: &Refusal, next: &Next, shape: Shape) -> Bytes {
        let leg = match next {
            Next::Leg(leg) | Next::Form(leg) => leg,
            Next::Pending | Next::Task(_) => return answer::refusal(id, refusal, shape),
        };
        let Ok(state) = self.states.seal(leg.clone(), now()) else {
            return answer::refusal(id, refusal, shape);
        };
        let mut result = serde_json::json!({ "resultType": "input_required", "requestState": state });
        if let (Some(question), Some(fields)) = (&leg.question, result.as_object_mut()) {
            let params = serde_json::json!({
                "mode": "form",
                "message": format!(
                    "Herma holds a call for you (hold {}, digest {}). Accept to let it run once; decline to refuse it.",
                    leg.hold, leg.digest.chars().take(12).collect::<String>()
                ),
                "requestedSchema": { "type": "object", "properties": {} },
            });
            let request =
                serde_json::json!({ question: { "method": "elicitation/create", "params": params } });
            fields.insert("inputRequests".into(), request);
        }
        answer::result(id, &result)
    }

    /// Takes our own state out of a retry, so that the upstream sees what it would have seen the first time.
    fn resume(&self, mut received: Received) -> Result<(Received, Option<Resumed>), ReceiveError> {
        let Some(state) = received.request_state.take_if(|state| States::is_ours(state)) else {
            return Ok((received, None));
        };
        let leg = self.states.open(&state, now())?;
        let stripped = strip(&received.call.frame, &leg)?;
        let call = &mut received.call;
        call.frame = stripped.frame;
        if matches!(call.kind, Kind::Tool | Kind::Prompt) {
            let left = params(&call.frame).map(|raw| serde_json::from_str(raw.get())).transpose();
            let mut beside = call.beside.as_deref().cloned().unwrap_or_default();
            beside.params = others(left.map_err(ReceiveError::Retry)?.unwrap_or_default());
            call.beside = beside.if_any();
        }
        let leg = self.states.take(&state, &call.digest()?.to_string(), now())?;
        Ok((received, Some(Resumed { leg, action: stripped.action })))
    }

    /// While somebody may be in danger, nobody has judged the words in an answer or a notification: what is more than
    /// the protocol's own does not pass. Gives what the client is told.
    pub fn hush(&self, session: &Session, frame: &Frame<'_>) -> Option<Bytes> {
        if matches!(frame, Frame::Call(_)) || !session.in_crisis() || is_wordless(frame) {
            return None;
        }
        let id = match frame {
            Frame::Other { id: Some(id), .. } => id.get().as_bytes(),
            _ => b"",
        };
        let said = "somebody may be in danger here: until a person has cleared that (`herma crisis`), only calls pass, \
            which are judged";
        self.firewall.record_refused(&session.origin(), "frame", said);
        Some(answer::error(id, answer::code::NOT_PERMITTED, said))
    }

    /// Notes what a request that is no call says of the session.
    pub fn overhear(&self, session: &Session, method: &str, frame: &[u8]) {
        match method {
            "initialize" => {
                let read = params(frame).and_then(|raw| serde_json::from_str::<Initialize>(raw.get()).ok());
                let Some(initialize) = read else { return };
                session.introduce(Client {
                    name: initialize.client.name,
                    version: initialize.client.version,
                    elicits_forms: initialize.capabilities.get("elicitation").is_some_and(elicits_forms),
                });
            }
            "notifications/cancelled" => {
                #[derive(Deserialize)]
                struct Cancelled<'a> {
                    #[serde(borrow, rename = "requestId")]
                    id: &'a RawValue,
                }
                if let Some(Ok(cancelled)) =
                    params(frame).map(|raw| serde_json::from_str::<Cancelled<'_>>(raw.get()))
                {
                    session.cancel(cancelled.id.get().as_bytes());
                }
            }
            _ => {}
        }
    }
}

/// Whether a frame of a client says nothing that reaches a person: calls are judged by themselves.
pub(super) fn is_wordless(frame: &Frame<'_>) -> bool {
    const OWN: [&str; 19] = [
        "initialize",
        "logging/setLevel",
        "notifications/cancelled",
        "notifications/initialized",
        "notifications/progress",
        "notifications/roots/list_changed",
        "ping",
        "prompts/list",
        "resources/list",
        "resources/subscribe",
        "resources/templates/list",
        "resources/unsubscribe",
        "server/discover",
        "subscriptions/listen",
        "tasks/cancel",
        "tasks/get",
        "tasks/list",
        "tasks/result",
        "tools/list",
    ];
    match frame {
        Frame::Call(_) => true,
        Frame::Other { method, .. } => OWN.contains(&&**method),
        // What our own question is answered with, and nothing else: neither accepted content nor an error's words.
        Frame::Answer { result: Some(result), .. } => matches!(
            serde_json::from_str::<BTreeMap<String, Value>>(result),
            Ok(members) if members.iter().all(|(name, value)| name == "action" || is_empty(value))
        ),
        Frame::Answer { .. } | Frame::Batch => false,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Null | Value::Bool(_) => true,
        Value::Number(_) | Value::String(_) => false,
    }
}

/// A modern client introduces itself with every request.
fn introduce(session: &Session, declared: &Declared) {
    let client = Client {
        name: declared.client_name.clone(),
        version: declared.client_version.clone(),
        elicits_forms: declared.elicits_forms,
    };
    if session.client() != client {
        session.introduce(client);
    }
}

fn code_of(error: &ReceiveError) -> i32 {
    match error {
        ReceiveError::Frame(_) | ReceiveError::Duplicate(_) => answer::code::INVALID_REQUEST,
        ReceiveError::Json(_) | ReceiveError::Retry(_) | ReceiveError::NotCanonical(_) => answer::code::PARSE,
        ReceiveError::Header { .. } => answer::code::HEADER_MISMATCH,
        ReceiveError::Unnamed(..) | ReceiveError::State(_) => answer::code::INVALID_PARAMS,
        ReceiveError::Warrant(_) => answer::code::NOT_PERMITTED,
    }
}

#[derive(Debug)]
struct Resumed {
    leg: Leg,
    /// What the client's user answered to our question.
    action: Option<String>,
}

struct Stripped {
    frame: Bytes,
    action: Option<String>,
}

/// Rewrites the frame without our own members. It is written by us in any case: the client had to add them.
fn strip(frame: &[u8], leg: &Leg) -> Result<Stripped, ReceiveError> {
    #[derive(Deserialize)]
    struct Outer<'a> {
        #[serde(borrow)]
        params: &'a RawValue,
    }
    let outer: Outer<'_> = serde_json::from_slice(frame).map_err(ReceiveError::Retry)?;
    let params = Members::read(outer.params.get()).map_err(ReceiveError::Retry)?;
    let mut action = None;
    let mut kept = Vec::new();
    for (name, value) in params.0 {
        match name.as_str() {
            "requestState" => {
                if let Some(theirs) = &leg.upstream {
                    kept.push((name, Value::from(theirs.as_str()).to_string()));
                }
            }
            "inputResponses" => {
                let mut responses = Members::read(&value).map_err(ReceiveError::Retry)?;
                if let Some(question) = &leg.question {
                    responses.0.retain(|(key, value)| {
                        let ours = key == question;
                        if ours {
                            action = serde_json::from_str::<Value>(value)
                                .ok()
                                .and_then(|value| value.get("action")?.as_str().map(str::to_owned));
                        }
                        !ours
                    });
                }
                if !responses.0.is_empty() {
                    kept.push((name, responses.write()));
                }
            }
            _ => kept.push((name, value)),
        }
    }
    let (before, after) = around(frame, outer.params.get().as_bytes());
    let frame = [before, Members(kept).write().as_bytes(), after].concat().into();
    Ok(Stripped { frame, action })
}

/// Forms that clients were asked to show, by the JSON-RPC id of our request.
#[derive(Debug, Default)]
pub struct Questions {
    open: Arc<Mutex<HashMap<String, oneshot::Sender<String>>>>,
}

/// An answer that is awaited; withdrawn when dropped.
#[derive(Debug)]
pub struct Waiting {
    open: Arc<Mutex<HashMap<String, oneshot::Sender<String>>>>,
    id: String,
    action: oneshot::Receiver<String>,
}

impl Questions {
    /// The request to send, and what to wait on.
    pub(super) fn ask(&self, nonce: &str, params: &Value) -> (Waiting, Bytes) {
        let id = format!("herma-{nonce}");
        let (sender, action) = oneshot::channel();
        self.open.lock().insert(id.clone(), sender);
        let request = serde_json::json!({ "jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": params });
        (Waiting { open: Arc::clone(&self.open), id, action }, request.to_string().into())
    }

    /// Takes an answer of a client if it is to a question of ours.
    pub fn answer(&self, id: Option<&RawValue>, result: Option<&str>) -> bool {
        let Some(id) = id.and_then(|id| serde_json::from_str::<String>(id.get()).ok()) else { return false };
        let Some(sender) = self.open.lock().remove(&id) else { return false };
        let action = result
            .and_then(|result| serde_json::from_str::<Value>(result).ok())
            .and_then(|result| result.get("action")?.as_str().map(str::to_owned));
        let _ = sender.send(action.unwrap_or_default());
        true
    }
}

impl Waiting {
    pub(super) async fn action(&mut self) -> Option<String> {
        (&mut self.action).await.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.open.lock().remove(&self.id);
    }
}
