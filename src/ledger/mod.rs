//! The append-only, tamper-evident record of everything that passes.
//!
//! Entries are lines of canonical JSON in `entries/000000.jsonl`, 4,096 to a file, so that any
//! text tool can read them. Every entry is a leaf of an RFC 6962 tree whose nodes lie beside it
//! as `c2sp.org/tlog-tiles` (`tile/0/000` …) and whose head is signed as a
//! `c2sp.org/tlog-checkpoint` in `checkpoint`. The segments stand in for the entry bundles of that
//! specification: a bundle holds the same bytes behind length prefixes, and one copy is enough.
//! `checkpoints` keeps every checkpoint ever signed, so that a later head cannot contradict an
//! earlier one unseen.
//!
//! Producers push into a bounded buffer and go on; one thread writes. It collects for a few
//! milliseconds before it writes, unless somebody waits for the disk: all who wait share one sync.
//! What nobody waited for is at most a second older than the disk. A call that is over before its line is
//! taken has its outcome in that line.

mod entry;
mod export;
mod figures;
mod journal;
mod key;
mod note;
pub mod ocsf;
mod proof;
mod query;
mod segment;
#[cfg(test)]
mod tests;
mod tree;
mod verify;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use tokio::sync::{oneshot, watch};

pub use entry::{Detail, Entry, Fact, MAX_ENTRY_BYTES, Record, Step, Thousandths};
pub use export::{ExportError, Format, export};
pub use figures::Figures;
pub use key::{load_or_create_key, load_public_key, read_public_key};
pub use note::SignedHead;
pub use proof::{check_consistency, check_proof, entry_of, head, prove, prove_consistency};
pub use query::{About, Found, Gap, Hit, Page, Paging, Query, query, search};
pub use segment::{Backwards, Follower, Line, Place, Reader};
pub use verify::{Continued, Problem, Report, verify, verify_against};

use journal::Journal;
pub use writer::Waiting;
use writer::{Item, Shared, Writer};

/// How many entries may wait for the writer before callers are refused.
pub const CAPACITY: usize = 65_536;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    #[error("the ledger cannot keep up: {CAPACITY} entries already wait for the disk")]
    Full,
    #[error("the ledger cannot be written, so no call may run: {0}")]
    Failed(Arc<str>),
    #[error("the ledger is closed")]
    Closed,
    #[error("another process writes the ledger in {}: stop it first", .0.display())]
    Locked(PathBuf),
    #[error("{0:?} cannot name a ledger: use a name without spaces and plus signs")]
    Origin(String),
    #[error("{}: {why}", .path.display())]
    Key { path: PathBuf, why: String },
    #[error("not a ledger entry: {0}")]
    Entry(String),
    #[error("the checkpoint does not hold: {0}")]
    Checkpoint(String),
    #[error("there is no entry {seq}: the signed checkpoint covers {size} entries")]
    NoEntry { seq: u64, size: u64 },
    #[error("the proof does not hold: {0}")]
    Proof(String),
    #[error("{}: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl LedgerError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

/// A handle on the one writer of a ledger. The last handle to go flushes and closes it.
#[derive(Debug, Clone)]
pub struct Ledger(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    dir: PathBuf,
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Ledger {
    /// Opens the ledger in `dir`, or starts one. An incomplete last line (the trace of a kill in
    /// the middle of a write) is cut off and a `recovered` entry says so; nothing else is ever
    /// removed, and damage in the middle is left for [`verify`] to name.
    pub fn open(dir: &Path, key: SigningKey, origin: &str) -> Result<Self, LedgerError> {
        Self::start(Journal::open(dir, key, origin)?)
    }

    fn start(journal: Journal) -> Result<Self, LedgerError> {
        let dir = journal.dir().to_owned();
        let shared = Arc::new(Shared::default());
        shared.heads.send_replace(Some(journal.head().clone()));
        let writer = Writer::new(journal, Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("ledger".into())
            .spawn(move || writer.run())
            .map_err(LedgerError::io(&dir))?;
        Ok(Self(Arc::new(Handle { dir, shared, thread: Some(thread) })))
    }

    /// Where it lies.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// Hands an entry to the writer. Costs a push under a short lock; the disk follows later.
    pub fn record(&self, entry: Entry) -> Result<Waiting, LedgerError> {
        self.0.shared.push(Item::Plain(entry))
    }

    /// Adds facts to an entry that the writer has not taken yet. False when it has: what is written stays.
    pub fn amend(&self, waiting: Waiting, add: impl FnOnce(&mut Detail)) -> bool {
        self.0.shared.amend(waiting, add)
    }

    /// Resolves to the entry's number once it, and everything before it, is on the disk.
    ///
    /// An error means that the entry is not known to be there: whatever it announced must not
    /// happen.
    pub async fn record_durable(&self, entry: Entry) -> Result<u64, LedgerError> {
        let (reply, answer) = oneshot::channel();
        self.0.shared.push(Item::Durable(entry, reply))?;
        answer.await.unwrap_or(Err(LedgerError::Closed))
    }

    /// Why the ledger cannot be written at the moment, if it cannot. It keeps trying by itself.
    pub fn health(&self) -> Result<(), LedgerError> {
        self.0.shared.health()
    }

    /// The newest signed checkpoint, and every one after it.
    pub fn heads(&self) -> watch::Receiver<Option<SignedHead>> {
        self.0.shared.heads.subscribe()
    }

    pub fn figures(&self) -> &Figures {
        &self.0.shared.figures
    }

    /// Signs a checkpoint over everything recorded so far.
    pub async fn checkpoint(&self) -> Result<SignedHead, LedgerError> {
        let (reply, answer) = oneshot::channel();
        self.0.shared.push(Item::Checkpoint(reply))?;
        answer.await.unwrap_or(Err(LedgerError::Closed))
    }

    /// Writes what waits, signs the last checkpoint and ends the writer. Every later record is
    /// refused.
    pub async fn close(&self) -> Result<(), LedgerError> {
        let (reply, answer) = oneshot::channel();
        self.0.shared.close(Some(reply));
        answer.await.unwrap_or(Err(LedgerError::Closed)).map(drop)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close(None);
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has nothing left to flush.
            let _ = thread.join();
        }
    }
}
