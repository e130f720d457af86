//! The signed word of a person on one hold.

use std::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{GateError, Stand};
use crate::call::{Digest, NotCanonical};
pub use crate::policy::Method;
use crate::store::HoldRow;

/// A draft that nobody signs off within this many milliseconds is void.
pub(super) const DRAFT_LIFE: i64 = 5 * 60 * 1000;
/// What stands beside the signed body of a receipt.
const UNSIGNED: [&str; 2] = ["signature", "evidence"];

/// What a person said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "decision")]
pub enum Decision {
    /// It runs once, as shown.
    Approve,
    /// It runs once with these arguments, the text of a JSON object, in the place of its own.
    Edit { arguments: String },
    /// The reason reaches the model.
    Deny {
        reason: String,
        /// The same call, and this tool on the same target, are denied at once in this session from now on.
        #[serde(default)]
        sticky: bool,
    },
    /// It goes on waiting, and the next of the ladder is told.
    Escalate { reason: String },
}

impl Decision {
    pub fn deny(reason: impl Into<String>) -> Self {
        Self::Deny { reason: reason.into(), sticky: false }
    }

    /// The stable word for machines, as receipts have it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Edit { .. } => "edit",
            Self::Deny { .. } => "deny",
            Self::Escalate { .. } => "escalate",
        }
    }

    /// Whether it lets something run.
    pub fn approves(&self) -> bool {
        matches!(self, Self::Approve | Self::Edit { .. })
    }
}

/// Who said it and how they were known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approver {
    pub id: String,
    pub method: Method,
    /// The key or passkey they were known by.
    #[serde(rename = "cred_id", skip_serializing_if = "Option::is_none", default)]
    pub credential: Option<String>,
}

impl Approver {
    pub fn new(id: impl Into<String>, method: Method) -> Self {
        Self { id: id.into(), method, credential: None }
    }
}

/// What the person had before them. A decision on anything else is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Seen {
    /// The hold's digest, or at least 8 digits of its beginning.
    pub digest: Option<String>,
    pub version: Option<u64>,
    /// What was typed before something that nobody can take back is let go.
    pub typed: Option<String>,
}

impl Seen {
    pub fn digest(digest: impl Into<String>) -> Self {
        Self { digest: Some(digest.into()), ..Self::default() }
    }
}

/// How far a decision reaches beyond the one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// `session`, `agent` or `all`, for approvals of similar calls and for denials that stick.
    pub kind: String,
    pub expires: i64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_uses: Option<u32>,
}

/// A receipt before it is signed: what a passkey's challenge is made of.
#[derive(Debug, Clone)]
pub struct Draft {
    pub(super) body: Body,
    pub(super) decision: Decision,
    text: Vec<u8>,
}

/// What is signed, in its RFC 8785 form.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Body {
    pub(super) approver: Approver,
    call_digest: String,
    pub(super) decided_at: i64,
    decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    edited_args_digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    pub(super) hold: String,
    nonce: String,
    policy_rev: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    render_digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<Reach>,
    v: u8,
}

impl Draft {
    /// SHA-256 over the RFC 8785 form of the body: the challenge of a passkey that is touched for this decision.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.text)
    }

    pub fn hold_id(&self) -> &str {
        &self.body.hold
    }

    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    pub fn approver(&self) -> &Approver {
        &self.body.approver
    }

    /// What the approvals of a quorum must agree on.
    pub(super) fn subject(&self) -> &str {
        self.body.edited_args_digest.as_deref().unwrap_or(&self.body.call_digest)
    }

    pub(super) fn is_for(&self, row: &HoldRow) -> Result<bool, GateError> {
        Ok(self.body.call_digest == row.digest && self.body.render_digest == render_digest(row)?)
    }
}

/// A decision, bound to what the person saw, signed with Herma's key.
#[derive(Debug, Clone)]
pub struct Receipt {
    value: Value,
}

impl Receipt {
    /// What is to be signed. `expires_at` is when an approval that nobody uses ends.
    pub fn draft(
        row: &HoldRow,
        decision: Decision,
        approver: Approver,
        now: i64,
        nonce: [u8; 16],
        expires_at: i64,
        scope: Option<Reach>,
    ) -> Result<Draft, GateError> {
        let (edited_args_digest, reason) = match &decision {
            Decision::Approve => (None, None),
            Decision::Edit { arguments } => (Some(Digest::of(arguments.as_bytes()).to_string()), None),
            Decision::Deny { reason, .. } | Decision::Escalate { reason } => (None, Some(reason.clone())),
        };
        let shown: Value = serde_json::from_str(&row.shown).unwrap_or_default();
        let policy_rev = shown.get("policy").and_then(Value::as_str).unwrap_or_default().to_owned();
        let body = Body {
            approver,
            call_digest: row.digest.clone(),
            decided_at: now,
            decision: decision.word(),
            edited_args_digest,
            expires_at: decision.approves().then_some(expires_at),
            hold: row.id.clone(),
            nonce: data_encoding::HEXLOWER.encode(&nonce),
            policy_rev,
            reason,
            render_digest: render_digest(row)?,
            scope,
            v: 2,
        };
        let text = serde_json_canonicalizer::to_vec(&body).map_err(NotCanonical::from)?;
        Ok(Draft { body, decision, text })
    }

    /// `evidence` is what a passkey said to the draft's digest; it stands beside the signed body.
    pub(super) fn sign(key: &SigningKey, draft: &Draft, evidence: Option<Value>) -> Result<Self, GateError> {
        let mut value = serde_json::to_value(&draft.body).map_err(NotCanonical::from)?;
        if let Value::Object(fields) = &mut value {
            let signature = data_encoding::BASE64.encode(&key.sign(&draft.text).to_bytes());
            fields.insert("signature".into(), signature.into());
            if let Some(evidence) = evidence {
                fields.insert("evidence".into(), evidence);
            }
        }
        Ok(Self { value })
    }

    pub fn as_value(&self) -> Value {
        self.value.clone()
    }

    /// Whether a receipt, as the ledger has it, was signed with this key.
    pub fn is_genuine(receipt: &Value, key: &VerifyingKey) -> bool {
        let Some(fields) = receipt.as_object() else { return false };
        let signature = fields.get("signature").and_then(Value::as_str).and_then(|text| {
            let bytes = data_encoding::BASE64.decode(text.as_bytes()).ok()?;
            Signature::from_slice(&bytes).ok()
        });
        let body: serde_json::Map<_, _> = fields
            .iter()
            .filter(|(name, _)| !UNSIGNED.contains(&name.as_str()))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect();
        match (signature, serde_json_canonicalizer::to_vec(&body)) {
            (Some(signature), Ok(text)) => key.verify_strict(&text, &signature).is_ok(),
            _ => false,
        }
    }
}

/// SHA-256 over the RFC 8785 form of everything the person saw.
fn render_digest(row: &HoldRow) -> Result<String, GateError> {
    let shown: Value = serde_json::from_str(&row.shown).map_err(NotCanonical::from)?;
    let text = serde_json_canonicalizer::to_vec(&shown).map_err(NotCanonical::from)?;
    Ok(Digest::of(&text).to_string())
}

impl Draft {
    pub(super) fn stand(&self) -> Stand {
        let by = self.body.approver.id.clone();
        match &self.decision {
            Decision::Approve | Decision::Edit { .. } => Stand::Approved { by },
            Decision::Deny { reason, .. } => Stand::Denied { by, reason: reason.clone() },
            Decision::Escalate { .. } => Stand::Pending,
        }
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.value, f)
    }
}
