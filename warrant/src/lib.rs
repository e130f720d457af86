//! What a signed warrant says of a call.
//!
//! This crate is pure: no I/O, no clock, no randomness. Keys, the time and nonces are arguments.
//!
//! The way of a presented warrant: [`text_form`] takes it out of a header or file, [`verify::Chain::verify`] (or the
//! [`verify::ChainCache`]) makes a chain of it that can be believed, [`admit::admit`] asks every link of that chain
//! about the call and then looks at the [`proof`]. What a decision says must be used up is used up by the caller in
//! [`spent`] before the call leaves.

pub mod admit;
pub mod approval;
pub mod capability;
pub mod carrier;
pub mod cbor;
pub mod conformance;
pub mod constraint;
pub mod decide;
pub mod diff;
mod drill;
pub mod error;
pub mod explain;
pub mod gate;
pub mod json;
pub mod key;
pub mod learn;
pub mod limits;
pub mod lint;
pub mod mint;
pub mod proof;
pub mod revocation;
pub mod show;
pub mod spent;
pub mod syntax;
mod text;
pub mod text_form;
pub mod value;
pub mod verify;
pub mod warrant;

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
