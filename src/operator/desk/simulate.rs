//! What a draft of the policy would make of a call, or of the calls of the last days.

use herma_scoring::undo::{Preimage, Undo};
use herma_scoring::{Assessment, Context, Kind, Reversibility, SideEffect, assess};
use herma_warrant::Grant;
use serde::Deserialize;
use serde_json::Value;

use super::read::word;
use super::{Changed, Desk, Replay, SimAnswer, SimCall, SimRoute, Simulator, aside, history};
use crate::config::{self, ConfigError};
use crate::firewall::now;
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

/// A call as the record has it, judged.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) call: String,
    pub(super) at_ms: i64,
    pub(super) server: String,
    pub(super) tool: String,
    pub(super) principal: String,
    pub(super) session: String,
    /// Those that were kept; `None` when the record has none of them.
    pub(super) arguments: Option<Value>,
    pub(super) assessment: Assessment,
    pub(super) grant: Grant,
}

impl Past {
    /// From the facts of a `routed` line.
    pub(super) fn read(call: &str, at_ms: i64, detail: &serde_json::Map<String, Value>) -> Option<Self> {
        let text = |name: &str| detail.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let number = |name: &str| detail.get(name).and_then(Value::as_f64);
        let truth = |name: &str| detail.get(name).and_then(Value::as_bool).unwrap_or_default();
        let kept = detail.get("arguments_seen").and_then(Value::as_object).map(|seen| {
            let members =
                seen.iter().filter_map(|(name, shape)| Some((name.clone(), shape.get("is")?.clone())));
            Value::Object(members.collect())
        });
        let why = "as it was then".to_owned();
        Some(Self {
            call: call.to_owned(),
            at_ms,
            server: text("server"),
            tool: text("tool_name"),
            principal: text("principal"),
            session: text("session"),
            arguments: kept,
            grant: match text("grant").as_str() {
                "authorised" => Grant::Authorised,
                "gated" => Grant::Gated { why },
                "refused" => Grant::Refused { why },
                _ => Grant::Absent,
            },
            assessment: Assessment {
                class: serde_json::from_value::<SideEffect>(text("class").into()).ok()?,
                reversibility: if truth("reversible") { Reversibility::Yes } else { Reversibility::No },
                risk_score: number("risk_score")?,
                confidence: number("confidence")?,
                outbound: truth("outbound"),
                contested: truth("contested"),
                crisis_sensitive: truth("crisis_sensitive"),
                reasons: Vec::new(),
                undo: truth("undo").then(|| {
                    Undo::Preimage(Preimage { path: Vec::new(), max: 0, directory: false, residue: None })
                }),
                pack_digest: String::new(),
            },
        })
    }

    fn route(&self, policy: &Policy) -> Ruling {
        let subject = Subject {
            kind: Kind::Tool,
            server: &self.server,
            tool: &self.tool,
            principal: &self.principal,
            session: &self.session,
            arguments: self.arguments.as_ref().unwrap_or(&Value::Null),
        };
        policy.route(&subject, &self.assessment, &self.grant)
    }
}

impl Desk {
    pub(in crate::operator) fn simulator(&self, answer: Option<SimAnswer>) -> Simulator {
        let policy = self.firewall.policy();
        Simulator {
            revision: policy.revision.clone(),
            mode: word(policy.mode),
            profile: word(policy.profile),
            file: self.file.as_ref().and_then(|file| config::policy_part(file)),
            answer,
        }
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
        let (dir, policy) = (self.ledger_dir.clone(), self.firewall.policy());
        let since = now().saturating_sub(i64::from(days).saturating_mul(DAY_MS));
        aside(move || {
            let (past, cut) = history::past(&dir, since)?;
            Ok::<_, crate::ledger::LedgerError>(compare(
                &past,
                &policy,
                draft.as_ref().unwrap_or(&policy),
                days,
                cut,
            ))
        })
        .await
    }
}

fn compare(past: &[Past], policy: &Policy, draft: &Policy, days: u32, cut: bool) -> Replay {
    let looks = draft.reads_arguments() || policy.reads_arguments();
    let mut replay = Replay { days, cut, ..Replay::default() };
    let (mut held_now, mut held_then) = (0_u32, 0_u32);
    for call in past {
        replay.calls += 1;
        replay.unsure += u64::from(looks && call.arguments.is_none());
        let (from, to) = (call.route(policy), call.route(draft));
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
