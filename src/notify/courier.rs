//! Delivering what waits in the outbox, one channel after its own clock.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode};
use tokio::sync::Notify as Bell;

use super::message::address;
use super::setup::{Channel, Kind};
use super::{Clock, NotifyError};
use crate::pool::{Pool, cause};
use crate::store::{ChannelOff, Notice, Store, StoreError};

/// A receiver that has not answered by then has not received.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Tries before a message is given up: the last is a good quarter of an hour after the first.
pub(super) const TRIES: u32 = 6;
/// How long to wait before the store is asked again that could not answer.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// How a message is handed over; in tests, to the test.
pub(super) trait Post: Send + Sync + 'static {
    fn post(&self, request: Request<Full<Bytes>>) -> impl Future<Output = Result<StatusCode, String>> + Send;
}

impl Post for Pool {
    async fn post(&self, request: Request<Full<Bytes>>) -> Result<StatusCode, String> {
        match tokio::time::timeout(TIMEOUT, self.request(request)).await {
            Ok(Ok(response)) => Ok(response.status()),
            Ok(Err(error)) => Err(cause(&error)),
            Err(_) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
        }
    }
}

pub(super) struct Courier<P> {
    pub(super) channel: Arc<Channel>,
    pub(super) store: Arc<dyn Store>,
    pub(super) post: Arc<P>,
    pub(super) clock: Clock,
    /// Rung when the outbox has changed.
    pub(super) bell: Arc<Bell>,
}

impl<P: Post> Courier<P> {
    /// Delivers for as long as the daemon runs.
    pub(super) async fn work(self) {
        loop {
            let pause = match self.deliver_next().await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::error!(channel = &*self.channel.name, %error, "the outbox cannot be read");
                    Some(STORE_PAUSE)
                }
            };
            match pause {
                Some(pause) => {
                    // A new message may be due before the one that is waited for.
                    let _ = tokio::time::timeout(pause, self.bell.notified()).await;
                }
                None => self.bell.notified().await,
            }
        }
    }

    /// Tries what is due. Returns how long to rest; `None` until the bell rings.
    async fn deliver_next(&self) -> Result<Option<Duration>, StoreError> {
        let Some(notice) = self.store.next_notice(&self.channel.name).await? else { return Ok(None) };
        let now = (self.clock)();
        if notice.next_ms > now {
            return Ok(Some(Duration::from_millis(notice.next_ms.abs_diff(now))));
        }
        if self.is_over(&notice).await? {
            self.store.drop_notice(&notice.id).await?;
            return Ok(Some(Duration::ZERO));
        }
        if let Some(off) =
            self.store.channels_off().await?.into_iter().find(|off| *off.channel == *self.channel.name)
        {
            self.store.put_notice(Notice { dead: true, error: Some(off.why), ..notice }).await?;
            return Ok(Some(Duration::ZERO));
        }
        match self.send(&notice).await {
            Ok(()) => self.store.drop_notice(&notice.id).await?,
            Err(NotifyError::Gone) => {
                let why = NotifyError::Gone.to_string();
                tracing::error!(channel = &*self.channel.name, "{why}");
                let off = ChannelOff { channel: self.channel.name.to_string(), since_ms: now, why };
                self.store.switch_channel_off(off).await?;
            }
            Err(error) => {
                let attempts = notice.attempts.saturating_add(1);
                let dead = attempts >= TRIES;
                tracing::warn!(channel = &*self.channel.name, id = notice.id, attempts, dead, %error, "a message could not be delivered");
                let next_ms = now.saturating_add(pause(attempts, chance()));
                self.store
                    .put_notice(Notice { attempts, dead, next_ms, error: Some(error.to_string()), ..notice })
                    .await?;
            }
        }
        Ok(Some(Duration::ZERO))
    }

    /// A message about a hold that nobody can decide any more helps nobody.
    async fn is_over(&self, notice: &Notice) -> Result<bool, StoreError> {
        if notice.attempts == 0 || !notice.about.starts_with("h-") {
            return Ok(false);
        }
        let hold = self.store.hold(&notice.about).await?;
        Ok(hold.is_none_or(|hold| hold.state != crate::store::HoldState::Pending))
    }

    /// One try.
    pub(super) async fn send(&self, notice: &Notice) -> Result<(), NotifyError> {
        let request = request(&self.channel, &notice.id, &notice.body, (self.clock)())?;
        match self.post.post(request).await.map_err(NotifyError::Unreachable)? {
            status if status.is_success() => Ok(()),
            StatusCode::GONE => Err(NotifyError::Gone),
            status => Err(NotifyError::Refused(status.as_u16())),
        }
    }
}

fn request(channel: &Channel, id: &str, body: &str, now: i64) -> Result<Request<Full<Bytes>>, NotifyError> {
    let mut request = Request::post(address(channel))
        .header(USER_AGENT, concat!("herma/", env!("CARGO_PKG_VERSION")))
        .header("host", channel.url.authority().map(|authority| authority.as_str()).unwrap_or_default());
    match &channel.kind {
        Kind::Webhook(secret) => {
            let seconds = now.div_euclid(1000);
            request = request
                .header(CONTENT_TYPE, "application/cloudevents+json; charset=utf-8")
                .header("webhook-id", id)
                .header("webhook-timestamp", seconds)
                .header("webhook-signature", secret.sign(id, seconds, body.as_bytes()));
        }
        Kind::Ntfy { token, .. } => {
            request = request.header(CONTENT_TYPE, "application/json");
            if let Some(token) = token {
                let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
                    .map_err(|_| NotifyError::Token)?;
                value.set_sensitive(true);
                request = request.header(AUTHORIZATION, value);
            }
        }
    }
    request
        .body(Full::new(body.to_owned().into()))
        .map_err(|error| NotifyError::Unreachable(error.to_string()))
}

/// Milliseconds before the next try: five seconds, three times as long each time up to a quarter of an hour, and
/// up to a fifth more or less so that many senders do not come back at once. `chance` lies between 0 and 1.
fn pause(attempts: u32, chance: f64) -> i64 {
    let whole = 5_000_i64.saturating_mul(3_i64.saturating_pow(attempts.saturating_sub(1))).min(900_000);
    let fifth = whole / 5;
    whole - fifth + (2.0 * fifth as f64 * chance.clamp(0.0, 1.0)) as i64
}

fn chance() -> f64 {
    let mut random = [0u8; 1];
    // Without randomness every pause is of middle length.
    getrandom::fill(&mut random).map_or(0.5, |()| f64::from(random[0]) / 255.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_differ_and_end() {
        let middle: Vec<_> = (1..TRIES).map(|attempts| pause(attempts, 0.5)).collect();
        assert_eq!(middle, [5_000, 15_000, 45_000, 135_000, 405_000]);
        assert_eq!((pause(1, 0.0), pause(1, 1.0)), (4_000, 6_000));
        assert_eq!(pause(40, 1.0), 1_080_000);
    }
}
