//! Policies that somebody has written and nobody has put in force.

use serde::Serialize;

use super::Desk;
use crate::call::Digest;
use crate::config;
use crate::operator::Problem;
use crate::store::DraftRow;

/// A draft in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DraftLine {
    pub name: String,
    pub by: String,
    pub at_ms: i64,
    /// The file is no longer the one it was written against.
    pub stale: bool,
}

/// A draft beside what is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DraftView {
    #[serde(flatten)]
    pub line: DraftLine,
    pub text: String,
    /// SHA-256 of the text; whoever puts it in force says it to this text and no other.
    pub digest: String,
    /// The policy of the file, as it is now.
    pub now: String,
}

impl Desk {
    pub(in crate::operator) async fn drafts(&self) -> Result<Vec<DraftLine>, Problem> {
        let now = self.file_digest();
        let line = |row: DraftRow| DraftLine {
            stale: Some(&row.base) != now.as_ref(),
            name: row.name,
            by: row.by,
            at_ms: row.at_ms,
        };
        Ok(self.store.drafts().await?.into_iter().map(line).collect())
    }

    pub(in crate::operator) async fn draft_row(&self, name: &str) -> Result<DraftRow, Problem> {
        let row = self.store.drafts().await?.into_iter().find(|row| row.name == name);
        row.ok_or_else(|| Problem::missing(format!("no draft is named `{name}`")))
    }

    pub(in crate::operator) async fn draft(&self, name: &str) -> Result<DraftView, Problem> {
        let row = self.draft_row(name).await?;
        let digest = Digest::of(row.text.as_bytes()).to_string();
        let stale = Some(&row.base) != self.file_digest().as_ref();
        let line = DraftLine { stale, name: row.name, by: row.by, at_ms: row.at_ms };
        Ok(DraftView { line, text: row.text, digest, now: self.policy_text().unwrap_or_default() })
    }

    /// SHA-256 of the operator's file as it is now; `None` when there is none.
    pub(in crate::operator) fn file_digest(&self) -> Option<String> {
        let text = std::fs::read(self.file.as_ref()?).ok()?;
        Some(Digest::of(&text).to_string())
    }

    /// The policy of the file as it is written there. Where a secret seems to stand in a comment, without comments.
    pub(in crate::operator) fn policy_text(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.file.as_ref()?).ok()?;
        let part = config::policy_part(&text)?;
        match herma_scoring::redact(&part, &self.firewall.rules()) {
            std::borrow::Cow::Borrowed(_) => Some(part),
            std::borrow::Cow::Owned(_) => {
                part.parse::<toml::Table>().ok().and_then(|part| toml::to_string(&part).ok())
            }
        }
    }
}
