//! Forgetting what is kept beside the ledger.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

use super::moment;
use crate::control::client::Client;
use crate::control::records::AskRecords;
use crate::control::wire::Ask;
use crate::store;

#[derive(Debug, Clone, clap::Args)]
pub struct Erase {
    #[command(flatten)]
    what: What,
    /// Stands in the record
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
struct What {
    /// One call, by its id or its hold's
    #[arg(long, value_name = "ID")]
    call: Option<String>,
    /// Everything before a time (2026-11-20) or longer ago (30d), the salts of whole days included
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
    /// Calls that this agent made, or that name this in arguments or view
    #[arg(long, value_name = "NAME")]
    person: Option<String>,
}

pub(super) fn erase(data_dir: &Path, wanted: Erase, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let Erase { what: What { call, before, person }, reason } = wanted;
    let before = before.as_deref().map(moment).transpose()?;
    let what = call
        .map(store::Erase::Call)
        .or(before.map(store::Erase::Before))
        .or(person.filter(|name| !name.is_empty()).map(store::Erase::Person));
    let Some(what) = what else { anyhow::bail!("an empty name is everybody's: name somebody") };
    let told = Client::connect(data_dir)?.ask(&Ask::Records(AskRecords::Erase { what, reason }))?;
    let count = |name: &str| told.get(name).and_then(Value::as_u64).unwrap_or_default();
    writeln!(
        out,
        "forgotten: {} raw arguments, {} views, the salts of {} days",
        count("arguments"),
        count("previews"),
        count("salts")
    )?;
    if count("kept") > 0 {
        writeln!(out, "kept: {} calls that are not over; decide them and erase again", count("kept"))?;
    }
    Ok(ExitCode::SUCCESS)
}
