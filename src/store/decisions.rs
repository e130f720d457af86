//! What the store keeps of people's decisions beside the hold itself: votes, standing rules, freezes.

use serde::{Deserialize, Serialize};

use super::HoldState;

/// One approver's word towards a quorum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteRow {
    pub approver: String,
    /// Digest of what is to run: the call's, or that of the changed arguments.
    pub subject: String,
    /// The signed receipt, as JSON.
    pub receipt: String,
    pub at_ms: i64,
}

/// Arguments as a person changed them, by the digest of their bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    pub digest: String,
    pub bytes: Vec<u8>,
}

/// A rule that a person made from a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingRow {
    pub id: String,
    /// As JSON.
    pub rule: String,
    pub made_ms: i64,
    pub expires_ms: i64,
    pub max_uses: Option<u32>,
    pub used: u32,
}

/// Something that is frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeRow {
    /// `all`, `agent:NAME`, `session:ID` or `warrant:ID`.
    pub what: String,
    pub by: String,
    pub reason: String,
    pub at_ms: i64,
}

/// A hold, as far as it tells how often somebody was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedRow {
    pub hold: String,
    pub key: String,
    /// Principal, session, server and tool.
    pub of: [String; 4],
    pub state: HoldState,
    pub created_ms: i64,
    pub decided_ms: Option<i64>,
    /// The receipt, if it was denied.
    pub denial: Option<String>,
}

/// A decided hold, as far as figures need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    pub denied: bool,
    pub created_ms: i64,
    pub decided_ms: i64,
}
