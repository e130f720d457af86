//! How people decide, for themselves to see.

use serde::Serialize;

use super::{Gate, GateError};
use crate::store::HoldState;

const DAY: i64 = 24 * 60 * 60 * 1000;

/// The gate in figures. Times are in milliseconds, Unix or of a duration as the name says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    pub pending: u64,
    /// Since when the oldest of them waits.
    pub oldest_ms: Option<i64>,
    /// Since midnight UTC.
    pub approvals_today: u64,
    pub denials_today: u64,
    /// 0–1; `None` while nothing was decided today.
    pub approved_share_today: Option<f64>,
    pub median_seconds_today: Option<f64>,
}

impl Gate {
    pub async fn figures(&self, now: i64) -> Result<Figures, GateError> {
        let waiting: Vec<i64> = {
            let open = self.open();
            let pending = open.values().map(|hold| hold.row()).filter(|row| row.state == HoldState::Pending);
            pending.map(|row| row.created_ms).collect()
        };
        let decided = self.store.decided_since(now.saturating_sub(now.rem_euclid(DAY))).await?;
        let denials = decided.iter().filter(|decided| decided.denied).count();
        let approvals = decided.len().saturating_sub(denials);
        let mut took: Vec<i64> =
            decided.iter().map(|decided| decided.decided_ms.saturating_sub(decided.created_ms)).collect();
        took.sort_unstable();
        let median = took.get(took.len() / 2);
        Ok(Figures {
            pending: waiting.len() as u64,
            oldest_ms: waiting.into_iter().min(),
            approvals_today: approvals as u64,
            denials_today: denials as u64,
            approved_share_today: (!decided.is_empty()).then(|| approvals as f64 / decided.len() as f64),
            median_seconds_today: median.map(|ms| *ms as f64 / 1000.0),
        })
    }
}
