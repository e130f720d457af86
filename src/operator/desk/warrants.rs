//! Warrants as people see them: who stands under which, link by link.

use std::collections::BTreeMap;

use herma_warrant::capability::Capability;
use herma_warrant::learn::Options;
use herma_warrant::syntax::write_grant;
use herma_warrant::warrant::{Payload, Warrant, WarrantId};
use hyper::StatusCode;
use serde::{Deserialize, Serialize};

use super::Desk;
use crate::firewall::past::{Past, PastCalls};
use crate::operator::Problem;
use crate::warrants::replay::{self, Group, Replayed, propose};
use crate::warrants::{Party, Proposed, Stands, Terms, WarrantError};

/// How far back a preview looks.
const DAYS: i64 = 7;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Over whom the page begins a new warrant.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::operator) struct Begin {
    party: Option<String>,
    /// With the least that covers what it did.
    learn: Option<u8>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct WarrantBook {
    pub warrants: Vec<WarrantLine>,
    pub revoked: Vec<RevokedLine>,
    pub no_warrant: String,
    /// What a new one begins with.
    #[serde(skip)]
    pub terms: Terms,
    /// How much of what was done these terms cover, when they were learned from it.
    #[serde(skip)]
    pub learned: Option<String>,
    #[serde(skip)]
    pub preview: Option<Box<WarrantPreview>>,
}

/// A warrant that nobody has signed for yet, and what it would have said.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct WarrantPreview {
    pub terms: Terms,
    /// Root first.
    pub chain: Vec<WarrantLink>,
    /// The warrant that it narrows.
    pub inside: Option<String>,
    /// The record names those over whom it would stand.
    pub of_record: bool,
    pub days: i64,
    pub calls: usize,
    pub allowed: usize,
    pub held: usize,
    pub refused: usize,
    /// The record keeps too little of these.
    pub unknown: usize,
    pub whys: Vec<ReplayedWhy>,
    /// The record is longer than what was read.
    pub cut: bool,
}

/// Calls of which the same is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplayedWhy {
    /// `refused`, `held` or `unknown`.
    pub said: &'static str,
    pub why: String,
    pub count: usize,
    /// One of them.
    pub call: String,
}

/// One warrant that stands over somebody; its chain is the way from the root to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WarrantLine {
    pub party: String,
    /// `file` or who put it there.
    pub by: String,
    pub at_ms: Option<i64>,
    /// Made here: it narrows what others allow, and can be lifted here.
    pub here: bool,
    /// Root first.
    pub chain: Vec<WarrantLink>,
    /// Why it does not hold here now.
    pub refused: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WarrantLink {
    pub id: String,
    /// The same as a freeze names it.
    pub hex: String,
    pub parent: Option<String>,
    pub issuer: String,
    pub holder: String,
    pub issued_s: u64,
    pub expires_s: u64,
    /// Tool by tool, what it allows, in words.
    pub tools: Vec<WarrantTool>,
    /// Pool by pool, what was drawn of it.
    pub used: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WarrantTool {
    pub tool: String,
    pub terms: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RevokedLine {
    pub kind: String,
    pub value: String,
    pub at_ms: i64,
    pub by: String,
    pub reason: String,
}

impl Desk {
    pub(in crate::operator) async fn warrants(&self, begin: Begin, now: i64) -> Result<WarrantBook, Problem> {
        let warrants = &self.firewall.warrants;
        let mut lines = Vec::new();
        let mut terms = Terms { party: begin.party.unwrap_or_default(), ..Terms::default() };
        for stands in warrants.standing() {
            if stands.party.to_string() == terms.party {
                terms.allow = granted(&stands);
            }
            lines.push(self.warrant(stands, now).await?);
        }
        let learned = match (begin.learn, terms.party.parse::<Party>()) {
            (Some(_), Ok(party)) => {
                let calls = self.calls_of(&party, now).await?.0;
                let kept: Vec<_> = calls.into_iter().filter(|call| !call.mute).collect();
                let learned = propose(&kept, Options::default());
                terms.allow = written(&learned.tools);
                Some(learned.coverage())
            }
            _ => None,
        };
        let revoked = warrants.revoked().await.map_err(|error| Problem::fault(&error))?;
        let revoked = revoked.into_iter().map(|row| RevokedLine {
            kind: row.kind,
            value: row.value,
            at_ms: row.at_ms,
            by: row.by,
            reason: row.reason,
        });
        Ok(WarrantBook {
            warrants: lines,
            revoked: revoked.collect(),
            terms,
            learned,
            preview: None,
            no_warrant: serde_json::to_value(warrants.without())
                .ok()
                .and_then(|word| word.as_str().map(str::to_owned))
                .unwrap_or_default(),
        })
    }

    /// What a warrant would have said of the calls of the last days, before anybody signs it.
    pub(in crate::operator) async fn try_warrant(
        &self,
        terms: Terms,
        now: i64,
    ) -> Result<WarrantPreview, Problem> {
        let Proposed { party, chain, inside, .. } = self.firewall.warrants.propose(&terms, now)?;
        let (asked, cut) = self.calls_of(&party, now).await?;
        let Replayed { calls, allowed, held, refused, unknown } = replay::replay(&chain, &asked);
        let whys = |said: &'static str, group: &Group| {
            let why = |(why, (count, past)): (&String, &(usize, replay::Past))| ReplayedWhy {
                said,
                why: why.clone(),
                count: *count,
                call: past.call.clone(),
            };
            group.whys.iter().map(why).collect::<Vec<_>>()
        };
        let mut parent = None;
        let mut links = Vec::new();
        for link in chain.links() {
            links.push(described(&link.payload, parent, Vec::new()));
            parent = Some(link.payload.id);
        }
        Ok(WarrantPreview {
            chain: links,
            inside: inside.map(|id| id.to_string()),
            of_record: !matches!(party, Party::User(_)),
            days: DAYS,
            calls,
            allowed,
            held: held.count,
            refused: refused.count,
            unknown: unknown.count,
            whys: [whys("refused", &refused), whys("held", &held), whys("unknown", &unknown)].concat(),
            cut,
            terms,
        })
    }

    /// What the party did in the last days, and whether there is more than was read.
    async fn calls_of(&self, party: &Party, now: i64) -> Result<(Vec<replay::Past>, bool), Problem> {
        let of = party.clone();
        let wanted = move |call: &Past| of.has(&call.server, &call.principal, &call.session);
        let PastCalls { calls, cut } = self.firewall.past(now.saturating_sub(DAYS * DAY_MS), wanted).await?;
        Ok((calls.iter().filter_map(Past::of_warrants).collect(), cut))
    }

    async fn warrant(&self, stands: Stands, now: i64) -> Result<WarrantLine, Problem> {
        let warrants = &self.firewall.warrants;
        let refused = match stands.here {
            true => warrants.verify_placed(&stands.stack, now).err().map(|error| error.to_string()),
            false => warrants.verify(&stands.stack, now).err().map(|error| error.to_string()),
        };
        let links = Warrant::decode_stack(&stands.stack).unwrap_or_default();
        let mut chain = Vec::new();
        let mut parent = None;
        for link in &links {
            let drawn = self.firewall.warrants.drawn(link.payload.id).await;
            let drawn = drawn.map_err(|error| Problem::fault(&error))?;
            let used = drawn.into_iter().map(|(pool, millionths)| (pool, in_units(millionths)));
            chain.push(described(&link.payload, parent, used.collect()));
            parent = Some(link.payload.id);
        }
        Ok(WarrantLine {
            party: stands.party.to_string(),
            by: stands.by,
            at_ms: stands.at_ms,
            here: stands.here,
            chain,
            refused,
        })
    }
}

fn described(payload: &Payload, parent: Option<WarrantId>, used: Vec<(String, String)>) -> WarrantLink {
    let tool = |(tool, capability): (&String, &Capability)| WarrantTool {
        tool: tool.clone(),
        terms: terms(payload, tool, capability),
    };
    WarrantLink {
        id: payload.id.to_string(),
        hex: payload.id.to_hex(),
        parent: parent.map(|parent| parent.to_string()),
        issuer: payload.issuer.fingerprint(),
        holder: payload.holder.fingerprint(),
        issued_s: payload.issued_at,
        expires_s: payload.expires_at,
        tools: payload.tools.iter().map(tool).collect(),
        used,
    }
}

/// What the last link grants, as it is typed.
fn granted(stands: &Stands) -> String {
    let leaf = Warrant::decode_stack(&stands.stack).ok().and_then(|mut links| links.pop());
    written(&leaf.map(|link| link.payload.tools).unwrap_or_default())
}

fn written(tools: &BTreeMap<String, Capability>) -> String {
    tools.iter().map(|(tool, it)| write_grant(tool, &it.constraints) + "\n").collect()
}

fn terms(payload: &Payload, tool: &str, capability: &Capability) -> Vec<String> {
    let mut terms = Vec::new();
    if capability.is_open() {
        terms.push("any arguments".to_owned());
    }
    terms.extend(
        capability.constraints.iter().map(|(argument, constraint)| format!("{argument}: {constraint}")),
    );
    if capability.allow_unknown && !capability.constraints.is_empty() {
        terms.push("other arguments: anything".to_owned());
    }
    terms.extend(capability.limits.as_ref().map(|limits| format!("limits: {limits}")));
    let gates = payload.gates.as_ref();
    if gates.is_some_and(|gates| gates.0.contains_key(tool) || gates.0.contains_key("*")) {
        terms.push("once approved".to_owned());
    }
    terms
}

/// Millionths as a person writes them.
fn in_units(millionths: u128) -> String {
    let (whole, part) = (millionths / 1_000_000, millionths % 1_000_000);
    let part = format!("{part:06}");
    match part.trim_end_matches('0') {
        "" => whole.to_string(),
        part => format!("{whole}.{part}"),
    }
}

impl From<WarrantError> for Problem {
    fn from(error: WarrantError) -> Self {
        match error {
            WarrantError::Store(error) => Self::fault(&error),
            WarrantError::Moved(_) => Self::new(StatusCode::CONFLICT, "stale", error.to_string()),
            error => Self::unusable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn millionths_are_written_as_people_write_numbers() {
        for (millionths, said) in [(0, "0"), (2_000_000, "2"), (1_500_000, "1.5"), (1, "0.000001")] {
            assert_eq!(super::in_units(millionths), said);
        }
    }
}
