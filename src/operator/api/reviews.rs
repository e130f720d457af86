//! What people say of calls that ran, or are about to.

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::super::Operator;
use super::super::access::Asked;
use super::super::events::News;
use super::super::problem::Problem;
use super::holds::approver;
use super::{Answer, Nothing, ok};
use crate::call::Digest;
use crate::firewall::now;
use crate::review::ReviewError;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AcceptBody {
    /// And all others that wait of the same tool in the same session.
    #[serde(default)]
    group: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RevertBody {
    /// The digest of the plan that was looked at.
    plan: Option<String>,
    /// Only say what it would do now.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FlagBody {
    #[serde(default)]
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unflagged {
    server: String,
    tool: String,
}

impl From<ReviewError> for Problem {
    fn from(error: ReviewError) -> Self {
        match error {
            ReviewError::Unknown(_) => Self::missing(error.to_string()),
            ReviewError::Over { .. } => Self::new(StatusCode::GONE, "over", error.to_string()),
            ReviewError::Moved(_) => Self::new(StatusCode::CONFLICT, "stale", error.to_string()),
            ReviewError::Store(error) => error.into(),
            ReviewError::Image(_) | ReviewError::Unreadable(_) | ReviewError::Directory { .. } => {
                Self::fault(&error)
            }
        }
    }
}

impl Operator {
    pub(super) async fn accept_review(&self, asked: &Asked) -> Answer {
        let (by, body) = (&asked.who()?.approver, asked.json::<AcceptBody>()?);
        let firewall = &self.desk.firewall;
        let accepted = match body.group {
            true => firewall.reviews.accept_group(&asked.segment, by, now()).await?,
            false => vec![firewall.reviews.accept(&asked.segment, by, now()).await?.id],
        };
        accepted.iter().for_each(|id| firewall.note_review(id, "accepted", by));
        self.events.tell(&News::Review);
        ok(&json!({ "accepted": accepted }))
    }

    /// Taking a call back is said to a plan, so that nobody takes back what was not shown.
    pub(super) async fn revert(&self, asked: &Asked) -> Answer {
        let (session, body) = (asked.who()?, asked.json::<RevertBody>()?);
        let plan = match (body.dry_run, body.plan) {
            (true, _) => return ok(&self.desk.review(&asked.segment).await?),
            (false, Some(plan)) if Digest::from_hex(&plan).is_some() => plan,
            (false, _) => {
                return Err(Problem::malformed(
                    "`plan` is the digest of the plan that was shown, 64 hex digits",
                ));
            }
        };
        let reverted = self.desk.firewall.revert(&asked.segment, &plan, &approver(session)).await?;
        self.events.tell(&News::Review);
        ok(&reverted)
    }

    /// From now on calls of its tool wait for a person.
    pub(super) async fn flag(&self, asked: &Asked) -> Answer {
        let (by, body) = (&asked.who()?.approver, asked.json::<FlagBody>()?);
        self.desk.firewall.reviews.flag(&asked.segment, by, &body.reason, now()).await?;
        self.desk.firewall.note_review(&asked.segment, "flagged", by);
        self.events.tell(&News::Review);
        ok(&self.desk.review(&asked.segment).await?)
    }

    /// Calls of this tool run again where they can be undone.
    pub(super) async fn unflag(&self, asked: &Asked) -> Answer {
        let (by, Unflagged { server, tool }) = (&asked.who()?.approver, asked.json()?);
        if !self.desk.firewall.reviews.unflag(&server, &tool).await? {
            return Err(Problem::missing(format!("`{tool}` on `{server}` is not flagged")));
        }
        self.desk.firewall.note_review(&format!("{tool} on {server}"), "unflagged", by);
        self.events.tell(&News::Review);
        ok(&json!({ "unflagged": { "server": server, "tool": tool } }))
    }

    /// Keeps a delayed call from running.
    pub(super) async fn stop_review(&self, asked: &Asked) -> Answer {
        let Nothing {} = asked.json()?;
        let by = &asked.who()?.approver;
        self.desk.firewall.reviews.stop(&asked.segment, by, now()).await?;
        self.desk.firewall.note_review(&asked.segment, "stopped", by);
        self.events.tell(&News::Review);
        ok(&self.desk.review(&asked.segment).await?)
    }
}
