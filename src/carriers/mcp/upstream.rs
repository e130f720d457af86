//! A Streamable HTTP server behind Herma.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, Uri};

use crate::firewall::Permit;
use crate::firewall::permit::Settlement;
use crate::pool::{Answer, Pool, PoolError, Way, cause};

/// One HTTP upstream.
#[derive(Debug, Clone)]
pub struct Upstream {
    way: Arc<Way>,
    /// Without scheme and host.
    path: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The upstream could not be asked or did not answer.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error("the server behind this route could not be reached ({0})")]
    Unreachable(String),
    #[error("the query of the request does not fit the server's address")]
    BadQuery,
}

/// What is asked of the upstream beside the body.
#[derive(Debug, Clone)]
pub struct Head {
    pub method: Method,
    pub query: Option<String>,
    pub headers: HeaderMap,
}

impl Upstream {
    pub fn new(pool: &Pool, url: &Uri, headers: Vec<(HeaderName, HeaderValue)>) -> Result<Self, PoolError> {
        let path = url.path_and_query().cloned().map_or_else(Uri::default, Uri::from);
        Ok(Self { way: pool.way(url)?, path, headers })
    }

    /// Passes on what is not a call.
    pub async fn pass(&self, head: Head, body: Bytes) -> Result<Response<Answer>, UpstreamError> {
        self.send(head, body).await
    }

    /// Step 7: spends the permit. What leaves are the bytes it was minted for.
    pub async fn forward(
        &self,
        permit: Permit,
        head: Head,
    ) -> (Result<Response<Answer>, UpstreamError>, Settlement) {
        let (frame, settlement) = permit.spend();
        (self.send(head, frame).await, settlement)
    }

    async fn send(&self, head: Head, body: Bytes) -> Result<Response<Answer>, UpstreamError> {
        let Head { method, query, mut headers } = head;
        strip_hop_by_hop(&mut headers);
        headers.remove(header::CONTENT_LENGTH);
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.address(query.as_deref())?;
        *request.headers_mut() = headers;
        self.way.request(request).await.map_err(|error| UpstreamError::Unreachable(cause(&error)))
    }

    fn address(&self, query: Option<&str>) -> Result<Uri, UpstreamError> {
        let Some(query) = query else { return Ok(self.path.clone()) };
        let between = if self.path.query().is_some() { '&' } else { '?' };
        format!("{}{between}{query}", self.path).parse().map_err(|_| UpstreamError::BadQuery)
    }
}

impl Head {
    /// Asks for an answer that can be read here.
    pub fn ask_plainly(&mut self) {
        self.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
}

/// Takes out what concerns one connection only, the headers named by `Connection` included.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if let Some(named) = headers.remove(header::CONNECTION) {
        for name in named.to_str().unwrap_or_default().split(',').map(str::trim) {
            headers.remove(name);
        }
    }
    // Few headers are there, and seldom one of these: looking at each costs less than asking for each.
    while let Some(name) = headers.keys().find(|name| is_hop_by_hop(name)).cloned() {
        headers.remove(name);
    }
}

/// Whether a header belongs to one connection, or is set by the connection to the upstream itself.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "host"
    )
}
