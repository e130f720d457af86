//! Shell text, command by command: what runs, on what, and what flows from one to the next.

use std::collections::HashMap;

use serde_json::Value;

use crate::Context;
use crate::read::{code, sql};
use crate::rules::pack::Scope;
use crate::rules::{Rules, Signal};
use crate::weigh::{Findings, Place};

mod braces;
mod brush;
mod carried;
mod command;
mod disguise;
mod expand;
mod files;
mod filters;
mod interpreter;
mod options;
#[cfg(test)]
mod second_opinion;
mod spoken;
mod syntax;
mod wrapper;

use syntax::{Script, Simple, Stage, Syntax, Unreadable};

/// Texts inside texts: `bash -c "bash -c …"`.
const DEPTH: usize = 6;
/// Commands run per text, functions and nested texts included.
const STEPS: usize = 2_000;
/// Bytes parsed per text, those of nested texts included: a file that runs itself twice doubles at every depth.
const BYTES: usize = 256 << 10;

/// Adds what the shell text does.
pub(crate) fn read<'r>(
    text: &str,
    at: &Place,
    context: &Context<'_>,
    rules: &'r Rules,
    findings: &mut Findings<'r>,
) {
    Walk::new(at, context, rules, findings).text(text, Flow::default());
}

/// Whether one of the first words is a program some pack knows.
pub(crate) fn opens_like_command(text: &str, rules: &Rules) -> bool {
    let words = text.split(|letter: char| {
        letter.is_whitespace() || matches!(letter, ';' | '|' | '&' | '(' | '$' | '`' | '{')
    });
    words
        .filter(|word| !word.is_empty())
        .take(3)
        .any(|word| rules.programs.knows(word.rsplit('/').next().unwrap_or_default()))
}

/// As [`read`], for text that may be no command at all: it counts only where it would be decisive.
pub(crate) fn attempt<'r>(
    text: &str,
    at: &Place,
    context: &Context<'_>,
    rules: &'r Rules,
    findings: &mut Findings<'r>,
) {
    Walk::new(at, context, rules, findings).attempt(|walk| {
        walk.text(text, Flow::default());
    });
}

/// A program and its argument list as one shell text. A lone command word stays as it is: it may be shell itself.
pub(crate) fn joined(command: &str, words: &[Value]) -> String {
    words.iter().filter_map(Value::as_str).fold(command.to_owned(), |mut text, word| {
        text.push_str(" '");
        text.push_str(&word.replace('\'', r"'\''"));
        text.push('\'');
        text
    })
}

/// What comes through a pipe or out of a substitution.
#[derive(Debug, Clone, Default)]
struct Flow {
    /// Known word for word.
    literal: Option<String>,
    network: bool,
    secret: bool,
    file: bool,
    decoded: bool,
    /// A program made it up as it ran.
    printed: bool,
    /// It is what a shell says that takes its orders from a pipe.
    shell: bool,
}

impl Flow {
    fn taint(&mut self, other: &Self) {
        self.network |= other.network;
        self.secret |= other.secret;
        self.file |= other.file;
        self.decoded |= other.decoded;
        self.printed |= other.printed;
        self.shell |= other.shell;
    }

    /// What comes after it on the same pipe: all is known only when both are.
    fn follow(&mut self, next: Self) {
        self.taint(&next);
        let before = self.literal.take();
        self.printed |= before.is_some() != next.literal.is_some() && before.as_deref() != Some("");
        self.literal = before.zip(next.literal).map(|(before, next)| before + &next);
    }
}

/// A word after expansion.
#[derive(Debug, Clone, Default)]
struct Arg {
    text: String,
    known: bool,
    flow: Flow,
    /// It names a pipe (`<(…)`): its text is what flows.
    pipe: bool,
}

impl Arg {
    fn word(text: &str) -> Self {
        Self { text: text.to_owned(), known: true, ..Self::default() }
    }
}

struct Walk<'w, 'r> {
    rules: &'r Rules,
    context: &'w Context<'w>,
    findings: &'w mut Findings<'r>,
    /// Where the command now read lies.
    at: Place,
    /// Where the text now read lies.
    outer: Place,
    variables: HashMap<String, Option<String>>,
    /// Where the values of variables come from, for those that hold more than words.
    origins: HashMap<String, Flow>,
    functions: HashMap<String, Script>,
    calling: Vec<String>,
    /// Names of files that came over the network in this text.
    fetched: Vec<String>,
    /// Something that came over the network was unpacked.
    unpacked: bool,
    /// Files this text wrote, with what they hold when that is known.
    written: HashMap<String, Option<String>>,
    /// Programs by the names this text gave them, be it by a link, a copy or an alias.
    named: HashMap<String, String>,
    /// The directory this text went to.
    here: Option<String>,
    /// It surely got there: what is now read would not run otherwise.
    arrived: bool,
    /// What comes in through the pipe of the command whose words are read.
    feeding: Flow,
    /// The words now read may be no command.
    attempting: bool,
    /// The command runs on every file of a tree.
    walking: bool,
    /// Another user's rights are in force.
    privileged: bool,
    depth: usize,
    steps: usize,
    bytes: usize,
}

impl<'w, 'r> Walk<'w, 'r> {
    fn new(at: &Place, context: &'w Context<'w>, rules: &'r Rules, findings: &'w mut Findings<'r>) -> Self {
        Self {
            rules,
            context,
            findings,
            at: at.fix(),
            outer: at.clone(),
            variables: HashMap::new(),
            origins: HashMap::new(),
            functions: HashMap::new(),
            calling: Vec::new(),
            fetched: Vec::new(),
            unpacked: false,
            written: HashMap::new(),
            named: HashMap::new(),
            here: None,
            arrived: false,
            feeding: Flow::default(),
            attempting: false,
            walking: false,
            privileged: false,
            depth: 0,
            steps: STEPS,
            bytes: BYTES,
        }
    }

    fn signal(&mut self, signal: Signal) {
        self.findings.add(self.rules.signal(signal), self.at.clone());
    }

    fn doubt(&mut self, signal: Signal, cap: f64) {
        self.findings.doubt(self.rules.signal(signal), cap, self.at.clone());
    }

    fn text(&mut self, text: &str, input: Flow) -> Flow {
        let Some(bytes) = self.bytes.checked_sub(text.len()).filter(|_| self.depth < DEPTH) else {
            self.signal(Signal::ShellTooLarge);
            return Flow::default();
        };
        self.bytes = bytes;
        let text = unfenced(text);
        let unbroken;
        let text = if text.contains("\r\n") {
            unbroken = text.replace("\r\n", "\n");
            unbroken.as_str()
        } else {
            text
        };
        if sql::is_bare_statement(text) {
            sql::read(text, &self.at, self.rules, self.findings);
            // A shell that is given a statement goes on with the next line.
            for line in text.lines().skip(1).filter(|line| opens_like_command(line, self.rules)) {
                self.attempt(|walk| {
                    walk.text(line, Flow::default());
                });
            }
            return Flow::default();
        }
        match brush::Brush.parse(text) {
            Ok(script) => {
                self.depth += 1;
                let spans = self.depth == 1 && text.is_ascii();
                let output = self.script(&script, &input, spans);
                self.arrived = false;
                self.depth -= 1;
                output
            }
            Err(Unreadable::TooLarge) => {
                self.signal(Signal::ShellTooLarge);
                Flow::default()
            }
            Err(Unreadable::Syntax) => {
                self.unreadable(text);
                Flow::default()
            }
        }
    }

    fn unreadable(&mut self, text: &str) {
        if sql::is_statement(text) {
            sql::read(text, &self.at, self.rules, self.findings);
        }
        let dangerous = self.rules.patterns.get(&Scope::Shell).is_some_and(|patterns| patterns.any(text));
        self.signal(if dangerous { Signal::ShellUnparsedDanger } else { Signal::ShellUnparsed });
    }

    fn script(&mut self, script: &Script, input: &Flow, spans: bool) -> Flow {
        let mut output = Flow { literal: Some(String::new()), ..Flow::default() };
        for pipeline in &script.0 {
            let mut flow = input.clone();
            self.arrived &= pipeline.follows;
            for stage in &pipeline.stages {
                flow = self.stage(stage, flow, spans);
            }
            // Each stage of several goes its own way.
            self.arrived &= pipeline.stages.len() == 1;
            output.follow(flow);
        }
        output.literal = output.literal.filter(|_| !script.0.is_empty());
        output
    }

    fn stage(&mut self, stage: &Stage, input: Flow, spans: bool) -> Flow {
        if self.steps == 0 {
            self.signal(Signal::ShellTooLarge);
            return Flow::default();
        }
        self.steps -= 1;
        match stage {
            Stage::Simple(simple) => {
                if spans && let Some(span) = simple.span {
                    self.at = self.outer.span(span).fix();
                }
                self.simple(simple, input)
            }
            Stage::Group { variable, words, parts, redirects, apart } => {
                let here = apart.then(|| (self.here.clone(), self.arrived));
                if let Some((name, values)) = variable {
                    let value: Vec<Arg> = values.iter().flat_map(|word| self.expand(word)).collect();
                    self.comes(name, &value);
                    if let Some(origin) = self.origins.get_mut(name) {
                        // A list of hosts in a file is no secret.
                        origin.file = false;
                    }
                    let value = value.into_iter().next();
                    self.variables.insert(name.clone(), value.filter(|arg| arg.known).map(|arg| arg.text));
                }
                for word in words {
                    for arg in self.expand(word) {
                        self.subscript(&arg.text);
                    }
                }
                let (input, files) = self.redirects(redirects, input);
                let mut output = Flow::default();
                for part in parts {
                    let flow = self.script(part, &input, spans);
                    output.taint(&flow);
                    if parts.len() == 1 {
                        output.literal = flow.literal;
                    }
                }
                self.pour(redirects, &files, &output);
                if let Some(here) = here {
                    (self.here, self.arrived) = here;
                }
                output
            }
            Stage::Function { name, body } => {
                self.functions.insert(name.clone(), body.clone());
                // Called or not, what it holds is what it may do.
                self.calling.push(name.clone());
                self.script(body, &Flow::default(), spans);
                self.calling.pop();
                Flow::default()
            }
        }
    }

    fn simple(&mut self, simple: &Simple, input: Flow) -> Flow {
        let outer = std::mem::replace(&mut self.feeding, input.clone());
        for (name, word) in &simple.assigns {
            let value = self.expand(word);
            let known = value.iter().all(|arg| arg.known);
            let text = value.iter().map(|arg| arg.text.as_str()).collect::<Vec<_>>().join(" ");
            if matches!(name.as_str(), "PATH" | "LD_LIBRARY_PATH") {
                // What it starts with is found first, whatever follows.
                self.subs(&self.rules.programs.of("export"), &[], &[&format!("{name}={text}")], &[]);
            }
            self.assigned(name, known.then_some(&text));
            self.comes(name, &value);
            self.variables.insert(name.clone(), known.then_some(text));
        }
        let args: Vec<Arg> = simple.words.iter().flat_map(|word| self.expand(word)).collect();
        let (input, files) = self.redirects(&simple.redirects, input);
        let output = self.run(&args, input);
        if let [program, to] = args.as_slice() {
            // Behind a wrapper, or under another meaning, it may have changed nothing here.
            let goes = program.text == "cd" && to.known && to.text.starts_with(['/', '~']);
            self.arrived = (goes && !self.functions.contains_key("cd") && self.named.is_empty())
                || (self.arrived && !goes);
        }
        self.pour(&simple.redirects, &files, &output);
        self.feeding = outer;
        output
    }

    /// Remembers what a variable carries.
    fn comes(&mut self, name: &str, value: &[Arg]) {
        let mut flow = command::merged(value);
        flow.literal = None;
        if flow.secret || flow.file || flow.network || flow.decoded {
            self.origins.insert(name.to_owned(), flow);
        } else {
            self.origins.remove(name);
        }
    }

    /// Settings that make an innocent program run something else.
    fn assigned(&mut self, name: &str, value: Option<&String>) {
        let setting = format!("{name}=");
        if let Some(value) = value {
            if matches!(name, "PS0" | "PS1" | "PS2" | "PS4") {
                self.prompt(value);
            }
            // A sum, a test or a name that is looked up through it expands the index.
            if value.contains('[') {
                self.attempt(|walk| walk.subscript(value));
            }
        }
        if let Some(rule) = self.rules.programs.verb(&setting) {
            self.findings.add(rule, self.at.clone());
        }
        let wrapper = self.rules.programs.wrappers.get(&setting).and_then(|found| found.first());
        if let (Some(wrapper), Some(value)) = (wrapper, value) {
            self.findings.add(&wrapper.0, self.at.clone());
            self.text(value.trim_start_matches('|'), Flow::default());
        }
    }

    /// A prompt is expanded when it is shown.
    fn prompt(&mut self, text: &str) {
        if brush::runs(text) {
            self.text(&format!(": <<PROMPT\n{text}\nPROMPT\n"), Flow::default());
        }
    }

    /// `x[$(cmd)]` given to a command that takes a name: what stands between the brackets is run.
    fn subscript(&mut self, text: &str) {
        let inner = text.split_once('[').and_then(|(_, rest)| rest.rsplit_once(']'));
        if let Some((inner, _)) = inner.filter(|(inner, _)| brush::runs(inner)) {
            self.text(&format!(": {inner}"), Flow::default());
        }
    }

    /// Runs text as code of the interpreter's language.
    fn interpret(&mut self, text: &str, language: crate::rules::pack::Language, input: Flow) -> Flow {
        use crate::rules::pack::Language;
        match language {
            Language::Shell => self.text(text, input),
            Language::Sql => {
                sql::read(text, &self.at, self.rules, self.findings);
                Flow::default()
            }
            Language::Code => {
                if self.depth >= DEPTH {
                    self.signal(Signal::ShellTooLarge);
                } else {
                    code::read(text, false, &self.at, self.context, self.rules, self.findings);
                }
                Flow { printed: true, literal: None, ..input }
            }
        }
    }
}

/// The text between the marks that show it is code: models put them where none belong.
fn unfenced(text: &str) -> &str {
    let inner = || {
        let (language, rest) = text.trim().strip_prefix("```")?.split_once('\n')?;
        let inner = rest.strip_suffix("```")?;
        (language.len() < 12 && !inner.contains("```")).then_some(inner)
    };
    inner().unwrap_or(text)
}
