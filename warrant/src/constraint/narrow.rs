//! Whether a child takes nothing that its parent refuses. Only what is proven is accepted.

use crate::constraint::{Constraint, Verdict};
use crate::value::Value;

/// By whose reading of the constraints a child is narrower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// As they are evaluated here: for what we mint.
    Strict,
    /// As the format reads globs, whose star crosses slashes: for chains that others minted. Every link is evaluated
    /// on every call all the same, so nothing is gained by a child that is wider by the strict reading.
    Format,
}

impl Constraint {
    /// Whether every value this constraint takes is proven to be taken by `parent`.
    pub fn narrows(&self, parent: &Self, reading: Reading) -> bool {
        if self.unevaluable().is_some() || parent.unevaluable().is_some() {
            return self == parent;
        }
        if let Self::Optional(held) = parent {
            let own = if let Self::Optional(own) = self { own } else { self };
            return own.narrows(held, reading);
        }
        let takes = |value: &Value| parent.takes(value, reading);
        match (self, parent) {
            (Self::Optional(_), _) => false,
            (Self::Subpath(own), _) if !own.is_clean() => false,
            (Self::Cidr(own), _) if !own.is_clean() => false,
            (Self::UrlPattern(own), _) if !own.is_clean() => false,
            (_, Self::Wildcard) => true,
            (Self::Exact(value), _) => takes(value),
            (Self::OneOf(values), _) => values.iter().all(takes),
            (Self::Any(branches), _) => {
                !branches.is_empty() && branches.iter().all(|branch| branch.narrows(parent, reading))
            }
            (_, Self::All(clauses)) => {
                !clauses.is_empty() && clauses.iter().all(|clause| self.narrows(clause, reading))
            }
            (Self::All(clauses), _) => {
                clauses.iter().any(|clause| clause.narrows(parent, reading)) || self == parent
            }
            (_, Self::Any(branches)) => branches.iter().any(|branch| self.narrows(branch, reading)),
            (Self::NotOneOf(own), Self::NotOneOf(held)) => held.iter().all(|value| own.contains(value)),
            (Self::Not(own), Self::Not(held)) => self == parent || inverted(own, held),
            (Self::Range(own), Self::Range(held)) => own.narrows(held),
            (Self::Pattern(own), _) if !own.text().contains(['*', '?', '[']) => {
                takes(&Value::from(own.text()))
            }
            (Self::Pattern(own), Self::Pattern(held)) => own.narrows(held, reading == Reading::Format),
            (Self::Cidr(own), Self::Cidr(held)) => own.narrows(held),
            (Self::UrlPattern(own), Self::UrlPattern(held)) => own.narrows(held),
            (Self::UrlSafe(own), Self::UrlSafe(held)) => own.narrows(held),
            (Self::Subpath(own), Self::Subpath(held)) => own.narrows(held),
            (Self::Shlex(own), Self::Shlex(held)) => own.narrows(held),
            (Self::Contains(own), Self::Contains(held)) => held.iter().all(|item| own.contains(item)),
            (Self::Subset(own), Self::Subset(held)) => own.iter().all(|item| held.contains(item)),
            (Self::Wildcard, _) => false,
            _ => self == parent,
        }
    }

    fn takes(&self, value: &Value, reading: Reading) -> bool {
        match (self, value) {
            (Self::Pattern(glob), Value::Text(text)) if reading == Reading::Format => {
                glob.matches_crossing(text) || self.check(value) == Verdict::Matches
            }
            _ => self.check(value) == Verdict::Matches,
        }
    }
}

/// `Not(own)` takes nothing that `Not(held)` refuses when everything excluded by the parent stays excluded.
fn inverted(own: &Constraint, held: &Constraint) -> bool {
    fn excluded(constraint: &Constraint) -> Option<&[Value]> {
        match constraint {
            Constraint::Exact(value) => Some(std::slice::from_ref(value)),
            Constraint::OneOf(values) => Some(values),
            _ => None,
        }
    }
    match (excluded(own), excluded(held)) {
        (Some(own), Some(held)) => held.iter().all(|value| own.contains(value)),
        _ => false,
    }
}
