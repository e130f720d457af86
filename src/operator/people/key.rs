//! Public keys of browsers and passkeys, by their COSE algorithm.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use ed25519_dalek::{Signature, VerifyingKey};
use herma_warrant::cbor::{CborError, Reader};
use herma_warrant::value::Number;

use crate::call::Digest;
use crate::store::KeyRow;

pub(crate) const ED25519: i64 = -8;
pub(crate) const ES256: i64 = -7;
pub(crate) const RS256: i64 = -257;

/// A key that cannot be used here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("the key cannot be read: {0}")]
    Cbor(#[from] CborError),
    #[error("keys of this kind are not taken: use Ed25519 or P-256")]
    Kind,
    #[error("the key is no point of its curve, or too short")]
    Weak,
}

/// A public key. Of P-256 the uncompressed point, of RSA modulus and exponent behind their lengths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicKey {
    pub(crate) algorithm: i64,
    pub(crate) bytes: Vec<u8>,
}

impl PublicKey {
    /// A key of WebCrypto, as `exportKey("raw")` gives it.
    pub(crate) fn of_browser(algorithm: &str, bytes: Vec<u8>) -> Result<Self, KeyError> {
        let algorithm = match algorithm {
            "ed25519" => ED25519,
            "p256" => ES256,
            _ => return Err(KeyError::Kind),
        };
        Self { algorithm, bytes }.checked()
    }

    pub(crate) fn of_row(row: &KeyRow) -> Self {
        Self { algorithm: row.algorithm, bytes: row.public.clone() }
    }

    /// A key as authenticators write it: a CBOR map with numbers for names.
    pub(crate) fn read_cose(reader: &mut Reader<'_>) -> Result<Self, KeyError> {
        let (mut kind, mut algorithm, mut curve) = (None, None, None);
        let (mut x, mut y): (Option<&[u8]>, Option<&[u8]>) = (None, None);
        let mut first: Option<&[u8]> = None;
        for _ in 0..reader.map(16)? {
            let Number::Int(name) = reader.number()? else { return Err(KeyError::Kind) };
            match (name, kind) {
                (1, None) => kind = Some(int(reader)?),
                (3, _) => algorithm = Some(int(reader)?),
                // Of RSA -1 is the modulus and -2 the exponent; of curves -1 names the curve.
                (-1, Some(3)) => first = Some(reader.bytes()?),
                (-1, _) => curve = Some(int(reader)?),
                (-2, _) => x = Some(reader.bytes()?),
                (-3, _) => y = Some(reader.bytes()?),
                _ => {
                    reader.skip(4)?;
                }
            }
        }
        let key = match (kind, algorithm, curve, first, x, y) {
            (Some(1), Some(ED25519), Some(6), None, Some(x), None) => {
                Self { algorithm: ED25519, bytes: x.to_vec() }
            }
            (Some(2), Some(ES256), Some(1), None, Some(x), Some(y)) if x.len() == 32 && y.len() == 32 => {
                Self { algorithm: ES256, bytes: [&[4], x, y].concat() }
            }
            (Some(3), Some(RS256), None, Some(n), Some(e), None) => {
                let length = u16::try_from(n.len()).map_err(|_| KeyError::Weak)?;
                Self { algorithm: RS256, bytes: [length.to_be_bytes().as_slice(), n, e].concat() }
            }
            _ => return Err(KeyError::Kind),
        };
        key.checked()
    }

    fn checked(self) -> Result<Self, KeyError> {
        let sound = match self.algorithm {
            ED25519 => <[u8; 32]>::try_from(self.bytes.as_slice())
                .ok()
                .and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok())
                .is_some_and(|key| !key.is_weak()),
            ES256 => {
                aws_lc_rs::signature::ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.bytes).is_ok()
            }
            _ => self.rsa().is_some_and(|(n, e)| n.len() >= 256 && (1..=4).contains(&e.len())),
        };
        if sound { Ok(self) } else { Err(KeyError::Weak) }
    }

    fn rsa(&self) -> Option<(&[u8], &[u8])> {
        let (length, rest) = self.bytes.split_first_chunk::<2>()?;
        rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
    }

    /// The name of a browser's key.
    pub(crate) fn id(&self) -> String {
        super::base64url(Digest::of(&self.bytes).bytes().get(..16).unwrap_or_default())
    }

    /// A signature as WebCrypto makes it.
    pub(crate) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        match self.algorithm {
            ED25519 => self.signed_ed25519(message, signature),
            ES256 => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.bytes)
                .verify(message, signature)
                .is_ok(),
            _ => false,
        }
    }

    /// A signature as authenticators make it.
    pub(crate) fn asserted(&self, message: &[u8], signature: &[u8]) -> bool {
        match self.algorithm {
            ED25519 => self.signed_ed25519(message, signature),
            ES256 => UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.bytes)
                .verify(message, signature)
                .is_ok(),
            RS256 => self.rsa().is_some_and(|(n, e)| {
                RsaPublicKeyComponents { n, e }
                    .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                    .is_ok()
            }),
            _ => false,
        }
    }

    fn signed_ed25519(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = <[u8; 32]>::try_from(self.bytes.as_slice()).ok();
        let key = key.and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
        let signature = Signature::from_slice(signature).ok();
        key.zip(signature).is_some_and(|(key, signature)| key.verify_strict(message, &signature).is_ok())
    }
}

fn int(reader: &mut Reader<'_>) -> Result<i64, KeyError> {
    match reader.number()? {
        Number::Int(int) => Ok(int),
        Number::Decimal(_) => Err(KeyError::Kind),
    }
}
