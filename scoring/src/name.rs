//! What a tool's own words say it does: its name, its description, its action argument, its fields.

use serde_json::Value;

use crate::rules::{Fields, Noun, Rule, Rules, Signal, Spoken, pack};
use crate::weigh::{Findings, Place};
use crate::{Context, Definition, Reversibility, SideEffect};

/// Of a description, this much is read for a verb; the rest is talk.
const OPENING: usize = 160;

/// Reads the name, then the opening of the description and the action argument, word by word.
pub(crate) fn guess<'r>(
    server: &str,
    tool: &str,
    arguments: &Value,
    context: &Context<'_>,
    rules: &'r Rules,
    findings: &mut Findings<'r>,
) {
    if rehearses(arguments, context.definition, rules)
        && let Some(said) = rules.lexicon.verb(&["dry".to_owned(), "run".to_owned()], 1)
    {
        findings.add(said.rule, Place::default());
        findings.doubt(rules.signal(Signal::ToolNameOnly), rules.model.confidence.name, Place::default());
        return;
    }
    let own = words(server);
    let words: Vec<String> =
        words(tool).into_iter().filter(|word| word.len() == 1 || !own.contains(word)).collect();
    let named = rules.lexicon.verb(&words, usize::MAX);
    let ordered = action(arguments, rules);
    let mut openings = context.definition.map(openings).into_iter().flatten();
    let mut opening = openings.next().unwrap_or_default();
    // Where neither the name nor its opening has a verb, a description may come to the point later.
    if named.is_none() && rules.lexicon.verb(&opening, 2).is_none() {
        let speaks = |clause: &Vec<String>| {
            let verb = rules.lexicon.verb(clause, 2).is_some_and(|said| !said.weak);
            // "Read-only methods are allowed" reads nothing.
            verb && clause.get(1).is_none_or(|second| second != "only")
        };
        opening = openings.find(speaks).unwrap_or(opening);
    }
    // What a description says is done to, before it says where and for whom.
    let object = opening.iter().position(|word| PLACES.contains(&word.as_str())).unwrap_or(opening.len());
    let object = opening.get(..object).unwrap_or_default();
    // A word that opens the name and the description is a verb, though nobody knows it: a word after it that might
    // be read as one is a noun (`dispense_sample`, "Dispenses a sample").
    let strange = words.first().filter(|word| opening.first() == Some(*word) && !rules.lexicon.knows(word));
    let named =
        named.filter(|name| strange.is_none() || !(name.weak || name.class() == SideEffect::ReadOnly));
    let said = rules
        .lexicon
        .verb(object, 2)
        .filter(|said| ordered.is_none() && !said.vague && !(said.weak && strange.is_some()));
    let trusted = context.trusted_server
        && context.definition.is_some_and(|definition| definition.hints.read_only == Some(true));
    let confidence = &rules.model.confidence;
    let (rule, signal, cap) = match (named, said) {
        // Only the word of a trusted server may stand against what a name does not say.
        (None, _) if trusted => {
            (rules.signal(Signal::HintTrustedRead), Signal::HintTrustedRead, confidence.trusted_annotation)
        }
        (Some(name), _) if trusted && name.class() == SideEffect::ReadOnly => {
            (name.rule, Signal::HintTrustedRead, confidence.trusted_annotation)
        }
        (named, _) if let Some(ordered) = ordered.filter(|rule| decides(named, rule)) => {
            (ordered, Signal::ToolNameOnly, confidence.name)
        }
        // A description is its server's word: where it says more than the name it counts.
        (Some(name), Some(said))
            if said.class() == SideEffect::Critical && name.class() < SideEffect::Critical && !said.weak =>
        {
            (said.rule, Signal::ToolSourcesDisagree, confidence.sources_disagree)
        }
        // So it does where the name reads by a word that is as often a noun.
        (Some(name), Some(said)) if name.weak && !said.weak && said.class() > name.class() => {
            (said.rule, Signal::ToolNameOnly, confidence.name)
        }
        // And where the name only looks, and words are sent.
        (Some(name), Some(said)) if name.class() == SideEffect::ReadOnly && !said.weak && sends(said) => {
            (said.rule, Signal::ToolNameOnly, confidence.name)
        }
        (Some(name), Some(said)) if reads_alike(name, said) => {
            (name.rule, Signal::ToolNameAndDescription, confidence.name_and_description)
        }
        (Some(name), _) => (name.rule, Signal::ToolNameOnly, confidence.name),
        (None, Some(said)) => (said.rule, Signal::ToolNameOnly, confidence.name),
        (None, None) => (rules.signal(Signal::ToolUnknown), Signal::ToolUnknown, confidence.unknown_tool),
    };
    findings.add(rule, Place::default());
    findings.doubt(rules.signal(signal), cap, Place::default());
    let kept = rule.effect.class == SideEffect::External && !rule.effect.outbound;
    let acts = rule.effect.class > SideEffect::LocalReversible && !kept && signal != Signal::ToolUnknown;
    // `check_injection` looks for what `SqlInjection` does.
    let looks = rule.effect.class == SideEffect::ReadOnly
        && words.first().is_some_and(|word| rules.lexicon.looks(word));
    let mut last: Option<&str> = None;
    let object = object.get(..object.len().min(6)).unwrap_or_default();
    let told = rules.lexicon.nouns(object, &[], false).filter(|noun| acts && !noun.telling);
    let spoken = rules.lexicon.nouns(&words, &own, acts).chain(told);
    // Beside a verb that reads, a noun tells what is shown and not what is done.
    let reads = rule.effect.class == SideEffect::ReadOnly && named.is_some_and(|name| !name.weak);
    let shown = |noun: &&Noun| !reads || noun.telling || noun.rule.effect.class == SideEffect::ReadOnly;
    for noun in spoken.filter(shown).filter(|noun| !(noun.telling && looks)) {
        if last != Some(noun.rule.id.as_str()) {
            findings.add(&noun.rule, Place::default());
        }
        last = Some(noun.rule.id.as_str());
    }
    fields(arguments, context.definition, rules, findings);
    if let Some(definition) = context.definition {
        described(definition, signal == Signal::ToolUnknown, rules, findings);
    }
}

fn sends(said: Spoken<'_>) -> bool {
    said.rule.effect.outbound && said.rule.effect.undone == Reversibility::No
}

fn reads_alike(one: Spoken<'_>, other: Spoken<'_>) -> bool {
    (one.class() == SideEffect::ReadOnly) == (other.class() == SideEffect::ReadOnly)
}

/// Whether the action argument speaks for the tool: where the name leaves open what is done, or says less.
fn decides(named: Option<Spoken<'_>>, ordered: &Rule) -> bool {
    named.is_none_or(|name| name.vague || name.weak || ordered.effect.class >= name.class())
}

/// What an argument such as `action` or `method` says is to be done.
fn action<'r>(arguments: &Value, rules: &'r Rules) -> Option<&'r Rule> {
    let fields = arguments.as_object()?;
    fields.iter().filter(|(name, _)| rules.roles.get(name.as_str()) == Some(&pack::Role::Action)).find_map(
        |(_, value)| {
            let value = value.as_str().filter(|value| value.len() <= 64 && !value.contains(' '))?;
            let mut words = words(value);
            // HTTP's verbs are not English: a POST need not reach people.
            if let [word] = words.as_slice()
                && value.chars().all(char::is_uppercase)
            {
                words = vec!["http".to_owned(), word.clone()];
            }
            rules.lexicon.verb(&words, usize::MAX).map(|spoken| spoken.rule)
        },
    )
}

/// How the first clauses of a description open.
fn openings(definition: &Definition) -> impl Iterator<Item = Vec<String>> {
    let text = definition.description.trim_start();
    let clauses = text.split(['.', '\n', ':']).filter(|clause| !clause.trim().is_empty());
    clauses.take(4).map(opening)
}

/// The verbs a clause opens with: "Read, send or schedule messages" opens with three.
fn opening(sentence: &str) -> Vec<String> {
    let sentence = sentence.get(..sentence.floor_char_boundary(OPENING)).unwrap_or_default();
    let mut words: Vec<String> = Vec::new();
    for (index, part) in sentence.split(',').enumerate() {
        let part = part.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
        let part = part.map(base).filter(|word| !TALK.contains(&word.as_str())).take(8);
        // After a comma comes one more verb only where nothing but verbs came before it.
        if index > 0 {
            if words.len() > 2 * index + 1 {
                break;
            }
            words.push("and".to_owned());
        }
        words.extend(part.skip_while(|word| index > 0 && joins(word)));
    }
    // "Enable or disable" sets, whichever way.
    if words.iter().any(|word| SETS.iter().any(|(on, _)| word == on)) {
        words.retain(|word| !SETS.iter().any(|(_, off)| word == off));
    }
    // "Retrieve and delete" joins two verbs, "accounts and transfers" does not.
    let list = words.iter().take_while(|word| !joins(word)).count();
    if list > 1 {
        words.retain(|word| !joins(word));
    }
    words
}

/// After these, a description says where, for whom or how.
const PLACES: [&str; 10] = ["in", "for", "from", "on", "by", "with", "at", "using", "into", "within"];

/// Opposites that are named together where a tool does either.
const SETS: [(&str, &str); 3] = [("enable", "disable"), ("activate", "deactivate"), ("show", "hide")];

fn joins(word: &str) -> bool {
    matches!(word, "and" | "or")
}

/// What descriptions begin with before they come to the point.
const TALK: [&str; 18] = [
    "this", "tool", "the", "a", "an", "it", "allow", "let", "you", "to", "use", "used", "can", "will",
    "your", "mcp", "function", "endpoint",
];

/// Fields of the arguments, or of the schema, that say together what the tool is for.
fn fields<'r>(
    arguments: &Value,
    definition: Option<&Definition>,
    rules: &'r Rules,
    findings: &mut Findings<'r>,
) {
    let given = arguments.as_object();
    let listed = definition.and_then(|definition| definition.input_schema.get("properties")?.as_object());
    let has = |name: &String, known: &Fields, first: bool| {
        let value = given.and_then(|given| given.get(name)).filter(|value| !value.is_null());
        if first && !known.values.is_empty() {
            return value.is_some_and(|value| holds(value, &known.values));
        }
        value.is_some() || (!known.given && listed.is_some_and(|listed| listed.contains_key(name)))
    };
    // What is kept for later is addressed, too, and reaches nobody.
    let acts = findings.class() == SideEffect::LocalReversible || findings.outbound() || findings.decisive();
    for known in rules.lexicon.fields.iter().filter(|known| acts || known.reads) {
        let mut lists = known.all.iter().enumerate();
        if lists.all(|(index, names)| names.iter().any(|name| has(name, known, index == 0))) {
            findings.add(&known.rule, Place::default());
        }
    }
}

fn holds(value: &Value, options: &[String]) -> bool {
    match value {
        Value::String(text) => options.iter().any(|option| option.eq_ignore_ascii_case(text)),
        Value::Bool(true) => options.iter().any(|option| option == "true"),
        _ => false,
    }
}

/// Whether the call asks the tool only to say what it would do. An argument the tool does not list would be passed
/// over, and the thing done.
fn rehearses(arguments: &Value, definition: Option<&Definition>, rules: &Rules) -> bool {
    let listed = definition.and_then(|definition| definition.input_schema.get("properties")?.as_object());
    let (Some(listed), Some(given)) = (listed, arguments.as_object()) else { return false };
    given.iter().any(|(name, value)| {
        value.as_bool() == Some(true)
            && rules.roles.get(name.as_str()) == Some(&pack::Role::Rehearsal)
            && listed.contains_key(name)
    })
}

/// What the first sentences of a description own up to. They may raise what the name says, never lower it.
fn described<'r>(definition: &Definition, unknown: bool, rules: &'r Rules, findings: &mut Findings<'r>) {
    let text = &definition.description;
    let text = text.get(..text.floor_char_boundary(4 * OPENING)).unwrap_or_default();
    let acts = findings.class() > SideEffect::ReadOnly && !unknown;
    let scopes = [(pack::Scope::Description, true), (pack::Scope::DescribedAct, acts)];
    for (scope, _) in scopes.into_iter().filter(|(_, asked)| *asked) {
        let found = rules.patterns.get(&scope).into_iter().flat_map(|patterns| patterns.find(text));
        for (rule, _) in found {
            findings.add(rule, Place::default());
        }
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
        "this" => return lower,
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
