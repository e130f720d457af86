//! The rules that people have made from holds, as long as they are in force.

use super::{Gate, GateError, new_letters};
use crate::ledger::{Entry, Step};
use crate::policy::Standing;
use crate::store::{StandingRow, Store};

use std::sync::Arc;

/// Rules in force at most: a person can still read them.
const MOST: usize = 500;

impl Gate {
    /// The rules in force now, oldest first.
    pub fn standing(&self, now: i64) -> Vec<Standing> {
        self.standing.load().iter().filter(|rule| rule.in_force(now)).cloned().collect()
    }

    /// The first rule in force that `speaks`; none of it costs anything while there are none.
    pub fn find_standing(&self, now: i64, speaks: impl Fn(&Standing) -> bool) -> Option<Standing> {
        self.standing.load().iter().find(|rule| rule.in_force(now) && speaks(rule)).cloned()
    }

    pub(super) fn check_room(&self, hold: &str, now: i64) -> Result<(), GateError> {
        if self.standing(now).len() >= MOST {
            let why = format!("{MOST} rules are in force already: withdraw some of them first");
            return Err(GateError::NotSimilar { id: hold.to_owned(), why });
        }
        Ok(())
    }

    /// Puts a rule in force. Its id is chosen here.
    pub(super) async fn add_standing(&self, rule: Standing, now: i64) -> Result<Standing, GateError> {
        let rule = Standing { id: format!("s-{}", new_letters()?), ..rule };
        let row = StandingRow {
            id: rule.id.clone(),
            rule: serde_json::to_string(&rule).map_err(crate::call::NotCanonical::from)?,
            made_ms: rule.made_ms,
            expires_ms: rule.expires_ms,
            max_uses: rule.max_uses,
            used: 0,
        };
        let entry = Entry::new(now, Step::Standing)
            .with("made", rule.id.as_str())
            .with("effect", serde_json::to_value(rule.effect).unwrap_or_default())
            .with("scope", serde_json::to_value(&rule.scope).unwrap_or_default())
            .with("server", rule.server.as_str())
            .with("tool", rule.tool.as_str())
            .with("hold", rule.hold.as_str())
            .with("by", rule.by.as_str())
            .with("expires", rule.expires_ms)
            .with("max_uses", rule.max_uses)
            .with("policy", rule.policy.as_str());
        self.ledger.record_durable(entry).await?;
        self.store.add_standing(row).await?;
        self.standing.rcu(|before| {
            let mut rules: Vec<_> = before.iter().filter(|rule| rule.in_force(now)).cloned().collect();
            rules.push(rule.clone());
            rules
        });
        Ok(rule)
    }

    /// Takes one use, on the disk. False when none was left.
    pub async fn use_standing(&self, id: &str, now: i64) -> Result<bool, GateError> {
        let taken = self.store.use_standing(id, now).await?;
        self.standing.rcu(|before| {
            let mut rules = before.to_vec();
            for rule in rules.iter_mut().filter(|rule| rule.id == id) {
                // What cannot be used any more is not offered again.
                rule.used =
                    if taken { rule.used.saturating_add(1) } else { rule.max_uses.unwrap_or(u32::MAX) };
            }
            rules
        });
        Ok(taken)
    }

    /// Takes a rule back.
    pub async fn withdraw_standing(&self, id: &str, by: &str, now: i64) -> Result<(), GateError> {
        if !self.store.withdraw_standing(id, now).await? {
            return Err(GateError::UnknownRule(id.to_owned()));
        }
        self.standing.rcu(|before| before.iter().filter(|rule| rule.id != id).cloned().collect::<Vec<_>>());
        self.ledger
            .record_durable(Entry::new(now, Step::Standing).with("withdrawn", id).with("by", by))
            .await?;
        Ok(())
    }
}

/// The rules that were in force when the last run ended.
pub(super) async fn restore(store: &Arc<dyn Store>, now: i64) -> Result<Vec<Standing>, GateError> {
    let rows = store.standing(now).await?;
    let read = |row: StandingRow| {
        let rule = serde_json::from_str::<Standing>(&row.rule).ok()?;
        Some(Standing { id: row.id, used: row.used, ..rule })
    };
    Ok(rows.into_iter().filter_map(read).collect())
}
