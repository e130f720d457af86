//! How people decide, for themselves to see.

use serde::Serialize;

use super::{Gate, GateError};

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
        let (pending, oldest_ms) = {
            let open = self.open();
            let waiting = open.values().filter_map(|hold| hold.waits_since());
            waiting.fold((0u64, None::<i64>), |(count, oldest), since| {
                (count.saturating_add(1), Some(oldest.map_or(since, |oldest| oldest.min(since))))
            })
        };
        let decided = self.store.decided_since(now.saturating_sub(now.rem_euclid(DAY))).await?;
        let denials = decided.iter().filter(|decided| decided.denied).count();
        let approvals = decided.len().saturating_sub(denials);
        let mut took: Vec<i64> =
            decided.iter().map(|decided| decided.decided_ms.saturating_sub(decided.created_ms)).collect();
        took.sort_unstable();
        let median = took.get(took.len() / 2);
        Ok(Figures {
            pending,
            oldest_ms,
            approvals_today: approvals as u64,
            denials_today: denials as u64,
            approved_share_today: (!decided.is_empty()).then(|| approvals as f64 / decided.len() as f64),
            median_seconds_today: median.map(|ms| *ms as f64 / 1000.0),
        })
    }
}
