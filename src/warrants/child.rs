//! Warrants for children that an agent hands parts of its work to: as narrow as the parent's and as the child's own
//! tools, and over when the child has reported back.
//!
//! A child also stands under whatever stands over its parent's session, and its parent's parent's.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use herma_warrant::capability::Capability;
use herma_warrant::revocation::Revoked;
use herma_warrant::warrant::WarrantId;
use parking_lot::Mutex;

use super::run::ends;
use super::{Party, WarrantError, Warrants, seconds};
use crate::call::Origin;

/// Seconds that a child works at most.
const CHILD_LIFE: u64 = 7200;
/// Children that are remembered; those whose warrants have expired are let go first.
const REMEMBERED: usize = 4096;
/// Parents of parents that are looked for.
const GENERATIONS: usize = 8;

/// What one child is given.
#[derive(Debug, Clone)]
pub struct Child {
    pub warrant: WarrantId,
    pub tools: Vec<String>,
    stack: Arc<[u8]>,
}

/// An agent and its session: another agent's session of the same name is nobody's child.
type Who = (Arc<str>, Arc<str>);

#[derive(Debug)]
struct Known {
    parent: Arc<str>,
    /// What its parent showed for the call that handed it its work.
    shown: Option<Arc<[u8]>>,
    /// What was minted for it; none where nothing stands over the parent.
    given: Option<Child>,
    until: u64,
}

/// All children, by who they are and not by when they came.
#[derive(Debug, Default)]
pub(super) struct Children {
    known: Mutex<HashMap<Who, Known>>,
}

impl Children {
    /// Whose warrants a child stands under beside its own, and what was minted for it and its forebears.
    pub(super) fn over(&self, origin: &Origin) -> (Vec<Party>, Vec<Arc<[u8]>>) {
        let (mut parties, mut stacks) = (Vec::new(), Vec::new());
        let known = self.known.lock();
        if known.is_empty() {
            return (parties, stacks);
        }
        let (mut seen, mut who) =
            (HashSet::new(), (Arc::clone(&origin.principal), Arc::clone(&origin.session)));
        while let Some(child) = known.get(&who).filter(|_| seen.len() < GENERATIONS) {
            if !seen.insert(who) {
                break;
            }
            parties.push(Party::Session(child.parent.to_string()));
            stacks.extend(child.shown.clone());
            stacks.extend(child.given.iter().map(|given| Arc::clone(&given.stack)));
            who = (Arc::clone(&origin.principal), Arc::clone(&child.parent));
        }
        (parties, stacks)
    }
}

impl Warrants {
    /// Puts `child` under `parent` and what that one has `shown`, with a warrant for those of its tools, each at its server, that the parent's grant:
    /// once, however often it is said. `None` when that was done before, nothing stands over the parent, or nobody
    /// knows the child's tools.
    pub fn grant_child(
        &self,
        child: &Origin,
        parent: &Arc<str>,
        shown: Option<Arc<[u8]>>,
        tools: Option<&[(Arc<str>, String)]>,
        now: i64,
    ) -> Result<Option<Child>, WarrantError> {
        let (who, now) = ((Arc::clone(&child.principal), Arc::clone(&child.session)), seconds(now));
        {
            let mut known = self.children.known.lock();
            if *parent == child.session || known.contains_key(&who) {
                return Ok(None);
            }
            if known.len() >= REMEMBERED {
                known.retain(|_, child| child.until > now);
            }
            let until = now.saturating_add(CHILD_LIFE);
            known.insert(who.clone(), Known { parent: Arc::clone(parent), shown, given: None, until });
        }
        let minted = tools.map_or(Ok(None), |tools| self.mint_for(child, tools, now));
        let mut known = self.children.known.lock();
        match (minted, known.get_mut(&who)) {
            (Ok(Some(child)), Some(known)) => {
                known.given = Some(child.clone());
                Ok(Some(child))
            }
            (Err(error), _) => {
                // Its next question is the first again.
                known.remove(&who);
                Err(error)
            }
            _ => Ok(None),
        }
    }

    /// Nothing but which tools at which servers: the parent's own warrants are asked about every call as well, and say
    /// what their arguments may be.
    fn mint_for(
        &self,
        child: &Origin,
        tools: &[(Arc<str>, String)],
        now: u64,
    ) -> Result<Option<Child>, WarrantError> {
        let ground = self.ground.load();
        let mut granted: BTreeMap<String, Capability> = BTreeMap::new();
        let mut life = ground.setup.trust.max_ttl.map_or(CHILD_LIFE, |most| most.min(CHILD_LIFE));
        let mut stands = false;
        for (server, tool) in tools {
            let standing = self.over(&Origin { server: Arc::clone(server), ..child.clone() }, &ground.setup);
            let parents = standing.iter().map(|stack| self.verified(stack, &ground, now));
            let parents = parents.collect::<Result<Vec<_>, _>>()?;
            stands |= !parents.is_empty();
            life = ends(&parents).map_or(life, |end| life.min(end.saturating_sub(now)));
            let mut leaves = parents.iter().filter_map(|chain| chain.leaf());
            if leaves.all(|leaf| leaf.capability(tool).is_some()) {
                let entry = granted.entry(tool.clone()).or_insert_with(|| Capability {
                    allow_unknown: true,
                    limits: Some(Box::default()),
                    ..Capability::default()
                });
                entry.limits.get_or_insert_default().servers.insert(server.to_string());
            }
        }
        if !stands {
            return Ok(None);
        }
        let warrant = self.issuer.issue(&child.session, granted, life, now)?;
        let tools = warrant.payload.tools.keys().cloned().collect();
        Ok(Some(Child { warrant: warrant.payload.id, tools, stack: warrant.encode().into() }))
    }

    /// The child has done its part: what it was given is over, also for calls of it that still wait.
    pub fn end_child(&self, principal: &Arc<str>, session: &Arc<str>) {
        let who = (Arc::clone(principal), Arc::clone(session));
        let given = self.children.known.lock().get(&who).and_then(|known| known.given.clone());
        if let Some(Child { warrant, .. }) = given {
            // Of this run of the daemon only, like the key that signed it.
            self.revocations.write().revoke(Revoked::Warrant(warrant));
        }
    }
}
