//! The one thread that writes, and the buffer before it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::{Condvar, Mutex};
use tokio::sync::{oneshot, watch};

use super::figures::Figures;
use super::journal::Journal;
use super::{CAPACITY, Detail, Entry, LedgerError, SignedHead, Step};

/// How long the writer lets entries gather while nobody waits for the disk.
const GATHER: Duration = Duration::from_millis(10);
/// How often a failed ledger tries again.
const RETRY: Duration = Duration::from_millis(200);

type Reply<T> = oneshot::Sender<Result<T, LedgerError>>;

#[derive(Debug)]
pub(super) enum Item {
    Plain(Entry),
    Durable(Entry, Reply<u64>),
    Checkpoint(Reply<SignedHead>),
}

/// An entry that the writer may not have taken yet.
#[derive(Debug, Clone, Copy)]
pub struct Waiting {
    batch: u64,
    place: usize,
}

/// What producers and the writer share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    failed: AtomicBool,
    failure: Mutex<Option<Arc<str>>>,
    /// The newest signed checkpoint.
    pub(super) heads: watch::Sender<Option<SignedHead>>,
    pub(super) figures: Figures,
}

#[derive(Debug, Default)]
struct Queue {
    items: Vec<Item>,
    /// How many batches the writer has taken.
    taken: u64,
    /// The writer sleeps until somebody wakes it.
    idle: bool,
    /// Somebody waits for the disk.
    urgent: bool,
    closed: bool,
    closing: Vec<Reply<SignedHead>>,
    /// The writer has gone.
    over: bool,
}

impl Shared {
    pub(super) fn push(&self, item: Item) -> Result<Waiting, LedgerError> {
        self.health()?;
        let urgent = !matches!(item, Item::Plain(_));
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(LedgerError::Closed);
        }
        if queue.items.len() >= CAPACITY {
            return Err(LedgerError::Full);
        }
        let waiting = Waiting { batch: queue.taken, place: queue.items.len() };
        queue.items.push(item);
        queue.urgent |= urgent;
        // Waking a thread is a system call: only the first entry after a rest pays it.
        let wake = std::mem::take(&mut queue.idle) || urgent;
        drop(queue);
        if wake {
            self.wake.notify_one();
        }
        Ok(waiting)
    }

    pub(super) fn amend(&self, waiting: Waiting, add: impl FnOnce(&mut Detail)) -> bool {
        let mut queue = self.queue.lock();
        if queue.taken != waiting.batch {
            return false;
        }
        let Some(Item::Plain(entry)) = queue.items.get_mut(waiting.place) else { return false };
        add(&mut entry.detail);
        true
    }

    pub(super) fn close(&self, reply: Option<Reply<SignedHead>>) {
        let mut queue = self.queue.lock();
        queue.closed = true;
        if !queue.over {
            queue.closing.extend(reply);
        }
        drop(queue);
        self.wake.notify_one();
    }

    pub(super) fn health(&self) -> Result<(), LedgerError> {
        if self.failed.load(Ordering::Acquire) {
            let why = self.failure.lock().clone();
            return Err(LedgerError::Failed(why.unwrap_or_default()));
        }
        Ok(())
    }

    /// After this nothing waits for the writer. Returns those who asked it to close.
    fn end(&self) -> Vec<Reply<SignedHead>> {
        let mut queue = self.queue.lock();
        queue.closed = true;
        queue.over = true;
        queue.items.clear();
        std::mem::take(&mut queue.closing)
    }

    fn fail(&self, why: Option<Arc<str>>) {
        let failed = why.is_some();
        *self.failure.lock() = why;
        self.failed.store(failed, Ordering::Release);
    }

    /// Sleeps until there is work, and a little longer so that it comes in batches. Moves it into
    /// `batch` and says whether the ledger is closing.
    fn take(&self, batch: &mut Vec<Item>, rest: Option<Duration>) -> bool {
        let mut queue = self.queue.lock();
        if queue.items.is_empty() && !queue.closed {
            queue.idle = true;
            let asleep = |queue: &mut Queue| queue.idle && !queue.closed;
            match rest {
                Some(rest) => drop(self.wake.wait_while_for(&mut queue, asleep, rest)),
                None => self.wake.wait_while(&mut queue, asleep),
            }
            queue.idle = false;
        }
        if !queue.items.is_empty() {
            self.wake.wait_while_for(&mut queue, |queue| !queue.urgent && !queue.closed, GATHER);
        }
        queue.urgent = false;
        queue.taken += 1;
        std::mem::swap(&mut queue.items, batch);
        queue.closed
    }
}

struct Pending {
    entry: Entry,
    kind: Kind,
}

enum Kind {
    Plain,
    Durable(Reply<u64>),
    /// Written to find out whether the disk takes entries again.
    Probe,
}

/// What happened since the disk first refused, for the entry that ends the silence.
struct Outage {
    since: i64,
    why: Arc<str>,
    /// Callers who were told that their entry is not durable.
    refused: u64,
    /// Numbers of entries that may stand in the ledger although their callers were refused.
    unconfirmed: Vec<u64>,
}

pub(super) struct Writer {
    journal: Journal,
    shared: Arc<Shared>,
    pending: VecDeque<Pending>,
    outage: Option<Outage>,
}

impl Writer {
    pub(super) fn new(journal: Journal, shared: Arc<Shared>) -> Self {
        Self { journal, shared, pending: VecDeque::new(), outage: None }
    }

    pub(super) fn run(mut self) {
        let _end = End(Arc::clone(&self.shared));
        let mut batch = Vec::new();
        loop {
            let rest = match self.outage {
                Some(_) => Some(RETRY),
                None => self.journal.due(),
            };
            let closing = self.shared.take(&mut batch, rest);
            let mut heads = Vec::new();
            for item in batch.drain(..) {
                match item {
                    Item::Plain(entry) => self.pending.push_back(Pending { entry, kind: Kind::Plain }),
                    Item::Durable(entry, reply) => {
                        self.pending.push_back(Pending { entry, kind: Kind::Durable(reply) })
                    }
                    Item::Checkpoint(reply) => heads.push(reply),
                }
            }
            let outcome = self.work(closing || !heads.is_empty());
            self.shared.heads.send_if_modified(|known| {
                let head = self.journal.head();
                let is_new = known.as_ref() != Some(head);
                if is_new {
                    *known = Some(head.clone());
                }
                is_new
            });
            if closing {
                heads.append(&mut self.shared.end());
            }
            for reply in heads {
                let _ = reply.send(match &outcome {
                    Ok(()) => Ok(self.journal.head().clone()),
                    Err(why) => Err(LedgerError::Failed(Arc::clone(why))),
                });
            }
            if closing {
                return;
            }
        }
    }

    /// Writes what is pending, syncs if somebody waits for it, signs a checkpoint if one is due.
    fn work(&mut self, sign: bool) -> Result<(), Arc<str>> {
        if let Some(outage) = &self.outage {
            self.pending.push_front(Pending { entry: outage.entry(), kind: Kind::Probe });
        }
        let mut written = Vec::new();
        let outcome = self
            .regain()
            .and_then(|()| self.append(&mut written))
            .and_then(|()| {
                if !written.is_empty() || self.outage.is_some() {
                    self.shared.figures.time_sync(|| self.journal.sync())
                } else {
                    self.journal.sync_if_due()
                }
            })
            .and_then(|()| {
                for (seq, reply) in written.drain(..) {
                    let _ = reply.send(Ok(seq));
                }
                if sign { self.journal.sign() } else { self.journal.sign_if_due() }
            });
        match outcome {
            Ok(()) => {
                if let Some(outage) = self.outage.take() {
                    tracing::info!(refused = outage.refused, "the ledger is written again");
                    self.shared.fail(None);
                }
                Ok(())
            }
            Err(error) => Err(self.suffer(&error, written)),
        }
    }

    /// In an outage, first secures what had been written before it. A disk that refuses even that
    /// gets nothing new.
    fn regain(&mut self) -> Result<(), LedgerError> {
        match self.outage {
            Some(_) => self.journal.sync(),
            None => Ok(()),
        }
    }

    /// Writes the pending entries file by file. Collects the callers who wait for a sync.
    fn append(&mut self, written: &mut Vec<(u64, Reply<u64>)>) -> Result<(), LedgerError> {
        while !self.pending.is_empty() {
            let count = self.journal.room().min(self.pending.len());
            let entries = self.pending.iter().take(count).map(|pending| &pending.entry);
            let first = self.journal.append(entries)?;
            self.shared.figures.add_lines(count as u64);
            for (seq, pending) in (first..).zip(self.pending.drain(..count)) {
                if let Kind::Durable(reply) = pending.kind {
                    written.push((seq, reply));
                }
            }
        }
        Ok(())
    }

    /// The disk refused. Nobody who waits is left waiting; what nobody waits for stays here and is
    /// tried again.
    fn suffer(&mut self, error: &LedgerError, written: Vec<(u64, Reply<u64>)>) -> Arc<str> {
        let why: Arc<str> = error.to_string().into();
        self.shared.fail(Some(Arc::clone(&why)));
        if self.outage.is_none() {
            tracing::error!(%why, "the ledger cannot be written: calls are refused until it can");
        }
        let outage = self.outage.get_or_insert_with(|| Outage {
            since: now(),
            why: Arc::clone(&why),
            refused: 0,
            unconfirmed: Vec::new(),
        });
        for (seq, reply) in written {
            outage.unconfirmed.push(seq);
            outage.refused += 1;
            let _ = reply.send(Err(LedgerError::Failed(Arc::clone(&why))));
        }
        let mut kept = VecDeque::with_capacity(self.pending.len());
        for pending in self.pending.drain(..) {
            match pending.kind {
                Kind::Plain => kept.push_back(pending),
                Kind::Durable(reply) => {
                    outage.refused += 1;
                    let _ = reply.send(Err(LedgerError::Failed(Arc::clone(&why))));
                }
                Kind::Probe => {}
            }
        }
        self.pending = kept;
        why
    }
}

/// Lets every waiter go, also when the writer panics.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        drop(self.0.end());
    }
}

impl Outage {
    fn entry(&self) -> Entry {
        Entry::new(now(), Step::Recovered)
            .with("why", self.why.as_ref())
            .with("since", self.since)
            .with("refused", self.refused)
            .with("unconfirmed", self.unconfirmed.clone())
    }
}

pub(super) fn now() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_joins_its_line_until_the_writer_has_taken_it() {
        let shared = Shared::default();
        let waiting = shared.push(Item::Plain(Entry::new(1, Step::Routed))).unwrap();
        assert!(shared.amend(waiting, |detail| detail.push("outcome", "answered")));
        let mut batch = Vec::new();
        shared.take(&mut batch, None);
        let [Item::Plain(entry)] = &*batch else { panic!("{batch:?}") };
        assert_eq!(entry.detail, Detail::from_iter([("outcome", "answered")]));
        // The next batch has a line in the same place: it is another one's.
        shared.push(Item::Plain(Entry::new(2, Step::Held))).unwrap();
        assert!(!shared.amend(waiting, |detail| detail.push("outcome", "lost")));
    }
}
