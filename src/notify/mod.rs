//! Telling people that something waits for them.
//!
//! The [`ladder`](Setup) says who is told of which hold and when; every message goes through an outbox in the
//! store, with what it tells of whom, so that a restart loses none and repeats none. Each channel has a courier
//! of its own, which tries again and in the end gives up, visibly. Nothing here can decide anything.

mod courier;
mod ladder;
mod message;
mod setup;
mod sign;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Notify as Bell;
use tokio::sync::broadcast::error::RecvError;

use crate::gate::{Gate, GateError};
use crate::ledger::{Ledger, SignedHead};
use crate::store::{ChannelOff, HoldFilter, HoldState, Notice, Notified, Order, Store, StoreError};
use courier::{Courier, Post};
use ladder::{Ladder, Push};
use message::Message;
pub use setup::{Channel, Detail, Kind, Quiet, Rung, Secret, Setup};
pub use sign::{BadSecret, SigningSecret};

/// Unix milliseconds, wherever they come from.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// However far away the next message is, the clock is looked at this often: it may be set.
const GLANCE: Duration = Duration::from_secs(30);
/// Checkpoints of a busy ledger are pushed no oftener than this.
const CHECKPOINT_PAUSE: Duration = Duration::from_secs(30);

/// Why a message did not arrive, or could not be sent again.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Gate(#[from] GateError),
    #[error("no channel is named `{0}`: [[notify]] tables in the file name them")]
    Unknown(String),
    #[error("no message is named `{0}`")]
    NoNotice(String),
    #[error("the receiver cannot be reached: {0}")]
    Unreachable(String),
    #[error("the receiver answered HTTP {0}")]
    Refused(u16),
    #[error("the receiver answered HTTP 410: it wants nothing any more, so the channel is off")]
    Gone,
    #[error("the access token has characters no header may have")]
    Token,
    #[error("no randomness from the operating system: {0}")]
    Randomness(#[from] getrandom::Error),
}

/// What a person sees of the channels.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Overview {
    pub channels: Vec<ChannelView>,
    pub notices: Vec<Notice>,
}

/// A channel without its secret. Of its address the host is shown: a path may be a secret too.
#[derive(Debug, Clone, Serialize)]
pub struct ChannelView {
    pub name: String,
    pub kind: &'static str,
    pub host: String,
    pub off: Option<ChannelOff>,
}

/// The running notifications.
pub struct Notify {
    setup: Setup,
    store: Arc<dyn Store>,
    clock: Clock,
    bells: HashMap<Arc<str>, Arc<Bell>>,
    pool: crate::pool::Pool,
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notify").field("setup", &self.setup).finish_non_exhaustive()
    }
}

impl Notify {
    /// Begins to tell people. What waited before this start and was told is not told again.
    pub async fn start(
        setup: Setup,
        store: Arc<dyn Store>,
        gate: Arc<Gate>,
        ledger: &Ledger,
        clock: Clock,
        pool: crate::pool::Pool,
    ) -> Result<Arc<Self>, NotifyError> {
        let heads = ledger.heads();
        Self::start_with(setup, store, gate, heads, clock, Arc::new(pool.clone()), pool).await
    }

    async fn start_with<P: Post>(
        setup: Setup,
        store: Arc<dyn Store>,
        gate: Arc<Gate>,
        mut heads: tokio::sync::watch::Receiver<Option<SignedHead>>,
        clock: Clock,
        post: Arc<P>,
        pool: crate::pool::Pool,
    ) -> Result<Arc<Self>, NotifyError> {
        let mut bells = HashMap::new();
        for channel in &setup.channels {
            let bell = Arc::new(Bell::new());
            bells.insert(Arc::clone(&channel.name), Arc::clone(&bell));
            let courier = Courier {
                channel: Arc::clone(channel),
                store: Arc::clone(&store),
                post: Arc::clone(&post),
                clock: Arc::clone(&clock),
                bell,
            };
            tokio::spawn(courier.work());
        }
        let notify = Arc::new(Self { setup, store, clock, bells, pool });
        if notify.setup.channels.is_empty() {
            return Ok(notify);
        }
        // Listened to before it is listed, so that nothing falls between.
        let news = gate.news();
        let mut ladder = Ladder::new(notify.setup.clone());
        ladder.replace(pending(&gate).await?, (notify.clock)());
        for told in notify.store.notified().await? {
            ladder.sent(&told.hold, &told.rung, &told.channel, told.at_ms);
        }
        tokio::spawn(Arc::clone(&notify).climb(ladder, gate, news));
        if let Some(channel) = notify.setup.checkpoints.as_deref().and_then(|name| notify.setup.channel(name))
        {
            let (notify, channel) = (Arc::clone(&notify), Arc::clone(channel));
            tokio::spawn(async move {
                loop {
                    let head = heads.borrow_and_update().clone();
                    if let Some(head) = head {
                        notify
                            .queue_or_log(&Message::checkpoint(&head), "checkpoint", &channel, Vec::new())
                            .await;
                        tokio::time::sleep(CHECKPOINT_PAUSE).await;
                    }
                    if heads.changed().await.is_err() {
                        return;
                    }
                }
            });
        }
        Ok(notify)
    }

    pub async fn overview(&self) -> Result<Overview, NotifyError> {
        let off = self.store.channels_off().await?;
        let channels = self.setup.channels.iter().map(|channel| ChannelView {
            name: channel.name.to_string(),
            kind: channel.kind.name(),
            host: channel.url.authority().map(ToString::to_string).unwrap_or_default(),
            off: off.iter().find(|off| *off.channel == *channel.name).cloned(),
        });
        Ok(Overview { channels: channels.collect(), notices: self.store.notices().await? })
    }

    /// Sends given up messages again: one, or all. Their channels are on again.
    pub async fn retry(&self, id: Option<&str>) -> Result<usize, NotifyError> {
        let all = self.store.notices().await?;
        let wanted: Vec<_> =
            all.into_iter().filter(|notice| id.map_or(notice.dead, |id| notice.id == id)).collect();
        if let (Some(id), true) = (id, wanted.is_empty()) {
            return Err(NotifyError::NoNotice(id.to_owned()));
        }
        let count = wanted.len();
        for notice in wanted {
            self.store.switch_channel_on(&notice.channel).await?;
            let channel = notice.channel.clone();
            let again = Notice { dead: false, attempts: 0, next_ms: (self.clock)(), error: None, ..notice };
            self.store.put_notice(again).await?;
            self.ring(&channel);
        }
        Ok(count)
    }

    /// Sends a message that says nothing, at once and once. A channel that takes it is on again.
    pub async fn test(&self, name: &str) -> Result<(), NotifyError> {
        let channel = self.setup.channel(name).ok_or_else(|| NotifyError::Unknown(name.to_owned()))?;
        let notice = self.notice(&Message::test(), "test", channel)?;
        let courier = Courier {
            channel: Arc::clone(channel),
            store: Arc::clone(&self.store),
            post: Arc::new(self.pool.clone()),
            clock: Arc::clone(&self.clock),
            bell: Arc::default(),
        };
        courier.send(&notice).await?;
        Ok(self.store.switch_channel_on(name).await?)
    }

    async fn climb(
        self: Arc<Self>,
        mut ladder: Ladder,
        gate: Arc<Gate>,
        mut news: tokio::sync::broadcast::Receiver<crate::store::HoldRow>,
    ) {
        loop {
            let now = (self.clock)();
            let (pushes, next) = ladder.due(now);
            for push in pushes {
                if self.push(&push, now).await {
                    for (hold, rung) in &push.told {
                        ladder.sent(hold, rung, &push.channel, now);
                    }
                }
            }
            let pause = next.map_or(GLANCE, |next| Duration::from_millis(next.abs_diff(now)).min(GLANCE));
            tokio::select! {
                changed = news.recv() => match changed {
                    Ok(row) => ladder.note(row, (self.clock)()),
                    Err(RecvError::Lagged(_)) => match pending(&gate).await {
                        Ok(rows) => ladder.replace(rows, (self.clock)()),
                        Err(error) => tracing::error!(%error, "what waits cannot be read; people may be told late"),
                    },
                    Err(RecvError::Closed) => return,
                },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn push(&self, push: &Push, now: i64) -> bool {
        let Some(channel) = self.setup.channel(&push.channel) else { return true };
        let about = push.holds.first().map(|row| row.id.clone()).unwrap_or_default();
        let told = push.told.iter().map(|(hold, rung)| Notified {
            hold: hold.clone(),
            rung: rung.clone(),
            channel: push.channel.to_string(),
            at_ms: now,
        });
        self.queue_or_log(&Message::holds(push, channel), &about, channel, told.collect()).await
    }

    async fn queue_or_log(
        &self,
        message: &Message,
        about: &str,
        channel: &Channel,
        told: Vec<Notified>,
    ) -> bool {
        let queued = async {
            let notice = self.notice(message, about, channel)?;
            Ok::<_, NotifyError>(self.store.queue_notice(notice, told).await?)
        };
        match queued.await {
            Ok(()) => {
                self.ring(&channel.name);
                true
            }
            Err(error) => {
                tracing::error!(%error, channel = &*channel.name, "a message to a person could not be kept; it is tried again");
                false
            }
        }
    }

    fn notice(&self, message: &Message, about: &str, channel: &Channel) -> Result<Notice, NotifyError> {
        let mut random = [0u8; 12];
        getrandom::fill(&mut random)?;
        let id = format!("msg_{}", data_encoding::HEXLOWER.encode(&random));
        let now = (self.clock)();
        Ok(Notice {
            body: message.body(&id, now, channel),
            id,
            channel: channel.name.to_string(),
            about: about.to_owned(),
            dead: false,
            attempts: 0,
            created_ms: now,
            next_ms: now,
            error: None,
        })
    }

    fn ring(&self, channel: &str) {
        if let Some(bell) = self.bells.get(channel) {
            bell.notify_one();
        }
    }
}

async fn pending(gate: &Gate) -> Result<Vec<crate::store::HoldRow>, GateError> {
    let order = Order::OldestFirst;
    gate.list(HoldFilter { states: vec![HoldState::Pending], order, ..HoldFilter::default() }).await
}
