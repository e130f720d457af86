//! Constraints as bytes: `[kind, value]`.

use super::{Cidr, Constraint, Glob, Range, Regex, Shlex, Subpath, UrlPattern, UrlSafe};
use crate::cbor::{CborError, MAX_DEPTH, Reader, Writer};
use crate::error::FormatError;
use crate::value::{Number, Value};

pub(crate) const OPTIONAL: u64 = 201;

/// Members of a map that is written in one order: name by name, some of them left out.
struct Members<'r, 'a> {
    reader: &'r mut Reader<'a>,
    left: usize,
    next: Option<&'a str>,
}

type Read<'a, T> = fn(&mut Reader<'a>) -> Result<T, FormatError>;

impl<'r, 'a> Members<'r, 'a> {
    fn open(reader: &'r mut Reader<'a>) -> Result<Self, FormatError> {
        let left = reader.map(16)?;
        let mut members = Self { reader, left, next: None };
        members.advance()?;
        Ok(members)
    }

    fn advance(&mut self) -> Result<(), FormatError> {
        self.next = match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Some(self.reader.text()?)
            }
            None => None,
        };
        Ok(())
    }

    /// A member that is left out when there is nothing to say.
    fn optional<T>(&mut self, name: &'static str, read: Read<'a, T>) -> Result<Option<T>, FormatError> {
        if self.next != Some(name) {
            return Ok(None);
        }
        let value = read(self.reader)?;
        self.advance()?;
        Ok(Some(value))
    }

    /// A member that is always there, as null when there is nothing to say.
    fn nullable<T>(&mut self, name: &'static str, read: Read<'a, T>) -> Result<Option<T>, FormatError> {
        if self.next == Some(name) && self.reader.is_null() {
            self.reader.null()?;
            self.advance()?;
            return Ok(None);
        }
        self.required(name, read).map(Some)
    }

    fn required<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, FormatError>,
    ) -> Result<T, FormatError> {
        if self.next != Some(name) {
            return Err(FormatError::Missing(name));
        }
        let value = read(self.reader)?;
        self.advance()?;
        Ok(value)
    }

    fn end(self) -> Result<(), FormatError> {
        match self.next {
            None => Ok(()),
            Some(name) => Err(FormatError::UnknownMember(name.chars().take(40).collect())),
        }
    }
}

fn text(reader: &mut Reader<'_>) -> Result<String, FormatError> {
    Ok(reader.text()?.to_owned())
}

fn texts(reader: &mut Reader<'_>) -> Result<Vec<String>, FormatError> {
    let length = reader.array(4096)?;
    (0..length).map(|_| text(reader)).collect()
}

fn values(reader: &mut Reader<'_>) -> Result<Vec<Value>, FormatError> {
    let length = reader.array(4096)?;
    (0..length).map(|_| Ok(reader.value(MAX_DEPTH)?)).collect()
}

fn boolean(reader: &mut Reader<'_>) -> Result<bool, FormatError> {
    Ok(reader.boolean()?)
}

impl Constraint {
    pub(crate) fn read(reader: &mut Reader<'_>, depth: usize) -> Result<Self, FormatError> {
        let below = depth.checked_sub(1).ok_or(CborError::TooDeep)?;
        reader.array_of(2, "a constraint, which is [kind, value]")?;
        let id = reader.unsigned()?;
        let nested = |reader: &mut Reader<'_>| {
            let length = reader.array(256)?;
            (0..length).map(|_| Self::read(reader, below)).collect::<Result<Vec<_>, FormatError>>()
        };
        // One map of one member, which most kinds are.
        macro_rules! sole {
            ($name:literal, $read:expr) => {{
                let mut members = Members::open(reader)?;
                let value = members.required($name, $read)?;
                members.end()?;
                value
            }};
        }
        Ok(match id {
            1 => Self::Exact(exact(reader)?),
            2 => Self::Pattern(Glob::new(&sole!("pattern", text))),
            3 => Self::Range(range(reader)?),
            4 => Self::OneOf(sole!("values", values)),
            5 => Self::Regex(Regex::new(&sole!("pattern", text))),
            7 => Self::NotOneOf(sole!("excluded", values)),
            8 => Self::Cidr(Cidr::new(reader.text()?)),
            9 => Self::UrlPattern(UrlPattern::new(reader.text()?)),
            10 => Self::Contains(sole!("required", values)),
            11 => Self::Subset(sole!("allowed", values)),
            12 => Self::All(sole!("constraints", nested)),
            13 => Self::Any(sole!("constraints", nested)),
            14 => Self::Not(Box::new(sole!("constraint", |reader| Self::read(reader, below)))),
            15 => {
                let mut members = Members::open(reader)?;
                let expression = members.required("expression", text)?;
                let parent = members.optional("parent_expression", text)?;
                members.end()?;
                Self::Cel { expression, parent }
            }
            16 => {
                reader.null()?;
                Self::Wildcard
            }
            17 => {
                let mut members = Members::open(reader)?;
                let root = members.required("root", text)?;
                let case_sensitive = members.required("case_sensitive", boolean)?;
                let allow_equal = members.required("allow_equal", boolean)?;
                members.end()?;
                Self::Subpath(Subpath::with(&root, case_sensitive, allow_equal))
            }
            18 => Self::UrlSafe(url_safe(reader)?),
            128 if is_map(reader) => Self::Shlex(Shlex { allow: sole!("allow", texts) }),
            OPTIONAL => Self::Optional(Box::new(Self::read(reader, below)?)),
            id => Self::Unknown { id, item: reader.skip(below)?.to_vec() },
        })
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        let many = |out: &mut Writer, id: u64, name: &str, values: &[Value]| {
            out.array(2).unsigned(id).map(1).text(name).array(values.len());
            for value in values {
                out.value(value);
            }
        };
        let nested = |out: &mut Writer, id: u64, inner: &[Self]| {
            out.array(2).unsigned(id).map(1).text("constraints").array(inner.len());
            for constraint in inner {
                constraint.write(out);
            }
        };
        match self {
            Self::Exact(value) => {
                out.array(2).unsigned(1).map(1).text("value").value(value);
            }
            Self::Pattern(glob) => {
                out.array(2).unsigned(2).map(1).text("pattern").text(glob.text());
            }
            Self::Range(range) => {
                out.array(2).unsigned(3).map(4);
                for (name, bound) in [("min", &range.min), ("max", &range.max)] {
                    out.text(name);
                    match bound {
                        Some(bound) => out.float(bound.to_f64()),
                        None => out.null(),
                    };
                }
                out.text("min_inclusive").boolean(range.min_inclusive);
                out.text("max_inclusive").boolean(range.max_inclusive);
            }
            Self::OneOf(values) => many(out, 4, "values", values),
            Self::Regex(regex) => {
                out.array(2).unsigned(5).map(1).text("pattern").text(regex.pattern());
            }
            Self::NotOneOf(values) => many(out, 7, "excluded", values),
            Self::Cidr(cidr) => {
                out.array(2).unsigned(8).text(cidr.text());
            }
            Self::UrlPattern(pattern) => {
                out.array(2).unsigned(9).text(pattern.text());
            }
            Self::Contains(values) => many(out, 10, "required", values),
            Self::Subset(values) => many(out, 11, "allowed", values),
            Self::All(inner) => nested(out, 12, inner),
            Self::Any(inner) => nested(out, 13, inner),
            Self::Not(inner) => {
                out.array(2).unsigned(14).map(1).text("constraint");
                inner.write(out);
            }
            Self::Cel { expression, parent } => {
                out.array(2).unsigned(15).map(1 + usize::from(parent.is_some()));
                out.text("expression").text(expression);
                if let Some(parent) = parent {
                    out.text("parent_expression").text(parent);
                }
            }
            Self::Wildcard => {
                out.array(2).unsigned(16).null();
            }
            Self::Subpath(subpath) => {
                out.array(2).unsigned(17).map(3).text("root").text(subpath.root());
                out.text("case_sensitive").boolean(subpath.case_sensitive);
                out.text("allow_equal").boolean(subpath.allow_equal);
            }
            Self::UrlSafe(safe) => write_url_safe(safe, out),
            Self::Shlex(shlex) => {
                out.array(2).unsigned(128).map(1).text("allow");
                write_texts(&shlex.allow, out);
            }
            Self::Optional(inner) => {
                out.array(2).unsigned(OPTIONAL);
                inner.write(out);
            }
            Self::Unknown { id, item } => {
                out.array(2).unsigned(*id).raw(item);
            }
        }
    }
}

fn is_map(reader: &Reader<'_>) -> bool {
    let mut probe = reader.clone();
    probe.map(1).is_ok() && probe.text() == Ok("allow")
}

fn exact(reader: &mut Reader<'_>) -> Result<Value, FormatError> {
    if reader.map(1)? != 1 {
        return Err(FormatError::Missing("value"));
    }
    match reader.text()? {
        "value" => Ok(reader.value(MAX_DEPTH)?),
        other => Err(FormatError::UnknownMember(other.chars().take(40).collect())),
    }
}

fn range(reader: &mut Reader<'_>) -> Result<Range, FormatError> {
    let number = |reader: &mut Reader<'_>| -> Result<Number, FormatError> { Ok(reader.float_number()?) };
    let mut members = Members::open(reader)?;
    let min = members.nullable("min", number)?;
    let max = members.nullable("max", number)?;
    let min_inclusive = members.required("min_inclusive", boolean)?;
    let max_inclusive = members.required("max_inclusive", boolean)?;
    members.end()?;
    Ok(Range { min, max, min_inclusive, max_inclusive })
}

fn url_safe(reader: &mut Reader<'_>) -> Result<UrlSafe, FormatError> {
    let ports = |reader: &mut Reader<'_>| -> Result<Vec<u16>, FormatError> {
        let length = reader.array(4096)?;
        (0..length).map(|_| Ok(reader.small()?)).collect()
    };
    let mut members = Members::open(reader)?;
    let safe = UrlSafe {
        schemes: members.required("schemes", texts)?,
        allow_domains: members.nullable("allow_domains", texts)?,
        deny_domains: members.nullable("deny_domains", texts)?,
        allow_ports: members.nullable("allow_ports", ports)?,
        block_private: members.required("block_private", boolean)?,
        block_loopback: members.required("block_loopback", boolean)?,
        block_metadata: members.required("block_metadata", boolean)?,
        block_reserved: members.required("block_reserved", boolean)?,
        block_internal_tlds: members.required("block_internal_tlds", boolean)?,
    };
    members.end()?;
    Ok(safe)
}

fn write_texts(texts: &[String], out: &mut Writer) {
    out.array(texts.len());
    for text in texts {
        out.text(text);
    }
}

fn write_url_safe(safe: &UrlSafe, out: &mut Writer) {
    out.array(2).unsigned(18).map(9).text("schemes");
    write_texts(&safe.schemes, out);
    for (name, domains) in [("allow_domains", &safe.allow_domains), ("deny_domains", &safe.deny_domains)] {
        out.text(name);
        match domains {
            Some(domains) => write_texts(domains, out),
            None => {
                out.null();
            }
        }
    }
    out.text("allow_ports");
    match &safe.allow_ports {
        Some(ports) => {
            out.array(ports.len());
            for port in ports {
                out.unsigned(u64::from(*port));
            }
        }
        None => {
            out.null();
        }
    }
    let flags = [
        ("block_private", safe.block_private),
        ("block_loopback", safe.block_loopback),
        ("block_metadata", safe.block_metadata),
        ("block_reserved", safe.block_reserved),
        ("block_internal_tlds", safe.block_internal_tlds),
    ];
    for (name, flag) in flags {
        out.text(name).boolean(flag);
    }
}
