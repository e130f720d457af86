//! Arguments as they came over the wire: strict JSON, so that no two readers of it see two calls.

use crate::value::{Args, Number, Value};
use std::collections::BTreeMap;

const MAX_BYTES: usize = 256 * 1024;
const MAX_DEPTH: usize = 9;
const MAX_NODES: usize = 4096;
const MAX_ITEMS: usize = 256;
const MAX_STRING: usize = 64 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    #[error("malformed JSON at byte {0}")]
    Malformed(usize),
    #[error("a key comes twice in one object, at byte {0}")]
    DuplicateKey(usize),
    #[error("a number at byte {0} that readers would round")]
    Number(usize),
    #[error("arguments exceed their limit: {0}")]
    Limit(&'static str),
    #[error("arguments are an object; this is {0}")]
    NotAnObject(&'static str),
}

/// How much a text may hold.
#[derive(Debug, Clone, Copy)]
struct Limits {
    bytes: usize,
    depth: usize,
    nodes: usize,
    items: usize,
    string: usize,
    /// Whether what a call must not hold is kept as well as it can be, so that it can be judged.
    lenient: bool,
}

/// Reads the arguments of one call.
pub fn read_args(text: &str) -> Result<Args, JsonError> {
    let limits = Limits {
        bytes: MAX_BYTES,
        depth: MAX_DEPTH,
        nodes: MAX_NODES,
        items: MAX_ITEMS,
        string: MAX_STRING,
        lenient: false,
    };
    match read(text, limits)? {
        Value::Object(args) => Ok(args),
        other => Err(JsonError::NotAnObject(other.kind())),
    }
}

/// Reads a document that an operator wrote, which may be larger than a call.
pub fn read_document(text: &str) -> Result<Value, JsonError> {
    let most = 64 * 1024 * 1024;
    read(text, Limits { bytes: most, depth: 128, nodes: most, items: most, string: most, lenient: false })
}

/// Reads a document of cases: numbers and characters that no call may hold are part of some.
pub(crate) fn read_cases(text: &str) -> Result<Value, JsonError> {
    let most = 64 * 1024 * 1024;
    read(text, Limits { bytes: most, depth: 128, nodes: most, items: most, string: most, lenient: true })
}

fn read(text: &str, limits: Limits) -> Result<Value, JsonError> {
    if text.len() > limits.bytes {
        return Err(JsonError::Limit("bytes"));
    }
    let mut reader = JsonReader { text, at: 0, nodes: 0, limits };
    reader.blank();
    let value = reader.value(0)?;
    reader.blank();
    if reader.at == text.len() { Ok(value) } else { Err(JsonError::Malformed(reader.at)) }
}

struct JsonReader<'a> {
    text: &'a str,
    at: usize,
    nodes: usize,
    limits: Limits,
}

impl<'a> JsonReader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn malformed<T>(&self) -> Result<T, JsonError> {
        Err(JsonError::Malformed(self.at))
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            self.malformed()
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, JsonError> {
        if self.rest().starts_with(word) {
            self.at += word.len();
            Ok(value)
        } else {
            self.malformed()
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            return Err(JsonError::Limit("values"));
        }
        if depth > self.limits.depth {
            return Err(JsonError::Limit("depth"));
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => Ok(Value::Text(self.string()?)),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.malformed(),
        }
    }

    /// Reads what stands between brackets, one `entry` at a time.
    fn items(
        &mut self,
        close: u8,
        mut entry: impl FnMut(&mut Self) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.at += 1;
        self.blank();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(());
        }
        for count in 1.. {
            if count > self.limits.items {
                return Err(JsonError::Limit("items"));
            }
            self.blank();
            entry(self)?;
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(byte) if byte == close => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.malformed(),
            }
        }
        self.malformed()
    }

    fn list(&mut self, depth: usize) -> Result<Value, JsonError> {
        let mut list = Vec::new();
        self.items(b']', |reader| {
            list.push(reader.value(depth + 1)?);
            Ok(())
        })?;
        Ok(Value::List(list))
    }

    fn object(&mut self, depth: usize) -> Result<Value, JsonError> {
        let mut object = BTreeMap::new();
        self.items(b'}', |reader| {
            let begun = reader.at;
            let key = reader.string()?;
            reader.blank();
            reader.expect(b':')?;
            reader.blank();
            let value = reader.value(depth + 1)?;
            match object.insert(key, value) {
                None => Ok(()),
                Some(_) => Err(JsonError::DuplicateKey(begun)),
            }
        })?;
        Ok(Value::Object(object))
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let begun = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let digits = |reader: &mut Self| {
            let begun = reader.at;
            while reader.peek().is_some_and(|byte| byte.is_ascii_digit()) {
                reader.at += 1;
            }
            if reader.at == begun { reader.malformed() } else { Ok(()) }
        };
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            digits(self)?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            digits(self)?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            digits(self)?;
        }
        let text = self.text.get(begun..self.at).unwrap_or("");
        match Number::from_json(text) {
            Some(number) => Ok(Value::Number(number)),
            // As text no constraint on numbers takes it.
            None if self.limits.lenient => {
                Ok(Number::exact(text).map_or_else(|| Value::from(text), Value::Number))
            }
            None => Err(JsonError::Number(begun)),
        }
    }

    fn string(&mut self) -> Result<String, JsonError> {
        self.expect(b'"')?;
        let mut out = String::new();
        loop {
            let rest = self.rest();
            let plain = rest
                .find(|c: char| c == '"' || c == '\\' || c < ' ')
                .ok_or(JsonError::Malformed(self.text.len()))?;
            out.push_str(rest.get(..plain).unwrap_or(""));
            self.at += plain;
            if out.len() > self.limits.string {
                return Err(JsonError::Limit("text"));
            }
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                _ => return self.malformed(),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let escaped = self.peek();
        self.at += 1;
        Ok(match escaped {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.unit()?;
                let code = if (0xd800..0xdc00).contains(&first) {
                    if self.limits.lenient && !self.rest().starts_with("\\u") {
                        return Ok(char::REPLACEMENT_CHARACTER);
                    }
                    self.expect(b'\\')?;
                    self.expect(b'u')?;
                    let second = self.unit()?;
                    if !(0xdc00..0xe000).contains(&second) {
                        return if self.limits.lenient {
                            Ok(char::REPLACEMENT_CHARACTER)
                        } else {
                            self.malformed()
                        };
                    }
                    0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                } else {
                    first
                };
                match char::from_u32(code) {
                    None if self.limits.lenient => char::REPLACEMENT_CHARACTER,
                    letter => letter.ok_or(JsonError::Malformed(self.at))?,
                }
            }
            _ => return self.malformed(),
        })
    }

    fn unit(&mut self) -> Result<u32, JsonError> {
        let hex =
            self.text.get(self.at..self.at + 4).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let unit =
            hex.and_then(|hex| u32::from_str_radix(hex, 16).ok()).ok_or(JsonError::Malformed(self.at))?;
        self.at += 4;
        Ok(unit)
    }
}

/// Writes a value as JSON that [`read_document`] reads back.
pub fn write(value: &Value) -> String {
    let mut out = String::new();
    write_into(value, &mut out);
    out
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            letter if letter.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(letter))),
            letter => out.push(letter),
        }
    }
    out.push('"');
}

fn write_into(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::Text(text) => write_text(text, out),
        Value::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_into(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (at, (name, member)) in members.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_text(name, out);
                out.push(':');
                write_into(member, out);
            }
            out.push('}');
        }
    }
}
