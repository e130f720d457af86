//! `herma warrant approve`: a person's signature under one call.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use herma_warrant::approval::{Approval, request_hash};
use herma_warrant::key::PublicKey;
use herma_warrant::proof::Claim;
use herma_warrant::syntax::read_duration;
use herma_warrant::text_form::{to_base64, to_hex};

use super::{key, now, presented, random};
use crate::cli::holds::visible;

/// Prints the approval, which is good for this very call, once.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The warrant that gates the call: a file, or `-`
    #[arg(long, value_name = "FILE")]
    warrant: String,
    /// The approver's key: a file, or env:NAME
    #[arg(long, value_name = "FILE")]
    key: String,
    #[arg(long)]
    tool: String,
    /// JSON, or @FILE with it
    #[arg(long, default_value = "{}")]
    args: String,
    /// How long it is good
    #[arg(long, value_name = "TIME", default_value = "5m")]
    ttl: String,
    /// Who approves, for the record [default: $USER]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let presented = presented::read(&args.warrant)?;
    let leaf = presented.leaf()?;
    let key = key::signing(&args.key)?;
    let own = PublicKey::of(&key);
    let named = presented.links.iter().flat_map(|link| link.payload.required_approvers.iter().flatten());
    ensure!(
        named.clone().any(|approver| *approver == own),
        "the warrant names {} approvers, and {} is none of them",
        named.count(),
        own.to_hex()
    );
    let arguments = presented::arguments(&args.args)?;
    let claim = Claim { warrant: leaf.id, tool: &args.tool, args: &arguments };
    let now = now();
    let approval = Approval {
        request_hash: request_hash(&claim, &leaf.holder),
        nonce: random()?,
        external_id: args.by.clone().unwrap_or_else(crate::cli::serve::user),
        approved_at: now,
        expires_at: now.checked_add(read_duration(&args.ttl)?).context("--ttl is too long")?,
        extensions: Default::default(),
    };
    let mut told = io::stderr().lock();
    writeln!(told, "approves  {}", visible(&args.tool))?;
    for (argument, value) in &arguments {
        writeln!(told, "          {}", visible(&format!("{argument} = {value}")))?;
    }
    writeln!(told, "under     {} for {}", leaf.id, leaf.holder.to_hex())?;
    writeln!(told, "request   {}", to_hex(&approval.request_hash))?;
    writeln!(io::stdout(), "{}", to_base64(&approval.sign(&key).encode()))?;
    Ok(ExitCode::SUCCESS)
}
