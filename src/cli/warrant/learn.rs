//! `herma warrant learn`: the least warrant that covers what the record saw.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use herma_warrant::constraint::Constraint;
use herma_warrant::learn::{Learned, Options};

use super::past::{self, LEARN};
use super::written::Line;
use crate::cli::holds::visible;
use crate::warrants::replay::{Past, propose};

/// Most calls that are named one by one.
const NAMED: usize = 20;

/// Prints how much it covers, and the command that mints it. Nothing is signed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How far back: 90s, 15m, 8h, 7d
    #[arg(long, value_name = "TIME", default_value = "7d")]
    since: String,
    /// Only the calls of this session
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Up to so many values are listed one by one
    #[arg(long, value_name = "N", default_value_t = Options::default().few)]
    few: usize,
    /// By how many hundredths of its span a range is opened at either end
    #[arg(long, value_name = "PERCENT", default_value_t = Options::default().slack)]
    slack: u32,
    /// Leave out the servers, so that other verifiers accept it
    #[arg(long)]
    portable: bool,
}

pub(super) fn run(args: &Args, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let mut history = past::read(data_dir, &args.since)?;
    if let Some(session) = &args.session {
        history.calls.retain(|past| past.session == *session);
    }
    let asked = history.calls.len();
    history.calls.retain(|past| history.ran.contains(&past.call));
    let refused = asked.saturating_sub(history.calls.len());
    let mut out = io::stdout().lock();
    if history.calls.is_empty() {
        writeln!(out, "nothing to learn from: the record has no arguments of any call since then")?;
        writeln!(out, "it keeps them from now on with this in herma.toml:\n\n{LEARN}")?;
        return Ok(ExitCode::FAILURE);
    }
    let options = Options { few: args.few, slack: args.slack, bind_servers: !args.portable };
    let learned = propose(&history.calls, options);
    told(&mut out, &history.calls, &learned)?;
    if refused > 0 {
        writeln!(
            out,
            "{refused} more calls did not run (blocked, denied, undecided): it does not cover them"
        )?;
    }
    if history.mute > 0 {
        writeln!(out, "{} more calls are in the record without their arguments", history.mute)?;
    }
    let mut command = Line::new("herma warrant mint");
    command.flag("--key", "ROOT.key");
    command.flag("--new-holder", "HOLDER.key");
    command.flag("--ttl", "8h");
    command.grants(&learned.tools);
    writeln!(out, "\n{}", visible_lines(&command.to_string()))?;
    Ok(ExitCode::SUCCESS)
}

fn told(out: &mut impl Write, calls: &[Past], learned: &Learned) -> io::Result<()> {
    writeln!(out, "covers {} calls", learned.coverage())?;
    let uncovered: Vec<&Past> = learned.uncovered.iter().filter_map(|at| calls.get(*at)).collect();
    if let Some(more) = (!uncovered.is_empty()).then(|| uncovered.len().saturating_sub(NAMED)) {
        writeln!(out, "not these {}, which look unlike the others:", uncovered.len())?;
        for call in uncovered.iter().take(NAMED) {
            writeln!(out, "  {}", visible(&past::told(call)))?;
        }
        if more > 0 {
            writeln!(out, "  and {more} more")?;
        }
    }
    let free = |capability: &herma_warrant::capability::Capability| {
        let any = |it: &Constraint| match it {
            Constraint::Optional(inner) => matches!(**inner, Constraint::Wildcard),
            other => matches!(other, Constraint::Wildcard),
        };
        let named = capability.constraints.iter().filter(|(_, it)| any(it));
        named.map(|(argument, _)| argument.clone()).collect::<Vec<_>>()
    };
    for (tool, capability) in &learned.tools {
        let free = free(capability);
        if !free.is_empty() {
            let said =
                format!("{tool}: anything for {}: its values differ, or were not kept", free.join(", "));
            writeln!(out, "{}", visible(&said))?;
        }
    }
    Ok(())
}

fn visible_lines(text: &str) -> String {
    text.lines().map(visible).collect::<Vec<_>>().join("\n")
}
