//! The words of names, fields and descriptions, and what each says a tool does.

use std::collections::HashMap;
use std::sync::Arc;

use super::pack::{Names, Pack};
use super::{Effect, Effects, Rule, RuleError};
use crate::SideEffect;

/// What words say of tools no pack knows.
#[derive(Debug, Default)]
pub(crate) struct Lexicon {
    /// By their first word; those of two words are longer than one.
    verbs: HashMap<String, Vec<Verb>>,
    weak: HashMap<String, Arc<Rule>>,
    /// Weak only where a word follows: `log_visit`, but not `git_log`.
    leading: HashMap<String, Arc<Rule>>,
    nouns: HashMap<String, Vec<Arc<Noun>>>,
    pub(crate) fields: Vec<Fields>,
    names: Names,
}

#[derive(Debug)]
struct Verb {
    second: Option<String>,
    with: Arc<[String]>,
    vague: bool,
    rule: Arc<Rule>,
}

/// A noun that speaks beside a verb that acts, or beside one of its own.
#[derive(Debug)]
pub(crate) struct Noun {
    pub(crate) rule: Rule,
    with: Vec<String>,
    served: Vec<String>,
    unless: Vec<String>,
    pub(crate) telling: bool,
}

/// Fields that say together what a tool is for.
#[derive(Debug)]
pub(crate) struct Fields {
    pub(crate) rule: Rule,
    pub(crate) all: Vec<Vec<String>>,
    pub(crate) reads: bool,
    pub(crate) given: bool,
    pub(crate) values: Vec<String>,
}

/// A verb found in a name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spoken<'r> {
    pub(crate) rule: &'r Rule,
    /// As often a noun, so that others may know better.
    pub(crate) weak: bool,
    /// It says that something is done and not what: `manage`.
    pub(crate) vague: bool,
}

/// Verbs that no noun is mistaken for.
const ASKS: [&str; 5] = ["get", "list", "describe", "fetch", "find"];

impl Spoken<'_> {
    pub(crate) fn class(&self) -> SideEffect {
        self.rule.effect.class
    }
}

impl Lexicon {
    pub(super) fn lay(&mut self, name: &str, pack: &Pack, effects: &Effects<'_>) -> Result<(), RuleError> {
        for word in &pack.verb {
            let rule = Arc::new(effects.rule(name, &word.id, &word.reason, &word.effect)?);
            let with: Arc<[String]> = word.with.clone().into();
            for text in &word.words {
                if word.leading || word.weak {
                    let index = if word.leading { &mut self.leading } else { &mut self.weak };
                    index.entry(text.clone()).or_insert_with(|| Arc::clone(&rule));
                    continue;
                }
                let (first, second) = match text.split_once('_') {
                    Some((first, second)) => (first, Some(second.to_owned())),
                    None => (text.as_str(), None),
                };
                let known = self.verbs.entry(first.to_owned()).or_default();
                known.push(Verb {
                    second,
                    with: Arc::clone(&with),
                    vague: word.vague,
                    rule: Arc::clone(&rule),
                });
            }
        }
        if let Some(names) = &pack.names {
            self.names = names.clone();
        }
        for word in &pack.noun {
            let noun = Arc::new(Noun {
                rule: effects.rule(name, &word.id, &word.reason, &word.effect)?,
                with: word.with.clone(),
                served: word.served.clone(),
                unless: word.unless.clone(),
                telling: word.telling,
            });
            for text in &word.words {
                self.nouns.entry(text.clone()).or_default().push(Arc::clone(&noun));
            }
        }
        for fields in &pack.fields {
            self.fields.push(Fields {
                rule: effects.rule(name, &fields.id, &fields.reason, &fields.effect)?,
                all: fields.all.clone(),
                reads: fields.reads,
                given: fields.given,
                values: fields.values.clone(),
            });
        }
        Ok(())
    }

    /// The verb that speaks for a name: the first one, or the worst of those joined by "and" or "or". Words
    /// that are as often nouns speak only first, and only where no other verb does. After `reach` words, and as
    /// many after each "and", no verb is looked for.
    pub(crate) fn verb(&self, words: &[String], reach: usize) -> Option<Spoken<'_>> {
        let mut speaks: Option<Spoken<'_>> = None;
        let mut joined = true;
        let mut end = reach;
        for (index, word) in words.iter().enumerate() {
            if matches!(word.as_str(), "and" | "or" | "then") {
                joined = true;
                end = end.max(index.saturating_add(reach));
                continue;
            }
            if !joined || index >= end {
                continue;
            }
            if let Some(found) = self.at(index, word, words) {
                let instead = || self.instead(index, word, words, found);
                let found = Some(found).filter(|_| reach < usize::MAX).or_else(instead).unwrap_or(found);
                if speaks.is_none_or(|known| found.class() > known.class()) {
                    speaks = Some(found);
                }
                joined = false;
            }
        }
        let leading = || match words {
            [first, _, ..] => self.leading.get(first),
            _ => None,
        };
        let result = || match words {
            [first, .., _] if self.names.nouns.contains(first) => self.result(words).map(|said| said.rule),
            _ => None,
        };
        let weak = || words.iter().take(2).find_map(|word| self.weak.get(word).map(AsRef::as_ref));
        speaks.or_else(|| {
            let rule = result().or_else(|| leading().map(AsRef::as_ref)).or_else(weak);
            rule.map(|rule| Spoken { rule, weak: true, vague: false })
        })
    }

    /// What speaks in the place of a verb that was a noun: `refund_status` asks, `compute_instances_delete` removes.
    fn instead(&self, index: usize, word: &str, words: &[String], found: Spoken<'_>) -> Option<Spoken<'_>> {
        let is = |list: &[String]| list.iter().any(|noun| noun == word);
        if index + 1 >= words.len() || !(is(&self.names.nouns) || is(&self.names.endings)) {
            return None;
        }
        if found.class() > SideEffect::ReadOnly {
            let asks = words.get(index + 1).filter(|next| ASKS.contains(&next.as_str()));
            return self.result(words).or_else(|| self.at(index + 1, asks?, words));
        }
        let acts = |index: usize| {
            let said = self.at(index, words.get(index)?, words)?;
            (said.class() > SideEffect::ReadOnly).then_some(said)
        };
        let next = is(&self.names.nouns).then(|| acts(index + 1)).flatten();
        next.or_else(|| acts(words.len() - 1))
    }

    /// What a name asks for by its last word.
    fn result(&self, words: &[String]) -> Option<Spoken<'_>> {
        let last = words.last().filter(|last| self.names.results.contains(last))?;
        let weak = || self.weak.get(last).map(|rule| Spoken { rule, weak: true, vague: false });
        self.at(words.len() - 1, last, words).or_else(weak)
    }

    /// The most telling of what a word may say: two words before one, a verb of certain objects before others.
    fn at(&self, index: usize, word: &str, words: &[String]) -> Option<Spoken<'_>> {
        let known = self.verbs.get(word)?;
        let next = words.get(index + 1);
        let holds = |verb: &Verb| {
            verb.second.as_ref().is_none_or(|second| next == Some(second))
                && (verb.with.is_empty() || words.iter().any(|other| verb.with.contains(other)))
        };
        let rank = |verb: &Verb| (verb.second.is_some(), !verb.with.is_empty());
        let mut best: Option<&Verb> = None;
        for verb in known.iter().filter(|verb| holds(verb)) {
            if best.is_none_or(|best| rank(verb) > rank(best)) {
                best = Some(verb);
            }
        }
        let verb = best?;
        // An object makes a verb harmless only where no other word of the name destroys.
        let plain = known.iter().find(|verb| verb.second.is_none() && verb.with.is_empty());
        let harmless = plain.filter(|plain| {
            !verb.with.is_empty()
                && plain.rule.effect.class > verb.rule.effect.class
                && words.iter().any(|other| other != word && self.destroys(other))
        });
        let verb = harmless.unwrap_or(verb);
        Some(Spoken { rule: &verb.rule, weak: false, vague: verb.vague })
    }

    /// The effect of a rule for verbs.
    pub(super) fn effect(&self, id: &str) -> Option<&Effect> {
        let verbs = self.verbs.values().flatten().map(|verb| &verb.rule);
        let mut rules = verbs.chain(self.weak.values()).chain(self.leading.values());
        rules.find(|rule| rule.id == id).map(|rule| &rule.effect)
    }

    fn destroys(&self, word: &str) -> bool {
        let known = self.verbs.get(word).into_iter().flatten();
        known.into_iter().any(|verb| {
            verb.second.is_none() && verb.with.is_empty() && verb.rule.effect.class == SideEffect::Critical
        })
    }

    /// The nouns that speak in a name. A server's own name may be what one of them stands beside.
    pub(crate) fn nouns<'l, 'w>(
        &'l self,
        words: &'w [String],
        server: &'w [String],
        acts: bool,
    ) -> impl Iterator<Item = &'l Noun> + use<'l, 'w> {
        let spoken = words.iter().flat_map(|word| self.nouns.get(word).into_iter().flatten());
        spoken.map(AsRef::as_ref).filter(move |noun| {
            let beside = |list: &[String]| words.iter().any(|word| list.contains(word));
            let shows = noun.rule.effect.class == SideEffect::ReadOnly;
            let served = || server.iter().any(|word| noun.served.contains(word));
            let spoken =
                (noun.with.is_empty() && acts) || beside(&noun.with) || ((acts || shows) && served());
            (noun.telling || spoken) && !beside(&noun.unless)
        })
    }

    /// Whether the lexicon has any word on it.
    pub(crate) fn knows(&self, word: &str) -> bool {
        self.verbs.contains_key(word) || self.weak.contains_key(word) || self.leading.contains_key(word)
    }

    /// Whether the word opens a name that looks and does not touch.
    pub(crate) fn looks(&self, word: &str) -> bool {
        let known = self.verbs.get(word).into_iter().flatten();
        known.into_iter().any(|verb| verb.second.is_none() && verb.rule.effect.class == SideEffect::ReadOnly)
    }
}
