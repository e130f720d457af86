//! Holds: listed, decided one by one, together, or with all that are like them.

use std::str::FromStr;

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Operator;
use super::super::access::Asked;
use super::super::passkey::Assertion;
use super::super::people::base64url;
use super::super::people::session::Session;
use super::super::problem::Problem;
use super::{Answer, ok};
use crate::call::Digest;
use crate::firewall::{Similar, now};
use crate::gate::{Approver, Decision, Method, Seen};
use crate::store::{HoldFilter, HoldRow, HoldState, Order};

const LISTED: u32 = 100;
const MOST: u32 = 500;
/// Holds that are decided in one breath.
const BATCH: usize = 200;
/// Characters of a reason: the model reads it, and the record keeps it.
const REASON: usize = 2_000;
const NO_REASON: &str = "a person decided against it";

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Listing {
    state: Option<String>,
    session: Option<String>,
    /// Opened then or later, in Unix ms.
    since: Option<i64>,
    limit: Option<u32>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Approve,
    Edit,
    Deny,
    Escalate,
}

/// A decision and what it was made on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    version: u64,
    call_digest: String,
    decision: Word,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    sticky: bool,
    /// The text of a JSON object.
    edited_args: Option<String>,
    /// Of a draft: the passkey that will answer it.
    credential: Option<String>,
    /// What was typed, where the hold asks for it.
    typed: Option<String>,
}

/// The answer of a passkey to a decision that was drafted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Touched {
    /// The draft's digest, in hex.
    draft: String,
    passkey: Assertion,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    holds: Vec<Named>,
    decision: Word,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    sticky: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    id: String,
    version: u64,
    call_digest: String,
    typed: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Likened {
    version: u64,
    call_digest: String,
    rule: Similar,
}

fn seen(version: u64, digest: String, typed: Option<String>) -> Result<Seen, Problem> {
    // A prefix is for people who type; a page knows all of it.
    if Digest::from_hex(&digest).is_none() {
        return Err(Problem::malformed("call_digest has 64 hex digits"));
    }
    Ok(Seen { digest: Some(digest), version: Some(version), typed })
}

fn decision(word: Word, reason: String, sticky: bool, edited: Option<String>) -> Result<Decision, Problem> {
    if reason.chars().count() > REASON {
        return Err(Problem::unusable(format!("a reason has {REASON} characters at most")));
    }
    Ok(match (word, edited) {
        (Word::Approve, None) => Decision::Approve,
        (Word::Edit, Some(arguments)) => Decision::Edit { arguments },
        (Word::Edit, None) => return Err(Problem::malformed("an edit needs `edited_args`")),
        (Word::Deny, None) if reason.trim().is_empty() => Decision::Deny { reason: NO_REASON.into(), sticky },
        (Word::Deny, None) => Decision::Deny { reason, sticky },
        (Word::Escalate, None) => Decision::Escalate { reason },
        (_, Some(_)) => return Err(Problem::malformed("`edited_args` go with `edit` alone")),
    })
}

pub(super) fn approver(session: &Session) -> Approver {
    Approver {
        id: session.approver.clone(),
        method: Method::Session,
        credential: Some(session.key_id.clone()),
    }
}

/// What became of a hold, with the receipt.
fn settled(row: &HoldRow) -> Value {
    let receipt: Option<Value> = row.decision.as_deref().and_then(|text| serde_json::from_str(text).ok());
    json!({
        "id": row.id,
        "version": row.version,
        "state": row.state,
        "approvals": row.approvals,
        "receipt": receipt,
    })
}

impl Operator {
    pub(super) async fn holds(&self, asked: &Asked) -> Answer {
        let listing: Listing = asked.query()?;
        let states = match listing.state.as_deref() {
            None | Some("pending") => vec![HoldState::Pending],
            Some("all") => Vec::new(),
            Some(state) => {
                vec![HoldState::from_str(state).map_err(|error| Problem::malformed(error.to_string()))?]
            }
        };
        let filter = HoldFilter {
            states,
            session: listing.session,
            since_ms: listing.since,
            order: Order::NewestFirst,
            limit: Some(listing.limit.unwrap_or(LISTED).clamp(1, MOST)),
            ..HoldFilter::default()
        };
        ok(&json!({ "holds": self.desk.rows(filter).await? }))
    }

    /// The receipt of a decision before it is made: a passkey answers its digest.
    pub(super) async fn draft(&self, asked: &Asked) -> Answer {
        let (session, said) = (asked.who()?, asked.json::<Said>()?);
        let keys = self.sign_in.passkeys(&session.approver).await?;
        let wanted = said.credential.clone();
        let key = keys.into_iter().find(|key| wanted.as_ref().is_none_or(|id| *id == key.id));
        let key = key.ok_or_else(|| {
            let why = "you have no such passkey: make one on the settings page";
            Problem::new(StatusCode::FORBIDDEN, "too-weak", why).with("needs", "passkey")
        })?;
        let approver = Approver {
            id: session.approver.clone(),
            method: Method::Passkey,
            credential: Some(key.id.clone()),
        };
        let seen = seen(said.version, said.call_digest, said.typed)?;
        let decision = decision(said.decision, said.reason, said.sticky, said.edited_args)?;
        let draft = self.desk.firewall.draft(&asked.segment, &seen, decision, approver).await?;
        let digest = draft.digest();
        let answer = json!({
            "draft": digest.to_string(),
            "challenge": base64url(digest.bytes()),
            "rp_id": self.names.host(),
            "credential": key.id,
        });
        self.sign_in.keep(draft, session, key, now());
        ok(&answer)
    }

    pub(super) async fn decide(&self, asked: &Asked) -> Answer {
        let session = asked.who()?;
        // Told apart here, so that what is wrong with either is said in its own words.
        if asked.json::<Value>()?.get("draft").is_some() {
            return self.decide_touched(asked, session).await;
        }
        let said: Said = asked.json()?;
        let seen = seen(said.version, said.call_digest, said.typed)?;
        let decision = decision(said.decision, said.reason, said.sticky, said.edited_args)?;
        ok(&settled(&self.desk.firewall.decide(&asked.segment, seen, decision, approver(session)).await?))
    }

    async fn decide_touched(&self, asked: &Asked, session: &Session) -> Answer {
        let Touched { draft, passkey } = asked.json()?;
        let digest = Digest::from_hex(&draft).ok_or_else(|| Problem::malformed("draft has 64 hex digits"))?;
        let (draft, evidence) =
            self.sign_in.taken(&self.names, digest.bytes(), &passkey, session, now()).await?;
        if draft.hold_id() != asked.segment {
            return Err(Problem::malformed("this draft is of another hold"));
        }
        ok(&settled(&self.desk.firewall.decide_drafted(draft, Some(evidence)).await?))
    }

    /// Many at once, each named with what was seen of it. What fails fails alone.
    pub(super) async fn batch(&self, asked: &Asked) -> Answer {
        let (session, batch) = (asked.who()?, asked.json::<Batch>()?);
        if batch.holds.len() > BATCH {
            return Err(Problem::unusable(format!("{BATCH} holds at most are decided at once")));
        }
        let word = decision(batch.decision, batch.reason, batch.sticky, None)?;
        let mut items = Vec::with_capacity(batch.holds.len());
        for named in batch.holds {
            items.push((named.id, seen(named.version, named.call_digest, named.typed)?));
        }
        let ids: Vec<_> = items.iter().map(|(id, _)| id.clone()).collect();
        let said = self.desk.firewall.decide_all(items, word, approver(session)).await;
        let results = ids.into_iter().zip(said).map(|(id, said)| match said {
            Ok(row) => settled(&row),
            Err(error) => json!({ "id": id, "problem": Problem::from(error) }),
        });
        ok(&json!({ "results": results.collect::<Vec<_>>() }))
    }

    /// The rule that "approve similar" would make.
    pub(super) async fn preview(&self, asked: &Asked) -> Answer {
        let wish: Similar = asked.json()?;
        ok(&self.desk.firewall.similar(&asked.segment, &wish).await?)
    }

    pub(super) async fn similar(&self, asked: &Asked) -> Answer {
        let (session, likened) = (asked.who()?, asked.json::<Likened>()?);
        let seen = seen(likened.version, likened.call_digest, None)?;
        let made = self.desk.firewall.approve_similar(&asked.segment, seen, &likened.rule, approver(session));
        let (row, rule) = made.await?;
        ok(&json!({ "hold": settled(&row), "rule": rule }))
    }
}
