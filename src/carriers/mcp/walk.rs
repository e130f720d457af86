//! JSON walked through and not built: where the parts of a frame lie, and that all of it is JSON (RFC 8259).
//!
//! Most frames are passed on as they came, long ones too, so what is not looked into costs as little as can be.

use std::borrow::Cow;

/// A place in a text that is not JSON, in bytes from the end of the text.
#[derive(Debug)]
pub(super) struct Broken(usize);

/// A text, walked through up to `rest`.
#[derive(Debug, Clone)]
pub(super) struct Walk<'a> {
    text: &'a str,
    rest: &'a [u8],
}

/// What a block of a string must be free of, so that nothing in it need be looked at.
const BLOCK: usize = 32;

impl Broken {
    /// Where it is, for people.
    pub(super) fn told(&self, text: &str) -> String {
        match text.len().saturating_sub(self.0) {
            at if at == text.len() => "it ends too early".to_owned(),
            at => format!("byte {at} does not belong there"),
        }
    }
}

impl<'a> Walk<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, rest: text.as_bytes() }
    }

    /// The first byte of what comes next; nothing at the end.
    pub(super) fn peek(&mut self) -> Option<u8> {
        while let [b' ' | b'\n' | b'\r' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
        self.rest.first().copied()
    }

    /// Gives every member of the object that comes next to `each`, which walks over its value.
    pub(super) fn members<E: From<Broken>>(
        &mut self,
        mut each: impl FnMut(Cow<'a, str>, &mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.expect(b'{')?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let name = self.name()?;
            each(name, self)?;
            if self.take(b'}') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// Gives every item of the array that comes next to `each`, which walks over it.
    pub(super) fn items<E: From<Broken>>(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.expect(b'[')?;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            each(self)?;
            if self.take(b']') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// Nothing but space may follow.
    pub(super) fn end(&mut self) -> Result<(), Broken> {
        if self.peek().is_none() { Ok(()) } else { Err(self.broken()) }
    }

    /// Walks over the value that comes next and gives its text.
    pub(super) fn value(&mut self) -> Result<&'a str, Broken> {
        self.peek();
        let start = self.at();
        // What ends each array and object that is open here.
        let mut open = Vec::new();
        loop {
            match self.next()? {
                b'"' => self.string()?,
                first @ (b'-' | b'0'..=b'9') => self.number(first)?,
                b't' => self.word(b"rue")?,
                b'f' => self.word(b"alse")?,
                b'n' => self.word(b"ull")?,
                b'{' if self.take(b'}') => {}
                b'[' if self.take(b']') => {}
                b'{' => {
                    self.skip_name()?;
                    open.push(b'}');
                    self.peek();
                    continue;
                }
                b'[' => {
                    open.push(b']');
                    self.peek();
                    continue;
                }
                _ => return Err(Broken(self.rest.len().saturating_add(1))),
            }
            loop {
                let Some(end) = open.last().copied() else {
                    return self.text.get(start..self.at()).ok_or_else(|| self.broken());
                };
                if self.take(end) {
                    open.pop();
                    continue;
                }
                self.expect(b',')?;
                if end == b'}' {
                    self.skip_name()?;
                }
                self.peek();
                break;
            }
        }
    }

    /// The name of a member, and the colon behind it.
    fn name(&mut self) -> Result<Cow<'a, str>, Broken> {
        self.peek();
        let start = self.at();
        self.skip_name()?;
        let name = self.text.get(start..self.at()).unwrap_or_default();
        let name = name.trim_end_matches([':', ' ', '\n', '\r', '\t']);
        decoded(name).ok_or_else(|| self.broken())
    }

    fn skip_name(&mut self) -> Result<(), Broken> {
        self.expect(b'"')?;
        self.string()?;
        self.expect(b':')
    }

    /// The rest of a string whose quotation mark has been read.
    fn string(&mut self) -> Result<(), Broken> {
        loop {
            while let Some((block, rest)) = self.rest.split_first_chunk::<BLOCK>()
                && !block.iter().fold(false, |found, byte| found | is_special(*byte))
            {
                self.rest = rest;
            }
            let plain = self.rest.iter().position(|byte| is_special(*byte)).unwrap_or(self.rest.len());
            self.rest = self.rest.get(plain..).unwrap_or_default();
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => match self.next()? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                    b'u' => {
                        for _ in 0..4 {
                            self.digit(u8::is_ascii_hexdigit)?;
                        }
                    }
                    _ => return Err(Broken(self.rest.len().saturating_add(1))),
                },
                _ => return Err(Broken(self.rest.len().saturating_add(1))),
            }
        }
    }

    /// The rest of a number.
    fn number(&mut self, first: u8) -> Result<(), Broken> {
        let first = if first == b'-' { self.digit(u8::is_ascii_digit)? } else { first };
        if first != b'0' {
            self.digits();
        }
        if self.take_now(b'.') {
            self.digit(u8::is_ascii_digit)?;
            self.digits();
        }
        if self.take_now(b'e') || self.take_now(b'E') {
            let _ = self.take_now(b'+') || self.take_now(b'-');
            self.digit(u8::is_ascii_digit)?;
            self.digits();
        }
        Ok(())
    }

    fn digits(&mut self) {
        while let [b'0'..=b'9', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn digit(&mut self, is: impl Fn(&u8) -> bool) -> Result<u8, Broken> {
        match self.rest {
            [digit, rest @ ..] if is(digit) => {
                self.rest = rest;
                Ok(*digit)
            }
            _ => Err(self.broken()),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Broken> {
        self.rest = self.rest.strip_prefix(word).ok_or_else(|| self.broken())?;
        Ok(())
    }

    fn expect(&mut self, byte: u8) -> Result<(), Broken> {
        if self.take(byte) { Ok(()) } else { Err(self.broken()) }
    }

    fn take(&mut self, byte: u8) -> bool {
        self.peek();
        self.take_now(byte)
    }

    fn take_now(&mut self, byte: u8) -> bool {
        match self.rest {
            [first, rest @ ..] if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn next(&mut self) -> Result<u8, Broken> {
        let (first, rest) = self.rest.split_first().ok_or_else(|| self.broken())?;
        self.rest = rest;
        Ok(*first)
    }

    fn at(&self) -> usize {
        self.text.len().saturating_sub(self.rest.len())
    }

    fn broken(&self) -> Broken {
        Broken(self.rest.len())
    }
}

/// What a string says, its quotation marks included in `raw`. `None` for anything else.
pub(super) fn decoded(raw: &str) -> Option<Cow<'_, str>> {
    let plain = raw.strip_prefix('"')?.strip_suffix('"')?;
    match plain.contains('\\') {
        false => Some(Cow::Borrowed(plain)),
        true => serde_json::from_str(raw).ok().map(Cow::Owned),
    }
}

fn is_special(byte: u8) -> bool {
    (byte < b' ') | (byte == b'"') | (byte == b'\\')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;
    use serde_json::{Value, json};

    use super::*;

    fn is_json(text: &str) -> bool {
        let mut walk = Walk::new(text);
        walk.value().is_ok() && walk.end().is_ok()
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,80}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..4).prop_map(|members| json!(members)),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_walked_through_is_what_a_parser_takes(value in value(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let text = format!(" {}\n", text.unwrap());
            prop_assert_eq!(Walk::new(&text).value().unwrap(), text.trim());
            prop_assert!(is_json(&text));
        }

        #[test]
        fn of_a_damaged_text_both_say_the_same(
            value in value(),
            at in any::<prop::sample::Index>(),
            put in r#"["\\{}\[\],:0-9eE+.\-tfnu \x00-\x1f]{0,2}"#,
            cut in 0..3_usize,
        ) {
            let text: Vec<char> = value.to_string().chars().collect();
            let at = at.index(text.len());
            let damaged: String =
                text[..at].iter().copied().chain(put.chars()).chain(text.iter().copied().skip(at + cut)).collect();
            prop_assert_eq!(is_json(&damaged), serde_json::from_str::<IgnoredAny>(&damaged).is_ok(), "{}", damaged);
        }
    }

    #[test]
    fn members_are_found_with_their_names_however_spelled() {
        let text = r#" { "a" : [1, {"b": "}"}] , "\u0062" :"x" } "#;
        let (mut walk, mut found) = (Walk::new(text), Vec::new());
        let all: Result<(), Broken> = walk.members(|name, walk| {
            found.push((name.into_owned(), walk.value()?));
            Ok(())
        });
        all.unwrap();
        walk.end().unwrap();
        assert_eq!(found, [("a".to_owned(), r#"[1, {"b": "}"}]"#), ("b".to_owned(), r#""x""#)]);
    }
}
