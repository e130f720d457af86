//! Why a call is allowed or not, for the operator: every link, every argument, and what would change it.
//!
//! None of this is for the agent: it would be told how to ask for more.

use crate::constraint::{Constraint, Range, Shlex, Subpath, UrlSafe, Verdict};
use crate::decide::{Call, Decision, decide};
use crate::syntax::write_grant;
use crate::value::Value;
use crate::verify::Chain;
use crate::warrant::WarrantId;
use std::collections::BTreeMap;
use std::fmt;

/// What one link says of one argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub link: usize,
    pub warrant: WarrantId,
    pub argument: String,
    /// The constraint in words; nothing when the argument is not named.
    pub rule: Option<String>,
    pub allowed: bool,
    pub why: String,
    /// The closest value that this link would allow.
    pub nearest: Option<Value>,
    /// What would have to be granted, in the short form of `--allow`.
    pub widen: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    pub decision: Decision,
    pub tool: String,
    pub findings: Vec<Finding>,
}

/// Explains what a chain says of a call.
pub fn explain(chain: &Chain, call: &Call<'_>, now: u64) -> Explanation {
    let mut findings = Vec::new();
    for (link, warrant) in chain.links().iter().enumerate() {
        let payload = &warrant.payload;
        let Some(capability) = payload.capability(call.tool).or(payload.constraint_bounds.as_ref()) else {
            if payload.issuable_tools.is_none() {
                findings.push(Finding {
                    link,
                    warrant: payload.id,
                    argument: String::new(),
                    rule: None,
                    allowed: false,
                    why: "the tool is not granted".to_owned(),
                    nearest: payload
                        .tools
                        .keys()
                        .min_by_key(|tool| distance(tool, call.tool))
                        .map(|tool| Value::from(tool.as_str())),
                    widen: Some(write_grant(call.tool, &BTreeMap::new())),
                });
            }
            continue;
        };
        for (argument, constraint) in &capability.constraints {
            let found = call.args.get(argument);
            let verdict = found.map(|value| constraint.check(value));
            let (allowed, why) = match verdict {
                Some(verdict) => (verdict == Verdict::Matches, verdict.why()),
                None if constraint.is_optional() => (true, "may be absent"),
                None => (false, "is missing"),
            };
            let widen = || {
                let widened = match found {
                    Some(value) => constraint.widened_to(value),
                    None => Constraint::Optional(Box::new(constraint.clone())),
                };
                let mut constraints = capability.constraints.clone();
                constraints.insert(argument.clone(), widened);
                write_grant(call.tool, &constraints)
            };
            findings.push(Finding {
                link,
                warrant: payload.id,
                argument: argument.clone(),
                rule: Some(constraint.to_string()),
                allowed,
                why: why.to_owned(),
                nearest: if allowed { None } else { found.and_then(|value| constraint.nearest(value)) },
                widen: (!allowed).then(widen),
            });
        }
        if capability.is_open() || capability.allow_unknown {
            continue;
        }
        for (argument, value) in
            call.args.iter().filter(|(argument, _)| !capability.constraints.contains_key(*argument))
        {
            let mut constraints = capability.constraints.clone();
            constraints
                .insert(argument.clone(), Constraint::Optional(Box::new(Constraint::Exact(value.clone()))));
            findings.push(Finding {
                link,
                warrant: payload.id,
                argument: argument.clone(),
                rule: None,
                allowed: false,
                why: "is not named by the warrant".to_owned(),
                nearest: None,
                widen: Some(write_grant(call.tool, &constraints)),
            });
        }
    }
    Explanation { decision: decide(chain, call, &[], now), tool: call.tool.to_owned(), findings }
}

impl fmt::Display for Explanation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.decision.outcome {
            crate::decide::Outcome::Authorised => writeln!(out, "`{}` is authorised", self.tool)?,
            crate::decide::Outcome::Gated(objection) => {
                writeln!(out, "`{}` waits for a person: {objection}", self.tool)?
            }
            crate::decide::Outcome::Refused(objection) => {
                writeln!(out, "`{}` is refused: {objection}", self.tool)?
            }
        }
        for finding in &self.findings {
            let mark = if finding.allowed { "ok" } else { "no" };
            write!(out, "  {mark}  link {} ", finding.link)?;
            if !finding.argument.is_empty() {
                write!(out, "`{}` ", finding.argument)?;
            }
            match &finding.rule {
                Some(rule) => writeln!(out, "{rule}: {}", finding.why)?,
                None => writeln!(out, "{}", finding.why)?,
            }
            if let Some(nearest) = &finding.nearest {
                writeln!(out, "        nearest: {nearest}")?;
            }
            if let Some(widen) = &finding.widen {
                writeln!(out, "        would take: --allow '{}'", widen.replace('\'', "'\\''"))?;
            }
        }
        Ok(())
    }
}

/// Letters to change from one text to the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.chars().take(64).enumerate() {
        let mut left = at + 1;
        let mut corner = at;
        let mut next = vec![left];
        for (found, above) in other.iter().zip(row.iter().skip(1)) {
            let kept = corner + usize::from(*found != letter);
            corner = *above;
            left = kept.min(left + 1).min(above + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

fn closest<'a>(values: &'a [Value], wanted: &Value) -> Option<&'a Value> {
    values.iter().min_by_key(|value| distance(&value.to_string(), &wanted.to_string()))
}

/// The deepest directory that holds both.
fn common_root(one: &str, other: &str) -> String {
    let segments =
        |path: &str| path.split('/').filter(|it| !it.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let shared: Vec<_> = segments(one)
        .into_iter()
        .zip(segments(other))
        .take_while(|(one, other)| one == other)
        .map(|(one, _)| one)
        .collect();
    format!("/{}", shared.join("/"))
}

impl Constraint {
    /// A value that is allowed and close to the one that is not.
    pub fn nearest(&self, value: &Value) -> Option<Value> {
        let near = match self {
            Self::Exact(wanted) => Some(wanted.clone()),
            Self::OneOf(values) => closest(values, value).cloned(),
            Self::Range(range) => match value {
                Value::Number(number) if range.min.as_ref().is_some_and(|min| number <= min) => {
                    range.min.clone()
                }
                Value::Number(_) => range.max.clone(),
                _ => range.min.clone().or_else(|| range.max.clone()),
            }
            .map(Value::Number),
            Self::Subpath(subpath) => {
                let name = value.text().unwrap_or("").rsplit(['/', '\\']).next().unwrap_or("");
                let inside = Value::from(format!("{}/{name}", subpath.root().trim_end_matches('/')).as_str());
                if self.check(&inside) == Verdict::Matches {
                    Some(inside)
                } else {
                    Some(Value::from(subpath.root()))
                }
            }
            Self::Pattern(glob) => {
                Some(Value::from(glob.text().replace('*', value.text().unwrap_or("")).as_str()))
                    .filter(|filled| self.check(filled) == Verdict::Matches)
                    .or_else(|| Some(Value::from(glob.text().replace('*', "x").as_str())))
            }
            Self::Shlex(shlex) => {
                let rest = value.text().and_then(|line| line.split_once(' ')).map_or("", |(_, rest)| rest);
                let program = shlex.allow.first()?;
                let line = Value::from(format!("{program} {rest}").trim());
                if self.check(&line) == Verdict::Matches {
                    Some(line)
                } else {
                    Some(Value::from(program.as_str()))
                }
            }
            Self::UrlSafe(UrlSafe { allow_domains: Some(domains), .. }) => domains
                .first()
                .map(|domain| Value::from(format!("https://{}/", domain.replace('*', "www")).as_str())),
            Self::UrlPattern(pattern) => {
                Some(Value::from(pattern.text().replace("*://", "https://").replace('*', "x").as_str()))
            }
            Self::Cidr(cidr) => cidr.text().split('/').next().map(Value::from),
            Self::Subset(allowed) => match value {
                Value::List(items) => {
                    Some(Value::List(items.iter().filter(|it| allowed.contains(it)).cloned().collect()))
                }
                _ => Some(Value::List(allowed.clone())),
            },
            Self::Contains(required) => match value {
                Value::List(items) => {
                    let missing = required.iter().filter(|it| !items.contains(it));
                    Some(Value::List(items.iter().chain(missing).cloned().collect()))
                }
                _ => Some(Value::List(required.clone())),
            },
            Self::Optional(inner) => inner.nearest(value),
            Self::Any(branches) => branches.iter().find_map(|branch| branch.nearest(value)),
            _ => None,
        };
        near.filter(|near| self.check(near) == Verdict::Matches)
    }

    /// The least constraint of its kind that also allows `value`; what no kind allows is named exactly.
    pub fn widened_to(&self, value: &Value) -> Self {
        let widened = match (self, value) {
            (Self::Optional(inner), _) => Self::Optional(Box::new(inner.widened_to(value))),
            (Self::Exact(wanted), _) => Self::OneOf(vec![wanted.clone(), value.clone()]),
            (Self::OneOf(values), _) => Self::OneOf(values.iter().chain([value]).cloned().collect()),
            (Self::Range(range), Value::Number(number)) => {
                let mut wider = range.clone();
                if wider.min.as_ref().is_some_and(|min| number <= min) {
                    (wider.min, wider.min_inclusive) = (Some(number.clone()), true);
                }
                if wider.max.as_ref().is_some_and(|max| number >= max) {
                    (wider.max, wider.max_inclusive) = (Some(number.clone()), true);
                }
                Self::Range(Range { ..wider })
            }
            (Self::Subpath(subpath), Value::Text(path)) => match common_root(subpath.root(), path).as_str() {
                // Nobody means the whole disk by one file more.
                "/" => self.clone(),
                root => Self::Subpath(Subpath::with(root, subpath.case_sensitive, true)),
            },
            (Self::Shlex(shlex), Value::Text(line)) => {
                let program = line.split_whitespace().next().unwrap_or("").to_owned();
                Self::Shlex(Shlex { allow: shlex.allow.iter().cloned().chain([program]).collect() })
            }
            (Self::Subset(allowed), Value::List(items)) => {
                let more = items.iter().filter(|it| !allowed.contains(it));
                Self::Subset(allowed.iter().chain(more).cloned().collect())
            }
            (Self::UrlSafe(safe), Value::Text(text)) => {
                let host = crate::constraint::host_of(text);
                let mut wider = safe.clone();
                if let (Some(domains), Some(host)) = (&mut wider.allow_domains, host) {
                    domains.push(host);
                }
                Self::UrlSafe(wider)
            }
            _ => self.clone(),
        };
        if widened.check(value) == Verdict::Matches {
            return widened;
        }
        Self::Any(vec![self.clone(), Self::Exact(value.clone())])
    }
}
