//! What is kept of one call so that it can be taken back.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use herma_scoring::undo::{Ask, NotThere, Undo, known};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::image::{Image, ImageError, State};
use super::{ReviewError, Turns};
use crate::call::Call;

/// How long a call waits for an earlier one on the same file.
const PATIENCE: Duration = Duration::from_secs(10);
/// Names in `_meta` that a modern server needs to see again.
const PROTOCOL: &str = "io.modelcontextprotocol/";

/// How a call ended that was not let through.
pub(super) const NEVER_RAN: &str = "never_ran";

/// The right to change one file unseen.
pub type Turn = tokio::sync::OwnedMutexGuard<()>;

/// Everything an undo takes. Raw: it never leaves the store but to undo the call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    pub undo: Undo,
    pub principal: String,
    pub session: String,
    pub server: String,
    /// What templates point into; nothing for files.
    pub arguments: Value,
    pub before: Value,
    pub result: Value,
    /// What the protocol said around the call.
    pub meta: Value,
    pub images: Vec<Image>,
    /// How the call ended, once it has.
    pub ended: Option<String>,
}

/// What was kept before the call was let through.
#[derive(Debug)]
pub struct Prepared {
    pub kept: Kept,
    pub turns: Vec<Turn>,
}

/// A call in the queue that has not ended yet.
#[derive(Debug)]
pub struct Reviewing {
    pub id: String,
    pub(super) kept: Kept,
    turns: Vec<Turn>,
}

/// A reviewed call that has ended, and the bytes it left.
#[derive(Debug)]
pub struct Ended {
    pub(super) id: String,
    pub(super) kept: Kept,
    pub(super) left: Vec<Vec<u8>>,
    pub(super) failed: bool,
}

impl Kept {
    pub fn of(call: &Call, undo: &Undo) -> Self {
        let is_compensated = matches!(undo, Undo::Compensate(_));
        let part = |take: bool, from: &dyn Fn() -> Value| if take { from() } else { Value::Null };
        Self {
            undo: undo.clone(),
            principal: call.origin.principal.to_string(),
            session: call.origin.session.to_string(),
            server: call.origin.server.to_string(),
            arguments: part(is_compensated, &|| call.arguments.clone()),
            before: Value::Null,
            result: Value::Null,
            meta: part(is_compensated, &|| protocol_meta(&call.frame)),
            images: Vec::new(),
            ended: None,
        }
    }

    pub(super) fn read(review: &str, text: &str) -> Result<Self, ReviewError> {
        serde_json::from_str(text).map_err(|_| ReviewError::Unreadable(review.to_owned()))
    }

    pub(super) fn write(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(super) fn blobs(&self) -> impl Iterator<Item = &str> {
        let states = |image| {
            let Image { before, after, .. }: &Image = image;
            [Some(before), after.as_ref()].into_iter().flatten().filter_map(State::sha256)
        };
        self.images.iter().flat_map(states)
    }

    /// Longest file that is looked at.
    pub fn max(&self) -> u64 {
        match &self.undo {
            Undo::Preimage(preimage) => preimage.max,
            Undo::Compensate(_) | Undo::Delay(_) => 0,
        }
    }

    /// The call that takes the effect back, where it is a call that does.
    pub fn compensation(&self) -> Option<Result<Ask, NotThere>> {
        let Undo::Compensate(compensate) = &self.undo else { return None };
        Some(compensate.fill(&known(&self.arguments, &self.before, &self.result)))
    }
}

impl Reviewing {
    pub(super) fn new(id: String, prepared: Prepared) -> Self {
        Self { id, kept: prepared.kept, turns: prepared.turns }
    }

    /// Whether the answer says what must be known to undo the call.
    pub fn needs_answer(&self) -> bool {
        matches!(self.kept.undo, Undo::Compensate(_))
    }

    /// The call was not let through after all.
    pub fn never_ran(self) -> Ended {
        let Self { id, mut kept, .. } = self;
        kept.ended = Some(NEVER_RAN.to_owned());
        Ended { id, kept, left: Vec::new(), failed: true }
    }

    /// The call has ended. What it left is looked at before anybody can act on its answer: what stands there a
    /// moment later may be somebody else's. Files are no longer than the declaration allows.
    pub fn end(self, word: &str, failed: bool, response: Option<&[u8]>) -> Ended {
        let Self { id, mut kept, turns } = self;
        let max = kept.max();
        let left = kept.images.iter_mut().filter_map(|image| image.look_after(max)).collect();
        drop(turns);
        kept.ended = Some(word.to_owned());
        if let Some(response) = response {
            kept.result = result_of(response);
        }
        Ended { id, kept, left, failed }
    }
}

/// What a tool has said: its structured content, else its text as JSON, else its text.
pub fn result_of(response: &[u8]) -> Value {
    let Ok(mut frame) = serde_json::from_slice::<Value>(response) else { return Value::Null };
    if let Some(structured) = frame.pointer_mut("/result/structuredContent").filter(|found| found.is_object())
    {
        return structured.take();
    }
    let texts = frame.pointer("/result/content").and_then(Value::as_array).into_iter().flatten();
    let text = texts.filter_map(|item| item.get("text")?.as_str()).next().unwrap_or_default();
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

/// What a modern client says with every request, for a request of ours that stands in its place.
pub fn protocol_meta(frame: &[u8]) -> Value {
    let frame = serde_json::from_slice::<Value>(frame).unwrap_or_default();
    let meta = frame.pointer("/params/_meta").and_then(Value::as_object);
    let ours = meta.into_iter().flatten().filter(|(name, _)| name.starts_with(PROTOCOL));
    let ours: Map<String, Value> = ours.map(|(name, value)| (name.clone(), value.clone())).collect();
    if ours.is_empty() { Value::Null } else { Value::Object(ours) }
}

/// Waits until no other reviewed call is under way on this file: what each of them left must be told apart.
pub(super) async fn take_turn(turns: &Turns, path: PathBuf) -> Result<Turn, ImageError> {
    let turn = Arc::clone(turns.lock().entry(path.clone()).or_default());
    let taken = tokio::time::timeout(PATIENCE, turn.lock_owned()).await;
    taken.map_err(|_| ImageError::Busy(path))
}
