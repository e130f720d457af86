//! Code that an agent wrote, calling the agent's tools back.
//!
//! Hermes starts such a script beside itself and listens on a socket for one connection. `herma python` stands in
//! between: [`launcher`] takes that connection, starts the interpreter ([`confine`]) and lets the script speak to a
//! socket of its own. [`rpc`] is the daemon's end, where each line becomes a call that is judged like any other.

pub mod confine;
pub mod launcher;
pub mod line;
pub mod rpc;
pub mod shim;

/// What Hermes lets a script call.
pub const TOOLS: [&str; 7] =
    ["web_search", "web_extract", "read_file", "write_file", "search_files", "patch", "terminal"];

/// An answer that the script's side reads as a failed call.
pub fn refusal(why: &str) -> Vec<u8> {
    serde_json::json!({ "error": why }).to_string().into_bytes()
}
