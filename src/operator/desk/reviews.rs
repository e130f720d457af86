//! Calls that ran because they can be undone, as people see them.

use serde_json::Value;

use super::phrase::phrase;
use super::{Desk, FlagView, PlanView, ReviewLine, ReviewQueue};
use crate::operator::Problem;
use crate::review::Plan;
use crate::store::{Flag, ReviewRow};

/// Reviews of one page, each with what taking it back would do: files are read for that.
const SHOWN: usize = 25;

impl From<Plan> for PlanView {
    fn from(plan: Plan) -> Self {
        let Plan { digest, files, call, conflicts, newer, .. } = plan;
        Self { digest, files, call, conflicts, newer }
    }
}

impl Desk {
    /// All that wait.
    pub(in crate::operator) async fn reviews(&self) -> Result<ReviewQueue, Problem> {
        let rows = self.firewall.reviews.list(false).await?;
        let flag = |Flag { server, tool, by, reason, at_ms }| FlagView { server, tool, by, reason, at_ms };
        let flags = self.firewall.reviews.flags().await?.into_iter().map(flag).collect();
        let reviews = rows.into_iter().filter_map(|row| self.line_of(row)).collect();
        Ok(ReviewQueue { flags, reviews, more: 0 })
    }

    /// The first that wait, each with its plan.
    pub(in crate::operator) async fn reviews_shown(&self) -> Result<ReviewQueue, Problem> {
        let ReviewQueue { flags, mut reviews, .. } = self.reviews().await?;
        let more = reviews.len().saturating_sub(SHOWN) as u64;
        reviews.truncate(SHOWN);
        let rules = self.firewall.rules();
        for review in &mut reviews {
            // One that cannot be looked at must not hide the others; asked for by itself it says why.
            let shown = self.firewall.reviews.show(&review.id, &rules).await.ok();
            review.plan = shown.and_then(|shown| shown.plan).map(PlanView::from);
        }
        Ok(ReviewQueue { flags, reviews, more })
    }

    /// One, in whatever state, with its plan.
    pub(in crate::operator) async fn review(&self, id: &str) -> Result<ReviewLine, Problem> {
        let shown = self.firewall.reviews.show(id, &self.firewall.rules()).await?;
        let line = self.line_of(shown.row);
        let line = line.ok_or_else(|| Problem::missing(format!("review `{id}` cannot be read any more")))?;
        Ok(ReviewLine { plan: shown.plan.map(PlanView::from), ..line })
    }

    /// `None` for a row that an older version wrote in a way nobody reads any more.
    pub(in crate::operator) fn line_of(&self, row: ReviewRow) -> Option<ReviewLine> {
        let shown: Value = serde_json::from_str(&row.shown).ok()?;
        let read = |text: &Option<String>| text.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let text = |name: &str| shown.get(name).and_then(Value::as_str).map(str::to_owned);
        let arguments = shown.get("arguments").cloned().unwrap_or_default();
        // Only what stays here and can be undone is ever in the queue.
        let judged = herma_scoring::Assessment {
            class: herma_scoring::SideEffect::LocalReversible,
            reversibility: herma_scoring::Reversibility::Yes,
            risk_score: 0.0,
            confidence: 0.0,
            outbound: false,
            crisis_sensitive: false,
            contested: false,
            reasons: Vec::new(),
            undo: None,
            pack_digest: String::new(),
        };
        Some(ReviewLine {
            phrase: phrase("tool", &row.server, &row.tool, &arguments, &judged),
            principal: text("principal").unwrap_or_default(),
            residue: text("residue"),
            flagged: self.firewall.reviews.is_flagged(&row.server, &row.tool),
            plan: None,
            undo: read(&row.undo),
            verdict: read(&row.verdict),
            arguments,
            id: row.id,
            version: row.version,
            call: row.call,
            state: row.state,
            server: row.server,
            tool: row.tool,
            session: row.session,
            created_ms: row.created_ms,
            expires_ms: row.expires_ms,
        })
    }
}
