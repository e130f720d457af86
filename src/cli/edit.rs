//! `herma holds edit`: approve a call with other arguments.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use serde_json::Value;

use super::holds::{approved, number, text, typed};
use crate::control::client::Client;
use crate::control::wire::Ask;
use crate::gate::Decision;

#[derive(Debug, clap::Args)]
pub struct Args {
    id: String,
    /// The new arguments, one JSON object; `-` reads them from the standard input
    #[arg(long, value_name = "FILE")]
    arguments: Option<PathBuf>,
    /// Whom or what it is aimed at, where nobody can take it back and nobody can be asked to type it
    #[arg(long, value_name = "TARGET")]
    yes_irreversible: Option<String>,
}

pub fn run(args: &Args, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let mut client = Client::connect(data_dir)?;
    let hold = client.ask(&Ask::Hold { id: args.id.clone() })?;
    let changed = match &args.arguments {
        Some(file) if file == Path::new("-") => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text)?;
            text
        }
        Some(file) => fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?,
        None => {
            let before = client.ask(&Ask::Arguments { id: args.id.clone() })?;
            let before = before.as_str().unwrap_or_default();
            let Some(changed) = in_editor(data_dir, &args.id, before)? else {
                bail!(
                    "nothing was changed, and nothing is decided: `herma holds approve` lets it run as it is"
                );
            };
            changed
        }
    };
    let typed = typed(&hold, args.yes_irreversible.clone())?;
    // What came in between is looked at again.
    let ask = Ask::Decide {
        id: args.id.clone(),
        digest: Some(text(&hold, "digest").to_owned()),
        version: Some(number(&hold, "version").unsigned_abs()),
        typed,
        decision: Decision::Edit { arguments: changed.trim().to_owned() },
    };
    writeln!(io::stdout(), "{}", approved(&Client::connect(data_dir)?.ask(&ask)?))?;
    Ok(ExitCode::SUCCESS)
}

/// `None` when the person left it as it was. The file is this user's alone and gone afterwards.
fn in_editor(data_dir: &Path, id: &str, before: &str) -> anyhow::Result<Option<String>> {
    let value: Value = serde_json::from_str(before).unwrap_or_else(|_| Value::Object(Default::default()));
    let shown = serde_json::to_string_pretty(&value)?;
    let path = data_dir.join(format!("edit-{id}.json"));
    let _ = fs::remove_file(&path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    writeln!(file, "{shown}")?;
    drop(file);
    let editor = ["VISUAL", "EDITOR"].iter().find_map(|name| std::env::var(name).ok()).unwrap_or("vi".into());
    // An editor may be named with arguments of its own.
    let status = Command::new("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(&path).status();
    let after = fs::read_to_string(&path);
    fs::remove_file(&path)?;
    if !status.with_context(|| format!("cannot start {editor}"))?.success() {
        bail!("{editor} ended with a failure; nothing is decided");
    }
    let after = after?;
    let same = serde_json::from_str::<Value>(&after).is_ok_and(|after| after == value);
    Ok((!same).then_some(after))
}
