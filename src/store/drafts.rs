//! What the store keeps of policies that are not in force.

/// A policy that somebody has written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftRow {
    pub name: String,
    pub text: String,
    /// SHA-256 of the file it was written against.
    pub base: String,
    pub by: String,
    pub at_ms: i64,
}
