//! Limits as people type them, and as they are written back.

use std::collections::BTreeMap;

use anyhow::{Context, anyhow, bail, ensure};
use data_encoding::HEXLOWER_PERMISSIVE;
use herma_warrant::capability::Capability;
use herma_warrant::limits::{Budget, Limits, Measure, Rate, Window};
use herma_warrant::syntax::read_duration;
use herma_warrant::value::Number;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const CLASSES: [&str; 4] = ["read_only", "local_reversible", "external", "critical"];
const RISK: &str = "a risk from 0 to 1 with up to three decimals";

/// Each holds for every tool of the warrant, or for one: `TOOL@VALUE`. Only Herma knows these limits; every other
/// verifier refuses a warrant that has one.
#[derive(Debug, Default, clap::Args)]
#[command(
    next_help_heading = "Limits (each for all tools, or for one as TOOL@VALUE; other verifiers refuse them)"
)]
pub(super) struct Flags {
    /// So many calls in all; 1 is one shot
    #[arg(long, value_name = "N")]
    max_calls: Vec<String>,
    /// So many calls in so much time: 10/1m
    #[arg(long, value_name = "N/TIME")]
    rate: Vec<String>,
    /// When it may be used: "mon-fri 09:00-17:00 +01:00"
    #[arg(long, value_name = "WHEN")]
    window: Vec<String>,
    /// An amount that runs out: POOL:ARG:LIMIT, or POOL:ARG:LIMIT:items, or :bytes, for every tool with that argument
    #[arg(long, value_name = "BUDGET")]
    budget: Vec<String>,
    /// Above this risk a person confirms
    #[arg(long, value_name = "RISK")]
    max_auto_risk: Vec<String>,
    /// From this risk on a person confirms
    #[arg(long, value_name = "RISK")]
    gate_at: Vec<String>,
    /// Never a call of this class: read_only, local_reversible, external or critical
    #[arg(long, value_name = "CLASS")]
    forbid: Vec<String>,
    /// Only at this server, as herma.toml names it
    #[arg(long, value_name = "NAME")]
    server: Vec<String>,
    /// Only as the tool was described: the digest that `herma tools` and held calls show
    #[arg(long, value_name = "HEX")]
    definition: Vec<String>,
    /// Only from this run of a sandbox
    #[arg(long, value_name = "RUN")]
    sandbox: Vec<String>,
}

impl Flags {
    pub(super) fn apply(&self, tools: &mut BTreeMap<String, Capability>) -> anyhow::Result<()> {
        each(tools, "max-calls", &self.max_calls, |limits, value| {
            limits.max_calls = Some(value.parse().context("a number of calls was expected")?);
            Ok(())
        })?;
        each(tools, "rate", &self.rate, |limits, value| {
            limits.rates.push(read_rate(value)?);
            Ok(())
        })?;
        each(tools, "window", &self.window, |limits, value| {
            limits.windows.push(read_window(value)?);
            Ok(())
        })?;
        self.apply_budgets(tools)?;
        each(tools, "max-auto-risk", &self.max_auto_risk, |limits, value| {
            limits.max_auto_risk = Some(read_risk(value)?);
            Ok(())
        })?;
        each(tools, "gate-at", &self.gate_at, |limits, value| {
            limits.gate_at = Some(read_risk(value)?);
            Ok(())
        })?;
        each(tools, "forbid", &self.forbid, |limits, value| {
            let class = value.replace('-', "_");
            ensure!(CLASSES.contains(&class.as_str()), "the classes are {}", CLASSES.join(", "));
            limits.forbid_classes.insert(class);
            Ok(())
        })?;
        each(tools, "server", &self.server, |limits, value| {
            limits.servers.insert(value.to_owned());
            Ok(())
        })?;
        each(tools, "definition", &self.definition, |limits, value| {
            let digest = HEXLOWER_PERMISSIVE.decode(value.as_bytes()).ok();
            let digest = digest.and_then(|bytes| bytes.try_into().ok());
            limits.definitions.insert(digest.context("64 hex digits were expected")?);
            Ok(())
        })?;
        each(tools, "sandbox", &self.sandbox, |limits, value| {
            limits.sandbox = Some(value.to_owned());
            Ok(())
        })
    }

    fn apply_budgets(&self, tools: &mut BTreeMap<String, Capability>) -> anyhow::Result<()> {
        for given in &self.budget {
            let (scope, value) = scoped(given);
            let budget = read_budget(value).with_context(|| format!("--budget {given}"))?;
            let mut taken = false;
            for (tool, capability) in tools.iter_mut() {
                let named = capability.constraints.contains_key(&budget.argument);
                let meant = scope.map_or(named || capability.is_open(), |scope| scope == tool);
                if meant {
                    limits_of(capability).budgets.push(budget.clone());
                    taken = true;
                }
            }
            ensure!(taken, "--budget {given}: no tool of the warrant has the argument `{}`", budget.argument);
        }
        Ok(())
    }
}

/// The limits of a tool; one that took any arguments still does.
fn limits_of(capability: &mut Capability) -> &mut Limits {
    capability.allow_unknown |= capability.is_open();
    capability.limits.get_or_insert_default()
}

/// `TOOL@VALUE` or `VALUE`.
fn scoped(given: &str) -> (Option<&str>, &str) {
    match given.split_once('@') {
        Some((tool, value)) => (Some(tool), value),
        None => (None, given),
    }
}

fn each(
    tools: &mut BTreeMap<String, Capability>,
    flag: &str,
    values: &[String],
    set: impl Fn(&mut Limits, &str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for given in values {
        let (scope, value) = scoped(given);
        let mut taken = false;
        for (_, capability) in tools.iter_mut().filter(|(tool, _)| scope.is_none_or(|scope| scope == *tool)) {
            set(limits_of(capability), value).with_context(|| format!("--{flag} {given}"))?;
            taken = true;
        }
        ensure!(taken, "--{flag} {given}: the warrant grants no such tool");
    }
    Ok(())
}

fn read_rate(text: &str) -> anyhow::Result<Rate> {
    let (calls, time) = text.split_once('/').context("`N/TIME` was expected, for example 10/1m")?;
    let time =
        if time.starts_with(|c: char| c.is_ascii_alphabetic()) { format!("1{time}") } else { time.into() };
    let seconds = u32::try_from(read_duration(&time)?).context("the time is too long")?;
    let calls = calls.parse().context("a number of calls was expected")?;
    ensure!(seconds > 0, "the time is zero");
    Ok(Rate { calls, seconds })
}

fn read_window(text: &str) -> anyhow::Result<Window> {
    let mut parts = text.split_whitespace();
    let (Some(days), Some(hours)) = (parts.next(), parts.next()) else {
        bail!("`DAYS FROM-UNTIL OFFSET` was expected, for example `mon-fri 09:00-17:00 +01:00`");
    };
    let (from, until) = hours.split_once('-').context("`09:00-17:00` was expected")?;
    let offset = match parts.next() {
        None | Some("Z" | "UTC" | "utc") => 0,
        Some(offset) => {
            let (sign, clock) = match (offset.strip_prefix('+'), offset.strip_prefix('-')) {
                (Some(clock), _) => (1, clock),
                (_, Some(clock)) => (-1, clock),
                _ => bail!("an offset from UTC was expected, for example +01:00"),
            };
            sign * i16::try_from(read_clock(clock)?)?
        }
    };
    ensure!(parts.next().is_none(), "more than days, hours and an offset");
    Ok(Window { days: read_days(days)?, from: read_clock(from)?, until: read_clock(until)?, offset })
}

fn read_days(text: &str) -> anyhow::Result<u8> {
    if text == "daily" {
        return Ok(0x7f);
    }
    let day = |name: &str| {
        let name = name.to_ascii_lowercase();
        DAYS.iter()
            .position(|day| name.starts_with(day))
            .ok_or_else(|| anyhow!("`{name}` is no day: {}, or daily", DAYS.join(", ")))
    };
    let mut days = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let span = (last + DAYS.len() - first) % DAYS.len();
        for step in 0..=span {
            days |= 1 << ((first + step) % DAYS.len());
        }
    }
    Ok(days)
}

fn read_clock(text: &str) -> anyhow::Result<u16> {
    let (hours, minutes) = text.split_once(':').unwrap_or((text, "0"));
    let (hours, minutes): (u16, u16) = (hours.parse()?, minutes.parse()?);
    ensure!(hours <= 24 && minutes < 60 && hours * 60 + minutes <= 1440, "`{text}` is no time of day");
    Ok(hours * 60 + minutes)
}

fn read_budget(text: &str) -> anyhow::Result<Budget> {
    let mut parts = text.split(':');
    let (Some(pool), Some(argument), Some(limit)) = (parts.next(), parts.next(), parts.next()) else {
        bail!("POOL:ARG:LIMIT was expected, for example eur:amount:100");
    };
    let measure = match parts.next() {
        None | Some("amount") => Measure::Amount,
        Some("items") => Measure::Items,
        Some("bytes") => Measure::Bytes,
        Some(other) => bail!("`{other}` is no measure: amount, items or bytes"),
    };
    ensure!(parts.next().is_none(), "more than POOL:ARG:LIMIT:MEASURE");
    let limit = millionths(limit).context("the limit is a number with up to six decimals")?;
    Ok(Budget { pool: pool.to_owned(), argument: argument.to_owned(), measure, limit })
}

fn millionths(text: &str) -> Option<u64> {
    Number::from_json(text)?.millionths()?.try_into().ok()
}

fn read_risk(text: &str) -> anyhow::Result<u16> {
    let risk = millionths(text).filter(|risk| *risk <= 1_000_000 && risk.is_multiple_of(1000));
    Ok(u16::try_from(risk.context(RISK)? / 1000)?)
}

/// The flags that [`Flags`] reads back, without a scope.
pub(super) fn write(limits: &Limits) -> Vec<(&'static str, String)> {
    let clock = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
    let risk = |risk: u16| format!("{}.{:03}", risk / 1000, risk % 1000);
    let mut flags = Vec::new();
    flags.extend(limits.max_calls.map(|calls| ("--max-calls", calls.to_string())));
    flags.extend(limits.rates.iter().map(|rate| ("--rate", format!("{}/{}s", rate.calls, rate.seconds))));
    flags.extend(limits.windows.iter().map(|window| {
        let days: Vec<_> = DAYS
            .iter()
            .enumerate()
            .filter(|(day, _)| window.days >> day & 1 == 1)
            .map(|(_, name)| *name)
            .collect();
        let sign = if window.offset < 0 { '-' } else { '+' };
        let (from, until) = (clock(window.from), clock(window.until));
        let offset = clock(window.offset.unsigned_abs());
        ("--window", format!("{} {from}-{until} {sign}{offset}", days.join(",")))
    }));
    flags.extend(limits.budgets.iter().map(|budget| {
        let measure = match budget.measure {
            Measure::Amount => "",
            Measure::Items => ":items",
            Measure::Bytes => ":bytes",
        };
        let (whole, rest) = (budget.limit / 1_000_000, budget.limit % 1_000_000);
        ("--budget", format!("{}:{}:{whole}.{rest:06}{measure}", budget.pool, budget.argument))
    }));
    flags.extend(limits.max_auto_risk.map(|most| ("--max-auto-risk", risk(most))));
    flags.extend(limits.gate_at.map(|from| ("--gate-at", risk(from))));
    flags.extend(limits.forbid_classes.iter().map(|class| ("--forbid", class.clone())));
    flags.extend(limits.servers.iter().map(|server| ("--server", server.clone())));
    flags
        .extend(limits.definitions.iter().map(|digest| ("--definition", HEXLOWER_PERMISSIVE.encode(digest))));
    flags.extend(limits.sandbox.iter().map(|run| ("--sandbox", run.clone())));
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_as_they_are_read() {
        let digest = "ab".repeat(32);
        let typed = Flags {
            max_calls: vec!["send@1".into()],
            rate: vec!["10/1m".into(), "100/h".into()],
            window: vec!["mon-fri 09:00-17:30 +01:00".into(), "sat,sun 22:00-02:00 -03:30".into()],
            budget: vec!["eur:amount:99.5".into(), "mails:to:20:items".into()],
            max_auto_risk: vec!["0.25".into()],
            gate_at: vec!["0.6".into()],
            forbid: vec!["critical".into()],
            server: vec!["mail".into()],
            definition: vec![digest.clone()],
            sandbox: vec!["run-1".into()],
        };
        let mut tools: BTreeMap<String, Capability> = [("send".to_owned(), Capability::default())].into();
        typed.apply(&mut tools).unwrap();
        let limits = tools["send"].limits.as_ref().unwrap();
        let expected = [
            "--max-calls 1",
            "--rate 10/60s",
            "--rate 100/3600s",
            "--window mon,tue,wed,thu,fri 09:00-17:30 +01:00",
            "--window sat,sun 22:00-02:00 -03:30",
            "--budget eur:amount:99.500000",
            "--budget mails:to:20.000000:items",
            "--max-auto-risk 0.250",
            "--gate-at 0.600",
            "--forbid critical",
            "--server mail",
            &format!("--definition {digest}"),
            "--sandbox run-1",
        ];
        let written: Vec<_> =
            write(limits).into_iter().map(|(flag, value)| format!("{flag} {value}")).collect();
        assert_eq!(written, expected);
        assert!(tools["send"].is_open(), "limits must not close a tool that takes any arguments");
    }

    #[test]
    fn limits_that_cannot_be_meant_are_named() {
        let apply = |typed: Flags| {
            let grants = herma_warrant::syntax::read_grants(["send:to=ann"], None).unwrap();
            format!("{:#}", typed.apply(&mut grants.clone()).unwrap_err())
        };
        let told = apply(Flags { rate: vec!["fast".into()], ..Flags::default() });
        assert_eq!(told, "--rate fast: `N/TIME` was expected, for example 10/1m");
        let told = apply(Flags { budget: vec!["eur:amount:5".into()], ..Flags::default() });
        assert!(told.ends_with("no tool of the warrant has the argument `amount`"), "{told}");
        let told = apply(Flags { server: vec!["read@fs".into()], ..Flags::default() });
        assert_eq!(told, "--server read@fs: the warrant grants no such tool");
        for wrong in ["1.5", "0.1234", "-0.1", "high"] {
            let told = apply(Flags { gate_at: vec![wrong.into()], ..Flags::default() });
            assert!(told.ends_with(RISK), "{told}");
        }
        for wrong in ["mon", "mon 9", "someday 09:00-10:00", "mon 09:00-25:00", "mon 09:00-10:00 CET"] {
            let told = apply(Flags { window: vec![wrong.into()], ..Flags::default() });
            assert!(told.starts_with("--window"), "{told}");
        }
    }
}
