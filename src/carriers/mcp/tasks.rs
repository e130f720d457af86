//! Tasks that Herma owns: a held call of a client that runs tasks, until its answer is fetched.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::answer;
use super::frame::params;
use crate::firewall::now;
use crate::firewall::session::Session;

const MARK: &str = "herma-";
/// How long an answer is kept for the client that asked, in milliseconds.
const KEPT: i64 = 60 * 60 * 1000;
const POLL: u64 = 2000;
/// Tasks that are kept at most.
const MOST: usize = 1000;

/// One held call as a task.
#[derive(Debug)]
pub struct Task {
    pub id: String,
    principal: Arc<str>,
    server: Arc<str>,
    hold: String,
    created: String,
    state: Mutex<State>,
    cancelled: watch::Sender<bool>,
}

#[derive(Debug)]
enum State {
    Waiting,
    Done { at: i64, result: Value },
    Failed { at: i64, error: Value },
    Cancelled { at: i64 },
}

/// All tasks.
#[derive(Debug, Default)]
pub struct Tasks {
    known: Mutex<HashMap<String, Arc<Task>>>,
}

impl Tasks {
    /// A new task for a hold, with the result that announces it. `None` when there are too many.
    pub(super) fn open(&self, session: &Session, hold: &str) -> Option<(Arc<Task>, Value)> {
        let mut random = [0u8; 16];
        getrandom::fill(&mut random).ok()?;
        let task = Arc::new(Task {
            id: format!("{MARK}{}", data_encoding::HEXLOWER.encode(&random)),
            principal: Arc::clone(&session.principal),
            server: Arc::clone(&session.server),
            hold: hold.to_owned(),
            created: jiff::Timestamp::now().to_string(),
            state: Mutex::new(State::Waiting),
            cancelled: watch::Sender::new(false),
        });
        let mut known = self.known();
        let oldest = now().saturating_sub(KEPT);
        known.retain(|_, task| !task.ended_before(oldest));
        if known.len() >= MOST {
            return None;
        }
        known.insert(task.id.clone(), Arc::clone(&task));
        let mut announced = task.describe();
        if let Some(fields) = announced.as_object_mut() {
            fields.insert("resultType".into(), "task".into());
        }
        Some((task, announced))
    }

    /// Answers `tasks/get`, `tasks/update` and `tasks/cancel` for a task of ours; `None` when it is not ours.
    pub fn answer(&self, session: &Session, method: &str, frame: &[u8], id: &[u8]) -> Option<Bytes> {
        if !matches!(method, "tasks/get" | "tasks/update" | "tasks/cancel") {
            return None;
        }
        let params: Value = serde_json::from_str(params(frame)?.get()).ok()?;
        let name = params.get("taskId")?.as_str().filter(|name| name.starts_with(MARK))?;
        let task = self.known().get(name).cloned();
        let mine = |task: &Arc<Task>| task.principal == session.principal && task.server == session.server;
        let Some(task) = task.filter(mine) else {
            return Some(answer::error(id, answer::code::INVALID_PARAMS, "no such task"));
        };
        if method == "tasks/cancel" {
            task.cancel();
        }
        let mut described = match method {
            "tasks/get" => task.describe(),
            _ => json!({}),
        };
        if let Some(fields) = described.as_object_mut() {
            fields.insert("resultType".into(), "complete".into());
        }
        Some(answer::result(id, &described))
    }

    /// The held call has its answer.
    pub fn finish(&self, task: &str, response: &[u8]) {
        if let Some(task) = self.known().get(task) {
            task.finish(response);
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<Task>>> {
        self.known.lock()
    }
}

impl Task {
    /// Resolves when the client no longer wants it.
    pub(super) async fn cancelled(&self) {
        let mut cancelled = self.cancelled.subscribe();
        if cancelled.wait_for(|cancelled| *cancelled).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn cancel(&self) {
        let mut state = self.state();
        if matches!(*state, State::Waiting) {
            *state = State::Cancelled { at: now() };
            self.cancelled.send_replace(true);
        }
    }

    fn finish(&self, response: &[u8]) {
        let mut response: Value = serde_json::from_slice(response).unwrap_or_default();
        let mut part = |name| response.get_mut(name).map(Value::take);
        let ended = match (part("result"), part("error")) {
            (Some(result), _) => State::Done { at: now(), result },
            (None, Some(error)) => State::Failed { at: now(), error },
            (None, None) => State::Failed {
                at: now(),
                error: json!({ "code": answer::code::INTERNAL, "message": "the server did not answer the call" }),
            },
        };
        let mut state = self.state();
        if matches!(*state, State::Waiting) {
            *state = ended;
        }
    }

    fn describe(&self) -> Value {
        let state = self.state();
        let status = match &*state {
            State::Waiting => "working",
            State::Done { .. } => "completed",
            State::Failed { .. } => "failed",
            State::Cancelled { .. } => "cancelled",
        };
        let mut task = json!({
            "taskId": self.id,
            "status": status,
            "statusMessage": format!("hold {} waits for a person", self.hold),
            "createdAt": self.created,
            "lastUpdatedAt": jiff::Timestamp::now().to_string(),
            "ttlMs": KEPT,
            "pollIntervalMs": POLL,
        });
        if let Some(fields) = task.as_object_mut() {
            match &*state {
                State::Waiting => {}
                ended => {
                    fields.remove("statusMessage");
                    match ended {
                        State::Done { result, .. } => drop(fields.insert("result".into(), result.clone())),
                        State::Failed { error, .. } => drop(fields.insert("error".into(), error.clone())),
                        State::Waiting | State::Cancelled { .. } => {}
                    }
                }
            }
        }
        task
    }

    fn ended_before(&self, oldest: i64) -> bool {
        match &*self.state() {
            State::Waiting => false,
            State::Done { at, .. } | State::Failed { at, .. } | State::Cancelled { at } => *at < oldest,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}
