//! A request once it is known who makes it: cookie, body, signature.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use serde::de::DeserializeOwned;

use super::people::key::PublicKey;
use super::people::session::{Session, Sessions};
use super::people::signature::{self, Header};
use super::problem::Problem;
use super::route::{Access, Endpoint, Route};

/// `__Host-`: no other host and no path may set it, and it is never sent unprotected beyond this machine.
const COOKIE: &str = "__Host-herma";
const BODY: usize = 1 << 20;
/// How long a body may take: whoever sends half of one must not keep others out.
const PATIENCE: Duration = Duration::from_secs(10);

/// What somebody wants, and who it is.
#[derive(Debug)]
pub(super) struct Asked {
    /// What stands in the address for `{}`.
    pub(super) segment: String,
    query: Vec<(String, String)>,
    body: Bytes,
    method: Method,
    path: String,
    origin: String,
    headers: HeaderMap,
    who: Option<Arc<Session>>,
}

impl Asked {
    /// Reads the body; nothing of it is believed yet.
    pub(super) async fn read(parts: Parts, body: Incoming, segment: String) -> Result<Self, Problem> {
        let body = match parts.method {
            Method::POST => collect(body).await?,
            _ => Bytes::new(),
        };
        let query = parts.uri.query().unwrap_or_default();
        let origin = parts.headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
        Ok(Self {
            segment,
            query: form(query).ok_or_else(|| Problem::malformed("the query cannot be read"))?,
            body,
            method: parts.method,
            path: parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            origin: origin.unwrap_or_default().to_owned(),
            headers: parts.headers,
            who: None,
        })
    }

    /// Lets the request to its route, or says what is missing.
    pub(super) fn admit(&mut self, route: &Route, sessions: &Sessions, now: i64) -> Result<(), Problem> {
        // An open page that only listens is nobody at the keyboard.
        let touch = route.endpoint != Endpoint::Events;
        self.who = cookie(&self.headers).and_then(|cookie| sessions.find(cookie, touch, now));
        match (route.access, &self.who) {
            (Access::Open, _) | (Access::Read, Some(_)) => Ok(()),
            (Access::Change, Some(session)) => {
                let header = self.signature()?;
                self.check(&header, &session.key, &session.id)?;
                session
                    .take(header.nonce, header.time, now)
                    .map_err(|error| Problem::new(StatusCode::FORBIDDEN, "replayed", error.to_string()))
            }
            (_, None) => Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "signed-out",
                "nobody is signed in in this browser: run `herma pair`",
            )),
        }
    }

    pub(super) fn signature(&self) -> Result<Header<'_>, Problem> {
        Header::read(&self.headers).map_err(unsigned)
    }

    /// Whether this request was signed with `key` in `session`.
    pub(super) fn check(&self, header: &Header<'_>, key: &PublicKey, session: &str) -> Result<(), Problem> {
        let request = signature::Request {
            method: self.method.as_str(),
            path: &self.path,
            origin: &self.origin,
            body: &self.body,
        };
        header.check(key, session, request).map_err(unsigned)
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn session(&self) -> Option<&Arc<Session>> {
        self.who.as_ref()
    }

    /// The session of a route that is open to nobody else.
    pub(super) fn who(&self) -> Result<&Arc<Session>, Problem> {
        self.who.as_ref().ok_or_else(|| Problem::fault(&"a route forgot to ask who is there"))
    }

    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body).map_err(|error| Problem::malformed(format!("the body: {error}")))
    }

    /// The query as a value; a name that nobody knows is an error, for it would be a condition that is not kept.
    pub(super) fn query<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let members = self.query.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| {
            let number = value.parse::<i64>().ok().filter(|_| NUMBERS.contains(&name.as_str()));
            (name.clone(), number.map_or_else(|| value.as_str().into(), serde_json::Value::from))
        });
        serde_json::from_value(serde_json::Value::Object(members.collect()))
            .map_err(|error| Problem::malformed(format!("the query: {error}")))
    }

    /// The page takes some answers as a page: what agents wrote is made safe to look at in one place.
    pub(super) fn wants_page(&self) -> bool {
        self.header("accept") == Some("text/html")
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Names of the query that stand for numbers.
const NUMBERS: [&str; 8] = ["before", "limit", "since", "from_ms", "to_ms", "days", "seq", "learn"];

fn unsigned(error: signature::SignatureError) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "unsigned", error.to_string())
}

async fn collect(body: Incoming) -> Result<Bytes, Problem> {
    let whole = tokio::time::timeout(PATIENCE, Limited::new(body, BODY).collect()).await;
    let whole = whole.map_err(|_| {
        let said = format!("the request did not arrive within {} s", PATIENCE.as_secs());
        Problem::new(StatusCode::REQUEST_TIMEOUT, "slow", said)
    })?;
    match whole {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let said = format!("a request has {BODY} bytes at most");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "long", said))
        }
        Err(_) => Err(Problem::malformed("the request broke off")),
    }
}

/// The cookie's value. Two of the name are none: somebody else has set one.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut ours = pairs
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == COOKIE);
    match (ours.next(), ours.next()) {
        (Some((_, value)), None) => Some(value),
        _ => None,
    }
}

/// Scripts cannot read it, other sites cannot make a browser send it.
pub(super) fn set_cookie(secret: &str, seconds: i64) -> String {
    format!("{COOKIE}={secret}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Strict")
}

fn form(query: &str) -> Option<Vec<(String, String)>> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text: &str| super::route::decode(&text.replace('+', " "));
            Some((decode(name)?, decode(value)?))
        })
        .collect()
}
