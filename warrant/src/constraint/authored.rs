//! Constraints as people write them: a JSON object with a `type`.

use super::{Cidr, Constraint, Glob, Range, Regex, Shlex, Subpath, UrlPattern, UrlSafe};
use crate::value::{Number, Value};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthoredError {
    #[error("a constraint is an object with a `type`")]
    Shape,
    #[error("unknown type of constraint `{0}`")]
    Type(String),
    #[error("`{kind}` needs `{member}`: {wanted}")]
    Member { kind: String, member: &'static str, wanted: &'static str },
    #[error("`{kind}` has no member `{member}`")]
    Unknown { kind: String, member: String },
}

struct Form<'a> {
    kind: &'a str,
    members: &'a BTreeMap<String, Value>,
    known: Vec<&'static str>,
}

impl<'a> Form<'a> {
    fn get(&mut self, member: &'static str) -> Option<&'a Value> {
        self.known.push(member);
        self.members.get(member).filter(|value| **value != Value::Null)
    }

    fn wrong(&self, member: &'static str, wanted: &'static str) -> AuthoredError {
        AuthoredError::Member { kind: self.kind.to_owned(), member, wanted }
    }

    fn text(&mut self, member: &'static str) -> Result<&'a str, AuthoredError> {
        self.get(member).and_then(Value::text).ok_or_else(|| self.wrong(member, "text"))
    }

    fn flag(&mut self, member: &'static str, default: bool) -> Result<bool, AuthoredError> {
        match self.get(member) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.wrong(member, "true or false")),
        }
    }

    fn number(&mut self, member: &'static str) -> Result<Option<Number>, AuthoredError> {
        match self.get(member) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(Some(number.clone())),
            Some(_) => Err(self.wrong(member, "a number")),
        }
    }

    fn values(&mut self, member: &'static str) -> Result<Vec<Value>, AuthoredError> {
        match self.get(member) {
            Some(Value::List(items)) => Ok(items.clone()),
            _ => Err(self.wrong(member, "a list")),
        }
    }

    fn texts(&mut self, member: &'static str) -> Result<Option<Vec<String>>, AuthoredError> {
        let Some(value) = self.get(member) else { return Ok(None) };
        let texts = match value {
            Value::List(items) => items.iter().map(|item| item.text().map(str::to_owned)).collect(),
            _ => None,
        };
        texts.map(Some).ok_or_else(|| self.wrong(member, "a list of texts"))
    }

    fn nested(&mut self, member: &'static str) -> Result<Vec<Constraint>, AuthoredError> {
        self.values(member)?.iter().map(Constraint::from_value).collect()
    }
}

impl Constraint {
    /// Reads the form that people write: `{"type": "subpath", "root": "/data"}`.
    pub fn from_value(value: &Value) -> Result<Self, AuthoredError> {
        let Value::Object(members) = value else { return Err(AuthoredError::Shape) };
        let kind = members.get("type").and_then(Value::text).ok_or(AuthoredError::Shape)?;
        let mut form = Form { kind, members, known: vec!["type"] };
        let constraint = Self::from_form(&mut form)?;
        match members.keys().find(|member| !form.known.contains(&member.as_str())) {
            Some(member) => Err(AuthoredError::Unknown { kind: kind.to_owned(), member: member.clone() }),
            None => Ok(constraint),
        }
    }

    fn from_form(form: &mut Form<'_>) -> Result<Self, AuthoredError> {
        let needed = |found: Option<Vec<String>>, form: &Form<'_>, member| {
            found.ok_or_else(|| form.wrong(member, "a list of texts"))
        };
        Ok(match form.kind {
            "exact" => {
                form.known.push("value");
                Self::Exact(form.members.get("value").cloned().ok_or_else(|| form.wrong("value", "a value"))?)
            }
            "pattern" | "glob" => Self::Pattern(Glob::new(form.text("pattern")?)),
            "range" => Self::Range(range(form)?),
            "one_of" => Self::OneOf(form.values("values")?),
            "regex" => Self::Regex(Regex::new(form.text("pattern")?)),
            "not_one_of" => Self::NotOneOf(form.values("excluded")?),
            "cidr" => Self::Cidr(Cidr::new(form.text("network")?)),
            "url_pattern" => Self::UrlPattern(UrlPattern::new(form.text("pattern")?)),
            "contains" => Self::Contains(form.values("required")?),
            "subset" => Self::Subset(form.values("allowed")?),
            "all" => Self::All(form.nested("constraints")?),
            "any" => Self::Any(form.nested("constraints")?),
            "not" => Self::Not(Box::new(inner(form)?)),
            "optional" => Self::Optional(Box::new(inner(form)?)),
            "cel" => {
                let expression = form.text("expression")?.to_owned();
                let parent = form.get("parent_expression").and_then(Value::text).map(str::to_owned);
                Self::Cel { expression, parent }
            }
            "wildcard" => Self::Wildcard,
            "subpath" => {
                let root = form.text("root")?;
                let (case_sensitive, allow_equal) =
                    (form.flag("case_sensitive", true)?, form.flag("allow_equal", true)?);
                Self::Subpath(Subpath::with(root, case_sensitive, allow_equal))
            }
            "url_safe" => Self::UrlSafe(url_safe(form)?),
            "shlex" => {
                let allow = form.texts("allow")?;
                Self::Shlex(Shlex { allow: needed(allow, form, "allow")? })
            }
            other => return Err(AuthoredError::Type(other.chars().take(40).collect())),
        })
    }
}

fn inner(form: &mut Form<'_>) -> Result<Constraint, AuthoredError> {
    form.get("constraint")
        .ok_or_else(|| form.wrong("constraint", "a constraint"))
        .and_then(Constraint::from_value)
}

fn range(form: &mut Form<'_>) -> Result<Range, AuthoredError> {
    let (min, max) = (form.number("min")?, form.number("max")?);
    let min_inclusive = form.flag("min_inclusive", true)? && !form.flag("min_exclusive", false)?;
    let max_inclusive = form.flag("max_inclusive", true)? && !form.flag("max_exclusive", false)?;
    Ok(Range { min, max, min_inclusive, max_inclusive })
}

fn url_safe(form: &mut Form<'_>) -> Result<UrlSafe, AuthoredError> {
    let plain = UrlSafe::default();
    let allow_ports = match form.get("allow_ports") {
        None => None,
        Some(Value::List(items)) => {
            let port = |item: &Value| match item {
                Value::Number(Number::Int(port)) => u16::try_from(*port).ok(),
                _ => None,
            };
            let ports = items.iter().map(port).collect::<Option<_>>();
            Some(ports.ok_or_else(|| form.wrong("allow_ports", "a list of ports"))?)
        }
        Some(_) => return Err(form.wrong("allow_ports", "a list of ports")),
    };
    Ok(UrlSafe {
        schemes: form.texts("schemes")?.unwrap_or(plain.schemes),
        allow_domains: form.texts("allow_domains")?,
        deny_domains: form.texts("deny_domains")?,
        allow_ports,
        block_private: form.flag("block_private", true)?,
        block_loopback: form.flag("block_loopback", true)?,
        block_metadata: form.flag("block_metadata", true)?,
        block_reserved: form.flag("block_reserved", true)?,
        block_internal_tlds: form.flag("block_internal_tlds", false)?,
    })
}

impl Constraint {
    /// Writes the form that [`Constraint::from_value`] reads.
    pub fn to_value(&self) -> Value {
        let mut members = BTreeMap::from([("type".to_owned(), Value::from(self.kind()))]);
        let mut put = |member: &str, value: Value| {
            members.insert(member.to_owned(), value);
        };
        let texts =
            |texts: &[String]| Value::List(texts.iter().map(|text| Value::from(text.as_str())).collect());
        let nested = |inner: &[Self]| Value::List(inner.iter().map(Self::to_value).collect());
        match self {
            Self::Exact(value) => put("value", value.clone()),
            Self::Pattern(glob) => put("pattern", Value::from(glob.text())),
            Self::Range(range) => {
                let ends =
                    [("min", &range.min, range.min_inclusive), ("max", &range.max, range.max_inclusive)];
                for (member, bound, inclusive) in ends {
                    if let Some(bound) = bound {
                        put(member, Value::Number(bound.clone()));
                    }
                    if !inclusive {
                        put(&format!("{member}_inclusive"), Value::Bool(false));
                    }
                }
            }
            Self::OneOf(values) => put("values", Value::List(values.clone())),
            Self::Regex(regex) => put("pattern", Value::from(regex.pattern())),
            Self::NotOneOf(values) => put("excluded", Value::List(values.clone())),
            Self::Cidr(cidr) => put("network", Value::from(cidr.text())),
            Self::UrlPattern(pattern) => put("pattern", Value::from(pattern.text())),
            Self::Contains(values) => put("required", Value::List(values.clone())),
            Self::Subset(values) => put("allowed", Value::List(values.clone())),
            Self::All(inner) | Self::Any(inner) => put("constraints", nested(inner)),
            Self::Not(inner) | Self::Optional(inner) => put("constraint", inner.to_value()),
            Self::Cel { expression, parent } => {
                put("expression", Value::from(expression.as_str()));
                if let Some(parent) = parent {
                    put("parent_expression", Value::from(parent.as_str()));
                }
            }
            Self::Wildcard | Self::Unknown { .. } => {}
            Self::Subpath(subpath) => {
                put("root", Value::from(subpath.root()));
                if !subpath.case_sensitive {
                    put("case_sensitive", Value::Bool(false));
                }
                if !subpath.allow_equal {
                    put("allow_equal", Value::Bool(false));
                }
            }
            Self::UrlSafe(safe) => {
                let plain = UrlSafe::default();
                if safe.schemes != plain.schemes {
                    put("schemes", texts(&safe.schemes));
                }
                for (member, domains) in
                    [("allow_domains", &safe.allow_domains), ("deny_domains", &safe.deny_domains)]
                {
                    if let Some(domains) = domains {
                        put(member, texts(domains));
                    }
                }
                if let Some(ports) = &safe.allow_ports {
                    put(
                        "allow_ports",
                        Value::List(ports.iter().map(|port| Value::from(i64::from(*port))).collect()),
                    );
                }
                let flags = [
                    ("block_private", safe.block_private, true),
                    ("block_loopback", safe.block_loopback, true),
                    ("block_metadata", safe.block_metadata, true),
                    ("block_reserved", safe.block_reserved, true),
                    ("block_internal_tlds", safe.block_internal_tlds, false),
                ];
                flags
                    .into_iter()
                    .filter(|(_, flag, usual)| flag != usual)
                    .for_each(|(member, flag, _)| put(member, Value::Bool(flag)));
            }
            Self::Shlex(shlex) => put("allow", texts(&shlex.allow)),
        }
        Value::Object(members)
    }
}
