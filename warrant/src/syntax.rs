//! The short form in which people grant: `tool:arg=value,arg=value`.
//!
//! `*` is anything, `a|b` a choice, `MIN..MAX` a range with both ends, what holds `*` or `?` a glob, what begins with
//! `/` or `~` a path and all below it, anything else must be exactly that text. Beyond what others read: `arg?=value`
//! may be absent, and `arg:=json` is a JSON value or a constraint as an object with a `type`.

use crate::capability::Capability;
use crate::constraint::{AuthoredError, Constraint, Glob, Range, Subpath};
use crate::json::{JsonError, read_document};
use crate::value::{Number, Value};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    #[error("`{0}`: the name of the tool is missing")]
    Tool(String),
    #[error("`{0}`: `arg=value` was expected")]
    Pair(String),
    #[error("`{0}` is given twice")]
    Twice(String),
    #[error("`{0}`: the least is above the most")]
    Upside(String),
    #[error("`{0}`: a number that would be rounded")]
    Number(String),
    #[error("`{0}`: no home directory is known for `~`")]
    Home(String),
    #[error("`{0}`: an empty choice")]
    Choice(String),
    #[error("`{argument}`: {error}")]
    Json { argument: String, error: JsonError },
    #[error("`{argument}`: {error}")]
    Constraint { argument: String, error: AuthoredError },
    #[error("`{0}` is no duration: `90s`, `15m`, `8h` and `7d` are")]
    Duration(String),
}

/// Reads several grants. A tool that comes twice has the arguments of both.
pub fn read_grants<'a>(
    grants: impl IntoIterator<Item = &'a str>,
    home: Option<&str>,
) -> Result<BTreeMap<String, Capability>, SyntaxError> {
    let mut tools: BTreeMap<String, Capability> = BTreeMap::new();
    for grant in grants {
        let (tool, constraints) = read_grant(grant, home)?;
        let capability = tools.entry(tool).or_default();
        for (argument, constraint) in constraints {
            if capability.constraints.insert(argument.clone(), constraint).is_some() {
                return Err(SyntaxError::Twice(argument));
            }
        }
    }
    Ok(tools)
}

/// Reads one grant: a tool, and what its arguments may be. Without any it may be called with any.
pub fn read_grant(
    grant: &str,
    home: Option<&str>,
) -> Result<(String, BTreeMap<String, Constraint>), SyntaxError> {
    let (tool, rest) = grant.trim().split_once(':').unwrap_or((grant.trim(), ""));
    let tool = tool.trim();
    if tool.is_empty() {
        return Err(SyntaxError::Tool(grant.to_owned()));
    }
    let mut constraints = BTreeMap::new();
    for item in split_items(rest) {
        let pair = || SyntaxError::Pair(item.to_owned());
        let (name, value) = item.split_once('=').ok_or_else(pair)?;
        let (name, typed) = name.trim().strip_suffix(':').map_or((name.trim(), false), |name| (name, true));
        let (argument, optional) = name.strip_suffix('?').map_or((name, false), |name| (name, true));
        let value = value.trim();
        if argument.is_empty() || value.is_empty() || argument.contains(MARKS) {
            return Err(pair());
        }
        let constraint = if typed { read_json(argument, value)? } else { read_value(value, home)? };
        let constraint = if optional { Constraint::Optional(Box::new(constraint)) } else { constraint };
        if constraints.insert(argument.to_owned(), constraint).is_some() {
            return Err(SyntaxError::Twice(argument.to_owned()));
        }
    }
    Ok((tool.to_owned(), constraints))
}

/// What a short form never holds outside of JSON.
const MARKS: [char; 7] = [',', '{', '[', ']', '}', '"', '\\'];

/// Splits at commas that stand outside of braces and brackets, and of the quotes of a JSON text.
fn split_items(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0usize;
    let mut quoted = false;
    let mut escaped = false;
    let mut before = [' '; 2];
    text.split(move |letter| {
        let [second, last] = before;
        before = [last, letter];
        if std::mem::take(&mut escaped) {
            return false;
        }
        match letter {
            '\\' if quoted => escaped = true,
            '"' if quoted || depth > 0 || [second, last] == [':', '='] => quoted = !quoted,
            '{' | '[' if !quoted => depth += 1,
            '}' | ']' if !quoted => depth = depth.saturating_sub(1),
            ',' => return depth == 0 && !quoted,
            _ => {}
        }
        false
    })
    .map(str::trim)
    .filter(|item| !item.is_empty())
}

fn read_json(argument: &str, text: &str) -> Result<Constraint, SyntaxError> {
    let value =
        read_document(text).map_err(|error| SyntaxError::Json { argument: argument.to_owned(), error })?;
    match &value {
        Value::Object(members) if members.contains_key("type") => Constraint::from_value(&value)
            .map_err(|error| SyntaxError::Constraint { argument: argument.to_owned(), error }),
        _ => Ok(Constraint::Exact(value)),
    }
}

/// Reads one value of the short form.
pub fn read_value(value: &str, home: Option<&str>) -> Result<Constraint, SyntaxError> {
    if value == "*" {
        return Ok(Constraint::Wildcard);
    }
    if let Some((min, max)) = value.split_once("..")
        && is_plain_number(min)
        && is_plain_number(max)
    {
        return read_range(value, min, max);
    }
    if value.contains('|') {
        let choices: Vec<_> =
            value.split('|').map(str::trim).filter(|it| !it.is_empty()).map(Value::from).collect();
        let none = choices.is_empty();
        return if none {
            Err(SyntaxError::Choice(value.to_owned()))
        } else {
            Ok(Constraint::OneOf(choices))
        };
    }
    if value.contains(['*', '?']) {
        return Ok(Constraint::Pattern(Glob::new(value)));
    }
    if let Some(below) = value.strip_prefix('~').filter(|below| below.is_empty() || below.starts_with('/')) {
        let home = home.ok_or_else(|| SyntaxError::Home(value.to_owned()))?;
        return Ok(Constraint::Subpath(Subpath::new(&format!("{}{below}", home.trim_end_matches('/')))));
    }
    if value.starts_with('/') {
        return Ok(Constraint::Subpath(Subpath::new(value)));
    }
    Ok(Constraint::Exact(Value::from(value)))
}

fn is_plain_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    all(whole) && all(fraction)
}

fn read_range(value: &str, min: &str, max: &str) -> Result<Constraint, SyntaxError> {
    let bound = |text: &str| {
        let trimmed = text.trim_start_matches('0');
        let plain = if trimmed.is_empty() || trimmed.starts_with('.') {
            format!("0{trimmed}")
        } else {
            trimmed.to_owned()
        };
        Number::from_json(&plain)
            .filter(|number| Number::from_f64(number.to_f64()).as_ref() == Some(number))
            .ok_or_else(|| SyntaxError::Number(value.to_owned()))
    };
    let (min, max) = (bound(min)?, bound(max)?);
    if min > max {
        return Err(SyntaxError::Upside(value.to_owned()));
    }
    Ok(Constraint::Range(Range::new(Some(min), Some(max))))
}

/// Reads `90s`, `15m`, `8h`, `7d` or bare seconds.
pub fn read_duration(text: &str) -> Result<u64, SyntaxError> {
    let wrong = || SyntaxError::Duration(text.to_owned());
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at_checked(end).ok_or_else(wrong)?;
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(wrong()),
    };
    count.parse::<u64>().ok().and_then(|count| count.checked_mul(seconds)).ok_or_else(wrong)
}

/// Writes a grant that [`read_grant`] reads back.
pub fn write_grant(tool: &str, constraints: &BTreeMap<String, Constraint>) -> String {
    let items: Vec<_> =
        constraints.iter().map(|(argument, constraint)| write_item(argument, constraint)).collect();
    if items.is_empty() { tool.to_owned() } else { format!("{tool}:{}", items.join(",")) }
}

fn write_item(argument: &str, constraint: &Constraint) -> String {
    let (mark, inner) = match constraint {
        Constraint::Optional(inner) => ("?", &**inner),
        other => ("", other),
    };
    let plain = |text: &str| {
        let special = text.is_empty() || text.trim() != text || text.contains(MARKS) || text.contains('|');
        (!special && read_value(text, None).as_ref() == Ok(inner)).then(|| text.to_owned())
    };
    let short = match inner {
        Constraint::Wildcard => Some("*".to_owned()),
        Constraint::Exact(Value::Text(text)) => plain(text),
        Constraint::Pattern(glob) => plain(glob.text()),
        Constraint::Subpath(subpath) => plain(subpath.root()),
        Constraint::Range(range) => {
            let bound = |bound: &Option<Number>| bound.as_ref().map_or(String::new(), ToString::to_string);
            plain(&format!("{}..{}", bound(&range.min), bound(&range.max)))
        }
        Constraint::OneOf(values) if values.len() > 1 => {
            let texts: Option<Vec<_>> = values.iter().map(Value::text).collect();
            texts
                .map(|texts| texts.join("|"))
                .filter(|text| !text.contains(MARKS) && read_value(text, None).as_ref() == Ok(inner))
        }
        _ => None,
    };
    match (short, inner) {
        (Some(short), _) => format!("{argument}{mark}={short}"),
        (None, Constraint::Exact(value)) if !matches!(value, Value::Object(_)) => {
            format!("{argument}{mark}:={}", crate::json::write(value))
        }
        (None, inner) => format!("{argument}{mark}:={}", crate::json::write(&inner.to_value())),
    }
}
