//! Where views come from: the gate, the record, the store.

use std::path::PathBuf;
use std::sync::Arc;

use ed25519_dalek::VerifyingKey;

use super::{
    ApproverView, AuditPage, AuditQuery, ChangedTool, CheckpointView, FrozenView, KeyView, SessionList,
    SettingsView, StandingView, Timeline, history,
};
use crate::config::Retention;
use crate::firewall::{Firewall, in_words};
use crate::gate::{GateError, Times};
use crate::ledger::{self, LedgerError};
use crate::notify::Notify;
use crate::operator::Problem;
use crate::operator::events::News;
use crate::operator::people::session::{END_MS, IDLE_MS};
use crate::policy::{Approval, Effect, Standing};
use crate::store::Store;

/// What the pages read. It changes nothing.
#[derive(Debug)]
pub(in crate::operator) struct Desk {
    pub(in crate::operator) firewall: Arc<Firewall>,
    pub(in crate::operator) store: Arc<dyn Store>,
    pub(in crate::operator) ledger_dir: PathBuf,
    /// The ledger's.
    pub(in crate::operator) key: VerifyingKey,
    /// The operator's file.
    pub(in crate::operator) file: Option<PathBuf>,
    pub(in crate::operator) times: Times,
    pub(in crate::operator) notify: Arc<Notify>,
    pub(in crate::operator) retention: Retention,
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::NoEntry { .. } => Self::missing(error.to_string()),
            error => Self::fault(&error),
        }
    }
}

/// Reads files where nobody else waits for it.
pub(super) async fn aside<T, E>(read: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, Problem>
where
    T: Send + 'static,
    E: Send + 'static,
    Problem: From<E>,
{
    tokio::task::spawn_blocking(read).await.map_err(|error| Problem::fault(&error))?.map_err(Problem::from)
}

/// What changes without an announcement of its own.
#[derive(Debug, Default, PartialEq)]
pub(in crate::operator) struct Glance {
    frozen: Vec<FrozenView>,
    standing: Vec<(String, u32)>,
    latches: Vec<crate::store::Latch>,
    reviews: Vec<(String, u64)>,
}

impl Glance {
    pub(in crate::operator) fn changes(&self, after: &Self) -> Vec<News> {
        let mut news = Vec::new();
        news.extend((self.frozen != after.frozen).then_some(News::Freeze));
        news.extend((self.standing != after.standing).then_some(News::Standing));
        news.extend((self.latches != after.latches).then_some(News::Latch));
        news.extend((self.reviews != after.reviews).then_some(News::Review));
        news
    }
}

impl Desk {
    pub(in crate::operator) async fn glance(&self) -> Glance {
        let firewall = &self.firewall;
        // A store that does not answer now will do so at the next look.
        let reviews = firewall.reviews.list(false).await.unwrap_or_default();
        Glance {
            frozen: self.frozen(),
            standing: firewall.standing().into_iter().map(|rule| (rule.id, rule.used)).collect(),
            latches: firewall.sessions.latches().await.unwrap_or_default(),
            reviews: reviews.into_iter().map(|row| (row.id, row.version)).collect(),
        }
    }

    pub(in crate::operator) fn frozen(&self) -> Vec<FrozenView> {
        let view = |row: crate::store::FreezeRow| {
            let (scope, what) = row.what.split_once(':').unwrap_or((&row.what, ""));
            FrozenView {
                scope: scope.to_owned(),
                what: what.to_owned(),
                by: row.by,
                since_ms: row.at_ms,
                reason: row.reason,
            }
        };
        self.firewall.frozen().into_iter().map(view).collect()
    }

    pub(in crate::operator) async fn sessions(&self, before: Option<u64>) -> Result<SessionList, Problem> {
        let dir = self.ledger_dir.clone();
        let (mut sessions, next) = aside(move || history::sessions(&dir, before)).await?;
        for line in &mut sessions {
            line.frozen = self.firewall.gate.frozen_for(&line.principal, &line.id, &[]).is_some();
        }
        Ok(SessionList { sessions, next })
    }

    pub(in crate::operator) async fn timeline(
        &self,
        session: &str,
        before: Option<u64>,
        limit: Option<u32>,
    ) -> Result<Timeline, Problem> {
        let (dir, id) = (self.ledger_dir.clone(), session.to_owned());
        let limit = limit.map_or(usize::MAX, |limit| limit.max(1) as usize);
        let found = aside(move || history::of_session(&dir, &id, before, limit)).await?;
        if found.calls.is_empty() && before.is_none() {
            return Err(Problem::missing(format!("the record has no recent call of session `{session}`")));
        }
        let latches = self.firewall.sessions.latches().await.map_err(GateError::from)?;
        let principal = found.principal;
        Ok(Timeline {
            session: session.to_owned(),
            calls: found.calls,
            next: found.next,
            frozen: self.firewall.gate.frozen_for(&principal, session, &[]).is_some(),
            in_crisis: latches.iter().any(|latch| latch.key == principal),
            principal,
        })
    }

    pub(in crate::operator) async fn audit(&self, query: AuditQuery) -> Result<AuditPage, Problem> {
        let (dir, asked) = (self.ledger_dir.clone(), query.clone());
        let (mut entries, next) = aside(move || history::audit(&dir, &asked)).await?;
        let checkpoint = self.checkpoint().await?;
        let covered = checkpoint.as_ref().map_or(0, |head| head.size);
        for entry in &mut entries {
            entry.proven = entry.seq < covered;
        }
        let trouble = self.firewall.ledger.health().err().map(|error| error.to_string());
        Ok(AuditPage { query, entries, next, checkpoint, trouble })
    }

    /// The newest signed head; `None` before the first one.
    pub(in crate::operator) async fn checkpoint(&self) -> Result<Option<CheckpointView>, Problem> {
        let (dir, key) = (self.ledger_dir.clone(), self.key);
        let head = aside(move || ledger::head(&dir, &key)).await?;
        Ok(head.map(|head| CheckpointView {
            origin: head.origin,
            size: head.size,
            root: head.root,
            note: head.note,
        }))
    }

    /// A proof for one entry, to be checked without the ledger.
    pub(in crate::operator) async fn proof(&self, seq: u64) -> Result<String, Problem> {
        let (dir, key) = (self.ledger_dir.clone(), self.key);
        aside(move || ledger::prove(&dir, &key, seq)).await
    }

    pub(in crate::operator) async fn approvers(&self) -> Result<Vec<ApproverView>, Problem> {
        let approvers = self.store.approvers().await.map_err(GateError::from)?;
        let keys = self.store.keys().await.map_err(GateError::from)?;
        let of = |name: &str| {
            let keys = keys.iter().filter(|key| key.approver == name);
            keys.map(|key| KeyView {
                id: key.id.clone(),
                kind: key.kind.as_str().to_owned(),
                label: key.label.clone(),
                added_ms: key.added_ms,
                used_ms: key.used_ms,
            })
            .collect()
        };
        let view = |row: &crate::store::ApproverRow| ApproverView {
            name: row.name.clone(),
            added_ms: row.added_ms,
            keys: of(&row.name),
        };
        Ok(approvers.iter().map(view).collect())
    }

    pub(in crate::operator) fn standing(&self) -> Vec<StandingView> {
        let view = |rule: Standing| StandingView {
            words: said(&rule),
            allows: rule.effect == Effect::Allow,
            id: rule.id,
            by: rule.by,
            made_ms: rule.made_ms,
            expires_ms: Some(rule.expires_ms),
            uses: rule.used.into(),
            max_uses: rule.max_uses.map(u64::from),
        };
        self.firewall.standing().into_iter().map(view).collect()
    }

    pub(in crate::operator) async fn settings(
        &self,
        url: String,
        hosts: Vec<String>,
    ) -> Result<SettingsView, Problem> {
        let policy = self.firewall.policy();
        let changed = self.firewall.definitions.changed();
        Ok(SettingsView {
            approvers: self.approvers().await?,
            version: env!("CARGO_PKG_VERSION"),
            mode: word(policy.mode),
            profile: word(policy.profile),
            policy: policy.revision.clone(),
            rules: self.firewall.rules().digest().to_owned(),
            file: self.file.as_ref().map(|file| file.display().to_string()),
            url,
            hosts,
            messages: self.notify.overview().await?,
            approvals: policy.approvals.iter().map(in_words_of).collect(),
            holds_per_session: self.times.per_session,
            holds_per_agent: self.times.per_agent,
            arguments_kept_ms: self.retention.arguments_ms,
            decisions_kept_ms: self.retention.decisions_ms,
            hold_expires_s: self.times.expire.as_secs(),
            ticket_s: self.times.ticket.as_secs(),
            session_idle_s: (IDLE_MS / 1000).unsigned_abs(),
            session_end_s: (END_MS / 1000).unsigned_abs(),
            changed_tools: changed
                .into_iter()
                .map(|changed| ChangedTool { server: changed.server, tool: changed.tool })
                .collect(),
            latches: self.firewall.sessions.latches().await.map_err(GateError::from)?,
            standing: self.standing(),
            advisory: true,
        })
    }
}

/// One `[[approval]]`, as a sentence without its end.
fn in_words_of(approval: &Approval) -> String {
    let mut said = match approval.quorum {
        1 => format!("{}: one person", approval.of),
        quorum => format!("{}: {quorum} people", approval.of),
    };
    if let Some(named) = &approval.approvers {
        said.push_str(&format!(" of {}", named.join(", ")));
    }
    if let Some(method) = approval.method {
        said.push_str(&format!(", by {} or better", method.name()));
    }
    match approval.crisis {
        Some(true) => said.push_str(", in a crisis"),
        Some(false) => said.push_str(", outside a crisis"),
        None => {}
    }
    said
}

fn said(rule: &Standing) -> String {
    match rule.effect {
        Effect::Allow => in_words(rule),
        Effect::Deny => format!("`{}` on `{}` is denied at once: {}", rule.tool, rule.server, rule.reason),
    }
}

/// A value that is written as one word, as that word.
pub(super) fn word(value: impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}
