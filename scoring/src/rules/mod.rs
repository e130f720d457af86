//! Rule packs: read, checked and compiled once.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use sha2::{Digest, Sha256};

pub(crate) mod calls;
mod crisis;
mod embedded;
mod examples;
mod floors;
pub(crate) mod glob;
mod index;
mod lexicon;
mod literals;
pub(crate) mod options;
pub(crate) mod pack;
mod patterns;
mod programs;
mod reference;
mod search;
mod ways;

use crate::Undo;
use crate::text::fold_pattern;
pub(crate) use crisis::{CalmRule, CrisisRule, CrisisRules, Owner};
use lexicon::Lexicon;
pub(crate) use lexicon::{Fields, Noun, Spoken};
use pack::Pack;
pub(crate) use pack::{Effect, Model, Parties, Signal};
pub(crate) use patterns::Patterns;
pub(crate) use programs::{Programs, Spec, option_in};
pub use reference::reference;

/// Compiled rules: the shipped packs and whatever the operator lays over them.
pub struct Rules {
    digest: String,
    pub(crate) model: Model,
    pub(crate) tools: Tools,
    pub(crate) lexicon: Lexicon,
    pub(crate) roles: HashMap<String, pack::Role>,
    pub(crate) dispatchers: Vec<Dispatcher>,
    pub(crate) programs: Programs,
    pub(crate) code_calls: calls::CodeCalls,
    pub(crate) paths: Vec<PathRule>,
    pub(crate) path_stems: Stems,
    pub(crate) hosts: Vec<(Vec<String>, Rule)>,
    pub(crate) patterns: HashMap<pack::Scope, Patterns>,
    pub(crate) crisis: CrisisRules,
    pub(crate) lines: Vec<crate::crisis::HelpLine>,
    signals: BTreeMap<Signal, Rule>,
    /// Of the operator's packs; those of the shipped ones stay in the binary until they are asked for.
    examples: Vec<examples::Example>,
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// What every matched rule has: who it is, its words, what it says.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) reason: String,
    pub(crate) effect: Effect,
}

#[derive(Debug)]
pub(crate) struct ToolRule {
    pub(crate) rule: Rule,
    pub(crate) spec: pack::Tool,
    pub(crate) certainty: f64,
    /// From a pack that nobody trusted signed: what others say of the tool counts too, where it is graver.
    pub(crate) unsigned: bool,
}

/// Tool rules in order of trust, found by exact name or by glob.
#[derive(Debug, Default)]
pub(crate) struct Tools {
    entries: Vec<ToolRule>,
    named: HashMap<String, Vec<usize>>,
    /// Rules with a wildcard, by the literals their names must hold; those of a bare `*` are always asked.
    stems: Stems,
    always: Vec<usize>,
}

impl Tools {
    /// Rules whose tool pattern takes `name`, most trusted first.
    pub(crate) fn of(&self, name: &str) -> Vec<&ToolRule> {
        let named = self.named.get(name).into_iter().flatten().copied();
        let globbed = self.stems.called(name.as_bytes()).into_iter().chain(self.always.iter().copied());
        let globbed = globbed.filter(|index| {
            let entry = self.entries.get(*index);
            entry.is_some_and(|entry| entry.spec.tools.iter().any(|tool| glob::matches(tool, name)))
        });
        let mut order: Vec<usize> = named.chain(globbed).collect();
        order.sort_unstable();
        order.dedup();
        order.iter().filter_map(|index| self.entries.get(*index)).collect()
    }

    fn effect(&self, id: &str) -> Option<&Effect> {
        self.entries.iter().find(|entry| entry.rule.id == id).map(|entry| &entry.rule.effect)
    }

    /// Once every rule is in: the literals of their wildcards.
    fn index(&mut self) {
        let stems = self.entries.iter().map(|entry| {
            let globbed = entry.spec.tools.iter().filter(|tool| !glob::is_literal(tool));
            globbed.map(|tool| literal(tool)).filter(|literal| !literal.is_empty()).collect()
        });
        self.stems = Stems::of(stems);
    }

    fn push(&mut self, entry: ToolRule) {
        let index = self.entries.len();
        for tool in &entry.spec.tools {
            if glob::is_literal(tool) {
                self.named.entry(tool.clone()).or_default().push(index);
            } else if literal(tool).is_empty() {
                self.always.push(index);
            }
        }
        self.entries.push(entry);
    }
}

#[derive(Debug)]
pub(crate) struct Dispatcher {
    pub(crate) rule: Rule,
    pub(crate) spec: pack::Dispatcher,
    /// From a pack that nobody trusted signed: it speaks only of tools nobody else knows.
    pub(crate) unsigned: bool,
}

#[derive(Debug)]
pub(crate) struct PathRule {
    pub(crate) rule: Rule,
    pub(crate) globs: Vec<String>,
    pub(crate) except: Vec<String>,
    pub(crate) scratch: bool,
    pub(crate) anywhere: bool,
    pub(crate) read: Option<Rule>,
    pub(crate) write: Option<Rule>,
    pub(crate) delete: Option<Rule>,
}

/// Which rules a literal in a text calls for.
pub(crate) type Stems = patterns::Stems;

/// A pack of the operator, as text.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    pub name: &'a str,
    pub text: &'a str,
    /// Somebody the operator trusts signed it: it may lower what the shipped packs hold.
    pub trusted: bool,
}

impl<'a> From<(&'a str, &'a str)> for Source<'a> {
    fn from((name, text): (&'a str, &'a str)) -> Self {
        Self { name, text, trusted: false }
    }
}

/// A pack that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rule pack {pack}: {message}")]
pub struct RuleError {
    pub pack: String,
    pub message: String,
}

impl Rules {
    /// The packs in the binary.
    ///
    /// # Errors
    /// When a shipped pack does not compile, which the tests rule out.
    pub fn shipped() -> Result<Self, RuleError> {
        Self::with_packs(std::iter::empty::<(&str, &str)>())
    }

    /// The shipped packs with the operator's laid over them. The operator's tool rules are asked before the shipped
    /// ones, everything else adds to them. Only a trusted pack may lower what a shipped one holds for a person, and
    /// none what is said of a crisis.
    ///
    /// # Errors
    /// Names the pack and what is wrong in it: not TOML, an unknown field or effect, a pattern that does not
    /// compile, an id used twice, a floor lowered without a trusted signature.
    pub fn with_packs<'a, S: Into<Source<'a>>>(
        packs: impl IntoIterator<Item = S>,
    ) -> Result<Self, RuleError> {
        let packs: Vec<Source<'a>> = packs.into_iter().map(Into::into).collect();
        let all = Draft::of(&packs)?;
        if packs.is_empty() {
            return all.compile(digest(&packs));
        }
        let shipped: Vec<_> = all.packs.iter().filter(|(_, _, operator)| !operator).cloned().collect();
        for (source, (name, pack, _)) in packs.iter().zip(&all.packs) {
            floors::check_definitions(name, pack, source.trusted, &shipped)?;
        }
        let unsigned: Vec<_> = packs.iter().zip(&all.packs).filter(|(source, _)| !source.trusted).collect();
        let trusted: Vec<Source<'a>> = packs.iter().filter(|pack| pack.trusted).copied().collect();
        let before = Draft::of(&trusted)?.compile(String::new())?;
        let after = all.clone().compile(digest(&packs))?;
        for (_, (name, pack, _)) in unsigned {
            floors::check_tools(name, pack, &before, &after)?;
            floors::check_words(name, pack, &before, &after)?;
        }
        if !trusted.is_empty() {
            let shipped = Draft::of(&[])?.compile(String::new())?;
            floors::check_examples(&all, &shipped, &before, true)?;
        }
        if trusted.len() < packs.len() {
            floors::check_examples(&all, &before, &after, false)?;
        }
        Ok(after)
    }

    /// SHA-256 that names every pack and the weights of the second opinion, in hex: which rules judged a call.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Every example in the packs that the rules do not bear out, as `rule: example` with what is wrong. Empty
    /// when the packs are sound; a rule without an example is named too.
    pub fn disagreements(&self) -> Vec<String> {
        let mut shipped = Draft::default();
        for pack in embedded::SOURCES {
            if let Err(error) = shipped.read(pack.name, pack.text, false) {
                return vec![error.to_string()];
            }
        }
        let mut examples = examples::collect(&shipped.packs);
        examples.extend(self.examples.iter().cloned());
        let mut wrong = examples::disagreements(self, &examples);
        wrong.extend(self.crisis.broken());
        wrong.extend(shipped.unfilled());
        wrong
    }

    pub(crate) fn signal(&self, signal: Signal) -> &Rule {
        // Compilation checks that every signal has its words.
        static NONE: Rule = Rule {
            id: String::new(),
            reason: String::new(),
            effect: Effect {
                class: crate::SideEffect::Critical,
                prior: None,
                undone: crate::Reversibility::No,
                target: 0.0,
                harm: 0.0,
                breadth: 0.0,
                floor: 0.0,
                outbound: true,
                crisis: false,
                confidence: None,
            },
        };
        self.signals.get(&signal).unwrap_or(&NONE)
    }
}

/// Of the shipped packs alone their own, else over the operator's, whether they are trusted, and that.
fn digest(packs: &[Source<'_>]) -> String {
    if packs.is_empty() {
        return embedded::DIGEST.to_owned();
    }
    let mut digest = Sha256::new();
    for pack in packs {
        note(&mut digest, pack.name, pack.text);
        digest.update([u8::from(pack.trusted)]);
    }
    digest.update(embedded::DIGEST);
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn note(digest: &mut Sha256, name: &str, text: &str) {
    for part in [name, text] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
}

/// Packs as read, on the way to [`Rules`].
#[derive(Clone, Default)]
struct Draft {
    /// Name, content, and whether it is the operator's.
    packs: Vec<(String, Pack, bool)>,
    trusted: Vec<String>,
}

impl Draft {
    /// The operator's packs, then the shipped ones.
    fn of(packs: &[Source<'_>]) -> Result<Self, RuleError> {
        let mut draft = Self::default();
        for pack in packs {
            draft.read(pack.name, pack.text, true)?;
            draft.trusted.extend(pack.trusted.then(|| pack.name.to_owned()));
        }
        for pack in embedded::PACKS {
            draft.embedded(pack)?;
        }
        Ok(draft)
    }

    fn unsigned(&self) -> impl Iterator<Item = (&str, &Pack)> {
        let unsigned =
            self.packs.iter().filter(|(name, _, operator)| *operator && !self.trusted.contains(name));
        unsigned.map(|(name, pack, _)| (name.as_str(), pack))
    }

    /// What people say in every language when a life is at stake, and a language has too few words for.
    fn unfilled(&self) -> Vec<String> {
        let mut slots: BTreeMap<(&str, pack::Slot), usize> = BTreeMap::new();
        for rule in self.packs.iter().flat_map(|(_, pack, _)| &pack.crisis) {
            let language = rule.id.split('.').nth(1).unwrap_or_default();
            for slot in pack::Slot::ALL {
                *slots.entry((language, slot)).or_default() +=
                    if rule.slot == Some(slot) { rule.matches.len() } else { 0 };
            }
        }
        let few = slots.into_iter().filter(|(_, examples)| *examples < 3);
        few.map(|((language, slot), examples)| {
            format!("crisis.{language}: {examples} examples for {slot:?}, needs 3")
        })
        .collect()
    }
}

/// Named effects, and whose fault an unknown one is.
struct Effects<'d> {
    known: BTreeMap<&'d str, &'d Effect>,
}

impl Effects<'_> {
    fn rule(&self, pack: &str, id: &str, reason: &str, effect: &str) -> Result<Rule, RuleError> {
        let effect = self.known.get(effect).ok_or_else(|| RuleError {
            pack: pack.to_owned(),
            message: format!("rule {id} names the effect {effect:?}, which no pack defines"),
        })?;
        Ok(Rule { id: id.to_owned(), reason: reason.to_owned(), effect: (*effect).clone() })
    }

    fn optional(
        &self,
        pack: &str,
        rule: &pack::Path,
        effect: Option<&String>,
    ) -> Result<Option<Rule>, RuleError> {
        effect.map(|effect| self.rule(pack, &rule.id, &rule.reason, effect)).transpose()
    }
}

impl Draft {
    fn read(&mut self, name: &str, text: &str, operator: bool) -> Result<(), RuleError> {
        let pack: Pack = toml::from_str(text)
            .map_err(|error| RuleError { pack: name.to_owned(), message: error.to_string() })?;
        self.packs.push((name.to_owned(), pack, operator));
        Ok(())
    }

    fn embedded(&mut self, pack: &embedded::Embedded) -> Result<(), RuleError> {
        let read: Pack = serde_json::from_str(pack.text)
            .map_err(|error| RuleError { pack: pack.name.to_owned(), message: error.to_string() })?;
        self.packs.push((pack.name.to_owned(), read, false));
        Ok(())
    }

    fn compile(self, digest: String) -> Result<Rules, RuleError> {
        let mut known = BTreeMap::new();
        for (_, pack, _) in self.packs.iter().rev() {
            known.extend(pack.effects.iter().map(|(name, effect)| (name.as_str(), effect)));
        }
        let effects = Effects { known };
        let model = self.packs.iter().find_map(|(_, pack, _)| pack.model.clone()).ok_or_else(|| {
            RuleError { pack: "model.toml".to_owned(), message: "no pack holds the model".to_owned() }
        })?;
        let mut rules = Rules {
            digest,
            tools: Tools::default(),
            lexicon: Lexicon::default(),
            roles: HashMap::new(),
            dispatchers: Vec::new(),
            programs: Programs::compile(&self.packs, &effects)?,
            code_calls: calls::CodeCalls::compile(&self.packs, &effects)?,
            paths: Vec::new(),
            path_stems: Stems::default(),
            hosts: Vec::new(),
            patterns: patterns::compile(&self.packs, &effects)?,
            crisis: CrisisRules::compile(&self.packs, &effects)?,
            lines: Vec::new(),
            signals: BTreeMap::new(),
            examples: examples::collect(self.packs.iter().filter(|(_, _, operator)| *operator)),
            model,
        };
        for (name, pack, operator) in &self.packs {
            rules.lay(name, pack, *operator, self.trusted.contains(name), &effects)?;
        }
        rules.tools.index();
        let literals = |path: &PathRule| path.globs.iter().map(|glob| literal(glob)).collect();
        rules.path_stems = Stems::of(rules.paths.iter().map(literals));
        rules.check_signals()?;
        Ok(rules)
    }
}

impl Rules {
    fn lay(
        &mut self,
        name: &str,
        pack: &Pack,
        operator: bool,
        trusted: bool,
        effects: &Effects<'_>,
    ) -> Result<(), RuleError> {
        if operator && !trusted && !pack.line.is_empty() {
            let message =
                "who names a line for people in danger must be known: the pack must be signed".to_owned();
            return Err(RuleError { pack: name.to_owned(), message });
        }
        self.lines.extend(pack.line.iter().cloned());
        let certainty =
            if operator { self.model.confidence.operator_pack } else { self.model.confidence.shipped_pack };
        for tool in &pack.tool {
            if let Some(Err(message)) = tool.undo.as_ref().map(Undo::check) {
                return Err(RuleError { pack: name.to_owned(), message: format!("{}: {message}", tool.id) });
            }
            self.tools.push(ToolRule {
                rule: effects.rule(name, &tool.id, &tool.reason, &tool.effect)?,
                certainty: tool.confidence.unwrap_or(certainty),
                spec: tool.clone(),
                unsigned: operator && !trusted,
            });
        }
        self.lexicon.lay(name, pack, effects)?;
        for (role, names) in &pack.roles {
            self.roles.extend(names.iter().map(|name| (name.clone(), *role)));
        }
        for dispatcher in &pack.dispatcher {
            let rule = effects.rule(name, &dispatcher.id, &dispatcher.reason, "none")?;
            self.dispatchers.push(Dispatcher {
                rule,
                spec: dispatcher.clone(),
                unsigned: operator && !trusted,
            });
        }
        for path in &pack.path {
            let mut rule = effects.rule(name, &path.id, &path.reason, "none")?;
            rule.effect.target = path.target;
            self.paths.push(PathRule {
                rule,
                globs: path.globs.clone(),
                except: path.except.clone(),
                scratch: path.scratch,
                anywhere: path.anywhere,
                read: effects.optional(name, path, path.read.as_ref())?,
                write: effects.optional(name, path, path.write.as_ref())?,
                delete: effects.optional(name, path, path.delete.as_ref())?,
            });
        }
        for host in &pack.host {
            self.hosts.push((host.hosts.clone(), effects.rule(name, &host.id, &host.reason, &host.effect)?));
        }
        for (signal, words) in &pack.signals {
            let mut rule = effects.rule(name, &words.id, &words.reason, &words.effect)?;
            rule.effect.confidence = words.confidence.or(rule.effect.confidence);
            self.signals.entry(*signal).or_insert(rule);
        }
        Ok(())
    }

    fn check_signals(&self) -> Result<(), RuleError> {
        let missing = Signal::ALL.iter().find(|signal| !self.signals.contains_key(signal));
        missing.map_or(Ok(()), |signal| {
            Err(RuleError {
                pack: "signals.toml".to_owned(),
                message: format!("the signal {signal:?} has no words"),
            })
        })
    }
}

/// The longest run of a path glob without wildcards: what a matching path must contain.
fn literal(glob: &str) -> String {
    glob.split(['*', '?']).max_by_key(|run| run.len()).unwrap_or_default().trim_matches('/').to_owned()
}
