//! Keys and passwords in text that is written or sent.

use crate::rules::Rules;
use crate::rules::pack::Scope;
use crate::weigh::{Findings, Place};

/// Adds every kind of secret found; `offset` is where `text` starts in the argument.
pub(crate) fn read<'r>(text: &str, offset: usize, at: &Place, rules: &'r Rules, findings: &mut Findings<'r>) {
    let Some(patterns) = rules.patterns.get(&Scope::Secret) else {
        return;
    };
    // Writing a secret to a local file is the path's affair; here it matters that it leaves.
    if !findings.outbound() && findings.class() > crate::SideEffect::ReadOnly {
        return;
    }
    for (rule, span) in patterns.find(text) {
        findings.add(rule, at.span((span.0 + offset, span.1 + offset)));
    }
}
