//! A stdio server and its client, with the daemon asked in between.
//!
//! Three threads meet here: one reads the client, one the server, one the daemon. The queue keeps the client's
//! frames in order while a call is being judged; a held call leaves the queue, so that nothing waits behind it.

pub mod daemon;
mod queue;

use std::collections::HashMap;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::process::ChildStdin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use serde_json::value::RawValue;

use super::answer::{self, code, is_error};
use super::bridge::Key;
use super::door::is_wordless;
use super::doubt::{could_ask, could_say, tools};
use super::frame::{Called, Frame, params, part};
use super::line::{line as lined, one_line};
use crate::control::wire::{FromWrap, Side, ToWrap};
use daemon::Daemon;
use queue::Queue;

/// An answer longer than this is not looked into for an error.
const GLANCE: usize = 64 << 10;
/// How long a call waits for a daemon that went away and may come back.
const LOST: Duration = Duration::from_secs(2);
const NO_DAEMON: &str = "herma's daemon is not running, so nobody can judge this call; it was not run. \
    Start it with `herma serve` and call again.";

/// All that the three threads share.
#[derive(Debug)]
pub struct Pump {
    daemon: Daemon,
    to_server: Mutex<Queue>,
    to_client: Mutex<io::Stdout>,
    asked: Mutex<HashMap<u64, Asked>>,
    /// A frame is asked of one connection to the daemon once: asking and reconnecting take turns.
    turn: Mutex<()>,
    running: Mutex<Running>,
    ends: (Mutex<()>, Condvar),
}

/// A frame that waits for the daemon.
#[derive(Debug)]
struct Asked {
    side: Side,
    id: Bytes,
    frame: Bytes,
    /// A request under the same id was running when this one came.
    twice: bool,
    at: Instant,
    held: bool,
}

/// Requests whose answers matter.
#[derive(Debug, Default)]
struct Running {
    calls: HashMap<Bytes, Call>,
    listings: HashMap<Key, Bytes>,
}

#[derive(Debug)]
struct Call {
    seq: u64,
    keep: bool,
    swallow: bool,
    /// The daemon gives the client the answer.
    amend: bool,
    since: Instant,
}

impl Call {
    fn took_us(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

impl Pump {
    pub fn new(server: ChildStdin) -> Self {
        Self {
            daemon: Daemon::default(),
            to_server: Mutex::new(Queue::new(server)),
            to_client: Mutex::new(io::stdout()),
            asked: Mutex::default(),
            turn: Mutex::default(),
            running: Mutex::default(),
            ends: (Mutex::new(()), Condvar::new()),
        }
    }

    /// One line of the client. False when the server is gone.
    pub fn from_client(&self, line: Vec<u8>) -> bool {
        let mut line = Bytes::from(line);
        if one_line(&line).is_some() {
            line = lined(&line);
        }
        let frame = line.slice_ref(line.trim_ascii());
        if frame.is_empty() {
            return self.to_server.lock().push(line);
        }
        match Frame::read(&frame) {
            // The daemon knows whether words may pass unjudged.
            Ok(ref read) if !is_wordless(read) => {
                let id = if let Frame::Other { id, .. } = read { *id } else { None };
                self.ask(Side::Client, part(&frame, id), line)
            }
            Ok(Frame::Other { method, id }) => {
                match &*method {
                    "initialize" | "notifications/cancelled" => {
                        self.daemon.say(&FromWrap::Passed, &frame);
                    }
                    "tools/list" => {
                        if let Some((key, id)) =
                            id.and_then(|id| Some((Key::of(id)?, part(&frame, Some(id)))))
                        {
                            self.running.lock().listings.insert(key, id);
                        }
                    }
                    "tasks/get" | "tasks/update" | "tasks/cancel" if mentions_us(params(&frame)) => {
                        return self.ask(Side::Client, part(&frame, id), line);
                    }
                    _ => {}
                }
                self.to_server.lock().push(line)
            }
            Ok(Frame::Answer { id, .. }) if mentions_us(id) => self.ask(Side::Client, part(&frame, id), line),
            Ok(Frame::Answer { .. } | Frame::Batch) => self.to_server.lock().push(line),
            Ok(Frame::Call(Called { id, .. })) => self.ask(Side::Client, part(&frame, id), line),
            Err(_) => self.ask(Side::Client, Bytes::new(), line),
        }
    }

    /// One line of the server. False when the client is gone.
    pub fn from_server(&self, line: Vec<u8>) -> bool {
        let line = Bytes::from(line);
        let frame = line.slice_ref(line.trim_ascii());
        if !matches!(frame.first(), Some(b'{' | b'[')) {
            // Standard output is for MCP only; what else a server prints there is for people.
            return frame.is_empty() || io::stderr().write_all(&line).is_ok();
        }
        match Frame::hear(&frame) {
            Ok(Frame::Answer { id: Some(id), .. }) if let Some(asked) = self.listing(id) => {
                self.list(&asked, &frame, &line)
            }
            Ok(Frame::Answer { id: Some(id), .. }) => match self.answered(id.get().as_bytes()) {
                None => self.tell_client(&line),
                Some(call) if call.keep => {
                    let settled = self.settle(&call, &frame);
                    call.swallow || (call.amend && settled) || self.tell_client(&line)
                }
                // Nobody waits for the account of an ordinary call, but its client waits for the answer.
                Some(call) => {
                    let told = self.tell_client(&line);
                    self.settle(&call, &frame);
                    told
                }
            },
            Ok(Frame::Call(Called { id, .. })) => self.ask(Side::Server, part(&frame, id), line),
            // One of them may be a list, which is looked at by itself.
            Ok(Frame::Batch) if !self.running.lock().listings.is_empty() => {
                let parts: Vec<&RawValue> = serde_json::from_slice(&frame).unwrap_or_default();
                parts.into_iter().all(|part| self.from_server(lined(part.get().as_bytes()).into()))
            }
            Err(_) => self.doubt(&frame, line),
            _ => self.tell_client(&line),
        }
    }

    /// What readers could take for different frames: no request and no list of tools may hide in it.
    fn doubt(&self, frame: &Bytes, line: Bytes) -> bool {
        let lists: Vec<Bytes> = match could_say(frame, b"tools") {
            true => self.running.lock().listings.drain().map(|(_, id)| id).collect(),
            false => Vec::new(),
        };
        let told = lists.iter().all(|id| self.list(id, frame, b""));
        match (could_ask(frame), lists.is_empty()) {
            (true, _) => self.ask(Side::Server, Bytes::new(), line),
            (false, true) => self.tell_client(&line),
            (false, false) => told,
        }
    }

    /// The id of the `tools/list` that is answered here, as its client wrote it.
    fn listing(&self, id: &RawValue) -> Option<Bytes> {
        let mut running = self.running.lock();
        if running.listings.is_empty() {
            return None;
        }
        running.listings.remove(&Key::of(id)?)
    }

    /// The daemon hears of a list first, and the client not of one that cannot be read.
    fn list(&self, id: &[u8], frame: &Bytes, line: &[u8]) -> bool {
        self.daemon.say(&FromWrap::Tools, frame);
        match tools(frame) {
            Ok(_) => self.tell_client(line),
            Err(error) => self.tell_client_frame(&answer::error(id, code::INTERNAL, &error.to_string())),
        }
    }

    /// The call that is answered here, if it is one that the daemon let through.
    fn answered(&self, id: &[u8]) -> Option<Call> {
        self.running.lock().calls.remove(id)
    }

    /// False when the daemon did not get it.
    fn settle(&self, call: &Call, frame: &Bytes) -> bool {
        let settled = FromWrap::Settled {
            seq: call.seq,
            answered: true,
            is_error: frame.len() <= GLANCE && is_error(frame),
            bytes: frame.len() as u64,
            took_us: call.took_us(),
        };
        match call.keep {
            true => self.daemon.say(&settled, frame),
            false => {
                self.daemon.say_later(&settled);
                true
            }
        }
    }

    fn ask(&self, side: Side, id: Bytes, frame: Bytes) -> bool {
        let seq = self.daemon.next();
        let payload = frame.slice_ref(frame.trim_ascii());
        let _turn = self.turn.lock();
        let twice = side == Side::Client && self.running.lock().calls.contains_key(&id);
        self.asked.lock().insert(seq, Asked { side, id, frame, twice, at: Instant::now(), held: false });
        if side == Side::Client {
            self.to_server.lock().wait_for(seq);
        }
        if !self.daemon.say(&FromWrap::Frame { seq, side, twice }, &payload) && self.daemon.is_lost(LOST) {
            self.refuse(seq);
        }
        true
    }

    /// What the daemon said.
    pub(super) fn hear(&self, message: ToWrap, payload: Bytes) {
        match message {
            ToWrap::Welcome { .. } => {}
            ToWrap::Say => drop(self.tell_client_frame(&payload)),
            ToWrap::Call { seq } => {
                let Ok(Frame::Call(Called { id: Some(id), .. })) = Frame::read(&payload) else { return };
                let id = payload.slice_ref(id.get().as_bytes());
                let call = Call { seq, keep: true, swallow: true, amend: false, since: Instant::now() };
                self.running.lock().calls.insert(id, call);
                self.to_server.lock().send_past(&lined(&payload));
            }
            ToWrap::Held { seq } => {
                if let Some(asked) = self.asked.lock().get_mut(&seq) {
                    asked.held = true;
                }
                self.to_server.lock().pass_by(seq);
            }
            ToWrap::Forward { seq, keep, swallow, amend } => {
                let Some(asked) = self.asked.lock().remove(&seq) else { return };
                let frame = if payload.is_empty() { asked.frame } else { lined(&payload) };
                match asked.side {
                    Side::Server => drop(self.tell_client(&frame)),
                    Side::Client => {
                        if !asked.id.is_empty() {
                            self.running
                                .lock()
                                .calls
                                .insert(asked.id, Call { seq, keep, swallow, amend, since: Instant::now() });
                        }
                        self.to_server.lock().release(seq, frame);
                    }
                }
            }
            ToWrap::Reply { seq } => {
                let Some(asked) = self.asked.lock().remove(&seq) else { return };
                self.reply(seq, &asked, &payload);
            }
            ToWrap::Drop { seq } => {
                self.asked.lock().remove(&seq);
                self.to_server.lock().pass_by(seq);
            }
        }
    }

    /// An answer of ours, to the side that asked.
    fn reply(&self, seq: u64, asked: &Asked, frame: &Bytes) {
        match asked.side {
            Side::Client => {
                self.to_server.lock().pass_by(seq);
                self.tell_client_frame(frame);
            }
            Side::Server => drop(self.to_server.lock().push(lined(frame))),
        }
    }

    fn refuse(&self, seq: u64) {
        let Some(asked) = self.asked.lock().remove(&seq) else { return };
        self.reply(seq, &asked, &answer::error(&asked.id, code::INTERNAL, NO_DAEMON));
    }

    /// There is a daemon: it is asked what no earlier one has answered, in the old order.
    pub(super) fn connected(&self, stream: UnixStream) {
        let _turn = self.turn.lock();
        self.daemon.open(stream);
        let mut open: Vec<_> = self
            .asked
            .lock()
            .iter()
            .map(|(seq, asked)| {
                (
                    FromWrap::Frame { seq: *seq, side: asked.side, twice: asked.twice },
                    *seq,
                    asked.frame.clone(),
                )
            })
            .collect();
        open.sort_by_key(|(_, seq, _)| *seq);
        for (message, _, frame) in open {
            self.daemon.say(&message, frame.trim_ascii());
        }
    }

    /// The daemon is still away: what has waited too long is refused.
    pub(super) fn give_up_old(&self) {
        let late: Vec<u64> = {
            let asked = self.asked.lock();
            asked.iter().filter(|(_, asked)| asked.at.elapsed() > LOST).map(|(seq, _)| *seq).collect()
        };
        late.into_iter().for_each(|seq| self.refuse(seq));
    }

    /// The client has closed its end: what it sent before is still served, then the server learns of it.
    pub fn client_gone(&self, grace: Duration) {
        let patience = Instant::now() + grace;
        while Instant::now() < patience && self.asked.lock().values().any(|asked| !asked.held) {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.to_server.lock().close();
    }

    /// The server has ended: whoever waits for it learns so.
    pub fn server_gone(&self) {
        self.daemon.flush();
        let calls: Vec<_> = self.running.lock().calls.drain().collect();
        for (id, call) in calls {
            let took_us = call.took_us();
            let settled =
                FromWrap::Settled { seq: call.seq, answered: false, is_error: true, bytes: 0, took_us };
            self.daemon.say(&settled, b"");
            if !call.swallow {
                let said = "the server ended before it answered; what the call did is not known";
                self.tell_client_frame(&answer::error(&id, code::INTERNAL, said));
            }
        }
        let asked: Vec<_> = self.asked.lock().drain().collect();
        for (_, asked) in asked.into_iter().filter(|(_, asked)| asked.side == Side::Client) {
            let said = "the server ended; the call was not run";
            self.tell_client_frame(&answer::error(&asked.id, code::INTERNAL, said));
        }
    }

    /// Sleeps until a side may have ended.
    pub fn wait_for_end(&self) {
        self.daemon.flush();
        let (turn, signal) = &self.ends;
        let _ = signal.wait_for(&mut turn.lock(), Duration::from_millis(100));
    }

    pub fn wake(&self) {
        self.ends.1.notify_all();
    }

    fn tell_client(&self, line: &[u8]) -> bool {
        let mut out = self.to_client.lock();
        out.write_all(line).and_then(|()| out.flush()).is_ok()
    }

    fn tell_client_frame(&self, frame: &Bytes) -> bool {
        self.tell_client(&lined(frame))
    }
}

/// Ids and tasks that Herma has made begin so.
fn mentions_us(part: Option<&RawValue>) -> bool {
    part.is_some_and(|part| part.get().contains("herma-"))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::control::wire;

    #[test]
    fn a_call_is_asked_once_of_each_daemon_that_comes() {
        let mut server = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let pump = Pump::new(server.stdin.take().unwrap());
        let call = |id: u64| format!("{{\"id\":{id},\"method\":\"tools/call\"}}\n").into_bytes();
        let asked = |daemon: &mut UnixStream, count: usize| -> Vec<u64> {
            daemon.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            let seqs =
                (0..).map_while(|_| wire::read::<FromWrap>(daemon).ok()).map(|(message, _)| match message {
                    FromWrap::Frame { seq, .. } => seq,
                    other => panic!("{other:?}"),
                });
            let seqs: Vec<_> = seqs.collect();
            assert_eq!(seqs.len(), count, "{seqs:?}");
            seqs
        };
        pump.from_client(call(1));
        let (near, mut first) = UnixStream::pair().unwrap();
        pump.connected(near);
        pump.from_client(call(2));
        assert_eq!(asked(&mut first, 2), [0, 1]);
        pump.hear(ToWrap::Forward { seq: 0, keep: false, swallow: false, amend: false }, Bytes::new());
        let (near, mut second) = UnixStream::pair().unwrap();
        pump.connected(near);
        assert_eq!(asked(&mut second, 1), [1]);
        server.kill().unwrap();
        server.wait().unwrap();
    }
}
