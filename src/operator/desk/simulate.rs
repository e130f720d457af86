//! What a draft of the policy would make of a call, or of the calls of the last days.

use std::collections::BTreeMap;

use herma_scoring::{Context, Kind, Reason, Reversibility, SideEffect, assess};
use herma_warrant::Grant;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::read::word;
use super::{Desk, DraftLine, DraftView, aside};
use crate::config::{self, ConfigError};
use crate::firewall::now;
use crate::firewall::past::{Past, PastCalls};
use crate::operator::Problem;
use crate::policy::{Policy, Route, Ruling, Subject};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const LONGEST: u32 = 31;
/// Changed calls that are listed one by one.
const CHANGED: usize = 200;

/// What somebody wants to know. Without a call the last days are replayed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::operator) struct Question {
    /// A file as it would be; the present policy when there is none.
    draft: Option<String>,
    call: Option<Pasted>,
    days: Option<u32>,
}

/// Which draft the page begins with.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::operator) struct Opened {
    draft: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pasted {
    server: String,
    tool: String,
    #[serde(default)]
    arguments: Value,
    #[serde(default)]
    principal: String,
    #[serde(default)]
    session: String,
}

/// The simulator before and after a question.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Simulator {
    pub revision: String,
    pub mode: String,
    pub profile: String,
    /// The operator's file as it is, to begin a draft with; `None` when there is none.
    pub file: Option<String>,
    pub drafts: Vec<DraftLine>,
    /// The one that is looked at.
    pub draft: Option<DraftView>,
    pub answer: Option<SimAnswer>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum SimAnswer {
    Call(Box<SimCall>),
    Replay(Replay),
    /// The draft cannot be read.
    Wrong {
        line: Option<usize>,
        message: String,
    },
}

/// What would become of one pasted call.
#[derive(Debug, Clone, Serialize)]
pub struct SimCall {
    pub class: SideEffect,
    pub reversibility: Reversibility,
    pub risk_score: f64,
    pub confidence: f64,
    pub crisis: bool,
    pub reasons: Vec<Reason>,
    pub now: SimRoute,
    /// Under the draft, when one was given.
    pub draft: Option<SimRoute>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SimRoute {
    pub route: Route,
    pub rule: String,
    pub why: String,
}

/// What would have become of the calls of the last days.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Replay {
    pub days: u32,
    pub calls: u64,
    /// Calls that the record cannot tell enough of to judge a rule that looks into arguments.
    pub unsure: u64,
    pub changed: Vec<Changed>,
    pub changed_total: u64,
    pub holds_per_day_now: f64,
    pub holds_per_day_draft: f64,
    /// Share of the calls that each rule of the draft decided.
    pub hits: BTreeMap<String, u64>,
    /// The record is longer than what was read.
    pub cut: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Changed {
    pub call: String,
    pub at_ms: i64,
    pub server: String,
    pub tool: String,
    pub risk_score: f64,
    pub from: SimRoute,
    pub to: SimRoute,
}

impl Simulator {
    pub(in crate::operator) fn answering(self, answer: SimAnswer) -> Self {
        Self { answer: Some(answer), ..self }
    }
}

impl Desk {
    pub(in crate::operator) async fn simulator(&self, opened: Opened) -> Result<Simulator, Problem> {
        let policy = self.firewall.policy();
        let draft = match opened.draft {
            Some(name) => Some(self.draft(&name).await?),
            None => None,
        };
        Ok(Simulator {
            revision: policy.revision.clone(),
            mode: word(policy.mode),
            profile: word(policy.profile),
            file: self.policy_text(),
            drafts: self.drafts().await?,
            draft,
            answer: None,
        })
    }

    pub(in crate::operator) async fn simulate(&self, question: Question) -> Result<SimAnswer, Problem> {
        let draft = match question.draft.as_deref().map(config::draft).transpose() {
            Ok(draft) => draft,
            Err(ConfigError::Wrong { line, message, .. }) => {
                return Ok(SimAnswer::Wrong { line: Some(line), message });
            }
            Err(error) => return Ok(SimAnswer::Wrong { line: None, message: error.to_string() }),
        };
        match question.call {
            Some(call) => Ok(SimAnswer::Call(Box::new(self.try_call(call, draft).await?))),
            None => {
                let days = question.days.unwrap_or(7).clamp(1, LONGEST);
                Ok(SimAnswer::Replay(self.replay(days, draft).await?))
            }
        }
    }

    async fn try_call(&self, pasted: Pasted, draft: Option<Policy>) -> Result<SimCall, Problem> {
        let (rules, policy) = (self.firewall.rules(), self.firewall.policy());
        let listed = self.firewall.definitions.get(&pasted.server, &pasted.tool);
        aside(move || {
            let Pasted { server, tool, arguments, principal, session } = &pasted;
            let call = herma_scoring::Call { kind: Kind::Tool, server, tool, arguments };
            let context = Context {
                definition: listed.as_ref().map(|listed| &listed.definition),
                definition_changed: listed.as_ref().is_some_and(|listed| listed.is_changed()),
                known_recipients: draft.as_ref().unwrap_or(&policy).known_recipients.as_deref(),
                ..Context::default()
            };
            let judged = assess(&call, &context, &rules);
            let subject = Subject { kind: Kind::Tool, server, tool, principal, session, arguments };
            let route = |policy: &Policy| told(policy.route(&subject, &judged, &Grant::Absent));
            let (now, draft) = (route(&policy), draft.as_ref().map(route));
            Ok::<_, Problem>(SimCall {
                class: judged.class,
                reversibility: judged.reversibility,
                risk_score: judged.risk_score,
                confidence: judged.confidence,
                crisis: judged.crisis_sensitive,
                reasons: judged.reasons,
                now,
                draft,
            })
        })
        .await
    }

    async fn replay(&self, days: u32, draft: Option<Policy>) -> Result<Replay, Problem> {
        let policy = self.firewall.policy();
        let since = now().saturating_sub(i64::from(days).saturating_mul(DAY_MS));
        let PastCalls { calls, cut } = self.firewall.past(since, |_| true).await?;
        let compare = move || compare(&calls, &policy, draft.as_ref().unwrap_or(&policy), days, cut);
        aside(move || Ok::<_, Problem>(compare())).await
    }
}

fn compare(past: &[Past], policy: &Policy, draft: &Policy, days: u32, cut: bool) -> Replay {
    let looks = draft.reads_arguments() || policy.reads_arguments();
    let mut replay = Replay { days, cut, ..Replay::default() };
    let (mut held_now, mut held_then) = (0_u32, 0_u32);
    for call in past {
        replay.calls += 1;
        replay.unsure += u64::from(looks && !call.is_whole());
        let (from, to) = (route(call, policy), route(call, draft));
        held_now += u32::from(from.route == Route::Gate);
        held_then += u32::from(to.route == Route::Gate);
        *replay.hits.entry(to.rule.to_string()).or_default() += 1;
        if from.route == to.route {
            continue;
        }
        replay.changed_total += 1;
        if replay.changed.len() < CHANGED {
            replay.changed.push(Changed {
                call: call.call.clone(),
                at_ms: call.at_ms,
                server: call.server.clone(),
                tool: call.tool.clone(),
                risk_score: call.assessment.risk_score,
                from: told(from),
                to: told(to),
            });
        }
    }
    // A record younger than that has no quiet days before it.
    let oldest = past.iter().map(|call| call.at_ms).min().unwrap_or_default();
    let newest = past.iter().map(|call| call.at_ms).max().unwrap_or_default();
    let span = (newest.saturating_sub(oldest) as f64 / DAY_MS as f64).clamp(1.0, f64::from(days));
    replay.holds_per_day_now = f64::from(held_now) / span;
    replay.holds_per_day_draft = f64::from(held_then) / span;
    replay
}

fn route(call: &Past, policy: &Policy) -> Ruling {
    policy.route(&call.subject(), &call.assessment, &call.grant)
}

fn told(ruling: Ruling) -> SimRoute {
    SimRoute { route: ruling.route, rule: ruling.rule.into_owned(), why: ruling.why.into_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn past(risk: f64, tool: &str, day: i64) -> Past {
        let detail = json!({
            "server": "s", "tool_name": tool, "principal": "p", "session": "x", "class": "external",
            "risk_score": risk, "confidence": 0.9, "reversible": false, "crisis_sensitive": false,
            "grant": "absent", "route": "execute", "rule": "risk",
        });
        Past::read("c", day * DAY_MS, detail.as_object().unwrap()).unwrap()
    }

    #[test]
    fn a_draft_tells_which_calls_would_go_another_way_and_how_many_would_wait() {
        let calls = [past(0.1, "get", 0), past(0.5, "send", 1), past(0.7, "send", 2)];
        let policy = Policy::default();
        let draft = config::draft("[[rule]]\nid = \"no-send\"\ntool = \"send\"\nroute = \"gate\"\n").unwrap();
        let replay = compare(&calls, &policy, &draft, 7, false);
        assert_eq!((replay.calls, replay.changed_total), (3, 1));
        assert_eq!(replay.changed.first().map(|changed| changed.from.route), Some(Route::Execute));
        assert_eq!((replay.holds_per_day_now, replay.holds_per_day_draft), (0.5, 1.0));
        assert_eq!(replay.hits.get("no-send"), Some(&2));
        assert_eq!(replay.unsure, 0);
    }

    #[test]
    fn a_rule_that_looks_into_arguments_is_not_sure_of_calls_whose_arguments_were_not_kept() {
        let draft = config::draft(
            "[[rule]]\nid = \"x\"\ntool = \"send\"\narguments = { \"/to\" = \"ann\" }\nroute = \"block\"\n",
        )
        .unwrap();
        let replay = compare(&[past(0.5, "send", 0)], &Policy::default(), &draft, 7, false);
        assert_eq!((replay.unsure, replay.changed_total), (1, 0));
    }
}
