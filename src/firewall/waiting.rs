//! Step 5: a call at the gate, and what people's words make of it.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use herma_scoring::json::{Limits, read};
use herma_scoring::{Assessment, SideEffect};

use super::session::Session;
use super::{Firewall, Judged, Refusal, Waited, Waits, now, route, subject, trace, undo};
use crate::call::{Call, Credential, Shown as Presented};
use crate::gate::{Answer, Claim, GateError, Shown, Verdict};
use crate::policy::{Policy, Route, Standing};
use crate::review::Place;
use crate::store::FreezeRow;

/// As much of changed arguments as the agent is told.
const TOLD: usize = 4 << 10;

/// How a call comes through the gate.
pub(super) enum Passage {
    Approved(Claim),
    /// A person approved it with other arguments.
    Edited(Claim, Box<Edit>),
    Answered(Arc<Answer>),
}

/// A call with the arguments a person gave it, judged anew.
pub(super) struct Edit {
    pub(super) call: Call,
    pub(super) judged: Judged,
    /// What the agent is told of it.
    pub(super) told: String,
}

impl Firewall {
    /// What people have said that reaches beyond one call: freezes, denials that stick, and standing rules.
    pub(super) fn heed_people(&self, call: &Call, judged: &mut Judged, at: i64) -> Option<Refusal> {
        if judged.ruling.route == Route::Block {
            return None;
        }
        if let Some(FreezeRow { what, by, reason, .. }) = self.frozen_for(call, judged) {
            let why =
                format!("{what} is frozen by {by} ({reason}): nothing that leaves or needs a person runs");
            judged.ruling.route = Route::Block;
            judged.ruling.rule = Cow::Borrowed("freeze");
            judged.ruling.why = why.into();
            return None;
        }
        let subject = subject(call);
        let digest = || call.digest().ok().map(|digest| digest.to_string());
        if let Some(rule) = self.gate.find_standing(at, |rule| rule.denies(&subject, digest)) {
            judged.ruling.route = Route::Block;
            judged.ruling.rule = rule.rule().into();
            judged.ruling.why = rule.reason.clone().into();
            return Some(Refusal::Denied { hold: rule.hold, by: rule.by, reason: rule.reason });
        }
        let (assessment, ruling) = (&judged.assessment, &judged.ruling);
        let as_then = |definition: &Option<String>| {
            *definition == call.definition.as_ref().map(|listed| listed.digest.to_string())
        };
        let allows = |rule: &Standing| rule.allows(&subject, assessment, ruling) && as_then(&rule.definition);
        let allowed = self.gate.find_standing(at, allows)?;
        // What was approved by itself is no use of a rule.
        if call.digest().is_ok_and(|digest| self.gate.has_ticket(&digest.to_string())) {
            return None;
        }
        judged.ruling.route = Route::Execute;
        judged.ruling.why = format!("{} said so: {}", allowed.by, allowed.reason).into();
        judged.ruling.rule = allowed.rule().into();
        judged.standing = Some(allowed.id);
        None
    }

    fn frozen_for(&self, call: &Call, judged: &Judged) -> Option<FreezeRow> {
        let stops = judged.assessment.class >= SideEffect::External || judged.ruling.route == Route::Gate;
        if !stops || self.gate.nothing_is_frozen() {
            return None;
        }
        self.gate.frozen_for(
            &call.origin.principal,
            &call.origin.session,
            &self.warrants.ids(&judged.checked),
        )
    }

    /// Waits for a person. Changed arguments are judged before they run; when they are riskier than what the person
    /// saw, they are a question of their own.
    pub(super) async fn gate(
        &self,
        call: &Call,
        session: &Arc<Session>,
        judged: &Judged,
        policy: &Policy,
        client: &mut impl Waits,
    ) -> Result<Passage, Refusal> {
        let ways = undo::ways(call, session, &judged.assessment);
        let mut riskier: Option<Edit> = None;
        loop {
            let (asked, seen, key) = match &riskier {
                None => (call, judged, None),
                Some(edit) => {
                    (&edit.call, &edit.judged, Some(call.digest().map_err(GateError::from)?.to_string()))
                }
            };
            let (claim, by) = match self.ask(asked, session, seen, policy, key, client).await? {
                Ok(approved) => approved,
                Err(answer) => return Ok(Passage::Answered(answer)),
            };
            let hold = claim.hold_id().to_owned();
            let Some(arguments) = claim.edited().cloned() else {
                let as_seen = claim.needs() == self.policy.load().needs(&subject(call), &judged.assessment)
                    && !is_riskier(&judged.assessment, &claim);
                let is_diverted = ways.iter().any(Place::has_link);
                if !as_seen || is_diverted || !self.still_stands(call, judged, policy) {
                    self.gate.supersede(claim, now()).await?;
                    return Err(Refusal::Superseded { hold });
                }
                tracing::info!(hold, by, tool = call.tool, "approved call runs");
                return Ok(Passage::Approved(claim));
            };
            let edit = match self.judge_edit(call, session, &by, &arguments) {
                Ok(edit) => edit,
                Err(refusal) => {
                    self.gate.supersede(claim, now()).await?;
                    self.record_refused(&call.origin, &call.tool, &refusal.to_string());
                    return Err(refusal);
                }
            };
            if !same_tool(self, call) || self.frozen_for(&edit.call, &edit.judged).is_some() {
                self.gate.supersede(claim, now()).await?;
                return Err(Refusal::Superseded { hold });
            }
            if is_riskier(&edit.judged.assessment, &claim) {
                self.gate.supersede(claim, now()).await?;
                riskier = Some(edit);
                continue;
            }
            tracing::info!(hold, by, tool = call.tool, "approved call runs with changed arguments");
            return Ok(Passage::Edited(claim, Box::new(edit)));
        }
    }

    /// One question, to its end: the right to run it and who gave it, or the answer of an identical call.
    async fn ask(
        &self,
        call: &Call,
        session: &Arc<Session>,
        judged: &Judged,
        policy: &Policy,
        asked_as: Option<String>,
        client: &mut impl Waits,
    ) -> Result<Result<(Claim, String), Arc<Answer>>, Refusal> {
        let Judged { assessment, ruling, .. } = judged;
        // What names somebody who is in crisis elsewhere says nothing of whom this session speaks with.
        let elsewhere = self.sessions.speaks_of_crisis(session, &call.raw_arguments);
        if assessment.crisis_sensitive && assessment.outbound && !elsewhere {
            let reason = format!("{} on {} ({})", call.tool, call.origin.server, call.id);
            self.sessions.enter_crisis(session, &reason, now()).await.map_err(GateError::from)?;
        }
        let needs = policy.needs(&subject(call), assessment);
        let mut json = trace::shown(call, session, assessment, ruling, policy, &self.rules.load());
        if let Some(fields) = json.as_object_mut() {
            fields.insert("approval".into(), serde_json::to_value(&needs).unwrap_or_default());
            fields.insert("edited".into(), asked_as.is_some().into());
        }
        let (class, crisis) = (assessment.class.name().to_owned(), assessment.crisis_sensitive);
        let seen = Shown { json, class, crisis, needs, asked_as };
        let mut stay = match self.gate.enter(call, seen, now()).await {
            Ok(stay) => stay,
            Err(GateError::Cooling(cooling)) => {
                let minutes = cooling.until_ms.saturating_sub(now()).max(0) / 60_000 + 1;
                let reason = format!(
                    "{} (denied {} times; not asked about again for {minutes} min)",
                    cooling.reason, cooling.times
                );
                return Err(Refusal::Denied { hold: cooling.hold, by: cooling.by, reason });
            }
            Err(error) => return Err(error.into()),
        };
        let hold = stay.hold_id().to_owned();
        match client.wait(&mut stay).await {
            Waited::Gone => Err(Refusal::Gone),
            Waited::OutOfPatience => {
                let expires_ms = stay.expires_ms();
                stay.leave();
                Err(Refusal::Pending { hold, expires_ms })
            }
            Waited::Decided(verdict) => match verdict? {
                Verdict::Approved { claim, by } => Ok(Ok((claim, by))),
                Verdict::Answered(answer) => Ok(Err(answer)),
                Verdict::Denied { by, reason } => Err(Refusal::Denied { hold, by, reason }),
                Verdict::Expired => Err(Refusal::Expired { hold }),
                Verdict::Superseded => Err(Refusal::Superseded { hold }),
                Verdict::Unknown => Err(Refusal::Fault {
                    what: format!(
                        "what became of the identical call under hold {hold} is not known: look before repeating it"
                    ),
                }),
            },
        }
    }

    /// Steps 2 to 4 for a call with the arguments a person gave it.
    fn judge_edit(&self, call: &Call, session: &Session, by: &str, raw: &Bytes) -> Result<Edit, Refusal> {
        let fault = |what: String| Refusal::Fault { what };
        let arguments = read(raw, &Limits::default())
            .map_err(|error| fault(format!("the changed arguments cannot be read: {error}")))?;
        let mut edited = call
            .with_arguments(arguments, raw.clone())
            .ok_or_else(|| fault("the call has no place for changed arguments; it was not run".into()))?;
        // That the warrant is its sender's own was shown when the call came, for the arguments it had then.
        edited.shown = edited.shown.map(|shown| {
            Arc::new(Presented {
                credential: Credential::Channel,
                stack: Arc::clone(&shown.stack),
                approvals: shown.approvals.clone(),
                channel_key: None,
                run: shown.run.clone(),
                parent: shown.parent.clone(),
            })
        });
        let policy = self.policy.load_full();
        let assessment = self.assess(&edited, session)?;
        let checked = self.warrants.check(&edited, &assessment, now());
        let ruling = route(&policy, &edited, &assessment, &checked.grant);
        if ruling.route == Route::Block {
            let why = format!("with the arguments {by} gave it: {}", ruling.why);
            return Err(Refusal::Blocked { rule: ruling.rule.into_owned(), why });
        }
        let told = told(by, raw);
        Ok(Edit { call: edited, judged: Judged { assessment, checked, ruling, standing: None }, told })
    }

    /// What was approved is what runs: the tool's definition, the policy and the warrants must be those that the
    /// person saw.
    pub(super) fn still_stands(&self, call: &Call, judged: &Judged, policy: &Policy) -> bool {
        let Judged { assessment, checked, ruling, .. } = judged;
        let current = self.policy.load();
        let same_policy = current.revision == policy.revision
            || route(&current, call, assessment, &checked.grant) == *ruling;
        same_tool(self, call)
            && same_policy
            && self.frozen_for(call, judged).is_none()
            && self.warrants.still_stands(checked, call, assessment, now())
    }
}

fn same_tool(firewall: &Firewall, call: &Call) -> bool {
    let listed = firewall.definitions.get(&call.origin.server, &call.tool);
    listed.map(|listed| listed.digest) == call.definition.as_ref().map(|listed| listed.digest)
}

/// Whether the call as it is now is more than what the person had before them. What was shown cannot be read: it is.
fn is_riskier(judged: &Assessment, claim: &Claim) -> bool {
    let shown = claim.shown().get("assessment").cloned().unwrap_or_default();
    serde_json::from_value::<Assessment>(shown).map_or(true, |seen| {
        judged.class > seen.class
            || judged.risk_score > seen.risk_score + 1e-9
            || judged.reversibility > seen.reversibility
            || (judged.crisis_sensitive && !seen.crisis_sensitive)
    })
}

fn told(by: &str, arguments: &[u8]) -> String {
    let text = String::from_utf8_lossy(arguments);
    let shown: String = text.chars().take(TOLD).collect();
    let rest = if shown.len() < text.len() { " … (cut)" } else { "" };
    format!(
        "A person ({by}) changed the arguments of this call to: {shown}{rest}\nThe result is that of the changed call."
    )
}
