//! The frames that Herma itself writes: refusals, and the answers of held calls for those who joined.

use bytes::Bytes;
use herma_scoring::Kind;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::era::Era;
use crate::config::Denial;
use crate::firewall::Refusal;

/// JSON-RPC codes. The reserved ranges of MCP and of the SDKs are not ours to use.
pub mod code {
    pub const PARSE: i32 = -32700;
    pub const INVALID_REQUEST: i32 = -32600;
    pub const INVALID_PARAMS: i32 = -32602;
    pub const INTERNAL: i32 = -32603;
    /// The specification's own code for a header that contradicts the body.
    pub const HEADER_MISMATCH: i32 = -32020;
    /// A call that policy or a person did not let through and that has no result to say it in.
    pub const NOT_PERMITTED: i32 = 403;
}

/// How a refusal is to be shaped for one call.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub kind: Kind,
    pub era: Era,
    pub denial: Denial,
    /// The tool promises structured content, so only an error may lack it.
    pub has_output_schema: bool,
}

/// The JSON-RPC answer that tells a client why its call did not run.
pub fn refusal(id: &[u8], refusal: &Refusal, shape: Shape) -> Bytes {
    let said = refusal.to_string();
    let facts = json!({ "decision": refusal.code(), "hold": refusal.hold() });
    if shape.kind != Kind::Tool {
        return error(id, code::NOT_PERMITTED, &said);
    }
    let is_error = shape.denial == Denial::Error || shape.has_output_schema;
    let mut result = json!({
        "content": [{ "type": "text", "text": said }],
        "isError": is_error,
        "_meta": { "herma/decision": facts },
    });
    if shape.era == Era::Modern
        && let Some(fields) = result.as_object_mut()
    {
        fields.insert("resultType".into(), "complete".into());
    }
    answer(id, "result", &result)
}

/// A JSON-RPC error.
pub fn error(id: &[u8], code: i32, message: &str) -> Bytes {
    answer(id, "error", &json!({ "code": code, "message": message }))
}

/// A JSON-RPC result.
pub fn result(id: &[u8], result: &Value) -> Bytes {
    answer(id, "result", result)
}

fn answer(id: &[u8], member: &str, value: &Value) -> Bytes {
    let id = if id.is_empty() { b"null" } else { id };
    let mut frame = Vec::with_capacity(256);
    frame.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    frame.extend_from_slice(id);
    frame.extend_from_slice(b",\"");
    frame.extend_from_slice(member.as_bytes());
    frame.extend_from_slice(b"\":");
    frame.extend_from_slice(value.to_string().as_bytes());
    frame.push(b'}');
    frame.into()
}

/// `response` with another id: what one call got, said to an identical one.
pub fn readdressed(response: &[u8], id: &[u8]) -> Option<Bytes> {
    #[derive(serde::Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        id: &'a RawValue,
    }
    let body: Body<'_> = serde_json::from_slice(response).ok()?;
    let (before, after) = super::members::around(response, body.id.get().as_bytes());
    Some([before, id, after].concat().into())
}

/// `response` with something the agent must read first: a text before the content of a result, or before the message
/// of an error. An answer that is neither yet stays as it is.
pub fn telling(response: &[u8], told: &str) -> Bytes {
    #[derive(serde::Deserialize)]
    struct Body<'a> {
        #[serde(borrow, default)]
        result: Option<&'a RawValue>,
        #[serde(borrow, default)]
        error: Option<Failed<'a>>,
    }
    #[derive(serde::Deserialize)]
    struct Failed<'a> {
        #[serde(borrow)]
        message: &'a RawValue,
    }
    #[derive(serde::Deserialize)]
    struct Told<'a> {
        #[serde(borrow, default)]
        content: Option<&'a RawValue>,
        #[serde(default, rename = "resultType")]
        kind: Option<String>,
    }
    let unchanged = || Bytes::copy_from_slice(response);
    let Ok(body) = serde_json::from_slice::<Body<'_>>(response) else { return unchanged() };
    let around = |part: &RawValue, now: String| -> Bytes {
        let (before, after) = super::members::around(response, part.get().as_bytes());
        [before, now.as_bytes(), after].concat().into()
    };
    if let Some(Failed { message }) = body.error {
        let said = serde_json::from_str::<String>(message.get()).unwrap_or_default();
        return around(message, Value::from(format!("{told}\n{said}")).to_string());
    }
    let Some(result) = body.result else { return unchanged() };
    let Ok(read) = serde_json::from_str::<Told<'_>>(result.get()) else { return unchanged() };
    if read.kind.is_some_and(|kind| kind != "complete") {
        return unchanged();
    }
    let block = json!({ "type": "text", "text": told });
    match read.content {
        Some(content) => {
            let Some(rest) = content.get().strip_prefix('[') else { return unchanged() };
            let comma = if rest.trim_start().starts_with(']') { "" } else { "," };
            around(content, format!("[{block}{comma}{rest}"))
        }
        None => {
            let Some(rest) = result.get().strip_prefix('{') else { return unchanged() };
            let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
            around(result, format!("{{\"content\":[{block}]{comma}{rest}"))
        }
    }
}

/// Whether a JSON-RPC response tells of a failure.
pub fn is_error(response: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Body<'a> {
        #[serde(borrow, default)]
        error: Option<&'a RawValue>,
        #[serde(default)]
        result: Option<Marked>,
    }
    #[derive(serde::Deserialize)]
    struct Marked {
        #[serde(default, rename = "isError")]
        is_error: bool,
    }
    // Most answers are no failures, and both members end so. A server that spells them otherwise only hides its own.
    let says_no = |at: usize| {
        let (before, after) = response.split_at_checked(at).unwrap_or_default();
        before.ends_with(b"\"isE") && after.starts_with(b"rror\":false")
    };
    if memchr::memmem::find_iter(response, b"rror\"").all(says_no) {
        return false;
    }
    match serde_json::from_slice::<Body<'_>>(response) {
        Ok(body) => body.error.is_some() || body.result.is_some_and(|result| result.is_error),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_can_be_said_to_another_id() {
        let response = br#"{"jsonrpc":"2.0","id": "a" ,"result":{"id":"a"}}"#;
        let other = readdressed(response, b"17").unwrap();
        assert_eq!(&other[..], br#"{"jsonrpc":"2.0","id": 17 ,"result":{"id":"a"}}"#);
    }

    #[test]
    fn what_an_agent_must_know_stands_before_the_answer_and_the_rest_stays_as_it_is() {
        let told =
            |response: &str| String::from_utf8(telling(response.as_bytes(), "a \"b\"").to_vec()).unwrap();
        let block = r#"{"text":"a \"b\"","type":"text"}"#;
        assert_eq!(
            told(
                r#"{"id":1,"result":{"x" : 1.0,"content": [ {"type":"text","text":"ran"}],"isError":false}}"#
            ),
            format!(
                r#"{{"id":1,"result":{{"x" : 1.0,"content": [{block}, {{"type":"text","text":"ran"}}],"isError":false}}}}"#
            )
        );
        assert_eq!(
            told(r#"{"id":1,"result":{"content":[]}}"#),
            format!(r#"{{"id":1,"result":{{"content":[{block}]}}}}"#)
        );
        assert_eq!(
            told(r#"{"id":1,"result":{}}"#),
            format!(r#"{{"id":1,"result":{{"content":[{block}]}}}}"#)
        );
        assert_eq!(
            told(r#"{"id":1,"error":{"code":-1,"message":"no"}}"#),
            r#"{"id":1,"error":{"code":-1,"message":"a \"b\"\nno"}}"#
        );
        for other in [r#"{"id":1,"result":{"resultType":"input_required"}}"#, r#"{"id":1}"#, "no JSON"] {
            assert_eq!(told(other), other);
        }
    }

    #[test]
    fn a_denial_is_marked_as_error_only_where_the_client_can_bear_it() {
        let denied = Refusal::Denied { hold: "h-1".into(), by: "ann".into(), reason: "not now".into() };
        let shape = |denial, has_output_schema| Shape {
            kind: Kind::Tool,
            era: Era::Modern,
            denial,
            has_output_schema,
        };
        let marked = |shape| is_error(&refusal(b"1", &denied, shape));
        assert!(marked(shape(Denial::Error, false)));
        assert!(!marked(shape(Denial::Result, false)));
        assert!(marked(shape(Denial::Result, true)));
        let text = String::from_utf8(refusal(b"1", &denied, shape(Denial::Result, false)).to_vec()).unwrap();
        assert!(text.contains("not now") && text.contains(r#""resultType":"complete""#), "{text}");
    }
}
