//! Children that an agent hands parts of its work to.

use std::sync::Arc;

use super::session::Session;
use super::{Firewall, now};
use crate::call::Origin;
use crate::ledger::{Entry, LedgerError, Step};
use crate::warrants::WarrantError;

/// The tool by which an agent hands on its work.
const DELEGATES: &str = "delegate_task";

/// A child that may do nothing, because nobody can say what it may do.
#[derive(Debug, thiserror::Error)]
pub enum NoChild {
    #[error("the parent's warrants cannot be narrowed for this child: {0}")]
    Warrant(#[from] WarrantError),
    #[error("the record of calls cannot be written, so nothing runs: {0}")]
    Ledger(#[from] LedgerError),
}

impl Firewall {
    /// `child` works for `parent` with these tools, as the agent calls them: it speaks for whom the parent speaks for,
    /// and may do no more.
    pub fn adopt_child(
        &self,
        child: &Session,
        parent: &Session,
        tools: Option<&[String]>,
    ) -> Result<(), NoChild> {
        let own = &child.server;
        let placed = tools.map(|tools| {
            // A tool of a server that lists nothing here is judged as the agent's own.
            let placed = tools.iter().map(|name| match self.definitions.called(name) {
                Some((server, tool)) => (Arc::from(server), tool),
                None => (Arc::clone(own), name.clone()),
            });
            placed.collect::<Vec<(Arc<str>, String)>>()
        });
        let origin = child.origin();
        let (shown, tools) = (parent.shown_for(DELEGATES), placed.as_deref());
        if let Some(given) = self.warrants.grant_child(&origin, &parent.id, shown, tools, now())? {
            let Origin { principal, session, .. } = &origin;
            let entry = Entry::new(now(), Step::Warrant)
                .with("child_of", &*parent.id)
                .with("principal", &**principal)
                .with("session", &**session)
                .with("tools", given.tools)
                .with("warrant", given.warrant.to_string());
            self.ledger.record(entry)?;
        }
        Ok(())
    }

    /// The child has reported back: nothing more is to come from it.
    pub fn end_child(&self, child: &Session) {
        child.end();
        self.warrants.end_child(&child.principal, &child.id);
    }
}
