//! What people signed for one call.

use crate::cbor::{CborError, Reader, Writer};
use crate::error::FormatError;
use crate::key::{CONTEXT, PublicKey, Signature, SigningKey, sign};
use crate::proof::Claim;
use crate::warrant::{Payload, read_tagged_or_bare, write_tagged};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

const APPROVAL_CONTEXT: &[u8] = b"tenuo-approval-v1";
const MAX_APPROVAL: usize = 8 * 1024;
pub const MAX_APPROVALS: usize = 64;

/// Names one call of one holder under one warrant.
pub fn request_hash(claim: &Claim<'_>, holder: &PublicKey) -> [u8; 32] {
    let mut args = Writer::new();
    args.map(claim.args.len());
    for (argument, value) in claim.args {
        args.text(argument).value(value);
    }
    let mut out = Writer::new();
    out.array(4)
        .text(&claim.warrant.to_string())
        .text(claim.tool)
        .bytes(&args.finish())
        .bytes(holder.bytes());
    Sha256::digest(out.finish()).into()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    pub request_hash: [u8; 32],
    pub nonce: [u8; 16],
    pub external_id: String,
    pub approved_at: u64,
    pub expires_at: u64,
    pub extensions: BTreeMap<String, Vec<u8>>,
}

/// An approval as it travels. Nothing of its payload is read before its signature is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedApproval {
    signed: Vec<u8>,
    pub approver: PublicKey,
    signature: Signature,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalError {
    #[error("an approval that cannot be read: {0}")]
    Format(#[from] FormatError),
    #[error("an approval whose signature does not verify")]
    Signature,
    #[error("an approval for another call")]
    Mismatch,
    #[error("an approval that has expired")]
    Expired,
    #[error("an approval dated in the future")]
    Future,
    #[error("an approval by somebody whom the warrant does not name")]
    Stranger,
    #[error("more than {MAX_APPROVALS} approvals")]
    TooMany,
}

impl ApprovalError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Format(error) => error.code(),
            Self::Signature => "approval-invalid",
            Self::Mismatch => "approval-mismatch",
            Self::Expired => "approval-expired",
            Self::Future => "approval-future",
            Self::Stranger => "approval-stranger",
            Self::TooMany => "too-large",
        }
    }
}

impl Approval {
    pub fn sign(&self, key: &SigningKey) -> SignedApproval {
        let mut out = Writer::new();
        out.map(6 + usize::from(!self.extensions.is_empty())).text("version").unsigned(1);
        out.text("request_hash").numbers(&self.request_hash).text("nonce").numbers(&self.nonce);
        out.text("external_id").text(&self.external_id).text("approved_at").unsigned(self.approved_at);
        out.text("expires_at").unsigned(self.expires_at);
        if !self.extensions.is_empty() {
            out.text("extensions").map(self.extensions.len());
            for (key, value) in &self.extensions {
                out.text(key).numbers(value);
            }
        }
        let signed = out.finish();
        let signature = sign(key, &SignedApproval::message(&signed));
        SignedApproval { signed, approver: PublicKey::of(key), signature }
    }

    fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        let members = reader.map(7)?;
        let expect = |reader: &mut Reader<'_>, name: &'static str| match reader.text()? {
            found if found == name => Ok(()),
            _ => Err(FormatError::Missing(name)),
        };
        expect(&mut reader, "version")?;
        match reader.unsigned()? {
            1 => {}
            found => return Err(FormatError::Version { what: "the approval", found }),
        }
        expect(&mut reader, "request_hash")?;
        let request_hash = reader.bytes_or_numbers(32)?.try_into().map_err(|_| CborError::Range)?;
        expect(&mut reader, "nonce")?;
        let nonce = reader.bytes_or_numbers(16)?.try_into().map_err(|_| CborError::Range)?;
        expect(&mut reader, "external_id")?;
        let external_id = reader.text()?.to_owned();
        expect(&mut reader, "approved_at")?;
        let approved_at = reader.unsigned()?;
        expect(&mut reader, "expires_at")?;
        let expires_at = reader.unsigned()?;
        let mut extensions = BTreeMap::new();
        if members == 7 {
            expect(&mut reader, "extensions")?;
            // The format keeps them in no order.
            for _ in 0..reader.map(64)? {
                let key = reader.text()?.to_owned();
                if extensions.insert(key, reader.bytes_or_numbers(MAX_APPROVAL)?).is_some() {
                    return Err(CborError::DuplicateKey.into());
                }
            }
        }
        reader.end()?;
        Ok(Self { request_hash, nonce, external_id, approved_at, expires_at, extensions })
    }
}

impl SignedApproval {
    fn message(signed: &[u8]) -> Vec<u8> {
        [CONTEXT, APPROVAL_CONTEXT, &[1], signed].concat()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        let approval = Self::read(&mut reader)?;
        reader.end()?;
        Ok(approval)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let whole = reader.rest().len();
        let expect = |reader: &mut Reader<'_>, name: &'static str| match reader.text()? {
            found if found == name => Ok(()),
            _ => Err(FormatError::Missing(name)),
        };
        if reader.map(4)? != 4 {
            return Err(FormatError::Missing("approval_version"));
        }
        expect(reader, "approval_version")?;
        match reader.unsigned()? {
            1 => {}
            found => return Err(FormatError::Version { what: "the approval", found }),
        }
        expect(reader, "payload")?;
        let signed = reader.bytes()?.to_vec();
        expect(reader, "approver_key")?;
        let approver = PublicKey::from_bytes(read_tagged_or_bare(reader)?);
        expect(reader, "signature")?;
        let signature = read_tagged_or_bare(reader)?;
        let found = whole - reader.rest().len();
        if found > MAX_APPROVAL {
            return Err(FormatError::TooLarge { what: "an approval", found, most: MAX_APPROVAL });
        }
        Ok(Self { signed, approver, signature })
    }

    /// Reads the CBOR array that a header carries.
    pub fn decode_list(bytes: &[u8]) -> Result<Vec<Self>, FormatError> {
        let mut reader = Reader::new(bytes);
        let length = reader.array(usize::MAX)?;
        if length > MAX_APPROVALS {
            return Err(FormatError::TooMany { what: "approvals", found: length, most: MAX_APPROVALS });
        }
        let approvals = (0..length).map(|_| Self::read(&mut reader)).collect::<Result<_, _>>()?;
        reader.end()?;
        Ok(approvals)
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.map(4)
            .text("approval_version")
            .unsigned(1)
            .text("payload")
            .bytes(&self.signed)
            .text("approver_key");
        write_tagged(&mut out, self.approver.bytes());
        out.text("signature");
        write_tagged(&mut out, &self.signature);
        out.finish()
    }

    /// What was approved, if this is a valid approval of exactly this call.
    pub fn verify(&self, request_hash: &[u8; 32], now: u64) -> Result<Approval, ApprovalError> {
        let key = self.approver.verifier().map_err(|_| ApprovalError::Signature)?;
        // The published documents leave out the context that the format's own writers put in front.
        let published = [APPROVAL_CONTEXT, &[1], &self.signed].concat();
        if !key.holds(&Self::message(&self.signed), &self.signature)
            && !key.holds(&published, &self.signature)
        {
            return Err(ApprovalError::Signature);
        }
        let approval = Approval::decode(&self.signed)?;
        if approval.request_hash != *request_hash {
            return Err(ApprovalError::Mismatch);
        }
        if approval.approved_at > now.saturating_add(30) {
            return Err(ApprovalError::Future);
        }
        if now >= approval.expires_at || approval.expires_at <= approval.approved_at {
            return Err(ApprovalError::Expired);
        }
        Ok(approval)
    }
}

/// Approvals that hold for a call: by whom, with what to spend so that each serves once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Approved {
    by: BTreeMap<PublicKey, Spendable>,
    /// Why others did not count, the first of them.
    pub refused: Option<ApprovalError>,
}

/// An approval or proof that is good once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spendable {
    pub key: [u8; 32],
    pub until: u64,
}

impl Approved {
    pub fn of(approvals: &[SignedApproval], request_hash: &[u8; 32], now: u64) -> Self {
        let mut approved = Self::default();
        if approvals.len() > MAX_APPROVALS {
            approved.refused = Some(ApprovalError::TooMany);
            return approved;
        }
        for signed in approvals {
            match signed.verify(request_hash, now) {
                Ok(approval) => {
                    let key = Sha256::digest(&signed.signed).into();
                    approved.by.insert(signed.approver, Spendable { key, until: approval.expires_at });
                }
                Err(error) => drop(approved.refused.get_or_insert(error)),
            }
        }
        approved
    }

    /// Whether enough of the approvers that the warrant names have approved.
    pub fn suffice(&self, payload: &Payload) -> bool {
        let wanted = payload.required_approvers.as_deref().unwrap_or_default();
        let distinct: std::collections::BTreeSet<_> = wanted.iter().collect();
        let found = distinct.into_iter().filter(|key| self.by.contains_key(key)).count();
        !wanted.is_empty() && found >= payload.threshold().max(1)
    }

    /// Why approvals that verify are not enough for this warrant, when it is for who gave them.
    pub fn refusal(&self, payload: &Payload) -> Option<ApprovalError> {
        let wanted = payload.required_approvers.as_deref().unwrap_or_default();
        let stranger = self.by.keys().any(|key| !wanted.contains(key));
        self.refused.clone().or_else(|| stranger.then_some(ApprovalError::Stranger))
    }

    pub fn spendables(&self) -> impl Iterator<Item = Spendable> + '_ {
        self.by.values().copied()
    }
}
