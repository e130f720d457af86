//! `herma warrant revoke`: taking back, with or without a daemon.

use std::fs::DirBuilder;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use super::trust::block_on;
use super::{key, presented};
use crate::cli::audit::LEDGER;
use crate::cli::holds::visible;
use crate::cli::serve::{lock, user};
use crate::control::client::{Client, ClientError};
use crate::control::wire::Ask;
use crate::firewall::now;
use crate::ledger::{Entry, Ledger, Step, load_or_create_key};
use crate::store::{RevokedRow, Sqlite, Store};
use crate::warrants::{Setup, Warrants};

const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// It holds from the moment this returns, over every restart, for everything that descends from what is taken back.
/// A daemon that runs is told; when none runs, the next one finds it written.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A warrant's id or its file, a public key or its file, agent:NAME, or all
    what: String,
    /// Why, for the record
    #[arg(long)]
    reason: String,
}

pub(super) fn run(args: &Args, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let what = named(&args.what)?;
    let (row, how) = revoke(&what, &args.reason, data_dir)?;
    let what = match row.get("kind").and_then(Value::as_str).unwrap_or_default() {
        "all" => "everything that was issued up to now".to_owned(),
        kind => format!("{kind} {}", row.get("value").and_then(Value::as_str).unwrap_or_default()),
    };
    writeln!(io::stdout(), "revoked: {} ({how})", visible(&what))?;
    Ok(ExitCode::SUCCESS)
}

/// A file names what is in it.
fn named(what: &str) -> anyhow::Result<String> {
    if !Path::new(what).is_file() {
        return Ok(what.to_owned());
    }
    if let Ok(key) = key::public(what) {
        return Ok(key.to_hex());
    }
    Ok(presented::read(what)?.leaf()?.id.to_string())
}

fn revoke(what: &str, reason: &str, data_dir: &Path) -> anyhow::Result<(Value, &'static str)> {
    let ask = Ask::RevokeWarrant { what: what.to_owned(), reason: reason.to_owned() };
    for _ in 0..TRIES {
        match Client::connect(data_dir) {
            Ok(mut daemon) => return Ok((daemon.ask(&ask)?, "the daemon holds to it already")),
            Err(ClientError::NotRunning { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(data_dir)
            .with_context(|| format!("cannot make {}", data_dir.display()))?;
        // A daemon that starts now reads what was taken back before it could be told: one of us waits.
        if let Ok(_lock) = lock(data_dir) {
            let row = block_on(write(what, reason, data_dir))?;
            return Ok((serde_json::to_value(row)?, "no daemon runs; the next one finds it written"));
        }
        thread::sleep(PAUSE);
    }
    bail!("a daemon holds {} and does not answer: stop it and revoke again", data_dir.display())
}

async fn write(what: &str, reason: &str, data_dir: &Path) -> anyhow::Result<RevokedRow> {
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(data_dir)?);
    let warrants = Warrants::restore(store, Setup::default(), now()).await?;
    let by = user();
    let row = warrants.revoke(what, &by, reason, now()).await?;
    let ledger = Ledger::open(&data_dir.join(LEDGER), load_or_create_key(data_dir)?, "herma")
        .context("it is revoked, but the record cannot be opened")?;
    let entry = Entry::new(now(), Step::Warrant)
        .with("by", by)
        .with("reason", reason)
        .with("revoked", format!("{}:{}", row.kind, row.value));
    ledger.record_durable(entry).await.context("it is revoked, but the record could not be written")?;
    ledger.close().await?;
    Ok(row)
}
