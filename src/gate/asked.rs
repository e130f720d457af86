//! What was asked and denied before, so that asking again wears nobody down. Bounded; a restart reads it out of the
//! holds that are kept.

use std::collections::HashMap;

use serde_json::Value;

use crate::store::{AskedRow, HoldRow, HoldState};

/// Sessions' tools and denied calls that are remembered at most; the longest unused goes first.
pub(super) const REMEMBERED: u32 = 4096;
/// Denials of an equal call after which it is denied at once for a while.
const PATIENCE: u32 = 3;
/// How long at first; twice as long after every further denial.
const COOL_OFF: i64 = 60 * 1000;
const LONGEST: i64 = 24 * 60 * 60 * 1000;

/// Bounded memory of questions.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// By principal, session, server and tool.
    tools: HashMap<[String; 4], Tally>,
    /// By call digest.
    calls: HashMap<String, Denials>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    asked: u32,
    denied: u32,
    last: i64,
}

/// How often an equal call was denied, by whom last, and why.
#[derive(Debug, Clone)]
pub(super) struct Denials {
    pub(super) hold: String,
    pub(super) times: u32,
    pub(super) by: String,
    pub(super) reason: String,
    pub(super) until: i64,
    last: i64,
}

impl Asked {
    /// As the newest holds tell it, oldest of them first.
    pub(super) fn restore(rows: Vec<AskedRow>) -> Self {
        let mut asked = Self::default();
        for row in rows {
            asked.asked(row.of.clone(), row.created_ms);
            match row.state {
                HoldState::Denied => {
                    let said: Value =
                        row.denial.and_then(|said| serde_json::from_str(&said).ok()).unwrap_or_default();
                    let text = |at: &str| said.pointer(at).and_then(Value::as_str).unwrap_or_default();
                    let at = row.decided_ms.unwrap_or(row.created_ms);
                    asked.note_denial(
                        &row.of,
                        row.key,
                        row.hold,
                        [text("/approver/id"), text("/reason")],
                        at,
                    );
                }
                HoldState::Forwarding
                | HoldState::Executed
                | HoldState::Failed
                | HoldState::Unknown
                | HoldState::Superseded => asked.approved(&row.key),
                HoldState::Pending | HoldState::Approved | HoldState::Expired | HoldState::Abandoned => {}
            }
        }
        asked
    }

    /// Notes one more question; gives how often this tool was asked for in the session and how often denied.
    pub(super) fn asked(&mut self, of: [String; 4], now: i64) -> (u32, u32) {
        make_room(&mut self.tools, &of, |tally| tally.last);
        let tally = self.tools.entry(of).or_default();
        tally.asked = tally.asked.saturating_add(1);
        tally.last = now;
        (tally.asked, tally.denied)
    }

    pub(super) fn denied(&mut self, row: &HoldRow, by: &str, reason: &str, now: i64) {
        let of = [&row.principal, &row.session, &row.server, &row.tool].map(String::clone);
        self.note_denial(&of, row.key.clone(), row.id.clone(), [by, reason], now);
    }

    fn note_denial(
        &mut self,
        of: &[String; 4],
        key: String,
        hold: String,
        [by, reason]: [&str; 2],
        now: i64,
    ) {
        if let Some(tally) = self.tools.get_mut(of) {
            tally.denied = tally.denied.saturating_add(1);
        }
        make_room(&mut self.calls, &key, |denials| denials.last);
        let times = self.calls.get(&key).map_or(0, |denials| denials.times).saturating_add(1);
        let cool_off = times
            .checked_sub(PATIENCE)
            .map_or(0, |beyond| COOL_OFF.saturating_mul(1 << beyond.min(20)).min(LONGEST));
        let denials = Denials {
            hold,
            times,
            by: by.to_owned(),
            reason: reason.to_owned(),
            until: now.saturating_add(cool_off),
            last: now,
        };
        self.calls.insert(key, denials);
    }

    /// A person let it run after all.
    pub(super) fn approved(&mut self, key: &str) {
        self.calls.remove(key);
    }

    /// Why an equal call is not asked about now.
    pub(super) fn cooling(&self, key: &str, now: i64) -> Option<Denials> {
        self.calls.get(key).filter(|denials| denials.until > now).cloned()
    }
}

fn make_room<K: Clone + Eq + std::hash::Hash, V>(map: &mut HashMap<K, V>, key: &K, last: impl Fn(&V) -> i64) {
    if map.len() < REMEMBERED as usize || map.contains_key(key) {
        return;
    }
    if let Some(oldest) = map.iter().min_by_key(|(_, value)| last(value)).map(|(key, _)| key.clone()) {
        map.remove(&oldest);
    }
}
