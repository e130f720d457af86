//! Calls that ran because they can be undone, waiting for a person to look at them.

use std::sync::Arc;

use herma_scoring::{Rules, Undo, redact_json};
use serde_json::json;

use crate::call::Call;
use crate::store::{ReviewChange, ReviewRow, ReviewState, Store, StoreError};

/// A review that could not be opened or changed.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no review named `{0}` waits")]
    Unknown(String),
}

/// How long a review waits before its undo is given up.
const WINDOW_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// Rows of one listing.
const MOST: u32 = 200;

/// The queue.
#[derive(Debug)]
pub struct Reviews {
    store: Arc<dyn Store>,
}

impl Reviews {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Puts a call into the queue before it runs, so that none runs unseen. Returns the review's id.
    pub async fn open(
        &self,
        call: &Call,
        undo: &Undo,
        rules: &Rules,
        now: i64,
    ) -> Result<String, ReviewError> {
        let id = format!("r-{}", call.id);
        let row = ReviewRow {
            id: id.clone(),
            call: call.id.to_string(),
            state: ReviewState::Open,
            version: 1,
            created_ms: now,
            expires_ms: now.saturating_add(WINDOW_MS),
            session: call.origin.session.to_string(),
            server: call.origin.server.to_string(),
            tool: call.tool.clone(),
            shown: json!({ "principal": &*call.origin.principal, "arguments": redact_json(&call.arguments, rules) }).to_string(),
            undo: serde_json::to_string(undo).ok(),
            verdict: None,
            reviewed_ms: None,
        };
        self.store.enqueue_review(row).await?;
        Ok(id)
    }

    /// What waits to be looked at, oldest first.
    pub async fn waiting(&self) -> Result<Vec<ReviewRow>, ReviewError> {
        Ok(self.store.reviews(ReviewState::Open, MOST).await?)
    }

    /// A person has looked and is content.
    pub async fn accept(&self, id: &str, by: &str, now: i64) -> Result<(), ReviewError> {
        let waiting = self.waiting().await?;
        let row =
            waiting.iter().find(|row| row.id == id).ok_or_else(|| ReviewError::Unknown(id.to_owned()))?;
        let change = ReviewChange {
            state: Some(ReviewState::Accepted),
            verdict: Some(json!({ "by": by }).to_string()),
            reviewed_ms: Some(now),
        };
        self.store.change_review(id, row.version, change).await?;
        Ok(())
    }
}
