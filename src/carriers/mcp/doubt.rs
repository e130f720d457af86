//! What a server says that not every reader reads alike.

use std::collections::HashSet;

use bytes::Bytes;
use memchr::memmem;
use serde_json::Value;

use super::answer::{self, code};
use super::frame::{Frame, FrameError};
use super::walk::{Broken, Walk};
use crate::firewall::Firewall;
use crate::firewall::session::Session;

/// Why a list of tools is kept from its client: what a person approved would not be what the client was told.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unlisted {
    #[error("the server's list of tools is not passed on: {0}")]
    Frame(#[from] FrameError),
    #[error("the server's list of tools is not passed on: it is no answer of its own")]
    NoAnswer,
    #[error("the server's list of tools is not passed on: it cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the server's list of tools is not passed on: the member `{0}` stands twice in one object")]
    Twice(String),
    #[error("the server's list of tools is not passed on: it is not JSON")]
    Broken,
}

impl From<Broken> for Unlisted {
    fn from(_: Broken) -> Self {
        Self::Broken
    }
}

/// Whether some reader could find `word` in a frame: it stands there in letters of either case, or letters are
/// escaped, which no honest writer does.
pub(super) fn could_say(frame: &[u8], word: &[u8]) -> bool {
    let stands = frame.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
    stands
        || memmem::find_iter(frame, br"\u00").any(|at| {
            let digit = at.checked_add(4).and_then(|at| frame.get(at));
            matches!(digit, Some(b'4'..=b'7'))
        })
}

/// Whether some reader could take a frame that was refused for a request.
pub(super) fn could_ask(frame: &[u8]) -> bool {
    could_say(frame, b"method")
}

/// The tools in an answer to `tools/list`; none in an error.
pub(super) fn tools(answer: &[u8]) -> Result<Vec<Value>, Unlisted> {
    let result = match Frame::hear(answer)? {
        Frame::Answer { result: Some(result), .. } => result,
        Frame::Answer { result: None, .. } => return Ok(Vec::new()),
        Frame::Call(_) | Frame::Other { .. } | Frame::Batch => return Err(Unlisted::NoAnswer),
    };
    // Its depth is bounded there.
    let mut read: Value = serde_json::from_str(result)?;
    each_once(&mut Walk::new(result))?;
    match read.get_mut("tools").map(Value::take) {
        Some(Value::Array(tools)) => Ok(tools),
        _ => Ok(Vec::new()),
    }
}

/// Readers differ in which of two members of a name they take.
fn each_once(walk: &mut Walk<'_>) -> Result<(), Unlisted> {
    match walk.peek() {
        Some(b'{') => {
            let mut names = HashSet::new();
            walk.members(|name, walk| match names.insert(name.to_string()) {
                true => each_once(walk),
                false => Err(Unlisted::Twice(name.chars().take(32).collect())),
            })
        }
        Some(b'[') => walk.items(each_once),
        _ => Ok(walk.value().map(drop)?),
    }
}

/// Takes in the tools of an answer to `tools/list`, or gives what its client is told instead of it.
pub(super) async fn learn(
    firewall: &Firewall,
    session: &Session,
    id: &[u8],
    answer: &[u8],
) -> Result<(), Bytes> {
    let tools = tools(answer).map_err(|error| {
        let said = error.to_string();
        firewall.record_refused(&session.origin(), "tools/list", &said);
        answer::error(id, code::INTERNAL, &said)
    })?;
    if let Err(error) = firewall.definitions.learn(&session.server, &tools).await {
        tracing::warn!(server = &*session.server, %error, "tool definitions could not be kept");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_two_readers_read_differently_is_none() {
        let read = |result: &str| tools(format!(r#"{{"id":1,{result}}}"#).as_bytes());
        assert_eq!(read(r#""result":{"tools":[{"name":"a","max":18446744073709551615}]}"#).unwrap().len(), 1);
        assert!(read(r#""error":{"code":1,"message":"no"}"#).unwrap().is_empty());
        assert!(read(r#""result":{}"#).unwrap().is_empty());
        for twisted in [
            r#""result":{"tools":[]},"result":{"tools":[{"name":"a"}]}"#,
            r#""result":{"tools":[],"tools":[{"name":"a"}]}"#,
            r#""result":{"tools":[{"name":"a","description":"x","description":"y"}]}"#,
            r#""result":{"tools":[{"name":"a","x":NaN}]}"#,
        ] {
            assert!(read(twisted).is_err(), "{twisted}");
        }
        assert!(tools(br#"[{"id":1,"result":{"tools":[]}}]"#).is_err());
        assert!(tools("\u{feff}{\"id\":1,\"result\":{\"tools\":[]}}".as_bytes()).is_err());
    }

    #[test]
    fn a_request_is_suspected_where_a_reader_could_see_one_and_nowhere_else() {
        for asks in [r#"{"method":"a","method":"b"}"#, r#"{"METHOD":1"#, r#"{"m\u0065thod":"a""#] {
            assert!(could_ask(asks.as_bytes()), "{asks}");
        }
        for answers in [r#"{"id":1,"result":{"x":NaN,"text":"caf\u00e9 \u003c"}}"#, "{"] {
            assert!(!could_ask(answers.as_bytes()), "{answers}");
        }
    }
}
