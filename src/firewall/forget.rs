//! Forgetting on a person's word. The ledger keeps its lines, which name no argument, and says what was forgotten.

use super::{Firewall, now};
use crate::call::Digest;
use crate::gate::GateError;
use crate::ledger::{Entry, Step};
use crate::store::{Erase, Erased, Store};

impl Firewall {
    /// Forgets, and writes down who wanted it and why. The order is written before it is carried out, so that
    /// nothing is missing without a word.
    pub async fn erase(
        &self,
        store: &dyn Store,
        what: Erase,
        by: &str,
        reason: &str,
    ) -> Result<Erased, GateError> {
        let at = now();
        let what = match what {
            // Today's salt is in use.
            Erase::Before(ms) => Erase::Before(ms.min(at)),
            what => what,
        };
        let (kind, subject) = match &what {
            Erase::Call(call) => ("call", call.clone()),
            Erase::Before(ms) => ("before", ms.to_string()),
            // The record of forgetting somebody must not name them.
            Erase::Person(name) => {
                ("person", Digest::salted(&self.salts.of(at), name.as_bytes()).to_string())
            }
        };
        let order = Entry::new(at, Step::Erased).with("by", by).with("reason", reason).with(kind, subject);
        self.ledger.record_durable(order).await?;
        let erased = store.erase(what).await?;
        self.note(
            Entry::new(now(), Step::Erased)
                .with("arguments", erased.arguments)
                .with("by", by)
                .with("kept", erased.kept)
                .with("previews", erased.previews)
                .with("salts", erased.salts),
        );
        Ok(erased)
    }

    /// Forgets what is older than it may be: raw arguments with the salts of their days, and decided holds and
    /// reviews. `None` keeps for ever.
    pub async fn forget_in_time(
        &self,
        store: &dyn Store,
        arguments_ms: Option<i64>,
        decisions_ms: Option<i64>,
    ) -> Result<(), GateError> {
        let at = now();
        let mut entry = Entry::new(at, Step::Erased).with("by", "retention");
        let mut count = 0;
        if let Some(keep) = arguments_ms {
            let before = at.saturating_sub(keep);
            let aged = store.age(before).await?;
            count += aged.arguments + aged.salts;
            entry = entry.with("arguments", aged.arguments).with("before", before).with("salts", aged.salts);
        }
        if let Some(keep) = decisions_ms {
            let decided = store.forget_decided(at.saturating_sub(keep)).await?;
            count += decided;
            entry = entry.with("decided", decided);
        }
        if count > 0 {
            self.note(entry);
        }
        Ok(())
    }
}
