//! Warrants and calls as people hand them to a command.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, bail};
use herma_warrant::json::read_args;
use herma_warrant::text_form;
use herma_warrant::value::Args;
use herma_warrant::warrant::{MAX_STACK, Payload, Warrant};

/// No text form of the largest stack is longer.
const LONGEST: u64 = 2 * MAX_STACK as u64;

/// A warrant or stack: its bytes, and its links from root to leaf. Nothing of it is verified.
#[derive(Debug)]
pub(super) struct Presented {
    pub(super) bytes: Vec<u8>,
    pub(super) links: Vec<Warrant>,
}

impl Presented {
    pub(super) fn leaf(&self) -> anyhow::Result<&Payload> {
        self.links.last().map(|leaf| &leaf.payload).context("the stack is empty")
    }
}

/// Reads a file in any form, standard input as `-`, or the text itself.
pub(super) fn read(given: &str) -> anyhow::Result<Presented> {
    let input = if given == "-" {
        let mut input = Vec::new();
        io::stdin().take(LONGEST).read_to_end(&mut input)?;
        input
    } else if Path::new(given).exists() {
        fs::read(given).with_context(|| format!("cannot read {given}"))?
    } else if given.len() > 200 || given.starts_with("-----BEGIN") {
        given.as_bytes().to_vec()
    } else {
        bail!("there is no file {given}");
    };
    let name = if input.len() == given.len() { "the warrant" } else { given };
    let bytes = text_form::read_any(&input).with_context(|| format!("{name} cannot be read"))?;
    let links = Warrant::decode_stack(&bytes).with_context(|| format!("{name} is no warrant"))?;
    Ok(Presented { bytes, links })
}

/// The arguments of a call: JSON, or `@FILE` with it.
pub(super) fn arguments(given: &str) -> anyhow::Result<Args> {
    let from_file;
    let text = match given.strip_prefix('@') {
        None => given,
        Some(file) => {
            from_file = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
            &from_file
        }
    };
    read_args(text).context("--args are no unambiguous JSON object")
}
