//! What the store keeps of warrants.

use std::sync::Arc;

use herma_warrant::spent::{Draw, Exhausted, Pace, TooFast};

/// What one call uses up: all of it or nothing, on the disk before the call leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UseUp {
    pub draws: Vec<Draw>,
    pub paces: Vec<Pace>,
    /// Proofs and approvals that are good once, each with the second it dies of age.
    pub keys: Vec<([u8; 32], u64)>,
    /// Unix seconds.
    pub now: u64,
}

impl UseUp {
    pub fn is_nothing(&self) -> bool {
        self.draws.is_empty() && self.paces.is_empty() && self.keys.is_empty()
    }
}

/// Why a warrant has nothing left for a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    #[error(transparent)]
    TooFast(#[from] TooFast),
    #[error("the proof or approval was used before")]
    Again,
}

/// A revocation as it was ordered.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RevokedRow {
    /// `warrant`, `key`, `agent` or `all`.
    pub kind: String,
    pub value: String,
    pub at_ms: i64,
    pub by: String,
    pub reason: String,
}

/// A warrant that an operator put over a server, an agent or a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    pub subject: String,
    pub stack: Arc<[u8]>,
    pub by: String,
    pub at_ms: i64,
}

/// Everything a start must know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WarrantState {
    pub used: Vec<([u8; 32], u64)>,
    pub revoked: Vec<RevokedRow>,
    /// Signed lists of revocations, the newest of each issuer.
    pub lists: Vec<Vec<u8>>,
    pub assigned: Vec<Assigned>,
    /// The latest second by which a warrant was judged.
    pub latest: u64,
}
