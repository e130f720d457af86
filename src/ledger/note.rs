//! Signed tree heads: `c2sp.org/tlog-checkpoint` inside `c2sp.org/signed-note`.

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use signed_note::{Note, Signature as NoteSignature, Verifier, VerifierList};
use tlog_tiles::{Checkpoint, Hash};

use super::LedgerError;

/// The algorithm byte of Ed25519 in a signed note's key id.
const ED25519: u8 = 1;

/// A checkpoint whose signature has been made or checked here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    pub origin: String,
    /// How many entries it covers.
    pub size: u64,
    /// The root of the tree over them, in base64.
    pub root: String,
    /// The signed text as it stands in the file.
    pub note: String,
}

/// One line of `checkpoints.jsonl`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PastHead {
    pub(super) at: i64,
    pub(super) note: String,
}

pub(super) struct Signer {
    key: SigningKey,
    origin: String,
}

impl Signer {
    pub(super) fn new(key: SigningKey, origin: &str) -> Result<Self, LedgerError> {
        if !signed_note::is_key_name_valid(origin) {
            return Err(LedgerError::Origin(origin.into()));
        }
        Ok(Self { key, origin: origin.into() })
    }

    pub(super) fn verifying_key(&self) -> VerifyingKey {
        self.key.verifying_key()
    }

    pub(super) fn sign(&self, size: u64, root: Hash) -> Result<SignedHead, LedgerError> {
        let head = Checkpoint::new(&self.origin, size, root, "").map_err(refuse)?;
        let text = head.to_bytes();
        let signature = NoteSignature::new(
            self.origin.clone(),
            key_id(&self.origin, &self.verifying_key()),
            self.key.sign(&text).to_bytes().to_vec(),
        )
        .map_err(refuse)?;
        let note = Note::new(&text, &[signature]).map_err(refuse)?.to_bytes();
        Ok(SignedHead {
            origin: self.origin.clone(),
            size,
            root: root.to_string(),
            note: String::from_utf8(note).map_err(refuse)?,
        })
    }
}

/// Reads a checkpoint and checks that `key` signed it.
pub(super) fn open(note: &[u8], key: &VerifyingKey) -> Result<SignedHead, LedgerError> {
    let text = Note::from_bytes(note).map_err(refuse)?;
    let head = Checkpoint::from_bytes(text.text()).map_err(refuse)?;
    let verifier = Pinned { origin: head.origin().into(), key: *key };
    text.verify(&VerifierList::new(vec![Box::new(verifier)]))
        .map_err(|error| LedgerError::Checkpoint(format!("not signed with the ledger's key: {error}")))?;
    Ok(SignedHead {
        origin: head.origin().into(),
        size: head.size(),
        root: head.hash().to_string(),
        note: String::from_utf8(note.to_vec()).map_err(refuse)?,
    })
}

fn key_id(origin: &str, key: &VerifyingKey) -> u32 {
    let mut bytes = vec![ED25519];
    bytes.extend_from_slice(key.as_bytes());
    signed_note::key_id(origin, &bytes)
}

fn refuse(error: impl std::fmt::Display) -> LedgerError {
    LedgerError::Checkpoint(error.to_string())
}

/// The one key that counts, whatever name the note gives it.
struct Pinned {
    origin: String,
    key: VerifyingKey,
}

impl Verifier for Pinned {
    fn name(&self) -> &str {
        &self.origin
    }

    fn key_id(&self) -> u32 {
        key_id(&self.origin, &self.key)
    }

    fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.key.verify_strict(text, &signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use signed_note::StandardVerifier;

    use super::*;

    #[test]
    fn a_checkpoint_holds_for_any_reader_of_signed_notes() {
        let signer = Signer::new(SigningKey::from_bytes(&[3; 32]), "herma.example").unwrap();
        let head = signer.sign(0, tlog_tiles::EMPTY_HASH).unwrap();
        let public = signer.verifying_key();
        assert_eq!(open(head.note.as_bytes(), &public).unwrap(), head);

        let mut encoded = vec![ED25519];
        encoded.extend_from_slice(public.as_bytes());
        let key = format!(
            "herma.example+{:08x}+{}",
            signed_note::key_id("herma.example", &encoded),
            data_encoding::BASE64.encode(&encoded)
        );
        let verifier = StandardVerifier::new(&key).unwrap();
        let note = Note::from_bytes(head.note.as_bytes()).unwrap();
        let (held, _) = note.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap();
        assert_eq!(held.len(), 1);
    }

    #[test]
    fn a_name_that_notes_cannot_carry_is_refused() {
        for origin in ["", "two words", "a+b"] {
            let refused = Signer::new(SigningKey::from_bytes(&[3; 32]), origin);
            assert!(matches!(refused, Err(LedgerError::Origin(_))), "{origin:?}");
        }
    }
}
