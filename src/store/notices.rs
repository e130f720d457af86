//! What the store keeps of messages to people.

use serde::Serialize;

/// A message that is not delivered yet. Its body is what may leave: redacted, signed only when it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    pub id: String,
    pub channel: String,
    /// The hold it began with, `checkpoint` or `test`.
    pub about: String,
    #[serde(skip)]
    pub body: String,
    /// It has been given up; only a person sends it again.
    pub dead: bool,
    pub attempts: u32,
    pub created_ms: i64,
    pub next_ms: i64,
    pub error: Option<String>,
}

/// A step of the ladder that a channel has been told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notified {
    pub hold: String,
    pub rung: String,
    pub channel: String,
    pub at_ms: i64,
}

/// A channel whose receiver wants nothing any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChannelOff {
    pub channel: String,
    pub since_ms: i64,
    pub why: String,
}
