//! One alternative of a crisis pattern, tried only where it can begin: most words of a text begin none.

use regex_automata::nfa::thompson::backtrack::{self, BoundedBacktracker};
use regex_automata::nfa::thompson::{self, NFA, State};
use regex_automata::util::look::Look;
use regex_automata::util::primitives::StateID;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

/// Bytes one pattern needs at most to keep track of a search.
const TRACK: usize = 1 << 20;
/// Steps from one beginning before the search is kept track of: what fails does so at once.
const STEPS: usize = 400;

#[derive(Debug)]
pub(super) struct Search {
    engine: BoundedBacktracker,
    /// Bytes a match begins with anywhere, and those it begins with at the edge of a word.
    anywhere: Bytes,
    at_edge: Bytes,
}

#[derive(Debug, Default)]
struct Bytes([u64; 4]);

impl Bytes {
    fn add(&mut self, from: u8, to: u8) {
        for byte in from..=to {
            if let Some(word) = self.0.get_mut(usize::from(byte >> 6)) {
                *word |= 1 << (byte & 63);
            }
        }
    }

    fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte >> 6)).is_some_and(|word| word >> (byte & 63) & 1 == 1)
    }
}

impl Search {
    /// `None` when it is no pattern, or one too large for texts of `longest` bytes.
    pub(super) fn of(source: &str, longest: usize) -> Option<Self> {
        let config = thompson::Config::new().utf8(false).nfa_size_limit(Some(TRACK));
        let syntax = syntax::Config::new().utf8(false);
        let nfa = NFA::compiler().configure(config).syntax(syntax).build(source).ok()?;
        let (anywhere, at_edge) = beginnings(&nfa);
        let engine = BoundedBacktracker::builder()
            .configure(backtrack::Config::new().visited_capacity(TRACK))
            .build_from_nfa(nfa)
            .ok()?;
        (engine.max_haystack_len() > longest).then_some(Self { engine, anywhere, at_edge })
    }

    /// Where in a part of `text` a match may begin, by its first byte.
    pub(super) fn places(&self, text: &str, from: usize, to: usize) -> impl Iterator<Item = usize> {
        let bytes = text.as_bytes();
        let mut before = from.checked_sub(1).and_then(|at| bytes.get(at)).is_some_and(is_letter);
        let part = bytes.get(from..to).unwrap_or_default().iter().enumerate();
        part.filter_map(move |(at, byte)| {
            let letter = is_letter(byte);
            let may = self.anywhere.has(*byte) || letter != before && self.at_edge.has(*byte);
            before = letter;
            may.then_some(from + at)
        })
    }

    /// The first match that begins at one of `places` and ends before `to`.
    pub(super) fn first(
        &self,
        text: &str,
        mut places: impl Iterator<Item = usize>,
        to: usize,
    ) -> Option<(usize, usize)> {
        let mut stack = Vec::new();
        places.find_map(|at| Some((at, self.at(text, at, to, &mut stack)?)))
    }

    /// Where a match that begins `at` ends.
    fn at(&self, text: &str, at: usize, to: usize, stack: &mut Vec<(StateID, usize)>) -> Option<usize> {
        let (nfa, bytes) = (self.engine.get_nfa(), text.as_bytes());
        stack.clear();
        let (mut id, mut here) = (nfa.start_anchored(), at);
        for _ in 0..STEPS {
            let byte = bytes.get(here).filter(|_| here < to).copied();
            let next = match nfa.state(id) {
                State::ByteRange { trans } => {
                    let next = byte.filter(|byte| trans.matches_byte(*byte)).map(|_| trans.next);
                    next.map(|next| (next, here + 1))
                }
                State::Sparse(set) => {
                    byte.and_then(|byte| set.matches_byte(byte)).map(|next| (next, here + 1))
                }
                State::Dense(set) => {
                    byte.and_then(|byte| set.matches_byte(byte)).map(|next| (next, here + 1))
                }
                State::Look { look, next } => {
                    nfa.look_matcher().matches(*look, bytes, here).then_some((*next, here))
                }
                State::Union { alternates } => {
                    stack.extend(alternates.iter().skip(1).rev().map(|next| (*next, here)));
                    alternates.first().map(|next| (*next, here))
                }
                State::BinaryUnion { alt1, alt2 } => {
                    stack.push((*alt2, here));
                    Some((*alt1, here))
                }
                State::Capture { next, .. } => Some((*next, here)),
                State::Fail => None,
                State::Match { .. } => return Some(here),
            };
            (id, here) = next.or_else(|| stack.pop())?;
        }
        let input = Input::new(text).range(at..to).anchored(Anchored::Yes);
        let mut slots = [None; 2];
        self.engine.try_search_slots(&mut self.engine.create_cache(), &input, &mut slots).ok()??;
        slots[1].map(|end| end.get())
    }
}

/// The bytes a match can begin with, anywhere and at the edge of a word.
fn beginnings(nfa: &NFA) -> (Bytes, Bytes) {
    let (mut anywhere, mut at_edge) = (Bytes::default(), Bytes::default());
    let mut open = vec![(nfa.start_anchored(), false)];
    let mut seen = vec![[false; 2]; nfa.states().len()];
    while let Some((id, edge)) = open.pop() {
        let Some(seen) = seen.get_mut(id.as_usize()).and_then(|seen| seen.get_mut(usize::from(edge))) else {
            continue;
        };
        if std::mem::replace(seen, true) {
            continue;
        }
        let begun = if edge { &mut at_edge } else { &mut anywhere };
        match nfa.state(id) {
            State::ByteRange { trans } => begun.add(trans.start, trans.end),
            State::Sparse(set) => set.transitions.iter().for_each(|trans| begun.add(trans.start, trans.end)),
            State::Look { look, next } => open.push((*next, edge || *look == Look::WordAscii)),
            State::Union { alternates } => open.extend(alternates.iter().map(|next| (*next, edge))),
            State::BinaryUnion { alt1, alt2 } => open.extend([(*alt1, edge), (*alt2, edge)]),
            State::Capture { next, .. } => open.push((*next, edge)),
            State::Fail => {}
            State::Dense(_) | State::Match { .. } => begun.add(0, u8::MAX),
        }
    }
    (anywhere, at_edge)
}

fn is_letter(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_is_where_the_engine_alone_finds_it() {
        let texts = [
            "i want to die",
            "we didnt want. i want it to end",
            "ich will nicht mehr",
            "я хочу умереть",
            "aaaaaaaaaaaaaaaaaaaaaaaa",
        ];
        let patterns = [
            r"\b(?:i|we) (?:\w+ ){0,3}(?:die|end)\b",
            "will nicht",
            r"\B\w+e\b",
            "хочу (?:уме|жи)",
            "(?:a|a)*(?:a|a)*(?:a|a)*b",
            "want|i want to",
            r"[^ ]+ \w",
        ];
        for pattern in patterns {
            let search = Search::of(pattern, 800).unwrap();
            for text in texts {
                let mut cache = search.engine.create_cache();
                let mut slots = [None; 2];
                search.engine.try_search_slots(&mut cache, &Input::new(text), &mut slots).unwrap();
                let alone = slots[0].zip(slots[1]).map(|(start, end)| (start.get(), end.get()));
                let places = search.places(text, 0, text.len());
                assert_eq!(search.first(text, places, text.len()), alone, "{pattern} in {text}");
            }
        }
    }
}
