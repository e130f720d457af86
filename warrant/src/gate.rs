//! Calls that a warrant allows only once people have approved them.

use crate::cbor::{MAX_DEPTH, Major, Reader, Writer};
use crate::constraint::{Constraint, Reading, Verdict};
use crate::error::FormatError;
use crate::value::Args;
use std::collections::BTreeMap;

/// The extension that carries them.
pub const EXTENSION: &str = "tenuo.approval_gates";
const LONGEST_MESSAGE: usize = 200;

/// Gates by tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gates(pub BTreeMap<String, ToolGate>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolGate {
    /// `None` gates every call; otherwise one of these arguments does.
    pub args: Option<BTreeMap<String, ArgGate>>,
    pub message: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArgGate {
    /// Whatever it is.
    All,
    /// When it matches.
    When(Constraint),
    /// Unless it matches.
    Exempt(Constraint),
}

impl ArgGate {
    fn fires(&self, args: &Args, argument: &str) -> bool {
        let Some(value) = args.get(argument) else { return true };
        match self {
            Self::All => true,
            // Only what plainly is something else passes a gate.
            Self::When(constraint) => !matches!(constraint.check(value), Verdict::Differs(_)),
            Self::Exempt(constraint) => constraint.check(value) != Verdict::Matches,
        }
    }

    fn holds_all_of(&self, parent: &Self) -> bool {
        match (self, parent) {
            (Self::All, _) => true,
            (_, Self::All) => false,
            (Self::When(own), Self::When(held)) => held.narrows(own, Reading::Format),
            (Self::Exempt(own), Self::Exempt(held)) => own.narrows(held, Reading::Format),
            _ => false,
        }
    }
}

impl Gates {
    /// Whether a call must be approved, and what people are told.
    pub fn fires(&self, tool: &str, args: &Args) -> Option<String> {
        let gate = self.0.get(tool).or_else(|| self.0.get("*"))?;
        let fires = match &gate.args {
            None => true,
            Some(gated) => gated.iter().any(|(argument, gate)| gate.fires(args, argument)),
        };
        fires.then(|| {
            gate.message.clone().unwrap_or_else(|| format!("the warrant wants an approval for `{tool}`"))
        })
    }

    /// Whether everything `parent` gates among the tools that are kept stays gated.
    pub fn holds_all_of(&self, parent: &Self, keeps: impl Fn(&str) -> bool) -> bool {
        parent.0.iter().filter(|(tool, _)| keeps(tool)).all(|(tool, held)| {
            let Some(own) = self.0.get(tool) else { return false };
            match (&own.args, &held.args) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(own), Some(held)) => held
                    .iter()
                    .all(|(argument, held)| own.get(argument).is_some_and(|own| own.holds_all_of(held))),
            }
        })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        let mut gates = BTreeMap::new();
        reader.sorted_map::<FormatError>(256, |reader, tool| {
            gates.insert(tool.to_owned(), ToolGate::read(reader)?);
            Ok(())
        })?;
        reader.end()?;
        Ok(Self(gates))
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.map(self.0.len());
        for (tool, gate) in &self.0 {
            out.text(tool).map(1 + usize::from(gate.message.is_some())).text("args");
            match &gate.args {
                None => {
                    out.null();
                }
                Some(args) => {
                    out.map(args.len());
                    for (argument, gate) in args {
                        out.text(argument);
                        match gate {
                            ArgGate::All => {
                                out.text("all");
                            }
                            ArgGate::When(constraint) => constraint.write(&mut out),
                            ArgGate::Exempt(constraint) => {
                                out.map(1).text("exempt");
                                constraint.write(&mut out);
                            }
                        }
                    }
                }
            }
            if let Some(message) = &gate.message {
                out.text("message").text(message);
            }
        }
        out.finish()
    }
}

impl ToolGate {
    fn read(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let members = reader.map(2)?;
        if members == 0 || reader.text()? != "args" {
            return Err(FormatError::Missing("args"));
        }
        let args = if reader.is_null() {
            reader.null()?;
            None
        } else {
            let mut args = BTreeMap::new();
            reader.sorted_map::<FormatError>(64, |reader, argument| {
                args.insert(argument.to_owned(), ArgGate::read(reader)?);
                Ok(())
            })?;
            Some(args)
        };
        let message = if members == 2 {
            match (reader.text()?, reader.text()?) {
                ("message", message) if message.chars().count() <= LONGEST_MESSAGE => {
                    Some(message.to_owned())
                }
                ("message", _) => return Err(FormatError::Rule("the message of a gate is too long")),
                (other, _) => return Err(FormatError::UnknownMember(other.chars().take(40).collect())),
            }
        } else {
            None
        };
        Ok(Self { args, message })
    }
}

impl ArgGate {
    fn read(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(match reader.peek()? {
            Major::Text if reader.text()? == "all" => Self::All,
            Major::Array => Self::When(Constraint::read(reader, MAX_DEPTH)?),
            Major::Map if reader.map(1)? == 1 && reader.text()? == "exempt" => {
                Self::Exempt(Constraint::read(reader, MAX_DEPTH)?)
            }
            _ => {
                return Err(FormatError::Rule(
                    "a gate on an argument is `all`, a constraint or an exemption",
                ));
            }
        })
    }
}
