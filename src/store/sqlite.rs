//! The embedded store: one SQLite file, one thread that owns the connection.

mod connection;
mod decisions;
mod drafts;
mod erasure;
mod notices;
mod people;
mod reviews;
mod statements;
mod warrants;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use herma_warrant::warrant::WarrantId;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{
    ApproverRow, AskedRow, Assigned, ChannelOff, Decided, DraftRow, Erase, Erased, Flag, FreezeRow,
    HoldChange, HoldFilter, HoldRow, KeyRow, Latch, LatchEvent, Notice, Notified, Pinned, Purged,
    ReviewChange, ReviewRow, ReviewState, RevokedRow, StandingRow, Store, StoreError, Task, Unusable, UseUp,
    VoteRow, WarrantState,
};
use connection::Failure;

pub const FILE: &str = "herma.db";

/// How long a caller waits for the store before the call is refused. Longer than the time that
/// SQLite itself waits for a lock, so that the reason can be told.
const DEADLINE: Duration = Duration::from_secs(5);
/// The same for whoever asks for all there is of something, however much that is: at the start, mostly.
const LONG_DEADLINE: Duration = Duration::from_secs(60);
const QUEUE: usize = 4096;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Sqlite {
    /// Opens `herma.db` in the data directory, makes it if there is none, and brings it to the
    /// schema of this program.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let path = data_dir.join(FILE);
        let connection = connection::open(&path).map_err(|failure| failure.at(&path))?;
        let (jobs, queue) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || work(connection, &queue))
            .map_err(|error| StoreError::Io { path: path.clone(), why: error.to_string() })?;
        Ok(Self { path, jobs: Some(jobs), thread: Some(thread) })
    }

    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Task<'_, T> {
        self.ask_within(DEADLINE, question)
    }

    fn ask_within<T: Send + 'static>(
        &self,
        deadline: Duration,
        question: impl FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Task<'_, T> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let job: Job = Box::new(move |connection| {
                // Whoever asked has gone, and took the question for unanswered.
                if !reply.is_closed() {
                    let _ = reply.send(question(connection));
                }
            });
            let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
            jobs.try_send(job).map_err(|error| match error {
                TrySendError::Full(_) => StoreError::Busy,
                TrySendError::Disconnected(_) => StoreError::Closed,
            })?;
            match tokio::time::timeout(deadline, answer).await {
                Ok(Ok(answer)) => answer.map_err(|failure| failure.at(&self.path)),
                Ok(Err(_)) => Err(StoreError::Closed),
                Err(_) => Err(StoreError::Late),
            }
        })
    }
}

fn work(mut connection: Connection, queue: &Receiver<Job>) {
    for job in queue {
        job(&mut connection);
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has closed the file already.
            let _ = thread.join();
        }
    }
}

impl Store for Sqlite {
    fn insert_hold(&self, hold: HoldRow, arguments: Option<Vec<u8>>) -> Task<'_, ()> {
        self.ask(move |db| statements::insert_hold(db, &hold, arguments.as_deref()))
    }

    fn hold(&self, id: &str) -> Task<'_, Option<HoldRow>> {
        let id = id.to_owned();
        self.ask(move |db| statements::hold(db, &id))
    }

    fn holds(&self, filter: HoldFilter) -> Task<'_, Vec<HoldRow>> {
        let deadline = if filter.limit.is_some() { DEADLINE } else { LONG_DEADLINE };
        self.ask_within(deadline, move |db| statements::holds(db, &filter))
    }

    fn count_holds(&self, filter: HoldFilter) -> Task<'_, u64> {
        self.ask(move |db| statements::count_holds(db, &filter))
    }

    fn find_open(&self, key: &str) -> Task<'_, Option<HoldRow>> {
        let key = key.to_owned();
        self.ask(move |db| statements::find_open(db, &key))
    }

    fn change_hold(&self, id: &str, version: u64, change: HoldChange) -> Task<'_, HoldRow> {
        let id = id.to_owned();
        self.ask(move |db| statements::change_hold(db, &id, version, change))
    }

    fn arguments(&self, id: &str) -> Task<'_, Option<Vec<u8>>> {
        let id = id.to_owned();
        self.ask(move |db| statements::arguments(db, &id))
    }

    fn votes(&self, hold: &str) -> Task<'_, Vec<VoteRow>> {
        let hold = hold.to_owned();
        self.ask(move |db| decisions::votes(db, &hold))
    }

    fn edit(&self, hold: &str, digest: &str) -> Task<'_, Option<Vec<u8>>> {
        let [hold, digest] = [hold, digest].map(str::to_owned);
        self.ask(move |db| decisions::edit(db, &hold, &digest))
    }

    fn decided_since(&self, since_ms: i64) -> Task<'_, Vec<Decided>> {
        self.ask(move |db| decisions::decided_since(db, since_ms))
    }

    fn asked(&self, limit: u32) -> Task<'_, Vec<AskedRow>> {
        self.ask_within(LONG_DEADLINE, move |db| decisions::asked(db, limit))
    }

    fn add_standing(&self, row: StandingRow) -> Task<'_, ()> {
        self.ask(move |db| decisions::add_standing(db, &row))
    }

    fn standing(&self, now_ms: i64) -> Task<'_, Vec<StandingRow>> {
        self.ask(move |db| decisions::standing(db, now_ms))
    }

    fn use_standing(&self, id: &str, now_ms: i64) -> Task<'_, bool> {
        let id = id.to_owned();
        self.ask(move |db| decisions::use_standing(db, &id, now_ms))
    }

    fn withdraw_standing(&self, id: &str, now_ms: i64) -> Task<'_, bool> {
        let id = id.to_owned();
        self.ask(move |db| decisions::withdraw_standing(db, &id, now_ms))
    }

    fn freeze(&self, row: FreezeRow) -> Task<'_, ()> {
        self.ask(move |db| decisions::freeze(db, &row))
    }

    fn thaw(&self, what: &str) -> Task<'_, bool> {
        let what = what.to_owned();
        self.ask(move |db| decisions::thaw(db, &what))
    }

    fn frozen(&self) -> Task<'_, Vec<FreezeRow>> {
        self.ask(|db| decisions::frozen(db))
    }

    fn put_definition(&self, server: &str, tool: &str, digest: &str, json: &str) -> Task<'_, Pinned> {
        let row = [server, tool, digest, json].map(str::to_owned);
        self.ask(move |db| statements::put_definition(db, &row))
    }

    fn pinned_definition(&self, server: &str, tool: &str) -> Task<'_, Option<String>> {
        let of = [server, tool].map(str::to_owned);
        self.ask(move |db| statements::pinned_definition(db, &of))
    }

    fn accept_definition(&self, server: &str, tool: &str, digest: &str, json: &str) -> Task<'_, ()> {
        let row = [server, tool, digest, json].map(str::to_owned);
        self.ask(move |db| statements::accept_definition(db, &row))
    }

    fn set_latch(&self, latch: Latch) -> Task<'_, ()> {
        self.ask(move |db| statements::set_latch(db, &latch))
    }

    fn clear_latch(&self, key: &str, by: &str, reason: &str, at_ms: i64) -> Task<'_, bool> {
        let [key, by, reason] = [key, by, reason].map(str::to_owned);
        let event = LatchEvent { at_ms, set: false, by, reason };
        self.ask(move |db| statements::clear_latch(db, &key, &event))
    }

    fn latches(&self) -> Task<'_, Vec<Latch>> {
        self.ask(|db| statements::latches(db))
    }

    fn latch_history(&self, key: &str) -> Task<'_, Vec<LatchEvent>> {
        let key = key.to_owned();
        self.ask(move |db| statements::latch_history(db, &key))
    }

    fn enqueue_review(&self, review: ReviewRow) -> Task<'_, ()> {
        self.ask(move |db| statements::enqueue_review(db, &review))
    }

    fn reviews(&self, state: ReviewState, limit: u32) -> Task<'_, Vec<ReviewRow>> {
        self.ask(move |db| statements::reviews(db, state, limit))
    }

    fn change_review(&self, id: &str, version: u64, change: ReviewChange) -> Task<'_, ReviewRow> {
        let id = id.to_owned();
        self.ask(move |db| statements::change_review(db, &id, version, change))
    }

    fn review(&self, id: &str) -> Task<'_, Option<ReviewRow>> {
        let id = id.to_owned();
        self.ask(move |db| reviews::review(db, &id))
    }

    fn all_reviews(&self, limit: u32) -> Task<'_, Vec<ReviewRow>> {
        self.ask(move |db| reviews::all(db, limit))
    }

    fn open_review(&self, review: ReviewRow, kept: String) -> Task<'_, ()> {
        self.ask(move |db| reviews::open(db, &review, &kept))
    }

    fn keep_undo(&self, review: &str, kept: String) -> Task<'_, ()> {
        let review = review.to_owned();
        self.ask(move |db| reviews::keep(db, &review, &kept))
    }

    fn kept_undo(&self, review: &str) -> Task<'_, Option<String>> {
        let review = review.to_owned();
        self.ask(move |db| reviews::kept(db, &review))
    }

    fn all_kept_undos(&self) -> Task<'_, Vec<(String, String)>> {
        self.ask(|db| reviews::all_kept(db))
    }

    fn expire_reviews(&self, now: i64) -> Task<'_, u64> {
        self.ask(move |db| reviews::expire(db, now))
    }

    fn count_use(&self, server: &str, tool: &str) -> Task<'_, u64> {
        let [server, tool] = [server, tool].map(str::to_owned);
        self.ask(move |db| reviews::count_use(db, &server, &tool))
    }

    fn put_flag(&self, flag: Flag) -> Task<'_, ()> {
        self.ask(move |db| reviews::flag(db, &flag))
    }

    fn drop_flag(&self, server: &str, tool: &str) -> Task<'_, bool> {
        let [server, tool] = [server, tool].map(str::to_owned);
        self.ask(move |db| reviews::unflag(db, &server, &tool))
    }

    fn flags(&self) -> Task<'_, Vec<Flag>> {
        self.ask(|db| reviews::flags(db))
    }

    fn put_draft(&self, draft: DraftRow) -> Task<'_, ()> {
        self.ask(move |db| drafts::put(db, &draft))
    }

    fn drafts(&self) -> Task<'_, Vec<DraftRow>> {
        self.ask(|db| drafts::all(db))
    }

    fn remove_draft(&self, name: &str) -> Task<'_, bool> {
        let name = name.to_owned();
        self.ask(move |db| drafts::remove(db, &name))
    }

    fn use_up(&self, uses: UseUp) -> Task<'_, Result<(), Unusable>> {
        self.ask(move |db| warrants::use_up(db, &uses))
    }

    fn drawn(&self, warrant: WarrantId) -> Task<'_, Vec<(String, u128)>> {
        self.ask(move |db| warrants::drawn(db, warrant))
    }

    fn revoke(&self, row: RevokedRow) -> Task<'_, ()> {
        self.ask(move |db| warrants::revoke(db, &row))
    }

    fn keep_list(&self, issuer: &str, bytes: Vec<u8>) -> Task<'_, ()> {
        let issuer = issuer.to_owned();
        self.ask(move |db| warrants::keep_list(db, &issuer, &bytes))
    }

    fn assign(&self, row: Assigned) -> Task<'_, ()> {
        self.ask(move |db| warrants::assign(db, &row))
    }

    fn unassign(&self, subject: &str) -> Task<'_, bool> {
        let subject = subject.to_owned();
        self.ask(move |db| warrants::unassign(db, &subject))
    }

    fn advance_clock(&self, to: u64) -> Task<'_, ()> {
        self.ask(move |db| warrants::advance_clock(db, to))
    }

    fn warrant_state(&self, now: u64) -> Task<'_, WarrantState> {
        self.ask(move |db| warrants::state(db, now))
    }

    fn add_key(&self, approver: ApproverRow, key: KeyRow) -> Task<'_, ()> {
        self.ask(move |db| people::add_key(db, &approver, &key))
    }

    fn approvers(&self) -> Task<'_, Vec<ApproverRow>> {
        self.ask(|db| people::approvers(db))
    }

    fn keys(&self) -> Task<'_, Vec<KeyRow>> {
        self.ask(|db| people::keys(db))
    }

    fn key(&self, id: &str) -> Task<'_, Option<KeyRow>> {
        let id = id.to_owned();
        self.ask(move |db| people::key(db, &id))
    }

    fn use_key(&self, id: &str, counter: u32, at_ms: i64) -> Task<'_, bool> {
        let id = id.to_owned();
        self.ask(move |db| people::use_key(db, &id, counter, at_ms))
    }

    fn remove_key(&self, id: &str) -> Task<'_, bool> {
        let id = id.to_owned();
        self.ask(move |db| people::remove_key(db, &id))
    }

    fn remove_approver(&self, name: &str) -> Task<'_, bool> {
        let name = name.to_owned();
        self.ask(move |db| people::remove_approver(db, &name))
    }

    fn queue_notice(&self, notice: Notice, told: Vec<Notified>) -> Task<'_, ()> {
        self.ask(move |db| notices::queue(db, &notice, &told))
    }

    fn put_notice(&self, notice: Notice) -> Task<'_, ()> {
        self.ask(move |db| notices::put(db, &notice))
    }

    fn drop_notice(&self, id: &str) -> Task<'_, ()> {
        let id = id.to_owned();
        self.ask(move |db| notices::delivered(db, &id))
    }

    fn next_notice(&self, channel: &str) -> Task<'_, Option<Notice>> {
        let channel = channel.to_owned();
        self.ask(move |db| notices::next(db, &channel))
    }

    fn notices(&self) -> Task<'_, Vec<Notice>> {
        self.ask(|db| notices::all(db))
    }

    fn dead_notices(&self) -> Task<'_, u64> {
        self.ask(|db| notices::count_dead(db))
    }

    fn notified(&self) -> Task<'_, Vec<Notified>> {
        self.ask(|db| notices::notified(db))
    }

    fn switch_channel_off(&self, off: ChannelOff) -> Task<'_, ()> {
        self.ask(move |db| notices::switch_off(db, &off))
    }

    fn switch_channel_on(&self, channel: &str) -> Task<'_, ()> {
        let channel = channel.to_owned();
        self.ask(move |db| notices::switch_on(db, &channel))
    }

    fn channels_off(&self) -> Task<'_, Vec<ChannelOff>> {
        self.ask(|db| notices::off(db))
    }

    fn salt(&self, day: i64, fresh: [u8; 32]) -> Task<'_, [u8; 32]> {
        self.ask(move |db| erasure::salt(db, day, &fresh))
    }

    fn erase(&self, what: Erase) -> Task<'_, Erased> {
        self.ask(move |db| erasure::erase(db, &what))
    }

    fn age(&self, before_ms: i64) -> Task<'_, Erased> {
        self.ask(move |db| {
            let arguments = statements::purge(db, before_ms)?.arguments;
            Ok(Erased { arguments, salts: erasure::forget_salts(db, before_ms)?, ..Erased::default() })
        })
    }

    fn forget_decided(&self, before_ms: i64) -> Task<'_, u64> {
        self.ask(move |db| erasure::forget_decided(db, before_ms))
    }

    fn purge(&self, before_ms: i64) -> Task<'_, Purged> {
        self.ask(move |db| statements::purge(db, before_ms))
    }
}
