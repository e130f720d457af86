//! What the writer has done, counted as it does it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Upper ends of the buckets of a sync's time, in microseconds.
const SYNC_BUCKETS: [u64; 8] = [250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000];

/// Counters that only grow.
#[derive(Debug, Default)]
pub struct Figures {
    lines: AtomicU64,
    syncs: AtomicU64,
    sync_us: AtomicU64,
    buckets: [AtomicU64; SYNC_BUCKETS.len()],
}

impl Figures {
    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    /// How often somebody waited for the disk, and for how long altogether.
    pub fn syncs(&self) -> (u64, u64) {
        (self.syncs.load(Ordering::Relaxed), self.sync_us.load(Ordering::Relaxed))
    }

    /// Each count is of its own bucket alone.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        SYNC_BUCKETS.into_iter().zip(self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)))
    }

    pub(super) fn add_lines(&self, count: u64) {
        self.lines.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn time_sync<T>(&self, sync: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = sync();
        let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.sync_us.fetch_add(took, Ordering::Relaxed);
        let bucket = SYNC_BUCKETS.iter().zip(&self.buckets).find(|(end, _)| took <= **end);
        if let Some((_, count)) = bucket {
            count.fetch_add(1, Ordering::Relaxed);
        }
        done
    }
}
