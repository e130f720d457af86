//! `herma holds similar` and `herma holds rules`: the same again without asking, for a while.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::Value;

use super::holds::{number, text, time, visible};
use crate::control::client::Client;
use crate::control::wire::Ask;
use crate::firewall::{For, Loose, Similar};
use crate::gate::Seen;

#[derive(Debug, clap::Args)]
pub struct Args {
    id: String,
    /// For whom the rule holds
    #[arg(long, value_enum, default_value_t)]
    scope: For,
    /// How long, for example 15m, 8h or 30d
    #[arg(long = "for", value_name = "TIME", default_value = "8h")]
    lasts: String,
    /// How many calls
    #[arg(long, value_name = "N")]
    uses: Option<u32>,
    /// An argument that may be anything, as a JSON pointer
    #[arg(long, value_name = "POINTER")]
    any: Vec<String>,
    /// An argument that must begin so and go on at a `/`: POINTER=TEXT
    #[arg(long, value_name = "POINTER=TEXT")]
    prefix: Vec<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Show the rule and make nothing
    #[arg(long, conflicts_with = "yes")]
    preview: bool,
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub struct Rules {
    #[command(subcommand)]
    command: Option<Rule>,
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Rule {
    /// Take a rule back
    Withdraw { rule: String },
}

impl Args {
    fn wish(&self) -> anyhow::Result<Similar> {
        let days = self.lasts.strip_suffix('d').and_then(|days| days.parse::<i64>().ok());
        let for_ms = match days {
            Some(days) => days.saturating_mul(24 * 60 * 60 * 1000),
            None => {
                let lasts: jiff::SignedDuration = self.lasts.parse().with_context(|| {
                    format!("`{}` is no length of time: write 15m, 8h or 30d", self.lasts)
                })?;
                i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX)
            }
        };
        let any = self.any.iter().map(|pointer| Ok((pointer.clone(), Loose::Any)));
        let prefixes = self.prefix.iter().map(|said| {
            let (pointer, text) =
                said.split_once('=').with_context(|| format!("`{said}` is not POINTER=TEXT"))?;
            Ok((pointer.to_owned(), Loose::Prefix(text.to_owned())))
        });
        let loosen = any.chain(prefixes).collect::<anyhow::Result<_>>()?;
        Ok(Similar { scope: self.scope, for_ms: Some(for_ms), uses: self.uses, loosen })
    }
}

pub fn run(args: &Args, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let mut client = Client::connect(data_dir)?;
    let mut out = io::stdout();
    let wish = args.wish()?;
    let hold = client.ask(&Ask::Hold { id: args.id.clone() })?;
    let preview = client.ask(&Ask::Similar { id: args.id.clone(), wish: wish.clone() })?;
    if args.json && args.preview {
        writeln!(out, "{preview}")?;
        return Ok(ExitCode::SUCCESS);
    }
    if !args.json {
        writeln!(out, "{}", visible(text(&preview, "words")))?;
        writeln!(out, "{}", visible(text(&preview, "told")))?;
    }
    if args.preview {
        return Ok(ExitCode::SUCCESS);
    }
    if !args.yes && !agreed(&mut out)? {
        writeln!(out, "Nothing is decided.")?;
        return Ok(ExitCode::FAILURE);
    }
    let seen = Seen {
        digest: Some(text(&hold, "digest").to_owned()),
        version: Some(number(&hold, "version").unsigned_abs()),
        typed: None,
    };
    let made = Client::connect(data_dir)?.ask(&Ask::ApproveSimilar { id: args.id.clone(), seen, wish })?;
    if args.json {
        writeln!(out, "{made}")?;
    } else {
        let rule = made.pointer("/rule/id").and_then(Value::as_str).unwrap_or_default();
        writeln!(
            out,
            "{} approved; rule {rule} is in force. `herma holds rules withdraw {rule}` ends it",
            args.id
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn agreed(out: &mut impl Write) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        bail!("nobody can be asked here: say --yes, or --preview to look");
    }
    write!(out, "Approve and make this rule? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

pub fn rules(args: &Rules, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let mut client = Client::connect(data_dir)?;
    let mut out = io::stdout().lock();
    if let Some(Rule::Withdraw { rule }) = &args.command {
        client.ask(&Ask::Withdraw { rule: rule.clone() })?;
        writeln!(out, "{rule} is withdrawn")?;
        return Ok(ExitCode::SUCCESS);
    }
    let rules = client.ask(&Ask::Standing)?;
    if args.json {
        writeln!(out, "{rules}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let rules = rules.as_array().map(Vec::as_slice).unwrap_or_default();
    if rules.is_empty() {
        writeln!(out, "No rule is in force.")?;
    }
    for rule in rules {
        let uses = match rule.get("max_uses").and_then(Value::as_i64) {
            Some(most) => format!("{} of {most} uses", number(rule, "used")),
            None => format!("{} uses", number(rule, "used")),
        };
        writeln!(
            out,
            "{}  {:<5} {} on {}  {} until {}  {uses}  by {} from {}",
            text(rule, "id"),
            text(rule, "effect"),
            visible(text(rule, "tool")),
            text(rule, "server"),
            scope(rule),
            time(number(rule, "expires_ms")),
            visible(text(rule, "by")),
            text(rule, "hold"),
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn scope(rule: &Value) -> String {
    let kind = rule.pointer("/scope/kind").and_then(Value::as_str).unwrap_or_default();
    match rule.pointer("/scope/of").and_then(Value::as_str) {
        Some(of) => format!("{kind} {}", visible(of)),
        None => kind.to_owned(),
    }
}
