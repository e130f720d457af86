//! `herma warrant simulate`: what a warrant would have said of the calls of the past.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use super::past::{self, LEARN};
use super::{now, presented, trust};
use crate::cli::holds::visible;
use crate::warrants::replay::{Replayed, replay};

/// Every call is judged alone, as if the warrant had been good then; budgets and rates are not added up. Nothing runs.
/// Exits with 1 when a call would have been refused.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The warrant: a file, or `-`
    warrant: String,
    /// How far back: 90s, 15m, 8h, 7d
    #[arg(long, value_name = "TIME", default_value = "7d")]
    since: String,
    /// Only the calls of this session
    #[arg(long, value_name = "ID")]
    session: Option<String>,
}

pub(super) fn run(args: &Args, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let presented = presented::read(&args.warrant)?;
    let (chain, _) = trust::suppose(&presented, now())?;
    let mut history = past::read(data_dir, &args.since)?;
    if let Some(session) = &args.session {
        history.calls.retain(|past| past.session == *session);
    }
    let Replayed { allowed, held, refused, unknown, .. } = replay(&chain, &history.calls);
    let mut out = io::stdout().lock();
    if history.calls.is_empty() && history.mute == 0 {
        writeln!(out, "nothing to replay: the record has no calls since then")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "of {} calls: {allowed} allowed, {} held for a person, {} refused, {} cannot be told",
        history.calls.len(),
        held.count,
        refused.count,
        unknown.count
    )?;
    for (name, group) in [("refused", &refused), ("held", &held), ("cannot be told", &unknown)] {
        for (why, (count, example)) in &group.whys {
            writeln!(
                out,
                "  {name:<14} {count:>5} x  {}\n{:>26}{}",
                visible(why),
                "",
                visible(&past::told(example))
            )?;
        }
    }
    if history.mute > 0 {
        writeln!(
            out,
            "{} more calls are in the record without their arguments and cannot be replayed; it keeps the short \
             and plain ones with this in herma.toml:\n\n{LEARN}",
            history.mute
        )?;
    }
    Ok(if refused.count == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
