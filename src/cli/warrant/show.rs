//! `herma warrant show`: a warrant in words, or as JSON.

use std::io::{self, Write};
use std::process::ExitCode;

use herma_warrant::capability::Capability;
use herma_warrant::constraint::Constraint;
use herma_warrant::gate::{ArgGate, Gates};
use herma_warrant::show::tree;
use herma_warrant::warrant::{Kind, Payload};
use serde_json::{Map, Value, json};

use super::{limits, now, presented};
use crate::cli::holds::visible;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The warrant: a file, or `-`
    warrant: String,
    /// One JSON array, the root first
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let presented = presented::read(&args.warrant)?;
    let mut out = io::stdout().lock();
    if args.json {
        let links: Vec<_> = presented.links.iter().map(|link| described(&link.payload)).collect();
        writeln!(out, "{}", Value::Array(links))?;
        return Ok(ExitCode::SUCCESS);
    }
    for line in tree(&presented.links, now()).lines() {
        writeln!(out, "{}", visible(line))?;
    }
    writeln!(out, "Nothing of this is verified yet: herma warrant verify")?;
    Ok(ExitCode::SUCCESS)
}

fn described(payload: &Payload) -> Value {
    let keys =
        |keys: &Vec<herma_warrant::key::PublicKey>| keys.iter().map(|key| key.to_hex()).collect::<Vec<_>>();
    let tools: Map<String, Value> =
        payload.tools.iter().map(|(tool, it)| (tool.clone(), capability(it))).collect();
    json!({
        "id": payload.id.to_string(),
        "kind": if payload.kind == Kind::Issuer { "issuer" } else { "execution" },
        "issuer": payload.issuer.to_hex(),
        "holder": payload.holder.to_hex(),
        "issued_at": payload.issued_at,
        "expires_at": payload.expires_at,
        "depth": payload.depth,
        "max_depth": payload.max_depth,
        "session": payload.session_id,
        "agent": payload.agent_id,
        "clearance": payload.clearance,
        "approvers": payload.required_approvers.as_ref().map(keys).unwrap_or_default(),
        "approvals": payload.threshold(),
        "tools": tools,
        "gates": payload.gates.as_ref().map(gates),
        "issues": payload.issuable_tools,
        "max_issue_depth": payload.max_issue_depth,
        "bounds": payload.constraint_bounds.as_ref().map(capability),
    })
}

fn capability(it: &Capability) -> Value {
    let constraints: Map<String, Value> =
        it.constraints.iter().map(|(argument, it)| (argument.clone(), constraint(it))).collect();
    let limits: Vec<_> = it
        .limits
        .iter()
        .flat_map(|it| limits::write(it))
        .map(|(flag, value)| json!({ "limit": flag.trim_start_matches('-'), "value": value }))
        .collect();
    json!({ "arguments": constraints, "allow_unknown": it.allow_unknown || it.is_open(), "limits": limits })
}

fn constraint(it: &Constraint) -> Value {
    let authored = herma_warrant::json::write(&it.to_value());
    serde_json::from_str(&authored).unwrap_or(Value::String(authored))
}

fn gates(gates: &Gates) -> Value {
    let gate = |gate: &ArgGate| match gate {
        ArgGate::All => json!("all"),
        ArgGate::When(it) => json!({ "when": constraint(it) }),
        ArgGate::Exempt(it) => json!({ "exempt": constraint(it) }),
    };
    gates
        .0
        .iter()
        .map(|(tool, it)| {
            let arguments: Option<Map<String, Value>> = it
                .args
                .as_ref()
                .map(|args| args.iter().map(|(argument, it)| (argument.clone(), gate(it))).collect());
            (tool.clone(), json!({ "arguments": arguments, "message": it.message }))
        })
        .collect::<Map<String, Value>>()
        .into()
}
