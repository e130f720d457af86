//! Spans in the JSON encoding of OTLP (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).

use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

/// A value of another's choosing is cut to this.
const TEXT: usize = 256;
/// `SPAN_KIND_INTERNAL` and `SPAN_KIND_CLIENT`.
const INTERNAL: u8 = 1;
const CLIENT: u8 = 3;
/// `STATUS_CODE_ERROR`.
const ERROR: u8 = 2;

/// A span that is, or will be, over.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) trace: [u8; 16],
    pub(super) id: [u8; 8],
    pub(super) parent: Option<[u8; 8]>,
    pub(super) state: String,
    pub(super) name: String,
    pub(super) start: SystemTime,
    pub(super) end: SystemTime,
    pub(super) is_internal: bool,
    pub(super) is_error: bool,
    attributes: Vec<(&'static str, Attribute)>,
}

#[derive(Debug)]
pub(super) enum Attribute {
    Text(String),
    Number(f64),
    Flag(bool),
}

impl<T: Into<String>> From<T> for Attribute {
    fn from(text: T) -> Self {
        Self::Text(text.into())
    }
}

impl Sample {
    pub(super) fn new(
        trace: [u8; 16],
        id: [u8; 8],
        parent: Option<[u8; 8]>,
        name: String,
        start: SystemTime,
    ) -> Self {
        let attributes = Vec::with_capacity(20);
        let state = String::new();
        Self {
            trace,
            id,
            parent,
            state,
            name,
            start,
            end: UNIX_EPOCH,
            is_internal: false,
            is_error: false,
            attributes,
        }
    }

    pub(super) fn add(&mut self, name: &'static str, value: impl Into<Attribute>) {
        self.attributes.push((name, value.into()));
    }

    fn json(&self) -> Value {
        let attributes: Vec<Value> =
            self.attributes.iter().map(|(name, value)| attribute(name, value)).collect();
        json!({
            "traceId": HEXLOWER.encode(&self.trace),
            "spanId": HEXLOWER.encode(&self.id),
            "parentSpanId": self.parent.map(|parent| HEXLOWER.encode(&parent)).unwrap_or_default(),
            "traceState": self.state,
            "name": cut(&self.name),
            "kind": if self.is_internal { INTERNAL } else { CLIENT },
            "startTimeUnixNano": nanos(self.start),
            "endTimeUnixNano": nanos(self.end),
            "attributes": attributes,
            "status": { "code": if self.is_error { ERROR } else { 0 } },
        })
    }
}

/// The body of one request.
pub(super) fn request(samples: &[Sample]) -> String {
    let spans: Vec<Value> = samples.iter().map(Sample::json).collect();
    let text = |name, value: &str| attribute(name, &value.into());
    json!({
        "resourceSpans": [{
            "resource": { "attributes": [
                text("service.name", "herma"),
                text("service.version", env!("CARGO_PKG_VERSION")),
            ] },
            "scopeSpans": [{ "scope": { "name": "herma", "version": env!("CARGO_PKG_VERSION") }, "spans": spans }],
        }],
    })
    .to_string()
}

fn attribute(name: &str, value: &Attribute) -> Value {
    let value = match value {
        Attribute::Text(text) => json!({ "stringValue": cut(text) }),
        Attribute::Number(number) => json!({ "doubleValue": number }),
        Attribute::Flag(flag) => json!({ "boolValue": flag }),
    };
    json!({ "key": name, "value": value })
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT).collect()
}

/// Sixty-four bits are text in this encoding.
fn nanos(time: SystemTime) -> String {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}
