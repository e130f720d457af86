//! The crisis packs: what to look for, what takes a match back, how to fold. A pattern is compiled when a text
//! first calls for it: seventeen languages are loaded, few are spoken.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::hir::literal::{ExtractKind, Extractor};

use super::pack::{Calm, Crisis, Pack};
use super::{Effects, Rule, RuleError};
use crate::text::{Disguises, Vocabulary, fold, fold_pattern};

/// Texts up to this long are looked through whole; in longer ones only what is around a literal.
const SHORT: usize = 600;
/// Shorter literals call for their rules too often to be of use.
const LITERAL: usize = 3;
/// Bytes around a literal that one pattern may span.
const REACH: usize = 220;

#[derive(Debug)]
pub(crate) struct CrisisRule {
    pub(crate) rule: Rule,
    pub(crate) spec: Crisis,
    pub(crate) expression: Expression,
    pub(crate) calms: Vec<usize>,
}

/// Wording that takes a match back.
#[derive(Debug)]
pub(crate) struct CalmRule {
    pub(crate) rule: Rule,
    pub(crate) spec: Calm,
    pub(crate) expression: Expression,
}

/// A pattern over folded text, compiled on first use.
#[derive(Debug)]
pub(crate) struct Expression {
    source: String,
    compiled: OnceLock<Option<Regex>>,
}

impl Expression {
    fn new(source: String) -> Self {
        Self { source, compiled: OnceLock::new() }
    }

    /// Case and Unicode classes are off the table: they cost ten times the automaton, and texts are folded.
    fn compile(&self) -> Result<Regex, regex::Error> {
        RegexBuilder::new(&self.source).unicode(false).size_limit(1 << 20).build()
    }

    /// The matches that begin in `within`.
    pub(crate) fn find(&self, folded: &str, within: (usize, usize)) -> impl Iterator<Item = (usize, usize)> {
        let expression = self.compiled.get_or_init(|| self.compile().ok()).as_ref();
        let text = folded.as_bytes().get(..within.1).unwrap_or_default();
        let mut at = within.0;
        std::iter::from_fn(move || {
            let found = expression?.find_at(text, at)?;
            at = found.end().max(at + 1);
            Some((found.start(), found.end()))
        })
        .take(16)
    }
}

/// A rule that a literal calls for, and where to look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Called {
    pub(crate) rule: usize,
    pub(crate) within: (usize, usize),
}

#[derive(Debug)]
struct Finder {
    automaton: Option<AhoCorasick>,
    owners: Vec<Vec<usize>>,
}

impl Finder {
    fn of(literals: HashMap<Vec<u8>, Vec<usize>>) -> Self {
        let mut literals: Vec<(Vec<u8>, Vec<usize>)> = literals.into_iter().collect();
        literals.sort();
        let automaton = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(literals.iter().map(|(literal, _)| literal))
            .ok();
        Self { automaton, owners: literals.into_iter().map(|(_, owners)| owners).collect() }
    }
}

#[derive(Debug)]
pub(crate) struct CrisisRules {
    pub(crate) rules: Vec<CrisisRule>,
    pub(crate) calms: Vec<CalmRule>,
    pub(crate) persons: HashSet<String>,
    pub(crate) relations: HashSet<String>,
    vocabulary: Vocabulary,
    disguises: OnceLock<Disguises>,
    /// Literals in Latin letters, and in any other: most texts need not be asked for the second.
    finders: OnceLock<(Finder, Finder)>,
}

impl CrisisRules {
    pub(super) fn compile(packs: &[(String, Pack, bool)], effects: &Effects<'_>) -> Result<Self, RuleError> {
        let mut built = Self {
            rules: Vec::new(),
            calms: Vec::new(),
            persons: HashSet::new(),
            relations: HashSet::new(),
            vocabulary: Vocabulary::default(),
            disguises: OnceLock::new(),
            finders: OnceLock::new(),
        };
        for (name, pack, operator) in packs {
            for calm in &pack.calm {
                let expression = Expression::new(fold_pattern(&calm.re));
                check(name, &calm.id, &expression, *operator)?;
                let rule = effects.rule(name, &calm.id, &calm.reason, "none")?;
                built.calms.push(CalmRule { rule, spec: calm.clone(), expression });
            }
            if let Some(fold) = &pack.fold {
                built.vocabulary.words.extend(fold.words.clone());
                built.vocabulary.keys.extend(fold.keys.iter().cloned());
                built.vocabulary.spared.extend(fold.spared.iter().cloned());
                built.persons.extend(fold.persons.iter().cloned());
                built.relations.extend(fold.relations.iter().cloned());
            }
        }
        for (name, pack, operator) in packs {
            for crisis in &pack.crisis {
                let expression = Expression::new(alternatives(crisis).collect::<Vec<_>>().join("|"));
                check(name, &crisis.id, &expression, *operator)?;
                let calms =
                    built.calms.iter().enumerate().filter(|(_, calm)| calm.spec.calms.contains(&crisis.id));
                built.rules.push(CrisisRule {
                    rule: effects.rule(name, &crisis.id, &crisis.reason, "none")?,
                    expression,
                    calms: calms.map(|(index, _)| index).collect(),
                    spec: crisis.clone(),
                });
            }
        }
        Ok(built)
    }

    /// What was put off until first use, all of it.
    pub(crate) fn warm(&self) {
        self.finders();
        self.disguises();
        let patterns = self.rules.iter().map(|rule| &rule.expression);
        for expression in patterns.chain(self.calms.iter().map(|calm| &calm.expression)) {
            expression.compiled.get_or_init(|| expression.compile().ok());
        }
    }

    /// Ids of the rules that cannot be used, for the tests.
    pub(super) fn broken(&self) -> impl Iterator<Item = String> {
        let unusable = |rule: &&CrisisRule| rule.expression.compile().is_err() || stems(rule).is_none();
        let rules = self.rules.iter().filter(unusable).map(|rule| &rule.rule.id);
        let calms = self.calms.iter().filter(|calm| calm.expression.compile().is_err());
        rules
            .chain(calms.map(|calm| &calm.rule.id))
            .map(|id| format!("{id}: no pattern, or no literal in it"))
    }

    pub(crate) fn disguises(&self) -> &Disguises {
        self.disguises.get_or_init(|| {
            let mut vocabulary = self.vocabulary.clone();
            // The words of the examples are words a disguise is taken off to.
            let examples =
                self.rules.iter().flat_map(|rule| &rule.spec.matches).filter(|text| text.is_ascii());
            for text in examples {
                let folded = fold(text);
                let words = folded.split([' ', '.']).filter(|word| word.len() > 3);
                vocabulary.known.extend(words.map(str::to_owned));
            }
            Disguises::of(&vocabulary)
        })
    }

    /// The rules that literals in `folded` call for, in the order of the packs.
    pub(crate) fn called(&self, folded: &str) -> Vec<Called> {
        let mut calls: Vec<Called> = Vec::new();
        let mut last: Vec<Option<usize>> = Vec::new();
        let (latin, other) = self.finders();
        let asked = [Some(latin), (!folded.is_ascii()).then_some(other)];
        for finder in asked.into_iter().flatten() {
            let Some(automaton) = &finder.automaton else { continue };
            for found in automaton.find_overlapping_iter(folded.as_bytes()) {
                for &rule in finder.owners.get(found.pattern().as_usize()).into_iter().flatten() {
                    if last.is_empty() {
                        last.resize(self.rules.len(), None);
                    }
                    let within = if folded.len() <= SHORT {
                        (0, folded.len())
                    } else {
                        (found.start().saturating_sub(REACH), (found.end() + REACH).min(folded.len()))
                    };
                    let Some(slot) = last.get_mut(rule) else { continue };
                    match slot.and_then(|index| calls.get_mut(index)) {
                        Some(call) if within.0 <= call.within.1 => {
                            call.within.1 = call.within.1.max(within.1)
                        }
                        _ => {
                            *slot = Some(calls.len());
                            calls.push(Called { rule, within });
                        }
                    }
                }
            }
        }
        calls.sort_unstable_by_key(|call| (call.rule, call.within));
        calls
    }

    fn finders(&self) -> &(Finder, Finder) {
        self.finders.get_or_init(|| {
            let mut latin: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
            let mut other: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
            for (index, rule) in self.rules.iter().enumerate() {
                for literal in stems(rule).unwrap_or_default() {
                    let index_of = if literal.is_ascii() { &mut latin } else { &mut other };
                    index_of.entry(literal).or_default().push(index);
                }
            }
            (Finder::of(latin), Finder::of(other))
        })
    }
}

/// An operator's pattern must compile when it is read; ours are compiled by the tests.
fn check(pack: &str, id: &str, expression: &Expression, operator: bool) -> Result<(), RuleError> {
    if operator {
        expression
            .compile()
            .map_err(|error| RuleError { pack: pack.to_owned(), message: format!("rule {id}: {error}") })?;
    }
    Ok(())
}

/// The ways a rule may match, folded as texts are.
fn alternatives(crisis: &Crisis) -> impl Iterator<Item = String> {
    let begun = |phrase: &String| {
        let phrase = fold_pattern(phrase);
        let at_word = phrase.is_ascii()
            && phrase.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '(');
        format!("{}{phrase}", if at_word { r"\b" } else { "" })
    };
    let re = (!crisis.re.is_empty()).then(|| fold_pattern(&crisis.re));
    re.into_iter().chain(crisis.phrases.iter().map(begun))
}

/// The declared literals, else those every match begins or ends with; `None` when it could be anything.
fn stems(rule: &CrisisRule) -> Option<Vec<Vec<u8>>> {
    let declared = &rule.spec.stems;
    if !declared.is_empty() {
        return Some(declared.iter().map(|stem| fold_pattern(stem).to_lowercase().into_bytes()).collect());
    }
    let literals: Option<Vec<_>> = alternatives(&rule.spec).map(|phrase| literals(&phrase)).collect();
    Some(literals?.into_iter().flatten().collect())
}

/// Beginnings or endings of every match, whichever say more.
fn literals(phrase: &str) -> Option<Vec<Vec<u8>>> {
    let parsed = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build().parse(phrase).ok()?;
    let extracted = |kind: ExtractKind| {
        let sequence = Extractor::new().kind(kind).limit_total(400).extract(&parsed);
        let literals: Vec<Vec<u8>> =
            sequence.literals()?.iter().map(|literal| literal.as_bytes().to_vec()).collect();
        let shortest = literals.iter().map(Vec::len).min()?;
        (shortest >= LITERAL).then_some((shortest, literals))
    };
    let best = [extracted(ExtractKind::Prefix), extracted(ExtractKind::Suffix)];
    best.into_iter().flatten().max_by_key(|(shortest, _)| *shortest).map(|(_, literals)| literals)
}
