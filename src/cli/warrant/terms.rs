//! What a new warrant is to say, as people type it.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use herma_warrant::capability::Capability;
use herma_warrant::constraint::Constraint;
use herma_warrant::gate::{ArgGate, Gates, ToolGate};
use herma_warrant::key::PublicKey;
use herma_warrant::mint::{Draft, Issues};
use herma_warrant::syntax::{read_duration, read_grant, read_grants, read_value};
use herma_warrant::warrant::Payload;

use super::{key, limits};
use crate::warrants::narrowed;

const CLEARANCES: [(&str, u8); 6] = [
    ("untrusted", 0),
    ("external", 10),
    ("partner", 20),
    ("internal", 30),
    ("privileged", 40),
    ("system", 50),
];

#[derive(Debug, Default, clap::Args)]
pub(super) struct Terms {
    /// A tool, and what its arguments may be: TOOL[:ARG=VALUE,…]
    ///
    /// VALUE is `*` (anything), `a|b` (a choice), `MIN..MAX` (a number), what holds `*` or `?` (a glob), what begins
    /// with `/` or `~` (a path and all below it), else exactly that text. `ARG?=VALUE` may be absent. `ARG:=JSON` is
    /// a JSON value, or a constraint as an object with a `type`. Without arguments any are allowed; with one, those
    /// that are not named are refused.
    #[arg(long, value_name = "GRANT")]
    pub(super) allow: Vec<String>,
    /// An argument that may be absent: TOOL:ARG
    #[arg(long, value_name = "TOOL:ARG")]
    optional: Vec<String>,
    /// A tool that takes arguments that are not named as well
    #[arg(long, value_name = "TOOL")]
    allow_unknown: Vec<String>,
    /// A tool that takes no arguments at all
    #[arg(long, value_name = "TOOL")]
    no_arguments: Vec<String>,
    /// How long it lives: 90s, 15m, 8h, 7d
    #[arg(long, value_name = "TIME")]
    ttl: Option<String>,
    /// Only in this session
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// For this agent, by whose name it can be revoked
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Who may approve what is gated: a public key, or its file
    #[arg(long, value_name = "KEY")]
    approver: Vec<String>,
    /// How many of the approvers must approve
    #[arg(long, value_name = "N")]
    min_approvals: Option<u32>,
    /// Calls that wait for an approval: TOOL, TOOL:ARG, TOOL:ARG=VALUE, or all but TOOL:ARG!=VALUE
    #[arg(long, value_name = "GATE")]
    gate: Vec<String>,
    /// untrusted, external, partner, internal, privileged, system, or a number
    #[arg(long, value_name = "LEVEL")]
    clearance: Option<String>,
    /// How often it may be passed on
    #[arg(long, value_name = "N")]
    max_depth: Option<u8>,
    /// The word that a grant for the tool `*` is meant
    #[arg(long)]
    allow_wildcard_tool: bool,
    /// Makes a warrant that calls nothing and issues warrants for this tool
    #[arg(long, visible_alias = "issuer", value_name = "TOOL", conflicts_with = "allow")]
    issues: Vec<String>,
    /// What arguments issued warrants may allow at most: ARG=VALUE,…
    #[arg(long, value_name = "ARG=VALUE", requires = "issues")]
    bounds: Option<String>,
    /// How deep issued warrants may stand
    #[arg(long, value_name = "N", requires = "issues")]
    max_issue_depth: Option<u32>,
    #[command(flatten)]
    limits: limits::Flags,
}

impl Terms {
    /// What the flags say, on top of what the draft says. With a parent the grants narrow its grants.
    pub(super) fn apply(&self, draft: &mut Draft, parent: Option<&Payload>) -> anyhow::Result<()> {
        if let Some(ttl) = &self.ttl {
            draft.ttl = read_duration(ttl)?;
        }
        draft.max_depth = self.max_depth.unwrap_or(draft.max_depth);
        draft.allow_wildcard_tool |= self.allow_wildcard_tool;
        if !self.allow.is_empty() {
            let granted = self.grants()?;
            draft.tools = match parent {
                Some(parent) => narrowed(parent, granted),
                None => granted,
            };
            draft.issues = None;
        }
        if !self.issues.is_empty() {
            draft.issues = Some(self.issued()?);
            draft.tools.clear();
        }
        self.apply_arguments(&mut draft.tools)?;
        self.limits.apply(&mut draft.tools)?;
        draft.session_id = self.session.clone().or(draft.session_id.take());
        draft.agent_id = self.agent.clone().or(draft.agent_id.take());
        if let Some(clearance) = &self.clearance {
            draft.clearance = Some(read_clearance(clearance)?);
        }
        self.apply_approvals(draft)
    }

    fn grants(&self) -> anyhow::Result<BTreeMap<String, Capability>> {
        let home = std::env::var("HOME").ok();
        Ok(read_grants(self.allow.iter().map(String::as_str), home.as_deref())?)
    }

    fn issued(&self) -> anyhow::Result<Issues> {
        let bounds = match &self.bounds {
            None => None,
            Some(bounds) => {
                let (_, constraints) = read_grant(&format!("*:{bounds}"), None)?;
                Some(Capability { constraints, ..Capability::default() })
            }
        };
        Ok(Issues { tools: self.issues.clone(), max_depth: self.max_issue_depth, bounds })
    }

    fn apply_arguments(&self, tools: &mut BTreeMap<String, Capability>) -> anyhow::Result<()> {
        for given in &self.optional {
            let (tool, argument) = given.split_once(':').context("--optional takes TOOL:ARG")?;
            let constraint = tools.get_mut(tool).and_then(|it| it.constraints.get_mut(argument));
            let constraint =
                constraint.with_context(|| format!("--optional {given}: --allow does not name it"))?;
            if !constraint.is_optional() {
                let inner = std::mem::replace(constraint, Constraint::Wildcard);
                *constraint = Constraint::Optional(Box::new(inner));
            }
        }
        for tool in &self.allow_unknown {
            let capability = tools.get_mut(tool);
            capability.with_context(|| format!("--allow-unknown {tool}: it is not granted"))?.allow_unknown =
                true;
        }
        for tool in &self.no_arguments {
            let capability = tools.entry(tool.clone()).or_default();
            ensure!(capability.constraints.is_empty(), "--no-arguments {tool}: --allow names some");
            capability.limits.get_or_insert_default();
        }
        Ok(())
    }

    fn apply_approvals(&self, draft: &mut Draft) -> anyhow::Result<()> {
        if !self.approver.is_empty() {
            let named = self.approver.iter().map(|given| key::public(given));
            let mut approvers = draft.required_approvers.take().unwrap_or_default();
            for approver in named.collect::<anyhow::Result<Vec<PublicKey>>>()? {
                if !approvers.contains(&approver) {
                    approvers.push(approver);
                }
            }
            draft.required_approvers = Some(approvers);
        }
        draft.min_approvals = self.min_approvals.or(draft.min_approvals);
        for given in &self.gate {
            let gates = draft.gates.get_or_insert_default();
            add_gate(gates, given).with_context(|| format!("--gate {given}"))?;
        }
        Ok(())
    }
}

fn add_gate(gates: &mut Gates, given: &str) -> anyhow::Result<()> {
    let home = std::env::var("HOME").ok();
    let (tool, rest) = given.split_once(':').map_or((given, None), |(tool, rest)| (tool, Some(rest)));
    let gate = match rest {
        None => None,
        Some(rest) => Some(match rest.split_once('=') {
            None => (rest.to_owned(), ArgGate::All),
            Some((argument, value)) => {
                let constraint = read_value(value, home.as_deref())?;
                match argument.strip_suffix('!') {
                    Some(argument) => (argument.to_owned(), ArgGate::Exempt(constraint)),
                    None => (argument.to_owned(), ArgGate::When(constraint)),
                }
            }
        }),
    };
    let known = gates.0.entry(tool.to_owned());
    match gate {
        None => {
            known.insert_entry(ToolGate::default());
        }
        Some((argument, gate)) => {
            let tool = known.or_insert_with(|| ToolGate { args: Some(BTreeMap::new()), message: None });
            // Without arguments the tool is gated whatever they are.
            if let Some(args) = &mut tool.args
                && args.insert(argument, gate).is_some()
            {
                bail!("the argument is gated twice");
            }
        }
    }
    Ok(())
}

fn read_clearance(text: &str) -> anyhow::Result<u8> {
    let named = CLEARANCES.iter().find(|(name, _)| *name == text).map(|(_, level)| *level);
    named.or_else(|| text.parse().ok()).with_context(|| {
        let names: Vec<_> = CLEARANCES.iter().map(|(name, _)| *name).collect();
        format!("`{text}` is no clearance: {}, or a number up to 255", names.join(", "))
    })
}
