//! Runs files of cases with the verdict that must be given.

use crate::constraint::{Constraint, Reading};
use crate::value::Value;

/// One case of a file: what it wants, and what is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    pub id: String,
    pub expected: String,
    /// One word.
    pub got: &'static str,
    pub why: String,
}

impl Case {
    /// Whether the verdict is the one that is wanted. What a scenario expects is prose whose first word is the
    /// verdict, and some leave two.
    pub fn holds(&self) -> bool {
        let first = self.expected.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or("");
        self.got == first || self.expected.contains(&format!(" or {}", self.got))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConformanceError {
    #[error("the file is an object with `value_cases`, `attenuation_pairs` and `token_scenarios`")]
    Shape,
    #[error(transparent)]
    Json(#[from] crate::json::JsonError),
}

type Judge = fn(&Value) -> Judged;

/// A verdict in one word, and why.
pub(crate) type Judged = (&'static str, String);

/// Runs every case of a file, in the order of the file.
pub fn run(text: &str) -> Result<Vec<Case>, ConformanceError> {
    let Value::Object(file) = crate::json::read_cases(text)? else { return Err(ConformanceError::Shape) };
    let kinds: [(&str, Judge); 3] = [
        ("value_cases", value_case),
        ("attenuation_pairs", attenuation_pair),
        ("token_scenarios", crate::drill::token_scenario),
    ];
    if !kinds.iter().any(|(name, _)| file.contains_key(*name)) {
        return Err(ConformanceError::Shape);
    }
    let mut cases = Vec::new();
    for (name, judge) in kinds {
        let Some(Value::List(items)) = file.get(name) else { continue };
        for item in items {
            let text = |name| member(item, name).and_then(Value::text).unwrap_or("").to_owned();
            let (got, why) = judge(item);
            cases.push(Case { id: text("id"), expected: text("expected"), got, why });
        }
    }
    Ok(cases)
}

pub(crate) fn member<'a>(item: &'a Value, name: &str) -> Option<&'a Value> {
    if let Value::Object(item) = item { item.get(name) } else { None }
}

fn value_case(item: &Value) -> Judged {
    let constraint = member(item, "constraint").map(Constraint::from_value);
    match (constraint, member(item, "value")) {
        (Some(Ok(constraint)), Some(value)) => {
            let verdict = constraint.check(value);
            (verdict.word(), verdict.why().to_owned())
        }
        (Some(Err(error)), _) => ("deny", error.to_string()),
        _ => ("deny", "a case without constraint or value".to_owned()),
    }
}

fn attenuation_pair(item: &Value) -> Judged {
    let side = |name| member(item, name).map(Constraint::from_value);
    match (side("parent"), side("child")) {
        (Some(Ok(parent)), Some(Ok(child))) if child.narrows(&parent, Reading::Strict) => {
            ("accept", "proven to be narrower".to_owned())
        }
        (Some(Ok(_)), Some(Ok(_))) => ("reject", "not proven to be narrower".to_owned()),
        (Some(Err(error)), _) | (_, Some(Err(error))) => ("reject", error.to_string()),
        _ => ("reject", "a pair without parent or child".to_owned()),
    }
}
