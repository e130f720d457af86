//! Why a call did not run, in words its caller can act on.

use crate::gate::GateError;
use crate::ledger::LedgerError;
use crate::review::ReviewError;
use crate::store::StoreError;

/// A call that was not forwarded.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error(
        "BLOCKED by policy (rule `{rule}`): {}. The call was not run, and repeating it will not change that.",
        unstopped(why)
    )]
    Blocked { rule: String, why: String },
    #[error("DENIED by {by}: {}. The call was not run. Do not repeat it unchanged.", unstopped(reason))]
    Denied { hold: String, by: String, reason: String },
    #[error(
        "PENDING: the call waits for a person as hold {hold} and has not run. The same call with exactly the \
         same arguments picks the decision up; any other call is a new question."
    )]
    Pending { hold: String, expires_ms: i64 },
    #[error("EXPIRED: nobody decided on hold {hold} in time. The call was not run.")]
    Expired { hold: String },
    #[error(
        "CHANGED: the policy, the tool or the way to a file changed while {hold} waited, so what was seen no longer fits. \
         The call was not run; asking again opens a new question."
    )]
    Superseded { hold: String },
    #[error("the client went away; the call was not run")]
    Gone,
    #[error("REFUSED: {what}")]
    Fault { what: String },
}

/// What people write often ends in a full stop of its own.
fn unstopped(said: &str) -> &str {
    said.trim_end().trim_end_matches('.')
}

impl Refusal {
    /// The stable word for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Blocked { .. } => "blocked",
            Self::Denied { .. } => "denied",
            Self::Pending { .. } => "pending",
            Self::Expired { .. } => "expired",
            Self::Superseded { .. } => "superseded",
            Self::Gone => "gone",
            Self::Fault { .. } => "fault",
        }
    }

    pub fn hold(&self) -> Option<&str> {
        match self {
            Self::Denied { hold, .. }
            | Self::Pending { hold, .. }
            | Self::Expired { hold }
            | Self::Superseded { hold } => Some(hold),
            Self::Blocked { .. } | Self::Gone | Self::Fault { .. } => None,
        }
    }
}

impl From<LedgerError> for Refusal {
    fn from(error: LedgerError) -> Self {
        Self::Fault { what: format!("the record of calls cannot be written, so nothing runs: {error}") }
    }
}

impl From<GateError> for Refusal {
    fn from(error: GateError) -> Self {
        Self::Fault {
            what: format!("the call needs a person and could not be held: {error}. It was not run."),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Fault {
            what: format!(
                "what the call takes of its warrant could not be written down, so it was not run: {error}"
            ),
        }
    }
}

impl From<ReviewError> for Refusal {
    fn from(error: ReviewError) -> Self {
        Self::Fault { what: format!("the call could not be prepared for review, so it was not run: {error}") }
    }
}
