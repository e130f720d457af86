//! The texts inside a call's arguments, each with its place.

use serde_json::Value;

/// Texts looked at per call.
const MOST: usize = 2_000;

/// Values and names walked over per call; one with more is not read at all.
const NODES: usize = 100_000;
/// Bytes of names that are read as words.
const NAMES: usize = 16 << 10;

/// Whether the arguments hold more values than are read.
pub(crate) fn is_crowded(arguments: &Value) -> bool {
    let mut open = vec![arguments];
    let mut count = 0usize;
    while let Some(value) = open.pop() {
        let inner = match value {
            Value::Array(items) => items.len(),
            Value::Object(fields) => fields.len(),
            _ => continue,
        };
        count = count.saturating_add(inner);
        if count > NODES {
            return true;
        }
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => open.extend(fields.values()),
            _ => {}
        }
    }
    false
}

/// Names of fields that are more than names: whoever receives the call may show them. Says whether all were kept.
pub(crate) fn spoken_names(arguments: &Value) -> (String, bool) {
    let mut spoken = String::new();
    let mut open = vec![arguments];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => {
                for (name, field) in fields {
                    open.push(field);
                    if !name.contains([' ', '+', '%', '.']) && name.is_ascii() && name.len() < 24 {
                        continue;
                    }
                    if spoken.len() + name.len() > NAMES {
                        return (spoken, false);
                    }
                    spoken.push_str(name);
                    spoken.push_str(" . ");
                }
            }
            _ => {}
        }
    }
    (spoken, true)
}

/// One text inside the arguments.
#[derive(Debug)]
pub(crate) struct Leaf<'a> {
    /// Name of the nearest field it is in.
    pub(crate) key: &'a str,
    /// Directly a field of the arguments.
    pub(crate) top: bool,
    pub(crate) pointer: String,
    pub(crate) text: &'a str,
}

/// Every text in `arguments`, and whether none was left out.
pub(crate) fn leaves<'a>(arguments: &'a Value, pointer: &str) -> (Vec<Leaf<'a>>, bool) {
    let mut walk = Walk { leaves: Vec::new(), pointer: pointer.to_owned(), complete: true };
    walk.visit(arguments, "", 0);
    (walk.leaves, walk.complete)
}

struct Walk<'a> {
    leaves: Vec<Leaf<'a>>,
    pointer: String,
    complete: bool,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, value: &'a Value, key: &'a str, depth: usize) {
        match value {
            Value::String(text) => {
                if self.leaves.len() < MOST {
                    self.leaves.push(Leaf { key, top: depth == 1, pointer: self.pointer.clone(), text });
                } else {
                    self.complete = false;
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.step(&index.to_string(), item, key, depth);
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    self.step(name, field, name, depth);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn step(&mut self, name: &str, value: &'a Value, key: &'a str, depth: usize) {
        let length = self.pointer.len();
        self.pointer.push('/');
        for letter in name.chars() {
            match letter {
                '~' => self.pointer.push_str("~0"),
                '/' => self.pointer.push_str("~1"),
                other => self.pointer.push(other),
            }
        }
        self.visit(value, key, depth + 1);
        self.pointer.truncate(length);
    }
}
