//! Rules that people make from a hold: this call again, and others like it, without asking, for a while.

use herma_scoring::{Assessment, Reversibility, SideEffect};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Route, Ruling, Subject, must_be_confirmed};

/// Routes by these steps may be answered by a standing rule. What the operator's file, a warrant or the crisis rule
/// holds back stays held.
const ANSWERABLE: [&str; 4] = ["risk", "confidence", "profile", "critical"];
/// What would let a text that begins as approved end elsewhere.
const LEADS_AWAY: [char; 4] = ['\\', '%', '@', '\0'];

/// What a standing rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    Allow,
    Deny,
}

/// For whom a standing rule holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "of")]
pub enum Scope {
    Session(String),
    Agent(String),
    All,
}

/// What an argument must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    Exact(Value),
    /// A text that begins so, ends or goes on at a `/`, and does not climb.
    Prefix(String),
    Any,
}

/// A JSON pointer into the arguments and what must be there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    pub pointer: String,
    pub fit: Fit,
}

/// A rule that a person made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    pub id: String,
    pub effect: Effect,
    pub scope: Scope,
    pub server: String,
    pub tool: String,
    /// An allowing rule speaks of every argument: a call with another one is not like it.
    pub arguments: Vec<Condition>,
    /// An allowed call is of no higher class and no higher risk than the one it was made from.
    pub max_class: SideEffect,
    pub max_risk: f64,
    pub made_ms: i64,
    pub expires_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_uses: Option<u32>,
    /// Uses taken, at the time this was read.
    #[serde(default)]
    pub used: u32,
    pub by: String,
    pub reason: String,
    /// The hold it was made from.
    pub hold: String,
    /// Digest of that call; a denying rule speaks of it whatever its arguments are.
    pub digest: String,
    /// Digest of the tool's definition then: a tool that is described otherwise is another tool.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub definition: Option<String>,
    /// Revision of the policy it was made under.
    pub policy: String,
}

impl Standing {
    /// The rule id in rulings and in the record.
    pub fn rule(&self) -> String {
        format!("standing:{}", self.id)
    }

    /// Whether calls that this rule of the policy holds back may be answered by a standing one.
    pub fn answers(rule: &str) -> bool {
        ANSWERABLE.contains(&rule)
    }

    pub fn in_force(&self, now: i64) -> bool {
        self.expires_ms > now && self.max_uses.is_none_or(|most| self.used < most)
    }

    pub fn denies(&self, subject: &Subject<'_>, digest: impl FnOnce() -> Option<String>) -> bool {
        self.effect == Effect::Deny
            && self.concerns(subject)
            && (self.conditions_hold(subject.arguments)
                || digest().is_some_and(|digest| digest == self.digest))
    }

    /// Whether it lets a gated call run.
    pub fn allows(&self, subject: &Subject<'_>, assessment: &Assessment, ruling: &Ruling) -> bool {
        self.effect == Effect::Allow
            && ruling.route == Route::Gate
            && Self::answers(&ruling.rule)
            && may_be_allowed(assessment)
            && self.likens(subject, assessment.class, assessment.risk_score)
    }

    /// Whether a call of this class and risk is like the one it was made from.
    pub fn likens(&self, subject: &Subject<'_>, class: SideEffect, risk: f64) -> bool {
        self.concerns(subject)
            && self.reaches(class, risk)
            && self.conditions_hold(subject.arguments)
            && leaves(subject.arguments)
                .iter()
                .all(|leaf| self.arguments.iter().any(|condition| covers(&condition.pointer, leaf)))
    }

    /// Whether it goes as far as a call of this class and risk.
    pub fn reaches(&self, class: SideEffect, risk: f64) -> bool {
        class <= self.max_class && risk <= self.max_risk + 1e-9
    }

    /// Whether it is of this tool and agent, whatever the arguments are.
    pub fn concerns(&self, subject: &Subject<'_>) -> bool {
        let of = match &self.scope {
            Scope::Session(session) => subject.session == session,
            Scope::Agent(agent) => subject.principal == agent,
            Scope::All => true,
        };
        of && subject.server == self.server && subject.tool == self.tool
    }

    fn conditions_hold(&self, arguments: &Value) -> bool {
        !self.arguments.is_empty()
            && self.arguments.iter().all(|Condition { pointer, fit }| {
                match (fit, arguments.pointer(pointer)) {
                    (Fit::Exact(wanted), found) => found == Some(wanted),
                    (Fit::Prefix(prefix), Some(Value::String(text))) => begins(text, prefix),
                    (Fit::Prefix(_), _) => false,
                    (Fit::Any, _) => true,
                }
            })
    }
}

/// Nobody may let a call of this kind run unseen.
pub fn may_be_allowed(assessment: &Assessment) -> bool {
    !must_be_confirmed(assessment)
        && !assessment.crisis_sensitive
        && (assessment.class != SideEffect::Critical || assessment.reversibility == Reversibility::Yes)
}

fn begins(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| {
        let at_a_border = rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/');
        let stays = !rest.split('/').any(|part| part == "..")
            && !rest.contains(LEADS_AWAY)
            && !rest.contains(char::is_control);
        at_a_border && stays
    })
}

/// A condition speaks of what its pointer names and of all that is beneath it.
fn covers(pointer: &str, leaf: &str) -> bool {
    leaf.strip_prefix(pointer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Pointers to every value of the arguments that is no object; lists count as one.
pub fn leaves(arguments: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(arguments, String::new(), &mut found);
    found
}

fn collect(value: &Value, pointer: String, found: &mut Vec<String>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                collect(value, format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        _ => found.push(pointer),
    }
}

#[cfg(test)]
mod tests {
    use super::begins;

    #[test]
    fn a_prefix_ends_at_a_border_and_is_not_left_again() {
        for (text, prefix) in [("/srv/app", "/srv/app"), ("/srv/app/a", "/srv/app"), ("/srv/a", "/srv/")] {
            assert!(begins(text, prefix), "{text}");
        }
        for text in [
            "/srv/apparent",
            "/srv/app/../b",
            "/srv/app/a/..",
            "/srv/app/%2e%2e/b",
            "/srv/app/..\\b",
            "/srv/app/\n/b",
            "https://example.com@evil.example/",
        ] {
            assert!(!begins(text, "/srv/app") && !begins(text, "https://example.com"), "{text}");
        }
    }
}
