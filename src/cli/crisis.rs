//! `herma crisis`: agents of which one is in crisis with somebody.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

use crate::control::client::Client;
use crate::control::wire::Ask;

#[derive(Debug, clap::Subcommand)]
pub enum Crisis {
    /// Whose outbound calls all wait, since when and why
    List,
    /// Say that nobody is in crisis any more; the reason goes into the record with your name
    Clear {
        /// The agent, as listed
        agent: String,
        #[arg(long)]
        reason: String,
    },
}

pub fn run(crisis: Crisis, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let mut client = Client::connect(data_dir)?;
    let mut out = io::stdout().lock();
    match crisis {
        Crisis::List => {
            let latches = client.ask(&Ask::Latches)?;
            let latches = latches.as_array().map(Vec::as_slice).unwrap_or_default();
            if latches.is_empty() {
                writeln!(out, "No crisis latch is set.")?;
            }
            for latch in latches {
                let text = |name| latch.get(name).and_then(Value::as_str).unwrap_or_default();
                let since = latch.get("since_ms").and_then(Value::as_i64).unwrap_or_default();
                writeln!(out, "{}  since {}  {}", text("key"), super::holds::time(since), text("reason"))?;
            }
        }
        Crisis::Clear { agent, reason } => {
            client.ask(&Ask::Clear { key: agent.clone(), reason })?;
            writeln!(out, "{agent}: cleared; what waits still needs a decision")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
