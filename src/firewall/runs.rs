//! Runs of code that an agent wrote: which call of the agent each belongs to, and what is alive of it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use super::session::Session;
use super::{Firewall, now};
use crate::call::{Digest, Origin};
use crate::ledger::{Entry, LedgerError, Step};

/// An agent starts the script within this time of announcing it, in milliseconds.
const FRESH: i64 = 60_000;
/// Announcements that are remembered at most; an agent waits for each of its scripts.
const ANNOUNCED: usize = 1024;
/// Steps from a process to the launcher it descends from.
const GENERATIONS: usize = 64;
/// Arguments that Hermes takes out of a sandbox's `terminal` call before it runs it.
const TAKEN_OUT: [&str; 4] = ["background", "pty", "notify_on_complete", "watch_patterns"];

/// The call of an agent that starts a script.
#[derive(Debug, Clone)]
pub struct Parent {
    pub session: Arc<Session>,
    /// Tools the agent's session has; `None` when it did not say.
    pub tools: Option<Vec<String>>,
}

/// Whose script a run is.
#[derive(Debug)]
pub enum Claimed {
    By(Parent),
    Nobody,
    /// Different sessions announced the very same script: either could be meant.
    Several,
}

/// All runs.
#[derive(Debug, Default)]
pub struct Runs {
    announced: Mutex<HashMap<Digest, Vec<(i64, Parent)>>>,
    live: Arc<Mutex<HashMap<Arc<str>, Live>>>,
    /// The processes of wrappers.
    servers: Arc<Mutex<Vec<i32>>>,
}

/// A wrapper, for as long as it is connected.
#[derive(Debug)]
pub struct Serving {
    servers: Arc<Mutex<Vec<i32>>>,
    pid: i32,
}

/// What is known of a run that goes on.
#[derive(Debug)]
struct Live {
    principal: Arc<str>,
    session: Arc<str>,
    /// The launcher's process.
    pid: Option<i32>,
    passing: Option<Passing>,
}

/// A call that was let through and has not been answered.
#[derive(Debug, PartialEq, Eq)]
struct Passing {
    tool: String,
    arguments: Option<Digest>,
}

/// A run for as long as its launcher lives.
#[derive(Debug)]
pub struct Running {
    live: Arc<Mutex<HashMap<Arc<str>, Live>>>,
    id: Arc<str>,
}

/// What the record says of a run when it begins.
#[derive(Debug)]
pub struct Began<'a> {
    pub run: &'a str,
    pub origin: &'a Origin,
    /// How it is known whose it is.
    pub parent: &'static str,
    pub script_sha256: &'a str,
    pub isolated: bool,
    pub tools: &'a [String],
    pub warrant: Option<&'a str>,
}

impl Firewall {
    /// A line for a run that begins.
    pub fn record_run(&self, began: &Began<'_>) -> Result<(), LedgerError> {
        let entry = Entry::new(now(), Step::Warrant)
            .with("isolated", began.isolated)
            .with("parent", began.parent)
            .with("principal", &*began.origin.principal)
            .with("run", began.run)
            .with("script_sha256", began.script_sha256)
            .with("session", &*began.origin.session)
            .with("tools", began.tools.to_vec())
            .with("warrant", began.warrant);
        self.ledger.record(entry).map(|_| ())
    }
}

impl Runs {
    /// An agent is about to run this script.
    pub fn announce(&self, script: Digest, parent: Parent, now: i64) {
        let mut announced = self.announced.lock();
        announced.retain(|_, parents| {
            parents.retain(|(at, _)| now.saturating_sub(*at) <= FRESH);
            !parents.is_empty()
        });
        if announced.len() < ANNOUNCED {
            announced.entry(script).or_default().push((now, parent));
        }
    }

    /// Whose script this is. Each announcement is good for one run.
    pub fn claim(&self, script: &Digest, now: i64) -> Claimed {
        let mut announced = self.announced.lock();
        let Some(parents) = announced.get_mut(script) else { return Claimed::Nobody };
        parents.retain(|(at, _)| now.saturating_sub(*at) <= FRESH);
        let Some((_, first)) = parents.first() else { return Claimed::Nobody };
        let same = |parent: &Parent| {
            parent.session.id == first.session.id && parent.session.principal == first.session.principal
        };
        if !parents.iter().all(|(_, parent)| same(parent)) {
            return Claimed::Several;
        }
        Claimed::By(parents.remove(0).1)
    }

    /// A run begins; it ends when what is returned is dropped.
    pub fn begin(&self, id: &Arc<str>, session: &Session, pid: Option<i32>) -> Running {
        let (principal, session) = (Arc::clone(&session.principal), Arc::clone(&session.id));
        let live = Live { principal, session, pid, passing: None };
        self.live.lock().insert(Arc::clone(id), live);
        Running { live: Arc::clone(&self.live), id: Arc::clone(id) }
    }

    /// Whether this call is one that a run of this session was let through with and waits for: whoever is asked about
    /// it once more need not ask a person again.
    pub fn is_passing(&self, session: &Session, tool: &str, arguments: &Value) -> bool {
        let asked = Passing::new(tool, arguments);
        let own = |live: &Live| live.session == session.id && live.principal == session.principal;
        asked.arguments.is_some()
            && self.live.lock().values().any(|live| own(live) && live.passing.as_ref() == Some(&asked))
    }

    /// What descends from this process is a server that agents use, for as long as what is returned lives.
    pub fn serving(&self, pid: Option<i32>) -> Serving {
        let pid = pid.unwrap_or_default();
        self.servers.lock().push(pid);
        Serving { servers: Arc::clone(&self.servers), pid }
    }

    /// Whether the process is a server that agents use, started by the daemon or behind a wrapper, or was started by
    /// one: what an agent can make it do is not a person's word.
    pub fn serves(&self, pid: i32) -> bool {
        let mut above = self.servers.lock().clone();
        above.extend(i32::try_from(std::process::id()));
        parent_of(pid).is_some_and(|parent| descends(parent, &above))
    }

    /// Whether the process is part of a run: what it asks in its own name is not for it to ask.
    pub fn holds(&self, pid: i32) -> bool {
        let launchers: Vec<i32> = self.live.lock().values().filter_map(|live| live.pid).collect();
        !launchers.is_empty() && descends(pid, &launchers)
    }
}

/// Whether the process or one above it is among these. Who has more above it than can be looked at is.
fn descends(pid: i32, among: &[i32]) -> bool {
    let mut pid = Some(pid);
    for _ in 0..GENERATIONS {
        match pid {
            None | Some(0 | 1) => return false,
            Some(one) if among.contains(&one) => return true,
            Some(one) => pid = parent_of(one),
        }
    }
    true
}

impl Drop for Serving {
    fn drop(&mut self) {
        let mut servers = self.servers.lock();
        if let Some(at) = servers.iter().position(|pid| *pid == self.pid) {
            servers.swap_remove(at);
        }
    }
}

impl Running {
    /// The call has left and is not answered yet.
    pub fn passes(&self, tool: &str, arguments: &Value) {
        if let Some(live) = self.live.lock().get_mut(&self.id) {
            live.passing = Some(Passing::new(tool, arguments));
        }
    }

    /// It has been answered.
    pub fn passed(&self) {
        if let Some(live) = self.live.lock().get_mut(&self.id) {
            live.passing = None;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.live.lock().remove(&self.id);
    }
}

impl Passing {
    fn new(tool: &str, arguments: &Value) -> Self {
        let mut arguments = arguments.clone();
        if let Some(members) = arguments.as_object_mut().filter(|_| tool == "terminal") {
            members.retain(|name, _| !TAKEN_OUT.contains(&name.as_str()));
        }
        let canonical = serde_json_canonicalizer::to_vec(&arguments).ok();
        Self { tool: tool.to_owned(), arguments: canonical.map(|bytes| Digest::of(&bytes)) }
    }
}

/// The parent of a process, where the system shows it.
pub fn parent_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything, brackets and spaces as well.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(session: &str) -> Parent {
        let session = Session::new(session, "hermes".into(), "hermes".into(), false);
        Parent { session: Arc::new(session), tools: None }
    }

    #[test]
    fn a_server_and_what_it_starts_are_told_from_the_people_around_them() {
        let runs = Runs::default();
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let (child_pid, own) = (child.id().cast_signed(), std::process::id().cast_signed());
        assert!(runs.serves(child_pid) && !runs.serves(own));
        let serving = runs.serving(parent_of(own));
        assert!(runs.serves(own));
        drop(serving);
        assert!(!runs.serves(own));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_script_belongs_to_the_session_that_announced_it_once() {
        let (runs, script) = (Runs::default(), Digest::of(b"print(1)"));
        runs.announce(script, parent("a"), 0);
        assert!(matches!(runs.claim(&script, 10), Claimed::By(parent) if &*parent.session.id == "a"));
        assert!(matches!(runs.claim(&script, 10), Claimed::Nobody));
        runs.announce(script, parent("a"), 0);
        assert!(matches!(runs.claim(&script, FRESH + 1), Claimed::Nobody));
    }

    #[test]
    fn the_same_script_of_two_sessions_belongs_to_neither() {
        let (runs, script) = (Runs::default(), Digest::of(b"print(1)"));
        runs.announce(script, parent("a"), 0);
        runs.announce(script, parent("b"), 0);
        assert!(matches!(runs.claim(&script, 10), Claimed::Several));
    }

    #[test]
    fn a_call_passes_for_its_own_session_until_it_is_answered() {
        let runs = Runs::default();
        let (own, other) = (parent("a").session, parent("b").session);
        let stranger = Session::new("a", "somebody".into(), "hermes".into(), false);
        let running = runs.begin(&"r".into(), &own, None);
        let sent = serde_json::json!({ "command": "ls", "background": true });
        let seen = serde_json::json!({ "command": "ls" });
        running.passes("terminal", &sent);
        assert!(runs.is_passing(&own, "terminal", &seen));
        assert!(!runs.is_passing(&other, "terminal", &seen));
        assert!(!runs.is_passing(&stranger, "terminal", &seen));
        assert!(!runs.is_passing(&own, "terminal", &serde_json::json!({ "command": "rm -rf /" })));
        running.passed();
        assert!(!runs.is_passing(&own, "terminal", &seen));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_is_held_by_the_run_of_its_launcher_only_while_it_lives() {
        let runs = Runs::default();
        let pid = i32::try_from(std::process::id()).unwrap();
        let grandparent = parent_of(pid).unwrap();
        assert!(!runs.holds(pid));
        let running = runs.begin(&"r".into(), &parent("a").session, Some(grandparent));
        assert!(runs.holds(pid));
        drop(running);
        assert!(!runs.holds(pid));
    }
}
