//! What a verified chain says of one call: every link is asked, and one refusal is enough.

use crate::Grant;
use crate::approval::{Approved, SignedApproval, Spendable, request_hash};
use crate::capability::Misfit;
use crate::limits::Limits;
use crate::proof::Claim;
use crate::spent::{CALLS, Draw, Pace};
use crate::value::Args;
use crate::verify::Chain;
use crate::warrant::{Kind, Payload};

/// A call as the warrant sees it.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub tool: &'a str,
    pub args: &'a Args,
    /// The server the tool is called at, by the name that the operator gave it.
    pub server: Option<&'a str>,
    /// The digest of the definition that the server gave of the tool.
    pub definition: Option<&'a [u8; 32]>,
    pub session: Option<&'a str>,
    /// The run of a sandbox that the call comes from.
    pub sandbox: Option<&'a str>,
    /// What scoring says. Warrants that speak of risk refuse a call that was not judged.
    pub judgement: Option<Judgement<'a>>,
    /// The clearance that the operator wants for this tool.
    pub clearance: Option<u8>,
}

impl<'a> Call<'a> {
    pub fn new(tool: &'a str, args: &'a Args) -> Self {
        Self {
            tool,
            args,
            server: None,
            definition: None,
            session: None,
            sandbox: None,
            judgement: None,
            clearance: None,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Judgement<'a> {
    /// In thousandths.
    pub risk: u16,
    /// `read_only`, `local_reversible`, `external` or `critical`.
    pub class: &'a str,
}

/// Why a call is refused or held: by which link, over which argument, under which rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("link {link} of the warrant, {what}: {why}", what = argument.as_deref().map_or_else(|| code.to_string(), |argument| format!("argument `{argument}`")))]
pub struct Objection {
    /// Root first, from 0.
    pub link: usize,
    pub code: &'static str,
    pub argument: Option<String>,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Authorised,
    /// A person confirms first.
    Gated(Objection),
    Refused(Objection),
}

/// What the chain says, and what must be used up if the call goes ahead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub outcome: Outcome,
    /// Drawn durably before the call leaves: all or none.
    pub draws: Vec<Draw>,
    pub paces: Vec<Pace>,
    /// Approvals that answered a gate, each good once.
    pub approvals: Vec<Spendable>,
}

impl Decision {
    /// What policy is told.
    pub fn grant(&self) -> Grant {
        match &self.outcome {
            Outcome::Authorised => Grant::Authorised,
            Outcome::Gated(objection) => Grant::Gated { why: objection.to_string() },
            Outcome::Refused(objection) => Grant::Refused { why: objection.to_string() },
        }
    }

    pub fn code(&self) -> &'static str {
        match &self.outcome {
            Outcome::Authorised => "authorised",
            Outcome::Gated(objection) | Outcome::Refused(objection) => objection.code,
        }
    }

    fn refused(objection: Objection) -> Self {
        Self {
            outcome: Outcome::Refused(objection),
            draws: Vec::new(),
            paces: Vec::new(),
            approvals: Vec::new(),
        }
    }
}

fn objection(link: usize, code: &'static str, why: impl Into<String>) -> Objection {
    Objection { link, code, argument: None, why: why.into() }
}

fn of_misfit(link: usize, misfit: Misfit<'_>) -> Objection {
    Objection { link, code: misfit.code, argument: Some(misfit.argument.to_owned()), why: misfit.why }
}

/// Asks every link of a chain about a call. The proof is not looked at here: see [`crate::admit`].
pub fn decide(chain: &Chain, call: &Call<'_>, approvals: &[SignedApproval], now: u64) -> Decision {
    let last = chain.links().len().saturating_sub(1);
    let Some(leaf) = chain.leaf().filter(|leaf| leaf.kind == Kind::Execution) else {
        return Decision::refused(objection(last, "not-executable", "a warrant for issuing calls no tools"));
    };
    let mut case = Case { call, now, gate: None, draws: Vec::new(), paces: Vec::new() };
    for (link, warrant) in chain.links().iter().enumerate() {
        if let Err(objection) = case.ask(link, &warrant.payload) {
            return Decision::refused(objection);
        }
    }
    let claim = Claim { warrant: leaf.id, tool: call.tool, args: call.args };
    let mut spent = Vec::new();
    if let Err(held) = answer_gates(chain, call, &claim, approvals, now, &mut spent) {
        case.gate.get_or_insert(held);
    }
    let outcome = case.gate.map_or(Outcome::Authorised, Outcome::Gated);
    Decision { outcome, draws: case.draws, paces: case.paces, approvals: spent }
}

struct Case<'a> {
    call: &'a Call<'a>,
    now: u64,
    gate: Option<Objection>,
    draws: Vec<Draw>,
    paces: Vec<Pace>,
}

impl Case<'_> {
    fn hold(&mut self, objection: Objection) {
        self.gate.get_or_insert(objection);
    }

    fn ask(&mut self, link: usize, payload: &Payload) -> Result<(), Objection> {
        let call = self.call;
        let capability = match payload.kind {
            Kind::Execution => Some(payload.capability(call.tool).ok_or_else(|| {
                objection(link, "tool-not-granted", "the tool is not among those that are granted")
            })?),
            Kind::Issuer => {
                let issued =
                    payload.issuable_tools.iter().flatten().any(|tool| tool == call.tool || tool == "*");
                if !issued {
                    return Err(objection(
                        link,
                        "tool-not-granted",
                        "the tool is not among those that may be issued",
                    ));
                }
                payload.constraint_bounds.as_ref()
            }
        };
        if let (Some(wanted), Some(presented)) = (&payload.session_id, call.session)
            && wanted != presented
        {
            return Err(objection(link, "session-mismatch", "the warrant is bound to another session"));
        }
        if call.clearance.is_some_and(|needed| payload.clearance.is_none_or(|held| held < needed)) {
            return Err(objection(link, "clearance", "the clearance is too low for this tool"));
        }
        let Some(capability) = capability else { return Ok(()) };
        if let Some(review) = capability.check(call.args).map_err(|misfit| of_misfit(link, misfit))? {
            self.hold(of_misfit(link, review));
        }
        match &capability.limits {
            Some(limits) => self.limit(link, payload, limits),
            None => Ok(()),
        }
    }

    fn limit(&mut self, link: usize, payload: &Payload, limits: &Limits) -> Result<(), Objection> {
        let call = self.call;
        if !limits.windows.is_empty() && !limits.windows.iter().any(|window| window.holds(self.now)) {
            return Err(objection(link, "outside-window", "the warrant is not good at this hour"));
        }
        if !limits.servers.is_empty() && !call.server.is_some_and(|server| limits.servers.contains(server)) {
            return Err(objection(link, "tool-identity", "the tool is granted at another server"));
        }
        if limits.sandbox.is_some() && limits.sandbox.as_deref() != call.sandbox {
            return Err(objection(link, "sandbox-mismatch", "the warrant is bound to another run"));
        }
        if !limits.definitions.is_empty() {
            match call.definition {
                None => {
                    return Err(objection(link, "tool-identity", "the definition of the tool is not known"));
                }
                Some(digest) if limits.definitions.contains(digest) => {}
                Some(_) => {
                    self.hold(objection(link, "tool-changed", "the tool is not the one that was granted"))
                }
            }
        }
        self.weigh(link, limits)?;
        if let Some(calls) = limits.max_calls {
            let limit = u128::from(calls) * 1_000_000;
            self.draws.push(Draw { warrant: payload.id, pool: CALLS.to_owned(), amount: 1_000_000, limit });
        }
        for budget in &limits.budgets {
            let Some(amount) = budget.amount(call.args) else {
                return Err(Objection {
                    link,
                    code: "budget-unmeasured",
                    argument: Some(budget.argument.clone()),
                    why: format!("what the call takes of the budget `{}` does not show", budget.pool),
                });
            };
            let pool = format!("budget:{}", budget.pool);
            self.draws.push(Draw { warrant: payload.id, pool, amount, limit: u128::from(budget.limit) });
        }
        self.paces.extend(limits.rates.iter().map(|rate| Pace { warrant: payload.id, rate: *rate }));
        Ok(())
    }

    fn weigh(&mut self, link: usize, limits: &Limits) -> Result<(), Objection> {
        let bound =
            limits.max_auto_risk.is_some() || limits.gate_at.is_some() || !limits.forbid_classes.is_empty();
        if !bound {
            return Ok(());
        }
        let Some(judgement) = self.call.judgement else {
            return Err(objection(
                link,
                "unjudged",
                "the warrant speaks of risk, and the call was not judged",
            ));
        };
        if limits.forbid_classes.contains(judgement.class) {
            let why = format!("calls of the class `{}` are out of reach", judgement.class);
            return Err(objection(link, "class-forbidden", why));
        }
        let above = limits.max_auto_risk.is_some_and(|most| judgement.risk > most)
            || limits.gate_at.is_some_and(|from| judgement.risk >= from);
        if above {
            self.hold(objection(link, "risk-gated", "the risk is above what runs without a person"));
        }
        Ok(())
    }
}

/// Every link that gates the call must be satisfied by approvals from those it names.
fn answer_gates(
    chain: &Chain,
    call: &Call<'_>,
    claim: &Claim<'_>,
    approvals: &[SignedApproval],
    now: u64,
    spent: &mut Vec<Spendable>,
) -> Result<(), Objection> {
    let fires = |payload: &Payload| match &payload.gates {
        Some(gates) => gates.fires(call.tool, call.args),
        // Approvers without a gate approve everything.
        None => payload.required_approvers.as_ref().map(|_| "the warrant wants approvals".to_owned()),
    };
    let mut approved = None;
    for (link, warrant) in chain.links().iter().enumerate() {
        let Some(message) = fires(&warrant.payload) else { continue };
        let approved: &mut Approved = approved.get_or_insert_with(|| {
            let hash = request_hash(claim, &chain.holder().public_key());
            Approved::of(approvals, &hash, now)
        });
        if approved.suffice(&warrant.payload) {
            continue;
        }
        return Err(match approved.refusal(&warrant.payload) {
            Some(error) => objection(link, error.code(), format!("{message} ({error})")),
            None => objection(link, "approval-required", message),
        });
    }
    spent.extend(approved.iter().flat_map(Approved::spendables));
    Ok(())
}
