//! `herma warrant simulate`: what a warrant would have said of the calls of the past.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use herma_warrant::constraint::Constraint;
use herma_warrant::decide::{Call, Judgement, Objection, Outcome, decide};
use herma_warrant::value::{Args as Arguments, Value};
use herma_warrant::verify::Chain;

use super::past::{self, LEARN, Past};
use super::{now, presented, trust};
use crate::cli::holds::visible;

/// Every call is judged alone, as if the warrant had been good then; budgets and rates are not added up. Nothing runs.
/// Exits with 1 when a call would have been refused.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The warrant: a file, or `-`
    warrant: String,
    /// How far back: 90s, 15m, 8h, 7d
    #[arg(long, value_name = "TIME", default_value = "7d")]
    since: String,
    /// Only the calls of this session
    #[arg(long, value_name = "ID")]
    session: Option<String>,
}

/// What becomes of a call.
enum Said {
    Allowed,
    Held(String),
    Refused(String),
    Unknown(String),
}

pub(super) fn run(args: &Args, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let presented = presented::read(&args.warrant)?;
    let (chain, _) = trust::suppose(&presented, now())?;
    let mut history = past::read(data_dir, &args.since)?;
    if let Some(session) = &args.session {
        history.calls.retain(|past| past.session == *session);
    }
    let mut allowed = 0_usize;
    let (mut held, mut refused, mut unknown) = (Group::default(), Group::default(), Group::default());
    for past in &history.calls {
        match said(&chain, past) {
            Said::Allowed => allowed += 1,
            Said::Held(why) => held.add(why, past),
            Said::Refused(why) => refused.add(why, past),
            Said::Unknown(why) => unknown.add(why, past),
        }
    }
    let mut out = io::stdout().lock();
    if history.calls.is_empty() && history.mute == 0 {
        writeln!(out, "nothing to replay: the record has no calls since then")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "of {} calls: {allowed} allowed, {} held for a person, {} refused, {} cannot be told",
        history.calls.len(),
        held.count,
        refused.count,
        unknown.count
    )?;
    for (name, group) in [("refused", &refused), ("held", &held), ("cannot be told", &unknown)] {
        for (why, (count, example)) in &group.whys {
            writeln!(out, "  {name:<14} {count:>5} x  {}\n{:>26}{}", visible(why), "", visible(example))?;
        }
    }
    if history.mute > 0 {
        writeln!(
            out,
            "{} more calls are in the record without their arguments and cannot be replayed; it keeps the short \
             and plain ones with this in herma.toml:\n\n{LEARN}",
            history.mute
        )?;
    }
    Ok(if refused.count == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Calls by what was said of them.
#[derive(Default)]
struct Group {
    count: usize,
    whys: BTreeMap<String, (usize, String)>,
}

impl Group {
    fn add(&mut self, why: String, past: &Past) {
        self.count += 1;
        self.whys.entry(why).or_insert_with(|| (0, past.told())).0 += 1;
    }
}

fn said(chain: &Chain, past: &Past) -> Said {
    let mut args: Arguments = past.args.clone();
    for argument in &past.unkept {
        if narrows(chain, &past.tool, argument) {
            return Said::Unknown(format!("{}: the record has no value of `{argument}`", past.tool));
        }
        args.insert(argument.clone(), Value::from(""));
    }
    let call = Call {
        server: Some(&past.server),
        session: Some(&past.session),
        judgement: Some(Judgement { risk: past.risk, class: &past.class }),
        ..Call::new(&past.tool, &args)
    };
    let why = |objection: Objection| format!("{}: {objection}", past.tool);
    match decide(chain, &call, &[], past.at).outcome {
        Outcome::Authorised => Said::Allowed,
        Outcome::Gated(objection) => Said::Held(why(objection)),
        Outcome::Refused(objection) if objection.code == "tool-identity" && past.server.is_empty() => {
            Said::Unknown(why(objection))
        }
        Outcome::Refused(objection) if objection.code == "tool-identity" && binds_definition(chain, past) => {
            Said::Unknown(format!("{}: the record has no definitions of tools", past.tool))
        }
        Outcome::Refused(objection) => Said::Refused(why(objection)),
    }
}

/// Whether some link cares what the argument is.
fn narrows(chain: &Chain, tool: &str, argument: &str) -> bool {
    chain.links().iter().any(|link| {
        let constraint =
            link.payload.capability(tool).and_then(|capability| capability.constraints.get(argument));
        constraint.is_some_and(|it| match it {
            Constraint::Optional(inner) => !matches!(**inner, Constraint::Wildcard),
            other => !matches!(other, Constraint::Wildcard),
        })
    })
}

fn binds_definition(chain: &Chain, past: &Past) -> bool {
    chain.links().iter().any(|link| {
        let limits = link.payload.capability(&past.tool).and_then(|capability| capability.limits.as_deref());
        limits.is_some_and(|limits| {
            !limits.definitions.is_empty()
                && (limits.servers.is_empty() || limits.servers.contains(&past.server))
        })
    })
}
