//! What people change beside holds: freeze, latches, rules, warrants, reviews.

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::super::Operator;
use super::super::access::Asked;
use super::super::events::News;
use super::super::problem::Problem;
use super::{Answer, Nothing, ok};
use crate::firewall::now;
use crate::gate::{Approver, Frozen, Method};
use crate::review::ReviewError;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FreezeBody {
    /// `all`, `agent:NAME`, `session:ID` or `warrant:ID`.
    what: Frozen,
    #[serde(default)]
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClearBody {
    key: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokeBody {
    /// A warrant's id, a key in hex, `agent:NAME` or `all`.
    what: String,
    reason: String,
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
    pub(super) async fn freeze(&self, asked: &Asked) -> Answer {
        let (session, body) = (asked.who()?, asked.json::<FreezeBody>()?);
        self.desk.firewall.freeze(&body.what, &session.approver, &body.reason).await?;
        self.events.tell(&News::Freeze);
        ok(&json!({ "frozen": self.desk.frozen() }))
    }

    pub(super) async fn thaw(&self, asked: &Asked) -> Answer {
        let (session, body) = (asked.who()?, asked.json::<FreezeBody>()?);
        if !self.desk.firewall.thaw(&body.what, &session.approver, &body.reason).await? {
            return Err(Problem::missing(format!("`{}` is not frozen", body.what)));
        }
        self.events.tell(&News::Freeze);
        ok(&json!({ "frozen": self.desk.frozen() }))
    }

    pub(super) async fn clear_latch(&self, asked: &Asked) -> Answer {
        let (session, body) = (asked.who()?, asked.json::<ClearBody>()?);
        if body.reason.trim().is_empty() {
            return Err(Problem::unusable("say why nobody is in crisis any more: the record keeps it"));
        }
        let approver = Approver {
            id: session.approver.clone(),
            method: Method::Session,
            credential: Some(session.key_id.clone()),
        };
        if !self.desk.firewall.clear_crisis(&body.key, &approver, &body.reason).await? {
            return Err(Problem::missing(format!("no crisis latch is set for `{}`", body.key)));
        }
        self.events.tell(&News::Latch);
        ok(&json!({ "cleared": body.key }))
    }

    pub(super) async fn withdraw(&self, asked: &Asked) -> Answer {
        let Nothing {} = asked.json()?;
        self.desk.firewall.withdraw_standing(&asked.segment, &asked.who()?.approver).await?;
        self.events.tell(&News::Standing);
        ok(&json!({ "standing": self.desk.standing() }))
    }

    pub(super) async fn revoke(&self, asked: &Asked) -> Answer {
        let (session, body) = (asked.who()?, asked.json::<RevokeBody>()?);
        ok(&self.desk.firewall.revoke_warrant(&body.what, &session.approver, &body.reason).await?)
    }

    pub(super) async fn accept_review(&self, asked: &Asked) -> Answer {
        let Nothing {} = asked.json()?;
        let session = asked.who()?;
        self.desk.firewall.reviews.accept(&asked.segment, &session.approver, now()).await?;
        self.events.tell(&News::Review);
        ok(&json!({ "accepted": asked.segment }))
    }
}
