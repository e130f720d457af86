//! Streamable HTTP: one route, one upstream, every byte as it came.

mod body;
mod call;
mod entry;
mod mirrored;
mod reply;
mod road;
mod sandbox;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::value::RawValue;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::answer::{self, code};
use super::bridge::{Bridge, Caller};
use super::door::{Door, Manners};
use super::frame::{Frame, FrameError};
use super::relay::{self, Ear, Relay, Tap};
use super::sift::Sift;
use super::upstream::{Head, Upstream, strip_hop_by_hop};
use super::{notice, shown};
use crate::carriers::hook::agentguard::{self, AgentGuard};
use crate::config::Agent;
use crate::firewall::now;
use crate::firewall::session::Session;
use crate::listen;
use crate::pool::Answer;
use crate::review::Ground;

/// Said in place of an answer that Herma must read and cannot.
const UNCLEAR: &str = "the server's answer must be read here and is compressed, or says two things of what it is; \
    it is not passed on";
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const MANNERS: listen::Manners =
    listen::Manners { patience: Duration::from_secs(30), connections: 1024, grace: Duration::from_secs(2) };

use body::Unread;
pub use reply::Reply;
pub(in crate::carriers) use reply::json;
pub(super) use reply::{empty, event_stream};
use reply::{is_event_stream, is_json, is_unclear, plain, unreachable_server};
pub use road::Road;
pub use sandbox::Sandboxes;

/// The listener for agents.
#[derive(Debug)]
pub struct Agents {
    pub door: Arc<Door>,
    pub routes: HashMap<String, Arc<Route>>,
    pub agents: Vec<Agent>,
    /// Whoever shows no token may ask, too.
    pub anonymous: bool,
    /// `Host` names that are accepted beside loopback ones.
    pub hosts: Vec<String>,
    pub address: SocketAddr,
    /// Answers AgentGuard's plugins, if the operator wants it.
    pub agentguard: Option<Arc<AgentGuard>>,
    /// Sessions for sandboxes elsewhere, if the operator lets them ask.
    pub sandbox_http: bool,
    pub sandboxes: Sandboxes,
}

/// One server under `/mcp/<name>`.
#[derive(Debug)]
pub struct Route {
    pub name: Arc<str>,
    pub upstream: Back,
    pub manners: Manners,
    pub trusted: bool,
    /// The files of this machine that it works on; a server that Herma starts knows its own.
    pub files: Option<Ground>,
    /// On which Herma calls it itself.
    pub road: Option<Arc<Road>>,
}

/// What is behind a route.
#[derive(Debug)]
pub enum Back {
    Http(Box<Upstream>),
    /// Started by Herma.
    Process(Arc<Bridge>),
}

/// Accepts agents until `stop` turns true, then lets what is under way end.
pub async fn serve(listener: TcpListener, agents: Arc<Agents>, stop: watch::Receiver<bool>) {
    listen::serve(listener, MANNERS, stop, move |request, peer| Arc::clone(&agents).answer(request, peer))
        .await;
}

/// An answer under way. Boxed, so that no request moves the memory of all that may come of it.
type Answering = Pin<Box<dyn Future<Output = Response<Reply>> + Send>>;

/// A request once it is known who asks for what.
struct Asked {
    route: Arc<Route>,
    principal: Arc<str>,
    session_id: Option<String>,
    head: Head,
    accepts_events: bool,
}

impl Asked {
    fn caller(&self) -> Caller<'_> {
        Caller {
            method: &self.head.method,
            headers: &self.head.headers,
            principal: &self.principal,
            session_id: self.session_id.as_deref(),
            accepts_events: self.accepts_events,
        }
    }
}

impl Agents {
    /// Ends the servers that were started for agents.
    pub async fn end_servers(&self) {
        let bridges = self.routes.values().filter_map(|route| match &route.upstream {
            Back::Process(bridge) => Some(bridge.end()),
            Back::Http(_) => None,
        });
        futures_util::future::join_all(bridges).await;
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>, peer: SocketAddr) -> Response<Reply> {
        let (parts, body) = request.into_parts();
        let mut headers = parts.headers;
        if let Some(guard) = self.agentguard.as_ref().filter(|_| AgentGuard::speaks(parts.uri.path())) {
            let target = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
            let principal = self.plugin(&target, &mut headers, peer);
            let body = body::read(body, self.door.frame_limit).await.map_err(|error| error.to_string());
            return Box::pin(guard.answer(agentguard::Asked { target, headers, principal, body })).await;
        }
        if let Err(refused) = self.check_origin(&headers) {
            return refused;
        }
        let principal = match self.principal(&mut headers, parts.uri.query(), peer) {
            Ok(principal) => principal,
            Err(refused) => return refused,
        };
        if self.sandbox_http && parts.uri.path() == sandbox::PATH && parts.method == Method::POST {
            return match body::read(body, self.door.frame_limit).await {
                Ok(body) => Box::pin(self.sandbox(headers, principal, body)).await,
                Err(_) => plain(StatusCode::BAD_REQUEST, "the request broke off or is too long\n"),
            };
        }
        let path = parts.uri.path().strip_prefix("/mcp/").map(|name| name.trim_end_matches('/'));
        let Some(route) = path.and_then(|name| self.routes.get(name)) else {
            return plain(StatusCode::NOT_FOUND, "no such server here; servers are at /mcp/<name>\n");
        };
        let asked = Asked {
            route: Arc::clone(route),
            principal,
            session_id: text(&headers, &SESSION).map(str::to_owned),
            accepts_events: text(&headers, &header::ACCEPT)
                .is_some_and(|accept| accept.contains("text/event-stream")),
            head: Head { method: parts.method, query: parts.uri.query().map(str::to_owned), headers },
        };
        if asked.head.method != Method::POST {
            return self.pass(asked, Bytes::new(), false).await;
        }
        if asked.head.headers.contains_key(header::CONTENT_ENCODING) {
            return self
                .not_plain(&asked, "requests must not be compressed: they are read before they pass\n");
        }
        if !body::is_plain_json(&asked.head.headers) {
            let said =
                "requests are read before they pass: send one Content-Type, application/json in UTF-8\n";
            return self.not_plain(&asked, said);
        }
        match body::read(body, self.door.frame_limit).await {
            Ok(body) => self.post(asked, body).await,
            Err(error) => {
                let status = match error {
                    Unread::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
                    Unread::Broken => StatusCode::BAD_REQUEST,
                    Unread::Silent => StatusCode::REQUEST_TIMEOUT,
                };
                json(status, answer::error(b"", code::INVALID_REQUEST, &error.to_string()))
            }
        }
    }

    fn not_plain(&self, asked: &Asked, said: &'static str) -> Response<Reply> {
        let session = self.session(asked.session_id.as_deref(), &asked.principal, &asked.route);
        self.door.firewall.record_refused(&session.origin(), "frame", said.trim_end());
        plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, said)
    }

    fn post(self: Arc<Self>, asked: Asked, body: Bytes) -> Answering {
        let at_once = |response| -> Answering { Box::pin(std::future::ready(response)) };
        let route = &asked.route;
        let session = self.session(asked.session_id.as_deref(), &asked.principal, route);
        let read = Frame::read(&body);
        if let Ok(frame) = &read
            && let Some(refused) = self.door.hush(&session, frame)
        {
            return at_once(json(StatusCode::FORBIDDEN, refused));
        }
        let learns = match read {
            Err(error) => return at_once(self.refuse(&session, &error)),
            Ok(Frame::Call(called)) => {
                if let Back::Process(bridge) = &route.upstream
                    && let Err(refused) = bridge.check(asked.caller(), &body)
                {
                    let id = called.id.map(|id| id.get().as_bytes()).unwrap_or_default();
                    return at_once(refused.response(id));
                }
                return self.call(asked, session, called.keep(&body));
            }
            Ok(Frame::Other { method, id }) => {
                self.door.overhear(&session, &method, &body);
                let id = id.map(|id| id.get().as_bytes()).unwrap_or_default();
                if let Some(answer) = self.door.tasks.answer(&session, &method, &body, id) {
                    return at_once(json(StatusCode::OK, answer));
                }
                method == "tools/list"
            }
            Ok(Frame::Answer { id, result, .. }) => {
                if self.door.questions.answer(id, result) {
                    return at_once(empty(StatusCode::ACCEPTED));
                }
                false
            }
            Ok(Frame::Batch) => false,
        };
        self.pass(asked, body, learns)
    }

    /// Whatever is no call goes through as it is. `learns`: the answer lists tools.
    fn pass(self: Arc<Self>, asked: Asked, body: Bytes, learns: bool) -> Answering {
        Box::pin(self.pass_on(asked, body, learns))
    }

    async fn pass_on(self: Arc<Self>, mut asked: Asked, body: Bytes, learns: bool) -> Response<Reply> {
        let route = &*asked.route;
        if !route.manners.forward_warrant {
            shown::strip(&mut asked.head.headers);
        }
        let upstream = match &route.upstream {
            Back::Http(upstream) => upstream,
            Back::Process(bridge) => return bridge.answer(asked.caller(), body).await,
        };
        let session = self.session(asked.session_id.as_deref(), &asked.principal, route);
        let id = Frame::read(&body).ok().and_then(|frame| frame.id()).map(RawValue::get);
        let id = Bytes::copy_from_slice(id.unwrap_or_default().as_bytes());
        let sift = self.sift(route, &session, &asked.head.headers, learns.then(|| id.clone()));
        if sift.is_some() {
            asked.head.ask_plainly();
        }
        match upstream.pass(asked.head, body).await {
            Ok(response) => {
                if asked.session_id.is_none()
                    && let Some(id) = text(response.headers(), &SESSION)
                {
                    self.session(Some(id), &asked.principal, route).introduce(session.client());
                }
                if sift.as_ref().is_some_and(Sift::reads) && is_unclear(response.headers()) {
                    return self.unclear(&session, &id);
                }
                match sift.is_some() && is_json(response.headers()) {
                    true => self.read_whole(response, session, Ear::Requests, &id, sift).await,
                    false => self.relay(response, session, Ear::Requests, sift),
                }
            }
            Err(error) => unreachable_server(&id, &error),
        }
    }

    fn relay(
        &self,
        response: Response<Answer>,
        session: Arc<Session>,
        ear: Ear,
        sift: Option<Sift>,
    ) -> Response<Reply> {
        let (mut parts, body) = response.into_parts();
        strip_hop_by_hop(&mut parts.headers);
        let tap = Tap::new(Arc::clone(&self.door.firewall), session, &parts.headers, ear);
        let reply = match sift.filter(|_| is_event_stream(&parts.headers)) {
            Some(sift) => Reply::Held(sift.start(body, tap)),
            None => Reply::Relayed(Box::new(Relay::new(body, tap))),
        };
        Response::from_parts(parts, reply)
    }

    /// An answer that must be read, and is compressed or says two things of what it is.
    fn unclear(&self, session: &Session, id: &[u8]) -> Response<Reply> {
        self.door.firewall.record_refused(&session.origin(), "frame", UNCLEAR);
        json(StatusCode::BAD_GATEWAY, answer::error(id, code::INTERNAL, UNCLEAR))
    }

    /// An answer that is read before its client has it: a list of tools is known here first, for the client may call
    /// one the next moment, and what waits to be said to the agent stands in it.
    async fn read_whole(
        &self,
        response: Response<Answer>,
        session: Arc<Session>,
        ear: Ear,
        id: &[u8],
        sift: Option<Sift>,
    ) -> Response<Reply> {
        let (mut parts, body) = response.into_parts();
        strip_hop_by_hop(&mut parts.headers);
        let mut tap = Tap::new(Arc::clone(&self.door.firewall), Arc::clone(&session), &parts.headers, ear);
        match Limited::new(body, relay::WHOLE).collect().await {
            Ok(body) => {
                let body = body.to_bytes();
                tap.hear(&body);
                tap.end(true);
                let body = match &sift {
                    Some(sift) => sift.frame(id, body).await,
                    None => body,
                };
                let told = notice::with_notices(&self.door.firewall, &session, &body);
                parts.headers.remove(header::CONTENT_LENGTH);
                Response::from_parts(parts, Reply::Whole(Full::new(told.unwrap_or(body))))
            }
            Err(error) => {
                tap.broke();
                let said = format!("the server's answer broke off or is too long: {error}");
                json(StatusCode::BAD_GATEWAY, answer::error(id, code::INTERNAL, &said))
            }
        }
    }

    /// What takes the answer's stream apart, if something in it must wait.
    fn sift(
        &self,
        route: &Route,
        session: &Arc<Session>,
        headers: &HeaderMap,
        learns: Option<Bytes>,
    ) -> Option<Sift> {
        let Back::Http(upstream) = &route.upstream else { return None };
        let judges = self.door.firewall.policy().gates_server_requests();
        let tells = notice::waits(&self.door.firewall, session);
        (judges || learns.is_some() || tells).then(|| Sift {
            judges,
            learns,
            tells,
            door: Arc::clone(&self.door),
            session: Arc::clone(session),
            upstream: Upstream::clone(upstream),
            headers: headers.clone(),
            manners: route.manners,
        })
    }

    fn refuse(&self, session: &Session, error: &FrameError) -> Response<Reply> {
        self.door.firewall.record_refused(&session.origin(), "frame", &error.to_string());
        json(StatusCode::BAD_REQUEST, answer::error(b"", error.code(), &error.to_string()))
    }

    /// Requests without a session share one, and with it what the last `initialize` said.
    fn session(&self, id: Option<&str>, principal: &Arc<str>, route: &Route) -> Arc<Session> {
        if let Back::Process(bridge) = &route.upstream
            && let Some(session) = bridge.session(id, principal)
        {
            return session;
        }
        let id = id.unwrap_or("-");
        let key = [&*route.name, principal, id].join("\0");
        self.door.firewall.sessions.get_or(&key, now(), || {
            let session = Session::new(id, Arc::clone(principal), Arc::clone(&route.name), route.trusted);
            match (&route.upstream, &route.files) {
                (Back::Http(_), None) => session,
                (Back::Http(_), Some(files)) => session.sharing(files.clone()),
                (Back::Process(bridge), _) => bridge.place(session),
            }
        })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
