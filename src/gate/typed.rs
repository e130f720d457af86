//! What a person types before a call that nobody can take back is let go: whom or what it is aimed at.

use herma_scoring::SideEffect;
use serde_json::Value;

use crate::store::HoldRow;

/// Arguments that say whom a call reaches.
pub const RECIPIENT: [&str; 11] =
    ["to", "recipient", "recipients", "target", "chat_id", "channel", "email", "phone", "user", "cc", "bcc"];
/// Nobody types more without looking away.
const LONGEST: usize = 64;

/// `None` for a call that one press may approve. Where nobody is named plainly it is the id of the hold.
pub fn to_type(row: &HoldRow) -> Option<String> {
    let shown: Value = serde_json::from_str(&row.shown).unwrap_or_default();
    let reversibility = shown.pointer("/assessment/reversibility").and_then(Value::as_str);
    let is_final =
        row.class == SideEffect::Critical.name() && !matches!(reversibility, Some("yes" | "partial"));
    let aimed = || shown.get("arguments").and_then(target).unwrap_or_else(|| row.id.clone());
    (row.crisis || is_final).then(aimed)
}

fn target(arguments: &Value) -> Option<String> {
    RECIPIENT.iter().find_map(|name| plain(arguments.get(*name)?))
}

/// What can be typed as it is read.
fn plain(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Array(items) => return items.iter().find_map(plain),
        _ => return None,
    };
    let can_be_typed =
        (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    can_be_typed.then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nobody_is_asked_to_type_what_cannot_be_typed_as_it_looks() {
        assert_eq!(target(&json!({ "to": "ann@example.org" })).as_deref(), Some("ann@example.org"));
        assert_eq!(target(&json!({ "to": [], "chat_id": [-42, 7] })).as_deref(), Some("-42"));
        for wrong in ["a\u{202e}b", "p\u{430}ypal", "two  blanks", " edge", "", &"x".repeat(65)] {
            assert_eq!(target(&json!({ "to": wrong, "cc": "bob" })).as_deref(), Some("bob"), "{wrong:?}");
        }
        assert_eq!(target(&json!({ "command": "rm -rf /" })), None);
    }
}
