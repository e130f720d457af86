//! The signed word of a person on one hold.

use std::fmt;

use ed25519_dalek::{Signer, SigningKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{GateError, Standing};
use crate::store::HoldRow;

/// What a person said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "decision")]
pub enum Decision {
    Approve,
    /// The reason reaches the model.
    Deny {
        reason: String,
    },
}

/// Who said it and how they were known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approver {
    pub id: String,
    pub method: Method,
}

/// How an approver was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Peer credentials on the control socket.
    Terminal,
    /// MCP elicitation: the answer travelled through the agent's own client.
    InBand,
}

/// A decision, bound to the digest the person saw, signed with Herma's key over its RFC 8785 form.
#[derive(Debug, Clone)]
pub struct Receipt {
    body: Body,
    value: Value,
}

#[derive(Debug, Clone, Serialize)]
struct Body {
    approver: Approver,
    call_digest: String,
    #[serde(flatten)]
    decision: Decision,
    decided_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    hold: String,
    nonce: String,
    v: u8,
}

impl Receipt {
    pub(super) fn sign(
        key: &SigningKey,
        row: &HoldRow,
        decision: Decision,
        approver: Approver,
        now: i64,
        expires_at: Option<i64>,
    ) -> Result<Self, GateError> {
        let mut nonce = [0u8; 16];
        getrandom::fill(&mut nonce)?;
        let body = Body {
            approver,
            call_digest: row.digest.clone(),
            decision,
            decided_at: now,
            expires_at,
            hold: row.id.clone(),
            nonce: data_encoding::HEXLOWER.encode(&nonce),
            v: 1,
        };
        let text = serde_json_canonicalizer::to_vec(&body).map_err(crate::call::NotCanonical::from)?;
        let mut value = serde_json::to_value(&body).map_err(crate::call::NotCanonical::from)?;
        if let Value::Object(fields) = &mut value {
            let signature = data_encoding::BASE64.encode(&key.sign(&text).to_bytes());
            fields.insert("signature".into(), signature.into());
        }
        Ok(Self { body, value })
    }

    pub fn as_value(&self) -> Value {
        self.value.clone()
    }

    pub(super) fn standing(&self) -> Standing {
        let by = self.body.approver.id.clone();
        match &self.body.decision {
            Decision::Approve => Standing::Approved { by },
            Decision::Deny { reason } => Standing::Denied { by, reason: reason.clone() },
        }
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.value, f)
    }
}
