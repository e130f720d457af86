//! Values of arguments and constraints: what JSON can say, with numbers kept as exact decimals.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

/// The arguments of one call.
pub type Args = BTreeMap<String, Value>;

/// Two values are equal when JSON means the same by them: `1` and `1.0` are one number, `1` and `"1"` are not one
/// value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Value>),
    Object(BTreeMap<String, Value>),
}

/// A number that has not been rounded.
///
/// The variant remembers how it is encoded (an integer or a float); comparison does not see it.
#[derive(Debug, Clone)]
pub enum Number {
    Int(i64),
    Decimal(Decimal),
}

/// `digits × 10^exponent`, without a leading or trailing zero among the digits. Zero has no digits.
#[derive(Debug, Clone)]
pub struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

/// No number longer than this is compared: nobody needs it, and the work grows with it.
const MAX_DIGITS: usize = 400;

impl Decimal {
    /// Reads the text of a JSON number, which the caller has found to be well formed.
    fn read(text: &str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits = [whole, fraction].concat();
        let mut exponent = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        let kept = digits.trim_end_matches('0').len();
        exponent = exponent.checked_add(i64::try_from(digits.len() - kept).ok()?)?;
        digits.truncate(kept);
        let digits = digits.trim_start_matches('0').to_owned();
        if digits.len() > MAX_DIGITS || exponent.unsigned_abs() > 2_000 {
            return None;
        }
        if digits.is_empty() {
            // The sign of a zero says nothing, but it is written back as it came.
            return Some(Self { negative, digits, exponent: 0 });
        }
        Some(Self { negative, digits, exponent })
    }

    fn sign(&self) -> i8 {
        match (self.digits.is_empty(), self.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }

    fn to_text(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        match (self.digits.is_empty(), self.exponent) {
            (true, _) => format!("{sign}0"),
            (false, 0) => format!("{sign}{}", self.digits),
            (false, exponent) => format!("{sign}{}e{exponent}", self.digits),
        }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_sign = self.sign().cmp(&other.sign());
        if by_sign != Ordering::Equal || self.sign() == 0 {
            return by_sign;
        }
        // Where the first digit stands decides; where it stands alike, the digits do, longest last.
        let first = |decimal: &Self| decimal.exponent.saturating_add(decimal.digits.len() as i64);
        let magnitude = first(self).cmp(&first(other)).then_with(|| self.digits.cmp(&other.digits));
        if self.negative { magnitude.reverse() } else { magnitude }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl Number {
    /// A float means the shortest decimal that reads back as itself. Infinities and NaN are no numbers.
    pub fn from_f64(value: f64) -> Option<Self> {
        value
            .is_finite()
            .then(|| format!("{value:e}"))
            .and_then(|text| Decimal::read(&text))
            .map(Self::Decimal)
    }

    /// The text of a JSON number. A whole number outside 64 bits and a float too large for one are refused:
    /// whoever reads them next may round.
    pub fn from_json(text: &str) -> Option<Self> {
        if let Ok(value) = text.parse::<i64>() {
            return Some(Self::Int(value));
        }
        if !text.contains(['.', 'e', 'E']) {
            return (text == "-0").then_some(Self::Int(0));
        }
        if !text.parse::<f64>().ok()?.is_finite() {
            return None;
        }
        let decimal = Decimal::read(text)?;
        Some(decimal.whole().map_or(Self::Decimal(decimal), Self::Int))
    }

    /// The number as it is written, however large.
    pub(crate) fn exact(text: &str) -> Option<Self> {
        Decimal::read(text).map(Self::Decimal)
    }

    pub fn to_f64(&self) -> f64 {
        match self {
            Self::Int(value) => *value as f64,
            Self::Decimal(decimal) => decimal.to_text().parse().unwrap_or(f64::NAN),
        }
    }

    fn decimal(&self) -> Decimal {
        match self {
            Self::Int(value) => Decimal::read(&value.to_string()).unwrap_or(Decimal {
                negative: false,
                digits: String::new(),
                exponent: 0,
            }),
            Self::Decimal(decimal) => decimal.clone(),
        }
    }

    /// The number times a million, rounded up, for amounts that are counted. `None` below zero or beyond measure.
    pub fn millionths(&self) -> Option<u128> {
        let decimal = self.decimal();
        if decimal.sign() == 0 {
            return Some(0);
        }
        if decimal.negative || decimal.digits.len() > 30 {
            return None;
        }
        let digits = decimal.digits.parse::<u128>().ok()?;
        let shift = decimal.exponent.checked_add(6)?;
        match u32::try_from(shift.unsigned_abs()) {
            Ok(shift) if decimal.exponent + 6 >= 0 => digits.checked_mul(10u128.checked_pow(shift)?),
            Ok(shift) => Some(10u128.checked_pow(shift).map_or(1, |divisor| digits.div_ceil(divisor))),
            Err(_) => None,
        }
    }
}

impl Decimal {
    fn whole(&self) -> Option<i64> {
        if self.digits.is_empty() {
            return Some(0);
        }
        let zeros = usize::try_from(self.exponent).ok().filter(|zeros| *zeros < 20)?;
        let sign = if self.negative { "-" } else { "" };
        format!("{sign}{}{}", self.digits, "0".repeat(zeros)).parse().ok()
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(one), Self::Int(other)) => one.cmp(other),
            (Self::Decimal(one), Self::Decimal(other)) => one.cmp(other),
            _ => self.decimal().cmp(&other.decimal()),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => value.fmt(out),
            Self::Decimal(decimal) => {
                let point = decimal.exponent.saturating_add(decimal.digits.len() as i64);
                let (Ok(zeros), true) = (usize::try_from(-point), (-6..=0).contains(&point)) else {
                    return match usize::try_from(point)
                        .ok()
                        .and_then(|at| decimal.digits.split_at_checked(at))
                    {
                        Some((whole, fraction)) if !fraction.is_empty() && !whole.is_empty() => {
                            write!(out, "{}{whole}.{fraction}", if decimal.negative { "-" } else { "" })
                        }
                        _ => out.write_str(
                            &decimal.whole().map_or_else(|| decimal.to_text(), |it| it.to_string()),
                        ),
                    };
                };
                if decimal.digits.is_empty() {
                    return out.write_str("0");
                }
                let sign = if decimal.negative { "-" } else { "" };
                write!(out, "{sign}0.{}{}", "0".repeat(zeros), decimal.digits)
            }
        }
    }
}

impl Value {
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// Every scalar inside, keys of objects included.
    pub fn leaves(&self, visit: &mut dyn FnMut(&Value)) {
        match self {
            Self::List(items) => items.iter().for_each(|item| item.leaves(visit)),
            Self::Object(object) => object.values().for_each(|item| item.leaves(visit)),
            scalar => visit(scalar),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => out.write_str("null"),
            Self::Bool(value) => value.fmt(out),
            Self::Number(number) => number.fmt(out),
            Self::Text(text) => write!(out, "{text:?}"),
            Self::List(items) => {
                out.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    write!(out, "{}{item}", if at == 0 { "" } else { ", " })?;
                }
                out.write_str("]")
            }
            Self::Object(object) => {
                out.write_str("{")?;
                for (at, (key, item)) in object.iter().enumerate() {
                    write!(out, "{}{key:?}: {item}", if at == 0 { "" } else { ", " })?;
                }
                out.write_str("}")
            }
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Number(Number::Int(value))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}
