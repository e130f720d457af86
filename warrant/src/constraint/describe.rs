//! Constraints in words, for people.

use super::Constraint;
use crate::value::Value;
use std::fmt;

fn list(values: &[Value]) -> String {
    let shown: Vec<_> = values.iter().take(8).map(ToString::to_string).collect();
    match values.len().checked_sub(8) {
        Some(more) if more > 0 => format!("{} and {more} more", shown.join(", ")),
        _ => shown.join(", "),
    }
}

fn join(constraints: &[Constraint], word: &str) -> String {
    constraints.iter().map(ToString::to_string).collect::<Vec<_>>().join(word)
}

impl Constraint {
    /// The name of its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Exact(_) => "exact",
            Self::Pattern(_) => "pattern",
            Self::Range(_) => "range",
            Self::OneOf(_) => "one_of",
            Self::Regex(_) => "regex",
            Self::NotOneOf(_) => "not_one_of",
            Self::Cidr(_) => "cidr",
            Self::UrlPattern(_) => "url_pattern",
            Self::Contains(_) => "contains",
            Self::Subset(_) => "subset",
            Self::All(_) => "all",
            Self::Any(_) => "any",
            Self::Not(_) => "not",
            Self::Cel { .. } => "cel",
            Self::Wildcard => "wildcard",
            Self::Subpath(_) => "subpath",
            Self::UrlSafe(_) => "url_safe",
            Self::Shlex(_) => "shlex",
            Self::Optional(_) => "optional",
            Self::Unknown { .. } => "unknown",
        }
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(value) => write!(out, "exactly {value}"),
            Self::Pattern(glob) => write!(out, "like {:?}", glob.text()),
            Self::Range(range) => {
                match &range.min {
                    Some(min) => {
                        write!(out, "{} {min}", if range.min_inclusive { "at least" } else { "more than" })?
                    }
                    None if range.max.is_none() => out.write_str("any number")?,
                    None => {}
                }
                if range.min.is_some() && range.max.is_some() {
                    out.write_str(" and ")?;
                }
                match &range.max {
                    Some(max) => {
                        write!(out, "{} {max}", if range.max_inclusive { "at most" } else { "less than" })
                    }
                    None => Ok(()),
                }
            }
            Self::OneOf(values) => write!(out, "one of {}", list(values)),
            Self::Regex(regex) => write!(out, "matching /{}/ as a whole", regex.pattern()),
            Self::NotOneOf(values) => write!(out, "none of {}", list(values)),
            Self::Cidr(cidr) => write!(out, "an address in {}", cidr.text()),
            Self::UrlPattern(pattern) => write!(out, "a URL like {}", pattern.text()),
            Self::Contains(values) => write!(out, "a list that holds {}", list(values)),
            Self::Subset(values) => write!(out, "a list of nothing but {}", list(values)),
            Self::All(inner) => write!(out, "({})", join(inner, " and ")),
            Self::Any(inner) => write!(out, "({})", join(inner, " or ")),
            Self::Not(inner) => write!(out, "not {inner}"),
            Self::Cel { .. } => out.write_str("a CEL expression (never allowed here)"),
            Self::Wildcard => out.write_str("anything"),
            Self::Subpath(subpath) => {
                write!(out, "{} {}", if subpath.allow_equal { "in" } else { "below" }, subpath.root())?;
                if subpath.case_sensitive { Ok(()) } else { out.write_str(" (in any case)") }
            }
            Self::UrlSafe(safe) => {
                out.write_str("a URL that leads outside")?;
                if let Some(domains) = &safe.allow_domains {
                    write!(out, ", to {}", domains.join(", "))?;
                }
                Ok(())
            }
            Self::Shlex(shlex) => write!(out, "one command of {}", shlex.allow.join(", ")),
            Self::Optional(inner) => write!(out, "absent or {inner}"),
            Self::Unknown { id, .. } => write!(out, "a constraint of unknown kind {id} (never allowed here)"),
        }
    }
}
