//! Everything a person must know of one hold, as lines of a given width. Nothing is left out.

use herma_scoring::crisis::FOR_YOU;
use serde_json::Value;

use super::held::Held;
use crate::cli::holds::{said, time, visible};
use crate::cli::lines::wrapped;
use crate::operator::desk::{Group, LATCHED, only_latched};

/// How a line is meant; colour is added where there is any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Title,
    Warning,
    Head,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) tone: Tone,
    pub(super) text: String,
}

pub(super) fn rows(held: &Held, width: usize) -> Vec<Row> {
    let mut page = Page { width: width.max(20), rows: Vec::new() };
    let shown = &held.shown;
    let judged = &shown.assessment;
    page.add(Tone::Title, 0, &held.phrase());
    if !held.waits() {
        page.add(Tone::Warning, 0, &format!("{}: {}", held.id, held.ending()));
    }
    let scope = held.scope();
    if held.group() == Group::Crisis && only_latched(&judged.reasons, &scope) {
        page.add(Tone::Warning, 0, LATCHED);
    } else if held.group() == Group::Crisis {
        page.add(
            Tone::Warning,
            0,
            "A PERSON MAY BE IN CRISIS. Read the message as the one who would receive it.",
        );
        page.gap();
        if !scope.recipients.is_empty() {
            page.fact("to", &visible(&scope.recipients.join(", ")));
        }
        if let Some(message) = scope.message {
            page.add(Tone::Head, 0, "message");
            for line in message.text.lines() {
                page.quote(&visible(line));
            }
        }
    }
    if let Some(lines) = shown.help_lines.as_ref().filter(|lines| !lines.is_empty()) {
        page.gap();
        page.add(Tone::Head, 0, "if this is about you");
        page.add(Tone::Plain, 2, FOR_YOU);
        for line in lines {
            page.add(Tone::Plain, 2, &said(line));
        }
    }
    if shown.definition_changed {
        page.add(
            Tone::Warning,
            0,
            "CAUTION: the server describes this tool otherwise than when it was first seen.",
        );
    }
    page.gap();
    page.fact("what", &format!("{} {} on {}", shown.kind, visible(&shown.tool), visible(&shown.server)));
    page.fact(
        "who",
        &format!(
            "{} ({}) in {}{}",
            visible(&shown.principal),
            visible(&shown.client),
            visible(&shown.session),
            if held.count > 1 { format!(", asked ×{}", held.count) } else { String::new() }
        ),
    );
    page.gap();
    page.add(Tone::Head, 0, "exactly this would run");
    let arguments = serde_json::to_string_pretty(&shown.arguments).unwrap_or_default();
    for line in arguments.lines() {
        page.json(&visible(line));
    }
    if let Some(query) = &shown.query {
        page.fact("query", &visible(query));
    }
    if let Some(extra) = &shown.extra {
        page.add(Tone::Head, 0, "and beside the arguments");
        for line in serde_json::to_string_pretty(extra).unwrap_or_default().lines() {
            page.json(&visible(line));
        }
    }
    page.gap();
    page.add(Tone::Head, 0, "why it waits");
    page.add(Tone::Plain, 2, &format!("rule {}: {}", visible(&shown.rule), visible(&shown.why)));
    for reason in &judged.reasons {
        let (sign, factor) = match reason.factor.as_str() {
            "certainty" => ('-', "confidence".to_owned()),
            factor => ('+', visible(&factor.replace('_', " "))),
        };
        let place = reason.pointer.as_ref().map(|at| format!(" at {}", visible(at))).unwrap_or_default();
        let (said, rule) = (visible(&reason.text), visible(&reason.rule));
        page.add(Tone::Plain, 2, &format!("{sign}{:.2} {factor:<15} {said} [{rule}]{place}", reason.points));
    }
    page.gap();
    page.fact("class", &format!("{}, reversible: {}", word(&judged.class), word(&judged.reversibility)));
    page.fact("risk", &format!("{:.2} with confidence {:.2}", judged.risk_score, judged.confidence));
    page.fact("digest", &held.digest);
    page.fact("since", &format!("{}, expires {}", time(held.created_ms), time(held.expires_ms)));
    page.rows
}

/// The name that policy files and the record use.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}

struct Page {
    width: usize,
    rows: Vec<Row>,
}

impl Page {
    fn gap(&mut self) {
        self.rows.push(Row { tone: Tone::Plain, text: String::new() });
    }

    fn add(&mut self, tone: Tone, indent: usize, text: &str) {
        for text in wrapped(text, self.width, indent, indent.saturating_add(if indent > 0 { 2 } else { 0 })) {
            self.rows.push(Row { tone, text });
        }
    }

    /// The bar keeps words of the agent apart from ours on every line.
    fn quote(&mut self, line: &str) {
        for text in wrapped(line, self.width.saturating_sub(4), 0, 0) {
            self.rows.push(Row { tone: Tone::Plain, text: format!("  │ {text}") });
        }
    }

    fn fact(&mut self, name: &str, value: &str) {
        for text in wrapped(&format!("{name:<8}{value}"), self.width, 0, 8) {
            self.rows.push(Row { tone: Tone::Plain, text });
        }
    }

    /// One line of pretty JSON. After an escaped line break the text goes on in a line of its own.
    fn json(&mut self, line: &str) {
        let indent = line.chars().take_while(|c| *c == ' ').count().saturating_add(2);
        let mut first = true;
        for part in at_line_breaks(line.trim_start_matches(' ')) {
            let start = if first { indent } else { indent.saturating_add(2) };
            first = false;
            for text in wrapped(part, self.width, start, indent.saturating_add(2)) {
                self.rows.push(Row { tone: Tone::Plain, text });
            }
        }
    }
}

/// Splits behind each `\n` that JSON wrote for a line break, and not behind the end of `\\n`.
fn at_line_breaks(line: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in line.char_indices() {
        if escaped && c == 'n' {
            let (_, rest) = line.split_at(start);
            let (part, _) = rest.split_at(at.saturating_add(1).saturating_sub(start));
            parts.push(part);
            start = at.saturating_add(1);
        }
        escaped = c == '\\' && !escaped;
    }
    let (_, rest) = line.split_at(start);
    if !rest.is_empty() || parts.is_empty() {
        parts.push(rest);
    }
    parts
}
