//! What a tool call does, to what, how reversibly, to whom, and in which moment.
//!
//! This crate is pure: no I/O, no clock, no randomness, no global state. Rules are compiled once
//! ([`Rules`]) and every judgement is a function of its arguments:
//! [`assess`]`(&Call, &Context, &Rules) -> Assessment`.

pub mod assessment;
pub mod call;
pub mod crisis;
pub mod json;
pub mod rows;
pub mod rules;
pub mod undo;

mod assess;
mod leaves;
mod name;
mod packed;
mod parties;
mod read;
mod redact;
mod text;
mod tool;
mod weigh;

pub use assess::assess;
pub use assessment::{Assessment, Reason, Reversibility, SideEffect};
pub use call::{Call, Context, Definition, Hints, Kind};
pub use redact::{redact, redact_json};
pub use rules::{RuleError, Rules, Source, reference};
pub use undo::Undo;
