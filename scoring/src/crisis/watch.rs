//! Who is in crisis, as far as anything that was heard, read or said tells: latches by person and conversation,
//! and the weak signs that may yet add up.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::{Clearance, Evidence, GATE, Latch, LatchError, signals, weight};
use crate::Rules;
use crate::text::fold;

/// Weak signs are added over this many messages of one person, and this long.
const REMEMBERED: usize = 12;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Messages of one sender this close together are read as one.
const BREATH_MS: i64 = 2 * 60 * 1000;
/// What is kept of them, in bytes.
const KEPT: usize = 2 << 10;

/// When and where something was said. Time is an argument: the watch has no clock.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    pub at_ms: i64,
    /// The conversation or channel, when there is one besides the person.
    pub conversation: Option<&'a str>,
}

/// What came of hearing something: the evidence, and the keys it latched.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    pub evidence: Evidence,
    pub latched: Vec<String>,
}

/// The latches of one agent. Serializes as it is, but for words not yet understood: those stay in memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    latches: BTreeMap<String, Latch>,
    /// Key → the person it is another name of.
    #[serde(default)]
    aliases: BTreeMap<String, String>,
    #[serde(skip)]
    lately: BTreeMap<String, Lately>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Lately {
    /// When, and how much it showed.
    signs: VecDeque<(i64, f64)>,
    words: String,
    spoke_ms: i64,
}

impl Watch {
    /// `name` and `person` are one and the same; what latches one latches the other.
    pub fn alias(&mut self, name: &str, person: &str) {
        let (name, person) = (handle(name), self.key(person));
        if name != person {
            if let Some(latch) = self.latches.remove(&name) {
                self.latches.entry(person.clone()).or_default().join(latch);
            }
            self.aliases.insert(name, person);
        }
    }

    /// Somebody said something. Latches them, their conversation and whom they speak of, when it is a crisis: by
    /// itself, with what they said just before, or with the weak signs of a day.
    pub fn hear(&mut self, from: &str, said: &str, moment: Moment<'_>, rules: &Rules) -> Option<Heard> {
        let person = self.key(from);
        let evidence = self.understood(&person, said, moment.at_ms, rules)?;
        let mut keys = vec![person];
        keys.extend(moment.conversation.map(|conversation| self.key(conversation)));
        if evidence
            .kinds
            .iter()
            .any(|kind| matches!(kind.as_str(), "third_party" | "escalation" | "overdose"))
        {
            keys.extend(rules.relations(&fold(said)).iter().map(|name| self.key(name)));
            keys.extend(names(said).map(|name| self.key(name)));
        }
        Some(self.latch(keys, evidence))
    }

    /// A tool that reads or fetches gave this text. Latches whom it is from, when it says so, else the source.
    pub fn read(&mut self, source: &str, text: &str, rules: &Rules) -> Option<Heard> {
        let evidence = signals(text, rules)?;
        let senders = text.lines().flat_map(senders).map(|name| self.key(name));
        let mut keys: Vec<String> = senders.collect();
        keys.extend(rules.relations(&fold(text)).iter().map(|name| self.key(name)));
        if keys.is_empty() {
            keys.push(self.key(source));
        }
        Some(self.latch(keys, evidence))
    }

    /// A person says that somebody is in crisis.
    pub fn mark(&mut self, whom: &str, by: &str, reason: &str) {
        let key = self.key(whom);
        self.latches.entry(key).or_default().mark(by, reason);
    }

    /// Whether what goes to `to`, or into `conversation`, waits. While anybody is in crisis, so does what goes to
    /// nobody known.
    pub fn holds(&self, to: Option<&str>, conversation: Option<&str>) -> bool {
        let set = |key: String| self.latches.get(&key).is_some_and(Latch::is_set);
        match (to.filter(|to| !to.trim().is_empty()), conversation) {
            (None, None) => self.latches.values().any(Latch::is_set),
            (to, conversation) => to.into_iter().chain(conversation).any(|key| set(self.key(key))),
        }
    }

    /// A named person clears one key, with a reason; never the one it stands for.
    ///
    /// # Errors
    /// As [`Latch::clear`]; [`LatchError::NotSet`] when there is no such latch.
    pub fn clear(&mut self, whom: &str, by: &str, reason: &str) -> Result<&Clearance, LatchError> {
        let key = self.key(whom);
        if self.key(by) == key {
            return Err(LatchError::OwnLatch);
        }
        let latch = self.latches.get_mut(&key).ok_or(LatchError::NotSet)?;
        latch.clear(by, reason, &key)?;
        self.lately.remove(&key);
        latch.cleared().ok_or(LatchError::NotSet)
    }

    /// Every latch that was ever set, by key.
    pub fn latches(&self) -> impl Iterator<Item = (&str, &Latch)> {
        self.latches.iter().map(|(key, latch)| (key.as_str(), latch))
    }

    /// The person behind a name, whatever platform it is written with.
    fn key(&self, name: &str) -> String {
        let name = handle(name);
        self.aliases.get(&name).cloned().unwrap_or(name)
    }

    fn latch(&mut self, mut keys: Vec<String>, evidence: Evidence) -> Heard {
        keys.sort();
        keys.dedup();
        for key in &keys {
            self.latches.entry(key.clone()).or_default().hear(&evidence);
        }
        Heard { evidence, latched: keys }
    }

    fn understood(&mut self, person: &str, said: &str, at_ms: i64, rules: &Rules) -> Option<Evidence> {
        let lately = self.lately.entry(person.to_owned()).or_default();
        if at_ms - lately.spoke_ms > BREATH_MS {
            lately.words.clear();
        }
        lately.spoke_ms = at_ms;
        if said.len() <= KEPT {
            if !lately.words.is_empty() {
                lately.words.push(' ');
            }
            lately.words.push_str(said);
            if lately.words.len() > KEPT {
                let start = lately.words.ceil_char_boundary(lately.words.len() - KEPT);
                lately.words.drain(..start);
            }
        }
        if let Some(evidence) = signals(said, rules).or_else(|| signals(&lately.words, rules)) {
            lately.words.clear();
            return Some(evidence);
        }
        let shown = weight(said, rules);
        if shown > 0.0 {
            lately.signs.push_back((at_ms, shown));
        }
        while lately.signs.len() > REMEMBERED
            || lately.signs.front().is_some_and(|(then, _)| at_ms - then > DAY_MS)
        {
            lately.signs.pop_front();
        }
        let score: f64 = lately.signs.iter().map(|(_, shown)| shown).sum();
        (score >= GATE).then(|| Evidence {
            score,
            severity: 1,
            kinds: vec!["accumulated".to_owned()],
            rules: vec!["crisis.accumulated".to_owned()],
            spans: vec![(0, said.len())],
        })
    }
}

/// `telegram:u8`, `Email:U8` and `u8` are one name.
#[must_use]
pub fn handle(name: &str) -> String {
    let name = name.trim();
    name.rsplit_once(':').map_or(name, |(_, handle)| handle).trim().to_lowercase()
}

/// Whom a line of a fetched text is from: name and address.
fn senders(line: &str) -> impl Iterator<Item = &str> {
    let named = ["from:", "sender:", "author:"].iter().find_map(|field| {
        let head = line.get(..field.len())?;
        head.eq_ignore_ascii_case(field).then(|| line.get(field.len()..))?
    });
    let named = named.unwrap_or_default();
    let name = named.split(['<', ',', ';']).next().unwrap_or_default();
    // A dot ends the name unless it stands in an address.
    let name = if name.contains('@') { name } else { name.split('.').next().unwrap_or_default() };
    let address =
        named.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(address, _)| address);
    let names = std::iter::once(name).chain(address).map(str::trim);
    names.filter(|name| !name.is_empty() && name.len() <= 80)
}

/// Words written like names inside a sentence: whom a report may be about.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let is_name = |word: &&str| {
        word.len() > 2 && word.starts_with(char::is_uppercase) && !word.chars().all(char::is_uppercase)
    };
    text.split(|letter: char| !letter.is_alphanumeric()).filter(is_name).take(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Moment<'static> {
        Moment { at_ms: minutes * 60_000, conversation: None }
    }

    #[test]
    fn what_is_said_in_pieces_is_heard_as_one() {
        let rules = Rules::shipped().unwrap();
        let mut watch = Watch::default();
        assert!(watch.hear("u1", "i want", at(0), &rules).is_none());
        assert!(watch.hear("u1", "to", at(0), &rules).is_none());
        assert!(watch.hear("u1", "die", at(1), &rules).is_some());
        assert!(watch.holds(Some("u1"), None) && !watch.holds(Some("u2"), None) && watch.holds(None, None));
        let mut slow = Watch::default();
        assert!(slow.hear("u1", "i want", at(0), &rules).is_none());
        assert!(slow.hear("u1", "to die", at(30), &rules).is_none());
    }

    #[test]
    fn weak_signs_add_up_over_a_day_and_not_over_two() {
        let rules = Rules::shipped().unwrap();
        for (hours, latched) in [(1, true), (30, false)] {
            let mut watch = Watch::default();
            for index in 0..4 {
                watch.hear("u1", "i feel so hopeless", at(index * hours * 60), &rules);
            }
            assert_eq!(watch.holds(Some("u1"), None), latched, "{hours} hours apart");
        }
    }

    #[test]
    fn neither_time_nor_the_one_in_crisis_nor_a_restart_clears_it() {
        let rules = Rules::shipped().unwrap();
        let mut watch = Watch::default();
        watch.hear("telegram:u8", "i wrote the note already. goodbye", at(0), &rules).unwrap();
        watch.hear("u8", "never mind, i was joking", at(60 * 24 * 400), &rules);
        assert_eq!(watch.clear("u8", "email:U8", "i am fine"), Err(LatchError::OwnLatch));
        let kept: Watch = serde_json::from_str(&serde_json::to_string(&watch).unwrap()).unwrap();
        assert!(kept.holds(Some("email:u8"), None));
        let mut cleared = kept;
        cleared.clear("u8", "dr. lee", "spoke with them").unwrap();
        assert!(!cleared.holds(Some("telegram:u8"), None));
    }

    #[test]
    fn aliases_conversations_and_marks_hold_too() {
        let rules = Rules::shipped().unwrap();
        let mut watch = Watch::default();
        watch.mark("ana@example.org", "dr. lee", "called in tears");
        watch.alias("telegram:551", "ana@example.org");
        assert!(watch.holds(Some("telegram:551"), None));
        let moment = Moment { at_ms: 0, conversation: Some("slack:#night") };
        watch.hear("u3", "i want to die", moment, &rules).unwrap();
        assert!(watch.holds(Some("u9"), Some("#night")) && watch.holds(Some("#night"), None));
    }

    #[test]
    fn a_report_holds_both_and_a_fetched_text_holds_its_sender() {
        let rules = Rules::shipped().unwrap();
        let mut watch = Watch::default();
        watch.hear("u4", "my brother says he will kill himself", at(0), &rules).unwrap();
        assert!(watch.holds(Some("u4"), None) && watch.holds(Some("brother"), None));
        let mail = "From: Ana. I cannot go on. Please look after Leo when I am gone.";
        watch.read("tool:read_email", mail, &rules).unwrap();
        assert!(watch.holds(Some("Ana"), None));
        let mail = "From: Leo Ray <leo@example.org>\nI want to die.";
        watch.read("tool:read_email", mail, &rules).unwrap();
        assert!(watch.holds(Some("leo@example.org"), None) && watch.holds(Some("leo ray"), None));
        watch.hear("u5", "my friend Tomas told me he wants to die", at(0), &rules).unwrap();
        assert!(watch.holds(Some("tomas"), None) && !watch.holds(Some("u6"), None));
    }
}
