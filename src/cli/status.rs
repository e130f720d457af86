//! `herma status`: what the daemon does.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;
use serde_json::Value;

use crate::control::client::Client;
use crate::control::wire::Ask;

/// How long a daemon may take to end what it has started.
const STOP: Duration = Duration::from_secs(15);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Stop the daemon
    #[arg(long)]
    stop: bool,
}

pub fn run(args: Args, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let mut client = Client::connect(data_dir)?;
    let mut out = io::stdout().lock();
    if args.stop {
        client.ask(&Ask::Stop)?;
        let until = Instant::now() + STOP;
        while super::serve::lock(data_dir).is_err() {
            if Instant::now() > until {
                bail!("it was told to stop and is still ending its servers: see its log");
            }
            thread::sleep(Duration::from_millis(20));
        }
        writeln!(out, "stopped")?;
        return Ok(ExitCode::SUCCESS);
    }
    let status = client.ask(&Ask::Status)?;
    let text = |value: &Value| match value {
        Value::Null => "none".to_owned(),
        Value::Array(names) if names.is_empty() => "none".to_owned(),
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    for (name, value) in status.as_object().into_iter().flatten() {
        writeln!(out, "{name:<10} {}", text(value))?;
    }
    Ok(ExitCode::SUCCESS)
}
