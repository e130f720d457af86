//! Streamable HTTP in front, a server on stdio behind.
//!
//! A legacy session has a process of its own, as it would have with a client of its own: the handshake and all
//! that follows from it belong to one client. Modern requests carry everything with them, so those of one agent
//! share a process; their ids are made unique on the way in and put back on the way out.

mod peer;
mod process;
mod splice;
mod stream;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Response, StatusCode};
use parking_lot::{Mutex, MutexGuard};

use super::answer::{self, code};
use super::door::{Door, Manners};
use super::era::Era;
use super::frame::Frame;
use super::http::{self, Reply};
use crate::firewall::Permit;
use crate::firewall::roads::{Answering, Sends, Unsent, Whose};
use crate::firewall::session::{Session, UnderWay};
use crate::review::Ground;
use peer::{Peer, Request, Role};
pub use process::Launch;
use process::Process;
pub(super) use splice::Key;
use splice::{Ambiguous, Ties};
pub use stream::Stream;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: &str = "mcp-protocol-version";
const METHOD: &str = "mcp-method";
const MODERN: &str = "2026-07-28";

/// How many sessions one server may have, and how long one may rest.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub sessions: usize,
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { sessions: 64, idle: Duration::from_secs(30 * 60) }
    }
}

/// One server that Herma starts, for all its clients.
#[derive(Debug)]
pub struct Bridge {
    server: Arc<str>,
    trusted: bool,
    door: Arc<Door>,
    manners: Manners,
    launch: Launch,
    /// The files of this machine that it works on.
    files: Option<Ground>,
    limits: Limits,
    peers: Mutex<Peers>,
}

#[derive(Debug, Default)]
struct Peers {
    /// Legacy ones by session id.
    sessions: HashMap<String, Arc<Peer>>,
    /// Modern ones by principal.
    shared: HashMap<Arc<str>, Arc<Peer>>,
    closed: bool,
}

/// What a client says beside the body.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    pub method: &'a Method,
    pub headers: &'a HeaderMap,
    pub principal: &'a Arc<str>,
    pub session_id: Option<&'a str>,
    pub accepts_events: bool,
}

/// Why a request did not reach a server's process.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    #[error("no session: send `initialize` first, and its `Mcp-Session-Id` with every request after it")]
    NoSession,
    #[error("this session is not known here or has ended: send `initialize` again")]
    Unknown,
    #[error("the server has {0} sessions already: end one (DELETE), or try again later")]
    TooMany(usize),
    #[error("{0} requests are under way already: try again later")]
    Busy(usize),
    #[error("the server could not be started: {0}")]
    Start(std::io::Error),
    #[error("the session could not be named: {0}")]
    Unnamed(#[from] getrandom::Error),
    #[error("the server ended; the request did not reach it")]
    Ended,
    #[error("a request with the id {0} is already under way")]
    Duplicate(String),
    #[error("the `id` of a request is a string or a number")]
    BadId,
    #[error("this server takes no batches: send each frame by itself")]
    Batch,
    #[error("the call was not judged")]
    Unjudged,
    #[error("another stream listens to this session already")]
    Listening,
    #[error("a listening stream needs `Accept: text/event-stream`")]
    NotAcceptable,
    #[error("only POST here")]
    PostOnly,
    #[error("the header `{0}` must say what the body says")]
    Header(&'static str),
    #[error(transparent)]
    Ambiguous(#[from] Ambiguous),
}

impl BridgeError {
    /// Said to a client that is told nothing else yet.
    pub fn response(&self, id: &[u8]) -> Response<Reply> {
        let status = match self {
            Self::NoSession
            | Self::Duplicate(_)
            | Self::BadId
            | Self::Batch
            | Self::Unjudged
            | Self::Header(_)
            | Self::Ambiguous(_) => StatusCode::BAD_REQUEST,
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::PostOnly => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::Listening => StatusCode::CONFLICT,
            Self::TooMany(_) | Self::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Start(_) | Self::Unnamed(_) | Self::Ended => StatusCode::BAD_GATEWAY,
        };
        http::json(status, self.frame(id))
    }

    /// Said in a stream that is open already.
    pub fn frame(&self, id: &[u8]) -> Bytes {
        let code = match self {
            Self::Header(_) => code::HEADER_MISMATCH,
            Self::Ambiguous(_) => code::INVALID_PARAMS,
            Self::TooMany(_) | Self::Busy(_) | Self::Start(_) | Self::Unnamed(_) | Self::Ended => {
                code::INTERNAL
            }
            _ => code::INVALID_REQUEST,
        };
        answer::error(id, code, &self.to_string())
    }
}

/// What a frame from a client needs.
enum Seat {
    /// A process of its own, to be started.
    Opening,
    Session(Arc<Peer>),
    /// The process of its agent.
    Shared,
}

impl Bridge {
    pub fn new(
        server: Arc<str>,
        trusted: bool,
        door: Arc<Door>,
        manners: Manners,
        launch: Launch,
        files: Option<Ground>,
        limits: Limits,
    ) -> Arc<Self> {
        let roads = Arc::clone(&door.firewall);
        let bridge =
            Arc::new(Self { server, trusted, door, manners, launch, files, limits, peers: Mutex::default() });
        let road: std::sync::Weak<Self> = Arc::downgrade(&bridge);
        roads.roads.open(road);
        bridge
    }

    /// Whether a call may be judged at all: one without a session would wait for a person in vain.
    pub fn check(&self, caller: Caller<'_>, body: &[u8]) -> Result<(), BridgeError> {
        let frame = Frame::read(body).map_err(|_| BridgeError::BadId)?;
        frame.id().and_then(Key::of).ok_or(BridgeError::BadId)?;
        self.seat(caller.session_id, caller.principal, &frame, body)
            .and_then(|seat| check_headers(&seat, caller.headers, &frame, body))
    }

    /// The session a client speaks on, if it has a process of its own.
    pub fn session(&self, id: Option<&str>, principal: &str) -> Option<Arc<Session>> {
        self.peer(id?, principal).map(|peer| Arc::clone(&peer.session))
    }

    /// Answers whatever is no call.
    pub async fn answer(self: &Arc<Self>, caller: Caller<'_>, body: Bytes) -> Response<Reply> {
        let answered = match *caller.method {
            Method::POST => self.post(caller, &body).await,
            Method::GET => self.listen(caller),
            Method::DELETE => self.close(caller),
            _ => Err(BridgeError::PostOnly),
        };
        answered.unwrap_or_else(|error| {
            let id = Frame::read(&body).ok().and_then(|frame| frame.id());
            error.response(id.map(|id| id.get().as_bytes()).unwrap_or_default())
        })
    }

    /// Step 7: spends the permit.
    pub async fn forward(
        self: &Arc<Self>,
        permit: Permit,
        session: &Session,
        under_way: Option<UnderWay>,
        takes_events: bool,
    ) -> Result<Stream, BridgeError> {
        let (frame, settlement) = permit.spend();
        let seat = Frame::read(&frame)
            .map_err(|_| BridgeError::BadId)
            .and_then(|read| self.seat(Some(&session.id), &session.principal, &read, &frame));
        let peer = match seat {
            Ok(Seat::Session(peer)) => Ok(peer),
            Ok(Seat::Shared) => self.shared(&session.principal),
            Ok(Seat::Opening) => Err(BridgeError::NoSession),
            Err(error) => Err(error),
        };
        match peer {
            Ok(peer) => {
                let role = Role::Call(Box::new(settlement), under_way);
                peer.request(Request { frame, takes_events, role }).await
            }
            Err(error) => {
                settlement.settle(crate::firewall::outcome::Outcome::Failed);
                Err(error)
            }
        }
    }

    /// Ends all processes and waits until they have.
    pub async fn end(&self) {
        let peers: Vec<_> = {
            let mut peers = self.peers();
            peers.closed = true;
            let Peers { sessions, shared, .. } = &mut *peers;
            sessions.drain().map(|(_, peer)| peer).chain(shared.drain().map(|(_, peer)| peer)).collect()
        };
        peers.iter().for_each(|peer| peer.end());
        for peer in peers {
            peer.ended().await;
        }
    }

    async fn post(
        self: &Arc<Self>,
        caller: Caller<'_>,
        body: &Bytes,
    ) -> Result<Response<Reply>, BridgeError> {
        let frame = Frame::read(body).map_err(|_| BridgeError::BadId)?;
        let seat = self.seat(caller.session_id, caller.principal, &frame, body)?;
        check_headers(&seat, caller.headers, &frame, body)?;
        let (method, has_id) = match &frame {
            Frame::Call(_) => return Err(BridgeError::Unjudged),
            Frame::Batch => return Err(BridgeError::Batch),
            Frame::Answer { .. } => (None, false),
            Frame::Other { method, id, .. } => (Some(&**method), id.is_some()),
        };
        if !has_id {
            match seat {
                Seat::Session(peer) => peer.tell(body).await?,
                // Over HTTP a modern request is cancelled by its end, and its id means nothing to the process.
                Seat::Shared if method == Some("notifications/cancelled") => {}
                Seat::Shared => self.shared(caller.principal)?.tell(body).await?,
                Seat::Opening => return Err(BridgeError::BadId),
            }
            return Ok(http::empty(StatusCode::ACCEPTED));
        }
        let role = match method {
            Some("tools/list") => Role::Tools,
            Some("subscriptions/listen") => Role::Subscription,
            _ => Role::Ordinary,
        };
        let probe = method == Some("server/discover");
        let (peer, role, opened) = match seat {
            Seat::Session(peer) => (peer, role, None),
            Seat::Shared => (self.shared(caller.principal)?, role, None),
            Seat::Opening => {
                let (id, peer) = self.open(caller.principal)?;
                if let Frame::Other { method, .. } = &frame {
                    self.door.overhear(&peer.session, method, body);
                }
                (peer, Role::Opening, Some(id))
            }
        };
        let request = Request { frame: body.clone(), takes_events: caller.accepts_events, role };
        let stream = peer.request(request).await?;
        let mut response = stream.into_response(caller.accepts_events, probe).await;
        if let Some(id) = opened.and_then(|id| HeaderValue::from_str(&id).ok()) {
            response.headers_mut().insert(SESSION, id);
        }
        Ok(response)
    }

    fn listen(&self, caller: Caller<'_>) -> Result<Response<Reply>, BridgeError> {
        let peer = self.named(caller)?;
        if !caller.accepts_events {
            return Err(BridgeError::NotAcceptable);
        }
        Ok(peer.listen()?.into_events())
    }

    fn close(&self, caller: Caller<'_>) -> Result<Response<Reply>, BridgeError> {
        let peer = self.named(caller)?;
        self.forget(&peer);
        peer.end();
        Ok(http::empty(StatusCode::OK))
    }

    /// The peer of a request without a body.
    fn named(&self, caller: Caller<'_>) -> Result<Arc<Peer>, BridgeError> {
        match caller.session_id {
            Some(id) => self.peer(id, caller.principal).ok_or(BridgeError::Unknown),
            None if caller
                .headers
                .get(VERSION)
                .is_some_and(|version| version.as_bytes() >= MODERN.as_bytes()) =>
            {
                Err(BridgeError::PostOnly)
            }
            None => Err(BridgeError::NoSession),
        }
    }

    fn seat(
        &self,
        session_id: Option<&str>,
        principal: &str,
        frame: &Frame<'_>,
        body: &[u8],
    ) -> Result<Seat, BridgeError> {
        if matches!(frame, Frame::Batch) {
            return Err(BridgeError::Batch);
        }
        // The handshake is legacy whatever else it says: the eras never share a process.
        if matches!(frame, Frame::Other { method, .. } if method == "initialize") {
            return Ok(Seat::Opening);
        }
        if Ties::read(body)?.version.is_some_and(|version| &*version >= MODERN) {
            return Ok(Seat::Shared);
        }
        match session_id {
            Some(id) => self.peer(id, principal).map(Seat::Session).ok_or(BridgeError::Unknown),
            None => Err(BridgeError::NoSession),
        }
    }

    /// A session is known to the agent that opened it, and to nobody else.
    fn peer(&self, id: &str, principal: &str) -> Option<Arc<Peer>> {
        let peer = self.peers().sessions.get(id).cloned()?;
        (*peer.session.principal == *principal && !peer.has_ended()).then_some(peer)
    }

    fn open(self: &Arc<Self>, principal: &Arc<str>) -> Result<(String, Arc<Peer>), BridgeError> {
        let mut random = [0u8; 20];
        getrandom::fill(&mut random)?;
        let id = data_encoding::BASE32_NOPAD.encode(&random).to_lowercase();
        let mut peers = self.peers();
        if peers.closed {
            return Err(BridgeError::Ended);
        }
        if peers.sessions.len() >= self.limits.sessions {
            return Err(BridgeError::TooMany(self.limits.sessions));
        }
        let peer = self.start(&id, principal, Era::Legacy)?;
        peers.sessions.insert(id.clone(), Arc::clone(&peer));
        Ok((id, peer))
    }

    fn shared(self: &Arc<Self>, principal: &Arc<str>) -> Result<Arc<Peer>, BridgeError> {
        let mut peers = self.peers();
        if peers.closed {
            return Err(BridgeError::Ended);
        }
        if let Some(peer) = peers.shared.get(principal).filter(|peer| !peer.has_ended()) {
            return Ok(Arc::clone(peer));
        }
        let peer = self.start("-", principal, Era::Modern)?;
        peers.shared.insert(Arc::clone(principal), Arc::clone(&peer));
        Ok(peer)
    }

    fn start(self: &Arc<Self>, id: &str, principal: &Arc<str>, era: Era) -> Result<Arc<Peer>, BridgeError> {
        let (process, lines) = Process::start(&self.launch, &self.server).map_err(|error| {
            tracing::error!(server = &*self.server, %error, "a server could not be started");
            BridgeError::Start(error)
        })?;
        let session = Session::new(id, Arc::clone(principal), Arc::clone(&self.server), self.trusted);
        let session = self.door.firewall.sessions.adopt(self.place(session));
        let peer = Arc::new(Peer::new(session, era, Arc::clone(&self.door), self.manners, process));
        let (bridge, running) = (Arc::clone(self), Arc::clone(&peer));
        tokio::spawn(async move {
            running.run(lines, bridge.limits.idle).await;
            bridge.forget(&running);
        });
        Ok(peer)
    }

    /// Where the server of a session works.
    #[must_use]
    pub fn place(&self, session: Session) -> Session {
        let cwd = self.launch.cwd.clone().or_else(|| std::env::current_dir().ok());
        let home = self.launch.env.get("HOME").cloned().or_else(|| std::env::var("HOME").ok());
        let session = session.at(cwd.map(|cwd| cwd.display().to_string()), home);
        match &self.files {
            Some(files) => session.sharing(files.clone()),
            None => session,
        }
    }

    /// The running process that this session speaks with.
    fn running(&self, whose: &Whose) -> Option<Arc<Peer>> {
        self.peer(&whose.session, &whose.principal).or_else(|| {
            let shared = self.peers().shared.get(&whose.principal).cloned();
            shared.filter(|peer| peer.session.id == whose.session && !peer.has_ended())
        })
    }

    fn forget(&self, peer: &Arc<Peer>) {
        let mut peers = self.peers();
        peers.sessions.retain(|_, other| !Arc::ptr_eq(other, peer));
        peers.shared.retain(|_, other| !Arc::ptr_eq(other, peer));
    }

    fn peers(&self) -> MutexGuard<'_, Peers> {
        self.peers.lock()
    }
}

impl Sends for Bridge {
    fn leads_to(&self, whose: &Whose) -> bool {
        self.server == whose.server && self.running(whose).is_some()
    }

    fn send(self: Arc<Self>, whose: Whose, permit: Permit) -> Answering {
        Box::pin(async move {
            let (frame, settlement) = permit.spend();
            let Some(peer) = self.running(&whose) else {
                settlement.settle(crate::firewall::outcome::Outcome::Failed);
                return Err(Unsent(BridgeError::Ended.to_string()));
            };
            let role = Role::Call(Box::new(settlement), None);
            let stream = peer.request(Request { frame, takes_events: false, role }).await;
            let stream = stream.map_err(|error| Unsent(error.to_string()))?;
            stream.into_answer().await.ok_or_else(|| Unsent("the server ended before it answered".into()))
        })
    }
}

/// A modern request says some things twice. The server on stdio sees the body only, so it is compared here.
fn check_headers(
    seat: &Seat,
    headers: &HeaderMap,
    frame: &Frame<'_>,
    body: &[u8],
) -> Result<(), BridgeError> {
    if !matches!(seat, Seat::Shared) || frame.id().is_none() {
        return Ok(());
    }
    let says = |header: &'static str, expected: Option<&str>| {
        let mut values = headers.get_all(header).iter();
        match (values.next().and_then(|value| value.to_str().ok()), values.next()) {
            (Some(value), None) if Some(value) == expected => Ok(()),
            _ => Err(BridgeError::Header(header)),
        }
    };
    let method = match frame {
        Frame::Call(called) => Some(super::frame::name_of(called.kind)),
        Frame::Other { method, .. } => Some(&**method),
        Frame::Answer { .. } | Frame::Batch => None,
    };
    says(VERSION, Ties::read(body)?.version.as_deref())?;
    says(METHOD, method)
}
