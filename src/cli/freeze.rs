//! `herma freeze` and `herma thaw`: the brake, and how it is let go.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::builder::NonEmptyStringValueParser;

use crate::control::client::Client;
use crate::control::wire::Ask;
use crate::gate::Frozen;

/// What is meant; everything when nothing is said.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One agent alone
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), conflicts_with_all = ["session", "warrant"])]
    agent: Option<String>,
    /// One session alone
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new(), conflicts_with = "warrant")]
    session: Option<String>,
    /// Every call under this warrant or one made from it
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    warrant: Option<String>,
    /// Goes into the record with your name; a freeze says it to the agent
    #[arg(long, default_value = "a person said so")]
    reason: String,
}

impl Args {
    fn split(self) -> (Frozen, String) {
        let Self { agent, session, warrant, reason } = self;
        let what = match (agent, session, warrant) {
            (Some(name), _, _) => Frozen::Agent(name),
            (_, Some(id), _) => Frozen::Session(id),
            (_, _, Some(id)) => Frozen::Warrant(id.trim_start_matches("tnu_wrt_").to_ascii_lowercase()),
            (None, None, None) => Frozen::All,
        };
        (what, reason)
    }
}

pub fn freeze(args: Args, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let (what, reason) = args.split();
    Client::connect(data_dir)?.ask(&Ask::Freeze { what: what.clone(), reason })?;
    writeln!(io::stdout(), "frozen: {what}. Reading goes on; nothing leaves. `herma thaw` lifts it")?;
    Ok(ExitCode::SUCCESS)
}

pub fn thaw(args: Args, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let (what, reason) = args.split();
    Client::connect(data_dir)?.ask(&Ask::Thaw { what: what.clone(), reason })?;
    writeln!(io::stdout(), "lifted: {what}")?;
    Ok(ExitCode::SUCCESS)
}
