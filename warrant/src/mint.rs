//! Making warrants: a root, a child that is narrower, an execution warrant out of an issuer's.

use crate::capability::Capability;
use crate::constraint::{Constraint, Reading};
use crate::error::FormatError;
use crate::gate::Gates;
use crate::key::{KeyError, PublicKey, SigningKey};
use crate::value::Number;
use crate::verify::check_narrower;
use crate::warrant::{Kind, MAX_STACK, MAX_WARRANT, Payload, Warrant, WarrantId};
use std::collections::BTreeMap;

/// Seconds that a warrant lives unless told otherwise.
pub const DEFAULT_TTL: u64 = 300;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error("the holder has {0}")]
    Holder(KeyError),
    #[error("the key is not the holder of the parent")]
    NotTheHolder,
    #[error("the child asks for more than its parent: {0}")]
    Wider(String),
    #[error("the parent ends at {parent}, and the child would end at {child}")]
    Outlives { parent: u64, child: u64 },
    #[error("the chain may not grow deeper than {0}")]
    TooDeep(u8),
    #[error("`{tool}`: `{argument}`: {why}")]
    Constraint { tool: String, argument: String, why: String },
    #[error("a number in it would be rounded by the format")]
    Lossy,
    #[error("the tool `*` grants every tool: it takes the explicit word that this is meant")]
    WildcardTool,
}

/// What a new warrant is to say. Times are seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    pub id: WarrantId,
    pub holder: PublicKey,
    pub issued_at: u64,
    pub ttl: u64,
    pub tools: BTreeMap<String, Capability>,
    /// Set, the warrant issues and calls nothing.
    pub issues: Option<Issues>,
    pub max_depth: u8,
    pub session_id: Option<String>,
    pub agent_id: Option<String>,
    pub gates: Option<Gates>,
    pub required_approvers: Option<Vec<PublicKey>>,
    pub min_approvals: Option<u32>,
    pub clearance: Option<u8>,
    pub extensions: BTreeMap<String, Vec<u8>>,
    /// The word that `*` among the tools is meant.
    pub allow_wildcard_tool: bool,
}

/// What an issuer warrant may issue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Issues {
    pub tools: Vec<String>,
    pub max_depth: Option<u32>,
    pub bounds: Option<Capability>,
}

impl Draft {
    pub fn new(id: WarrantId, holder: PublicKey, now: u64) -> Self {
        Self {
            id,
            holder,
            issued_at: now,
            ttl: DEFAULT_TTL,
            tools: BTreeMap::new(),
            issues: None,
            max_depth: 64,
            session_id: None,
            agent_id: None,
            gates: None,
            required_approvers: None,
            min_approvals: None,
            clearance: None,
            extensions: BTreeMap::new(),
            allow_wildcard_tool: false,
        }
    }

    /// A child that says all its parent says, to be narrowed before it is signed.
    pub fn inherit(parent: &Payload, id: WarrantId, holder: PublicKey, now: u64) -> Self {
        let issues = (parent.kind == Kind::Issuer).then(|| Issues {
            tools: parent.issuable_tools.clone().unwrap_or_default(),
            max_depth: parent.max_issue_depth,
            bounds: parent.constraint_bounds.clone(),
        });
        Self {
            ttl: parent.expires_at.saturating_sub(now),
            tools: parent.tools.clone(),
            issues,
            max_depth: parent.max_depth,
            session_id: parent.session_id.clone(),
            agent_id: parent.agent_id.clone(),
            gates: parent.gates.clone(),
            required_approvers: parent.required_approvers.clone(),
            min_approvals: parent.min_approvals,
            clearance: parent.clearance,
            // A wildcard tool was the word of whoever minted the root.
            allow_wildcard_tool: parent.tools.contains_key("*"),
            ..Self::new(id, holder, now)
        }
    }

    fn into_payload(self, issuer: PublicKey, parent: Option<&Warrant>) -> Result<Payload, MintError> {
        if self.tools.contains_key("*") && !self.allow_wildcard_tool {
            return Err(MintError::WildcardTool);
        }
        self.holder.verifier().map_err(MintError::Holder)?;
        let issues = self.issues;
        let payload = Payload {
            id: self.id,
            kind: if issues.is_some() { Kind::Issuer } else { Kind::Execution },
            tools: self.tools,
            holder: self.holder,
            issuer,
            issued_at: self.issued_at,
            expires_at: self.issued_at.saturating_add(self.ttl),
            max_depth: self.max_depth,
            depth: parent.map_or(0, |parent| parent.payload.depth + 1),
            parent_hash: parent.map(Warrant::hash),
            session_id: self.session_id,
            agent_id: self.agent_id,
            gates: self.gates,
            extensions: self.extensions,
            issuable_tools: issues.as_ref().map(|issues| issues.tools.clone()),
            max_issue_depth: issues.as_ref().and_then(|issues| issues.max_depth),
            constraint_bounds: issues.and_then(|issues| issues.bounds),
            required_approvers: self.required_approvers,
            min_approvals: self.min_approvals,
            clearance: self.clearance,
        };
        payload.validate()?;
        let capabilities = payload.tools.iter().map(|(tool, it)| (tool.as_str(), it));
        for (tool, capability) in capabilities.chain(payload.constraint_bounds.iter().map(|it| ("*", it))) {
            for (argument, constraint) in &capability.constraints {
                constraint.mintable().map_err(|why| MintError::Constraint {
                    tool: tool.to_owned(),
                    argument: argument.clone(),
                    why,
                })?;
            }
        }
        Ok(payload)
    }
}

/// Mints a root warrant.
pub fn mint(draft: Draft, key: &SigningKey) -> Result<Warrant, MintError> {
    let payload = draft.into_payload(PublicKey::of(key), None)?;
    seal(payload, key)
}

/// Mints a child of `parent`, which must be narrower by our own, strict reading. The key is the parent's holder's.
/// An execution draft under an issuer warrant issues; any other attenuates.
pub fn attenuate(parent: &Warrant, draft: Draft, key: &SigningKey) -> Result<Warrant, MintError> {
    let held = &parent.payload;
    if PublicKey::of(key) != held.holder {
        return Err(MintError::NotTheHolder);
    }
    if held.depth >= u32::from(held.max_depth) {
        return Err(MintError::TooDeep(held.max_depth));
    }
    let payload = draft.into_payload(held.holder, Some(parent))?;
    if payload.max_depth > held.max_depth {
        return Err(MintError::TooDeep(held.max_depth));
    }
    check_inside(held, &payload)?;
    seal(payload, key)
}

/// Whether `own` allows nothing that `held` does not, by our own, strict reading: as a child must, and as whatever
/// stands beside it may promise.
pub fn check_inside(held: &Payload, own: &Payload) -> Result<(), MintError> {
    if own.expires_at > held.expires_at {
        return Err(MintError::Outlives { parent: held.expires_at, child: own.expires_at });
    }
    if own.issued_at < held.issued_at {
        return Err(MintError::Wider("it would be older than its parent".to_owned()));
    }
    if held.session_id.is_some() && own.session_id != held.session_id {
        return Err(MintError::Wider("it would be of another session".to_owned()));
    }
    check_narrower(held, own, Reading::Strict).map_err(MintError::Wider)
}

fn seal(payload: Payload, key: &SigningKey) -> Result<Warrant, MintError> {
    let warrant = Warrant::sign(payload, key);
    let found = warrant.signed.len() + 80;
    if found > MAX_WARRANT {
        return Err(FormatError::TooLarge { what: "a warrant", found, most: MAX_WARRANT }.into());
    }
    // What is handed out says, to whoever reads it, what it was meant to say.
    if Payload::decode(&warrant.signed)? != warrant.payload {
        return Err(MintError::Lossy);
    }
    Ok(warrant)
}

/// Puts a child behind its parents.
pub fn stack(parents: &[Warrant], child: Warrant) -> Result<Vec<u8>, MintError> {
    let links: Vec<_> = parents.iter().cloned().chain([child]).collect();
    let bytes = Warrant::encode_stack(&links);
    if bytes.len() > MAX_STACK {
        return Err(FormatError::TooLarge { what: "a stack", found: bytes.len(), most: MAX_STACK }.into());
    }
    Ok(bytes)
}

impl Constraint {
    /// Why it must not be minted: it can match nothing, or would not survive being written.
    fn mintable(&self) -> Result<(), String> {
        let exact = |bound: &Option<Number>| {
            bound.as_ref().is_none_or(|bound| Number::from_f64(bound.to_f64()).as_ref() == Some(bound))
        };
        match self {
            Self::Cel { .. } => Err("CEL is never evaluated here, so it is not minted".to_owned()),
            Self::Unknown { id, .. } => Err(format!("the kind {id} is not known here")),
            Self::Range(range) if !exact(&range.min) || !exact(&range.max) => {
                Err("a bound that the format would round: use a smaller one".to_owned())
            }
            Self::Subpath(subpath) if !subpath.is_clean() => {
                Err("the root is not a plain absolute path".to_owned())
            }
            Self::Cidr(cidr) if !cidr.is_clean() => Err("the network cannot be read".to_owned()),
            Self::UrlPattern(pattern) if !pattern.is_clean() => {
                Err("the pattern names a query, a login or no host".to_owned())
            }
            Self::All(inner) | Self::Any(inner) if inner.is_empty() => Err("it is empty".to_owned()),
            Self::All(inner) | Self::Any(inner) => inner.iter().try_for_each(Self::mintable),
            Self::Not(inner) | Self::Optional(inner) => inner.mintable(),
            _ => Ok(()),
        }
    }
}
