//! What people change beside holds and reviews: freeze, latches, rules.

use serde::Deserialize;
use serde_json::json;

use super::super::Operator;
use super::super::access::Asked;
use super::super::events::News;
use super::super::problem::Problem;
use super::holds::approver;
use super::{Answer, Nothing, ok};
use crate::gate::Frozen;

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
struct ToolBody {
    server: String,
    tool: String,
    /// Of the description that was looked at.
    digest: String,
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
        if !self.desk.firewall.clear_crisis(&body.key, &approver(session), &body.reason).await? {
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

    /// From now on this description is the one to compare with.
    pub(super) async fn accept_tool(&self, asked: &Asked) -> Answer {
        let (session, body) = (asked.who()?, asked.json::<ToolBody>()?);
        let ToolBody { server, tool, digest } = body;
        if !self.desk.firewall.accept_tool(&server, &tool, Some(&digest), &session.approver).await? {
            return Err(Problem::missing(format!(
                "`{tool}` on `{server}` is not described so and waiting for a word"
            )));
        }
        ok(&json!({ "accepted": { "server": server, "tool": tool, "digest": digest } }))
    }
}
