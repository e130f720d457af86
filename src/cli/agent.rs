//! `herma agent`: a name and a token for an agent.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::call::Digest;
use crate::config::TOKEN_MARK;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// How the agent is called in the record
    name: String,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut random = [0u8; 32];
    getrandom::fill(&mut random)?;
    let token = format!("{TOKEN_MARK}{}", data_encoding::BASE64URL_NOPAD.encode(&random));
    let name = toml::Value::from(args.name);
    let mut out = io::stdout().lock();
    writeln!(out, "# into herma.toml; only the hash is kept:")?;
    writeln!(out, "[[agent]]\nname = {name}\ntoken_sha256 = \"{}\"\n", Digest::of(token.as_bytes()))?;
    writeln!(out, "# for the agent, shown this once; send it as a header:")?;
    writeln!(out, "# Authorization: Bearer {token}")?;
    Ok(ExitCode::SUCCESS)
}
