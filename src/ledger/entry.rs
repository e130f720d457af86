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
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.detail.push(name, value);
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
    /// Names in the order of the line, each with the place of its value in `values`.
    names: Vec<(Cow<'static, str>, Range<usize>)>,
    /// Canonical JSON, one value after the other.
    values: String,
}

impl Detail {
    pub fn push(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        if self.names.is_empty() {
            self.names.reserve(24);
            self.values.reserve(512);
        }
        let start = self.values.len();
        write_value(&mut self.values, &value.into());
        let (name, place) = (name.into(), start..self.values.len());
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

    fn facts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.names.iter().filter_map(|(name, place)| Some((name.as_ref(), self.values.get(place.clone())?)))
    }

    fn write(&self, text: &mut String) {
        write_members(text, self.facts(), |text, value| text.push_str(value));
    }
}

impl PartialEq for Detail {
    fn eq(&self, other: &Self) -> bool {
        self.facts().eq(other.facts())
    }
}

impl<K: Into<Cow<'static, str>>, V: Into<Value>> FromIterator<(K, V)> for Detail {
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

/// Canonical JSON (RFC 8785) of one value. That form rounds integers that a double cannot hold; a
/// ledger must not, and writes them as text.
fn write_value(text: &mut String, value: &Value) {
    const EXACT: u64 = 1 << 53;
    // A string takes all that is written to it.
    let _ = match value {
        Value::Array(items) => {
            text.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                write_value(text, item);
            }
            text.push(']');
            Ok(())
        }
        Value::Object(facts) => {
            let mut facts: Vec<_> = facts.iter().map(|(name, value)| (name.as_str(), value)).collect();
            facts.sort_by(|(a, _), (b, _)| order(a, b));
            write_members(text, facts.into_iter(), write_value);
            Ok(())
        }
        Value::Number(number) if number.is_f64() => serde_json_canonicalizer::to_string(number)
            .map(|number| text.push_str(&number))
            .or(Err(fmt::Error)),
        Value::Number(number)
            if number.as_u64().is_some_and(|number| number > EXACT)
                || number.as_i64().is_some_and(|number| number.unsigned_abs() > EXACT) =>
        {
            write!(text, "\"{number}\"")
        }
        Value::String(said) => {
            write_text(text, said);
            Ok(())
        }
        other => write!(text, "{other}"),
    };
}

/// An object of members that are in order, each once.
fn write_members<'a, V>(
    text: &mut String,
    members: impl Iterator<Item = (&'a str, V)>,
    write_value: impl Fn(&mut String, V),
) {
    let mut before = '{';
    for (name, value) in members {
        text.push(before);
        before = ',';
        write_text(text, name);
        text.push(':');
        write_value(text, value);
    }
    text.push_str(if before == '{' { "{}" } else { "}" });
}

/// RFC 8785 orders names by their UTF-16 forms.
fn order(a: &str, b: &str) -> Ordering {
    match a.is_ascii() && b.is_ascii() {
        true => a.cmp(b),
        false => a.encode_utf16().cmp(b.encode_utf16()),
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

/// The canonical JSON of one entry, without its line feed.
pub(super) fn write_line(entry: &Entry, seq: u64) -> Vec<u8> {
    let whole = line(entry, entry.call.as_deref(), seq, &entry.detail);
    if whole.len() <= MAX_ENTRY_BYTES {
        return whole;
    }
    // It can still be matched, not read.
    let mut detail = String::new();
    entry.detail.write(&mut detail);
    let mut cut = Detail::default();
    cut.push("cut_bytes", detail.len());
    cut.push("cut_sha256", data_encoding::HEXLOWER.encode(&Sha256::digest(&detail)));
    let call: Option<String> = entry.call.as_ref().map(|call| call.chars().take(CUT_CALL).collect());
    line(entry, call.as_deref(), seq, &cut)
}

fn line(entry: &Entry, call: Option<&str>, seq: u64, detail: &Detail) -> Vec<u8> {
    let mut text = String::with_capacity(detail.values.len() + 32 * detail.names.len() + 128);
    // A string takes all that is written to it.
    let _ = write!(text, "{{\"at\":{}", entry.at);
    if let Some(call) = call {
        text.push_str(",\"call\":");
        write_text(&mut text, call);
    }
    if !detail.is_empty() {
        text.push_str(",\"detail\":");
        detail.write(&mut text);
    }
    let _ = write!(text, ",\"seq\":{seq},\"step\":\"{}\"}}", entry.step);
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entry_is_canonical_json_with_its_number() {
        let entry = Entry::new(1_700_000_000_000, Step::Held)
            .of("c-1")
            .with("tool", "send")
            .with("count", 2)
            .with("Zed", "a\nb");
        let line = write_line(&entry, 7);
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
        let line = write_line(&entry, 0);
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
            let line = write_line(&entry, 3);
            proptest::prop_assert_eq!(line, serde_json_canonicalizer::to_vec(&whole).unwrap());
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
        let record = Record::parse(&write_line(&entry, 0)).unwrap();
        assert_eq!(record.detail["n"], 2);
    }

    #[test]
    fn a_detail_too_long_for_an_entry_is_named_by_its_digest() {
        let entry = Entry::new(1, Step::Settled).with("preview", "x".repeat(70_000));
        let line = write_line(&entry, 0);
        assert!(line.len() < 300);
        let record = Record::parse(&line).unwrap();
        assert_eq!(record.detail["cut_bytes"], 70_014);
        let digest = Sha256::digest(format!(r#"{{"preview":"{}"}}"#, "x".repeat(70_000)));
        assert_eq!(record.detail["cut_sha256"], data_encoding::HEXLOWER.encode(&digest));
    }
}
