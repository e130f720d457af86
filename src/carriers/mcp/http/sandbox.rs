//! `POST /sandbox/v1/call`: code in a sandbox elsewhere calls a tool, under the warrant in its headers.
//!
//! Who runs the tool itself asks for a decision; otherwise the call goes to a configured server.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use herma_scoring::Kind;
use herma_scoring::json::{Limits, read};
use http_body_util::BodyExt;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Response, StatusCode};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::super::shown::{self, Presented, ShownError};
use super::super::upstream::Head;
use super::reply::{Reply, json as reply};
use super::{Agents, Asked, Route, SESSION};
use crate::call::{Call, CallId, Carrier, Shown};
use crate::firewall::outcome::Outcome;
use crate::firewall::session::Session;
use crate::firewall::{Admission, Refusal, Waited, Waits, now};
use crate::gate::Stay;

pub(super) const PATH: &str = "/sandbox/v1/call";
/// How long a call waits for a person unless it says; then it is told to come back.
const PATIENCE: u64 = 50;
const MOST_PATIENCE: u64 = 600;
/// A decision that is there already is taken up within this time.
const LEAST_PATIENCE: u64 = 1;
/// Sessions with servers that are kept open for sandboxes.
const SESSIONS: usize = 256;

/// By route and principal: the session a sandbox's calls take.
pub type Sandboxes = Mutex<HashMap<(String, Arc<str>), String>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question<'a> {
    tool: String,
    #[serde(borrow)]
    arguments: &'a RawValue,
    #[serde(default)]
    run: Option<String>,
    /// A configured server, or how the caller's own tools are called.
    #[serde(default)]
    server: Option<String>,
    #[serde(default)]
    mode: Mode,
    /// Seconds.
    #[serde(default)]
    wait: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// The caller runs the tool.
    #[default]
    Decide,
    /// Herma calls a server's tool.
    Forward,
}

/// Why there is no call.
#[derive(Debug, thiserror::Error)]
enum Unasked {
    #[error("the body is not JSON that every parser reads alike: {0}")]
    Json(#[from] herma_scoring::json::JsonError),
    #[error("a call has `tool` and `arguments`, and may have `run`, `server`, `mode` and `wait`: {0}")]
    Shape(#[from] serde_json::Error),
    #[error("`arguments` is no object")]
    Arguments,
    #[error("a call from a sandbox shows its warrant: send X-Tenuo-Warrant, and X-Tenuo-PoP with a proof")]
    NoWarrant,
    #[error(transparent)]
    Warrant(#[from] ShownError),
    #[error("no server is named `{0}` here: `mode: forward` needs the name of a configured one")]
    NoServer(String),
}

impl Unasked {
    fn response(&self) -> Response<Reply> {
        let (status, code) = match self {
            Self::Json(_) | Self::Shape(_) | Self::Arguments => (StatusCode::BAD_REQUEST, "malformed"),
            Self::NoWarrant => (StatusCode::FORBIDDEN, "no_warrant"),
            Self::Warrant(_) => (StatusCode::FORBIDDEN, "warrant"),
            Self::NoServer(_) => (StatusCode::NOT_FOUND, "no_server"),
        };
        denied(status, code, &self.to_string(), None)
    }
}

impl Agents {
    pub(super) async fn sandbox(
        self: Arc<Self>,
        mut headers: HeaderMap,
        principal: Arc<str>,
        body: Bytes,
    ) -> Response<Reply> {
        let shown = shown::take(&mut headers, false);
        let read = shown.map_err(Unasked::from).and_then(|shown| Ok((shown, question(&body)?)));
        let (shown, (question, arguments)) = match read {
            Ok((Some(Presented::Warrant(shown)), question)) => (shown, question),
            Ok(_) => return Unasked::NoWarrant.response(),
            Err(error) => return error.response(),
        };
        let run: Arc<str> = question.run.as_deref().unwrap_or_default().into();
        let shown = Shown { run: Some(Arc::clone(&run)), ..shown };
        let server = question.server.clone().unwrap_or_else(|| "sandbox".into());
        let route = match (question.mode, self.routes.get(&server)) {
            (Mode::Decide, _) => None,
            (Mode::Forward, Some(route)) => Some(route),
            (Mode::Forward, None) => return Unasked::NoServer(server).response(),
        };
        let session = match route {
            Some(route) => {
                let id = self.session_for(route, &principal).await;
                self.session(id.as_deref(), &principal, route)
            }
            None => {
                let key = format!("sandbox\0{server}\0{principal}\0{run}");
                self.door.firewall.sessions.get_or(&key, now(), || {
                    Session::new(&run, Arc::clone(&principal), server.as_str().into(), false)
                })
            }
        };
        let firewall = Arc::clone(&self.door.firewall);
        let id = firewall.calls.mint();
        let call = Call {
            origin: crate::call::Origin { carrier: Carrier::Sandbox, ..session.origin() },
            kind: Kind::Tool,
            frame: frame(&id, &question),
            definition: firewall.definitions.get(&server, &question.tool),
            shown: Some(Arc::new(shown)),
            beside: None,
            tool: question.tool.clone(),
            raw_arguments: Bytes::copy_from_slice(question.arguments.get().as_bytes()),
            arguments,
            id: id.clone(),
        };
        let wait = question.wait.unwrap_or(PATIENCE).clamp(LEAST_PATIENCE, MOST_PATIENCE);
        let mut patience = Patience(Duration::from_secs(wait));
        match (firewall.admit(call, &session, &mut patience).await, route) {
            (Ok(Admission::Permit(permit)), Some(route)) => {
                let told = permit.told().map(str::to_owned);
                let named = Bytes::from(Value::from(id.to_string()).to_string());
                let head = self.head(&session);
                let answer = self.fetch(route, *permit, head, session, &named, None).await;
                let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
                if answer.get("result").is_none() {
                    // Perhaps the server has forgotten the session: the next call begins another.
                    self.sandboxes.lock().remove(&(route.name.to_string(), Arc::clone(&principal)));
                }
                allowed(&id, &answer, told.as_deref())
            }
            (Ok(Admission::Permit(permit)), None) => {
                let (frame, settlement) = permit.spend();
                let told = settlement.told().map(str::to_owned);
                settlement.settle(Outcome::Passed);
                // The caller runs what a person made of its call.
                let changed = told.as_ref().and_then(|_| changed(&frame));
                allowed(&id, &changed.unwrap_or_default(), told.as_deref())
            }
            (Ok(Admission::Answered(answer)), _) => {
                let response = serde_json::from_slice(&answer.response).unwrap_or_default();
                allowed(&id, &response, answer.told.as_deref())
            }
            (Err(refusal), _) => {
                let status = match refusal {
                    Refusal::Pending { .. } => StatusCode::ACCEPTED,
                    Refusal::Fault { .. } => StatusCode::SERVICE_UNAVAILABLE,
                    _ => StatusCode::FORBIDDEN,
                };
                denied(status, refusal.code(), &refusal.to_string(), refusal.hold())
            }
        }
    }

    /// The session under which this agent's sandboxes call a server; `None` where the server has none.
    async fn session_for(self: &Arc<Self>, route: &Arc<Route>, principal: &Arc<str>) -> Option<String> {
        let key = (route.name.to_string(), Arc::clone(principal));
        if let Some(known) = self.sandboxes.lock().get(&key) {
            return Some(known.clone());
        }
        let say = |session_id: Option<String>, frame: Value| {
            let head =
                Head { method: Method::POST, query: None, headers: plain_headers(session_id.as_deref()) };
            let asked = Asked {
                route: Arc::clone(route),
                principal: Arc::clone(principal),
                session_id,
                head,
                accepts_events: true,
            };
            Arc::clone(self).pass(asked, frame.to_string().into(), true)
        };
        let client = json!({ "name": "herma-sandbox", "version": env!("CARGO_PKG_VERSION") });
        let params = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client });
        let opened =
            say(None, json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params }));
        let opened = opened.await;
        let id = opened.headers().get(&SESSION).and_then(|id| id.to_str().ok()).map(str::to_owned);
        let _ = opened.into_body().collect().await;
        for frame in [
            json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
            json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }),
        ] {
            let _ = say(id.clone(), frame).await.into_body().collect().await;
        }
        let mut sessions = self.sandboxes.lock();
        if let Some(id) = id.clone().filter(|_| sessions.len() < SESSIONS) {
            sessions.insert(key, id);
        }
        id
    }

    fn head(&self, session: &Session) -> Head {
        let id = Some(&*session.id).filter(|id| *id != "-");
        Head { method: Method::POST, query: None, headers: plain_headers(id) }
    }
}

fn question(body: &Bytes) -> Result<(Question<'_>, Value), Unasked> {
    let mut whole = read(body, &Limits { size: body.len(), ..Limits::default() })?;
    let question = serde_json::from_slice(body)?;
    let arguments = whole.get_mut("arguments").map(Value::take).unwrap_or_default();
    if arguments.is_object() { Ok((question, arguments)) } else { Err(Unasked::Arguments) }
}

fn plain_headers(session: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    if let Some(id) = session.and_then(|id| HeaderValue::from_str(id).ok()) {
        headers.insert(&SESSION, id);
    }
    headers
}

fn frame(id: &CallId, question: &Question<'_>) -> Bytes {
    let (id, tool) = (Value::from(id.to_string()), Value::from(question.tool.as_str()));
    let arguments = question.arguments.get();
    let params = format!(r#"{{"name":{tool},"arguments":{arguments}}}"#);
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{params}}}"#).into()
}

/// The arguments that a person put in the place of the caller's.
fn changed(frame: &[u8]) -> Option<Value> {
    let frame: Value = serde_json::from_slice(frame).ok()?;
    Some(json!({ "arguments": frame.pointer("/params/arguments")? }))
}

fn allowed(id: &CallId, answer: &Value, told: Option<&str>) -> Response<Reply> {
    let mut said = json!({ "allow": true, "call": id });
    if let (Some(told), Some(fields)) = (told, said.as_object_mut()) {
        fields.insert("told".into(), told.into());
    }
    for part in ["result", "error", "arguments"] {
        if let (Some(value), Some(fields)) = (answer.get(part), said.as_object_mut()) {
            fields.insert(part.into(), value.clone());
        }
    }
    reply(StatusCode::OK, said.to_string().into())
}

fn denied(status: StatusCode, code: &str, reason: &str, hold: Option<&str>) -> Response<Reply> {
    let mut said = json!({ "allow": false, "code": code, "reason": reason });
    if let (Some(hold), Some(fields)) = (hold, said.as_object_mut()) {
        fields.insert("hold".into(), hold.into());
    }
    reply(status, said.to_string().into())
}

/// A caller whose request stays open so long; when it goes, the whole wait goes with it.
struct Patience(Duration);

impl Waits for Patience {
    async fn wait(&mut self, stay: &mut Stay) -> Waited {
        match tokio::time::timeout(self.0, stay.decided()).await {
            Ok(verdict) => Waited::Decided(verdict),
            Err(_) => Waited::OutOfPatience,
        }
    }
}
