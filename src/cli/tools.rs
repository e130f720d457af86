//! `herma tools`: servers that describe a tool otherwise than when it was first seen.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

use crate::control::client::Client;
use crate::control::wire::Ask;

#[derive(Debug, clap::Subcommand)]
pub enum Tools {
    /// Tools that changed since they were first seen, as they are described now
    Changed,
    /// Take the present description as the one to compare with
    Accept { server: String, tool: String },
}

pub fn run(tools: Tools, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let mut client = Client::connect(data_dir)?;
    let mut out = io::stdout().lock();
    match tools {
        Tools::Changed => {
            let changed = client.ask(&Ask::ChangedTools)?;
            let changed = changed.as_array().map(Vec::as_slice).unwrap_or_default();
            if changed.is_empty() {
                writeln!(out, "Every tool is described as it was at first.")?;
            }
            for tool in changed {
                let text =
                    |name| super::holds::visible(tool.get(name).and_then(Value::as_str).unwrap_or_default());
                writeln!(out, "{} on {}\n    {}", text("tool"), text("server"), text("now"))?;
            }
        }
        Tools::Accept { server, tool } => {
            client.ask(&Ask::AcceptTool { server: server.clone(), tool: tool.clone() })?;
            writeln!(out, "{tool} on {server}: accepted as it is described now")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
