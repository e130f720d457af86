//! What is known of the agent's sessions: who speaks, what it can do, which of its calls are under way.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use bytes::Bytes;
use herma_warrant::proof::{self, ProofError};
use herma_warrant::verify::ChainCache;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::crisis::{Flag, Latches, Said};
use crate::call::{Carrier, Origin, Serves};
use crate::review::Ground;
use crate::store::{Latch, Store, StoreError};
use herma_scoring::Rules;

/// Sessions that are remembered at most; the longest idle goes first.
const REMEMBERED: usize = 10_000;

/// One session of one agent with one server.
#[derive(Debug, Default)]
pub struct Session {
    pub id: Arc<str>,
    pub principal: Arc<str>,
    pub server: Arc<str>,
    /// The operator vouches for the server's annotations.
    pub trusted: bool,
    pub cwd: Option<String>,
    pub home: Option<String>,
    /// The server works on files of this machine, and on which.
    pub files: Option<Ground>,
    /// Nobody else can write to it: a pipe or a socket of this user.
    pub private: bool,
    channel: Mutex<Option<Channel>>,
    client: Mutex<Client>,
    carrier: Carrier,
    serves: Mutex<Option<Serves>>,
    /// Its agent's, and those of whom it speaks with, where its carrier knows.
    latches: Mutex<Vec<Flag>>,
    /// What its last call of a tool was made under, if that came with a warrant.
    shown: Mutex<HashMap<String, Arc<[u8]>>>,
    ended: AtomicBool,
    under_way: Mutex<HashMap<Bytes, watch::Sender<bool>>>,
    last_used: AtomicI64,
}

/// A warrant that was proven on a private channel, and the codes that stand for the proof from then on.
#[derive(Debug)]
struct Channel {
    stack: Arc<[u8]>,
    codes: proof::Session,
}

/// What a client says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    pub name: String,
    pub version: String,
    /// It shows forms of the server to its user.
    pub elicits_forms: bool,
}

/// A request that is under way; ends when dropped.
#[derive(Debug)]
pub struct UnderWay {
    session: Arc<Session>,
    id: Bytes,
    cancelled: watch::Receiver<bool>,
}

impl Session {
    pub fn new(id: &str, principal: Arc<str>, server: Arc<str>, trusted: bool) -> Self {
        Self { id: id.into(), principal, server, trusted, ..Self::default() }
    }

    /// Where the agent works, as far as it is known.
    #[must_use]
    pub fn at(self, cwd: Option<String>, home: Option<String>) -> Self {
        Self { cwd, home, ..self }
    }

    /// Its server works on files of this machine.
    #[must_use]
    pub fn sharing(self, mut files: Ground) -> Self {
        files.home = files.home.or_else(|| self.home.as_ref().map(Into::into));
        Self { files: Some(files), ..self }
    }

    /// Only its own client can speak on it.
    #[must_use]
    pub fn privately(self) -> Self {
        Self { private: true, ..self }
    }

    /// A session of an agent that asks before it runs tools of its own.
    pub fn hooked(id: &str, principal: Arc<str>, server: Arc<str>) -> Self {
        let serves = Serves { conversation: id.into(), user: None };
        let session = Self::new(id, principal, server, false);
        Self { carrier: Carrier::Hook, serves: Mutex::new(Some(serves)), ..session }
    }

    /// This connection, for a call of which another road has told whose session it is.
    #[must_use]
    pub fn for_session(&self, session: &Self) -> Self {
        Self {
            id: Arc::clone(&session.id),
            principal: Arc::clone(&session.principal),
            server: Arc::clone(&self.server),
            trusted: self.trusted,
            client: Mutex::new(self.client()),
            serves: Mutex::new(session.serves()),
            latches: Mutex::new(session.latches.lock().clone()),
            ..Self::default()
        }
    }

    pub fn serves(&self) -> Option<Serves> {
        self.serves.lock().clone()
    }

    /// A child speaks for whom its parent speaks for.
    pub fn inherit(&self, parent: &Self) {
        *self.serves.lock() = parent.serves();
        *self.latches.lock() = parent.latches.lock().clone();
    }

    /// A call of this tool is let through, under this warrant of its own.
    pub fn shows(&self, tool: &str, stack: Option<Arc<[u8]>>) {
        let mut shown = self.shown.lock();
        match stack {
            Some(stack) => shown.insert(tool.to_owned(), stack),
            None => shown.remove(tool),
        };
    }

    /// What begins with a call of this tool may do no more than the call might.
    pub fn shown_for(&self, tool: &str) -> Option<Arc<[u8]>> {
        self.shown.lock().get(tool).cloned()
    }

    /// Nothing more is to come from it.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// The warrant was proven: from now on codes under this key stand for it.
    pub fn open_channel(&self, stack: &Arc<[u8]>, key: &[u8; 32]) {
        let codes = proof::Session::new(key, ChainCache::digest(stack));
        *self.channel.lock() = Some(Channel { stack: Arc::clone(stack), codes });
    }

    /// The warrant that a code stands for; `None` when nothing was proven here.
    pub fn believe(
        &self,
        counter: u64,
        tool: &str,
        arguments: &[u8],
        code: &[u8; 32],
    ) -> Option<Result<Arc<[u8]>, ProofError>> {
        let mut channel = self.channel.lock();
        let channel = channel.as_mut()?;
        let held = channel.codes.verify(counter, tool, arguments, code);
        Some(held.map(|()| Arc::clone(&channel.stack)))
    }

    /// Where a call that comes in on this session comes from.
    pub fn origin(&self) -> Origin {
        Origin {
            carrier: self.carrier,
            principal: Arc::clone(&self.principal),
            session: Arc::clone(&self.id),
            server: Arc::clone(&self.server),
            serves: self.serves(),
        }
    }

    pub fn client(&self) -> Client {
        self.client.lock().clone()
    }

    pub fn introduce(&self, client: Client) {
        *self.client.lock() = client;
    }

    pub fn in_crisis(&self) -> bool {
        self.latches.lock().iter().any(Flag::is_set)
    }

    /// Notes a request under the bytes of its JSON-RPC id; `None` when one with this id is under way.
    pub fn begin(self: &Arc<Self>, id: &Bytes) -> Option<UnderWay> {
        let mut under_way = self.under_way.lock();
        if under_way.contains_key(id) {
            return None;
        }
        let (sender, cancelled) = watch::channel(false);
        under_way.insert(id.clone(), sender);
        Some(UnderWay { session: Arc::clone(self), id: id.clone(), cancelled })
    }

    /// The client cancelled the request with this id. True when it was under way here.
    pub fn cancel(&self, id: &[u8]) -> bool {
        match self.under_way.lock().get(id) {
            Some(sender) => {
                sender.send_replace(true);
                true
            }
            None => false,
        }
    }
}

impl UnderWay {
    /// Resolves when the client cancels.
    pub async fn cancelled(&mut self) {
        if self.cancelled.wait_for(|cancelled| *cancelled).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.session.under_way.lock().remove(&self.id);
    }
}

/// All sessions, and those who are in crisis with somebody.
#[derive(Debug)]
pub struct Sessions {
    store: Arc<dyn Store>,
    known: Mutex<HashMap<String, Arc<Session>>>,
    latches: Latches,
}

impl Sessions {
    /// Takes up the latches that were set when the last run ended.
    pub async fn restore(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let latches = Latches::restore(Arc::clone(&store)).await?;
        Ok(Self { store, known: Mutex::default(), latches })
    }

    /// Gives a session its agent's latch, and its own where its carrier tells sessions apart.
    pub fn adopt(&self, session: Session) -> Arc<Session> {
        let mut flags = vec![self.latches.flag(&session.principal)];
        if session.carrier == Carrier::Hook {
            flags.push(self.latches.of(&session.principal, &session.id));
        }
        *session.latches.lock() = flags;
        Arc::new(session)
    }

    /// The session speaks with `sender`, in `chats`.
    pub fn meet(&self, session: &Session, platform: &str, sender: Option<&str>, chats: &[String]) {
        let names: Vec<&str> = sender.into_iter().chain(chats.iter().map(String::as_str)).collect();
        if names.is_empty() {
            return;
        }
        let user = sender.map(|sender| Arc::from(format!("{platform}:{sender}")));
        let place = if chats.is_empty() { names.concat() } else { chats.join(",") };
        let conversation = format!("{platform}:{place}").into();
        *session.serves.lock() = Some(Serves { conversation, user });
        let people = names.iter().map(|name| self.latches.of(&session.principal, name));
        let mut latches = session.latches.lock();
        // The session's own latch stands for people while nobody knows who they are.
        let own = self.latches.of(&session.principal, &session.id);
        latches.retain(|flag| flag.key != own.key || flag.is_set());
        for flag in people {
            if !latches.iter().any(|known| known.key == flag.key) {
                latches.push(flag);
            }
        }
    }

    /// Judges what somebody said in this session; a crisis latches them and their conversation. True when somebody is
    /// in crisis here.
    pub async fn hear(
        &self,
        session: &Session,
        text: &str,
        rules: &Rules,
        now: i64,
    ) -> Result<bool, StoreError> {
        let serves = session.serves();
        let user = serves.as_ref().and_then(|serves| serves.user.as_deref());
        let said = Said {
            agent: &session.principal,
            from: user.unwrap_or(&session.id),
            conversation: serves.as_ref().map(|serves| &*serves.conversation),
            text,
            at_ms: now,
        };
        if let Some(rules) = self.latches.hear(said, rules) {
            self.enter_crisis(session, &format!("what was said: {}", rules.join(", ")), now).await?;
        }
        Ok(session.in_crisis())
    }

    /// Whether what a session sends names somebody who is in crisis with its agent elsewhere.
    pub fn speaks_of_crisis(&self, session: &Session, arguments: &[u8]) -> bool {
        self.latches.named(&session.principal, arguments)
    }

    /// From now on everything outbound of this session's conversation, or of its agent where no conversation is known,
    /// waits for a person: until one clears it, never for a time.
    pub async fn enter_crisis(&self, session: &Session, reason: &str, now: i64) -> Result<(), StoreError> {
        let by = format!("{} on {}", session.id, session.server);
        let flags = session.latches.lock().clone();
        // The agent's comes first: it stands for all whom nobody can tell apart.
        for flag in flags.iter().skip(usize::from(flags.len() > 1)) {
            self.latches.set(flag, &by, reason, now).await?;
        }
        Ok(())
    }

    /// A named person clears it. False when it was not set.
    pub async fn leave_crisis(
        &self,
        key: &str,
        by: &str,
        reason: &str,
        now: i64,
    ) -> Result<bool, StoreError> {
        self.latches.clear(key, by, reason, now).await
    }

    pub async fn latches(&self) -> Result<Vec<Latch>, StoreError> {
        self.store.latches().await
    }

    /// The session under `key`, made by `new` when it is not known yet.
    pub fn get_or(&self, key: &str, now: i64, new: impl FnOnce() -> Session) -> Arc<Session> {
        let mut known = self.known.lock();
        if let Some(session) = known.get(key) {
            session.last_used.store(now, Ordering::Relaxed);
            return Arc::clone(session);
        }
        if known.len() >= REMEMBERED {
            let oldest = known.iter().min_by_key(|(_, session)| session.last_used.load(Ordering::Relaxed));
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                known.remove(&oldest);
            }
        }
        let session = self.adopt(new());
        session.last_used.store(now, Ordering::Relaxed);
        known.insert(key.to_owned(), Arc::clone(&session));
        session
    }
}
