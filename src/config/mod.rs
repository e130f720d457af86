//! The operator's file: as typed ([`typed`]) and as meant ([`Settings`]), checked before any socket opens.

mod agentguard;
mod approvals;
mod draft;
pub mod import;
pub mod import_policy;
mod notify;
mod operator;
pub mod packs;
mod paths;
mod resolve;
mod review;
mod sandbox;
mod telemetry;
mod typed;
mod users;
mod warrants;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Uri;
use hyper::header::{HeaderName, HeaderValue};

use crate::call::Digest;
use crate::gate::Times;
use crate::policy::Policy;
use crate::warrants::Setup;

pub use agentguard::AgentGuard;
pub use draft::{draft, policy_part, with_policy};
pub use operator::Operator;

pub use paths::{data_dir, find_config, own_data_dir, user_config, user_config_place};
pub use sandbox::Sandbox;
pub use users::Crisis;

/// What Herma does, with every value checked.
#[derive(Debug)]
pub struct Settings {
    /// The file this came from, for reload and messages.
    pub file: Option<PathBuf>,
    pub listen: Listen,
    pub operator: Operator,
    pub servers: Vec<Server>,
    pub agents: Vec<Agent>,
    pub policy: Policy,
    pub packs: Vec<packs::Pack>,
    pub times: Times,
    pub warrants: Setup,
    pub notify: crate::notify::Setup,
    pub telemetry: crate::telemetry::Setup,
    pub retention: Retention,
    pub review: crate::review::Settings,
    pub crisis: Crisis,
    /// Largest JSON-RPC frame that is read, in bytes.
    pub frame_limit: usize,
    /// How AgentGuard's plugins are answered, if they are.
    pub agentguard: Option<AgentGuard>,
    pub sandbox: Sandbox,
}

/// How long what is kept; `None` for ever.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Raw arguments of held calls, and the salts of the digests in the ledger.
    pub arguments_ms: Option<i64>,
    /// Decided holds and reviews with their redacted views. The ledger keeps its lines.
    pub decisions_ms: Option<i64>,
}

/// Where agents connect.
#[derive(Debug, Clone)]
pub struct Listen {
    pub agent: SocketAddr,
    /// `Host` names that are accepted beside loopback ones.
    pub hosts: Vec<String>,
    /// Whether whoever shows no token may ask.
    pub anonymous: bool,
}

/// One upstream, served at `/mcp/<name>`.
#[derive(Debug, Clone)]
pub struct Server {
    pub name: String,
    pub upstream: Upstream,
    pub denial: Denial,
    /// How long a client is kept waiting at the gate; by client when not set.
    pub hold_budget: Option<Duration>,
    /// The operator vouches for this server's annotations.
    pub trusted: bool,
    /// Warrants that calls show are passed on.
    pub forward_warrant: bool,
    /// The files of this machine that it works on, as far as they may be kept for an undo.
    pub files: Option<crate::review::Ground>,
}

/// How a server is reached.
#[derive(Debug, Clone)]
pub enum Upstream {
    /// Spawned by Herma, once per client connection.
    Process { command: String, args: Vec<String>, env: BTreeMap<String, String>, cwd: Option<PathBuf> },
    /// Streamable HTTP.
    Http { url: Uri, headers: Vec<(HeaderName, HeaderValue)> },
}

/// The shape of a refusal: Hermes stops calling a server after three results marked as errors.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Denial {
    /// A tool result with `isError: true`.
    #[default]
    Error,
    /// A tool result with `isError: false`.
    Result,
}

/// How a token of ours begins, so that it is told from tokens meant for an upstream.
pub const TOKEN_MARK: &str = "herma_";

/// An agent that has a name, proven by a token that is kept as its SHA-256.
#[derive(Debug, Clone)]
pub struct Agent {
    pub name: String,
    pub token: Digest,
}

/// A file that cannot be used: where, what is wrong, what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}:{line}: {message}", path.display())]
    Wrong { path: PathBuf, line: usize, message: String },
    #[error("{}: {message}", path.display())]
    Pack { path: PathBuf, message: String },
    #[error("no home directory: set HERMA_DATA_DIR or HOME")]
    NoHome,
}

impl Settings {
    /// Reads and checks `path`.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        resolve::resolve(path, &text)
    }

    /// Checks a text as if it stood in `path`.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        resolve::resolve(path, text)
    }

    /// What holds when there is no file: no servers, the default policy, loopback.
    pub fn builtin() -> Result<Self, ConfigError> {
        let settings = resolve::resolve(Path::new("built-in settings"), "")?;
        Ok(Self { file: None, ..settings })
    }
}

#[cfg(test)]
mod tests;
