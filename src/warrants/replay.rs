//! What a warrant would have said of the calls of the past.

use std::collections::{BTreeMap, BTreeSet};

use herma_warrant::constraint::Constraint;
use herma_warrant::decide::{Call, Judgement, Objection, Outcome, decide};
use herma_warrant::learn::{Learned, Options, Seen, learn};
use herma_warrant::value::{Args, Value};
use herma_warrant::verify::Chain;
use herma_warrant::warrant::Payload;

/// A call as far as the record tells.
#[derive(Debug, Clone)]
pub struct Past {
    pub call: String,
    /// Unix seconds.
    pub at: u64,
    pub tool: String,
    pub server: String,
    pub session: String,
    /// Thousandths.
    pub risk: u16,
    pub class: String,
    /// The arguments that were kept.
    pub args: Args,
    /// Arguments of which there is no value.
    pub unkept: Vec<String>,
    /// Nothing is known of its arguments, not even their names.
    pub mute: bool,
}

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Allowed,
    Held(String),
    Refused(String),
    Unknown(String),
}

/// Calls by what was said of them.
#[derive(Debug, Default)]
pub struct Group {
    pub count: usize,
    /// By reason: how many, and the first of them.
    pub whys: BTreeMap<String, (usize, Past)>,
}

/// What was said of all.
#[derive(Debug, Default)]
pub struct Replayed {
    pub calls: usize,
    pub allowed: usize,
    pub held: Group,
    pub refused: Group,
    pub unknown: Group,
}

impl Group {
    fn add(&mut self, why: String, past: &Past) {
        self.count += 1;
        self.whys.entry(why).or_insert_with(|| (0, past.clone())).0 += 1;
    }
}

/// The least that covers these calls. What was not kept of an argument cannot be narrowed: it may be anything.
pub fn propose(calls: &[Past], options: Options) -> Learned {
    let seen = |past: &Past| Seen {
        tool: past.tool.clone(),
        server: (!past.server.is_empty()).then(|| past.server.clone()),
        args: past.args.clone(),
    };
    let mut learned = learn(&calls.iter().map(seen).collect::<Vec<_>>(), options);
    for (tool, capability) in &mut learned.tools {
        let of_tool = || calls.iter().filter(|past| past.tool == *tool);
        let unkept: BTreeSet<&String> = of_tool().flat_map(|past| &past.unkept).collect();
        for argument in unkept {
            let always =
                of_tool().all(|past| past.args.contains_key(argument) || past.unkept.contains(argument));
            let anything = Constraint::Wildcard;
            let anything = if always { anything } else { Constraint::Optional(Box::new(anything)) };
            capability.constraints.insert(argument.clone(), anything);
        }
    }
    learned
}

/// Asks of every call alone, as if the warrant had been good then; budgets and rates are not added up.
pub fn replay<'a>(chain: &Chain, calls: impl IntoIterator<Item = &'a Past>) -> Replayed {
    let mut replayed = Replayed::default();
    for past in calls {
        replayed.calls += 1;
        match said(chain, past) {
            Said::Allowed => replayed.allowed += 1,
            Said::Held(why) => replayed.held.add(why, past),
            Said::Refused(why) => replayed.refused.add(why, past),
            Said::Unknown(why) => replayed.unknown.add(why, past),
        }
    }
    replayed
}

fn said(chain: &Chain, past: &Past) -> Said {
    if past.mute && chain.links().iter().any(|link| cares(&link.payload, &past.tool)) {
        return Said::Unknown(format!("{}: the record has none of its arguments", past.tool));
    }
    let mut args = past.args.clone();
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

/// Whether it matters to this link what arguments the tool has.
fn cares(payload: &Payload, tool: &str) -> bool {
    payload.capability(tool).is_some_and(|capability| {
        let draws = capability.limits.as_deref().is_some_and(|limits| !limits.budgets.is_empty());
        draws || !capability.is_open()
    })
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
