//! Python, by its own grammar: what it calls, whatever the calls are named here, and with what.

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{Expr, ExprCall, ModModule, Stmt};
use ruff_python_parser::{Mode, ParseOptions, Parsed};
use ruff_text_size::Ranged;
use serde_json::{Map, json};

use crate::read::path::{self, Use};
use crate::read::{shell, sql, url};
use crate::rules::calls::{CodeCall, Takes};
use crate::rules::glob;
use crate::rules::pack::Scope;
use crate::rules::{Rule, Rules, Signal};
use crate::weigh::{Findings, Place};
use crate::{Call, Context, Kind, assess};

mod depth;
mod handed;
mod notebook;
mod value;

use value::{Names, Value};

/// Bytes of code parsed, and code inside code.
const BYTES: usize = 64 << 10;
const DEPTH: usize = 4;

/// How much of a text was understood as Python.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Understood {
    /// It is too long or too deep to be read by anything.
    TooDeep,
    /// It is another language, or none.
    Nothing,
    /// Something is called that no rule knows: it may be another language after all.
    Partly,
    All,
}

/// Adds what the code does. A cell may speak to the shell (`!ls`, `%%bash`).
pub(crate) fn read<'r>(
    text: &str,
    cell: bool,
    at: &Place,
    context: &Context<'_>,
    rules: &'r Rules,
    findings: &mut Findings<'r>,
) -> Understood {
    if !cell && !could_be(text) {
        return Understood::Nothing;
    }
    if let Some(read) = cell.then(|| notebook::magic(text, at, context, rules, findings)).flatten() {
        return read;
    }
    read_within(text, cell, at, context, rules, findings, 0)
}

fn parsed(text: &str, cell: bool) -> Result<Parsed<ModModule>, Understood> {
    let mode = if cell { Mode::Ipython } else { Mode::Module };
    if text.len() > BYTES || depth::is_too_deep(text, mode) {
        return Err(Understood::TooDeep);
    }
    let parsed = ruff_python_parser::parse(text, ParseOptions::from(mode)).ok();
    let parsed = parsed.filter(|_| !is_recoded(text)).and_then(Parsed::try_into_module);
    parsed.ok_or(Understood::Nothing)
}

/// Whether the text says that its bytes stand for other letters.
fn is_recoded(text: &str) -> bool {
    let mut named = text.lines().take(2).filter(|line| line.starts_with('#')).filter_map(|line| {
        let (_, name) = line.split_once("coding")?;
        Some(name.strip_prefix([':', '='])?.trim_start().to_ascii_lowercase().replace('_', "-"))
    });
    named.any(|name| {
        !["utf-8", "utf8", "ascii", "us-ascii", "latin-1", "iso-8859"]
            .iter()
            .any(|known| name.starts_with(known))
    })
}

fn read_within<'r>(
    text: &str,
    cell: bool,
    at: &Place,
    context: &Context<'_>,
    rules: &'r Rules,
    findings: &mut Findings<'r>,
    depth: usize,
) -> Understood {
    let module = match parsed(text, cell) {
        Ok(module) => module,
        Err(understood) => return understood,
    };
    let mut reader = Reader {
        text,
        at,
        context,
        rules,
        findings,
        names: Names::default(),
        literals: Vec::new(),
        depth,
        loops: 0,
        classes: 0,
        unknown: false,
        acts: false,
    };
    reader.visit_body(module.suite());
    let (unknown, acts) = (reader.unknown, reader.acts);
    if unknown {
        return Understood::Partly;
    }
    let literals = reader.literals;
    let patterns = rules.patterns.get(&Scope::Code).filter(|_| acts);
    for (rule, span) in patterns.into_iter().flat_map(|patterns| patterns.find(text)) {
        // Calls are known better by their names; what several of them do together is in the patterns.
        let spoken = literals.iter().any(|(from, to)| *from <= span.0 && span.1 <= *to);
        if rule.effect.floor > 0.0 && !spoken {
            findings.add(rule, at.span(span));
        }
    }
    Understood::All
}

/// Whether the text may be Python, and not another language whose calls look the same.
pub(crate) fn could_be(text: &str) -> bool {
    const OTHERS: [&str; 19] = [
        "console.",
        "require(",
        "const ",
        "let ",
        "var ",
        "=>",
        "function ",
        "function(",
        "===",
        "&&",
        "||",
        ") {",
        "){",
        "});",
        "document.",
        "window.",
        "puts ",
        "process.",
        "$_",
    ];
    !OTHERS.iter().any(|other| text.contains(other))
}

struct Reader<'p, 'r> {
    text: &'p str,
    at: &'p Place,
    context: &'p Context<'p>,
    rules: &'r Rules,
    findings: &'p mut Findings<'r>,
    names: Names,
    /// Where texts stand in the code.
    literals: Vec<(usize, usize)>,
    depth: usize,
    /// Loops around what is read.
    loops: usize,
    /// What a class body calls a function may be called by the language itself.
    classes: usize,
    /// Something is called of which nobody knows what it does.
    unknown: bool,
    /// Something is called that does more than compute.
    acts: bool,
}

impl<'r> Visitor<'_> for Reader<'_, 'r> {
    fn visit_stmt(&mut self, statement: &Stmt) {
        match statement {
            Stmt::Import(import) => {
                for alias in &import.names {
                    let name = alias.asname.as_ref().unwrap_or(&alias.name);
                    let module = if alias.asname.is_some() {
                        alias.name.as_str()
                    } else {
                        alias.name.as_str().split('.').next().unwrap_or_default()
                    };
                    self.names.call(name.as_str().split('.').next().unwrap_or_default(), module.to_owned());
                }
            }
            Stmt::ImportFrom(import) => {
                let module = import.module.as_ref().map_or("", |module| module.as_str());
                for alias in &import.names {
                    let name = alias.asname.as_ref().unwrap_or(&alias.name);
                    self.names.call(name.as_str(), format!("{module}.{}", alias.name));
                }
            }
            Stmt::Assign(assignment) => {
                for target in &assignment.targets {
                    self.bind(target, &assignment.value);
                }
            }
            Stmt::AnnAssign(assignment) => {
                if let Some(value) = &assignment.value {
                    self.bind(&assignment.target, value);
                }
            }
            Stmt::For(each) => {
                if let Expr::Name(name) = each.target.as_ref() {
                    for item in self.names.worth(&each.iter) {
                        if let Value::List(items) = item {
                            items.into_iter().for_each(|item| self.names.give(name.id.as_str(), item));
                        }
                    }
                }
            }
            Stmt::With(with) => {
                for item in &with.items {
                    if let Some(target) = &item.optional_vars {
                        self.bind(target, &item.context_expr);
                    }
                }
            }
            _ => {}
        }
        let looped = usize::from(matches!(statement, Stmt::For(_) | Stmt::While(_)));
        let classed = usize::from(matches!(statement, Stmt::ClassDef(_)));
        self.loops += looped;
        self.classes += classed;
        match statement {
            Stmt::IpyEscapeCommand(command) => self.escape(command.kind, &command.value),
            // A function by another name is judged where that name is called.
            Stmt::Assign(assignment) if self.classes == 0 && self.renames(assignment) => {}
            statement => visitor::walk_stmt(self, statement),
        }
        self.loops -= looped;
        self.classes -= classed;
    }

    /// What a type is said to be runs nothing.
    fn visit_annotation(&mut self, _: &Expr) {}

    fn visit_expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Call(call) => {
                self.called(call);
                self.callee(&call.func);
                if !matches!(call.func.as_ref(), Expr::Name(name) if name.id == "isinstance") {
                    self.visit_arguments(&call.arguments);
                }
                self.handed(expr);
                return;
            }
            Expr::Name(name) if name.ctx.is_load() => self.handed(expr),
            Expr::Attribute(_) | Expr::Subscript(_) => self.handed(expr),
            Expr::StringLiteral(literal) => {
                self.literals.push((literal.range.start().to_usize(), literal.range.end().to_usize()));
            }
            Expr::Named(named) => self.bind(&named.target, &named.value),
            Expr::IpyEscapeCommand(command) => self.escape(command.kind, &command.value),
            _ => {}
        }
        visitor::walk_expr(self, expr);
    }
}

impl<'r> Reader<'_, 'r> {
    /// Names the rule, for whoever asks why; what is found inside says what it does.
    fn note(&mut self, rule: &'r Rule, at: Place) {
        self.findings.doubt(rule, 1.0, at);
    }

    fn bind(&mut self, target: &Expr, value: &Expr) {
        let Expr::Name(name) = target else { return };
        if let Some(thing) = self.names.dotted(value) {
            self.names.call(name.id.as_str(), thing);
        }
        for value in self.names.worth(value) {
            self.names.give(name.id.as_str(), value);
        }
    }

    fn called(&mut self, call: &ExprCall) {
        let Some(name) = self.names.dotted(&call.func) else {
            self.unknown = true;
            return;
        };
        let rules = self.rules;
        let mut known = false;
        for (rule, spec) in rules.code_calls.of(&name) {
            if rule.id == "python.plain" && known {
                continue;
            }
            if !self.speaks(spec, &name, call) {
                continue;
            }
            known = true;
            self.acts |= rule.id != "python.plain";
            self.takes(rule, spec, &name, call);
        }
        self.unknown |= !known && !is_own(self.text, &name);
        if name != "print" {
            self.guarded(call);
        }
    }

    /// Whether a rule that speaks of some calls of a function speaks of this one.
    fn speaks(&self, spec: &CodeCall, name: &str, call: &ExprCall) -> bool {
        let worth = || {
            let argument = self.argument(spec, name, call);
            argument.map(|argument| self.names.worth(argument)).unwrap_or_default()
        };
        let listed = |text: &String| spec.only.iter().any(|only| glob::matches(only, &text.to_lowercase()));
        (!spec.looped || self.loops > 0)
            && (spec.only.is_empty() || worth().iter().flat_map(Value::texts).any(|text| listed(&text)))
    }

    fn takes(&mut self, rule: &'r Rule, spec: &CodeCall, name: &str, call: &ExprCall) {
        let at = self.at.fix();
        let (context, rules) = (self.context, self.rules);
        let argument = self.argument(spec, name, call);
        let worth = argument.map(|argument| self.names.worth(argument)).unwrap_or_default();
        let texts: Vec<String> = worth.iter().filter_map(Value::text).collect();
        match spec.takes {
            Takes::Nothing | Takes::Url => {
                self.findings.add(rule, at.clone());
                let sends =
                    rule.effect.outbound || call.arguments.args.len() + call.arguments.keywords.len() > 1;
                if spec.takes == Takes::Url && sends && self.carries_file(call) {
                    self.findings.add(rules.signal(Signal::ShellFileToNetwork), at.clone());
                }
                for text in texts.iter().filter(|text| text.contains("://")) {
                    url::read(text, &at, rules, self.findings);
                }
            }
            Takes::Tool => self.tool(rule, name, call),
            Takes::Shell | Takes::Words => {
                let commands: Vec<String> = if spec.takes == Takes::Words {
                    let words = call.arguments.args.iter().skip(spec.at);
                    let words = words.map(|word| self.names.worth(word).pop()).collect::<Option<Vec<_>>>();
                    words.map(Value::List).iter().filter_map(command).collect()
                } else {
                    worth.iter().filter_map(command).collect()
                };
                if commands.is_empty() {
                    // It may be any of the texts around.
                    self.unknown = true;
                    self.findings.add(rule, at.clone());
                    if argument.is_some_and(|argument| made_up(self.text, argument)) {
                        self.findings.add(rules.signal(Signal::ShellDecodedCode), at.clone());
                    }
                }
                for command in commands {
                    shell::read(&command, &at, context, rules, self.findings);
                    self.note(rule, at.clone());
                }
            }
            Takes::Code => {
                if texts.is_empty() {
                    self.findings.add(rule, at.clone());
                    if argument.is_some_and(|argument| made_up(self.text, argument)) {
                        self.findings.add(rules.signal(Signal::ShellDecodedCode), at.clone());
                    }
                }
                for text in texts {
                    self.note(rule, at.clone());
                    if self.depth >= DEPTH {
                        self.findings.add(rules.signal(Signal::ShellTooLarge), at.clone());
                        continue;
                    }
                    match read_within(&text, false, &at, context, rules, self.findings, self.depth + 1) {
                        Understood::All => {}
                        Understood::TooDeep => {
                            self.findings.add(rules.signal(Signal::CodeUnread), at.clone());
                        }
                        Understood::Nothing | Understood::Partly => {
                            // Perl and Ruby hand the text of `exec` to a shell.
                            self.unknown = true;
                            self.findings.add(rules.signal(Signal::CodeOpaque), at.clone());
                        }
                    }
                }
            }
            Takes::Sql => {
                for text in texts.iter().filter(|text| sql::is_statement(text)) {
                    self.note(rule, at.clone());
                    sql::read(text, &at, rules, self.findings);
                }
            }
            Takes::Mode => {
                let dangerous = |value: &Value| match value {
                    Value::Number(mode) => mode & 0o6002 != 0,
                    _ => false,
                };
                self.findings.add(rule, at.clone());
                if worth.iter().any(dangerous) {
                    self.findings.add(rules.signal(Signal::ShellRightsMany), at.clone());
                }
            }
            Takes::Open => {
                self.note(rule, at.clone());
                let used = if self.writes(call) { Use::Write } else { Use::Read };
                if used == Use::Write {
                    self.findings.add(rules.signal(Signal::ShellWritesFile), at.clone());
                }
                // In Perl and Ruby a bar makes it a command.
                self.unknown |= texts.iter().any(|text| text.starts_with('|') || text.ends_with('|'));
                for text in texts {
                    path::read(&text, used, &at, context, rules, self.findings);
                }
            }
            Takes::Read => {
                self.note(rule, at.clone());
                for text in texts {
                    path::read(&text, Use::Read, &at, context, rules, self.findings);
                }
            }
            Takes::Write | Takes::Copy => {
                self.findings.add(rule, at.clone());
                let used = if spec.takes == Takes::Copy { Use::Read } else { Use::Write };
                for text in &texts {
                    path::read(text, used, &at, context, rules, self.findings);
                }
                let to = call.arguments.args.get(1).filter(|_| spec.takes == Takes::Copy);
                for text in
                    to.map(|to| self.names.worth(to)).unwrap_or_default().iter().filter_map(Value::text)
                {
                    path::read(&text, Use::Write, &at, context, rules, self.findings);
                }
            }
            Takes::Delete | Takes::DeleteTree => {
                if texts.is_empty() {
                    self.findings.add(rule, at.clone());
                }
                for text in texts {
                    if path::nature(&text, context, rules).scratch && !text.contains("..") {
                        self.findings.add(rules.signal(Signal::ShellDeletesScratch), at.clone());
                        self.note(rule, at.clone());
                    } else {
                        self.findings.add(rule, at.clone());
                        path::read(&text, Use::Delete, &at, context, rules, self.findings);
                    }
                }
            }
        }
    }

    /// Whether an argument is a file, or what was read from one.
    fn carries_file(&self, call: &ExprCall) -> bool {
        const FILES: [&str; 4] = ["open(", "read_text(", "read_bytes(", "read("];
        let arguments = &call.arguments;
        let exprs = arguments.args.iter().chain(arguments.keywords.iter().map(|keyword| &keyword.value));
        exprs.into_iter().any(|expr| {
            let range = expr.range();
            let own = self.text.get(range.start().to_usize()..range.end().to_usize()).unwrap_or_default();
            let thing = self.names.dotted(expr).unwrap_or_default();
            FILES.iter().any(|file| own.contains(file) || thing.contains(file))
        })
    }

    /// The argument a rule speaks of; for a method, what it is called on.
    fn argument<'e>(&self, spec: &CodeCall, name: &str, call: &'e ExprCall) -> Option<&'e Expr> {
        const NAMES: [&str; 14] = [
            "args", "cmd", "command", "path", "file", "filename", "url", "source", "src", "sql", "query",
            "mode", "name", "func",
        ];
        if let (true, Expr::Attribute(method)) = (name.starts_with("pathlib."), call.func.as_ref()) {
            return Some(&method.value);
        }
        let arguments = &call.arguments;
        arguments.args.get(spec.at).or_else(|| {
            let named = |keyword: &&ruff_python_ast::Keyword| {
                keyword.arg.as_ref().is_some_and(|arg| NAMES.contains(&arg.as_str()))
            };
            arguments.keywords.iter().find(named).map(|keyword| &keyword.value)
        })
    }

    fn writes(&self, call: &ExprCall) -> bool {
        let named =
            call.arguments.keywords.iter().find(|keyword| {
                keyword.arg.as_ref().is_some_and(|arg| matches!(arg.as_str(), "mode" | "flags"))
            });
        let mode = call.arguments.args.get(1).or(named.map(|keyword| &keyword.value));
        let Some(mode) = mode else { return false };
        let modes = self.names.worth(mode);
        modes.is_empty()
            || modes
                .iter()
                .filter_map(Value::text)
                .any(|mode| mode.contains(['w', 'a', 'x', '+', '|']) || mode.parse::<i64>().is_ok())
    }

    /// A tool called from inside the code: the same call as from outside.
    fn tool(&mut self, rule: &'r Rule, name: &str, call: &ExprCall) {
        self.note(rule, self.at.clone());
        if self.depth >= DEPTH {
            self.findings.add(self.rules.signal(Signal::ShellTooLarge), self.at.clone());
            return;
        }
        let own = name.rsplit('.').next().unwrap_or_default();
        let mut given = call.arguments.args.iter();
        let tool = match own {
            "call" | "call_tool" => given.next().and_then(|first| self.names.worth(first).first()?.text()),
            own => Some(own.to_owned()),
        };
        let Some(tool) = tool else {
            self.findings.add(rule, self.at.clone());
            return;
        };
        let mut fields = Map::new();
        for (field, argument) in positions(&tool).iter().zip(given) {
            fields.insert((*field).to_owned(), self.plain(argument));
        }
        for keyword in &call.arguments.keywords {
            if let Some(arg) = &keyword.arg {
                fields.insert(arg.to_string(), self.plain(&keyword.value));
            }
        }
        let arguments = serde_json::Value::Object(fields);
        let inner = Call { kind: Kind::Tool, server: "", tool: &tool, arguments: &arguments };
        let around = Context { definition: None, ..*self.context };
        self.findings.absorb(assess::survey(&inner, &around, self.rules));
    }

    fn plain(&self, expr: &Expr) -> serde_json::Value {
        fn plain(value: &Value) -> serde_json::Value {
            match value {
                Value::List(items) => items.iter().map(plain).collect(),
                Value::Number(number) => json!(number),
                other => json!(other.text()),
            }
        }
        match self.names.worth(expr).as_slice() {
            [] => serde_json::Value::Null,
            [one] => plain(one),
            [.., last] => plain(last),
        }
    }
}

/// What the arguments of well-known tools are called, in order.
fn positions(tool: &str) -> &'static [&'static str] {
    match tool {
        "write_file" => &["path", "content"],
        "read_file" | "delete_file" | "patch" => &["path"],
        "search_files" => &["pattern", "path"],
        "web_search" => &["query"],
        "web_extract" | "browser_navigate" => &["url"],
        "send_message" => &["message", "target"],
        "execute_code" => &["code"],
        _ => &["command"],
    }
}

/// A list of words or a text, as one shell text.
fn command(value: &Value) -> Option<String> {
    match value {
        Value::List(words) => {
            let words: Vec<serde_json::Value> =
                words.iter().map(|word| word.text().map(|text| json!(text))).collect::<Option<_>>()?;
            let (first, rest) = words.split_first()?;
            Some(shell::joined(first.as_str()?, rest))
        }
        other => other.text(),
    }
}

/// Whether a text that cannot be known is put together so that it cannot be read either.
fn made_up(text: &str, argument: &Expr) -> bool {
    const MAKERS: [&str; 12] = [
        "b64decode",
        "fromhex",
        "unhexlify",
        "decompress",
        "decrypt",
        "chr(",
        "rot13",
        "rot_13",
        "urlopen",
        "requests.get",
        "marshal",
        "b85decode",
    ];
    let range = argument.range();
    let own = text.get(range.start().to_usize()..range.end().to_usize()).unwrap_or_default();
    // A name may have been given what was decoded elsewhere.
    let seen = if matches!(argument, Expr::Name(_)) { text } else { own };
    MAKERS.iter().any(|maker| seen.contains(maker))
}

/// A function the text itself defines.
fn is_own(text: &str, name: &str) -> bool {
    let own = |marker: &str| {
        text.match_indices(marker).any(|(at, _)| {
            text.get(at + marker.len()..).is_some_and(|rest| {
                rest.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with(['(', ':']))
            })
        })
    };
    own("def ") || own("class ")
}
