//! The file as typed: nothing but what the operator wrote.

use std::collections::BTreeMap;
use std::path::PathBuf;

use herma_scoring::{Kind, SideEffect};
use serde::Deserialize;
use toml::Spanned;

use super::{Denial, approvals};
use crate::policy::{Mode, Profile, Route, Watched};
use crate::warrants::NoWarrant;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) listen: Listen,
    pub(super) operator: super::operator::Typed,
    pub(super) server: Vec<Spanned<Server>>,
    pub(super) agent: Vec<Spanned<Agent>>,
    pub(super) policy: Option<Spanned<Policy>>,
    pub(super) rule: Vec<Spanned<Rule>>,
    pub(super) approval: Vec<Spanned<approvals::Typed>>,
    pub(super) crisis: approvals::Crisis,
    /// Files or directories with rule packs, relative to this file.
    pub(super) rule_packs: Vec<Spanned<PathBuf>>,
    /// Public keys whose signature lets a pack lower what the shipped ones hold.
    pub(super) trusted_packs: Vec<Spanned<String>>,
    pub(super) holds: Holds,
    pub(super) limits: Limits,
    pub(super) warrants: Warrants,
    pub(super) review: Review,
    pub(super) ledger: Ledger,
    pub(super) notify: Vec<Spanned<super::notify::TypedChannel>>,
    pub(super) escalation: Vec<Spanned<super::notify::TypedRung>>,
    pub(super) telemetry: super::telemetry::TypedTelemetry,
    /// Whom an agent works for, and under which warrant.
    pub(super) user: Vec<Spanned<super::users::User>>,
    pub(super) agentguard: super::agentguard::Typed,
    pub(super) sandbox: super::Sandbox,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Ledger {
    /// Keep short plain arguments, redacted, so that warrants can be learned from them.
    pub(super) learn: bool,
    /// How long raw arguments of held calls are kept, in days as "30d".
    pub(super) keep_arguments: Option<Spanned<String>>,
    /// How long decided holds and reviews are kept, in days as "400d".
    pub(super) keep_decisions: Option<Spanned<String>>,
    /// The channel that gets every signed checkpoint.
    pub(super) push_checkpoints: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Review {
    /// So many first uses of a tool are looked at, and then this share.
    pub(super) first: Option<u64>,
    pub(super) share: Option<Spanned<f64>>,
    pub(super) window: Option<Spanned<String>>,
    /// Bytes of files that are kept at most.
    pub(super) keep: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Warrants {
    /// Public keys in hex, or files with them.
    pub(super) trusted_roots: Vec<Spanned<String>>,
    pub(super) no_warrant: Option<NoWarrant>,
    pub(super) accept_proof_v1: Option<bool>,
    pub(super) idempotent_tools: Vec<String>,
    pub(super) max_ttl: Option<Spanned<String>>,
    pub(super) revocation_lists: Vec<RevocationList>,
    pub(super) revocation_max_age: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RevocationList {
    pub(super) file: Spanned<PathBuf>,
    /// Who may sign it.
    pub(super) key: Spanned<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Listen {
    pub(super) agent: Option<Spanned<String>>,
    pub(super) hosts: Vec<String>,
    /// Whether whoever shows no token may ask; by default only where no agent has one.
    pub(super) anonymous: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) command: Option<String>,
    #[serde(default)]
    pub(super) args: Vec<String>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    pub(super) cwd: Option<PathBuf>,
    pub(super) url: Option<String>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) denial: Denial,
    pub(super) hold_budget: Option<String>,
    #[serde(default)]
    pub(super) trusted: bool,
    /// A file with the warrant that stands over every call to this server.
    pub(super) warrant: Option<Spanned<PathBuf>>,
    /// Warrants that calls show are passed on to this server.
    #[serde(default)]
    pub(super) forward_warrant: bool,
    /// Directories of this machine that the server works on; an empty list: none.
    pub(super) files: Option<Vec<PathBuf>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Agent {
    pub(super) name: String,
    pub(super) token_sha256: String,
    /// A file with the warrant that stands over every call of this agent.
    pub(super) warrant: Option<Spanned<PathBuf>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Policy {
    pub(super) mode: Mode,
    pub(super) observe_also: Vec<Watched>,
    pub(super) profile: Profile,
    pub(super) known_recipients: Option<Vec<String>>,
    pub(super) execute_below: Option<f64>,
    pub(super) gate_above: Option<f64>,
    pub(super) weak_confidence: Option<f64>,
    pub(super) no_confidence: Option<f64>,
    pub(super) in_band: Vec<SideEffect>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) id: String,
    #[serde(default)]
    pub(super) kind: OneOrMany<Kinds>,
    #[serde(default)]
    pub(super) class: OneOrMany<SideEffect>,
    pub(super) server: Option<String>,
    pub(super) tool: Option<String>,
    pub(super) principal: Option<String>,
    pub(super) session: Option<String>,
    #[serde(default)]
    pub(super) arguments: BTreeMap<String, String>,
    /// JSON pointers and the numbers that what is there must be above.
    #[serde(default)]
    pub(super) above: BTreeMap<String, f64>,
    pub(super) route: Route,
    #[serde(default)]
    pub(super) reason: String,
}

/// `"a"` and `["a", "b"]` both read naturally in a rule.
#[derive(Debug)]
pub(super) struct OneOrMany<T>(pub(super) Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Visitor<T> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string or a list of strings")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                T::deserialize(serde::de::value::StrDeserializer::new(text)).map(|one| vec![one])
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = seq.next_element()? {
                    all.push(one);
                }
                Ok(all)
            }
        }
        deserializer.deserialize_any(Visitor(std::marker::PhantomData)).map(Self)
    }
}

/// [`Kind`] as a rule names it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kinds {
    Tool,
    Resource,
    Prompt,
    Sampling,
    Elicitation,
}

impl From<Kinds> for Kind {
    fn from(kind: Kinds) -> Self {
        match kind {
            Kinds::Tool => Self::Tool,
            Kinds::Resource => Self::Resource,
            Kinds::Prompt => Self::Prompt,
            Kinds::Sampling => Self::Sampling,
            Kinds::Elicitation => Self::Elicitation,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Holds {
    pub(super) expire: Option<Spanned<String>>,
    pub(super) ticket: Option<Spanned<String>>,
    /// Calls of one session, and of one agent, that may wait at the same time.
    pub(super) per_session: Option<Spanned<usize>>,
    pub(super) per_agent: Option<Spanned<usize>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) frame: Option<Spanned<u64>>,
}
