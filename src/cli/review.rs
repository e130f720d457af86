//! `herma review`: calls that ran because they can be undone.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

use crate::control::client::Client;
use crate::control::wire::Ask;

#[derive(Debug, clap::Subcommand)]
pub enum Review {
    /// What waits to be looked at
    List {
        /// One JSON array
        #[arg(long)]
        json: bool,
    },
    /// Take one off the queue: it was fine
    Accept { id: String },
}

pub fn run(review: Review, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let mut client = Client::connect(data_dir)?;
    let mut out = io::stdout().lock();
    match review {
        Review::List { json } => {
            let rows = client.ask(&Ask::Reviews)?;
            if json {
                writeln!(out, "{rows}")?;
                return Ok(ExitCode::SUCCESS);
            }
            list(&rows, &mut out)?;
        }
        Review::Accept { id } => {
            client.ask(&Ask::Accept { review: id.clone() })?;
            writeln!(out, "{id} accepted")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub fn list(rows: &Value, out: &mut impl Write) -> io::Result<()> {
    let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        writeln!(out, "Nothing waits for review.")?;
    }
    for row in rows {
        let text = |name| row.get(name).and_then(Value::as_str).unwrap_or_default();
        let shown: Value = serde_json::from_str(text("shown")).unwrap_or_default();
        let arguments = shown.get("arguments").map(Value::to_string).unwrap_or_default();
        writeln!(out, "{}  {} on {}", text("id"), super::holds::visible(text("tool")), text("server"))?;
        writeln!(out, "    {}", super::holds::visible(&arguments))?;
    }
    Ok(())
}
