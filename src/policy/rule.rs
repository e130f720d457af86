//! One rule of the operator: what it matches and where it sends a call.

use herma_scoring::{Kind, SideEffect};
use regex::Regex;
use serde_json::Value;

use super::Route;

/// The sides of a call a rule may speak of.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub kind: Kind,
    pub server: &'a str,
    pub tool: &'a str,
    pub principal: &'a str,
    pub session: &'a str,
    pub arguments: &'a Value,
}

/// A rule of the operator's file.
#[derive(Debug)]
pub struct Rule {
    pub id: String,
    pub matcher: Matcher,
    pub route: Route,
    pub reason: String,
}

/// All conditions must hold; a condition that is not set holds.
#[derive(Debug, Default)]
pub struct Matcher {
    kinds: Vec<Kind>,
    server: Option<Regex>,
    tool: Option<Regex>,
    principal: Option<Regex>,
    session: Option<Regex>,
    classes: Vec<SideEffect>,
    arguments: Vec<(String, Regex)>,
    above: Vec<(String, f64)>,
}

/// A condition that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MatcherError {
    #[error("`{0}` is not a JSON pointer into the arguments: it must be empty or begin with `/`")]
    Pointer(String),
    #[error("`arguments` pattern for `{pointer}` is not a regular expression: {source}")]
    Pattern { pointer: String, source: Box<regex::Error> },
    #[error("`{0}` is too long a glob")]
    Glob(String),
}

impl Matcher {
    pub fn kinds(mut self, kinds: Vec<Kind>) -> Self {
        self.kinds = kinds;
        self
    }

    pub fn classes(mut self, classes: Vec<SideEffect>) -> Self {
        self.classes = classes;
        self
    }

    /// `*` stands for any run of characters, everything else for itself.
    pub fn server(mut self, glob: Option<&str>) -> Result<Self, MatcherError> {
        self.server = glob.map(compile).transpose()?;
        Ok(self)
    }

    pub fn tool(mut self, glob: Option<&str>) -> Result<Self, MatcherError> {
        self.tool = glob.map(compile).transpose()?;
        Ok(self)
    }

    pub fn principal(mut self, glob: Option<&str>) -> Result<Self, MatcherError> {
        self.principal = glob.map(compile).transpose()?;
        Ok(self)
    }

    pub fn session(mut self, glob: Option<&str>) -> Result<Self, MatcherError> {
        self.session = glob.map(compile).transpose()?;
        Ok(self)
    }

    /// JSON pointer into the arguments and a regular expression its text must contain a match of.
    pub fn argument(mut self, pointer: &str, pattern: &str) -> Result<Self, MatcherError> {
        check(pointer)?;
        let regex = Regex::new(pattern).map_err(|source| MatcherError::Pattern {
            pointer: pointer.to_owned(),
            source: Box::new(source),
        })?;
        self.arguments.push((pointer.to_owned(), regex));
        Ok(self)
    }

    /// JSON pointer into the arguments and a number that the one there must be above. What is there but is no
    /// number counts as above: nobody knows how much it is.
    pub fn above(mut self, pointer: &str, limit: f64) -> Result<Self, MatcherError> {
        check(pointer)?;
        self.above.push((pointer.to_owned(), limit));
        Ok(self)
    }

    pub fn matches(&self, subject: &Subject<'_>, class: SideEffect) -> bool {
        let holds = |glob: &Option<Regex>, text| glob.as_ref().is_none_or(|glob| glob.is_match(text));
        (self.kinds.is_empty() || self.kinds.contains(&subject.kind))
            && (self.classes.is_empty() || self.classes.contains(&class))
            && holds(&self.server, subject.server)
            && holds(&self.tool, subject.tool)
            && holds(&self.principal, subject.principal)
            && holds(&self.session, subject.session)
            && self
                .arguments
                .iter()
                .all(|(pointer, regex)| argument_matches(subject.arguments, pointer, regex))
            && self.above.iter().all(|(pointer, limit)| is_above(subject.arguments, pointer, *limit))
    }

    /// Whether it looks at what an argument is.
    pub fn reads_arguments(&self) -> bool {
        !self.arguments.is_empty() || !self.above.is_empty()
    }

    /// Whether this rule could hold back a request that a server makes to its client.
    pub fn may_match_server_requests(&self) -> bool {
        self.kinds.iter().any(|kind| matches!(kind, Kind::Sampling | Kind::Elicitation))
    }
}

fn argument_matches(arguments: &Value, pointer: &str, regex: &Regex) -> bool {
    match arguments.pointer(pointer) {
        Some(Value::String(text)) => regex.is_match(text),
        Some(other) => regex.is_match(&other.to_string()),
        None => false,
    }
}

fn check(pointer: &str) -> Result<(), MatcherError> {
    if pointer.is_empty() || pointer.starts_with('/') {
        return Ok(());
    }
    Err(MatcherError::Pointer(pointer.to_owned()))
}

fn is_above(arguments: &Value, pointer: &str, limit: f64) -> bool {
    let number = match arguments.pointer(pointer) {
        None | Some(Value::Null) => return false,
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(other) => other.as_f64(),
    };
    // NaN is above everything, too.
    number.is_none_or(|number: f64| number.is_nan() || number > limit)
}

fn compile(glob: &str) -> Result<Regex, MatcherError> {
    let pattern = glob.split('*').map(regex::escape).collect::<Vec<_>>().join(".*");
    Regex::new(&format!("(?s)^{pattern}$")).map_err(|_| MatcherError::Glob(glob.to_owned()))
}
