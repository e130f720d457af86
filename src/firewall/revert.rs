//! A person takes a call back. That is a call, too: it goes through the whole firewall under that person's name.

use std::sync::Arc;
use std::time::Duration;

use herma_scoring::undo::Ask;
use serde::Serialize;
use serde_json::{Value, json};

use super::outcome::Outcome;
use super::roads::Whose;
use super::session::Session;
use super::undo::is_failure;
use super::{Admission, Firewall, Permit, Refusal, Waited, Waits, now};
use crate::gate::{Approver, Decision, Seen, Stay, to_type};
use crate::ledger::{Entry, Step};
use crate::review::{Plan, ReviewError};

/// How long the server may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a decision that was made before may take to be picked up.
const DECIDED: Duration = Duration::from_secs(1);
/// The server and tool in whose name files are put back.
const PUT_BACK: (&str, &str) = ("herma", "put_back");

/// How taking a call back ended.
#[derive(Debug, Clone, Serialize)]
pub struct Reverted {
    pub result: RevertResult,
    pub review: String,
    /// The call that took it back, or tried to.
    pub call: Option<String>,
    /// The hold that must be decided first.
    pub hold: Option<String>,
    pub said: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RevertResult {
    Reverted,
    /// Things are no longer as the call left them; nothing was touched.
    Conflict,
    Failed,
    /// Another person must agree; then it can be asked for again.
    Waiting,
}

impl RevertResult {
    pub fn name(self) -> &'static str {
        match self {
            Self::Reverted => "reverted",
            Self::Conflict => "conflict",
            Self::Failed => "failed",
            Self::Waiting => "waiting",
        }
    }
}

/// Whoever takes a call back has decided on it, as far as that is theirs to decide.
struct Asker<'a> {
    firewall: &'a Firewall,
    approver: &'a Approver,
}

impl Waits for Asker<'_> {
    async fn wait(&mut self, stay: &mut Stay) -> Waited {
        // Nobody answers for a person in crisis in passing.
        let (_, crisis) = stay.class();
        if !crisis {
            let (hold, digest) = (stay.hold_id().to_owned(), stay.digest().to_owned());
            let approver = self.approver.clone();
            // The plan was read and named, which is more than a name that is typed.
            let typed = self.firewall.gate.show(&hold).await.ok().and_then(|row| to_type(&row));
            let seen = Seen { digest: Some(digest), version: None, typed };
            let decided = self.firewall.decide(&hold, seen, Decision::Approve, approver).await;
            if let Err(error) = decided {
                tracing::info!(hold, %error, "taking a call back needs another decision");
            }
        }
        match tokio::time::timeout(DECIDED, stay.decided()).await {
            Ok(verdict) => Waited::Decided(verdict),
            Err(_) => Waited::OutOfPatience,
        }
    }
}

impl Firewall {
    /// Takes a call back, if `digest` names the plan as things stand. Saying it twice does it once.
    pub async fn revert(
        self: &Arc<Self>,
        id: &str,
        digest: &str,
        approver: &Approver,
    ) -> Result<Reverted, ReviewError> {
        if self.reviews.is_reverted(id).await? {
            let said = "it has been taken back already".to_owned();
            return Ok(Reverted {
                result: RevertResult::Reverted,
                review: id.to_owned(),
                call: None,
                hold: None,
                said,
            });
        }
        let plan = self.reviews.plan_revert(id, &self.rules()).await?;
        if digest.len() < 8 || !plan.digest.starts_with(digest) {
            return Err(ReviewError::Moved(id.to_owned()));
        }
        if let Some(conflict) = plan.conflicts.first() {
            let reverted = Reverted {
                result: RevertResult::Conflict,
                review: id.to_owned(),
                call: None,
                hold: None,
                said: conflict.clone(),
            };
            self.note_reverted(&plan, &reverted, approver);
            return Ok(reverted);
        }
        let row = self.reviews.begin_revert(&plan.row, &approver.id, now()).await?;
        let reverted = self.take_back(&plan, approver).await;
        let verdict = json!({ "by": approver.id, "result": reverted.result, "said": reverted.said });
        self.reviews.end_revert(&row, reverted.result == RevertResult::Reverted, verdict, now()).await?;
        self.note_reverted(&plan, &reverted, approver);
        Ok(reverted)
    }

    async fn take_back(self: &Arc<Self>, plan: &Plan, approver: &Approver) -> Reverted {
        let ended =
            |result, said| Reverted { result, review: plan.review.clone(), call: None, hold: None, said };
        let whose = Whose {
            server: plan.kept.server.as_str().into(),
            principal: plan.kept.principal.as_str().into(),
            session: plan.kept.session.as_str().into(),
        };
        let (server, ask, road) = match &plan.compensation {
            None => (Arc::from(PUT_BACK.0), put_back(plan), None),
            Some(ask) => match self.roads.to(&whose) {
                Some(road) => (Arc::clone(&whose.server), ask.clone(), Some(road)),
                None => {
                    let said =
                        format!("the server {} is not connected with that session any more", whose.server);
                    return ended(RevertResult::Failed, said);
                }
            },
        };
        let principal = format!("operator:{}", approver.id);
        let session = self.sessions.adopt(Session::new("review", principal.into(), server, false));
        let call = self.own_call(session.origin(), ask, &plan.kept.meta);
        let id = Some(call.id.to_string());
        let mut asker = Asker { firewall: self, approver };
        let mut reverted = match self.admit(call, &session, &mut asker).await {
            Ok(Admission::Permit(permit)) => match road {
                None => self.put_back(plan, *permit).await,
                Some(road) => match tokio::time::timeout(PATIENCE, road.send(whose, *permit)).await {
                    Ok(Ok(answer)) if is_failure(&answer) => {
                        ended(RevertResult::Failed, format!("the server refused: {}", words_of(&answer)))
                    }
                    Ok(Ok(_)) => ended(RevertResult::Reverted, "the call was taken back by another".into()),
                    Ok(Err(error)) => ended(RevertResult::Failed, error.to_string()),
                    Err(_) => ended(RevertResult::Failed, "the server did not answer in time".into()),
                },
            },
            Ok(Admission::Answered(_)) => {
                ended(RevertResult::Reverted, "an identical call took it back".into())
            }
            Err(Refusal::Pending { hold, .. }) => {
                let said = format!("another person must agree first: hold {hold}; then ask for it again");
                Reverted { hold: Some(hold), ..ended(RevertResult::Waiting, said) }
            }
            Err(refusal) => ended(RevertResult::Failed, refusal.to_string()),
        };
        reverted.call = id;
        reverted
    }

    /// Step 7 of putting files back: Herma itself is the server.
    async fn put_back(&self, plan: &Plan, permit: Permit) -> Reverted {
        let (_, settlement) = permit.spend();
        let done = self.reviews.put_back(&plan.kept).await;
        let is_error = done.is_err();
        settlement.settle(Outcome::Answered { is_error, bytes: 0, response: None, delivered: true });
        let (result, said) = match done {
            Ok(()) => {
                let paths: Vec<&str> = plan.files.iter().map(|file| file.path.as_str()).collect();
                (RevertResult::Reverted, format!("{} as before", paths.join(", ")))
            }
            Err(error @ ReviewError::Image(crate::review::ImageError::Changed(_))) => {
                (RevertResult::Conflict, error.to_string())
            }
            Err(error) => (RevertResult::Failed, error.to_string()),
        };
        Reverted { result, review: plan.review.clone(), call: None, hold: None, said }
    }

    fn note_reverted(&self, plan: &Plan, reverted: &Reverted, approver: &Approver) {
        let entry = Entry::new(now(), Step::Reverted)
            .of(plan.row.call.as_str())
            .with("by", approver.id.as_str())
            .with("principal", plan.kept.principal.as_str())
            .with("result", reverted.result.name())
            .with("review", plan.review.as_str())
            .with("revert_call", reverted.call.as_deref())
            .with("server", plan.kept.server.as_str())
            .with("session", plan.kept.session.as_str())
            .with("tool_name", plan.row.tool.as_str());
        self.note(entry);
        if reverted.result == RevertResult::Reverted {
            let said = format!(
                "A person ({}) took back call {} ({}): {}.",
                approver.id, plan.row.call, plan.row.tool, reverted.said
            );
            let kept = &plan.kept;
            self.reviews.notices.leave(&kept.server, &kept.principal, &kept.session, said);
        }
    }

    /// A line for what a person said of a reviewed call.
    pub fn note_review(&self, review: &str, verdict: &str, by: &str) {
        let entry = Entry::new(now(), Step::Reviewed).with("by", by).with("review", review);
        self.note(entry.with("verdict", verdict));
    }
}

fn put_back(plan: &Plan) -> Ask {
    let files: Vec<Value> = plan
        .kept
        .images
        .iter()
        .map(|image| json!({ "path": image.path(), "sha256": image.before.sha256() }))
        .collect();
    Ask { tool: PUT_BACK.1.into(), args: json!({ "files": files, "review": plan.review }) }
}

/// What a failed answer says, at most a line of it.
fn words_of(answer: &[u8]) -> String {
    let answer = serde_json::from_slice::<Value>(answer).unwrap_or_default();
    let said = answer.pointer("/error/message").or_else(|| answer.pointer("/result/content/0/text"));
    said.and_then(Value::as_str).unwrap_or("it did not say why").chars().take(200).collect()
}
