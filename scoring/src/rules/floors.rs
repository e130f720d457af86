//! What a pack of the operator may not lower. One that nobody trusted signed may raise anything and lower
//! nothing that the shipped packs hold for a person; none at all may lower what is said of a crisis.

use serde_json::{Value, json};

use super::examples::{Example, Sample};
use super::pack::Pack;
use super::{Draft, Rule, RuleError, Rules, embedded, examples};
use crate::assess::survey;
use crate::weigh::Gravity;
use crate::{Call, Context, Kind, crisis};

const REMEDY: &str = "raise it, or sign the pack with `herma rules sign` and name the key in `trusted_packs`; a \
                      single tool can also be sent where you want by a [[rule]] in herma.toml";

/// What the packs define anew: seen before anything is compiled.
pub(super) fn check_definitions(
    name: &str,
    pack: &Pack,
    trusted: bool,
    shipped: &[(String, Pack, bool)],
) -> Result<(), RuleError> {
    let refuse =
        |what: String| Err(RuleError { pack: name.to_owned(), message: format!("{what}: {REMEDY}") });
    let known = |effect: &str| shipped.iter().find_map(|(_, pack, _)| pack.effects.get(effect));
    for (effect, new) in &pack.effects {
        let Some(old) = known(effect) else { continue };
        if old.crisis && !new.crisis {
            let message =
                format!("effect {effect} is the rule for people in crisis, which no pack can turn off");
            return Err(RuleError { pack: name.to_owned(), message });
        }
        if !trusted && Gravity::of(new) < Gravity::of(old) {
            return refuse(format!("effect {effect} lowers a shipped floor"));
        }
    }
    if trusted {
        return Ok(());
    }
    for (signal, new) in &pack.signals {
        let old = shipped.iter().find_map(|(_, pack, _)| pack.signals.get(signal));
        let old = old.and_then(|old| known(&old.effect));
        let effect = pack.effects.get(&new.effect).or_else(|| known(&new.effect));
        if let (Some(old), Some(effect)) = (old, effect)
            && Gravity::of(effect) < Gravity::of(old)
        {
            return refuse(format!("signal {} lowers a shipped floor", new.id));
        }
    }
    if pack.model.is_some() {
        return refuse("[model] replaces every shipped weight".to_owned());
    }
    if let Some(calm) = pack.calm.first() {
        return refuse(format!("rule {} takes findings of a crisis back", calm.id));
    }
    if pack.names.is_some() {
        return refuse("[names] changes what the words of every name say".to_owned());
    }
    if pack.fold.is_some() {
        return refuse("[fold] changes how words of a crisis are read".to_owned());
    }
    Ok(())
}

/// Judges every shipped example with and without packs: what waited still waits. With trusted packs only what is
/// said of a crisis must hold.
pub(super) fn check_examples(
    draft: &Draft,
    before: &Rules,
    after: &Rules,
    trusted: bool,
) -> Result<(), RuleError> {
    let mut shipped = Draft::default();
    for pack in embedded::SOURCES {
        shipped.read(pack.name, pack.text, false)?;
    }
    for example in examples::collect(&shipped.packs) {
        let Some((call, rule, crisis)) = lowered(&example, before, after) else { continue };
        if crisis {
            let message = format!("{rule} hears a crisis in {}, and no pack can turn that off", call.said());
            return Err(RuleError { pack: draft.blamed(trusted).to_owned(), message });
        }
        if !trusted {
            return Err(draft.blame(after, &call, &format!("{rule} holds {}", call.said())));
        }
    }
    Ok(())
}

/// Judges what the rules of an unsigned pack show of themselves by the rules without it.
pub(super) fn check_tools(name: &str, pack: &Pack, before: &Rules, after: &Rules) -> Result<(), RuleError> {
    for tool in &pack.tool {
        let Some(effect) = after.tools.effect(&tool.id) else { continue };
        let shown = tool.matches.iter().map(|example| Shown {
            server: example.server.clone(),
            tool: example.tool.clone(),
            arguments: example.args.clone(),
        });
        for call in shown {
            let (held, rule) = call.gravity(before);
            if held > Gravity::of(effect) && tool.effect != "none" {
                let message = format!(
                    "rule {} lowers a shipped floor, {rule} holds {}: {REMEDY}",
                    tool.id,
                    call.said()
                );
                return Err(RuleError { pack: name.to_owned(), message });
            }
        }
    }
    Ok(())
}

/// Holds the words of an unsigned pack against what they said before it.
pub(super) fn check_words(name: &str, pack: &Pack, before: &Rules, after: &Rules) -> Result<(), RuleError> {
    let effect = |word: &super::pack::Word| {
        let laid = pack.effects.get(&word.effect);
        laid.or_else(|| after.lexicon.effect(&word.id)).map_or(Gravity::NONE, Gravity::of)
    };
    for word in &pack.verb {
        for text in &word.words {
            let objects = word.with.iter().map(Some).chain(word.with.is_empty().then_some(None));
            for object in objects {
                let parts: Vec<String> = text.split('_').map(str::to_owned).chain(object.cloned()).collect();
                let spoken = before.lexicon.verb(&parts, usize::MAX).map(|spoken| spoken.rule);
                refuse_lower(name, &word.id, text, spoken, effect(word))?;
            }
        }
    }
    for word in &pack.shell_verb {
        for text in &word.words {
            let spoken = before.programs.verb(text.trim_end_matches('*'));
            let said = after.programs.verb(text.trim_end_matches('*'));
            let said = said.map_or(Gravity::NONE, |rule| Gravity::of(&rule.effect));
            refuse_lower(name, &word.id, text, spoken, said)?;
        }
    }
    Ok(())
}

fn refuse_lower(
    name: &str,
    id: &str,
    word: &str,
    spoken: Option<&Rule>,
    said: Gravity,
) -> Result<(), RuleError> {
    match spoken {
        Some(rule) if Gravity::of(&rule.effect) > said => Err(RuleError {
            pack: name.to_owned(),
            message: format!("rule {id} lowers a shipped floor, {} holds `{word}`: {REMEDY}", rule.id),
        }),
        _ => Ok(()),
    }
}

/// A call to judge twice.
struct Shown {
    server: String,
    tool: String,
    arguments: Value,
}

impl Shown {
    fn said(&self) -> String {
        let arguments = match &self.arguments {
            Value::Null => String::new(),
            arguments => format!(" {arguments}"),
        };
        format!("`{}{arguments}`", self.tool)
    }

    /// How grave the call is, and by which rule.
    fn gravity(&self, rules: &Rules) -> (Gravity, String) {
        let call =
            Call { kind: Kind::Tool, server: &self.server, tool: &self.tool, arguments: &self.arguments };
        survey(&call, &Context::default(), rules).gravest()
    }
}

/// The call whose gravity fell, the shipped rule that held it, and whether a crisis is no longer heard.
fn lowered(example: &Example, before: &Rules, after: &Rules) -> Option<(Shown, String, bool)> {
    let shown = |tool: &str, arguments: Value| Shown {
        server: "example".to_owned(),
        tool: tool.to_owned(),
        arguments,
    };
    let calls = match example.sample() {
        Sample::Call { server, tool, args } => {
            vec![Shown { server: server.clone(), tool: tool.clone(), arguments: args.clone() }]
        }
        Sample::Path(path) => {
            ["read_file", "write_file", "delete_file"].map(|tool| shown(tool, json!({ "path": path }))).into()
        }
        Sample::Host(url) => vec![shown("fetch", json!({ "url": url }))],
        Sample::Crisis(text) => {
            let lost = crisis::find(text, before).is_some() && crisis::find(text, after).is_none();
            let send = shown("send_message", json!({ "action": "send", "message": text }));
            return lost.then(|| (send, example.rule().to_owned(), true));
        }
        Sample::Pattern(..) | Sample::Missing(_) => Vec::new(),
    };
    calls.into_iter().find_map(|call| {
        let (held, rule) = call.gravity(before);
        let holds = call.gravity(after).0;
        (holds < held).then_some((call, rule, held.crisis() && !holds.crisis()))
    })
}

impl Draft {
    /// The unsigned pack whose rule spoke of the call, else the first of them.
    fn blame(&self, after: &Rules, call: &Shown, held: &str) -> RuleError {
        let outer =
            Call { kind: Kind::Tool, server: &call.server, tool: &call.tool, arguments: &call.arguments };
        let findings = survey(&outer, &Context::default(), after);
        let spoke = findings.rules().find_map(|rule| {
            let mut unsigned = self.unsigned();
            unsigned.find(|(_, pack)| pack.ids().any(|id| id == rule)).map(|(name, _)| (name, rule))
        });
        let (name, what) = match spoke {
            Some((name, rule)) => (name, format!("rule {rule} lowers a shipped floor")),
            None => (self.blamed(false), "it lowers a shipped floor".to_owned()),
        };
        RuleError { pack: name.to_owned(), message: format!("{what}, {held}: {REMEDY}") }
    }

    fn blamed(&self, trusted: bool) -> &str {
        let mut packs = self.packs.iter().filter(|(name, ..)| self.trusted.contains(name) == trusted);
        packs.next().map_or("", |(name, ..)| name)
    }
}
