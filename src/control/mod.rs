//! The Unix socket for the CLI and for wrapped servers. Peers must run under Herma's own user.

pub mod client;
pub mod hook;
pub mod operator;
pub mod records;
pub mod review;
pub mod server;
pub mod wire;

use std::path::{Path, PathBuf};

/// The socket in a data directory.
pub fn socket(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}
