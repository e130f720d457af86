//! Why a warrant is not taken: by a name that programs keep, and in words.

use crate::cbor::CborError;
use crate::key::KeyError;

/// Bytes that are no warrant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    #[error(transparent)]
    Cbor(#[from] CborError),
    #[error("{what} has {found} bytes and may have {most}")]
    TooLarge { what: &'static str, found: usize, most: usize },
    #[error("{what}: {found}, and {most} are allowed")]
    TooMany { what: &'static str, found: usize, most: usize },
    #[error("this is neither PEM nor base64 of a warrant")]
    Text,
    #[error("the member `{0}` is missing")]
    Missing(&'static str),
    #[error("an unknown member `{0}`")]
    UnknownMember(String),
    #[error("an unknown field {0} in the payload")]
    UnknownField(u64),
    #[error("version {found} of {what}; only version 1 is known")]
    Version { what: &'static str, found: u64 },
    #[error("algorithm {0}; only Ed25519, which is 1, is known")]
    Algorithm(u64),
    #[error("{0}")]
    Rule(&'static str),
    #[error("the extension `{0}` asks for something that is not known here")]
    CriticalExtension(String),
}

impl FormatError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Cbor(CborError::TooDeep) => "too-deep",
            Self::Cbor(CborError::TooLong) | Self::TooLarge { .. } => "too-large",
            Self::Cbor(_) => "non-canonical",
            Self::TooMany { what: "links", .. } => "too-deep",
            Self::TooMany { .. } => "too-large",
            Self::Text | Self::Missing(_) | Self::Rule(_) => "malformed",
            Self::UnknownMember(_) | Self::UnknownField(_) => "unknown-field",
            Self::Version { .. } | Self::Algorithm(_) => "unknown-version",
            Self::CriticalExtension(_) => "unknown-critical-extension",
        }
    }
}

/// A chain that is not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    #[error("{0}")]
    Format(#[from] FormatError),
    #[error("link {link} holds {reason}")]
    Key { link: usize, reason: KeyError },
    #[error("the root of the chain is signed by a key that is not trusted here ({issuer})")]
    UntrustedRoot { issuer: String },
    #[error("the first link is not a root: its parent is withheld")]
    ParentWithheld,
    #[error("the signature of link {link} does not verify")]
    Signature { link: usize },
    #[error("link {link} does not follow from the one before it: {reason}")]
    Broken { link: usize, reason: &'static str },
    #[error("link {link} asks for more than the one before it: {reason}")]
    Widened { link: usize, reason: String },
    #[error("link {link} outlives the one before it")]
    Outlives { link: usize },
    #[error("link {link} is of another session than the one before it")]
    Session { link: usize },
    #[error("link {link} expired at {at}")]
    Expired { link: usize, at: u64 },
    #[error("link {link} is dated {at}, which is in the future")]
    Future { link: usize, at: u64 },
    #[error("link {link} lives for {seconds} s, and {most} are allowed")]
    LivesTooLong { link: usize, seconds: u64, most: u64 },
    #[error("link {link} is revoked")]
    Revoked { link: usize },
    #[error("the list of revocations is too old to be trusted")]
    RevocationsStale,
}

impl ChainError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Format(error) => error.code(),
            Self::Key { reason: KeyError::Weak, .. } => "weak-key",
            Self::Key { .. } => "malformed-key",
            Self::UntrustedRoot { .. } => "untrusted-root",
            Self::ParentWithheld | Self::Broken { .. } => "chain-broken",
            Self::Signature { .. } => "signature-invalid",
            Self::Widened { .. } => "chain-widened",
            Self::Outlives { .. } | Self::LivesTooLong { .. } => "chain-ttl",
            Self::Session { .. } => "session-mismatch",
            Self::Expired { .. } => "expired",
            Self::Future { .. } => "not-yet-valid",
            Self::Revoked { .. } => "revoked",
            Self::RevocationsStale => "revocations-stale",
        }
    }

    /// The link it speaks of, root first from 0.
    pub fn link(&self) -> Option<usize> {
        match self {
            Self::Key { link, .. }
            | Self::Signature { link }
            | Self::Broken { link, .. }
            | Self::Widened { link, .. }
            | Self::Outlives { link }
            | Self::Session { link }
            | Self::Expired { link, .. }
            | Self::Future { link, .. }
            | Self::LivesTooLong { link, .. }
            | Self::Revoked { link } => Some(*link),
            Self::Format(_) | Self::UntrustedRoot { .. } | Self::ParentWithheld | Self::RevocationsStale => {
                None
            }
        }
    }
}
