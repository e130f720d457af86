//! The record, as files to take away.

use std::io::{self, Write};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Either;
use http_body_util::channel::{Channel, Sender};
use hyper::Response;
use hyper::header::{self, HeaderValue};

use super::super::Operator;
use super::super::access::Asked;
use super::super::desk::AuditQuery;
use super::super::problem::Problem;
use super::super::reply;
use super::Answer;
use crate::ledger::{self, Format, Query};

/// Bytes that are gathered before they are sent.
const PIECE: usize = 64 * 1024;
/// Pieces that wait for a slow browser; the reading waits with them.
const WAITING: usize = 4;
/// Whoever has not taken one by then is gone.
const PATIENCE: Duration = Duration::from_secs(60);

impl From<AuditQuery> for Query {
    fn from(asked: AuditQuery) -> Self {
        let AuditQuery {
            agent,
            tool,
            server,
            session,
            route,
            step,
            approver,
            call,
            digest,
            from_ms,
            to_ms,
            ..
        } = asked;
        Self {
            agent,
            tool,
            server,
            session,
            route,
            step,
            approver,
            call,
            digest,
            since: from_ms,
            until: to_ms.map(|to| to.saturating_add(1)),
            ..Self::default()
        }
    }
}

impl Operator {
    /// Everything that the question finds, read while it is sent. When it breaks off the
    /// connection does, so that no browser takes it for whole.
    pub(super) fn export(&self, asked: &Asked) -> Answer {
        let query: AuditQuery = asked.query()?;
        let (format, name) = match asked.segment.as_str() {
            "jsonl" => (Format::Jsonl, "attachment; filename=\"herma.jsonl\""),
            "ocsf" => (Format::Ocsf, "attachment; filename=\"herma-ocsf.jsonl\""),
            other => {
                return Err(Problem::missing(format!("the record has no form `{other}`: jsonl or ocsf")));
            }
        };
        if query.before.is_some() || query.limit.is_some() {
            return Err(Problem::malformed(
                "an export has all that is found: leave `before` and `limit` away",
            ));
        }
        let (dir, query) = (self.desk.ledger_dir.clone(), Query::from(query));
        let (sender, body) = Channel::new(WAITING);
        let runtime = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || {
            let mut out = Pieces { sender: Some(sender), runtime, gathered: Vec::with_capacity(PIECE) };
            if let Err(error) = ledger::export(&dir, &query, format, &mut out) {
                tracing::warn!(%error, "an export broke off");
                out.abort(&error);
            }
        });
        let mut response = Response::new(Either::Right(body));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jsonl"));
        response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(name));
        Ok(response)
    }
}

/// Writes into an answer that is under way, from a thread that may wait.
struct Pieces {
    sender: Option<Sender<Bytes, reply::Broken>>,
    runtime: tokio::runtime::Handle,
    gathered: Vec<u8>,
}

impl Pieces {
    fn send(&mut self) -> io::Result<()> {
        let piece = Bytes::from(std::mem::replace(&mut self.gathered, Vec::with_capacity(PIECE)));
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        let sender = self.sender.as_mut().ok_or_else(gone)?;
        let sent = async { tokio::time::timeout(PATIENCE, sender.send_data(piece)).await };
        match self.runtime.block_on(sent) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(gone()),
        }
    }

    fn abort(&mut self, error: &ledger::ExportError) {
        if let Some(sender) = self.sender.take() {
            sender.abort(reply::Broken(error.to_string()));
        }
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= PIECE {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() { Ok(()) } else { self.send() }
    }
}
