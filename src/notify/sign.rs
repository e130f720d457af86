//! Signatures of Standard Webhooks (https://www.standardwebhooks.com): `v1` with a shared secret, `v1a` with a key.

use data_encoding::BASE64;
use ed25519_dalek::{Signer, SigningKey};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// What a webhook is signed with.
#[derive(Clone)]
pub enum SigningSecret {
    /// `whsec_…`: the receiver has it too.
    Shared(Zeroizing<Vec<u8>>),
    /// `whsk_…`: the receiver has the public half.
    Key(Box<SigningKey>),
}

impl std::fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Shared(_) => "SigningSecret::Shared(…)",
            Self::Key(_) => "SigningSecret::Key(…)",
        })
    }
}

/// A secret that no webhook can be signed with. It does not repeat the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSecret {
    #[error("a webhook's secret begins with `whsec_` (shared) or `whsk_` (Ed25519), followed by base64")]
    Prefix,
    #[error("a shared secret has 24 to 64 bytes")]
    Length,
    #[error("an Ed25519 secret has 32 bytes, or 64 with its public half")]
    Key,
}

impl SigningSecret {
    pub fn read(text: &str) -> Result<Self, BadSecret> {
        let decode = |text: &str| {
            BASE64.decode(text.trim().as_bytes()).map(Zeroizing::new).map_err(|_| BadSecret::Prefix)
        };
        let text = text.trim();
        if let Some(text) = text.strip_prefix("whsec_") {
            let secret = decode(text)?;
            return if (24..=64).contains(&secret.len()) {
                Ok(Self::Shared(secret))
            } else {
                Err(BadSecret::Length)
            };
        }
        let bytes = decode(text.strip_prefix("whsk_").ok_or(BadSecret::Prefix)?)?;
        let key = match (bytes.len(), bytes.first_chunk::<32>()) {
            (32 | 64, Some(seed)) => SigningKey::from_bytes(seed),
            _ => return Err(BadSecret::Key),
        };
        let public = key.verifying_key();
        if bytes.get(32..).is_some_and(|half| !half.is_empty() && half != public.as_bytes()) {
            return Err(BadSecret::Key);
        }
        Ok(Self::Key(Box::new(key)))
    }

    /// The `webhook-signature` of a message sent at `seconds`.
    pub(super) fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let text = [id.as_bytes(), b".", seconds.to_string().as_bytes(), b".", body].concat();
        match self {
            Self::Shared(secret) => {
                // HMAC takes a secret of any length.
                let code = Hmac::<Sha256>::new_from_slice(secret)
                    .map(|mac| mac.chain_update(&text).finalize().into_bytes());
                format!("v1,{}", code.map(|code| BASE64.encode(&code)).unwrap_or_default())
            }
            Self::Key(key) => format!("v1a,{}", BASE64.encode(&key.sign(&text).to_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::Signature;

    use super::*;

    #[test]
    fn a_shared_secret_gives_the_signature_of_the_specification() {
        // The example every library of the specification tests itself with.
        let secret = SigningSecret::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature =
            secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_key_gives_a_signature_its_public_half_verifies() {
        let key = SigningKey::from_bytes(&[5; 32]);
        let text = format!("whsk_{}", BASE64.encode(&key.to_keypair_bytes()));
        let signature = SigningSecret::read(&text).unwrap().sign("msg_1", 12, b"{}");
        let bytes = BASE64.decode(signature.strip_prefix("v1a,").unwrap().as_bytes()).unwrap();
        let signature = Signature::from_slice(&bytes).unwrap();
        key.verifying_key().verify_strict(b"msg_1.12.{}", &signature).unwrap();
    }

    #[test]
    fn a_secret_that_signs_nothing_is_refused_and_not_repeated() {
        for (text, why) in [
            ("hunter2", BadSecret::Prefix),
            ("whsec_!!", BadSecret::Prefix),
            ("whsec_c2hvcnQ=", BadSecret::Length),
            ("whsk_c2hvcnQ=", BadSecret::Key),
        ] {
            let error = SigningSecret::read(text).unwrap_err();
            assert_eq!(error, why);
            assert!(!error.to_string().contains(text));
        }
        let mut pair = SigningKey::from_bytes(&[5; 32]).to_keypair_bytes();
        pair[40] ^= 1;
        let error = SigningSecret::read(&format!("whsk_{}", BASE64.encode(&pair)));
        assert_eq!(error.unwrap_err(), BadSecret::Key);
    }
}
