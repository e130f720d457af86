//! Proof that who presents a warrant is who holds it.
//!
//! Version 1 is the format's own: a signature over the call and a window of thirty seconds. Version 2 is Herma's and
//! adds what the first lacks: a nonce, the audience and an expiry. After one proof over a private channel a
//! [`Session`] takes its place: a MAC under a key that never leaves that channel.

use crate::cbor::{Reader, Writer};
use crate::error::FormatError;
use crate::key::{CONTEXT, Signature, SigningKey, Verifier, sign};
use crate::value::Args;
use crate::warrant::WarrantId;
use sha2::{Digest as _, Sha256};

const CONTEXT_V1: &[u8] = b"tenuo-pop-v1";
const CONTEXT_V2: &[u8] = b"herma-proof-v2";
const CONTEXT_SESSION: &[u8] = b"herma-session-v1";
/// Seconds of a window of version 1.
const WINDOW: u64 = 30;
/// The longest life of a proof of version 2.
pub const MAX_LIFE: u64 = 120;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    V1(Signature),
    V2 { nonce: [u8; 16], issued_at: u64, expires_at: u64, signature: Signature },
}

/// For whom a proof of version 2 is made: a server, and the definition of the tool that the caller saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audience<'a> {
    pub server: &'a str,
    pub definition: Option<&'a [u8; 32]>,
}

/// What is proven, or claimed to be.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    pub warrant: WarrantId,
    pub tool: &'a str,
    pub args: &'a Args,
}

/// A proof that holds. Whoever lets the call through spends `key`, so that nobody shows the proof again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proven {
    pub key: [u8; 32],
    /// When the proof has died of age and may be forgotten.
    pub until: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    #[error("no proof that the caller holds the warrant")]
    Missing,
    #[error("the proof does not verify for this call")]
    Invalid,
    #[error("the proof is too old")]
    Expired,
    #[error("the proof is dated in the future")]
    Future,
    #[error("the proof lives longer than {MAX_LIFE} s")]
    LivesTooLong,
    #[error("a proof of version 1, and version 2 is required here")]
    Version,
    #[error("the proof was shown before")]
    Replayed,
    #[error("too many proofs are remembered: try again in a minute")]
    Full,
}

impl ProofError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "proof-missing",
            Self::Invalid => "proof-invalid",
            Self::Expired => "proof-expired",
            Self::Future => "proof-future",
            Self::LivesTooLong => "proof-invalid",
            Self::Version => "proof-version",
            Self::Replayed => "proof-replayed",
            Self::Full => "proof-memory-full",
        }
    }
}

fn write_args(out: &mut Writer, args: &Args) {
    out.array(args.len());
    for (argument, value) in args {
        out.array(2).text(argument).value(value);
    }
}

fn message_v1(claim: &Claim<'_>, window: u64) -> Vec<u8> {
    let mut out = Writer::with(CONTEXT);
    out.raw(CONTEXT_V1).array(4).text(&claim.warrant.to_hex()).text(claim.tool);
    write_args(&mut out, claim.args);
    out.unsigned(window);
    out.finish()
}

fn message_v2(
    claim: &Claim<'_>,
    audience: &Audience<'_>,
    nonce: &[u8; 16],
    issued: u64,
    expires: u64,
) -> Vec<u8> {
    let mut out = Writer::with(CONTEXT_V2);
    out.array(8).text(&claim.warrant.to_hex()).text(claim.tool);
    write_args(&mut out, claim.args);
    out.bytes(nonce).text(audience.server);
    match audience.definition {
        Some(digest) => out.bytes(digest),
        None => out.null(),
    };
    out.unsigned(issued).unsigned(expires);
    out.finish()
}

impl Proof {
    pub fn sign_v1(key: &SigningKey, claim: &Claim<'_>, now: u64) -> Self {
        Self::V1(sign(key, &message_v1(claim, now / WINDOW * WINDOW)))
    }

    pub fn sign_v2(
        key: &SigningKey,
        claim: &Claim<'_>,
        audience: &Audience<'_>,
        nonce: [u8; 16],
        now: u64,
        life: u64,
    ) -> Self {
        let expires_at = now.saturating_add(life.min(MAX_LIFE));
        let signature = sign(key, &message_v2(claim, audience, &nonce, now, expires_at));
        Self::V2 { nonce, issued_at: now, expires_at, signature }
    }

    /// 64 bytes are a proof of version 1; anything else is read as version 2.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        if let Ok(signature) = bytes.try_into() {
            return Ok(Self::V1(signature));
        }
        let mut reader = Reader::new(bytes);
        reader.array_of(5, "a proof")?;
        match reader.unsigned()? {
            2 => {}
            found => return Err(FormatError::Version { what: "the proof", found }),
        }
        let (nonce, issued_at, expires_at) = (reader.fixed()?, reader.unsigned()?, reader.unsigned()?);
        let signature = reader.fixed()?;
        reader.end()?;
        Ok(Self::V2 { nonce, issued_at, expires_at, signature })
    }

    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::V1(signature) => signature.to_vec(),
            Self::V2 { nonce, issued_at, expires_at, signature } => {
                let mut out = Writer::new();
                out.array(5)
                    .unsigned(2)
                    .bytes(nonce)
                    .unsigned(*issued_at)
                    .unsigned(*expires_at)
                    .bytes(signature);
                out.finish()
            }
        }
    }

    /// Verifies the proof for a call at this audience, now.
    pub fn verify(
        &self,
        holder: &Verifier,
        claim: &Claim<'_>,
        audience: &Audience<'_>,
        now: u64,
    ) -> Result<Proven, ProofError> {
        match self {
            Self::V1(signature) => verify_v1(signature, holder, claim, now),
            Self::V2 { nonce, issued_at, expires_at, signature } => {
                if expires_at.saturating_sub(*issued_at) > MAX_LIFE {
                    return Err(ProofError::LivesTooLong);
                }
                let message = message_v2(claim, audience, nonce, *issued_at, *expires_at);
                if !holder.holds(&message, signature) {
                    return Err(ProofError::Invalid);
                }
                if now >= *expires_at {
                    return Err(ProofError::Expired);
                }
                if *issued_at > now.saturating_add(WINDOW) {
                    return Err(ProofError::Future);
                }
                Ok(Proven { key: Sha256::digest(&message).into(), until: *expires_at })
            }
        }
    }
}

fn verify_v1(
    signature: &Signature,
    holder: &Verifier,
    claim: &Claim<'_>,
    now: u64,
) -> Result<Proven, ProofError> {
    let current = now / WINDOW;
    let holds = |window: Option<u64>| {
        let message = message_v1(claim, window?.checked_mul(WINDOW)?);
        holder.holds(&message, signature).then(|| Sha256::digest(&message).into())
    };
    // The windows next to this one are taken too: clocks differ. Nothing older than a minute passes that way.
    for window in [Some(current), current.checked_sub(1), current.checked_add(1)] {
        if let (Some(key), Some(window)) = (holds(window), window) {
            return Ok(Proven { key, until: (window + 2) * WINDOW });
        }
    }
    // Only to say why; a wrong proof costs no more than in the format's own verifier.
    if holds(current.checked_sub(2)).is_some() || holds(current.checked_sub(3)).is_some() {
        return Err(ProofError::Expired);
    }
    if holds(current.checked_add(2)).is_some() { Err(ProofError::Future) } else { Err(ProofError::Invalid) }
}

/// A key that both ends of a private channel share after one proof, and the calls made under it.
#[derive(Clone)]
pub struct Session {
    inner: Sha256,
    outer: Sha256,
    chain: [u8; 32],
    counter: u64,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Session").field("counter", &self.counter).finish_non_exhaustive()
    }
}

impl Session {
    /// `key` is fresh randomness that has crossed nothing but the channel; `chain` the digest of the proven chain.
    pub fn new(key: &[u8; 32], chain: [u8; 32]) -> Self {
        let pad = |byte: u8| {
            let mut block = [byte; 64];
            for (place, key) in block.iter_mut().zip(key) {
                *place ^= key;
            }
            Sha256::new_with_prefix(block)
        };
        Self { inner: pad(0x36), outer: pad(0x5c), chain, counter: 0 }
    }

    fn mac(&self, counter: u64, tool: &str, args: &[u8]) -> [u8; 32] {
        let mut inner = self.inner.clone();
        inner.update(CONTEXT_SESSION);
        inner.update(self.chain);
        inner.update(counter.to_be_bytes());
        inner.update((tool.len() as u64).to_be_bytes());
        inner.update(tool);
        inner.update(args);
        let mut outer = self.outer.clone();
        outer.update(inner.finalize());
        outer.finalize().into()
    }

    /// The caller's side: the tag for its next call. `args` are the bytes of the arguments as they are sent.
    pub fn tag(&mut self, tool: &str, args: &[u8]) -> (u64, [u8; 32]) {
        self.counter = self.counter.saturating_add(1);
        (self.counter, self.mac(self.counter, tool, args))
    }

    /// The other side: every counter is good once, and only upwards.
    pub fn verify(
        &mut self,
        counter: u64,
        tool: &str,
        args: &[u8],
        tag: &[u8; 32],
    ) -> Result<(), ProofError> {
        let expected = self.mac(counter, tool, args);
        // Every byte is compared, whatever the first ones say.
        let differs = expected.iter().zip(tag).fold(0, |differs, (one, other)| differs | (one ^ other));
        if differs != 0 {
            return Err(ProofError::Invalid);
        }
        if counter <= self.counter {
            return Err(ProofError::Replayed);
        }
        self.counter = counter;
        Ok(())
    }
}
