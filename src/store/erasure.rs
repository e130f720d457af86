//! What the store forgets on demand, and in time.

use serde::{Deserialize, Serialize};

/// What is to be forgotten. Calls that wait or run keep what they need; they are counted as kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Erase {
    /// What is kept of one call.
    Call(String),
    /// What is kept of calls before this time, and the salts of the days before it.
    Before(i64),
    /// What is kept of calls that this agent made or whose arguments name this.
    Person(String),
}

/// What was forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    /// Raw arguments.
    pub arguments: u64,
    /// Redacted views of calls.
    pub previews: u64,
    /// Days whose digests can be matched with nothing any more.
    pub salts: u64,
    /// Calls that are not over, so that nothing of them was forgotten.
    pub kept: u64,
}
