//! What went wrong, as RFC 9457 has it.

use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};

use super::reply::{Reply, json};
use crate::gate::GateError;

/// An answer that is none.
#[derive(Debug, Clone, PartialEq, Serialize, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    /// `urn:herma:problem:WORD`; what programs look at.
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(flatten)]
    more: Map<String, Value>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, word: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:herma:problem:{word}"),
            title: status.canonical_reason().unwrap_or("Problem"),
            status: status.as_u16(),
            detail: detail.into(),
            more: Map::new(),
        }
    }

    #[must_use]
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    pub(super) fn missing(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "missing", what)
    }

    pub(super) fn malformed(why: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", why)
    }

    /// It can be read, and cannot be done.
    pub(super) fn unusable(why: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unusable", why)
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    pub(super) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(super) fn into_response(self) -> Response<Reply> {
        let mut response = json(self.status(), &self);
        let kind = hyper::header::HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(hyper::header::CONTENT_TYPE, kind);
        response
    }

    /// Something of ours broke: the log has the reason, the browser need not.
    pub(super) fn fault(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a person's request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "fault", "this failed here; the daemon's log says why")
    }
}

impl From<GateError> for Problem {
    fn from(error: GateError) -> Self {
        use GateError as E;
        let said = error.to_string();
        match error {
            E::Unknown(_) | E::UnknownRule(_) => Self::new(StatusCode::NOT_FOUND, "missing", said),
            E::Settled { state, .. } if state == "expired" || state == "abandoned" => {
                Self::new(StatusCode::GONE, "gone", said).with("state", state)
            }
            E::Settled { state, .. } => Self::new(StatusCode::CONFLICT, "settled", said).with("state", state),
            E::Gone(_) => Self::new(StatusCode::GONE, "gone", said),
            E::Stale { current, .. } => {
                Self::new(StatusCode::CONFLICT, "stale", said).with("version", current)
            }
            E::OtherDigest { .. } | E::OutOfDate(_) | E::Store(crate::store::StoreError::Stale { .. }) => {
                Self::new(StatusCode::CONFLICT, "stale", said)
            }
            E::Again { .. } => Self::new(StatusCode::CONFLICT, "again", said),
            E::TooWeak { needs, .. } => {
                Self::new(StatusCode::FORBIDDEN, "too-weak", said).with("needs", needs.name())
            }
            E::OwnRequest(_)
            | E::NotAnApprover { .. }
            | E::SecondPerson { .. }
            | E::NoSecondPerson(_)
            | E::CrisisAlone(_) => Self::new(StatusCode::FORBIDDEN, "not-you", said),
            E::Untyped { target, .. } => {
                Self::new(StatusCode::FORBIDDEN, "untyped", said).with("typed", target)
            }
            E::Frozen { .. } => Self::new(StatusCode::CONFLICT, "frozen", said),
            E::Edit(_) | E::NotCanonical(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "edit", said),
            E::NotSimilar { .. } | E::Forgotten(_) => Self::unusable(said),
            E::Full { .. } | E::Cooling(_) => Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", said),
            E::Store(_) | E::Ledger(_) | E::Randomness(_) => Self::fault(&said),
        }
    }
}
