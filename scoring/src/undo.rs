//! How the effect of a tool can be taken back, declared by a rule pack; without a declaration `review` is no route.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// Bytes of one file that are kept when the declaration names no other limit.
const KEPT: u64 = 10 << 20;
/// Longest delay, in seconds: clients give a call up after 60.
const LONGEST_DELAY: u32 = 30;
/// Where a reference in a template may point.
const SOURCES: [&str; 3] = ["/args", "/before", "/result"];

/// A declared undo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Undo {
    Preimage(Preimage),
    Compensate(Box<Compensate>),
    Delay(Delay),
}

/// The files are kept as they were before the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preimage {
    /// JSON pointers to the arguments that name files: all that the call changes.
    #[serde(deserialize_with = "one_or_more")]
    pub path: Vec<String>,
    /// Longest file that is kept, in bytes.
    #[serde(default = "kept")]
    pub max: u64,
    /// The paths are directories that the call makes where there are none.
    #[serde(default)]
    pub directory: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub residue: Option<String>,
}

/// Another call takes the effect back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compensate {
    /// What is read before the call, so that it can be put back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Ask>,
    pub call: Ask,
    /// Instead of `call`, when it needs something that was not there before.
    #[serde(default, rename = "else", skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<Ask>,
    /// Seconds after which it can no longer be taken back; the operator's window when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
    /// What stays behind all the same, for the reviewer to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub residue: Option<String>,
    /// Calls with the compensation that must come of them. A declaration without one is refused.
    #[serde(default, rename = "example", skip_serializing)]
    pub examples: Vec<Sample>,
}

/// A call to the same server. In `args`, an object `{ from = "/result/id" }` stands for what the pointer finds in
/// `{ args, before, result }`, and `{ from = "/result/items", each = … }` for a list whose items are made by the
/// template, in which pointers begin at the item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    pub tool: String,
    #[serde(default)]
    pub args: Value,
}

/// The call waits, and runs unless it is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delay {
    pub seconds: u32,
}

/// A tested example of a compensation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    #[serde(default)]
    pub args: Value,
    #[serde(default)]
    pub before: Value,
    #[serde(default)]
    pub result: Value,
    pub becomes: Ask,
}

/// A template asks for what is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nothing is at `{0}`")]
pub struct NotThere(pub String);

fn kept() -> u64 {
    KEPT
}

fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Typed {
        One(String),
        More(Vec<String>),
    }
    Ok(match Typed::deserialize(deserializer)? {
        Typed::One(path) => vec![path],
        Typed::More(paths) => paths,
    })
}

impl Undo {
    /// What stays behind even when it is taken back.
    pub fn residue(&self) -> Option<&str> {
        match self {
            Self::Preimage(preimage) => preimage.residue.as_deref(),
            Self::Compensate(compensate) => compensate.residue.as_deref(),
            Self::Delay(_) => None,
        }
    }

    /// What is wrong with the declaration, in words.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self::Preimage(Preimage { path, max, .. }) => {
                if path.is_empty() || !path.iter().all(|path| path.starts_with('/')) {
                    return Err(
                        "undo: `path` holds JSON pointers into the arguments, each with a leading `/`".into(),
                    );
                }
                if *max == 0 {
                    return Err("undo: `max` of 0 bytes keeps nothing".into());
                }
                Ok(())
            }
            Self::Compensate(compensate) => compensate.check(),
            Self::Delay(Delay { seconds }) if (1..=LONGEST_DELAY).contains(seconds) => Ok(()),
            Self::Delay(_) => Err(format!("undo: `seconds` lies between 1 and {LONGEST_DELAY}")),
        }
    }
}

impl Compensate {
    /// The call that takes the effect back, from what is known of the first one.
    ///
    /// # Errors
    /// When a template asks for what is not there, and no `else` does without it.
    pub fn fill(&self, known: &Value) -> Result<Ask, NotThere> {
        match (self.call.fill(known), &self.otherwise) {
            (Err(_), Some(otherwise)) => otherwise.fill(known),
            (filled, _) => filled,
        }
    }

    fn check(&self) -> Result<(), String> {
        for ask in [Some(&self.call), self.otherwise.as_ref(), self.before.as_ref()].into_iter().flatten() {
            if ask.tool.is_empty() {
                return Err("undo: a call needs a `tool`".into());
            }
            check_template(&ask.args, true)?;
        }
        if self.examples.is_empty() {
            return Err("undo: a compensation needs an `example` that shows it".into());
        }
        for Sample { args, before, result, becomes } in &self.examples {
            let known = known(args, before, result);
            match self.fill(&known) {
                Ok(filled) if filled == *becomes => {}
                Ok(filled) => {
                    return Err(format!("undo: the example becomes {} {}", filled.tool, filled.args));
                }
                Err(error) => return Err(format!("undo: the example cannot be filled: {error}")),
            }
        }
        Ok(())
    }
}

impl Ask {
    /// The call with every reference replaced by what it points at.
    ///
    /// # Errors
    /// When nothing is there.
    pub fn fill(&self, known: &Value) -> Result<Self, NotThere> {
        Ok(Self { tool: self.tool.clone(), args: fill(&self.args, known)? })
    }
}

/// What templates point into.
pub fn known(args: &Value, before: &Value, result: &Value) -> Value {
    let parts = [("args", args), ("before", before), ("result", result)];
    Value::Object(parts.into_iter().map(|(name, part)| (name.to_owned(), part.clone())).collect())
}

fn fill(template: &Value, known: &Value) -> Result<Value, NotThere> {
    match template {
        Value::Object(members) => match reference(members) {
            Some((pointer, each)) => {
                let found = known.pointer(pointer).filter(|found| !found.is_null());
                let found = found.ok_or_else(|| NotThere(pointer.to_owned()))?;
                match (each, found) {
                    (None, found) => Ok(found.clone()),
                    (Some(each), Value::Array(items)) => items.iter().map(|item| fill(each, item)).collect(),
                    (Some(_), _) => Err(NotThere(format!("{pointer}/0"))),
                }
            }
            None => {
                let filled = members.iter().map(|(name, value)| Ok((name.clone(), fill(value, known)?)));
                filled.collect::<Result<Map<_, _>, _>>().map(Value::Object)
            }
        },
        Value::Array(items) => items.iter().map(|item| fill(item, known)).collect(),
        plain => Ok(plain.clone()),
    }
}

fn reference(members: &Map<String, Value>) -> Option<(&str, Option<&Value>)> {
    let from = members.get("from")?.as_str()?;
    let each = members.get("each");
    (members.len() == 1 + usize::from(each.is_some())).then_some((from, each))
}

/// `outer`: pointers begin at the document of all that is known, not at an item.
fn check_template(template: &Value, outer: bool) -> Result<(), String> {
    match template {
        Value::Object(members) => match reference(members) {
            Some((pointer, each)) => {
                let fits = match outer {
                    true => SOURCES.iter().any(|source| {
                        pointer
                            .strip_prefix(source)
                            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                    }),
                    false => pointer.is_empty() || pointer.starts_with('/'),
                };
                if !fits {
                    return Err(format!(
                        "undo: `from = \"{pointer}\"` must begin with one of {}",
                        SOURCES.join(", ")
                    ));
                }
                each.map_or(Ok(()), |each| check_template(each, false))
            }
            None => members.values().try_for_each(|value| check_template(value, outer)),
        },
        Value::Array(items) => items.iter().try_for_each(|item| check_template(item, outer)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Undo {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_value_that_was_there_is_put_back_and_one_that_was_not_is_removed() {
        let undo = read(
            r#"
            kind = "compensate"
            before = { tool = "get", args = { key = { from = "/args/key" } } }
            call = { tool = "set", args = { key = { from = "/args/key" }, value = { from = "/before/value" } } }
            else = { tool = "delete", args = { key = { from = "/args/key" } } }
            example = [
              { args = { key = "a" }, before = { value = 1 }, becomes = { tool = "set", args = { key = "a", value = 1 } } },
              { args = { key = "a" }, becomes = { tool = "delete", args = { key = "a" } } },
            ]
            "#,
        );
        assert_eq!(undo.check(), Ok(()));
    }

    #[test]
    fn a_declaration_that_cannot_work_is_refused_in_words() {
        for (text, said) in [
            (
                r#"kind = "preimage"
                path = "path""#,
                "leading `/`",
            ),
            (
                r#"kind = "delay"
                seconds = 31"#,
                "between 1 and 30",
            ),
            (
                r#"kind = "compensate"
                call = { tool = "x" }"#,
                "needs an `example`",
            ),
            (
                r#"kind = "compensate"
                call = { tool = "x", args = { id = { from = "/answer/id" } } }"#,
                "must begin with one of",
            ),
            (
                r#"kind = "compensate"
                call = { tool = "x", args = { id = { from = "/result/id" } } }
                example = [{ result = { id = 1 }, becomes = { tool = "x", args = { id = 2 } } }]"#,
                "becomes x",
            ),
        ] {
            let error = read(text).check().unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn lists_are_made_item_by_item() {
        let ask = Ask {
            tool: "x".into(),
            args: json!({ "names": { "from": "/result/made", "each": { "from": "/name" } } }),
        };
        let known = known(&Value::Null, &Value::Null, &json!({ "made": [{ "name": "a" }, { "name": "b" }] }));
        assert_eq!(ask.fill(&known).unwrap().args, json!({ "names": ["a", "b"] }));
        assert_eq!(ask.fill(&json!({})), Err(NotThere("/result/made".into())));
    }
}
