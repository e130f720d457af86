//! `herma holds`: what waits for a person.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use herma_scoring::crisis::{FOR_YOU, HelpLine};
use serde_json::Value;

use super::lines::cut;
use crate::control::client::Client;
use crate::control::records::AskRecords;
use crate::control::wire::Ask;
use crate::gate::Decision;

#[derive(Debug, clap::Subcommand)]
pub enum Holds {
    /// What waits
    #[command(visible_alias = "ls")]
    List {
        /// One JSON array
        #[arg(long)]
        json: bool,
        /// Decided ones too
        #[arg(long)]
        all: bool,
    },
    /// The exact call, why it waits, and its digest
    Show {
        id: String,
        #[arg(long)]
        json: bool,
    },
    /// Let it run, once
    Approve {
        id: String,
        /// The digest you saw (8 digits or more); anything else is refused
        #[arg(long)]
        digest: Option<String>,
        /// Whom or what it is aimed at, where nobody can take it back and nobody can be asked to type it
        #[arg(long, value_name = "TARGET")]
        yes_irreversible: Option<String>,
    },
    /// Refuse it
    Deny {
        id: String,
        /// The model reads this
        #[arg(long, default_value = "a person decided against it")]
        reason: String,
        /// This call, and this tool on the same target, are denied at once in this session from now on
        #[arg(long)]
        sticky: bool,
        #[arg(long)]
        digest: Option<String>,
    },
    /// Let it run, once, with other arguments: in your $EDITOR, or from a file
    Edit(super::edit::Args),
    /// Let it run, and calls like it without asking for a while
    Similar(super::similar::Args),
    /// Leave it waiting and tell the next person
    Escalate {
        id: String,
        #[arg(long, default_value = "somebody else should decide")]
        reason: String,
    },
    /// The rules that were made from holds, and those denials that stick
    Rules(super::similar::Rules),
    /// See and decide live, by keyboard; without a terminal one line to a change
    Watch(super::watch::Args),
}

pub fn run(holds: Holds, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let ask = |ask: &Ask| Client::connect(data_dir)?.ask(ask);
    let mut out = io::stdout();
    match holds {
        Holds::List { json, all } => {
            let rows = ask(&Ask::Holds { all })?;
            if json {
                writeln!(out, "{rows}")?;
            } else {
                list(&rows, &mut out)?;
            }
        }
        Holds::Show { id, json } => {
            let row = ask(&Ask::Hold { id })?;
            if json {
                writeln!(out, "{row}")?;
            } else {
                show(&row, &mut out)?;
            }
        }
        Holds::Approve { id, digest, yes_irreversible } => {
            let hold = ask(&Ask::Hold { id: id.clone() })?;
            let typed = typed(&hold, yes_irreversible)?;
            let decision = Decision::Approve;
            let row = ask(&Ask::Decide { id, digest, version: None, typed, decision })?;
            writeln!(out, "{}", approved(&row))?;
        }
        Holds::Deny { id, reason, sticky, digest } => {
            let decision = Decision::Deny { reason, sticky };
            let row = ask(&Ask::Decide { id, digest, version: None, typed: None, decision })?;
            let lasting =
                if sticky { ", and so is its like in this session (`herma holds rules`)" } else { "" };
            writeln!(out, "{} denied{lasting}", text(&row, "id"))?;
        }
        Holds::Edit(args) => return super::edit::run(&args, data_dir),
        Holds::Similar(args) => return super::similar::run(&args, data_dir),
        Holds::Escalate { id, reason } => {
            let row = ask(&Ask::Decide {
                id,
                digest: None,
                version: None,
                typed: None,
                decision: Decision::Escalate { reason },
            })?;
            let told =
                match ask(&Ask::Records(AskRecords::Notices))?.get("channels").and_then(Value::as_array) {
                    Some(channels) if !channels.is_empty() => "the next person is told",
                    _ => "it is marked, but nobody can be told: herma.toml has no [[notify]] channel",
                };
            writeln!(out, "{} goes on waiting: {told}", text(&row, "id"))?;
        }
        Holds::Rules(args) => return super::similar::rules(&args, data_dir),
        Holds::Watch(args) => return super::watch::run(&args, data_dir),
    }
    Ok(ExitCode::SUCCESS)
}

/// What must be typed before the call is let go, where nobody can take it back: from the flag, else asked for.
pub(super) fn typed(hold: &Value, given: Option<String>) -> anyhow::Result<Option<String>> {
    let Some(target) = hold.get("typed").and_then(Value::as_str) else { return Ok(None) };
    if given.is_some() {
        return Ok(given);
    }
    ensure!(
        io::stdin().is_terminal(),
        "nobody can take this back, and nobody can be asked here: say --yes-irreversible {}",
        visible(target)
    );
    show(hold, &mut io::stdout())?;
    write!(io::stdout(), "\nNobody can take it back. Type {} to approve: ", visible(target))?;
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(Some(answer.trim().to_owned()))
}

/// What an approval has made of a hold.
pub fn approved(row: &Value) -> String {
    let (id, digest) = (text(row, "id"), short(text(row, "digest")));
    if text(row, "state") == "pending" {
        let quorum = row.pointer("/needs/quorum").map(plain).unwrap_or_default();
        return format!("{id}: {} of {quorum} approvals; it waits for the others", number(row, "approvals"));
    }
    match row.get("edited").and_then(Value::as_str) {
        Some(_) => format!("{id} approved: it runs once, with the changed arguments"),
        None => format!("{id} approved: it runs once, as shown (digest {digest})"),
    }
}

fn list(rows: &Value, out: &mut impl Write) -> anyhow::Result<()> {
    let rows = rows.as_array().context("the daemon sent no list")?;
    if rows.is_empty() {
        writeln!(out, "Nothing waits.")?;
        return Ok(());
    }
    // A pipe gets whole lines.
    let width = io::stdout().is_terminal().then(|| crossterm::terminal::size().ok()).flatten();
    let width = width.map_or(usize::MAX, |(columns, _)| usize::from(columns));
    for row in rows {
        writeln!(out, "{}", cut(&super::watch::listed(row)?, width))?;
    }
    writeln!(out, "\nherma holds show ID · approve ID · deny ID --reason \"…\"")?;
    Ok(())
}

/// Everything a person needs, from the bytes that would be forwarded.
pub fn show(row: &Value, out: &mut impl Write) -> anyhow::Result<()> {
    let shown = row.get("shown").context("the daemon sent no hold")?;
    let fact = |name: &str| shown.get(name).map(plain).unwrap_or_default();
    let score = |name: &str| {
        let value = shown.pointer(&format!("/assessment/{name}")).and_then(Value::as_f64);
        value.map(|value| format!("{value:.2}")).unwrap_or_default()
    };
    let of = |name: &str| shown.pointer(&format!("/assessment/{name}")).map(plain).unwrap_or_default();
    writeln!(out, "{}  {}", text(row, "id"), text(row, "state"))?;
    if row.get("crisis") == Some(&Value::Bool(true)) {
        let latched = |reason: &Value| text(reason, "rule") == "crisis.latched";
        let reasons = shown.pointer("/assessment/reasons").and_then(Value::as_array);
        let said = match reasons.is_some_and(|reasons| reasons.iter().any(latched)) {
            true => "SOMEBODY MAY BE IN CRISIS in this conversation: everything outbound or final waits.",
            false => "A PERSON MAY BE IN CRISIS. Read the message as the one who would receive it.",
        };
        writeln!(out, "  {said}")?;
    }
    help(shown, out)?;
    writeln!(out, "  what       {} {} on {}", fact("kind"), fact("tool"), fact("server"))?;
    writeln!(out, "  who        {} ({}) in {}", fact("principal"), fact("client"), fact("session"))?;
    writeln!(out, "  class      {}, reversible: {}", of("class"), of("reversibility"))?;
    writeln!(out, "  risk       {} with confidence {}", score("risk_score"), score("confidence"))?;
    writeln!(out, "  held by    rule {}: {}", fact("rule"), fact("why"))?;
    if shown.get("definition_changed") == Some(&Value::Bool(true)) {
        writeln!(out, "  CAUTION    the server describes this tool otherwise than when it was first seen")?;
    }
    if let Some(changed) = row.get("changed_to").and_then(Value::as_str) {
        writeln!(out, "  changed    by a person; it was let go with {}", visible(changed))?;
    }
    writeln!(out, "  arguments")?;
    let arguments = shown.get("arguments").cloned().unwrap_or_default();
    for line in serde_json::to_string_pretty(&arguments)?.lines() {
        writeln!(out, "    {}", visible(line))?;
    }
    if let Some(query) = shown.get("query") {
        writeln!(out, "  query      {}", visible(&plain(query)))?;
    }
    if let Some(extra) = shown.get("extra") {
        writeln!(out, "  beside")?;
        for line in serde_json::to_string_pretty(extra)?.lines() {
            writeln!(out, "    {}", visible(line))?;
        }
    }
    writeln!(out, "  why")?;
    for reason in shown.pointer("/assessment/reasons").and_then(Value::as_array).into_iter().flatten() {
        let points = reason.get("points").and_then(Value::as_f64).unwrap_or_default();
        let (sign, factor) = match text(reason, "factor") {
            "certainty" => ('-', "confidence".to_owned()),
            factor => ('+', factor.replace('_', " ")),
        };
        let place =
            reason.get("pointer").map(|pointer| format!("  at {}", plain(pointer))).unwrap_or_default();
        let (said, rule) = (text(reason, "text"), text(reason, "rule"));
        writeln!(out, "    {sign}{points:.2} {factor:<15} {said}  [{rule}]{place}")?;
    }
    writeln!(out, "  digest     {}", text(row, "digest"))?;
    writeln!(
        out,
        "  since      {}, expires {}",
        time(number(row, "created_ms")),
        time(number(row, "expires_ms"))
    )?;
    needs(row, out)?;
    if let Some(decision) = row.get("decision").filter(|decision| decision.is_object()) {
        writeln!(
            out,
            "  last word  {} by {}",
            text(decision, "decision"),
            decision.pointer("/approver/id").map(plain).unwrap_or_default()
        )?;
    }
    Ok(())
}

/// For the one at this terminal, who may be the one in danger.
fn help(shown: &Value, out: &mut impl Write) -> anyhow::Result<()> {
    let lines = shown.get("help_lines").filter(|lines| lines.is_array()).cloned();
    let lines: Vec<HelpLine> = lines.map(serde_json::from_value).transpose()?.unwrap_or_default();
    if !lines.is_empty() {
        writeln!(out, "  {FOR_YOU}")?;
    }
    for line in &lines {
        writeln!(out, "    {}", said(line))?;
    }
    Ok(())
}

/// A line of help, with the day it was last seen to be right.
pub(super) fn said(line: &HelpLine) -> String {
    let HelpLine { name, contact, entered, source, .. } = line;
    visible(&format!("{name}: {contact}  (as of {entered}, {source})"))
}

/// What it takes to approve, where that is more than one person at this terminal.
fn needs(row: &Value, out: &mut impl Write) -> anyhow::Result<()> {
    let of = |pointer: &str| row.pointer(pointer).map(plain).filter(|said| said != "null");
    if number(row, "escalated") > 0 {
        writeln!(out, "  passed on  {} times", number(row, "escalated"))?;
    }
    if let Some(asked) = row.pointer("/shown/asked") {
        writeln!(
            out,
            "  CAUTION    asked {} times in this session, denied {} times",
            number(asked, "times"),
            number(asked, "denied")
        )?;
    }
    let quorum = of("/needs/quorum").unwrap_or_default();
    if quorum != "1" {
        writeln!(
            out,
            "  needs      {quorum} approvals by different people; {} so far",
            number(row, "approvals")
        )?;
    }
    if let Some(method) =
        of("/needs/method").filter(|method| !matches!(method.as_str(), "in_band" | "terminal"))
    {
        writeln!(out, "  needs      at least a {method}")?;
    }
    for list in ["approvers", "second_person"] {
        if let Some(named) = of(&format!("/needs/{list}")) {
            writeln!(out, "  needs      one of {named}")?;
        }
    }
    Ok(())
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => visible(text),
        other => visible(&other.to_string()),
    }
}

pub(super) fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn number(row: &Value, name: &str) -> i64 {
    row.get(name).and_then(Value::as_i64).unwrap_or_default()
}

fn short(digest: &str) -> String {
    digest.chars().take(12).collect()
}

/// Unix milliseconds as a person reads them.
pub fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map(|time| time.strftime("%F %T UTC").to_string())
        .unwrap_or_default()
}

/// Text of an agent or a server with everything written out that a terminal would act on or hide: control
/// characters, direction marks, zero-width characters.
pub fn visible(text: &str) -> String {
    let mut seen = String::with_capacity(text.len());
    for c in text.chars() {
        let hidden = c.is_control()
            || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}');
        if hidden {
            seen.push_str(&format!("\\u{{{:x}}}", u32::from(c)));
        } else {
            seen.push(c);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_an_argument_can_act_on_the_terminal_or_hide() {
        assert_eq!(visible("a\x1b[2Jb\u{202e}c\u{200b}d\n"), "a\\u{1b}[2Jb\\u{202e}c\\u{200b}d\\u{a}");
        assert_eq!(visible("Grüße, 世界"), "Grüße, 世界");
    }
}
