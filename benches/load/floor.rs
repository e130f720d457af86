//! The least that a proxy in Rust can cost: what stands between these and Herma is Herma's own.

use std::hint::black_box;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpListener;

type Body = BoxBody<Bytes, hyper::Error>;

/// What a floor does with a request before it forwards it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Streams it.
    Raw,
    /// Reads it whole and looks at its envelope, as whoever decides by the tool's name must.
    Peek,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    method: Option<&'a str>,
    #[serde(borrow)]
    params: Option<Params<'a>>,
}

#[derive(Deserialize)]
struct Params<'a> {
    name: Option<&'a str>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// Forwards to `to` from a free port, which it prints.
pub(crate) fn http(to: Uri, mode: Mode) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(256).build(connector);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (client, to) = (client.clone(), to.clone());
            let service = service_fn(move |request| forward(request, client.clone(), to.clone(), mode));
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    })
}

async fn forward(
    request: Request<Incoming>,
    client: Client<HttpConnector, Body>,
    to: Uri,
    mode: Mode,
) -> anyhow::Result<Response<Incoming>> {
    let (mut head, body) = request.into_parts();
    head.uri = to;
    head.headers.remove(header::HOST);
    let body = match mode {
        Mode::Raw => body.boxed(),
        Mode::Peek => {
            let whole = body.collect().await?.to_bytes();
            black_box(look(&whole));
            Full::new(whole).map_err(|never| match never {}).boxed()
        }
    };
    Ok(client.request(Request::from_parts(head, body)).await?)
}

fn look(frame: &[u8]) -> Option<(&str, &str, &str)> {
    let envelope: Envelope<'_> = serde_json::from_slice(frame).ok()?;
    let params = envelope.params?;
    Some((envelope.method?, params.name?, params.arguments?.get()))
}

/// Stands between standard input and output and a server of its own: a thread and a line for each direction.
pub(crate) fn pump() -> anyhow::Result<()> {
    let mut server = Command::new(std::env::current_exe()?)
        .args(["--as", "stdio-server"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (to_server, from_server) =
        (server.stdin.take().context("no pipe")?, server.stdout.take().context("no pipe")?);
    let back = thread::spawn(move || copy_lines(from_server, io::stdout().lock()));
    copy_lines(io::stdin().lock(), to_server)?;
    server.wait()?;
    back.join().map_err(|_| anyhow::anyhow!("the way back failed"))?
}

fn copy_lines(from: impl Read, mut to: impl Write) -> anyhow::Result<()> {
    let mut from = BufReader::with_capacity(1 << 18, from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        to.flush()?;
        line.clear();
    }
    Ok(())
}
