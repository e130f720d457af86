//! Calls of the last days, as far as the record and what is kept beside it tell. Nothing is judged anew.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use herma_scoring::undo::{Preimage, Undo};
use herma_scoring::{Assessment, Kind, Reversibility, SideEffect};
use herma_warrant::Grant;
use herma_warrant::json::read_args;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Firewall;
use crate::gate::GateError;
use crate::ledger::{Backwards, LedgerError};
use crate::policy::Subject;
use crate::warrants::replay;

/// Entries that are looked at for one answer at most.
const LOOKED_AT: usize = 200_000;
/// Calls whose arguments are fetched from where those of held calls are kept.
const FETCHED: usize = 1_000;

/// A call as the record has it, judged.
#[derive(Debug)]
pub struct Past {
    pub call: String,
    pub at_ms: i64,
    pub server: String,
    pub tool: String,
    pub principal: String,
    pub session: String,
    /// Those that were kept; `None` when the record has none of them.
    pub arguments: Option<Value>,
    /// Arguments of which no value was kept.
    pub unkept: Vec<String>,
    /// The hold it waited in.
    pub hold: Option<String>,
    pub assessment: Assessment,
    pub grant: Grant,
}

/// The calls, newest first.
#[derive(Debug, Default)]
pub struct PastCalls {
    pub calls: Vec<Past>,
    /// There are more than were read.
    pub cut: bool,
}

/// A line as far as it must be read to know whether it matters.
#[derive(Deserialize)]
struct Brief<'a> {
    at: i64,
    #[serde(borrow, default)]
    call: Option<Cow<'a, str>>,
    #[serde(borrow)]
    step: Cow<'a, str>,
    #[serde(borrow, default)]
    detail: Option<&'a RawValue>,
}

impl Past {
    /// From the facts of a `routed` line.
    pub fn read(call: &str, at_ms: i64, detail: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| detail.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let number = |name: &str| detail.get(name).and_then(Value::as_f64);
        let truth = |name: &str| detail.get(name).and_then(Value::as_bool).unwrap_or_default();
        let seen = detail.get("arguments_seen").and_then(Value::as_object);
        let mut unkept = Vec::new();
        let arguments = seen.map(|seen| {
            let mut kept = Map::new();
            for (name, shape) in seen {
                match shape.get("is") {
                    Some(value) => drop(kept.insert(name.clone(), value.clone())),
                    None => unkept.push(name.clone()),
                }
            }
            Value::Object(kept)
        });
        let why = "as it was then".to_owned();
        Some(Self {
            call: call.to_owned(),
            at_ms,
            server: text("server"),
            tool: text("tool_name"),
            principal: text("principal"),
            session: text("session"),
            arguments,
            unkept,
            hold: detail.get("hold").and_then(Value::as_str).map(str::to_owned),
            grant: match text("grant").as_str() {
                "authorised" => Grant::Authorised,
                "gated" => Grant::Gated { why },
                "refused" => Grant::Refused { why },
                _ => Grant::Absent,
            },
            assessment: Assessment {
                class: serde_json::from_value::<SideEffect>(text("class").into()).ok()?,
                reversibility: if truth("reversible") { Reversibility::Yes } else { Reversibility::No },
                risk_score: number("risk_score")?,
                confidence: number("confidence")?,
                outbound: truth("outbound"),
                contested: truth("contested"),
                crisis_sensitive: truth("crisis_sensitive"),
                reasons: Vec::new(),
                undo: truth("undo").then(|| {
                    Undo::Preimage(Preimage { path: Vec::new(), max: 0, directory: false, residue: None })
                }),
                pack_digest: String::new(),
            },
        })
    }

    /// Whether all of its arguments are known.
    pub fn is_whole(&self) -> bool {
        self.arguments.is_some() && self.unkept.is_empty()
    }

    pub fn subject(&self) -> Subject<'_> {
        Subject {
            kind: Kind::Tool,
            server: &self.server,
            tool: &self.tool,
            principal: &self.principal,
            session: &self.session,
            arguments: self.arguments.as_ref().unwrap_or(&Value::Null),
        }
    }

    /// As warrants are asked about it; `None` for arguments that no warrant can speak of.
    pub fn of_warrants(&self) -> Option<replay::Past> {
        let kept = self.arguments.as_ref().map_or_else(|| "{}".to_owned(), Value::to_string);
        Some(replay::Past {
            call: self.call.clone(),
            at: u64::try_from(self.at_ms.div_euclid(1000)).ok()?,
            tool: self.tool.clone(),
            server: self.server.clone(),
            session: self.session.clone(),
            risk: (self.assessment.risk_score * 1000.0).ceil().clamp(0.0, 1000.0) as u16,
            class: self.assessment.class.name().to_owned(),
            args: read_args(&kept).ok()?,
            unkept: self.unkept.clone(),
            mute: self.arguments.is_none(),
        })
    }
}

impl Firewall {
    /// The calls since then for which `wanted` holds. Of those that waited the arguments are known for as long as
    /// they are kept.
    pub async fn past(
        &self,
        since_ms: i64,
        wanted: impl Fn(&Past) -> bool + Send + 'static,
    ) -> Result<PastCalls, GateError> {
        let dir = self.ledger.dir().to_owned();
        let read = tokio::task::spawn_blocking(move || read(&dir, since_ms, wanted));
        let mut past = read.await.map_err(|error| LedgerError::Failed(error.to_string().into()))??;
        let incomplete = past.calls.iter_mut().filter(|call| !call.is_whole() && call.hold.is_some());
        for call in incomplete.take(FETCHED) {
            let Some(hold) = &call.hold else { continue };
            let Ok(text) = self.gate.arguments(hold).await else { continue };
            if let Ok(arguments) = serde_json::from_str(&text) {
                (call.arguments, call.unkept) = (Some(arguments), Vec::new());
            }
        }
        Ok(past)
    }
}

fn read(dir: &Path, since_ms: i64, wanted: impl Fn(&Past) -> bool) -> Result<PastCalls, LedgerError> {
    let mut past = PastCalls::default();
    let mut holds: HashMap<String, String> = HashMap::new();
    for (seen, line) in Backwards::open(dir, None)?.enumerate() {
        let line = line?;
        if seen >= LOOKED_AT {
            past.cut = true;
            break;
        }
        let Ok(brief) = serde_json::from_slice::<Brief<'_>>(&line.bytes) else { continue };
        if brief.at < since_ms {
            break;
        }
        if !matches!(&*brief.step, "routed" | "held") {
            continue;
        }
        let detail: Map<String, Value> =
            brief.detail.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        let call = brief.call.as_deref().unwrap_or_default();
        match (&*brief.step, detail.get("hold").and_then(Value::as_str)) {
            ("held", Some(hold)) => drop(holds.insert(call.to_owned(), hold.to_owned())),
            ("held", None) => {}
            _ => {
                let Some(mut known) = Past::read(call, brief.at, &detail) else { continue };
                if wanted(&known) {
                    known.hold = known.hold.or_else(|| holds.remove(call));
                    past.calls.push(known);
                }
            }
        }
    }
    Ok(past)
}
