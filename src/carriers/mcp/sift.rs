//! A stream of a server taken apart into events, where some of them must wait.
//!
//! A request of the server to its client waits for its permit when a rule speaks of such requests. A list of tools
//! waits until it is known here: the client may call one of them the moment it has read it. What readers could take
//! for another frame than Herma does is not passed on.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use tokio::sync::mpsc;

use super::answer::{self, code};
use super::door::{Door, End, Manners};
use super::doubt::{could_ask, could_say, learn};
use super::frame::{CallFrame, Frame, FrameError};
use super::hold::Line;
use super::members::around;
use super::notice;
use super::relay::Tap;
use super::sse::{self, Event, Events};
use super::upstream::{Head, Upstream};
use crate::firewall::outcome::Outcome;
use crate::firewall::session::Session;
use crate::pool::Answer;

/// Events that may wait for a slow client.
const BACKLOG: usize = 64;

/// One stream of a server.
#[derive(Debug)]
pub struct Sift {
    pub door: Arc<Door>,
    pub session: Arc<Session>,
    pub upstream: Upstream,
    /// The headers of the client's request: a refusal goes to the server on the same session.
    pub headers: HeaderMap,
    pub manners: Manners,
    /// A rule speaks of requests of the server.
    pub judges: bool,
    /// The id of the `tools/list` that is answered.
    pub learns: Option<Bytes>,
    /// Something waits to be said to the agent with its next result.
    pub tells: bool,
}

/// A server's request has no client that must be kept alive by us.
struct Quiet(mpsc::Sender<Bytes>);

impl Line for Quiet {
    async fn open(&mut self, _hold: &str) {}

    async fn say(&mut self, _frame: Bytes) -> bool {
        true
    }

    async fn breathe(&mut self) -> bool {
        !self.0.is_closed()
    }

    async fn gone(&mut self) {
        self.0.closed().await;
    }
}

impl Sift {
    /// Passes the events of `body` on, each as it came.
    pub fn start(self, mut body: Answer, mut tap: Tap) -> mpsc::Receiver<Bytes> {
        let (events, out) = mpsc::channel(BACKLOG);
        tokio::spawn(async move {
            let sift = Arc::new(self);
            let mut stream = Events::new(sift.door.frame_limit);
            while let Some(Ok(frame)) = body.frame().await {
                let Ok(chunk) = frame.into_data() else { continue };
                tap.hear(&chunk);
                stream.feed(&chunk);
                loop {
                    match stream.cut() {
                        Ok(Some(event)) => {
                            if !sift.pass(event, &events).await {
                                return;
                            }
                        }
                        Ok(None) => break,
                        Err(error) => {
                            tracing::warn!(server = &*sift.session.server, %error, "a stream was cut");
                            return;
                        }
                    }
                }
            }
            // Some readers take a last event without its end.
            let rest = Event { raw: stream.rest() };
            let delivered = rest.raw.is_empty() || sift.pass(rest, &events).await;
            tap.end(delivered);
        });
        out
    }

    /// False when the client is gone.
    async fn pass(self: &Arc<Self>, event: Event, events: &mpsc::Sender<Bytes>) -> bool {
        let Some(data) = event.data() else { return events.send(event.raw).await.is_ok() };
        match Frame::hear(&data) {
            Ok(Frame::Call(called)) if self.judges => {
                let call = called.keep(&data);
                tokio::spawn(Arc::clone(self).judge(call, event.raw, events.clone()));
                return true;
            }
            Err(error) if self.judges && could_ask(&data) => {
                tokio::spawn(Arc::clone(self).refuse(error));
                return true;
            }
            Ok(Frame::Call(_) | Frame::Other { .. }) => {}
            frame => {
                if let Some(id) = self.learns.as_ref().filter(|_| frame.is_ok() || could_say(&data, b"tools"))
                    && let Err(instead) = learn(&self.door.firewall, &self.session, id, &data).await
                {
                    return events.send(sse::event(&instead)).await.is_ok();
                }
            }
        }
        let raw = self.told(&event).unwrap_or(event.raw);
        events.send(raw).await.is_ok()
    }

    /// Whether answers must be read at all.
    pub fn reads(&self) -> bool {
        self.judges || self.learns.is_some()
    }

    /// An answer that is one frame, as its client gets it. `id` is that of the request.
    pub async fn frame(&self, id: &[u8], body: Bytes) -> Bytes {
        let asks = match Frame::hear(&body) {
            Ok(Frame::Call(called)) => Some(super::frame::name_of(called.kind).to_owned()),
            Err(error) if could_ask(&body) => Some(error.to_string()),
            _ => None,
        };
        if let Some(what) = asks.filter(|_| self.judges) {
            let said =
                format!("the server answered with a request of its own, which is not passed on: {what}");
            self.door.firewall.record_refused(&self.session.origin(), "frame", &said);
            return answer::error(id, code::INTERNAL, &said);
        }
        match &self.learns {
            Some(id) if !body.is_empty() => {
                learn(&self.door.firewall, &self.session, id, &body).await.err().unwrap_or(body)
            }
            _ => body,
        }
    }

    async fn refuse(self: Arc<Self>, error: FrameError) {
        self.door.firewall.record_refused(&self.session.origin(), "frame", &error.to_string());
        self.answer(answer::error(b"", error.code(), &error.to_string())).await;
    }

    /// An answer with what waits to be said, the rest of its event as it came.
    fn told(&self, event: &Event) -> Option<Bytes> {
        if !self.tells {
            return None;
        }
        let data = event.data()?;
        let (before, after) = around(&event.raw, &data);
        // Data of several lines are no part of the event as they stand.
        if before.len() + data.len() + after.len() != event.raw.len() {
            return None;
        }
        let told = notice::with_notices(&self.door.firewall, &self.session, &data)?;
        Some([before, &told, after].concat().into())
    }

    async fn judge(self: Arc<Self>, call: CallFrame, raw: Bytes, events: mpsc::Sender<Bytes>) {
        let mut line = Quiet(events.clone());
        let end = self.door.take(&self.session, call, &mut None, self.manners, &mut line).await;
        match end {
            End::Forward(permit) | End::ForTask(permit, _) => {
                let (_, settlement) = permit.spend();
                let _ = events.send(raw).await;
                settlement.settle(Outcome::Passed);
            }
            End::Reply(answer) | End::TaskReply(answer, _) => self.answer(answer).await,
            End::Silence => {}
        }
    }

    /// Tells the server that its request was refused.
    async fn answer(&self, frame: Bytes) {
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let head = Head { method: Method::POST, query: None, headers };
        if let Err(error) = self.upstream.pass(head, frame).await {
            tracing::warn!(server = &*self.session.server, %error, "the server could not be told of a refusal");
        }
    }
}
