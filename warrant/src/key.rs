//! Ed25519 keys and signatures, always checked the strict way.

use ed25519_dalek::{Signer as _, VerifyingKey};
use std::fmt;

pub use ed25519_dalek::SigningKey;

/// What every signature of the format begins with.
pub(crate) const CONTEXT: &[u8] = b"tenuo-warrant-v1";

pub type Signature = [u8; 64];

/// A public key as its bytes. Nothing is known of it until [`PublicKey::verifier`] has looked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("a public key that is no point of the curve")]
    Malformed,
    #[error("a weak public key, for which anybody can sign")]
    Weak,
    #[error("a public key is 64 hexadecimal digits")]
    Text,
}

impl PublicKey {
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub fn of(key: &SigningKey) -> Self {
        Self(key.verifying_key().to_bytes())
    }

    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let bytes = crate::text_form::from_hex(text).ok_or(KeyError::Text)?;
        bytes.try_into().map(Self).map_err(|_| KeyError::Text)
    }

    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub fn to_hex(&self) -> String {
        crate::text_form::to_hex(&self.0)
    }

    /// Enough of it to tell keys apart in a message.
    pub fn fingerprint(&self) -> String {
        self.to_hex().chars().take(12).collect()
    }

    /// Whether the coordinate is below the prime of the field: a second spelling of a key would pass a revocation.
    fn is_canonical(&self) -> bool {
        let [first, middle @ .., last] = &self.0;
        last & 0x7f != 0x7f || *first < 0xed || middle.iter().any(|byte| *byte != 0xff)
    }

    /// The key made ready to verify with, which refuses weak ones.
    pub fn verifier(&self) -> Result<Verifier, KeyError> {
        if !self.is_canonical() {
            return Err(KeyError::Malformed);
        }
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| KeyError::Malformed)?;
        if key.is_weak() { Err(KeyError::Weak) } else { Ok(Verifier(key)) }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PublicKey({}…)", self.fingerprint())
    }
}

/// A public key that is a point of the curve and not a weak one.
#[derive(Debug, Clone)]
pub struct Verifier(VerifyingKey);

impl Verifier {
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.to_bytes())
    }

    pub fn holds(&self, message: &[u8], signature: &Signature) -> bool {
        self.0.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
    }
}

pub(crate) fn sign(key: &SigningKey, message: &[u8]) -> Signature {
    key.sign(message).to_bytes()
}
