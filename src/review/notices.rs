//! What an agent is to be told with its next result.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Sessions for which something may wait; agents that never come back must not fill the memory.
const SESSIONS: usize = 1000;
/// Notices that wait for one session.
const EACH: usize = 16;

/// Words for sessions, until their next result takes them along.
#[derive(Debug, Default)]
pub struct Notices {
    /// Read on every result: nothing waits nearly always.
    waiting: AtomicUsize,
    of: Mutex<HashMap<Whose, Vec<String>>>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Whose {
    server: String,
    principal: String,
    session: String,
}

impl Whose {
    fn new(server: &str, principal: &str, session: &str) -> Self {
        Self { server: server.to_owned(), principal: principal.to_owned(), session: session.to_owned() }
    }
}

impl Notices {
    pub fn leave(&self, server: &str, principal: &str, session: &str, said: String) {
        let mut of = self.of.lock();
        if of.len() >= SESSIONS {
            of.clear();
        }
        let words = of.entry(Whose::new(server, principal, session)).or_default();
        if words.len() < EACH {
            words.push(said);
        }
        self.waiting.store(of.len(), Ordering::Release);
    }

    pub fn wait_for(&self, server: &str, principal: &str, session: &str) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
            && self.of.lock().contains_key(&Whose::new(server, principal, session))
    }

    pub fn take(&self, server: &str, principal: &str, session: &str) -> Vec<String> {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let mut of = self.of.lock();
        let words = of.remove(&Whose::new(server, principal, session)).unwrap_or_default();
        self.waiting.store(of.len(), Ordering::Release);
        words
    }
}
