//! Over whom a warrant can be put.

use std::fmt;
use std::str::FromStr;

use crate::call::Origin;

/// A server, an agent or a session, by the names that calls bring.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Party {
    /// Every call to this server.
    Server(String),
    /// Every call of this agent.
    Agent(String),
    /// Every call of this session, as its carrier names it.
    Session(String),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names nobody: write `server:NAME`, `agent:NAME` or `session:ID`")]
pub struct PartyError(String);

impl Party {
    /// Everybody whose warrant a call must keep to.
    pub(super) fn of(origin: &Origin) -> [Self; 3] {
        [
            Self::Server(origin.server.to_string()),
            Self::Agent(origin.principal.to_string()),
            Self::Session(origin.session.to_string()),
        ]
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(name) => write!(f, "server:{name}"),
            Self::Agent(name) => write!(f, "agent:{name}"),
            Self::Session(id) => write!(f, "session:{id}"),
        }
    }
}

impl FromStr for Party {
    type Err = PartyError;

    fn from_str(text: &str) -> Result<Self, PartyError> {
        match text.split_once(':') {
            Some(("server", name)) if !name.is_empty() => Ok(Self::Server(name.to_owned())),
            Some(("agent", name)) if !name.is_empty() => Ok(Self::Agent(name.to_owned())),
            Some(("session", id)) if !id.is_empty() => Ok(Self::Session(id.to_owned())),
            _ => Err(PartyError(text.to_owned())),
        }
    }
}
