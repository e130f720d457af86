//! A wrapped stdio server: its frames come in, permits and answers go out.

use std::collections::HashMap;
use std::future::Future;
use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use super::answer;
use super::door::{Door, End, Manners};
use super::frame::{CallFrame, Frame};
use super::hold::Line;
use super::{doubt, notice};
use crate::control::wire::{self, FromWrap, Side, ToWrap, WireError, Wrapping};
use crate::firewall::Permit;
use crate::firewall::outcome::Outcome;
use crate::firewall::permit::Settlement;
use crate::firewall::roads::{Answering, Sends, Unsent, Whose};
use crate::firewall::session::Session;
use crate::review::Ground;

/// A wrapper that takes no message for this long is given up.
const STUCK: Duration = Duration::from_secs(5);

/// Calls of Herma's own are told from the wrapper's by their high numbers.
const OWN: u64 = 1 << 63;

static SESSIONS: AtomicU64 = AtomicU64::new(1);
static OWN_CALLS: AtomicU64 = AtomicU64::new(OWN);

/// Serves every wrapped server whose connection comes in, until no more can.
pub async fn attend(mut wraps: mpsc::UnboundedReceiver<(tokio::net::UnixStream, Wrapping)>, door: Arc<Door>) {
    while let Some((stream, wrapping)) = wraps.recv().await {
        let door = Arc::clone(&door);
        let runtime = Handle::current();
        let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
        // A thread that sleeps in `read` is back sooner than a task that waits for the runtime's poll.
        let started = stream.into_std().and_then(|stream| {
            stream.set_nonblocking(false)?;
            stream.set_write_timeout(Some(STUCK))?;
            std::thread::Builder::new().name("wrapped".into()).spawn(move || {
                let _inside = runtime.enter();
                let _serving = door.firewall.runs.serving(pid);
                if let Err(error) = serve(stream, door, wrapping, &runtime) {
                    tracing::debug!(%error, "the connection of a wrapped server ended");
                }
            })
        });
        if let Err(error) = started {
            tracing::error!(%error, "a wrapped server could not be served");
        }
    }
}

fn serve(stream: UnixStream, door: Arc<Door>, wrapping: Wrapping, runtime: &Handle) -> Result<(), WireError> {
    let Wrapping { server, cwd, home, shares_files, denial, hold_budget_ms } = wrapping;
    let id = format!("wrap-{}-{}", std::process::id(), SESSIONS.fetch_add(1, Ordering::Relaxed));
    let session = Session::new(&id, "local".into(), server.into(), false).at(cwd, home).privately();
    let session = if shares_files { session.sharing(Ground::default()) } else { session };
    let session = door.firewall.sessions.adopt(session);
    let hold_budget = hold_budget_ms.map(Duration::from_millis);
    let manners = Manners { denial, hold_budget, forward_warrant: false };
    let mut read = BufReader::with_capacity(64 << 10, stream.try_clone()?);
    let (alive, gone) = watch::channel(());
    let out = Mutex::new(Some(stream));
    let wrapped = Arc::new(Wrapped { door, session, manners, out, gone, running: Mutex::default() });
    let road: std::sync::Weak<Wrapped> = Arc::downgrade(&wrapped);
    wrapped.door.firewall.roads.open(road);
    wrapped.tell(&ToWrap::Welcome { session: wrapped.session.id.to_string() }, b"");
    let ended = loop {
        match wire::read::<FromWrap>(&mut read) {
            Ok((message, payload)) => wrapped.hear(message, payload, runtime),
            Err(error) => break error,
        }
    };
    drop(alive);
    match ended {
        WireError::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(()),
        other => Err(other),
    }
}

#[derive(Debug)]
struct Wrapped {
    door: Arc<Door>,
    session: Arc<Session>,
    manners: Manners,
    /// `None` once the wrapper takes no more.
    out: Mutex<Option<UnixStream>>,
    gone: watch::Receiver<()>,
    running: Mutex<HashMap<u64, Running>>,
}

/// A forwarded call.
#[derive(Debug)]
struct Running {
    settlement: Settlement,
    whose: Answers,
}

/// Who gets the answer.
#[derive(Debug)]
enum Answers {
    /// The client has it already.
    Client,
    /// The client, with what it must hear of this call and what waits to be said to it.
    Told,
    /// A task of the client.
    Task(String),
    Herma(oneshot::Sender<Bytes>),
}

impl Wrapped {
    fn tell(&self, message: &ToWrap, payload: &[u8]) {
        let mut out = self.out.lock();
        let Some(stream) = out.as_mut() else { return };
        if let Err(error) = wire::write(stream, message, payload) {
            tracing::warn!(%error, "a wrapped server takes no more messages");
            let _ = stream.shutdown(std::net::Shutdown::Both);
            *out = None;
        }
    }

    fn hear(self: &Arc<Self>, message: FromWrap, payload: Bytes, runtime: &Handle) {
        match message {
            FromWrap::Frame { seq, side, twice } => self.judge(seq, side, twice, payload, runtime),
            FromWrap::Passed => {
                if let Ok(Frame::Other { method, .. }) = Frame::read(&payload) {
                    self.door.overhear(&self.session, &method, &payload);
                }
            }
            // The wrapper has read it the same way, and told its client.
            FromWrap::Tools => {
                let learning = doubt::learn(&self.door.firewall, &self.session, b"", &payload);
                let _ = runtime.block_on(learning);
            }
            FromWrap::Settled { seq, answered, is_error, bytes, took_us } => {
                let response = (!payload.is_empty()).then(|| payload.clone());
                let outcome = match answered {
                    true => Outcome::Answered { is_error, bytes, response, delivered: true },
                    false => Outcome::Failed,
                };
                self.settle(seq, outcome, Duration::from_micros(took_us), &payload);
            }
        }
    }

    fn judge(self: &Arc<Self>, seq: u64, side: Side, twice: bool, frame: Bytes, runtime: &Handle) {
        let read = match side {
            Side::Client => Frame::read(&frame),
            Side::Server => Frame::hear(&frame),
        };
        if let (Side::Client, Ok(frame)) = (side, &read)
            && let Some(refused) = self.door.hush(&self.session, frame)
        {
            return self.tell(&ToWrap::Reply { seq }, &refused);
        }
        let call = match read {
            Err(error) => {
                self.door.firewall.record_refused(&self.session.origin(), "frame", &error.to_string());
                return self
                    .tell(&ToWrap::Reply { seq }, &answer::error(b"", error.code(), &error.to_string()));
            }
            Ok(Frame::Call(called)) => called.keep(&frame),
            Ok(Frame::Answer { id, result, .. }) if self.door.questions.answer(id, result) => {
                return self.tell(&ToWrap::Drop { seq }, b"");
            }
            Ok(Frame::Other { method, id }) => {
                let id = id.map(|id| id.get().as_bytes()).unwrap_or_default();
                let ours = self.door.tasks.answer(&self.session, &method, &frame, id);
                return match ours {
                    Some(answer) => self.tell(&ToWrap::Reply { seq }, &answer),
                    None => {
                        self.tell(&ToWrap::Forward { seq, keep: false, swallow: false, amend: false }, b"")
                    }
                };
            }
            Ok(Frame::Answer { .. } | Frame::Batch) => {
                return self.tell(&ToWrap::Forward { seq, keep: false, swallow: false, amend: false }, b"");
            }
        };
        let mut life = Box::pin(Arc::clone(self).live(seq, side, twice, call));
        // An ordinary call is over at once; a held one goes on beside the frames that follow it.
        let over = life.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        if !over {
            runtime.spawn(life);
        }
    }

    async fn live(self: Arc<Self>, seq: u64, side: Side, twice: bool, call: CallFrame) {
        // While a call is judged its id is taken here; while it runs, the wrapper knows.
        let mut under_way = match side {
            Side::Client if !call.id.is_empty() => match self.door.begin(&self.session, &call, twice) {
                Ok(under_way) => Some(under_way),
                Err(refused) => return self.tell(&ToWrap::Reply { seq }, &refused),
            },
            _ => None,
        };
        let mut line = WrapLine { wrapped: Arc::clone(&self), seq };
        let frame = call.frame.clone();
        let end = self.door.take(&self.session, call, &mut under_way, self.manners, &mut line).await;
        // Whatever is told next may bring a request under the same id.
        drop(under_way);
        let (permit, whose) = match end {
            End::Forward(permit)
                if permit.told().is_some() || notice::waits(&self.door.firewall, &self.session) =>
            {
                (permit, Answers::Told)
            }
            End::Forward(permit) => (permit, Answers::Client),
            End::ForTask(permit, task) => (permit, Answers::Task(task)),
            End::Reply(answer) => return self.tell(&ToWrap::Reply { seq }, &answer),
            End::TaskReply(answer, task) => return self.door.tasks.finish(&task, &answer),
            End::Silence => return self.tell(&ToWrap::Drop { seq }, b""),
        };
        let (bytes, settlement) = permit.spend();
        if side == Side::Server {
            settlement.settle(Outcome::Passed);
            return self.tell(&ToWrap::Forward { seq, keep: false, swallow: false, amend: false }, b"");
        }
        let (swallow, amend) = (matches!(whose, Answers::Task(_)), matches!(whose, Answers::Told));
        let keep = settlement.keeps_answer() || swallow || amend;
        let message = ToWrap::Forward { seq, keep, swallow, amend };
        let replaced = if bytes == frame { Bytes::new() } else { bytes };
        self.running.lock().insert(seq, Running { settlement, whose });
        self.tell(&message, &replaced);
    }

    fn settle(&self, seq: u64, outcome: Outcome, took: Duration, response: &Bytes) {
        let running = self.running.lock().remove(&seq);
        let Some(Running { settlement, whose }) = running else { return };
        let told =
            || settlement.told().map_or_else(|| response.clone(), |told| answer::telling(response, told));
        match &whose {
            Answers::Client | Answers::Herma(_) => {}
            // The wrapper has told the client that there is no answer.
            Answers::Told if response.is_empty() => {}
            Answers::Told => {
                let told = told();
                let noted = notice::with_notices(&self.door.firewall, &self.session, &told);
                self.tell(&ToWrap::Say, &noted.unwrap_or(told));
            }
            Answers::Task(task) => self.door.tasks.finish(task, &told()),
        }
        settlement.settle_after(took, outcome);
        if let Answers::Herma(answer) = whose {
            let _ = answer.send(response.clone());
        }
    }
}

impl Sends for Wrapped {
    fn leads_to(&self, whose: &Whose) -> bool {
        let Session { server, principal, id, .. } = &*self.session;
        (server, principal, id) == (&whose.server, &whose.principal, &whose.session)
            && self.out.lock().is_some()
    }

    fn send(self: Arc<Self>, _whose: Whose, permit: Permit) -> Answering {
        Box::pin(async move {
            let (frame, settlement) = permit.spend();
            let seq = OWN_CALLS.fetch_add(1, Ordering::Relaxed);
            let (answer, answered) = oneshot::channel();
            self.running.lock().insert(seq, Running { settlement, whose: Answers::Herma(answer) });
            self.tell(&ToWrap::Call { seq }, &frame);
            let answer = answered.await.ok().filter(|answer| !answer.is_empty());
            answer.ok_or_else(|| Unsent("the server ended before it answered".into()))
        })
    }
}

/// The road back to the client of a wrapped server.
struct WrapLine {
    wrapped: Arc<Wrapped>,
    seq: u64,
}

impl Line for WrapLine {
    async fn open(&mut self, _hold: &str) {
        self.wrapped.tell(&ToWrap::Held { seq: self.seq }, b"");
    }

    async fn say(&mut self, frame: Bytes) -> bool {
        self.wrapped.tell(&ToWrap::Say, &frame);
        true
    }

    async fn breathe(&mut self) -> bool {
        self.wrapped.out.lock().is_some()
    }

    async fn gone(&mut self) {
        let mut gone = self.wrapped.gone.clone();
        while gone.changed().await.is_ok() {}
    }
}
