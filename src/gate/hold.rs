//! One call that waits, as this process knows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Mutex as Turn, MutexGuard as TurnGuard, watch};

use crate::store::{HoldRow, HoldState};

/// Where a hold stands, for those who wait.
#[derive(Debug, Clone)]
pub enum Stand {
    /// Not yet on disk.
    Opening,
    Pending,
    Approved {
        by: String,
    },
    Denied {
        by: String,
        reason: String,
    },
    Expired,
    Abandoned,
    Superseded,
    /// One of the identical calls is running.
    Running,
    Answered(Arc<Answer>),
    /// It could not be held, or what became of it is not known.
    Failed,
}

/// What came back from a call that was held, for identical calls that joined it.
#[derive(Debug)]
pub struct Answer {
    /// The JSON-RPC response as it came, with the id of the call that ran.
    pub response: Bytes,
    pub is_error: bool,
    /// What the agent must hear before it.
    pub told: Option<String>,
}

#[derive(Debug)]
pub(super) struct Hold {
    id: String,
    key: String,
    principal: String,
    session: String,
    row: Mutex<HoldRow>,
    stand: watch::Sender<Stand>,
    waiting: AtomicUsize,
    /// Somebody said that they will ask again.
    expected: AtomicBool,
    /// Unix ms until which the answer is kept for a retry; 0 while there is none.
    kept_until: AtomicI64,
    /// Changes of state take turns.
    turn: Turn<()>,
}

impl Hold {
    pub(super) fn new(row: HoldRow) -> Self {
        Self::with(row, Stand::Opening, false)
    }

    /// A hold of an earlier run. Its clients are unknown, so it is expected that they ask again.
    pub(super) fn restored(row: HoldRow) -> Self {
        let stand = match row.state {
            HoldState::Approved => Stand::Approved { by: "a person, before Herma was restarted".into() },
            _ => Stand::Pending,
        };
        Self::with(row, stand, true)
    }

    fn with(row: HoldRow, stand: Stand, expected: bool) -> Self {
        Self {
            id: row.id.clone(),
            key: row.key.clone(),
            principal: row.principal.clone(),
            session: row.session.clone(),
            row: Mutex::new(row),
            stand: watch::Sender::new(stand),
            waiting: AtomicUsize::new(0),
            expected: AtomicBool::new(expected),
            kept_until: AtomicI64::new(0),
            turn: Turn::new(()),
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn is_of(&self, principal: &str) -> bool {
        self.principal == principal
    }

    pub(super) fn is_in(&self, session: &str) -> bool {
        self.session == session
    }

    pub(super) fn row(&self) -> HoldRow {
        self.row.lock().clone()
    }

    /// When it was opened, while it waits for a person. Its row is large: thousands of holds are counted by this.
    pub(super) fn waits_since(&self) -> Option<i64> {
        let row = self.row.lock();
        (row.state == HoldState::Pending).then_some(row.created_ms)
    }

    pub(super) fn set_row(&self, row: HoldRow) {
        *self.row.lock() = row;
    }

    pub(super) async fn turn(&self) -> TurnGuard<'_, ()> {
        self.turn.lock().await
    }

    pub(super) fn stand(&self, stand: Stand) {
        self.stand.send_replace(stand);
    }

    /// It is on disk: from here on it can be decided.
    pub(super) fn opened(&self) {
        self.stand.send_if_modified(|stand| {
            let opening = matches!(stand, Stand::Opening);
            if opening {
                *stand = Stand::Pending;
            }
            opening
        });
    }

    /// Resolves when the store has it, or will not have it.
    pub(super) async fn stored(&self) {
        // The sender lives in this very hold.
        let _ = self.stand.subscribe().wait_for(|stand| !matches!(stand, Stand::Opening)).await;
    }

    pub(super) fn watch(&self) -> watch::Receiver<Stand> {
        self.stand.subscribe()
    }

    pub(super) fn come(&self) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
    }

    /// True when nobody is left and nobody said that they will be back.
    pub(super) fn go(&self, will_be_back: bool) -> bool {
        if will_be_back {
            self.expected.store(true, Ordering::Release);
        }
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        !self.awaited()
    }

    pub(super) fn awaited(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0 || self.expected.load(Ordering::Acquire)
    }

    pub(super) fn keep_until(&self, ms: i64) {
        self.kept_until.store(ms, Ordering::Release);
    }

    pub(super) fn is_due(&self, now: i64) -> bool {
        let row = self.row();
        match row.state {
            HoldState::Pending | HoldState::Approved => row.expires_ms <= now,
            HoldState::Forwarding => false,
            _ => self.kept_until.load(Ordering::Acquire) <= now,
        }
    }
}
