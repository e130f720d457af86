//! The gate: calls that wait for a person.
//!
//! A hold is opened once per call digest; identical calls join it. Its state changes by compare-and-swap in
//! the store, and nobody is told before the store and the ledger have it. Time is an argument.

mod asked;
mod check;
mod decide;
mod figures;
mod freeze;
mod hold;
mod receipt;
mod standing;
mod stay;
mod typed;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::call::{Call, Digest, NotCanonical};
use crate::ledger::{Entry, Ledger, LedgerError, Step};
use crate::policy::{Needs, Standing};
use crate::store::{Edited, FreezeRow, HoldChange, HoldFilter, HoldRow, HoldState, Order, Store, StoreError};

use asked::Asked;
pub use check::{BadReceipt, check_receipt};
pub use decide::{check_second_person, needs};
pub use figures::Figures;
pub use freeze::{Frozen, NotFreezable};
use hold::Hold;
pub use hold::{Answer, Stand};
pub use receipt::{Approver, Decision, Draft, Method, Reach, Receipt, Seen};
pub use stay::{Stay, Verdict};
pub use typed::{RECIPIENT, to_type};

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
    #[error("{count} calls of this {of} already wait for a person: decide some of them first")]
    Full { of: &'static str, count: usize },
    #[error("it was denied {} times, last by {}: {}", .0.times, .0.by, .0.reason)]
    Cooling(Box<Cooling>),
    #[error("no hold is named `{0}`")]
    Unknown(String),
    #[error("hold `{id}` is {state}: nothing is left to decide")]
    Settled { id: String, state: String },
    #[error("the agent went away from hold `{0}`: approving it would run nothing")]
    Gone(String),
    #[error("hold `{id}` is for digest {actual}, not {named}: look at it again")]
    OtherDigest { id: String, named: String, actual: String },
    #[error("hold `{id}` is at version {current}, and you saw {seen}: look at it again")]
    Stale { id: String, seen: u64, current: u64 },
    #[error(
        "hold `{0}` is not what this decision was made for, or it was made too long ago: look at it again"
    )]
    OutOfDate(String),
    #[error("hold `{0}` was asked for under your own name: somebody else must approve it")]
    OwnRequest(String),
    #[error("{approver} has approved hold `{id}` already: it needs somebody else as well")]
    Again { id: String, approver: String },
    #[error("hold `{id}` must be approved by {}", say_method(*needs))]
    TooWeak { id: String, needs: Method },
    #[error("{who} may not approve hold `{id}`: it takes one of {named}")]
    NotAnApprover { id: String, who: String, named: String },
    #[error(
        "`{id}` concerns a crisis that may be this user's own: {named} must decide, signed in on the inbox"
    )]
    SecondPerson { id: String, named: String },
    #[error(
        "`{0}` concerns a crisis that may be this user's own and nobody else is named: write \
         `second_person = [\"NAME\"]` under [crisis] in herma.toml. Until then it stays held; nothing is sent"
    )]
    NoSecondPerson(String),
    #[error("nobody can take hold `{id}` back once it ran: type `{target}` to approve it")]
    Untyped { id: String, target: String },
    #[error("the changed arguments cannot run: {0}")]
    Edit(String),
    #[error("the arguments of hold `{0}` are no longer kept")]
    Forgotten(String),
    #[error("hold `{0}` concerns a person who may be in crisis: each of them is decided alone")]
    CrisisAlone(String),
    #[error("no rule can be made from hold `{id}`: {why}")]
    NotSimilar { id: String, why: String },
    #[error("no standing rule is named `{0}`")]
    UnknownRule(String),
    #[error("{what} is frozen by {by}: {reason}. Lift that first (`herma thaw`)")]
    Frozen { what: String, by: String, reason: String },
    #[error("no randomness from the operating system: {0}")]
    Randomness(#[from] getrandom::Error),
}

/// An equal call was denied too often to be asked about again so soon.
#[derive(Debug)]
pub struct Cooling {
    pub hold: String,
    pub times: u32,
    pub by: String,
    pub reason: String,
    pub until_ms: i64,
}

fn say_method(method: Method) -> &'static str {
    match method {
        Method::InBand => "anybody",
        Method::Terminal => "`herma holds approve` or stronger",
        Method::Session => "a paired browser or a passkey",
        Method::Passkey => "a passkey",
    }
}

/// How long things wait, and how many.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// A hold that nobody decides is denied after this.
    pub expire: Duration,
    /// An approval whose client is gone can be used by an identical retry this long.
    pub ticket: Duration,
    /// Calls of one session that may wait at the same time; more are refused.
    pub per_session: usize,
    /// The same for one agent with all its sessions.
    pub per_agent: usize,
}

impl Default for Times {
    fn default() -> Self {
        let (expire, ticket) = (Duration::from_secs(60 * 60), Duration::from_secs(15 * 60));
        Self { expire, ticket, per_session: 16, per_agent: 64 }
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
    asked: Mutex<Asked>,
    standing: ArcSwap<Vec<Standing>>,
    freezes: ArcSwap<Vec<FreezeRow>>,
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
        // What has expired since is told apart when it is asked for.
        let standing = ArcSwap::from_pointee(standing::restore(&store, i64::MIN).await?);
        let freezes = ArcSwap::from_pointee(store.frozen().await?);
        let (news, _) = broadcast::channel(256);
        let asked = Asked::restore(store.asked(asked::REMEMBERED).await?);
        let (open, asked) = (Mutex::new(open), Mutex::new(asked));
        Ok(Arc::new(Self { store, ledger, signer, times, open, asked, standing, freezes, news }))
    }

    /// Opens a hold for `call`, or joins the one that an identical call opened. `seen` is everything a person
    /// will see of it.
    pub async fn enter(self: &Arc<Self>, call: &Call, seen: Shown, now: i64) -> Result<Stay, GateError> {
        let digest = call.digest()?.to_string();
        let key = seen.asked_as.clone().unwrap_or_else(|| digest.clone());
        if let Some(denials) = self.asked.lock().cooling(&key, now) {
            let asked::Denials { hold, times, by, reason, until, .. } = denials;
            return Err(GateError::Cooling(Box::new(Cooling { hold, times, by, reason, until_ms: until })));
        }
        let changed = seen.asked_as.is_some();
        let (hold, fresh) = self.find_or_open(call, key, digest, seen, now)?;
        let stay = Stay::new(Arc::clone(self), Arc::clone(&hold));
        if !fresh {
            self.note_joined(&hold).await?;
            return Ok(stay);
        }
        match self.persist(hold.row(), call, changed).await {
            Ok(row) => {
                hold.set_row(row.clone());
                hold.opened();
                let _ = self.news.send(row);
                Ok(stay)
            }
            Err(error) => {
                self.forget(&hold);
                hold.stand(Stand::Failed);
                Err(error)
            }
        }
    }

    async fn persist(&self, row: HoldRow, call: &Call, changed: bool) -> Result<HoldRow, GateError> {
        let arguments = call.raw_arguments.to_vec();
        let edit = Edited { digest: Digest::of(&arguments).to_string(), bytes: arguments.clone() };
        self.store.insert_hold(row.clone(), Some(arguments)).await?;
        let entry = Entry::new(row.created_ms, Step::Held)
            .of(call.id.clone())
            .with("hold", row.id.as_str())
            .with("digest", row.digest.as_str())
            .with("expires", row.expires_ms);
        self.ledger.record_durable(entry).await?;
        if !changed {
            return Ok(row);
        }
        let (digest, proposed) = (edit.digest.clone(), Some(edit));
        let change = HoldChange { edited: Some(digest), proposed, ..HoldChange::default() };
        Ok(self.store.change_hold(&row.id, row.version, change).await?)
    }

    fn find_or_open(
        &self,
        call: &Call,
        key: String,
        digest: String,
        seen: Shown,
        now: i64,
    ) -> Result<(Arc<Hold>, bool), GateError> {
        let mut open = self.open();
        if let Some(hold) = open.get(&key) {
            return Ok((Arc::clone(hold), false));
        }
        let (principal, session) = (&*call.origin.principal, &*call.origin.session);
        let of_agent = open.values().filter(|hold| hold.is_of(principal)).count();
        if of_agent >= self.times.per_agent {
            return Err(GateError::Full { of: "agent", count: of_agent });
        }
        let of_session = open.values().filter(|hold| hold.is_of(principal) && hold.is_in(session)).count();
        if of_session >= self.times.per_session {
            return Err(GateError::Full { of: "session", count: of_session });
        }
        let of = [principal, session, &*call.origin.server, call.tool.as_str()].map(str::to_owned);
        let (asked, denied) = self.asked.lock().asked(of, now);
        let Shown { mut json, class, crisis, needs, .. } = seen;
        if let Some(fields) = json.as_object_mut().filter(|_| denied > 0) {
            fields.insert("asked".into(), json!({ "times": asked, "denied": denied }));
        }
        let row = HoldRow {
            id: new_id(&open)?,
            key: key.clone(),
            digest,
            state: HoldState::Pending,
            version: 1,
            created_ms: now,
            expires_ms: now.saturating_add(millis(self.times.expire)),
            session: session.to_owned(),
            principal: principal.to_owned(),
            server: call.origin.server.to_string(),
            tool: call.tool.clone(),
            class,
            crisis,
            shown: json.to_string(),
            decision: None,
            decided_ms: None,
            count: 1,
            needs: serde_json::to_string(&needs).map_err(NotCanonical::from)?,
            approvals: 0,
            escalated: 0,
            edited: None,
        };
        let hold = Arc::new(Hold::new(row));
        open.insert(key, Arc::clone(&hold));
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

    /// Ends what has waited too long: holds nobody decided, tickets nobody used, answers nobody fetched.
    pub async fn sweep(&self, now: i64) -> Result<(), GateError> {
        let due: Vec<_> = self.open().values().filter(|hold| hold.is_due(now)).cloned().collect();
        for hold in due {
            let _turn = hold.turn().await;
            let row = hold.row();
            if matches!(row.state, HoldState::Pending | HoldState::Approved) && row.expires_ms <= now {
                self.end(&hold, HoldState::Expired, Stand::Expired, now).await?;
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
        self.end(hold, HoldState::Abandoned, Stand::Abandoned, now).await
    }

    /// What was approved can no longer be what would run.
    pub(crate) async fn supersede(&self, claim: Claim, now: i64) -> Result<(), GateError> {
        let _turn = claim.hold.turn().await;
        self.end(&claim.hold, HoldState::Superseded, Stand::Superseded, now).await
    }

    /// The call was approved and could not be let out after all.
    pub(crate) async fn give_up(&self, claim: Claim, now: i64) -> Result<(), GateError> {
        let _turn = claim.hold.turn().await;
        self.end(&claim.hold, HoldState::Failed, Stand::Failed, now).await
    }

    async fn end(&self, hold: &Arc<Hold>, state: HoldState, stand: Stand, now: i64) -> Result<(), GateError> {
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
        hold.stand(stand);
        Ok(())
    }

    /// Takes the approval for one execution. Only one of several identical calls gets it.
    async fn claim(&self, hold: &Arc<Hold>) -> Result<Option<Claim>, GateError> {
        let _turn = hold.turn().await;
        let row = hold.row();
        if row.state != HoldState::Approved {
            return Ok(None);
        }
        let edited = match &row.edited {
            Some(digest) => {
                let bytes = self.store.edit(&row.id, digest).await?;
                Some(bytes.ok_or_else(|| GateError::Forgotten(row.id.clone()))?.into())
            }
            None => None,
        };
        let row = self.store.change_hold(&row.id, row.version, HoldChange::to(HoldState::Forwarding)).await?;
        hold.set_row(row);
        hold.stand(Stand::Running);
        self.asked.lock().approved(hold.key());
        Ok(Some(Claim { hold: Arc::clone(hold), edited }))
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
        hold.stand(answer.map_or(Stand::Failed, |answer| Stand::Answered(Arc::new(answer))));
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

    /// How many calls wait for a person now.
    pub fn waiting(&self) -> usize {
        self.open().values().filter(|hold| hold.waits_since().is_some()).count()
    }

    /// Every change from now on. A listener that falls behind is told that it missed some.
    pub fn news(&self) -> broadcast::Receiver<HoldRow> {
        self.news.subscribe()
    }

    /// Whether a person has approved this very call and nobody has run it yet.
    pub fn has_ticket(&self, digest: &str) -> bool {
        self.open().get(digest).is_some_and(|hold| hold.row().state == HoldState::Approved)
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

/// What a person will see of a call, what the store sorts it by, and what it takes to approve it.
#[derive(Debug)]
pub struct Shown {
    pub json: Value,
    pub class: String,
    pub crisis: bool,
    pub needs: Needs,
    /// The digest under which the agent asks, when a person has changed the arguments since.
    pub asked_as: Option<String>,
}

/// The right to run one approved call once.
#[derive(Debug)]
pub struct Claim {
    hold: Arc<Hold>,
    edited: Option<Bytes>,
}

impl Claim {
    pub fn hold_id(&self) -> &str {
        self.hold.id()
    }

    /// The arguments that a person put in the place of the call's own.
    pub fn edited(&self) -> Option<&Bytes> {
        self.edited.as_ref()
    }

    /// What it took to approve it.
    pub fn needs(&self) -> Needs {
        needs(&self.hold.row())
    }

    /// Everything that was shown, as JSON.
    pub fn shown(&self) -> Value {
        serde_json::from_str(&self.hold.row().shown).unwrap_or_default()
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Short enough to type: `h-` and letters without look-alikes, other ones when taken.
fn new_id(open: &HashMap<String, Arc<Hold>>) -> Result<String, GateError> {
    loop {
        let id = format!("h-{}", new_letters()?);
        if !open.values().any(|hold| hold.id() == id) {
            return Ok(id);
        }
    }
}

fn new_letters() -> Result<String, GateError> {
    const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
    let mut random = [0u8; 7];
    getrandom::fill(&mut random)?;
    let letters = random.iter().filter_map(|byte| LETTERS.get(usize::from(byte & 31)));
    Ok(letters.map(|letter| char::from(*letter)).collect())
}

fn in_states(states: &[HoldState]) -> HoldFilter {
    HoldFilter { states: states.to_vec(), order: Order::OldestFirst, ..HoldFilter::default() }
}
