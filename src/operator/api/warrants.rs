//! Warrants: tried, made, lifted, taken back.

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::super::Operator;
use super::super::access::Asked;
use super::super::desk::{Begin, Page};
use super::super::problem::Problem;
use super::super::reply;
use super::{Answer, ok};
use crate::firewall::now;
use crate::warrants::{Party, Terms, WarrantError};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokeBody {
    /// A warrant's id, a key in hex, `agent:NAME` or `all`.
    what: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LiftBody {
    party: String,
}

impl Operator {
    /// What it would have said of the calls of the last days. Nothing is signed.
    pub(super) async fn try_warrant(&self, asked: &Asked) -> Answer {
        let preview = self.desk.try_warrant(asked.json()?, now()).await?;
        if asked.wants_page() {
            let mut book = self.desk.warrants(Begin::default(), now()).await?;
            book.preview = Some(Box::new(preview));
            return self.page(asked, Page::Warrants(book)).await;
        }
        ok(&preview)
    }

    pub(super) async fn sign_warrant(&self, asked: &Asked) -> Answer {
        let terms: Terms = self.stepped_up(asked).await?;
        let proposed = self.desk.firewall.warrants.propose(&terms, now())?;
        let party = proposed.party.to_string();
        let id = self.desk.firewall.place_warrant(proposed, &asked.who()?.approver).await?;
        Ok(reply::json(StatusCode::CREATED, &json!({ "warrant": id.to_string(), "party": party })))
    }

    pub(super) async fn lift_warrant(&self, asked: &Asked) -> Answer {
        let body: LiftBody = self.stepped_up(asked).await?;
        let party: Party = body.party.parse().map_err(WarrantError::from)?;
        if !self.desk.firewall.lift_warrant(&party, &asked.who()?.approver).await? {
            return Err(Problem::missing(format!("no warrant that was made here stands over `{party}`")));
        }
        ok(&json!({ "lifted": body.party }))
    }

    pub(super) async fn revoke(&self, asked: &Asked) -> Answer {
        let (session, body) = (asked.who()?, asked.json::<RevokeBody>()?);
        ok(&self.desk.firewall.revoke_warrant(&body.what, &session.approver, &body.reason).await?)
    }
}
