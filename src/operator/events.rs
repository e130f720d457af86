//! What happens, told as it happens. A reader that is too slow is told to look anew and let go.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Either;
use http_body_util::channel::{Channel, Sender};
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;
use super::reply::{Broken, Reply};
use crate::store::HoldRow;

/// Events that a page which comes back can be told again.
const KEPT: usize = 512;
/// Events on their way to one reader.
const BACKLOG: usize = 64;
/// Readers at the same time.
const READERS: usize = 48;
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Who has not taken an event by then is gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// One thing that happened: enough to know whether to look.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub(super) enum News {
    Hold {
        id: String,
        version: u64,
        state: String,
        crisis: bool,
        class: String,
        count: u32,
    },
    Freeze,
    Latch,
    Review,
    Standing,
    Approvers,
    /// More than can be told.
    Many,
}

impl News {
    fn name(&self) -> &'static str {
        match self {
            Self::Hold { .. } => "hold",
            Self::Freeze => "freeze",
            Self::Latch => "latch",
            Self::Review => "review",
            Self::Standing => "standing",
            Self::Approvers => "approvers",
            Self::Many => "reload",
        }
    }
}

impl From<&HoldRow> for News {
    fn from(row: &HoldRow) -> Self {
        Self::Hold {
            id: row.id.clone(),
            version: row.version,
            state: row.state.to_string(),
            crisis: row.crisis,
            class: row.class.clone(),
            count: row.count,
        }
    }
}

/// An event as it is sent.
#[derive(Debug, Clone)]
struct Told {
    id: u64,
    bytes: Bytes,
}

/// The latest events, and those who listen.
#[derive(Debug)]
pub(super) struct Events {
    kept: Mutex<Kept>,
    news: broadcast::Sender<Told>,
    readers: Arc<Semaphore>,
}

#[derive(Debug)]
struct Kept {
    last: u64,
    told: VecDeque<Told>,
}

/// What a reader is told first.
enum Start {
    Again(Vec<Told>),
    /// Too much has happened since.
    Anew(u64),
}

impl Events {
    /// `first`: a number above all that an earlier run has given.
    pub(super) fn new(first: u64) -> Self {
        let (news, _) = broadcast::channel(BACKLOG);
        Self {
            kept: Mutex::new(Kept { last: first, told: VecDeque::new() }),
            news,
            readers: Arc::new(Semaphore::new(READERS)),
        }
    }

    pub(super) fn last(&self) -> u64 {
        self.kept.lock().last
    }

    pub(super) fn are_heard(&self) -> bool {
        self.news.receiver_count() > 0
    }

    pub(super) fn tell(&self, news: &News) {
        let data = serde_json::to_string(news).unwrap_or_default();
        let mut kept = self.kept.lock();
        kept.last = kept.last.saturating_add(1);
        let id = kept.last;
        let bytes = format!("id: {id}\nevent: {}\ndata: {data}\n\n", news.name()).into();
        let told = Told { id, bytes };
        kept.told.push_back(told.clone());
        if kept.told.len() > KEPT {
            kept.told.pop_front();
        }
        // Nobody may be listening.
        let _ = self.news.send(told);
    }

    fn since(&self, after: Option<u64>) -> (Start, broadcast::Receiver<Told>) {
        let kept = self.kept.lock();
        // Under the lock, so that nothing is told twice or missed.
        let receiver = self.news.subscribe();
        let Some(after) = after else { return (Start::Again(Vec::new()), receiver) };
        let oldest = kept.told.front().map_or(kept.last.saturating_add(1), |told| told.id);
        if after.saturating_add(1) < oldest || after > kept.last {
            return (Start::Anew(kept.last), receiver);
        }
        (Start::Again(kept.told.iter().filter(|told| told.id > after).cloned().collect()), receiver)
    }

    /// A stream of what happens from `after` on, for as long as `lasts` says so.
    pub(super) fn stream(
        &self,
        after: Option<u64>,
        lasts: impl Fn() -> bool + Send + 'static,
    ) -> Result<Response<Reply>, Problem> {
        let place = Arc::clone(&self.readers).try_acquire_owned().map_err(|_| {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many pages listen already")
        })?;
        let (start, receiver) = self.since(after);
        let (sender, body) = Channel::new(4);
        tokio::spawn(pour(sender, start, receiver, lasts, place));
        let mut response = Response::new(Either::Right(body));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        Ok(response)
    }
}

async fn pour(
    mut sender: Sender<Bytes, Broken>,
    start: Start,
    mut news: broadcast::Receiver<Told>,
    lasts: impl Fn() -> bool,
    _place: OwnedSemaphorePermit,
) {
    let first = match start {
        Start::Again(told) => told.into_iter().map(|told| told.bytes).collect(),
        Start::Anew(last) => vec![reload(last)],
    };
    // The head reaches the page at once, whatever happens.
    if !send(&mut sender, Bytes::from_static(b"retry: 2000\n: listening\n\n")).await {
        return;
    }
    for bytes in first {
        if !send(&mut sender, bytes).await {
            return;
        }
    }
    let mut heart = tokio::time::interval(HEARTBEAT);
    loop {
        let bytes = tokio::select! {
            told = news.recv() => match told {
                Ok(told) => told.bytes,
                Err(RecvError::Lagged(_)) => {
                    send(&mut sender, Bytes::from_static(b"event: reload\ndata: {}\n\n")).await;
                    return;
                }
                Err(RecvError::Closed) => return,
            },
            _ = heart.tick() => Bytes::from_static(b": alive\n\n"),
        };
        if !lasts() {
            send(&mut sender, Bytes::from_static(b"event: signed-out\ndata: {}\n\n")).await;
            return;
        }
        if !send(&mut sender, bytes).await {
            return;
        }
    }
}

fn reload(last: u64) -> Bytes {
    format!("id: {last}\nevent: reload\ndata: {{}}\n\n").into()
}

async fn send(sender: &mut Sender<Bytes, Broken>, bytes: Bytes) -> bool {
    matches!(tokio::time::timeout(PATIENCE, sender.send_data(bytes)).await, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn ids(start: Start) -> Option<Vec<u64>> {
        match start {
            Start::Again(told) => Some(told.iter().map(|told| told.id).collect()),
            Start::Anew(_) => None,
        }
    }

    #[test]
    fn a_page_that_comes_back_is_told_what_it_missed_or_to_look_anew() {
        let events = Events::new(100);
        assert_eq!(ids(events.since(Some(100)).0), Some(vec![]));
        for _ in 0..3 {
            events.tell(&News::Freeze);
        }
        assert_eq!(ids(events.since(Some(101)).0), Some(vec![102, 103]));
        assert_eq!(ids(events.since(None).0), Some(vec![]));
        assert_eq!(ids(events.since(Some(7)).0), None, "of an earlier run");
        assert_eq!(ids(events.since(Some(999)).0), None, "of nobody knows what");
        for _ in 0..KEPT {
            events.tell(&News::Freeze);
        }
        assert_eq!(ids(events.since(Some(102)).0), None, "too long ago");
    }

    #[tokio::test]
    async fn a_slow_page_is_let_go_and_told_to_look_anew() {
        let events = Events::new(0);
        let mut body = events.stream(None, || true).unwrap().into_body();
        tokio::task::yield_now().await;
        for _ in 0..BACKLOG * 3 {
            events.tell(&News::Latch);
        }
        let mut text = String::new();
        while let Some(frame) = body.frame().await {
            text += std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap();
        }
        assert!(text.ends_with("event: reload\ndata: {}\n\n"), "{text}");
        assert_eq!(events.readers.available_permits(), READERS);
    }

    #[tokio::test]
    async fn who_is_signed_out_hears_no_more() {
        let events = Events::new(0);
        let mut body = events.stream(None, || false).unwrap().into_body();
        events.tell(&News::Freeze);
        let mut text = String::new();
        while let Some(frame) = body.frame().await {
            text += std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap();
        }
        assert!(text.contains("signed-out") && !text.contains("event: freeze"), "{text}");
    }
}
