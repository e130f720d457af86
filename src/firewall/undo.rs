//! What happens to a reviewed call before it leaves: what its undo takes is kept, or it is given time to be stopped.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use herma_scoring::undo::{Ask, Delay, Undo, known};
use herma_scoring::{Assessment, Kind, SideEffect};
use serde_json::{Value, json};

use super::roads::Whose;
use super::session::Session;
use super::{Admission, Firewall, Judged, Refusal, Waited, Waits, now};
use crate::call::{Call, Origin};
use crate::gate::Stay;
use crate::policy::{Mode, Policy, Route};
use crate::review::{Kept, Place, Prepared, protocol_meta, result_of};

/// How long the reading before a call may take.
const READING: Duration = Duration::from_secs(5);
/// The principal of what Herma reads for itself.
const ITSELF: &str = "herma";

/// Nobody waits for what Herma asks for itself.
struct Unattended;

impl Waits for Unattended {
    async fn wait(&mut self, _stay: &mut Stay) -> Waited {
        Waited::Gone
    }
}

impl Firewall {
    /// Keeps what the undo of a reviewed call takes. What stands in the way of that puts the call to a person.
    pub(super) async fn prepare(
        self: &Arc<Self>,
        call: &Call,
        session: &Arc<Session>,
        judged: &mut Judged,
        policy: &Policy,
    ) -> Option<Prepared> {
        let undo = judged.assessment.undo.as_ref()?;
        let (rule, why) = if self.reviews.is_flagged(&call.origin.server, &call.tool) {
            ("flagged", "somebody objected to an earlier call of this tool".to_owned())
        } else {
            match self.keep(call, session, undo).await {
                Ok(prepared) => return prepared,
                Err(why) => ("undo", format!("it could not be undone: {why}")),
            }
        };
        let ruling = &mut judged.ruling;
        ruling.rule = rule.into();
        ruling.why = why.into();
        match policy.mode {
            Mode::Enforce => ruling.route = Route::Gate,
            Mode::Observe => {
                ruling.route = Route::Execute;
                ruling.would = Some(Route::Gate);
            }
        }
        None
    }

    async fn keep(
        self: &Arc<Self>,
        call: &Call,
        session: &Arc<Session>,
        undo: &Undo,
    ) -> Result<Option<Prepared>, String> {
        let mut kept = Kept::of(call, undo);
        let mut turns = Vec::new();
        match undo {
            Undo::Delay(_) => return Ok(None),
            Undo::Preimage(preimage) => {
                let files = self.reviews.keep_files(preimage, call, session.files.as_ref()).await;
                (kept.images, turns) = files.map_err(|error| error.to_string())?;
            }
            Undo::Compensate(compensate) => {
                if let Some(before) = &compensate.before {
                    let read = before.fill(&known(&call.arguments, &Value::Null, &Value::Null));
                    let read = read.map_err(|error| error.to_string())?;
                    kept.before = self.read(call, session, read).await?;
                }
            }
        }
        Ok(Some(Prepared { kept, turns }))
    }

    /// What a read-only tool of the same server says, asked by Herma itself. Boxed, because the question goes
    /// through the whole firewall once more.
    fn read<'a>(
        self: &'a Arc<Self>,
        call: &'a Call,
        session: &'a Session,
        ask: Ask,
    ) -> Pin<Box<dyn Future<Output = Result<Value, String>> + Send + 'a>> {
        Box::pin(async move {
            let own = Session::new(&session.id, ITSELF.into(), Arc::clone(&session.server), session.trusted);
            let own = self.sessions.adopt(own);
            let whose = Whose {
                server: Arc::clone(&session.server),
                principal: Arc::clone(&session.principal),
                session: Arc::clone(&session.id),
            };
            let tool = ask.tool.clone();
            let read = self.own_call(own.origin(), ask, &protocol_meta(&call.frame));
            if self.assess(&read, &own).map_err(|refusal| refusal.to_string())?.class != SideEffect::ReadOnly
            {
                return Err(format!("`{tool}`, which is to be asked before, does more than read"));
            }
            let road = self.roads.to(&whose).ok_or("the server is not connected")?;
            let admitted = self.admit(read, &own, &mut Unattended).await;
            let permit = match admitted.map_err(|refusal| refusal.to_string())? {
                Admission::Permit(permit) => *permit,
                Admission::Answered(answer) => return Ok(result_of(&answer.response)),
            };
            match tokio::time::timeout(READING, road.send(whose, permit)).await {
                Ok(Ok(answer)) if is_failure(&answer) => Ok(Value::Null),
                Ok(Ok(answer)) => Ok(result_of(&answer)),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err(format!("`{tool}`, which is to be asked before, did not answer in time")),
            }
        })
    }

    /// A call that Herma makes: for itself, or for a person.
    pub(super) fn own_call(&self, origin: Origin, ask: Ask, meta: &Value) -> Call {
        let id = self.calls.mint();
        let mut params = json!({ "name": ask.tool, "arguments": ask.args });
        if let (Some(fields), false) = (params.as_object_mut(), meta.is_null()) {
            fields.insert("_meta".into(), meta.clone());
        }
        let frame = json!({
            "jsonrpc": "2.0",
            "id": format!("herma-{id}"),
            "method": "tools/call",
            "params": params,
        });
        Call {
            definition: self.definitions.get(&origin.server, &ask.tool),
            id,
            origin,
            kind: Kind::Tool,
            tool: ask.tool,
            raw_arguments: ask.args.to_string().into(),
            arguments: ask.args,
            frame: frame.to_string().into(),
            shown: None,
            beside: None,
        }
    }

    /// Gives people time to stop a call, and then looks once more whether it may run.
    pub(super) async fn delay(
        &self,
        call: &Call,
        judged: &Judged,
        policy: &Policy,
        delay: &Delay,
        client: &mut impl Waits,
    ) -> Result<(), Refusal> {
        let mut delayed = self.reviews.delay(call, delay, &self.rules(), now()).await?;
        let id = delayed.id.clone();
        let time = Duration::from_secs(u64::from(delay.seconds));
        let stopped = |by| Refusal::Denied { hold: id.clone(), by, reason: "stopped before it ran".into() };
        tokio::select! {
            by = &mut delayed.stopped => Err(stopped(by.unwrap_or_else(|_| "Herma".into()))),
            stayed = client.linger(&id, time) => {
                let ran = stayed && self.still_stands(call, judged, policy);
                if !self.reviews.end_delay(delayed, ran, now()).await? {
                    return Err(stopped("a person".into()));
                }
                match (stayed, ran) {
                    (false, _) => Err(Refusal::Gone),
                    (true, false) => Err(Refusal::Superseded { hold: id }),
                    (true, true) => Ok(()),
                }
            }
        }
    }
}

/// The ways to the files that a held call will change, as far as no link stands in them now: none may stand there
/// when the call runs.
pub(super) fn ways(call: &Call, session: &Session, assessment: &Assessment) -> Vec<Place> {
    let (Some(Undo::Preimage(preimage)), Some(ground)) = (&assessment.undo, &session.files) else {
        return Vec::new();
    };
    let named = preimage.path.iter().filter_map(|pointer| call.arguments.pointer(pointer)?.as_str());
    named.filter_map(|path| ground.place(path).ok()).filter(|place| !place.has_link()).collect()
}

/// Whether a JSON-RPC answer tells of a failure.
pub(super) fn is_failure(answer: &[u8]) -> bool {
    let answer = serde_json::from_slice::<Value>(answer).unwrap_or_default();
    let marked = answer.pointer("/result/isError").and_then(Value::as_bool) == Some(true);
    marked || answer.get("result").is_none()
}
