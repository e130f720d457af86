//! Every shipped rule on one page, for people.

use std::fmt::Write as _;

use super::pack::{Example, Pack};
use super::{Effect, RuleError, embedded};

/// The shipped packs as Markdown: what each rule is called, what it says, what it makes of a call, and an example.
///
/// # Errors
/// When a shipped pack does not parse, which the tests rule out.
pub fn reference() -> Result<String, RuleError> {
    let packs = embedded::SOURCES.iter().map(|pack| {
        let read: Pack = toml::from_str(pack.text)
            .map_err(|error| RuleError { pack: pack.name.to_owned(), message: error.to_string() })?;
        Ok((pack, read))
    });
    let packs: Vec<_> = packs.collect::<Result<_, RuleError>>()?;
    let mut page = String::from(
        "# The shipped rules\n\nGenerated from `scoring/rules/` by `herma rules reference`; change the packs, not this \
         page. A rule names an effect, and an effect holds the numbers. Packs of your own have the same form.\n\n\
         ## Effects\n\n| effect | class | undone | target | harm | breadth | floor | |\n|---|---|---|---|---|---|---|---|\n",
    );
    for (name, effect) in packs.iter().flat_map(|(_, pack)| &pack.effects) {
        effect_row(&mut page, name, effect);
    }
    for (embedded, pack) in &packs {
        let rows = rows(pack);
        if rows.is_empty() {
            continue;
        }
        let title = embedded.name.trim_end_matches(".toml");
        let remark = embedded.text.lines().take_while(|line| line.starts_with('#'));
        let remark: Vec<&str> = remark.map(|line| line.trim_start_matches('#').trim()).collect();
        let _ = write!(
            page,
            "\n## {title}\n\n{}\n\n| rule | it says | effect | example |\n|---|---|---|---|\n",
            remark.join(" ")
        );
        for row in rows {
            let [id, reason, effect, example] = row.map(|cell| cell.replace('|', "\\|").replace('\n', " "));
            let example = if example.is_empty() { example } else { format!("`` {example} ``") };
            let _ = writeln!(page, "| `{id}` | {reason} | {effect} | {example} |");
        }
    }
    Ok(page)
}

fn effect_row(page: &mut String, name: &str, effect: &Effect) {
    let number = |value: f64| if value > 0.0 { format!("{value:.2}") } else { String::new() };
    let mut more = Vec::new();
    more.extend(effect.outbound.then(|| "leaves this machine".to_owned()));
    more.extend(effect.crisis.then(|| "a person confirms, whatever else is said".to_owned()));
    more.extend(effect.prior.map(|prior| format!("prior {prior:.2}")));
    more.extend(effect.confidence.map(|cap| format!("confidence at most {cap:.2}")));
    let _ = writeln!(
        page,
        "| `{name}` | {} | {} | {} | {} | {} | {} | {} |",
        word(&effect.class),
        word(&effect.undone),
        number(effect.target),
        number(effect.harm),
        number(effect.breadth),
        number(effect.floor),
        more.join("; ")
    );
}

/// The word of a value in packs.
fn word(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().replace('_', " ")
}

/// Id, reason, effect and example of every rule. Words of people in distress are left in their packs.
fn rows(pack: &Pack) -> Vec<[String; 4]> {
    let mut rows = Vec::new();
    let mut row = |id: &str, reason: &str, effect: &str, example: Option<String>| {
        rows.push([id.to_owned(), reason.to_owned(), effect.to_owned(), example.unwrap_or_default()]);
    };
    let text = |examples: &[String]| examples.first().cloned();
    for rule in &pack.tool {
        row(&rule.id, &rule.reason, &rule.effect, rule.matches.first().map(call));
    }
    for rule in &pack.dispatcher {
        row(&rule.id, &rule.reason, "that of the inner tool", rule.matches.first().map(call));
    }
    for rule in pack.verb.iter().chain(&pack.noun).chain(&pack.shell_verb) {
        row(&rule.id, &rule.reason, &rule.effect, text(&rule.matches));
    }
    for rule in &pack.fields {
        row(&rule.id, &rule.reason, &rule.effect, rule.matches.first().map(call));
    }
    for rule in &pack.wrapper {
        row(&rule.id, &rule.reason, "that of the inner command", text(&rule.matches));
    }
    for rule in pack.program.iter().flat_map(|program| &program.rule) {
        row(&rule.id, &rule.reason, &rule.effect, text(&rule.matches));
    }
    for rule in &pack.option {
        row(&rule.id, &rule.reason, &rule.effect, text(&rule.matches));
    }
    for rule in &pack.path {
        let uses = [("read", &rule.read), ("write", &rule.write), ("delete", &rule.delete)];
        let uses = uses.iter().filter_map(|(name, effect)| Some(format!("{name}: {}", effect.as_ref()?)));
        row(&rule.id, &rule.reason, &uses.collect::<Vec<_>>().join(", "), text(&rule.matches));
    }
    for rule in &pack.host {
        row(&rule.id, &rule.reason, &rule.effect, text(&rule.matches));
    }
    for rule in &pack.pattern {
        row(&rule.id, &rule.reason, &rule.effect, text(&rule.matches));
    }
    for rule in pack.signals.values() {
        row(&rule.id, &rule.reason, &rule.effect, None);
    }
    for rule in &pack.crisis {
        row(&rule.id, &rule.reason, "crisis", None);
    }
    for rule in &pack.calm {
        row(&rule.id, &rule.reason, "takes back", None);
    }
    rows
}

fn call(example: &Example) -> String {
    if example.args.is_null() { example.tool.clone() } else { format!("{} {}", example.tool, example.args) }
}
