//! Words of Herma in the next result that an agent gets.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::members::around;
use crate::firewall::Firewall;
use crate::firewall::session::Session;

/// Whether something waits to be said on this session.
pub fn waits(firewall: &Firewall, session: &Session) -> bool {
    firewall.reviews.notices.wait_for(&session.server, &session.principal, &session.id)
}

/// The answer to a tool call with what waits to be said as its last content; nothing but the list of contents
/// changes. `None` when nothing waits, or when the answer has no such list: then it goes on waiting.
pub fn with_notices(firewall: &Firewall, session: &Session, answer: &[u8]) -> Option<Bytes> {
    if !waits(firewall, session) {
        return None;
    }
    let (head, tail) = at_the_end_of_content(answer)?;
    let words = firewall.reviews.notices.take(&session.server, &session.principal, &session.id);
    let mut said = String::new();
    for word in words {
        if head.trim_ascii_end().last() != Some(&b'[') || !said.is_empty() {
            said.push(',');
        }
        said.push_str(&json!({ "type": "text", "text": format!("[Herma] {word}") }).to_string());
    }
    Some([head, said.as_bytes(), tail].concat().into())
}

/// What stands before and after the place for one more content.
fn at_the_end_of_content(answer: &[u8]) -> Option<(&[u8], &[u8])> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        result: Outcome<'a>,
    }
    #[derive(Deserialize)]
    struct Outcome<'a> {
        #[serde(borrow)]
        content: &'a RawValue,
    }
    let content = serde_json::from_slice::<Answer<'_>>(answer).ok()?.result.content.get();
    let inside = content.strip_prefix('[')?.strip_suffix(']')?;
    let (before, _) = around(answer, inside.as_bytes());
    let end = before.len().checked_add(inside.len())?;
    Some((answer.get(..end)?, answer.get(end..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(answer: &str) -> Option<(&str, &str)> {
        let (head, tail) = at_the_end_of_content(answer.as_bytes())?;
        Some((std::str::from_utf8(head).unwrap(), std::str::from_utf8(tail).unwrap()))
    }

    #[test]
    fn there_is_room_for_one_more_content_and_all_else_stays_as_it_is() {
        let answer = r#"{ "id":1,"result":{"content":[ {"type":"text","text":"a]"} ],"x":1.0}}"#;
        let (head, tail) = split(answer).unwrap();
        assert_eq!((head.ends_with("} "), tail), (true, r#"],"x":1.0}}"#));
        assert_eq!(split(r#"{"result":{"content":[]}}"#), Some((r#"{"result":{"content":["#, "]}}")));
        assert_eq!(split(r#"{"error":{"code":1}}"#), None);
        assert_eq!(split(r#"{"result":{"resultType":"input_required"}}"#), None);
    }
}
