//! `herma import`: another client's servers and policy as entries for herma.toml.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use crate::config::import::import;
use crate::config::import_policy::import_policy;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    /// JSON or YAML with an `mcpServers`, `mcp_servers` or `servers` block; `-` for standard input
    #[arg(required = true)]
    file: Option<PathBuf>,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Turn a `security:` block and lists of allowed people into policy, and say what became of each key
    Policy {
        /// YAML, JSON, or an environment file with `TELEGRAM_ALLOWED_USERS=` and the like; `-` for standard input
        file: PathBuf,
    },
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (file, turned) = match (args.what, args.file) {
        (Some(What::Policy { file }), _) => {
            (file.clone(), import_policy(&read(&file)?, std::env::var("HOME").ok().as_deref()))
        }
        (None, Some(file)) => (file.clone(), import(&read(&file)?)),
        (None, None) => return Ok(ExitCode::from(super::EXIT_USAGE)),
    };
    io::stdout().write_all(turned.with_context(|| file.display().to_string())?.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    if file == Path::new("-") {
        io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}
