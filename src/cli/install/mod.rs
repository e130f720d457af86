//! `herma install` and `herma uninstall`: an agent's own configuration, put behind Herma and back.

mod hermes;
mod yaml;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub use hermes::{home, installed_plugin, launcher, trap};

#[derive(Debug, clap::Subcommand)]
pub enum Agent {
    /// Hermes Agent: its MCP servers go through Herma, and its own tools ask Herma first
    Hermes(Args),
}

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The agent's directory [default: $HERMES_HOME, else ~/.hermes]
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
    /// Print what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// The file that gets the servers by URL [default: the user's herma.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub fn install(agent: Agent, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let Agent::Hermes(args) = agent;
    hermes::Place::find(args, data_dir)?.install()
}

pub fn uninstall(agent: Agent, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let Agent::Hermes(args) = agent;
    hermes::Place::find(args, data_dir)?.uninstall()
}
