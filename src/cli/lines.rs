//! Text in lines of a given width.

use ratatui::style::Style;
use ratatui::text::Span;

/// Breaks at spaces where that is possible and anywhere where not. Every character stays; what would have no
/// width of its own is written out.
pub fn wrapped(text: &str, width: usize, first: usize, rest: usize) -> Vec<String> {
    let room = |lines: usize| width.saturating_sub(if lines == 0 { first } else { rest }).max(8);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    let mut taken = 0;
    for (symbol, wide) in symbols(text) {
        if taken + wide > room(lines.len()) {
            let tail = match line.rfind(' ') {
                // A break at a space far back would leave half the line empty.
                Some(at) if at > line.len() / 2 => line.split_off(at.saturating_add(1)),
                _ => String::new(),
            };
            lines.push(std::mem::replace(&mut line, tail));
            taken = symbols(&line).map(|(_, wide)| wide).sum();
        }
        line.push_str(&symbol);
        taken += wide;
    }
    lines.push(line);
    let indent = |at: usize| " ".repeat(if at == 0 { first } else { rest });
    lines.iter().enumerate().map(|(at, line)| format!("{}{line}", indent(at))).collect()
}

fn symbols(text: &str) -> impl Iterator<Item = (String, usize)> {
    let span = Span::raw(text);
    let symbols: Vec<String> =
        span.styled_graphemes(Style::default()).map(|grapheme| grapheme.symbol.to_owned()).collect();
    symbols.into_iter().map(|symbol| {
        let wide = Span::raw(symbol.as_str()).width();
        if wide > 0 {
            return (symbol, wide);
        }
        let written: String = symbol.chars().map(|c| format!("\\u{{{:x}}}", u32::from(c))).collect();
        let wide = written.len();
        (written, wide)
    })
}

/// As much as fits, with a mark where something is left out.
pub fn cut(text: &str, width: usize) -> String {
    let all: Vec<(String, usize)> = symbols(text).collect();
    if all.iter().map(|(_, wide)| wide).sum::<usize>() <= width {
        return all.into_iter().map(|(symbol, _)| symbol).collect();
    }
    let mut line = String::new();
    let mut taken = 1;
    for (symbol, wide) in all {
        taken += wide;
        if taken > width {
            break;
        }
        line.push_str(&symbol);
    }
    line.push('…');
    line
}
