//! Paths, judged lexically: what lives there, and what is done to it.

use crate::Context;
use crate::rules::{PathRule, Rule, Rules, Signal, glob};
use crate::weigh::{Findings, Place};

/// What the call does with the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Read,
    Write,
    Delete,
}

/// What is known of a path once it is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Nature {
    /// Nothing of worth lives there.
    pub(crate) scratch: bool,
    /// Reading it needs a person.
    pub(crate) secret: bool,
}

/// Adds what the path says, and tells what it is.
pub(crate) fn read<'r>(
    text: &str,
    used: Use,
    at: &Place,
    context: &Context<'_>,
    rules: &'r Rules,
    findings: &mut Findings<'r>,
) -> Nature {
    let path = normalise(text, context);
    let mut nature = Nature::default();
    let mut named = false;
    let entries: Vec<&PathRule> = matching(&path, rules).collect();
    let scratch = entries.iter().any(|entry| entry.scratch);
    for entry in entries {
        named = true;
        nature.scratch |= entry.scratch;
        nature.secret |= entry.read.as_ref().is_some_and(|rule| rule.effect.floor > 0.0);
        let effect = match used {
            Use::Read => &entry.read,
            Use::Write => &entry.write,
            Use::Delete => &entry.delete,
        };
        let place = at.span((0, text.len()));
        if entry.rule.effect.target > 0.0 {
            findings.add(&entry.rule, place.clone());
        }
        // A profile under /tmp is nobody's profile; a key is a key wherever it lies.
        let idle = scratch && used == Use::Write && entry.rule.effect.target < 1.0;
        if let Some(rule) = effect.as_ref().filter(|_| !idle) {
            findings.add(rule, place);
        }
    }
    if !named {
        findings.add(
            rules.signal(if is_project(&path, context) {
                Signal::PathProject
            } else {
                Signal::PathElsewhere
            }),
            at.clone(),
        );
    }
    if !path.starts_with(['/', '~']) && context.cwd.is_none() && path.starts_with("..") {
        findings.doubt(rules.signal(Signal::PathRelative), rules.model.confidence.relative_path, at.clone());
    }
    nature
}

/// What the path is, with nothing added.
pub(crate) fn nature(text: &str, context: &Context<'_>, rules: &Rules) -> Nature {
    matching(&normalise(text, context), rules).fold(Nature::default(), |nature, entry| Nature {
        scratch: nature.scratch || entry.scratch,
        secret: nature.secret || entry.read.as_ref().is_some_and(|rule: &Rule| rule.effect.floor > 0.0),
    })
}

/// Whether any program that is given the path reads what only root may read.
pub(crate) fn is_guarded(text: &str, context: &Context<'_>, rules: &Rules) -> bool {
    text.contains('/') && matching(&normalise(text, context), rules).any(|entry| entry.anywhere)
}

/// Ids of the rules that take the path.
pub(crate) fn ids<'r>(text: &str, context: &Context<'_>, rules: &'r Rules) -> impl Iterator<Item = &'r str> {
    let path = normalise(text, context);
    matching(&path, rules).map(|entry| entry.rule.id.as_str()).collect::<Vec<_>>().into_iter()
}

fn matching<'p, 'r: 'p>(path: &'p str, rules: &'r Rules) -> impl Iterator<Item = &'r PathRule> + use<'p, 'r> {
    // Steps upwards whose start is not known may well end at the root.
    let above = path.starts_with("../").then(|| format!("/{}", path.trim_start_matches("../")));
    let called = rules.path_stems.called(path.as_bytes());
    // What a wildcard at the end stands for lies in the directory before it.
    let solid = path.trim_end_matches(['*', '?']).trim_end_matches('/');
    let named = called.into_iter().filter_map(|index| rules.paths.get(index)).filter(move |entry| {
        let judged = if entry.scratch { solid } else { path };
        let takes = |path: &str| {
            let takes = |pattern: &String| glob::matches_path(pattern, path);
            entry.globs.iter().any(takes) && !entry.except.iter().any(takes)
        };
        takes(judged) || (!entry.scratch && above.as_deref().is_some_and(takes))
    });
    named.chain(hidden(path, rules))
}

/// Guarded files a wildcard in the path stands for: `/etc/shad?w`, `/etc/sha*`.
fn hidden<'r>(path: &str, rules: &'r Rules) -> impl Iterator<Item = &'r PathRule> + use<'r> {
    const LEAST: usize = 2;
    let name = path.rsplit('/').next().unwrap_or_default();
    let spelled = name.bytes().filter(u8::is_ascii_alphanumeric).count() >= LEAST;
    let wild = path.starts_with('/') && spelled && path.contains(['*', '?']);
    let stands_for = |pattern: &String| {
        let literal = pattern.trim_end_matches('*');
        literal.starts_with('/') && glob::is_literal(literal) && glob::matches(path, literal)
    };
    let guarded = rules.paths.iter().filter(move |_| wild).filter(|entry| entry.anywhere);
    guarded.filter(|entry| entry.globs.iter().any(stands_for)).collect::<Vec<_>>().into_iter()
}

fn is_project(path: &str, context: &Context<'_>) -> bool {
    match context.cwd {
        Some(cwd) => {
            let cwd = normalise(cwd, &Context { cwd: None, ..*context });
            path.strip_prefix(cwd.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        None => !path.starts_with(['/', '~', '.']),
    }
}

/// One spelling for one place: home as `~`, no `.` or `..`, relative paths joined to the working directory.
pub(crate) fn normalise(text: &str, context: &Context<'_>) -> String {
    let text = text.trim();
    let text = text.strip_prefix("file://").unwrap_or(text);
    // macOS keeps these behind links.
    let text = text
        .strip_prefix("/private")
        .filter(|rest| rest.starts_with("/etc") || rest.starts_with("/var") || rest.starts_with("/tmp"))
        .unwrap_or(text);
    let text = expand(text, context);
    let joined = match context.cwd {
        Some(cwd) if !text.starts_with(['/', '~']) => format!("{}/{text}", expand(cwd, context)),
        _ => text,
    };
    let mut absolute = joined.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&"..") | None if !absolute => parts.push(".."),
                Some(&"~") => match context.home {
                    Some(home) => {
                        absolute = true;
                        parts = home.split('/').filter(|part| !part.is_empty()).collect();
                        parts.pop();
                    }
                    None => parts = vec!["..", ".."],
                },
                _ => {
                    parts.pop();
                }
            },
            part => parts.push(part),
        }
    }
    let path = parts.join("/");
    if absolute { home(&format!("/{path}"), context) } else { path }
}

fn expand(text: &str, context: &Context<'_>) -> String {
    for (name, value) in [
        ("$HOME", "~"),
        ("${HOME}", "~"),
        ("$TMPDIR", "/tmp"),
        ("${TMPDIR}", "/tmp"),
        ("$PWD", "."),
        ("${PWD}", "."),
    ] {
        if let Some(rest) = text.strip_prefix(name)
            && (rest.is_empty() || rest.starts_with('/'))
        {
            return format!("{value}{rest}");
        }
    }
    home(text, context)
}

fn home(text: &str, context: &Context<'_>) -> String {
    let within = |home: &str| text.strip_prefix(home).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    if let Some(rest) = context.home.and_then(within).or_else(|| within("/root")) {
        return format!("~{rest}");
    }
    for homes in ["/home/", "/Users/"] {
        if let Some(rest) = text.strip_prefix(homes)
            && let Some((_, rest)) = rest.split_once('/')
        {
            return format!("~/{rest}");
        }
    }
    match text.strip_prefix('~') {
        // `~user/x` is that user's home.
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') => match rest.split_once('/') {
            Some((_, rest)) => format!("~/{rest}"),
            None => text.to_owned(),
        },
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_place_is_one_path() {
        let context =
            Context { cwd: Some("/home/dev/project"), home: Some("/home/dev"), ..Context::default() };
        for text in [
            "~/.ssh/id_rsa",
            "$HOME/.ssh/id_rsa",
            "/home/dev/.ssh/id_rsa",
            "../.ssh/./id_rsa",
            "/home/dev/project/../.ssh//id_rsa",
            "~dev/.ssh/id_rsa",
        ] {
            assert_eq!(normalise(text, &context), "~/.ssh/id_rsa", "{text}");
        }
        assert_eq!(normalise("/./..//etc/passwd", &context), "/etc/passwd");
        assert_eq!(normalise("../../../../etc/shadow", &context), "/etc/shadow");
    }
}
