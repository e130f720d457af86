//! Calls of the past, as far as the record tells.

use std::collections::HashSet;
use std::path::Path;

use anyhow::Context;
use herma_warrant::json::write;
use herma_warrant::syntax::read_duration;

use crate::cli::audit::LEDGER;
use crate::firewall::{now, past as firewall_past};
use crate::ledger::{Reader, Record};
use crate::warrants::replay::Past;

/// What turns it on.
pub(super) const LEARN: &str = "[ledger]\nlearn = true";

/// What the record has of the time that is asked for.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) calls: Vec<Past>,
    /// Calls of which the record has no arguments at all.
    pub(super) mute: usize,
    /// The ids of those that ran.
    pub(super) ran: HashSet<String>,
}

pub(super) fn told(past: &Past) -> String {
    let args: Vec<_> = past.args.iter().map(|(name, value)| format!("{name}={}", write(value))).collect();
    let unkept: Vec<_> = past.unkept.iter().map(|name| format!("{name}=?")).collect();
    format!("{}  {} {}", past.call, past.tool, [args, unkept].concat().join(" "))
}

/// Reads every call that was routed since then.
pub(super) fn read(data_dir: &Path, since: &str) -> anyhow::Result<History> {
    let span = i64::try_from(read_duration(since)?).context("--since is too long")?;
    let from = now().saturating_sub(span.saturating_mul(1000));
    let mut history = History::default();
    for line in Reader::open(&data_dir.join(LEDGER))? {
        let Ok(record) = Record::parse(&line?.bytes) else { continue };
        let call = record.call.as_deref().unwrap_or_default();
        // How a call went stands beside how it was routed where both were written at once.
        if record.step == "settled" || record.detail.get("outcome").is_some() {
            history.ran.insert(call.to_owned());
        }
        if record.step != "routed" || record.at < from {
            continue;
        }
        match firewall_past::Past::read(call, record.at, &record.detail).and_then(|past| past.of_warrants()) {
            Some(past) if !past.mute => history.calls.push(past),
            _ => history.mute += 1,
        }
    }
    Ok(history)
}
