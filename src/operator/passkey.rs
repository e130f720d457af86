//! Passkeys (WebAuthn level 3): registration without attestation, and assertions by a person who was verified.
//!
//! The challenge is an argument: for a decision it is the digest of its receipt, so that what the person touched the
//! key for is this decision and no other. Pure.

use herma_warrant::cbor::{CborError, Reader};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use super::guard::Names;
use super::people::key::{KeyError, PublicKey};
use super::people::{base64url, from_base64url};
use crate::call::Digest;

const USER_PRESENT: u8 = 1;
const USER_VERIFIED: u8 = 1 << 2;
const BACKUP_ELIGIBLE: u8 = 1 << 3;
const BACKED_UP: u8 = 1 << 4;
const ATTESTED: u8 = 1 << 6;
/// The longest credential id that the standard allows.
const ID: usize = 1023;

/// A passkey's answer that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PasskeyError {
    #[error("the passkey's answer cannot be read")]
    Unreadable,
    #[error("the passkey's answer is to another question")]
    Challenge,
    #[error("the passkey answered a page that is none of ours")]
    Origin,
    #[error("the passkey is for another host name")]
    Party,
    #[error("the passkey did not verify who touched it")]
    Unverified,
    #[error("the passkey is not known for this approver")]
    Unknown,
    #[error("the passkey's signature does not hold")]
    Signature,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the passkey's answer cannot be read: {0}")]
    Cbor(#[from] CborError),
}

/// What `navigator.credentials.get` gave, its bytes in base64url.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Assertion {
    pub(super) id: String,
    pub(super) client_data: String,
    pub(super) authenticator_data: String,
    pub(super) signature: String,
}

/// What `navigator.credentials.create` gave, its bytes in base64url.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Registration {
    pub(super) id: String,
    pub(super) client_data: String,
    pub(super) attestation_object: String,
}

/// A new passkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Registered {
    pub(super) id: String,
    pub(super) key: PublicKey,
    pub(super) counter: u32,
}

/// The parts of `collectedClientData` that say something. Browsers may add more.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    r#type: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
}

/// What a browser needs to make a passkey.
pub(super) fn creation(
    names: &Names,
    name: &str,
    handle: &[u8],
    challenge: &[u8; 32],
    known: &[String],
) -> Value {
    json!({
        "challenge": base64url(challenge),
        "rp": { "id": names.host(), "name": "Herma" },
        "user": { "id": base64url(handle), "name": name },
        "algorithms": [-8, -7, -257],
        "exclude": known,
    })
}

impl Registration {
    pub(super) fn check(&self, names: &Names, challenge: &[u8; 32]) -> Result<Registered, PasskeyError> {
        let client = decode(&self.client_data)?;
        check_client(&client, "webauthn.create", names, challenge)?;
        let object = decode(&self.attestation_object)?;
        let mut reader = Reader::new(&object);
        let mut data = None;
        for _ in 0..reader.map(8)? {
            match reader.text()? {
                "authData" => data = Some(reader.bytes()?),
                // Who made the authenticator is not asked for, so what it says of that counts for nothing.
                _ => drop(reader.skip(8)?),
            }
        }
        reader.end()?;
        let data = AuthenticatorData::read(data.ok_or(PasskeyError::Unreadable)?)?;
        data.check(names)?;
        if data.flags & ATTESTED == 0 {
            return Err(PasskeyError::Unreadable);
        }
        let (_, rest) = data.rest.split_first_chunk::<16>().ok_or(PasskeyError::Unreadable)?;
        let (length, rest) = rest.split_first_chunk::<2>().ok_or(PasskeyError::Unreadable)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (id, rest) = rest.split_at_checked(length).ok_or(PasskeyError::Unreadable)?;
        let key = PublicKey::read_cose(&mut Reader::new(rest))?;
        let id = base64url(id);
        if length == 0 || length > ID || id != self.id {
            return Err(PasskeyError::Unreadable);
        }
        Ok(Registered { id, key, counter: data.counter })
    }
}

impl Assertion {
    /// The counter of an assertion that holds for `key`. Whether it has grown is for the store to say.
    pub(super) fn check(
        &self,
        names: &Names,
        challenge: &[u8; 32],
        key: &PublicKey,
    ) -> Result<u32, PasskeyError> {
        let client = decode(&self.client_data)?;
        check_client(&client, "webauthn.get", names, challenge)?;
        let bytes = decode(&self.authenticator_data)?;
        let data = AuthenticatorData::read(&bytes)?;
        data.check(names)?;
        let message = [bytes.as_slice(), Digest::of(&client).bytes()].concat();
        if !key.asserted(&message, &decode(&self.signature)?) {
            return Err(PasskeyError::Signature);
        }
        Ok(data.counter)
    }

    /// What lies beside the receipt, so that others can check it again.
    pub(super) fn evidence(&self, key: &PublicKey) -> Value {
        json!({ "webauthn": self, "algorithm": key.algorithm, "public_key": base64url(&key.bytes) })
    }
}

fn check_client(
    bytes: &[u8],
    ceremony: &str,
    names: &Names,
    challenge: &[u8; 32],
) -> Result<(), PasskeyError> {
    let client: ClientData = serde_json::from_slice(bytes).map_err(|_| PasskeyError::Unreadable)?;
    if client.r#type != ceremony {
        return Err(PasskeyError::Unreadable);
    }
    if !bool::from(decode(&client.challenge)?.ct_eq(challenge)) {
        return Err(PasskeyError::Challenge);
    }
    if client.cross_origin || !names.is_origin(&client.origin) {
        return Err(PasskeyError::Origin);
    }
    Ok(())
}

fn decode(text: &str) -> Result<Vec<u8>, PasskeyError> {
    from_base64url(text).ok_or(PasskeyError::Unreadable)
}

#[derive(Debug)]
struct AuthenticatorData<'a> {
    party: [u8; 32],
    flags: u8,
    counter: u32,
    rest: &'a [u8],
}

impl<'a> AuthenticatorData<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, PasskeyError> {
        let (party, rest) = bytes.split_first_chunk::<32>().ok_or(PasskeyError::Unreadable)?;
        let ([flags], rest) = rest.split_first_chunk::<1>().ok_or(PasskeyError::Unreadable)?;
        let (counter, rest) = rest.split_first_chunk::<4>().ok_or(PasskeyError::Unreadable)?;
        Ok(Self { party: *party, flags: *flags, counter: u32::from_be_bytes(*counter), rest })
    }

    fn check(&self, names: &Names) -> Result<(), PasskeyError> {
        if self.party != *Digest::of(names.host().as_bytes()).bytes() {
            return Err(PasskeyError::Party);
        }
        if self.flags & USER_PRESENT == 0 || self.flags & USER_VERIFIED == 0 {
            return Err(PasskeyError::Unverified);
        }
        // What is backed up must be eligible for it: anything else contradicts itself.
        if self.flags & BACKED_UP != 0 && self.flags & BACKUP_ELIGIBLE == 0 {
            return Err(PasskeyError::Unreadable);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
