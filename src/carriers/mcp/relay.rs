//! An upstream's answer on its way to the client: every byte as it came, with an ear on it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame as BodyFrame, SizeHint};
use hyper::header::{self, HeaderMap};

use super::answer::is_error;
use super::frame::{CallFrame, Frame, name_of};
use super::receive::receive;
use super::sse::Events;
use crate::firewall::Firewall;
use crate::firewall::outcome::Outcome;
use crate::firewall::permit::Settlement;
use crate::firewall::session::{Session, UnderWay};
use crate::pool::Answer;

/// What is kept of an ordinary answer, to see whether it is an error.
const GLANCE: usize = 64 << 10;
/// What is kept of an answer that others wait for.
pub(super) const WHOLE: usize = 16 << 20;

pub(super) const JSON: &[u8] = b"application/json";
pub(super) const EVENTS: &[u8] = b"text/event-stream";

/// Whether some client takes the body for one of `kind`: some look for the words anywhere, and in either case.
pub(super) fn speaks(headers: &HeaderMap, kind: &[u8]) -> bool {
    headers.get_all(header::CONTENT_TYPE).iter().map(|value| value.as_bytes()).any(|said| {
        said.starts_with(kind) || said.windows(kind.len()).any(|part| part.eq_ignore_ascii_case(kind))
    })
}

/// What to listen for in an answer.
#[derive(Debug)]
pub enum Ear {
    /// Nothing but requests of the server.
    Requests,
    /// The answer to a forwarded call with these id bytes.
    Call { id: Bytes, settlement: Settlement, under_way: Option<UnderWay> },
}

/// Listens to one answer.
#[derive(Debug)]
pub struct Tap {
    firewall: Arc<Firewall>,
    session: Arc<Session>,
    ear: Option<Ear>,
    format: Format,
    bytes: u64,
    /// Requests of the server pass here unjudged, so they are noted.
    notes: bool,
}

#[derive(Debug)]
enum Format {
    Json {
        parts: Vec<Bytes>,
        size: usize,
        limit: usize,
    },
    Events {
        events: Events,
        answer: Option<Bytes>,
    },
    /// Too long or of another kind.
    Deaf,
}

impl Tap {
    pub fn new(firewall: Arc<Firewall>, session: Arc<Session>, headers: &HeaderMap, ear: Ear) -> Self {
        let limit = match &ear {
            Ear::Call { settlement, .. } if !settlement.keeps_answer() => GLANCE,
            Ear::Call { .. } | Ear::Requests => WHOLE,
        };
        let format = if headers.contains_key(header::CONTENT_ENCODING) {
            Format::Deaf
        } else if speaks(headers, EVENTS) {
            Format::Events { events: Events::new(WHOLE), answer: None }
        } else if speaks(headers, JSON) && !matches!(ear, Ear::Requests) {
            Format::Json { parts: Vec::new(), size: 0, limit }
        } else {
            Format::Deaf
        };
        let notes = !firewall.policy().gates_server_requests();
        Self { firewall, session, ear: Some(ear), format, bytes: 0, notes }
    }

    pub fn hear(&mut self, chunk: &Bytes) {
        self.bytes = self.bytes.saturating_add(chunk.len() as u64);
        match &mut self.format {
            Format::Json { parts, size, limit } => {
                release(&mut self.ear);
                *size = size.saturating_add(chunk.len());
                if size > limit {
                    self.format = Format::Deaf;
                } else {
                    parts.push(chunk.clone());
                }
            }
            Format::Events { events, answer } => {
                events.feed(chunk);
                loop {
                    match events.cut() {
                        Ok(Some(event)) => {
                            let Some(data) = event.data() else { continue };
                            let Ok(frame) = Frame::hear(&data) else { continue };
                            match (frame, &self.ear) {
                                (Frame::Call(called), _) if self.notes => {
                                    note_server_request(&self.firewall, &self.session, called.keep(&data));
                                }
                                (Frame::Answer { id, .. }, Some(Ear::Call { id: ours, .. }))
                                    if id.is_some_and(|id| id.get().as_bytes() == ours) =>
                                {
                                    *answer = Some(data.clone());
                                    release(&mut self.ear);
                                }
                                _ => {}
                            }
                        }
                        Ok(None) => break,
                        Err(_) => {
                            self.format = Format::Deaf;
                            break;
                        }
                    }
                }
            }
            Format::Deaf => {}
        }
    }

    /// The answer is over. `delivered` says whether the client took all of it.
    pub fn end(&mut self, delivered: bool) {
        let Some(ear) = self.ear.take() else { return };
        let answer = match &mut self.format {
            Format::Json { parts, .. } => Some(join(std::mem::take(parts))),
            Format::Events { answer, .. } => answer.take(),
            Format::Deaf => None,
        };
        match ear {
            Ear::Requests => {}
            Ear::Call { settlement, .. } => {
                let failed = answer.as_deref().is_some_and(is_error);
                let response = answer.filter(|_| settlement.keeps_answer());
                settlement.settle(Outcome::Answered {
                    is_error: failed,
                    bytes: self.bytes,
                    response,
                    delivered,
                });
            }
        }
    }

    /// The answer broke off.
    pub fn broke(&mut self) {
        if let Some(Ear::Call { settlement, .. }) = self.ear.take() {
            settlement.settle(Outcome::Unknown);
        }
    }
}

/// The answer is here: its client may use the id again as soon as it has it.
fn release(ear: &mut Option<Ear>) {
    if let Some(Ear::Call { under_way, .. }) = ear {
        *under_way = None;
    }
}

/// A request that the server makes to its client, seen in passing.
pub fn note_server_request(firewall: &Arc<Firewall>, session: &Arc<Session>, call: CallFrame) {
    let kind = call.kind;
    match receive(firewall, None, session, call, WHOLE, true) {
        Ok(received) => firewall.note_server_request(&received.call, session),
        Err(error) => firewall.record_refused(&session.origin(), name_of(kind), &error.to_string()),
    }
}

fn join(mut parts: Vec<Bytes>) -> Bytes {
    match parts.len() {
        1 => parts.pop().unwrap_or_default(),
        _ => {
            let mut whole = BytesMut::new();
            for part in &parts {
                whole.extend_from_slice(part);
            }
            whole.freeze()
        }
    }
}

/// A response body that passes through unchanged.
#[derive(Debug)]
pub struct Relay {
    inner: Answer,
    tap: Tap,
    ended: bool,
}

impl Relay {
    pub fn new(inner: Answer, tap: Tap) -> Self {
        Self { inner, tap, ended: false }
    }

    fn finish(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            self.tap.end(true);
        }
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(chunk) = frame.data_ref() {
                    self.tap.hear(chunk);
                }
                if self.inner.is_end_stream() {
                    self.finish();
                }
            }
            Some(Err(_)) => {
                self.ended = true;
                self.tap.broke();
            }
            None => self.finish(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if !self.ended {
            if self.inner.is_end_stream() {
                self.finish();
            } else {
                self.tap.broke();
            }
        }
    }
}
