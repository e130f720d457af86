//! Signs of a crisis in text, and the latch they set.

mod latch;
mod line;
mod model;
mod watch;

use crate::rules::pack::{Covers, Tier};
use crate::rules::{CalmRule, CrisisRule, CrisisRules, Owner, Rule, Rules, Signal};
use crate::text;

pub use crate::text::fold;
pub use latch::{Cause, Clearance, Latch, LatchError};
pub use line::{FOR_YOU, HelpLine};
pub use model::{grams, pieces};
pub use watch::{Heard, Moment, Watch, handle};

/// What a text shows of a crisis. Holds rule ids and places, never words of the text.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Sum of distinct signals; 0.8 and more is a crisis.
    pub score: f64,
    /// 1 (a wish) to 6 (an attempt, life in danger), after the C-SSRS.
    pub severity: u8,
    /// Kinds of signal (`ideation`, `plan`, `helper`, …), each once.
    pub kinds: Vec<String>,
    /// Ids of the rules that matched, each once; the second part names the pack.
    pub rules: Vec<String>,
    /// Where each of them matched first, in bytes of the text; the whole text when it was in disguise.
    pub spans: Vec<(usize, usize)>,
}

/// From this score on a text is a crisis.
const GATE: f64 = 0.8;
/// How sure the second opinion must be where rules see a crisis in wording that harmless talk shares: in English, whose
/// rules are the most and closest, and elsewhere; and where rules see half of one, a mere hint, and nothing.
const CONFIRMS: f64 = 0.15;
const CONFIRMS_ELSEWHERE: f64 = 0.32;
const RAISES: f64 = 0.42;
const HINTED: f64 = 0.55;
const FINDS: f64 = 0.6;
/// How the ids of the English rules begin.
const ENGLISH: &str = "crisis.en.";
/// Half of a crisis: a rule of the middle tier.
const HALFWAY: f64 = 0.6;
/// Weak signals count together when this close, in bytes: about two sentences.
const WINDOW: usize = 240;
/// Bytes before a match that may hold its subject.
const BEFORE: usize = 8;
/// Half of what is read of a longer text: its head and its tail.
const HALF: usize = 32 << 10;

/// Judges inbound text: `None` when it shows no crisis. Reads the first and last 32 KiB of longer texts.
pub fn signals(text: &str, rules: &Rules) -> Option<Evidence> {
    parts(text).find_map(|(offset, part)| {
        let reading = read(part, &rules.crisis);
        if !reading.is_crisis() {
            return None;
        }
        let mut evidence = Evidence {
            score: reading.score().max(GATE),
            severity: 1,
            kinds: Vec::new(),
            rules: Vec::new(),
            spans: Vec::new(),
        };
        for hit in reading.near() {
            evidence.severity = evidence.severity.max(hit.severity);
            if !evidence.kinds.iter().any(|known| known == hit.kind) {
                evidence.kinds.push(hit.kind.to_owned());
            }
            if !evidence.rules.contains(&hit.rule.id) {
                evidence.rules.push(hit.rule.id.clone());
                let (from, to) = reading.span(hit, part);
                evidence.spans.push((from + offset, to + offset));
            }
        }
        if !reading.stands() {
            evidence.rules.push(rules.signal(Signal::CrisisModel).id.clone());
            evidence.spans.push((offset, offset + part.len()));
        }
        Some(evidence)
    })
}

/// How much a text shows, 0 when nothing: what is not a crisis yet may become one in company.
pub(crate) fn weight(text: &str, rules: &Rules) -> f64 {
    let shown = |part| {
        let reading = read(part, &rules.crisis);
        if reading.is_crisis() { reading.score().max(GATE) } else { reading.score().min(HALFWAY) }
    };
    parts(text).map(|(_, part)| shown(part)).fold(0.0, f64::max)
}

/// The heaviest rule and where it matched, when the text is a crisis.
pub(crate) fn find<'r>(text: &str, rules: &'r Rules) -> Option<(&'r Rule, (usize, usize))> {
    parts(text).find_map(|(offset, part)| {
        let reading = read(part, &rules.crisis);
        let heaviest = reading.near().max_by_key(|hit| (hit.tier, hit.severity));
        let (from, to) = heaviest.map_or((0, part.len()), |hit| reading.span(hit, part));
        let seconded = || rules.signal(Signal::CrisisModel);
        let rule = heaviest.filter(|_| reading.score() >= GATE).map_or_else(seconded, |hit| hit.rule);
        reading.is_crisis().then_some((rule, (from + offset, to + offset)))
    })
}

/// Ids of every rule and every calming rule that speaks to the text, for the examples in the packs.
pub(crate) fn ids(text: &str, rules: &Rules) -> Vec<String> {
    let folded = text::fold(text);
    let calls = rules.crisis.called(&folded);
    let calms = calls.called.iter().filter_map(|call| match call.owner {
        Owner::Calm(calm) if calls.find(*call).next().is_some() => rules.crisis.calms.get(calm),
        _ => None,
    });
    let views = text::views(text, &folded, &rules.crisis.disguises);
    let hits = std::iter::once(&folded).chain(&views).flat_map(|view| look(view, &rules.crisis));
    hits.map(|hit| hit.rule.id.clone()).chain(calms.map(|calm| calm.rule.id.clone())).collect()
}

fn parts(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut parts = text::ends(text, HALF);
    let head = parts.next().map(|head| (0, head));
    let tail = parts.next().map(|tail| (text.len() - tail.len(), tail));
    head.into_iter().chain(tail)
}

#[derive(Debug)]
struct Hit<'r> {
    rule: &'r Rule,
    tier: Tier,
    kind: &'r str,
    severity: u8,
    start: usize,
    end: usize,
    /// Strong by itself, whatever the second opinion is.
    certain: bool,
}

impl Hit<'_> {
    fn near(&self, start: usize) -> bool {
        self.start.abs_diff(start) <= WINDOW
    }
}

struct Strongest {
    score: f64,
    start: usize,
}

/// What one way of reading a text shows.
struct Reading<'r> {
    view: String,
    hits: Vec<Hit<'r>>,
    strongest: Option<Strongest>,
    /// Read as it is written, so that places in it are places in the text.
    plain: bool,
    /// What the second opinion says of it, where it is asked.
    surety: f64,
}

impl<'r> Reading<'r> {
    fn of(view: String, plain: bool, rules: &'r CrisisRules) -> Self {
        let hits = look(&view, rules);
        let mut reading = Self { strongest: strongest(&hits), surety: 0.0, view, hits, plain };
        if !reading.stands() && (plain || reading.score() >= HALFWAY) {
            reading.surety = model::surety(&reading.view);
        }
        reading
    }

    fn is_crisis(&self) -> bool {
        let english = |hit: &Hit<'_>| hit.tier != Tier::C && hit.rule.id.starts_with(ENGLISH);
        let sure = match self.score() {
            GATE.. if self.near().any(english) => CONFIRMS,
            GATE.. => CONFIRMS_ELSEWHERE,
            HALFWAY.. => RAISES,
            // What a disguise seems to hide may be no language at all.
            _ if !self.plain => return self.stands(),
            score if score > 0.0 => HINTED,
            _ => FINDS,
        };
        self.stands() || self.surety >= sure
    }

    /// Whether the rules need no second opinion.
    fn stands(&self) -> bool {
        self.score() >= GATE && self.near().any(|hit| hit.certain)
    }

    /// What matched around the place that shows most.
    fn near(&self) -> impl Iterator<Item = &Hit<'r>> {
        let start = self.strongest.as_ref().map(|strongest| strongest.start);
        self.hits.iter().filter(move |hit| start.is_some_and(|start| hit.near(start)))
    }

    fn score(&self) -> f64 {
        self.strongest.as_ref().map_or(0.0, |strongest| strongest.score)
    }

    fn span(&self, hit: &Hit<'_>, text: &str) -> (usize, usize) {
        if self.plain {
            (text::source(text, hit.start), text::source(text, hit.end))
        } else {
            (0, text.len())
        }
    }
}

/// The first reading that is a crisis, else the one that shows most.
fn read<'r>(text: &str, rules: &'r CrisisRules) -> Reading<'r> {
    let mut best = Reading::of(text::fold(text), true, rules);
    if best.is_crisis() {
        return best;
    }
    for view in text::views(text, &best.view, &rules.disguises) {
        let reading = Reading::of(view, false, rules);
        if reading.is_crisis() || reading.score() > best.score() {
            best = reading;
        }
        if best.is_crisis() {
            break;
        }
    }
    best
}

fn strongest(hits: &[Hit<'_>]) -> Option<Strongest> {
    let mut best: Option<Strongest> = None;
    for hit in hits {
        let mut counted: Vec<&str> = Vec::new();
        let mut score = 0.0;
        for other in hits.iter().filter(|other| other.near(hit.start)) {
            if !counted.contains(&other.rule.id.as_str()) {
                counted.push(&other.rule.id);
                score += match other.tier {
                    Tier::A => 1.0,
                    Tier::B => 0.6,
                    Tier::C => 0.25,
                };
            }
        }
        if best.as_ref().is_none_or(|known| known.score < score) {
            best = Some(Strongest { score, start: hit.start });
        }
    }
    best
}

/// Rules in one reading, each where it first stands uncalmed.
fn look<'r>(folded: &str, rules: &'r CrisisRules) -> Vec<Hit<'r>> {
    let calls = rules.called(folded);
    let mut hits: Vec<Hit<'r>> = Vec::new();
    for call in &calls.called {
        let Owner::Rule(index) = call.owner else { break };
        let Some(rule) = rules.rules.get(index) else { continue };
        if hits.last().is_some_and(|hit| std::ptr::eq(hit.rule, &rule.rule)) {
            continue;
        }
        let calmed = |(start, end): (usize, usize)| {
            calls.called.iter().any(|call| match call.owner {
                // What it finds lies where it was called to look.
                Owner::Calm(calm) => {
                    call.reaches(start, end)
                        && rule.calms.contains(&calm)
                        && rules.calms.get(calm).is_some_and(|calm| {
                            takes_back(calm, rule, calls.find(*call), folded, (start, end), rules)
                        })
                }
                Owner::Rule(_) => false,
            })
        };
        if let Some((start, end)) = calls.find(*call).find(|span| !calmed(*span)) {
            hits.push(Hit {
                rule: &rule.rule,
                tier: rule.spec.tier,
                kind: &rule.spec.kind,
                severity: rule.spec.severity,
                start,
                end,
                certain: rule.spec.tier == Tier::A && !rule.spec.seconded,
            });
        }
    }
    hits
}

fn takes_back(
    calm: &CalmRule,
    rule: &CrisisRule,
    mut found: impl Iterator<Item = (usize, usize)>,
    folded: &str,
    (start, end): (usize, usize),
    rules: &CrisisRules,
) -> bool {
    let is_person = |word: &str| calm.persons.contains(word) || rule.persons.contains(word);
    let overlaps = |(from, to): (usize, usize)| from < end && start < to;
    match calm.spec.covers {
        // One trailing sign belongs to the match's edge, not to its words.
        Covers::Figure => found.any(|(from, to)| from <= start && end <= to + 1),
        Covers::Matter => {
            // Who speaks is often said just before: `i`, `we just`.
            let speaks = || words(folded, start.saturating_sub(BEFORE), end).any(&is_person);
            found.any(overlaps) && !speaks()
        }
        Covers::Lore => found.filter(|span| overlaps(*span)).any(|(from, to)| {
            !words(folded, from.min(start.saturating_sub(BEFORE)), to.max(end))
                .any(|word| is_person(word) || rules.relations.contains(word))
        }),
    }
}

/// The whole words between two places.
fn words(folded: &str, from: usize, to: usize) -> impl Iterator<Item = &str> {
    let is_gap = |byte: &u8| matches!(byte, b' ' | b'.');
    let bytes = folded.as_bytes();
    let cut = from > 0 && bytes.get(from - 1).is_some_and(|byte| !is_gap(byte));
    let said = bytes.get(from..to).unwrap_or_default();
    said.split(is_gap).skip(usize::from(cut)).filter_map(|word| std::str::from_utf8(word).ok())
}

impl Rules {
    /// The words for a call held because somebody is in crisis: its rule id and text.
    pub fn latched(&self) -> (&str, &str) {
        let rule = self.signal(Signal::CrisisLatched);
        (&rule.id, &rule.reason)
    }

    /// People close by that the text names (`brother`), folded: whom a report may be about.
    pub(crate) fn relations<'t>(&self, folded: &'t str) -> Vec<&'t str> {
        folded.split([' ', '.']).filter(|word| self.crisis.relations.contains(*word)).collect()
    }
}
