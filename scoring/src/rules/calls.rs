//! What calls in program text do, by their dotted names.

use std::sync::Arc;

use serde::Deserialize;

use super::{Effects, Pack, Rule, RuleError, glob};

/// A function of a library, and what its argument is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CodeCall {
    pub(crate) id: String,
    pub(crate) reason: String,
    /// Dotted names, imports and aliases resolved; globs.
    pub(crate) names: Vec<String>,
    #[serde(default)]
    pub(crate) takes: Takes,
    /// Which argument that is.
    #[serde(default)]
    pub(crate) at: usize,
    /// Arguments it speaks of alone; globs. Any, when there are none.
    #[serde(default)]
    pub(crate) only: Vec<String>,
    /// It speaks only inside a loop.
    #[serde(default)]
    pub(crate) looped: bool,
    /// What it does, whatever its argument, or where its argument is not known.
    pub(crate) effect: String,
    #[serde(default, rename = "match")]
    pub(crate) matches: Vec<String>,
    #[serde(default, rename = "not_match")]
    pub(crate) differs: Vec<String>,
}

impl CodeCall {
    /// Whether it means this very function whatever it is given.
    pub(crate) fn is_of(&self, name: &str) -> bool {
        self.only.is_empty() && !self.looped && self.names.iter().any(|known| known == name)
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Takes {
    /// Nothing that matters beyond the call itself.
    #[default]
    Nothing,
    Shell,
    /// A program's words, one argument each.
    Words,
    /// More of the same language.
    Code,
    Sql,
    /// A file it opens, to read unless its mode says otherwise.
    Open,
    Read,
    Write,
    Delete,
    DeleteTree,
    /// A file it reads, then one it writes.
    Copy,
    Url,
    /// A number of rights.
    Mode,
    /// The call of a tool, by the tool's own name.
    Tool,
}

#[derive(Debug, Default)]
pub(crate) struct CodeCalls(Vec<(Arc<Rule>, CodeCall)>);

impl CodeCalls {
    pub(super) fn compile(packs: &[(String, Pack, bool)], effects: &Effects<'_>) -> Result<Self, RuleError> {
        let mut calls = Vec::new();
        for (name, pack, _) in packs {
            for call in &pack.code_call {
                let rule = effects.rule(name, &call.id, &call.reason, &call.effect)?;
                calls.push((Arc::new(rule), call.clone()));
            }
        }
        Ok(Self(calls))
    }

    /// Every rule that speaks of the function.
    pub(crate) fn of(&self, name: &str) -> impl Iterator<Item = (&Rule, &CodeCall)> {
        let takes = |call: &CodeCall| call.names.iter().any(|pattern| glob::matches(pattern, name));
        self.0.iter().filter(move |(_, call)| takes(call)).map(|(rule, call)| (rule.as_ref(), call))
    }
}
