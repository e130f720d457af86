//! One connection of an agent: its question, the wait, and how the call ended.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::broadcast;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use super::Desk;
use super::ask::{Asked, LONGEST_WAIT};
use crate::call::Digest;
use crate::control::hook::{Asker, FromHook, Hooking, ToHook};
use crate::control::wire::{self, WireError};
use crate::firewall::outcome::Outcome;
use crate::firewall::permit::Settlement;
use crate::firewall::runs::Parent;
use crate::firewall::session::Session;
use crate::firewall::{Waited, Waits, now};
use crate::gate::Stay;

/// An agent that hears nothing for three of these takes the daemon for dead.
const BREATH: Duration = Duration::from_secs(5);
/// What somebody said is judged up to this length; the scorer reads its ends.
const LONGEST_WORDS: usize = 1 << 20;

pub(super) async fn serve(stream: UnixStream, desk: Arc<Desk>, hooking: Hooking) -> Result<(), WireError> {
    let (mut from, to) = stream.into_split();
    let mut line = Line { desk, hooking, to };
    loop {
        let (message, payload) = match wire::read_async::<FromHook>(&mut from).await {
            Err(WireError::Io(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        };
        let principal = match line.desk.principal(&line.hooking) {
            Ok(principal) => principal,
            Err(stranger) => return line.refuse(&stranger).await,
        };
        let session = |id: &str| line.desk.session(&principal, id, &line.hooking);
        let speaker = |asker: &Asker| {
            let speaker = session(&asker.session);
            // Said with every question: a daemon that was restarted has forgotten it.
            match &asker.parent {
                Some(parent) => speaker.inherit(&session(parent)),
                None => {
                    let sessions = &line.desk.firewall.sessions;
                    sessions.meet(&speaker, &asker.platform, asker.sender.as_deref(), &asker.chats);
                }
            }
            speaker
        };
        let crisis = match message {
            FromHook::Mark { session, call } => {
                let mark = line.desk.mark(&principal, &session, &call);
                line.say(&ToHook::Marked { mark }, b"").await?;
                continue;
            }
            FromHook::Ask { tool, tenuo, asker } => {
                let session = speaker(&asker);
                let parent = asker.parent.as_deref();
                let adopted =
                    parent.map_or(Ok(()), |parent| line.desk.adopt(&session, parent, &asker, &line.hooking));
                match adopted {
                    Ok(()) => line.ask(&mut from, &session, &tool, &asker, (payload, tenuo)).await?,
                    Err(why) => line.refuse(&why).await?,
                }
                continue;
            }
            FromHook::Reply { asker } => {
                let session = speaker(&asker);
                line.reply(&mut from, &session, &asker, payload).await?;
                continue;
            }
            FromHook::Hear { asker } => line.hear(&speaker(&asker), &payload).await,
            FromHook::Stop { session: id } => {
                line.desk.firewall.end_child(&session(&id));
                false
            }
            FromHook::Script { session: id, sha256, tools } => {
                let parent = Parent { session: session(&id), tools };
                if let Some(script) = Digest::from_hex(&sha256) {
                    line.desk.firewall.runs.announce(script, parent, now());
                }
                false
            }
            FromHook::Finalize { session: id } => {
                // Nobody listens where nothing waits.
                let _ = line.desk.ending.send(id);
                false
            }
            FromHook::Settle { .. } => false,
        };
        line.say(&ToHook::Noted { crisis }, b"").await?;
    }
}

struct Line {
    desk: Arc<Desk>,
    hooking: Hooking,
    to: OwnedWriteHalf,
}

impl Line {
    async fn say(&mut self, message: &ToHook, payload: &[u8]) -> Result<(), WireError> {
        Ok(self.to.write_all(&wire::encode(message, payload)?).await?)
    }

    async fn refuse(&mut self, why: &(dyn std::fmt::Display + Sync)) -> Result<(), WireError> {
        self.say(&ToHook::Block { message: format!("REFUSED: {why}"), code: "fault".into() }, b"").await
    }

    async fn ask(
        &mut self,
        from: &mut OwnedReadHalf,
        session: &Arc<Session>,
        tool: &str,
        asker: &Asker,
        (raw, tenuo): (Bytes, Option<Value>),
    ) -> Result<(), WireError> {
        let desk = Arc::clone(&self.desk);
        if asker.nested && desk.has_passed(session, tool, &raw) {
            return self.say(&ToHook::Allow { edited: false, keep: false, told: None }, b"").await;
        }
        let mut waits = Waiting::new(&desk, session, asker, from, &mut self.to);
        let asked = desk.ask(session, tool, raw, tenuo.as_ref(), &mut waits).await;
        let (permit, call, travels) = match asked {
            Asked::Allowed { permit, call, travels } => (permit, call, travels),
            Asked::Refused { message, code } => {
                return self.say(&ToHook::Block { message, code: code.to_owned() }, b"").await;
            }
        };
        let keep = permit.keeps_answer();
        let edited = permit.edited_arguments().cloned();
        let told = permit.told().filter(|_| !travels).map(str::to_owned);
        let allow = ToHook::Allow { edited: edited.is_some(), keep, told };
        if travels && !asker.call.is_empty() {
            let call = match &edited {
                Some(edited) => serde_json::from_slice(edited)
                    .ok()
                    .and_then(|arguments| call.with_arguments(arguments, edited.clone())),
                None => Some(*call),
            };
            let Some(call) = call else {
                return self.refuse(&"the changed arguments cannot be read").await;
            };
            desk.parked.park(call, &asker.call, permit);
            self.say(&allow, &edited.unwrap_or_default()).await?;
            let ended = self.end(from).await;
            let unclaimed = desk.parked.take_back(&session.principal, &session.id, &asker.call);
            if let Some(permit) = unclaimed {
                settle(permit.spend().1, ended);
            }
            return Ok(());
        }
        let (_, settlement) = permit.spend();
        self.say(&allow, &edited.unwrap_or_default()).await?;
        let ended = self.end(from).await;
        settle(settlement, ended);
        Ok(())
    }

    /// How the call ended, once the agent says so; `None` when it went away instead.
    async fn end(&mut self, from: &mut OwnedReadHalf) -> Option<(Duration, Outcome)> {
        let Ok((FromHook::Settle { ok, took_us, bytes }, payload)) = wire::read_async(from).await else {
            return None;
        };
        let response = (!payload.is_empty()).then_some(payload);
        let outcome = Outcome::Answered { is_error: !ok, bytes, response, delivered: true };
        Some((Duration::from_micros(took_us), outcome))
    }

    /// Somebody in crisis gets no answer that no person has seen.
    async fn reply(
        &mut self,
        from: &mut OwnedReadHalf,
        session: &Arc<Session>,
        asker: &Asker,
        text: Bytes,
    ) -> Result<(), WireError> {
        let desk = Arc::clone(&self.desk);
        let text = String::from_utf8_lossy(&text).into_owned();
        let grave = session.in_crisis()
            || herma_scoring::crisis::signals(&text, &desk.firewall.rules()).is_some()
            || desk.firewall.sessions.speaks_of_crisis(session, text.as_bytes());
        if !grave {
            return self.say(&ToHook::Allow { edited: false, keep: false, told: None }, b"").await;
        }
        let mut waits = Waiting::new(&desk, session, asker, from, &mut self.to);
        match desk.ask_reply(session, &text, &mut waits).await {
            Asked::Allowed { permit, .. } => {
                let edited =
                    permit.edited_arguments().and_then(|raw| serde_json::from_slice::<Value>(raw).ok());
                let words = edited.as_ref().and_then(|arguments| arguments.get("text")?.as_str());
                let words = words.unwrap_or(&text).to_owned();
                let (_, settlement) = permit.spend();
                let allow = ToHook::Allow { edited: words != text, keep: false, told: None };
                self.say(&allow, words.as_bytes()).await?;
                let bytes = words.len() as u64;
                let outcome = Outcome::Answered { is_error: false, bytes, response: None, delivered: true };
                settlement.settle(outcome);
                Ok(())
            }
            Asked::Refused { message, .. } => {
                let fixed = desk.crisis.fixed_text.clone().filter(|_| session.in_crisis());
                self.say(&ToHook::Silence { message }, fixed.unwrap_or_default().as_bytes()).await
            }
        }
    }

    async fn hear(&self, session: &Session, words: &[u8]) -> bool {
        if words.is_empty() {
            return session.in_crisis();
        }
        let words = words.get(..LONGEST_WORDS).unwrap_or(words);
        let words = String::from_utf8_lossy(words);
        let firewall = &self.desk.firewall;
        let heard = firewall.sessions.hear(session, &words, &firewall.rules(), now()).await;
        heard.unwrap_or_else(|error| {
            tracing::error!(%error, "a crisis could not be written down; it holds until the daemon ends");
            true
        })
    }
}

fn settle(settlement: Settlement, ended: Option<(Duration, Outcome)>) {
    // Dropped, it is recorded as unknown.
    if let Some((took, outcome)) = ended {
        settlement.settle_after(took, outcome);
    }
}

/// An agent that waits for a person on an open connection.
struct Waiting<'a> {
    session: &'a str,
    ending: broadcast::Receiver<String>,
    patience: Duration,
    from: &'a mut OwnedReadHalf,
    to: &'a mut OwnedWriteHalf,
}

impl<'a> Waiting<'a> {
    fn new(
        desk: &Desk,
        session: &'a Session,
        asker: &Asker,
        from: &'a mut OwnedReadHalf,
        to: &'a mut OwnedWriteHalf,
    ) -> Self {
        let patience = Duration::from_millis(asker.patience_ms).min(LONGEST_WAIT);
        Self { session: &session.id, ending: desk.ending.subscribe(), patience, from, to }
    }

    async fn breathe(&mut self, hold: &str) -> bool {
        let Ok(message) = wire::encode(&ToHook::Held { hold: hold.to_owned() }, b"") else { return false };
        self.to.write_all(&message).await.is_ok()
    }
}

impl Waits for Waiting<'_> {
    async fn wait(&mut self, stay: &mut Stay) -> Waited {
        let hold = stay.hold_id().to_owned();
        let end = Instant::now() + self.patience;
        let mut breath = interval_at(Instant::now(), BREATH);
        breath.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut closed = [0u8; 1];
        loop {
            tokio::select! {
                verdict = stay.decided() => return Waited::Decided(verdict),
                // It has nothing to say while it waits.
                _ = self.from.read(&mut closed) => return Waited::Gone,
                ended = self.ending.recv() => if ended.is_ok_and(|ended| ended == self.session) {
                    return Waited::Gone;
                },
                () = sleep_until(end) => return Waited::OutOfPatience,
                _ = breath.tick() => if !self.breathe(&hold).await {
                    return Waited::Gone;
                },
            }
        }
    }
}
