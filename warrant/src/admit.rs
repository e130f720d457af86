//! The whole question in one place: may this caller make this call under this chain, now?

use crate::approval::SignedApproval;
use crate::decide::{Call, Decision, Outcome, decide};
use crate::proof::{Audience, Claim, Proof, ProofError, Proven};
use crate::verify::Chain;

/// How the caller shows that the warrant is its own.
#[derive(Debug, Clone, Copy)]
pub enum Credential<'a> {
    /// It shows nothing: bearer use, which is refused.
    None,
    Proof(&'a Proof),
    /// A [`crate::proof::Session`] has verified the call already.
    Session,
}

/// What the operator accepts as a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProofRules {
    /// Whether proofs without nonce and audience are good enough.
    pub accept_v1: bool,
}

/// A decision, and the proof that must be used up with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    pub decision: Decision,
    /// To be spent unless the tool is idempotent. Nothing for sessions, which count their calls themselves.
    pub proven: Option<Proven>,
}

/// Asks every link about the call, then looks at the proof. A call that is refused anyway is refused for what the
/// links say. What a decision draws and what was proven is for the caller to use up before the call leaves.
pub fn admit(
    chain: &Chain,
    call: &Call<'_>,
    credential: Credential<'_>,
    approvals: &[SignedApproval],
    rules: ProofRules,
    now: u64,
) -> Result<Admission, ProofError> {
    let decision = decide(chain, call, approvals, now);
    if matches!(decision.outcome, Outcome::Refused(_)) {
        return Ok(Admission { decision, proven: None });
    }
    let proof = match credential {
        Credential::None => return Err(ProofError::Missing),
        Credential::Session => return Ok(Admission { decision, proven: None }),
        Credential::Proof(Proof::V1(_)) if !rules.accept_v1 => return Err(ProofError::Version),
        Credential::Proof(proof) => proof,
    };
    let leaf = chain.leaf().ok_or(ProofError::Invalid)?;
    let claim = Claim { warrant: leaf.id, tool: call.tool, args: call.args };
    let audience = Audience { server: call.server.unwrap_or(""), definition: call.definition };
    let proven = proof.verify(chain.holder(), &claim, &audience, now)?;
    Ok(Admission { decision, proven: Some(proven) })
}
