//! The crisis packs: what to look for, what takes a match back, how to fold. A pattern is compiled when its words
//! first turn up together: seventeen languages are loaded, few are spoken.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use super::index::{Index, Layout, REACH};
use super::pack::{Calm, Crisis, Fold, Pack};
use super::search::Search;
use super::ways::ways;
use super::{Effects, Rule, RuleError, embedded};
use crate::packed::Packed;
use crate::text::{Disguises, Vocabulary, Words, lay};

#[derive(Debug)]
pub(crate) struct CrisisRule {
    pub(crate) rule: Rule,
    pub(crate) spec: Crisis,
    pub(crate) calms: Vec<usize>,
    /// Words of the first and second person in the language of its pack.
    pub(crate) persons: Arc<HashSet<String>>,
}

/// Wording that takes a match back.
#[derive(Debug)]
pub(crate) struct CalmRule {
    pub(crate) rule: Rule,
    pub(crate) spec: Calm,
    /// Words of the first and second person in the language of its pack.
    pub(crate) persons: Arc<HashSet<String>>,
}

/// Whose pattern it is: an index into the rules, or into the calms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    Rule(usize),
    Calm(usize),
}

/// One alternative of a pattern over folded text, once it was asked for.
type Engine = OnceLock<Option<Box<Search>>>;

/// What is searched is a few hundred bytes long, so neither a reverse automaton nor a cache would pay.
fn engine(source: &str) -> Option<Box<Search>> {
    Search::of(source, 4 * REACH).map(Box::new)
}

/// The patterns of the shipped packs, or those of the operator's.
#[derive(Debug)]
struct Part {
    index: Index,
    /// By the index's own numbers.
    owners: Box<[Option<Owner>]>,
    engines: Box<[Engine]>,
    /// The number of its first pattern among those of all parts.
    first: usize,
}

impl Part {
    fn of(index: Index, owners: &HashMap<&str, Owner>, first: usize) -> Self {
        Self {
            owners: index.owners().map(|id| owners.get(id).copied()).collect(),
            engines: (0..index.patterns()).map(|_| Engine::new()).collect(),
            index,
            first,
        }
    }

    fn owner(&self, pattern: usize) -> Option<Owner> {
        self.owners.get(self.index.owner(pattern)?).copied().flatten()
    }

    fn engine(&self, pattern: usize) -> Option<&Search> {
        let engine = || engine(self.index.source(pattern));
        self.engines.get(pattern)?.get_or_init(engine).as_deref()
    }
}

/// A pattern whose words stand together, and where to look for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Called {
    pub(crate) owner: Owner,
    pattern: usize,
    from: usize,
    to: usize,
}

impl Called {
    /// Whether it may find anything that touches the place.
    pub(crate) fn reaches(&self, start: usize, end: usize) -> bool {
        self.from < end && start < self.to
    }
}

#[derive(Debug)]
pub(crate) struct CrisisRules {
    pub(crate) rules: Vec<CrisisRule>,
    pub(crate) calms: Vec<CalmRule>,
    pub(crate) relations: HashSet<String>,
    parts: Vec<Part>,
    pub(crate) disguises: Disguises,
}

impl CrisisRules {
    pub(super) fn compile(packs: &[(String, Pack, bool)], effects: &Effects<'_>) -> Result<Self, RuleError> {
        let mut built = Self {
            rules: Vec::new(),
            calms: Vec::new(),
            relations: HashSet::new(),
            parts: Vec::new(),
            disguises: Disguises::of(Words::of(Packed::at(embedded::WORDS))),
        };
        if packs.iter().any(|(_, pack, operator)| *operator && pack.fold.is_some()) {
            let folds = packs.iter().filter_map(|(_, pack, _)| pack.fold.as_ref());
            built.disguises = Disguises::of(Words::of(Packed::from(lay(&vocabulary(folds)))));
        }
        let persons = Persons::of(packs);
        let mut layout = Layout::default();
        let (mut owners, mut shipped) = (HashMap::new(), HashMap::new());
        for (name, pack, operator) in packs {
            for calm in &pack.calm {
                let owner = Owner::Calm(built.calms.len());
                if *operator {
                    take(&mut layout, name, &calm.id, (&calm.re, &[], &[]))?;
                    owners.insert(calm.id.as_str(), owner);
                } else {
                    shipped.insert(calm.id.as_str(), owner);
                }
                let rule = effects.rule(name, &calm.id, &calm.reason, "none")?;
                built.calms.push(CalmRule { rule, spec: calm.clone(), persons: persons.of_rule(&calm.id) });
            }
            if let Some(fold) = &pack.fold {
                built.relations.extend(fold.relations.iter().cloned());
            }
        }
        for (name, pack, operator) in packs {
            for crisis in &pack.crisis {
                let owner = Owner::Rule(built.rules.len());
                if *operator {
                    take(&mut layout, name, &crisis.id, (&crisis.re, &crisis.phrases, &crisis.stems))?;
                    owners.insert(crisis.id.as_str(), owner);
                } else {
                    shipped.insert(crisis.id.as_str(), owner);
                }
                let calms =
                    built.calms.iter().enumerate().filter(|(_, calm)| calm.spec.calms.contains(&crisis.id));
                built.rules.push(CrisisRule {
                    rule: effects.rule(name, &crisis.id, &crisis.reason, "none")?,
                    calms: calms.map(|(index, _)| index).collect(),
                    persons: persons.of_rule(&crisis.id),
                    spec: crisis.clone(),
                });
            }
        }
        let ours = Part::of(Index::of(Packed::at(embedded::INDEX)), &shipped, 0);
        let theirs = (!owners.is_empty())
            .then(|| Part::of(Index::of(Packed::from(layout.lay())), &owners, ours.engines.len()));
        built.parts = std::iter::once(ours).chain(theirs).collect();
        Ok(built)
    }

    /// Patterns that cannot be used, for the tests.
    pub(super) fn broken(&self) -> impl Iterator<Item = String> {
        let patterns =
            self.parts.iter().flat_map(|part| (0..part.engines.len()).map(move |pattern| (part, pattern)));
        let broken = patterns.filter(|(part, pattern)| {
            part.owner(*pattern).is_none() || engine(part.index.source(*pattern)).is_none()
        });
        broken.map(|(part, pattern)| {
            let (owner, source) = (part.owner(pattern), part.index.source(pattern));
            format!("{owner:?}: {source} is no pattern, or too large a one")
        })
    }

    /// The patterns whose words stand together in `folded`, by owner and place.
    pub(crate) fn called<'t>(&'t self, folded: &'t str) -> Calls<'t> {
        let mut called: Vec<Called> = Vec::new();
        let mut words = Vec::new();
        for part in &self.parts {
            words.push(part.index.each(folded, |pattern, at| {
                called.extend(part.owner(pattern).map(|owner| Called {
                    owner,
                    pattern: part.first + pattern,
                    from: at.saturating_sub(2 * REACH),
                    to: (at + REACH).min(folded.len()),
                }));
            }));
        }
        called.sort_unstable();
        called.dedup_by(|next, call| {
            let joins =
                next.pattern == call.pattern && next.from <= call.to && next.to - call.from <= 3 * REACH;
            if joins {
                call.to = call.to.max(next.to);
            }
            joins
        });
        Calls { called, rules: self, folded, words }
    }
}

/// What is called for in one text.
pub(crate) struct Calls<'t> {
    pub(crate) called: Vec<Called>,
    rules: &'t CrisisRules,
    folded: &'t str,
    /// For each part, where words of its sets stand.
    words: Vec<Vec<(usize, usize)>>,
}

impl Calls<'_> {
    /// The matches of a pattern that was called.
    pub(crate) fn find(&self, called: Called) -> impl Iterator<Item = (usize, usize)> {
        let parts = self.rules.parts.iter().zip(&self.words);
        let part = parts.rev().find(|(part, _)| part.first <= called.pattern);
        let mut at = called.from;
        std::iter::from_fn(move || {
            let (part, words) = part?;
            let pattern = called.pattern - part.first;
            let engine = part.engine(pattern)?;
            let found = match part.index.begins(pattern) {
                Some(set) => {
                    let first = words.partition_point(|(place, _)| *place < at);
                    let near = words.iter().skip(first).take_while(|(place, _)| *place < called.to);
                    let places = near.filter(|(_, begun)| *begun == set).map(|(place, _)| *place);
                    engine.first(self.folded, places, called.to)
                }
                None => engine.first(self.folded, engine.places(self.folded, at, called.to), called.to),
            };
            let (start, end) = found?;
            at = end.max(at + 1);
            Some((start, end))
        })
        .take(16)
    }
}

fn vocabulary<'f>(folds: impl Iterator<Item = &'f Fold>) -> Vocabulary {
    let mut vocabulary = Vocabulary::default();
    for fold in folds {
        vocabulary.words.extend(fold.words.clone());
        vocabulary.keys.extend(fold.keys.iter().cloned());
        vocabulary.spared.extend(fold.spared.iter().cloned());
        vocabulary.known.extend(fold.known.iter().cloned());
        vocabulary.hearts.extend(fold.hearts.iter().cloned());
    }
    vocabulary
}

/// Words of the first and second person by language, which a rule's id names: a language may have several packs.
struct Persons(HashMap<String, Arc<HashSet<String>>>);

impl Persons {
    fn of(packs: &[(String, Pack, bool)]) -> Self {
        let mut persons: HashMap<String, HashSet<String>> = HashMap::new();
        for (_, pack, _) in packs {
            let said = pack.fold.as_ref().map(|fold| fold.persons.as_slice()).unwrap_or_default();
            let mut spoken: Vec<&str> = pack.crisis.iter().map(|rule| language(&rule.id)).collect();
            spoken.dedup();
            for language in spoken {
                persons.entry(language.to_owned()).or_default().extend(said.iter().cloned());
            }
        }
        Self(persons.into_iter().map(|(language, persons)| (language, Arc::new(persons))).collect())
    }

    fn of_rule(&self, id: &str) -> Arc<HashSet<String>> {
        self.0.get(language(id)).cloned().unwrap_or_default()
    }
}

fn language(id: &str) -> &str {
    id.split('.').nth(1).unwrap_or_default()
}

/// Takes in a rule of an operator's pack, whose patterns must be usable when they are read; ours are tried by the
/// tests.
fn take(
    layout: &mut Layout,
    pack: &str,
    id: &str,
    (re, phrases, stems): (&str, &[String], &[String]),
) -> Result<(), RuleError> {
    let fault =
        |message: String| RuleError { pack: pack.to_owned(), message: format!("rule {id}: {message}") };
    let ways = ways(re, phrases, stems).map_err(fault)?;
    if let Some(way) = ways.iter().find(|way| engine(&way.re).is_none()) {
        return Err(fault(format!("{} is no pattern, or too large a one", way.re)));
    }
    layout.take(id, &ways).map_err(fault)
}
