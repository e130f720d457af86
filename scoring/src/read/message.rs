//! Words that reach people: orders of money, account data.

use crate::rules::Rules;
use crate::rules::pack::Scope;
use crate::weigh::{Findings, Place};

/// Adds every pattern found; `offset` is where `text` starts in the argument.
pub(crate) fn read<'r>(text: &str, offset: usize, at: &Place, rules: &'r Rules, findings: &mut Findings<'r>) {
    for (rule, span) in
        rules.patterns.get(&Scope::Message).into_iter().flat_map(|patterns| patterns.find(text))
    {
        findings.add(rule, at.span((span.0 + offset, span.1 + offset)));
    }
}
