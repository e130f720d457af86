//! Calls that ran because they can be undone: what is kept to undo them, and who looks at them.
//!
//! [`Reviews::prepare`] keeps what an undo takes before the call may leave, [`Reviews::open`] puts the call into the
//! queue, [`Reviews::ended`] notes what it left. A revert is a call of its own, which the firewall makes.

pub mod blobs;
pub mod image;
pub mod kept;
mod notices;
mod plan;
mod queue;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use herma_scoring::undo::Preimage;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::call::Call;
use crate::store::{ReviewChange, ReviewRow, ReviewState, Store, StoreError};

use blobs::Blobs;
pub use image::{Ground, Image, ImageError, Place, State};
pub use kept::{Ended, Kept, Prepared, Reviewing, protocol_meta, result_of};
pub use notices::Notices;
pub use plan::{FilePlan, Plan, Shown};

/// A review that could not be opened or changed.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error("no review is named `{0}`")]
    Unknown(String),
    #[error("review `{id}` is {state}: {left}")]
    Over { id: String, state: ReviewState, left: &'static str },
    #[error("what was kept for review `{0}` cannot be read")]
    Unreadable(String),
    #[error("review `{0}` is no longer what the plan was made for: look at it again")]
    Moved(String),
    #[error("the directory for kept files, {}: {source}", .path.display())]
    Directory { path: PathBuf, source: std::io::Error },
}

/// What the operator says of reviews.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// A person looks at this many first uses of a tool …
    pub first: u64,
    /// … and then at this share of them.
    pub share: f64,
    /// How long a call can be taken back.
    pub window: Duration,
    /// Bytes of files that are kept at most.
    pub keep: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { first: 20, share: 0.1, window: Duration::from_secs(7 * 24 * 60 * 60), keep: 1 << 30 }
    }
}

/// Files of which a reviewed call is under way, each with a turn that only one has.
type Turns = Mutex<HashMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>;

/// The queue, and everything that is kept to undo calls.
#[derive(Debug)]
pub struct Reviews {
    store: Arc<dyn Store>,
    blobs: Arc<Blobs>,
    settings: ArcSwap<Settings>,
    /// Nobody who does not know it can tell which calls will be looked at.
    salt: [u8; 32],
    flagged: Mutex<HashSet<(String, String)>>,
    delayed: Mutex<HashMap<String, oneshot::Sender<String>>>,
    turns: Turns,
    /// Servers that said to have made files of which nothing was to be seen here.
    elsewhere: Mutex<HashSet<String>>,
    pub notices: Notices,
    swept_ms: AtomicU64,
}

impl Reviews {
    /// Takes up what the last run left. What it was reverting is not known to be reverted, and what it delayed
    /// never ran.
    pub async fn restore(
        store: Arc<dyn Store>,
        data_dir: &Path,
        settings: Settings,
        salt: [u8; 32],
        now: i64,
    ) -> Result<Self, ReviewError> {
        let path = data_dir.join("preimages");
        let blobs = Blobs::open(&path, settings.keep)
            .map_err(|source| ReviewError::Directory { path: path.clone(), source })?;
        let interrupted = [
            (ReviewState::Reverting, ReviewState::RevertFailed, "Herma ended while it was taken back"),
            (ReviewState::Delayed, ReviewState::Stopped, "Herma ended before it ran"),
        ];
        for (from, to, why) in interrupted {
            for row in store.reviews(from, u32::MAX).await? {
                let verdict = Some(json!({ "why": why }).to_string());
                let change = ReviewChange { state: Some(to), verdict, reviewed_ms: Some(now) };
                store.change_review(&row.id, row.version, change).await?;
            }
        }
        let flagged = store.flags().await?.into_iter().map(|flag| (flag.server, flag.tool)).collect();
        Ok(Self {
            store,
            blobs: Arc::new(blobs),
            settings: ArcSwap::from_pointee(settings),
            salt,
            flagged: Mutex::new(flagged),
            delayed: Mutex::default(),
            turns: Mutex::default(),
            elsewhere: Mutex::default(),
            notices: Notices::default(),
            swept_ms: AtomicU64::new(0),
        })
    }

    /// From now on calls are reviewed by these; what may be kept in all needs a restart.
    pub fn replace(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    /// Whether somebody objected to a call of this tool: then the next one is held.
    pub fn is_flagged(&self, server: &str, tool: &str) -> bool {
        let flagged = self.flagged.lock();
        !flagged.is_empty() && flagged.contains(&(server.to_owned(), tool.to_owned()))
    }

    /// Keeps the files a call will change. Whatever stands in the way is a reason not to run it unseen.
    pub async fn keep_files(
        &self,
        preimage: &Preimage,
        call: &Call,
        ground: Option<&Ground>,
    ) -> Result<(Vec<Image>, Vec<kept::Turn>), ImageError> {
        let is_elsewhere = self.elsewhere.lock().contains(&*call.origin.server);
        let ground = ground.filter(|_| !is_elsewhere).ok_or(ImageError::Remote)?;
        let mut places = Vec::new();
        for pointer in &preimage.path {
            let named = call.arguments.pointer(pointer).and_then(Value::as_str);
            places.push(ground.place(named.ok_or_else(|| ImageError::Unnamed(pointer.clone()))?)?);
        }
        places.sort();
        places.dedup();
        let mut turns = Vec::new();
        for place in &places {
            turns.push(kept::take_turn(&self.turns, place.path()).await?);
        }
        let (blobs, max, directory) = (Arc::clone(&self.blobs), preimage.max, preimage.directory);
        let take =
            move || places.into_iter().map(|place| Image::take(place, max, directory, &blobs)).collect();
        let taken: Result<Vec<Image>, ImageError> =
            tokio::task::spawn_blocking(take).await.unwrap_or_else(|_| {
                Err(ImageError::Io {
                    path: PathBuf::new(),
                    source: std::io::Error::other("it could not be looked at"),
                })
            });
        Ok((taken?, turns))
    }

    /// Ends what is too old and forgets what nothing needs; does so once a minute however often it is asked.
    pub async fn sweep(&self, now: i64) -> Result<(), ReviewError> {
        let (now_ms, last) = (now.max(0).cast_unsigned(), self.swept_ms.load(Ordering::Relaxed));
        if now_ms < last.saturating_add(60_000) {
            return Ok(());
        }
        self.swept_ms.store(now_ms, Ordering::Relaxed);
        self.turns.lock().retain(|_, turn| Arc::strong_count(turn) > 1);
        self.store.expire_reviews(now).await?;
        let mut live = HashSet::new();
        for (review, text) in self.store.all_kept_undos().await? {
            let kept = Kept::read(&review, &text)?;
            live.extend(kept.blobs().map(str::to_owned));
        }
        let blobs = Arc::clone(&self.blobs);
        let swept = tokio::task::spawn_blocking(move || blobs.sweep(&live)).await;
        if let Ok(Err(source)) = swept {
            return Err(ReviewError::Directory { path: PathBuf::from("preimages"), source });
        }
        Ok(())
    }
}

/// What a row says of a call for people.
fn shown(call: &Call, arguments: Value, residue: Option<&str>, kind: &str) -> String {
    json!({
        "principal": &*call.origin.principal,
        "arguments": arguments,
        "undo": kind,
        "residue": residue,
    })
    .to_string()
}

fn change(state: ReviewState, verdict: Value, now: i64) -> ReviewChange {
    ReviewChange { state: Some(state), verdict: Some(verdict.to_string()), reviewed_ms: Some(now) }
}

/// What is left to do with a review that is over.
fn over(row: &ReviewRow) -> ReviewError {
    let left = match row.state {
        ReviewState::Delayed => "it has not run; `herma review stop` keeps it from running",
        ReviewState::Stopped => "it never ran",
        ReviewState::Reverting => "somebody takes it back at this moment",
        ReviewState::Reverted => "it has been taken back",
        _ => "what it takes to undo it is no longer kept",
    };
    ReviewError::Over { id: row.id.clone(), state: row.state, left }
}
