//! How values that nobody vouches for become something safe to look at.
//!
//! Everything an agent or a server wrote is shown from here and from nowhere else. Nothing is cut, nothing acts on
//! the page, and what would hide, turn around or pass for something else is written out beside it. Pure.

mod address;
mod arguments;
mod change;
mod command;
mod letters;
mod pieces;
#[cfg(test)]
mod tests;
mod text;

pub use address::address;
pub use arguments::{Arguments, arguments, spoken};
pub use change::{change, unified};
pub use text::{block, line, thousands};
