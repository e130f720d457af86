//! Checking a receipt away from the gate that signed it.

use ed25519_dalek::VerifyingKey;
use herma_scoring::json::{self, Limits};
use serde_json::Value;

use super::Receipt;

/// A receipt that does not hold.
#[derive(Debug, thiserror::Error)]
pub enum BadReceipt {
    #[error("the receipt is not JSON that every parser reads alike: {0}")]
    Unreadable(#[from] json::JsonError),
    #[error("this is no receipt: it has no `{0}`")]
    Without(&'static str),
    #[error("the receipt is not signed with this key, or was changed afterwards")]
    Forged,
}

/// Reads a receipt and checks that `key` signed exactly this.
pub fn check_receipt(text: &[u8], key: &VerifyingKey) -> Result<Value, BadReceipt> {
    let receipt = json::read(text, &Limits::default())?;
    for name in ["call_digest", "decision", "signature"] {
        if receipt.get(name).is_none() {
            return Err(BadReceipt::Without(name));
        }
    }
    if Receipt::is_genuine(&receipt, key) { Ok(receipt) } else { Err(BadReceipt::Forged) }
}
