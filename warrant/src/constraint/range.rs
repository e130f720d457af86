//! Numbers between bounds, compared as the decimals they were written as.

use crate::constraint::Verdict;
use crate::value::Number;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    pub min: Option<Number>,
    pub max: Option<Number>,
    pub min_inclusive: bool,
    pub max_inclusive: bool,
}

impl Range {
    pub fn new(min: Option<Number>, max: Option<Number>) -> Self {
        Self { min, max, min_inclusive: true, max_inclusive: true }
    }

    pub(super) fn check(&self, number: &Number) -> Verdict {
        // A reader of floats may round up to an excluded bound: such a number counts as the bound.
        let beyond = |bound: &Number, inclusive: bool, order: std::cmp::Ordering| match number.cmp(bound) {
            std::cmp::Ordering::Equal => !inclusive,
            found => found == order || (!inclusive && number.to_f64() == bound.to_f64()),
        };
        if self.min.as_ref().is_some_and(|min| beyond(min, self.min_inclusive, std::cmp::Ordering::Less)) {
            return Verdict::Differs("below the least");
        }
        if self.max.as_ref().is_some_and(|max| beyond(max, self.max_inclusive, std::cmp::Ordering::Greater)) {
            return Verdict::Differs("above the most");
        }
        Verdict::Matches
    }

    pub(super) fn narrows(&self, parent: &Self) -> bool {
        let within = |own: &Option<Number>, own_in: bool, held: &Option<Number>, held_in: bool, order| match (
            own, held,
        ) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(held)) => own.cmp(held) == order || (own == held && (held_in || !own_in)),
        };
        let excluded_alike = |own: &Option<Number>, held: &Option<Number>, held_in: bool| match (own, held) {
            (Some(own), Some(held)) => held_in || own == held || own.to_f64() != held.to_f64(),
            _ => true,
        };
        use std::cmp::Ordering::{Greater, Less};
        within(&self.min, self.min_inclusive, &parent.min, parent.min_inclusive, Greater)
            && within(&self.max, self.max_inclusive, &parent.max, parent.max_inclusive, Less)
            && excluded_alike(&self.min, &parent.min, parent.min_inclusive)
            && excluded_alike(&self.max, &parent.max, parent.max_inclusive)
    }
}
