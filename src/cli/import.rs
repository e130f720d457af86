//! `herma import`: another client's servers as entries for herma.toml.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use crate::config::import::import;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// JSON or YAML with an `mcpServers`, `mcp_servers` or `servers` block; `-` for standard input
    file: PathBuf,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut text = String::new();
    if args.file == Path::new("-") {
        io::stdin().read_to_string(&mut text)?;
    } else {
        text = std::fs::read_to_string(&args.file)
            .with_context(|| format!("cannot read {}", args.file.display()))?;
    }
    let toml = import(&text).with_context(|| args.file.display().to_string())?;
    io::stdout().write_all(toml.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
