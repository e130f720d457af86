//! What the store keeps, as every implementation of it sees it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Edited, VoteRow};

/// A call that waits, or waited, for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRow {
    pub id: String,
    /// Equal calls share a hold by this key.
    pub key: String,
    /// The call digest, in hex.
    pub digest: String,
    pub state: HoldState,
    /// Grows with every change.
    pub version: u64,
    pub created_ms: i64,
    pub expires_ms: i64,
    pub session: String,
    pub principal: String,
    pub server: String,
    pub tool: String,
    /// The side-effect class.
    pub class: String,
    pub crisis: bool,
    /// Everything a person saw, as JSON.
    pub shown: String,
    /// The signed receipt, as JSON.
    pub decision: Option<String>,
    pub decided_ms: Option<i64>,
    /// How many equal calls it stands for.
    pub count: u32,
    /// Who may approve it and how many must, as JSON.
    pub needs: String,
    /// How many have approved what would run now.
    pub approvals: u32,
    /// How often somebody passed it on.
    pub escalated: u32,
    /// Digest of the arguments that a person put in the place of the call's own.
    pub edited: Option<String>,
}

/// A change to a hold. What is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HoldChange {
    pub state: Option<HoldState>,
    pub decision: Option<String>,
    pub decided_ms: Option<i64>,
    pub expires_ms: Option<i64>,
    pub count: Option<u32>,
    pub approvals: Option<u32>,
    pub escalated: Option<u32>,
    /// Kept with the hold's other votes; a later vote of the same approver takes its place.
    pub vote: Option<VoteRow>,
    /// Changed arguments that somebody has voted for.
    pub proposed: Option<Edited>,
    /// The digest of those that will run.
    pub edited: Option<String>,
}

impl HoldChange {
    /// A change of state and nothing else.
    pub fn to(state: HoldState) -> Self {
        Self { state: Some(state), ..Self::default() }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HoldFilter {
    /// Any state if empty.
    pub states: Vec<HoldState>,
    pub session: Option<String>,
    /// Server and tool.
    pub tool: Option<(String, String)>,
    /// Only those that concern somebody in crisis, or only the others.
    pub crisis: Option<bool>,
    /// Of any of these classes; of all if empty.
    pub classes: Vec<&'static str>,
    /// Opened then or later.
    pub since_ms: Option<i64>,
    pub order: Order,
    /// No limit if `None`.
    pub limit: Option<u32>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    NewestFirst,
    OldestFirst,
}

/// Where a hold is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldState {
    Pending,
    Approved,
    Denied,
    Expired,
    /// The client went away before anybody decided.
    Abandoned,
    /// Another hold took its place.
    Superseded,
    Forwarding,
    Executed,
    Failed,
    /// It was being forwarded when the proxy died: nobody knows whether it ran.
    Unknown,
}

impl HoldState {
    pub const ALL: [Self; 10] = [
        Self::Pending,
        Self::Approved,
        Self::Denied,
        Self::Expired,
        Self::Abandoned,
        Self::Superseded,
        Self::Forwarding,
        Self::Executed,
        Self::Failed,
        Self::Unknown,
    ];

    /// The states in which an equal call joins instead of opening a hold of its own.
    pub const OPEN: [Self; 2] = [Self::Pending, Self::Approved];

    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Pending => matches!(
                next,
                Self::Approved | Self::Denied | Self::Expired | Self::Abandoned | Self::Superseded
            ),
            Self::Approved => matches!(next, Self::Forwarding | Self::Expired),
            Self::Forwarding => {
                matches!(next, Self::Executed | Self::Failed | Self::Unknown | Self::Superseded)
            }
            Self::Denied
            | Self::Expired
            | Self::Abandoned
            | Self::Superseded
            | Self::Executed
            | Self::Failed
            | Self::Unknown => false,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Abandoned => "abandoned",
            Self::Superseded => "superseded",
            Self::Forwarding => "forwarding",
            Self::Executed => "executed",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for HoldState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for HoldState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| UnknownState(text.into()))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a state")]
pub struct UnknownState(pub String);

/// What the store knows of a tool's definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pinned {
    /// Seen for the first time, and pinned.
    New,
    Same,
    /// Not the pinned one.
    Changed {
        first: String,
    },
}

/// A crisis latch that is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latch {
    /// The person or conversation it stands for.
    pub key: String,
    pub since_ms: i64,
    pub by: String,
    pub reason: String,
}

/// One line of a latch's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatchEvent {
    pub at_ms: i64,
    /// True if it was set, false if it was cleared.
    pub set: bool,
    pub by: String,
    pub reason: String,
}

/// A call that ran and waits for somebody to look at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewRow {
    pub id: String,
    /// The call it reviews.
    pub call: String,
    pub state: ReviewState,
    pub version: u64,
    pub created_ms: i64,
    /// When its undo ends.
    pub expires_ms: i64,
    pub session: String,
    pub server: String,
    pub tool: String,
    /// Everything a person sees, as JSON.
    pub shown: String,
    /// How to undo the call, as JSON.
    pub undo: Option<String>,
    /// What the reviewer said, as JSON.
    pub verdict: Option<String>,
    pub reviewed_ms: Option<i64>,
}

/// A change to a review. What is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReviewChange {
    pub state: Option<ReviewState>,
    pub verdict: Option<String>,
    pub reviewed_ms: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewState {
    /// It waits its delay out; it has not run.
    Delayed,
    /// A person stopped it in time: it never ran.
    Stopped,
    Open,
    /// It ran and can be taken back, but is none of the sample that a person looks at.
    Kept,
    Accepted,
    /// A person objected: calls of this tool are held from now on.
    Flagged,
    Reverting,
    Reverted,
    RevertFailed,
    /// The time to take it back, or to stop it, is over.
    Expired,
}

impl ReviewState {
    pub const ALL: [Self; 10] = [
        Self::Delayed,
        Self::Stopped,
        Self::Open,
        Self::Kept,
        Self::Accepted,
        Self::Flagged,
        Self::Reverting,
        Self::Reverted,
        Self::RevertFailed,
        Self::Expired,
    ];

    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Delayed => matches!(next, Self::Stopped | Self::Expired),
            Self::Open | Self::Kept | Self::Flagged | Self::RevertFailed => {
                matches!(next, Self::Accepted | Self::Flagged | Self::Reverting | Self::Expired)
            }
            Self::Reverting => matches!(next, Self::Reverted | Self::RevertFailed),
            Self::Stopped | Self::Accepted | Self::Reverted | Self::Expired => false,
        }
    }

    /// Whether what it takes to undo the call is still kept.
    pub fn is_revertible(self) -> bool {
        self.may_become(Self::Reverting)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delayed => "delayed",
            Self::Stopped => "stopped",
            Self::Open => "open",
            Self::Kept => "kept",
            Self::Accepted => "accepted",
            Self::Flagged => "flagged",
            Self::Reverting => "reverting",
            Self::Reverted => "reverted",
            Self::RevertFailed => "revert_failed",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for ReviewState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ReviewState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| UnknownState(text.into()))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purged {
    pub arguments: u64,
}
