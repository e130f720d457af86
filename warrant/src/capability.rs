//! What one tool may be called with.

use crate::cbor::{MAX_DEPTH, Reader, Writer};
use crate::constraint::{Constraint, Reading, Verdict};
use crate::error::FormatError;
use crate::limits::{self, Limits};
use crate::value::Args;
use std::collections::BTreeMap;

const MAX_CONSTRAINTS: usize = 64;

/// Constraints on the arguments of a tool.
///
/// With none, any arguments are allowed. With one, arguments that are not named are refused and those that are named
/// must be there, unless `allow_unknown` or [`Constraint::Optional`] says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capability {
    pub constraints: BTreeMap<String, Constraint>,
    pub allow_unknown: bool,
    pub limits: Option<Box<Limits>>,
}

/// Why arguments are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit<'a> {
    pub code: &'static str,
    pub argument: &'a str,
    pub why: String,
}

impl Capability {
    /// Whether any arguments at all are allowed.
    pub fn is_open(&self) -> bool {
        self.constraints.is_empty() && (self.limits.is_none() || self.allow_unknown)
    }

    /// Checks the arguments; what is left open for a person is returned.
    pub fn check<'a>(&'a self, args: &'a Args) -> Result<Option<Misfit<'a>>, Misfit<'a>> {
        let closed = !self.allow_unknown && !self.is_open();
        let mut named = 0;
        let mut review = None;
        for (argument, constraint) in &self.constraints {
            let Some(value) = args.get(argument) else {
                if constraint.is_optional() {
                    continue;
                }
                let why = "the argument is missing".to_owned();
                return Err(Misfit { code: "missing-argument", argument, why });
            };
            named += 1;
            match constraint.check(value) {
                Verdict::Matches => {}
                Verdict::Review(why) => {
                    review.get_or_insert(Misfit { code: "review", argument, why: why.to_owned() });
                }
                Verdict::Differs(why) | Verdict::Doubtful(why) => {
                    return Err(match constraint.unevaluable() {
                        Some(kind) => {
                            let why = format!("the constraint cannot be evaluated ({kind})");
                            Misfit { code: "unknown-constraint", argument, why }
                        }
                        None => Misfit { code: "constraint", argument, why: why.to_owned() },
                    });
                }
            }
        }
        if args.contains_key(limits::ARGUMENT) || (closed && named < args.len()) {
            let unknown = |argument: &&String| {
                *argument == limits::ARGUMENT || (closed && !self.constraints.contains_key(*argument))
            };
            let argument = args.keys().find(unknown).map_or("", String::as_str);
            let why = "the argument is not named by the warrant".to_owned();
            return Err(Misfit { code: "unknown-argument", argument, why });
        }
        Ok(review)
    }

    /// Whether `self` takes nothing that `parent` refuses; otherwise why that is not proven.
    pub fn narrows(&self, parent: &Self, reading: Reading) -> Result<(), String> {
        let unnamed = |capability: &Self| capability.allow_unknown || capability.is_open();
        if unnamed(self) && !unnamed(parent) {
            return Err("it takes arguments that are not named".to_owned());
        }
        if parent.is_open() && parent.constraints.is_empty() {
            return Ok(());
        }
        if let Some(added) =
            self.constraints.keys().find(|argument| !parent.constraints.contains_key(*argument))
        {
            return Err(format!("it names the argument `{added}`, which its parent refuses"));
        }
        for (argument, held) in &parent.constraints {
            match self.constraints.get(argument) {
                Some(own) if own.narrows(held, reading) => {}
                Some(own) => return Err(format!("`{argument}` may be {own}; its parent has it {held}")),
                None if held.is_optional() && !self.allow_unknown && !self.is_open() => {}
                None => return Err(format!("it drops the constraint on `{argument}`")),
            }
        }
        Ok(())
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let members = reader.map(2)?;
        if members == 0 || reader.text()? != "constraints" {
            return Err(FormatError::Missing("constraints"));
        }
        let mut capability = Self::default();
        reader.sorted_map::<FormatError>(MAX_CONSTRAINTS, |reader, argument| {
            if argument == limits::ARGUMENT {
                reader.array_of(2, "a constraint, which is [kind, value]")?;
                if reader.unsigned()? != limits::KIND {
                    return Err(FormatError::Rule("the argument `herma:limits` carries something else"));
                }
                capability.limits = Some(Box::new(Limits::read(reader)?));
            } else {
                let constraint = Constraint::read(reader, MAX_DEPTH)?;
                capability.constraints.insert(argument.to_owned(), constraint);
            }
            Ok(())
        })?;
        if members == 2 {
            match reader.text()? {
                "allow_unknown" if reader.boolean()? => capability.allow_unknown = true,
                "allow_unknown" => {
                    return Err(FormatError::Rule("`allow_unknown` is left out when it is false"));
                }
                other => return Err(FormatError::UnknownMember(other.chars().take(40).collect())),
            }
        }
        Ok(capability)
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.map(1 + usize::from(self.allow_unknown)).text("constraints");
        out.map(self.constraints.len() + usize::from(self.limits.is_some()));
        let mut limits = self.limits.as_ref();
        for (argument, constraint) in &self.constraints {
            if argument.as_str() > limits::ARGUMENT
                && let Some(limits) = limits.take()
            {
                out.text(limits::ARGUMENT);
                limits.write(out);
            }
            out.text(argument);
            constraint.write(out);
        }
        if let Some(limits) = limits {
            out.text(limits::ARGUMENT);
            limits.write(out);
        }
        if self.allow_unknown {
            out.text("allow_unknown").boolean(true);
        }
    }
}
