//! Sending spans: in batches, from a bounded queue, never in the way of a call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, Uri};
use tokio::sync::{mpsc, oneshot};

use super::otlp::{self, Sample};
use crate::pool::{Pool, cause};

/// Spans that may wait; more are counted and thrown away.
const QUEUE: usize = 4096;
const BATCH: usize = 512;
/// The oldest span of a batch waits no longer.
const PAUSE: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where spans go.
#[derive(Debug)]
pub(super) struct Tracer {
    queue: mpsc::Sender<Item>,
    dropped: Arc<AtomicU64>,
    pub(super) propagates: bool,
}

#[derive(Debug)]
enum Item {
    Sample(Box<Sample>),
    Flush(oneshot::Sender<()>),
}

/// Where spans are posted, from the address of the receiver.
pub fn address(base: &str) -> Option<Uri> {
    format!("{}/v1/traces", base.trim_end_matches('/')).parse().ok()
}

impl Tracer {
    pub(super) fn start(to: Uri, propagates: bool, pool: Pool) -> Arc<Self> {
        let (queue, items) = mpsc::channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        tokio::spawn(work(items, to, pool, Arc::clone(&dropped)));
        Arc::new(Self { queue, dropped, propagates })
    }

    pub(super) fn send(&self, sample: Sample) {
        if self.queue.try_send(Item::Sample(Box::new(sample))).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) async fn flush(&self) {
        let (done, sent) = oneshot::channel();
        if self.queue.send(Item::Flush(done)).await.is_ok() {
            let _ = sent.await;
        }
    }
}

async fn work(mut items: mpsc::Receiver<Item>, to: Uri, pool: Pool, dropped: Arc<AtomicU64>) {
    let mut is_well = true;
    while let Some(first) = items.recv().await {
        let mut batch = Vec::new();
        let mut flushed = None;
        take(first, &mut batch, &mut flushed);
        let until = tokio::time::Instant::now() + PAUSE;
        while batch.len() < BATCH && flushed.is_none() {
            match tokio::time::timeout_at(until, items.recv()).await {
                Ok(Some(item)) => take(item, &mut batch, &mut flushed),
                Ok(None) | Err(_) => break,
            }
        }
        if !batch.is_empty() {
            let sent = post(&pool, &to, &batch).await;
            if let Err(why) = &sent {
                dropped.fetch_add(batch.len() as u64, Ordering::Relaxed);
                if is_well {
                    tracing::warn!(%why, to = %to, "spans cannot be delivered; they are counted and thrown away");
                }
            }
            is_well = sent.is_ok();
        }
        if let Some(flushed) = flushed {
            let _ = flushed.send(());
        }
    }
}

fn take(item: Item, batch: &mut Vec<Sample>, flushed: &mut Option<oneshot::Sender<()>>) {
    match item {
        Item::Sample(sample) => batch.push(*sample),
        Item::Flush(done) => *flushed = Some(done),
    }
}

async fn post(pool: &Pool, to: &Uri, batch: &[Sample]) -> Result<(), String> {
    let body: Bytes = otlp::request(batch).into();
    let request = Request::post(to.clone())
        .header(CONTENT_TYPE, "application/json")
        .header("host", to.authority().map(|authority| authority.as_str()).unwrap_or_default())
        .body(Full::new(body))
        .map_err(|error| error.to_string())?;
    match tokio::time::timeout(TIMEOUT, pool.request(request)).await {
        Ok(Ok(response)) if response.status().is_success() => Ok(()),
        Ok(Ok(response)) => Err(format!("the receiver answered HTTP {}", response.status().as_u16())),
        Ok(Err(error)) => Err(cause(&error)),
        Err(_) => Err("the receiver did not answer in time".into()),
    }
}
