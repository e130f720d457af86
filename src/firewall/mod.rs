//! The life of a call.
//!
//! [`Firewall::admit`] is the one function every call goes through, whatever road it came in by. It reads like
//! the list in ARCHITECTURE.md: assess, check, route, gate, permit. A carrier has received the call before
//! (step 1) and spends the permit afterwards (7 forward, 8 settle); every step records itself (9).

mod children;
pub mod crisis;
pub mod definitions;
mod forget;
pub mod outcome;
pub mod past;
pub mod permit;
pub mod refusal;
pub mod revert;
pub mod roads;
pub mod runs;
pub mod salts;
mod schema;
mod seen;
pub mod session;
mod trace;
mod undo;
mod waiting;
mod watched;
mod words;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::call::{Call, CallIds, Digest, Origin};
use crate::gate::{Answer, Claim, Gate, GateError, Stay, Verdict};
use crate::ledger::{Entry, Ledger, LedgerError, Step, Waiting};
use crate::policy::{Policy, Route, Ruling, Subject};
use crate::review::{Prepared, Reviews};
use crate::store::RevokedRow;
use crate::telemetry::{End, Span, Telemetry};
use crate::warrants::{Checked, Party, Proposed, WarrantError, Warrants};
use arc_swap::{ArcSwap, ArcSwapOption};
use herma_scoring::{Assessment, Context, Rules, SideEffect, Undo};
use herma_warrant::Grant;
use herma_warrant::warrant::WarrantId;
use tokio::sync::Semaphore;

pub use children::NoChild;
use definitions::Definitions;
pub use permit::Permit;
pub use refusal::Refusal;
use roads::Roads;
use runs::Runs;
use salts::Salts;
use session::{Session, Sessions};
use waiting::{Edit, Passage};
use watched::Watched;
pub(crate) use words::in_words;
pub use words::{Earlier, For, Loose, Preview, Similar};

/// Arguments of more bytes are judged apart from the runtime, so many at a time.
const LONG: usize = 256 << 10;
const SCORERS: usize = 2;

/// Everything a call meets on its way.
pub struct Firewall {
    rules: ArcSwap<Rules>,
    policy: ArcSwap<Policy>,
    pub gate: Arc<Gate>,
    pub ledger: Ledger,
    pub definitions: Definitions,
    pub sessions: Sessions,
    pub reviews: Reviews,
    pub warrants: Warrants,
    pub calls: CallIds,
    pub salts: Salts,
    pub telemetry: Arc<Telemetry>,
    /// On which the firewall makes calls of its own.
    pub roads: Roads,
    pub runs: Runs,
    /// Why the operator's file, as it stands, is not what is used.
    pub unused: ArcSwapOption<String>,
    /// Who may judge a long call.
    scorers: Semaphore,
}

impl fmt::Debug for Firewall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Firewall").finish_non_exhaustive()
    }
}

/// The parts a firewall is made of.
#[derive(Debug)]
pub struct Parts {
    pub rules: Rules,
    pub policy: Policy,
    pub gate: Arc<Gate>,
    pub ledger: Ledger,
    pub definitions: Definitions,
    pub sessions: Sessions,
    pub reviews: Reviews,
    pub warrants: Warrants,
    pub telemetry: Arc<Telemetry>,
    pub salts: Salts,
    pub seed: u64,
}

/// How a call comes out of the firewall when it is not refused.
#[derive(Debug)]
pub enum Admission {
    /// It may run, once.
    Permit(Box<Permit>),
    /// An identical call that was held has run; this is its answer.
    Answered(Arc<Answer>),
}

/// What a carrier does for a client whose call waits at the gate.
pub trait Waits: Send {
    /// Keeps the client alive until the stay is decided, or the client goes, or its patience ends.
    fn wait(&mut self, stay: &mut Stay) -> impl Future<Output = Waited> + Send;

    /// Keeps the client alive for `time`, while `review` can still be stopped. False when it has gone.
    fn linger(&mut self, _review: &str, time: Duration) -> impl Future<Output = bool> + Send {
        async move {
            tokio::time::sleep(time).await;
            true
        }
    }
}

/// How waiting ended.
#[derive(Debug)]
pub enum Waited {
    Decided(Result<Verdict, GateError>),
    /// The client went away: nothing may run for it any more.
    Gone,
    /// The client must be answered now; it was told to ask again.
    OutOfPatience,
}

impl Firewall {
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            rules: ArcSwap::from_pointee(parts.rules),
            policy: ArcSwap::from_pointee(parts.policy),
            gate: parts.gate,
            ledger: parts.ledger,
            definitions: parts.definitions,
            sessions: parts.sessions,
            reviews: parts.reviews,
            warrants: parts.warrants,
            calls: CallIds::new(parts.seed),
            salts: parts.salts,
            telemetry: parts.telemetry,
            roads: Roads::default(),
            runs: Runs::default(),
            unused: ArcSwapOption::empty(),
            scorers: Semaphore::new(SCORERS),
        })
    }

    /// Steps 2 to 6: from a received call to the permit to forward it, or the reason why not.
    pub async fn admit(
        self: &Arc<Self>,
        call: Call,
        session: &Arc<Session>,
        client: &mut impl Waits,
    ) -> Result<Admission, Refusal> {
        let mut span = self.telemetry.begin(&call, session.private);
        let admitted = self.pass(call, session, client, &mut span).await;
        match &admitted {
            Ok(Admission::Permit(_)) => {}
            Ok(Admission::Answered(_)) => span.end(End::Ran, None),
            Err(refusal) => span.end(End::Refused(refusal.code()), None),
        }
        admitted
    }

    async fn pass(
        self: &Arc<Self>,
        call: Call,
        session: &Arc<Session>,
        client: &mut impl Waits,
        span: &mut Span,
    ) -> Result<Admission, Refusal> {
        let policy = self.policy.load_full();
        let (call, assessment) = match call.raw_arguments.len() > LONG {
            true => Box::pin(self.assess_apart(call, session)).await?,
            false => {
                let assessment = self.assess(&call, session)?;
                (call, assessment)
            }
        };
        let at = now();
        let checked = self.warrants.check(&call, &assessment, at);
        if let Some(shown) = &call.shown
            && let Some(key) = &shown.channel_key
            && !matches!(checked.grant, Grant::Refused { .. })
        {
            session.open_channel(&shown.stack, key);
        }
        let ruling = route(&policy, &call, &assessment, &checked.grant);
        let mut judged = Judged { assessment, checked, ruling, standing: None };
        let denied = self.heed_people(&call, &mut judged, at);
        let prepared = match judged.ruling.route {
            // What is rare is boxed: a call that runs at once should not carry the memory of one that waits.
            Route::Review => Box::pin(self.prepare(&call, session, &mut judged, &policy)).await,
            Route::Execute | Route::Gate | Route::Block => None,
        };
        let routed = self.record_routed(&call, &judged, &policy, at)?;
        span.routed(trace::watched(&judged));
        if let Some(denied) = denied {
            return Err(denied);
        }
        let passage = match judged.ruling.route {
            Route::Execute => None,
            Route::Review => {
                if let Some(Undo::Delay(delay)) = &judged.assessment.undo {
                    Box::pin(self.delay(&call, &judged, &policy, delay, client)).await?;
                }
                None
            }
            Route::Block => {
                let Ruling { rule, why, .. } = judged.ruling;
                return Err(Refusal::Blocked { rule: rule.into_owned(), why: why.into_owned() });
            }
            Route::Gate => {
                let mut client = Watched { client, span };
                Some(Box::pin(self.gate(&call, session, &judged, &policy, &mut client)).await?)
            }
        };
        let permit = match passage {
            None if prepared.is_none() && judged.is_free() => {
                Permit::mint(Arc::clone(self), call, routed, None, None, span.take())
            }
            None => Box::pin(self.permit(call, judged, routed, None, prepared, span)).await?,
            Some(Passage::Approved(claim)) => {
                Box::pin(self.permit(call, judged, routed, Some(claim), None, span)).await?
            }
            Some(Passage::Edited(claim, edit)) => {
                let Edit { call, judged: now, told } = *edit;
                // The proof that came with the call is used up; what it draws is what the changed call draws.
                let checked = now.checked.with_keys_of(judged.checked);
                let now = Judged { checked, ..now };
                let permit = Box::pin(self.permit(call, now, routed, Some(claim), None, span)).await?;
                permit.telling(told)
            }
            Some(Passage::Answered(answer)) => return Ok(Admission::Answered(answer)),
        };
        Ok(Admission::Permit(Box::new(permit)))
    }

    /// A long call is judged beside the runtime, so that whatever else is under way goes on.
    async fn assess_apart(
        self: &Arc<Self>,
        call: Call,
        session: &Arc<Session>,
    ) -> Result<(Call, Assessment), Refusal> {
        let fault = || Refusal::Fault { what: "the scorer failed on this call; it did not run".into() };
        let _turn = self.scorers.acquire().await.map_err(|_| fault())?;
        let (firewall, session) = (Arc::clone(self), Arc::clone(session));
        let judging = tokio::task::spawn_blocking(move || {
            let assessment = firewall.assess(&call, &session)?;
            Ok((call, assessment))
        });
        judging.await.map_err(|_| fault())?
    }

    /// A rule that panics judges nothing: the call does not run.
    fn assess(&self, call: &Call, session: &Session) -> Result<Assessment, Refusal> {
        let (rules, policy) = (self.rules.load(), self.policy.load());
        let context = Context {
            definition: call.definition.as_ref().map(|listed| &listed.definition),
            definition_changed: call.definition.as_ref().is_some_and(|listed| listed.is_changed()),
            trusted_server: session.trusted,
            cwd: session.cwd.as_deref(),
            home: session.home.as_deref(),
            crisis_active: session.in_crisis()
                || self.sessions.speaks_of_crisis(session, &call.raw_arguments),
            known_recipients: policy.known_recipients.as_deref(),
        };
        let judged = catch_unwind(AssertUnwindSafe(|| herma_scoring::assess(&call.pure(), &context, &rules)));
        let mut judged = judged.map_err(|_| {
            self.record_refused(&call.origin, &call.tool, "the scorer failed on this call");
            Refusal::Fault { what: "the scorer failed on this call; it did not run".into() }
        })?;
        // Files of another machine can neither be kept nor put back.
        if session.files.is_none() && matches!(judged.undo, Some(Undo::Preimage(_))) {
            judged.undo = None;
        }
        Ok(judged)
    }

    /// Step 6. Whatever does more than read is in the ledger, on disk, before it may leave.
    async fn permit(
        self: &Arc<Self>,
        call: Call,
        judged: Judged,
        routed: Waiting,
        claim: Option<Claim>,
        prepared: Option<Prepared>,
        span: &mut Span,
    ) -> Result<Permit, Refusal> {
        let Judged { assessment, checked, standing, .. } = judged;
        let at = now();
        if let Some(rule) = &standing
            && !self.gate.use_standing(rule, at).await?
        {
            let why = "it was used up or withdrawn at this moment; the same call again is a new question";
            return Err(Refusal::Blocked { rule: format!("standing:{rule}"), why: why.into() });
        }
        if let Err(unusable) = self.warrants.spend(checked, assessment.class, at).await? {
            let why = unusable.to_string();
            self.record_refused(&call.origin, &call.tool, &why);
            if let Some(claim) = claim {
                self.gate.give_up(claim, now()).await?;
            }
            return Err(Refusal::Blocked { rule: "warrant".into(), why });
        }
        let review = match prepared {
            Some(prepared) => {
                let rules = self.rules.load();
                Some(Box::pin(self.reviews.open(&call, prepared, &rules, now())).await?)
            }
            None => None,
        };
        if assessment.class > SideEffect::ReadOnly || claim.is_some() || standing.is_some() {
            let entry = Entry::new(now(), Step::Forwarded)
                .of(call.id.clone())
                .with(
                    "edited",
                    claim.as_ref().and_then(Claim::edited).map(|bytes| Digest::of(bytes).to_string()),
                )
                .with("hold", claim.as_ref().map(Claim::hold_id))
                .with("review", review.as_ref().map(|review| review.id.as_str()));
            if let Err(error) = self.ledger.record_durable(entry).await {
                if let Some(review) = review {
                    self.reviews.ended(review.never_ran(), now()).await?;
                }
                if let Some(claim) = claim {
                    self.gate.give_up(claim, now()).await?;
                }
                return Err(error.into());
            }
        }
        Ok(Permit::mint(Arc::clone(self), call, routed, claim, review, span.take()))
    }

    fn record_routed(
        &self,
        call: &Call,
        judged: &Judged,
        policy: &Policy,
        at: i64,
    ) -> Result<Waiting, LedgerError> {
        self.telemetry.counts.call(judged.ruling.route.name(), judged.assessment.class.name());
        self.ledger.record(trace::routed(at, call, judged, policy, &self.rules(), &self.salts.of(at)))
    }

    /// A line for what never became a call.
    pub fn record_refused(&self, origin: &Origin, what: &str, why: &str) {
        self.telemetry.counts.refused();
        let entry = Entry::new(now(), Step::Refused)
            .with("principal", &*origin.principal)
            .with("session", &*origin.session)
            .with("server", &*origin.server)
            .with("what", what)
            .with("why", why);
        if let Err(error) = self.ledger.record(entry) {
            tracing::error!(%error, "a refusal could not be recorded");
        }
    }

    /// A request of the server that passes: judged and recorded like any call.
    pub fn note_server_request(self: &Arc<Self>, call: &Call, session: &Session) {
        let Ok(assessment) = self.assess(call, session) else { return };
        let policy = self.policy.load();
        let at = now();
        let checked = self.warrants.check(call, &assessment, at);
        let ruling = route(&policy, call, &assessment, &checked.grant);
        let judged = Judged { assessment, checked, ruling, standing: None };
        if let Err(error) = self.record_routed(call, &judged, &policy, at) {
            tracing::error!(%error, "a request of the server could not be recorded");
        }
    }

    /// From now on calls are judged by these.
    pub fn replace(&self, rules: Rules, policy: Policy) {
        let entry = Entry::new(now(), Step::Policy)
            .with("policy", policy.revision.as_str())
            .with("rules", rules.digest());
        self.note(entry);
        self.rules.store(Arc::new(rules));
        self.policy.store(Arc::new(policy));
    }

    /// Written down before the file is: which draft, of whom, and the file's digests before and after.
    pub async fn note_activation(
        &self,
        draft: &str,
        by: &str,
        [before, after]: &[String; 2],
    ) -> Result<(), LedgerError> {
        let entry = Entry::new(now(), Step::Policy).with("activates", draft).with("by", by);
        let entry = entry.with("before", before.as_str()).with("after", after.as_str());
        self.ledger.record_durable(entry).await.map(drop)
    }

    async fn clear_crisis_latch(&self, key: &str, by: &str, reason: &str) -> Result<bool, GateError> {
        let entry = Entry::new(now(), Step::Latch).with("cleared", key).with("by", by).with("reason", reason);
        self.ledger.record_durable(entry).await?;
        Ok(self.sessions.leave_crisis(key, by, reason, now()).await?)
    }

    /// A person puts a warrant over a server, an agent or a session.
    pub async fn assign_warrant(
        &self,
        party: Party,
        stack: Vec<u8>,
        by: &str,
    ) -> Result<WarrantId, WarrantError> {
        let entry = Entry::new(now(), Step::Warrant).with("assigned", party.to_string()).with("by", by);
        let entry = entry.with("stack_sha256", Digest::of(&stack).to_string());
        let id = self.warrants.assign(party, stack, by, now()).await?;
        self.note(entry.with("warrant", id.to_string()));
        Ok(id)
    }

    /// A person puts a warrant that was made here over its party.
    pub async fn place_warrant(&self, proposed: Proposed, by: &str) -> Result<WarrantId, WarrantError> {
        let entry = Entry::new(now(), Step::Warrant).with("by", by).with("made", proposed.party.to_string());
        let entry = entry.with("stack_sha256", Digest::of(&proposed.stack).to_string());
        let inside = proposed.inside.map(|inside| inside.to_string());
        let id = self.warrants.place(proposed, by, now()).await?;
        self.note(entry.with("inside", inside).with("warrant", id.to_string()));
        Ok(id)
    }

    /// A person takes away what was made here. False when nothing was.
    pub async fn lift_warrant(&self, party: &Party, by: &str) -> Result<bool, WarrantError> {
        let was_there = self.warrants.lift(party).await?;
        self.note(Entry::new(now(), Step::Warrant).with("by", by).with("lifted", party.to_string()));
        Ok(was_there)
    }

    /// A person takes it away again. False when none was there.
    pub async fn unassign_warrant(&self, party: &Party, by: &str) -> Result<bool, WarrantError> {
        let was_there = self.warrants.unassign(party).await?;
        self.note(Entry::new(now(), Step::Warrant).with("by", by).with("unassigned", party.to_string()));
        Ok(was_there)
    }

    /// A person takes back one warrant, a key's, an agent's, or all.
    pub async fn revoke_warrant(
        &self,
        what: &str,
        by: &str,
        reason: &str,
    ) -> Result<RevokedRow, WarrantError> {
        let row = self.warrants.revoke(what, by, reason, now()).await?;
        let entry = Entry::new(now(), Step::Warrant).with("by", by).with("reason", reason);
        self.note(entry.with("revoked", format!("{}:{}", row.kind, row.value)));
        Ok(row)
    }

    /// A line that nothing waits for.
    fn note(&self, entry: Entry) {
        if let Err(error) = self.ledger.record(entry) {
            tracing::error!(%error, "what was ordered here could not be recorded");
        }
    }

    /// A named person accepts how a tool is described now. False when its description had not changed, or is not the
    /// one of the digest that was `seen`.
    pub async fn accept_tool(
        &self,
        server: &str,
        tool: &str,
        seen: Option<&str>,
        by: &str,
    ) -> Result<bool, GateError> {
        let is_seen = |digest: &str| seen.is_none_or(|seen| seen == digest);
        let listed = self.definitions.get(server, tool);
        if !listed.is_some_and(|listed| listed.changed.is_some() && is_seen(&listed.digest.to_string())) {
            return Ok(false);
        }
        let entry = Entry::new(now(), Step::Definition)
            .with("server", server)
            .with("tool", tool)
            .with("accepted_by", by);
        self.ledger.record_durable(entry).await?;
        Ok(self.definitions.accept(server, tool).await?)
    }

    pub fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    pub fn rules(&self) -> Arc<Rules> {
        self.rules.load_full()
    }
}

/// What steps 2 to 4 say of a call.
#[derive(Debug)]
struct Judged {
    assessment: Assessment,
    checked: Checked,
    ruling: Ruling,
    /// The rule of a person by which it runs unasked.
    standing: Option<String>,
}

impl Judged {
    /// It only reads, and uses nothing up: nothing must be written before it may leave.
    fn is_free(&self) -> bool {
        self.assessment.class == SideEffect::ReadOnly
            && self.standing.is_none()
            && self.checked.uses_nothing()
    }
}

fn route(policy: &Policy, call: &Call, assessment: &Assessment, grant: &Grant) -> Ruling {
    policy.route(&subject(call), assessment, grant)
}

fn subject(call: &Call) -> Subject<'_> {
    Subject {
        kind: call.kind,
        server: &call.origin.server,
        tool: &call.tool,
        principal: &call.origin.principal,
        session: &call.origin.session,
        arguments: &call.arguments,
    }
}

/// Unix milliseconds. The shell has a clock; the gate, the policy and the scorer get it as an argument.
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests;
