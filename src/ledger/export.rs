//! The record in other formats, line by line.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;

use serde_json::json;

use super::query::{Found, Gap, Query, search};
use super::{LedgerError, ocsf};

/// What the lines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The entries as they are stored, one to a line
    Jsonl,
    /// OCSF API Activity, one event to a line; entries that are not about a call are left out
    Ocsf,
}

/// Why an export came to no good end.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("the export cannot be written: {0}")]
    Io(#[from] io::Error),
}

/// Writes what `query` finds, oldest first, as it is stored: redacted when it was written. Entries that are missing are
/// given back, and in JSONL they are named where they should be.
pub fn export(
    dir: &Path,
    query: &Query,
    format: Format,
    out: &mut dyn Write,
) -> Result<Vec<Gap>, ExportError> {
    let (mut gaps, mut written) = (Vec::new(), Ok(()));
    search(dir, query, 0, |found| {
        written = match found {
            Found::Hit(hit) if format == Format::Jsonl => {
                out.write_all(&hit.line).and_then(|()| out.write_all(b"\n"))
            }
            Found::Hit(hit) => ocsf::event(&hit).map_or(Ok(()), |event| writeln!(out, "{event}")),
            Found::Gap(gap) => {
                let told = match format {
                    Format::Jsonl => writeln!(out, "{}", json!({ "gap": gap })),
                    Format::Ocsf => Ok(()),
                };
                gaps.push(gap);
                told
            }
        };
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    written?;
    out.flush()?;
    Ok(gaps)
}
