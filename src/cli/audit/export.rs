//! The record in other formats.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::{LEDGER, moment};
use crate::ledger::{self, Found, Query, ocsf};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The entries as they are stored, one to a line
    Jsonl,
    /// OCSF API Activity, one event to a line; entries that are not about a call are left out
    Ocsf,
}

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
    let mut code = ExitCode::SUCCESS;
    let mut written = Ok(());
    ledger::search(&data_dir.join(LEDGER), &query, 0, |found| {
        written = match found {
            Found::Hit(hit) if wanted.format == Format::Jsonl => {
                out.write_all(&hit.line).and_then(|()| out.write_all(b"\n"))
            }
            Found::Hit(hit) => ocsf::event(&hit).map_or(Ok(()), |event| writeln!(out, "{event}")),
            Found::Gap(gap) => {
                code = ExitCode::FAILURE;
                let told =
                    writeln!(err, "herma: entries {} to {} are missing or unreadable", gap.first, gap.last);
                match wanted.format {
                    Format::Jsonl => told.and_then(|()| writeln!(out, "{}", json!({ "gap": gap }))),
                    Format::Ocsf => told,
                }
            }
        };
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    written?;
    Ok(code)
}
