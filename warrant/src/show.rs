//! Warrants in words, as a tree.

use crate::limits::{Limits, Measure};
use crate::warrant::{Kind, Payload, Warrant};
use std::fmt::{self, Write as _};

/// A chain as a tree: each child below its parent.
pub fn tree(links: &[Warrant], now: u64) -> String {
    let mut out = String::new();
    for (depth, link) in links.iter().enumerate() {
        let indent = "  ".repeat(depth);
        // Writing to a string does not fail.
        let _ = write_link(&mut out, &indent, if depth == 0 { "" } else { "└ " }, &link.payload, now);
    }
    out
}

/// Seconds in the largest unit that leaves no fraction worth telling.
fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn write_link(out: &mut String, indent: &str, mark: &str, payload: &Payload, now: u64) -> fmt::Result {
    let kind = if payload.kind == Kind::Issuer { "issuer warrant" } else { "warrant" };
    writeln!(out, "{indent}{mark}{kind} {}", payload.id)?;
    let line = format!("{indent}    ");
    writeln!(
        out,
        "{line}signed by {}, held by {}",
        payload.issuer.fingerprint(),
        payload.holder.fingerprint()
    )?;
    match payload.expires_at.checked_sub(now) {
        Some(left) if left > 0 => writeln!(out, "{line}good for another {}", span(left))?,
        _ => writeln!(out, "{line}expired {} ago", span(now.saturating_sub(payload.expires_at)))?,
    }
    if let Some(session) = &payload.session_id {
        writeln!(out, "{line}bound to session {session:?}")?;
    }
    if let Some(agent) = &payload.agent_id {
        writeln!(out, "{line}for agent {agent:?}")?;
    }
    if let Some(clearance) = payload.clearance {
        writeln!(out, "{line}clearance {clearance}")?;
    }
    if let Some(approvers) = &payload.required_approvers {
        writeln!(
            out,
            "{line}{} of {} approvers approve what is gated",
            payload.threshold(),
            approvers.len()
        )?;
    }
    let deeper = u32::from(payload.max_depth).saturating_sub(payload.depth);
    writeln!(out, "{line}may be passed on {deeper} times")?;
    if let Some(tools) = &payload.issuable_tools {
        writeln!(out, "{line}issues: {}", tools.join(", "))?;
    }
    for (tool, capability) in &payload.tools {
        let gated = payload
            .gates
            .as_ref()
            .is_some_and(|gates| gates.0.contains_key(tool) || gates.0.contains_key("*"));
        let open = if capability.is_open() { ", with any arguments" } else { "" };
        writeln!(out, "{line}{tool}{open}{}", if gated { ", once approved" } else { "" })?;
        for (argument, constraint) in &capability.constraints {
            writeln!(out, "{line}  {argument}: {constraint}")?;
        }
        if capability.allow_unknown && !capability.constraints.is_empty() {
            writeln!(out, "{line}  other arguments: anything")?;
        }
        if let Some(limits) = &capability.limits {
            writeln!(out, "{line}  limits: {limits}")?;
        }
    }
    Ok(())
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

impl fmt::Display for Limits {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        match self.max_calls {
            Some(1) => parts.push("one call".to_owned()),
            Some(calls) => parts.push(format!("{calls} calls")),
            None => {}
        }
        for rate in &self.rates {
            parts.push(format!("{} calls in {}", rate.calls, span(u64::from(rate.seconds))));
        }
        for window in &self.windows {
            let days: Vec<_> = DAYS
                .iter()
                .enumerate()
                .filter(|(day, _)| window.days >> day & 1 == 1)
                .map(|(_, name)| *name)
                .collect();
            let clock = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
            let sign = if window.offset < 0 { '-' } else { '+' };
            let offset = clock(window.offset.unsigned_abs());
            let (from, until) = (clock(window.from), clock(window.until));
            parts.push(format!("{} {from} to {until} at UTC{sign}{offset}", days.join(" ")));
        }
        for budget in &self.budgets {
            let measure = match budget.measure {
                Measure::Amount => "the amount in",
                Measure::Items => "the number of",
                Measure::Bytes => "the bytes of",
            };
            let (whole, rest) = (budget.limit / 1_000_000, budget.limit % 1_000_000);
            let limit = if rest == 0 { whole.to_string() } else { format!("{whole}.{rest:06}") };
            parts.push(format!("{limit} {} in all, by {measure} `{}`", budget.pool, budget.argument));
        }
        let risk = |thousandths: u16| format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
        if let Some(most) = self.max_auto_risk {
            parts.push(format!("without a person up to risk {}", risk(most)));
        }
        if let Some(from) = self.gate_at {
            parts.push(format!("a person confirms from risk {}", risk(from)));
        }
        let names =
            |names: &std::collections::BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
        if !self.forbid_classes.is_empty() {
            parts.push(format!("never {}", names(&self.forbid_classes)));
        }
        if !self.servers.is_empty() {
            parts.push(format!("at {}", names(&self.servers)));
        }
        if !self.definitions.is_empty() {
            parts.push("the tool as it was when granted".to_owned());
        }
        if let Some(sandbox) = &self.sandbox {
            parts.push(format!("from the run {sandbox}"));
        }
        out.write_str(&if parts.is_empty() { "none".to_owned() } else { parts.join("; ") })
    }
}
