//! `herma review`: calls that ran because they can be undone.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

use super::holds::{time, visible};
use crate::control::client::Client;
use crate::control::review::ReviewAsk;
use crate::control::wire::Ask;

#[derive(Debug, clap::Subcommand)]
pub enum Review {
    /// What waits to be looked at, and what can still be stopped
    List {
        /// Also what nobody need look at, and what is over
        #[arg(long)]
        all: bool,
        /// One JSON array
        #[arg(long)]
        json: bool,
    },
    /// One of them: what the call did, and what taking it back would do now
    Show {
        id: String,
        #[arg(long)]
        json: bool,
    },
    /// Take one off the queue: it was fine
    Accept {
        id: String,
        /// And all others of the same tool in the same session
        #[arg(long)]
        group: bool,
    },
    /// Take the call back
    Revert {
        id: String,
        /// Only say what that would do
        #[arg(long)]
        dry_run: bool,
        /// Do it only if this is still the plan, as `--dry-run` named it
        #[arg(long, value_name = "DIGEST")]
        plan: Option<String>,
        #[arg(long)]
        json: bool,
    },
    /// Object: from now on calls of this tool wait for a person
    Flag {
        id: String,
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Tools whose calls wait for a person because somebody objected
    Flags {
        #[arg(long)]
        json: bool,
    },
    /// Let calls of a tool run and be reviewed again
    Unflag { server: String, tool: String },
    /// Keep a delayed call from running
    Stop { id: String },
}

/// Things are no longer as the call left them, or the plan was for another state of things.
const EXIT_CONFLICT: u8 = 3;

pub fn run(review: Review, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let mut client = Client::connect(data_dir)?;
    let mut ask = |ask| client.ask(&Ask::Review(ask));
    let mut out = io::stdout().lock();
    match review {
        Review::List { all, json } => {
            let rows = ask(ReviewAsk::List { all })?;
            match json {
                true => writeln!(out, "{rows}")?,
                false => list(&rows, &mut out)?,
            }
        }
        Review::Show { id, json } => {
            let shown = ask(ReviewAsk::Show { id })?;
            match json {
                true => writeln!(out, "{shown}")?,
                false => show(&shown, &mut out)?,
            }
        }
        Review::Accept { id, group: false } => {
            ask(ReviewAsk::Accept { id: id.clone() })?;
            writeln!(out, "{id} accepted")?;
        }
        Review::Accept { id, group: true } => {
            let accepted = ask(ReviewAsk::AcceptGroup { id })?;
            for id in accepted.as_array().into_iter().flatten() {
                writeln!(out, "{} accepted", id.as_str().unwrap_or_default())?;
            }
        }
        Review::Revert { id, dry_run, plan, json } => {
            let shown = ask(ReviewAsk::Show { id: id.clone() })?;
            if dry_run {
                match json {
                    true => writeln!(out, "{}", shown.get("plan").unwrap_or(&Value::Null))?,
                    false => show(&shown, &mut out)?,
                }
                return Ok(ExitCode::SUCCESS);
            }
            let shown = shown.pointer("/plan/digest").and_then(Value::as_str).unwrap_or_default();
            let digest = plan.unwrap_or_else(|| shown.to_owned());
            let reverted = ask(ReviewAsk::Revert { id: id.clone(), digest })?;
            let result = text(&reverted, "result");
            match json {
                true => writeln!(out, "{reverted}")?,
                false => writeln!(out, "{id} {result}: {}", visible(text(&reverted, "said")))?,
            }
            return Ok(match result {
                "reverted" => ExitCode::SUCCESS,
                "conflict" => ExitCode::from(EXIT_CONFLICT),
                _ => ExitCode::FAILURE,
            });
        }
        Review::Flag { id, reason } => {
            let row = ask(ReviewAsk::Flag { id, reason })?;
            let (tool, server) = (visible(text(&row, "tool")), text(&row, "server"));
            writeln!(out, "{tool} on {server}: its calls wait for a person from now on")?;
        }
        Review::Flags { json } => {
            let flags = ask(ReviewAsk::Flags)?;
            if json {
                writeln!(out, "{flags}")?;
                return Ok(ExitCode::SUCCESS);
            }
            for flag in flags.as_array().into_iter().flatten() {
                let (tool, server, by) = (text(flag, "tool"), text(flag, "server"), text(flag, "by"));
                writeln!(out, "{} on {server}  by {by}  {}", visible(tool), visible(text(flag, "reason")))?;
            }
        }
        Review::Unflag { server, tool } => {
            ask(ReviewAsk::Unflag { server: server.clone(), tool: tool.clone() })?;
            writeln!(out, "{} on {server}: its calls run and are reviewed again", visible(&tool))?;
        }
        Review::Stop { id } => {
            ask(ReviewAsk::Stop { id: id.clone() })?;
            writeln!(out, "{id} stopped: it has not run")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

pub fn list(rows: &Value, out: &mut impl Write) -> io::Result<()> {
    let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        writeln!(out, "Nothing waits for review.")?;
    }
    for row in rows {
        writeln!(
            out,
            "{}  {} on {}{}",
            text(row, "id"),
            visible(text(row, "tool")),
            text(row, "server"),
            left(row)
        )?;
        let arguments = row.pointer("/shown/arguments").map(Value::to_string).unwrap_or_default();
        writeln!(out, "    {}", visible(&arguments))?;
    }
    Ok(())
}

/// What can still be done with it, and for how long.
fn left(row: &Value) -> String {
    let until = row.get("expires_ms").and_then(Value::as_i64).unwrap_or_default();
    match text(row, "state") {
        "open" => String::new(),
        "delayed" => {
            let seconds = until.saturating_sub(crate::firewall::now()).max(0) / 1000;
            format!("  runs in {seconds} s unless stopped")
        }
        state => format!("  {state}"),
    }
}

fn show(shown: &Value, out: &mut impl Write) -> io::Result<()> {
    list(&Value::Array(vec![shown.clone()]), out)?;
    let until = shown.get("expires_ms").and_then(Value::as_i64).unwrap_or_default();
    let Some(plan) = shown.get("plan").filter(|plan| !plan.is_null()) else {
        return writeln!(out, "    {}: it cannot be taken back", text(shown, "state"));
    };
    writeln!(out, "    can be taken back until {}, while its server is connected", time(until))?;
    for file in plan.get("files").and_then(Value::as_array).into_iter().flatten() {
        writeln!(out, "\n{}  {}", visible(text(file, "path")), text(file, "does"))?;
        for state in ["before", "after", "now"] {
            writeln!(out, "    {state:<6} {}", told(file.get(state).unwrap_or(&Value::Null)))?;
        }
        for diff in ["did", "since"] {
            for line in text(file, diff).lines() {
                writeln!(out, "    {}", visible(line))?;
            }
        }
    }
    if let Some(call) = plan.get("call").filter(|call| !call.is_null()) {
        let arguments = call.get("arguments").map(Value::to_string).unwrap_or_default();
        writeln!(out, "\nto take it back, call {} {}", visible(text(call, "tool")), visible(&arguments))?;
    }
    if !text(plan, "residue").is_empty() {
        writeln!(out, "stays behind: {}", text(plan, "residue"))?;
    }
    for conflict in plan.get("conflicts").and_then(Value::as_array).into_iter().flatten() {
        writeln!(out, "CONFLICT: {}", visible(conflict.as_str().unwrap_or_default()))?;
    }
    writeln!(out, "\nplan {}", text(plan, "digest"))
}

fn told(state: &Value) -> String {
    match text(state, "is") {
        "file" => {
            let size = state.get("size").and_then(Value::as_u64).unwrap_or_default();
            let mode = state.get("mode").and_then(Value::as_u64).unwrap_or_default();
            format!("{size} bytes, mode {mode:o}, sha256 {}", text(state, "sha256"))
        }
        "absent" => "not there".into(),
        "directory" => "a directory".into(),
        _ => "not known".into(),
    }
}
