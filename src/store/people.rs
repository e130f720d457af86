//! What the store keeps of the people who decide.

use serde::{Deserialize, Serialize};

/// Somebody who may decide in a browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApproverRow {
    pub name: String,
    /// What passkeys know the approver by: random, so that it tells nothing.
    pub handle: Vec<u8>,
    pub added_ms: i64,
}

/// A key of an approver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRow {
    /// Of a browser's key its digest, of a passkey the id that its authenticator gave it; both in base64url.
    pub id: String,
    pub approver: String,
    pub kind: KeyKind,
    /// As COSE numbers algorithms.
    pub algorithm: i64,
    pub public: Vec<u8>,
    /// What the person calls it.
    pub label: String,
    pub added_ms: i64,
    pub used_ms: Option<i64>,
    /// Signatures its authenticator says it has made; one that counts backwards is a copy.
    pub counter: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// A paired browser.
    Browser,
    Passkey,
}

impl KeyKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Passkey => "passkey",
        }
    }
}
