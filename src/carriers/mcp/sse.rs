//! Server-sent events: cut out of a byte stream without changing a byte of it, and written.

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Cuts a stream into events.
#[derive(Debug)]
pub struct Events {
    buffer: BytesMut,
    /// Where the line begins that has not ended yet, and how far it was searched for its end.
    line: usize,
    searched: usize,
    limit: usize,
}

/// One event as it came, its final blank line included.
#[derive(Debug)]
pub struct Event {
    pub raw: Bytes,
}

/// An event grew beyond the limit before its end was seen.
#[derive(Debug, thiserror::Error)]
#[error("an event of the stream is longer than {0} bytes")]
pub struct TooLong(usize);

impl Events {
    /// `limit` in bytes for one event.
    pub fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), line: 0, searched: 0, limit }
    }

    pub fn feed(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The next whole event, if it has arrived.
    pub fn cut(&mut self) -> Result<Option<Event>, TooLong> {
        match self.blank_line() {
            Some(end) => {
                (self.line, self.searched) = (0, 0);
                Ok(Some(Event { raw: self.buffer.split_to(end).freeze() }))
            }
            None if self.buffer.len() > self.limit => Err(TooLong(self.limit)),
            None => Ok(None),
        }
    }

    /// The offset behind the first blank line. A line ends by CR, LF or both, in any mixture.
    fn blank_line(&mut self) -> Option<usize> {
        while let Some(found) = memchr2(b'\n', b'\r', self.buffer.get(self.searched..)?) {
            let at = self.searched.saturating_add(found);
            let is_blank = at == self.line;
            let length = match self.buffer.get(at..)? {
                [b'\r', b'\n', ..] => 2,
                // Its other half may be on the way; an event that is over need not wait for that.
                [b'\r'] if !is_blank => {
                    self.searched = at;
                    return None;
                }
                _ => 1,
            };
            self.line = at.saturating_add(length);
            self.searched = self.line;
            if is_blank {
                return Some(self.line);
            }
        }
        self.searched = self.buffer.len();
        None
    }

    /// What is left when the stream has ended without a final blank line.
    pub fn rest(self) -> Bytes {
        self.buffer.freeze()
    }
}

impl Event {
    /// The `data` lines joined; `None` for comments and priming events.
    pub fn data(&self) -> Option<Bytes> {
        let mut found: Option<BytesMut> = None;
        let mut single = None;
        // A stream may begin with a mark, which its reader skips.
        let text = self.raw.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&self.raw);
        for line in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
            let Some(data) = line.strip_prefix(b"data:") else { continue };
            let data = data.strip_prefix(b" ").unwrap_or(data);
            match (&mut found, single.take()) {
                (None, None) => single = Some(data),
                (None, Some(first)) => {
                    let mut joined = BytesMut::from(first);
                    joined.extend_from_slice(b"\n");
                    joined.extend_from_slice(data);
                    found = Some(joined);
                }
                (Some(joined), _) => {
                    joined.extend_from_slice(b"\n");
                    joined.extend_from_slice(data);
                }
            }
        }
        let data = match (found, single) {
            (Some(joined), _) => joined.freeze(),
            (None, Some(data)) => self.raw.slice_ref(data),
            (None, None) => return None,
        };
        (!data.is_empty()).then_some(data)
    }
}

/// A JSON-RPC frame as one event. Frames hold no line breaks outside strings, and none inside them.
pub fn event(frame: &[u8]) -> Bytes {
    let mut event = BytesMut::with_capacity(frame.len().saturating_add(32));
    event.extend_from_slice(b"event: message\n");
    for line in frame.split(|byte| matches!(byte, b'\n' | b'\r')) {
        event.extend_from_slice(b"data: ");
        event.extend_from_slice(line);
        event.extend_from_slice(b"\n");
    }
    event.extend_from_slice(b"\n");
    event.freeze()
}

/// A line that clients skip and that keeps a quiet connection open.
pub fn comment(text: &str) -> Bytes {
    Bytes::from(format!(": {}\n\n", text.replace(['\n', '\r'], " ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_however_the_stream_is_cut() {
        let stream = b"id: 1\ndata:\n\n: ping\n\nevent: message\r\ndata: {\"a\":\"\xc3\xa9\"}\r\n\r\ndata: x\ndata: y\n\n";
        for step in 1..stream.len() {
            let mut events = Events::new(1024);
            let mut raw = Vec::new();
            let mut data = Vec::new();
            for chunk in stream.chunks(step) {
                events.feed(chunk);
                while let Some(event) = events.cut().unwrap() {
                    raw.extend_from_slice(&event.raw);
                    data.extend(event.data());
                }
            }
            assert_eq!(raw, stream, "in steps of {step}");
            assert_eq!(data, [Bytes::from_static("{\"a\":\"é\"}".as_bytes()), Bytes::from_static(b"x\ny")]);
        }
    }

    #[test]
    fn lines_end_in_any_of_three_ways_and_in_all_of_them_at_once() {
        let ends = ["\n", "\r", "\r\n"];
        for (one, two) in ends.iter().flat_map(|one| ends.iter().map(move |two| (*one, *two))) {
            // A CR and an LF after it are one end.
            let blank = if (one, two) == ("\r", "\n") { "\n\n" } else { two };
            let stream = format!("\u{feff}data: x{one}{blank}data: y{two}data: z{one}{blank}");
            for step in 1..stream.len() {
                let mut events = Events::new(1024);
                let (mut raw, mut data) = (Vec::new(), Vec::new());
                for chunk in stream.as_bytes().chunks(step) {
                    events.feed(chunk);
                    while let Some(event) = events.cut().unwrap() {
                        raw.extend_from_slice(&event.raw);
                        data.extend(event.data());
                    }
                }
                assert_eq!(raw, stream.as_bytes(), "{one:?} {two:?} in steps of {step}");
                assert_eq!(data, ["x", "y\nz"], "{one:?} {two:?} in steps of {step}");
            }
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut events = Events::new(8);
        events.feed(b"data: 123456");
        assert!(events.cut().is_err());
    }

    #[test]
    fn a_frame_survives_being_an_event() {
        let mut events = Events::new(1024);
        events.feed(&event(b"{\"a\": 1}"));
        assert_eq!(events.cut().unwrap().unwrap().data().unwrap(), &b"{\"a\": 1}"[..]);
    }
}
