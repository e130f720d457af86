//! A closed loop: so many calls in flight, the next one sent when an answer is in and was the right one.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::{Cell, server};

/// Ids of one width, so that a frame can be used again with another id in the same place.
const FIRST_ID: u64 = 1_000_000_000;
const IDS_PER_CONNECTION: u64 = 10_000_000;
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"load","version":"1"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Era {
    Legacy,
    Modern,
}

impl Era {
    fn version(self) -> &'static str {
        match self {
            Self::Legacy => "2025-06-18",
            Self::Modern => "2026-07-28",
        }
    }
}

/// What is asked of one way to the server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) cell: Cell,
    pub(crate) era: Era,
    /// Calls that begin in this time are made, but not timed.
    pub(crate) warm: Duration,
    pub(crate) time: Duration,
    /// Calls of each connection, however long they take.
    pub(crate) at_least: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// All calls, those to warm up included.
    pub(crate) calls: usize,
    /// How long the timed ones took, in microseconds.
    pub(crate) took: Vec<f64>,
}

impl Heard {
    fn note(&mut self, load: &Load, started: Instant, asked: Instant) {
        let now = Instant::now();
        self.calls += 1;
        if asked >= started + load.warm && now <= started + load.warm + load.time {
            self.took.push((now - asked).as_secs_f64() * 1e6);
        }
    }

    fn is_over(&self, load: &Load, started: Instant) -> bool {
        self.calls >= load.at_least && started.elapsed() >= load.warm + load.time
    }
}

/// A frame whose id can be changed in its place.
struct Template {
    text: Vec<u8>,
    id_at: usize,
}

impl Template {
    fn new(text: &str) -> anyhow::Result<Self> {
        let id_at = text.find(&FIRST_ID.to_string()).context("a frame without its id")?;
        Ok(Self { text: text.as_bytes().to_vec(), id_at })
    }

    fn request(load: &Load) -> anyhow::Result<Self> {
        let meta = match load.era {
            Era::Legacy => String::new(),
            Era::Modern => format!(
                r#","_meta":{{"io.modelcontextprotocol/protocolVersion":"{}","io.modelcontextprotocol/clientInfo":{{"name":"load","version":"1"}},"io.modelcontextprotocol/clientCapabilities":{{}}}}"#,
                load.era.version()
            ),
        };
        let message = message(load);
        Self::new(&format!(
            r#"{{"jsonrpc":"2.0","id":{FIRST_ID},"method":"tools/call","params":{{"name":"echo","arguments":{{"message":{message}}}{meta}}}}}"#
        ))
    }

    fn answer(load: &Load) -> anyhow::Result<Self> {
        let answer = server::echoed(&FIRST_ID.to_string(), &message(load));
        Self::new(std::str::from_utf8(&answer)?)
    }

    fn with(&mut self, id: u64) -> anyhow::Result<&[u8]> {
        let mut place = self.text.get_mut(self.id_at..).context("a frame without its id")?;
        write!(place, "{id}")?;
        Ok(&self.text)
    }
}

fn message(load: &Load) -> String {
    format!(
        "\"{}\"",
        "what is written here comes back, ".chars().cycle().take(load.cell.size).collect::<String>()
    )
}

/// One connection for each call in flight, kept alive.
pub(crate) async fn http(uri: &Uri, load: &Load) -> anyhow::Result<Heard> {
    let mut connections = Vec::with_capacity(load.cell.in_flight);
    for _ in 0..load.cell.in_flight {
        connections.push(Connection::open(uri, load.era).await?);
    }
    let started = Instant::now();
    let mut running = JoinSet::new();
    for (connection, first) in connections.into_iter().zip((FIRST_ID..).step_by(IDS_PER_CONNECTION as usize))
    {
        running.spawn(connection.run(*load, first, started));
    }
    let mut all = Heard::default();
    while let Some(heard) = running.join_next().await {
        let heard = heard??;
        all.calls += heard.calls;
        all.took.extend(heard.took);
    }
    Ok(all)
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    uri: Uri,
    host: HeaderValue,
    era: Era,
    session: Option<HeaderValue>,
}

impl Connection {
    async fn open(uri: &Uri, era: Era) -> anyhow::Result<Self> {
        let host = uri.authority().context("an address without a host")?.as_str();
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut connection =
            Self { sender, uri: uri.path().parse()?, host: HeaderValue::from_str(host)?, era, session: None };
        if era == Era::Legacy {
            let response = connection.post(Bytes::from_static(INITIALIZE.as_bytes())).await?;
            ensure!(response.status() == StatusCode::OK, "`initialize` was answered {}", response.status());
            connection.session = response.headers().get("mcp-session-id").cloned();
            response.into_body().collect().await?;
            let response = connection.post(Bytes::from_static(INITIALIZED.as_bytes())).await?;
            ensure!(
                response.status() == StatusCode::ACCEPTED,
                "a notification was answered {}",
                response.status()
            );
            response.into_body().collect().await?;
        }
        Ok(connection)
    }

    async fn post(&mut self, body: Bytes) -> anyhow::Result<Response<Incoming>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers.insert("mcp-protocol-version", HeaderValue::from_static(self.era.version()));
        if self.era == Era::Modern {
            headers.insert("mcp-method", HeaderValue::from_static("tools/call"));
            headers.insert("mcp-name", HeaderValue::from_static("echo"));
        }
        if let Some(session) = &self.session {
            headers.insert("mcp-session-id", session.clone());
        }
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }

    async fn run(mut self, load: Load, first: u64, started: Instant) -> anyhow::Result<Heard> {
        let (mut request, mut answer) = (Template::request(&load)?, Template::answer(&load)?);
        let mut heard = Heard::default();
        for id in first.. {
            let body = Bytes::copy_from_slice(request.with(id)?);
            let mut missing = answer.with(id)?;
            let asked = Instant::now();
            let response = self.post(body).await?;
            let status = response.status();
            let mut body = response.into_body();
            while let Some(frame) = body.frame().await {
                let Ok(chunk) = frame?.into_data() else { continue };
                missing = missing.strip_prefix(&*chunk).with_context(|| wrong(status, &chunk))?;
            }
            ensure!(status == StatusCode::OK && missing.is_empty(), "an answer broke off ({status})");
            heard.note(&load, started, asked);
            if heard.is_over(&load, started) {
                break;
            }
        }
        Ok(heard)
    }
}

fn wrong(status: StatusCode, chunk: &[u8]) -> String {
    let shown: String = String::from_utf8_lossy(chunk).chars().take(300).collect();
    format!("a wrong answer ({status}): {shown}")
}

/// The two ends of a stdio server.
#[derive(Debug)]
pub(crate) struct Pipes {
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    /// Ids are not used again while the server lives.
    next: u64,
}

impl Pipes {
    pub(crate) fn new(to: ChildStdin, from: ChildStdout) -> Self {
        Self { to, from: BufReader::with_capacity(1 << 18, from), next: FIRST_ID }
    }

    /// All calls share the two pipes. Writing goes on while answers are read, or both sides could wait for ever.
    pub(crate) async fn run(&mut self, load: &Load) -> anyhow::Result<Heard> {
        if load.era == Era::Legacy {
            self.to.write_all(format!("{INITIALIZE}\n{INITIALIZED}\n").as_bytes()).await?;
            ensure!(self.from.read_until(b'\n', &mut Vec::new()).await? > 0, "`initialize` was not answered");
        }
        let (more, mut wanted) = mpsc::unbounded_channel();
        (0..load.cell.in_flight).try_for_each(|_| more.send(()))?;
        let (to, from, next) = (&mut self.to, &mut self.from, &mut self.next);
        let (mut request, mut answer) = (Template::request(load)?, Template::answer(load)?);
        request.text.push(b'\n');
        answer.text.push(b'\n');
        let (sent, mut asked) = mpsc::unbounded_channel();
        let started = Instant::now();
        let write = async {
            while wanted.recv().await.is_some() {
                let line = request.with(*next)?;
                sent.send((*next, Instant::now()))?;
                to.write_all(line).await?;
                *next += 1;
            }
            drop(sent);
            anyhow::Ok(())
        };
        let read = async {
            let mut more = Some(more);
            let mut heard = Heard::default();
            let mut line = Vec::new();
            // The server answers in the order it was asked, and whatever stands in between must keep it.
            while let Some((id, at)) = asked.recv().await {
                line.clear();
                from.read_until(b'\n', &mut line).await?;
                if line != answer.with(id)? {
                    bail!(wrong(StatusCode::OK, &line));
                }
                heard.note(load, started, at);
                if heard.is_over(load, started) {
                    more = None;
                } else if let Some(more) = &more {
                    more.send(())?;
                }
            }
            anyhow::Ok(heard)
        };
        let ((), heard) = tokio::try_join!(write, read)?;
        Ok(heard)
    }
}
