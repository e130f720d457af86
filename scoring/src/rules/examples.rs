//! The examples in the packs, and whether the rules bear them out.

use serde_json::{Value, json};

use super::Rules;
use super::pack::{self, Pack, Scope};
use crate::assess::survey;
use crate::read::{path, url};
use crate::{Call, Context, Kind, crisis};

#[derive(Debug, Clone)]
pub(crate) struct Example {
    rule: String,
    sample: Sample,
    expected: bool,
}

impl Example {
    pub(super) fn rule(&self) -> &str {
        &self.rule
    }

    pub(super) fn sample(&self) -> &Sample {
        &self.sample
    }
}

#[derive(Debug, Clone)]
pub(super) enum Sample {
    Call {
        server: String,
        tool: String,
        args: Value,
    },
    Path(String),
    Host(String),
    Pattern(Scope, String),
    Crisis(String),
    /// The rule shows none, or shares its id.
    Missing(&'static str),
}

pub(super) fn collect<'p>(packs: impl IntoIterator<Item = &'p (String, Pack, bool)>) -> Vec<Example> {
    let mut collected = Collected::default();
    for (_, pack, _) in packs {
        let calls = |examples: &[pack::Example]| {
            let sample = |example: &pack::Example| Sample::Call {
                server: example.server.clone(),
                tool: example.tool.clone(),
                args: example.args.clone(),
            };
            examples.iter().map(sample).collect::<Vec<_>>()
        };
        for tool in &pack.tool {
            collected.rule(&tool.id, calls(&tool.matches), calls(&tool.differs));
        }
        for tool in &pack.dispatcher {
            collected.rule(&tool.id, calls(&tool.matches), calls(&tool.differs));
        }
        for fields in &pack.fields {
            collected.rule(&fields.id, calls(&fields.matches), calls(&fields.differs));
        }
        for word in pack.verb.iter().chain(&pack.noun) {
            collected.texts(&word.id, &word.matches, &word.differs, &|text| Sample::Call {
                server: "example".to_owned(),
                tool: text,
                args: Value::Null,
            });
        }
        for word in &pack.shell_verb {
            collected.texts(&word.id, &word.matches, &word.differs, &shell);
        }
        for wrapper in &pack.wrapper {
            collected.texts(&wrapper.id, &wrapper.matches, &wrapper.differs, &shell);
        }
        for rule in pack.program.iter().flat_map(|program| &program.rule) {
            collected.texts(&rule.id, &rule.matches, &rule.differs, &shell);
        }
        for option in &pack.option {
            collected.texts(&option.id, &option.matches, &option.differs, &shell);
        }
        for call in &pack.code_call {
            collected.texts(&call.id, &call.matches, &call.differs, &code);
        }
        for path in &pack.path {
            collected.texts(&path.id, &path.matches, &path.differs, &Sample::Path);
        }
        for host in &pack.host {
            collected.texts(&host.id, &host.matches, &host.differs, &Sample::Host);
        }
        for pattern in &pack.pattern {
            collected.texts(&pattern.id, &pattern.matches, &pattern.differs, &|text| {
                Sample::Pattern(pattern.scope, text)
            });
        }
        for rule in &pack.crisis {
            collected.texts(&rule.id, &rule.matches, &rule.differs, &Sample::Crisis);
        }
        for calm in &pack.calm {
            collected.texts(&calm.id, &calm.matches, &calm.differs, &Sample::Crisis);
        }
    }
    collected.examples
}

fn shell(text: String) -> Sample {
    Sample::Call {
        server: "hermes".to_owned(),
        tool: "terminal".to_owned(),
        args: json!({ "command": text }),
    }
}

fn code(text: String) -> Sample {
    Sample::Call {
        server: "hermes".to_owned(),
        tool: "execute_code".to_owned(),
        args: json!({ "code": text }),
    }
}

#[derive(Default)]
struct Collected {
    examples: Vec<Example>,
    seen: std::collections::HashSet<String>,
}

impl Collected {
    fn texts(
        &mut self,
        rule: &str,
        matches: &[String],
        differs: &[String],
        sample: &dyn Fn(String) -> Sample,
    ) {
        let samples = |texts: &[String]| texts.iter().cloned().map(sample).collect::<Vec<_>>();
        self.rule(rule, samples(matches), samples(differs));
    }

    fn rule(&mut self, rule: &str, matches: Vec<Sample>, differs: Vec<Sample>) {
        let example =
            |expected: bool| move |sample: Sample| Example { rule: rule.to_owned(), sample, expected };
        if matches.is_empty() {
            self.examples.push(example(true)(Sample::Missing("shows no example")));
        }
        if !self.seen.insert(rule.to_owned()) {
            self.examples.push(example(true)(Sample::Missing("shares its id with another rule")));
        }
        self.examples.extend(matches.into_iter().map(example(true)));
        self.examples.extend(differs.into_iter().map(example(false)));
    }
}

pub(super) fn disagreements(rules: &Rules, examples: &[Example]) -> Vec<String> {
    examples.iter().filter_map(|example| disagreement(rules, example)).collect()
}

fn disagreement(rules: &Rules, example: &Example) -> Option<String> {
    let matched: Vec<String> = match &example.sample {
        Sample::Missing(fault) => return Some(format!("{} {fault}", example.rule)),
        Sample::Call { server, tool, args } => {
            let call = Call { kind: Kind::Tool, server, tool, arguments: args };
            survey(&call, &Context::default(), rules).rules().map(str::to_owned).collect()
        }
        Sample::Path(text) => path::ids(text, &Context::default(), rules).map(str::to_owned).collect(),
        Sample::Host(text) => url::ids(text, rules),
        Sample::Pattern(scope, text) => {
            let patterns = rules.patterns.get(scope);
            patterns
                .into_iter()
                .flat_map(|patterns| patterns.find(text))
                .map(|(rule, _)| rule.id.clone())
                .collect()
        }
        Sample::Crisis(text) => crisis::ids(text, rules),
    };
    let matches = matched.contains(&example.rule);
    (matches != example.expected).then(|| {
        let said = if matches { "matches but should not" } else { "does not match" };
        format!("{}: {:?} {said}; matched {matched:?}", example.rule, example.sample)
    })
}
