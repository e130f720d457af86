//! What goes back to a client.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame as BodyFrame, SizeHint};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::sync::mpsc;

use super::super::answer::{self, code};
use super::super::bridge::Stream;
use super::super::relay::{EVENTS, JSON, Relay, speaks};
use super::super::upstream::UpstreamError;

/// A response body: whole, relayed, from a process, or written while a call is held.
#[derive(Debug)]
pub enum Reply {
    Whole(Full<Bytes>),
    Relayed(Box<Relay>),
    Bridged(Box<Stream>),
    Held(mpsc::Receiver<Bytes>),
}

impl Body for Reply {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(context).map_err(|never| match never {}),
            Self::Relayed(body) => Pin::new(body).poll_frame(context),
            Self::Bridged(stream) => {
                stream.poll_next(context).map(|event| event.map(|bytes| Ok(BodyFrame::data(bytes))))
            }
            Self::Held(frames) => {
                frames.poll_recv(context).map(|frame| frame.map(|bytes| Ok(BodyFrame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Relayed(body) => body.is_end_stream(),
            Self::Bridged(stream) => stream.is_end(),
            Self::Held(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Relayed(body) => body.size_hint(),
            Self::Bridged(_) | Self::Held(_) => SizeHint::default(),
        }
    }
}

pub(super) fn is_event_stream(headers: &HeaderMap) -> bool {
    speaks(headers, EVENTS)
}

pub(super) fn is_json(headers: &HeaderMap) -> bool {
    speaks(headers, JSON) && !headers.contains_key(header::CONTENT_ENCODING)
}

/// Whether an answer that must be read here could be read otherwise by its client.
pub(super) fn is_unclear(headers: &HeaderMap) -> bool {
    let is_plain = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
    !headers.get_all(header::CONTENT_ENCODING).iter().all(is_plain)
        || headers.get_all(header::CONTENT_TYPE).iter().count() > 1
        || (speaks(headers, JSON) && speaks(headers, EVENTS))
}

pub(super) fn unreachable_server(id: &[u8], error: &UpstreamError) -> Response<Reply> {
    json(StatusCode::BAD_GATEWAY, answer::error(id, code::INTERNAL, &error.to_string()))
}

/// A stream that no proxy on the way may collect first.
pub(in super::super) fn event_stream(body: Reply) -> Response<Reply> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

pub(in crate::carriers) fn json(status: StatusCode, frame: Bytes) -> Response<Reply> {
    whole(status, "application/json", frame)
}

pub(super) fn plain(status: StatusCode, text: &'static str) -> Response<Reply> {
    whole(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

pub(super) fn whole(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Reply> {
    let mut response = empty(status);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    *response.body_mut() = Reply::Whole(Full::new(body));
    response
}

pub(in super::super) fn empty(status: StatusCode) -> Response<Reply> {
    let mut response = Response::new(Reply::Whole(Full::default()));
    *response.status_mut() = status;
    response
}
