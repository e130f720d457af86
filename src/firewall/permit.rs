//! The value without which nothing is forwarded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::outcome::Outcome;
use super::{Firewall, now};
use crate::call::{Call, CallId};
use crate::gate::{Answer, Claim};
use crate::ledger::{Detail, Entry, Step, Waiting};
use crate::review::Reviewing;
use crate::telemetry::Span;

/// The right to forward one call once. Only [`Firewall::admit`] mints it, and spending it consumes it.
#[derive(Debug)]
#[must_use = "a permit that is not spent is a call that does not run"]
pub struct Permit {
    frame: Bytes,
    settlement: Settlement,
}

impl Permit {
    pub(super) fn mint(
        firewall: Arc<Firewall>,
        call: Call,
        routed: Waiting,
        claim: Option<Claim>,
        review: Option<Reviewing>,
        span: Span,
    ) -> Self {
        let frame = span.stamp(call.frame);
        let open = Open {
            firewall,
            call: call.id,
            routed,
            claim,
            review,
            span,
            started: Instant::now(),
            told: None,
        };
        Self { frame, settlement: Settlement { open: Some(Box::new(open)) } }
    }

    /// What would leave, for the carrier to prepare the way.
    pub fn frame(&self) -> &Bytes {
        &self.frame
    }

    /// The agent must hear this with the answer.
    pub(super) fn telling(mut self, told: String) -> Self {
        if let Some(open) = &mut self.settlement.open {
            open.told = Some(told);
        }
        self
    }

    /// The arguments that a person put in the place of the call's own, for a carrier that forwards no frame.
    pub fn edited_arguments(&self) -> Option<&Bytes> {
        self.settlement.open.as_ref()?.claim.as_ref()?.edited()
    }

    /// The bytes that leave, and the account that must be settled when the answer is in.
    pub fn spend(self) -> (Bytes, Settlement) {
        (self.frame, self.settlement)
    }

    /// The same call, come again by the road it leaves by: what was judged is what runs, in the bytes of that road.
    /// False for another call.
    pub fn leave_as(&mut self, judged: &Call, leaving: &Call) -> bool {
        let definition = |call: &Call| call.definition.as_ref().map(|listed| listed.digest);
        let same = judged.kind == leaving.kind
            && judged.tool == leaving.tool
            && judged.origin.server == leaving.origin.server
            && judged.arguments == leaving.arguments
            && definition(judged) == definition(leaving)
            // Whoever said yes has seen the call and nothing beside it.
            && leaving.beside == judged.beside;
        if same {
            self.frame = leaving.frame.clone();
        }
        same
    }

    /// What the agent must hear before the answer: that a person changed its call.
    pub fn told(&self) -> Option<&str> {
        self.settlement.told()
    }

    /// Whether the whole answer must be kept for the settlement.
    pub fn keeps_answer(&self) -> bool {
        self.settlement.keeps_answer()
    }
}

/// A forwarded call whose end is not known yet. Dropped unsettled, the record says so.
#[derive(Debug)]
pub struct Settlement {
    /// Boxed, because it is handed on many times and seldom looked at.
    open: Option<Box<Open>>,
}

#[derive(Debug)]
struct Open {
    firewall: Arc<Firewall>,
    call: CallId,
    /// The line that says how it was routed.
    routed: Waiting,
    claim: Option<Claim>,
    review: Option<Reviewing>,
    span: Span,
    started: Instant,
    told: Option<String>,
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

    /// The caller runs it itself and says later how it went: the same call is a new question already.
    pub fn release(&self) {
        if let Some(Open { firewall, claim: Some(claim), .. }) = self.open.as_deref() {
            firewall.gate.release(claim);
        }
    }

    /// Whether others wait for the answer, or an undo takes something out of it.
    pub fn keeps_answer(&self) -> bool {
        let needs = |review: &Reviewing| review.needs_answer();
        self.open.as_ref().is_some_and(|open| open.claim.is_some() || open.review.as_ref().is_some_and(needs))
    }

    /// What the agent must hear before the answer: that a person changed its call.
    pub fn told(&self) -> Option<&str> {
        self.open.as_ref()?.told.as_deref()
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
        let Self { firewall, call, routed, claim, review, mut span, told, .. } = self;
        if let Some(end) = outcome.end() {
            span.end(end, Some(took));
        }
        drop(span);
        let ended = review.map(|review| review.end(outcome.word(), outcome.is_failure(), outcome.said()));
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let facts = |detail: &mut Detail| {
            detail.push("bytes", outcome.bytes());
            detail.push("outcome", outcome.word());
            detail.push("took_us", took);
        };
        if !firewall.ledger.amend(routed, facts) {
            let mut entry = Entry::new(now(), Step::Settled).of(call.clone());
            facts(&mut entry.detail);
            if let Err(error) = firewall.ledger.record(entry) {
                tracing::error!(%call, %error, "the end of a call could not be recorded");
            }
        }
        if let (Some(ended), Ok(runtime)) = (ended, tokio::runtime::Handle::try_current()) {
            let firewall = Arc::clone(&firewall);
            runtime.spawn(async move {
                if let Err(error) = firewall.reviews.ended(ended, now()).await {
                    tracing::error!(%error, "what a reviewed call left could not be noted");
                }
            });
        }
        let Some(claim) = claim else { return };
        if outcome.delivered() {
            firewall.gate.release(&claim);
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let delivered = outcome.delivered();
            let answer = outcome.response().map(|(response, is_error)| Answer { response, is_error, told });
            if let Err(error) = firewall.gate.finish(claim, answer, delivered, now()).await {
                tracing::error!(%error, "a hold could not be closed");
            }
        });
    }
}
