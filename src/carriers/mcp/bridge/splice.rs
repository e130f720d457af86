//! Frames for and from a server that reads lines: what ties a frame to a request, and other ids in its place.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::members::around;

/// A JSON-RPC id or progress token, however it is spelled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in super::super) struct Key(String);

impl Key {
    /// `None` for what neither can be.
    pub(in super::super) fn of(raw: &RawValue) -> Option<Self> {
        match serde_json::from_str::<Value>(raw.get()).ok()? {
            Value::String(text) => Some(Self(Value::from(text).to_string())),
            Value::Number(number) => Some(Self(match number.as_f64() {
                Some(float) if float.fract() == 0.0 && float.abs() < 9e15 => format!("{float:.0}"),
                _ => number.to_string(),
            })),
            _ => None,
        }
    }

    pub(super) fn number(number: u64) -> Self {
        Self(number.to_string())
    }
}

/// The members of a frame that tie it to a request.
#[derive(Debug, Default)]
pub(super) struct Ties<'a> {
    /// What a request asks its progress to be called.
    pub(super) asks_progress: Option<&'a RawValue>,
    /// What a progress notification calls it.
    pub(super) progress: Option<&'a RawValue>,
    /// What a cancellation cancels.
    pub(super) cancels: Option<&'a RawValue>,
    pub(super) subscription: Option<&'a RawValue>,
    pub(super) version: Option<Cow<'a, str>>,
}

/// Parsers differ in what they make of the frame's ties.
#[derive(Debug, thiserror::Error)]
#[error("`params` cannot be read: {0}")]
pub struct Ambiguous(#[from] serde_json::Error);

impl<'a> Ties<'a> {
    /// Those in `params`.
    pub(super) fn read(frame: &'a [u8]) -> Result<Self, Ambiguous> {
        #[derive(Deserialize)]
        struct Outer<'a> {
            #[serde(borrow, default)]
            params: Option<&'a RawValue>,
        }
        Self::of(serde_json::from_slice::<Outer<'a>>(frame)?.params)
    }

    /// Those in `result`.
    pub(super) fn of_result(frame: &'a [u8]) -> Result<Self, Ambiguous> {
        #[derive(Deserialize)]
        struct Outer<'a> {
            #[serde(borrow, default)]
            result: Option<&'a RawValue>,
        }
        Self::of(serde_json::from_slice::<Outer<'a>>(frame)?.result)
    }

    fn of(part: Option<&'a RawValue>) -> Result<Self, Ambiguous> {
        #[derive(Deserialize, Default)]
        struct Part<'a> {
            #[serde(borrow, default, rename = "_meta")]
            meta: Option<&'a RawValue>,
            #[serde(borrow, default, rename = "progressToken")]
            progress: Option<&'a RawValue>,
            #[serde(borrow, default, rename = "requestId")]
            cancels: Option<&'a RawValue>,
        }
        #[derive(Deserialize, Default)]
        struct Meta<'a> {
            #[serde(borrow, default, rename = "progressToken")]
            asks_progress: Option<&'a RawValue>,
            #[serde(borrow, default, rename = "io.modelcontextprotocol/subscriptionId")]
            subscription: Option<&'a RawValue>,
            #[serde(borrow, default, rename = "io.modelcontextprotocol/protocolVersion")]
            version: Option<&'a RawValue>,
        }
        #[derive(Deserialize)]
        struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
        let Part { meta, progress, cancels } = object(part)?;
        let Meta { asks_progress, subscription, version } = object(meta)?;
        let version =
            version.and_then(|raw| serde_json::from_str::<Text<'_>>(raw.get()).ok()).map(|text| text.0);
        Ok(Self { asks_progress, progress, cancels, subscription, version })
    }
}

fn object<'a, T: Deserialize<'a> + Default>(raw: Option<&'a RawValue>) -> Result<T, serde_json::Error> {
    match raw {
        Some(raw) if raw.get().starts_with('{') => serde_json::from_str(raw.get()),
        _ => Ok(T::default()),
    }
}

/// `frame` with other bytes in place of some of its parts, which are slices of it.
pub(super) fn splice(frame: &[u8], mut parts: Vec<(&RawValue, &[u8])>) -> Bytes {
    parts.sort_by_key(|(old, _)| old.get().as_ptr());
    let mut spliced = BytesMut::with_capacity(frame.len().saturating_add(64));
    let mut rest = frame;
    for (old, new) in parts {
        let (before, after) = around(rest, old.get().as_bytes());
        spliced.extend_from_slice(before);
        spliced.extend_from_slice(new);
        rest = after;
    }
    spliced.extend_from_slice(rest);
    spliced.freeze()
}

#[cfg(test)]
mod tests {
    use super::super::super::frame::Frame;
    use super::*;

    #[test]
    fn only_the_spliced_parts_change() {
        let frame = br#"{ "params" :{"a":[1, 2],"_meta":{"x":1.0, "progressToken" : "t\u0041"}}, "id": "a" ,"method":"m"}"#;
        let id = Frame::read(frame).unwrap().id().unwrap();
        let token = Ties::read(frame).unwrap().asks_progress.unwrap();
        assert_eq!(
            splice(frame, vec![(id, b"7"), (token, b"7")]),
            &br#"{ "params" :{"a":[1, 2],"_meta":{"x":1.0, "progressToken" : 7}}, "id": 7 ,"method":"m"}"#[..]
        );
    }

    #[test]
    fn one_id_is_known_in_all_its_spellings() {
        let key = |text| Key::of(serde_json::from_str::<&RawValue>(text).unwrap());
        assert_eq!(key("1"), key("1.0"));
        assert_eq!(key(r#""a""#), key(r#""\u0061""#));
        assert_ne!(key("1"), key(r#""1""#));
        assert_ne!(key("9007199254740993"), key("9007199254740992"));
        assert_eq!(key("3"), Some(Key::number(3)));
        assert_eq!(key("null"), None);
        assert_eq!(key("[1]"), None);
    }

    #[test]
    fn a_tie_that_stands_twice_is_refused() {
        let twice = br#"{"method":"m","id":1,"params":{"_meta":{"progressToken":1,"progressToken":2}}}"#;
        assert!(Ties::read(twice).is_err());
        assert!(Ties::read(br#"{"method":"m","params":[1]}"#).unwrap().asks_progress.is_none());
    }
}
