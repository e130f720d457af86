//! What one argument may be.

mod authored;
mod cidr;
mod codec;
mod command;
mod describe;
mod glob;
mod narrow;
mod path;
mod range;
mod url;
mod url_pattern;
mod url_safe;

use crate::text;
use crate::value::Value;
use std::sync::{Arc, OnceLock};

pub use authored::AuthoredError;
pub use cidr::Cidr;
pub use command::Shlex;
pub use glob::Glob;
pub use narrow::Reading;
pub use path::Subpath;
pub use range::Range;
pub use url_pattern::UrlPattern;
pub use url_safe::UrlSafe;

/// A rule about one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Constraint {
    Exact(Value),
    Pattern(Glob),
    Range(Range),
    OneOf(Vec<Value>),
    Regex(Regex),
    NotOneOf(Vec<Value>),
    Cidr(Cidr),
    UrlPattern(UrlPattern),
    Contains(Vec<Value>),
    Subset(Vec<Value>),
    All(Vec<Constraint>),
    Any(Vec<Constraint>),
    Not(Box<Constraint>),
    /// Never evaluated: denies by name.
    Cel {
        expression: String,
        parent: Option<String>,
    },
    Wildcard,
    Subpath(Subpath),
    UrlSafe(UrlSafe),
    Shlex(Shlex),
    /// The argument may be absent; present, it must match. Other verifiers refuse it as unknown.
    Optional(Box<Constraint>),
    /// A kind this version does not know: denies by its number.
    Unknown {
        id: u64,
        item: Vec<u8>,
    },
}

/// What a constraint says of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Matches,
    /// Its letters do not decide it: it takes a person, or a look at where it leads.
    Review(&'static str),
    /// It plainly is something else.
    Differs(&'static str),
    /// It is refused because readers may differ over what it is. A negation does not turn this round.
    Doubtful(&'static str),
}

impl Verdict {
    /// `allow`, `review` or `deny`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Matches => "allow",
            Self::Review(_) => "review",
            Self::Differs(_) | Self::Doubtful(_) => "deny",
        }
    }

    pub fn why(self) -> &'static str {
        match self {
            Self::Matches => "matches",
            Self::Review(why) | Self::Differs(why) | Self::Doubtful(why) => why,
        }
    }
}

/// A regular expression that must match the whole of the text. Compiled when it is first asked.
#[derive(Clone)]
pub struct Regex {
    pattern: String,
    compiled: Arc<OnceLock<Option<regex::Regex>>>,
}

impl Regex {
    pub fn new(pattern: &str) -> Self {
        Self { pattern: pattern.to_owned(), compiled: Arc::default() }
    }

    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    fn check(&self, value: &str) -> Verdict {
        if text::has_unseen(value) {
            return Verdict::Doubtful("control or invisible characters");
        }
        if path::climbs(value) {
            return Verdict::Doubtful("a segment that leaves the directory");
        }
        let compiled = self.compiled.get_or_init(|| {
            if self.pattern.len() > 1024 {
                return None;
            }
            // Alone first: what only parses inside the group (`a)|(b`) would escape the anchors.
            regex::Regex::new(&self.pattern).ok()?;
            regex::RegexBuilder::new(&format!(r"\A(?:{})\z", self.pattern)).size_limit(1 << 20).build().ok()
        });
        match compiled {
            None => Verdict::Doubtful("the expression cannot be evaluated"),
            Some(regex) if regex.is_match(value) => Verdict::Matches,
            Some(_) => Verdict::Differs("does not match the expression as a whole"),
        }
    }
}

impl std::fmt::Debug for Regex {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_tuple("Regex").field(&self.pattern).finish()
    }
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.pattern == other.pattern
    }
}

impl Eq for Regex {}

fn on_text(value: &Value, check: impl FnOnce(&str) -> Verdict) -> Verdict {
    match value {
        Value::Text(text) => check(text),
        _ => Verdict::Doubtful("not text"),
    }
}

fn on_list(value: &Value, check: impl FnOnce(&[Value]) -> bool, why: &'static str) -> Verdict {
    match value {
        Value::List(items) if check(items) => Verdict::Matches,
        Value::List(_) => Verdict::Differs(why),
        _ => Verdict::Doubtful("not a list"),
    }
}

/// Whether a careless reader may take `value` for `excluded`.
fn passes_for(value: &Value, excluded: &Value) -> bool {
    let mut found = false;
    value.leaves(&mut |leaf| found |= leaf_passes_for(leaf, excluded));
    found || value == excluded
}

fn spoken(value: &Value) -> Option<String> {
    Some(match value {
        Value::Text(text) => text.clone(),
        Value::Bool(true) => "true".to_owned(),
        Value::Bool(false) => "false".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Null => "null".to_owned(),
        Value::List(_) | Value::Object(_) => return None,
    })
}

fn leaf_passes_for(leaf: &Value, excluded: &Value) -> bool {
    if leaf == excluded {
        return true;
    }
    let (Some(one), Some(other)) = (spoken(leaf), spoken(excluded)) else { return false };
    if text::looks_like(&one, &other) {
        return true;
    }
    let number = |value: &Value, text: &str| match value {
        Value::Bool(on) => Some(crate::value::Number::Int(i64::from(*on))),
        _ => crate::value::Number::from_json(text.trim().trim_start_matches('+')),
    };
    match (number(leaf, &one), number(excluded, &other)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

impl Constraint {
    /// What this constraint says of `value`.
    pub fn check(&self, value: &Value) -> Verdict {
        match self {
            Self::Wildcard => Verdict::Matches,
            Self::Exact(wanted) => match value == wanted {
                true => Verdict::Matches,
                false => Verdict::Differs("another value"),
            },
            Self::OneOf(members) => match members.contains(value) {
                true => Verdict::Matches,
                false => Verdict::Differs("not one of the values"),
            },
            Self::NotOneOf(excluded) => check_excluded(value, excluded),
            Self::Pattern(glob) => on_text(value, |text| glob.check(text)),
            Self::Regex(regex) => on_text(value, |text| regex.check(text)),
            Self::Range(range) => match value {
                Value::Number(number) => range.check(number),
                _ => Verdict::Doubtful("not a number"),
            },
            Self::Cidr(cidr) => on_text(value, |text| cidr.check(text)),
            Self::UrlPattern(pattern) => on_text(value, |text| pattern.check(text)),
            Self::UrlSafe(safe) => on_text(value, |text| safe.check(text)),
            Self::Shlex(shlex) => on_text(value, |line| shlex.check(line)),
            Self::Subpath(subpath) => check_paths(subpath, value),
            Self::Contains(required) => on_list(
                value,
                |items| required.iter().all(|it| items.contains(it)),
                "a required item is missing",
            ),
            Self::Subset(allowed) => on_list(
                value,
                |items| items.iter().all(|it| allowed.contains(it)),
                "an item that is not allowed",
            ),
            Self::All(clauses) => check_all(clauses, value),
            Self::Any(branches) => check_any(branches, value),
            Self::Not(inner) => check_not(inner, value),
            Self::Optional(inner) => inner.check(value),
            Self::Cel { .. } => Verdict::Doubtful("a CEL expression, which is not evaluated here"),
            Self::Unknown { .. } => Verdict::Doubtful("a constraint of a kind that is not known here"),
        }
    }

    /// Whether an absent argument satisfies it.
    pub fn is_optional(&self) -> bool {
        matches!(self, Self::Optional(_))
    }

    /// Why it can never be evaluated, if some part of it cannot.
    pub fn unevaluable(&self) -> Option<String> {
        match self {
            Self::Cel { .. } => Some("CEL".to_owned()),
            Self::Unknown { id, .. } => Some(format!("unknown kind {id}")),
            Self::All(inner) | Self::Any(inner) => inner.iter().find_map(Self::unevaluable),
            Self::Not(inner) | Self::Optional(inner) => inner.unevaluable(),
            _ => None,
        }
    }
}

fn check_paths(subpath: &Subpath, value: &Value) -> Verdict {
    match value {
        Value::Text(path) => subpath.check(path),
        Value::List(items) if items.is_empty() => {
            Verdict::Doubtful("an empty list, for which a tool may have a default")
        }
        Value::List(items) => items
            .iter()
            .map(|item| on_text(item, |path| subpath.check(path)))
            .find(|verdict| *verdict != Verdict::Matches)
            .unwrap_or(Verdict::Matches),
        _ => Verdict::Doubtful("not text"),
    }
}

fn check_excluded(value: &Value, excluded: &[Value]) -> Verdict {
    if *value == Value::Null {
        return Verdict::Doubtful("null, for which a tool may have a default");
    }
    if excluded.contains(value) {
        return Verdict::Differs("an excluded value");
    }
    if excluded.iter().any(|excluded| passes_for(value, excluded)) {
        return Verdict::Doubtful("passes for an excluded value");
    }
    Verdict::Matches
}

fn check_all(clauses: &[Constraint], value: &Value) -> Verdict {
    if clauses.is_empty() {
        return Verdict::Doubtful("an empty conjunction");
    }
    let mut worst = Verdict::Matches;
    for clause in clauses {
        match (clause.check(value), worst) {
            (differs @ Verdict::Differs(_), _) => return differs,
            (doubtful @ Verdict::Doubtful(_), _) => worst = doubtful,
            (review @ Verdict::Review(_), Verdict::Matches) => worst = review,
            _ => {}
        }
    }
    worst
}

fn check_any(branches: &[Constraint], value: &Value) -> Verdict {
    let mut best = Verdict::Differs("no branch matches");
    if branches.is_empty() {
        return Verdict::Doubtful("an empty choice");
    }
    for branch in branches {
        match (branch.check(value), best) {
            (Verdict::Matches, _) => return Verdict::Matches,
            (review @ Verdict::Review(_), _) => best = review,
            (doubtful @ Verdict::Doubtful(_), Verdict::Differs(_)) => best = doubtful,
            _ => {}
        }
    }
    best
}

fn check_not(inner: &Constraint, value: &Value) -> Verdict {
    match inner {
        Constraint::Exact(excluded) => return check_excluded(value, std::slice::from_ref(excluded)),
        Constraint::OneOf(excluded) => return check_excluded(value, excluded),
        _ if *value == Value::Null => return Verdict::Doubtful("null, for which a tool may have a default"),
        _ => {}
    }
    match inner.check(value) {
        Verdict::Matches => Verdict::Differs("matches what is excluded"),
        Verdict::Differs(_) => Verdict::Matches,
        kept => kept,
    }
}

/// The host of a URL that has one reading only, and is reached at its scheme's own port.
pub(crate) fn host_of(text: &str) -> Option<String> {
    url::parse(text).ok().filter(|url| url.port.is_none()).map(|url| url.host.text())
}

/// Whether a path is plain and absolute.
pub(crate) fn is_plain_path(text: &str) -> bool {
    path::scan(text).is_ok()
}

/// The program of a command line that a shell does nothing to but split.
pub(crate) fn program_of(line: &str) -> Option<String> {
    command::split(line).ok()?.into_iter().next()
}
