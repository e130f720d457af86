//! The crisis packs: what to look for, what takes a match back, how to fold. A pattern is compiled when its words
//! first turn up together: seventeen languages are loaded, few are spoken.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use regex_automata::nfa::thompson::backtrack::{self, BoundedBacktracker};
use regex_automata::nfa::thompson::{self, NFA};
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

use super::literals::Literals;
use super::pack::{Calm, Crisis, Pack};
use super::ways::{Way, ways};
use super::{Effects, Rule, RuleError};
use crate::text::{Disguises, Vocabulary};

/// Bytes between two words of one pattern, and around the last of them.
const REACH: usize = 180;
/// Bytes one pattern needs at most to keep track of a search.
const TRACK: usize = 1 << 20;

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

/// One alternative of a pattern over folded text.
#[derive(Debug)]
struct Pattern {
    owner: Owner,
    source: String,
    compiled: OnceLock<Option<BoundedBacktracker>>,
    /// The sets of words that come before its last one.
    before: Box<[u32]>,
}

impl Pattern {
    /// What is searched is a few hundred bytes long, so neither a reverse automaton nor a cache would pay.
    fn compile(&self) -> Option<BoundedBacktracker> {
        let config = thompson::Config::new().utf8(false).nfa_size_limit(Some(TRACK));
        let nfa = NFA::compiler()
            .configure(config)
            .syntax(syntax::Config::new().utf8(false))
            .build(&self.source)
            .ok()?;
        BoundedBacktracker::builder()
            .configure(backtrack::Config::new().visited_capacity(TRACK))
            .build_from_nfa(nfa)
            .ok()
    }

    fn usable(&self) -> bool {
        self.compile().is_some_and(|engine| engine.max_haystack_len() > 4 * REACH)
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

#[derive(Debug)]
pub(crate) struct CrisisRules {
    pub(crate) rules: Vec<CrisisRule>,
    pub(crate) calms: Vec<CalmRule>,
    pub(crate) relations: HashSet<String>,
    patterns: Vec<Pattern>,
    literals: Literals,
    /// The patterns that end with a set of words, by set.
    ending: Vec<Vec<u32>>,
    vocabulary: Vocabulary,
    disguises: OnceLock<Disguises>,
}

impl CrisisRules {
    pub(super) fn compile(packs: &[(String, Pack, bool)], effects: &Effects<'_>) -> Result<Self, RuleError> {
        let mut draft = Draft::default();
        let mut built = Self {
            rules: Vec::new(),
            calms: Vec::new(),
            relations: HashSet::new(),
            patterns: Vec::new(),
            literals: Literals::of([]),
            ending: Vec::new(),
            vocabulary: Vocabulary::default(),
            disguises: OnceLock::new(),
        };
        for (name, pack, operator) in packs {
            for calm in &pack.calm {
                let owner = Owner::Calm(built.calms.len());
                let apart = || ways(&calm.re, &[], &[]);
                draft.take(owner, &calm.ways, apart, *operator).map_err(|fault| fault.of(name, &calm.id))?;
                let rule = effects.rule(name, &calm.id, &calm.reason, "none")?;
                built.calms.push(CalmRule { rule, spec: calm.clone(), persons: persons(packs, &calm.id) });
            }
            if let Some(fold) = &pack.fold {
                built.vocabulary.words.extend(fold.words.clone());
                built.vocabulary.keys.extend(fold.keys.iter().cloned());
                built.vocabulary.spared.extend(fold.spared.iter().cloned());
                built.vocabulary.known.extend(fold.known.iter().cloned());
                built.vocabulary.hearts.extend(fold.hearts.iter().cloned());
                built.relations.extend(fold.relations.iter().cloned());
            }
        }
        for (name, pack, operator) in packs {
            for crisis in &pack.crisis {
                let owner = Owner::Rule(built.rules.len());
                let apart = || ways(&crisis.re, &crisis.phrases, &crisis.stems);
                draft
                    .take(owner, &crisis.ways, apart, *operator)
                    .map_err(|fault| fault.of(name, &crisis.id))?;
                let calms =
                    built.calms.iter().enumerate().filter(|(_, calm)| calm.spec.calms.contains(&crisis.id));
                built.rules.push(CrisisRule {
                    rule: effects.rule(name, &crisis.id, &crisis.reason, "none")?,
                    calms: calms.map(|(index, _)| index).collect(),
                    persons: persons(packs, &crisis.id),
                    spec: crisis.clone(),
                });
            }
        }
        built.literals = Literals::of(draft.literals);
        built.ending = draft.ending;
        built.patterns = draft.patterns;
        Ok(built)
    }

    /// What was put off until first use, all of it.
    pub(crate) fn warm(&self) {
        self.disguises();
        for pattern in &self.patterns {
            pattern.compiled.get_or_init(|| pattern.compile());
        }
    }

    /// Patterns that cannot be used, for the tests.
    pub(super) fn broken(&self) -> impl Iterator<Item = String> {
        let broken = self.patterns.iter().filter(|pattern| !pattern.usable());
        broken.map(|pattern| {
            format!("{:?}: {} is no pattern, or too large a one", pattern.owner, pattern.source)
        })
    }

    pub(crate) fn disguises(&self) -> &Disguises {
        self.disguises.get_or_init(|| Disguises::of(&self.vocabulary))
    }

    /// The patterns whose words stand together in `folded`, by owner and place.
    pub(crate) fn called(&self, folded: &str) -> Vec<Called> {
        let mut calls: Vec<Called> = Vec::new();
        // Where a word of each set was seen last, plus one.
        let mut seen = vec![0u32; self.ending.len()];
        self.literals.each(folded.as_bytes(), |at, sets| {
            for &set in sets {
                let near = |seen: &[u32], set: u32| {
                    let last = seen.get(set as usize).copied().unwrap_or_default() as usize;
                    last > 0 && last + REACH > at
                };
                for &index in self.ending.get(set as usize).into_iter().flatten() {
                    let Some(pattern) = self.patterns.get(index as usize) else { continue };
                    if pattern.before.iter().all(|set| near(&seen, *set)) {
                        calls.push(Called {
                            owner: pattern.owner,
                            pattern: index as usize,
                            from: at.saturating_sub(2 * REACH),
                            to: (at + REACH).min(folded.len()),
                        });
                    }
                }
                if let Some(last) = seen.get_mut(set as usize) {
                    *last = u32::try_from(at + 1).unwrap_or(u32::MAX);
                }
            }
        });
        calls.sort_unstable();
        calls.dedup_by(|next, call| {
            let joins =
                next.pattern == call.pattern && next.from <= call.to && next.to - call.from <= 3 * REACH;
            if joins {
                call.to = call.to.max(next.to);
            }
            joins
        });
        calls
    }

    /// The matches of a pattern that was called.
    pub(crate) fn find(&self, called: Called, folded: &str) -> impl Iterator<Item = (usize, usize)> {
        let pattern = self.patterns.get(called.pattern);
        let engine = pattern.and_then(|pattern| pattern.compiled.get_or_init(|| pattern.compile()).as_ref());
        let mut cache = engine.map(BoundedBacktracker::create_cache);
        let mut at = called.from;
        std::iter::from_fn(move || {
            let (engine, cache) = engine.zip(cache.as_mut())?;
            let input = Input::new(folded).range(at.min(called.to)..called.to).anchored(Anchored::No);
            let mut slots = [None; 2];
            engine.try_search_slots(cache, &input, &mut slots).ok()??;
            let (start, end) = (slots[0]?.get(), slots[1]?.get());
            at = end.max(at + 1);
            Some((start, end))
        })
        .take(16)
    }
}

/// Words of the first and second person in the language a rule's id names: a language may have several packs.
fn persons(packs: &[(String, Pack, bool)], id: &str) -> Arc<HashSet<String>> {
    let language = |id: &str| id.split('.').nth(1).unwrap_or_default().to_owned();
    let speaks = |pack: &Pack| pack.crisis.iter().any(|rule| language(&rule.id) == language(id));
    let folds =
        packs.iter().filter(|(_, pack, _)| speaks(pack)).filter_map(|(_, pack, _)| pack.fold.as_ref());
    Arc::new(folds.flat_map(|fold| fold.persons.iter().cloned()).collect())
}

/// Patterns and their words, on the way to [`CrisisRules`].
#[derive(Default)]
struct Draft {
    patterns: Vec<Pattern>,
    sets: HashMap<Vec<String>, u32>,
    literals: HashMap<String, Vec<u32>>,
    ending: Vec<Vec<u32>>,
}

/// What is wrong with a pattern.
struct Fault(String);

impl Fault {
    fn of(self, pack: &str, id: &str) -> RuleError {
        RuleError { pack: pack.to_owned(), message: format!("rule {id}: {}", self.0) }
    }
}

impl Draft {
    /// Takes in the ways of one rule, taken apart by the build or here. An operator's pattern must be usable when
    /// it is read; ours are tried by the tests.
    fn take(
        &mut self,
        owner: Owner,
        built: &[Way],
        apart: impl FnOnce() -> Result<Vec<Way>, String>,
        operator: bool,
    ) -> Result<(), Fault> {
        let apart = if built.is_empty() { apart().map_err(Fault)? } else { Vec::new() };
        for way in built.iter().chain(&apart) {
            let mut sets: Vec<u32> = way.sets.iter().map(|words| self.set(words)).collect();
            let Some(last) = sets.pop() else { return Err(Fault(format!("{} names no words", way.re))) };
            let pattern =
                Pattern { owner, source: way.re.clone(), compiled: OnceLock::new(), before: sets.into() };
            if operator && !pattern.usable() {
                return Err(Fault(format!("{} is no pattern, or too large a one", way.re)));
            }
            if let (Some(ending), Ok(index)) =
                (self.ending.get_mut(last as usize), u32::try_from(self.patterns.len()))
            {
                ending.push(index);
            }
            self.patterns.push(pattern);
        }
        Ok(())
    }

    fn set(&mut self, words: &[String]) -> u32 {
        if let Some(known) = self.sets.get(words) {
            return *known;
        }
        let set = u32::try_from(self.sets.len()).unwrap_or(u32::MAX);
        self.sets.insert(words.to_vec(), set);
        self.ending.push(Vec::new());
        for word in words {
            self.literals.entry(word.clone()).or_default().push(set);
        }
        set
    }
}
