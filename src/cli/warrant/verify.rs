//! `herma warrant verify`: whether a warrant would be believed here, check by check.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::ensure;
use herma_warrant::error::ChainError;

use super::trust::{self, Roots};
use super::{now, presented};
use crate::cli::holds::{time, visible};

const CHECKS: [(&str, &str); 6] = [
    ("form", "sizes, canonical bytes, no unknown field"),
    ("root", "signed by a key that is trusted here"),
    ("signatures", "every link, by the key it names"),
    ("links", "each follows from the one before and asks for no more"),
    ("time", "no link has expired or begins later"),
    ("revocation", "nothing of it was taken back here"),
];

/// Exits with 1 when a check fails.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The warrant: a file, or `-`
    warrant: String,
    #[command(flatten)]
    roots: Roots,
}

pub(super) fn run(args: &Args, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let setup = args.roots.setup()?;
    ensure!(
        !setup.trust.roots.is_empty(),
        "no root is trusted: --root KEY, or [warrants] trusted_roots in herma.toml"
    );
    let presented = presented::read(&args.warrant)?;
    let verdict = trust::verify(&presented.bytes, setup, data_dir, now())?;
    let failed = verdict.as_ref().err().map(check);
    let mut out = io::stdout().lock();
    for (at, (name, means)) in CHECKS.iter().enumerate() {
        match (&verdict, failed) {
            (Err(error), Some(failed)) if failed == at => {
                writeln!(out, "no  {name:<11} {}", visible(&in_words(error)))?;
            }
            (_, Some(failed)) if failed < at => writeln!(out, "-   {name:<11} not reached")?,
            _ => writeln!(out, "ok  {name:<11} {means}")?,
        }
    }
    let Ok(chain) = verdict else { return Ok(ExitCode::FAILURE) };
    let expires = i64::try_from(chain.expires_at()).unwrap_or(i64::MAX).saturating_mul(1000);
    writeln!(
        out,
        "{} is good until {}, for whoever holds {}",
        presented.leaf()?.id,
        time(expires),
        chain.holder().public_key().to_hex()
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Which of the checks an error belongs to.
fn check(error: &ChainError) -> usize {
    match error {
        ChainError::Format(_) => 0,
        ChainError::UntrustedRoot { .. } | ChainError::ParentWithheld => 1,
        ChainError::Key { .. } | ChainError::Signature { .. } => 2,
        ChainError::Broken { .. }
        | ChainError::Widened { .. }
        | ChainError::Outlives { .. }
        | ChainError::Session { .. } => 3,
        ChainError::Expired { .. } | ChainError::Future { .. } | ChainError::LivesTooLong { .. } => 4,
        ChainError::Revoked { .. } | ChainError::RevocationsStale => 5,
    }
}

fn in_words(error: &ChainError) -> String {
    let date = |at: &u64| time(i64::try_from(*at).unwrap_or(i64::MAX).saturating_mul(1000));
    match error {
        ChainError::Expired { link, at } => format!("link {link} expired on {}", date(at)),
        ChainError::Future { link, at } => format!("link {link} begins on {}, which is later", date(at)),
        other => other.to_string(),
    }
}
