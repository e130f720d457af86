//! Globs: `*`, `?` and `[...]`, none of which ever crosses a slash.

use crate::constraint::Verdict;
use crate::constraint::path;
use crate::text::{has_unseen, skeleton};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    text: String,
    parts: Option<Vec<Part>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Just(char),
    /// Any run of characters, not of slashes.
    Run,
    One,
    Among {
        ranges: Vec<(char, char)>,
        negated: bool,
    },
}

impl Glob {
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), parts: parse(text) }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn check(&self, value: &str) -> Verdict {
        let Some(parts) = &self.parts else { return Verdict::Doubtful("the pattern cannot be read") };
        if has_unseen(value) {
            return Verdict::Doubtful("control or invisible characters");
        }
        if self.text.starts_with('/')
            && let Err(trick) = path::scan(value)
        {
            return Verdict::Doubtful(trick);
        }
        if path::climbs(value) {
            return Verdict::Doubtful("a segment that leaves the directory");
        }
        let gaps = value.ends_with('/') || value.trim_start_matches('/').contains("//");
        if gaps && self.text.contains('/') && !self.text.ends_with('/') {
            return Verdict::Differs("an empty segment");
        }
        if matches(parts, value) {
            return Verdict::Matches;
        }
        if matches_text(&skeleton(&self.text), &skeleton(value)) {
            return Verdict::Doubtful("matches but for case, blanks or look-alikes");
        }
        Verdict::Differs("does not match the pattern")
    }

    /// Whether every text this one takes is proven to be taken by `parent`.
    ///
    /// Only a longer literal before or after one `*` is proven. `crossing` is how the format itself reads `*`: over
    /// slashes.
    pub(super) fn narrows(&self, parent: &Self, crossing: bool) -> bool {
        if self.parts.is_none() || parent.parts.is_none() {
            return false;
        }
        if self.text == parent.text {
            return true;
        }
        let plain = |text: &str| !text.contains(['?', '[', ']', '\\']);
        if !plain(&self.text) || !plain(&parent.text) {
            return false;
        }
        let (Some((own_head, own_tail)), Some((head, tail))) =
            (split_at_only_star(&self.text), split_at_only_star(&parent.text))
        else {
            return false;
        };
        // What the child adds is what the star of the parent has to take: it must not hold a slash. Nor may the one
        // be read as a path and the other not.
        let added = |longer: Option<&str>| longer.is_some_and(|more| crossing || !more.contains('/'));
        added(own_head.strip_prefix(head)) && added(own_tail.strip_suffix(tail))
    }

    /// How `*` is read by the format itself.
    pub(super) fn matches_crossing(&self, value: &str) -> bool {
        match split_at_only_star(&self.text) {
            Some((head, tail)) if !self.text.contains(['?', '[', '\\']) => {
                value.len() >= head.len() + tail.len() && value.starts_with(head) && value.ends_with(tail)
            }
            _ => self.text == value,
        }
    }
}

fn split_at_only_star(text: &str) -> Option<(&str, &str)> {
    text.split_once('*').filter(|(_, tail)| !tail.contains('*'))
}

fn matches_text(pattern: &str, value: &str) -> bool {
    parse(pattern).is_some_and(|parts| matches(&parts, value))
}

fn parse(text: &str) -> Option<Vec<Part>> {
    if text.len() > 1024 {
        return None;
    }
    let mut parts = Vec::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '*' if parts.last() == Some(&Part::Run) => {}
            '*' => parts.push(Part::Run),
            '?' => parts.push(Part::One),
            '[' => parts.push(class(&mut letters)?),
            letter => parts.push(Part::Just(letter)),
        }
    }
    Some(parts)
}

fn class(letters: &mut std::str::Chars<'_>) -> Option<Part> {
    let mut members = Vec::new();
    let mut negated = false;
    loop {
        match letters.next()? {
            '!' | '^' if members.is_empty() && !negated => negated = true,
            ']' if !members.is_empty() => break,
            letter => members.push(letter),
        }
    }
    let mut ranges = Vec::new();
    let mut rest = members.as_slice();
    loop {
        rest = match rest {
            [] => return Some(Part::Among { ranges, negated }),
            [from, '-', to, rest @ ..] if from <= to => {
                ranges.push((*from, *to));
                rest
            }
            [_, '-', _, ..] => return None,
            [one, rest @ ..] => {
                ranges.push((*one, *one));
                rest
            }
        };
    }
}

fn takes(part: &Part, letter: char) -> bool {
    match part {
        Part::Just(wanted) => *wanted == letter,
        Part::Run | Part::One => letter != '/',
        Part::Among { ranges, negated } => {
            letter != '/' && ranges.iter().any(|(from, to)| (*from..=*to).contains(&letter)) != *negated
        }
    }
}

/// Only the last star is ever taken back, so the work is bounded by pattern times value.
fn matches(parts: &[Part], value: &str) -> bool {
    let mut at = 0;
    let mut rest = value.chars();
    let mut star: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        let before = rest.clone();
        match (parts.get(at), rest.next()) {
            (Some(Part::Run), _) => {
                star = Some((at, before.clone()));
                rest = before;
                at += 1;
            }
            (Some(part), Some(letter)) if takes(part, letter) => at += 1,
            (None, None) => return true,
            _ => {
                let Some((run, taken)) = &mut star else { return false };
                match taken.next() {
                    Some(letter) if letter != '/' => {
                        at = *run + 1;
                        rest = taken.clone();
                    }
                    _ => return false,
                }
            }
        }
    }
}
