//! `herma warrant attenuate`: a child that allows less.

use std::process::ExitCode;

use anyhow::Context;
use herma_warrant::key::PublicKey;
use herma_warrant::mint::{Draft, attenuate, stack};
use herma_warrant::warrant::WarrantId;

use super::output::{Holder, Output};
use super::terms::Terms;
use super::{key, now, presented, random};

/// The child has the tools that --allow names, and all of them without it. Arguments that are named are narrowed,
/// the others stay as they are. Limits are added to those of the parent.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The parent: a file, or `-`
    parent: String,
    /// The key of the parent's holder: a file, or env:NAME
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
    let mut presented = presented::read(&args.parent)?;
    let key = key::signing(&args.key)?;
    let parent = presented.links.last().context("the stack is empty")?;
    let held = args.holder.read(PublicKey::of(&key))?;
    let now = now();
    let id = WarrantId::new(now * 1000, random()?);
    let mut draft = Draft::inherit(&parent.payload, id, held.public, now);
    args.terms.apply(&mut draft, Some(&parent.payload))?;
    let child = attenuate(parent, draft, &key)?;
    let bytes = stack(&presented.links, child.clone())?;
    presented.links.push(child);
    args.output.print(&bytes, &presented.links, &held)?;
    Ok(ExitCode::SUCCESS)
}
