//! Who is in crisis with an agent: latches by agent, and by person and conversation where the carrier knows them.
//!
//! Only a person clears a latch: never time, a restart, or the one it stands for.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use herma_scoring::Rules;
use herma_scoring::crisis::{LatchError, Moment, Watch, handle};
use parking_lot::Mutex;

use crate::call::Digest;
use crate::store::{Latch, Store, StoreError};

/// What is between an agent's name and a handle in the key of a latch.
const BETWEEN: char = '/';
/// Latches that are remembered before those that nobody holds and that are not set are let go.
const REMEMBERED: usize = 10_000;
/// Words that come again this soon are the same words.
const TWICE_MS: i64 = 60_000;

/// A latch by its key, shared by every session it speaks of.
#[derive(Debug, Clone)]
pub(super) struct Flag {
    pub(super) key: Arc<str>,
    set: Arc<AtomicBool>,
}

impl Flag {
    pub(super) fn is_set(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }
}

/// Somebody's words, as they reached the agent.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    pub agent: &'a str,
    /// Platform and sender, else the session.
    pub from: &'a str,
    pub conversation: Option<&'a str>,
    pub text: &'a str,
    pub at_ms: i64,
}

/// All latches, and the weak signs that may yet add up to one.
#[derive(Debug)]
pub struct Latches {
    store: Arc<dyn Store>,
    flags: Mutex<HashMap<Arc<str>, Flag>>,
    /// How many people and conversations are latched: no call need look for names while there are none.
    named: AtomicUsize,
    watches: Mutex<HashMap<String, Watch>>,
    /// What was heard last, by whom: Hermes tells the same words twice.
    last: Mutex<HashMap<String, (Digest, i64)>>,
}

impl Latches {
    /// Takes up the latches that were set when the last run ended.
    pub(super) async fn restore(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let set = store.latches().await?;
        let latches = Self {
            store,
            flags: Mutex::default(),
            named: AtomicUsize::default(),
            watches: Mutex::default(),
            last: Mutex::default(),
        };
        for latch in set {
            let flag = latches.flag(&latch.key);
            latches.turn(&flag, true);
        }
        Ok(latches)
    }

    pub(super) fn flag(&self, key: &str) -> Flag {
        let mut flags = self.flags.lock();
        if let Some(flag) = flags.get(key) {
            return flag.clone();
        }
        if flags.len() >= REMEMBERED {
            flags.retain(|_, flag| flag.is_set() || Arc::strong_count(&flag.set) > 1);
        }
        let flag = Flag { key: key.into(), set: Arc::default() };
        flags.insert(Arc::clone(&flag.key), flag.clone());
        flag
    }

    /// The latch of a person or a conversation of this agent.
    pub(super) fn of(&self, agent: &str, name: &str) -> Flag {
        self.flag(&format!("{agent}{BETWEEN}{}", handle(name)))
    }

    pub(super) async fn set(&self, flag: &Flag, by: &str, reason: &str, now: i64) -> Result<(), StoreError> {
        if !self.turn(flag, true) {
            return Ok(());
        }
        let latch =
            Latch { key: flag.key.to_string(), since_ms: now, by: by.to_owned(), reason: reason.to_owned() };
        self.store.set_latch(latch).await
    }

    /// A named person clears it. False when it was not set, or when they are the one it stands for.
    pub(super) async fn clear(
        &self,
        key: &str,
        by: &str,
        reason: &str,
        now: i64,
    ) -> Result<bool, StoreError> {
        if let Some((agent, name)) = key.split_once(BETWEEN) {
            let mut watches = self.watches.lock();
            let own = watches.get_mut(agent).map(|watch| watch.clear(name, by, reason));
            if handle(by) == name || own == Some(Err(LatchError::OwnLatch)) {
                return Ok(false);
            }
        }
        let was_set = self.store.clear_latch(key, by, reason, now).await?;
        self.turn(&self.flag(key), false);
        Ok(was_set)
    }

    /// False when it stood like this already.
    fn turn(&self, flag: &Flag, set: bool) -> bool {
        let changed = flag.set.swap(set, Ordering::AcqRel) != set;
        if changed && flag.key.contains(BETWEEN) {
            match set {
                true => self.named.fetch_add(1, Ordering::AcqRel),
                false => self.named.fetch_sub(1, Ordering::AcqRel),
            };
        }
        changed
    }

    /// Somebody said something to the agent. Gives the rules that see a crisis in it, alone or with what they said
    /// before.
    pub(super) fn hear(&self, said: Said<'_>, rules: &Rules) -> Option<Vec<String>> {
        if self.heard_just_now(&said) {
            return None;
        }
        let mut watches = self.watches.lock();
        let watch = watches.entry(said.agent.to_owned()).or_default();
        let moment = Moment { at_ms: said.at_ms, conversation: said.conversation };
        watch.hear(said.from, said.text, moment, rules).map(|heard| heard.evidence.rules)
    }

    /// The same words of the same person count once.
    fn heard_just_now(&self, said: &Said<'_>) -> bool {
        let mut last = self.last.lock();
        if last.len() >= REMEMBERED {
            last.retain(|_, (_, at)| said.at_ms.saturating_sub(*at) < TWICE_MS);
        }
        let key = format!("{}{BETWEEN}{}", said.agent, said.from);
        let heard = (Digest::of(said.text.as_bytes()), said.at_ms);
        let before = last.insert(key, heard);
        before.is_some_and(|(text, at)| text == heard.0 && said.at_ms.saturating_sub(at) < TWICE_MS)
    }

    /// Whether a text of the agent names somebody who is in crisis with it, by the handle they write under.
    pub(super) fn named(&self, agent: &str, text: &[u8]) -> bool {
        if self.named.load(Ordering::Acquire) == 0 {
            return false;
        }
        let handles: Vec<String> = {
            let flags = self.flags.lock();
            let set = flags.values().filter(|flag| flag.is_set());
            let named = set.filter_map(|flag| flag.key.split_once(BETWEEN));
            named.filter(|(whose, _)| *whose == agent).map(|(_, name)| name.to_owned()).collect()
        };
        if handles.is_empty() {
            return false;
        }
        let text = String::from_utf8_lossy(text).to_lowercase();
        handles.iter().any(|handle| stands_alone(&text, handle))
    }
}

/// Not as a part of a longer name or number.
fn stands_alone(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(start, found)| {
        let before = text.get(..start).and_then(|before| before.chars().next_back());
        let after = text.get(start.saturating_add(found.len())..).and_then(|after| after.chars().next());
        ![before, after].into_iter().flatten().any(char::is_alphanumeric)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_found_where_it_stands_and_not_inside_another() {
        assert!(stands_alone(r#"{"target":"telegram:4711"}"#, "4711"));
        assert!(stands_alone("hermes send --to telegram:4711 'hi'", "4711"));
        assert!(!stands_alone("order 47112", "4711"));
        assert!(!stands_alone("", "4711"));
    }
}
