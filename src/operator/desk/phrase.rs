//! What a call would do, in our words, and whom it would reach. Only names and values of arguments count, never what
//! a server says of its tool.

use herma_scoring::{Assessment, Reason, SideEffect};
use serde_json::Value;

use super::{Phrase, Pointed, Scope};
use crate::gate::RECIPIENT;
use crate::store::HoldState;

/// What is said of a call that waits for no more than [`only_latched`].
pub const LATCHED: &str = "SOMEBODY MAY BE IN CRISIS in this conversation: everything outbound or final waits until a \
     named person clears that. This call itself says nothing of it.";

/// Whether a call waits because somebody is in crisis, and is itself no word to them.
pub fn only_latched(reasons: &[Reason], scope: &Scope) -> bool {
    scope.message.is_none() && reasons.iter().any(|reason| reason.rule == "crisis.latched")
}

const COMMAND: [&str; 3] = ["command", "cmd", "script"];
const WORDS: [&str; 5] = ["message", "text", "body", "content", "words"];
const ADDRESS: [&str; 2] = ["url", "uri"];
const STATEMENT: [&str; 3] = ["sql", "statement", "query"];
const PATH: [&str; 4] = ["path", "file_path", "file", "filename"];
const AMOUNT: [&str; 3] = ["amount", "price", "total"];
const CHANNEL: [&str; 3] = ["platform", "channel_type", "service"];
const CHANGE: [(&str, &str); 3] =
    [("old_string", "new_string"), ("old_text", "new_text"), ("before", "after")];

/// What a call would do.
pub fn phrase(kind: &str, server: &str, tool: &str, arguments: &Value, judged: &Assessment) -> Phrase {
    let said = |verb: &str, object: Option<String>| Phrase { verb: verb.to_owned(), object };
    match kind {
        "resource" => return said("Read", Some(tool.to_owned())),
        "prompt" => return said("Fetch the prompt", Some(tool.to_owned())),
        "sampling" => return said("Let this server ask your model:", Some(server.to_owned())),
        "elicitation" => return said("Let this server ask you something:", Some(server.to_owned())),
        _ => {}
    }
    let scope = scope(arguments, judged);
    let text = |pointed: Option<Pointed>| pointed.map(|pointed| pointed.text);
    if scope.command.is_some() {
        return said("Run", text(scope.command));
    }
    if let Some(code) = scope.code {
        return match code.text.lines().count() {
            0 | 1 => said("Run", Some(code.text)),
            lines => said(&format!("Run {lines} lines of code"), None),
        };
    }
    if judged.outbound && scope.message.is_some() {
        return match scope.recipients.is_empty() {
            true => said("Send a message", None),
            false => said("Send a message to", Some(scope.recipients.join(", "))),
        };
    }
    if scope.url.is_some() {
        return said("Reach", text(scope.url));
    }
    if scope.statement.is_some() {
        return said("Query", text(scope.statement));
    }
    match (scope.path, judged.class) {
        (Some(path), SideEffect::ReadOnly) => said("Read", Some(path.text)),
        (Some(path), _) => said("Change", Some(path.text)),
        (None, _) => said("Call", Some(tool.to_owned())),
    }
}

/// What the arguments reach, each with the place it stands at.
pub fn scope(arguments: &Value, judged: &Assessment) -> Scope {
    let pointed = |name: &str| {
        let text = plain(arguments.get(name)?)?;
        Some(Pointed { pointer: format!("/{name}"), text })
    };
    let first = |names: &[&str]| names.iter().find_map(|name| pointed(name));
    let recipients = RECIPIENT.iter().filter_map(|name| arguments.get(name));
    Scope {
        recipients: recipients.flat_map(all).collect(),
        channel: first(&CHANNEL).map(|pointed| pointed.text),
        message: if judged.outbound { first(&WORDS) } else { None },
        url: first(&ADDRESS),
        path: first(&PATH),
        command: first(&COMMAND),
        statement: first(&STATEMENT),
        // A file that is moved has a source as well.
        code: pointed("code").or_else(|| pointed("source").filter(|source| source.text.contains('\n'))),
        amount: first(&AMOUNT),
        change: CHANGE.iter().find_map(|(before, after)| Some((pointed(before)?, pointed(after)?))),
    }
}

/// Where a hold stands.
pub fn standing(state: HoldState) -> &'static str {
    match state {
        HoldState::Pending => "waits",
        HoldState::Approved => "approved, about to run",
        HoldState::Forwarding => "approved, running",
        HoldState::Executed => "approved, and it ran",
        HoldState::Failed => "approved, and it failed",
        HoldState::Denied => "denied",
        HoldState::Expired => "expired: denied",
        HoldState::Abandoned => "the agent went away before anybody decided",
        HoldState::Superseded => "changed meanwhile: not run",
        HoldState::Unknown => "approved; whether it ran is not known",
    }
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_string) => {
            Some(all(value).join(" "))
        }
        _ => None,
    }
}

fn all(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().filter_map(plain).collect(),
        other => plain(other).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judged(outbound: bool) -> Assessment {
        serde_json::from_value(json!({
            "class": "external", "reversibility": "no", "risk_score": 0.7, "confidence": 0.9,
            "outbound": outbound, "crisis_sensitive": false, "reasons": [],
        }))
        .unwrap()
    }

    #[test]
    fn a_line_says_what_the_call_would_do_and_to_whom() {
        let said = |arguments: Value| {
            let phrase = phrase("tool", "s", "t", &arguments, &judged(true));
            format!("{} {}", phrase.verb, phrase.object.unwrap_or_default())
        };
        assert_eq!(said(json!({"command": "rm -rf build"})), "Run rm -rf build");
        assert_eq!(said(json!({"to": ["a@x", "b@x"], "body": "hi"})), "Send a message to a@x, b@x");
        assert_eq!(said(json!({"code": "a\nb"})), "Run 2 lines of code ");
        assert_eq!(said(json!({"path": "/etc/hosts"})), "Change /etc/hosts");
        assert_eq!(said(json!({"x": 1})), "Call t");
    }

    #[test]
    fn recipients_of_all_kinds_are_named() {
        let scope = scope(&json!({"to": "ann", "cc": ["bob", 7], "text": "hi"}), &judged(true));
        assert_eq!(scope.recipients, ["ann", "bob", "7"]);
        assert_eq!(scope.message.unwrap().pointer, "/text");
    }
}
