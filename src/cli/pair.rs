//! `herma pair`, `herma approvers`, `herma open`: people's browsers.

use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::holds::{time, visible};
use crate::control::client::Client;
use crate::control::wire::Ask;
use crate::firewall::now;

#[derive(Debug, clap::Args)]
pub struct Pair {
    /// Whose decisions they will be [default: yours; another name can then be typed in the browser]
    name: Option<String>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
pub enum Approvers {
    /// Who decides in a browser, and by which keys
    List {
        /// One JSON array
        #[arg(long)]
        json: bool,
    },
    /// Sign somebody out everywhere and forget their keys
    Remove { name: String },
}

#[derive(Debug, clap::Args)]
pub struct Open {
    /// A page: `/review`, or a hold's id
    page: Option<String>,
    /// Print the address and open nothing
    #[arg(long)]
    print: bool,
}

pub fn pair(args: Pair, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let told = Client::connect(data_dir)?.ask(&Ask::Pair { name: args.name })?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{told}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let code = text(&told, "code");
    let (first, last) = code.split_at_checked(4).context("the daemon sent no code")?;
    let left =
        told.get("expires_ms").and_then(Value::as_i64).unwrap_or_default().saturating_sub(now()) / 1000;
    writeln!(out, "  {first}-{last}\n")?;
    writeln!(
        out,
        "Type it at {}pair within {left} seconds, as {}.",
        text(&told, "url"),
        text(&told, "name")
    )?;
    writeln!(out, "It is good once. Nobody who asks you for it needs it.")?;
    Ok(ExitCode::SUCCESS)
}

pub fn approvers(approvers: Approvers, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let mut client = Client::connect(data_dir)?;
    let mut out = io::stdout().lock();
    match approvers {
        Approvers::List { json } => {
            let all = client.ask(&Ask::Approvers)?;
            if json {
                writeln!(out, "{all}")?;
                return Ok(ExitCode::SUCCESS);
            }
            let all = all.as_array().context("the daemon sent no list")?;
            if all.is_empty() {
                writeln!(out, "Nobody is paired: `herma pair` makes a code for a browser.")?;
            }
            for approver in all {
                writeln!(out, "{}", visible(text(approver, "name")))?;
                for key in approver.get("keys").and_then(Value::as_array).into_iter().flatten() {
                    let used = key.get("used_ms").and_then(Value::as_i64);
                    let used =
                        used.map_or_else(|| "never used".to_owned(), |at| format!("used {}", time(at)));
                    let (kind, label, id) = (text(key, "kind"), text(key, "label"), text(key, "id"));
                    writeln!(out, "  {kind:<8} {}  {used}  {}", visible(label), visible(id))?;
                }
            }
        }
        Approvers::Remove { name } => {
            client.ask(&Ask::RemoveApprover { name: name.clone() })?;
            writeln!(out, "{}: signed out everywhere, and no key of theirs works any more", visible(&name))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub fn open(args: Open, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let status = Client::connect(data_dir)?.ask(&Ask::Status)?;
    let url = text(&status, "operator");
    ensure!(!url.is_empty(), "the listener for people is off (operator.listen)");
    let page = args.page.unwrap_or_default();
    let page = if page.starts_with("h-") { format!("h/{page}") } else { page };
    let url = format!("{url}{}", page.trim_start_matches('/'));
    writeln!(io::stdout(), "{url}")?;
    if !args.print {
        let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
        let opened = Command::new(opener).arg(&url).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !opened.is_ok_and(|status| status.success()) {
            writeln!(io::stderr(), "herma: no browser could be started here; open the address yourself")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}
