//! The record in other formats.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use super::{LEDGER, moment};
use crate::ledger::{self, Format, Query};

#[derive(Debug, Clone, clap::Args)]
pub struct Export {
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    pub format: Format,
    /// A time (2026-11-20, 2026-11-20T08:00Z) or how long ago (2h, 30d)
    #[arg(long)]
    pub since: Option<String>,
    /// The same; not included
    #[arg(long)]
    pub until: Option<String>,
}

/// Fails if entries are missing or cannot be read: they are named on the error stream, and in JSONL where they
/// should be.
pub(super) fn export(
    data_dir: &Path,
    wanted: &Export,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let at = |text: &Option<String>| text.as_deref().map(moment).transpose();
    let query = Query { since: at(&wanted.since)?, until: at(&wanted.until)?, ..Query::default() };
    let gaps = ledger::export(&data_dir.join(LEDGER), &query, wanted.format, out)?;
    for gap in &gaps {
        writeln!(err, "herma: entries {} to {} are missing or unreadable", gap.first, gap.last)?;
    }
    Ok(if gaps.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
