//! What the file says of the people an agent works for: under which warrant each of them stands.

use serde::Deserialize;
use std::path::PathBuf;
use toml::Spanned;

/// Somebody on a platform that an agent answers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct User {
    /// As the agent names it: `telegram`, `slack`, `cron`.
    pub(super) platform: String,
    /// The sender's id there; of `cron`, the job's. `*` is everybody else.
    pub(super) id: String,
    /// A file with the warrant that stands over every call made for them.
    pub(super) warrant: Option<Spanned<PathBuf>>,
}

/// What whoever is in crisis may hear although nobody has looked yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Crisis {
    /// Words that were approved beforehand. None by default.
    pub fixed_text: Option<String>,
}
