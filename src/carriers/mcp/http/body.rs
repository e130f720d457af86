//! The body of a request, if its client sends it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap};
use tokio::time::timeout;

/// A client that sends nothing for so long in the middle of a body does not come back.
const SILENCE: Duration = Duration::from_secs(60);

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    #[error("the request is longer than {0} bytes (limits.frame)")]
    TooLong(usize),
    #[error("the request broke off")]
    Broken,
    #[error("nothing came for {} seconds in the middle of the request", SILENCE.as_secs())]
    Silent,
}

/// All of a body of at most `limit` bytes.
pub(super) async fn read(body: Incoming, limit: usize) -> Result<Bytes, Unread> {
    let mut body = Limited::new(body, limit);
    let (mut first, mut rest) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = timeout(SILENCE, body.frame()).await.map_err(|_| Unread::Silent)? {
        let frame = frame.map_err(|error| match error.is::<LengthLimitError>() {
            true => Unread::TooLong(limit),
            false => Unread::Broken,
        })?;
        match frame.into_data() {
            Ok(chunk) if first.is_empty() => first = chunk,
            Ok(chunk) => {
                if rest.is_empty() {
                    rest.extend_from_slice(&first);
                }
                rest.extend_from_slice(&chunk);
            }
            Err(_) => {}
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// Whether every server reads the same letters in a body as Herma: it says once that it is JSON, and if it names
/// letters at all, UTF-8.
pub(super) fn is_plain_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(said), None) = (types.next(), types.next()) else { return false };
    if said.as_bytes() == b"application/json" {
        return true;
    }
    let Ok(said) = said.to_str() else { return false };
    let mut parts = said.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    let parameters: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
    is_json
        && match *parameters {
            [] => true,
            [only] => is_utf8(only),
            _ => false,
        }
}

fn is_utf8(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    let value = value.strip_prefix('"').map_or(Some(value), |rest| rest.strip_suffix('"'));
    name.eq_ignore_ascii_case("charset") && value.is_some_and(|value| value.eq_ignore_ascii_case("utf-8"))
}
