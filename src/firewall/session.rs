//! What is known of the agent's sessions: who speaks, what it can do, which of its calls are under way.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use bytes::Bytes;
use herma_warrant::proof::{self, ProofError};
use herma_warrant::verify::ChainCache;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::call::{Carrier, Origin};
use crate::review::Ground;
use crate::store::{Latch, Store, StoreError};

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
    /// Shared by all sessions of the agent: whom it writes to is not known here.
    crisis: Arc<AtomicBool>,
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
            carrier: Carrier::Mcp,
            principal: Arc::clone(&self.principal),
            session: Arc::clone(&self.id),
            server: Arc::clone(&self.server),
        }
    }

    pub fn client(&self) -> Client {
        self.client.lock().clone()
    }

    pub fn introduce(&self, client: Client) {
        *self.client.lock() = client;
    }

    pub fn in_crisis(&self) -> bool {
        self.crisis.load(Ordering::Acquire)
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

/// All sessions, and the agents of which one is in crisis with somebody.
#[derive(Debug)]
pub struct Sessions {
    store: Arc<dyn Store>,
    known: Mutex<HashMap<String, Arc<Session>>>,
    latched: Mutex<HashMap<Arc<str>, Arc<AtomicBool>>>,
}

impl Sessions {
    /// Takes up the latches that were set when the last run ended.
    pub async fn restore(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let latches = store.latches().await?;
        let latched =
            latches.into_iter().map(|latch| (latch.key.into(), Arc::new(AtomicBool::new(true)))).collect();
        Ok(Self { store, known: Mutex::default(), latched: Mutex::new(latched) })
    }

    /// Gives a session its agent's latch.
    pub fn adopt(&self, mut session: Session) -> Arc<Session> {
        let mut latched = self.latched.lock();
        session.crisis = Arc::clone(latched.entry(Arc::clone(&session.principal)).or_default());
        Arc::new(session)
    }

    /// From now on everything outbound of this agent waits for a person: until one clears it, never for a time.
    pub async fn enter_crisis(&self, session: &Session, reason: &str, now: i64) -> Result<(), StoreError> {
        if session.crisis.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let key = session.principal.to_string();
        let by = format!("{} on {}", session.id, session.server);
        self.store.set_latch(Latch { key, since_ms: now, by, reason: reason.to_owned() }).await
    }

    /// A named person clears it. False when it was not set.
    pub async fn leave_crisis(
        &self,
        key: &str,
        by: &str,
        reason: &str,
        now: i64,
    ) -> Result<bool, StoreError> {
        let was_set = self.store.clear_latch(key, by, reason, now).await?;
        if let Some(latch) = self.latched.lock().get(key) {
            latch.store(false, Ordering::Release);
        }
        Ok(was_set)
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
