//! Who may ask, and whether the headers say what the body says.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::super::answer::{self, code};
use super::super::frame::{CallFrame, name_of};
use super::super::receive::ReceiveError;
use super::super::shown;
use super::super::upstream::Head;
use super::mirrored::Mirrored;
use super::reply::{Reply, json, plain};
use super::{Agents, Asked, Back};
use crate::call::{Beside, Digest};
use crate::carriers::hook::agentguard;
use crate::config::TOKEN_MARK;
use crate::firewall::session::Session;

/// An agent of this machine that shows no token.
static LOCAL: LazyLock<Arc<str>> = LazyLock::new(|| "local".into());
const TOKEN: HeaderName = HeaderName::from_static("x-herma-token");
/// What follows the mark: 32 bytes in base64.
const TOKEN_LENGTH: usize = 43;

impl Agents {
    /// DNS rebinding: a page of another name must not reach a local agent's tools.
    pub(super) fn check_origin(&self, headers: &HeaderMap) -> Result<(), Response<Reply>> {
        let refused = || plain(StatusCode::FORBIDDEN, "this name is not served here (listen.hosts)\n");
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).ok_or_else(refused)?;
        if !self.serves(host) {
            return Err(refused());
        }
        match headers.get(header::ORIGIN) {
            None => Ok(()),
            Some(origin) => {
                let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
                origin.filter(|(_, host)| self.serves(host)).map(|_| ()).ok_or_else(refused)
            }
        }
    }

    fn serves(&self, authority: &str) -> bool {
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => authority,
        };
        let is = |name: &str| host.eq_ignore_ascii_case(name);
        ["127.0.0.1", "localhost", "[::1]"].into_iter().any(is)
            || self.hosts.iter().any(|name| is(name))
            || (!self.address.ip().is_loopback()
                && !self.address.ip().is_unspecified()
                && is(&self.address.ip().to_string()))
    }

    /// Who asks. A token of ours is taken out; whatever else the client sends is for the upstream.
    pub(super) fn principal(
        &self,
        headers: &mut HeaderMap,
        query: Option<&str>,
        peer: SocketAddr,
    ) -> Result<Arc<str>, Response<Reply>> {
        let refused = |why: &'static str| {
            let mut response = plain(StatusCode::UNAUTHORIZED, why);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            response
        };
        if headers.get_all(header::AUTHORIZATION).iter().count() > 1
            || headers.get_all(TOKEN).iter().count() > 1
        {
            return Err(refused("two tokens are one too many: send one Authorization header\n"));
        }
        let bearer = headers.get(header::AUTHORIZATION).and_then(bearer).map(str::to_owned);
        if bearer.is_some() {
            headers.remove(header::AUTHORIZATION);
        }
        let own = headers.remove(&TOKEN).and_then(|value| value.to_str().ok().map(str::to_owned));
        let strays = query.into_iter().map(str::as_bytes).chain(headers.values().map(HeaderValue::as_bytes));
        if strays.into_iter().any(holds_token) {
            return Err(refused(
                "an agent token belongs into `Authorization: Bearer …` and goes nowhere else\n",
            ));
        }
        let Some(token) = own.or(bearer) else {
            return match peer.ip().is_loopback() && self.address.ip().is_loopback() {
                true if self.anonymous => Ok(Arc::clone(&LOCAL)),
                true => Err(refused(
                    "agents have tokens here: send `Authorization: Bearer …` (listen.anonymous lets others in)\n",
                )),
                false => Err(refused("an agent token is needed here: send `Authorization: Bearer …`\n")),
            };
        };
        self.named(&token).ok_or_else(|| refused("this agent token is not known\n"))
    }

    fn named(&self, token: &str) -> Option<Arc<str>> {
        let digest = Digest::of(token.as_bytes());
        let known = self.agents.iter().find(|agent| {
            bool::from(subtle::ConstantTimeEq::ct_eq(
                agent.token.bytes().as_slice(),
                digest.bytes().as_slice(),
            ))
        });
        known.map(|agent| agent.name.as_str().into())
    }

    /// Who asks, where a refusal must be said in words: the token may stand in the path.
    pub(super) fn plugin(
        &self,
        target: &str,
        headers: &mut HeaderMap,
        peer: SocketAddr,
    ) -> Result<Arc<str>, String> {
        self.check_origin(headers).map_err(|_| "this name is not served here (listen.hosts)".to_owned())?;
        match agentguard::token_of(target) {
            Some(token) => self.named(token).ok_or_else(|| "the agent token in the URL is not known".into()),
            None => self
                .principal(headers, None, peer)
                .map_err(|_| "an agent token is needed here: put it into the URL, as /ag/<token>".into()),
        }
    }

    /// The headers that mirror the body must say what the body says.
    pub(super) fn check_headers(
        &self,
        asked: &mut Asked,
        session: &Session,
        call: &mut CallFrame,
    ) -> Result<(), Response<Reply>> {
        let CallFrame { kind, frame, id, arguments, presented, beside, .. } = call;
        let kind = *kind;
        let refuse = |error: ReceiveError, code| {
            self.door.firewall.record_refused(&session.origin(), name_of(kind), &error.to_string());
            Err(json(StatusCode::BAD_REQUEST, answer::error(id, code, &error.to_string())))
        };
        match shown::take(&mut asked.head.headers, asked.route.manners.forward_warrant) {
            Ok(warrant) => *presented = warrant.map(Box::new),
            Err(error) => return refuse(error.into(), code::NOT_PERMITTED),
        }
        if let Back::Http(_) = asked.route.upstream {
            *beside = brought(&asked.head);
        }
        let body = Mirrored { kind, frame, arguments };
        let listed = |tool: &str| self.door.firewall.definitions.get(&session.server, tool);
        body.check(&asked.head.headers, listed).or_else(|error| refuse(error, code::HEADER_MISMATCH))
    }
}

/// What reaches a server by URL beside the body and could say what is to be done.
fn brought(head: &Head) -> Option<Box<Beside>> {
    let strange = |name: &&HeaderName| !is_usual(name.as_str());
    if head.query.is_none() && !head.headers.keys().any(|name| strange(&name)) {
        return None;
    }
    let headers = head.headers.keys().filter(strange).map(|name| {
        let values: Vec<_> = head.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
        (name.to_string(), Digest::of(&values.join(&b'\n')).to_string())
    });
    Some(Box::new(Beside { query: head.query.clone(), headers: headers.collect(), ..Beside::default() }))
}

/// Headers of HTTP, of MCP, of browsers and of those who watch: they say how, and not what.
fn is_usual(name: &str) -> bool {
    const KINDS: [&str; 7] = ["accept", "content-", "mcp-", "proxy-", "sec-", "x-forwarded-", "x-tenuo-"];
    matches!(
        name,
        "authorization"
            | "baggage"
            | "cache-control"
            | "connection"
            | "host"
            | "keep-alive"
            | "last-event-id"
            | "origin"
            | "pragma"
            | "priority"
            | "referer"
            | "te"
            | "traceparent"
            | "tracestate"
            | "transfer-encoding"
            | "user-agent"
    ) || KINDS.iter().any(|kind| name.starts_with(kind))
}

/// A token of ours in an `Authorization` header, however its scheme is written.
fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.trim().split_once([' ', '\t'])?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && token.starts_with(TOKEN_MARK)).then_some(token)
}

/// Whether something of the shape of an agent's token stands in a text.
fn holds_token(text: &[u8]) -> bool {
    let is_long = text.len() >= TOKEN_MARK.len().saturating_add(TOKEN_LENGTH);
    is_long
        && memchr::memmem::find_iter(text, TOKEN_MARK).any(|at| {
            let rest = text.get(at.saturating_add(TOKEN_MARK.len())..).unwrap_or_default();
            let letters =
                rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
            letters.count() >= TOKEN_LENGTH
        })
}
