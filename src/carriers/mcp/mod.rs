//! MCP over stdio and Streamable HTTP, both eras, on raw frames.

pub mod answer;
pub mod bridge;
pub mod door;
mod doubt;
pub mod era;
pub mod frame;
pub mod hold;
pub mod http;
mod line;
mod members;
pub mod notice;
pub mod receive;
pub mod relay;
pub mod request_state;
mod shown;
pub mod sift;
pub mod sse;
pub mod stdio;
pub mod tasks;
pub mod upstream;
mod walk;
pub mod wrapped;

pub(in crate::carriers) use shown::told;
