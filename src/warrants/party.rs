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
    /// Every call made for this person, by platform and sender: `telegram:4711`. `telegram:*` is whoever has no
    /// warrant of their own there.
    User(String),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names nobody: write `server:NAME`, `agent:NAME`, `session:ID` or `user:PLATFORM:ID`")]
pub struct PartyError(String);

impl Party {
    /// Everybody whose warrant a call must keep to.
    pub(super) fn of(origin: &Origin) -> Vec<Self> {
        let mut parties = vec![
            Self::Server(origin.server.to_string()),
            Self::Agent(origin.principal.to_string()),
            Self::Session(origin.session.to_string()),
        ];
        let user = origin.serves.as_ref().and_then(|serves| serves.user.as_deref());
        parties.extend(user.map(|user| Self::User(user.to_owned())));
        parties
    }

    /// Whether a call of the record is theirs. Of the people an agent works for the record has no name.
    pub fn has(&self, server: &str, agent: &str, session: &str) -> bool {
        match self {
            Self::Server(name) => name == server,
            Self::Agent(name) => name == agent,
            Self::Session(id) => id == session,
            Self::User(_) => false,
        }
    }

    /// Who stands in for somebody over whom nothing was put.
    pub(super) fn anybody(&self) -> Option<Self> {
        match self {
            Self::User(user) => user.split_once(':').map(|(platform, _)| Self::User(format!("{platform}:*"))),
            Self::Server(_) | Self::Agent(_) | Self::Session(_) => None,
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(name) => write!(f, "server:{name}"),
            Self::Agent(name) => write!(f, "agent:{name}"),
            Self::Session(id) => write!(f, "session:{id}"),
            Self::User(user) => write!(f, "user:{user}"),
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
            Some(("user", user))
                if user
                    .split_once(':')
                    .is_some_and(|(platform, id)| !platform.is_empty() && !id.is_empty()) =>
            {
                Ok(Self::User(user.to_owned()))
            }
            _ => Err(PartyError(text.to_owned())),
        }
    }
}
