//! `herma notify`: how people are told that something waits for them.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

use super::holds::{time, visible};
use crate::control::client::Client;
use crate::control::records::AskRecords;
use crate::control::wire::Ask;

#[derive(Debug, clap::Subcommand)]
pub enum Notify {
    /// Channels, and messages that have not been delivered
    #[command(visible_alias = "ls")]
    List {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Send messages again that were given up
    Retry {
        /// One of them; without it, all
        id: Option<String>,
    },
    /// Send a message that says nothing
    Test {
        /// The channel's name
        channel: String,
    },
}

pub fn run(notify: Notify, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let ask = |ask| Client::connect(data_dir)?.ask(&Ask::Records(ask));
    let mut out = io::stdout().lock();
    match notify {
        Notify::List { json } => {
            let told = ask(AskRecords::Notices)?;
            if json {
                writeln!(out, "{told}")?;
            } else {
                list(&told, &mut out)?;
            }
        }
        Notify::Retry { id } => {
            let told = ask(AskRecords::RetryNotices { id })?;
            writeln!(out, "{} sent again", told.get("sent").and_then(Value::as_u64).unwrap_or_default())?;
        }
        Notify::Test { channel } => {
            ask(AskRecords::TestChannel { name: channel.clone() })?;
            writeln!(out, "{channel} took it")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(told: &Value, out: &mut impl Write) -> io::Result<()> {
    let rows = |name: &str| told.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |row: &Value, name: &str| visible(row.get(name).and_then(Value::as_str).unwrap_or_default());
    let number = |row: &Value, name: &str| row.get(name).and_then(Value::as_i64).unwrap_or_default();
    let channels = rows("channels");
    if channels.is_empty() {
        writeln!(out, "No channel is set up: add [[notify]] tables to herma.toml.")?;
    }
    for channel in channels {
        let off = channel.get("off").filter(|off| off.is_object());
        let off = off.map(|off| format!("  OFF: {}", text(off, "why"))).unwrap_or_default();
        writeln!(
            out,
            "{:<16} {:<8} {}{off}",
            text(&channel, "name"),
            text(&channel, "kind"),
            text(&channel, "host")
        )?;
    }
    for notice in rows("notices") {
        let dead = notice.get("dead") == Some(&Value::Bool(true));
        let state = if dead {
            "given up".to_owned()
        } else {
            format!("again at {}", time(number(&notice, "next_ms")))
        };
        writeln!(
            out,
            "{}  {} about {}, {} tries, {state}: {}",
            text(&notice, "id"),
            text(&notice, "channel"),
            text(&notice, "about"),
            number(&notice, "attempts"),
            text(&notice, "error")
        )?;
    }
    Ok(())
}
