//! Calls that were allowed on one road and run on another.
//!
//! An agent's call to an MCP server is asked about by its plugin and comes to the proxy afterwards: one hold, one
//! line in the record. The permit waits here for the call it was given for.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::call::Call;
use crate::firewall::Permit;

/// Agent, session and the agent's id of the call.
type Key = (String, String, String);

/// Permits that wait for their call.
#[derive(Debug, Default)]
pub struct Parked(Mutex<HashMap<Key, (Call, Box<Permit>)>>);

impl Parked {
    pub fn park(&self, call: Call, id: &str, permit: Box<Permit>) {
        let key = (call.origin.principal.to_string(), call.origin.session.to_string(), id.to_owned());
        self.0.lock().insert(key, (call, permit));
    }

    /// The permit of this very call, which has come by the road it leaves by.
    pub fn claim(&self, call: &Call, id: &str) -> Option<Box<Permit>> {
        let key = (call.origin.principal.to_string(), call.origin.session.to_string(), id.to_owned());
        let mut parked = self.0.lock();
        let (judged, permit) = parked.get_mut(&key)?;
        if !permit.leave_as(judged, call) {
            return None;
        }
        parked.remove(&key).map(|(_, permit)| permit)
    }

    /// What nobody has claimed.
    pub fn take_back(&self, agent: &str, session: &str, id: &str) -> Option<Box<Permit>> {
        let key = (agent.to_owned(), session.to_owned(), id.to_owned());
        self.0.lock().remove(&key).map(|(_, permit)| permit)
    }
}
