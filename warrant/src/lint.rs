//! What is wider in a warrant than whoever mints it may think.

use crate::capability::Capability;
use crate::constraint::Constraint;
use crate::warrant::Payload;
use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lint {
    pub code: &'static str,
    pub tool: Option<String>,
    pub argument: Option<String>,
    pub text: String,
}

impl fmt::Display for Lint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(tool) = &self.tool {
            write!(out, "{tool}")?;
            if let Some(argument) = &self.argument {
                write!(out, ":{argument}")?;
            }
            out.write_str(": ")?;
        }
        write!(out, "{} ({})", self.text, self.code)
    }
}

/// Looks a payload over. `job` is how long the work is meant to take, in seconds.
pub fn lint(payload: &Payload, job: Option<u64>) -> Vec<Lint> {
    let mut lints = Vec::new();
    let life = payload.expires_at.saturating_sub(payload.issued_at);
    let whole = |code, text: String| Lint { code, tool: None, argument: None, text };
    match job {
        Some(job) if life > job => {
            lints.push(whole("ttl-too-long", format!("it lives {life} s, and the job takes {job} s")));
        }
        None if life > 86_400 => {
            lints.push(whole("ttl-too-long", format!("it lives {life} s, more than a day")))
        }
        _ => {}
    }
    if payload.gates.is_some() && payload.required_approvers.is_none() {
        lints.push(whole(
            "nobody-approves",
            "it gates calls and names nobody who may approve them".to_owned(),
        ));
    }
    for (tool, capability) in &payload.tools {
        lint_tool(tool, capability, &mut lints);
    }
    if payload.issuable_tools.is_some() && payload.constraint_bounds.is_none() {
        lints.push(whole("open-issuer", "it issues warrants without bounds on their arguments".to_owned()));
    }
    lints
}

fn lint_tool(tool: &str, capability: &Capability, lints: &mut Vec<Lint>) {
    let mut add = |code, argument: Option<&str>, text: &str| {
        let argument = argument.map(str::to_owned);
        lints.push(Lint { code, tool: Some(tool.to_owned()), argument, text: text.to_owned() });
    };
    if tool == "*" {
        add("wildcard-tool", None, "every tool there is, and every one there will be");
    }
    if capability.is_open() {
        add("open-capability", None, "any arguments are allowed");
    } else if capability.allow_unknown {
        add("unnamed-arguments", None, "arguments that are not named are allowed as well");
    }
    if capability.limits.as_ref().is_none_or(|limits| limits.servers.is_empty()) {
        add("no-server", None, "whatever server offers a tool of this name may be called");
    }
    for (argument, constraint) in &capability.constraints {
        lint_constraint(argument, constraint, &mut |code, text| add(code, Some(argument), text));
    }
}

fn is_path_like(argument: &str) -> bool {
    let name = argument.to_ascii_lowercase();
    ["path", "file", "dir", "folder", "cwd", "root"].iter().any(|word| name.contains(word))
}

fn lint_constraint(argument: &str, constraint: &Constraint, add: &mut dyn FnMut(&'static str, &str)) {
    match constraint {
        Constraint::Wildcard => add("wildcard-argument", "any value is allowed"),
        Constraint::Pattern(glob) if glob.text().chars().all(|letter| letter == '*') => {
            add("wildcard-argument", "any text is allowed");
        }
        Constraint::Pattern(glob) if glob.text().starts_with('/') || is_path_like(argument) => {
            add(
                "glob-on-path",
                "a glob on a path: other verifiers let `*` cross slashes and `..`; name a directory",
            );
        }
        Constraint::Regex(regex) if !(regex.pattern().starts_with('^') && regex.pattern().ends_with('$')) => {
            add(
                "unanchored-regex",
                "other verifiers search for it anywhere in the value; anchor it with ^ and $",
            );
        }
        Constraint::NotOneOf(_) => {
            add("exclusion-list", "everything is allowed but a list; name what is allowed")
        }
        Constraint::Not(_) => {
            add("exclusion-list", "everything is allowed but what is named; name what is allowed")
        }
        Constraint::Subpath(subpath) if subpath.root().trim_matches('/').is_empty() => {
            add("whole-disk", "every file there is");
        }
        Constraint::UrlSafe(safe) if safe.allow_domains.is_none() => {
            add("any-domain", "any public host is allowed");
        }
        Constraint::Any(inner) | Constraint::All(inner) => {
            inner.iter().for_each(|inner| lint_constraint(argument, inner, add));
        }
        Constraint::Optional(inner) => lint_constraint(argument, inner, add),
        _ => {}
    }
    if let Some(kind) = constraint.unevaluable() {
        add("never-allowed", &format!("nothing passes it: {kind} is not evaluated here"));
    }
}
