//! People's words on holds: checked, signed, counted, written down, and only then told.

use serde_json::Value;

use super::hold::Hold;
use super::receipt::{Approver, DRAFT_LIFE, Decision, Draft, Reach, Receipt, Seen};
use super::typed::to_type;
use super::{Gate, GateError, millis};
use crate::ledger::{Entry, Step};
use crate::policy::{Method, Needs, Standing};
use crate::store::{Edited, HoldChange, HoldRow, HoldState, VoteRow};

use std::sync::Arc;

impl Gate {
    /// Checks that this may be said on the hold now, and drafts the receipt of it.
    pub async fn draft(
        &self,
        id: &str,
        seen: &Seen,
        decision: Decision,
        approver: Approver,
        reach: Option<Reach>,
        now: i64,
    ) -> Result<Draft, GateError> {
        let hold = self.named(id).await?;
        let row = hold.row();
        check_seen(&row, seen)?;
        if decision.approves()
            && let Some(target) = to_type(&row).filter(|target| seen.typed.as_ref() != Some(target))
        {
            return Err(GateError::Untyped { id: row.id, target });
        }
        check_approver(&hold, &row, &decision, &approver)?;
        let mut nonce = [0u8; 16];
        getrandom::fill(&mut nonce)?;
        let expires = now.saturating_add(millis(self.times.ticket));
        Receipt::draft(&row, decision, approver, now, nonce, expires, reach)
    }

    /// Takes a drafted word. The hold must still be what the draft was made from. A rule that the person made of it
    /// is in force before anybody who waits hears the word: whoever asks again at once meets the rule.
    pub async fn decide(
        &self,
        draft: Draft,
        evidence: Option<Value>,
        rule: Option<Standing>,
        now: i64,
    ) -> Result<(HoldRow, Option<Standing>), GateError> {
        if let Some(rule) = &rule {
            self.check_room(&rule.hold, now)?;
        }
        let hold = self.named(draft.hold_id()).await?;
        let _turn = hold.turn().await;
        let row = hold.row();
        check_approver(&hold, &row, &draft.decision, &draft.body.approver)?;
        if !draft.is_for(&row)? || now.saturating_sub(draft.body.decided_at) > DRAFT_LIFE {
            return Err(GateError::OutOfDate(row.id));
        }
        let receipt = Receipt::sign(&self.signer, &draft, evidence)?;
        let said = Some(receipt.to_string());
        let change = match &draft.decision {
            Decision::Approve | Decision::Edit { .. } => self.count_vote(&row, &draft, &receipt, now).await?,
            Decision::Deny { .. } => {
                HoldChange { decided_ms: Some(now), ..HoldChange::to(HoldState::Denied) }
            }
            Decision::Escalate { .. } => {
                HoldChange { escalated: Some(row.escalated.saturating_add(1)), ..HoldChange::default() }
            }
        };
        let row =
            self.store.change_hold(&row.id, row.version, HoldChange { decision: said, ..change }).await?;
        hold.set_row(row.clone());
        self.ledger
            .record_durable(Entry::new(now, Step::Decided).with("receipt", receipt.as_value()))
            .await?;
        let made = match rule.filter(|_| row.state != HoldState::Pending) {
            Some(rule) => Some(self.add_standing(rule, now).await),
            None => None,
        };
        if let Decision::Deny { reason, .. } = &draft.decision {
            self.forget(&hold);
            self.asked.lock().denied(&row, &draft.body.approver.id, reason, now);
        }
        if row.state != HoldState::Pending {
            hold.stand(draft.stand());
        }
        let _ = self.news.send(row.clone());
        // The word stands either way; whoever said it must know that the rule does not.
        Ok((row, made.transpose()?))
    }

    /// What one more approval makes of the hold. Only approvals of the very same arguments add up.
    async fn count_vote(
        &self,
        row: &HoldRow,
        draft: &Draft,
        receipt: &Receipt,
        now: i64,
    ) -> Result<HoldChange, GateError> {
        let needs = needs(row);
        let (approver, subject) = (&draft.body.approver.id, draft.subject());
        let votes = self.store.votes(&row.id).await?;
        if votes.iter().any(|vote| vote.approver == *approver && vote.subject == subject) {
            return Err(GateError::Again { id: row.id.clone(), approver: approver.clone() });
        }
        let others =
            votes.iter().filter(|vote| vote.approver != *approver && vote.subject == subject).count();
        let approvals = u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1);
        let done = approvals >= needs.quorum;
        let proposed = match &draft.decision {
            Decision::Edit { arguments } => {
                Some(Edited { digest: subject.to_owned(), bytes: arguments.clone().into_bytes() })
            }
            _ => None,
        };
        let vote = VoteRow {
            approver: approver.clone(),
            subject: subject.to_owned(),
            receipt: receipt.to_string(),
            at_ms: now,
        };
        Ok(HoldChange {
            state: done.then_some(HoldState::Approved),
            decided_ms: done.then_some(now),
            expires_ms: done.then(|| now.saturating_add(millis(self.times.ticket))),
            approvals: Some(approvals),
            edited: proposed.as_ref().filter(|_| done).map(|edit| edit.digest.clone()),
            proposed,
            vote: Some(vote),
            ..HoldChange::default()
        })
    }

    /// Who has approved a hold so far, each with the receipt of it.
    pub async fn votes(&self, id: &str) -> Result<Vec<VoteRow>, GateError> {
        Ok(self.store.votes(id).await?)
    }

    /// The arguments a hold is about: raw, for whoever is to change them.
    pub async fn arguments(&self, id: &str) -> Result<String, GateError> {
        let row = self.show(id).await?;
        let bytes = match &row.edited {
            Some(digest) => self.store.edit(id, digest).await?,
            None => self.store.arguments(id).await?,
        };
        let bytes = bytes.ok_or_else(|| GateError::Forgotten(id.to_owned()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn named(&self, id: &str) -> Result<Arc<Hold>, GateError> {
        if let Some(hold) = self.by_id(id) {
            hold.stored().await;
            return Ok(hold);
        }
        Err(match self.store.hold(id).await? {
            Some(row) => GateError::Settled { id: row.id, state: row.state.to_string() },
            None => GateError::Unknown(id.to_owned()),
        })
    }
}

/// What it takes to approve this hold.
pub fn needs(row: &HoldRow) -> Needs {
    // Written by us; were it not readable, nobody could approve.
    let unreadable = || Needs { approvers: Some(Vec::new()), ..Needs::default() };
    serde_json::from_str(&row.needs).unwrap_or_else(|_| unreadable())
}

fn check_seen(row: &HoldRow, seen: &Seen) -> Result<(), GateError> {
    if let Some(named) =
        seen.digest.as_deref().filter(|named| !row.digest.starts_with(*named) || named.len() < 8)
    {
        return Err(GateError::OtherDigest {
            id: row.id.clone(),
            named: named.to_owned(),
            actual: row.digest.clone(),
        });
    }
    match seen.version {
        Some(version) if version != row.version => {
            Err(GateError::Stale { id: row.id.clone(), seen: version, current: row.version })
        }
        _ => Ok(()),
    }
}

/// Whether this person may say this. To deny and to pass on takes nobody in particular.
fn check_approver(
    hold: &Hold,
    row: &HoldRow,
    decision: &Decision,
    approver: &Approver,
) -> Result<(), GateError> {
    if row.state != HoldState::Pending {
        return Err(GateError::Settled { id: row.id.clone(), state: row.state.to_string() });
    }
    if !hold.awaited() {
        return Err(GateError::Gone(row.id.clone()));
    }
    if !decision.approves() {
        return Ok(());
    }
    let id = row.id.clone();
    if approver.id == row.principal {
        return Err(GateError::OwnRequest(id));
    }
    let needs = needs(row);
    if let Some(others) = &needs.second_person {
        check_second_person(&id, others, approver)?;
    }
    if approver.method < needs.method {
        return Err(GateError::TooWeak { id, needs: needs.method });
    }
    match &needs.approvers {
        Some(named) if !named.contains(&approver.id) => {
            Err(GateError::NotAnApprover { id, who: approver.id.clone(), named: named.join(", ") })
        }
        _ => Ok(()),
    }
}

/// Where Herma's own user may be the one in crisis, only somebody else speaks, and not over that user's terminal.
pub fn check_second_person(what: &str, others: &[String], approver: &Approver) -> Result<(), GateError> {
    if others.is_empty() {
        return Err(GateError::NoSecondPerson(what.to_owned()));
    }
    if approver.method <= Method::Terminal || !others.contains(&approver.id) {
        return Err(GateError::SecondPerson { id: what.to_owned(), named: others.join(", ") });
    }
    Ok(())
}
