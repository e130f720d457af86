//! Text and arguments without the secrets in them, for storing and showing.

use std::borrow::Cow;

use serde_json::Value;

use crate::rules::Rules;
use crate::rules::pack::Scope;

/// `text` with every secret the packs know replaced by the id of the rule that found it. A rule that knows only
/// how a secret begins takes the rest of the text with it.
pub fn redact<'a>(text: &'a str, rules: &Rules) -> Cow<'a, str> {
    let Some(patterns) = rules.patterns.get(&Scope::Secret) else { return Cow::Borrowed(text) };
    let mut kept = String::new();
    let mut rest = text;
    loop {
        let found = patterns.find(rest).into_iter().min_by_key(|(_, (start, _))| *start);
        let Some((rule, (start, end))) = found.filter(|(_, (start, end))| start < end) else { break };
        let end = if rule.id == "secret.private_key" { rest.len() } else { end };
        let (Some(before), Some(after)) = (rest.get(..start), rest.get(end..)) else { break };
        kept.push_str(before);
        kept.push_str("[redacted: ");
        kept.push_str(&rule.id);
        kept.push(']');
        rest = after;
    }
    if kept.is_empty() {
        return Cow::Borrowed(text);
    }
    kept.push_str(rest);
    Cow::Owned(kept)
}

/// [`redact`] on every string of a JSON value, names of members included.
pub fn redact_json(value: &Value, rules: &Rules) -> Value {
    match value {
        Value::String(text) => redact(text, rules).into(),
        Value::Array(items) => items.iter().map(|item| redact_json(item, rules)).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, item)| (redact(name, rules).into_owned(), redact_json(item, rules)))
            .collect(),
        plain => plain.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_and_everything_else_stays() {
        let rules = Rules::shipped().unwrap();
        let value = serde_json::json!({
            "note": "key AKIAIOSFODNN7EXAMPLE and AKIAIOSFODNN7EXAMPLF end",
            "file": ["-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----"],
            "size": 3,
        });
        let expected = serde_json::json!({
            "note": "key [redacted: secret.aws] and [redacted: secret.aws] end",
            "file": ["-----BEGIN RSA [redacted: secret.private_key]"],
            "size": 3,
        });
        assert_eq!(redact_json(&value, &rules), expected);
        assert!(matches!(redact("nothing here", &rules), Cow::Borrowed(_)));
    }
}
