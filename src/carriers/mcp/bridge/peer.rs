//! One server process, and those who wait for what it says.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use serde_json::value::RawValue;
use tokio::io::AsyncRead;
use tokio::time::{Instant, sleep};

use super::super::answer::{self, code};
use super::super::door::{Door, End, Manners};
use super::super::doubt::{self, could_ask, could_say};
use super::super::era::Era;
use super::super::frame::{CallFrame, Called, Frame, FrameError};
use super::super::hold::Line;
use super::super::line::line;
use super::super::notice;
use super::super::relay;
use super::BridgeError;
use super::process::{Lines, Process};
use super::splice::{Key, Ties, splice};
use super::stream::{Delivery, Sink, Stream, Unsent};
use crate::firewall::outcome::Outcome;
use crate::firewall::permit::Settlement;
use crate::firewall::session::{Session, UnderWay};

/// Requests that may be under way on one process.
const MOST: usize = 1024;
/// What is kept for a client that listens to nothing at the moment: frames, and bytes.
const PARKED: (usize, usize) = (100, 16 << 20);
const METHOD_NOT_FOUND: i32 = -32601;

/// A process, and who waits for what.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) session: Arc<Session>,
    era: Era,
    door: Arc<Door>,
    manners: Manners,
    process: Process,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ended: bool,
    next: u64,
    waiting: HashMap<Key, Waiting>,
    listener: Option<Sink>,
    parked: VecDeque<Bytes>,
    parked_bytes: usize,
    /// Frames were dropped since somebody listened, and that was said.
    dropping: bool,
    last_used: Instant,
}

/// A request that the process has and has not answered.
#[derive(Debug)]
struct Waiting {
    number: u64,
    /// The id and the progress token as the client wrote them.
    id: Bytes,
    token: Option<Bytes>,
    /// `None` when nobody takes the answer any more.
    sink: Option<Sink>,
    takes_events: bool,
    role: Role,
}

/// What the answer to a request is to Herma.
#[derive(Debug)]
pub(super) enum Role {
    Ordinary,
    /// The session stands and falls with it.
    Opening,
    Subscription,
    Tools,
    Call(Box<Settlement>, Option<UnderWay>),
}

/// A request for the process.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) frame: Bytes,
    pub(super) takes_events: bool,
    pub(super) role: Role,
}

impl Role {
    /// The request never reached the process.
    fn refused(self, error: BridgeError) -> BridgeError {
        if let Self::Call(settlement, _) = self {
            settlement.settle(Outcome::Failed);
        }
        error
    }
}

impl Peer {
    pub(super) fn new(
        session: Arc<Session>,
        era: Era,
        door: Arc<Door>,
        manners: Manners,
        process: Process,
    ) -> Self {
        let state = State {
            ended: false,
            next: 1,
            waiting: HashMap::new(),
            listener: None,
            parked: VecDeque::new(),
            parked_bytes: 0,
            dropping: false,
            last_used: Instant::now(),
        };
        Self { session, era, door, manners, process, state: Mutex::new(state) }
    }

    pub(super) fn era(&self) -> Era {
        self.era
    }

    /// Hears the process until it ends, or nobody has used it for `idle`.
    pub(super) async fn run<R: AsyncRead + Unpin>(self: &Arc<Self>, mut lines: Lines<R>, idle: Duration) {
        let mut rest = std::pin::pin!(sleep(idle));
        loop {
            tokio::select! {
                biased;
                line = lines.next() => match line {
                    Ok(Some(line)) => self.hear(&line).await,
                    Ok(None) => break,
                    Err(error) => {
                        tracing::warn!(server = &*self.session.server, %error, "a server is ended");
                        break;
                    }
                },
                () = self.process.ended() => break,
                () = &mut rest => match self.may_rest(idle) {
                    Some(left) => rest.as_mut().reset(Instant::now() + left),
                    None => break,
                },
            }
        }
        self.end();
    }

    /// How long it must still be kept.
    fn may_rest(&self, idle: Duration) -> Option<Duration> {
        let state = self.state();
        if state.listener.iter().chain(state.open_sinks()).any(|sink| !sink.is_closed()) {
            return Some(idle);
        }
        idle.checked_sub(state.last_used.elapsed()).filter(|left| !left.is_zero())
    }

    /// Ends the process and tells everybody who waits for it.
    pub(super) fn end(&self) {
        self.process.stop();
        let waiting = {
            let mut state = self.state();
            state.ended = true;
            state.listener = None;
            state.parked.clear();
            std::mem::take(&mut state.waiting)
        };
        for waiting in waiting.into_values() {
            let said = "the server ended before it answered; what the request did is not known";
            let frame = answer::error(&waiting.id, code::INTERNAL, said);
            if let Some(sink) = waiting.sink {
                sink.send_now(frame, Some(Delivery::default()));
            }
        }
    }

    pub(super) async fn ended(&self) {
        self.process.ended().await;
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state().ended
    }

    /// Gives the process a request, and its answer to whoever holds the stream.
    pub(super) async fn request(self: &Arc<Self>, request: Request) -> Result<Stream, BridgeError> {
        let Request { frame, takes_events, role } = request;
        let Ok(room) = self.process.room().await else { return Err(role.refused(BridgeError::Ended)) };
        let (id, ties) = match (Frame::read(&frame).ok().and_then(|frame| frame.id()), Ties::read(&frame)) {
            (Some(id), Ok(ties)) => (id, ties),
            (_, Err(error)) => return Err(role.refused(error.into())),
            (None, _) => return Err(role.refused(BridgeError::BadId)),
        };
        let Some(key) = Key::of(id) else { return Err(role.refused(BridgeError::BadId)) };
        let (sink, frames) = Sink::new();
        let mut state = self.state();
        if state.ended || state.waiting.len() >= MOST {
            let error = if state.ended { BridgeError::Ended } else { BridgeError::Busy(MOST) };
            return Err(role.refused(error));
        }
        let number = state.next;
        state.next = number.saturating_add(1);
        let own = number.to_string();
        let (key, written) = match self.era {
            Era::Legacy => (key, line(&frame)),
            Era::Modern => {
                let parts = [Some(id), ties.asks_progress].into_iter().flatten();
                let parts = parts.map(|part| (part, own.as_bytes())).collect();
                (Key::number(number), line(&splice(&frame, parts)))
            }
        };
        if state.waiting.contains_key(&key) {
            return Err(role.refused(BridgeError::Duplicate(id.get().chars().take(64).collect())));
        }
        if takes_events {
            state.unpark(&sink);
        }
        let raw = |part: &RawValue| frame.slice_ref(part.get().as_bytes());
        let waiting = Waiting {
            number,
            id: raw(id),
            token: ties.asks_progress.map(raw),
            sink: Some(sink),
            takes_events,
            role,
        };
        state.waiting.insert(key.clone(), waiting);
        state.last_used = Instant::now();
        room.send(written);
        drop(state);
        Ok(Stream::new(Arc::clone(self), Some(key), frames))
    }

    /// Gives the process a frame that is not answered.
    pub(super) async fn tell(&self, frame: &Bytes) -> Result<(), BridgeError> {
        let room = self.process.room().await.map_err(|_| BridgeError::Ended)?;
        let mut state = self.state();
        state.last_used = Instant::now();
        if self.era == Era::Legacy
            && let Ok(Frame::Other { method, .. }) = Frame::read(frame)
            && method == "notifications/cancelled"
            && let Some(key) = Ties::read(frame)?.cancels.and_then(Key::of)
            && let Some(waiting) = state.waiting.get_mut(&key)
        {
            // A server need not answer what was cancelled.
            waiting.sink = None;
        }
        drop(state);
        room.send(line(frame));
        Ok(())
    }

    /// Everything that concerns no request.
    pub(super) fn listen(self: &Arc<Self>) -> Result<Stream, BridgeError> {
        let mut state = self.state();
        if state.ended {
            return Err(BridgeError::Unknown);
        }
        if state.listener.as_ref().is_some_and(|listener| !listener.is_closed()) {
            return Err(BridgeError::Listening);
        }
        let (sink, frames) = Sink::new();
        state.unpark(&sink);
        state.listener = Some(sink);
        state.last_used = Instant::now();
        drop(state);
        Ok(Stream::new(Arc::clone(self), None, frames))
    }

    /// The client left before the answer: that cancels a modern request, and an opening that nobody can use.
    pub(super) fn left(&self, request: &Key) {
        let mut state = self.state();
        let Some(waiting) = state.waiting.get_mut(request) else { return };
        waiting.sink = None;
        match (self.era, &waiting.role) {
            (Era::Legacy, Role::Opening) => {
                drop(state);
                self.process.stop();
            }
            (Era::Legacy, _) => {}
            (Era::Modern, _) => {
                let id = waiting.number;
                state.waiting.remove(request);
                drop(state);
                let cancelled = format!(
                    r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":"the client went away"}}}}"#
                );
                if !self.process.write_now(line(cancelled.as_bytes())) {
                    tracing::warn!(server = &*self.session.server, "a cancellation did not reach the server");
                }
            }
        }
    }

    async fn hear(self: &Arc<Self>, line: &Bytes) {
        let frame = line.slice_ref(line.trim_ascii());
        match frame.first() {
            None => {}
            Some(b'{') => self.hear_frame(frame).await,
            Some(b'[') => match serde_json::from_slice::<Vec<&RawValue>>(&frame) {
                Ok(parts) => {
                    for part in parts {
                        self.hear_frame(frame.slice_ref(part.get().as_bytes())).await;
                    }
                }
                Err(error) => self.doubt(&frame, &FrameError::Unreadable(error.to_string())).await,
            },
            Some(_) => self.log_junk(&frame),
        }
    }

    async fn hear_frame(self: &Arc<Self>, frame: Bytes) {
        match Frame::hear(&frame) {
            Ok(Frame::Answer { id: Some(id), .. }) => self.answered(id, &frame).await,
            Ok(Frame::Answer { id: None, .. } | Frame::Batch) => self.log_junk(&frame),
            Err(error) => self.doubt(&frame, &error).await,
            Ok(Frame::Call(Called { id: Some(id), .. }) | Frame::Other { id: Some(id), .. })
                if self.era == Era::Modern =>
            {
                let said = "a modern server asks its client by an `input_required` result";
                self.answer_back(&answer::error(id.get().as_bytes(), METHOD_NOT_FOUND, said)).await;
            }
            Ok(Frame::Call(called)) => {
                let call = called.keep(&frame);
                if self.door.firewall.policy().gates_server_requests() {
                    tokio::spawn(Arc::clone(self).judge(call));
                } else {
                    relay::note_server_request(&self.door.firewall, &self.session, call);
                    self.pass_on(frame.clone()).await;
                }
            }
            Ok(Frame::Other { .. }) => self.pass_on(frame.clone()).await,
        }
    }

    /// What readers could take for different frames goes nowhere.
    async fn doubt(&self, frame: &[u8], error: &FrameError) {
        if could_ask(frame) {
            let said = error.to_string();
            self.door.firewall.record_refused(&self.session.origin(), "frame", &said);
            self.answer_back(&answer::error(b"", error.code(), &said)).await;
        }
        if could_say(frame, b"tools") {
            let lists: Vec<_> = {
                let mut state = self.state();
                let lists = state.waiting.extract_if(|_, waiting| matches!(waiting.role, Role::Tools));
                lists.map(|(_, waiting)| waiting).collect()
            };
            for Waiting { id, sink, .. } in lists {
                let learned = doubt::learn(&self.door.firewall, &self.session, &id, frame).await;
                self.give(sink, learned.err().unwrap_or_default(), Delivery::default()).await;
            }
        }
        self.log_junk(frame);
    }

    /// Standard output is for MCP only; what else a server prints there is for people.
    fn log_junk(&self, line: &[u8]) {
        let start: String = String::from_utf8_lossy(line).chars().take(200).collect();
        tracing::debug!(server = &*self.session.server, stdout = ?start, "no frame of MCP");
    }

    async fn answered(&self, id: &RawValue, frame: &Bytes) {
        let waiting = Key::of(id).and_then(|key| self.state().waiting.remove(&key));
        let Some(Waiting { id: asked, sink, role, .. }) = waiting else {
            tracing::debug!(server = &*self.session.server, id = id.get(), "an answer nobody waits for");
            return;
        };
        let mut frame = match self.era {
            Era::Legacy => frame.clone(),
            Era::Modern => {
                let named = match role {
                    Role::Subscription => Ties::of_result(frame).ok().and_then(|ties| ties.subscription),
                    _ => None,
                };
                splice(frame, [Some(id), named].into_iter().flatten().map(|part| (part, &*asked)).collect())
            }
        };
        let end = Delivery::default();
        let mut failed_to_open = false;
        match role {
            Role::Ordinary | Role::Subscription => {}
            Role::Opening => failed_to_open = answer::is_error(&frame),
            Role::Tools => {
                let learned = doubt::learn(&self.door.firewall, &self.session, &asked, &frame).await;
                if let Err(instead) = learned {
                    frame = instead;
                }
            }
            Role::Call(settlement, under_way) => {
                drop(under_way);
                let end = Delivery::of(settlement, frame.clone());
                let told = notice::with_notices(&self.door.firewall, &self.session, &frame);
                return self.give(sink, told.unwrap_or(frame), end).await;
            }
        }
        self.give(sink, frame, end).await;
        if failed_to_open {
            self.process.stop();
        }
    }

    async fn give(&self, sink: Option<Sink>, frame: Bytes, end: Delivery) {
        if let Some(sink) = sink
            && sink.send(frame, Some(end)).await.is_err()
        {
            tracing::debug!(server = &*self.session.server, "the client of an answer is gone");
        }
    }

    /// A request of the server to its client, held back where policy says so.
    async fn judge(self: Arc<Self>, call: CallFrame) {
        let mut line = Quiet(Arc::clone(&self));
        let end = self.door.take(&self.session, call, &mut None, self.manners, &mut line).await;
        match end {
            End::Forward(permit) | End::ForTask(permit, _) => {
                let (frame, settlement) = permit.spend();
                self.pass_on(frame).await;
                settlement.settle(Outcome::Passed);
            }
            End::Reply(answer) | End::TaskReply(answer, _) => self.answer_back(&answer).await,
            End::Silence => {}
        }
    }

    async fn answer_back(&self, frame: &[u8]) {
        if let Ok(room) = self.process.room().await {
            room.send(line(frame));
        }
    }

    /// A notification or a request of the server.
    async fn pass_on(&self, mut frame: Bytes) {
        loop {
            let Some((sink, sent)) = self.address(frame) else { return };
            match sink.send(sent, None).await {
                Ok(()) => return,
                Err(Unsent::Stalled) => {
                    tracing::warn!(server = &*self.session.server, "a client that reads nothing is cut off");
                    return self.state().cut(&sink);
                }
                // Modern frames belong to one request, which has gone with its client.
                Err(Unsent::Gone(_)) if self.era == Era::Modern => return,
                Err(Unsent::Gone(sent)) => frame = sent,
            }
        }
    }

    /// Who is to hear a frame, and in which words. `None` when it was put aside or has no address.
    fn address(&self, frame: Bytes) -> Option<(Sink, Bytes)> {
        let ties = Ties::read(&frame).unwrap_or_default();
        let mut state = self.state();
        if state.ended {
            return None;
        }
        match self.era {
            Era::Legacy => match state.listener_for(ties.progress) {
                Some(sink) => sink.map(|sink| (sink, frame)),
                None => {
                    if state.park(&frame) {
                        tracing::warn!(
                            server = &*self.session.server,
                            "nobody listens: the oldest waiting frames are dropped"
                        );
                    }
                    None
                }
            },
            Era::Modern => {
                let found = state.modern_owner(&ties);
                if found.is_none() {
                    drop(state);
                    tracing::debug!(
                        server = &*self.session.server,
                        "a notification that belongs to no request"
                    );
                    return None;
                }
                let (key, part) = found?;
                let spliced = match (part, state.waiting.get(&key)) {
                    (Some((part, Part::Token)), Some(Waiting { token: Some(token), .. })) => {
                        splice(&frame, vec![(part, token)])
                    }
                    (Some((part, Part::Id)), Some(waiting)) => splice(&frame, vec![(part, &waiting.id)]),
                    _ => frame.clone(),
                };
                // A server ends a subscription by cancelling it.
                let sink = match ties.cancels {
                    Some(_) => state.waiting.remove(&key)?.sink,
                    None => state.waiting.get(&key)?.sink.clone(),
                };
                sink.map(|sink| (sink, spliced))
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// Which of the client's own values a part of a frame stands for.
enum Part {
    Id,
    Token,
}

impl State {
    fn open_sinks(&self) -> impl Iterator<Item = &Sink> {
        self.waiting.values().filter_map(|waiting| waiting.sink.as_ref())
    }

    /// Who hears a legacy frame. `Some(None)` when it is for nobody any more, `None` when nobody listens.
    fn listener_for(&self, progress: Option<&RawValue>) -> Option<Option<Sink>> {
        let open = |waiting: &&Waiting| {
            waiting.takes_events && waiting.sink.as_ref().is_some_and(|sink| !sink.is_closed())
        };
        if let Some(progress) = progress.and_then(Key::of) {
            let asked = |waiting: &&Waiting| {
                let token = waiting.token.as_deref().and_then(|raw| serde_json::from_slice(raw).ok());
                token.and_then(Key::of).is_some_and(|token| token == progress)
            };
            if let Some(owner) = self.waiting.values().find(asked) {
                return Some(Some(owner).filter(open).and_then(|owner| owner.sink.clone()));
            }
        }
        let listener = self.listener.as_ref().filter(|listener| !listener.is_closed());
        let latest = || self.waiting.values().filter(open).max_by_key(|waiting| waiting.number);
        listener.cloned().or_else(|| latest()?.sink.clone()).map(Some)
    }

    /// Whose a modern frame is, and which part of it must be said in the client's words.
    fn modern_owner<'a>(&self, ties: &Ties<'a>) -> Option<(Key, Option<(&'a RawValue, Part)>)> {
        let tied = [(ties.subscription, Part::Id), (ties.progress, Part::Token), (ties.cancels, Part::Id)];
        for (part, meaning) in tied {
            let Some(part) = part else { continue };
            let key = Key::of(part).filter(|key| self.waiting.contains_key(key))?;
            return Some((key, Some((part, meaning))));
        }
        let mut all = self.waiting.keys();
        all.next().filter(|_| all.next().is_none()).map(|sole| (sole.clone(), None))
    }

    /// Keeps a frame until somebody listens. True when older ones begin to be dropped for it.
    fn park(&mut self, frame: &[u8]) -> bool {
        self.parked_bytes = self.parked_bytes.saturating_add(frame.len());
        // The frame may be a small part of the buffer it was read into.
        self.parked.push_back(Bytes::copy_from_slice(frame));
        let mut dropped = false;
        while (self.parked.len() > PARKED.0 || self.parked_bytes > PARKED.1) && self.parked.len() > 1 {
            dropped = true;
            let oldest = self.parked.pop_front().unwrap_or_default();
            self.parked_bytes = self.parked_bytes.saturating_sub(oldest.len());
        }
        dropped && !std::mem::replace(&mut self.dropping, true)
    }

    /// Gives a new stream what has waited for one.
    fn unpark(&mut self, sink: &Sink) {
        self.parked_bytes = 0;
        self.dropping = false;
        for frame in self.parked.drain(..) {
            sink.send_now(frame, None);
        }
    }

    fn cut(&mut self, sink: &Sink) {
        if self.listener.as_ref().is_some_and(|listener| listener.is(sink)) {
            self.listener = None;
        }
        for waiting in self.waiting.values_mut() {
            if waiting.sink.as_ref().is_some_and(|other| other.is(sink)) {
                waiting.sink = None;
            }
        }
    }
}

/// A server's request has no client of its own that must be kept alive.
struct Quiet(Arc<Peer>);

impl Line for Quiet {
    async fn open(&mut self, _hold: &str) {}

    async fn say(&mut self, _frame: Bytes) -> bool {
        true
    }

    async fn breathe(&mut self) -> bool {
        !self.0.has_ended()
    }

    async fn gone(&mut self) {
        self.0.ended().await;
    }
}
