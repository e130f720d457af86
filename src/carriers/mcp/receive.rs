//! Step 1 for MCP: from the bytes of a gated frame to a call, or a refusal in words.

use std::sync::Arc;

use bytes::Bytes;
use herma_scoring::Kind;
use herma_scoring::json::{self, JsonError, Limits};
use serde_json::{Map, Value};

use super::era::Declared;
use super::frame::{CallFrame, Frame, FrameError, part};
use super::shown::{self, Presented, ShownError};
use crate::call::Call;
use crate::carriers::hook::{Desk, Marked};
use crate::firewall::Firewall;
use crate::firewall::session::Session;

/// A call with what the protocol says around it.
#[derive(Debug)]
pub struct Received {
    pub call: Call,
    pub declared: Declared,
    pub progress_token: Option<Bytes>,
    pub request_state: Option<String>,
    /// Whose it is, by the mark of the agent's plugin.
    pub marked: Option<Marked>,
}

/// Why a frame did not become a call.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the call is not JSON that every parser reads alike: {0}")]
    Json(#[from] JsonError),
    #[error("`{0}` has no `{1}`")]
    Unnamed(&'static str, &'static str),
    #[error("the header `{header}` says `{said}`, the body `{body}`")]
    Header { header: String, said: String, body: String },
    #[error("a request with the id {0} is already under way")]
    Duplicate(String),
    #[error(transparent)]
    State(#[from] super::request_state::StateError),
    #[error(transparent)]
    NotCanonical(#[from] crate::call::NotCanonical),
    #[error("the retry cannot be read back: {0}")]
    Retry(serde_json::Error),
    #[error(transparent)]
    Warrant(#[from] ShownError),
}

/// Reads the whole frame strictly and takes out the call. `frame` is kept as it is.
pub fn receive(
    firewall: &Firewall,
    desk: Option<&Desk>,
    session: &Session,
    call: CallFrame,
    limit: usize,
    forward_warrant: bool,
) -> Result<Received, ReceiveError> {
    let CallFrame {
        kind, mut frame, arguments: mut raw_arguments, progress_token, presented, beside, ..
    } = call;
    let mut presented = presented.map(|boxed| *boxed);
    let origin = session.origin();
    let mut marked = None;
    let limits = Limits { size: limit, ..Limits::default() };
    let mut whole = herma_scoring::json::read(&frame, &limits)?;
    let mut params = whole.get_mut("params").map(Value::take).unwrap_or_default();
    if let Some(name) = look_alike(&params) {
        return Err(FrameError::LookAlike(name).into());
    }
    if let Some(meta) = params.get(shown::META).and_then(|meta| meta.get("tenuo")) {
        present(&mut presented, Some(shown::read(meta)?))?;
        if !forward_warrant {
            frame = shown::without(&frame, shown::META, "tenuo")?;
        }
    }
    let arguments = params.get_mut("arguments").and_then(Value::as_object_mut);
    if let Some(envelope) = arguments.and_then(|arguments| arguments.remove(shown::ARGUMENT)) {
        let (shown, mark) = shown::enveloped(&envelope, desk)?;
        present(&mut presented, shown)?;
        marked = mark;
        frame = shown::without(&frame, "arguments", shown::ARGUMENT)?;
        if let Ok(Frame::Call(called)) = Frame::read(&frame) {
            raw_arguments = called.keep(&frame).arguments;
        }
    }
    let declared = Declared::read(&params);
    let request_state = params.get("requestState").and_then(Value::as_str).map(str::to_owned);
    let tool = name(kind, &params)?;
    let mut beside = beside.map(|beside| *beside).unwrap_or_default();
    let (arguments, raw_arguments) = match kind {
        Kind::Tool | Kind::Prompt => {
            let arguments = params.get_mut("arguments").map(Value::take).unwrap_or_default();
            beside.params = others(params);
            (arguments, raw_arguments)
        }
        Kind::Resource | Kind::Sampling | Kind::Elicitation => {
            (params, part(&frame, super::frame::params(&frame)))
        }
    };
    let definition = match kind {
        Kind::Tool => firewall.definitions.get(&origin.server, &tool),
        _ => None,
    };
    let shown =
        presented.map(|presented| shown::settle(presented, session, &tool, &raw_arguments)).transpose()?;
    let call = Call {
        id: firewall.calls.mint(),
        origin,
        kind,
        tool,
        arguments,
        raw_arguments,
        frame,
        definition,
        shown: shown.map(Arc::new),
        beside: beside.if_any(),
    };
    Ok(Received { call, declared, progress_token, request_state, marked })
}

fn name(kind: Kind, params: &Value) -> Result<String, ReceiveError> {
    let member = |name: &'static str, method| {
        let text = params.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or(ReceiveError::Unnamed(method, name))
    };
    match kind {
        Kind::Tool => member("name", "tools/call"),
        Kind::Prompt => member("name", "prompts/get"),
        Kind::Resource => member("uri", "resources/read"),
        Kind::Sampling | Kind::Elicitation => Ok(super::frame::name_of(kind).to_owned()),
    }
}

/// One place to show a warrant is enough; of two, one could be for somebody else's eyes.
fn present(presented: &mut Option<Presented>, next: Option<Presented>) -> Result<(), ShownError> {
    match (&presented, next) {
        (Some(_), Some(_)) => Err(ShownError::TwoWays),
        (_, None) => Ok(()),
        (None, next) => {
            *presented = next;
            Ok(())
        }
    }
}

/// What `params` hold beside name and arguments, without the marks of one sending of a call: the next one has others.
pub(super) fn others(params: Value) -> Map<String, Value> {
    const OF_ONE_SENDING: [&str; 4] = ["claudecode/toolUseId", "progressToken", "traceparent", "tracestate"];
    let Value::Object(mut params) = params else { return Map::new() };
    for own in ["name", "arguments"] {
        params.remove(own);
    }
    if let Some(meta) = params.get_mut(shown::META).and_then(Value::as_object_mut) {
        meta.retain(|name, _| name != "tenuo" && !OF_ONE_SENDING.contains(&name.as_str()));
        if meta.is_empty() {
            params.remove(shown::META);
        }
    }
    params
}

/// Parsers that fold the case of names would take these for the members that decide.
fn look_alike(params: &Value) -> Option<String> {
    const DECIDING: [&str; 3] = ["name", "arguments", "uri"];
    params.as_object()?.keys().find_map(|key| {
        let near = DECIDING.iter().any(|name| json::is_look_alike(key, name));
        near.then(|| key.chars().take(32).collect())
    })
}
