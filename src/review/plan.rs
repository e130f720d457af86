//! What taking a call back would do, before anybody says that it shall be done.

use std::sync::Arc;
use std::time::Duration;

use herma_scoring::undo::Ask;
use herma_scoring::{Rules, redact, redact_json};
use serde::Serialize;
use serde_json::{Value, json};
use similar::TextDiff;

use super::blobs::Blobs;
use super::image::{Image, Seen, State};
use super::{Kept, ReviewError, Reviews, over};
use crate::call::Digest;
use crate::store::{ReviewRow, ReviewState};

/// Longer texts are compared by their digests alone.
const COMPARED: usize = 256 << 10;
/// How long two texts may take to be compared.
const COMPARING: Duration = Duration::from_millis(500);

/// A review with everything a person needs to judge it.
#[derive(Debug, Serialize)]
pub struct Shown {
    #[serde(flatten)]
    pub row: ReviewRow,
    /// What taking it back would do now; none when it cannot be taken back.
    pub plan: Option<Plan>,
}

/// What taking a call back would do, as things stand now.
#[derive(Debug, Serialize)]
pub struct Plan {
    pub review: String,
    /// Names this plan and no other: whoever says yes says it to this.
    pub digest: String,
    pub files: Vec<FilePlan>,
    /// The call that takes the effect back, redacted.
    pub call: Option<Value>,
    pub residue: Option<String>,
    /// Why it cannot be done as things stand.
    pub conflicts: Vec<String>,
    /// Later calls on the same files: they are taken back first.
    pub newer: Vec<String>,
    #[serde(skip)]
    pub row: ReviewRow,
    #[serde(skip)]
    pub kept: Kept,
    #[serde(skip)]
    pub compensation: Option<Ask>,
}

/// One file of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FilePlan {
    pub path: String,
    pub before: State,
    pub after: Option<State>,
    pub now: Option<State>,
    /// `restore`, `remove` or `nothing`.
    pub does: &'static str,
    pub conflict: Option<String>,
    /// What the call did, as a diff; none for what is no text or too long.
    pub did: Option<String>,
    /// What has happened since.
    pub since: Option<String>,
}

impl Reviews {
    /// A review, and what taking it back would do.
    pub async fn show(&self, id: &str, rules: &Arc<Rules>) -> Result<Shown, ReviewError> {
        let row = self.row_of(id).await?;
        let plan = match row.state.is_revertible() {
            true => Some(self.plan(row.clone(), rules).await?),
            false => None,
        };
        Ok(Shown { row, plan })
    }

    /// What taking this call back would do now.
    pub async fn plan_revert(&self, id: &str, rules: &Arc<Rules>) -> Result<Plan, ReviewError> {
        let row = self.row_of(id).await?;
        if !row.state.is_revertible() {
            return Err(over(&row));
        }
        self.plan(row, rules).await
    }

    async fn plan(&self, row: ReviewRow, rules: &Arc<Rules>) -> Result<Plan, ReviewError> {
        let kept = self.kept(&row).await?;
        let mut conflicts = Vec::new();
        if kept.ended.is_none() {
            conflicts.push("how the call ended is not known: nobody can tell what it left".to_owned());
        }
        let compensation = match kept.compensation() {
            Some(Ok(ask)) => Some(ask),
            Some(Err(error)) => {
                conflicts.push(format!("the call's own answer does not say what to take back: {error}"));
                None
            }
            None => None,
        };
        if !kept.images.is_empty() && kept.images.iter().all(|image| !image.has_changed()) {
            let said = "nothing has changed here: either the call changed nothing, or the server works on other files";
            conflicts.push(said.to_owned());
        }
        let files = self.plan_files(&kept, rules).await;
        conflicts.extend(files.iter().filter_map(|file| file.conflict.clone()));
        let newer = self.newer(&row, &kept).await?;
        if let Some(latest) = newer.first() {
            conflicts.insert(0, format!("a later call has changed the same file: take back {latest} first"));
        }
        let named = json!({
            "review": row.id,
            "version": row.version,
            "files": files.iter().map(|file| json!([file.path, file.before, file.now])).collect::<Vec<_>>(),
            "call": compensation,
        });
        let digest = serde_json_canonicalizer::to_vec(&named).map(|named| Digest::of(&named).to_string());
        Ok(Plan {
            review: row.id.clone(),
            digest: digest.map_err(|_| ReviewError::Unreadable(row.id.clone()))?,
            files,
            call: compensation
                .as_ref()
                .map(|ask| json!({ "tool": ask.tool, "arguments": redact_json(&ask.args, rules) })),
            residue: kept.undo.residue().map(str::to_owned),
            conflicts,
            newer,
            row,
            kept,
            compensation,
        })
    }

    async fn plan_files(&self, kept: &Kept, rules: &Arc<Rules>) -> Vec<FilePlan> {
        let (images, max) = (kept.images.clone(), kept.max());
        let (blobs, rules) = (Arc::clone(&self.blobs), Arc::clone(rules));
        let plan = move || images.iter().map(|image| plan_file(image, max, &blobs, &rules)).collect();
        tokio::task::spawn_blocking(plan).await.unwrap_or_default()
    }

    /// Later reviews of the same files that can still be taken back, newest first.
    async fn newer(&self, row: &ReviewRow, kept: &Kept) -> Result<Vec<String>, ReviewError> {
        let all = self.store.all_kept_undos().await?;
        let mut newer = Vec::new();
        if kept.images.is_empty() {
            return Ok(newer);
        }
        for (id, text) in all.into_iter().rev().take_while(|(id, _)| *id != row.id) {
            let other = Kept::read(&id, &text)?;
            let shares = |image: &Image| {
                image.has_changed() && kept.images.iter().any(|own| own.path() == image.path())
            };
            if other.images.iter().any(shares)
                && self.store.review(&id).await?.is_some_and(|row| row.state.is_revertible())
            {
                newer.push(id);
            }
        }
        Ok(newer)
    }

    /// Puts the files of a plan back, those that hold something first. Nothing is touched when one of them is not
    /// as the call left it.
    pub async fn put_back(&self, kept: &Kept) -> Result<(), ReviewError> {
        let (mut images, max, blobs) = (kept.images.clone(), kept.max(), Arc::clone(&self.blobs));
        images.sort_by_key(|image| image.before == State::Absent);
        let put_back = move || {
            for image in &images {
                let now = image.now(max)?.state;
                let is_ours = image.after.as_ref().is_some_and(|after| after.is_like(&now));
                if !is_ours && !now.is_like(&image.before) {
                    return Err(super::ImageError::Changed(image.path()));
                }
            }
            images.iter().try_for_each(|image| image.put_back(max, &blobs))
        };
        let done = tokio::task::spawn_blocking(put_back).await;
        Ok(done.map_err(|_| ReviewError::Unreadable("put back".into()))??)
    }

    /// Whether a review has been taken back already, so that saying it twice does it once.
    pub async fn is_reverted(&self, id: &str) -> Result<bool, ReviewError> {
        Ok(self.row_of(id).await?.state == ReviewState::Reverted)
    }
}

fn plan_file(image: &Image, max: u64, blobs: &Blobs, rules: &Rules) -> FilePlan {
    let path = image.path().display().to_string();
    let stored = |state: &State| state.sha256().and_then(|name| blobs.get(name).ok());
    let before = stored(&image.before);
    let after = image.after.as_ref().and_then(stored);
    let mut plan = FilePlan {
        before: image.before.clone(),
        after: image.after.clone(),
        now: None,
        does: "nothing",
        conflict: None,
        did: image
            .after
            .as_ref()
            .and_then(|_| diff(before.as_deref(), after.as_deref(), "before", "after", rules)),
        since: None,
        path,
    };
    let Seen { state, bytes, .. } = match image.now(max) {
        Ok(seen) => seen,
        Err(error) => {
            plan.conflict = Some(error.to_string());
            return plan;
        }
    };
    plan.now = Some(state.clone());
    if state.is_like(&image.before) {
        return plan;
    }
    plan.does = if image.before == State::Absent { "remove" } else { "restore" };
    match &image.after {
        Some(left) if left.is_like(&state) => {}
        Some(_) => {
            plan.conflict = Some(format!("{} has changed since the call: {}", plan.path, told(&state)));
            plan.since = diff(after.as_deref(), bytes.as_deref(), "after", "now", rules);
        }
        None => plan.conflict = Some(format!("what the call left at {} is not known", plan.path)),
    }
    plan
}

/// A state in a few words.
fn told(state: &State) -> String {
    match state {
        State::Absent => "nothing is there now".into(),
        State::Directory => "a directory is there now".into(),
        State::File { sha256, size, .. } => {
            format!("{size} bytes now, sha256 {}…", sha256.chars().take(12).collect::<String>())
        }
    }
}

/// The difference of two texts, without the secrets in them.
fn diff(
    old: Option<&[u8]>,
    new: Option<&[u8]>,
    old_name: &str,
    new_name: &str,
    rules: &Rules,
) -> Option<String> {
    let text = |bytes: Option<&[u8]>| match bytes {
        None => Some(String::new()),
        Some(bytes) if bytes.len() > COMPARED => None,
        Some(bytes) => std::str::from_utf8(bytes).ok().map(|text| redact(text, rules).into_owned()),
    };
    let (old, new) = (text(old)?, text(new)?);
    let diff = TextDiff::configure().timeout(COMPARING).diff_lines(&old, &new);
    Some(diff.unified_diff().context_radius(3).header(old_name, new_name).to_string())
}
