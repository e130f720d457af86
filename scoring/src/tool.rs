//! What is known of a tool: from a pack, else from the words of its name, else from what its server says.

use std::borrow::Cow;

use serde_json::Value;

use crate::rules::{Rule, Rules, Signal, ToolRule, glob, pack};
use crate::weigh::{Findings, Place};
use crate::{Call, Context, SideEffect};

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
        let Some((dispatcher, next)) =
            rules.dispatchers.iter().find_map(|dispatcher| Some((dispatcher, dispatch(dispatcher, &inner)?)))
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

fn dispatch<'a>(dispatcher: &crate::rules::Dispatcher, inner: &Inner<'a>) -> Option<Inner<'a>> {
    let spec = &dispatcher.spec;
    if !spec.tools.iter().any(|tool| glob::matches(tool, &inner.tool)) {
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
    let pointer = field.map_or_else(String::new, |field| format!("{}/{field}", inner.pointer));
    Some(Inner {
        server: inner.server,
        tool: Cow::Owned(name.to_owned()),
        arguments: Cow::Owned(arguments),
        pointer,
    })
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
            entry.rule.effect.class
        }
        None => {
            let class = guess(server, tool, context, rules, findings);
            by_arguments(class, arguments, rules, findings);
            findings.class()
        }
    };
    hints(class, entry.is_some(), context, rules, findings);
    Known { entry }
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
}

/// Reads the name, then the first words of the description, word by word.
fn guess<'r>(
    server: &str,
    tool: &str,
    context: &Context<'_>,
    rules: &'r Rules,
    findings: &mut Findings<'r>,
) -> SideEffect {
    let words = words(tool);
    let own = self::words(server);
    let by_name = verb(&words, &own, rules);
    let by_description = context.definition.and_then(|definition| {
        let sentence: String = definition
            .description
            .chars()
            .take(160)
            .take_while(|letter| !matches!(letter, '.' | '\n'))
            .collect();
        let opening: Vec<String> = sentence
            .split(|letter: char| !letter.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .take(2)
            .map(base)
            .collect();
        verb(&opening, &[], rules)
    });
    let confidence = &rules.model.confidence;
    let trusted = context.trusted_server
        && context.definition.is_some_and(|definition| definition.hints.read_only == Some(true));
    let (rule, signal, cap) = match (by_name, by_description) {
        // Only the word of a trusted server may stand against what a name does not say.
        (None, _) if trusted => {
            (rules.signal(Signal::HintTrustedRead), Signal::HintTrustedRead, confidence.trusted_annotation)
        }
        (Some(name), _) if trusted && name.effect.class == SideEffect::ReadOnly => {
            (name, Signal::HintTrustedRead, confidence.trusted_annotation)
        }
        // A description is its server's word: where it says more than the name it counts.
        (Some(name), Some(said))
            if said.effect.class == SideEffect::Critical && name.effect.class < SideEffect::Critical =>
        {
            (said, Signal::ToolSourcesDisagree, confidence.sources_disagree)
        }
        (Some(name), Some(said))
            if (said.effect.class == SideEffect::ReadOnly) == (name.effect.class == SideEffect::ReadOnly) =>
        {
            (name, Signal::ToolNameAndDescription, confidence.name_and_description)
        }
        (Some(name), _) => (name, Signal::ToolNameOnly, confidence.name),
        (None, Some(said)) => (said, Signal::ToolNameOnly, confidence.name),
        (None, None) => (rules.signal(Signal::ToolUnknown), Signal::ToolUnknown, confidence.unknown_tool),
    };
    findings.add(rule, Place::default());
    findings.doubt(rules.signal(signal), cap, Place::default());
    let acts = rule.effect.class > SideEffect::LocalReversible && signal != Signal::ToolUnknown;
    if acts && let Some(noun) = words.iter().find_map(|word| rules.nouns.get(word.as_str())) {
        findings.add(noun, Place::default());
    }
    // `check_injection` looks for what `SqlInjection` does.
    let looks = words.first().and_then(|word| rules.verbs.get(word.as_str()));
    let telling = || words.iter().find_map(|word| rules.telling_nouns.get(word.as_str()));
    if looks.is_none_or(|verb| verb.effect.class > SideEffect::ReadOnly)
        && let Some(noun) = telling()
    {
        findings.add(noun, Place::default());
    }
    findings.class()
}

/// What the arguments say against the name: an order in free text, or words and a file to put them in.
fn by_arguments<'r>(class: SideEffect, arguments: &Value, rules: &'r Rules, findings: &mut Findings<'r>) {
    const ORDERS: [&str; 6] =
        ["instruction", "instructions", "directive", "order_text", "task_description", "request_text"];
    let Some(fields) = arguments.as_object() else { return };
    let holds = |role: pack::Role| {
        let texts = fields.iter().filter(|(_, value)| value.is_string());
        texts.into_iter().any(|(name, _)| rules.roles.get(name.as_str()) == Some(&role))
    };
    if fields.iter().any(|(name, value)| ORDERS.contains(&name.as_str()) && value.is_string()) {
        let orders = rules.signal(Signal::ToolTakesOrders);
        findings.add(orders, Place::default());
    } else if class == SideEffect::ReadOnly && holds(pack::Role::Message) && holds(pack::Role::Path) {
        findings.add(rules.signal(Signal::ToolWritesArgument), Place::default());
    }
}

/// The verb that speaks for a name: the first one, or the worst of those joined by "and" or "or". Words that
/// are as often nouns speak only first, and only where no other verb does.
fn verb<'r>(words: &[String], own: &[String], rules: &'r Rules) -> Option<&'r Rule> {
    let words: Vec<&String> = words.iter().filter(|word| words.len() == 1 || !own.contains(word)).collect();
    let mut speaks: Option<&Rule> = None;
    let mut joined = true;
    for (index, word) in words.iter().enumerate() {
        if matches!(word.as_str(), "and" | "or" | "then") {
            joined = true;
            continue;
        }
        if !joined {
            continue;
        }
        // Two words may say what neither does: `close_position`.
        let pair = words.get(index + 1).and_then(|next| rules.verbs.get(&format!("{word}_{next}")));
        if let Some(rule) = pair.or_else(|| rules.verbs.get(word.as_str())) {
            if speaks.is_none_or(|known| rule.effect.class > known.effect.class) {
                speaks = Some(rule);
            }
            joined = false;
        }
    }
    let leading = || match words.as_slice() {
        [first, _, ..] => rules.leading_verbs.get(first.as_str()),
        _ => None,
    };
    let weak = || words.iter().take(2).find_map(|word| rules.weak_verbs.get(word.as_str()));
    speaks.or_else(|| leading().or_else(weak).map(AsRef::as_ref))
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
    if hints.destructive == Some(true) && class < SideEffect::Critical {
        findings.add(rules.signal(Signal::HintDestructive), Place::default());
        findings.doubt(disagree, cap, Place::default());
    } else if hints.read_only == Some(false) && class == SideEffect::ReadOnly {
        findings.add(rules.signal(Signal::HintWrites), Place::default());
        findings.doubt(disagree, cap, Place::default());
    }
}

/// The words of a name: camelCase, snake_case, kebab-case, dots and slashes taken apart, in lower case.
pub(crate) fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut previous = ' ';
    let mut letters = name.chars().peekable();
    while let Some(letter) = letters.next() {
        let starts = letter.is_uppercase()
            && (previous.is_lowercase()
                || (previous.is_uppercase() && letters.peek().is_some_and(|next| next.is_lowercase())));
        if !letter.is_alphanumeric() || starts {
            words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
        }
        if letter.is_alphanumeric() {
            word.extend(letter.to_lowercase());
        }
        previous = letter;
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

/// "Sends" and "Deletes" as the verbs they are.
fn base(word: &str) -> String {
    let lower = word.to_lowercase();
    let stem = match lower.as_str() {
        "this" | "tool" | "used" | "allows" | "you" | "to" => return lower,
        // "Returns the details", not a parcel sent back.
        "returns" | "return" => return "get".to_owned(),
        other => other,
    };
    if let Some(stem) = stem.strip_suffix("ies") {
        return format!("{stem}y");
    }
    for ending in ["shes", "ches", "sses", "xes"] {
        if stem.ends_with(ending) {
            return stem.strip_suffix("es").unwrap_or(stem).to_owned();
        }
    }
    match stem.strip_suffix('s') {
        Some(stem) if !stem.ends_with('s') => stem.to_owned(),
        _ => lower,
    }
}
