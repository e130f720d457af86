//! What people say of held calls: the one entry for every decision, whatever road it came in by.

use std::collections::BTreeMap;

use herma_scoring::json::{Limits, read};
use herma_scoring::{Assessment, SideEffect};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Firewall, now, schema};
use crate::gate::{Approver, Decision, Draft, Frozen, GateError, Reach, Seen, check_second_person, needs};
use crate::policy::{Condition, Effect, Fit, Scope, Standing, Subject, leaves, may_be_allowed};
use crate::store::{FreezeRow, HoldFilter, HoldRow};

/// A denial that sticks is asked about again after this, should the session live so long.
const STICKY: i64 = 24 * 60 * 60 * 1000;
/// A rule made from a hold holds this long when nobody says how long, and at most so long.
const STANDING: i64 = 8 * 60 * 60 * 1000;
const LONGEST: i64 = 90 * 24 * 60 * 60 * 1000;
/// How far back a preview looks, and at how many holds.
const LOOK_BACK: i64 = 7 * 24 * 60 * 60 * 1000;
const LOOKED_AT: u32 = 500;
/// The record has risks to the thousandth.
const ROUNDED: f64 = 0.0005;
/// Arguments that say whom or what a call is aimed at.
const TARGETS: [&str; 24] = [
    "to",
    "recipient",
    "recipients",
    "target",
    "channel",
    "channel_id",
    "chat_id",
    "user_id",
    "email",
    "phone",
    "path",
    "file",
    "file_path",
    "filename",
    "destination",
    "url",
    "uri",
    "host",
    "repo",
    "repository",
    "branch",
    "table",
    "database",
    "bucket",
];

/// For whom a rule made from a hold is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum For {
    #[default]
    Session,
    Agent,
    All,
}

/// How an argument may differ from the one in the hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loose {
    Prefix(String),
    Any,
}

/// What a person asks of "approve similar". Arguments that are not loosened must be exactly as in the hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Similar {
    pub scope: For,
    /// Eight hours when it is not said.
    pub for_ms: Option<i64>,
    pub uses: Option<u32>,
    /// By JSON pointer into the arguments.
    pub loosen: BTreeMap<String, Loose>,
}

/// A rule before it is made, and what it would have done.
#[derive(Debug, Clone, Serialize)]
pub struct Preview {
    pub rule: Standing,
    /// The rule in one sentence.
    pub words: String,
    pub toml: String,
    /// Holds of the last seven days that would not have been asked about.
    pub holds: Vec<Earlier>,
    /// Calls of this tool and whom it is for, of the same days.
    pub calls: usize,
    /// Of these, those that would have passed.
    pub passed: usize,
    /// Of these, those whose arguments were not kept: nobody can tell.
    pub unsure: usize,
    /// The record is longer than what was read.
    pub cut: bool,
    /// The same in words.
    pub told: String,
}

/// An earlier hold that a rule would have answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Earlier {
    pub hold: String,
    pub at_ms: i64,
    pub state: String,
}

impl Firewall {
    /// A person's word on one hold.
    pub async fn decide(
        &self,
        id: &str,
        seen: Seen,
        decision: Decision,
        approver: Approver,
    ) -> Result<HoldRow, GateError> {
        let draft = self.draft(id, &seen, decision, approver).await?;
        self.decide_drafted(draft, None).await
    }

    /// Checks a word and drafts its receipt, so that a passkey can be asked to answer the draft's digest.
    pub async fn draft(
        &self,
        id: &str,
        seen: &Seen,
        decision: Decision,
        approver: Approver,
    ) -> Result<Draft, GateError> {
        let reach = match &decision {
            Decision::Deny { sticky: true, .. } => {
                Some(Reach { kind: "session".into(), expires: now().saturating_add(STICKY), max_uses: None })
            }
            _ => None,
        };
        self.draft_reaching(id, seen, decision, approver, reach).await
    }

    async fn draft_reaching(
        &self,
        id: &str,
        seen: &Seen,
        decision: Decision,
        approver: Approver,
        reach: Option<Reach>,
    ) -> Result<Draft, GateError> {
        if decision.approves() {
            let row = self.gate.show(id).await?;
            if let Some(FreezeRow { what, by, reason, .. }) =
                self.gate.frozen_for(&row.principal, &row.session, &[])
            {
                return Err(GateError::Frozen { what, by, reason });
            }
            if let Decision::Edit { arguments } = &decision {
                self.check_edit(&row, arguments)?;
            }
        }
        self.gate.draft(id, seen, decision, approver, reach, now()).await
    }

    /// Takes a drafted word; `evidence` is what a passkey said to it, kept beside the receipt.
    pub async fn decide_drafted(&self, draft: Draft, evidence: Option<Value>) -> Result<HoldRow, GateError> {
        let rule = match draft.decision() {
            Decision::Deny { reason, sticky: true } => Some(self.sticking(&draft, reason).await?),
            _ => None,
        };
        Ok(self.gate.decide(draft, evidence, rule, now()).await?.0)
    }

    /// Many words at once. Each names what was seen; a person in crisis is never part of a batch.
    pub async fn decide_all(
        &self,
        items: Vec<(String, Seen)>,
        decision: Decision,
        approver: Approver,
    ) -> Vec<Result<HoldRow, GateError>> {
        let mut said = Vec::with_capacity(items.len());
        for (id, seen) in items {
            said.push(self.decide_one_of_many(&id, seen, &decision, &approver).await);
        }
        said
    }

    async fn decide_one_of_many(
        &self,
        id: &str,
        seen: Seen,
        decision: &Decision,
        approver: &Approver,
    ) -> Result<HoldRow, GateError> {
        if seen.digest.is_none() || seen.version.is_none() || matches!(decision, Decision::Edit { .. }) {
            return Err(GateError::OutOfDate(id.to_owned()));
        }
        if self.gate.show(id).await?.crisis {
            return Err(GateError::CrisisAlone(id.to_owned()));
        }
        self.decide(id, seen, decision.clone(), approver.clone()).await
    }

    fn check_edit(&self, row: &HoldRow, arguments: &str) -> Result<(), GateError> {
        let said = |why: String| GateError::Edit(why);
        let edited =
            read(arguments.as_bytes(), &Limits::default()).map_err(|error| said(error.to_string()))?;
        if !edited.is_object() {
            return Err(said("they must be one JSON object".into()));
        }
        let shown: Value = serde_json::from_str(&row.shown).unwrap_or_default();
        if shown.get("kind").and_then(Value::as_str) != Some("tool") {
            return Err(said("only the arguments of a tool can be changed".into()));
        }
        let Some(listed) = self.definitions.get(&row.server, &row.tool) else { return Ok(()) };
        schema::check(&listed.definition.input_schema, &edited).map_err(said)
    }

    /// The rule that denies this call, and this tool on the same target, at once in this session.
    async fn sticking(&self, draft: &Draft, reason: &str) -> Result<Standing, GateError> {
        let row = self.gate.show(draft.hold_id()).await?;
        let arguments: Value = self
            .gate
            .arguments(&row.id)
            .await
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        let is_target =
            |pointer: &String| pointer.rsplit('/').next().is_some_and(|name| TARGETS.contains(&name));
        let targets = leaves(&arguments).into_iter().filter(is_target).filter_map(|pointer| {
            let fit = Fit::Exact(arguments.pointer(&pointer)?.clone());
            Some(Condition { pointer, fit })
        });
        let at = now();
        Ok(Standing {
            effect: Effect::Deny,
            scope: Scope::Session(row.session.clone()),
            arguments: targets.collect(),
            expires_ms: at.saturating_add(STICKY),
            reason: reason.to_owned(),
            ..self.rule_from(&row, &draft.approver().id, at)
        })
    }

    fn rule_from(&self, row: &HoldRow, by: &str, at: i64) -> Standing {
        Standing {
            id: String::new(),
            effect: Effect::Allow,
            scope: Scope::Session(row.session.clone()),
            server: row.server.clone(),
            tool: row.tool.clone(),
            arguments: Vec::new(),
            max_class: SideEffect::ReadOnly,
            max_risk: 0.0,
            made_ms: at,
            expires_ms: at,
            max_uses: None,
            used: 0,
            by: by.to_owned(),
            reason: String::new(),
            hold: row.id.clone(),
            digest: row.key.clone(),
            definition: None,
            policy: self.policy().revision.clone(),
        }
    }

    /// The rule that "approve similar" would make from a hold, in words, and what it would have answered.
    pub async fn similar(&self, id: &str, wish: &Similar) -> Result<Preview, GateError> {
        let row = self.gate.show(id).await?;
        let rule = self.draft_rule(&row, wish, "").await?;
        let holds = self.would_have_answered(&rule).await?;
        let toml = toml::to_string(&rule).unwrap_or_default();
        let of = rule.clone();
        let since = now().saturating_sub(LOOK_BACK);
        let past = self.past(since, move |call| of.concerns(&call.subject())).await?;
        let (mut passed, mut unsure) = (0, 0);
        let asked = Standing { max_risk: rule.max_risk + ROUNDED, ..rule.clone() };
        for call in &past.calls {
            let judged = &call.assessment;
            if !may_be_allowed(judged) || !asked.reaches(judged.class, judged.risk_score) {
                continue;
            }
            let fits = asked.likens(&call.subject(), judged.class, judged.risk_score);
            unsure += usize::from(!call.is_whole());
            passed += usize::from(call.is_whole() && fits);
        }
        let (words, calls, cut) = (in_words(&rule), past.calls.len(), past.cut);
        let told = in_the_past(calls, passed, unsure, cut, holds.len());
        Ok(Preview { words, toml, holds, calls, passed, unsure, cut, told, rule })
    }

    /// Approves a hold and makes the previewed rule.
    pub async fn approve_similar(
        &self,
        id: &str,
        seen: Seen,
        wish: &Similar,
        approver: Approver,
    ) -> Result<(HoldRow, Standing), GateError> {
        let row = self.gate.show(id).await?;
        let rule = self.draft_rule(&row, wish, &approver.id).await?;
        let reach = Reach {
            kind: serde_json::to_value(wish.scope)
                .ok()
                .and_then(|v| v.as_str().map(str::to_owned))
                .unwrap_or_default(),
            expires: rule.expires_ms,
            max_uses: rule.max_uses,
        };
        let draft = self.draft_reaching(id, &seen, Decision::Approve, approver, Some(reach)).await?;
        match self.gate.decide(draft, None, Some(rule), now()).await? {
            (row, Some(rule)) => Ok((row, rule)),
            // What takes more than one person was refused above; the policy may have changed since.
            (row, None) => {
                Err(GateError::NotSimilar { id: row.id, why: "others must approve it as well".into() })
            }
        }
    }

    async fn draft_rule(&self, row: &HoldRow, wish: &Similar, by: &str) -> Result<Standing, GateError> {
        let no = |why: &str| GateError::NotSimilar { id: row.id.clone(), why: why.to_owned() };
        let shown: Value = serde_json::from_str(&row.shown).unwrap_or_default();
        let assessment = shown.get("assessment").cloned().unwrap_or_default();
        let assessment: Assessment =
            serde_json::from_value(assessment).map_err(|_| no("how it was judged cannot be read"))?;
        if row.crisis || !may_be_allowed(&assessment) {
            return Err(no(
                "what concerns a crisis, or is critical and cannot be taken back, is asked every time",
            ));
        }
        if !shown.get("rule").and_then(Value::as_str).is_some_and(Standing::answers) {
            return Err(no("a rule of the policy or a warrant holds it, and no rule made here lifts that"));
        }
        if needs(row).quorum > 1 {
            return Err(no("it takes more than one person each time"));
        }
        let text = self.gate.arguments(&row.id).await?;
        let arguments: Value =
            if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or_default() };
        let all = leaves(&arguments);
        if let Some(unknown) = wish.loosen.keys().find(|pointer| pointer.is_empty() || !all.contains(pointer))
        {
            return Err(no(&format!("it has no argument at `{unknown}`")));
        }
        let conditions = all.into_iter().filter_map(|pointer| {
            let found = arguments.pointer(&pointer)?;
            let fit = match wish.loosen.get(&pointer) {
                Some(Loose::Any) => Fit::Any,
                Some(Loose::Prefix(prefix)) => Fit::Prefix(prefix.clone()),
                None => Fit::Exact(found.clone()),
            };
            Some(Condition { pointer, fit })
        });
        let at = now();
        let lasts = wish.for_ms.unwrap_or(STANDING).clamp(1, LONGEST);
        let rule = Standing {
            scope: match wish.scope {
                For::Session => Scope::Session(row.session.clone()),
                For::Agent => Scope::Agent(row.principal.clone()),
                For::All => Scope::All,
            },
            arguments: conditions.collect(),
            max_class: assessment.class,
            max_risk: assessment.risk_score,
            definition: shown.get("definition").and_then(Value::as_str).map(str::to_owned),
            expires_ms: at.saturating_add(lasts),
            max_uses: wish.uses.map(|uses| uses.max(1)),
            reason: format!("like hold {}", row.id),
            ..self.rule_from(row, by, at)
        };
        let subject = subject_of(row, &arguments);
        if !rule.likens(&subject, assessment.class, assessment.risk_score) {
            return Err(no(
                "the call itself would not fit: a prefix must begin its argument and end at a `/`",
            ));
        }
        Ok(rule)
    }

    async fn would_have_answered(&self, rule: &Standing) -> Result<Vec<Earlier>, GateError> {
        let filter = HoldFilter {
            since_ms: Some(now().saturating_sub(LOOK_BACK)),
            tool: Some((rule.server.clone(), rule.tool.clone())),
            limit: Some(LOOKED_AT),
            ..HoldFilter::default()
        };
        let mut past = Vec::new();
        for row in self.gate.list(filter).await? {
            // What was asked so long ago that its arguments are gone cannot be compared.
            let Ok(text) = self.gate.arguments(&row.id).await else { continue };
            let arguments = serde_json::from_str(&text).unwrap_or_default();
            let shown: Value = serde_json::from_str(&row.shown).unwrap_or_default();
            let judged =
                shown.get("assessment").cloned().and_then(|v| serde_json::from_value::<Assessment>(v).ok());
            let answered = judged.is_some_and(|judged| {
                may_be_allowed(&judged)
                    && rule.likens(&subject_of(&row, &arguments), judged.class, judged.risk_score)
            });
            if answered {
                past.push(Earlier { hold: row.id, at_ms: row.created_ms, state: row.state.to_string() });
            }
        }
        Ok(past)
    }

    /// The rules that people have made and that are in force.
    pub fn standing(&self) -> Vec<Standing> {
        self.gate.standing(now())
    }

    pub async fn withdraw_standing(&self, id: &str, by: &str) -> Result<(), GateError> {
        self.gate.withdraw_standing(id, by, now()).await
    }

    /// Nothing that is gated or leaves runs there any more until it is lifted; what waits goes on waiting.
    pub async fn freeze(&self, what: &Frozen, by: &str, reason: &str) -> Result<(), GateError> {
        self.gate.freeze(what, by, reason, now()).await
    }

    /// False when it was not frozen.
    pub async fn thaw(&self, what: &Frozen, by: &str, reason: &str) -> Result<bool, GateError> {
        self.gate.thaw(what, by, reason, now()).await
    }

    pub fn frozen(&self) -> Vec<FreezeRow> {
        self.gate.frozen()
    }

    /// A named person says that nobody here is in crisis any more. False when nobody was thought to be.
    pub async fn clear_crisis(
        &self,
        key: &str,
        approver: &Approver,
        reason: &str,
    ) -> Result<bool, GateError> {
        if let Some(others) = self.policy().second_person() {
            check_second_person(key, others, approver)?;
        }
        self.clear_crisis_latch(key, &approver.id, reason).await
    }
}

fn subject_of<'a>(row: &'a HoldRow, arguments: &'a Value) -> Subject<'a> {
    Subject {
        kind: herma_scoring::Kind::Tool,
        server: &row.server,
        tool: &row.tool,
        principal: &row.principal,
        session: &row.session,
        arguments,
    }
}

/// What a rule would have done, as a person would say it.
fn in_the_past(calls: usize, passed: usize, unsure: usize, cut: bool, waited: usize) -> String {
    let mut told = format!(
        "Of {calls} calls of this tool in the last 7 days it would have let pass {passed}; \
         of the holds it would have answered {waited}, this one included"
    );
    if unsure > 0 {
        told.push_str(&format!(". Of {unsure} nobody can tell: their arguments were not kept"));
    }
    if cut {
        told.push_str(". The record is longer than what was read");
    }
    told.push('.');
    told
}

/// The rule as a person would say it.
pub(crate) fn in_words(rule: &Standing) -> String {
    let of = match &rule.scope {
        Scope::Session(session) => format!("session {session}"),
        Scope::Agent(agent) => format!("every session of agent {agent}"),
        Scope::All => "every agent".to_owned(),
    };
    let minutes = rule.expires_ms.saturating_sub(rule.made_ms) / 60_000;
    let time = match minutes {
        0..120 => format!("{minutes} minutes"),
        120..2880 => format!("{} hours", minutes / 60),
        _ => format!("{} days", minutes / 1440),
    };
    let uses = rule.max_uses.map_or_else(String::new, |uses| format!(", at most {uses} times"));
    let fits: Vec<String> = rule
        .arguments
        .iter()
        .map(|Condition { pointer, fit }| {
            let name = if pointer.is_empty() { "the arguments" } else { pointer };
            match fit {
                Fit::Exact(value) => format!("{name} is exactly {value}"),
                Fit::Prefix(prefix) => format!("{name} begins with {}", Value::from(prefix.as_str())),
                Fit::Any => format!("{name} is anything"),
            }
        })
        .collect();
    format!(
        "For {time}{uses}, `{}` on `{}` runs without asking in {of} when {}; never above class {} or risk {:.2}, \
         never in a crisis.",
        rule.tool,
        rule.server,
        fits.join(" and "),
        rule.max_class.name(),
        rule.max_risk
    )
}
