//! The opaque state a modern client carries from one leg of a held call to the next.
//!
//! The client may read it and must not be believed: it is authenticated, bound to the call, expires, and each
//! one is taken once.

use std::collections::HashMap;
use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

const MARK: &str = "herma1.";
/// A leg must be picked up within this many milliseconds.
const LIFETIME: i64 = 10 * 60 * 1000;

/// What one leg hands to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    pub hold: String,
    /// Digest of the call without this state.
    pub digest: String,
    /// Legs so far.
    pub leg: u8,
    /// Key of our own question among the client's `inputResponses`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// The upstream's own state, when the client was in a round with the upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    #[serde(flatten)]
    leg: Leg,
    expires: i64,
    nonce: String,
}

/// Why a state is not ours to believe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    #[error("the `requestState` was altered or is not from this Herma")]
    Forged,
    #[error("the `requestState` has expired: send the call afresh")]
    Expired,
    #[error("the `requestState` was used before: each one is good for one retry")]
    Used,
    #[error("the `requestState` belongs to another call")]
    OtherCall,
}

/// Seals and opens states.
pub struct States {
    key: [u8; 32],
    /// Nonces that were taken, with the time at which they would have expired anyway.
    taken: Mutex<HashMap<String, i64>>,
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("States").finish_non_exhaustive()
    }
}

impl States {
    pub fn new(key: [u8; 32]) -> Self {
        Self { key, taken: Mutex::default() }
    }

    /// Whether `state` claims to be one of ours; anything else belongs to the upstream.
    pub fn is_ours(state: &str) -> bool {
        state.starts_with(MARK)
    }

    pub fn seal(&self, leg: Leg, now: i64) -> Result<String, getrandom::Error> {
        let mut nonce = [0u8; 12];
        getrandom::fill(&mut nonce)?;
        let sealed = Sealed {
            leg,
            expires: now.saturating_add(LIFETIME),
            nonce: data_encoding::HEXLOWER.encode(&nonce),
        };
        let body = serde_json::to_vec(&sealed).unwrap_or_default();
        let mac = self.mac(&body);
        Ok(format!("{MARK}{}.{}", BASE64URL_NOPAD.encode(&body), BASE64URL_NOPAD.encode(&mac)))
    }

    /// What a state says, of whatever call.
    pub fn open(&self, state: &str, now: i64) -> Result<Leg, StateError> {
        self.unseal(state, now).map(|sealed| sealed.leg)
    }

    /// Opens a state for the call with `digest` and takes it.
    pub fn take(&self, state: &str, digest: &str, now: i64) -> Result<Leg, StateError> {
        let sealed = self.unseal(state, now)?;
        if sealed.leg.digest != digest {
            return Err(StateError::OtherCall);
        }
        let mut taken = self.taken.lock();
        taken.retain(|_, expires| *expires > now);
        match taken.insert(sealed.nonce, sealed.expires) {
            None => Ok(sealed.leg),
            Some(_) => Err(StateError::Used),
        }
    }

    fn unseal(&self, state: &str, now: i64) -> Result<Sealed, StateError> {
        let (body, mac) =
            state.strip_prefix(MARK).and_then(|rest| rest.split_once('.')).ok_or(StateError::Forged)?;
        let decode = |text: &str| BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| StateError::Forged);
        let body = decode(body)?;
        if !bool::from(self.mac(&body).ct_eq(&decode(mac)?)) {
            return Err(StateError::Forged);
        }
        let sealed: Sealed = serde_json::from_slice(&body).map_err(|_| StateError::Forged)?;
        if sealed.expires <= now {
            return Err(StateError::Expired);
        }
        Ok(sealed)
    }

    /// HMAC-SHA-256 (RFC 2104); the key is exactly half a block.
    fn mac(&self, body: &[u8]) -> [u8; 32] {
        let pad = |byte: u8| {
            let mut block = [byte; 64];
            block.iter_mut().zip(self.key).for_each(|(block, key)| *block ^= key);
            block
        };
        let inner = Sha256::new().chain_update(pad(0x36)).chain_update(body).finalize();
        Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leg() -> Leg {
        Leg {
            hold: "h-1".into(),
            digest: "d".into(),
            leg: 3,
            question: None,
            upstream: Some("theirs".into()),
        }
    }

    #[test]
    fn a_state_opens_once_for_its_own_call_and_only_in_time() {
        let states = States::new([7; 32]);
        let state = states.seal(leg(), 1000).unwrap();
        assert_eq!(states.take(&state, "other", 1000), Err(StateError::OtherCall));
        assert_eq!(states.take(&state, "d", 1000 + LIFETIME), Err(StateError::Expired));
        assert_eq!(states.take(&state, "d", 1001), Ok(leg()));
        assert_eq!(states.take(&state, "d", 1002), Err(StateError::Used));
    }

    #[test]
    fn an_altered_or_foreign_state_is_forged() {
        let states = States::new([7; 32]);
        let state = states.seal(leg(), 0).unwrap();
        let foreign = States::new([8; 32]).seal(leg(), 0).unwrap();
        let (body, _) = state.rsplit_once('.').unwrap();
        let (_, mac) = foreign.rsplit_once('.').unwrap();
        for forged in [foreign.clone(), format!("{body}.{mac}"), "herma1.".into(), "x".into()] {
            assert_eq!(states.take(&forged, "d", 1), Err(StateError::Forged));
        }
    }

    #[test]
    fn the_mac_is_the_published_one() {
        // RFC 4231 gives no 32-byte key; this value is from Python: hmac.new(bytes([11]*32), b"Hi There", "sha256")
        let mac = States::new([11; 32]).mac(b"Hi There");
        assert_eq!(
            data_encoding::HEXLOWER.encode(&mac),
            "198a607eb44bfbc69903a0f1cf2bbdc5ba0aa3f3d9ae3c1c7a3b1696a0b68cf7"
        );
    }
}
