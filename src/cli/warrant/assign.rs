//! `herma warrant assign`, `unassign` and `list`: which warrant stands over whom.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use herma_warrant::show::tree;
use herma_warrant::text_form::{from_base64, to_base64};
use herma_warrant::warrant::Warrant;
use serde_json::{Value, json};

use super::trust::block_on;
use super::{now, presented};
use crate::cli::holds::{time, visible};
use crate::control::client::{Client, ClientError};
use crate::control::wire::Ask;
use crate::store::{Sqlite, Store as _};
use crate::warrants::BESIDE;

/// It takes the place of one that was put there before. One that herma.toml puts there stays beside it, and a call
/// must keep to both.
#[derive(Debug, clap::Args)]
pub struct Assign {
    /// Over whom: server:NAME, agent:NAME or session:ID
    party: String,
    /// The warrant: a file, or `-`
    warrant: String,
}

#[derive(Debug, clap::Args)]
pub struct Unassign {
    /// From whom: server:NAME, agent:NAME or session:ID; what was made on the page goes as well
    party: String,
}

#[derive(Debug, clap::Args)]
pub struct List {
    /// As the daemon has it
    #[arg(long)]
    json: bool,
}

pub(super) fn assign(args: &Assign, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let presented = presented::read(&args.warrant)?;
    let ask = Ask::AssignWarrant { party: args.party.clone() };
    let told = Client::connect(data_dir)?.ask_with(&ask, &presented.bytes)?;
    let id = told.get("warrant").and_then(Value::as_str).unwrap_or_default();
    writeln!(io::stdout(), "{id} stands over {} from now on", visible(&args.party))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn unassign(args: &Unassign, data_dir: &Path) -> anyhow::Result<ExitCode> {
    Client::connect(data_dir)?.ask(&Ask::UnassignWarrant { party: args.party.clone() })?;
    writeln!(io::stdout(), "no warrant of a command stands over {} any more", visible(&args.party))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn list(args: &List, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let told = match Client::connect(data_dir) {
        Ok(mut daemon) => daemon.ask(&Ask::Warrants)?,
        Err(ClientError::NotRunning { .. }) => written(data_dir)?,
        Err(error) => return Err(error.into()),
    };
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{told}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = |name: &str| told.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let (assigned, revoked) = (rows("assigned"), rows("revoked"));
    for row in &assigned {
        let here = row.get("here") == Some(&Value::Bool(true));
        writeln!(
            out,
            "{}  by {} on {}{}",
            visible(text(row, "party")),
            visible(text(row, "by")),
            time(row.get("at_ms").and_then(Value::as_i64).unwrap_or_default()),
            if here { ", on the page: it only narrows" } else { "" }
        )?;
        let stack = from_base64(text(row, "warrant")).context("the daemon sent no warrant")?;
        let stack = Warrant::decode_stack(&stack)?;
        for line in tree(&stack, now()).lines() {
            writeln!(out, "  {}", visible(line))?;
        }
        let gone = |row: &&Value| {
            let (kind, value) = (text(row, "kind"), text(row, "value"));
            stack.iter().any(|warrant| {
                let warrant = &warrant.payload;
                (kind == "warrant" && value.ends_with(&warrant.id.to_hex()))
                    || (kind == "key" && value == warrant.holder.to_hex())
            })
        };
        if let Some(row) = revoked.iter().find(gone) {
            writeln!(out, "  REVOKED, it opens nothing: {}", visible(text(row, "reason")))?;
        }
    }
    if assigned.is_empty() {
        writeln!(out, "No command has put a warrant over anybody.")?;
    }
    for row in &revoked {
        writeln!(
            out,
            "revoked  {} {}  by {} on {}: {}",
            text(row, "kind"),
            visible(text(row, "value")),
            visible(text(row, "by")),
            time(row.get("at_ms").and_then(Value::as_i64).unwrap_or_default()),
            visible(text(row, "reason"))
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What a daemon would find when it starts.
fn written(data_dir: &Path) -> anyhow::Result<Value> {
    if !data_dir.join(crate::store::sqlite::FILE).exists() {
        return Ok(json!({ "assigned": [], "revoked": [] }));
    }
    let state = block_on(async { Ok(Sqlite::open(data_dir)?.warrant_state(now()).await?) })?;
    let assigned: Vec<_> = state
        .assigned
        .iter()
        .map(|row| {
            let warrant = to_base64(&row.stack);
            let (here, party) = match row.subject.strip_prefix(BESIDE) {
                Some(party) => (true, party),
                None => (false, row.subject.as_str()),
            };
            json!({ "party": party, "warrant": warrant, "by": row.by, "at_ms": row.at_ms, "here": here })
        })
        .collect();
    Ok(json!({ "assigned": assigned, "revoked": state.revoked }))
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}
