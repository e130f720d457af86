//! Showing and finding entries.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use regex::bytes::Regex;
use serde_json::{Value, json};

use super::{moment, plain, time};
use crate::ledger::{self, Follower, Found, Gap, LedgerError, Line, Query, Reader, Record};

/// How often `tail --follow` looks for new entries.
const GLANCE: Duration = Duration::from_millis(200);
/// The longest value on a line of its entry; `show` gives the rest.
const VALUE: usize = 80;

/// What to look for: all that is given must hold.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Grep {
    /// A regular expression over the stored text
    pub pattern: Option<String>,
    /// The agent's name
    #[arg(long)]
    pub agent: Option<String>,
    /// The tool's name; `*` stands for any text
    #[arg(long)]
    pub tool: Option<String>,
    #[arg(long)]
    pub server: Option<String>,
    #[arg(long)]
    pub session: Option<String>,
    /// execute, gate, review or block
    #[arg(long)]
    pub route: Option<String>,
    /// Who decided, cleared or accepted
    #[arg(long)]
    pub approver: Option<String>,
    /// received, routed, held, decided, forwarded, settled, …
    #[arg(long)]
    pub step: Option<String>,
    /// 8 digits or more of a call's or of its arguments' digest
    #[arg(long)]
    pub digest: Option<String>,
    /// A time (2026-11-20, 2026-11-20T08:00Z) or how long ago (2h, 30d)
    #[arg(long)]
    pub since: Option<String>,
    /// The same; not included
    #[arg(long)]
    pub until: Option<String>,
    /// Print the entries as they are stored, and gaps as {"gap": …}
    #[arg(long)]
    pub json: bool,
}

impl Grep {
    fn query(&self) -> anyhow::Result<Query> {
        let pattern = self.pattern.as_deref().map(Regex::new).transpose();
        let at = |text: &Option<String>| text.as_deref().map(moment).transpose();
        if self.digest.as_ref().is_some_and(|digest| digest.len() < 8) {
            bail!("--digest needs 8 digits or more");
        }
        Ok(Query {
            agent: self.agent.clone(),
            tool: self.tool.clone(),
            server: self.server.clone(),
            session: self.session.clone(),
            route: self.route.clone(),
            approver: self.approver.clone(),
            step: self.step.clone(),
            digest: self.digest.as_ref().map(|digest| digest.to_ascii_lowercase()),
            since: at(&self.since)?,
            until: at(&self.until)?,
            pattern: pattern.context("the pattern is not a regular expression")?,
            ..Query::default()
        })
    }
}

pub(super) fn tail(
    dir: &Path,
    count: usize,
    follow: bool,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let mut follower = Follower::open(dir, count as u64)?;
    let mut last = VecDeque::new();
    while let Some(line) = follower.poll()? {
        last.push_back(line);
        if last.len() > count {
            last.pop_front();
        }
    }
    for line in &last {
        print(line, json, out)?;
    }
    if !follow {
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        out.flush()?;
        match follower.poll()? {
            Some(line) => print(&line, json, out)?,
            None => std::thread::sleep(GLANCE),
        }
    }
}

pub(super) fn show(dir: &Path, which: &str, json: bool, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let number: Option<u64> = which.parse().ok();
    let mut found = false;
    for line in Reader::open(dir)? {
        let line = line?;
        let Ok(record) = Record::parse(&line.bytes) else {
            continue;
        };
        if Some(record.seq) != number && record.call.as_deref() != Some(which) {
            continue;
        }
        if json {
            print(&line, json, out)?;
        } else {
            if found {
                writeln!(out)?;
            }
            print_whole(&record, out)?;
        }
        found = true;
    }
    if !found {
        bail!("no entry and no call is named {which:?}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Like `grep`, fails if nothing matches. Missing and unreadable entries are shown where they should be.
pub(super) fn grep(dir: &Path, wanted: &Grep, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::FAILURE;
    let mut written = Ok(());
    ledger::search(dir, &wanted.query()?, 0, |found| {
        written = match found {
            Found::Hit(hit) => {
                code = ExitCode::SUCCESS;
                let line = Line { place: ledger::Place { file: 0, line: 0 }, bytes: hit.line, whole: true };
                print(&line, wanted.json, out)
            }
            Found::Gap(gap) => print_gap(&gap, wanted.json, out),
        };
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    written?;
    Ok(code)
}

pub(super) fn print_gap(gap: &Gap, json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json {
        return writeln!(out, "{}", json!({ "gap": gap }));
    }
    match &gap.unreadable {
        Some(place) => writeln!(out, "{:>8}  ---- cannot be read ({place}) ----", gap.first),
        None if gap.first == gap.last => writeln!(out, "{:>8}  ---- missing ----", gap.first),
        None => writeln!(out, "{:>8}  ---- missing, up to {} ----", gap.first, gap.last),
    }
}

fn print(line: &Line, json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json {
        out.write_all(&line.bytes)?;
        return out.write_all(b"\n");
    }
    match Record::parse(&line.bytes) {
        Ok(record) => writeln!(out, "{}", one_line(&record)),
        Err(LedgerError::Entry(why)) => {
            writeln!(out, "{:>8}  cannot be read: {}", line.place, plain(&why))
        }
        Err(error) => writeln!(out, "{:>8}  {}", line.place, plain(&error.to_string())),
    }
}

fn one_line(record: &Record) -> String {
    let call = record.call.as_deref().unwrap_or("-");
    let mut text =
        format!("{:>8}  {}  {:<10}  {:<12}", record.seq, time(record.at), plain(&record.step), plain(call),);
    for (name, value) in &record.detail {
        let value = bare(value);
        let mut short: String = value.chars().take(VALUE).collect();
        if short.len() < value.len() {
            short.push('…');
        }
        let _ = write!(text, "  {}={}", plain(name), plain(&short));
    }
    text.truncate(text.trim_end().len());
    text
}

fn print_whole(record: &Record, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "entry   {}", record.seq)?;
    writeln!(out, "time    {}", time(record.at))?;
    writeln!(out, "step    {}", plain(&record.step))?;
    if let Some(call) = &record.call {
        writeln!(out, "call    {}", plain(call))?;
    }
    let width = record.detail.keys().map(|name| name.chars().count()).max();
    for (name, value) in &record.detail {
        let width = width.unwrap_or_default();
        writeln!(out, "  {:<width$}  {}", plain(name), plain(&bare(value)))?;
    }
    Ok(())
}

/// A value as a person writes it: strings without quotes where that is not misleading.
fn bare(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() && !text.contains([' ', '=', '"']) => text.clone(),
        other => other.to_string(),
    }
}
