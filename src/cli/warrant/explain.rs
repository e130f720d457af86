//! `herma warrant explain`: why a warrant allows a call or not, for the operator's eyes.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use data_encoding::HEXLOWER_PERMISSIVE;
use herma_scoring::{Assessment, Call as Judged, Context, Kind, assess};
use herma_warrant::capability::Capability;
use herma_warrant::constraint::{Constraint, Verdict};
use herma_warrant::decide::{Call, Judgement, Outcome};
use herma_warrant::explain::{Explanation, explain};
use herma_warrant::learn::{Options, Seen, learn};
use herma_warrant::text_form::from_base64;
use herma_warrant::verify::Chain;
use herma_warrant::warrant::{Payload, Warrant};
use serde_json::Value;

use super::presented::{self, Presented};
use super::written::Line;
use super::{now, trust};
use crate::cli::holds::visible;
use crate::config::{Settings, find_config};
use crate::control::client::{Client, ClientError};
use crate::control::wire::Ask;
use crate::warrants::Party;

/// Says what every link makes of every argument, the nearest value that would be allowed, and the command that would
/// allow the call. Nothing is used up. Exits with 1 when the call is refused.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[arg(long)]
    tool: String,
    /// JSON, or @FILE with it
    #[arg(long, default_value = "{}")]
    args: String,
    /// The warrant: a file, or `-` [default: those that stand over the server, the agent and the session]
    #[arg(long, value_name = "FILE")]
    warrant: Option<String>,
    /// The server that is called
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// The agent that calls
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Its session
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// The digest of the tool's definition
    #[arg(long, value_name = "HEX")]
    definition: Option<String>,
    /// A directory with rule packs of one's own, for the risk
    #[arg(long, value_name = "DIR")]
    packs: Option<PathBuf>,
    /// The file that puts warrants over servers and agents
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(args: &Args, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let arguments = presented::arguments(&args.args)?;
    let text = herma_warrant::json::write(&herma_warrant::value::Value::Object(arguments.clone()));
    let assessment = args.assess(&serde_json::from_str(&text)?)?;
    let definition = match &args.definition {
        None => None,
        Some(text) => {
            let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
            let digest: Option<[u8; 32]> = bytes.and_then(|bytes| bytes.try_into().ok());
            Some(digest.context("--definition takes 64 hex digits")?)
        }
    };
    let call = Call {
        server: args.server.as_deref(),
        definition: definition.as_ref(),
        session: args.session.as_deref(),
        judgement: Some(Judgement {
            risk: (assessment.risk_score * 1000.0).ceil().clamp(0.0, 1000.0) as u16,
            class: assessment.class.name(),
        }),
        ..Call::new(&args.tool, &arguments)
    };
    let warrants = args.warrants(data_dir)?;
    let mut out = io::stdout().lock();
    writeln!(out, "risk {:.3}, class {}", assessment.risk_score, assessment.class.name())?;
    let mut refused = false;
    for (over, presented) in warrants {
        writeln!(out, "{}: {}", visible(&over), presented.leaf()?.id)?;
        let (chain, at) = trust::suppose(&presented, now())?;
        if at != now() {
            writeln!(out, "(it is not good at this moment; this is what it would say)")?;
        }
        let explanation = explain(&chain, &call, at);
        for line in explanation.to_string().lines() {
            writeln!(out, "{}", visible(line))?;
        }
        if matches!(explanation.decision.outcome, Outcome::Refused(_)) {
            refused = true;
            widen(&mut out, &chain, &call, &explanation)?;
        }
    }
    Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Args {
    fn assess(&self, arguments: &Value) -> anyhow::Result<Assessment> {
        let rules = crate::cli::rules::load(self.packs.as_deref())?;
        let server = self.server.as_deref().unwrap_or_default();
        let call = Judged { kind: Kind::Tool, server, tool: &self.tool, arguments };
        Ok(assess(&call, &Context::default(), &rules))
    }

    /// The warrant that is named, or all that a call of this sender must keep to.
    fn warrants(&self, data_dir: &Path) -> anyhow::Result<Vec<(String, Presented)>> {
        if let Some(given) = &self.warrant {
            return Ok(vec![("warrant".to_owned(), presented::read(given)?)]);
        }
        let parties: Vec<Party> = [
            self.server.clone().map(Party::Server),
            self.agent.clone().map(Party::Agent),
            self.session.clone().map(Party::Session),
        ]
        .into_iter()
        .flatten()
        .collect();
        let mut stacks = Vec::new();
        if let Some(file) = find_config(self.config.as_deref())? {
            let standing = Settings::load(&file)?.warrants.standing;
            let ours = |party: &Party| Some((format!("{party} (herma.toml)"), standing.get(party)?.clone()));
            stacks.extend(parties.iter().filter_map(ours));
        }
        match Client::connect(data_dir) {
            Err(ClientError::NotRunning { .. }) => {}
            Err(error) => return Err(error.into()),
            Ok(mut daemon) => {
                let told = daemon.ask(&Ask::Warrants)?;
                for row in told.get("assigned").and_then(Value::as_array).into_iter().flatten() {
                    let text = |name| row.get(name).and_then(Value::as_str).unwrap_or_default();
                    if parties.iter().any(|party| party.to_string() == text("party")) {
                        let stack = from_base64(text("warrant")).context("the daemon sent no warrant")?;
                        stacks.push((text("party").to_owned(), stack.into()));
                    }
                }
            }
        }
        if stacks.is_empty() {
            bail!("no warrant stands over such a call: name one with --warrant");
        }
        let read = |(over, bytes): (String, Arc<[u8]>)| {
            let links = Warrant::decode_stack(&bytes)?;
            Ok((over, Presented { bytes: bytes.to_vec(), links }))
        };
        stacks.into_iter().map(read).collect()
    }
}

/// Prints what would have to be signed anew for the call to be allowed: one command for each link that refuses.
fn widen(
    out: &mut impl Write,
    chain: &Chain,
    call: &Call<'_>,
    explanation: &Explanation,
) -> anyhow::Result<()> {
    let mut told = false;
    for (at, link) in chain.links().iter().enumerate() {
        let payload = &link.payload;
        if payload.issuable_tools.is_some()
            || !explanation.findings.iter().any(|it| it.link == at && !it.allowed)
        {
            continue;
        }
        told = true;
        let issuer = payload.issuer.to_hex();
        writeln!(out, "\nwhat would allow it, signed with the key whose public half is {issuer}:\n")?;
        let mut command = match at {
            0 => Line::new("herma warrant mint"),
            _ => Line::new("herma warrant attenuate PARENT"),
        };
        command.flag("--key", "SIGNER.key");
        command.flag("--holder", &payload.holder.to_hex());
        command.flag("--ttl", &format!("{}s", payload.expires_at.saturating_sub(payload.issued_at)));
        command.grants(&widened(payload, call));
        for line in command.to_string().lines() {
            writeln!(out, "{}", visible(line))?;
        }
        if payload.gates.is_some() || payload.required_approvers.is_some() {
            writeln!(out, "# with its --gate and --approver as they are: herma warrant show")?;
        }
    }
    if !told {
        writeln!(out, "\nno grant changes that: see the limits with herma warrant show")?;
    }
    Ok(())
}

/// Everything the link grants, and the call.
fn widened(payload: &Payload, call: &Call<'_>) -> BTreeMap<String, Capability> {
    let mut tools = payload.tools.clone();
    let granted = payload.capability(call.tool).cloned();
    let capability = match granted {
        Some(mut capability) => {
            for (argument, constraint) in &mut capability.constraints {
                match call.args.get(argument) {
                    Some(value) if constraint.check(value) != Verdict::Matches => {
                        *constraint = constraint.widened_to(value);
                    }
                    None if !constraint.is_optional() => {
                        *constraint = Constraint::Optional(Box::new(constraint.clone()));
                    }
                    _ => {}
                }
            }
            if !capability.is_open() && !capability.allow_unknown {
                for (argument, value) in call.args {
                    capability
                        .constraints
                        .entry(argument.clone())
                        .or_insert_with(|| Constraint::Optional(Box::new(Constraint::Exact(value.clone()))));
                }
            }
            capability
        }
        None => {
            let server = call.server.map(str::to_owned);
            let seen = Seen { tool: call.tool.to_owned(), server, args: call.args.clone() };
            let options = Options { bind_servers: false, ..Options::default() };
            learn(&[seen], options).tools.remove(call.tool).unwrap_or_default()
        }
    };
    tools.insert(call.tool.to_owned(), capability);
    tools
}
