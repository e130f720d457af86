//! `herma warrant prove`: one signed call.

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use herma_warrant::approval::SignedApproval;
use herma_warrant::cbor::Writer;
use herma_warrant::key::PublicKey;
use herma_warrant::proof::{Audience, Claim, MAX_LIFE, Proof};
use herma_warrant::text_form::{read_any, to_base64};
use serde_json::json;

use super::{key, now, presented, random};

/// A proof is good for one call, and for a minute or two.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The warrant with its parents: a file, or `-`
    #[arg(long, value_name = "FILE")]
    warrant: String,
    /// The holder's key: a file, or env:NAME
    #[arg(long, value_name = "FILE")]
    key: String,
    #[arg(long)]
    tool: String,
    /// JSON, or @FILE with it
    #[arg(long, default_value = "{}")]
    args: String,
    /// A proof of version 2: once only, and for this server alone
    #[arg(long, value_name = "SERVER", visible_alias = "v2")]
    server: Option<String>,
    /// The digest of the tool's definition, for a proof of version 2 [default: none]
    #[arg(long, value_name = "HEX", requires = "server")]
    definition: Option<String>,
    /// Seconds that a proof of version 2 lives
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "server",
        value_parser = clap::value_parser!(u64).range(1..=MAX_LIFE))]
    life: u64,
    /// Approvals, as `herma warrant approve` prints them: files
    #[arg(long, value_name = "FILE")]
    approval: Vec<String>,
    #[arg(long, value_enum, default_value = "headers")]
    output: Form,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Form {
    /// A line each, as `curl -H @FILE` takes them
    Headers,
    /// The value of `params._meta.tenuo` of an MCP call
    Meta,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let presented = presented::read(&args.warrant)?;
    let leaf = presented.leaf()?;
    let key = key::signing(&args.key)?;
    ensure!(
        PublicKey::of(&key) == leaf.holder,
        "the warrant is held by {}, and this is the key of {}",
        leaf.holder.to_hex(),
        PublicKey::of(&key).to_hex()
    );
    let arguments = presented::arguments(&args.args)?;
    let claim = Claim { warrant: leaf.id, tool: &args.tool, args: &arguments };
    let proof = match &args.server {
        None => Proof::sign_v1(&key, &claim, now()),
        Some(server) => {
            let definition = args.definition.as_deref().map(read_digest).transpose()?;
            let audience = Audience { server, definition: definition.as_ref() };
            Proof::sign_v2(&key, &claim, &audience, random()?, now(), args.life)
        }
    };
    let proof = proof.encode();
    let approvals = args.approval.iter().map(|file| read_approval(file));
    let approvals = approvals.collect::<anyhow::Result<Vec<_>>>()?;
    let mut out = io::stdout().lock();
    match args.output {
        Form::Headers => {
            writeln!(out, "X-Tenuo-Warrant: {}", to_base64(&presented.bytes))?;
            writeln!(out, "X-Tenuo-PoP: {}", to_base64(&proof))?;
            if !approvals.is_empty() {
                writeln!(out, "X-Tenuo-Approvals: {}", to_base64(&listed(&approvals)))?;
            }
        }
        Form::Meta => {
            let approvals: Vec<_> =
                approvals.iter().map(|approval| BASE64.encode(&approval.encode())).collect();
            let mut meta = json!({
                "warrant": BASE64.encode(&presented.bytes),
                "signature": BASE64.encode(&proof),
            });
            if let Some(members) = meta.as_object_mut().filter(|_| !approvals.is_empty()) {
                members.insert("approvals".into(), approvals.into());
            }
            writeln!(out, "{meta}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read_digest(text: &str) -> anyhow::Result<[u8; 32]> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
    bytes.and_then(|bytes| bytes.try_into().ok()).context("--definition takes 64 hex digits")
}

fn read_approval(file: &str) -> anyhow::Result<SignedApproval> {
    let input = fs::read(file).with_context(|| format!("cannot read {file}"))?;
    let bytes = read_any(&input).with_context(|| format!("{file} cannot be read"))?;
    SignedApproval::decode(&bytes).with_context(|| format!("{file} is no approval"))
}

fn listed(approvals: &[SignedApproval]) -> Vec<u8> {
    let mut list = Writer::new();
    list.array(approvals.len());
    for approval in approvals {
        list.raw(&approval.encode());
    }
    list.finish()
}
