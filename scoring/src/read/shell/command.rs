//! One command: through its wrappers to the program that acts, and what that does to its operands.

use super::{Arg, Flow, Walk, spoken};
use crate::read::path::{self, Nature, Use};
use crate::read::url;
use crate::rules::pack::{Gives, Language, Operands};
use crate::rules::{Rule, Signal, Spec, option_in};

impl<'r> Walk<'_, 'r> {
    pub(super) fn run(&mut self, args: &[Arg], input: Flow) -> Flow {
        let Some((head, rest)) = args.split_first() else {
            // `$(<file)` is what the file holds.
            let literal = input.literal.clone().or_else(|| (!input.file).then(String::new));
            return Flow { literal, ..input };
        };
        if !head.known {
            return self.unknown_head(head, rest);
        }
        if head.text.is_empty() || head.text.starts_with('#') {
            return Flow::default();
        }
        let mut name = head.text.rsplit('/').next().unwrap_or_default().trim_end_matches(".exe").to_owned();
        if let Some(known) = self.undisguised(head) {
            name = known;
        } else if let Some(program) = self.renamed(&head.text) {
            if program.contains(' ') {
                return self.alias(&head.text, &program, rest, input);
            }
            name = program;
        }
        if head.text.contains('/')
            && let Some(script) = self.contents(&head.text)
        {
            return self.script_file(&script, rest, input);
        }
        if let Some(body) = self.functions.get(&head.text).cloned() {
            if self.calling.contains(&head.text) {
                self.signal(Signal::ShellSelfCall);
                return Flow::default();
            }
            self.calling.push(head.text.clone());
            self.positional(rest);
            let output = self.script(&body, &input, false);
            self.calling.pop();
            return output;
        }
        self.options(&name, rest);
        let wrappers = self.rules.programs.wrappers.get(&name);
        for (rule, wrapper) in wrappers.into_iter().flatten().map(AsRef::as_ref) {
            let privileged = self.privileged;
            self.privileged |= wrapper.privileged;
            let output = self.wrapped(rule, wrapper, &name, rest, &input);
            self.privileged = privileged;
            if let Some(output) = output {
                return output;
            }
        }
        self.program(&head.text, &name, rest, input)
    }

    fn alias(&mut self, name: &str, text: &str, rest: &[Arg], input: Flow) -> Flow {
        if self.calling.iter().any(|calling| calling == name) {
            return Flow::default();
        }
        self.calling.push(name.to_owned());
        let words: Vec<Arg> = text.split_whitespace().map(Arg::word).chain(rest.iter().cloned()).collect();
        let output = self.run(&words, input);
        self.calling.pop();
        output
    }

    /// What the shell's own commands change in what it knows.
    fn settles(&mut self, name: &str, args: &[Arg], operands: &[&Arg], input: &Flow) {
        match name {
            "cd" | "pushd" => match operands.first() {
                Some(to) if to.known => self.here = Some(self.place(&to.text)),
                Some(_) => self.here = None,
                None => self.here = Some("~".to_owned()),
            },
            "export" | "declare" | "typeset" | "readonly" | "local" => {
                let follows = args.iter().any(|arg| arg.text == "-n");
                for arg in args {
                    self.subscript(&arg.text);
                    if let Some((name, value)) = arg.text.split_once('=') {
                        let list = value.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
                        let value = arg.known.then(|| list.unwrap_or(value).to_owned());
                        self.assigned(name, value.as_ref());
                        let value = if follows {
                            value.and_then(|other| self.variables.get(&other).cloned().flatten())
                        } else {
                            value
                        };
                        self.variables.insert(name.to_owned(), value);
                    }
                }
            }
            "set" if args.first().is_some_and(|arg| arg.text == "--") => {
                self.positional(args.get(1..).unwrap_or_default());
            }
            "hash" => {
                if let [option, path, name] = args
                    && option.text == "-p"
                {
                    let program = path.text.rsplit('/').next().unwrap_or_default().to_owned();
                    self.named.insert(self.place(&name.text), program);
                }
            }
            "cp" | "mv" | "ln" | "install" | "gcp" => self.copied(operands),
            "dd" => {
                let target = args.iter().find_map(|arg| arg.text.strip_prefix("of=")).map(str::to_owned);
                if let Some(target) = target {
                    self.writes(&Arg::word(&target));
                    self.remember(&target, input);
                }
            }
            "test" | "[" | "unset" | "read" | "printf" | "let" | "wait" | "mapfile" | "readarray" => {
                for arg in operands {
                    self.subscript(&arg.text);
                }
            }
            "tar" | "bsdtar" | "cpio" | "unzip" | "7z" => {
                self.unpacked |= input.network || operands.iter().any(|arg| self.is_fetched(&arg.text));
            }
            "make" | "gmake" => self.makes(),
            "run-parts" => self.parts(operands),
            _ => {}
        }
    }

    /// `$1`, `$2` … and `$@` inside a function or a script.
    pub(super) fn positional(&mut self, args: &[Arg]) {
        for (index, arg) in args.iter().enumerate() {
            self.variables.insert((index + 1).to_string(), arg.known.then(|| arg.text.clone()));
        }
        let known = args.iter().all(|arg| arg.known);
        let all = args.iter().map(|arg| arg.text.as_str()).collect::<Vec<_>>().join(" ");
        self.variables.insert("@".to_owned(), known.then_some(all));
    }

    /// Runs a file this text wrote: as its first line says, else as shell.
    fn script_file(&mut self, script: &str, args: &[Arg], input: Flow) -> Flow {
        let line = script.lines().next().unwrap_or_default();
        let interpreter = line.strip_prefix("#!").and_then(|line| {
            let mut named =
                line.split_whitespace().filter(|word| !word.ends_with("/env") && !word.starts_with('-'));
            named.next_back()?.rsplit('/').next()
        });
        let specs = interpreter.map(|name| self.rules.programs.of(name)).unwrap_or_default();
        let language = specs.iter().find_map(|spec| spec.language).unwrap_or(Language::Shell);
        self.positional(args);
        self.interpret(script, language, input)
    }

    pub(super) fn is_fetched(&self, path: &str) -> bool {
        saved(path).is_some_and(|name| self.fetched.contains(&name))
    }

    fn unknown_head(&mut self, head: &Arg, rest: &[Arg]) -> Flow {
        if head.flow.network {
            self.signal(Signal::ShellRemoteCode);
        } else if head.flow.decoded {
            self.signal(Signal::ShellDecodedCode);
        }
        self.signal(Signal::ShellDynamicCommand);
        // Whatever runs, these words may be the command.
        let words: Vec<&str> = rest.iter().map(|arg| arg.text.as_str()).collect();
        if let Some(rule) = self.verb(&words) {
            self.findings.add(rule, self.at.clone());
        }
        Flow::default()
    }

    pub(super) fn program(&mut self, head: &str, name: &str, args: &[Arg], input: Flow) -> Flow {
        let specs = self.rules.programs.of(name);
        let values: Vec<&String> = specs.iter().flat_map(|spec| &spec.values).collect();
        let words: Vec<&str> = args.iter().map(|arg| arg.text.as_str()).collect();
        let operands = operands(args, &values);
        let plain: Vec<&str> = operands.iter().map(|arg| arg.text.as_str()).collect();
        let interpreter = specs.iter().find_map(|spec| spec.language);

        let asked = |word: &&str| QUIET.contains(word) || (*word == "--version" && operands.is_empty());
        self.settles(name, args, &operands, &input);
        self.filter(name, args, &operands);
        let quiet = match interpreter {
            None | Some(Language::Sql) => words.iter().take_while(|word| **word != "--").any(asked),
            // `bash -n` reads and runs nothing.
            Some(Language::Shell) if words.first() == Some(&"-n") => true,
            Some(_) => matches!(words.as_slice(), ["--help" | "--version" | "-V"]),
        };
        if quiet {
            self.signal(Signal::ShellQuiet);
            return Flow::default();
        }
        if args.iter().any(|arg| !arg.known) {
            self.doubt(Signal::ShellDynamicWord, self.rules.model.confidence.dynamic_words);
        }
        if let Some(language) = interpreter
            && let Some(output) = self.interpreter(&specs, language, args, &operands, &input)
        {
            let spoke = self.subs(&specs, &plain, &words, &operands);
            self.guarded(args);
            if let Some(kind) = spoke.files {
                self.operands(kind, &words, &operands);
            }
            return output;
        }

        let spoke = self.subs(&specs, &plain, &words, &operands);
        let default = specs.iter().find_map(|spec| spec.default.as_ref());
        if !spoke.any {
            match default {
                Some(rule) => {
                    self.findings.add(rule, self.at.clone());
                    self.unexpected(rule, &specs, &plain, &words);
                    if self.privileged && specs.iter().any(|spec| spec.admin) && !plain.is_empty() {
                        self.signal(Signal::ShellPrivilegedUnknown);
                    }
                }
                None => self.by_verbs(head, name, &words, &plain, !specs.is_empty()),
            }
        }
        let mentions = default.is_some_and(|rule| rule.effect.class == crate::SideEffect::ReadOnly);
        if !mentions {
            self.carried(args, specs.is_empty());
        }
        let mut natures = Vec::new();
        for spec in &specs {
            natures.extend(self.operands(spoke.files.unwrap_or(spec.operands), &words, &operands));
        }
        let says = specs.iter().any(|spec| spec.gives == Some(Gives::Words));
        let looks = specs.iter().any(|spec| matches!(spec.operands, Operands::List | Operands::Rights));
        if natures.is_empty() && specs.iter().any(|spec| spec.gives == Some(Gives::File)) {
            // The first word is what is looked for, the others are where.
            for arg in operands.iter().skip(1).filter(|arg| arg.known && !arg.pipe) {
                if self.nature(&arg.text).secret {
                    natures.push(self.touch(&arg.text, Use::Read));
                }
            }
        }
        if natures.is_empty() && !says && !looks {
            self.guarded(args);
        }
        if specs.iter().any(|spec| spec.installs)
            && operands.iter().any(|arg| arg.flow.network || self.is_fetched(&arg.text))
        {
            self.signal(Signal::ShellRemoteCode);
        }
        if specs.iter().any(|spec| spec.gives == Some(Gives::Network)) {
            self.fetched.extend(args.iter().filter_map(|arg| saved(&arg.text)));
        }
        let output = self.flows(&specs, name, args, &natures, input, spoke.gives);
        if specs.iter().any(|spec| spec.gives == Some(Gives::Input) && spec.operands == Operands::Write) {
            for file in operands.iter().filter(|arg| arg.known && !arg.pipe) {
                self.remember(&file.text, &output);
            }
        }
        output
    }

    /// Files nobody names by chance: `UNIX-CONNECT:/x`, `--socket=/x`, `@/x`.
    fn guarded(&mut self, args: &[Arg]) {
        for part in args.iter().flat_map(|arg| arg.text.split(['@', ':', '=', ','])) {
            if part.starts_with(['/', '~', '.']) && path::is_guarded(part, self.context, self.rules) {
                self.touch(part, Use::Read);
            }
        }
    }

    /// Adds what the program's rules say of these words.
    pub(super) fn subs(
        &mut self,
        specs: &[&'r Spec],
        plain: &[&str],
        words: &[&str],
        operands: &[&Arg],
    ) -> Spoken {
        let mut spoken = Spoken::default();
        for spec in specs {
            for sub in spec.subs.iter().filter(|sub| sub.takes(plain, words)) {
                spoken.any = true;
                spoken.files = spoken.files.or(sub.files());
                spoken.gives = spoken.gives.or(sub.gives());
                // Losing scratch is no loss; who may do what matters everywhere.
                let loses =
                    sub.rule.effect.class == crate::SideEffect::Critical && sub.rule.effect.harm <= 0.0;
                if loses && self.only_scratch(spec, operands) {
                    self.signal(Signal::ShellDeletesScratch);
                } else {
                    self.findings.add(&sub.rule, self.at.clone());
                }
            }
        }
        spoken
    }

    fn only_scratch(&self, spec: &Spec, operands: &[&Arg]) -> bool {
        !matches!(spec.operands, Operands::Text | Operands::Url)
            && !operands.is_empty()
            && operands.iter().all(|arg| arg.known)
            && self.targets(spec, operands).all(|nature| nature.scratch)
    }

    fn targets<'o>(
        &self,
        spec: &Spec,
        operands: &'o [&Arg],
    ) -> impl Iterator<Item = Nature> + use<'_, 'o, 'r> {
        // The first word of `chmod 777 x` or `sed s/a/b/ x` is no file; judged as one it is never scratch, so it is left out.
        let skip =
            usize::from(matches!(spec.operands, Operands::Write | Operands::Rights) && operands.len() > 1);
        operands.iter().skip(skip).filter(|arg| arg.known).map(|arg| self.nature(&arg.text))
    }

    fn operands(&mut self, kind: Operands, words: &[&str], operands: &[&Arg]) -> Vec<Nature> {
        let mut natures = Vec::new();
        let last = operands.len().saturating_sub(1);
        for (index, arg) in operands.iter().enumerate().filter(|(_, arg)| !arg.pipe && arg.text != "-") {
            let used = match kind {
                Operands::Text => return natures,
                // `find -exec chmod`: whatever is found below.
                Operands::Rights => {
                    if index > 0 && arg.text.ends_with("/*") && self.walking {
                        self.signal(Signal::ShellRightsMany);
                    }
                    continue;
                }
                Operands::Url if arg.text.starts_with("file://") => Use::Read,
                Operands::Url => {
                    url::read(&arg.text, &self.at, self.rules, self.findings);
                    continue;
                }
                Operands::List => {
                    natures.push(self.nature(&arg.text));
                    continue;
                }
                Operands::Read => Use::Read,
                // `sed -i s/a/b/ x`: the first word is the script.
                Operands::Write
                    if index == 0 && words.iter().any(|word| word.starts_with("-i")) && last > 0 =>
                {
                    continue;
                }
                Operands::Write => Use::Write,
                Operands::Copy if index == last && index > 0 => Use::Write,
                Operands::Copy => Use::Read,
                Operands::Delete => {
                    self.deletes(words, arg);
                    continue;
                }
            };
            if !arg.text.is_empty() {
                natures.push(self.touch(&arg.text, used));
            }
            if let (Operands::Copy, Use::Write, Some(from)) = (kind, used, operands.first()) {
                // What is copied into a directory keeps its name there.
                let name = from.text.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
                self.touch(&format!("{}/{name}", arg.text.trim_end_matches('/')), Use::Write);
            }
        }
        natures
    }

    fn deletes(&mut self, words: &[&str], arg: &Arg) {
        let tree = words
            .iter()
            .any(|word| option_in("-r", word) || option_in("-R", word) || option_in("--recursive", word));
        let nature = if arg.known { self.nature(&arg.text) } else { Nature::default() };
        if nature.scratch && !arg.text.contains("..") {
            self.signal(Signal::ShellDeletesScratch);
            return;
        }
        self.signal(if tree {
            Signal::ShellDeletesTree
        } else if arg.text.contains(['*', '?']) {
            Signal::ShellDeletesMany
        } else {
            Signal::ShellDeletesFile
        });
        self.touch(&arg.text, Use::Delete);
    }

    /// A subcommand no rule knows may still say that it removes or ends something.
    fn unexpected(&mut self, default: &Rule, specs: &[&Spec], plain: &[&str], words: &[&str]) {
        let takes_files = specs.iter().any(|spec| spec.closed || spec.operands != Operands::Text);
        if default.effect.class != crate::SideEffect::LocalReversible || takes_files {
            return;
        }
        // Behind `--` stand words of another program.
        let own = words.iter().position(|word| *word == "--").unwrap_or(words.len());
        let own = words.get(..own).unwrap_or_default();
        let early = plain.iter().copied().take(2);
        let early: Vec<&str> = early.filter(|word| !word.contains("::") && own.contains(word)).collect();
        if let Some(rule) = self.verb(&early).filter(|rule| rule.effect.class == crate::SideEffect::Critical)
        {
            self.findings.add(rule, self.at.clone());
            self.doubt(Signal::ShellUnknownProgram, self.rules.model.confidence.unknown_program);
        }
    }

    /// No rule of a pack speaks: subcommands, options and the program's own name are read for their verbs.
    fn by_verbs(&mut self, head: &str, name: &str, words: &[&str], plain: &[&str], known: bool) {
        let early: Vec<&str> = plain.iter().copied().take(4).collect();
        let options = words.iter().copied().filter(|word| word.starts_with('-') && word.len() > 2);
        let own: Vec<&str> = name.split(['-', '_', '.']).filter(|part| *part != name).collect();
        let spoken: Vec<&str> = own.into_iter().chain(options).chain(early).collect();
        match self.verb(&spoken) {
            Some(rule) => {
                self.findings.add(rule, self.at.clone());
                self.doubt(Signal::ShellUnknownProgram, self.rules.model.confidence.unknown_program);
            }
            None if self.privileged && plain.iter().any(|word| !word.is_empty()) && !looks(name) => {
                self.signal(Signal::ShellPrivilegedUnknown);
            }
            None if known => self.signal(Signal::ShellUnknownProgram),
            None if head.contains('/') && (self.unpacked || self.is_fetched(head)) => {
                self.signal(Signal::ShellRemoteCode)
            }
            None if head.contains('/') && self.privileged => self.signal(Signal::ShellPrivilegedUnknown),
            // `npx https://x.example/p.tgz`: the package is what is there now.
            None if head.contains("://") => self.signal(Signal::ShellRemoteCode),
            None if head.contains('/') => self.signal(Signal::ShellScriptUnread),
            None => self.signal(Signal::ShellUnknownProgram),
        }
    }

    /// The worst verb among words: `delete`, `delete-bucket`, `repo:remove`, `--purge`. Once a word says that it
    /// reads, what follows is the name of what is read.
    fn verb(&self, words: &[&str]) -> Option<&'r Rule> {
        let programs = &self.rules.programs;
        let mut worst: Option<&Rule> = None;
        let mut reads = false;
        let named = words.iter().map(|word| match word.split_once('=') {
            Some((option, value)) if option.starts_with('-') && value != "false" => option,
            _ => word,
        });
        for word in named.filter(|word| word.len() <= 48 && !word.contains(['/', '.', ' ', '@', '='])) {
            let lower = word.to_ascii_lowercase();
            let whole = reads || lower.starts_with('-');
            let parts = lower.split(['-', ':', '_']).filter(|part| !whole && !part.is_empty());
            for part in std::iter::once(lower.as_str()).chain(parts) {
                if let Some(rule) = programs.verb(part) {
                    reads |= rule.effect.class == crate::SideEffect::ReadOnly;
                    if worst.is_none_or(|known| rule.effect.class > known.effect.class) {
                        worst = Some(rule);
                    }
                }
            }
        }
        worst
    }

    /// What the program passes on, and what it sends away.
    fn flows(
        &mut self,
        specs: &[&'r Spec],
        name: &str,
        args: &[Arg],
        natures: &[Nature],
        input: Flow,
        gives: Option<Gives>,
    ) -> Flow {
        let secret = natures.iter().any(|nature| nature.secret);
        let writes = specs.iter().any(|spec| spec.operands == Operands::Write);
        let held = match (args, natures) {
            (_, natures) if writes || natures.is_empty() => input.literal.clone(),
            ([file], [_]) => self.contents(&file.text),
            _ => None,
        };
        let arguments = merged(args);
        let carries = arguments.secret
            || arguments.file
            || input.secret
            || input.file
            || args.iter().any(|arg| arg.text.ends_with("@-"));
        let fetches = specs.iter().any(|spec| spec.gives == Some(Gives::Network));
        if specs.iter().any(|spec| spec.sends) || (fetches && carries) {
            let words: Vec<&str> = input.literal.iter().flat_map(|text| text.split_whitespace()).collect();
            if let Some(rule) = self.verb(&words) {
                self.findings.add(rule, self.at.clone());
            }
            if input.shell {
                self.signal(Signal::ShellRemoteCode);
            }
            if input.secret || arguments.secret || secret {
                self.signal(Signal::ShellSecretToNetwork);
            } else if input.file || arguments.file {
                self.signal(Signal::ShellFileToNetwork);
            }
        }
        let mut output = input;
        output.taint(&arguments);
        let given = output.literal.take();
        output.secret |= secret;
        output.shell |= specs.iter().any(|spec| spec.language == Some(Language::Shell));
        match gives.or_else(|| specs.iter().find_map(|spec| spec.gives)) {
            Some(Gives::Words) => {
                output.literal = args.iter().all(|arg| arg.known).then(|| spoken::spoken(name, args));
            }
            Some(Gives::Secret) => output.secret = true,
            Some(Gives::Network) => output.network = true,
            Some(Gives::Input) => {
                output.file |= !natures.is_empty();
                output.literal = held;
            }
            Some(Gives::Name) => output.literal = Some("/tmp/made".to_owned()),
            Some(Gives::File) => {
                output.file = true;
                // Known words made into others are no longer known.
                output.decoded |= given.is_some();
            }
            Some(Gives::Decoded) => output.decoded = true,
            // What a program nobody knows prints is made up at run time.
            None => output.decoded |= specs.is_empty(),
        }
        if SILENT.contains(&name) {
            output.literal = Some(String::new());
        }
        let passes = specs.iter().any(|spec| matches!(spec.gives, Some(Gives::Words | Gives::Input)));
        output.printed |= output.literal.is_none() && !passes;
        output
    }
}

/// Programs that print nothing when all goes well.
const SILENT: [&str; 9] = ["cd", "pushd", "export", "set", "unset", "mkdir", "touch", "true", ":"];

/// Options by which a program only says what it would do.
const QUIET: [&str; 17] = [
    "--help",
    "-help",
    "--dry-run",
    "--dryrun",
    "--dry-run=client",
    "--dry-run=server",
    "--simulate",
    "--just-print",
    "--recon",
    "--no-act",
    "--assumeno",
    "--assume-no",
    "--what-if",
    "-WhatIf",
    "-whatif",
    "--generate-cli-skeleton",
    "--noop",
];

/// What a program's rules had to say of its words.
#[derive(Debug, Default)]
pub(super) struct Spoken {
    any: bool,
    files: Option<Operands>,
    gives: Option<Gives>,
}

/// A program whose name says that it only looks.
fn looks(name: &str) -> bool {
    const ENDINGS: [&str; 12] =
        ["stat", "scan", "info", "list", "show", "dump", "top", "view", "print", "query", "search", "check"];
    ENDINGS.iter().any(|ending| name.ends_with(ending)) || name.starts_with("ls")
}

/// The file name a path or an address ends in.
fn saved(text: &str) -> Option<String> {
    let text = text.split(['?', '#']).next()?;
    let name = text.rsplit('/').next()?;
    (!matches!(name, "" | "-" | ".") && !text.starts_with('-')).then(|| name.to_owned())
}

pub(super) fn merged(args: &[Arg]) -> Flow {
    args.iter().fold(Flow::default(), |mut flow, arg| {
        flow.taint(&arg.flow);
        flow
    })
}

/// Words that are neither options nor their values.
fn operands<'a>(args: &'a [Arg], values: &[&String]) -> Vec<&'a Arg> {
    let mut operands = Vec::new();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        if arg.text == "--" {
            operands.extend(rest.by_ref());
        } else if arg.text.len() > 1
            && (arg.text.starts_with('-') || (arg.text.starts_with('+') && arg.text.len() == 2))
        {
            if values.iter().any(|value| **value == arg.text) {
                rest.next();
            }
        } else {
            operands.push(arg);
        }
    }
    operands
}
