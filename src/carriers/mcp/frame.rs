//! The JSON-RPC envelope of one frame, read without copying and without touching a byte.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use herma_scoring::Kind;

use super::answer::code;
use super::shown::Presented;

/// What one frame is, as far as a proxy must know.
#[derive(Debug)]
pub enum Frame<'a> {
    /// A request that is a call.
    Call(Called<'a>),
    /// Any other request or notification.
    Other { method: Cow<'a, str>, id: Option<&'a RawValue> },
    /// An answer to a request of the other side.
    Answer { id: Option<&'a RawValue>, result: Option<&'a RawValue>, error: Option<&'a RawValue> },
    /// A JSON array of frames without any call in it.
    Batch,
}

/// A call and its parts, as they stand in the frame.
#[derive(Debug)]
pub struct Called<'a> {
    pub kind: Kind,
    pub id: Option<&'a RawValue>,
    arguments: Option<&'a RawValue>,
    meta: Option<&'a RawValue>,
}

/// A frame that is a call, to be kept: its parts share its bytes.
#[derive(Debug, Clone)]
pub struct CallFrame {
    pub kind: Kind,
    pub frame: Bytes,
    /// Its JSON-RPC id; empty when it has none.
    pub id: Bytes,
    pub(super) arguments: Bytes,
    /// `params._meta.progressToken`.
    pub(super) progress_token: Option<Bytes>,
    /// The warrant that came beside it.
    pub(super) presented: Option<Presented>,
}

impl Called<'_> {
    /// `frame` is what this was read from.
    pub fn keep(&self, frame: &Bytes) -> CallFrame {
        CallFrame {
            kind: self.kind,
            frame: frame.clone(),
            id: part(frame, self.id),
            arguments: part(frame, self.arguments),
            progress_token: self.progress_token().map(|token| part(frame, Some(token))),
            presented: None,
        }
    }

    fn progress_token(&self) -> Option<&RawValue> {
        #[derive(Deserialize)]
        struct Meta<'a> {
            #[serde(borrow, rename = "progressToken")]
            progress_token: &'a RawValue,
        }
        serde_json::from_str::<Meta<'_>>(self.meta?.get()).ok().map(|meta| meta.progress_token)
    }
}

/// Why a frame was refused before it was understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("the frame is not JSON that every parser reads alike: {0}")]
    Unreadable(String),
    #[error("the method name of a call is spelled with escapes; write it plainly")]
    EscapedMethod,
    #[error("some parsers read `{0}` as another name: write it as the specification does")]
    LookAlike(String),
    #[error("a batch may not hold a `{0}`: send it as a request of its own")]
    CallInBatch(String),
    #[error("the frame is a request and an answer at once")]
    Both,
}

const GATED: [&str; 5] =
    ["tools/call", "resources/read", "prompts/get", "sampling/createMessage", "elicitation/create"];

impl FrameError {
    /// The JSON-RPC code that tells a client.
    pub(super) fn code(&self) -> i32 {
        match self {
            Self::Unreadable(_) => code::PARSE,
            _ => code::INVALID_REQUEST,
        }
    }
}

/// The gated methods.
pub fn kind_of(method: &str) -> Option<Kind> {
    match method {
        "tools/call" => Some(Kind::Tool),
        "resources/read" => Some(Kind::Resource),
        "prompts/get" => Some(Kind::Prompt),
        "sampling/createMessage" => Some(Kind::Sampling),
        "elicitation/create" => Some(Kind::Elicitation),
        _ => None,
    }
}

impl<'a> Frame<'a> {
    /// Classifies `bytes`. Whatever two parsers could classify differently is refused.
    pub fn read(bytes: &'a [u8]) -> Result<Self, FrameError> {
        // One look at all bytes here spares the parser one at every part.
        let text = std::str::from_utf8(bytes).map_err(|error| FrameError::Unreadable(error.to_string()))?;
        Self::of(text)
    }

    fn of(text: &'a str) -> Result<Self, FrameError> {
        match text.bytes().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'[') => read_batch(text),
            _ => read_one(text),
        }
    }

    pub fn id(&self) -> Option<&'a RawValue> {
        match self {
            Self::Call(Called { id, .. }) | Self::Other { id, .. } | Self::Answer { id, .. } => *id,
            Self::Batch => None,
        }
    }
}

fn read_one(text: &str) -> Result<Frame<'_>, FrameError> {
    let envelope: Envelope<'_> =
        serde_json::from_str(text).map_err(|error| FrameError::Unreadable(error.to_string()))?;
    if let Some(name) = envelope.look_alike {
        return Err(FrameError::LookAlike(name));
    }
    let answers = envelope.result.is_some() || envelope.error.is_some();
    let Some(method) = envelope.method else {
        return Ok(Frame::Answer { id: envelope.id, result: envelope.result, error: envelope.error });
    };
    let text = method.text()?;
    let kind = kind_of(&text);
    if answers && kind.is_some() {
        return Err(FrameError::Both);
    }
    match kind {
        Some(_) if method.is_escaped() => Err(FrameError::EscapedMethod),
        Some(kind) => {
            let Params { arguments, meta } = envelope.params.unwrap_or_default();
            Ok(Frame::Call(Called { kind, id: envelope.id, arguments, meta }))
        }
        None if GATED.iter().any(|gated| gated.eq_ignore_ascii_case(&text)) => {
            Err(FrameError::LookAlike(text.chars().take(32).collect()))
        }
        None => Ok(Frame::Other { method: text, id: envelope.id }),
    }
}

fn read_batch(text: &str) -> Result<Frame<'_>, FrameError> {
    let parts: Vec<&RawValue> =
        serde_json::from_str(text).map_err(|error| FrameError::Unreadable(error.to_string()))?;
    for part in parts {
        match Frame::of(part.get())? {
            Frame::Call(Called { kind, .. }) => {
                return Err(FrameError::CallInBatch(name_of(kind).to_owned()));
            }
            Frame::Batch => return Err(FrameError::Unreadable("a batch within a batch".to_owned())),
            Frame::Other { .. } | Frame::Answer { .. } => {}
        }
    }
    Ok(Frame::Batch)
}

/// The `params` of a frame that has been read before.
pub(super) fn params(frame: &[u8]) -> Option<&RawValue> {
    #[derive(Deserialize)]
    struct Outer<'a> {
        #[serde(borrow)]
        params: Option<&'a RawValue>,
    }
    serde_json::from_slice::<Outer<'_>>(frame).ok()?.params
}

/// A part of `frame`, its bytes shared; empty when it is not there.
pub(super) fn part(frame: &Bytes, raw: Option<&RawValue>) -> Bytes {
    raw.map(|raw| frame.slice_ref(raw.get().as_bytes())).unwrap_or_default()
}

/// The method that brings a kind of call.
pub fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Tool => "tools/call",
        Kind::Resource => "resources/read",
        Kind::Prompt => "prompts/get",
        Kind::Sampling => "sampling/createMessage",
        Kind::Elicitation => "elicitation/create",
    }
}

#[derive(Default)]
struct Envelope<'a> {
    method: Option<Method<'a>>,
    id: Option<&'a RawValue>,
    params: Option<Params<'a>>,
    result: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
    look_alike: Option<String>,
}

/// What a call needs of `params`, found while the frame is read the first time. The strict reader has the last
/// word on the rest.
#[derive(Default)]
struct Params<'a> {
    arguments: Option<&'a RawValue>,
    meta: Option<&'a RawValue>,
}

/// Kept raw, because an escaped spelling is a trick that a decoded string no longer shows.
struct Method<'a>(&'a RawValue);

impl<'a> Method<'a> {
    fn is_escaped(&self) -> bool {
        self.0.get().contains('\\')
    }

    fn text(&self) -> Result<Cow<'a, str>, FrameError> {
        #[derive(Deserialize)]
        struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
        serde_json::from_str::<Text<'a>>(self.0.get())
            .map(|text| text.0)
            .map_err(|_| FrameError::Unreadable("`method` is not a string".to_owned()))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Envelope<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Visitor(std::marker::PhantomData))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Params<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ParamsVisitor(std::marker::PhantomData))
    }
}

struct ParamsVisitor<'a>(std::marker::PhantomData<&'a ()>);

impl<'de: 'a, 'a> serde::de::Visitor<'de> for ParamsVisitor<'a> {
    type Value = Params<'a>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("params")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut params = Params::default();
        while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
            match &*key {
                "arguments" => params.arguments = Some(map.next_value()?),
                "_meta" => params.meta = Some(map.next_value()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(params)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Params::default())
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Params::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Params::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Params::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Params::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Params::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Params::default())
    }
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

struct Visitor<'a>(std::marker::PhantomData<&'a ()>);

impl<'de: 'a, 'a> serde::de::Visitor<'de> for Visitor<'a> {
    type Value = Envelope<'a>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON-RPC message")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        fn once<T, E: serde::de::Error>(slot: &mut Option<T>, value: T, name: &str) -> Result<(), E> {
            match slot.replace(value) {
                None => Ok(()),
                Some(_) => Err(E::custom(format_args!("the member `{name}` stands twice"))),
            }
        }
        let mut envelope = Envelope::default();
        let mut method = None;
        while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
            match &*key {
                "method" => once(&mut method, map.next_value()?, "method")?,
                "id" => once(&mut envelope.id, map.next_value()?, "id")?,
                "params" => once(&mut envelope.params, map.next_value()?, "params")?,
                "result" => once(&mut envelope.result, map.next_value()?, "result")?,
                "error" => once(&mut envelope.error, map.next_value()?, "error")?,
                other => {
                    map.next_value::<IgnoredAny>()?;
                    if ["method", "id", "params"].iter().any(|name| other.eq_ignore_ascii_case(name)) {
                        envelope.look_alike = Some(other.chars().take(32).collect());
                    }
                }
            }
        }
        envelope.method = method.map(Method);
        Ok(envelope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> FrameError {
        Frame::read(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn calls_are_told_from_everything_else() {
        let is_call = |text: &str| matches!(Frame::read(text.as_bytes()), Ok(Frame::Call(_)));
        assert!(is_call(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}"#));
        assert!(is_call(r#"{"params":{"method":"ping"},"method":"resources/read","id":"a"}"#));
        assert!(!is_call(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#));
        assert!(!is_call(r#"{"jsonrpc":"2.0","id":1,"result":{"method":"tools/call"}}"#));
        assert!(matches!(Frame::read(br#"[{"id":1,"method":"ping"}]"#), Ok(Frame::Batch)));
    }

    #[test]
    fn what_two_parsers_read_differently_is_refused() {
        assert!(matches!(
            refusal(r#"{"method":"ping","method":"tools/call","id":1}"#),
            FrameError::Unreadable(why) if why.contains("`method` stands twice")
        ));
        assert_eq!(refusal(r#"{"method":"tools\u002fcall","id":1}"#), FrameError::EscapedMethod);
        assert_eq!(
            refusal(r#"{"method":"ping","Method":"tools/call","id":1}"#),
            FrameError::LookAlike("Method".into())
        );
        assert_eq!(
            refusal(r#"[{"id":1,"method":"ping"},{"id":2,"method":"tools/call"}]"#),
            FrameError::CallInBatch("tools/call".into())
        );
        assert_eq!(refusal(r#"{"id":1,"method":"tools/call","result":{}}"#), FrameError::Both);
        assert_eq!(refusal(r#"{"method":"Tools/Call","id":1}"#), FrameError::LookAlike("Tools/Call".into()));
        assert!(matches!(refusal("\u{feff}{\"method\":\"ping\"}"), FrameError::Unreadable(_)));
        assert!(matches!(refusal("{"), FrameError::Unreadable(_)));
    }
}
