//! `herma warrant lint`: what is wider than it may be meant.

use std::io::{self, Write};
use std::process::ExitCode;

use herma_warrant::lint::lint;
use herma_warrant::syntax::read_duration;

use super::presented;
use crate::cli::holds::visible;

/// Exits with 1 when there is something to look at.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The warrant: a file, or `-`
    warrant: String,
    /// How long the work takes: a warrant that lives longer is named [default: a day]
    #[arg(long, value_name = "TIME")]
    job: Option<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let presented = presented::read(&args.warrant)?;
    let job = args.job.as_deref().map(read_duration).transpose()?;
    let mut out = io::stdout().lock();
    let lints = lint(presented.leaf()?, job);
    for lint in &lints {
        writeln!(out, "{}", visible(&lint.to_string()))?;
    }
    if lints.is_empty() {
        writeln!(out, "nothing to look at")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "{} to look at", lints.len())?;
    Ok(ExitCode::FAILURE)
}
