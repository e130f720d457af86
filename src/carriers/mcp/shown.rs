//! Warrants that come with a call, in headers or in `_meta.tenuo`, and go no further.

use bytes::Bytes;
use herma_warrant::carrier::{self, Carried, CarrierError};
use herma_warrant::json::{JsonError, read_document};
use herma_warrant::proof::ProofError;
use herma_warrant::text_form::from_base64;
use hyper::header::HeaderMap;
use serde_json::{Map, Value};

use super::frame::params;
use super::members::{Members, around};
use crate::call::{Credential, Shown};
use crate::carriers::hook::{Desk, Marked};
use crate::firewall::session::Session;

/// The argument of a tool that is for Herma: some clients, Hermes among them, can send nothing else.
pub(super) const ARGUMENT: &str = "_herma";
/// Where the protocol itself has room for more.
pub(super) const META: &str = "_meta";

/// What a call presents.
#[derive(Debug, Clone)]
pub(super) enum Presented {
    Warrant(Shown),
    /// The warrant that was proven on this channel before, by a code over this call.
    Code {
        counter: u64,
        tag: [u8; 32],
    },
}

/// A warrant that cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum ShownError {
    #[error(transparent)]
    Carrier(#[from] CarrierError),
    #[error("a warrant came in more than one place: send it once")]
    TwoWays,
    #[error("the argument `_herma` is for Herma alone and holds `tenuo` or `hook` and nothing else")]
    Envelope,
    #[error(transparent)]
    Mark(#[from] crate::carriers::hook::Forged),
    #[error("a header of the warrant is not text")]
    Text,
    #[error("`_meta.tenuo` cannot be read: {0}")]
    Json(#[from] JsonError),
    #[error("`{0}` of `_meta.tenuo` is not 32 bytes in base64, or stands beside what it cannot stand beside")]
    Code(&'static str),
    #[error("only a private channel can have a key: over HTTP every call brings its own proof")]
    Public,
    #[error("nothing was proven on this channel yet: send the warrant and a proof with the first call")]
    Unproven,
    #[error("the code of this call does not hold: {0}")]
    Broken(#[from] ProofError),
    #[error("the frame cannot be written again without its warrant: {0}")]
    Frame(#[from] serde_json::Error),
}

/// Takes the warrant out of the headers of a call; leaves a copy there for a server that asked for it.
pub(super) fn take(headers: &mut HeaderMap, leave: bool) -> Result<Option<Presented>, ShownError> {
    if !headers.keys().any(|name| name.as_str().starts_with(carrier::PREFIX)) {
        return Ok(None);
    }
    let pairs = headers.iter().filter(|(name, _)| name.as_str().starts_with(carrier::PREFIX));
    let pairs = pairs.map(|(name, value)| Ok((name.as_str(), value.to_str().map_err(|_| ShownError::Text)?)));
    let carried = carrier::from_headers(pairs.collect::<Result<Vec<_>, ShownError>>()?)?;
    if !leave {
        strip(headers);
    }
    Ok(carried.map(|carried| Presented::Warrant(shown(carried, None))))
}

/// What is for Herma is not for the server.
pub(super) fn strip(headers: &mut HeaderMap) {
    let ours: Vec<_> =
        headers.keys().filter(|name| name.as_str().starts_with(carrier::PREFIX)).cloned().collect();
    for name in ours {
        headers.remove(name);
    }
}

/// Reads `_meta.tenuo` of a call: `warrant`, `signature` and `approvals`, where the first call of a private channel
/// may add a `channel_key`; later ones send `counter` and `code` instead.
pub(super) fn read(meta: &Value) -> Result<Presented, ShownError> {
    let mut meta = meta.clone();
    let mut fixed = |name: &'static str| -> Result<Option<[u8; 32]>, ShownError> {
        let Some(value) = meta.as_object_mut().and_then(|fields| fields.remove(name)) else {
            return Ok(None);
        };
        let bytes = value.as_str().and_then(from_base64).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Some).ok_or(ShownError::Code(name))
    };
    let (channel_key, code) = (fixed("channel_key")?, fixed("code")?);
    if let Some(tag) = code {
        let counter = meta.as_object().filter(|fields| fields.len() == 1).and_then(counter);
        let counter = counter.filter(|_| channel_key.is_none()).ok_or(ShownError::Code("code"))?;
        return Ok(Presented::Code { counter, tag });
    }
    let carried = carrier::from_meta(&read_document(&meta.to_string())?)?;
    Ok(Presented::Warrant(shown(carried, channel_key)))
}

fn counter(fields: &Map<String, Value>) -> Option<u64> {
    fields.get("counter")?.as_u64()
}

fn shown(carried: Carried, channel_key: Option<[u8; 32]>) -> Shown {
    Shown {
        stack: carried.warrant.into(),
        credential: carried.proof.map_or(Credential::None, Credential::Proof),
        approvals: carried.approvals,
        channel_key,
        run: None,
        parent: None,
    }
}

/// The warrant that an agent's own road carries as `_meta.tenuo` does.
pub(in crate::carriers) fn told(meta: &Value, tool: &str, arguments: &[u8]) -> Result<Shown, ShownError> {
    settle(read(meta)?, &Session::default(), tool, arguments)
}

/// The warrant that a call speaks under, its channel's if it brings none itself.
pub(super) fn settle(
    presented: Presented,
    session: &Session,
    tool: &str,
    arguments: &[u8],
) -> Result<Shown, ShownError> {
    match presented {
        Presented::Warrant(Shown { channel_key: Some(_), .. }) if !session.private => Err(ShownError::Public),
        Presented::Warrant(shown) => Ok(shown),
        Presented::Code { .. } if !session.private => Err(ShownError::Public),
        Presented::Code { counter, tag } => {
            let stack = session.believe(counter, tool, arguments, &tag).ok_or(ShownError::Unproven)??;
            Ok(Shown {
                stack,
                credential: Credential::Channel,
                approvals: Vec::new(),
                channel_key: None,
                run: None,
                parent: None,
            })
        }
    }
}

/// Reads the argument that clients send which can send nothing but arguments.
pub(super) fn enveloped(
    envelope: &Value,
    desk: Option<&Desk>,
) -> Result<(Option<Presented>, Option<Marked>), ShownError> {
    let fields = envelope.as_object().ok_or(ShownError::Envelope)?;
    if fields.keys().any(|key| key != "tenuo" && key != "hook") {
        return Err(ShownError::Envelope);
    }
    let marked = match (fields.get("hook"), desk) {
        (Some(mark), Some(desk)) => Some(desk.read_mark(mark)?),
        (Some(_), None) => return Err(ShownError::Envelope),
        (None, _) => None,
    };
    Ok((fields.get("tenuo").map(read).transpose()?, marked))
}

/// The frame without one member of an object in `params`, every other value as it stood. An empty `_meta` goes too.
pub(super) fn without(frame: &Bytes, object: &str, member: &str) -> Result<Bytes, ShownError> {
    let Some(raw) = params(frame) else { return Ok(frame.clone()) };
    let mut members = Members::read(raw.get())?;
    for (_, value) in members.0.iter_mut().filter(|(name, _)| name == object) {
        let mut inner = Members::read(value)?;
        inner.0.retain(|(name, _)| name != member);
        *value = inner.write();
    }
    members.0.retain(|(name, value)| name != META || value != "{}");
    let (before, after) = around(frame, raw.get().as_bytes());
    Ok([before, members.write().as_bytes(), after].concat().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_loses_its_warrant_and_nothing_else() {
        let frame =
            |params: &str| Bytes::from(format!(r#"{{"id": 1,"method":"tools/call", "params" :{params} }}"#));
        let with = frame(
            r#"{"name":"a","arguments":{"n":1.0, "m":"\u0041"},"_meta":{"tenuo":{"warrant":"x"},"progressToken": 7}}"#,
        );
        let bare = frame(r#"{"name":"a","arguments":{"n":1.0, "m":"\u0041"},"_meta":{"progressToken":7}}"#);
        assert_eq!(without(&with, META, "tenuo").unwrap(), bare);
        let beside = frame(r#"{"name":"a","arguments":{"n":1.0,"_herma":{"tenuo":{}}, "m":"\u0041"}}"#);
        let plain = frame(r#"{"name":"a","arguments":{"n":1.0,"m":"\u0041"}}"#);
        assert_eq!(without(&beside, "arguments", ARGUMENT).unwrap(), plain);
        let only = frame(r#"{"name":"a","_meta":{"tenuo":{}}}"#);
        assert_eq!(without(&only, META, "tenuo").unwrap(), frame(r#"{"name":"a"}"#));
    }

    #[test]
    fn what_two_readers_could_take_for_two_warrants_is_refused() {
        let mut twice = HeaderMap::new();
        twice.append("x-tenuo-warrant", "aaaa".parse().unwrap());
        twice.append("x-tenuo-warrant", "bbbb".parse().unwrap());
        assert!(take(&mut twice, false).unwrap_err().to_string().contains("comes twice"));
        let mut alone = HeaderMap::new();
        alone.append("x-tenuo-pop", "aaaa".parse().unwrap());
        assert!(take(&mut alone, false).unwrap_err().to_string().contains("without a warrant"));
        for meta in [
            serde_json::json!({ "warrant": "aaaa", "Warrant": "bbbb" }),
            serde_json::json!({ "warrant": "?" }),
            serde_json::json!({ "code": "aaaa", "counter": 1 }),
            serde_json::json!("aaaa"),
        ] {
            assert!(read(&meta).is_err(), "{meta}");
        }
    }
}
