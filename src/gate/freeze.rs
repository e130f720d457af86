//! The brake: what is frozen does nothing that leaves until a person lifts it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Gate, GateError};
use crate::ledger::{Entry, Step};
use crate::store::FreezeRow;

/// What is frozen. As text: `all`, `agent:NAME`, `session:ID` or `warrant:ID`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Frozen {
    All,
    Agent(String),
    Session(String),
    /// Every call under this warrant or one made from it, by its id in hex.
    Warrant(String),
}

/// Not the name of something that can be frozen.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` cannot be frozen: write `all`, `agent:NAME`, `session:ID` or `warrant:ID`")]
pub struct NotFreezable(String);

impl fmt::Display for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Agent(name) => write!(f, "agent:{name}"),
            Self::Session(id) => write!(f, "session:{id}"),
            Self::Warrant(id) => write!(f, "warrant:{id}"),
        }
    }
}

impl FromStr for Frozen {
    type Err = NotFreezable;

    fn from_str(text: &str) -> Result<Self, NotFreezable> {
        match text.split_once(':') {
            None if text == "all" => Ok(Self::All),
            Some(("agent", name)) if !name.is_empty() => Ok(Self::Agent(name.to_owned())),
            Some(("session", id)) if !id.is_empty() => Ok(Self::Session(id.to_owned())),
            Some(("warrant", id)) if !id.is_empty() => Ok(Self::Warrant(id.to_ascii_lowercase())),
            _ => Err(NotFreezable(text.chars().take(80).collect())),
        }
    }
}

impl TryFrom<String> for Frozen {
    type Error = NotFreezable;

    fn try_from(text: String) -> Result<Self, NotFreezable> {
        text.parse()
    }
}

impl From<Frozen> for String {
    fn from(frozen: Frozen) -> Self {
        frozen.to_string()
    }
}

impl Gate {
    /// What stops a call of this agent and session, under these warrants (ids in hex).
    pub fn frozen_for(&self, agent: &str, session: &str, warrants: &[String]) -> Option<FreezeRow> {
        let freezes = self.freezes.load();
        let stops = |row: &&FreezeRow| match row.what.parse() {
            Ok(Frozen::All) => true,
            Ok(Frozen::Agent(name)) => name == agent,
            Ok(Frozen::Session(id)) => id == session,
            Ok(Frozen::Warrant(id)) => warrants.contains(&id),
            // Whatever it was to stop, it was to stop something.
            Err(_) => true,
        };
        freezes.iter().find(stops).cloned()
    }

    pub fn nothing_is_frozen(&self) -> bool {
        self.freezes.load().is_empty()
    }

    pub fn frozen(&self) -> Vec<FreezeRow> {
        self.freezes.load().to_vec()
    }

    pub async fn freeze(&self, what: &Frozen, by: &str, reason: &str, now: i64) -> Result<(), GateError> {
        let what = what.to_string();
        let row = FreezeRow { what: what.clone(), by: by.to_owned(), reason: reason.to_owned(), at_ms: now };
        // It holds from here on, whatever becomes of the disk.
        self.freezes.rcu(|before| {
            let mut rows = before.to_vec();
            if !rows.iter().any(|known| known.what == row.what) {
                rows.push(row.clone());
            }
            rows
        });
        let entry = Entry::new(now, Step::Freeze).with("frozen", what).with("by", by).with("reason", reason);
        self.store.freeze(row).await?;
        self.ledger.record_durable(entry).await?;
        Ok(())
    }

    /// False when it was not frozen.
    pub async fn thaw(&self, what: &Frozen, by: &str, reason: &str, now: i64) -> Result<bool, GateError> {
        let what = what.to_string();
        let entry =
            Entry::new(now, Step::Freeze).with("lifted", what.as_str()).with("by", by).with("reason", reason);
        self.ledger.record_durable(entry).await?;
        let was = self.store.thaw(&what).await?;
        self.freezes.rcu(|before| before.iter().filter(|row| row.what != what).cloned().collect::<Vec<_>>());
        Ok(was)
    }
}
