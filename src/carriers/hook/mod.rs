//! Agents that run their tools themselves, and ask before they do.
//!
//! The agent's plugin opens a connection for every call ([`line`]), says what it wants to run, and waits. It is
//! answered with leave or with a refusal in words. What was allowed is settled on the same connection.

pub mod agentguard;
mod ask;
mod line;
mod mark;
mod parked;

use std::sync::Arc;

use subtle::ConstantTimeEq;
use tokio::net::UnixStream;
use tokio::sync::{broadcast, mpsc};

use crate::call::Digest;
use crate::config::{Agent, Crisis};
use crate::control::hook::{Asker, Hooking};
use crate::firewall::session::Session;
use crate::firewall::{Firewall, NoChild, now};

pub use ask::{Asked, NATIVE};
pub use mark::{Forged, Marked};
pub use parked::Parked;

/// What the hook side keeps between connections.
pub struct Desk {
    pub firewall: Arc<Firewall>,
    /// Calls that were allowed and go on by another road, which finds their permit here.
    pub parked: Parked,
    pub(super) agents: Vec<Agent>,
    pub(super) crisis: Crisis,
    key: [u8; 32],
    /// Sessions that nobody waits for any more.
    ending: broadcast::Sender<String>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

/// An agent that is not who it says it is.
#[derive(Debug, thiserror::Error)]
pub enum NotTheAgent {
    #[error("the token is none of herma.toml's agents")]
    Token,
    #[error("`{0}` has a token in herma.toml: show it, or use another name")]
    Tokenless(String),
}

impl Desk {
    /// `secret` must stay the same over restarts: marks on calls are signed with what is derived from it.
    pub fn new(firewall: Arc<Firewall>, secret: &[u8; 32], agents: Vec<Agent>, crisis: Crisis) -> Arc<Self> {
        let key = *Digest::salted(secret, b"marks of hooks").bytes();
        let (ending, _) = broadcast::channel(64);
        Arc::new(Self { firewall, parked: Parked::default(), agents, crisis, key, ending })
    }

    fn principal(&self, hooking: &Hooking) -> Result<Arc<str>, NotTheAgent> {
        if let Some(token) = &hooking.token {
            let digest = Digest::of(token.as_bytes());
            let known =
                self.agents.iter().find(|agent| bool::from(agent.token.bytes().ct_eq(digest.bytes())));
            return known.map(|agent| agent.name.as_str().into()).ok_or(NotTheAgent::Token);
        }
        match self.agents.iter().any(|agent| agent.name == hooking.agent) {
            true => Err(NotTheAgent::Tokenless(hooking.agent.clone())),
            false => Ok(hooking.agent.as_str().into()),
        }
    }

    /// The session of an agent under the id it gives it.
    pub fn session(&self, principal: &Arc<str>, id: &str, hooking: &Hooking) -> Arc<Session> {
        let key = format!("hook {principal} {id}");
        self.firewall.sessions.get_or(&key, now(), || {
            Session::hooked(id, Arc::clone(principal), NATIVE.into())
                .at(hooking.cwd.clone(), hooking.home.clone())
        })
    }

    /// The session works for another of the same agent.
    fn adopt(&self, child: &Session, parent: &str, asker: &Asker, hooking: &Hooking) -> Result<(), NoChild> {
        let parent = self.session(&child.principal, parent, hooking);
        self.firewall.adopt_child(child, &parent, asker.tools.as_deref())
    }

    /// The session that a marked call is of, on the connection it came by.
    pub fn speaker(&self, marked: &Marked, connection: &Session) -> Arc<Session> {
        let hooking = Hooking { agent: marked.agent.clone(), token: None, cwd: None, home: None };
        let session = self.session(&marked.agent.as_str().into(), &marked.session, &hooking);
        Arc::new(connection.for_session(&session))
    }
}

/// Serves every connection of an agent until no more can come.
pub async fn attend(mut hooks: mpsc::UnboundedReceiver<(UnixStream, Hooking)>, desk: Arc<Desk>) {
    while let Some((stream, hooking)) = hooks.recv().await {
        let desk = Arc::clone(&desk);
        tokio::spawn(async move {
            if let Err(error) = line::serve(stream, desk, hooking).await {
                tracing::debug!(%error, "a connection of a hook ended");
            }
        });
    }
}
