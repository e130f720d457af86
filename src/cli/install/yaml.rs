//! Edits of a YAML file that leave alone every line they need not touch.
//!
//! What was meant is computed beside the text, and the edited text is read again: if the two differ, nothing is
//! written. So no shape of YAML that this reads wrongly can do harm.

use std::ops::Range;

use serde_json::{Map, Value};
use similar::{Change, ChangeTag, TextDiff};

/// Why a file was left as it was.
#[derive(Debug, thiserror::Error)]
pub(super) enum YamlError {
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    #[error("it is not a mapping")]
    NoMapping,
    #[error(
        "its shape cannot be edited safely (an anchor, a tag or a merge key around `{0}`?): edit it by hand"
    )]
    Shape(String),
}

/// A file as text and as meant.
#[derive(Debug, Clone)]
pub(super) struct Document {
    lines: Vec<String>,
    value: Value,
    /// Comments that stood inside what was replaced.
    pub(super) lost: Vec<String>,
}

struct Found {
    /// The line of the key and everything under it.
    whole: Range<usize>,
    /// Something stands beside the key, or nothing under it.
    closed: bool,
}

impl Document {
    pub(super) fn read(text: &str) -> Result<Self, YamlError> {
        let value = parse(text)?;
        Ok(Self { lines: text.lines().map(str::to_owned).collect(), value, lost: Vec::new() })
    }

    pub(super) fn at(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(&self.value, |value, key| value.get(key))
    }

    pub(super) fn text(&self) -> String {
        let mut text = self.lines.join("\n");
        if !text.is_empty() {
            text.push('\n');
        }
        text
    }

    /// The text, if it says what is meant.
    pub(super) fn checked(&self, about: &str) -> Result<String, YamlError> {
        let text = self.text();
        match parse(&text) {
            Ok(value) if value == self.value => Ok(text),
            _ => Err(YamlError::Shape(about.to_owned())),
        }
    }

    /// Sets what stands at `path`.
    pub(super) fn put(&mut self, path: &[&str], new: Value) {
        if self.at(path) == Some(&new) {
            return;
        }
        set(&mut self.value, path, new);
        let (mut within, mut indent) = (0..self.lines.len(), 0);
        for depth in 1..=path.len() {
            let (before, last) = (path.get(..depth).unwrap_or_default(), depth == path.len());
            let Some(key) = before.last() else { return };
            let value = self.at(before).cloned().unwrap_or_default();
            let Some(found) = self.find(&within, indent, key) else {
                let end = self.content_end(&within);
                self.lines.splice(end..end, render(indent, key, &value));
                return;
            };
            if last || found.closed {
                self.replace(found.whole, render(indent, key, &value));
                return;
            }
            within = found.whole.start.saturating_add(1)..found.whole.end;
            indent = self.indent_within(&within).unwrap_or_else(|| indent.saturating_add(2));
        }
    }

    /// Takes away what stands at `path`.
    pub(super) fn remove(&mut self, path: &[&str]) {
        let Some((key, parents)) = path.split_last() else { return };
        if self.at(path).is_none() {
            return;
        }
        // What is left empty would be nothing at all in the text.
        if !parents.is_empty()
            && self.at(parents).and_then(Value::as_object).is_some_and(|all| all.len() == 1)
        {
            return self.remove(parents);
        }
        let parent = parents.iter().try_fold(&mut self.value, |value, key| value.get_mut(key));
        if let Some(fields) = parent.and_then(Value::as_object_mut) {
            fields.remove(*key);
        }
        let (mut within, mut indent) = (0..self.lines.len(), 0);
        for depth in 1..=path.len() {
            let before = path.get(..depth).unwrap_or_default();
            let Some(found) = before.last().and_then(|key| self.find(&within, indent, key)) else { return };
            if depth == path.len() {
                self.replace(found.whole, Vec::new());
                return;
            }
            if found.closed {
                let value = self.at(before).cloned().unwrap_or_default();
                let lines = before.last().map(|key| render(indent, key, &value)).unwrap_or_default();
                self.replace(found.whole, lines);
                return;
            }
            within = found.whole.start.saturating_add(1)..found.whole.end;
            indent = self.indent_within(&within).unwrap_or_else(|| indent.saturating_add(2));
        }
    }

    fn replace(&mut self, range: Range<usize>, with: Vec<String>) {
        let old = self.lines.splice(range, with.iter().cloned());
        let comments = old.filter_map(|line| {
            let comment = line.split_once(" #").map(|(_, comment)| comment.to_owned());
            comment.or_else(|| line.trim_start().strip_prefix('#').map(str::to_owned))
        });
        let lost: Vec<_> = comments.map(|comment| comment.trim().to_owned()).collect();
        self.lost.extend(lost);
    }

    fn find(&self, within: &Range<usize>, indent: usize, key: &str) -> Option<Found> {
        let start = within.clone().find(|number| {
            self.lines.get(*number).is_some_and(|line| {
                indent_of(line) == Some(indent) && split_key(line).is_some_and(|(name, _)| name == key)
            })
        })?;
        let first = start.saturating_add(1);
        // Items of a list may stand as far left as its key.
        let belongs = |line: &String| match indent_of(line) {
            Some(deep) => deep > indent || (deep == indent && line.trim_start().starts_with("- ")),
            None => true,
        };
        let rest = self.lines.get(first..within.end).unwrap_or_default();
        let length = rest.iter().take_while(|line| belongs(line)).count();
        let end = self.content_end(&(first..first.saturating_add(length)));
        let beside = self.lines.get(start).and_then(|line| split_key(line)).map(|(_, rest)| rest);
        let closed = beside.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('#')) || end == first;
        Some(Found { whole: start..end, closed })
    }

    /// Behind the last line that is neither blank nor a comment.
    fn content_end(&self, within: &Range<usize>) -> usize {
        let lines = self.lines.get(within.clone()).unwrap_or_default();
        let last = lines.iter().rposition(|line| indent_of(line).is_some());
        within.start.saturating_add(last.map_or(0, |last| last.saturating_add(1)))
    }

    fn indent_within(&self, within: &Range<usize>) -> Option<usize> {
        self.lines.get(within.clone())?.iter().find_map(|line| indent_of(line))
    }
}

fn parse(text: &str) -> Result<Value, YamlError> {
    let value: Option<Value> =
        serde_saphyr::from_str(text).map_err(|error| YamlError::Unreadable(error.to_string()))?;
    match value {
        None | Some(Value::Null) => Ok(Value::Object(Map::new())),
        Some(value @ Value::Object(_)) => Ok(value),
        Some(_) => Err(YamlError::NoMapping),
    }
}

fn set(value: &mut Value, path: &[&str], new: Value) {
    let Some((key, rest)) = path.split_first() else {
        *value = new;
        return;
    };
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    if let Some(fields) = value.as_object_mut() {
        set(fields.entry(*key).or_insert(Value::Null), rest, new);
    }
}

/// `None` for blank lines and comments.
fn indent_of(line: &str) -> Option<usize> {
    let text = line.trim_start_matches(' ');
    (!text.trim().is_empty() && !text.starts_with('#')).then(|| line.len().saturating_sub(text.len()))
}

/// The key of a line, and what stands beside it.
fn split_key(line: &str) -> Option<(String, &str)> {
    let line = line.trim();
    let quoted = ['"', '\''].into_iter().find_map(|quote| {
        let (name, rest) = line.strip_prefix(quote)?.split_once(quote)?;
        Some((name, rest.trim_start().strip_prefix(':')?))
    });
    let (name, rest) = match quoted {
        Some(split) => split,
        None => line.split_once(": ").or_else(|| Some((line.strip_suffix(':')?, "")))?,
    };
    Some((name.trim().to_owned(), rest.trim()))
}

/// One member, one line each for what stands directly in it.
fn render(indent: usize, key: &str, value: &Value) -> Vec<String> {
    let (pad, key) = (" ".repeat(indent), plain(key));
    match value.as_object().filter(|fields| !fields.is_empty()) {
        Some(fields) => {
            let members = fields.iter().map(|(name, value)| format!("{pad}  {}: {value}", plain(name)));
            std::iter::once(format!("{pad}{key}:")).chain(members).collect()
        }
        None => vec![format!("{pad}{key}: {value}")],
    }
}

fn plain(key: &str) -> String {
    let is_plain = key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        && !matches!(
            key.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off"
        );
    if is_plain { key.to_owned() } else { Value::from(key).to_string() }
}

/// What of `before` is no longer there and what of `after` is new.
pub(super) fn diff(before: &str, after: &str) -> Vec<String> {
    let changes = TextDiff::from_lines(before, after);
    let line = |change: Change<&str>| {
        let sign = match change.tag() {
            ChangeTag::Equal => return None,
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
        };
        Some(format!("{sign} {}", change.value().trim_end_matches(['\r', '\n'])))
    };
    changes.iter_all_changes().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FILE: &str = "# mine\nmodel: {default: x}\nmcp_servers:\n  # the files\n  fs:\n    command: npx  # fast\n    args:\n      - -y\n      - server\n    env: {K: v}\n  web: {command: uvx, args: [web]}\n\n# the end\nplugins:\n  enabled:\n  - other\n";

    #[test]
    fn what_is_not_touched_stays_as_it_was_written() {
        let mut file = Document::read(FILE).unwrap();
        file.put(&["mcp_servers", "fs", "command"], json!("herma"));
        file.put(&["mcp_servers", "fs", "args"], json!(["wrap", "--", "npx"]));
        file.put(&["mcp_servers", "web", "timeout"], json!(900));
        file.put(&["plugins", "enabled"], json!(["herma", "other"]));
        file.put(&["plugins", "entries", "herma"], json!({"data_dir": "/d"}));
        let text = file.checked("test").unwrap();
        for kept in [
            "# mine\n",
            "  # the files\n",
            "    env: {K: v}\n",
            "\n\n# the end\nplugins:\n",
            "model: {default: x}\n",
        ] {
            assert!(text.contains(kept), "{kept:?} is gone:\n{text}");
        }
        assert_eq!(file.lost, ["fast"]);
        let diff = diff(FILE, &text).join("\n");
        for line in ["-     command: npx  # fast", "+     command: \"herma\"", "+     timeout: 900"] {
            assert!(diff.lines().any(|found| found == line), "{line:?} is missing:\n{diff}");
        }
    }

    #[test]
    fn an_empty_file_and_an_absent_block_are_filled() {
        for text in ["", "# nothing yet\n", "mcp_servers:\nplugins: {}\n"] {
            let mut file = Document::read(text).unwrap();
            file.put(&["mcp_servers", "a b", "command"], json!("x"));
            file.put(&["plugins", "enabled"], json!(["herma"]));
            let text = file.checked("test").unwrap();
            file.remove(&["mcp_servers", "a b"]);
            assert!(file.checked("test").is_ok(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_edited_safely_is_not_edited() {
        let mut file =
            Document::read("base: &b {command: x}\nmcp_servers:\n  a: *b\n  b: {command: y}\n").unwrap();
        file.put(&["base", "command"], json!("herma"));
        assert!(matches!(file.checked("base"), Err(YamlError::Shape(_))), "{}", file.text());
    }
}
