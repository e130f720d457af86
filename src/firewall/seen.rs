//! What the record keeps of arguments for `herma warrant learn`, where the operator asked for it.

use std::borrow::Cow;

use herma_scoring::{Rules, redact};
use serde_json::{Map, Value, json};

/// More arguments than this are no shape that a warrant could be learned from.
const ARGUMENTS: usize = 32;
const ITEMS: usize = 16;
const TEXT: usize = 200;

/// Of every argument its kind, or the value itself when it is a name, a path, a host or the like. Prose, long text
/// and whatever redaction would touch are never kept.
pub(super) fn seen(arguments: &Value, rules: &Rules) -> Option<Value> {
    let members = arguments.as_object().filter(|members| members.len() <= ARGUMENTS)?;
    let shape: Map<String, Value> =
        members.iter().map(|(name, value)| (redact(name, rules).into_owned(), shape(value, rules))).collect();
    Some(Value::Object(shape))
}

fn shape(value: &Value, rules: &Rules) -> Value {
    let kept = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(value.clone()),
        Value::String(text) => plain(text, rules).map(Value::from),
        Value::Array(items) if items.len() <= ITEMS => items
            .iter()
            .map(|item| match item {
                Value::String(text) => plain(text, rules).map(Value::from),
                Value::Array(_) | Value::Object(_) => None,
                scalar => Some(scalar.clone()),
            })
            .collect::<Option<Vec<_>>>()
            .map(Value::Array),
        Value::Array(_) | Value::Object(_) => None,
    };
    let kind = match value {
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
        _ => "scalar",
    };
    kept.map_or_else(|| json!({ "kind": kind }), |value| json!({ "is": value }))
}

/// The text if it is worth keeping and harmless to keep; of a URL what stands before its query.
fn plain<'a>(text: &'a str, rules: &Rules) -> Option<&'a str> {
    let is_path = text.starts_with('/') || text.starts_with("~/");
    let text = match text.split_once("://") {
        Some((_, rest)) if rest.split('/').next().is_some_and(|host| host.contains('@')) => return None,
        Some(_) => text.split(['?', '#']).next()?,
        None => text,
    };
    let fits = text.len() <= TEXT
        && !text.chars().any(|c| c.is_control() || (c.is_whitespace() && !(is_path && c == ' ')));
    (fits && matches!(redact(text, rules), Cow::Borrowed(_))).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_paths_and_hosts_are_kept_and_prose_and_secrets_are_not() {
        let rules = Rules::shipped().unwrap();
        let arguments = json!({
            "path": "/data/my file.txt",
            "url": "https://api.example.com/v1/users?token=hunter2#top",
            "login": "https://ann:pass@example.com/",
            "mode": "fast",
            "count": 7,
            "to": ["ann@example.com"],
            "body": "I cannot go on like this",
            "key": "AKIAIOSFODNN7EXAMPLE",
            "nested": {"a": 1},
        });
        let expected = json!({
            "path": {"is": "/data/my file.txt"},
            "url": {"is": "https://api.example.com/v1/users"},
            "login": {"kind": "text"},
            "mode": {"is": "fast"},
            "count": {"is": 7},
            "to": {"is": ["ann@example.com"]},
            "body": {"kind": "text"},
            "key": {"kind": "text"},
            "nested": {"kind": "object"},
        });
        assert_eq!(seen(&arguments, &rules), Some(expected));
    }
}
