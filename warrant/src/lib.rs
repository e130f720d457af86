//! What a signed warrant says of a call.
//!
//! This crate is pure: no I/O, no clock, no randomness.

/// The word of the warrant on one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// The call came without a warrant.
    Absent,
    /// Every link of the chain allows it.
    Authorised,
    /// The warrant allows it once a person has confirmed.
    Gated { why: String },
    /// Some link refuses it.
    Refused { why: String },
}
