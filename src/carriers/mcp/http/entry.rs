//! Who may ask, and whether the headers say what the body says.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::super::answer::{self, code};
use super::super::frame::{CallFrame, name_of};
use super::super::receive::ReceiveError;
use super::super::shown;
use super::mirrored::Mirrored;
use super::reply::{Reply, json, plain};
use super::{Agents, Asked};
use crate::call::Digest;
use crate::carriers::hook::agentguard;
use crate::config::TOKEN_MARK;
use crate::firewall::session::Session;

/// An agent of this machine that shows no token.
static LOCAL: LazyLock<Arc<str>> = LazyLock::new(|| "local".into());
const TOKEN: HeaderName = HeaderName::from_static("x-herma-token");

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
        peer: SocketAddr,
    ) -> Result<Arc<str>, Response<Reply>> {
        let refused = |why: &'static str| {
            let mut response = plain(StatusCode::UNAUTHORIZED, why);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            response
        };
        let bearer =
            headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let bearer = bearer.filter(|token| token.starts_with(TOKEN_MARK)).map(str::to_owned);
        if bearer.is_some() {
            headers.remove(header::AUTHORIZATION);
        }
        let own = headers.remove(&TOKEN).and_then(|value| value.to_str().ok().map(str::to_owned));
        let Some(token) = own.or(bearer) else {
            return if peer.ip().is_loopback() && self.address.ip().is_loopback() {
                Ok(Arc::clone(&LOCAL))
            } else {
                Err(refused("an agent token is needed here: send `Authorization: Bearer …`\n"))
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
                .principal(headers, peer)
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
        let CallFrame { kind, frame, id, arguments, presented, .. } = call;
        let kind = *kind;
        let refuse = |error: ReceiveError, code| {
            self.door.firewall.record_refused(&session.origin(), name_of(kind), &error.to_string());
            Err(json(StatusCode::BAD_REQUEST, answer::error(id, code, &error.to_string())))
        };
        match shown::take(&mut asked.head.headers, asked.route.manners.forward_warrant) {
            Ok(warrant) => *presented = warrant.map(Box::new),
            Err(error) => return refuse(error.into(), code::NOT_PERMITTED),
        }
        let body = Mirrored { kind, frame, arguments };
        let listed = |tool: &str| self.door.firewall.definitions.get(&session.server, tool);
        body.check(&asked.head.headers, listed).or_else(|error| refuse(error, code::HEADER_MISMATCH))
    }
}
