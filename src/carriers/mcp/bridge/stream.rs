//! The frames of a server on their way to one client.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::{Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use super::super::answer::{self, code};
use super::super::era::Era;
use super::super::http::{self, Reply};
use super::super::sse;
use super::peer::Peer;
use super::splice::Key;
use crate::firewall::outcome::Outcome;
use crate::firewall::permit::Settlement;

/// A quiet stream shows a sign of life this often.
const BREATH: Duration = Duration::from_secs(15);
/// An answer that comes this soon needs no stream.
const SOON: Duration = Duration::from_secs(1);
/// How long a client may read nothing while no more can wait for it.
const STALL: Duration = Duration::from_secs(30);
/// What may wait for a client. One frame may be longer.
const QUEUED_FRAMES: usize = 128;
const QUEUED_BYTES: u32 = 16 << 20;

/// A frame, and with the last one the account that is settled by its delivery.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) frame: Bytes,
    pub(super) end: Option<Delivery>,
    room: Option<OwnedSemaphorePermit>,
}

/// Settles a call: as delivered when the client took the answer, else as kept for its retry.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    open: Option<(Box<Settlement>, Bytes)>,
}

impl Delivery {
    pub(super) fn of(settlement: Box<Settlement>, answer: Bytes) -> Self {
        Self { open: Some((settlement, answer)) }
    }

    fn done(mut self) {
        self.settle(true);
    }

    fn settle(&mut self, delivered: bool) {
        let Some((settlement, answer)) = self.open.take() else { return };
        let is_error = answer::is_error(&answer);
        let bytes = answer.len() as u64;
        let response = settlement.keeps_answer().then_some(answer);
        settlement.settle(Outcome::Answered { is_error, bytes, response, delivered });
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.settle(false);
    }
}

/// Where a client's frames go in.
#[derive(Debug, Clone)]
pub(super) struct Sink {
    frames: mpsc::Sender<Sent>,
    bytes: Arc<Semaphore>,
}

/// How a frame was not sent.
pub(super) enum Unsent {
    /// The client is gone; the frame is for whoever is there instead.
    Gone(Bytes),
    /// It reads nothing.
    Stalled,
}

impl Sink {
    pub(super) fn new() -> (Self, mpsc::Receiver<Sent>) {
        let (frames, out) = mpsc::channel(QUEUED_FRAMES);
        (Self { frames, bytes: Arc::new(Semaphore::new(QUEUED_BYTES as usize)) }, out)
    }

    /// Waits for room for a while, so that a slow client slows its server down and does not stop it.
    pub(super) async fn send(&self, frame: Bytes, end: Option<Delivery>) -> Result<(), Unsent> {
        let size = u32::try_from(frame.len()).unwrap_or(u32::MAX).min(QUEUED_BYTES);
        let place = async {
            let room = tokio::select! {
                room = Arc::clone(&self.bytes).acquire_many_owned(size) => room.ok(),
                () = self.frames.closed() => None,
            };
            Some((room?, self.frames.reserve().await.ok()?))
        };
        match timeout(STALL, place).await {
            Ok(Some((room, place))) => {
                place.send(Sent { frame, end, room: Some(room) });
                Ok(())
            }
            Ok(None) => Err(Unsent::Gone(frame)),
            Err(_) => Err(Unsent::Stalled),
        }
    }

    /// Without waiting; a stream that has no room for it is lost to its client anyway.
    pub(super) fn send_now(&self, frame: Bytes, end: Option<Delivery>) {
        let _ = self.frames.try_send(Sent { frame, end, room: None });
    }

    pub(super) fn is_closed(&self) -> bool {
        self.frames.is_closed()
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.frames.same_channel(&other.frames)
    }
}

/// What one client hears: the way to an answer, or whatever concerns no request. Dropped early, the client left.
#[derive(Debug)]
pub struct Stream {
    peer: Arc<Peer>,
    /// The request whose answer ends it; none for a listening stream.
    request: Option<Key>,
    frames: mpsc::Receiver<Sent>,
    next: Option<Sent>,
    breath: Interval,
    ended: bool,
}

impl Stream {
    pub(super) fn new(peer: Arc<Peer>, request: Option<Key>, frames: mpsc::Receiver<Sent>) -> Self {
        let mut breath = interval_at(Instant::now() + BREATH, BREATH);
        breath.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { peer, request, frames, next: None, breath, ended: false }
    }

    /// The bytes of the next event.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let next = match self.next.take() {
            Some(sent) => Poll::Ready(Some(sent)),
            None => self.frames.poll_recv(context),
        };
        match next {
            Poll::Ready(Some(sent)) => {
                let event = sse::event(&sent.frame);
                if let Some(delivery) = sent.end {
                    self.ended = true;
                    delivery.done();
                }
                self.breath.reset();
                Poll::Ready(Some(event))
            }
            Poll::Ready(None) => {
                self.ended = true;
                Poll::Ready(None)
            }
            Poll::Pending => {
                self.breath.poll_tick(context).map(|_| Some(sse::comment("the server is at work")))
            }
        }
    }

    pub fn is_end(&self) -> bool {
        self.ended
    }

    /// One frame of JSON when the answer comes first, else a stream of events. `probe` says that the client asks
    /// by it whether the server is modern: the status says so, however long a server takes to start.
    pub async fn into_response(mut self, accepts_events: bool, probe: bool) -> Response<Reply> {
        let first = match accepts_events && !probe {
            true => timeout(SOON, self.frames.recv()).await.ok(),
            false => Some(self.last().await),
        };
        match first {
            Some(Some(Sent { frame, end: Some(delivery), .. })) => {
                self.ended = true;
                delivery.done();
                http::json(self.status(&frame, probe), frame)
            }
            Some(None) => {
                self.ended = true;
                let said = "the request ended without an answer";
                http::json(StatusCode::BAD_GATEWAY, answer::error(b"", code::INTERNAL, said))
            }
            Some(first) => {
                self.next = first;
                self.into_events()
            }
            None => self.into_events(),
        }
    }

    pub(super) fn into_events(self) -> Response<Reply> {
        http::event_stream(Reply::Bridged(Box::new(self)))
    }

    /// Writes all of it into a stream that is open already.
    pub async fn pour(mut self, events: mpsc::Sender<Bytes>) {
        loop {
            let sent = tokio::select! {
                sent = self.frames.recv() => sent,
                () = events.closed() => return,
                _ = self.breath.tick() => {
                    let _ = events.send(sse::comment("the server is at work")).await;
                    continue;
                }
            };
            let Some(Sent { frame, end, room }) = sent else { break };
            let delivered = events.send(sse::event(&frame)).await.is_ok();
            drop(room);
            if let Some(delivery) = end {
                self.ended = true;
                if delivered {
                    delivery.done();
                }
                return;
            }
        }
        self.ended = true;
    }

    /// The answer alone.
    pub(super) async fn into_answer(mut self) -> Option<Bytes> {
        let Sent { frame, end, .. } = self.last().await?;
        self.ended = true;
        if let Some(delivery) = end {
            delivery.done();
        }
        Some(frame)
    }

    async fn last(&mut self) -> Option<Sent> {
        loop {
            let sent = self.frames.recv().await?;
            if sent.end.is_some() {
                return Some(sent);
            }
        }
    }

    /// Over HTTP a modern error has a status of its own. A legacy server fails at the probe in ways of its own,
    /// and clients look for them behind a 400.
    fn status(&self, frame: &[u8], probe: bool) -> StatusCode {
        #[derive(serde::Deserialize)]
        struct Answer {
            error: Option<Error>,
        }
        #[derive(serde::Deserialize)]
        struct Error {
            code: i64,
        }
        if self.peer.era() == Era::Legacy {
            return StatusCode::OK;
        }
        let error = serde_json::from_slice::<Answer>(frame).ok().and_then(|answer| answer.error);
        match error.map(|error| error.code) {
            None => StatusCode::OK,
            Some(_) if probe => StatusCode::BAD_REQUEST,
            Some(-32601) => StatusCode::NOT_FOUND,
            Some(-32022..=-32020 | -32700 | -32600) => StatusCode::BAD_REQUEST,
            Some(_) => StatusCode::OK,
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(request) = self.request.take()
            && !self.ended
        {
            self.peer.left(&request);
        }
    }
}
