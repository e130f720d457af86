//! The least warrant that covers calls that were seen.

use crate::capability::Capability;
use crate::constraint::{
    Constraint, Glob, Range, Shlex, Subpath, UrlSafe, Verdict, host_of, is_plain_path, program_of,
};
use crate::limits::Limits;
use crate::value::{Args, Number, Value};
use std::collections::{BTreeMap, BTreeSet};

/// A call from the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub tool: String,
    pub server: Option<String>,
    pub args: Args,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Up to so many distinct values are listed one by one.
    pub few: usize,
    /// By how much of its span a range is opened at either end, in hundredths.
    pub slack: u32,
    /// Whether each tool is bound to the servers it was called at, which other verifiers refuse.
    pub bind_servers: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { few: 5, slack: 25, bind_servers: true }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learned {
    pub tools: BTreeMap<String, Capability>,
    pub total: usize,
    /// Indices of calls that it would not allow.
    pub uncovered: Vec<usize>,
}

impl Learned {
    /// `412 of 415`.
    pub fn coverage(&self) -> String {
        format!("{} of {}", self.total - self.uncovered.len(), self.total)
    }
}

/// Proposes capabilities for the calls. What looks like an attack among them is left out rather than covered.
pub fn learn(calls: &[Seen], options: Options) -> Learned {
    let mut by_tool: BTreeMap<&str, Vec<&Seen>> = BTreeMap::new();
    for call in calls {
        by_tool.entry(&call.tool).or_default().push(call);
    }
    let tools: BTreeMap<String, Capability> =
        by_tool.into_iter().map(|(tool, calls)| (tool.to_owned(), learn_tool(&calls, options))).collect();
    let covered = |call: &Seen| {
        tools.get(&call.tool).is_some_and(|capability| {
            let at = |limits: &Limits| {
                limits.servers.is_empty()
                    || call.server.as_ref().is_some_and(|server| limits.servers.contains(server))
            };
            capability.check(&call.args) == Ok(None) && capability.limits.as_deref().is_none_or(at)
        })
    };
    let uncovered = calls.iter().enumerate().filter(|(_, call)| !covered(call)).map(|(at, _)| at).collect();
    Learned { tools, total: calls.len(), uncovered }
}

fn learn_tool(calls: &[&Seen], options: Options) -> Capability {
    let arguments: BTreeSet<&String> = calls.iter().flat_map(|call| call.args.keys()).collect();
    let constraints: BTreeMap<String, Constraint> = arguments
        .into_iter()
        .map(|argument| {
            let values: Vec<&Value> = calls.iter().filter_map(|call| call.args.get(argument)).collect();
            let always = values.len() == calls.len();
            let learned = learn_argument(argument, &values, options);
            (argument.clone(), if always { learned } else { Constraint::Optional(Box::new(learned)) })
        })
        .collect();
    let servers = calls.iter().filter(|_| options.bind_servers).filter_map(|call| call.server.clone());
    let limits = Limits { servers: servers.collect(), ..Limits::default() };
    // No constraints at all would open the tool: one that was only called without arguments keeps empty limits.
    let closes = constraints.is_empty() || !limits.is_empty();
    Capability { constraints, allow_unknown: false, limits: closes.then(|| Box::new(limits)) }
}

/// Whether nearly all values are of a kind; the rest is left uncovered.
fn mostly<'a>(values: &[&'a Value], of: impl Fn(&'a Value) -> bool) -> bool {
    let held = values.iter().filter(|value| of(value)).count();
    held > 0 && held * 10 >= values.len() * 9
}

fn learn_argument(argument: &str, values: &[&Value], options: Options) -> Constraint {
    let (nulls, values): (Vec<&Value>, Vec<&Value>) =
        values.iter().partition(|value| ***value == Value::Null);
    if values.is_empty() {
        return Constraint::Exact(Value::Null);
    }
    let learned = learn_values(argument, &values, options);
    if nulls.is_empty() || learned == Constraint::Wildcard {
        return learned;
    }
    Constraint::Any(vec![learned, Constraint::Exact(Value::Null)])
}

fn distinct(values: &[&Value]) -> Vec<Value> {
    values.iter().fold(Vec::new(), |mut known, value| {
        if !known.contains(value) {
            known.push((*value).clone());
        }
        known
    })
}

fn learn_values(argument: &str, values: &[&Value], options: Options) -> Constraint {
    let texts: Vec<&str> = values.iter().filter_map(|value| value.text()).collect();
    let is_path = |value: &Value| value.text().is_some_and(|text| text.starts_with('/'));
    if mostly(values, is_path) {
        return learn_paths(&texts);
    }
    if mostly(values, |value| value.text().is_some_and(|text| text.contains("://"))) {
        return learn_urls(&texts, options);
    }
    let commands = ["command", "cmd", "commandline"].contains(&argument.to_ascii_lowercase().as_str());
    if commands && let Some(learned) = learn_commands(values, &texts) {
        return learned;
    }
    let known = distinct(values);
    match known.as_slice() {
        [only] => return Constraint::Exact(only.clone()),
        few if few.len() <= options.few => return Constraint::OneOf(few.to_vec()),
        _ => {}
    }
    if mostly(values, |value| matches!(value, Value::Number(_))) {
        return learn_range(values, options);
    }
    if mostly(values, |value| matches!(value, Value::List(_))) {
        return learn_lists(values, options);
    }
    if texts.len() == values.len() {
        let shared = shared_prefix(&texts);
        if shared.chars().count() >= 3 && !shared.contains(['*', '?', '[', '/']) {
            let pattern = Constraint::Pattern(Glob::new(&format!("{shared}*")));
            if mostly(values, |value| pattern.check(value) == Verdict::Matches) {
                return pattern;
            }
        }
    }
    Constraint::Wildcard
}

fn shared_prefix<'a>(texts: &[&'a str]) -> &'a str {
    let Some((first, rest)) = texts.split_first() else { return "" };
    let end = first
        .char_indices()
        .map(|(at, letter)| at + letter.len_utf8())
        .take_while(|end| {
            let head = first.get(..*end).unwrap_or("");
            rest.iter().all(|text| text.starts_with(head))
        })
        .last();
    end.and_then(|end| first.get(..end)).unwrap_or("")
}

/// The directories that hold all plain paths: one, or a few below the root of the disk.
fn learn_paths(texts: &[&str]) -> Constraint {
    let plain: Vec<Vec<&str>> = texts
        .iter()
        .filter(|text| is_plain_path(text))
        .map(|text| text.split('/').filter(|it| !it.is_empty() && *it != ".").collect())
        .collect();
    if plain.is_empty() {
        return Constraint::Wildcard;
    }
    let mut groups: BTreeMap<&str, Vec<&Vec<&str>>> = BTreeMap::new();
    for path in &plain {
        groups.entry(path.first().copied().unwrap_or("")).or_default().push(path);
    }
    let roots: Vec<Constraint> =
        groups.values().map(|paths| Constraint::Subpath(Subpath::new(&root_of(paths)))).collect();
    match roots.as_slice() {
        [only] => only.clone(),
        several if several.len() <= 4 => Constraint::Any(several.to_vec()),
        _ => Constraint::Subpath(Subpath::new("/")),
    }
}

/// The deepest directory above all of them; a path that is alone counts as a file in its directory.
fn root_of(paths: &[&Vec<&str>]) -> String {
    let Some((first, rest)) = paths.split_first() else { return "/".to_owned() };
    let directory = first.len().saturating_sub(1);
    let shared = (0..directory)
        .take_while(|at| rest.iter().all(|path| path.len() > *at && path.get(*at) == first.get(*at)))
        .count();
    // A file right below the root of the disk is named itself: its directory would be the whole disk.
    let shared = if shared == 0 { first.len().min(1) } else { shared };
    format!("/{}", first.iter().take(shared).copied().collect::<Vec<_>>().join("/"))
}

fn learn_urls(texts: &[&str], options: Options) -> Constraint {
    let hosts: BTreeSet<String> = texts.iter().filter_map(|text| host_of(text)).collect();
    let schemes: BTreeSet<String> = texts
        .iter()
        .filter_map(|text| text.split_once("://"))
        .map(|(scheme, _)| scheme.to_ascii_lowercase())
        .collect();
    let plain = UrlSafe::default();
    let schemes: Vec<String> =
        plain.schemes.iter().filter(|scheme| schemes.contains(*scheme)).cloned().collect();
    let listed = !hosts.is_empty() && hosts.len() <= options.few.saturating_mul(4);
    Constraint::UrlSafe(UrlSafe {
        allow_domains: listed.then(|| hosts.into_iter().collect()),
        schemes: if schemes.is_empty() { plain.schemes.clone() } else { schemes },
        ..plain
    })
}

fn learn_commands(values: &[&Value], texts: &[&str]) -> Option<Constraint> {
    let programs: BTreeSet<String> = texts.iter().filter_map(|line| program_of(line)).collect();
    let learned = Constraint::Shlex(Shlex { allow: programs.into_iter().collect() });
    mostly(values, |value| learned.check(value) == Verdict::Matches).then_some(learned)
}

fn learn_range(values: &[&Value], options: Options) -> Constraint {
    let numbers = || {
        values.iter().filter_map(|value| if let Value::Number(number) = value { Some(number) } else { None })
    };
    let (Some(least), Some(most)) = (numbers().min(), numbers().max()) else { return Constraint::Wildcard };
    let span = most.to_f64() - least.to_f64();
    let slack = span * f64::from(options.slack) / 100.0;
    let whole = numbers().all(|number| matches!(number, Number::Int(_)));
    let round = |bound: f64, up: bool| match (whole, up) {
        (true, true) => bound.ceil(),
        (true, false) => bound.floor(),
        (false, _) => bound,
    };
    // What was never negative does not become so by slack.
    let lowest = if *least >= Number::Int(0) { 0.0 } else { f64::NEG_INFINITY };
    let min = Number::from_f64(round(least.to_f64() - slack, false).max(lowest));
    let max = Number::from_f64(round(most.to_f64() + slack, true));
    Constraint::Range(Range::new(min, max))
}

fn learn_lists(values: &[&Value], options: Options) -> Constraint {
    let items: Vec<&Value> = values
        .iter()
        .filter_map(|value| if let Value::List(items) = value { Some(items) } else { None })
        .flatten()
        .collect();
    let texts: Vec<&str> = items.iter().filter_map(|item| item.text()).collect();
    let full = values.iter().all(|value| !matches!(value, Value::List(items) if items.is_empty()));
    if full
        && mostly(&items, |item| item.text().is_some_and(|text| text.starts_with('/')))
        && let learned @ Constraint::Subpath(_) = learn_paths(&texts)
    {
        return learned;
    }
    let known = distinct(&items);
    if known.len() <= options.few.saturating_mul(4) {
        Constraint::Subset(known)
    } else {
        Constraint::Wildcard
    }
}
