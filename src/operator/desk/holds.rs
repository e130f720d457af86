//! Holds as people see them.

use herma_scoring::crisis::HelpLine;
use herma_scoring::{Assessment, SideEffect};
use serde::Deserialize;
use serde_json::Value;

use super::phrase::{phrase, scope};
use super::{
    Asked, DefinitionView, Desk, Figures, Group, HoldView, Inbox, InboxGroup, Quorum, Row, WarrantMatch,
    history,
};
use crate::call::Digest;
use crate::gate::{GateError, Method, needs, to_type};
use crate::operator::Problem;
use crate::policy::{Route, Standing, may_be_allowed};
use crate::store::{HoldFilter, HoldRow, HoldState, Order};

/// Rows of one group on one page.
const ROWS: u32 = 50;
/// Calls of the session that are shown beside a hold.
const STRIP: usize = 5;

/// What the gate wrote down of a call. Ours, but older versions of it may lie in the store.
#[derive(Debug, Deserialize)]
struct Shown {
    call: Option<String>,
    kind: String,
    #[serde(default)]
    arguments: Value,
    arguments_sha256: String,
    #[serde(default)]
    client: String,
    /// What reaches the server beside tool and arguments.
    query: Option<String>,
    extra: Option<Value>,
    assessment: Assessment,
    route: Route,
    rule: String,
    why: String,
    definition: Option<String>,
    #[serde(default)]
    definition_changed: bool,
    #[serde(default)]
    policy: String,
    #[serde(default)]
    rules: String,
    asked: Option<Again>,
    /// A person changed the arguments before this was asked.
    #[serde(default)]
    edited: bool,
    grant: Option<String>,
    help_lines: Option<Vec<HelpLine>>,
}

/// How often the session asked for this tool, and how often people said no.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Again {
    times: u32,
    denied: u32,
}

impl Group {
    pub(super) const ALL: [Self; 4] = [Self::Crisis, Self::Critical, Self::High, Self::Other];

    pub fn of(crisis: bool, class: SideEffect) -> Self {
        match class {
            _ if crisis => Self::Crisis,
            SideEffect::Critical => Self::Critical,
            SideEffect::External => Self::High,
            SideEffect::ReadOnly | SideEffect::LocalReversible => Self::Other,
        }
    }

    fn filter(self) -> HoldFilter {
        let classes = match self {
            Self::Crisis => Vec::new(),
            Self::Critical => vec![SideEffect::Critical.name()],
            Self::High => vec![SideEffect::External.name()],
            Self::Other => vec![SideEffect::ReadOnly.name(), SideEffect::LocalReversible.name()],
        };
        HoldFilter {
            states: vec![HoldState::Pending],
            crisis: Some(self == Self::Crisis),
            classes,
            order: Order::OldestFirst,
            limit: Some(ROWS),
            ..HoldFilter::default()
        }
    }
}

impl Desk {
    pub(in crate::operator) async fn figures(&self, now: i64) -> Result<Figures, Problem> {
        let figures = self.firewall.gate.figures(now).await?;
        Ok(Figures {
            pending: figures.pending,
            oldest_ms: figures.oldest_ms,
            decided_today: figures.approvals_today.saturating_add(figures.denials_today),
            approved_today: figures.approvals_today,
            approved_share: figures.approved_share_today,
            median_seconds: figures.median_seconds_today,
        })
    }

    /// What waits: of every group the oldest, however much there is.
    pub(in crate::operator) async fn inbox(&self, last_event: u64, now: i64) -> Result<Inbox, Problem> {
        let mut groups = Vec::new();
        for group in Group::ALL {
            let rows = self.firewall.gate.list(group.filter()).await?;
            if rows.is_empty() {
                continue;
            }
            let all = match rows.len() < ROWS as usize {
                true => rows.len() as u64,
                false => self.store.count_holds(group.filter()).await.map_err(GateError::from)?,
            };
            let mut lines = Vec::with_capacity(rows.len());
            for row in &rows {
                lines.extend(self.row(row).await?);
            }
            groups.push(InboxGroup { group, more: all.saturating_sub(rows.len() as u64), rows: lines });
        }
        Ok(Inbox {
            figures: self.figures(now).await?,
            more: groups.iter().map(|group| group.more).sum(),
            groups,
            latches: self.firewall.sessions.latches().await.map_err(GateError::from)?,
            last_event,
        })
    }

    pub(in crate::operator) async fn rows(&self, filter: HoldFilter) -> Result<Vec<Row>, Problem> {
        let mut lines = Vec::new();
        for row in self.firewall.gate.list(filter).await? {
            lines.extend(self.row(&row).await?);
        }
        Ok(lines)
    }

    /// `None` for a row that an older version wrote in a way nobody reads any more.
    async fn row(&self, row: &HoldRow) -> Result<Option<Row>, Problem> {
        let Ok(shown) = serde_json::from_str::<Shown>(&row.shown) else { return Ok(None) };
        Ok(Some(self.line(row, &shown).await?))
    }

    async fn line(&self, row: &HoldRow, shown: &Shown) -> Result<Row, Problem> {
        let needs = needs(row);
        // Asked for only where more than one person speaks: a page has two hundred lines.
        let votes = if row.approvals > 0 && needs.quorum > 1 {
            self.firewall.gate.votes(&row.id).await?
        } else {
            Vec::new()
        };
        // In a crisis of one's own the terminal is not somebody else's.
        let method =
            if needs.second_person.is_some() { needs.method.max(Method::Session) } else { needs.method };
        let approvers = needs.second_person.or(needs.approvers);
        let judged = &shown.assessment;
        Ok(Row {
            id: row.id.clone(),
            version: row.version,
            call_digest: row.digest.clone(),
            state: row.state,
            group: Group::of(row.crisis, judged.class),
            phrase: phrase(&shown.kind, &row.server, &row.tool, &shown.arguments, judged),
            server: row.server.clone(),
            tool: row.tool.clone(),
            principal: row.principal.clone(),
            session: row.session.clone(),
            class: judged.class,
            reversibility: judged.reversibility,
            risk_score: judged.risk_score,
            confidence: judged.confidence,
            crisis: row.crisis,
            outbound: judged.outbound,
            count: row.count,
            created_ms: row.created_ms,
            expires_ms: row.expires_ms,
            undo: judged.undo.clone(),
            asked: shown.asked.map(|again| Asked { asked: again.times, denied: again.denied }),
            escalated: row.escalated,
            quorum: Quorum {
                need: needs.quorum,
                have: votes.into_iter().map(|vote| vote.approver).collect(),
                method,
                approvers,
            },
        })
    }

    pub(in crate::operator) async fn hold(&self, id: &str) -> Result<HoldView, Problem> {
        let row = self.firewall.gate.show(id).await?;
        let shown: Shown = serde_json::from_str(&row.shown)
            .map_err(|_| Problem::missing(format!("hold `{id}` was written by an older version")))?;
        let line = self.line(&row, &shown).await?;
        let judged = shown.assessment;
        let listed = self.firewall.definitions.get(&row.server, &row.tool);
        let now = listed.as_ref().and_then(|listed| listed.changed.as_deref());
        let first = match shown.definition_changed {
            true => self.store.pinned_definition(&row.server, &row.tool).await?,
            false => None,
        };
        let strip = self.strip(&row, shown.call.as_deref()).await?;
        let grant = shown.grant.or_else(|| (shown.rule == "warrant").then(|| "gated".to_owned()));
        let scope = scope(&shown.arguments, &judged);
        let changed_to = match &row.edited {
            Some(_) => self.firewall.gate.arguments(id).await.ok(),
            None => None,
        };
        Ok(HoldView {
            typed: to_type(&row),
            may_generalise: !row.crisis
                && may_be_allowed(&judged)
                && Standing::answers(&shown.rule)
                && line.quorum.need <= 1
                && row.state == HoldState::Pending,
            row: line,
            edited: shown.edited || row.edited.is_some(),
            changed_to,
            kind: shown.kind,
            client: shown.client,
            scope,
            arguments: shown.arguments,
            arguments_sha256: shown.arguments_sha256,
            query: shown.query,
            extra: shown.extra,
            render_digest: render_digest(&row.shown),
            reasons: judged.reasons,
            route: shown.route,
            warrant: grant.map(|grant| WarrantMatch {
                why: (shown.rule == "warrant").then(|| shown.why.clone()),
                grant,
            }),
            rule: shown.rule,
            why: shown.why,
            definition: DefinitionView {
                digest: shown.definition,
                changed: shown.definition_changed,
                first: first.and_then(|text| serde_json::from_str(&text).ok()),
                now: now.and_then(|text| serde_json::from_str(text).ok()),
            },
            strip,
            on_expiry: "denied",
            receipt: row.decision.as_deref().and_then(|text| serde_json::from_str(text).ok()),
            policy: shown.policy,
            rules: shown.rules,
            help_lines: shown.help_lines.unwrap_or_default(),
            input_schema: listed.map(|listed| listed.definition.input_schema.clone()),
        })
    }

    /// What the session did before, from the record: what it says of itself is not asked.
    async fn strip(&self, row: &HoldRow, call: Option<&str>) -> Result<Vec<super::Moment>, Problem> {
        let (dir, session) = (self.ledger_dir.clone(), row.session.clone());
        let found = super::aside(move || history::of_session(&dir, &session, None, STRIP + 1)).await?;
        let mut strip = found.calls;
        strip.retain(|moment| Some(moment.call.as_str()) != call && moment.at_ms <= row.created_ms);
        strip.truncate(STRIP);
        Ok(strip)
    }
}

fn render_digest(shown: &str) -> String {
    let value: Value = serde_json::from_str(shown).unwrap_or_default();
    serde_json_canonicalizer::to_vec(&value).map(|text| Digest::of(&text).to_string()).unwrap_or_default()
}
