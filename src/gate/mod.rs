//! The gate: calls that wait for a person.
//!
//! A hold is opened once per call digest; identical calls join it. Its state changes by compare-and-swap in
//! the store, and nobody is told before the store and the ledger have it. Time is an argument.

mod hold;
mod receipt;
mod stay;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;
use tokio::sync::broadcast;

use crate::call::{Call, NotCanonical};
use crate::ledger::{Entry, Ledger, LedgerError, Step};
use crate::store::{HoldChange, HoldFilter, HoldRow, HoldState, Order, Store, StoreError};

use hold::Hold;
pub use hold::{Answer, Standing};
pub use receipt::{Approver, Decision, Method, Receipt};
pub use stay::{Stay, Verdict};

/// Calls of one principal that may wait at the same time; more are refused.
const OPEN_PER_PRINCIPAL: usize = 64;
/// How long the answer to a call whose client had gone is kept for its retry.
const UNDELIVERED: Duration = Duration::from_secs(300);

/// Why the gate could not take a call or a decision.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    NotCanonical(#[from] NotCanonical),
    #[error("{0} calls of this agent already wait for a person: decide some of them first")]
    Full(usize),
    #[error("no hold is named `{0}`")]
    Unknown(String),
    #[error("hold `{id}` is {state}: nothing is left to decide")]
    Settled { id: String, state: String },
    #[error("the agent went away from hold `{0}`: approving it would run nothing")]
    Gone(String),
    #[error("hold `{id}` is for digest {actual}, not {named}: look at it again")]
    OtherDigest { id: String, named: String, actual: String },
    #[error("no randomness from the operating system: {0}")]
    Randomness(#[from] getrandom::Error),
}

/// How long things wait.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// A hold that nobody decides is denied after this.
    pub expire: Duration,
    /// An approval whose client is gone can be used by an identical retry this long.
    pub ticket: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { expire: Duration::from_secs(60 * 60), ticket: Duration::from_secs(15 * 60) }
    }
}

/// All calls that wait.
#[derive(Debug)]
pub struct Gate {
    store: Arc<dyn Store>,
    ledger: Ledger,
    signer: SigningKey,
    times: Times,
    /// By coalescing key: the call digest.
    open: Mutex<HashMap<String, Arc<Hold>>>,
    news: broadcast::Sender<HoldRow>,
}

impl Gate {
    /// Takes up the holds that were open when the last run ended. What was being forwarded then is `unknown`.
    pub async fn restore(
        store: Arc<dyn Store>,
        ledger: Ledger,
        signer: SigningKey,
        times: Times,
    ) -> Result<Arc<Self>, GateError> {
        let mut open = HashMap::new();
        for row in store.holds(in_states(&[HoldState::Forwarding])).await? {
            store.change_hold(&row.id, row.version, HoldChange::to(HoldState::Unknown)).await?;
        }
        for row in store.holds(in_states(&HoldState::OPEN)).await? {
            open.insert(row.key.clone(), Arc::new(Hold::restored(row)));
        }
        let (news, _) = broadcast::channel(256);
        Ok(Arc::new(Self { store, ledger, signer, times, open: Mutex::new(open), news }))
    }

    /// Opens a hold for `call`, or joins the one that an identical call opened. `shown` is everything a person
    /// will see of it.
    pub async fn enter(self: &Arc<Self>, call: &Call, seen: Shown, now: i64) -> Result<Stay, GateError> {
        let digest = call.digest()?.to_string();
        let (hold, fresh) = self.find_or_open(call, &digest, seen.crisis, &seen.class, seen.json, now)?;
        let stay = Stay::new(Arc::clone(self), Arc::clone(&hold));
        if !fresh {
            self.note_joined(&hold).await?;
            return Ok(stay);
        }
        let row = hold.row();
        let opened = self.persist(&row, call).await;
        if let Err(error) = opened {
            self.forget(&hold);
            hold.stand(Standing::Failed);
            return Err(error);
        }
        hold.opened();
        let _ = self.news.send(row);
        Ok(stay)
    }

    async fn persist(&self, row: &HoldRow, call: &Call) -> Result<(), GateError> {
        self.store.insert_hold(row.clone(), Some(call.raw_arguments.to_vec())).await?;
        let entry = Entry::new(row.created_ms, Step::Held)
            .of(call.id.clone())
            .with("hold", row.id.as_str())
            .with("digest", row.digest.as_str())
            .with("expires", row.expires_ms);
        self.ledger.record_durable(entry).await?;
        Ok(())
    }

    fn find_or_open(
        &self,
        call: &Call,
        digest: &str,
        crisis: bool,
        class: &str,
        shown: Value,
        now: i64,
    ) -> Result<(Arc<Hold>, bool), GateError> {
        let mut open = self.open();
        if let Some(hold) = open.get(digest) {
            return Ok((Arc::clone(hold), false));
        }
        let principal = &*call.origin.principal;
        let waiting = open.values().filter(|hold| hold.row().principal == principal).count();
        if waiting >= OPEN_PER_PRINCIPAL {
            return Err(GateError::Full(waiting));
        }
        let row = HoldRow {
            id: new_id(&open)?,
            key: digest.to_owned(),
            digest: digest.to_owned(),
            state: HoldState::Pending,
            version: 1,
            created_ms: now,
            expires_ms: now.saturating_add(millis(self.times.expire)),
            session: call.origin.session.to_string(),
            principal: principal.to_owned(),
            server: call.origin.server.to_string(),
            tool: call.tool.clone(),
            class: class.to_owned(),
            crisis,
            shown: shown.to_string(),
            decision: None,
            decided_ms: None,
            count: 1,
        };
        let hold = Arc::new(Hold::new(row));
        open.insert(digest.to_owned(), Arc::clone(&hold));
        Ok((hold, true))
    }

    async fn note_joined(&self, hold: &Hold) -> Result<(), GateError> {
        hold.stored().await;
        let _turn = hold.turn().await;
        let row = hold.row();
        if row.state == HoldState::Pending {
            let change = HoldChange { count: Some(row.count.saturating_add(1)), ..HoldChange::default() };
            let row = self.store.change_hold(&row.id, row.version, change).await?;
            hold.set_row(row.clone());
            let _ = self.news.send(row);
        }
        Ok(())
    }

    /// A person's word on one hold. `digest` is the one they saw; a decision on anything else is refused.
    pub async fn decide(
        &self,
        id: &str,
        digest: Option<&str>,
        decision: Decision,
        approver: Approver,
        now: i64,
    ) -> Result<HoldRow, GateError> {
        let Some(hold) = self.by_id(id) else {
            return Err(match self.store.hold(id).await? {
                Some(row) => GateError::Settled { id: row.id, state: row.state.to_string() },
                None => GateError::Unknown(id.to_owned()),
            });
        };
        let _turn = hold.turn().await;
        let row = hold.row();
        if row.state != HoldState::Pending {
            return Err(GateError::Settled { id: row.id, state: row.state.to_string() });
        }
        if let Some(named) = digest.filter(|named| !row.digest.starts_with(*named) || named.len() < 8) {
            return Err(GateError::OtherDigest { id: row.id, named: named.to_owned(), actual: row.digest });
        }
        if !hold.awaited() {
            return Err(GateError::Gone(row.id));
        }
        let approved = matches!(decision, Decision::Approve);
        let expires = now.saturating_add(millis(self.times.ticket));
        let receipt =
            Receipt::sign(&self.signer, &row, decision, approver, now, approved.then_some(expires))?;
        let change = HoldChange {
            decision: Some(receipt.to_string()),
            decided_ms: Some(now),
            expires_ms: approved.then_some(expires),
            ..HoldChange::to(if approved { HoldState::Approved } else { HoldState::Denied })
        };
        let row = self.store.change_hold(&row.id, row.version, change).await?;
        hold.set_row(row.clone());
        let entry = Entry::new(now, Step::Decided).with("receipt", receipt.as_value());
        self.ledger.record_durable(entry).await?;
        if !approved {
            self.forget(&hold);
        }
        hold.stand(receipt.standing());
        let _ = self.news.send(row.clone());
        Ok(row)
    }

    /// Ends what has waited too long: holds nobody decided, tickets nobody used, answers nobody fetched.
    pub async fn sweep(&self, now: i64) -> Result<(), GateError> {
        let due: Vec<_> = self.open().values().filter(|hold| hold.is_due(now)).cloned().collect();
        for hold in due {
            let _turn = hold.turn().await;
            let row = hold.row();
            if matches!(row.state, HoldState::Pending | HoldState::Approved) && row.expires_ms <= now {
                self.end(&hold, HoldState::Expired, Standing::Expired, now).await?;
            } else if hold.is_due(now) {
                self.forget(&hold);
            }
        }
        Ok(())
    }

    /// The last client waiting for this hold went away without saying that it will come back.
    async fn abandon(&self, hold: &Arc<Hold>, now: i64) -> Result<(), GateError> {
        let _turn = hold.turn().await;
        if hold.awaited() || hold.row().state != HoldState::Pending {
            return Ok(());
        }
        self.end(hold, HoldState::Abandoned, Standing::Abandoned, now).await
    }

    /// What was approved can no longer be what would run.
    pub(crate) async fn supersede(&self, claim: Claim, now: i64) -> Result<(), GateError> {
        let _turn = claim.hold.turn().await;
        self.end(&claim.hold, HoldState::Superseded, Standing::Superseded, now).await
    }

    /// The call was approved and could not be let out after all.
    pub(crate) async fn give_up(&self, claim: Claim, now: i64) -> Result<(), GateError> {
        let _turn = claim.hold.turn().await;
        self.end(&claim.hold, HoldState::Failed, Standing::Failed, now).await
    }

    async fn end(
        &self,
        hold: &Arc<Hold>,
        state: HoldState,
        standing: Standing,
        now: i64,
    ) -> Result<(), GateError> {
        let row = hold.row();
        if row.state.may_become(state) {
            let row = self.store.change_hold(&row.id, row.version, HoldChange::to(state)).await?;
            hold.set_row(row.clone());
            let entry =
                Entry::new(now, Step::Decided).with("hold", row.id.as_str()).with("state", state.as_str());
            self.ledger.record(entry)?;
            let _ = self.news.send(row);
        }
        self.forget(hold);
        hold.stand(standing);
        Ok(())
    }

    /// Takes the approval for one execution. Only one of several identical calls gets it.
    async fn claim(&self, hold: &Arc<Hold>) -> Result<bool, GateError> {
        let _turn = hold.turn().await;
        let row = hold.row();
        if row.state != HoldState::Approved {
            return Ok(false);
        }
        let row = self.store.change_hold(&row.id, row.version, HoldChange::to(HoldState::Forwarding)).await?;
        hold.set_row(row);
        hold.stand(Standing::Running);
        Ok(true)
    }

    /// The client has its answer: from here on the same call is a new question.
    pub(crate) fn release(&self, claim: &Claim) {
        self.forget(&claim.hold);
    }

    /// The claimed call has an end. Its answer goes to whoever joined, and to a retry if nobody took it.
    pub(crate) async fn finish(
        &self,
        claim: Claim,
        answer: Option<Answer>,
        delivered: bool,
        now: i64,
    ) -> Result<(), GateError> {
        let hold = &claim.hold;
        let _turn = hold.turn().await;
        let row = hold.row();
        let state = match &answer {
            Some(answer) if answer.is_error => HoldState::Failed,
            Some(_) => HoldState::Executed,
            None => HoldState::Unknown,
        };
        let keep = answer.is_some() && !delivered;
        let row = self.store.change_hold(&row.id, row.version, HoldChange::to(state)).await?;
        hold.set_row(row.clone());
        if keep {
            hold.keep_until(now.saturating_add(millis(UNDELIVERED)));
        } else {
            self.forget(hold);
        }
        hold.stand(answer.map_or(Standing::Failed, |answer| Standing::Answered(Arc::new(answer))));
        let _ = self.news.send(row);
        Ok(())
    }

    /// The stored answer of a hold has been taken by a retry.
    fn delivered(&self, hold: &Arc<Hold>) {
        self.forget(hold);
    }

    /// Holds as the store has them.
    pub async fn list(&self, filter: HoldFilter) -> Result<Vec<HoldRow>, GateError> {
        Ok(self.store.holds(filter).await?)
    }

    pub async fn show(&self, id: &str) -> Result<HoldRow, GateError> {
        self.store.hold(id).await?.ok_or_else(|| GateError::Unknown(id.to_owned()))
    }

    /// Every change from now on. A listener that falls behind is told that it missed some.
    pub fn news(&self) -> broadcast::Receiver<HoldRow> {
        self.news.subscribe()
    }

    fn by_id(&self, id: &str) -> Option<Arc<Hold>> {
        self.open().values().find(|hold| hold.id() == id).cloned()
    }

    fn forget(&self, hold: &Arc<Hold>) {
        let mut open = self.open();
        if open.get(hold.key()).is_some_and(|known| Arc::ptr_eq(known, hold)) {
            open.remove(hold.key());
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, Arc<Hold>>> {
        self.open.lock()
    }
}

/// What a person will see of a call, and what the store sorts it by.
#[derive(Debug)]
pub struct Shown {
    pub json: Value,
    pub class: String,
    pub crisis: bool,
}

/// The right to run one approved call once.
#[derive(Debug)]
pub struct Claim {
    hold: Arc<Hold>,
}

impl Claim {
    pub fn hold_id(&self) -> &str {
        self.hold.id()
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Short enough to type: `h-` and five letters without look-alikes, grown when taken.
fn new_id(open: &HashMap<String, Arc<Hold>>) -> Result<String, GateError> {
    const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
    loop {
        let mut random = [0u8; 7];
        getrandom::fill(&mut random)?;
        let letters = random.iter().filter_map(|byte| LETTERS.get(usize::from(byte & 31)));
        let id: String = "h-".chars().chain(letters.map(|letter| char::from(*letter))).collect();
        if !open.values().any(|hold| hold.id() == id) {
            return Ok(id);
        }
    }
}

fn in_states(states: &[HoldState]) -> HoldFilter {
    HoldFilter { states: states.to_vec(), order: Order::OldestFirst, ..HoldFilter::default() }
}
