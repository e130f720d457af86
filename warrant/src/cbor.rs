//! CBOR as warrants need it: one byte string for each value, and nothing else is read.
//!
//! Every length is definite and every number is in its shortest form. Keys of a map are never repeated; those
//! of maps that are sorted must come sorted. A reader that accepts a second spelling of the same warrant lets a
//! revoked or spent one come back as something that nobody has seen before.

use crate::value::{Number, Value};

/// How deep values may nest.
pub const MAX_DEPTH: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    #[error("the bytes end in the middle of an item")]
    Truncated,
    #[error("there are bytes after the item")]
    Trailing,
    #[error("a number or a length is not in its shortest form")]
    NotShortest,
    #[error("a length is indefinite")]
    Indefinite,
    #[error("a key comes twice")]
    DuplicateKey,
    #[error("the keys are not in order")]
    Unsorted,
    #[error("an item of an unexpected kind: {0} was expected")]
    Kind(&'static str),
    #[error("text that is not UTF-8")]
    Text,
    #[error("items nest deeper than {MAX_DEPTH}")]
    TooDeep,
    #[error("a list, map or text is longer than its limit")]
    TooLong,
    #[error("a number out of range")]
    Range,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Major {
    Unsigned = 0,
    Negative = 1,
    Bytes = 2,
    Text = 3,
    Array = 4,
    Map = 5,
    Tag = 6,
    Simple = 7,
}

#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn end(&self) -> Result<(), CborError> {
        if self.rest.is_empty() { Ok(()) } else { Err(CborError::Trailing) }
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn peek(&self) -> Result<Major, CborError> {
        let first = self.rest.first().ok_or(CborError::Truncated)?;
        Ok(match first >> 5 {
            0 => Major::Unsigned,
            1 => Major::Negative,
            2 => Major::Bytes,
            3 => Major::Text,
            4 => Major::Array,
            5 => Major::Map,
            6 => Major::Tag,
            _ => Major::Simple,
        })
    }

    pub fn is_null(&self) -> bool {
        self.rest.first() == Some(&0xf6)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], CborError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(CborError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], CborError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(CborError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn argument(&mut self, major: Major, expected: &'static str) -> Result<u64, CborError> {
        let [first] = self.take_array::<1>()?;
        if first >> 5 != major as u8 {
            return Err(CborError::Kind(expected));
        }
        let (value, least) = match first & 0x1f {
            small @ 0..=23 => return Ok(u64::from(small)),
            24 => (u64::from(u8::from_be_bytes(self.take_array()?)), 24),
            25 => (u64::from(u16::from_be_bytes(self.take_array()?)), 1 << 8),
            26 => (u64::from(u32::from_be_bytes(self.take_array()?)), 1 << 16),
            27 => (u64::from_be_bytes(self.take_array()?), 1 << 32),
            31 => return Err(CborError::Indefinite),
            _ => return Err(CborError::Kind(expected)),
        };
        if value < least { Err(CborError::NotShortest) } else { Ok(value) }
    }

    pub fn unsigned(&mut self) -> Result<u64, CborError> {
        self.argument(Major::Unsigned, "an unsigned number")
    }

    pub fn small<T: TryFrom<u64>>(&mut self) -> Result<T, CborError> {
        T::try_from(self.unsigned()?).map_err(|_| CborError::Range)
    }

    fn length(&mut self, major: Major, expected: &'static str, limit: usize) -> Result<usize, CborError> {
        let length = self.argument(major, expected)?;
        // Every item takes a byte at least: a length beyond what is left is a lie, told before anything is reserved.
        if length > self.rest.len() as u64 {
            return Err(CborError::Truncated);
        }
        match usize::try_from(length) {
            Ok(length) if length <= limit => Ok(length),
            _ => Err(CborError::TooLong),
        }
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], CborError> {
        let length = self.length(Major::Bytes, "bytes", usize::MAX)?;
        self.take(length)
    }

    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], CborError> {
        self.bytes()?.try_into().map_err(|_| CborError::Range)
    }

    pub fn text(&mut self) -> Result<&'a str, CborError> {
        let length = self.length(Major::Text, "text", usize::MAX)?;
        std::str::from_utf8(self.take(length)?).map_err(|_| CborError::Text)
    }

    pub fn array(&mut self, limit: usize) -> Result<usize, CborError> {
        self.length(Major::Array, "a list", limit)
    }

    pub fn array_of(&mut self, length: usize, expected: &'static str) -> Result<(), CborError> {
        if self.length(Major::Array, expected, usize::MAX)? == length {
            Ok(())
        } else {
            Err(CborError::Kind(expected))
        }
    }

    pub fn map(&mut self, limit: usize) -> Result<usize, CborError> {
        self.length(Major::Map, "a map", limit)
    }

    pub fn boolean(&mut self) -> Result<bool, CborError> {
        match self.take_array()? {
            [0xf4] => Ok(false),
            [0xf5] => Ok(true),
            _ => Err(CborError::Kind("true or false")),
        }
    }

    pub fn null(&mut self) -> Result<(), CborError> {
        if self.take_array()? == [0xf6] { Ok(()) } else { Err(CborError::Kind("null")) }
    }

    /// Bytes, or the list of small numbers that stands for them.
    pub fn bytes_or_numbers(&mut self, limit: usize) -> Result<Vec<u8>, CborError> {
        if self.peek()? == Major::Bytes {
            let bytes = self.bytes()?;
            return if bytes.len() > limit { Err(CborError::TooLong) } else { Ok(bytes.to_vec()) };
        }
        self.numbers(limit)
    }

    /// The list of small numbers that the format has for hashes and extensions.
    pub fn numbers(&mut self, limit: usize) -> Result<Vec<u8>, CborError> {
        let length = self.array(limit)?;
        (0..length).map(|_| self.small()).collect()
    }

    /// A number that is written as a float, whole or not.
    pub fn float_number(&mut self) -> Result<Number, CborError> {
        Number::from_f64(self.float()?).ok_or(CborError::Range)
    }

    fn float(&mut self) -> Result<f64, CborError> {
        let [first] = self.take_array::<1>()?;
        let value = match first {
            0xf9 => half_to_double(u16::from_be_bytes(self.take_array()?)),
            0xfa => {
                let single = f32::from_be_bytes(self.take_array()?);
                if double_to_half(f64::from(single)).is_some() {
                    return Err(CborError::NotShortest);
                }
                f64::from(single)
            }
            0xfb => {
                let double = f64::from_be_bytes(self.take_array()?);
                if double_to_single(double).is_some() {
                    return Err(CborError::NotShortest);
                }
                double
            }
            _ => return Err(CborError::Kind("a float")),
        };
        if value.is_finite() { Ok(value) } else { Err(CborError::Range) }
    }

    pub fn number(&mut self) -> Result<Number, CborError> {
        match self.peek()? {
            Major::Unsigned => i64::try_from(self.unsigned()?).map(Number::Int).map_err(|_| CborError::Range),
            Major::Negative => {
                let below = self.argument(Major::Negative, "a number")?;
                i64::try_from(below).map(|below| Number::Int(-1 - below)).map_err(|_| CborError::Range)
            }
            _ => Number::from_f64(self.float()?).ok_or(CborError::Range),
        }
    }

    /// A value as arguments and constraints carry it, at most `depth` levels deep.
    pub fn value(&mut self, depth: usize) -> Result<Value, CborError> {
        let below = || depth.checked_sub(1).ok_or(CborError::TooDeep);
        Ok(match self.peek()? {
            Major::Unsigned | Major::Negative => Value::Number(self.number()?),
            Major::Text => Value::Text(self.text()?.to_owned()),
            Major::Array => {
                let below = below()?;
                let length = self.array(usize::MAX)?;
                Value::List((0..length).map(|_| self.value(below)).collect::<Result<_, _>>()?)
            }
            Major::Map => {
                let below = below()?;
                let mut object = std::collections::BTreeMap::new();
                self.sorted_map(usize::MAX, |reader, key| {
                    object.insert(key.to_owned(), reader.value(below)?);
                    Ok::<(), CborError>(())
                })?;
                Value::Object(object)
            }
            Major::Simple => match self.rest.first() {
                Some(0xf4 | 0xf5) => Value::Bool(self.boolean()?),
                Some(0xf6) => {
                    self.null()?;
                    Value::Null
                }
                _ => Value::Number(self.number()?),
            },
            Major::Bytes | Major::Tag => return Err(CborError::Kind("a value that JSON knows")),
        })
    }

    /// A map whose keys are text in ascending order, each once.
    pub fn sorted_map<E: From<CborError>>(
        &mut self,
        limit: usize,
        mut entry: impl FnMut(&mut Self, &'a str) -> Result<(), E>,
    ) -> Result<(), E> {
        let length = self.map(limit)?;
        let mut last: Option<&str> = None;
        for _ in 0..length {
            let key = self.text()?;
            match last.map(|last| last.cmp(key)) {
                None | Some(std::cmp::Ordering::Less) => last = Some(key),
                Some(std::cmp::Ordering::Equal) => return Err(CborError::DuplicateKey.into()),
                Some(std::cmp::Ordering::Greater) => return Err(CborError::Unsorted.into()),
            }
            entry(self, key)?;
        }
        Ok(())
    }

    /// Skips one item of any kind, checked as strictly as one that is read.
    pub fn skip(&mut self, depth: usize) -> Result<&'a [u8], CborError> {
        let before = self.rest;
        let below = || depth.checked_sub(1).ok_or(CborError::TooDeep);
        match self.peek()? {
            Major::Unsigned => {
                self.unsigned()?;
            }
            Major::Negative => {
                self.argument(Major::Negative, "a number")?;
            }
            Major::Bytes => {
                self.bytes()?;
            }
            Major::Text => {
                self.text()?;
            }
            Major::Array => {
                let below = below()?;
                for _ in 0..self.array(usize::MAX)? {
                    self.skip(below)?;
                }
            }
            Major::Map => {
                let below = below()?;
                let mut seen = std::collections::BTreeSet::new();
                for _ in 0..self.map(usize::MAX)? {
                    if !seen.insert(self.skip(below)?) {
                        return Err(CborError::DuplicateKey);
                    }
                    self.skip(below)?;
                }
            }
            Major::Tag => return Err(CborError::Kind("an item without a tag")),
            Major::Simple => match self.rest.first() {
                Some(0xf4..=0xf6) => {
                    self.take(1)?;
                }
                _ => {
                    self.float()?;
                }
            },
        }
        let used = before.len() - self.rest.len();
        before.get(..used).ok_or(CborError::Truncated)
    }
}

fn half_to_double(half: u16) -> f64 {
    let sign = if half & 0x8000 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from((half >> 10) & 0x1f);
    let mantissa = f64::from(half & 0x3ff);
    sign * match exponent {
        0 => mantissa * 2f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + mantissa) * 2f64.powi(exponent - 25),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the value is kept only when nothing was lost")]
fn double_to_single(value: f64) -> Option<f32> {
    let single = value as f32;
    (f64::from(single).to_bits() == value.to_bits()).then_some(single)
}

fn double_to_half(value: f64) -> Option<u16> {
    let bits = value.to_bits();
    let sign = if bits >> 63 == 0 { 0u16 } else { 0x8000 };
    if value == 0.0 {
        return Some(sign);
    }
    let exponent = i32::try_from((bits >> 52) & 0x7ff).ok()? - 1023;
    let fraction = bits & ((1 << 52) - 1);
    match exponent {
        -14..=15 if fraction.trailing_zeros() >= 42 => {
            let exponent = u16::try_from(exponent + 15).ok()?;
            Some(sign | (exponent << 10) | u16::try_from(fraction >> 42).ok()?)
        }
        -24..=-15 => {
            let whole = (1 << 52) | fraction;
            let shift = u32::try_from(28 - exponent).ok()?;
            (whole.trailing_zeros() >= shift).then_some(())?;
            Some(sign | u16::try_from(whole >> shift).ok()?)
        }
        _ => None,
    }
}

/// Writes what [`Reader`] reads, and only that.
#[derive(Debug, Default, Clone)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with(prefix: &[u8]) -> Self {
        let mut out = Vec::with_capacity(prefix.len() + 256);
        out.extend_from_slice(prefix);
        Self { out }
    }

    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    fn head(&mut self, major: Major, argument: u64) {
        let major = (major as u8) << 5;
        if let Ok(small) = u8::try_from(argument) {
            if small < 24 {
                self.out.push(major | small);
            } else {
                self.out.extend_from_slice(&[major | 24, small]);
            }
        } else if let Ok(short) = u16::try_from(argument) {
            self.out.push(major | 25);
            self.out.extend_from_slice(&short.to_be_bytes());
        } else if let Ok(word) = u32::try_from(argument) {
            self.out.push(major | 26);
            self.out.extend_from_slice(&word.to_be_bytes());
        } else {
            self.out.push(major | 27);
            self.out.extend_from_slice(&argument.to_be_bytes());
        }
    }

    pub fn unsigned(&mut self, value: u64) -> &mut Self {
        self.head(Major::Unsigned, value);
        self
    }

    pub fn integer(&mut self, value: i64) -> &mut Self {
        match u64::try_from(value) {
            Ok(value) => self.head(Major::Unsigned, value),
            Err(_) => self.head(Major::Negative, !value.cast_unsigned()),
        }
        self
    }

    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.head(Major::Bytes, value.len() as u64);
        self.out.extend_from_slice(value);
        self
    }

    /// Bytes as the list of numbers that the format has for hashes and extensions.
    pub fn numbers(&mut self, value: &[u8]) -> &mut Self {
        self.array(value.len());
        for byte in value {
            self.unsigned(u64::from(*byte));
        }
        self
    }

    pub fn text(&mut self, value: &str) -> &mut Self {
        self.head(Major::Text, value.len() as u64);
        self.out.extend_from_slice(value.as_bytes());
        self
    }

    pub fn array(&mut self, length: usize) -> &mut Self {
        self.head(Major::Array, length as u64);
        self
    }

    pub fn map(&mut self, length: usize) -> &mut Self {
        self.head(Major::Map, length as u64);
        self
    }

    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.out.push(if value { 0xf5 } else { 0xf4 });
        self
    }

    pub fn null(&mut self) -> &mut Self {
        self.out.push(0xf6);
        self
    }

    pub fn float(&mut self, value: f64) -> &mut Self {
        if let Some(half) = double_to_half(value) {
            self.out.push(0xf9);
            self.out.extend_from_slice(&half.to_be_bytes());
        } else if let Some(single) = double_to_single(value) {
            self.out.push(0xfa);
            self.out.extend_from_slice(&single.to_be_bytes());
        } else {
            self.out.push(0xfb);
            self.out.extend_from_slice(&value.to_be_bytes());
        }
        self
    }

    pub fn value(&mut self, value: &Value) -> &mut Self {
        match value {
            Value::Null => self.null(),
            Value::Bool(value) => self.boolean(*value),
            Value::Number(Number::Int(value)) => self.integer(*value),
            Value::Number(number @ Number::Decimal(_)) => self.float(number.to_f64()),
            Value::Text(text) => self.text(text),
            Value::List(items) => {
                self.array(items.len());
                for item in items {
                    self.value(item);
                }
                self
            }
            Value::Object(object) => {
                self.map(object.len());
                for (key, value) in object {
                    self.text(key).value(value);
                }
                self
            }
        }
    }

    /// An item that has been written before.
    pub fn raw(&mut self, item: &[u8]) -> &mut Self {
        self.out.extend_from_slice(item);
        self
    }
}
