//! `herma explain`: the life of a score, without a daemon and without running anything.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use herma_scoring::{Assessment, Call, Context, Kind, Reason, assess, json};
use herma_warrant::Grant;
use serde_json::{Value, json};

use crate::policy::{Policy, Ruling, Subject};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the tool, as the agent calls it
    #[arg(long)]
    tool: String,
    /// Its arguments, as JSON
    #[arg(long, default_value = "{}")]
    args: String,
    /// Name of its server
    #[arg(long, default_value = "")]
    server: String,
    /// Where the agent works
    #[arg(long)]
    cwd: Option<String>,
    /// As if somebody in the conversation were in crisis
    #[arg(long)]
    crisis: bool,
    /// A directory with packs of one's own
    #[arg(long, value_name = "DIR")]
    packs: Option<PathBuf>,
    /// The same as one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let rules = super::rules::load(args.packs.as_deref())?;
    let arguments: Value = json::read(args.args.as_bytes(), &json::Limits::default())
        .context("--args is not one unambiguous JSON value")?;
    let call = Call { kind: Kind::Tool, server: &args.server, tool: &args.tool, arguments: &arguments };
    let context = Context { cwd: args.cwd.as_deref(), crisis_active: args.crisis, ..Context::default() };
    let assessment = assess(&call, &context, &rules);
    let policy = Policy::default();
    let ruling = ruling(&policy, &call, &assessment);
    let mut out = io::stdout().lock();
    if args.json {
        let text = json!({
            "tool": args.tool, "server": args.server, "assessment": assessment, "ruling": ruling,
            "thresholds": policy.thresholds, "rules": rules.digest(),
        });
        writeln!(out, "{text}")?;
    } else {
        let mut text = String::new();
        tell(&mut text, &call, &assessment, &policy, &ruling)?;
        writeln!(out, "{text}rules     {}", rules.digest())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the built-in thresholds make of it; the operator's own rules and warrants are the daemon's.
pub(super) fn ruling(policy: &Policy, call: &Call<'_>, assessment: &Assessment) -> Ruling {
    let subject = Subject {
        kind: call.kind,
        server: call.server,
        tool: call.tool,
        principal: "",
        session: "",
        arguments: call.arguments,
    };
    policy.route(&subject, assessment, &Grant::Absent)
}

/// Finding by finding, what each made of the score, in the order of their weight.
fn tell(
    out: &mut impl std::fmt::Write,
    call: &Call<'_>,
    assessment: &Assessment,
    policy: &Policy,
    ruling: &Ruling,
) -> std::fmt::Result {
    let name = |value: Value| value.as_str().unwrap_or_default().to_owned();
    writeln!(out, "call      {} {}", super::holds::visible(call.tool), super::holds::visible(call.server))?;
    writeln!(
        out,
        "does      {}, undone: {}{}{}{}",
        name(json!(assessment.class)),
        name(json!(assessment.reversibility)),
        if assessment.outbound { ", leaves this machine" } else { "" },
        if assessment.crisis_sensitive { ", touches a crisis" } else { "" },
        if assessment.contested { ", contested: operators differ" } else { "" },
    )?;
    let (doubts, points): (Vec<&Reason>, Vec<&Reason>) =
        assessment.reasons.iter().partition(|reason| reason.factor == "certainty");
    let mut risk = 0.0;
    for reason in points {
        let after = risk + reason.points;
        writeln!(
            out,
            "risk      {risk:.2} -> {after:.2}  {:<15} {}: {}{}",
            reason.factor,
            reason.rule,
            reason.text,
            place(reason)
        )?;
        risk = after;
    }
    let mut limit = 1.0_f64;
    for reason in doubts {
        let after = limit.min(1.0 - reason.points);
        writeln!(
            out,
            "certainty {limit:.2} -> {after:.2}  {}: {}{}",
            reason.rule,
            reason.text,
            place(reason)
        )?;
        limit = after;
    }
    let thresholds = policy.thresholds;
    writeln!(
        out,
        "limits    runs below {:.2}; waits above {:.2}, and between them with certainty below {:.2}",
        thresholds.execute_below, thresholds.gate_above, thresholds.weak_confidence
    )?;
    writeln!(out, "score     risk {:.2}, confidence {:.2}", assessment.risk_score, assessment.confidence)?;
    writeln!(out, "route     {} by {}: {}", ruling.route.name(), ruling.rule, ruling.why)
}

fn place(reason: &Reason) -> String {
    match (&reason.pointer, reason.span) {
        (Some(pointer), Some((start, end))) => {
            format!("  [{} {start}..{end}]", super::holds::visible(pointer))
        }
        (Some(pointer), None) => format!("  [{}]", super::holds::visible(pointer)),
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use herma_scoring::Rules;

    use super::*;

    #[test]
    fn the_life_of_a_score_ends_at_the_score_and_the_route() {
        let rules = Rules::shipped().unwrap();
        let arguments = json!({ "command": "rm -rf ~/work" });
        let call = Call { kind: Kind::Tool, server: "hermes", tool: "terminal", arguments: &arguments };
        let assessment = assess(&call, &Context::default(), &rules);
        let policy = Policy::default();
        let mut told = String::new();
        tell(&mut told, &call, &assessment, &policy, &ruling(&policy, &call, &assessment)).unwrap();
        let last = told.lines().rfind(|line| line.starts_with("risk")).unwrap();
        assert!(last.contains(&format!("-> {:.2}", assessment.risk_score)), "{told}");
        assert!(told.contains("shell.deletes_tree") && told.contains("route     gate"), "{told}");
    }
}
