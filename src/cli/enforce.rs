//! `herma enforce`: from watching to deciding, in the operator's own file.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use toml_edit::{DocumentMut, Item, Table, Value};

use crate::config::{Settings, find_config};
use crate::control::client::Client;
use crate::control::wire::Ask;

/// How long a daemon may take to see that its file changed.
const TAKEN_UP: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file to change [default: the running daemon's, else ./herma.toml, else ~/.config/herma/herma.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub fn run(args: &Args, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let running = daemons(data_dir);
    let file = match (&args.config, running) {
        (None, Some(Some(file))) => file,
        (_, Some(None)) => bail!(
            "the running daemon was started without a file and reads none: put one where it looks \
             (~/.config/herma/herma.toml), then restart it (`herma status --stop`)"
        ),
        (given, _) => {
            find_config(given.as_deref())?.context("no herma.toml was found: name it with --config")?
        }
    };
    let before = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut out = io::stdout().lock();
    let Some(after) = enforced(&before).with_context(|| file.display().to_string())? else {
        writeln!(out, "{} enforces already", file.display())?;
        return Ok(ExitCode::SUCCESS);
    };
    Settings::parse(&file, &after)?;
    writeln!(out, "--- {0}\n+++ {0}\n{1}", file.display(), changed(&before, &after))?;
    if args.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    replace(&file, &after).with_context(|| format!("cannot write {}", file.display()))?;
    match taken_up(data_dir) {
        Some(true) => writeln!(out, "calls are held and blocked from now on")?,
        Some(false) => bail!("the file is changed, but the running daemon has not taken it up: see its log"),
        None => writeln!(out, "no daemon runs; the next one enforces")?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The file that the running daemon reads, if one runs and if it reads one.
fn daemons(data_dir: &Path) -> Option<Option<PathBuf>> {
    let status = Client::connect(data_dir).ok()?.ask(&Ask::Status).ok()?;
    Some(status.get("config").and_then(serde_json::Value::as_str).map(PathBuf::from))
}

/// The text with the one word changed, comments and order as they were. `None` when it says so already.
fn enforced(text: &str) -> anyhow::Result<Option<String>> {
    let mut document: DocumentMut = text.parse()?;
    let policy = document.entry("policy").or_insert_with(|| Item::Table(Table::new()));
    let policy = policy.as_table_like_mut().context("`policy` is no table")?;
    let Some(Item::Value(mode)) = policy.get_mut("mode") else { return Ok(None) };
    if mode.as_str() != Some("observe") {
        return Ok(None);
    }
    let mut word = Value::from("enforce");
    *word.decor_mut() = mode.decor().clone();
    *mode = word;
    Ok(Some(document.to_string()))
}

fn changed(before: &str, after: &str) -> String {
    let pairs = before.lines().zip(after.lines()).enumerate().filter(|(_, (old, new))| old != new);
    let lines = pairs.map(|(at, (old, new))| format!("@@ line {} @@\n-{old}\n+{new}\n", at + 1));
    lines.collect()
}

/// Written whole, with the rights it had: a daemon never reads half of it.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    // A file that is a link stays one.
    let file = fs::canonicalize(file)?;
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = file.with_file_name(name);
    fs::write(&new, text)?;
    fs::set_permissions(&new, fs::metadata(&file)?.permissions())?;
    fs::rename(new, file)
}

/// Whether the running daemon enforces; `None` when none runs.
fn taken_up(data_dir: &Path) -> Option<bool> {
    let mut client = Client::connect(data_dir).ok()?;
    let until = Instant::now() + TAKEN_UP;
    loop {
        let status = client.ask(&Ask::Status).ok()?;
        if status.get("mode").and_then(serde_json::Value::as_str) == Some("enforce") {
            return Some(true);
        }
        if Instant::now() > until {
            return Some(false);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_changes_and_comments_stay() {
        let before = "# mine\n[policy]\n  mode = \"observe\"   # for a week\nprofile = \"quiet\"\n";
        let after = enforced(before).unwrap().unwrap();
        assert_eq!(after, before.replace("\"observe\"", "\"enforce\""));
        assert_eq!(changed(before, &after).lines().count(), 3);
        for already in ["", "[policy]\nmode = \"enforce\"\n", "policy = { profile = \"quiet\" }\n"] {
            assert_eq!(enforced(already).unwrap(), None, "{already}");
        }
        assert!(enforced("policy = { mode = \"observe\" }").unwrap().unwrap().contains("enforce"));
        assert!(enforced("policy = 1").is_err());
    }
}
