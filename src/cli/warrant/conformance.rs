//! `herma warrant conformance`: a file of cases, each with the verdict that must be given.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use herma_warrant::conformance;

use crate::cli::holds::visible;

/// Prints `id expected got` for every case, and how many hold. Exits with 1 when one does not.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// JSON with `value_cases`, `attenuation_pairs` and `token_scenarios`
    file: PathBuf,
    /// Only the cases that do not hold
    #[arg(long)]
    failing: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(&args.file)
        .with_context(|| format!("cannot read {}", args.file.display()))?;
    let cases = conformance::run(&text).with_context(|| args.file.display().to_string())?;
    let mut out = io::stdout().lock();
    let failing = cases.iter().filter(|case| !case.holds()).count();
    for case in cases.iter().filter(|case| !args.failing || !case.holds()) {
        let mark = if case.holds() { String::new() } else { format!("\tDIFFERS: {}", visible(&case.why)) };
        let said = [&*case.id, &*case.expected, case.got].map(visible).join("\t");
        writeln!(out, "{said}{mark}")?;
    }
    writeln!(out, "{} of {} cases hold", cases.len().saturating_sub(failing), cases.len())?;
    Ok(if failing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
