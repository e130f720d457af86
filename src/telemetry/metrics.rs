//! Figures for Prometheus, in its text format, on a listener of their own.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use super::Telemetry;
use crate::gate::Gate;
use crate::ledger::Ledger;
use crate::listen::{self, Manners};
use crate::store::{HoldRow, HoldState, Store};

const ROUTES: [&str; 4] = ["execute", "gate", "review", "block"];
const CLASSES: [&str; 4] = ["read_only", "local_reversible", "external", "critical"];
/// Upper ends, in seconds, of how long people take.
const DECISION: [u64; 9] = [1, 2, 5, 10, 30, 60, 300, 900, 3600];
/// A scraper or two.
const MANNERS: Manners =
    Manners { patience: Duration::from_secs(10), connections: 16, grace: Duration::ZERO };

/// What is counted as it happens.
#[derive(Debug, Default)]
pub struct Counts {
    calls: [[AtomicU64; CLASSES.len()]; ROUTES.len()],
    refused: AtomicU64,
    decisions: [AtomicU64; DECISION.len()],
    decided: AtomicU64,
    decision_ms: AtomicU64,
}

impl Counts {
    pub fn call(&self, route: &str, class: &str) {
        let place = |names: &[&str], name: &str| names.iter().position(|known| *known == name);
        let cell = place(&ROUTES, route)
            .and_then(|route| self.calls.get(route))
            .zip(place(&CLASSES, class))
            .and_then(|(classes, class)| classes.get(class));
        if let Some(cell) = cell {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A frame that could not be judged.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    fn decided(&self, row: &HoldRow) {
        let (HoldState::Approved | HoldState::Denied) = row.state else { return };
        let Some(decided) = row.decided_ms else { return };
        let took = u64::try_from(decided.saturating_sub(row.created_ms)).unwrap_or_default();
        self.decided.fetch_add(1, Ordering::Relaxed);
        self.decision_ms.fetch_add(took, Ordering::Relaxed);
        let bucket = DECISION.iter().zip(&self.decisions).find(|(end, _)| took <= **end * 1000);
        if let Some((_, count)) = bucket {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Where figures come from.
#[derive(Debug)]
pub struct Sources {
    pub telemetry: Arc<Telemetry>,
    pub gate: Arc<Gate>,
    pub ledger: Ledger,
    pub store: Arc<dyn Store>,
}

/// Serves `/metrics` until `stop` turns true.
pub async fn serve(listener: TcpListener, sources: Arc<Sources>, stop: watch::Receiver<bool>) {
    tokio::spawn(count_decisions(Arc::clone(&sources)));
    let Ok(address) = listener.local_addr() else { return };
    listen::serve(listener, MANNERS, stop, move |request, _| answer(request, Arc::clone(&sources), address))
        .await;
}

async fn count_decisions(sources: Arc<Sources>) {
    let mut news = sources.gate.news();
    loop {
        match news.recv().await {
            Ok(row) => sources.telemetry.counts.decided(&row),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    sources: Arc<Sources>,
    address: SocketAddr,
) -> Response<Full<Bytes>> {
    let reply = |status, text: String| {
        let mut response = Response::new(Full::new(text.into()));
        *response.status_mut() = status;
        let kind = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    };
    // A page whose name was bound to this address may not read along.
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let named = [address.to_string(), format!("localhost:{}", address.port())];
    if !named.iter().any(|name| name == host) {
        return reply(StatusCode::MISDIRECTED_REQUEST, "this name is not served here\n".into());
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => reply(StatusCode::OK, page(&sources).await),
        (_, "/metrics") => reply(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".into()),
        _ => reply(StatusCode::NOT_FOUND, "only /metrics is here\n".into()),
    }
}

/// A string takes all that is written to it.
macro_rules! line {
    ($page:ident, $($what:tt)*) => { let _ = writeln!($page, $($what)*); };
}

/// All figures as they stand.
async fn page(sources: &Sources) -> String {
    let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let counts = &sources.telemetry.counts;
    let mut page = String::new();
    about(&mut page, "build_info", "gauge", "The running version.");
    line!(page, "herma_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    about(&mut page, "calls_total", "counter", "Judged calls by route and side-effect class.");
    for (route, classes) in ROUTES.iter().zip(&counts.calls) {
        for (class, count) in CLASSES.iter().zip(classes) {
            line!(page, "herma_calls_total{{route=\"{route}\",class=\"{class}\"}} {}", load(count));
        }
    }
    about(&mut page, "frames_refused_total", "counter", "Frames refused before they could be judged.");
    line!(page, "herma_frames_refused_total {}", load(&counts.refused));
    about(&mut page, "holds_pending", "gauge", "Calls that wait for a person.");
    line!(page, "herma_holds_pending {}", sources.gate.waiting());
    about(&mut page, "decision_seconds", "histogram", "How long people took to decide.");
    let buckets = DECISION.iter().zip(&counts.decisions).map(|(end, count)| (*end as f64, load(count)));
    histogram(
        &mut page,
        "decision_seconds",
        buckets,
        load(&counts.decided),
        load(&counts.decision_ms) as f64 / 1e3,
    );
    let figures = sources.ledger.figures();
    about(&mut page, "ledger_lines_total", "counter", "Entries written to the ledger.");
    line!(page, "herma_ledger_lines_total {}", figures.lines());
    about(
        &mut page,
        "ledger_fsync_seconds",
        "histogram",
        "How long the disk took for entries that were waited for.",
    );
    let (syncs, sync_us) = figures.syncs();
    let buckets = figures.buckets().map(|(end, count)| (end as f64 / 1e6, count));
    histogram(&mut page, "ledger_fsync_seconds", buckets, syncs, sync_us as f64 / 1e6);
    about(
        &mut page,
        "ledger_up",
        "gauge",
        "1 while the ledger can be written; calls are refused while it cannot.",
    );
    line!(page, "herma_ledger_up {}", u8::from(sources.ledger.health().is_ok()));
    if let Ok(dead) = sources.store.dead_notices().await {
        about(&mut page, "notify_dead_letters", "gauge", "Messages to people that were given up.");
        line!(page, "herma_notify_dead_letters {dead}");
    }
    about(
        &mut page,
        "spans_dropped_total",
        "counter",
        "Spans thrown away because they could not be delivered.",
    );
    line!(page, "herma_spans_dropped_total {}", sources.telemetry.dropped_spans());
    page
}

fn about(page: &mut String, name: &str, kind: &str, help: &str) {
    line!(page, "# HELP herma_{name} {help}");
    line!(page, "# TYPE herma_{name} {kind}");
}

fn histogram(page: &mut String, name: &str, buckets: impl Iterator<Item = (f64, u64)>, count: u64, sum: f64) {
    let mut below = 0;
    for (end, count) in buckets {
        below += count;
        line!(page, "herma_{name}_bucket{{le=\"{end}\"}} {below}");
    }
    line!(page, "herma_{name}_bucket{{le=\"+Inf\"}} {count}");
    line!(page, "herma_{name}_sum {sum}");
    line!(page, "herma_{name}_count {count}");
}
