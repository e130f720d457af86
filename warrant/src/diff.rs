//! What one warrant allows that another does not.

use crate::capability::Capability;
use crate::constraint::Reading;
use crate::warrant::Payload;
use std::collections::BTreeSet;
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Narrower,
    Wider,
    /// Neither is proven.
    Different,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `tool`, `tool:argument`, or a field of the warrant.
    pub place: String,
    pub from: Option<String>,
    pub to: Option<String>,
    pub direction: Direction,
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.direction {
            Direction::Narrower => '-',
            Direction::Wider => '+',
            Direction::Different => '~',
        };
        let side = |text: &Option<String>| text.clone().unwrap_or_else(|| "nothing".to_owned());
        write!(out, "{mark} {}: {} -> {}", self.place, side(&self.from), side(&self.to))
    }
}

/// Lists what changes from one payload to the other.
pub fn diff(from: &Payload, to: &Payload) -> Vec<Change> {
    let mut changes = Vec::new();
    let tools: BTreeSet<&String> = from.tools.keys().chain(to.tools.keys()).collect();
    for tool in tools {
        match (from.tools.get(tool), to.tools.get(tool)) {
            (Some(old), Some(new)) => diff_tool(tool, old, new, &mut changes),
            (old, new) => {
                let word = |capability: Option<&Capability>| capability.map(|_| "granted".to_owned());
                let direction = if new.is_some() { Direction::Wider } else { Direction::Narrower };
                changes.push(Change { place: tool.clone(), from: word(old), to: word(new), direction });
            }
        }
    }
    let ordered = |old: u64, new: u64| if new > old { Direction::Wider } else { Direction::Narrower };
    if from.expires_at != to.expires_at {
        let direction = ordered(from.expires_at, to.expires_at);
        changes.push(change("expires_at", Some(from.expires_at), Some(to.expires_at), direction));
    }
    if from.max_depth != to.max_depth {
        let direction = ordered(u64::from(from.max_depth), u64::from(to.max_depth));
        changes.push(change("max_depth", Some(from.max_depth), Some(to.max_depth), direction));
    }
    if from.clearance != to.clearance {
        let direction = ordered(from.clearance.map_or(0, u64::from), to.clearance.map_or(0, u64::from));
        changes.push(change("clearance", from.clearance, to.clearance, direction));
    }
    if from.holder != to.holder {
        let (old, new) = (from.holder.fingerprint(), to.holder.fingerprint());
        changes.push(change("holder", Some(old), Some(new), Direction::Different));
    }
    if from.session_id != to.session_id {
        let direction = if from.session_id.is_none() { Direction::Narrower } else { Direction::Different };
        changes.push(change("session", from.session_id.clone(), to.session_id.clone(), direction));
    }
    if from.gates != to.gates {
        let count =
            |payload: &Payload| payload.gates.as_ref().map(|gates| format!("{} gated tools", gates.0.len()));
        changes.push(change("gates", count(from), count(to), Direction::Different));
    }
    changes
}

fn change(
    place: &str,
    from: Option<impl fmt::Display>,
    to: Option<impl fmt::Display>,
    direction: Direction,
) -> Change {
    let text = |side: Option<String>| side;
    Change {
        place: place.to_owned(),
        from: text(from.map(|side| side.to_string())),
        to: text(to.map(|side| side.to_string())),
        direction,
    }
}

fn diff_tool(tool: &str, old: &Capability, new: &Capability, changes: &mut Vec<Change>) {
    let arguments: BTreeSet<&String> = old.constraints.keys().chain(new.constraints.keys()).collect();
    for argument in arguments {
        let (old_rule, new_rule) = (old.constraints.get(argument), new.constraints.get(argument));
        if old_rule == new_rule {
            continue;
        }
        let direction = match (old_rule, new_rule) {
            (Some(old), Some(new)) if new.narrows(old, Reading::Strict) => Direction::Narrower,
            (Some(old), Some(new)) if old.narrows(new, Reading::Strict) => Direction::Wider,
            (None, Some(_)) if old.is_open() => Direction::Narrower,
            (Some(_), None) if new.is_open() => Direction::Wider,
            _ => Direction::Different,
        };
        changes.push(change(&format!("{tool}:{argument}"), old_rule, new_rule, direction));
    }
    if old.allow_unknown != new.allow_unknown {
        let direction = if new.allow_unknown { Direction::Wider } else { Direction::Narrower };
        let word =
            |capability: &Capability| Some(if capability.allow_unknown { "allowed" } else { "refused" });
        changes.push(change(&format!("{tool} (unnamed arguments)"), word(old), word(new), direction));
    }
    if old.limits != new.limits {
        let word = |capability: &Capability| capability.limits.as_ref().map(|limits| limits.to_string());
        let direction = match (&old.limits, &new.limits) {
            (None, _) => Direction::Narrower,
            (_, None) => Direction::Wider,
            _ => Direction::Different,
        };
        changes.push(change(&format!("{tool} (limits)"), word(old), word(new), direction));
    }
}
