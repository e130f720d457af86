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
    for (rule, span) in patterns.find_where(text, |found| !stands_in(found)) {
        findings.add(rule, at.span((span.0 + offset, span.1 + offset)));
    }
}

/// Whether what looks like a secret only stands where one would: `password: <yours>`, `token=xxxxxxxx`.
fn stands_in(found: &[u8]) -> bool {
    let found = String::from_utf8_lossy(found).to_ascii_lowercase();
    let value = found.rsplit(['=', ':', ' ']).find(|part| !part.is_empty()).unwrap_or_default();
    let value = value.trim_matches(['"', '\'']);
    let opens = value.starts_with(['<', '$', '{', '[', '%', '*']);
    let repeats = value.bytes().all(|byte| value.bytes().next() == Some(byte));
    opens || repeats || STAND_INS.iter().any(|word| value.contains(word))
}

const STAND_INS: [&str; 11] = [
    "changeme",
    "change_me",
    "change-me",
    "placeholder",
    "your",
    "dummy",
    "redacted",
    "xxxx",
    "****",
    "insert",
    "replace",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_a_secret_is_told_from_one() {
        for text in ["AKIAXXXXXXXXXXXXXXXX", "password: changeme", "api_key=${KEY}", "token = 'xxxxxxxxxxxx'"]
        {
            assert!(stands_in(text.as_bytes()), "{text}");
        }
        for text in
            ["AKIAIOSFODNN7EXAMPLE", "password: hunter22", "api_key=8fK2mZq0", "postgres://a:s3cr3t@db"]
        {
            assert!(!stands_in(text.as_bytes()), "{text}");
        }
    }
}
