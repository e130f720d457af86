//! The roads a call comes in by. Each turns bytes into a [`crate::call::Call`] and spends the permit for it.

pub mod hook;
pub mod mcp;
pub mod sandbox;
