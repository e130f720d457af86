//! What the record tells: the calls of a session, and whatever an auditor asks for. Reads from the newest backwards
//! and stops in time, so that a long record makes no long wait.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{AuditEntry, AuditQuery, Decided, Moment, SessionLine};
use crate::ledger::{Backwards, LedgerError, Record};

/// Entries that are looked at for one page at most.
const GLANCE: u64 = 40_000;
/// How long after its line what became of a call is looked for.
const AFTER: u64 = 4_096;
const CALLS: usize = 200;
const ENTRIES: u32 = 100;
const MOST_ENTRIES: u32 = 1_000;
/// Rules that a line of a timeline names.
const REASONS: usize = 12;

/// A line as far as it must be read to know whether it matters.
#[derive(Debug, Deserialize)]
struct Brief<'a> {
    seq: u64,
    at: i64,
    #[serde(borrow, default)]
    call: Option<Cow<'a, str>>,
    #[serde(borrow)]
    step: Cow<'a, str>,
    #[serde(borrow, default)]
    detail: Option<&'a RawValue>,
}

impl Brief<'_> {
    fn detail(&self) -> Map<String, Value> {
        self.detail.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }
}

/// What later lines say of a call whose own line is still to come.
#[derive(Debug, Default, Clone)]
struct Later {
    outcome: Option<String>,
    took_us: Option<u64>,
    hold: Option<String>,
    review: Option<String>,
}

/// The calls that a page shows, and where older ones begin.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Whose session it is.
    pub(super) principal: String,
    pub(super) calls: Vec<Moment>,
    pub(super) next: Option<u64>,
}

/// The calls of one session, newest first, those before entry `before` if it is given.
pub(super) fn of_session(
    dir: &Path,
    session: &str,
    before: Option<u64>,
    most: usize,
) -> Result<Found, LedgerError> {
    let most = most.min(CALLS);
    let mut found = Found::default();
    found.next = walk(dir, before, |moment, of, principal| {
        if of == session {
            principal.clone_into(&mut found.principal);
            found.calls.push(moment);
        }
        found.calls.len() < most
    })?;
    Ok(found)
}

/// The sessions of the latest calls.
pub(super) fn sessions(
    dir: &Path,
    before: Option<u64>,
) -> Result<(Vec<SessionLine>, Option<u64>), LedgerError> {
    let mut lines: BTreeMap<(String, String), (SessionLine, BTreeSet<String>)> = BTreeMap::new();
    let next = walk(dir, before, |moment, session, principal| {
        let key = (principal.to_owned(), session.to_owned());
        let (line, servers) = lines.entry(key).or_insert_with(|| {
            let line = SessionLine {
                id: session.to_owned(),
                principal: principal.to_owned(),
                servers: Vec::new(),
                calls: 0,
                flagged: 0,
                highest_risk: 0.0,
                first_ms: moment.at_ms,
                last_ms: moment.at_ms,
                frozen: false,
            };
            (line, BTreeSet::new())
        });
        line.calls += 1;
        line.flagged += u64::from(moment.flagged);
        line.highest_risk = line.highest_risk.max(moment.risk_score);
        line.first_ms = line.first_ms.min(moment.at_ms);
        servers.insert(moment.server);
        true
    })?;
    let mut lines: Vec<_> = lines
        .into_values()
        .map(|(line, servers)| SessionLine { servers: servers.into_iter().collect(), ..line })
        .collect();
    lines.sort_by_key(|line| std::cmp::Reverse(line.last_ms));
    lines.truncate(CALLS);
    Ok((lines, next))
}

/// Goes through the calls from the newest on, until `take` has enough. Returns where to go on, if there is more.
fn walk(
    dir: &Path,
    before: Option<u64>,
    mut take: impl FnMut(Moment, &str, &str) -> bool,
) -> Result<Option<u64>, LedgerError> {
    let mut later: HashMap<String, Later> = HashMap::new();
    let mut decided: HashMap<String, Decided> = HashMap::new();
    let mut seen = 0;
    for line in Backwards::open(dir, before.map(|before| before.saturating_add(AFTER)))? {
        let line = line?;
        let Ok(brief) = serde_json::from_slice::<Brief<'_>>(&line.bytes) else { continue };
        let beyond = before.is_some_and(|before| brief.seq >= before);
        seen += u64::from(!beyond);
        if seen > GLANCE {
            return Ok(Some(brief.seq + 1));
        }
        match (&*brief.step, &brief.call) {
            ("decided", _) => {
                if let Some((hold, said)) = decision(&brief) {
                    decided.entry(hold).or_insert(said);
                }
            }
            ("settled" | "held" | "forwarded", Some(call)) => {
                let known = later.entry(call.clone().into_owned()).or_default();
                note(known, &brief.detail());
            }
            ("routed", Some(call)) if !beyond => {
                let known = later.remove(&**call).unwrap_or_default();
                let detail = brief.detail();
                let moment = moment(&brief, call, &detail, known, &decided);
                let text = |name: &str| detail.get(name).and_then(Value::as_str).unwrap_or_default();
                if !take(moment, text("session"), text("principal")) {
                    return Ok((brief.seq > 0).then_some(brief.seq));
                }
            }
            _ => {}
        }
    }
    Ok(None)
}

fn note(known: &mut Later, detail: &Map<String, Value>) {
    let text = |name: &str| detail.get(name).and_then(Value::as_str).map(str::to_owned);
    known.outcome = known.outcome.take().or_else(|| text("outcome"));
    known.took_us = known.took_us.or_else(|| detail.get("took_us").and_then(Value::as_u64));
    known.hold = known.hold.take().or_else(|| text("hold"));
    known.review = known.review.take().or_else(|| text("review"));
}

fn decision(brief: &Brief<'_>) -> Option<(String, Decided)> {
    let detail = brief.detail();
    let receipt = detail.get("receipt")?;
    let text = |pointer: &str| receipt.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let said = Decided { by: text("/approver/id")?, decision: text("/decision")?, at_ms: brief.at };
    Some((text("/hold")?, said))
}

fn moment(
    brief: &Brief<'_>,
    call: &str,
    detail: &Map<String, Value>,
    mut known: Later,
    decided: &HashMap<String, Decided>,
) -> Moment {
    note(&mut known, detail);
    let text = |name: &str| detail.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let score = |name: &str| detail.get(name).and_then(Value::as_f64).unwrap_or_default();
    let crisis = detail.get("crisis_sensitive").and_then(Value::as_bool).unwrap_or_default();
    let route = text("route");
    let reasons = detail.get("reasons").and_then(Value::as_array);
    let reason = |reason: &Value| Some((reason.get(0)?.as_str()?.to_owned(), reason.get(1)?.as_f64()?));
    Moment {
        seq: brief.seq,
        call: call.to_owned(),
        at_ms: brief.at,
        server: text("server"),
        tool: text("tool_name"),
        class: text("class"),
        risk_score: score("risk_score"),
        confidence: score("confidence"),
        crisis,
        rule: text("rule"),
        would: detail.get("would").and_then(Value::as_str).map(str::to_owned),
        reasons: reasons.into_iter().flatten().filter_map(reason).take(REASONS).collect(),
        grant: text("grant"),
        outcome: known.outcome,
        took_us: known.took_us,
        decided: known.hold.as_ref().and_then(|hold| decided.get(hold)).cloned(),
        hold: known.hold,
        review: known.review,
        parent: detail.get("parent").and_then(Value::as_str).map(str::to_owned),
        flagged: crisis || matches!(route.as_str(), "gate" | "block"),
        route,
    }
}

/// What an auditor asks for, newest first, and where older entries begin.
pub(super) fn audit(dir: &Path, query: &AuditQuery) -> Result<(Vec<AuditEntry>, Option<u64>), LedgerError> {
    let limit = query.limit.unwrap_or(ENTRIES).clamp(1, MOST_ENTRIES) as usize;
    let needles: Vec<_> = needles(query).map(|text| memmem::Finder::new(text).into_owned()).collect();
    let mut entries = Vec::new();
    // Lines that do not hold the words are not even parsed: ten times as many can be looked at.
    let mut left = if needles.is_empty() { GLANCE } else { 10 * GLANCE };
    for line in Backwards::open(dir, query.before)? {
        let line = line?;
        let seq = line.place.seq();
        left = left.saturating_sub(1);
        if left == 0 || entries.len() >= limit {
            return Ok((entries, Some(seq + 1)));
        }
        if needles.iter().any(|needle| needle.find(&line.bytes).is_none()) {
            continue;
        }
        let Ok(record) = Record::parse(&line.bytes) else { continue };
        if query.from_ms.is_some_and(|from| record.at < from) {
            return Ok((entries, None));
        }
        if matches(query, &record) {
            entries.push(AuditEntry {
                seq: record.seq,
                at_ms: record.at,
                call: record.call,
                step: record.step,
                detail: Value::Object(record.detail),
                proven: false,
            });
        }
    }
    Ok((entries, None))
}

/// Words that a line must hold as they are. What JSON would write otherwise is left to the closer look.
fn needles(query: &AuditQuery) -> impl Iterator<Item = &str> {
    let AuditQuery { agent, tool, server, session, route, step, approver, call, digest, .. } = query;
    [agent, tool, server, session, route, step, approver, call, digest]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .filter(|text| text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')))
}

fn matches(query: &AuditQuery, record: &Record) -> bool {
    let detail = &record.detail;
    let is = |wanted: &Option<String>, names: &[&str]| {
        wanted.as_ref().is_none_or(|wanted| {
            let texts = names.iter().filter_map(|name| {
                let value = if name.starts_with('/') { receipt(detail, name) } else { detail.get(*name) };
                value.and_then(Value::as_str)
            });
            texts.into_iter().any(|text| text == wanted)
        })
    };
    let digests = ["arguments_digest", "digest", "/call_digest", "/render_digest", "/edited_args_digest"];
    let has_digest = query.digest.as_ref().is_none_or(|wanted| {
        digests.iter().any(|name| {
            let value = if name.starts_with('/') { receipt(detail, name) } else { detail.get(*name) };
            value.and_then(Value::as_str).is_some_and(|text| text.starts_with(wanted.as_str()))
        })
    });
    is(&query.agent, &["principal", "agent"])
        && is(&query.tool, &["tool_name", "tool"])
        && is(&query.server, &["server"])
        && is(&query.session, &["session"])
        && is(&query.route, &["route"])
        && is(&query.approver, &["/approver/id", "by", "approver"])
        && query.step.as_ref().is_none_or(|step| *step == record.step)
        && query.call.as_ref().is_none_or(|call| record.call.as_ref() == Some(call))
        && has_digest
        && query.to_ms.is_none_or(|to| record.at <= to)
}

fn receipt<'a>(detail: &'a Map<String, Value>, pointer: &str) -> Option<&'a Value> {
    detail.get("receipt")?.pointer(pointer)
}
