//! A hold as the inbox knows it, and what it is called in one line.

use herma_scoring::Assessment;
use herma_scoring::crisis::HelpLine;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::holds::visible;
use crate::gate::Approver;
use crate::operator::desk::{Group, Phrase, Scope, phrase, scope, standing};
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
    /// What the daemon wants typed before it lets the call go.
    #[serde(default)]
    pub(super) typed: Option<String>,
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
    pub(super) query: Option<String>,
    #[serde(default)]
    pub(super) extra: Option<Value>,
    #[serde(default)]
    pub(super) help_lines: Option<Vec<HelpLine>>,
}

impl Held {
    pub(super) fn group(&self) -> Group {
        Group::of(self.crisis, self.shown.assessment.class)
    }

    pub(super) fn waits(&self) -> bool {
        self.state == HoldState::Pending
    }

    /// Where it stands, with who said so and why.
    pub(super) fn ending(&self) -> String {
        let word = match self.state {
            // So are called here those that left the list without a word.
            HoldState::Unknown => "no longer waits",
            state => standing(state),
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

    /// What has to be typed then: what it is aimed at where nobody can take it back, else the end of the hold's id.
    pub(super) fn code(&self) -> String {
        if let Some(typed) = &self.typed {
            return typed.clone();
        }
        let skip = self.id.chars().count().saturating_sub(4);
        self.id.chars().skip(skip).collect()
    }

    pub(super) fn scope(&self) -> Scope {
        scope(&self.shown.arguments, &self.shown.assessment)
    }

    /// What the call would do, on one line.
    pub(super) fn phrase(&self) -> String {
        let Shown { kind, server, tool, arguments, assessment, .. } = &self.shown;
        let Phrase { verb, object } = phrase(kind, server, tool, arguments, assessment);
        match object {
            Some(object) => format!("{verb} {}", visible(&object)),
            None => verb,
        }
    }
}
