//! Hostile text as markup: what is shown is what is there, in the order in which it is there.

use std::ops::Range;

use maud::{Markup, html};

use super::command::Token;
use super::letters::Sign;
use super::pieces::{Look, pieces};

/// Characters of a long text that are shown at once; the rest is one key press away.
const GLANCE: usize = 2_000;

/// A place in a text that a rule spoke of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marked {
    /// Bytes; the whole text if `None`.
    pub(super) at: Option<Range<usize>>,
    /// Which rules, and what they said.
    pub(super) why: String,
}

/// How a text is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// On one line: line breaks are written out.
    Line,
    /// Line breaks are line breaks.
    Block,
}

/// One line of text.
pub fn line(text: &str) -> Markup {
    leaves_of(text, &[], &[], Layout::Line).markup()
}

/// Text of several lines, all of it.
pub fn block(text: &str) -> Markup {
    leaves_of(text, &[], &[], Layout::Block).markup()
}

/// Text with what rules spoke of marked and every token in its own look.
pub(super) fn marked(
    text: &str,
    tokens: &[(Range<usize>, Token)],
    marks: &[Marked],
    layout: Layout,
) -> Markup {
    leaves_of(text, tokens, marks, layout).markup()
}

/// As [`marked`], with the end of a long text behind a summary that says how much there is. It is open from the
/// start when a rule spoke of something in it.
pub(super) fn folded(text: &str, marks: &[Marked]) -> Markup {
    // A fold that hides a line or two would only be in the way.
    let far = text.char_indices().nth(GLANCE.saturating_add(GLANCE / 10));
    let end = far.and_then(|_| text.char_indices().nth(GLANCE)).map(|(at, _)| at);
    let leaves = leaves_cut(text, &[], marks, Layout::Block, end.into_iter().collect());
    let Some((glance, rest)) = end.and_then(|end| leaves.split(end)) else { return leaves.markup() };
    let hidden: usize = rest.iter().map(Leaf::characters).sum();
    let spoken = rest.iter().any(|leaf| leaf.mark.is_some());
    html! {
        (leaves.run(glance))
        details.more open[spoken] {
            summary { "show " (thousands(hidden)) " more characters" }
            (leaves.run(rest))
        }
    }
}

/// A number as people read it.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let head = digits.len() % 3;
    let mut written = String::with_capacity(digits.len().saturating_add(digits.len() / 3));
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && at % 3 == head {
            written.push(',');
        }
        written.push(digit);
    }
    written
}

/// The smallest parts: one look, one token, one mark each.
struct Leaves<'a> {
    leaves: Vec<Leaf<'a>>,
    marks: &'a [Marked],
    layout: Layout,
}

#[derive(Debug)]
struct Leaf<'a> {
    start: usize,
    text: &'a str,
    look: Look,
    token: Option<Token>,
    mark: Option<usize>,
}

impl Leaf<'_> {
    fn characters(&self) -> usize {
        self.text.chars().count()
    }
}

fn leaves_of<'a>(
    text: &'a str,
    tokens: &[(Range<usize>, Token)],
    marks: &'a [Marked],
    layout: Layout,
) -> Leaves<'a> {
    leaves_cut(text, tokens, marks, layout, Vec::new())
}

fn leaves_cut<'a>(
    text: &'a str,
    tokens: &[(Range<usize>, Token)],
    marks: &'a [Marked],
    layout: Layout,
    mut cuts: Vec<usize>,
) -> Leaves<'a> {
    cuts.extend(tokens.iter().flat_map(|(at, _)| [at.start, at.end]));
    cuts.extend(marks.iter().filter_map(|mark| mark.at.as_ref()).flat_map(|at| [at.start, at.end]));
    cuts.retain(|cut| text.is_char_boundary(*cut));
    cuts.sort_unstable();
    cuts.dedup();
    let mut leaves = Vec::new();
    for piece in pieces(text) {
        for at in cut(piece.at.clone(), piece.look, &cuts) {
            let token = tokens.get(tokens.partition_point(|(token, _)| token.end <= at.start));
            leaves.push(Leaf {
                start: at.start,
                text: text.get(at.clone()).unwrap_or_default(),
                look: piece.look,
                token: token.filter(|(token, _)| token.contains(&at.start)).map(|(_, token)| *token),
                mark: marks.iter().position(|mark| {
                    mark.at.as_ref().is_none_or(|mark| mark.start < at.end && at.start < mark.end)
                }),
            });
        }
    }
    Leaves { leaves, marks, layout }
}

/// The parts of a piece between cuts. What is written out as one stays one.
fn cut(at: Range<usize>, look: Look, cuts: &[usize]) -> Vec<Range<usize>> {
    if !matches!(look, Look::Plain | Look::Leftward) {
        return vec![at];
    }
    let from = cuts.partition_point(|cut| *cut <= at.start);
    let to = cuts.partition_point(|cut| *cut < at.end);
    let mut parts = Vec::new();
    let mut start = at.start;
    for cut in cuts.get(from..to).unwrap_or_default() {
        parts.push(start..*cut);
        start = *cut;
    }
    parts.push(start..at.end);
    parts
}

impl<'a> Leaves<'a> {
    fn markup(&self) -> Markup {
        self.run(&self.leaves)
    }

    fn run(&self, leaves: &[Leaf<'a>]) -> Markup {
        html! {
            @for same in leaves.chunk_by(|one, next| one.mark == next.mark) {
                @match same.first().and_then(|leaf| self.marks.get(leaf.mark?)) {
                    Some(mark) => { mark title=(mark.why) { (self.tokens(same)) } }
                    None => { (self.tokens(same)) }
                }
            }
        }
    }

    fn tokens(&self, leaves: &[Leaf<'a>]) -> Markup {
        html! {
            @for same in leaves.chunk_by(|one, next| one.token == next.token) {
                @match same.first().and_then(|leaf| leaf.token) {
                    Some(token) => { span class=(token.class()) { @for leaf in same { (self.leaf(leaf)) } } }
                    None => { @for leaf in same { (self.leaf(leaf)) } }
                }
            }
        }
    }

    fn leaf(&self, leaf: &Leaf<'a>) -> Markup {
        html! {
            @match leaf.look {
                Look::Plain => (leaf.text),
                Look::Leftward => { bdi dir="rtl" { (leaf.text) } }
                Look::Break if self.layout == Layout::Block => "\n",
                Look::Break => { span.sign { "line break" } }
                Look::Run { c: '\n', times } => { span.sign { (thousands(times)) " line breaks" } }
                Look::Run { times, .. } => { span.sign { (thousands(times)) " spaces" } }
                Look::Strange { c, sign, times } => (strange(c, sign, times)),
            }
        }
    }

    /// The leaves that begin before this byte, and the others.
    fn split(&self, end: usize) -> Option<(&[Leaf<'a>], &[Leaf<'a>])> {
        let at = self.leaves.iter().position(|leaf| leaf.start >= end)?;
        self.leaves.split_at_checked(at)
    }
}

fn strange(c: char, sign: Sign, times: usize) -> Markup {
    let code = format!("U+{:04X}", u32::from(c));
    html! {
        @match sign {
            Sign::Hidden(name) => { span.sign { (code) " " (name) (tag(c)) @if times > 1 { " ×" (thousands(times)) } } }
            Sign::Lookalike(latin) => {
                (c.to_string().repeat(times)) span.sign { (code) " not " (latin) }
            }
            Sign::Foreign => { (c.to_string().repeat(times)) span.sign { (code) } }
        }
    }
}

/// What a tag character says to a machine.
fn tag(c: char) -> String {
    let plain = u32::from(c).checked_sub(0xe0000).and_then(char::from_u32).filter(char::is_ascii_graphic);
    plain.map(|plain| format!(" {plain}")).unwrap_or_default()
}
