//! `herma warrant diff`: what the second allows and the first does not, and the other way round.

use std::io::{self, Write};
use std::process::ExitCode;

use herma_warrant::diff::{Direction, diff};

use super::presented;
use crate::cli::holds::visible;

/// Lines begin with `+` for what is wider in the second, `-` for what is narrower, `~` for what is neither for sure.
/// Exits with 1 when the two differ.
#[derive(Debug, clap::Args)]
pub struct Args {
    from: String,
    to: String,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (from, to) = (presented::read(&args.from)?, presented::read(&args.to)?);
    let changes = diff(from.leaf()?, to.leaf()?);
    let mut out = io::stdout().lock();
    for change in &changes {
        writeln!(out, "{}", visible(&change.to_string()))?;
    }
    if changes.is_empty() {
        writeln!(out, "both allow the same")?;
        return Ok(ExitCode::SUCCESS);
    }
    let count = |direction| changes.iter().filter(|change| change.direction == direction).count();
    writeln!(
        out,
        "{} wider, {} narrower, {} neither for sure",
        count(Direction::Wider),
        count(Direction::Narrower),
        count(Direction::Different)
    )?;
    Ok(ExitCode::FAILURE)
}
