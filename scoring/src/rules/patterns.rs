//! Patterns behind literals: one automaton says which regular expressions are worth asking.

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};
use regex::bytes::{Regex, RegexBuilder};

use super::pack::{Pack, Scope};
use super::{Effects, Rule, RuleError, Signal};

/// Literals, ASCII case ignored, each calling for one or more rules. Laid into one automaton when a text is first
/// looked through: what nobody sends costs nothing.
#[derive(Debug, Default)]
pub(crate) struct Stems {
    literals: Vec<String>,
    owners: Vec<Vec<usize>>,
    automaton: OnceLock<Option<AhoCorasick>>,
}

impl Stems {
    /// `stems` lists, rule by rule, the literals that call for it.
    pub(crate) fn of(stems: impl IntoIterator<Item = Vec<String>>) -> Self {
        let mut index: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (rule, literals) in stems.into_iter().enumerate() {
            for literal in literals {
                index.entry(literal.to_ascii_lowercase()).or_default().push(rule);
            }
        }
        let (literals, owners) = index.into_iter().unzip();
        Self { literals, owners, automaton: OnceLock::new() }
    }

    /// Nothing only for more literals than any machine holds.
    fn automaton(&self) -> Option<&AhoCorasick> {
        let lay = || {
            AhoCorasickBuilder::new()
                .ascii_case_insensitive(true)
                .match_kind(MatchKind::Standard)
                .build(&self.literals)
                .ok()
        };
        self.automaton.get_or_init(lay).as_ref()
    }

    pub(crate) fn any(&self, text: &[u8]) -> bool {
        self.automaton().is_some_and(|automaton| automaton.is_match(text))
    }

    /// The rules called for, each once, in order.
    pub(crate) fn called(&self, text: &[u8]) -> Vec<usize> {
        let mut calls = Vec::new();
        if let Some(automaton) = self.automaton() {
            // A literal repeated through a long text is news only the first time.
            let mut seen = vec![false; self.owners.len()];
            for found in automaton.find_overlapping_iter(text) {
                let pattern = found.pattern().as_usize();
                if let Some(seen) = seen.get_mut(pattern)
                    && !*seen
                {
                    *seen = true;
                    calls.extend(self.owners.get(pattern).into_iter().flatten().copied());
                }
            }
        }
        calls.sort_unstable();
        calls.dedup();
        calls
    }
}

#[derive(Debug)]
struct Compiled {
    rule: Rule,
    stems: Vec<String>,
    expression: Option<Lazy>,
    entropy: f64,
}

/// A regular expression compiled when one of its literals first turns up: most never do.
#[derive(Debug)]
struct Lazy {
    source: String,
    compiled: OnceLock<Option<Regex>>,
}

impl Lazy {
    /// An operator's expression is compiled at once, so that a fault is told at the start; a test does that for
    /// the shipped ones.
    fn new(pack: &str, id: &str, source: &str, operator: bool) -> Result<Self, RuleError> {
        let compiled =
            if operator { OnceLock::from(Some(expression(pack, id, source)?)) } else { OnceLock::new() };
        Ok(Self { source: source.to_owned(), compiled })
    }

    fn get(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| expression("", "", &self.source).ok()).as_ref()
    }
}

/// The patterns of one scope.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    stems: Stems,
    compiled: Vec<Compiled>,
}

impl Patterns {
    /// Every pattern found in `text`, with the byte range of its first match.
    pub(crate) fn find<'r>(&'r self, text: &str) -> Vec<(&'r Rule, (usize, usize))> {
        self.find_where(text, |_| true)
    }

    /// As `find`, of what `counts` alone.
    pub(crate) fn find_where<'r>(
        &'r self,
        text: &str,
        counts: impl Fn(&[u8]) -> bool + Copy,
    ) -> Vec<(&'r Rule, (usize, usize))> {
        let called = self.stems.called(text.as_bytes());
        let called = called.into_iter().filter_map(|index| self.compiled.get(index));
        called.filter_map(|pattern| pattern.find(text, counts)).collect()
    }

    pub(crate) fn any(&self, text: &str) -> bool {
        self.stems.any(text.as_bytes())
    }
}

impl Compiled {
    fn find(&self, text: &str, counts: impl Fn(&[u8]) -> bool) -> Option<(&Rule, (usize, usize))> {
        let span = match &self.expression {
            Some(expression) => {
                let mut found = expression.get()?.find_iter(text.as_bytes());
                let found = found
                    .find(|found| self.entropy <= entropy(found.as_bytes()) && counts(found.as_bytes()))?;
                (found.start(), found.end())
            }
            None => {
                let lower = text.to_ascii_lowercase();
                self.stems
                    .iter()
                    .find_map(|stem| lower.find(stem.as_str()).map(|start| (start, start + stem.len())))?
            }
        };
        Some((&self.rule, span))
    }
}

/// Bits per letter of the last run of letters and digits.
fn entropy(text: &[u8]) -> f64 {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+' | b'/');
    let run = text.rsplit(|byte| !is_letter(byte)).find(|run| !run.is_empty()).unwrap_or_default();
    let mut counts = [0u32; 256];
    for byte in run {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let all = f64::from(u32::try_from(run.len()).unwrap_or(u32::MAX));
    let shares = counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / all);
    shares.map(|share| -share * share.log2()).sum()
}

pub(super) fn compile(
    packs: &[(String, Pack, bool)],
    effects: &Effects<'_>,
) -> Result<HashMap<Scope, Patterns>, RuleError> {
    let mut scopes: HashMap<Scope, Patterns> = HashMap::new();
    for (name, pack, operator) in packs {
        for pattern in &pack.pattern {
            let expression =
                pattern.re.as_deref().map(|re| Lazy::new(name, &pattern.id, re, *operator)).transpose()?;
            scopes.entry(pattern.scope).or_default().compiled.push(Compiled {
                rule: effects.rule(name, &pattern.id, &pattern.reason, &pattern.effect)?,
                stems: pattern.stems.iter().map(|stem| stem.to_ascii_lowercase()).collect(),
                expression,
                entropy: pattern.entropy.unwrap_or_default(),
            });
        }
    }
    for patterns in scopes.values_mut() {
        patterns.stems = Stems::of(patterns.compiled.iter().map(|pattern| pattern.stems.clone()));
    }
    Ok(scopes)
}

/// Case and Unicode classes are off the table: they cost ten times the automaton, and texts are folded first.
fn expression(pack: &str, id: &str, re: &str) -> Result<Regex, RuleError> {
    RegexBuilder::new(re)
        .unicode(false)
        .case_insensitive(true)
        .size_limit(1 << 20)
        .build()
        .map_err(|error| RuleError { pack: pack.to_owned(), message: format!("rule {id}: {error}") })
}

impl Signal {
    pub(super) const ALL: [Self; 54] = [
        Self::ToolUnknown,
        Self::ToolNameOnly,
        Self::ToolNameAndDescription,
        Self::ToolSourcesDisagree,
        Self::ToolDefinitionChanged,
        Self::ToolArgumentMissing,
        Self::ArgumentsCrowded,
        Self::AttachedFile,
        Self::RecipientsMany,
        Self::RecipientUnknown,
        Self::AmountLarge,
        Self::HintDestructive,
        Self::HintOverwrites,
        Self::HintWrites,
        Self::HintTrustedRead,
        Self::Resource,
        Self::Prompt,
        Self::Sampling,
        Self::Elicitation,
        Self::PathRelative,
        Self::PathProject,
        Self::PathElsewhere,
        Self::UrlUnreadable,
        Self::UrlCarriesData,
        Self::TextUnread,
        Self::ShellUnparsed,
        Self::ShellUnparsedDanger,
        Self::ShellTooLarge,
        Self::ShellDynamicWord,
        Self::ShellDynamicCommand,
        Self::ShellDisguised,
        Self::ShellUnknownProgram,
        Self::ShellQuiet,
        Self::ShellRemoteCode,
        Self::ShellSecretToNetwork,
        Self::ShellFileToNetwork,
        Self::ShellDecodedCode,
        Self::ShellScriptUnread,
        Self::ShellWritesFile,
        Self::ShellDeletesTree,
        Self::ShellDeletesFile,
        Self::ShellDeletesMany,
        Self::ShellDeletesScratch,
        Self::ShellRightsMany,
        Self::ShellPrivileged,
        Self::ShellPrivilegedUnknown,
        Self::ShellSelfCall,
        Self::CodeOpaque,
        Self::CodeUnread,
        Self::CodeHandedOver,
        Self::SqlOpaque,
        Self::SqlEveryRow,
        Self::CrisisLatched,
        Self::CrisisModel,
    ];
}
