//! What is known of a tool: from a pack, else from the words of its name, else from what its server says.

use std::borrow::Cow;

use serde_json::Value;

use crate::name;
use crate::rules::{Rules, Signal, ToolRule, glob, pack};
use crate::weigh::{Findings, Place};
use crate::{Call, Context, Kind, SideEffect};

/// The call inside dispatchers and name prefixes.
#[derive(Debug)]
pub(crate) struct Inner<'a> {
    pub(crate) server: &'a str,
    pub(crate) tool: Cow<'a, str>,
    pub(crate) arguments: Cow<'a, Value>,
    /// Where the arguments lie in those of the outer call.
    pub(crate) pointer: String,
}

/// The pack entry that knows the tool, when one does.
#[derive(Debug)]
pub(crate) struct Known<'r> {
    pub(crate) entry: Option<&'r ToolRule>,
}

const DISPATCHES: usize = 4;

/// Calls read of those one call lists; what is left of its text is read as text.
const SEVERAL: usize = 64;

/// Looks through tools that only run another tool.
pub(crate) fn unwrap<'a, 'r>(call: &Call<'a>, rules: &'r Rules, findings: &mut Findings<'r>) -> Inner<'a> {
    let mut inner = Inner {
        server: call.server,
        tool: Cow::Borrowed(call.tool),
        arguments: Cow::Borrowed(call.arguments),
        pointer: String::new(),
    };
    strip_prefix(&mut inner);
    for _ in 0..DISPATCHES {
        let Some((dispatcher, next)) = rules
            .dispatchers
            .iter()
            .find_map(|dispatcher| Some((dispatcher, dispatch(dispatcher, &inner, rules)?)))
        else {
            break;
        };
        findings.add(&dispatcher.rule, Place::default());
        inner = next;
        strip_prefix(&mut inner);
    }
    inner
}

/// `mcp__server__tool`, as agents name the tools of their servers.
fn strip_prefix(inner: &mut Inner<'_>) {
    if let Cow::Borrowed(name) = inner.tool
        && let Some((server, tool)) = name.strip_prefix("mcp__").and_then(|rest| rest.split_once("__"))
    {
        inner.server = server;
        inner.tool = Cow::Borrowed(tool);
    }
}

fn dispatch<'a>(
    dispatcher: &crate::rules::Dispatcher,
    inner: &Inner<'a>,
    rules: &Rules,
) -> Option<Inner<'a>> {
    let spec = &dispatcher.spec;
    let named = spec.tools.iter().any(|tool| tool != "*" && glob::matches(tool, &inner.tool));
    let any = spec.tools.iter().any(|tool| tool == "*");
    if !(named || any) {
        return None;
    }
    let name = spec.name.iter().find_map(|name| inner.arguments.get(name)?.as_str())?;
    if name.is_empty() || name.contains(char::is_whitespace) {
        return None;
    }
    let field = spec.arguments.iter().find(|field| inner.arguments.get(field.as_str()).is_some());
    let arguments = match field.and_then(|field| inner.arguments.get(field)) {
        Some(Value::String(text)) => {
            serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()))
        }
        Some(value) => value.clone(),
        None if spec.arguments.is_empty() => Value::Null,
        None => return None,
    };
    // A tool that says what it does does not do something else because its caller says so.
    if (!named && !arguments.is_object()) || ((!named || dispatcher.unsigned) && !is_open(inner, rules)) {
        return None;
    }
    let pointer = field.map_or_else(String::new, |field| format!("{}/{field}", inner.pointer));
    Some(Inner {
        server: inner.server,
        tool: Cow::Owned(name.to_owned()),
        arguments: Cow::Owned(arguments),
        pointer,
    })
}

/// The calls a tool that runs several of them is given, each with its place.
pub(crate) fn several<'a>(inner: &'a Inner<'_>, rules: &Rules) -> Vec<(Call<'a>, String)> {
    const FIELDS: usize = 16;
    let names = || rules.dispatchers.iter().flat_map(|dispatcher| &dispatcher.spec.name);
    let fields = || rules.dispatchers.iter().flat_map(|dispatcher| &dispatcher.spec.arguments);
    let call = |item: &'a Value| {
        let item = item.as_object().filter(|item| item.len() <= FIELDS)?;
        let tool = names().find_map(|name| item.get(name)?.as_str())?;
        let arguments = fields().find_map(|field| item.get(field).filter(|value| value.is_object()))?;
        let words = tool.is_empty() || tool.contains(char::is_whitespace);
        (!words).then_some(Call { kind: Kind::Tool, server: inner.server, tool, arguments })
    };
    let lists = inner.arguments.as_object().into_iter().flatten();
    let lists = lists.filter_map(|(name, value)| Some((name, value.as_array()?)));
    let found: Vec<_> = lists
        .flat_map(|(name, items)| {
            items.iter().enumerate().filter_map(move |(index, item)| {
                Some((call(item)?, format!("{}/{name}/{index}", inner.pointer)))
            })
        })
        .take(SEVERAL)
        .collect();
    if found.is_empty() || !is_open(inner, rules) { Vec::new() } else { found }
}

/// Whether neither a pack nor the tool's name says what it does.
fn is_open(inner: &Inner<'_>, rules: &Rules) -> bool {
    let known = rules.tools.of(&inner.tool);
    let takes = |entry: &&ToolRule| takes(&entry.spec, inner.server, &inner.arguments);
    !known.iter().any(takes)
        && rules
            .lexicon
            .verb(&name::words(&inner.tool), usize::MAX)
            .is_none_or(|spoken| spoken.weak || spoken.vague)
}

/// Finds what the tool does, most trusted source first.
pub(crate) fn know<'r>(
    server: &str,
    tool: &str,
    arguments: &Value,
    context: &Context<'_>,
    rules: &'r Rules,
    findings: &mut Findings<'r>,
) -> Known<'r> {
    let entry = rules.tools.of(tool).into_iter().find(|entry| takes(&entry.spec, server, arguments));
    let class = match entry {
        Some(entry) => {
            findings.add(&entry.rule, Place::default());
            if entry.certainty < 1.0 {
                findings.doubt(&entry.rule, entry.certainty, Place::default());
            }
            findings.undo.clone_from(&entry.spec.undo);
            if entry.unsigned {
                beside(server, tool, arguments, context, rules, findings);
            }
            entry.rule.effect.class
        }
        None => {
            name::guess(server, tool, arguments, context, rules, findings);
            findings.class()
        }
    };
    hints(class, entry.is_some(), context, rules, findings);
    Known { entry }
}

/// What everybody else says of a tool that an unsigned pack speaks for, where it is graver.
fn beside<'r>(
    server: &str,
    tool: &str,
    arguments: &Value,
    context: &Context<'_>,
    rules: &'r Rules,
    findings: &mut Findings<'r>,
) {
    let mut others = Findings::new(&rules.model);
    let known = rules.tools.of(tool).into_iter().filter(|entry| !entry.unsigned);
    match known.into_iter().find(|entry| takes(&entry.spec, server, arguments)) {
        Some(entry) => others.add(&entry.rule, Place::default()),
        None => name::guess(server, tool, arguments, context, rules, &mut others),
    }
    if others.gravest().0 > findings.gravest().0 {
        findings.absorb(others);
    }
}

fn takes(spec: &pack::Tool, server: &str, arguments: &Value) -> bool {
    let text = |value: &Value| match value {
        Value::String(text) => text.to_ascii_lowercase(),
        other => other.to_string(),
    };
    (spec.servers.is_empty()
        || spec.servers.iter().any(|pattern| glob::matches(pattern, &server.to_ascii_lowercase())))
        && spec.args.iter().all(|(name, options)| {
            arguments
                .get(name)
                .is_some_and(|value| options.iter().any(|option| glob::matches(option, &text(value))))
        })
        && spec.with.iter().all(|name| arguments.get(name).is_some_and(|value| !value.is_null()))
        && (spec.some.is_empty()
            || spec.some.iter().any(|name| arguments.get(name).is_some_and(|value| !value.is_null())))
}

/// Annotations raise what is known; only those of a trusted server may also lower a guess.
fn hints<'r>(
    class: SideEffect,
    by_pack: bool,
    context: &Context<'_>,
    rules: &'r Rules,
    findings: &mut Findings<'r>,
) {
    let Some(hints) = context.definition.map(|definition| definition.hints) else {
        return;
    };
    let disagree = rules.signal(Signal::ToolSourcesDisagree);
    let cap = rules.model.confidence.sources_disagree;
    if hints.read_only == Some(true) {
        if class > SideEffect::ReadOnly && !by_pack {
            findings.doubt(disagree, cap, Place::default());
        }
        return;
    }
    if by_pack {
        return;
    }
    let plain =
        class > SideEffect::ReadOnly && findings.certainty() >= rules.model.confidence.name_and_description;
    if hints.destructive == Some(true) && plain && class < SideEffect::Critical {
        // Servers mark whatever overwrites as destructive: an update that says so is one that cannot be undone.
        findings.add(rules.signal(Signal::HintOverwrites), Place::default());
    } else if hints.destructive == Some(true) && class < SideEffect::Critical {
        findings.add(rules.signal(Signal::HintDestructive), Place::default());
        findings.doubt(disagree, cap, Place::default());
    } else if hints.read_only == Some(false) && class == SideEffect::ReadOnly {
        findings.add(rules.signal(Signal::HintWrites), Place::default());
        findings.doubt(disagree, cap, Place::default());
    }
}
