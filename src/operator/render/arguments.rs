//! The arguments of a call: every value with its place and its type, each in the look that shows it best.

use herma_scoring::Reason;
use maud::{Markup, html};
use serde_json::{Map, Value};

use super::address::address;
use super::change::change;
use super::command::tokens;
use super::text::{Layout, Marked, block, folded, line, marked};

/// Names under which tools take the two sides of an edit.
const EDITS: [(&str, &str); 5] = [
    ("oldText", "newText"),
    ("old_text", "new_text"),
    ("old_string", "new_string"),
    ("old_str", "new_str"),
    ("search", "replace"),
];

const COMMAND: [&str; 3] = ["command", "cmd", "script"];
const CODE: [&str; 2] = ["code", "source"];
const WORDS: [&str; 5] = ["message", "text", "body", "content", "words"];

/// What the name of an argument says of its look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Command,
    Code,
    Message,
    Other,
}

fn role(name: &str) -> Role {
    match name {
        _ if COMMAND.contains(&name) => Role::Command,
        _ if CODE.contains(&name) => Role::Code,
        _ if WORDS.contains(&name) => Role::Message,
        _ => Role::Other,
    }
}

/// What is shown, and what rules said of it.
#[derive(Debug, Clone, Copy)]
pub struct Arguments<'a> {
    pub value: &'a Value,
    pub reasons: &'a [Reason],
    /// The text at this pointer is shown elsewhere, in full.
    pub above: Option<&'a str>,
    /// Every text in full: a person must see the end of what cannot be taken back.
    pub whole: bool,
}

/// All of it, in its order.
pub fn arguments(shown: Arguments<'_>) -> Markup {
    html! {
        div.arguments {
            @match shown.value {
                Value::Object(fields) if fields.is_empty() => { p.dim { "no arguments" } }
                Value::Object(fields) => (shown.fields(fields, "")),
                Value::Null => { p.dim { "no arguments" } }
                other => { dl { (shown.row("(all)", other, "", Role::Other)) } }
            }
        }
    }
}

/// One text of the arguments in full, with what rules spoke of in it.
pub fn spoken(text: &str, pointer: &str, reasons: &[Reason]) -> Markup {
    let shown = Arguments { value: &Value::Null, reasons, above: None, whole: true };
    shown.long(text, &shown.marks(text, pointer))
}

impl Arguments<'_> {
    fn fields(self, fields: &Map<String, Value>, pointer: &str) -> Markup {
        let edit = EDITS.iter().find_map(|(old, new)| {
            Some(((*old, fields.get(*old)?.as_str()?), (*new, fields.get(*new)?.as_str()?)))
        });
        html! {
            dl {
                @if let Some(((old_name, old), (new_name, new))) = edit {
                    div.field {
                        dt { (old_name) " → " (new_name) span.type { "edit" } }
                        dd { (change(old, new)) }
                    }
                }
                @for (name, value) in fields {
                    @if edit.is_none_or(|((old, _), (new, _))| name != old && name != new) {
                        (self.row(name, value, &step(pointer, name), role(name)))
                    }
                }
            }
        }
    }

    fn row(self, name: &str, value: &Value, pointer: &str, role: Role) -> Markup {
        html! {
            div.field data-pointer=(plain_attribute(pointer)) {
                dt { (line(name)) span.type { (type_of(value)) } }
                dd { (self.value(value, pointer, role)) }
            }
        }
    }

    fn value(self, value: &Value, pointer: &str, role: Role) -> Markup {
        match value {
            Value::Object(fields) => self.fields(fields, pointer),
            Value::Array(items) => self.items(items, pointer, role),
            Value::String(text) => self.text(text, pointer, role),
            other => html! { span.atom { (other.to_string()) } },
        }
    }

    fn items(self, items: &[Value], pointer: &str, role: Role) -> Markup {
        html! {
            ol.items {
                @for (at, item) in items.iter().enumerate() {
                    li { (self.value(item, &step(pointer, &at.to_string()), role)) }
                }
            }
        }
    }

    fn text(self, text: &str, pointer: &str, role: Role) -> Markup {
        let marks = self.marks(text, pointer);
        match role {
            _ if self.above == Some(pointer) => html! { span.dim { "as above" } },
            _ if text.is_empty() => html! { span.sign { "empty text" } },
            Role::Command => {
                html! { div.code.command { (marked(text, &tokens(text), &marks, Layout::Block)) } }
            }
            Role::Message => html! { div.message { (self.long(text, &marks)) } },
            Role::Code => html! { div.code { (self.long(text, &marks)) } },
            Role::Other if marks.is_empty() && address(text).is_some() => {
                html! { (address(text).unwrap_or_default()) }
            }
            Role::Other if text.contains('\n') => html! { div.code { (self.long(text, &marks)) } },
            Role::Other => html! { span.text { (self.long(text, &marks)) } },
        }
    }

    fn long(self, text: &str, marks: &[Marked]) -> Markup {
        match (self.whole, marks) {
            (true, []) => block(text),
            (true, marks) => marked(text, &[], marks, Layout::Block),
            (false, marks) => folded(text, marks),
        }
    }

    /// Where rules matched in the text at this pointer. Redaction moves what stands behind it, so that only the
    /// whole text can be marked then.
    fn marks(self, text: &str, pointer: &str) -> Vec<Marked> {
        let moved = text.contains("[redacted: ");
        let spoken = self.reasons.iter().filter(|reason| reason.pointer.as_deref() == Some(pointer));
        spoken
            .filter_map(|reason| {
                let (start, end) = reason.span?;
                let at = Some(start..end)
                    .filter(|at| !moved && text.get(at.clone()).is_some_and(|text| !text.is_empty()));
                Some(Marked { at, why: format!("{} ({})", reason.text, reason.rule) })
            })
            .collect()
    }
}

fn step(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Attributes are not seen, so that what only they hold needs no more than to be harmless.
fn plain_attribute(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic()).take(200).collect()
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "yes or no",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}
