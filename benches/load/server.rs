//! The fast MCP server behind every way: one tool, `echo`, in both protocols, over HTTP and over stdio.

use std::convert::Infallible;
use std::io::{self, BufRead, BufReader, Write};

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpListener;

/// As much of a request as the server needs.
#[derive(Deserialize)]
struct Asked<'a> {
    method: &'a str,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Params<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Params<'a> {
    #[serde(borrow)]
    arguments: Arguments<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Arguments<'a> {
    #[serde(borrow)]
    message: Option<&'a RawValue>,
}

const HELLO: &str = r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"load","version":"1"}}"#;

/// The answer to one frame; `None` for a notification or what is not understood.
fn answer(frame: &[u8]) -> Option<Bytes> {
    let asked: Asked<'_> = serde_json::from_slice(frame).ok()?;
    let id = asked.id?.get();
    Some(match (asked.method, asked.params.arguments.message) {
        ("tools/call", Some(message)) => echoed(id, message.get()),
        ("initialize", _) => enclose(&[r#"{"jsonrpc":"2.0","id":"#, id, r#","result":"#, HELLO, "}"]),
        _ => enclose(&[
            r#"{"jsonrpc":"2.0","id":"#,
            id,
            r#","error":{"code":-32601,"message":"not served here"}}"#,
        ]),
    })
}

/// The one right answer to `echo`. `message` is a JSON string with its quotes.
pub(crate) fn echoed(id: &str, message: &str) -> Bytes {
    enclose(&[
        r#"{"jsonrpc":"2.0","id":"#,
        id,
        r#","result":{"resultType":"complete","content":[{"type":"text","text":"#,
        message,
        "}]}}",
    ])
}

fn enclose(parts: &[&str]) -> Bytes {
    let mut whole = BytesMut::with_capacity(parts.iter().map(|part| part.len()).sum());
    parts.iter().for_each(|part| whole.put_slice(part.as_bytes()));
    whole.freeze()
}

/// Serves on a free port of the loopback interface, which it prints.
pub(crate) fn http() -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(respond)),
            );
        }
    })
}

async fn respond(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_post = request.method() == Method::POST;
    let is_modern = request.headers().contains_key("mcp-method");
    let mut response = Response::new(Full::default());
    let Ok(body) = request.into_body().collect().await else {
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(response);
    };
    if !is_post {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        return Ok(response);
    }
    match answer(&body.to_bytes()) {
        Some(frame) => {
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
            if !is_modern {
                headers.insert("mcp-session-id", hyper::header::HeaderValue::from_static("load-session"));
            }
            *response.body_mut() = Full::new(frame);
        }
        None => *response.status_mut() = StatusCode::ACCEPTED,
    }
    Ok(response)
}

/// Serves until standard input ends.
pub(crate) fn stdio() -> anyhow::Result<()> {
    let mut from = BufReader::with_capacity(1 << 18, io::stdin().lock());
    let mut to = io::stdout().lock();
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        if let Some(frame) = answer(&line) {
            let mut frame = Vec::from(frame);
            frame.push(b'\n');
            to.write_all(&frame)?;
            to.flush()?;
        }
        line.clear();
    }
    Ok(())
}
