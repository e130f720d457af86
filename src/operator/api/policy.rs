//! Policies that are not in force yet: kept, compared, put in force.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::oneshot;

use super::super::Operator;
use super::super::access::Asked;
use super::super::problem::Problem;
use super::{Answer, Nothing, ok};
use crate::call::Digest;
use crate::config::{self, ConfigError};
use crate::firewall::now;
use crate::store::DraftRow;

/// Drafts that are kept at the same time.
const DRAFTS: usize = 100;
const NAME: usize = 64;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SaveBody {
    name: String,
    draft: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ActivateBody {
    /// SHA-256 of the draft that was looked at.
    digest: String,
}

impl From<ConfigError> for Problem {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::Wrong { line, message, path } => {
                let place = path.file_name().unwrap_or_default().to_string_lossy();
                Self::unusable(format!("{place}, line {line}: {message}")).with("line", line)
            }
            error => Self::unusable(error.to_string()),
        }
    }
}

impl Operator {
    /// A draft need not be good to be kept; it must be to be put in force.
    pub(super) async fn save_draft(&self, asked: &Asked) -> Answer {
        let SaveBody { name, draft } = asked.json()?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > NAME || !name.chars().all(plain) {
            return Err(Problem::unusable("a draft's name has 1 to 64 letters, digits, `-`, `_` or `.`"));
        }
        let base = self.desk.file_digest().ok_or_else(no_file)?;
        let known = self.desk.drafts().await?;
        if known.len() >= DRAFTS && known.iter().all(|line| line.name != name) {
            return Err(Problem::unusable(format!("{DRAFTS} drafts are kept at most: remove some")));
        }
        let by = asked.who()?.approver.clone();
        let row = DraftRow { name: name.clone(), text: draft, base, by, at_ms: now() };
        self.desk.store.put_draft(row).await?;
        ok(&json!({ "name": name, "next": format!("/sim?draft={name}") }))
    }

    pub(super) async fn remove_draft(&self, asked: &Asked) -> Answer {
        let Nothing {} = asked.json()?;
        if !self.desk.store.remove_draft(&asked.segment).await? {
            return Err(Problem::missing(format!("no draft is named `{}`", asked.segment)));
        }
        ok(&json!({ "removed": asked.segment, "next": "/sim" }))
    }

    /// The policy of the file becomes the draft, and is in force before this answers. Nothing else of the file changes.
    pub(super) async fn activate(&self, asked: &Asked) -> Answer {
        let ActivateBody { digest } = self.stepped_up(asked).await?;
        let _turn = self.activating.lock().await;
        let row = self.desk.draft_row(&asked.segment).await?;
        if Digest::of(row.text.as_bytes()).to_string() != digest {
            return Err(stale("somebody has saved another draft under this name: look at it first"));
        }
        let path = self.desk.file.as_deref().ok_or_else(no_file)?;
        let before = std::fs::read_to_string(path).map_err(|error| Problem::fault(&error))?;
        if Digest::of(before.as_bytes()).to_string() != row.base {
            return Err(stale(
                "herma.toml has changed since this draft was saved: compare the two and save the draft again",
            ));
        }
        let after = config::with_policy(path, &before, &row.text)?;
        let by = &asked.who()?.approver;
        let digests = [&before, &after].map(|text| Digest::of(text.as_bytes()).to_string());
        self.desk.firewall.note_activation(&row.name, by, &digests).await?;
        write(path, &after).map_err(|error| unwritable(path, &error))?;
        match self.reload().await {
            Ok(revision) => {
                let [before, after] = digests;
                self.desk.store.remove_draft(&row.name).await?;
                ok(&json!({ "policy": revision, "before": before, "after": after, "next": "/sim" }))
            }
            Err(why) => {
                write(path, &before).map_err(|error| unwritable(path, &error))?;
                Err(Problem::unusable(format!("the old policy stays: {why}")))
            }
        }
    }

    /// Has the daemon read its file now; the policy that is in force then, or why the old one stays.
    async fn reload(&self) -> Result<String, String> {
        let (answer, told) = oneshot::channel();
        let gone = || "the daemon is about to stop".to_owned();
        self.reload.send(answer).map_err(|_| gone())?;
        told.await.map_err(|_| gone())?
    }
}

fn no_file() -> Problem {
    Problem::unusable(
        "this daemon runs without a file: write herma.toml (`herma serve --config FILE`), and drafts can change it",
    )
}

fn stale(why: &str) -> Problem {
    Problem::new(StatusCode::CONFLICT, "stale", why)
}

fn unwritable(path: &Path, error: &std::io::Error) -> Problem {
    Problem::unusable(format!("{} cannot be written: {error}", path.display()))
}

/// Whole or not at all, with the rights it had; a link goes on leading to it.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let path = path.canonicalize()?;
    let mode = std::fs::metadata(&path)?.permissions().mode();
    let mut new = path.clone().into_os_string();
    new.push(".new");
    let mut file = std::fs::File::create(&new)?;
    file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, &path)
}
