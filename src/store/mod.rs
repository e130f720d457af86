//! The shared state behind one trait: holds, raw arguments, pinned definitions, latches, reviews.
//!
//! Every change of state is one compare-and-swap here, so that of any number of people, timers and
//! replicas exactly one wins. What is stored has been redacted before; only [`Store::arguments`]
//! is raw, and [`Store::purge`] ends its life.

mod decisions;
mod drafts;
mod erasure;
mod notices;
mod people;
mod reviews;
mod rows;
pub mod sqlite;
#[cfg(test)]
pub(crate) mod tests;
mod warrants;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use herma_warrant::warrant::WarrantId;

pub use decisions::{AskedRow, Decided, Edited, FreezeRow, StandingRow, VoteRow};
pub use drafts::DraftRow;
pub use erasure::{Erase, Erased};
pub use notices::{ChannelOff, Notice, Notified};
pub use people::{ApproverRow, KeyKind, KeyRow};
pub use reviews::Flag;
pub use rows::{
    HoldChange, HoldFilter, HoldRow, HoldState, Latch, LatchEvent, Order, Pinned, Purged, ReviewChange,
    ReviewRow, ReviewState, UnknownState,
};
pub use sqlite::Sqlite;
pub use warrants::{Assigned, RevokedRow, Unusable, UseUp, WarrantState};

pub type Task<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    #[error("somebody else was faster: it is at version {current} now")]
    Stale { current: u64 },
    #[error("{what} {id} does not exist")]
    Missing { what: &'static str, id: String },
    #[error("{what} {id} already exists")]
    Exists { what: &'static str, id: String },
    #[error("{what} {id} is {from}: it cannot become {to}")]
    Forbidden { what: &'static str, id: String, from: &'static str, to: &'static str },
    #[error("the database {} is locked by another process: close whatever has it open", .0.display())]
    Locked(PathBuf),
    #[error("the database {} is damaged ({why}): restore a copy, or move it away to start anew", .path.display())]
    Corrupt { path: PathBuf, why: String },
    #[error("no space is left for the database {}", .0.display())]
    Full(PathBuf),
    #[error("the database {} was written by a newer herma (schema {found}, this one knows {known}): update herma", .path.display())]
    Newer { path: PathBuf, found: u32, known: u32 },
    /// What was asked for may have happened or not.
    #[error("the store did not answer in time")]
    Late,
    #[error("too many requests wait for the store")]
    Busy,
    #[error("the store is closed")]
    Closed,
    #[error("the database {}: {why}", .path.display())]
    Io { path: PathBuf, why: String },
}

/// What PostgreSQL implements as well. Every call ends: with an answer, or with an error in time.
pub trait Store: Send + Sync + fmt::Debug {
    /// Adds a hold, with the raw argument bytes if they are to be kept. `Exists` if the id is taken
    /// or another open hold has the same coalescing key: of equal calls that race, one opens a hold.
    fn insert_hold(&self, hold: HoldRow, arguments: Option<Vec<u8>>) -> Task<'_, ()>;

    fn hold(&self, id: &str) -> Task<'_, Option<HoldRow>>;

    fn holds(&self, filter: HoldFilter) -> Task<'_, Vec<HoldRow>>;

    /// How many holds there are, whatever the filter's limit is.
    fn count_holds(&self, filter: HoldFilter) -> Task<'_, u64>;

    /// The pending or approved hold with this coalescing key.
    fn find_open(&self, key: &str) -> Task<'_, Option<HoldRow>>;

    /// Applies the change if the hold still has this version and may go where the change leads.
    fn change_hold(&self, id: &str, version: u64, change: HoldChange) -> Task<'_, HoldRow>;

    fn arguments(&self, id: &str) -> Task<'_, Option<Vec<u8>>>;

    /// Who has approved a hold so far, oldest first.
    fn votes(&self, hold: &str) -> Task<'_, Vec<VoteRow>>;

    /// The changed arguments of a hold under the digest of their bytes.
    fn edit(&self, hold: &str, digest: &str) -> Task<'_, Option<Vec<u8>>>;

    /// The decided holds since then.
    fn decided_since(&self, since_ms: i64) -> Task<'_, Vec<Decided>>;

    /// The newest holds, oldest of them first.
    fn asked(&self, limit: u32) -> Task<'_, Vec<AskedRow>>;

    fn add_standing(&self, row: StandingRow) -> Task<'_, ()>;

    /// The rules that are in force and have uses left.
    fn standing(&self, now_ms: i64) -> Task<'_, Vec<StandingRow>>;

    /// Takes one use of a rule; once this is answered, it is on the disk. False when none is left.
    fn use_standing(&self, id: &str, now_ms: i64) -> Task<'_, bool>;

    /// False when there is no such rule.
    fn withdraw_standing(&self, id: &str, now_ms: i64) -> Task<'_, bool>;

    /// What is frozen already keeps its beginning.
    fn freeze(&self, row: FreezeRow) -> Task<'_, ()>;

    /// False when it was not frozen.
    fn thaw(&self, what: &str) -> Task<'_, bool>;

    fn frozen(&self) -> Task<'_, Vec<FreezeRow>>;

    /// Pins the first definition ever seen of a tool and compares every later one with it.
    fn put_definition(&self, server: &str, tool: &str, digest: &str, json: &str) -> Task<'_, Pinned>;

    /// What the present definition of a tool is compared with.
    fn pinned_definition(&self, server: &str, tool: &str) -> Task<'_, Option<String>>;

    /// Accepts the present definition of a tool as the one to compare with.
    fn accept_definition(&self, server: &str, tool: &str, digest: &str, json: &str) -> Task<'_, ()>;

    /// Sets a latch; one that is set already keeps its beginning.
    fn set_latch(&self, latch: Latch) -> Task<'_, ()>;

    /// Clears a latch in a person's name. False if it was not set.
    fn clear_latch(&self, key: &str, by: &str, reason: &str, at_ms: i64) -> Task<'_, bool>;

    /// The latches that are set.
    fn latches(&self) -> Task<'_, Vec<Latch>>;

    /// Everything that ever happened to a latch, oldest first.
    fn latch_history(&self, key: &str) -> Task<'_, Vec<LatchEvent>>;

    fn enqueue_review(&self, review: ReviewRow) -> Task<'_, ()>;

    /// Reviews in this state, oldest first.
    fn reviews(&self, state: ReviewState, limit: u32) -> Task<'_, Vec<ReviewRow>>;

    fn change_review(&self, id: &str, version: u64, change: ReviewChange) -> Task<'_, ReviewRow>;

    fn review(&self, id: &str) -> Task<'_, Option<ReviewRow>>;

    /// Reviews in every state, newest first.
    fn all_reviews(&self, limit: u32) -> Task<'_, Vec<ReviewRow>>;

    /// Adds a review together with what undoing its call takes.
    fn open_review(&self, review: ReviewRow, kept: String) -> Task<'_, ()>;

    /// Keeps what undoing a reviewed call takes, in the place of what was kept for it before.
    fn keep_undo(&self, review: &str, kept: String) -> Task<'_, ()>;

    fn kept_undo(&self, review: &str) -> Task<'_, Option<String>>;

    /// Everything that is kept, by review, oldest call first.
    fn all_kept_undos(&self) -> Task<'_, Vec<(String, String)>>;

    /// Ends the reviews whose time is over, and forgets what was kept for all that have ended.
    fn expire_reviews(&self, now: i64) -> Task<'_, u64>;

    /// Counts a use of a tool that is reviewed, and says how many there were.
    fn count_use(&self, server: &str, tool: &str) -> Task<'_, u64>;

    /// From now on calls of this tool are held instead of reviewed.
    fn put_flag(&self, flag: Flag) -> Task<'_, ()>;

    /// False when there was none.
    fn drop_flag(&self, server: &str, tool: &str) -> Task<'_, bool>;

    fn flags(&self) -> Task<'_, Vec<Flag>>;

    /// Uses up all of it, or nothing: once this is answered, it is on the disk.
    fn use_up(&self, uses: UseUp) -> Task<'_, Result<(), Unusable>>;

    /// What was drawn of each budget of one warrant, in millionths.
    fn drawn(&self, warrant: WarrantId) -> Task<'_, Vec<(String, u128)>>;

    fn revoke(&self, row: RevokedRow) -> Task<'_, ()>;

    /// Keeps the newest signed list of revocations of an issuer.
    fn keep_list(&self, issuer: &str, bytes: Vec<u8>) -> Task<'_, ()>;

    /// Puts a warrant over its subject, in the place of any other.
    fn assign(&self, row: Assigned) -> Task<'_, ()>;

    /// False when none was there.
    fn unassign(&self, subject: &str) -> Task<'_, bool>;

    /// Notes that warrants were judged by this second; an earlier one changes nothing.
    fn advance_clock(&self, to: u64) -> Task<'_, ()>;

    fn warrant_state(&self, now: u64) -> Task<'_, WarrantState>;

    /// Adds a key, and its approver if the name is new. `Exists` if the key is somebody else's.
    fn add_key(&self, approver: ApproverRow, key: KeyRow) -> Task<'_, ()>;

    fn approvers(&self) -> Task<'_, Vec<ApproverRow>>;

    /// All keys of all approvers, oldest first.
    fn keys(&self) -> Task<'_, Vec<KeyRow>>;

    fn key(&self, id: &str) -> Task<'_, Option<KeyRow>>;

    /// Notes that a passkey was used. False when its counter has not grown.
    fn use_key(&self, id: &str, counter: u32, at_ms: i64) -> Task<'_, bool>;

    fn remove_key(&self, id: &str) -> Task<'_, bool>;

    /// Removes an approver with all keys.
    fn remove_approver(&self, name: &str) -> Task<'_, bool>;

    /// Keeps a draft of the policy, in the place of one of the same name.
    fn put_draft(&self, draft: DraftRow) -> Task<'_, ()>;

    /// The newest first.
    fn drafts(&self) -> Task<'_, Vec<DraftRow>>;

    fn remove_draft(&self, name: &str) -> Task<'_, bool>;

    /// Keeps a message to be delivered, and whom it tells of what, both or neither.
    fn queue_notice(&self, notice: Notice, told: Vec<Notified>) -> Task<'_, ()>;

    /// Keeps a message as it stands now.
    fn put_notice(&self, notice: Notice) -> Task<'_, ()>;

    /// A message that arrived, or that nobody needs any more, is forgotten.
    fn drop_notice(&self, id: &str) -> Task<'_, ()>;

    /// The message of a channel that is to be tried next.
    fn next_notice(&self, channel: &str) -> Task<'_, Option<Notice>>;

    fn notices(&self) -> Task<'_, Vec<Notice>>;

    fn dead_notices(&self) -> Task<'_, u64>;

    /// What the ladder has told of the holds that are still pending.
    fn notified(&self) -> Task<'_, Vec<Notified>>;

    /// Gives up a channel and everything that waits for it.
    fn switch_channel_off(&self, off: ChannelOff) -> Task<'_, ()>;

    fn switch_channel_on(&self, channel: &str) -> Task<'_, ()>;

    fn channels_off(&self) -> Task<'_, Vec<ChannelOff>>;

    /// The salt of a day since 1970: the one that is kept, else `fresh`, which is kept from now on.
    fn salt(&self, day: i64, fresh: [u8; 32]) -> Task<'_, [u8; 32]>;

    fn erase(&self, what: Erase) -> Task<'_, Erased>;

    /// Forgets the raw arguments of calls before this time that are over, and the salts of the days before it.
    fn age(&self, before_ms: i64) -> Task<'_, Erased>;

    /// Forgets holds and reviews that were over before this time. Returns how many.
    fn forget_decided(&self, before_ms: i64) -> Task<'_, u64>;

    /// Forgets the raw arguments, changed ones too, of holds created before this time, unless a hold is still open.
    fn purge(&self, before_ms: i64) -> Task<'_, Purged>;
}
