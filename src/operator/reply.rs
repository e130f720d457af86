//! What goes back to a person's browser.

use bytes::Bytes;
use http_body_util::channel::Channel;
use http_body_util::{Either, Full};
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// Whole, or written as things happen.
pub type Reply = Either<Full<Bytes>, Channel<Bytes, Broken>>;

/// An answer that cannot be brought to its end: the connection breaks off, so that nobody takes it for whole.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off: {0}")]
pub struct Broken(pub(super) String);

pub(super) fn whole(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Reply> {
    let mut response = Response::new(Either::Left(Full::new(body.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub(super) fn html(status: StatusCode, document: String) -> Response<Reply> {
    whole(status, "text/html; charset=utf-8", document)
}

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response<Reply> {
    match serde_json::to_vec(value) {
        Ok(body) => whole(status, "application/json", body),
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written as JSON");
            whole(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "the answer cannot be written\n")
        }
    }
}
