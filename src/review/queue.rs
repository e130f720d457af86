//! The queue: in before a call runs, out by what a person says or by time.

use herma_scoring::undo::{Delay, Undo};
use herma_scoring::{Rules, redact_json};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use super::kept::{Ended, NEVER_RAN, Prepared, Reviewing};
use super::{Kept, ReviewError, Reviews, change, over, shown};
use crate::call::Call;
use crate::store::{Flag, ReviewRow, ReviewState};

/// Rows of one listing.
const MOST: u32 = 200;

/// A call that waits its delay out.
#[derive(Debug)]
pub struct Delayed {
    pub id: String,
    version: u64,
    /// Gives the name of whoever stops it.
    pub stopped: oneshot::Receiver<String>,
}

impl Reviews {
    /// Puts a call into the queue before it runs, so that none runs unseen.
    pub async fn open(
        &self,
        call: &Call,
        prepared: Prepared,
        rules: &Rules,
        now: i64,
    ) -> Result<Reviewing, ReviewError> {
        let uses = self.store.count_use(&call.origin.server, &call.tool).await?;
        let state = if self.is_sampled(call, uses) { ReviewState::Open } else { ReviewState::Kept };
        let window = match &prepared.kept.undo {
            Undo::Compensate(compensate) => compensate.window,
            Undo::Preimage(_) | Undo::Delay(_) => None,
        };
        let window = window.unwrap_or_else(|| self.settings.load().window.as_secs());
        let row = self.row(call, &prepared.kept.undo, state, window, rules, now);
        let id = row.id.clone();
        self.store.open_review(row, prepared.kept.write()).await?;
        Ok(Reviewing::new(id, prepared))
    }

    /// Lists a call that will run in a while unless somebody stops it.
    pub async fn delay(
        &self,
        call: &Call,
        delay: &Delay,
        rules: &Rules,
        now: i64,
    ) -> Result<Delayed, ReviewError> {
        let undo = Undo::Delay(delay.clone());
        let row = self.row(call, &undo, ReviewState::Delayed, u64::from(delay.seconds), rules, now);
        let (id, version) = (row.id.clone(), row.version);
        let (stop, stopped) = oneshot::channel();
        self.store.enqueue_review(row).await?;
        self.delayed.lock().insert(id.clone(), stop);
        Ok(Delayed { id, version, stopped })
    }

    /// The delay is over. `ran`: nobody stopped it. False when somebody was faster.
    pub async fn end_delay(&self, delayed: Delayed, ran: bool, now: i64) -> Result<bool, ReviewError> {
        let Delayed { id, version, .. } = delayed;
        if self.delayed.lock().remove(&id).is_none() {
            return Ok(false);
        }
        let (state, why) = match ran {
            true => (ReviewState::Expired, "nobody stopped it in time"),
            false => (ReviewState::Stopped, "its client went away"),
        };
        self.store.change_review(&id, version, change(state, json!({ "why": why }), now)).await?;
        Ok(true)
    }

    fn row(
        &self,
        call: &Call,
        undo: &Undo,
        state: ReviewState,
        seconds: u64,
        rules: &Rules,
        now: i64,
    ) -> ReviewRow {
        let kind = match undo {
            Undo::Preimage(_) => "preimage",
            Undo::Compensate(_) => "compensate",
            Undo::Delay(_) => "delay",
        };
        let window = i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
        ReviewRow {
            id: format!("r-{}", call.id),
            call: call.id.to_string(),
            state,
            version: 1,
            created_ms: now,
            expires_ms: now.saturating_add(window),
            session: call.origin.session.to_string(),
            server: call.origin.server.to_string(),
            tool: call.tool.clone(),
            shown: shown(call, redact_json(&call.arguments, rules), undo.residue(), kind),
            undo: serde_json::to_string(undo).ok(),
            verdict: None,
            reviewed_ms: None,
        }
    }

    /// Whether a person looks at this use of a tool.
    fn is_sampled(&self, call: &Call, uses: u64) -> bool {
        let settings = self.settings.load();
        if uses <= settings.first {
            return true;
        }
        let drawn = Sha256::new().chain_update(self.salt).chain_update(call.id.to_string()).finalize();
        let drawn = drawn.iter().take(4).fold(0u32, |drawn, byte| (drawn << 8) | u32::from(*byte));
        f64::from(drawn) < settings.share * f64::from(u32::MAX)
    }

    /// A reviewed call has ended: what it left is kept. One that failed and changed nothing needs nobody.
    pub async fn ended(&self, ended: Ended, now: i64) -> Result<(), ReviewError> {
        let Ended { id, kept, left, failed } = ended;
        let blobs = std::sync::Arc::clone(&self.blobs);
        // It is kept to be shown; what is put back was kept before.
        let keep = move || left.iter().for_each(|bytes| drop(blobs.put(bytes)));
        let _ = tokio::task::spawn_blocking(keep).await;
        let never_ran = kept.ended.as_deref() == Some(NEVER_RAN);
        let unchanged = !kept.images.is_empty() && kept.images.iter().all(|image| !image.has_changed());
        let untouched = never_ran || (failed && unchanged);
        if !failed && !kept.images.is_empty() && kept.images.iter().all(super::Image::stayed_absent) {
            tracing::warn!(
                server = kept.server,
                review = id,
                "the server says it changed files that are not here"
            );
            self.elsewhere.lock().insert(kept.server.clone());
        }
        self.store.keep_undo(&id, kept.write()).await?;
        if untouched
            && let Some(row) = self.store.review(&id).await?
            && row.state.is_revertible()
        {
            let verdict = json!({ "why": "the call failed and changed nothing" });
            self.store.change_review(&id, row.version, change(ReviewState::Accepted, verdict, now)).await?;
        }
        Ok(())
    }

    /// What waits for a person: delayed calls first, then what ran, oldest first. With `all` also what nobody need
    /// look at and what is over, newest first.
    pub async fn list(&self, all: bool) -> Result<Vec<ReviewRow>, ReviewError> {
        if all {
            return Ok(self.store.all_reviews(MOST).await?);
        }
        let mut rows = Vec::new();
        let states =
            [ReviewState::Delayed, ReviewState::Open, ReviewState::RevertFailed, ReviewState::Reverting];
        for state in states {
            rows.extend(self.store.reviews(state, MOST).await?);
        }
        Ok(rows)
    }

    /// The row of a review.
    pub async fn row_of(&self, id: &str) -> Result<ReviewRow, ReviewError> {
        self.store.review(id).await?.ok_or_else(|| ReviewError::Unknown(id.to_owned()))
    }

    pub(super) async fn kept(&self, row: &ReviewRow) -> Result<Kept, ReviewError> {
        let text = self.store.kept_undo(&row.id).await?.ok_or_else(|| over(row))?;
        Kept::read(&row.id, &text)
    }

    /// A person has looked and is content.
    pub async fn accept(&self, id: &str, by: &str, now: i64) -> Result<ReviewRow, ReviewError> {
        let row = self.row_of(id).await?;
        self.accept_row(&row, by, now).await
    }

    /// The same for all that wait with the same server, tool and session. Gives the ids.
    pub async fn accept_group(&self, id: &str, by: &str, now: i64) -> Result<Vec<String>, ReviewError> {
        let row = self.row_of(id).await?;
        let alike = |other: &ReviewRow| {
            (&other.server, &other.tool, &other.session) == (&row.server, &row.tool, &row.session)
        };
        let mut accepted = Vec::new();
        for other in
            self.store.reviews(ReviewState::Open, u32::MAX).await?.iter().filter(|other| alike(other))
        {
            accepted.push(self.accept_row(other, by, now).await?.id);
        }
        Ok(accepted)
    }

    async fn accept_row(&self, row: &ReviewRow, by: &str, now: i64) -> Result<ReviewRow, ReviewError> {
        if !row.state.may_become(ReviewState::Accepted) {
            return Err(over(row));
        }
        let accepted = change(ReviewState::Accepted, json!({ "by": by }), now);
        Ok(self.store.change_review(&row.id, row.version, accepted).await?)
    }

    /// A person objects: from now on calls of this tool are held. This one can still be taken back.
    pub async fn flag(&self, id: &str, by: &str, reason: &str, now: i64) -> Result<ReviewRow, ReviewError> {
        let mut row = self.row_of(id).await?;
        let flag = Flag {
            server: row.server.clone(),
            tool: row.tool.clone(),
            by: by.to_owned(),
            reason: reason.to_owned(),
            at_ms: now,
        };
        self.store.put_flag(flag).await?;
        self.flagged.lock().insert((row.server.clone(), row.tool.clone()));
        if row.state.may_become(ReviewState::Flagged) {
            let verdict = json!({ "by": by, "reason": reason });
            row = self
                .store
                .change_review(&row.id, row.version, change(ReviewState::Flagged, verdict, now))
                .await?;
        }
        Ok(row)
    }

    /// Calls of this tool are reviewed again. False when it was not flagged.
    pub async fn unflag(&self, server: &str, tool: &str) -> Result<bool, ReviewError> {
        let was_flagged = self.store.drop_flag(server, tool).await?;
        self.flagged.lock().remove(&(server.to_owned(), tool.to_owned()));
        Ok(was_flagged)
    }

    pub async fn flags(&self) -> Result<Vec<Flag>, ReviewError> {
        Ok(self.store.flags().await?)
    }

    /// Keeps a delayed call from running.
    pub async fn stop(&self, id: &str, by: &str, now: i64) -> Result<ReviewRow, ReviewError> {
        let row = self.row_of(id).await?;
        let stop = self.delayed.lock().remove(id);
        let Some(stop) = stop else {
            return Err(match row.state {
                ReviewState::Delayed => ReviewError::Over {
                    id: row.id,
                    state: row.state,
                    left: "it begins to run at this moment",
                },
                _ => over(&row),
            });
        };
        let row = self
            .store
            .change_review(id, row.version, change(ReviewState::Stopped, json!({ "by": by }), now))
            .await?;
        // Whoever waits is gone or learns it now; the call does not run either way.
        let _ = stop.send(by.to_owned());
        Ok(row)
    }

    /// One takes it back, and nobody else.
    pub async fn begin_revert(&self, row: &ReviewRow, by: &str, now: i64) -> Result<ReviewRow, ReviewError> {
        if !row.state.is_revertible() {
            return Err(over(row));
        }
        let begun = change(ReviewState::Reverting, json!({ "by": by }), now);
        Ok(self.store.change_review(&row.id, row.version, begun).await?)
    }

    pub async fn end_revert(
        &self,
        row: &ReviewRow,
        reverted: bool,
        verdict: serde_json::Value,
        now: i64,
    ) -> Result<ReviewRow, ReviewError> {
        let state = if reverted { ReviewState::Reverted } else { ReviewState::RevertFailed };
        Ok(self.store.change_review(&row.id, row.version, change(state, verdict, now)).await?)
    }
}
