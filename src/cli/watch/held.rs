//! A hold as the inbox knows it, and what it is called in one line.

use herma_scoring::crisis::HelpLine;
use herma_scoring::{Assessment, SideEffect};
use serde::Deserialize;
use serde_json::Value;

use crate::cli::holds::visible;
use crate::gate::Approver;
use crate::store::HoldState;

/// A row of the daemon.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Held {
    pub(super) id: String,
    pub(super) digest: String,
    pub(super) state: HoldState,
    pub(super) version: u64,
    pub(super) created_ms: i64,
    pub(super) expires_ms: i64,
    pub(super) crisis: bool,
    pub(super) count: u32,
    pub(super) shown: Shown,
    #[serde(default)]
    pub(super) decision: Option<Said>,
}

/// The part of a receipt that is for people.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Said {
    approver: Approver,
    decision: String,
    #[serde(default)]
    reason: String,
}

/// What would be forwarded and what is thought of it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Shown {
    pub(super) kind: String,
    pub(super) server: String,
    pub(super) tool: String,
    pub(super) arguments: Value,
    pub(super) principal: String,
    pub(super) session: String,
    pub(super) client: String,
    pub(super) assessment: Assessment,
    pub(super) rule: String,
    pub(super) why: String,
    pub(super) definition_changed: bool,
    #[serde(default)]
    pub(super) help_lines: Option<Vec<HelpLine>>,
}

/// In the order in which a person should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    Crisis,
    Critical,
    External,
    Other,
}

impl Group {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Crisis => "CRISIS",
            Self::Critical => "CRITICAL",
            Self::External => "EXTERNAL",
            Self::Other => "OTHER",
        }
    }

    pub(super) fn marker(self) -> &'static str {
        match self {
            Self::Crisis => "!!",
            Self::Critical => " !",
            Self::External => " >",
            Self::Other => " ·",
        }
    }
}

const COMMAND: [&str; 3] = ["command", "cmd", "script"];
const CODE: [&str; 2] = ["code", "source"];
const RECIPIENT: [&str; 9] =
    ["to", "recipient", "recipients", "target", "chat_id", "channel", "email", "phone", "user"];
const WORDS: [&str; 5] = ["message", "text", "body", "content", "words"];
const ADDRESS: [&str; 2] = ["url", "uri"];
const STATEMENT: [&str; 3] = ["sql", "statement", "query"];
const PATH: [&str; 4] = ["path", "file_path", "file", "filename"];

impl Held {
    pub(super) fn group(&self) -> Group {
        match (self.crisis, self.shown.assessment.class) {
            (true, _) => Group::Crisis,
            (_, SideEffect::Critical) => Group::Critical,
            (_, SideEffect::External) => Group::External,
            _ => Group::Other,
        }
    }

    pub(super) fn waits(&self) -> bool {
        self.state == HoldState::Pending
    }

    /// Where it stands, with who said so and why.
    pub(super) fn ending(&self) -> String {
        let word = match self.state {
            HoldState::Pending => "waits",
            HoldState::Approved => "approved, about to run",
            HoldState::Forwarding => "approved, running",
            HoldState::Executed => "approved, and it ran",
            HoldState::Failed => "approved, and it failed",
            HoldState::Denied => "denied",
            HoldState::Expired => "expired: denied",
            HoldState::Abandoned => "the agent went away",
            HoldState::Superseded => "changed meanwhile: not run",
            HoldState::Unknown => "no longer waits",
        };
        match &self.decision {
            Some(Said { approver, decision, reason }) if decision == "deny" => {
                format!("{word} by {}: {}", visible(&approver.id), visible(reason))
            }
            _ => word.to_owned(),
        }
    }

    /// A slip of the finger must not be enough.
    pub(super) fn needs_typing(&self) -> bool {
        self.group() <= Group::Critical
    }

    /// What has to be typed then: the end of the hold's id.
    pub(super) fn code(&self) -> String {
        let skip = self.id.chars().count().saturating_sub(4);
        self.id.chars().skip(skip).collect()
    }

    pub(super) fn recipient(&self) -> Option<String> {
        self.shown.first(&RECIPIENT)
    }

    pub(super) fn message(&self) -> Option<&str> {
        WORDS.iter().find_map(|name| self.shown.arguments.get(name)?.as_str())
    }

    /// What the call would do, in our words. Only names and values of the arguments count, never what a
    /// server says of its tool.
    pub(super) fn phrase(&self) -> String {
        let shown = &self.shown;
        let tool = visible(&shown.tool);
        match shown.kind.as_str() {
            "resource" => return format!("Read {tool}"),
            "prompt" => return format!("Fetch the prompt {tool}"),
            "sampling" => return format!("Let {} ask your model", visible(&shown.server)),
            "elicitation" => return format!("Let {} ask you something", visible(&shown.server)),
            _ => {}
        }
        if let Some(command) = shown.first(&COMMAND) {
            return format!("Run {command}");
        }
        if let Some(code) = CODE.iter().find_map(|name| shown.arguments.get(name)?.as_str()) {
            return format!("Run {} lines of code", code.lines().count());
        }
        if shown.assessment.outbound {
            match (self.recipient(), self.message()) {
                (Some(to), Some(_)) => return format!("Send a message to {to}"),
                (None, Some(_)) => return "Send a message".into(),
                _ => {}
            }
        }
        if let Some(address) = shown.first(&ADDRESS) {
            return format!("Reach {address}");
        }
        if let Some(statement) = shown.first(&STATEMENT) {
            return format!("Query {statement}");
        }
        match (shown.first(&PATH), shown.assessment.class) {
            (Some(path), SideEffect::ReadOnly) => format!("Read {path}"),
            (Some(path), _) => format!("Change {path}"),
            (None, _) => format!("Call {tool}"),
        }
    }
}

impl Shown {
    /// The first argument of these names, on one line.
    fn first(&self, names: &[&str]) -> Option<String> {
        let value = names.iter().find_map(|name| self.arguments.get(name))?;
        match value {
            Value::String(text) => Some(visible(text)),
            Value::Array(items) if items.iter().all(Value::is_string) => {
                let items: Vec<_> = items.iter().filter_map(Value::as_str).map(visible).collect();
                Some(items.join(", "))
            }
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }
}
