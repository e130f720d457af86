//! A strict reader: refuses what two parsers could read differently.
//!
//! Two readers that disagree on a frame are a way around the gate: one judges the call the other does
//! not run. Sources: RFC 8259 (grammar), RFC 7493 I-JSON (duplicate names, surrogates, numbers), RFC 8785.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

/// Bounds on one frame.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes.
    pub size: usize,
    /// Nesting of arrays and objects; values above 127 act as 127.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { size: 16 << 20, depth: 100 }
    }
}

/// Why a text was refused. Pointers are JSON pointers (RFC 6901) to the offending value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    #[error("the frame has {size} bytes, more than the {limit} allowed")]
    TooLarge { size: usize, limit: usize },
    #[error("the frame starts with a byte order mark; send plain UTF-8")]
    ByteOrderMark,
    #[error("byte {offset} is not UTF-8")]
    NotUtf8 { offset: usize },
    #[error("the object at {pointer:?} names the key {key:?} twice")]
    DuplicateKey { pointer: String, key: String },
    #[error("the value at {pointer:?} is nested deeper than {limit} levels")]
    Depth { pointer: String, limit: usize },
    #[error("the number at {pointer:?} does not survive as an IEEE double; send it as a string")]
    Number { pointer: String },
    #[error("line {line}, column {column}: an escape holds half a surrogate pair")]
    Surrogate { line: usize, column: usize },
    #[error("line {line}, column {column}: {message}")]
    Syntax { line: usize, column: usize, message: String },
}

/// Reads `text` as one JSON value. Refuses duplicate keys at any depth, invalid UTF-8, a byte order mark,
/// unpaired surrogates, numbers that do not survive a round trip through an IEEE double, nesting beyond
/// `limits.depth`, size beyond `limits.size` and anything after the value.
pub fn read(text: &[u8], limits: &Limits) -> Result<Value, JsonError> {
    if text.len() > limits.size {
        return Err(JsonError::TooLarge { size: text.len(), limit: limits.size });
    }
    if text.starts_with(b"\xEF\xBB\xBF") {
        return Err(JsonError::ByteOrderMark);
    }
    let text =
        std::str::from_utf8(text).map_err(|error| JsonError::NotUtf8 { offset: error.valid_up_to() })?;
    let mut state = State { limit: limits.depth.min(127), ..State::default() };
    let value = parse(text, &mut state)?;
    if state.floats
        && let Some(ordinal) = inexact(text.as_bytes())
    {
        // The value's text is gone once it is a double, so the offender is met again by its number.
        parse(text, &mut State { limit: limits.depth.min(127), refuse: Some(ordinal), ..State::default() })?;
    }
    Ok(value)
}

/// Whether a parser that folds the case of names, as Go's does, takes `name` for `known`: ASCII letters in either case,
/// the long s and the Kelvin sign.
pub fn is_look_alike(name: &str, known: &str) -> bool {
    let folded = name.chars().map(|letter| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        letter => letter.to_ascii_lowercase(),
    });
    name != known && folded.eq(known.chars().map(|letter| letter.to_ascii_lowercase()))
}

#[derive(Default)]
struct State {
    limit: usize,
    floats: bool,
    numbers: usize,
    refuse: Option<usize>,
    fault: Option<Fault>,
    /// The way to the fault, innermost first; filled only while an error unwinds.
    trail: Vec<String>,
}

enum Fault {
    Duplicate(String),
    Depth,
    Number,
}

fn parse(text: &str, state: &mut State) -> Result<Value, JsonError> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = Strict { state: &mut *state, depth: 0 }.deserialize(&mut reader);
    read.and_then(|value| reader.end().map(|()| value)).map_err(|error| refusal(&error, state))
}

fn refusal(error: &serde_json::Error, state: &State) -> JsonError {
    let pointer = state.trail.iter().rev().fold(String::new(), |mut pointer, step| {
        pointer.push('/');
        pointer.push_str(&step.replace('~', "~0").replace('/', "~1"));
        pointer
    });
    let (line, column) = (error.line(), error.column());
    match &state.fault {
        Some(Fault::Duplicate(key)) => JsonError::DuplicateKey { pointer, key: key.clone() },
        Some(Fault::Depth) => JsonError::Depth { pointer, limit: state.limit },
        Some(Fault::Number) => JsonError::Number { pointer },
        None => {
            let message = error.to_string();
            if message.starts_with("number out of range") {
                JsonError::Number { pointer }
            } else if message.starts_with("recursion limit") {
                JsonError::Depth { pointer, limit: state.limit }
            } else if message.contains("surrogate") || message.starts_with("unexpected end of hex escape") {
                JsonError::Surrogate { line, column }
            } else {
                let message = message.split(" at line ").next().unwrap_or_default().to_owned();
                JsonError::Syntax { line, column, message }
            }
        }
    }
}

struct Strict<'s> {
    state: &'s mut State,
    depth: usize,
}

impl Strict<'_> {
    fn refuse<E: serde::de::Error>(self, fault: Fault) -> E {
        self.state.fault = Some(fault);
        E::custom("refused")
    }

    fn number<E: serde::de::Error>(self, number: Number, exact: bool) -> Result<Value, E> {
        let ordinal = self.state.numbers;
        self.state.numbers += 1;
        if !exact || self.state.refuse == Some(ordinal) {
            return Err(self.refuse(Fault::Number));
        }
        Ok(Value::Number(number))
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        self.number(value.into(), exact(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        self.number(value.into(), exact(value.unsigned_abs()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        self.state.floats = true;
        match Number::from_f64(value) {
            Some(number) => self.number(number, true),
            None => Err(self.refuse(Fault::Number)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let depth = self.depth + 1;
        if depth > self.state.limit {
            return Err(self.refuse(Fault::Depth));
        }
        let mut array = Vec::new();
        loop {
            match items.next_element_seed(Strict { state: &mut *self.state, depth }) {
                Ok(Some(value)) => array.push(value),
                Ok(None) => return Ok(Value::Array(array)),
                Err(error) => {
                    self.state.trail.push(array.len().to_string());
                    return Err(error);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let depth = self.depth + 1;
        if depth > self.state.limit {
            return Err(self.refuse(Fault::Depth));
        }
        let mut object = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            match object.entry(key) {
                Entry::Occupied(taken) => {
                    self.state.fault = Some(Fault::Duplicate(taken.key().clone()));
                    return Err(A::Error::custom("refused"));
                }
                Entry::Vacant(free) => {
                    match fields.next_value_seed(Strict { state: &mut *self.state, depth }) {
                        Ok(value) => {
                            free.insert(value);
                        }
                        Err(error) => {
                            self.state.trail.push(free.key().clone());
                            return Err(error);
                        }
                    }
                }
            }
        }
        Ok(Value::Object(object))
    }
}

/// A whole number is a double exactly when at most 53 bits lie between its first and last set bit.
fn exact(magnitude: u64) -> bool {
    magnitude == 0 || 64 - magnitude.leading_zeros() - magnitude.trailing_zeros() <= 53
}

/// The ordinal of the first number, in a text already known to be JSON, that a double cannot stand for:
/// more than 17 significant digits, or digits that vanish to zero.
fn inexact(text: &[u8]) -> Option<usize> {
    let mut rest = text;
    let mut ordinal = 0;
    while let [first, tail @ ..] = rest {
        match first {
            b'"' => rest = after_string(tail),
            b'-' | b'0'..=b'9' => {
                let length = rest
                    .iter()
                    .take_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
                let (number, after) = rest.split_at(length.count());
                if !survives(number) {
                    return Some(ordinal);
                }
                ordinal += 1;
                rest = after;
            }
            _ => rest = tail,
        }
    }
    None
}

fn after_string(mut rest: &[u8]) -> &[u8] {
    loop {
        match rest {
            [] => return rest,
            [b'"', tail @ ..] => return tail,
            [b'\\', _, tail @ ..] => rest = tail,
            [_, tail @ ..] => rest = tail,
        }
    }
}

fn survives(number: &[u8]) -> bool {
    let mantissa = number.split(|byte| matches!(byte, b'e' | b'E')).next().unwrap_or_default();
    let digits = || mantissa.iter().filter(|byte| byte.is_ascii_digit());
    let leading = digits().take_while(|byte| **byte == b'0').count();
    let trailing = digits().rev().take_while(|byte| **byte == b'0').count();
    let all = digits().count();
    if leading == all {
        return true;
    }
    let significant = all - leading - trailing;
    let value = std::str::from_utf8(number).ok().and_then(|text| text.parse::<f64>().ok());
    significant <= 17 && value.is_some_and(|value| value != 0.0 && value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> JsonError {
        read(text.as_bytes(), &Limits::default()).unwrap_err()
    }

    #[test]
    fn a_key_named_twice_is_refused_with_its_place() {
        assert_eq!(
            refused(r#"{"a":[{"b":1,"b":2}]}"#),
            JsonError::DuplicateKey { pointer: "/a/0".into(), key: "b".into() }
        );
        assert_eq!(
            refused(r#"{"a":1,"\u0061":2}"#),
            JsonError::DuplicateKey { pointer: String::new(), key: "a".into() }
        );
    }

    #[test]
    fn a_number_that_changes_as_a_double_is_refused_with_its_place() {
        for text in [
            "9007199254740993",
            "-9007199254740993",
            "18446744073709551615",
            "0.1234567890123456789",
            "1E400",
            "1e-400",
            "123456789012345678901",
        ] {
            assert_eq!(
                refused(&format!(r#"{{"s":"1\"2","n":[0.5,{text}]}}"#)),
                JsonError::Number { pointer: "/n/1".into() },
                "{text}"
            );
        }
    }

    #[test]
    fn ordinary_numbers_are_read() {
        for text in [
            "0.10",
            "1.0",
            "1e2",
            "-0",
            "0e5",
            "9007199254740992",
            "18014398509481984",
            "0.1",
            "1.7976931348623157e308",
            "100000000000000000000",
        ] {
            assert!(read(text.as_bytes(), &Limits::default()).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_name_that_a_folding_parser_takes_for_another_is_known() {
        for name in ["Arguments", "argument\u{17f}", "ARGUMENT\u{17f}"] {
            assert!(is_look_alike(name, "arguments"), "{name}");
        }
        assert!(is_look_alike("to\u{212a}en", "token"));
        assert!(!is_look_alike("arguments", "arguments") && !is_look_alike("argumenta", "arguments"));
    }

    #[test]
    fn half_a_surrogate_pair_is_refused() {
        for text in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\u0041""#, r#"{"\ud800":1}"#] {
            assert!(matches!(refused(text), JsonError::Surrogate { .. }), "{text}: {}", refused(text));
        }
        assert_eq!(read(br#""\ud83d\ude00""#, &Limits::default()).unwrap(), Value::from("😀"));
    }

    #[test]
    fn marks_bytes_depth_size_and_leftovers_are_refused() {
        let limits = Limits { size: 40, depth: 2 };
        assert_eq!(read(b"\xEF\xBB\xBF{}", &limits), Err(JsonError::ByteOrderMark));
        assert_eq!(read(b"\"\xff\"", &limits), Err(JsonError::NotUtf8 { offset: 1 }));
        assert_eq!(read(b"[[1]]", &limits), Ok(serde_json::json!([[1]])));
        assert_eq!(
            read(br#"{"a":[{}]}"#, &limits),
            Err(JsonError::Depth { pointer: "/a/0".into(), limit: 2 })
        );
        assert_eq!(read(&[b' '; 41], &limits), Err(JsonError::TooLarge { size: 41, limit: 40 }));
        assert!(matches!(read(b"{} {}", &limits), Err(JsonError::Syntax { line: 1, column: 4, .. })));
    }

    #[test]
    fn what_is_accepted_equals_what_serde_json_reads() {
        let text = r#"{"a":[1,-2,3.5,"x\n",null,true,{"b":{}}],"c":"\u00e9"}"#;
        assert_eq!(
            read(text.as_bytes(), &Limits::default()).unwrap(),
            serde_json::from_str::<Value>(text).unwrap()
        );
    }
}
