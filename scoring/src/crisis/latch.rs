//! The latch: once somebody is in crisis, everything outbound to them waits until a named person clears it.
//!
//! It has no timer. Whoever keeps it decides what it stands for: a person, a conversation, a session.

use serde::{Deserialize, Serialize};

use super::Evidence;

/// Why a latch was set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Cause {
    /// Inbound text showed a crisis; ids of the rules that saw it.
    Signals { rules: Vec<String>, severity: u8 },
    /// A person marked it.
    Mark { by: String, reason: String },
}

/// Who ended it, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clearance {
    pub by: String,
    pub reason: String,
}

/// Whether somebody is in crisis, with everything that set it since it was last clear. Serializes as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latch {
    causes: Vec<Cause>,
    cleared: Option<Clearance>,
}

/// Why a latch was not cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LatchError {
    #[error("the latch is cleared only by a named person; give a name")]
    Nameless,
    #[error("the latch is cleared only with a reason; give one")]
    Reasonless,
    #[error("the person in crisis cannot clear their own latch; ask somebody else")]
    OwnLatch,
    #[error("the latch is not set")]
    NotSet,
}

impl Latch {
    /// Whether everything outbound waits.
    pub fn is_set(&self) -> bool {
        !self.causes.is_empty()
    }

    /// What set it since it was last clear, oldest first.
    pub fn causes(&self) -> &[Cause] {
        &self.causes
    }

    /// Who cleared it last.
    pub fn cleared(&self) -> Option<&Clearance> {
        self.cleared.as_ref()
    }

    /// Sets it by what inbound text showed. Text never clears it: "never mind, joking" is not a clearance.
    pub fn hear(&mut self, evidence: &Evidence) {
        let cause = Cause::Signals { rules: evidence.rules.clone(), severity: evidence.severity };
        // The same signs again say nothing new, and a long conversation must not grow the record.
        if !self.causes.contains(&cause) {
            self.causes.push(cause);
        }
    }

    /// Sets it because a person says so.
    pub fn mark(&mut self, by: &str, reason: &str) {
        self.causes.push(Cause::Mark { by: by.to_owned(), reason: reason.to_owned() });
    }

    /// Takes up what set another latch of the same person.
    pub(super) fn join(&mut self, other: Self) {
        self.causes.extend(other.causes);
    }

    /// Clears it. `subject` is whom it stands for: they cannot clear it themselves.
    ///
    /// # Errors
    /// When no name or no reason is given, when `by` is the subject, and when it is not set.
    pub fn clear(&mut self, by: &str, reason: &str, subject: &str) -> Result<(), LatchError> {
        let (by, reason) = (by.trim(), reason.trim());
        if !self.is_set() {
            return Err(LatchError::NotSet);
        }
        if by.is_empty() {
            return Err(LatchError::Nameless);
        }
        if reason.is_empty() {
            return Err(LatchError::Reasonless);
        }
        if by.eq_ignore_ascii_case(subject.trim()) {
            return Err(LatchError::OwnLatch);
        }
        self.causes.clear();
        self.cleared = Some(Clearance { by: by.to_owned(), reason: reason.to_owned() });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> Latch {
        let mut latch = Latch::default();
        latch.hear(&Evidence {
            score: 1.0,
            severity: 3,
            kinds: vec![],
            rules: vec!["crisis.en.want_die".into()],
            spans: vec![(0, 9)],
        });
        latch
    }

    #[test]
    fn only_a_named_person_with_a_reason_clears_it() {
        let mut latch = set();
        assert_eq!(latch.clear(" ", "fine now", "u1"), Err(LatchError::Nameless));
        assert_eq!(latch.clear("dr. lee", "", "u1"), Err(LatchError::Reasonless));
        assert_eq!(latch.clear("U1", "i am fine", "u1"), Err(LatchError::OwnLatch));
        assert!(latch.is_set());
        assert_eq!(latch.clear("dr. lee", "spoke with them", "u1"), Ok(()));
        assert!(!latch.is_set());
        assert_eq!(latch.clear("dr. lee", "again", "u1"), Err(LatchError::NotSet));
    }

    #[test]
    fn it_survives_being_written_down() {
        let mut latch = set();
        latch.mark("dr. lee", "called them");
        let text = serde_json::to_string(&latch).unwrap();
        assert_eq!(serde_json::from_str::<Latch>(&text).unwrap(), latch);
    }
}
