//! A rule pack as typed: TOML in, nothing compiled. Unknown fields are refused.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::crisis::HelpLine;
use crate::{Reversibility, SideEffect, Undo};

mod heard;

pub(crate) use heard::{Calm, Covers, Crisis, Fold, Slot, Tier};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Pack {
    pub(crate) model: Option<Model>,
    pub(crate) effects: BTreeMap<String, Effect>,
    pub(crate) signals: BTreeMap<Signal, Words>,
    pub(crate) tool: Vec<Tool>,
    pub(crate) verb: Vec<Word>,
    pub(crate) noun: Vec<Word>,
    pub(crate) names: Option<Names>,
    pub(crate) fields: Vec<Fields>,
    pub(crate) roles: BTreeMap<Role, Vec<String>>,
    pub(crate) dispatcher: Vec<Dispatcher>,
    pub(crate) shell_verb: Vec<Word>,
    pub(crate) wrapper: Vec<Wrapper>,
    pub(crate) program: Vec<Program>,
    pub(crate) option: Vec<super::options::ProgramOption>,
    pub(crate) path: Vec<Path>,
    pub(crate) host: Vec<Host>,
    pub(crate) pattern: Vec<Pattern>,
    pub(crate) code_call: Vec<super::calls::CodeCall>,
    pub(crate) crisis: Vec<Crisis>,
    pub(crate) calm: Vec<Calm>,
    pub(crate) fold: Option<Fold>,
    pub(crate) line: Vec<HelpLine>,
}

impl Pack {
    /// The id of every rule in it.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        let tools = self.tool.iter().map(|rule| &rule.id);
        let words = self.verb.iter().chain(&self.noun).chain(&self.shell_verb).map(|rule| &rule.id);
        let fields = self.fields.iter().map(|rule| &rule.id);
        let dispatchers = self.dispatcher.iter().map(|rule| &rule.id);
        let wrappers = self.wrapper.iter().map(|rule| &rule.id);
        let programs = self.program.iter().flat_map(|program| &program.rule).map(|rule| &rule.id);
        let options = self.option.iter().map(|rule| &rule.id);
        let paths = self.path.iter().map(|rule| &rule.id);
        let hosts = self.host.iter().map(|rule| &rule.id);
        let patterns = self.pattern.iter().map(|rule| &rule.id);
        let crisis = self.crisis.iter().map(|rule| &rule.id);
        let calm = self.calm.iter().map(|rule| &rule.id);
        let signals = self.signals.values().map(|words| &words.id);
        let calls = tools
            .chain(words)
            .chain(fields)
            .chain(dispatchers)
            .chain(wrappers)
            .chain(programs)
            .chain(options);
        let places = paths.chain(hosts).chain(patterns);
        calls.chain(places).chain(crisis).chain(calm).chain(signals).map(String::as_str)
    }
}

/// What a matched rule says a call does. Packs name effects; the numbers live in one place.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Effect {
    pub(crate) class: SideEffect,
    /// Side-effect prior, 0–1; the class's own when absent.
    pub(crate) prior: Option<f64>,
    #[serde(default = "yes")]
    pub(crate) undone: Reversibility,
    #[serde(default)]
    pub(crate) target: f64,
    #[serde(default)]
    pub(crate) harm: f64,
    #[serde(default)]
    pub(crate) breadth: f64,
    #[serde(default)]
    pub(crate) floor: f64,
    #[serde(default)]
    pub(crate) outbound: bool,
    /// The call is crisis-sensitive by what it does, whatever its words.
    #[serde(default)]
    pub(crate) crisis: bool,
    /// Upper bound on confidence.
    pub(crate) confidence: Option<f64>,
}

fn yes() -> Reversibility {
    Reversibility::Yes
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Model {
    pub(crate) weights: Factors,
    pub(crate) prior: Priors,
    pub(crate) irreversibility: Irreversibility,
    pub(crate) confidence: Confidence,
    pub(crate) contested: Band,
    pub(crate) parties: Parties,
}

/// When recipients are many, and money much.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parties {
    pub(crate) many: usize,
    pub(crate) large: f64,
    /// Names that stand for more people than one.
    pub(crate) crowds: Vec<String>,
}

/// Risk at which operators differ, both ends included, and the confidence it takes to have an opinion.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Band {
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) confidence: f64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Factors {
    pub(crate) side_effect: f64,
    pub(crate) target: f64,
    pub(crate) irreversibility: f64,
    pub(crate) human_impact: f64,
    pub(crate) blast_radius: f64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Priors {
    pub(crate) read_only: f64,
    pub(crate) local_reversible: f64,
    pub(crate) external: f64,
    pub(crate) critical: f64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Irreversibility {
    pub(crate) yes: f64,
    pub(crate) partial: f64,
    pub(crate) no: f64,
}

/// Upper bounds on confidence, by what the judgement rests on.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Confidence {
    pub(crate) operator_pack: f64,
    pub(crate) shipped_pack: f64,
    pub(crate) trusted_annotation: f64,
    pub(crate) name_and_description: f64,
    pub(crate) name: f64,
    pub(crate) sources_disagree: f64,
    pub(crate) unknown_tool: f64,
    pub(crate) definition_changed: f64,
    pub(crate) dynamic_words: f64,
    pub(crate) unknown_program: f64,
    pub(crate) relative_path: f64,
    pub(crate) unread_rest: f64,
}

/// What the code itself finds, apart from any pack; its words are data all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Signal {
    ToolUnknown,
    ToolNameOnly,
    ToolNameAndDescription,
    ToolSourcesDisagree,
    ToolDefinitionChanged,
    ToolArgumentMissing,
    ArgumentsCrowded,
    AttachedFile,
    RecipientsMany,
    RecipientUnknown,
    AmountLarge,
    HintDestructive,
    HintOverwrites,
    HintWrites,
    HintTrustedRead,
    Resource,
    Prompt,
    Sampling,
    Elicitation,
    PathRelative,
    PathProject,
    PathElsewhere,
    UrlUnreadable,
    UrlCarriesData,
    TextUnread,
    ShellUnparsed,
    ShellUnparsedDanger,
    ShellTooLarge,
    ShellDynamicWord,
    ShellDynamicCommand,
    ShellDisguised,
    ShellUnknownProgram,
    ShellQuiet,
    ShellRemoteCode,
    ShellSecretToNetwork,
    ShellFileToNetwork,
    ShellDecodedCode,
    ShellScriptUnread,
    ShellWritesFile,
    ShellDeletesTree,
    ShellDeletesFile,
    ShellDeletesMany,
    ShellDeletesScratch,
    ShellRightsMany,
    ShellPrivileged,
    ShellPrivilegedUnknown,
    ShellSelfCall,
    CodeOpaque,
    CodeUnread,
    CodeHandedOver,
    SqlOpaque,
    SqlEveryRow,
    CrisisLatched,
    CrisisModel,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Words {
    pub(crate) id: String,
    pub(crate) reason: String,
    pub(crate) effect: String,
    /// Upper bound on confidence; that of the effect when absent.
    pub(crate) confidence: Option<f64>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tool {
    pub(crate) id: String,
    pub(crate) reason: String,
    /// Globs over the operator's name for the server.
    #[serde(default)]
    pub(crate) servers: Vec<String>,
    /// Globs over the tool's name.
    pub(crate) tools: Vec<String>,
    /// Arguments (by name) that must hold one of these texts.
    #[serde(default)]
    pub(crate) args: BTreeMap<String, Vec<String>>,
    /// Arguments that must be present.
    #[serde(default)]
    pub(crate) with: Vec<String>,
    /// Arguments of which one must be present.
    #[serde(default)]
    pub(crate) some: Vec<String>,
    pub(crate) effect: String,
    #[serde(default)]
    pub(crate) roles: BTreeMap<String, Role>,
    pub(crate) undo: Option<Undo>,
    /// Certainty of this rule; that of its pack when absent.
    pub(crate) confidence: Option<f64>,
    #[serde(default, rename = "match")]
    pub(crate) matches: Vec<Example>,
    #[serde(default, rename = "not_match")]
    pub(crate) differs: Vec<Example>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Example {
    #[serde(default)]
    pub(crate) server: String,
    pub(crate) tool: String,
    #[serde(default)]
    pub(crate) args: Value,
}

/// What an argument holds, so which reader judges it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    Shell,
    Code,
    Sql,
    Path,
    Url,
    Message,
    /// Says what is to be done: `action`, `method`.
    Action,
    /// Who gets what is sent.
    Recipient,
    /// How much money moves.
    Amount,
    /// Asks only what would be done: `dry_run`.
    Rehearsal,
    /// A name, an id, a flag: nothing to read.
    Plain,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Word {
    pub(crate) id: String,
    pub(crate) reason: String,
    pub(crate) words: Vec<String>,
    pub(crate) effect: String,
    /// As often a noun: it speaks only where no other verb does, and only first.
    #[serde(default)]
    pub(crate) weak: bool,
    /// As `weak`, and only where another word follows.
    #[serde(default)]
    pub(crate) leading: bool,
    /// A noun that speaks whatever the verb is.
    #[serde(default)]
    pub(crate) telling: bool,
    /// It says that something is done and not what; an action argument knows better.
    #[serde(default)]
    pub(crate) vague: bool,
    /// It speaks only where one of these words is in the name too.
    #[serde(default)]
    pub(crate) with: Vec<String>,
    /// As `with`, where the word is in the name of the server.
    #[serde(default)]
    pub(crate) served: Vec<String>,
    /// It is silent where one of these words is in the name too.
    #[serde(default)]
    pub(crate) unless: Vec<String>,
    #[serde(default, rename = "match")]
    pub(crate) matches: Vec<String>,
    #[serde(default, rename = "not_match")]
    pub(crate) differs: Vec<String>,
}

/// Words of names that mean another thing beside others.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Names {
    /// Verbs that are nouns as well: a verb after them speaks instead.
    pub(crate) nouns: Vec<String>,
    /// Verbs instead of which only one at the end of the name speaks.
    pub(crate) endings: Vec<String>,
    /// What is asked for, at the end of a name: `refund_status`.
    pub(crate) results: Vec<String>,
}

/// Fields of a tool, in its schema or in a call, that say together what it is for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fields {
    pub(crate) id: String,
    pub(crate) reason: String,
    /// One field of every list must be there.
    pub(crate) all: Vec<Vec<String>>,
    /// It speaks of tools whose names say that they only read, too.
    #[serde(default)]
    pub(crate) reads: bool,
    /// It speaks of fields that a call has, not of those a schema lists.
    #[serde(default)]
    pub(crate) given: bool,
    /// A field of the first list must hold one of these in the call, in whatever case.
    #[serde(default)]
    pub(crate) values: Vec<String>,
    pub(crate) effect: String,
    #[serde(default, rename = "match")]
    pub(crate) matches: Vec<Example>,
    #[serde(default, rename = "not_match")]
    pub(crate) differs: Vec<Example>,
}

/// A tool that runs another tool named in its arguments.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dispatcher {
    pub(crate) id: String,
    pub(crate) reason: String,
    pub(crate) tools: Vec<String>,
    /// Arguments that may hold the name of the inner tool, first present wins.
    pub(crate) name: Vec<String>,
    /// Arguments that may hold its arguments, as an object or as JSON text.
    pub(crate) arguments: Vec<String>,
    #[serde(default, rename = "match")]
    pub(crate) matches: Vec<Example>,
    #[serde(default, rename = "not_match")]
    pub(crate) differs: Vec<Example>,
}

/// A program that runs the command in its arguments.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wrapper {
    pub(crate) id: String,
    pub(crate) reason: String,
    pub(crate) names: Vec<String>,
    /// Subcommand that must come first (`docker exec`).
    #[serde(default)]
    pub(crate) sub: Vec<String>,
    /// Options that take the next word as their value.
    #[serde(default)]
    pub(crate) values: Vec<String>,
    /// The command runs with another user's rights.
    #[serde(default)]
    pub(crate) privileged: bool,
    /// Options with which it runs nothing.
    #[serde(default)]
    pub(crate) without: Vec<String>,
    /// Words of its own before the inner command starts (`timeout 5`, `flock file`).
    #[serde(default)]
    pub(crate) skip: usize,
    /// The inner command starts after this word, when it is there.
    #[serde(default)]
    pub(crate) after: Vec<String>,
    /// Options whose value is shell text.
    #[serde(default)]
    pub(crate) script: Vec<String>,
    /// What marks a text for the shell in its words and its input (`:!`, `shell `).
    #[serde(default)]
    pub(crate) escape: Vec<String>,
    /// Options whose value is code of its own language, beside `escape`.
    #[serde(default)]
    pub(crate) code: Vec<String>,
    /// Every word left is joined and read as shell text (`eval`, `ssh`, `watch`).
    #[serde(default)]
    pub(crate) joined: bool,
    /// Words of its own after the text (`trap … EXIT`, `tmux send-keys … Enter`).
    #[serde(default)]
    pub(crate) trailing: Vec<String>,
    #[serde(default, rename = "match")]
    pub(crate) matches: Vec<String>,
    #[serde(default, rename = "not_match")]
    pub(crate) differs: Vec<String>,
}

/// A program and what its subcommands and options do.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Program {
    pub(crate) names: Vec<String>,
    #[serde(default)]
    pub(crate) values: Vec<String>,
    /// What it does when no rule speaks; verbs and flags decide when absent.
    #[serde(default)]
    pub(crate) effect: Option<String>,
    /// Its rules know every subcommand that matters; the verbs of others say nothing.
    #[serde(default)]
    pub(crate) closed: bool,
    #[serde(default)]
    pub(crate) operands: Operands,
    /// The program runs code: an option that carries it, in which language.
    #[serde(default)]
    pub(crate) code: Vec<String>,
    #[serde(default)]
    pub(crate) language: Option<Language>,
    /// Options that name a file whose code it runs first.
    #[serde(default)]
    pub(crate) loads: Vec<String>,
    /// What it writes to its output, when that matters to whoever reads it.
    #[serde(default)]
    pub(crate) gives: Option<Gives>,
    /// Its input and its arguments go over the network.
    #[serde(default)]
    pub(crate) sends: bool,
    /// With other rights even its ordinary use changes the machine.
    #[serde(default)]
    pub(crate) admin: bool,
    /// It runs what its operands hold: packages, for one.
    #[serde(default)]
    pub(crate) installs: bool,
    #[serde(default)]
    pub(crate) rule: Vec<ProgramRule>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProgramRule {
    pub(crate) id: String,
    pub(crate) reason: String,
    /// One of these subcommand paths, words apart by a space; any when empty.
    #[serde(default)]
    pub(crate) sub: Vec<String>,
    /// One of these words must be there (globs; `-f` also matches inside `-xf`).
    #[serde(default)]
    pub(crate) any: Vec<String>,
    /// Another of these words must be there too.
    #[serde(default)]
    pub(crate) also: Vec<String>,
    /// None of these words may be there.
    #[serde(default)]
    pub(crate) none: Vec<String>,
    /// What the operands are when the rule speaks.
    pub(crate) files: Option<Operands>,
    /// What it writes to its output when the rule speaks.
    pub(crate) gives: Option<Gives>,
    /// At least this many operands.
    #[serde(default)]
    pub(crate) operands: usize,
    /// At most this many operands.
    pub(crate) most: Option<usize>,
    pub(crate) effect: String,
    #[serde(default, rename = "match")]
    pub(crate) matches: Vec<String>,
    #[serde(default, rename = "not_match")]
    pub(crate) differs: Vec<String>,
}

/// What a program writes to its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Gives {
    /// Its own words.
    Words,
    /// Its input, or its files, as they are.
    Input,
    /// The name of something made under /tmp.
    Name,
    /// Keys and passwords, among other things.
    Secret,
    /// What the network sent.
    Network,
    /// What a file holds.
    File,
    /// Its input, decoded.
    Decoded,
}

/// What the operands of a program are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operands {
    /// Words that name no file.
    #[default]
    Text,
    /// Files it reads.
    Read,
    /// Files whose names it shows.
    List,
    /// Files it changes.
    Write,
    /// Files whose rights or owner it changes.
    Rights,
    /// Files it removes.
    Delete,
    /// Files it reads, then one it writes (`cp`, `mv`, `ln`).
    Copy,
    /// Addresses it fetches or sends to.
    Url,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Language {
    Shell,
    Sql,
    /// Any other: judged by the sinks it calls.
    Code,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Path {
    pub(crate) id: String,
    pub(crate) reason: String,
    pub(crate) globs: Vec<String>,
    #[serde(default)]
    pub(crate) except: Vec<String>,
    /// Sensitivity of the target, 0–1.
    #[serde(default)]
    pub(crate) target: f64,
    pub(crate) read: Option<String>,
    pub(crate) write: Option<String>,
    pub(crate) delete: Option<String>,
    /// Nothing of worth lives here.
    #[serde(default)]
    pub(crate) scratch: bool,
    /// Whatever program is given it, reads it.
    #[serde(default)]
    pub(crate) anywhere: bool,
    #[serde(default, rename = "match")]
    pub(crate) matches: Vec<String>,
    #[serde(default, rename = "not_match")]
    pub(crate) differs: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Host {
    pub(crate) id: String,
    pub(crate) reason: String,
    /// Globs over the host's canonical name or address.
    pub(crate) hosts: Vec<String>,
    pub(crate) effect: String,
    #[serde(default, rename = "match")]
    pub(crate) matches: Vec<String>,
    #[serde(default, rename = "not_match")]
    pub(crate) differs: Vec<String>,
}

/// Which text a pattern is looked for in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scope {
    Secret,
    Sql,
    Code,
    Message,
    /// What a tool's description owns up to, whatever its name says.
    Description,
    /// The same, for tools whose names say that they act.
    DescribedAct,
    /// Words that make an unreadable shell text dangerous.
    Shell,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pattern {
    pub(crate) id: String,
    pub(crate) reason: String,
    pub(crate) scope: Scope,
    /// Literals (ASCII case ignored), one of which is in every match.
    pub(crate) stems: Vec<String>,
    pub(crate) re: Option<String>,
    /// Bits per letter that the last run of letters in the match must have: a key is not a word.
    pub(crate) entropy: Option<f64>,
    pub(crate) effect: String,
    #[serde(default, rename = "match")]
    pub(crate) matches: Vec<String>,
    #[serde(default, rename = "not_match")]
    pub(crate) differs: Vec<String>,
}
