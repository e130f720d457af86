//! What is good once, or so many times: proofs, approvals, budgets, rates. Pure state; whoever owns it keeps it on
//! disk before anything leaves.

use crate::limits::Rate;
use crate::warrant::WarrantId;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// Proofs and approvals that were used and have not yet died of age.
#[derive(Debug, Clone)]
pub struct SpentMemory {
    keys: HashMap<[u8; 32], u64>,
    by_end: BTreeSet<(u64, [u8; 32])>,
    capacity: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpentError {
    #[error("it was used before")]
    Again,
    #[error("too much is remembered to be sure that it was not used before")]
    Full,
}

impl SpentMemory {
    pub fn new(capacity: usize) -> Self {
        Self { keys: HashMap::new(), by_end: BTreeSet::new(), capacity }
    }

    /// Uses `key` up. What died before `now` is forgotten; a full memory refuses rather than forget.
    pub fn spend(&mut self, key: [u8; 32], until: u64, now: u64) -> Result<(), SpentError> {
        while let Some((end, old)) = self.by_end.first().copied().filter(|(end, _)| *end <= now) {
            self.by_end.remove(&(end, old));
            self.keys.remove(&old);
        }
        if self.keys.contains_key(&key) {
            return Err(SpentError::Again);
        }
        if self.keys.len() >= self.capacity {
            return Err(SpentError::Full);
        }
        self.keys.insert(key, until);
        self.by_end.insert((until, key));
        Ok(())
    }

    pub fn is_spent(&self, key: &[u8; 32], now: u64) -> bool {
        self.keys.get(key).is_some_and(|until| *until > now)
    }
}

/// What one call takes out of one budget. A call draws from every link of its chain, so children share what their
/// parent has left, however many there are and whatever each of them claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draw {
    pub warrant: WarrantId,
    pub pool: String,
    /// In millionths, as is the limit.
    pub amount: u128,
    pub limit: u128,
}

/// The pool of `max_calls`.
pub const CALLS: &str = "calls";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the budget `{pool}` of {warrant} is exhausted")]
pub struct Exhausted {
    pub warrant: WarrantId,
    pub pool: String,
    pub left: u128,
}

/// What was drawn, by warrant and pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Budgets {
    spent: BTreeMap<(WarrantId, String), u128>,
}

impl Budgets {
    pub fn restore(spent: impl IntoIterator<Item = (WarrantId, String, u128)>) -> Self {
        Self { spent: spent.into_iter().map(|(warrant, pool, spent)| ((warrant, pool), spent)).collect() }
    }

    pub fn spent(&self, warrant: WarrantId, pool: &str) -> u128 {
        self.spent.get(&(warrant, pool.to_owned())).copied().unwrap_or(0)
    }

    pub fn entries(&self) -> impl Iterator<Item = (WarrantId, &str, u128)> {
        self.spent.iter().map(|((warrant, pool), spent)| (*warrant, pool.as_str(), *spent))
    }

    /// Whether all of it could be drawn.
    pub fn check(&self, draws: &[Draw]) -> Result<(), Exhausted> {
        self.clone_touched(draws).map(drop)
    }

    /// Draws all of it, or nothing. What is drawn stays drawn, whatever becomes of the call.
    pub fn draw(&mut self, draws: &[Draw]) -> Result<(), Exhausted> {
        let touched = self.clone_touched(draws)?;
        self.spent.extend(touched);
        Ok(())
    }

    fn clone_touched(&self, draws: &[Draw]) -> Result<BTreeMap<(WarrantId, String), u128>, Exhausted> {
        let mut touched = BTreeMap::new();
        for draw in draws {
            let key = (draw.warrant, draw.pool.clone());
            let spent = touched.get(&key).or_else(|| self.spent.get(&key)).copied().unwrap_or(0u128);
            let after = spent.checked_add(draw.amount).filter(|after| *after <= draw.limit);
            let Some(after) = after else {
                let left = draw.limit.saturating_sub(spent);
                return Err(Exhausted { warrant: draw.warrant, pool: draw.pool.clone(), left });
            };
            touched.insert(key, after);
        }
        Ok(touched)
    }
}

/// One call under one rate of one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    pub warrant: WarrantId,
    pub rate: Rate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no more than {calls} calls in {seconds} s: the next in {wait} s")]
pub struct TooFast {
    pub calls: u32,
    pub seconds: u32,
    pub wait: u64,
}

/// When calls under a rate were made, no longer than the rate looks back.
#[derive(Debug, Clone, Default)]
pub struct Paces {
    calls: BTreeMap<(WarrantId, Rate), VecDeque<u64>>,
}

impl Paces {
    /// Counts a call against all its rates, or against none.
    pub fn step(&mut self, paces: &[Pace], now: u64) -> Result<(), TooFast> {
        for pace in paces {
            let Rate { calls, seconds } = pace.rate;
            let Some(made) = self.calls.get_mut(&(pace.warrant, pace.rate)) else {
                if calls == 0 {
                    return Err(TooFast { calls, seconds, wait: u64::MAX });
                }
                continue;
            };
            while made.front().is_some_and(|at| at.saturating_add(u64::from(seconds)) <= now) {
                made.pop_front();
            }
            if made.len() >= usize::try_from(calls).unwrap_or(usize::MAX) {
                let wait = made.front().map_or(0, |at| (at + u64::from(seconds)).saturating_sub(now));
                return Err(TooFast { calls, seconds, wait });
            }
        }
        for pace in paces {
            self.calls.entry((pace.warrant, pace.rate)).or_default().push_back(now);
        }
        Ok(())
    }

    /// Calls as they were kept, for after a restart.
    pub fn entries(&self) -> impl Iterator<Item = (WarrantId, Rate, u64)> {
        self.calls.iter().flat_map(|((warrant, rate), made)| made.iter().map(|at| (*warrant, *rate, *at)))
    }

    pub fn restore(made: impl IntoIterator<Item = (WarrantId, Rate, u64)>) -> Self {
        let mut paces = Self::default();
        for (warrant, rate, at) in made {
            paces.calls.entry((warrant, rate)).or_default().push_back(at);
        }
        paces.calls.values_mut().for_each(|made| made.make_contiguous().sort_unstable());
        paces
    }
}

/// The latest moment that was seen. Warrants end by the clock, so a clock that is set back revives them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClockFloor {
    latest: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the clock was set back by {seconds} s")]
pub struct ClockRollback {
    pub seconds: u64,
}

impl ClockFloor {
    /// Seconds that a clock may be corrected by.
    pub const TOLERANCE: u64 = 30;

    pub fn restore(latest: u64) -> Self {
        Self { latest }
    }

    pub fn latest(&self) -> u64 {
        self.latest
    }

    /// The moment to judge by: never earlier than one that was judged by before.
    pub fn observe(&mut self, now: u64) -> Result<u64, ClockRollback> {
        if now + Self::TOLERANCE < self.latest {
            return Err(ClockRollback { seconds: self.latest - now });
        }
        self.latest = self.latest.max(now);
        Ok(self.latest)
    }
}
