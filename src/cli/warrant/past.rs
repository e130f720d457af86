//! Calls of the past, as far as the record tells.

use std::path::Path;

use anyhow::Context;
use herma_warrant::json::{read_args, write};
use herma_warrant::learn::Seen;
use herma_warrant::syntax::read_duration;
use herma_warrant::value::Args;
use serde_json::Value;

use crate::cli::audit::LEDGER;
use crate::firewall::now;
use crate::ledger::{Reader, Record};

/// What turns it on.
pub(super) const LEARN: &str = "[ledger]\nlearn = true";

/// One call of the record.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) call: String,
    pub(super) at: u64,
    pub(super) tool: String,
    pub(super) server: String,
    pub(super) session: String,
    /// Thousandths.
    pub(super) risk: u16,
    pub(super) class: String,
    /// The arguments that were kept.
    pub(super) args: Args,
    /// Arguments of which the record has no value.
    pub(super) unkept: Vec<String>,
}

/// What the record has of the time that is asked for.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) calls: Vec<Past>,
    /// Calls of which the record has no arguments at all.
    pub(super) mute: usize,
}

impl Past {
    pub(super) fn seen(&self) -> Seen {
        let server = (!self.server.is_empty()).then(|| self.server.clone());
        Seen { tool: self.tool.clone(), server, args: self.args.clone() }
    }

    pub(super) fn told(&self) -> String {
        let args: Vec<_> = self.args.iter().map(|(name, value)| format!("{name}={}", write(value))).collect();
        let unkept: Vec<_> = self.unkept.iter().map(|name| format!("{name}=?")).collect();
        format!("{}  {} {}", self.call, self.tool, [args, unkept].concat().join(" "))
    }
}

/// Reads every call that was routed since then.
pub(super) fn read(data_dir: &Path, since: &str) -> anyhow::Result<History> {
    let span = i64::try_from(read_duration(since)?).context("--since is too long")?;
    let from = now().saturating_sub(span.saturating_mul(1000));
    let mut history = History::default();
    for line in Reader::open(&data_dir.join(LEDGER))? {
        let Ok(record) = Record::parse(&line?.bytes) else { continue };
        if record.step != "routed" || record.at < from {
            continue;
        }
        match past(&record) {
            Some(past) => history.calls.push(past),
            None => history.mute += 1,
        }
    }
    Ok(history)
}

fn past(record: &Record) -> Option<Past> {
    let text = |name: &str| record.detail.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let seen = record.detail.get("arguments_seen")?.as_object()?;
    let (mut kept, mut unkept) = (serde_json::Map::new(), Vec::new());
    for (argument, shape) in seen {
        match shape.get("is") {
            Some(value) => {
                kept.insert(argument.clone(), value.clone());
            }
            None => unkept.push(argument.clone()),
        }
    }
    let risk = record.detail.get("risk_score").and_then(Value::as_f64).unwrap_or(1.0);
    Some(Past {
        call: record.call.clone().unwrap_or_default(),
        at: u64::try_from(record.at.div_euclid(1000)).ok()?,
        tool: text("tool_name"),
        server: text("server"),
        session: text("session"),
        risk: (risk * 1000.0).ceil().clamp(0.0, 1000.0) as u16,
        class: text("class"),
        args: read_args(&Value::Object(kept).to_string()).ok()?,
        unkept,
    })
}
