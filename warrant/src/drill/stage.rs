//! The cast and the props: keys that everybody knows, a root, a child made by hand, and how a call is asked about.

use crate::admit::{Credential, ProofRules, admit};
use crate::approval::SignedApproval;
use crate::capability::Capability;
use crate::constraint::{Constraint, Subpath};
use crate::decide::{Call, Outcome};
use crate::gate::{Gates, ToolGate};
use crate::json::read_args;
use crate::key::{PublicKey, SigningKey};
use crate::limits::Limits;
use crate::mint::{Draft, mint};
use crate::proof::{Claim, Proof};
use crate::revocation::Revocations;
use crate::value::Args;
use crate::verify::{Chain, Trust};
use crate::warrant::{Payload, Warrant, WarrantId};
use std::collections::BTreeMap;

pub(super) const NOW: u64 = 1_780_000_000;
pub(super) const TOOL: &str = "read_file";
pub(super) const DEFINITION: [u8; 32] = [7; 32];
pub(super) const ROOT: u8 = 1;
pub(super) const AGENT: u8 = 2;
pub(super) const CHILD: u8 = 3;
pub(super) const STRANGER: u8 = 9;
pub(super) const APPROVER: u8 = 20;

/// A verdict and its name.
pub(super) type Verdict = (&'static str, &'static str);
pub(super) fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub(super) fn public(seed: u8) -> PublicKey {
    PublicKey::of(&key(seed))
}

pub(super) fn trust() -> Option<Trust> {
    Some(Trust::new(vec![public(ROOT).verifier().ok()?]))
}

pub(super) fn id(number: u8) -> WarrantId {
    WarrantId::new(NOW * 1000, [number; 10])
}

pub(super) fn args(text: &str) -> Option<Args> {
    read_args(text).ok()
}

pub(super) fn inside() -> Option<Args> {
    args(r#"{"path": "/data/a"}"#)
}

pub(super) fn capability() -> Capability {
    let constraints = BTreeMap::from([("path".to_owned(), Constraint::Subpath(Subpath::new("/data")))]);
    Capability { constraints, ..Capability::default() }
}

pub(super) fn draft(number: u8, holder: u8) -> Draft {
    let mut draft = Draft::new(id(number), public(holder), NOW);
    draft.tools.insert(TOOL.to_owned(), capability());
    draft
}

pub(super) fn limited(limits: Limits) -> Option<Warrant> {
    let mut draft = draft(1, AGENT);
    let capability = Capability { limits: Some(Box::new(limits)), ..capability() };
    draft.tools.insert(TOOL.to_owned(), capability);
    mint(draft, &key(ROOT)).ok()
}

pub(super) fn root() -> Option<Warrant> {
    mint(draft(1, AGENT), &key(ROOT)).ok()
}

/// A root with everything that a child may try to shed.
pub(super) fn guarded() -> Option<Warrant> {
    let mut draft = draft(1, AGENT);
    draft.gates = Some(Gates(BTreeMap::from([(TOOL.to_owned(), ToolGate::default())])));
    draft.required_approvers = Some(vec![public(APPROVER)]);
    draft.min_approvals = Some(1);
    draft.session_id = Some("session-1".to_owned());
    mint(draft, &key(ROOT)).ok()
}

/// A child as an honest holder would make it, changed by hand before it is signed.
pub(super) fn forge(parent: &Warrant, signer: u8, change: impl FnOnce(&mut Payload)) -> Warrant {
    let mut payload = parent.payload.clone();
    payload.id = id(2);
    payload.issuer = public(signer);
    payload.holder = public(CHILD);
    payload.depth += 1;
    payload.parent_hash = Some(parent.hash());
    change(&mut payload);
    Warrant::sign(payload, &key(signer))
}

pub(super) fn capabilities(payload: &mut Payload, change: impl Fn(&mut Capability)) {
    payload.tools.values_mut().for_each(change);
}

pub(super) fn add_argument(capability: &mut Capability) {
    capability.constraints.insert("more".to_owned(), Constraint::Wildcard);
}

pub(super) fn verified(bytes: &[u8], revocations: &Revocations, now: u64) -> Result<Chain, Verdict> {
    let trust = trust().ok_or(("deny", "malformed-key"))?;
    Chain::verify(bytes, &trust, revocations, now).map_err(|error| ("deny", error.code()))
}

pub(super) fn presented(links: &[Warrant]) -> Option<Verdict> {
    presented_bytes(&Warrant::encode_stack(links))
}

pub(super) fn presented_bytes(bytes: &[u8]) -> Option<Verdict> {
    match verified(bytes, &Revocations::default(), NOW) {
        Ok(_) => Some(("allow", "verified")),
        Err(verdict) => Some(verdict),
    }
}

pub(super) fn chain(links: &[Warrant]) -> Option<Chain> {
    verified(&Warrant::encode_stack(links), &Revocations::default(), NOW).ok()
}

pub(super) fn asked(
    chain: &Chain,
    call: &Call<'_>,
    credential: Credential<'_>,
    approvals: &[SignedApproval],
) -> Verdict {
    match admit(chain, call, credential, approvals, ProofRules { accept_v1: true }, NOW) {
        Err(error) => ("deny", error.code()),
        Ok(admission) => match &admission.decision.outcome {
            Outcome::Authorised => ("allow", "authorised"),
            Outcome::Gated(_) => ("hold", admission.decision.code()),
            Outcome::Refused(_) => ("deny", admission.decision.code()),
        },
    }
}

/// An honest call under a warrant, with its proof.
pub(super) fn called(warrant: Warrant, call: &Call<'_>) -> Option<Verdict> {
    let claim = Claim { warrant: warrant.payload.id, tool: call.tool, args: call.args };
    let proof = Proof::sign_v1(&key(AGENT), &claim, NOW);
    Some(asked(&chain(&[warrant])?, call, Credential::Proof(&proof), &[]))
}
