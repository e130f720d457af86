//! What one line of the ledger says.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::{self, Write};
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::LedgerError;

/// The longest entry that a bundle of `c2sp.org/tlog-tiles` can carry.
pub const MAX_ENTRY_BYTES: usize = 65_535;

/// What is left of a call id in an entry that had to be cut.
const CUT_CALL: usize = 128;

/// One thing that happened, as its witness hands it over.
///
/// Facts are written down as they come in: a few strings side by side cost the caller and the
/// writer less than a tree of values that crosses from one thread to the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// When it happened, in Unix milliseconds.
    pub at: i64,
    /// The call it belongs to, if it belongs to one.
    pub call: Option<Arc<str>>,
    pub step: Step,
    pub detail: Detail,
}

impl Entry {
    pub fn new(at: i64, step: Step) -> Self {
        Self { at, call: None, step, detail: Detail::default() }
    }

    #[must_use]
    pub fn of(mut self, call: impl Into<Arc<str>>) -> Self {
        self.call = Some(call.into());
        self
    }

    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, fact: impl Fact) -> Self {
        self.detail.push(name, fact);
        self
    }
}

/// The kinds of entries, in the words of the life of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// The proxy started.
    Started,
    Received,
    Assessed,
    Checked,
    Routed,
    Refused,
    Held,
    Decided,
    Forwarded,
    Settled,
    Reviewed,
    Reverted,
    /// The policy changed.
    Policy,
    /// A warrant was seen, issued or revoked.
    Warrant,
    /// A tool definition was pinned or changed.
    Definition,
    /// A crisis latch was set or cleared.
    Latch,
    /// Somebody signed in, paired or was turned away.
    Access,
    /// A person made or withdrew a standing rule.
    Standing,
    /// Something was frozen, or that was lifted.
    Freeze,
    /// Something that is kept beside the ledger was forgotten on a person's word, or in time.
    Erased,
    /// The ledger itself was interrupted and goes on: a torn last line, a full disk.
    Recovered,
    /// The proxy stopped.
    Stopped,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// The named facts of an entry. A name given twice keeps its last value.
#[derive(Debug, Clone, Default)]
pub struct Detail {
    /// Names in the order of the line, each with the place of its member in `members`.
    names: Vec<(Cow<'static, str>, Range<usize>)>,
    /// Name and value in canonical JSON, one member after the other.
    members: String,
}

impl Detail {
    pub fn push(&mut self, name: impl Into<Cow<'static, str>>, fact: impl Fact) {
        if self.names.is_empty() {
            self.names.reserve(24);
            self.members.reserve(768);
        }
        let name = name.into();
        let start = self.members.len();
        write_text(&mut self.members, &name);
        self.members.push(':');
        fact.write(&mut self.members);
        let place = start..self.members.len();
        // Whoever names facts in their order pays no search.
        match self.names.last().map(|(last, _)| order(last, &name)) {
            None | Some(Ordering::Less) => self.names.push((name, place)),
            _ => match self.names.binary_search_by(|(known, _)| order(known, &name)) {
                Ok(at) => self.names.get_mut(at).into_iter().for_each(|known| known.1 = place.clone()),
                Err(at) => self.names.insert(at, (name, place)),
            },
        }
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    fn members(&self) -> impl Iterator<Item = &str> {
        self.names.iter().filter_map(|(_, place)| self.members.get(place.clone()))
    }

    fn write(&self, text: &mut String) {
        write_object(text, self.members(), String::push_str);
    }
}

impl PartialEq for Detail {
    fn eq(&self, other: &Self) -> bool {
        self.members().eq(other.members())
    }
}

impl<K: Into<Cow<'static, str>>, V: Fact> FromIterator<(K, V)> for Detail {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(facts: I) -> Self {
        let mut detail = Self::default();
        for (name, value) in facts {
            detail.push(name, value);
        }
        detail
    }
}

impl From<Map<String, Value>> for Detail {
    fn from(facts: Map<String, Value>) -> Self {
        facts.into_iter().collect()
    }
}

/// What can stand in a line. It is written down at once: a value built first would cost more than the line.
pub trait Fact {
    /// Adds its canonical JSON (RFC 8785) to `text`. That form rounds integers that a double cannot hold; a ledger
    /// must not, and writes them as text.
    fn write(self, text: &mut String);
}

/// Whole numbers up to here are doubles, too.
const EXACT: u64 = 1 << 53;

/// A number of which three decimals are vouched for.
#[derive(Debug, Clone, Copy)]
pub struct Thousandths(pub f64);

impl Fact for Thousandths {
    fn write(self, text: &mut String) {
        let all = (self.0 * 1000.0).round();
        if all.abs() >= 1e15 || all.is_nan() {
            return Value::from(self.0).write(text);
        }
        let (whole, mut part) = ((all.abs() / 1000.0).trunc(), all.abs() % 1000.0);
        let mut digits = 3;
        while digits > 0 && part % 10.0 == 0.0 {
            (part, digits) = (part / 10.0, digits - 1);
        }
        let sign = if all < 0.0 { "-" } else { "" };
        // A string takes all that is written to it.
        let _ = match digits {
            0 => write!(text, "{sign}{}", whole as u64),
            _ => write!(text, "{sign}{}.{:0digits$}", whole as u64, part as u64),
        };
    }
}

impl Fact for &str {
    fn write(self, text: &mut String) {
        write_text(text, self);
    }
}

impl Fact for String {
    fn write(self, text: &mut String) {
        write_text(text, &self);
    }
}

impl Fact for bool {
    fn write(self, text: &mut String) {
        text.push_str(if self { "true" } else { "false" });
    }
}

impl Fact for u64 {
    fn write(self, text: &mut String) {
        let _ = if self <= EXACT { write!(text, "{self}") } else { write!(text, "\"{self}\"") };
    }
}

impl Fact for i64 {
    fn write(self, text: &mut String) {
        let exact = self.unsigned_abs() <= EXACT;
        let _ = if exact { write!(text, "{self}") } else { write!(text, "\"{self}\"") };
    }
}

impl Fact for usize {
    fn write(self, text: &mut String) {
        (self as u64).write(text);
    }
}

impl Fact for u32 {
    fn write(self, text: &mut String) {
        u64::from(self).write(text);
    }
}

impl Fact for i32 {
    fn write(self, text: &mut String) {
        i64::from(self).write(text);
    }
}

impl Fact for f64 {
    fn write(self, text: &mut String) {
        Value::from(self).write(text);
    }
}

impl<T: Fact> Fact for Option<T> {
    fn write(self, text: &mut String) {
        match self {
            Some(fact) => fact.write(text),
            None => text.push_str("null"),
        }
    }
}

impl<T: Fact> Fact for Vec<T> {
    fn write(self, text: &mut String) {
        let mut before = '[';
        for fact in self {
            text.push(before);
            before = ',';
            fact.write(text);
        }
        text.push_str(if before == '[' { "[]" } else { "]" });
    }
}

impl<A: Fact, B: Fact> Fact for (A, B) {
    fn write(self, text: &mut String) {
        text.push('[');
        self.0.write(text);
        text.push(',');
        self.1.write(text);
        text.push(']');
    }
}

impl Fact for Map<String, Value> {
    fn write(self, text: &mut String) {
        let mut members: Vec<_> = self.into_iter().collect();
        members.sort_by(|(a, _), (b, _)| order(a, b));
        write_object(text, members, |text, (name, value)| {
            write_text(text, &name);
            text.push(':');
            value.write(text);
        });
    }
}

impl Fact for Value {
    fn write(self, text: &mut String) {
        match self {
            Self::Array(items) => items.write(text),
            Self::Object(members) => members.write(text),
            Self::String(said) => said.write(text),
            Self::Bool(flag) => flag.write(text),
            Self::Null => text.push_str("null"),
            Self::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => number.write(text),
                (_, Some(number)) => number.write(text),
                _ => text.push_str(&serde_json_canonicalizer::to_string(&number).unwrap_or_default()),
            },
        }
    }
}

/// An object of members that are in order, each once.
fn write_object<M>(
    text: &mut String,
    members: impl IntoIterator<Item = M>,
    write_member: impl Fn(&mut String, M),
) {
    let mut before = '{';
    for member in members {
        text.push(before);
        before = ',';
        write_member(text, member);
    }
    text.push_str(if before == '{' { "{}" } else { "}" });
}

/// RFC 8785 orders names by their UTF-16 forms. Where one of two is ASCII, so do their bytes.
fn order(a: &str, b: &str) -> Ordering {
    match a.bytes().zip(b.bytes()).find(|(a, b)| a != b) {
        Some((a, b)) if a.is_ascii() || b.is_ascii() => a.cmp(&b),
        Some(_) => a.encode_utf16().cmp(b.encode_utf16()),
        None => a.len().cmp(&b.len()),
    }
}

fn write_text(text: &mut String, said: &str) {
    // Without a way out of the loop it goes many bytes at a time.
    let is_plain =
        said.bytes().fold(true, |plain, byte| plain & (byte >= b' ') & (byte != b'"') & (byte != b'\\'));
    if is_plain {
        text.push('"');
        text.push_str(said);
        text.push('"');
    } else {
        let _ = write!(text, "{}", Value::from(said));
    }
}

/// An entry as a reader finds it in a segment.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Record {
    pub seq: u64,
    pub at: i64,
    #[serde(default)]
    pub call: Option<String>,
    /// Text, so that an older program can read a newer ledger.
    pub step: String,
    #[serde(default)]
    pub detail: Map<String, Value>,
}

impl Record {
    pub fn parse(line: &[u8]) -> Result<Self, LedgerError> {
        serde_json::from_slice(line).map_err(|error| LedgerError::Entry(error.to_string()))
    }
}

/// Adds the canonical JSON of one entry, without its line feed.
pub(super) fn write_line(text: &mut String, entry: &Entry, seq: u64) {
    let start = text.len();
    write_whole(text, entry, entry.call.as_deref(), seq, &entry.detail);
    if text.len() - start <= MAX_ENTRY_BYTES {
        return;
    }
    // It can still be matched, not read.
    text.truncate(start);
    let mut detail = String::new();
    entry.detail.write(&mut detail);
    let mut cut = Detail::default();
    cut.push("cut_bytes", detail.len());
    cut.push("cut_sha256", data_encoding::HEXLOWER.encode(&Sha256::digest(&detail)));
    let call: Option<String> = entry.call.as_ref().map(|call| call.chars().take(CUT_CALL).collect());
    write_whole(text, entry, call.as_deref(), seq, &cut);
}

fn write_whole(text: &mut String, entry: &Entry, call: Option<&str>, seq: u64, detail: &Detail) {
    // A string takes all that is written to it.
    let _ = write!(text, "{{\"at\":{}", entry.at);
    if let Some(call) = call {
        text.push_str(",\"call\":");
        write_text(text, call);
    }
    if !detail.is_empty() {
        text.push_str(",\"detail\":");
        detail.write(text);
    }
    let _ = write!(text, ",\"seq\":{seq},\"step\":\"{}\"}}", entry.step);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(entry: &Entry, seq: u64) -> Vec<u8> {
        let mut text = String::new();
        write_line(&mut text, entry, seq);
        text.into_bytes()
    }

    #[test]
    fn an_entry_is_canonical_json_with_its_number() {
        let entry = Entry::new(1_700_000_000_000, Step::Held)
            .of("c-1")
            .with("tool", "send")
            .with("count", 2)
            .with("Zed", "a\nb");
        let line = line(&entry, 7);
        assert_eq!(
            String::from_utf8(line.clone()).unwrap(),
            r#"{"at":1700000000000,"call":"c-1","detail":{"Zed":"a\nb","count":2,"tool":"send"},"seq":7,"step":"held"}"#
        );
        let record = Record::parse(&line).unwrap();
        assert_eq!((record.seq, record.step.as_str()), (7, "held"));
    }

    #[test]
    fn a_number_too_large_for_canonical_json_keeps_its_digits() {
        let entry = Entry::new(1, Step::Settled)
            .with("ids", vec![9_007_199_254_740_992_u64, 9_007_199_254_740_993])
            .with("low", json!({ "deep": i64::MIN }));
        let line = line(&entry, 0);
        let record = Record::parse(&line).unwrap();
        let expected = json!([9_007_199_254_740_992_u64, "9007199254740993"]);
        assert_eq!(record.detail["ids"], expected);
        assert_eq!(record.detail["low"]["deep"], "-9223372036854775808");
    }

    proptest::proptest! {
        #[test]
        fn a_line_is_the_one_that_rfc_8785_gives_its_facts(
            facts in proptest::collection::btree_map(".*", json_value(), 0..8)
        ) {
            let entry = Entry {
                detail: facts.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
                ..Entry::new(5, Step::Routed).of("c\"1")
            };
            let mut whole = json!({ "at": 5, "call": "c\"1", "seq": 3, "step": "routed" });
            if !facts.is_empty() {
                whole["detail"] = json!(facts);
            }
            let line = line(&entry, 3);
            proptest::prop_assert_eq!(line, serde_json_canonicalizer::to_vec(&whole).unwrap());
        }
    }

    proptest::proptest! {
        #[test]
        fn three_decimals_are_written_as_rfc_8785_writes_them(number in -2.0..2.0_f64) {
            let mut text = String::new();
            Thousandths(number).write(&mut text);
            let rounded = (number * 1000.0).round() / 1000.0;
            proptest::prop_assert_eq!(text, serde_json_canonicalizer::to_string(&rounded).unwrap());
        }
    }

    fn json_value() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::prelude::*;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(".*", inner, 0..4)
                    .prop_map(|facts| Value::Object(facts.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn a_name_given_twice_keeps_its_last_value() {
        let entry = Entry::new(1, Step::Settled).with("n", 1).with("n", 2);
        let record = Record::parse(&line(&entry, 0)).unwrap();
        assert_eq!(record.detail["n"], 2);
    }

    #[test]
    fn a_detail_too_long_for_an_entry_is_named_by_its_digest() {
        let entry = Entry::new(1, Step::Settled).with("preview", "x".repeat(70_000));
        let line = line(&entry, 0);
        assert!(line.len() < 300);
        let record = Record::parse(&line).unwrap();
        assert_eq!(record.detail["cut_bytes"], 70_014);
        let digest = Sha256::digest(format!(r#"{{"preview":"{}"}}"#, "x".repeat(70_000)));
        assert_eq!(record.detail["cut_sha256"], data_encoding::HEXLOWER.encode(&digest));
    }
}
