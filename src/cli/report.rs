//! `herma report`: what would have waited or been blocked, as the record has it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use herma_warrant::syntax::read_duration;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::Value;

use super::audit::LEDGER;
use super::holds::visible;
use crate::firewall::now;
use crate::ledger::{Reader, Record};

const DAY: f64 = 86_400_000.0;
/// Lines of each list.
const MOST: usize = 12;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// How far back: 90s, 15m, 8h, 7d
    #[arg(long, value_name = "TIME", default_value = "7d")]
    since: String,
    /// Print the figures for a script
    #[arg(long)]
    json: bool,
}

/// What the record has of the time that is asked for.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// Unix milliseconds of the first and the last call.
    from: i64,
    until: i64,
    days: f64,
    calls: usize,
    sessions: usize,
    /// Would have run, had the policy been enforced.
    run: usize,
    hold: usize,
    block: usize,
    hold_per_day: f64,
    block_per_day: f64,
    /// Of those, the ones that were held and blocked indeed.
    held: usize,
    blocked: usize,
    by_day: BTreeMap<String, Tally>,
    by_tool: Vec<(String, Tally)>,
    by_rule: Vec<(String, Tally)>,
    worst: Vec<Example>,
}

#[derive(Debug, Default, Clone, Copy, Serialize)]
struct Tally {
    calls: usize,
    hold: usize,
    block: usize,
}

impl Tally {
    fn add(&mut self, fate: Fate) {
        self.calls += 1;
        self.hold += usize::from(fate == Fate::Hold);
        self.block += usize::from(fate == Fate::Block);
    }

    fn stopped(&self) -> usize {
        self.hold + self.block
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Fate {
    Run,
    Hold,
    Block,
}

/// A call that would not have run at once.
#[derive(Debug, Clone, Serialize)]
struct Example {
    call: String,
    at: i64,
    tool: String,
    server: String,
    fate: Fate,
    rule: String,
    risk: f64,
    /// What the record kept of its arguments, redacted.
    arguments: Option<Value>,
}

pub fn run(args: &Args, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let span = i64::try_from(read_duration(&args.since)?).context("--since is too long")?;
    let from = now().saturating_sub(span.saturating_mul(1000));
    let mut records = Vec::new();
    for line in Reader::open(&data_dir.join(LEDGER))? {
        let Ok(record) = Record::parse(&line?.bytes) else { continue };
        if record.step == "routed" && record.at >= from {
            records.push(record);
        }
    }
    let report = Report::of(&records);
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else if records.is_empty() {
        writeln!(out, "the record has no calls of the last {}", args.since)?;
    } else {
        report.write(&mut out)?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Report {
    fn of(records: &[Record]) -> Self {
        let mut report = Self::default();
        let (mut tools, mut rules) = (BTreeMap::<_, Tally>::new(), BTreeMap::<_, Tally>::new());
        let mut sessions = BTreeSet::new();
        for record in records {
            let text = |name: &str| record.detail.get(name).and_then(Value::as_str).unwrap_or_default();
            let (route, would) = (text("route"), text("would"));
            let fate = match if would.is_empty() { route } else { would } {
                "gate" => Fate::Hold,
                "block" => Fate::Block,
                _ => Fate::Run,
            };
            report.calls += 1;
            report.run += usize::from(fate == Fate::Run);
            report.hold += usize::from(fate == Fate::Hold);
            report.block += usize::from(fate == Fate::Block);
            report.held += usize::from(route == "gate");
            report.blocked += usize::from(route == "block");
            report.from = if report.from == 0 { record.at } else { report.from.min(record.at) };
            report.until = report.until.max(record.at);
            sessions.insert((text("principal"), text("session")));
            report.by_day.entry(day(record.at)).or_default().add(fate);
            tools.entry(format!("{} on {}", text("tool_name"), text("server"))).or_default().add(fate);
            if fate == Fate::Run {
                continue;
            }
            rules.entry(text("rule").to_owned()).or_default().add(fate);
            report.worst.push(Example {
                call: record.call.clone().unwrap_or_default(),
                at: record.at,
                tool: text("tool_name").to_owned(),
                server: text("server").to_owned(),
                fate,
                rule: text("rule").to_owned(),
                risk: record.detail.get("risk_score").and_then(Value::as_f64).unwrap_or(1.0),
                arguments: record.detail.get("arguments_seen").cloned(),
            });
        }
        report.sessions = sessions.len();
        report.days = (report.until.saturating_sub(report.from)) as f64 / DAY;
        // Half an hour of use says nothing of a day: it counts as one.
        let days = report.days.max(1.0);
        report.hold_per_day = report.hold as f64 / days;
        report.block_per_day = report.block as f64 / days;
        report.by_tool = ranked(tools);
        report.by_rule = ranked(rules);
        report.worst.sort_by(|a, b| b.risk.total_cmp(&a.risk).then(b.at.cmp(&a.at)));
        report.worst.truncate(MOST);
        report
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let share = |part: usize| 100.0 * part as f64 / self.calls.max(1) as f64;
        writeln!(out, "{} calls in {} sessions, {:.1} days of use\n", self.calls, self.sessions, self.days)?;
        writeln!(out, "  would run at once     {:>7}   {:>5.1} %", self.run, share(self.run))?;
        for (what, count, per_day) in [
            ("would wait for you   ", self.hold, self.hold_per_day),
            ("would be blocked     ", self.block, self.block_per_day),
        ] {
            writeln!(out, "  {what} {count:>7}   {:>5.1} %   {per_day:.1} a day", share(count))?;
        }
        if self.held + self.blocked > 0 {
            let (held, blocked) = (self.held, self.blocked);
            writeln!(out, "  of these {held} did wait and {blocked} were blocked")?;
        }
        writeln!(out, "\nby day         calls    wait   block")?;
        for (day, tally) in &self.by_day {
            writeln!(out, "  {day}  {:>6}  {:>6}  {:>6}", tally.calls, tally.hold, tally.block)?;
        }
        for (what, list) in [("tool", &self.by_tool), ("rule", &self.by_rule)] {
            let stopped: Vec<_> = list.iter().filter(|(_, tally)| tally.stopped() > 0).take(MOST).collect();
            if stopped.is_empty() {
                continue;
            }
            writeln!(out, "\nby {what}          wait   block")?;
            for (name, tally) in stopped {
                writeln!(out, "  {:>12}  {:>6}   {}", tally.hold, tally.block, visible(name))?;
            }
        }
        if !self.worst.is_empty() {
            writeln!(out, "\nworst (`herma audit show CALL` has each whole)")?;
        }
        for one in &self.worst {
            let fate = if one.fate == Fate::Block { "block" } else { "wait" };
            let arguments = one.arguments.as_ref().map(|seen| seen.to_string()).unwrap_or_default();
            let arguments: String = arguments.chars().take(100).collect();
            let line = format!("{} on {} ({}) {arguments}", one.tool, one.server, one.rule);
            writeln!(out, "  {:.2}  {fate:<5}  {}  {}", one.risk, one.call, visible(&line))?;
        }
        if self.held + self.blocked < self.hold + self.block {
            writeln!(out, "\nto hold and block from now on: herma enforce")?;
        }
        Ok(())
    }
}

fn ranked(tallies: BTreeMap<String, Tally>) -> Vec<(String, Tally)> {
    let mut ranked: Vec<_> = tallies.into_iter().collect();
    ranked.sort_by_key(|(_, tally)| (usize::MAX - tally.stopped(), usize::MAX - tally.calls));
    ranked
}

fn day(at: i64) -> String {
    let at = Timestamp::from_millisecond(at).unwrap_or_default();
    at.to_zoned(TimeZone::UTC).date().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(at: i64, detail: Value) -> Record {
        let line = serde_json::json!({ "at": at, "call": format!("c-{at}"), "detail": detail, "seq": 1, "step": "routed" });
        Record::parse(line.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn what_would_have_waited_is_counted_by_day_tool_and_rule() {
        let day = 86_400_000;
        let call = |at, tool: &str, route: &str, would: Option<&str>, risk: f64| {
            let detail = serde_json::json!({ "tool_name": tool, "server": "hermes", "session": "s", "principal": "p",
                "route": route, "would": would, "rule": "risk", "risk_score": risk });
            record(at, detail)
        };
        let report = Report::of(&[
            call(1, "read_file", "execute", None, 0.0),
            call(2, "terminal", "execute", Some("gate"), 0.7),
            call(1 + 2 * day, "terminal", "execute", Some("block"), 0.9),
            call(2 + 2 * day, "send", "gate", None, 0.8),
        ]);
        assert_eq!((report.calls, report.run, report.hold, report.block), (4, 1, 2, 1));
        assert_eq!((report.held, report.blocked), (1, 0));
        assert!((report.hold_per_day - 1.0).abs() < 0.01, "{}", report.hold_per_day);
        assert_eq!(report.by_day.len(), 2);
        assert_eq!(report.by_tool[0].0, "terminal on hermes");
        assert_eq!((report.by_rule.len(), report.worst[0].tool.as_str()), (1, "terminal"));
        let mut text = Vec::new();
        report.write(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("would wait for you          2    50.0 %   1.0 a day"), "{text}");
        assert!(text.contains("0.90  block"), "{text}");
    }
}
