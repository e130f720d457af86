//! Warrants that people make at Herma itself, without a root's key.
//!
//! Herma's own key is no root: what it signs is asked beside whatever else stands over somebody, and can take away
//! but never give. Whoever steals it can do no more than stop calls. Its warrants are held by the same key, so that one
//! that stands already is narrowed by a child of it, link by link, as anybody else's.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use herma_warrant::capability::Capability;
use herma_warrant::key::{PublicKey, SigningKey};
use herma_warrant::mint::{Draft, attenuate, check_inside, mint, stack};
use herma_warrant::syntax::{read_duration, read_grants};
use herma_warrant::verify::{Chain, ChainCache, Trust};
use herma_warrant::warrant::{Kind, Payload, Warrant, WarrantId};
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use super::{CHAINS, Checked, Party, Stands, WarrantError, Warrants, decide, seconds};
use crate::call::Origin;
use crate::store::Assigned;

/// Seconds that a warrant over somebody who had none lives unless it is said.
const LIFE: u64 = 8 * 60 * 60;
/// Before the party in the store: such a warrant takes nobody's place.
pub const BESIDE: &str = "desk:";

/// What a person types of a warrant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Terms {
    /// Over whom.
    pub party: String,
    /// One grant to a line, as `herma warrant mint --allow` takes them. Without any: the tools of what stands there.
    pub allow: String,
    /// How long, as `90s`, `15m`, `8h` or `7d`; as long as what stands there when it is not said.
    pub life: Option<String>,
    /// How often each tool may be called.
    pub calls: Option<u64>,
}

/// A warrant that stands over nobody yet.
#[derive(Debug)]
pub struct Proposed {
    pub party: Party,
    pub stack: Vec<u8>,
    pub chain: Arc<Chain>,
    /// The warrant inside which it stands, by its id.
    pub inside: Option<WarrantId>,
}

/// The key, and what it has signed.
#[derive(Debug)]
pub(super) struct Desk {
    /// Nothing can be signed without one, and what was signed before does not hold.
    key: Option<SigningKey>,
    trust: Trust,
    chains: Mutex<ChainCache>,
    placed: RwLock<HashMap<Party, Arc<Assigned>>>,
}

impl Desk {
    pub(super) fn restore(rows: &[Assigned]) -> Self {
        let placed = rows.iter().filter_map(|row| {
            let party = row.subject.strip_prefix(BESIDE)?.parse().ok()?;
            Some((party, Arc::new(row.clone())))
        });
        Self {
            key: None,
            trust: Trust::new(Vec::new()),
            chains: Mutex::new(ChainCache::new(CHAINS)),
            placed: RwLock::new(placed.collect()),
        }
    }

    fn at(&self, party: &Party) -> Option<Arc<Assigned>> {
        self.placed.read().get(party).cloned()
    }

    /// Of everybody a call belongs to; who has none of their own is under the one for anybody there.
    fn over(&self, parties: &[Party]) -> Vec<Arc<[u8]>> {
        let placed = self.placed.read();
        let over = |party: &Party| placed.get(party).or_else(|| placed.get(&party.anybody()?));
        parties.iter().filter_map(over).map(|row| Arc::clone(&row.stack)).collect()
    }
}

impl Warrants {
    /// From now on people can make warrants here.
    #[must_use]
    pub fn signing(mut self, key: SigningKey) -> Self {
        self.desk.trust = Trust::new(PublicKey::of(&key).verifier().into_iter().collect());
        self.desk.key = Some(key);
        self
    }

    /// What a person has typed as a warrant. It stands inside whatever stands over the party, and over nobody yet.
    pub fn propose(&self, terms: &Terms, now: i64) -> Result<Proposed, WarrantError> {
        let key = self.desk.key.as_ref().ok_or(WarrantError::NoDesk)?;
        let (party, at) = (terms.party.trim().parse::<Party>()?, seconds(now));
        let own = self.desk.at(&party).map(|row| Warrant::decode_stack(&row.stack)).transpose()?;
        let parent = match &own {
            Some(links) => links.last().map(|link| link.payload.clone()),
            None => self.leaf(&party),
        };
        let mut random = [0u8; 10];
        getrandom::fill(&mut random)?;
        let draft = draft(terms, parent.as_ref(), WarrantId::new(at.saturating_mul(1000), random), key, at)?;
        let stack = match &own {
            Some(links) => {
                let last = links.last().ok_or(WarrantError::NoDesk)?;
                stack(links, attenuate(last, draft, key)?)?
            }
            None => {
                let warrant = mint(draft, key)?;
                if let Some(parent) = &parent {
                    check_inside(parent, &warrant.payload)?;
                }
                warrant.encode()
            }
        };
        let chain = Arc::new(Chain::verify(&stack, &self.desk.trust, &self.revocations.read(), at)?);
        Ok(Proposed { party, stack, chain, inside: parent.map(|parent| parent.id) })
    }

    /// Puts it over its party, beside what others have put there and in the place of its own parent.
    pub async fn place(&self, proposed: Proposed, by: &str, now: i64) -> Result<WarrantId, WarrantError> {
        let Proposed { party, stack, chain, inside } = proposed;
        let id = chain.leaf().ok_or(WarrantError::NoDesk)?.id;
        let before = self.desk.at(&party);
        let parent = before.as_ref().map(|row| Warrant::decode_stack(&row.stack)).transpose()?;
        // Somebody else was quicker: what was read is not what would be replaced.
        if let Some(last) = parent.as_ref().and_then(|links| links.last())
            && Some(last.payload.id) != inside
        {
            return Err(WarrantError::Moved(party.to_string()));
        }
        let row = Assigned {
            subject: format!("{BESIDE}{party}"),
            stack: stack.into(),
            by: by.to_owned(),
            at_ms: now,
        };
        self.store.assign(row.clone()).await?;
        self.desk.placed.write().insert(party, Arc::new(row));
        Ok(id)
    }

    /// Takes away what was made here. False when nothing was.
    pub async fn lift(&self, party: &Party) -> Result<bool, WarrantError> {
        let was_there = self.store.unassign(&format!("{BESIDE}{party}")).await?;
        self.desk.placed.write().remove(party);
        Ok(was_there)
    }

    /// Warrants that were made here, by party.
    pub(super) fn placed(&self) -> Vec<Stands> {
        let placed = self.desk.placed.read();
        let stands = |(party, row): (&Party, &Arc<Assigned>)| Stands {
            party: party.clone(),
            stack: Arc::clone(&row.stack),
            by: row.by.clone(),
            at_ms: Some(row.at_ms),
            here: true,
        };
        placed.iter().map(stands).collect()
    }

    /// The chain of a warrant that was made here, if it holds.
    pub fn verify_placed(&self, stack: &[u8], now: i64) -> Result<Arc<Chain>, WarrantError> {
        Ok(self.placed_chain(stack, seconds(now))?)
    }

    fn placed_chain(&self, stack: &[u8], now: u64) -> Result<Arc<Chain>, herma_warrant::error::ChainError> {
        let Desk { trust, chains, .. } = &self.desk;
        let digest = ChainCache::digest(stack);
        if let Some(known) = chains.lock().get(&digest, trust, &self.revocations.read(), now) {
            return Ok(known);
        }
        let chain = Arc::new(Chain::verify(stack, trust, &self.revocations.read(), now)?);
        chains.lock().insert(Arc::clone(&chain));
        Ok(chain)
    }

    /// What was made here and speaks of the calls of `origin`.
    pub(super) fn beside(&self, origin: &Origin) -> Vec<Arc<[u8]>> {
        if self.desk.placed.read().is_empty() {
            return Vec::new();
        }
        let (mut parties, _) = self.children.over(origin);
        parties.extend(Party::of(origin));
        self.desk.over(&parties)
    }

    /// Asks what was made here as well.
    pub(super) fn narrow(
        &self,
        beside: Vec<Arc<[u8]>>,
        asked: &decide::Call<'_>,
        now: u64,
        checked: &mut Checked,
    ) -> Result<(), Checked> {
        for stack in beside {
            let chain = self.placed_chain(&stack, now).map_err(Checked::refused)?;
            let decision = decide::decide(&chain, asked, &[], now);
            if let decide::Outcome::Refused(objection) = &decision.outcome {
                return Err(Checked::refused(objection));
            }
            checked.take(decision);
            checked.beside.push(stack);
        }
        Ok(())
    }

    /// The warrant of somebody else that stands over the party.
    fn leaf(&self, party: &Party) -> Option<Payload> {
        let ground = self.ground.load();
        let by_command = self.assigned.read().get(party).map(|row| Arc::clone(&row.stack));
        let stack = by_command.or_else(|| ground.setup.standing.get(party).cloned())?;
        Warrant::decode_stack(&stack).ok()?.pop().map(|link| link.payload)
    }
}

fn draft(
    terms: &Terms,
    parent: Option<&Payload>,
    id: WarrantId,
    key: &SigningKey,
    now: u64,
) -> Result<Draft, WarrantError> {
    let holder = PublicKey::of(key);
    let mut draft = match parent {
        Some(parent) => Draft::inherit(parent, id, holder, now),
        None => Draft { ttl: LIFE, ..Draft::new(id, holder, now) },
    };
    let granted = read_grants(terms.allow.lines().map(str::trim).filter(|line| !line.is_empty()), None)?;
    if !granted.is_empty() {
        draft.tools = match parent {
            Some(parent) => narrowed(parent, granted),
            None => granted,
        };
    }
    draft.issues = None;
    // It only narrows: `*` grants nothing that is not granted already.
    draft.allow_wildcard_tool = true;
    if draft.tools.is_empty() {
        return Err(WarrantError::Nothing);
    }
    if let Some(life) = terms.life.as_deref().map(str::trim).filter(|life| !life.is_empty()) {
        draft.ttl = read_duration(life)?;
    }
    for capability in draft.tools.values_mut().filter(|_| terms.calls.is_some()) {
        capability.allow_unknown |= capability.is_open();
        capability.limits.get_or_insert_default().max_calls = terms.calls;
    }
    Ok(draft)
}

/// The grants of `parent` for the tools that are named, with the arguments that are named narrowed.
pub fn narrowed(parent: &Payload, granted: BTreeMap<String, Capability>) -> BTreeMap<String, Capability> {
    let held = |tool: &str| match parent.kind {
        Kind::Execution => parent.capability(tool).cloned(),
        Kind::Issuer => parent.constraint_bounds.clone(),
    };
    let narrow = |(tool, own): (String, Capability)| {
        let mut capability = held(&tool).unwrap_or_default();
        if !own.constraints.is_empty() {
            capability.allow_unknown = false;
        }
        capability.constraints.extend(own.constraints);
        (tool, capability)
    };
    granted.into_iter().map(narrow).collect()
}
