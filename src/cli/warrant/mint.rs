//! `herma warrant mint`: a root warrant.

use std::process::ExitCode;

use anyhow::{anyhow, ensure};
use herma_warrant::key::PublicKey;
use herma_warrant::mint::{Draft, MintError, mint};
use herma_warrant::warrant::WarrantId;

use super::output::{Holder, Output};
use super::terms::Terms;
use super::{key, now, random};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The root's signing key: a file, or env:NAME
    #[arg(long, value_name = "FILE")]
    key: String,
    #[command(flatten)]
    holder: Holder,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    terms: Terms,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let key = key::signing(&args.key)?;
    let held = args.holder.read(PublicKey::of(&key))?;
    let now = now();
    let mut draft = Draft::new(WarrantId::new(now * 1000, random()?), held.public, now);
    args.terms.apply(&mut draft, None)?;
    ensure!(
        !draft.tools.is_empty() || draft.issues.is_some(),
        "nothing is granted: --allow TOOL:ARG=VALUE, for example --allow read_file:path=/data"
    );
    let warrant = mint(draft, &key).map_err(|error| match error {
        MintError::WildcardTool => anyhow!("{error}, which is --allow-wildcard-tool"),
        error => error.into(),
    })?;
    args.output.print(&warrant.encode(), std::slice::from_ref(&warrant), &held)?;
    Ok(ExitCode::SUCCESS)
}
