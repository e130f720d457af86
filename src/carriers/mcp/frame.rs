//! The JSON-RPC envelope of one frame, read without copying and without touching a byte.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use herma_scoring::{Kind, json};

use super::answer::code;
use super::shown::Presented;
use super::walk::{Broken, Walk, decoded};
use crate::call::Beside;

/// What one frame is, as far as a proxy must know.
#[derive(Debug)]
pub enum Frame<'a> {
    /// A request that is a call.
    Call(Called<'a>),
    /// Any other request or notification.
    Other { method: Cow<'a, str>, id: Option<&'a RawValue> },
    /// An answer to a request of the other side.
    Answer { id: Option<&'a RawValue>, result: Option<&'a str> },
    /// A JSON array of frames without any call in it.
    Batch,
}

/// A call and its parts, as they stand in the frame.
#[derive(Debug)]
pub struct Called<'a> {
    pub kind: Kind,
    pub id: Option<&'a RawValue>,
    arguments: &'a str,
    meta: &'a str,
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
    pub(super) presented: Option<Box<Presented>>,
    /// What its transport brings the server beside it.
    pub(super) beside: Option<Box<Beside>>,
}

impl Called<'_> {
    /// `frame` is what this was read from.
    pub fn keep(&self, frame: &Bytes) -> CallFrame {
        CallFrame {
            kind: self.kind,
            frame: frame.clone(),
            id: part(frame, self.id),
            arguments: frame.slice_ref(self.arguments.as_bytes()),
            progress_token: self.progress_token().map(|token| part(frame, Some(token))),
            presented: None,
            beside: None,
        }
    }

    fn progress_token(&self) -> Option<&RawValue> {
        #[derive(Deserialize)]
        struct Meta<'a> {
            #[serde(borrow, rename = "progressToken")]
            progress_token: &'a RawValue,
        }
        serde_json::from_str::<Meta<'_>>(self.meta).ok().map(|meta| meta.progress_token)
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

    /// The same for what a server says: many escape the slash of a method, and mean nothing by it.
    pub fn hear(bytes: &'a [u8]) -> Result<Self, FrameError> {
        match Self::read(bytes) {
            Err(FrameError::EscapedMethod) => read_one(std::str::from_utf8(bytes).unwrap_or_default(), true),
            read => read,
        }
    }

    fn of(text: &'a str) -> Result<Self, FrameError> {
        match text.bytes().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'[') => read_batch(text),
            _ => read_one(text, false),
        }
    }

    pub fn id(&self) -> Option<&'a RawValue> {
        match self {
            Self::Call(Called { id, .. }) | Self::Other { id, .. } | Self::Answer { id, .. } => *id,
            Self::Batch => None,
        }
    }
}

fn read_one(text: &str, may_escape: bool) -> Result<Frame<'_>, FrameError> {
    let envelope = Envelope::read(text)?;
    if let Some(name) = envelope.look_alike {
        return Err(FrameError::LookAlike(name));
    }
    let id = envelope.id.map(serde_json::from_str).transpose();
    let id = id.map_err(|error| FrameError::Unreadable(error.to_string()))?;
    let answers = envelope.result.is_some() || envelope.error.is_some();
    let Some(raw) = envelope.method else {
        return Ok(Frame::Answer { id, result: envelope.result });
    };
    let method = decoded(raw).ok_or_else(|| FrameError::Unreadable("`method` is not a string".to_owned()))?;
    let kind = kind_of(&method);
    if answers && kind.is_some() {
        return Err(FrameError::Both);
    }
    match kind {
        // An escaped spelling is a trick that a decoded string no longer shows.
        Some(_) if raw.contains('\\') && !may_escape => Err(FrameError::EscapedMethod),
        Some(kind) => {
            let Params { arguments, meta } = envelope.params;
            Ok(Frame::Call(Called { kind, id, arguments, meta }))
        }
        None if GATED.iter().any(|gated| json::is_look_alike(&method, gated)) => {
            Err(FrameError::LookAlike(method.chars().take(32).collect()))
        }
        None => Ok(Frame::Other { method, id }),
    }
}

fn read_batch(text: &str) -> Result<Frame<'_>, FrameError> {
    let mut walk = Walk::new(text);
    walk.items(|walk| match Frame::of(walk.value()?)? {
        Frame::Call(Called { kind, .. }) => Err(FrameError::CallInBatch(name_of(kind).to_owned()).into()),
        Frame::Batch => Err(FrameError::Unreadable("a batch within a batch".to_owned()).into()),
        Frame::Other { .. } | Frame::Answer { .. } => Ok(()),
    })
    .and_then(|()| Ok(walk.end()?))
    .map_err(|fault: Fault| fault.of(text))?;
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

/// Why a walk through a frame ended early.
enum Fault {
    Broken(Broken),
    Frame(FrameError),
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl From<FrameError> for Fault {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl Fault {
    fn of(self, text: &str) -> FrameError {
        match self {
            Self::Broken(broken) => FrameError::Unreadable(broken.told(text)),
            Self::Frame(error) => error,
        }
    }
}

/// The members of a frame, as they stand in it.
#[derive(Default)]
struct Envelope<'a> {
    method: Option<&'a str>,
    id: Option<&'a str>,
    params: Params<'a>,
    result: Option<&'a str>,
    error: Option<&'a str>,
    look_alike: Option<String>,
}

/// What a call needs of `params`, found while the frame is read the first time. The strict reader has the last
/// word on the rest.
#[derive(Default)]
struct Params<'a> {
    arguments: &'a str,
    meta: &'a str,
}

impl<'a> Envelope<'a> {
    fn read(text: &'a str) -> Result<Self, FrameError> {
        let mut walk = Walk::new(text);
        let mut envelope = Self::default();
        let mut params = None;
        walk.members(|name, walk| {
            let slot = match &*name {
                "method" => &mut envelope.method,
                "id" => &mut envelope.id,
                "params" => &mut params,
                "result" => &mut envelope.result,
                "error" => &mut envelope.error,
                other => {
                    if ["method", "id", "params"].iter().any(|name| json::is_look_alike(other, name)) {
                        envelope.look_alike = Some(other.chars().take(32).collect());
                    }
                    walk.value()?;
                    return Ok(());
                }
            };
            let before = match name == "params" && walk.peek() == Some(b'{') {
                true => {
                    envelope.params = Params::read(walk)?;
                    slot.replace("")
                }
                false => slot.replace(walk.value()?),
            };
            match before {
                None => Ok(()),
                Some(_) => Err(FrameError::Unreadable(format!("the member `{name}` stands twice")).into()),
            }
        })
        .and_then(|()| Ok(walk.end()?))
        .map_err(|fault: Fault| fault.of(text))?;
        Ok(envelope)
    }
}

impl<'a> Params<'a> {
    fn read(walk: &mut Walk<'a>) -> Result<Self, Broken> {
        let mut params = Self::default();
        walk.members(|name, walk| {
            let value = walk.value()?;
            match &*name {
                "arguments" => params.arguments = value,
                "_meta" => params.meta = value,
                _ => {}
            }
            Ok(())
        })?;
        Ok(params)
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
        assert_eq!(
            refusal("{\"method\":\"tools/call\",\"id\":1,\"param\u{17f}\":{}}"),
            FrameError::LookAlike("param\u{17f}".into())
        );
        assert!(matches!(refusal("\u{feff}{\"method\":\"ping\"}"), FrameError::Unreadable(_)));
        assert!(matches!(refusal("{"), FrameError::Unreadable(_)));
    }
}
