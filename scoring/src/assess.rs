//! One call in, one judgement out.

use serde_json::Value;

use crate::leaves::{self, Leaf, leaves};
use crate::read::{code, message, path, secret, shell, sql, url};
use crate::rules::pack::Role;
use crate::rules::{Rules, Signal};
use crate::tool::{self, Known};
use crate::weigh::{Findings, Place};
use crate::{Assessment, Call, Context, Kind, SideEffect, crisis, name, parties};

/// Bytes of argument text scanned per call; beyond it only heads and tails are read.
pub(crate) const SCANNED: usize = 64 << 10;

/// Judges one call. Pure: the same arguments give the same assessment, whatever the hour or the machine.
///
/// Never fails: what cannot be read lowers `confidence` or raises `risk_score`. Cost is linear in the size of
/// the arguments and bounded: 64 KiB of text per call, heads and tails beyond.
pub fn assess(call: &Call<'_>, context: &Context<'_>, rules: &Rules) -> Assessment {
    Assessment { pack_digest: rules.digest().to_owned(), ..survey(call, context, rules).settle() }
}

/// Everything found in a call, before it is weighed.
pub(crate) fn survey<'r>(call: &Call<'_>, context: &Context<'_>, rules: &'r Rules) -> Findings<'r> {
    let mut findings = Findings::new(&rules.model);
    match call.kind {
        Kind::Tool if leaves::is_crowded(call.arguments) => {
            findings.add(rules.signal(Signal::ArgumentsCrowded), Place::default());
            survey_tool(&Call { arguments: &Value::Null, ..*call }, context, false, rules, &mut findings);
        }
        Kind::Tool => survey_tool(call, context, true, rules, &mut findings),
        Kind::Resource => {
            findings.add(rules.signal(Signal::Resource), Place::default());
            let at = Place::default();
            findings.speaks |= url::speaks(call.tool);
            if let Some(path) = url::file(call.tool) {
                path::read(&path, path::Use::Read, &at, context, rules, &mut findings);
            } else if call.tool.contains("://") {
                url::read(call.tool, &at, rules, &mut findings);
            } else {
                path::read(call.tool, path::Use::Read, &at, context, rules, &mut findings);
            }
        }
        Kind::Prompt => {
            findings.add(rules.signal(Signal::Prompt), Place::default());
            findings.speaks |= answers(call, rules);
        }
        Kind::Sampling => findings.add(rules.signal(Signal::Sampling), Place::default()),
        Kind::Elicitation => findings.add(rules.signal(Signal::Elicitation), Place::default()),
    }
    if context.definition_changed {
        let changed = rules.signal(Signal::ToolDefinitionChanged);
        findings.doubt(changed, rules.model.confidence.definition_changed, Place::default());
    }
    if context.crisis_active {
        findings.latch(rules.signal(Signal::CrisisLatched));
    }
    findings
}

/// Whether a prompt is named for speaking to somebody and is given the words.
fn answers(call: &Call<'_>, rules: &Rules) -> bool {
    const ANSWERS: [&str; 6] = ["reply", "respond", "answer", "say", "tell", "contact"];
    let words = name::words(call.tool);
    let sends = rules.lexicon.verb(&words, usize::MAX).is_some_and(|spoken| spoken.rule.effect.outbound);
    let answers = words.iter().any(|word| ANSWERS.contains(&word.as_ref()));
    (sends || answers) && leaves(call.arguments, "").0.iter().any(|leaf| !leaf.text.trim().is_empty())
}

/// `listed`: whether calls listed in the arguments are read, too.
fn survey_tool<'r>(
    call: &Call<'_>,
    context: &Context<'_>,
    listed: bool,
    rules: &'r Rules,
    findings: &mut Findings<'r>,
) {
    let inner = tool::unwrap(call, rules, findings);
    let arguments = inner.arguments.as_ref();
    // What a dispatcher says of itself says nothing of the tool inside.
    let dispatched = inner.tool != call.tool && !call.tool.ends_with(&*inner.tool);
    let around = &Context { definition: context.definition.filter(|_| !dispatched), ..*context };
    let known = tool::know(inner.server, &inner.tool, arguments, around, rules, findings);
    if listed {
        for (call, pointer) in tool::several(&inner, rules) {
            let mut one = Findings::new(&rules.model);
            survey_tool(&call, &Context { definition: None, ..*context }, false, rules, &mut one);
            findings.absorb(one.within(&pointer));
        }
    }
    if findings.class() > SideEffect::LocalReversible {
        parties::read(arguments, &inner.pointer, context, rules, findings);
    }
    let (leaves, complete) = leaves(arguments, &inner.pointer);
    let acts = findings.class();
    let mut decided = false;
    for leaf in &leaves {
        let role = known.role(leaf.key, rules);
        decided |= role.is_some_and(|role| matches!(role, Role::Shell | Role::Code | Role::Sql));
        read_leaf(leaf, role, acts, arguments, context, rules, findings);
    }
    if known.by_argument() && !decided {
        findings.add(rules.signal(Signal::ToolArgumentMissing), Place::default());
    }
    if findings.class() > SideEffect::ReadOnly || known.leaves_host() {
        let (names, all) = leaves::spoken_names(arguments);
        let whole = scan(&leaves, context, rules, findings) && complete && all;
        if let Some((rule, _)) =
            crisis::find(&names, rules).filter(|_| findings.outbound() && !findings.crisis())
        {
            findings.mark_crisis(rule, Place::default());
        }
        if !whole && findings.class() > SideEffect::ReadOnly {
            findings.doubt(
                rules.signal(Signal::TextUnread),
                rules.model.confidence.unread_rest,
                Place::default(),
            );
        }
    }
}

fn read_leaf<'r>(
    leaf: &Leaf<'_>,
    role: Option<Role>,
    acts: SideEffect,
    arguments: &Value,
    context: &Context<'_>,
    rules: &'r Rules,
    findings: &mut Findings<'r>,
) {
    let at = Place::at(&leaf.pointer);
    if let Some(path) =
        url::file(leaf.text).filter(|_| !matches!(role, Some(Role::Shell | Role::Code | Role::Message)))
    {
        path::read(&path, path::Use::Read, &at.fix(), context, rules, findings);
        return;
    }
    match role {
        Some(Role::Shell) => {
            let words = leaf.top.then(|| arguments.get("args").and_then(Value::as_array)).flatten();
            match words {
                Some(words) => {
                    shell::read(&shell::joined(leaf.text, words), &at.fix(), context, rules, findings)
                }
                None => shell::read(leaf.text, &at, context, rules, findings),
            }
        }
        Some(Role::Code) => code::read(leaf.text, true, &at, context, rules, findings),
        Some(Role::Sql) => sql::read(leaf.text, &at, rules, findings),
        Some(Role::Path) => {
            let used = if acts == SideEffect::ReadOnly {
                path::Use::Read
            } else if acts == SideEffect::Critical {
                path::Use::Delete
            } else {
                path::Use::Write
            };
            path::read(leaf.text, used, &at, context, rules, findings);
        }
        Some(Role::Url) => match leaf.text.trim().split_once(':') {
            Some((scheme, code)) if scheme.eq_ignore_ascii_case("javascript") => {
                code::read(code, false, &at.fix(), context, rules, findings);
            }
            Some((scheme, _))
                if ["data", "vbscript", "blob"].iter().any(|own| scheme.eq_ignore_ascii_case(own)) =>
            {
                findings.doubt(
                    rules.signal(Signal::UrlUnreadable),
                    rules.model.confidence.sources_disagree,
                    at,
                );
            }
            _ => url::read(leaf.text, &at, rules, findings),
        },
        Some(
            Role::Message | Role::Action | Role::Recipient | Role::Amount | Role::Rehearsal | Role::Plain,
        )
        | None => {}
    }
}

/// Looks through the text that leaves for secrets, orders of money and signs of crisis. Says whether all of
/// it was read.
fn scan<'r>(
    leaves: &[Leaf<'_>],
    context: &Context<'_>,
    rules: &'r Rules,
    findings: &mut Findings<'r>,
) -> bool {
    let total: usize = leaves.iter().map(|leaf| leaf.text.len()).sum();
    let outbound = findings.outbound();
    // Over the bound every leaf is cut in proportion, so that one long text cannot hide the others.
    let share = if total > SCANNED { SCANNED / leaves.len().max(1) } else { SCANNED };
    for leaf in leaves {
        let at = Place::at(&leaf.pointer);
        if outbound {
            attached(leaf.text, &at, context, rules, findings);
        }
        for (offset, part) in parts(leaf.text, share) {
            secret::read(part, offset, &at, rules, findings);
            if outbound {
                message::read(part, offset, &at, rules, findings);
                if let Some((rule, span)) = crisis::find(part, rules) {
                    findings.mark_crisis(rule, at.span((span.0 + offset, span.1 + offset)));
                }
            }
        }
    }
    if outbound && leaves.len() > 1 && !findings.crisis() {
        // Half a sentence in the subject and half in the body is read as one by whoever receives it.
        let joined = seams(leaves);
        if let Some((rule, _)) = crisis::find(&joined, rules) {
            findings.mark_crisis(rule, Place::default());
        }
    }
    total <= SCANNED
}

/// The texts of a call one after the other, forwards and backwards; of long ones only what may run over.
fn seams(leaves: &[Leaf<'_>]) -> String {
    const SEAM: usize = 120;
    const ALL: usize = 4 << 10;
    let mut joined = String::new();
    let mut add = |leaf: &Leaf<'_>| {
        if joined.len() < ALL {
            for (index, (_, part)) in parts(leaf.text, 2 * SEAM).enumerate() {
                joined.push_str(if index == 0 { " " } else { " . " });
                joined.push_str(part);
            }
        }
    };
    leaves.iter().for_each(&mut add);
    leaves.iter().rev().for_each(&mut add);
    joined
}

/// `MEDIA:/home/…` and `file:///…` in words that leave: the file leaves with them.
fn attached<'r>(
    text: &str,
    at: &Place,
    context: &Context<'_>,
    rules: &'r Rules,
    findings: &mut Findings<'r>,
) {
    const MARKS: [&str; 3] = ["MEDIA:", "file://", "attachment:"];
    for (start, mark) in MARKS.iter().filter_map(|mark| Some((text.find(mark)?, mark))) {
        let path = text.get(start + mark.len()..).unwrap_or_default();
        let path = path.split([' ', '\n', '"', '\'', ')', '>']).next().unwrap_or_default();
        if path.starts_with(['/', '~', '.', '$']) {
            let place = at.span((start, start + mark.len() + path.len()));
            findings.add(rules.signal(Signal::AttachedFile), place.clone());
            path::read(path, path::Use::Read, &place.fix(), context, rules, findings);
        }
    }
}

/// The text, or its head and tail with their offsets when it is longer than `share`.
fn parts(text: &str, share: usize) -> impl Iterator<Item = (usize, &str)> {
    let half = share / 2;
    let (head, tail) = if text.len() <= share {
        (text, None)
    } else {
        let start = text.ceil_char_boundary(text.len() - half);
        (
            text.get(..text.floor_char_boundary(half)).unwrap_or_default(),
            text.get(start..).map(|tail| (start, tail)),
        )
    };
    std::iter::once((0, head)).chain(tail)
}

impl Known<'_> {
    fn by_argument(&self) -> bool {
        self.entry.is_some_and(|entry| {
            let reads = |role: &Role| matches!(role, Role::Shell | Role::Code | Role::Sql);
            entry.spec.effect == "none" && entry.spec.roles.values().any(reads)
        })
    }

    fn leaves_host(&self) -> bool {
        self.entry.is_some_and(|entry| entry.spec.effect == "read_remote")
    }

    fn role(&self, key: &str, rules: &Rules) -> Option<Role> {
        let declared = self.entry.and_then(|entry| entry.spec.roles.get(key));
        declared.or_else(|| rules.roles.get(key)).copied()
    }
}
