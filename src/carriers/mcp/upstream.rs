//! A Streamable HTTP server behind Herma.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, Uri};

use crate::firewall::Permit;
use crate::firewall::permit::Settlement;
use crate::pool::{Pool, cause};

/// Headers that belong to one connection, or that the connection to the upstream sets itself.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::HOST,
];

/// One HTTP upstream.
#[derive(Debug, Clone)]
pub struct Upstream {
    pool: Pool,
    url: Uri,
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
    pub fn new(pool: Pool, url: Uri, headers: Vec<(HeaderName, HeaderValue)>) -> Self {
        Self { pool, url, headers }
    }

    /// Passes on what is not a call.
    pub async fn pass(&self, head: Head, body: Bytes) -> Result<Response<Incoming>, UpstreamError> {
        self.send(head, body).await
    }

    /// Step 7: spends the permit. What leaves are the bytes it was minted for.
    pub async fn forward(
        &self,
        permit: Permit,
        head: Head,
    ) -> (Result<Response<Incoming>, UpstreamError>, Settlement) {
        let (frame, settlement) = permit.spend();
        (self.send(head, frame).await, settlement)
    }

    async fn send(&self, head: Head, body: Bytes) -> Result<Response<Incoming>, UpstreamError> {
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
        self.pool.request(request).await.map_err(|error| UpstreamError::Unreachable(cause(&error)))
    }

    fn address(&self, query: Option<&str>) -> Result<Uri, UpstreamError> {
        let Some(query) = query else { return Ok(self.url.clone()) };
        let mut parts = self.url.clone().into_parts();
        let path = self.url.path();
        let joined = match self.url.query() {
            Some(own) => format!("{path}?{own}&{query}"),
            None => format!("{path}?{query}"),
        };
        parts.path_and_query = Some(joined.parse().map_err(|_| UpstreamError::BadQuery)?);
        Uri::from_parts(parts).map_err(|_| UpstreamError::BadQuery)
    }
}

/// Takes out what concerns one connection only, the headers named by `Connection` included.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if let Some(named) = headers.get(header::CONNECTION).cloned() {
        for name in named.to_str().unwrap_or_default().split(',').map(str::trim) {
            if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
                headers.remove(name);
            }
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}
