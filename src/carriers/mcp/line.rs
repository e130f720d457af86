//! A frame as one line, for servers that read lines.

use bytes::Bytes;
use memchr::{memchr2, memmem};

/// What some readers take for the end of a line, and how a JSON string says it instead.
const BREAKS: [(&str, &[u8]); 3] =
    [("\u{85}", br"\u0085"), ("\u{2028}", br"\u2028"), ("\u{2029}", br"\u2029")];

/// `frame` as one line, however its server finds the ends of lines: breaks between tokens become spaces, and
/// what some readers take for a break inside a string is escaped. Otherwise a string could hold a second frame,
/// which nobody has judged. `None` when the frame is one line as it stands.
pub(super) fn one_line(frame: &[u8]) -> Option<Bytes> {
    let body = frame.trim_ascii();
    let hides = memchr2(b'\n', b'\r', body).is_some()
        || BREAKS.iter().any(|(character, _)| memmem::find(body, character.as_bytes()).is_some());
    if !hides {
        return None;
    }
    let mut line = body.to_vec();
    for (character, escaped) in BREAKS {
        line = replaced(&line, character.as_bytes(), escaped);
    }
    for byte in &mut line {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    Some(line.into())
}

/// `frame` as one line with its end.
pub(super) fn line(frame: &[u8]) -> Bytes {
    match one_line(frame) {
        Some(line) => [&line, b"\n".as_slice()].concat().into(),
        None => [frame.trim_ascii(), b"\n".as_slice()].concat().into(),
    }
}

fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len().saturating_add(64));
    let mut rest = text;
    while let Some(at) = memmem::find(rest, from) {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        out.extend_from_slice(to);
        rest = rest.get(at.saturating_add(from.len())..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_frame_can_hide_in_another_ones_line() {
        let hiding = "\n{\"a\":\r\n\"x\u{2028}{}\u{2029}y\u{85}\"}\n".as_bytes();
        assert_eq!(line(hiding), &b"{\"a\":  \"x\\u2028{}\\u2029y\\u0085\"}\n"[..]);
        assert_eq!(one_line(b" {\"a\": 1} \r\n"), None);
    }
}
