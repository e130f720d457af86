//! A text taken apart into what may be shown as it is and what must be written out.

use std::ops::Range;

use super::letters::{Nature, Script, Sign, nature, script, taken_for};

/// Blanks in a row that are still shown as they are: more than code is indented by.
const BLANKS: usize = 24;
/// Line breaks in a row that are still shown as they are.
const BREAKS: usize = 3;
/// Marks over one letter; more of them only cover what stands around.
const MARKS: usize = 2;

/// A part of a text; together the parts are the whole text, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) at: Range<usize>,
    pub(super) look: Look,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Plain,
    Break,
    /// Letters that run from right to left, to be kept apart from what stands around them.
    Leftward,
    /// One character, or the same one several times, written out.
    Strange {
        c: char,
        sign: Sign,
        times: usize,
    },
    /// The same blank or line break so many times.
    Run {
        c: char,
        times: usize,
    },
}

pub(super) fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut marks = MARKS;
    let strangers = Strangers::of(text);
    for (start, c) in text.char_indices() {
        let look = match nature(c) {
            Nature::Break => Look::Break,
            Nature::Blank => Look::Run { c, times: 1 },
            Nature::Leftward => Look::Leftward,
            Nature::Strange(sign) => Look::Strange { c, sign, times: 1 },
            Nature::Mark if marks >= MARKS => {
                Look::Strange { c, sign: Sign::Hidden("mark over a letter"), times: 1 }
            }
            Nature::Mark => Look::Plain,
            Nature::Plain => match strangers.sign(start, c) {
                Some(sign) => Look::Strange { c, sign, times: 1 },
                None => Look::Plain,
            },
        };
        marks = match nature(c) {
            Nature::Mark => marks.saturating_add(1),
            _ if c.is_alphanumeric() => 0,
            _ => MARKS,
        };
        push(&mut pieces, start..start.saturating_add(c.len_utf8()), look);
    }
    settle(pieces)
}

/// Adds to the last piece what is of its kind.
fn push(pieces: &mut Vec<Piece>, at: Range<usize>, look: Look) {
    if let Some(last) = pieces.last_mut() {
        let more = match (last.look, look) {
            (Look::Plain, Look::Plain) => Some(Look::Plain),
            (Look::Leftward, Look::Leftward) => Some(Look::Leftward),
            (Look::Strange { c, sign, times }, Look::Strange { c: next, .. }) if c == next => {
                Some(Look::Strange { c, sign, times: times.saturating_add(1) })
            }
            (Look::Run { c, times }, Look::Run { c: next, .. }) if c == next => {
                Some(Look::Run { c, times: times.saturating_add(1) })
            }
            (Look::Break, Look::Break) => Some(Look::Run { c: '\n', times: 2 }),
            (Look::Run { c: '\n', times }, Look::Break) => {
                Some(Look::Run { c: '\n', times: times.saturating_add(1) })
            }
            _ => None,
        };
        if let Some(look) = more {
            last.look = look;
            last.at.end = at.end;
            return;
        }
    }
    pieces.push(Piece { at, look });
}

/// Short runs are what they look like; only long ones are counted.
fn settle(found: Vec<Piece>) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::with_capacity(found.len());
    for piece in found {
        match piece.look {
            Look::Run { c: ' ', times } if times <= BLANKS => push(&mut pieces, piece.at, Look::Plain),
            Look::Run { c: '\n', times } if times <= BREAKS => {
                pieces.extend(piece.at.map(|at| Piece { at: at..at.saturating_add(1), look: Look::Break }));
            }
            _ => pieces.push(piece),
        }
    }
    pieces
}

/// Letters that pass for letters of another script.
struct Strangers {
    /// Words with letters of several scripts, one of them Latin.
    mixed: Vec<Range<usize>>,
    /// Scripts of which the text holds nothing but letters that look Latin.
    posing: Vec<&'static str>,
}

impl Strangers {
    fn of(text: &str) -> Self {
        let mut strangers = Self { mixed: Vec::new(), posing: Vec::new() };
        if text.is_ascii() {
            return strangers;
        }
        let mut honest: Vec<&'static str> = Vec::new();
        for word in words(text) {
            let (mut latin, mut others) = (false, false);
            for c in text.get(word.clone()).unwrap_or_default().chars() {
                match script(c) {
                    Some(Script::Latin) => latin = true,
                    Some(Script::Other(name)) => {
                        others = true;
                        let list = if taken_for(c).is_some() { &mut strangers.posing } else { &mut honest };
                        if !list.contains(&name) {
                            list.push(name);
                        }
                    }
                    None => {}
                }
            }
            if latin && others {
                strangers.mixed.push(word);
            }
        }
        strangers.posing.retain(|name| !honest.contains(name));
        strangers
    }

    fn sign(&self, at: usize, c: char) -> Option<Sign> {
        let Some(Script::Other(name)) = script(c) else { return None };
        let after = self.mixed.partition_point(|word| word.end <= at);
        let mixed = self.mixed.get(after).is_some_and(|word| word.contains(&at));
        match taken_for(c) {
            Some(latin) if mixed || self.posing.contains(&name) => Some(Sign::Lookalike(latin)),
            None if mixed => Some(Sign::Foreign),
            _ => None,
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(|word| {
        let start = word.as_ptr().addr().saturating_sub(text.as_ptr().addr());
        start..start.saturating_add(word.len())
    })
}
