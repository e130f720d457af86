//! One line of a script, read strictly.

use bytes::Bytes;
use herma_scoring::json::{JsonError, Limits, read};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// What a line asks for.
#[derive(Debug)]
pub struct Line {
    pub tool: String,
    pub arguments: Value,
    /// As they stand in the line, and in the frame.
    pub raw_arguments: Bytes,
    /// What is passed on: the arguments as they came, and no token. [`with_token`] puts the right one in.
    pub frame: Bytes,
    pub token: String,
}

#[derive(Debug, thiserror::Error)]
pub enum LineError {
    #[error("the line is not JSON that every parser reads alike: {0}")]
    Json(#[from] JsonError),
    #[error("a line has `tool`, `args` and `token`, and nothing else: {0}")]
    Shape(#[from] serde_json::Error),
    #[error("`args` is no object")]
    Arguments,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed<'a> {
    tool: String,
    #[serde(borrow)]
    args: &'a RawValue,
    token: String,
}

impl Line {
    pub fn read(line: &[u8], limit: usize) -> Result<Self, LineError> {
        let mut whole = read(line, &Limits { size: limit, ..Limits::default() })?;
        let Typed { tool, args, token } = serde_json::from_slice(line)?;
        let arguments = whole.get_mut("args").map(Value::take).unwrap_or_default();
        if !arguments.is_object() {
            return Err(LineError::Arguments);
        }
        let before = format!(r#"{{"tool":{},"args":"#, Value::from(tool.as_str()));
        let frame = Bytes::from([&before, args.get(), "}"].concat());
        let raw_arguments = frame.slice(before.len()..frame.len().saturating_sub(1));
        Ok(Self { tool, arguments, raw_arguments, frame, token })
    }
}

/// What a frame is passed on with.
pub fn arguments_of(frame: &[u8]) -> Option<Value> {
    serde_json::from_slice::<Value>(frame).ok()?.get_mut("args").map(Value::take)
}

/// An answer with something the script must read, where there is room for it.
pub fn telling(answer: &[u8], told: &str) -> Vec<u8> {
    let told = Value::from(told).to_string();
    match answer.strip_prefix(b"{") {
        Some(rest) => {
            let comma: &[u8] = if rest.trim_ascii_start().starts_with(b"}") { b"" } else { b"," };
            [br#"{"herma":"#, told.as_bytes(), comma, rest].concat()
        }
        None => answer.to_vec(),
    }
}

/// A frame of a line with the token that the agent gave out, as a line.
pub fn with_token(frame: &[u8], token: &str) -> Option<Vec<u8>> {
    let open = frame.strip_suffix(b"}")?;
    let token = Value::from(token).to_string();
    Some([open, br#","token":"#, token.as_bytes(), b"}\n"].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_leave_as_they_came_under_the_agents_own_token() {
        let line = br#"{"tool": "terminal", "args": {"command":"ls", "n": 1.0}, "token": "w"}"#;
        let frame = Line::read(line, 1000).unwrap().frame;
        let sent = with_token(&frame, "real").unwrap();
        assert_eq!(
            String::from_utf8(sent).unwrap(),
            "{\"tool\":\"terminal\",\"args\":{\"command\":\"ls\", \"n\": 1.0},\"token\":\"real\"}\n"
        );
    }

    #[test]
    fn a_script_reads_what_a_person_changed() {
        assert_eq!(telling(b"{\"a\":1}", "x"), b"{\"herma\":\"x\",\"a\":1}");
        assert_eq!(telling(b"{}", "x"), b"{\"herma\":\"x\"}");
        assert_eq!(telling(b"[1]", "x"), b"[1]");
    }

    #[test]
    fn what_two_readers_could_take_for_two_calls_is_refused() {
        for line in [
            r#"{"tool":"a","tool":"b","args":{},"token":"w"}"#,
            r#"{"tool":"a","args":{"x":1,"x":2},"token":"w"}"#,
            r#"{"tool":"a","args":{},"token":"w","Token":"v"}"#,
            r#"{"tool":"a","args":[],"token":"w"}"#,
            r#"{"tool":"a","args":{}}"#,
            r#"{"tool":"a","args":{"n":NaN},"token":"w"}"#,
            r#"{"tool":"a","args":{},"token":"w"} {"tool":"b","args":{},"token":"w"}"#,
        ] {
            assert!(Line::read(line.as_bytes(), 1000).is_err(), "{line}");
        }
    }
}
