//! The value without which nothing is forwarded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::outcome::Outcome;
use super::{Firewall, now};
use crate::call::Call;
use crate::gate::{Answer, Claim};
use crate::ledger::{Entry, Step};

/// The right to forward one call once. Only [`Firewall::admit`] mints it, and spending it consumes it.
#[derive(Debug)]
#[must_use = "a permit that is not spent is a call that does not run"]
pub struct Permit {
    frame: Bytes,
    settlement: Settlement,
}

impl Permit {
    pub(super) fn mint(firewall: Arc<Firewall>, call: Call, claim: Option<Claim>) -> Self {
        let frame = call.frame.clone();
        let open = Open { firewall, call, claim, started: Instant::now() };
        Self { frame, settlement: Settlement { open: Some(open) } }
    }

    /// The bytes that leave, and the account that must be settled when the answer is in.
    pub fn spend(self) -> (Bytes, Settlement) {
        (self.frame, self.settlement)
    }

    /// Whether others wait for the answer, so that it must be kept.
    pub fn was_held(&self) -> bool {
        self.settlement.open.as_ref().is_some_and(|open| open.claim.is_some())
    }
}

/// A forwarded call whose end is not known yet. Dropped unsettled, the record says so.
#[derive(Debug)]
pub struct Settlement {
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    firewall: Arc<Firewall>,
    call: Call,
    claim: Option<Claim>,
    started: Instant,
}

impl Settlement {
    /// Step 8: what came back.
    pub fn settle(mut self, outcome: Outcome) {
        if let Some(open) = self.open.take() {
            let took = open.started.elapsed();
            open.close(took, outcome);
        }
    }

    /// The same, when whoever saw the answer has taken the time.
    pub fn settle_after(mut self, took: Duration, outcome: Outcome) {
        if let Some(open) = self.open.take() {
            open.close(took, outcome);
        }
    }

    pub fn was_held(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.claim.is_some())
    }
}

impl Drop for Settlement {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            let took = open.started.elapsed();
            open.close(took, Outcome::Unknown);
        }
    }
}

impl Open {
    fn close(self, took: Duration, outcome: Outcome) {
        let Self { firewall, call, claim, .. } = self;
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let entry = Entry::new(now(), Step::Settled)
            .of(call.id.to_string())
            .with("outcome", outcome.word())
            .with("took_us", took)
            .with("bytes", outcome.bytes());
        if let Err(error) = firewall.ledger.record(entry) {
            tracing::error!(call = %call.id, %error, "the end of a call could not be recorded");
        }
        let Some(claim) = claim else { return };
        if outcome.delivered() {
            firewall.gate.release(&claim);
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let delivered = outcome.delivered();
            let answer = outcome.response().map(|(response, is_error)| Answer { response, is_error });
            if let Err(error) = firewall.gate.finish(claim, answer, delivered, now()).await {
                tracing::error!(%error, "a hold could not be closed");
            }
        });
    }
}
