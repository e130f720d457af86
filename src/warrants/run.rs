//! Warrants for code that the agent wrote: one for each run, narrower than whatever stands over the agent.
//!
//! Herma cannot sign in the name of a warrant's holder, so it does not lengthen the agent's chain. It mints a warrant
//! of its own that says no more than the parent does, and every call is asked of both.

use std::collections::BTreeMap;
use std::sync::Arc;

use herma_warrant::capability::Capability;
use herma_warrant::key::{PublicKey, SigningKey};
use herma_warrant::limits::Limits;
use herma_warrant::mint::{Draft, mint};
use herma_warrant::warrant::{Payload, Warrant, WarrantId};

use super::{NoWarrant, Setup, WarrantError, Warrants, seconds};
use crate::call::Origin;

/// Calls that one run may make; the agent's own limit is the same.
pub const SANDBOX_CALLS: u64 = 50;
/// Seconds that one run may last.
pub const SANDBOX_LIFE: u64 = 300;

/// What one run is given.
#[derive(Debug, Clone)]
pub struct Run {
    pub warrant: WarrantId,
    pub stack: Arc<[u8]>,
    pub tools: Vec<String>,
}

/// Signs the warrants of runs. Its key lives as long as the daemon: no run outlives it.
#[derive(Debug)]
pub(super) struct Issuer {
    key: SigningKey,
}

impl Issuer {
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        Ok(Self { key: random_key()? })
    }

    /// Its own warrants are believed here: each is bound to a run, and a call says of which run it is only where
    /// that is known.
    pub(super) fn trusted_by(&self, mut setup: Setup) -> Setup {
        if let Ok(own) = PublicKey::of(&self.key).verifier() {
            setup.trust.roots.push(own);
        }
        setup
    }

    /// A warrant for one session that nobody can prove elsewhere, nor hand on: its holder's key is thrown away.
    pub(super) fn issue(
        &self,
        session: &str,
        tools: BTreeMap<String, Capability>,
        ttl: u64,
        now: u64,
    ) -> Result<Warrant, WarrantError> {
        let mut random = [0u8; 10];
        getrandom::fill(&mut random)?;
        let holder = PublicKey::of(&random_key()?);
        let draft = Draft {
            ttl,
            max_depth: 0,
            session_id: Some(session.to_owned()),
            tools,
            ..Draft::new(WarrantId::new(now.saturating_mul(1000), random), holder, now)
        };
        Ok(mint(draft, &self.key)?)
    }
}

impl Warrants {
    /// A warrant for one run of code that `origin` wrote, for those of `tools` that its own warrants grant, and the
    /// one that was `shown` for the call that runs it. `None` when nothing is granted at all.
    pub fn grant_run(
        &self,
        run: &str,
        origin: &Origin,
        tools: &[&str],
        shown: Option<&Arc<[u8]>>,
        now: i64,
    ) -> Result<Option<Run>, WarrantError> {
        let ground = self.ground.load();
        let (mut standing, now) = (self.over(origin, &ground.setup), seconds(now));
        standing.extend(shown.cloned());
        if standing.is_empty() && ground.setup.no_warrant == NoWarrant::Block {
            return Ok(None);
        }
        let parents = standing.iter().map(|stack| self.verified(stack, &ground, now));
        let parents = parents.collect::<Result<Vec<_>, _>>()?;
        let leaves: Vec<&Payload> = parents.iter().filter_map(|chain| chain.leaf()).collect();
        let limits = Limits {
            max_calls: Some(SANDBOX_CALLS),
            sandbox: Some(run.to_owned()),
            // No warrant speaks of the run, and such calls wait for a person: its own warrant says so.
            gate_at: (leaves.is_empty() && ground.setup.no_warrant == NoWarrant::Gate).then_some(0),
            ..Limits::default()
        };
        let granted = tools.iter().filter_map(|tool| {
            let mut narrowest = Capability::default();
            for leaf in &leaves {
                let capability = leaf.capability(tool)?;
                if !capability.constraints.is_empty() {
                    narrowest = capability.clone();
                }
            }
            let allow_unknown = narrowest.allow_unknown || narrowest.constraints.is_empty();
            let limits = Some(Box::new(limits.clone()));
            Some(((*tool).to_owned(), Capability { allow_unknown, limits, ..narrowest }))
        });
        let tools: BTreeMap<String, Capability> = granted.collect();
        if tools.is_empty() {
            return Ok(None);
        }
        let life = [ground.setup.trust.max_ttl, ends(&parents).map(|end| end.saturating_sub(now))];
        let ttl = life.into_iter().flatten().fold(SANDBOX_LIFE, u64::min);
        let warrant = self.issuer.issue(&origin.session, tools, ttl, now)?;
        let tools = warrant.payload.tools.keys().cloned().collect();
        Ok(Some(Run { warrant: warrant.payload.id, stack: warrant.encode().into(), tools }))
    }
}

pub(super) fn ends(parents: &[Arc<herma_warrant::verify::Chain>]) -> Option<u64> {
    parents.iter().map(|chain| chain.expires_at()).min()
}

fn random_key() -> Result<SigningKey, getrandom::Error> {
    let mut seed = zeroize::Zeroizing::new([0u8; 32]);
    getrandom::fill(seed.as_mut())?;
    Ok(SigningKey::from_bytes(&seed))
}
