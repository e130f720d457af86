//! `[agentguard]`: whether Herma answers AgentGuard's plugins.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::ConfigError;
use super::resolve::Reader;
use crate::call::Digest;

/// Below half an hour of silence, after which the gateway of Hermes ends the turn.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// How AgentGuard's plugins are answered.
#[derive(Debug, Clone)]
pub struct AgentGuard {
    /// How long a plugin is kept waiting for a person.
    pub hold_budget: Duration,
    /// The name and the password's SHA-256 that ingested events must show.
    pub ingest: Option<(String, Digest)>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Typed {
    enabled: bool,
    hold_budget: Option<Spanned<String>>,
    ingest_user: Option<String>,
    ingest_password_sha256: Option<Spanned<String>>,
}

impl Reader<'_> {
    pub(super) fn agentguard(&self, typed: &Typed) -> Result<Option<AgentGuard>, ConfigError> {
        let hold_budget = typed.hold_budget.as_ref().map(|text| self.duration(text, text.get_ref()));
        let password = typed.ingest_password_sha256.as_ref().map(|text| {
            Digest::from_hex(text.get_ref()).ok_or_else(|| {
                self.at(text, "agentguard.ingest_password_sha256 is the password's SHA-256: 64 hex digits")
            })
        });
        let user = typed.ingest_user.clone().unwrap_or_else(|| "proton".to_owned());
        let settings = AgentGuard {
            hold_budget: hold_budget.transpose()?.unwrap_or(PATIENCE),
            ingest: password.transpose()?.map(|password| (user, password)),
        };
        Ok(typed.enabled.then_some(settings))
    }
}
