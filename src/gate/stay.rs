//! One client's wait at the gate.

use std::sync::Arc;

use super::hold::{Answer, Hold, Stand};
use super::typed::to_type;
use super::{Claim, Gate, GateError};

/// A client waiting for a hold. Dropping it says that the client went away; [`Stay::leave`] that it will ask again.
#[derive(Debug)]
pub struct Stay {
    gate: Arc<Gate>,
    hold: Arc<Hold>,
    gone: bool,
}

/// How a wait ends.
#[derive(Debug)]
pub enum Verdict {
    /// A person approved it and this client has the right to run it.
    Approved {
        claim: Claim,
        by: String,
    },
    Denied {
        by: String,
        reason: String,
    },
    Expired,
    /// Policy, tool or warrant changed meanwhile.
    Superseded,
    /// An identical call ran; this is its answer.
    Answered(Arc<Answer>),
    /// What became of the identical call that ran is not known.
    Unknown,
}

impl Verdict {
    /// The stable word for machines.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Approved { .. } => "approved",
            Self::Denied { .. } => "denied",
            Self::Expired => "expired",
            Self::Superseded => "superseded",
            Self::Answered(_) => "answered",
            Self::Unknown => "unknown",
        }
    }
}

impl Stay {
    pub(super) fn new(gate: Arc<Gate>, hold: Arc<Hold>) -> Self {
        hold.come();
        Self { gate, hold, gone: false }
    }

    pub fn hold_id(&self) -> &str {
        self.hold.id()
    }

    /// The digest of the call as the agent asks it.
    pub fn digest(&self) -> &str {
        self.hold.key()
    }

    pub fn expires_ms(&self) -> i64 {
        self.hold.row().expires_ms
    }

    /// The side-effect class of the call, and whether it is crisis-sensitive.
    pub fn class(&self) -> (String, bool) {
        let row = self.hold.row();
        (row.class, row.crisis)
    }

    /// The call in one line for a person.
    /// Whether whoever approves it must type what it is aimed at.
    pub fn asks_to_type(&self) -> bool {
        to_type(&self.hold.row()).is_some()
    }

    pub fn summary(&self) -> String {
        let row = self.hold.row();
        format!("{} on {} ({})", row.tool, row.server, row.class)
    }

    /// Waits until a person, time or another identical call has decided. Cancel-safe.
    pub async fn decided(&mut self) -> Result<Verdict, GateError> {
        let mut watch = self.hold.watch();
        loop {
            let stand = watch.borrow_and_update().clone();
            match stand {
                Stand::Opening | Stand::Pending | Stand::Running => {}
                Stand::Approved { by } => {
                    if let Some(claim) = self.gate.claim(&self.hold).await? {
                        return Ok(Verdict::Approved { claim, by });
                    }
                }
                Stand::Denied { by, reason } => return Ok(Verdict::Denied { by, reason }),
                Stand::Expired | Stand::Abandoned => return Ok(Verdict::Expired),
                Stand::Superseded => return Ok(Verdict::Superseded),
                Stand::Answered(answer) => {
                    self.gate.delivered(&self.hold);
                    return Ok(Verdict::Answered(answer));
                }
                Stand::Failed => return Ok(Verdict::Unknown),
            }
            if watch.changed().await.is_err() {
                return Ok(Verdict::Unknown);
            }
        }
    }

    /// The client was told to ask again: the hold stays, and an approval becomes a ticket for the retry.
    pub fn leave(mut self) {
        self.gone = true;
        self.hold.go(true);
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        if self.gone || !self.hold.go(false) {
            return;
        }
        let (gate, hold) = (Arc::clone(&self.gate), Arc::clone(&self.hold));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let now = jiff::Timestamp::now().as_millisecond();
                if let Err(error) = gate.abandon(&hold, now).await {
                    tracing::warn!(hold = hold.id(), %error, "an abandoned hold could not be closed");
                }
            });
        }
    }
}
