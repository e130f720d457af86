//! How the firewall itself makes a call to a server: over a road that a carrier keeps open.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;

use super::Permit;

/// The agent's session on which the first call ran.
#[derive(Debug, Clone)]
pub struct Whose {
    pub server: Arc<str>,
    pub principal: Arc<str>,
    pub session: Arc<str>,
}

/// The call did not get its answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unsent(pub String);

/// The JSON-RPC answer to a call.
pub type Answering = Pin<Box<dyn Future<Output = Result<Bytes, Unsent>> + Send>>;

/// A carrier's way to a server.
pub trait Sends: Send + Sync + fmt::Debug {
    /// Whether it leads to the very server that session speaks with.
    fn leads_to(&self, whose: &Whose) -> bool;

    /// Spends the permit and settles it.
    fn send(self: Arc<Self>, whose: Whose, permit: Permit) -> Answering;
}

/// All roads that are open.
#[derive(Debug, Default)]
pub struct Roads(Mutex<Vec<Weak<dyn Sends>>>);

impl Roads {
    /// The road is open for as long as its carrier keeps it.
    pub fn open(&self, road: Weak<dyn Sends>) {
        let mut roads = self.0.lock();
        roads.retain(|road| road.strong_count() > 0);
        roads.push(road);
    }

    pub(super) fn to(&self, whose: &Whose) -> Option<Arc<dyn Sends>> {
        self.0.lock().iter().filter_map(Weak::upgrade).find(|road| road.leads_to(whose))
    }
}
