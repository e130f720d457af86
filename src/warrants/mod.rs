//! Warrants at this proxy: whom it trusts, what was taken back, what is put over whom, what is used up.
//!
//! What a warrant says of a call is for `herma_warrant` to say; here is everything around it that has state.

mod child;
mod desk;
mod party;
pub mod replay;
mod run;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use herma_scoring::{Assessment, Kind, SideEffect};
use herma_warrant::Grant;
use herma_warrant::admit::{Credential, ProofRules, admit};
use herma_warrant::approval::SignedApproval;
use herma_warrant::decide::{self, Decision, Judgement, Outcome, decide};
use herma_warrant::error::{ChainError, FormatError};
use herma_warrant::json::read_args;
use herma_warrant::key::{PublicKey, Verifier};
use herma_warrant::mint::MintError;
use herma_warrant::proof::ProofError;
use herma_warrant::revocation::{ListError, RevocationList, Revocations, Revoked};
use herma_warrant::spent::{ClockFloor, SpentMemory};
use herma_warrant::syntax::SyntaxError;
use herma_warrant::value::Args;
use herma_warrant::verify::{Chain, ChainCache, Trust};
use herma_warrant::warrant::{Warrant, WarrantId};
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use crate::call::{Call, Credential as Shows, Origin, Shown};
use crate::store::{Assigned, RevokedRow, Store, StoreError, Unusable, UseUp, WarrantState};

pub use child::Child;
use child::Children;
use desk::Desk;
pub use desk::{BESIDE, Proposed, Terms, narrowed};
pub use party::{Party, PartyError};
use run::Issuer;
pub use run::{Run, SANDBOX_CALLS, SANDBOX_LIFE};

/// Chains that are remembered as verified.
const CHAINS: usize = 1024;
/// Proofs that are remembered until they die of age.
const PROOFS: usize = 1 << 20;
/// The clock is kept when it has gone on for so many seconds.
const CLOCK_STEP: u64 = 10;

/// What the operator's file says of warrants.
#[derive(Debug, Clone)]
pub struct Setup {
    pub trust: Trust,
    pub no_warrant: NoWarrant,
    pub proof: ProofRules,
    /// Tools whose calls may be repeated under one proof.
    pub idempotent_tools: Vec<String>,
    /// Signed lists of revocations with the keys that may sign them.
    pub lists: Vec<(RevocationList, Verifier)>,
    /// A list older than so many seconds is no news: everything is refused.
    pub lists_newer_than: Option<u64>,
    /// Warrants that the file puts over servers and agents.
    pub standing: HashMap<Party, Arc<[u8]>>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            trust: Trust::new(Vec::new()),
            no_warrant: NoWarrant::Allow,
            proof: ProofRules { accept_v1: true },
            idempotent_tools: Vec::new(),
            lists: Vec::new(),
            lists_newer_than: None,
            standing: HashMap::new(),
        }
    }
}

/// What becomes of a call that no warrant speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoWarrant {
    /// The scorer and the policy alone decide.
    Allow,
    Gate,
    Block,
}

/// A warrant that cannot be taken up.
#[derive(Debug, thiserror::Error)]
pub enum WarrantError {
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error("the warrant does not hold here: {0}")]
    Chain(#[from] ChainError),
    #[error(transparent)]
    List(#[from] ListError),
    #[error(transparent)]
    Party(#[from] PartyError),
    #[error("`{0}` is neither a warrant's id, a key, `agent:NAME` nor `all`")]
    Revocable(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    #[error("this warrant cannot be made: {0}")]
    Mint(#[from] MintError),
    #[error("nothing is granted: name a tool on a line of its own, for example `read_file:path=/data`")]
    Nothing,
    #[error("the warrant over `{0}` is not the one that was looked at: look at it again")]
    Moved(String),
    #[error("nobody can make warrants here: the daemon has no key for it")]
    NoDesk,
    #[error("no randomness from the operating system: {0}")]
    Randomness(#[from] getrandom::Error),
}

/// What the file says, with the chains that were verified under it: other roots begin with none.
#[derive(Debug)]
struct Ground {
    setup: Setup,
    chains: Mutex<ChainCache>,
}

impl Ground {
    fn new(setup: Setup) -> Self {
        Self { setup, chains: Mutex::new(ChainCache::new(CHAINS)) }
    }
}

/// The state of warrants here.
#[derive(Debug)]
pub struct Warrants {
    ground: ArcSwap<Ground>,
    revocations: RwLock<Revocations>,
    /// What commands have put over somebody, by subject.
    assigned: RwLock<HashMap<Party, Arc<Assigned>>>,
    used: Mutex<SpentMemory>,
    clock: Mutex<ClockFloor>,
    /// The latest second that is on the disk.
    kept: AtomicU64,
    issuer: Issuer,
    children: Children,
    desk: Desk,
    store: Arc<dyn Store>,
}

/// What the warrants say of one call, and what is used up when it leaves.
#[derive(Debug)]
pub struct Checked {
    pub grant: Grant,
    chains: Vec<Spoken>,
    /// What was made here and spoke as well.
    beside: Vec<Arc<[u8]>>,
    uses: UseUp,
}

/// A warrant that stands over somebody, and who put it there.
#[derive(Debug, Clone)]
pub struct Stands {
    pub party: Party,
    pub stack: Arc<[u8]>,
    /// `file`, or the one who gave the command.
    pub by: String,
    pub at_ms: Option<i64>,
    /// It was made here, and only narrows what others allow.
    pub here: bool,
}

/// A chain that spoke, and the approvals that came with it.
#[derive(Debug)]
struct Spoken {
    stack: Arc<[u8]>,
    approvals: Vec<SignedApproval>,
}

impl Checked {
    fn silent(grant: Grant) -> Self {
        Self { grant, chains: Vec::new(), beside: Vec::new(), uses: UseUp::default() }
    }

    fn refused(why: impl ToString) -> Self {
        Self::silent(Grant::Refused { why: why.to_string() })
    }

    /// Whether a call that leaves takes nothing of what is counted.
    pub fn uses_nothing(&self) -> bool {
        self.uses.is_nothing()
    }

    /// What a changed call draws, with the proofs that came with the call itself.
    #[must_use]
    pub fn with_keys_of(mut self, first: Self) -> Self {
        self.uses.keys = first.uses.keys;
        self
    }

    fn take(&mut self, decision: Decision) {
        // The strictest word of all chains counts.
        let grant = decision.grant();
        if matches!(self.grant, Grant::Absent | Grant::Authorised) {
            self.grant = grant;
        }
        let approvals = decision.approvals.iter().map(|approval| (approval.key, approval.until));
        self.uses.keys.extend(approvals);
        self.uses.draws.extend(decision.draws);
        self.uses.paces.extend(decision.paces);
    }
}

impl Warrants {
    /// Takes up what was known when the last run ended.
    pub async fn restore(store: Arc<dyn Store>, setup: Setup, now: i64) -> Result<Self, WarrantError> {
        let WarrantState { used, revoked, lists, assigned, latest } =
            store.warrant_state(seconds(now)).await?;
        let revoked = revoked.iter().filter_map(|row| revocable(&row.kind, &row.value, row.at_ms));
        let mut revocations = Revocations::restore(1, revoked);
        for bytes in lists {
            // Kept by us: whoever signed it was trusted with it when it came.
            if let Ok(list) = RevocationList::decode(&bytes)
                && let Ok(revoker) = list.issuer.verifier()
            {
                revocations.adopt(&list, &revoker)?;
            }
        }
        let mut memory = SpentMemory::new(PROOFS);
        for (key, until) in used {
            // Cannot be there yet: the memory is new.
            let _ = memory.spend(key, until, seconds(now));
        }
        let desk = Desk::restore(&assigned);
        let assigned =
            assigned.into_iter().filter_map(|row| Some((row.subject.parse().ok()?, Arc::new(row)))).collect();
        let warrants = Self {
            ground: ArcSwap::from_pointee(Ground::new(Setup::default())),
            revocations: RwLock::new(revocations),
            assigned: RwLock::new(assigned),
            used: Mutex::new(memory),
            clock: Mutex::new(ClockFloor::restore(latest)),
            kept: AtomicU64::new(latest),
            issuer: Issuer::new()?,
            children: Children::default(),
            desk,
            store,
        };
        warrants.replace(setup).await?;
        Ok(warrants)
    }

    /// From now on this is what the file says. A list that has been rolled back leaves everything as it was.
    pub async fn replace(&self, setup: Setup) -> Result<(), WarrantError> {
        {
            let mut revocations = self.revocations.write();
            let mut changed = revocations.clone();
            changed.require_lists_newer_than(setup.lists_newer_than);
            for (list, revoker) in &setup.lists {
                changed.adopt(list, revoker)?;
            }
            *revocations = changed;
        }
        for (list, _) in &setup.lists {
            self.store.keep_list(&list.issuer.to_hex(), list.encode()).await?;
        }
        self.ground.store(Arc::new(Ground::new(self.issuer.trusted_by(setup))));
        Ok(())
    }

    /// Step 3: what every warrant that speaks of the call says. Uses nothing up.
    pub fn check(&self, call: &Call, assessment: &Assessment, now: i64) -> Checked {
        // A server's own requests are no use of anybody's warrant.
        if matches!(call.kind, Kind::Sampling | Kind::Elicitation) {
            return Checked::silent(Grant::Absent);
        }
        let ground = self.ground.load();
        let setup = &ground.setup;
        let standing = self.over(&call.origin, setup);
        let beside = self.beside(&call.origin);
        let unspoken = (standing.is_empty() && call.shown.is_none()).then_some(setup.no_warrant);
        let mut checked = Checked::silent(match unspoken {
            None | Some(NoWarrant::Allow) => Grant::Absent,
            Some(NoWarrant::Gate) => Grant::Gated { why: "no warrant speaks of this call".into() },
            Some(NoWarrant::Block) => {
                Grant::Refused { why: "no warrant speaks of this call, and here every call needs one".into() }
            }
        });
        if unspoken.is_some() && (beside.is_empty() || matches!(checked.grant, Grant::Refused { .. })) {
            return checked;
        }
        let now = match self.clock.lock().observe(seconds(now)) {
            Ok(now) => now,
            Err(rollback) => return Checked::refused(rollback),
        };
        let args = match arguments(call) {
            Ok(args) => args,
            Err(why) => return Checked::refused(why),
        };
        let tool = tool(call);
        let asked = question(call, &tool, assessment, &args);
        checked.uses.now = now;
        let began = call.shown.as_ref().and_then(|shown| shown.parent.clone());
        for stack in standing.into_iter().chain(began) {
            let decision = match self.verified(&stack, &ground, now) {
                Ok(chain) => decide(&chain, &asked, &[], now),
                Err(error) => return Checked::refused(error),
            };
            if let Outcome::Refused(objection) = &decision.outcome {
                return Checked::refused(objection);
            }
            checked.take(decision);
            checked.chains.push(Spoken { stack, approvals: Vec::new() });
        }
        if let Some(shown) = &call.shown
            && let Err(refused) = self.admit(shown, &asked, &ground, now, &mut checked)
        {
            return refused;
        }
        match self.narrow(beside, &asked, now, &mut checked) {
            Ok(()) => checked,
            Err(refused) => refused,
        }
    }

    /// A warrant that came with the call must be its sender's own.
    fn admit(
        &self,
        shown: &Shown,
        asked: &decide::Call<'_>,
        ground: &Ground,
        now: u64,
        checked: &mut Checked,
    ) -> Result<(), Checked> {
        let setup = &ground.setup;
        let chain = self.verified(&shown.stack, ground, now).map_err(Checked::refused)?;
        let credential = match &shown.credential {
            Shows::None => Credential::None,
            Shows::Proof(proof) => Credential::Proof(proof),
            Shows::Channel => Credential::Session,
        };
        let admission =
            admit(&chain, asked, credential, &shown.approvals, setup.proof, now).map_err(Checked::refused)?;
        if let Outcome::Refused(objection) = &admission.decision.outcome {
            return Err(Checked::refused(objection));
        }
        checked.take(admission.decision);
        let idempotent = setup.idempotent_tools.iter().any(|name| covers(name, asked.tool));
        if let Some(proven) = admission.proven.filter(|_| !idempotent) {
            if self.used.lock().is_spent(&proven.key, now) {
                return Err(Checked::refused(ProofError::Replayed));
            }
            checked.uses.keys.push((proven.key, proven.until));
        }
        checked.chains.push(Spoken { stack: Arc::clone(&shown.stack), approvals: shown.approvals.clone() });
        Ok(())
    }

    /// Whether what was checked when the call came would still be allowed. Proofs are not asked for again: they
    /// live shorter than people decide.
    pub fn still_stands(&self, checked: &Checked, call: &Call, assessment: &Assessment, now: i64) -> bool {
        let ground = self.ground.load();
        if checked.chains.is_empty() {
            return self.over(&call.origin, &ground.setup).is_empty()
                && self.check(call, assessment, now).grant == checked.grant;
        }
        let Ok(now) = self.clock.lock().observe(seconds(now)) else { return false };
        let Ok(args) = arguments(call) else { return false };
        let tool = tool(call);
        let asked = question(call, &tool, assessment, &args);
        let mut again = Checked::silent(Grant::Absent);
        if self.narrow(self.beside(&call.origin), &asked, now, &mut again).is_err() {
            return false;
        }
        checked.chains.iter().all(|spoken| {
            self.verified(&spoken.stack, &ground, now).is_ok_and(|chain| {
                let decision = decide(&chain, &asked, &spoken.approvals, now);
                !matches!(decision.outcome, Outcome::Refused(_))
            })
        })
    }

    /// The ids, in hex, of every link of the warrants that spoke.
    pub fn ids(&self, checked: &Checked) -> Vec<String> {
        let stacks = checked.chains.iter().map(|spoken| &spoken.stack).chain(&checked.beside);
        let links = stacks.filter_map(|stack| Warrant::decode_stack(stack).ok());
        links.flatten().map(|link| link.payload.id.to_hex()).collect()
    }

    /// Part of step 6: uses up what the call takes, on the disk when it does more than read.
    pub async fn spend(
        &self,
        checked: Checked,
        class: SideEffect,
        now: i64,
    ) -> Result<Result<(), Unusable>, StoreError> {
        let mut uses = checked.uses;
        if uses.is_nothing() {
            return Ok(Ok(()));
        }
        uses.now = seconds(now).max(uses.now);
        {
            let mut used = self.used.lock();
            if uses.keys.iter().any(|(key, until)| used.spend(*key, *until, uses.now).is_err()) {
                return Ok(Err(Unusable::Again));
            }
        }
        // Proofs of reads die within two minutes; a restart in between lets one be repeated.
        if class == SideEffect::ReadOnly {
            uses.keys.clear();
        }
        if uses.is_nothing() { Ok(Ok(())) } else { self.store.use_up(uses).await }
    }

    /// Every warrant that stands over the sender of the call.
    fn over(&self, origin: &Origin, setup: &Setup) -> Vec<Arc<[u8]>> {
        let assigned = self.assigned.read();
        let (mut parties, of_children) = self.children.over(origin);
        if assigned.is_empty() && setup.standing.is_empty() && of_children.is_empty() {
            return Vec::new();
        }
        parties.extend(Party::of(origin));
        let over = |party: &Party| {
            let by_file = setup.standing.get(party).map(Arc::clone);
            let by_command = assigned.get(party).map(|row| Arc::clone(&row.stack));
            by_file.into_iter().chain(by_command).collect::<Vec<_>>()
        };
        let stacks = parties.iter().map(|party| {
            let own = over(party);
            let anybody = party.anybody().filter(|_| own.is_empty());
            anybody.map_or(own, |anybody| over(&anybody))
        });
        stacks.flatten().chain(of_children).collect()
    }

    fn verified(&self, stack: &[u8], ground: &Ground, now: u64) -> Result<Arc<Chain>, ChainError> {
        let Ground { setup: Setup { trust, .. }, chains } = ground;
        let digest = ChainCache::digest(stack);
        if let Some(known) = chains.lock().get(&digest, trust, &self.revocations.read(), now) {
            return Ok(known);
        }
        // Signatures take their time: nobody else waits for them.
        let chain = Arc::new(Chain::verify(stack, trust, &self.revocations.read(), now)?);
        chains.lock().insert(Arc::clone(&chain));
        Ok(chain)
    }

    /// The chain of a warrant that would be believed here now.
    pub fn verify(&self, stack: &[u8], now: i64) -> Result<Arc<Chain>, ChainError> {
        self.verified(stack, &self.ground.load(), seconds(now))
    }

    /// Puts a warrant over a server, an agent or a session, in the place of any other. Only people can.
    pub async fn assign(
        &self,
        party: Party,
        stack: Vec<u8>,
        by: &str,
        now: i64,
    ) -> Result<WarrantId, WarrantError> {
        let chain = self.verify(&stack, now)?;
        let id = chain.leaf().map(|leaf| leaf.id).ok_or(ChainError::ParentWithheld)?;
        let row = Assigned { subject: party.to_string(), stack: stack.into(), by: by.to_owned(), at_ms: now };
        self.store.assign(row.clone()).await?;
        self.assigned.write().insert(party, Arc::new(row));
        Ok(id)
    }

    /// And what was made here over the same party. False when none was there. A warrant that the file puts there
    /// stays.
    pub async fn unassign(&self, party: &Party) -> Result<bool, WarrantError> {
        let was_there = self.store.unassign(&party.to_string()).await?;
        self.assigned.write().remove(party);
        Ok(self.lift(party).await? || was_there)
    }

    /// Every warrant that stands over somebody, by file, by command, or made here.
    pub fn standing(&self) -> Vec<Stands> {
        let ground = self.ground.load();
        let by_file = ground.setup.standing.iter().map(|(party, stack)| Stands {
            party: party.clone(),
            stack: Arc::clone(stack),
            by: "file".into(),
            at_ms: None,
            here: false,
        });
        let assigned = self.assigned.read();
        let by_command = assigned.iter().map(|(party, row)| Stands {
            party: party.clone(),
            stack: Arc::clone(&row.stack),
            by: row.by.clone(),
            at_ms: Some(row.at_ms),
            here: false,
        });
        let mut all: Vec<_> = by_file.chain(by_command).chain(self.placed()).collect();
        all.sort_by_cached_key(|stands| (stands.party.to_string(), stands.here));
        all
    }

    /// What becomes of a call that no warrant speaks of.
    pub fn without(&self) -> NoWarrant {
        self.ground.load().setup.no_warrant
    }

    /// Takes back a warrant by its id, everything a key signed or holds, everything of an agent, or all that was
    /// issued up to now. On the disk before this returns.
    pub async fn revoke(
        &self,
        what: &str,
        by: &str,
        reason: &str,
        now: i64,
    ) -> Result<RevokedRow, WarrantError> {
        let (kind, value) = match what.split_once(':') {
            Some(("agent", name)) => ("agent", name.to_owned()),
            _ if what == "all" => ("all", String::new()),
            _ => match (WarrantId::parse(what), PublicKey::from_hex(what)) {
                (Some(id), _) => ("warrant", id.to_hex()),
                (None, Ok(key)) => ("key", key.to_hex()),
                (None, Err(_)) => return Err(WarrantError::Revocable(what.to_owned())),
            },
        };
        let value = if kind == "all" { seconds(now).to_string() } else { value };
        let row = RevokedRow {
            kind: kind.to_owned(),
            value,
            at_ms: now,
            by: by.to_owned(),
            reason: reason.to_owned(),
        };
        let revoked =
            revocable(&row.kind, &row.value, now).ok_or_else(|| WarrantError::Revocable(what.to_owned()))?;
        self.store.revoke(row.clone()).await?;
        self.revocations.write().revoke(revoked);
        Ok(row)
    }

    /// Everything that commands have taken back, oldest first.
    pub async fn revoked(&self) -> Result<Vec<RevokedRow>, StoreError> {
        Ok(self.store.warrant_state(0).await?.revoked)
    }

    /// Keeps the latest second that was judged by, so that a clock that is set back over a restart is noticed.
    pub async fn keep_clock(&self) -> Result<(), StoreError> {
        let latest = self.clock.lock().latest();
        let kept = self.kept.load(Ordering::Relaxed);
        if latest <= kept.saturating_add(CLOCK_STEP) {
            return Ok(());
        }
        self.store.advance_clock(latest).await?;
        self.kept.store(latest, Ordering::Relaxed);
        Ok(())
    }

    pub async fn drawn(&self, warrant: WarrantId) -> Result<Vec<(String, u128)>, StoreError> {
        self.store.drawn(warrant).await
    }
}

/// The call as warrants name it: tools by their name, what is read and asked for by its method.
fn tool(call: &Call) -> String {
    match call.kind {
        Kind::Resource => "resources/read".to_owned(),
        Kind::Prompt => format!("prompts/get/{}", call.tool),
        Kind::Tool | Kind::Sampling | Kind::Elicitation => call.tool.clone(),
    }
}

fn question<'a>(
    call: &'a Call,
    tool: &'a str,
    assessment: &'a Assessment,
    args: &'a Args,
) -> decide::Call<'a> {
    decide::Call {
        server: Some(&call.origin.server),
        definition: call.definition.as_ref().map(|listed| listed.digest.bytes()),
        session: Some(&call.origin.session),
        sandbox: call.shown.as_ref().and_then(|shown| shown.run.as_deref()),
        judgement: Some(Judgement {
            risk: thousandths(assessment.risk_score),
            class: assessment.class.name(),
        }),
        ..decide::Call::new(tool, args)
    }
}

/// Rounded up: a limit is never passed by a rounding.
fn thousandths(risk: f64) -> u16 {
    (risk * 1000.0).ceil().clamp(0.0, 1000.0) as u16
}

fn arguments(call: &Call) -> Result<Args, String> {
    let text = std::str::from_utf8(&call.raw_arguments).map_err(|error| error.to_string())?;
    match text {
        "" | "null" => Ok(Args::new()),
        text => {
            read_args(text).map_err(|error| format!("a warrant cannot speak of these arguments: {error}"))
        }
    }
}

fn covers(pattern: &str, tool: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == tool, |prefix| tool.starts_with(prefix))
}

fn revocable(kind: &str, value: &str, at_ms: i64) -> Option<Revoked> {
    match kind {
        "warrant" => WarrantId::parse(value).map(Revoked::Warrant),
        "key" => PublicKey::from_hex(value).ok().map(Revoked::Key),
        "agent" => Some(Revoked::Agent(value.to_owned())),
        "all" => Some(Revoked::All { until: value.parse().unwrap_or_else(|_| seconds(at_ms)) }),
        _ => None,
    }
}

fn seconds(ms: i64) -> u64 {
    u64::try_from(ms.div_euclid(1000)).unwrap_or(0)
}
