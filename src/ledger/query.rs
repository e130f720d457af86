//! Finding entries: one pass over the segments, no index that could disagree with them.
//!
//! Most entries of a call name it and nothing else. While it reads, a search therefore remembers what the
//! `routed` entry of every unfinished call said, so that a decision or an end is found by agent and tool too.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use regex::bytes::Regex;
use serde::{Deserialize, Serialize};

use super::segment::{self, LINES, Line, Place, Reader};
use super::{LedgerError, Record};

/// How long before its range a search begins, to learn of calls that were waiting then.
const BEFORE_MS: i64 = 24 * 60 * 60 * 1000;
/// Unfinished calls that are remembered; the oldest goes first.
const REMEMBERED: usize = 100_000;
/// Fewer hexadecimal digits name too many digests.
const DIGEST: usize = 8;

/// What is looked for: whatever is set must hold.
#[derive(Debug, Clone, Default)]
pub struct Query {
    pub agent: Option<String>,
    /// `*` stands for any text.
    pub tool: Option<String>,
    pub server: Option<String>,
    pub session: Option<String>,
    pub class: Option<String>,
    pub route: Option<String>,
    pub approver: Option<String>,
    pub step: Option<String>,
    pub call: Option<String>,
    pub hold: Option<String>,
    /// The beginning of a call's, its arguments' or a definition's digest, 8 digits or more.
    pub digest: Option<String>,
    /// Unix milliseconds, included.
    pub since: Option<i64>,
    /// Unix milliseconds, not included.
    pub until: Option<i64>,
    /// Over the stored text.
    pub pattern: Option<Regex>,
}

/// Which part of what is found is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Paging {
    /// Where the page before it ended; [`Page::next`] of that one.
    pub from: Option<u64>,
    pub newest_first: bool,
    pub limit: usize,
}

/// One page of what was found.
#[derive(Debug, Default)]
pub struct Page {
    pub hits: Vec<Hit>,
    /// Where entries are missing or cannot be read, in the part that was searched.
    pub gaps: Vec<Gap>,
    /// Where to go on; `None` at the end.
    pub next: Option<u64>,
}

/// An entry that was looked for.
#[derive(Debug, Clone)]
pub struct Hit {
    pub record: Record,
    /// As it stands in its segment, without the line feed.
    pub line: Vec<u8>,
    /// What is known of its call.
    pub about: Option<Arc<About>>,
}

/// Entries that should be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    pub first: u64,
    pub last: u64,
    /// Where a line stands that cannot be read; none if there is no line at all.
    pub unreadable: Option<String>,
}

/// What the `routed` entry of a call said.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct About {
    #[serde(skip_deserializing)]
    pub call: String,
    pub principal: String,
    pub session: String,
    pub server: String,
    #[serde(rename = "tool_name")]
    pub tool: String,
    pub class: String,
    pub route: String,
    pub rule: String,
    pub policy: String,
    pub carrier: String,
    pub grant: String,
    pub risk_score: f64,
    pub confidence: f64,
    pub crisis_sensitive: bool,
    pub would: Option<String>,
}

/// What a search comes by.
#[derive(Debug)]
pub enum Found {
    Hit(Box<Hit>),
    Gap(Gap),
}

/// Tells `each` of every hit and gap from entry `from` on, oldest first, until it has enough.
pub fn search(
    dir: &Path,
    query: &Query,
    from: u64,
    each: impl FnMut(Found) -> ControlFlow<()>,
) -> Result<(), LedgerError> {
    let first = (from / LINES).saturating_sub(1);
    let files = match query.since {
        Some(since) => segment::since(dir, since.saturating_sub(BEFORE_MS))?.max(first),
        None => first,
    };
    Search::new(query, from).run(Reader::open_from(dir, files * LINES)?, each)
}

/// One page of what `query` finds.
pub fn query(dir: &Path, query: &Query, paging: Paging) -> Result<Page, LedgerError> {
    if paging.newest_first {
        return newest(dir, query, paging);
    }
    let mut page = Page::default();
    search(dir, query, paging.from.unwrap_or_default(), |found| {
        match found {
            Found::Gap(gap) => page.gaps.push(gap),
            Found::Hit(hit) if page.hits.len() == paging.limit => {
                page.next = Some(hit.record.seq);
                return ControlFlow::Break(());
            }
            Found::Hit(hit) => page.hits.push(*hit),
        }
        ControlFlow::Continue(())
    })?;
    Ok(page)
}

/// Segment by segment from the end; each with the one before it, for what that says of its calls.
fn newest(dir: &Path, query: &Query, paging: Paging) -> Result<Page, LedgerError> {
    let end = paging.from.map_or(u64::MAX, |from| from.saturating_add(1));
    let oldest = query.since.map(|since| segment::since(dir, since)).transpose()?.unwrap_or_default();
    let mut page = Page::default();
    let files = segment::list(dir)?;
    for file in files.into_iter().rev().filter(|file| *file >= oldest && file * LINES < end) {
        let mut hits = VecDeque::new();
        let reader = Reader::open_only(dir, [file.saturating_sub(1), file])?;
        Search::new(query, file * LINES).run(reader, |found| {
            match found {
                Found::Gap(gap) => page.gaps.push(gap),
                Found::Hit(hit) if hit.record.seq < end => hits.push_back(*hit),
                Found::Hit(_) => return ControlFlow::Break(()),
            }
            // One more than fits says that there is another page.
            if hits.len() > paging.limit + 1 {
                hits.pop_front();
            }
            ControlFlow::Continue(())
        })?;
        for hit in hits.into_iter().rev() {
            if page.hits.len() == paging.limit {
                page.next = Some(hit.record.seq);
                return Ok(page);
            }
            page.hits.push(hit);
        }
    }
    Ok(page)
}

struct Search<'a> {
    query: &'a Query,
    from: u64,
    expected: Option<u64>,
    calls: Calls,
}

impl<'a> Search<'a> {
    fn new(query: &'a Query, from: u64) -> Self {
        Self { query, from, expected: None, calls: Calls::default() }
    }

    fn run(
        mut self,
        reader: Reader,
        mut each: impl FnMut(Found) -> ControlFlow<()>,
    ) -> Result<(), LedgerError> {
        for line in reader {
            let line = line?;
            if !line.whole && line.bytes.len() <= super::MAX_ENTRY_BYTES {
                // Still being written.
                return Ok(());
            }
            let Some(brief) = Brief::read(&line.bytes) else {
                let gap = self.unreadable(line.place);
                if self.tell_gap(Some(gap), &mut each).is_break() {
                    return Ok(());
                }
                continue;
            };
            let seq = brief.seq;
            if self.tell_gap(self.missing_before(seq), &mut each).is_break() {
                return Ok(());
            }
            self.expected = Some(seq.saturating_add(1));
            let about = self.calls.learn(&brief);
            if seq < self.from || !self.matches(&brief, about.as_deref(), &line) {
                continue;
            }
            let Ok(record) = Record::parse(&line.bytes) else { continue };
            let hit = Hit { record, line: line.bytes, about };
            if each(Found::Hit(Box::new(hit))).is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn missing_before(&self, seq: u64) -> Option<Gap> {
        let first = self.expected?;
        (seq > first).then(|| Gap { first, last: seq - 1, unreadable: None })
    }

    fn unreadable(&mut self, place: Place) -> Gap {
        let seq = place.file * LINES + place.line - 1;
        self.expected = Some(seq + 1);
        Gap { first: seq, last: seq, unreadable: Some(place.to_string()) }
    }

    fn tell_gap(&self, gap: Option<Gap>, each: &mut impl FnMut(Found) -> ControlFlow<()>) -> ControlFlow<()> {
        match gap {
            Some(gap) if gap.last >= self.from => each(Found::Gap(gap)),
            _ => ControlFlow::Continue(()),
        }
    }

    fn matches(&self, brief: &Brief<'_>, about: Option<&About>, line: &Line) -> bool {
        let Query { agent, tool, server, session, class, route, approver, step, call, hold, .. } = self.query;
        let detail = &brief.detail;
        let is = |wanted: &Option<String>, own: &Option<Cow<'_, str>>, of_call: fn(&About) -> &str| {
            wanted.as_ref().is_none_or(|wanted| {
                own.as_deref().or(about.map(of_call)).is_some_and(|found| found == wanted)
            })
        };
        let tool_is = |wanted: &String| {
            let named = detail.tool_name.as_deref().or(detail.tool.as_deref());
            named.or(about.map(|about| about.tool.as_str())).is_some_and(|name| like(wanted, name))
        };
        let receipt = detail.receipt.as_ref();
        self.query.since.is_none_or(|since| brief.at >= since)
            && self.query.until.is_none_or(|until| brief.at < until)
            && is(agent, &detail.principal, |about| &about.principal)
            && is(server, &detail.server, |about| &about.server)
            && is(session, &detail.session, |about| &about.session)
            && is(class, &detail.class, |about| &about.class)
            && is(route, &detail.route, |about| &about.route)
            && tool.as_ref().is_none_or(tool_is)
            && step.as_ref().is_none_or(|step| brief.step == *step)
            && call.as_ref().is_none_or(|call| {
                brief.call.as_deref().or(about.map(|about| about.call.as_str())) == Some(call)
            })
            && hold.as_ref().is_none_or(|hold| brief.hold() == Some(hold))
            && approver.as_ref().is_none_or(|approver| {
                let signed = receipt.and_then(|receipt| receipt.approver.as_ref());
                let names =
                    [signed.map(|signed| &signed.id), detail.by.as_ref(), detail.accepted_by.as_ref()];
                names.into_iter().flatten().any(|name| name == approver)
            })
            && self.query.digest.as_ref().is_none_or(|digest| {
                let signed = receipt.and_then(|receipt| receipt.call_digest.as_ref());
                let digests = [signed, detail.digest.as_ref(), detail.arguments_digest.as_ref()];
                digest.len() >= DIGEST
                    && digests.into_iter().flatten().any(|found| {
                        found.strip_prefix("ends:").unwrap_or(found).starts_with(digest.as_str())
                    })
            })
            && self.query.pattern.as_ref().is_none_or(|pattern| pattern.is_match(&line.bytes))
    }
}

/// `*` stands for any text.
fn like(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(start) else { return false };
    rest.is_empty()
        || text
            .char_indices()
            .map(|(at, _)| at)
            .chain([text.len()])
            .any(|at| text.get(at..).is_some_and(|tail| like(rest, tail)))
}

/// The calls whose end has not been read yet, also by the hold they wait under.
#[derive(Default)]
struct Calls {
    by_id: HashMap<String, Arc<About>>,
    by_hold: HashMap<String, Arc<About>>,
    order: VecDeque<String>,
}

impl Calls {
    /// Takes in what an entry says of its call, and tells what is known of that.
    fn learn(&mut self, brief: &Brief<'_>) -> Option<Arc<About>> {
        match (brief.step.as_ref(), brief.call.as_deref()) {
            ("routed", Some(call)) => {
                let about = Arc::new(brief.about(call));
                if brief.detail.outcome.is_none() && about.route != "block" {
                    self.remember(call, &about);
                }
                Some(about)
            }
            ("held", Some(call)) => {
                let about = self.by_id.get(call).cloned();
                if let (Some(about), Some(hold)) = (&about, &brief.detail.hold) {
                    self.by_hold.insert(hold.to_string(), Arc::clone(about));
                }
                about
            }
            ("settled" | "refused", Some(call)) => self.by_id.remove(call),
            ("decided", _) => self.by_hold.get(brief.hold()?).cloned(),
            (_, Some(call)) => self.by_id.get(call).cloned(),
            _ => None,
        }
    }

    fn remember(&mut self, call: &str, about: &Arc<About>) {
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_id.remove(&oldest);
            self.by_hold.retain(|_, about| about.call != oldest);
        }
        self.by_id.insert(call.to_owned(), Arc::clone(about));
        self.order.push_back(call.to_owned());
    }
}

/// What a search must know of an entry; the rest is passed over.
#[derive(Deserialize)]
struct Brief<'a> {
    seq: u64,
    at: i64,
    #[serde(borrow)]
    step: Cow<'a, str>,
    #[serde(borrow, default)]
    call: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    detail: Facts<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Facts<'a> {
    #[serde(borrow)]
    principal: Option<Cow<'a, str>>,
    #[serde(borrow)]
    session: Option<Cow<'a, str>>,
    #[serde(borrow)]
    server: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tool_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tool: Option<Cow<'a, str>>,
    #[serde(borrow)]
    class: Option<Cow<'a, str>>,
    #[serde(borrow)]
    route: Option<Cow<'a, str>>,
    #[serde(borrow)]
    rule: Option<Cow<'a, str>>,
    #[serde(borrow)]
    policy: Option<Cow<'a, str>>,
    #[serde(borrow)]
    carrier: Option<Cow<'a, str>>,
    #[serde(borrow)]
    grant: Option<Cow<'a, str>>,
    #[serde(borrow)]
    would: Option<Cow<'a, str>>,
    #[serde(borrow)]
    outcome: Option<Cow<'a, str>>,
    #[serde(borrow)]
    hold: Option<Cow<'a, str>>,
    #[serde(borrow)]
    by: Option<Cow<'a, str>>,
    #[serde(borrow)]
    accepted_by: Option<Cow<'a, str>>,
    #[serde(borrow)]
    digest: Option<Cow<'a, str>>,
    #[serde(borrow)]
    arguments_digest: Option<Cow<'a, str>>,
    risk_score: f64,
    confidence: f64,
    crisis_sensitive: bool,
    #[serde(borrow)]
    receipt: Option<Signed<'a>>,
}

#[derive(Deserialize)]
struct Signed<'a> {
    #[serde(borrow, default)]
    hold: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    call_digest: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    approver: Option<Named<'a>>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

impl<'a> Brief<'a> {
    /// A fact of another type than is known here is passed over with its fellows, not taken for damage.
    fn read(line: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(line).ok().or_else(|| {
            let Record { seq, at, call, step, .. } = Record::parse(line).ok()?;
            Some(Self { seq, at, step: step.into(), call: call.map(Cow::Owned), detail: Facts::default() })
        })
    }

    fn hold(&self) -> Option<&str> {
        let signed = self.detail.receipt.as_ref().and_then(|receipt| receipt.hold.as_deref());
        self.detail.hold.as_deref().or(signed)
    }

    fn about(&self, call: &str) -> About {
        let detail = &self.detail;
        let text = |text: &Option<Cow<'_, str>>| text.as_deref().unwrap_or_default().to_owned();
        About {
            call: call.to_owned(),
            principal: text(&detail.principal),
            session: text(&detail.session),
            server: text(&detail.server),
            tool: text(&detail.tool_name),
            class: text(&detail.class),
            route: text(&detail.route),
            rule: text(&detail.rule),
            policy: text(&detail.policy),
            carrier: text(&detail.carrier),
            grant: text(&detail.grant),
            risk_score: detail.risk_score,
            confidence: detail.confidence,
            crisis_sensitive: detail.crisis_sensitive,
            would: detail.would.as_deref().map(str::to_owned),
        }
    }
}
