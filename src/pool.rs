//! The connections that Herma opens to others share one pool.
//!
//! It knows HTTP/1 alone and hands a connection over in the task that asks: a call should cost a proxy no more
//! tasks and no more locks than it must.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderMap, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use parking_lot::Mutex;
use tower_service::Service;

/// Connections to one place that are kept although nobody uses them, and for how long.
const RESTING: usize = 256;
const REST: Duration = Duration::from_secs(90);
/// So long before the other side wants to close one, it is used no more: a call on its way then would be lost.
const MARGIN: Duration = Duration::from_secs(1);

type Connector = HttpsConnector<HttpConnector>;
type Connection = SendRequest<Full<Bytes>>;

/// Ways to all places that were ever asked for.
#[derive(Clone)]
pub struct Pool {
    connector: Connector,
    ways: Arc<Mutex<HashMap<String, Arc<Way>>>>,
}

/// The way to one place: a scheme, a host and a port.
pub struct Way {
    connector: Connector,
    place: Uri,
    host: HeaderValue,
    /// Those that rest, the last used last, and until when they may be used.
    resting: Mutex<VecDeque<(Connection, Instant)>>,
}

/// The other side could not be asked, or did not answer.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    #[error("`{0}` is no address of a server")]
    Address(Uri),
    #[error("no connection")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error(transparent)]
    Http(#[from] hyper::Error),
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Way").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Pool {
    /// With `tls` it trusts the certificate roots of this machine, which take a while to read.
    pub fn new(tls: bool) -> Self {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.enforce_http(false);
        let mut roots = rustls::RootCertStore::empty();
        if tls {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        let tls = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let https = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        Self { connector: https, ways: Arc::default() }
    }

    /// The way to the place that `url` is at.
    pub fn way(&self, url: &Uri) -> Result<Arc<Way>, PoolError> {
        let refused = || PoolError::Address(url.clone());
        let (scheme, authority) =
            (url.scheme_str().ok_or_else(refused)?, url.authority().ok_or_else(refused)?);
        let mut ways = self.ways.lock();
        let name = format!("{scheme}://{authority}");
        if let Some(way) = ways.get(&name) {
            return Ok(Arc::clone(way));
        }
        let host = match (authority.port_u16(), scheme) {
            (None, _) | (Some(80), "http") | (Some(443), "https") => authority.host().to_owned(),
            (Some(port), _) => format!("{}:{port}", authority.host()),
        };
        let way = Arc::new(Way {
            connector: self.connector.clone(),
            place: name.parse().map_err(|_| refused())?,
            host: HeaderValue::try_from(host).map_err(|_| refused())?,
            resting: Mutex::default(),
        });
        ways.insert(name, Arc::clone(&way));
        Ok(way)
    }

    /// Asks wherever the address of the request leads.
    pub async fn request(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Answer>, PoolError> {
        let way = self.way(request.uri())?;
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse().map_err(|_| PoolError::Address(request.uri().clone()))?;
        way.request(request).await
    }
}

impl Way {
    /// Asks this place; the address of the request is a path.
    pub async fn request(
        self: &Arc<Self>,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Answer>, PoolError> {
        request.headers_mut().entry(HOST).or_insert_with(|| self.host.clone());
        loop {
            let rested = self.wake();
            let is_new = rested.is_none();
            let mut connection = match rested {
                Some(rested) => rested,
                None => Box::pin(self.connect()).await?,
            };
            match connection.try_send_request(request).await {
                Ok(response) => {
                    let rest = rest(response.headers());
                    return Ok(response.map(|body| Answer::new(body, Arc::clone(self), connection, rest)));
                }
                // The other side had closed it while it rested: nothing of the request has left.
                Err(mut error) => match error.take_message().filter(|_| !is_new) {
                    Some(unsent) => request = unsent,
                    None => return Err(error.into_error().into()),
                },
            }
        }
    }

    async fn connect(&self) -> Result<Connection, PoolError> {
        let stream = self.connector.clone().call(self.place.clone()).await.map_err(PoolError::Connect)?;
        let (connection, driver) = handshake(stream).await?;
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a connection of the pool ended early");
            }
        });
        Ok(connection)
    }

    /// The one that was used last is the likeliest to be open still.
    fn wake(&self) -> Option<Connection> {
        let mut resting = self.resting.lock();
        let now = Instant::now();
        let is_over =
            |(connection, until): &mut (Connection, Instant)| connection.is_closed() || now >= *until;
        while resting.pop_back_if(is_over).is_some() {}
        // One that was given back this moment may not have noticed yet.
        let ready = resting.iter().rposition(|(connection, until)| connection.is_ready() && now < *until)?;
        resting.remove(ready).map(|(connection, _)| connection)
    }

    fn rest(&self, connection: Connection, rest: Duration) {
        let mut resting = self.resting.lock();
        let (now, full) = (Instant::now(), resting.len() >= RESTING);
        if full || resting.front().is_some_and(|(_, until)| now >= *until) {
            resting.pop_front();
        }
        resting.push_back((connection, now + rest));
    }
}

/// How long a connection may rest, by what its other side says of itself.
fn rest(headers: &HeaderMap) -> Duration {
    let said = headers.get("keep-alive").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let seconds = said.split(',').find_map(|part| part.trim().strip_prefix("timeout=")?.parse().ok());
    seconds.map_or(REST, |seconds| Duration::from_secs(seconds).saturating_sub(MARGIN).min(REST))
}

/// The body of an answer. Its connection is free for others once all of it is read.
#[derive(Debug)]
pub struct Answer {
    body: Incoming,
    lent: Option<(Arc<Way>, Connection, Duration)>,
}

impl Answer {
    fn new(body: Incoming, way: Arc<Way>, connection: Connection, rest: Duration) -> Self {
        let mut answer = Self { body, lent: Some((way, connection, rest)) };
        if answer.body.is_end_stream() {
            answer.give_back();
        }
        answer
    }

    fn give_back(&mut self) {
        if let Some((way, connection, rest)) = self.lent.take() {
            way.rest(connection, rest);
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Err(_)) => self.lent = None,
            Some(Ok(_)) if !self.body.is_end_stream() => {}
            _ => self.give_back(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The innermost cause says what happened; the outer ones only that something did.
pub fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Asks twice, one after the other; gives how many connections that took.
    async fn connections(header: &'static str) -> usize {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Uri = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let accepted = Arc::new(Mutex::new(0));
        let count = Arc::clone(&accepted);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                *count.lock() += 1;
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                        let answer = format!("HTTP/1.1 200 OK\r\n{header}content-length: 2\r\n\r\nok");
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        let pool = Pool::new(false);
        for _ in 0..2 {
            let request = Request::get(url.clone()).body(Full::default()).unwrap();
            let answer = pool.request(request).await.unwrap().collect().await.unwrap();
            assert_eq!(answer.to_bytes(), "ok");
            // The connection's own task takes note that it is free.
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        }
        *accepted.lock()
    }

    #[tokio::test]
    async fn a_connection_is_used_again_and_not_when_its_server_is_about_to_close_it() {
        assert_eq!(connections("").await, 1);
        assert_eq!(connections("keep-alive: max=100, timeout=30\r\n").await, 1);
        assert_eq!(connections("keep-alive: timeout=1\r\n").await, 2);
    }
}
