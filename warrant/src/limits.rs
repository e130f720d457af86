//! Limits that only Herma knows: how often, how much, when, where, and up to what risk.
//!
//! They stand as a constraint of kind 200 on an argument that no tool has. A verifier that does not know the kind
//! finds a required argument missing and denies; none can drop the limit and go on.

use crate::cbor::{CborError, Reader, Writer};
use crate::error::FormatError;
use crate::value::{Args, Value};
use std::collections::BTreeSet;

/// The argument that carries the limits of a tool.
pub const ARGUMENT: &str = "herma:limits";
pub(crate) const KIND: u64 = 200;

/// What a warrant says of one tool beyond its arguments. Empty members say nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// How often tools of this warrant that carry the limit may be called; 1 is one shot.
    pub max_calls: Option<u64>,
    pub rates: Vec<Rate>,
    /// When it may be used; empty is always.
    pub windows: Vec<Window>,
    pub budgets: Vec<Budget>,
    /// Risk, in thousandths, up to which calls run without a person.
    pub max_auto_risk: Option<u16>,
    /// Risk, in thousandths, from which a person confirms.
    pub gate_at: Option<u16>,
    /// Side-effect classes that are out of reach, with or without a person.
    pub forbid_classes: BTreeSet<String>,
    /// Servers the tool may be called at.
    pub servers: BTreeSet<String>,
    /// Digests of the tool definitions that were granted; another one is held.
    pub definitions: BTreeSet<[u8; 32]>,
    /// The run it was born for.
    pub sandbox: Option<String>,
}

/// So many calls in so many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate {
    pub calls: u32,
    pub seconds: u32,
}

/// Hours of some days of the week, at a fixed offset from UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Bit 0 is Monday.
    pub days: u8,
    /// Minutes after midnight. A window whose end is not after its begin reaches into the next day.
    pub from: u16,
    pub until: u16,
    /// Minutes east of UTC.
    pub offset: i16,
}

/// An amount that runs out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// What it is called; tools of a warrant that name the same pool draw from the same amount.
    pub pool: String,
    /// The argument that says how much a call takes.
    pub argument: String,
    pub measure: Measure,
    /// In millionths.
    pub limit: u64,
}

/// How an argument says how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// It is the amount.
    Amount,
    /// As many as it lists; text is one.
    Items,
    /// As many bytes as its text has.
    Bytes,
}

impl Window {
    pub fn holds(&self, now: u64) -> bool {
        let Some(local) =
            i64::try_from(now).ok().and_then(|now| now.checked_add(i64::from(self.offset) * 60))
        else {
            return false;
        };
        let minute = local.div_euclid(60).rem_euclid(1440);
        // The first of January 1970 was a Thursday.
        let day = (local.div_euclid(86_400) + 3).rem_euclid(7);
        let on = |day: i64| self.days >> day.rem_euclid(7) & 1 == 1;
        let (from, until) = (i64::from(self.from), i64::from(self.until));
        if from < until {
            on(day) && (from..until).contains(&minute)
        } else {
            (on(day) && minute >= from) || (on(day - 1) && minute < until)
        }
    }
}

impl Budget {
    /// What a call takes, in millionths. `None` when its arguments do not say.
    pub fn amount(&self, args: &Args) -> Option<u128> {
        let value = args.get(&self.argument)?;
        match (self.measure, value) {
            (Measure::Amount, Value::Number(number)) => number.millionths(),
            (Measure::Items, Value::List(items)) => Some(items.len() as u128 * 1_000_000),
            (Measure::Items, Value::Text(text)) => Some(
                text.split([',', ';']).filter(|one| !one.trim().is_empty()).count().max(1) as u128
                    * 1_000_000,
            ),
            (Measure::Bytes, Value::Text(text)) => Some(text.len() as u128 * 1_000_000),
            _ => None,
        }
    }
}

impl Limits {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn members(&self) -> usize {
        [
            !self.budgets.is_empty(),
            self.max_calls.is_some(),
            !self.definitions.is_empty(),
            !self.forbid_classes.is_empty(),
            self.gate_at.is_some(),
            self.max_auto_risk.is_some(),
            !self.rates.is_empty(),
            self.sandbox.is_some(),
            !self.servers.is_empty(),
            !self.windows.is_empty(),
        ]
        .into_iter()
        .filter(|present| *present)
        .count()
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.array(2).unsigned(KIND).map(self.members());
        if !self.budgets.is_empty() {
            out.text("budgets").array(self.budgets.len());
            for budget in &self.budgets {
                out.array(4).text(&budget.pool).text(&budget.argument);
                out.unsigned(budget.measure as u64).unsigned(budget.limit);
            }
        }
        if let Some(calls) = self.max_calls {
            out.text("calls").unsigned(calls);
        }
        if !self.definitions.is_empty() {
            out.text("definitions").array(self.definitions.len());
            self.definitions.iter().for_each(|digest| {
                out.bytes(digest);
            });
        }
        let texts = |out: &mut Writer, name: &str, texts: &BTreeSet<String>| {
            if !texts.is_empty() {
                out.text(name).array(texts.len());
                texts.iter().for_each(|text| {
                    out.text(text);
                });
            }
        };
        texts(out, "forbid", &self.forbid_classes);
        if let Some(risk) = self.gate_at {
            out.text("gate_at").unsigned(u64::from(risk));
        }
        if let Some(risk) = self.max_auto_risk {
            out.text("max_auto").unsigned(u64::from(risk));
        }
        if !self.rates.is_empty() {
            out.text("rates").array(self.rates.len());
            for rate in &self.rates {
                out.array(2).unsigned(u64::from(rate.calls)).unsigned(u64::from(rate.seconds));
            }
        }
        if let Some(sandbox) = &self.sandbox {
            out.text("sandbox").text(sandbox);
        }
        texts(out, "servers", &self.servers);
        if !self.windows.is_empty() {
            out.text("windows").array(self.windows.len());
            for window in &self.windows {
                out.array(4).unsigned(u64::from(window.days)).unsigned(u64::from(window.from));
                out.unsigned(u64::from(window.until)).integer(i64::from(window.offset));
            }
        }
    }

    /// Reads the value behind the kind, which has been read.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let mut limits = Self::default();
        reader.sorted_map::<FormatError>(16, |reader, name| {
            match name {
                "budgets" => limits.budgets = list(reader, read_budget)?,
                "calls" => limits.max_calls = Some(reader.unsigned()?),
                "definitions" => limits.definitions = set(reader, |reader| Ok(reader.fixed()?))?,
                "forbid" => limits.forbid_classes = set(reader, |reader| Ok(reader.text()?.to_owned()))?,
                "gate_at" => limits.gate_at = Some(reader.small()?),
                "max_auto" => limits.max_auto_risk = Some(reader.small()?),
                "rates" => limits.rates = list(reader, read_rate)?,
                "sandbox" => limits.sandbox = Some(reader.text()?.to_owned()),
                "servers" => limits.servers = set(reader, |reader| Ok(reader.text()?.to_owned()))?,
                "windows" => limits.windows = list(reader, read_window)?,
                other => return Err(FormatError::UnknownMember(other.chars().take(40).collect())),
            }
            Ok(())
        })?;
        Ok(limits)
    }
}

type Read<T> = fn(&mut Reader<'_>) -> Result<T, FormatError>;

fn list<T>(reader: &mut Reader<'_>, read: Read<T>) -> Result<Vec<T>, FormatError> {
    let length = reader.array(64)?;
    if length == 0 {
        return Err(FormatError::Rule("an empty list of limits"));
    }
    (0..length).map(|_| read(reader)).collect()
}

/// A set stands in ascending order, each member once.
fn set<T: Ord>(reader: &mut Reader<'_>, read: Read<T>) -> Result<BTreeSet<T>, FormatError> {
    let items = list(reader, read)?;
    if items.is_sorted_by(|one, next| one < next) {
        Ok(items.into_iter().collect())
    } else {
        Err(CborError::Unsorted.into())
    }
}

fn read_budget(reader: &mut Reader<'_>) -> Result<Budget, FormatError> {
    reader.array_of(4, "a budget")?;
    let (pool, argument) = (reader.text()?.to_owned(), reader.text()?.to_owned());
    let measure = match reader.unsigned()? {
        0 => Measure::Amount,
        1 => Measure::Items,
        2 => Measure::Bytes,
        _ => return Err(FormatError::Rule("an unknown measure of a budget")),
    };
    Ok(Budget { pool, argument, measure, limit: reader.unsigned()? })
}

fn read_rate(reader: &mut Reader<'_>) -> Result<Rate, FormatError> {
    reader.array_of(2, "a rate")?;
    let rate = Rate { calls: reader.small()?, seconds: reader.small()? };
    if rate.seconds == 0 || rate.calls > 10_000 {
        return Err(FormatError::Rule("a rate of no time or of more calls than are counted"));
    }
    Ok(rate)
}

fn read_window(reader: &mut Reader<'_>) -> Result<Window, FormatError> {
    reader.array_of(4, "a window of time")?;
    let (days, from, until) = (reader.small()?, reader.small()?, reader.small()?);
    let offset = match reader.number()? {
        crate::value::Number::Int(offset) => i16::try_from(offset).map_err(|_| CborError::Range)?,
        crate::value::Number::Decimal(_) => return Err(CborError::Range.into()),
    };
    if days > 0x7f || from >= 1440 || until > 1440 || offset.unsigned_abs() > 14 * 60 {
        return Err(FormatError::Rule("a window of time that no clock shows"));
    }
    Ok(Window { days, from, until, offset })
}
