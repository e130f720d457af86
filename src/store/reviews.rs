//! What the store keeps of reviews beside their rows.

use serde::{Deserialize, Serialize};

/// A tool whose calls are held instead of reviewed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flag {
    pub server: String,
    pub tool: String,
    pub by: String,
    pub reason: String,
    pub at_ms: i64,
}
