//! Calls of Herma's own to a server by URL: each by a session of its own, as a fresh client would.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Response};
use serde_json::{Value, json};

use super::super::answer;
use super::super::frame::{Frame, params};
use super::super::sse::Events;
use super::super::upstream::{Head, Upstream};
use super::{SESSION, relay};
use crate::firewall::Permit;
use crate::firewall::outcome::Outcome;
use crate::firewall::roads::{Answering, Sends, Unsent, Whose};
use crate::pool::Answer;

const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
/// What a legacy server is greeted with.
const LEGACY: &str = "2025-06-18";
const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// The way to one server by URL.
#[derive(Debug)]
pub struct Road {
    pub server: Arc<str>,
    pub upstream: Upstream,
}

impl Sends for Road {
    fn leads_to(&self, whose: &Whose) -> bool {
        self.server == whose.server
    }

    fn send(self: Arc<Self>, _whose: Whose, permit: Permit) -> Answering {
        Box::pin(async move { self.call(permit).await })
    }
}

impl Road {
    async fn call(&self, permit: Permit) -> Result<Bytes, Unsent> {
        let mut headers = plain_headers();
        let is_modern = modern(permit.frame(), &mut headers);
        if !is_modern {
            self.greet(&mut headers).await?;
        }
        let (response, settlement) = self.upstream.forward(permit, head(Method::POST, &headers)).await;
        let answer = match response {
            Ok(response) => read(response).await,
            Err(error) => {
                settlement.settle(Outcome::Failed);
                return Err(Unsent(error.to_string()));
            }
        };
        match &answer {
            Ok(answer) => settlement.settle(Outcome::Answered {
                is_error: answer::is_error(answer),
                bytes: answer.len() as u64,
                response: Some(answer.clone()),
                delivered: true,
            }),
            Err(_) => settlement.settle(Outcome::Unknown),
        }
        if !is_modern {
            let _ = self.upstream.pass(head(Method::DELETE, &headers), Bytes::new()).await;
        }
        answer
    }

    /// A handshake, so that the server takes a call.
    async fn greet(&self, headers: &mut HeaderMap) -> Result<(), Unsent> {
        let initialize = json!({
            "jsonrpc": "2.0", "id": 0, "method": "initialize",
            "params": {
                "protocolVersion": LEGACY, "capabilities": {},
                "clientInfo": { "name": "herma", "version": env!("CARGO_PKG_VERSION") },
            },
        });
        let response = self.post(headers, &initialize).await?;
        let session = response.headers().get(SESSION).cloned();
        let answer = read(response).await?;
        if answer::is_error(&answer) {
            return Err(Unsent("the server did not take the handshake".into()));
        }
        let chosen = serde_json::from_slice::<Value>(&answer).ok();
        let chosen = chosen.as_ref().and_then(|answer| answer.pointer("/result/protocolVersion")?.as_str());
        if let Ok(version) = HeaderValue::from_str(chosen.unwrap_or(LEGACY)) {
            headers.insert(VERSION, version);
        }
        if let Some(session) = session {
            headers.insert(SESSION, session);
        }
        let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        self.post(headers, &ready).await.map(drop)
    }

    async fn post(&self, headers: &HeaderMap, frame: &Value) -> Result<Response<Answer>, Unsent> {
        let sent = self.upstream.pass(head(Method::POST, headers), frame.to_string().into()).await;
        let response = sent.map_err(|error| Unsent(error.to_string()))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(Unsent(format!("the server answered HTTP {}", response.status().as_u16())))
    }
}

fn head(method: Method, headers: &HeaderMap) -> Head {
    Head { method, query: None, headers: headers.clone() }
}

fn plain_headers() -> HeaderMap {
    HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (ACCEPT, HeaderValue::from_static("application/json, text/event-stream")),
    ])
}

/// Whether the call is a modern one, which needs no handshake but says some things in headers, too.
fn modern(frame: &Bytes, headers: &mut HeaderMap) -> bool {
    let said =
        params(frame).and_then(|params| serde_json::from_str::<Value>(params.get()).ok()).unwrap_or_default();
    let text = |value: Option<&Value>| {
        value.and_then(Value::as_str).and_then(|text| HeaderValue::from_str(text).ok())
    };
    let version = text(said.get("_meta").and_then(|meta| meta.get(META_VERSION)));
    let (Some(version), Some(name)) = (version, text(said.get("name"))) else { return false };
    headers.insert(VERSION, version);
    headers.insert(METHOD, HeaderValue::from_static("tools/call"));
    headers.insert(NAME, name);
    true
}

/// The JSON-RPC answer in a response, whichever form it has.
async fn read(response: Response<Answer>) -> Result<Bytes, Unsent> {
    let (parts, body) = response.into_parts();
    let is_stream = super::reply::is_event_stream(&parts.headers);
    let broken = |error| Unsent(format!("the server's answer broke off or is too long: {error}"));
    if !is_stream {
        let body = Limited::new(body, relay::WHOLE).collect().await.map_err(broken)?.to_bytes();
        if parts.status.is_success() && matches!(Frame::read(&body), Ok(Frame::Answer { .. })) {
            return Ok(body);
        }
        return Err(Unsent(format!("the server answered HTTP {} without a result", parts.status.as_u16())));
    }
    let mut body = Limited::new(body, relay::WHOLE);
    let mut events = Events::new(relay::WHOLE);
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame.map_err(broken)?.into_data() else { continue };
        events.feed(&chunk);
        while let Ok(Some(event)) = events.cut() {
            if let Some(data) = event.data()
                && matches!(Frame::read(&data), Ok(Frame::Answer { .. }))
            {
                return Ok(data);
            }
        }
    }
    Err(Unsent("the server ended its answer without a result".into()))
}
