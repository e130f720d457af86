//! A chain of warrants: what must hold before any of it is believed.

use crate::constraint::Reading;
use crate::error::ChainError;
use crate::key::{PublicKey, Verifier};
use crate::revocation::Revocations;
use crate::warrant::{Kind, Payload, Warrant, message};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// Whom and how long to trust.
#[derive(Debug, Clone)]
pub struct Trust {
    pub roots: Vec<Verifier>,
    /// Seconds by which a warrant may be dated in the future. An end is strict.
    pub skew: u64,
    /// The longest life of any link.
    pub max_ttl: Option<u64>,
}

impl Trust {
    pub fn new(roots: Vec<Verifier>) -> Self {
        Self { roots, skew: 30, max_ttl: None }
    }
}

/// A chain that has been verified. There is no other way to come by one.
#[derive(Debug, Clone)]
pub struct Chain {
    links: Vec<Warrant>,
    digest: [u8; 32],
    holder: Verifier,
    begins: u64,
    expires_at: u64,
    epoch: u64,
}

impl Chain {
    /// Verifies a stack, or a single warrant: sizes, structure, root, signatures, links, time, revocation.
    pub fn verify(
        bytes: &[u8],
        trust: &Trust,
        revocations: &Revocations,
        now: u64,
    ) -> Result<Self, ChainError> {
        let links = Warrant::decode_stack(bytes)?;
        let root = links.first().ok_or(ChainError::ParentWithheld)?;
        if root.payload.depth != 0 || root.payload.parent_hash.is_some() {
            return Err(ChainError::ParentWithheld);
        }
        let trusted = trust.roots.iter().find(|key| key.public_key() == root.payload.issuer);
        let trusted = trusted
            .ok_or_else(|| ChainError::UntrustedRoot { issuer: root.payload.issuer.fingerprint() })?
            .clone();
        let holder = verify_signatures(&links, trusted)?;
        let mut seen = BTreeSet::new();
        for (link, warrant) in links.iter().enumerate() {
            if !seen.insert(warrant.payload.id) {
                return Err(ChainError::Broken { link, reason: "its id comes twice" });
            }
        }
        for (link, pair) in links.windows(2).enumerate() {
            if let [parent, child] = pair {
                check_link(link + 1, parent, child)?;
            }
        }
        let begins = links.iter().map(|link| link.payload.issued_at).max().unwrap_or(u64::MAX);
        let expires_at = links.iter().map(|link| link.payload.expires_at).min().unwrap_or(0);
        let digest = Sha256::digest(bytes).into();
        let chain = Self { links, digest, holder, begins, expires_at, epoch: revocations.epoch() };
        chain.check_time(trust, now)?;
        chain.check_revoked(revocations, now)?;
        Ok(chain)
    }

    fn check_time(&self, trust: &Trust, now: u64) -> Result<(), ChainError> {
        for (link, warrant) in self.links.iter().enumerate() {
            let (issued, expires) = (warrant.payload.issued_at, warrant.payload.expires_at);
            if let Some(most) = trust.max_ttl.filter(|most| expires - issued > *most) {
                return Err(ChainError::LivesTooLong { link, seconds: expires - issued, most });
            }
            if now >= expires {
                return Err(ChainError::Expired { link, at: expires });
            }
            if issued > now.saturating_add(trust.skew) {
                return Err(ChainError::Future { link, at: issued });
            }
        }
        Ok(())
    }

    fn check_revoked(&self, revocations: &Revocations, now: u64) -> Result<(), ChainError> {
        if revocations.is_stale(now) {
            return Err(ChainError::RevocationsStale);
        }
        match self.links.iter().position(|warrant| revocations.covers(&warrant.payload)) {
            Some(link) => Err(ChainError::Revoked { link }),
            None => Ok(()),
        }
    }

    /// Whether what was verified still stands: time and revocation, which are all that change. To be asked again
    /// right before a held call leaves.
    pub fn still_stands(&self, trust: &Trust, revocations: &Revocations, now: u64) -> Result<(), ChainError> {
        self.check_time(trust, now)?;
        self.check_revoked(revocations, now)
    }

    pub fn links(&self) -> &[Warrant] {
        &self.links
    }

    /// The warrant that is presented: the last.
    pub fn leaf(&self) -> Option<&Payload> {
        self.links.last().map(|warrant| &warrant.payload)
    }

    /// SHA-256 of the bytes it came in.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Who may use it.
    pub fn holder(&self) -> &Verifier {
        &self.holder
    }

    pub fn expires_at(&self) -> u64 {
        self.expires_at
    }
}

/// Checks every signature; the key of the last holder comes back, ready to verify proofs.
fn verify_signatures(links: &[Warrant], trusted: Verifier) -> Result<Verifier, ChainError> {
    let mut key = trusted;
    for (link, warrant) in links.iter().enumerate() {
        if key.public_key() != warrant.payload.issuer {
            key = warrant.payload.issuer.verifier().map_err(|reason| ChainError::Key { link, reason })?;
        }
        if !key.holds(&message(&warrant.signed), &warrant.signature) {
            return Err(ChainError::Signature { link });
        }
        key = warrant.payload.holder.verifier().map_err(|reason| ChainError::Key { link, reason })?;
    }
    Ok(key)
}

/// Whether a child follows from its parent and asks for no more.
pub(crate) fn check_link(link: usize, parent: &Warrant, child: &Warrant) -> Result<(), ChainError> {
    let broken = |reason| Err(ChainError::Broken { link, reason });
    let (held, own) = (&parent.payload, &child.payload);
    if own.issuer != held.holder {
        return broken("it is not signed by the holder of the one before");
    }
    if own.parent_hash != Some(parent.hash()) {
        return broken("it names another parent");
    }
    if own.depth != held.depth + 1 {
        return broken("its depth is not one more");
    }
    if own.depth > u32::from(held.max_depth) {
        return broken("it stands deeper than the one before allows");
    }
    if own.max_depth > held.max_depth {
        return Err(ChainError::Widened { link, reason: "it may grow deeper".to_owned() });
    }
    if own.issued_at < held.issued_at {
        return broken("it is older than the one before");
    }
    if own.expires_at > held.expires_at {
        return Err(ChainError::Outlives { link });
    }
    if held.session_id.is_some() && own.session_id != held.session_id {
        return Err(ChainError::Session { link });
    }
    check_narrower(held, own, Reading::Format).map_err(|reason| ChainError::Widened { link, reason })
}

/// Whether the payload of a child asks for no more than its parent's.
pub(crate) fn check_narrower(held: &Payload, own: &Payload, reading: Reading) -> Result<(), String> {
    match (held.kind, own.kind) {
        (Kind::Execution, Kind::Execution) => check_tools(held, own, reading)?,
        (Kind::Issuer, Kind::Execution) => check_issued(held, own, reading)?,
        (Kind::Issuer, Kind::Issuer) => check_reissued(held, own, reading)?,
        (Kind::Execution, Kind::Issuer) => return Err("it issues, and its parent may only call".to_owned()),
    }
    match (held.clearance, own.clearance) {
        (_, None) => {}
        (Some(held), Some(own)) if own <= held => {}
        (Some(_), Some(_)) => return Err("its clearance is higher".to_owned()),
        (None, Some(_)) => return Err("it claims a clearance, and its parent has none".to_owned()),
    }
    check_gates(held, own)?;
    check_approvers(held, own)
}

fn check_tools(held: &Payload, own: &Payload, reading: Reading) -> Result<(), String> {
    for (tool, capability) in &own.tools {
        let parent = held.capability(tool).ok_or_else(|| format!("it adds the tool `{tool}`"))?;
        capability.narrows(parent, reading).map_err(|why| format!("`{tool}`: {why}"))?;
    }
    let Some(any) = own.tools.get("*").filter(|_| reading == Reading::Strict) else { return Ok(()) };
    // A star also stands for tools that the parent names, and the child no longer does.
    for (tool, parent) in held.tools.iter().filter(|(tool, _)| !own.tools.contains_key(*tool)) {
        any.narrows(parent, reading).map_err(|why| format!("`{tool}` through `*`: {why}"))?;
    }
    Ok(())
}

fn issues(tools: Option<&Vec<String>>, tool: &str) -> bool {
    tools.is_some_and(|tools| tools.iter().any(|issued| issued == tool || issued == "*"))
}

fn check_issued(held: &Payload, own: &Payload, reading: Reading) -> Result<(), String> {
    if own.holder == held.holder || own.holder == held.issuer {
        return Err("an issuer issues to itself".to_owned());
    }
    for (tool, capability) in &own.tools {
        if !issues(held.issuable_tools.as_ref(), tool) {
            return Err(format!("the tool `{tool}` may not be issued"));
        }
        if let Some(bounds) = &held.constraint_bounds {
            capability.narrows(bounds, reading).map_err(|why| format!("`{tool}`: {why}"))?;
        }
    }
    match held.max_issue_depth {
        Some(most) if own.depth > most => Err("it is issued deeper than allowed".to_owned()),
        _ => Ok(()),
    }
}

fn check_reissued(held: &Payload, own: &Payload, reading: Reading) -> Result<(), String> {
    if let Some(tool) =
        own.issuable_tools.iter().flatten().find(|tool| !issues(held.issuable_tools.as_ref(), tool))
    {
        return Err(format!("it may issue `{tool}`, and its parent may not"));
    }
    match (&held.constraint_bounds, &own.constraint_bounds) {
        (None, _) => {}
        (Some(_), None) => return Err("it drops the bounds of what may be issued".to_owned()),
        (Some(held), Some(own)) => own.narrows(held, reading)?,
    }
    match (held.max_issue_depth, own.max_issue_depth) {
        (None, _) => Ok(()),
        (Some(held), Some(own)) if own <= held => Ok(()),
        _ => Err("it may issue deeper".to_owned()),
    }
}

fn check_gates(held: &Payload, own: &Payload) -> Result<(), String> {
    let Some(gates) = &held.gates else { return Ok(()) };
    let keeps = |tool: &str| {
        let named = |name: &str| own.tools.contains_key(name) || issues(own.issuable_tools.as_ref(), name);
        tool == "*" || named(tool) || named("*")
    };
    let none = crate::gate::Gates::default();
    if own.gates.as_ref().unwrap_or(&none).holds_all_of(gates, keeps) {
        Ok(())
    } else {
        Err("it strips or loosens an approval gate".to_owned())
    }
}

fn check_approvers(held: &Payload, own: &Payload) -> Result<(), String> {
    let Some(wanted) = &held.required_approvers else { return Ok(()) };
    let distinct = |keys: &[PublicKey]| keys.iter().copied().collect::<BTreeSet<_>>();
    let (wanted, named) =
        (distinct(wanted), own.required_approvers.as_deref().map(distinct).unwrap_or_default());
    if !named.is_superset(&wanted) {
        return Err("it removes an approver".to_owned());
    }
    if own.threshold() < held.threshold() + (named.len() - wanted.len()) {
        return Err("it lowers the number of approvals".to_owned());
    }
    Ok(())
}

/// Chains that were verified lately, by the digest of their bytes.
#[derive(Debug)]
pub struct ChainCache {
    chains: HashMap<[u8; 32], Arc<Chain>>,
    order: VecDeque<[u8; 32]>,
    capacity: usize,
}

impl ChainCache {
    pub fn new(capacity: usize) -> Self {
        Self { chains: HashMap::new(), order: VecDeque::new(), capacity: capacity.max(1) }
    }

    /// A chain that was verified before and has not been touched by time or a revocation since. A cache belongs to
    /// one [`Trust`]: when the trusted roots change, [`ChainCache::clear`] it.
    pub fn get(
        &self,
        digest: &[u8; 32],
        trust: &Trust,
        revocations: &Revocations,
        now: u64,
    ) -> Option<Arc<Chain>> {
        let chain = self.chains.get(digest)?;
        let current = chain.epoch == revocations.epoch()
            && now < chain.expires_at
            && chain.begins <= now.saturating_add(trust.skew)
            && !revocations.is_stale(now);
        current.then(|| Arc::clone(chain))
    }

    pub fn insert(&mut self, chain: Arc<Chain>) {
        let digest = chain.digest;
        if self.chains.insert(digest, chain).is_none() {
            self.order.push_back(digest);
        }
        while self.order.len() > self.capacity {
            if let Some(oldest) = self.order.pop_front() {
                self.chains.remove(&oldest);
            }
        }
    }

    /// Verifies, or finds what was verified before.
    pub fn verify(
        &mut self,
        bytes: &[u8],
        trust: &Trust,
        revocations: &Revocations,
        now: u64,
    ) -> Result<Arc<Chain>, ChainError> {
        let digest = Self::digest(bytes);
        if let Some(chain) = self.get(&digest, trust, revocations, now) {
            return Ok(chain);
        }
        let chain = Arc::new(Chain::verify(bytes, trust, revocations, now)?);
        self.insert(Arc::clone(&chain));
        Ok(chain)
    }

    pub fn clear(&mut self) {
        self.chains.clear();
        self.order.clear();
    }

    /// The key under which a chain is kept.
    pub fn digest(bytes: &[u8]) -> [u8; 32] {
        Sha256::digest(bytes).into()
    }
}
