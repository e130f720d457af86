//! What became of a forwarded call.

use bytes::Bytes;

use crate::telemetry::End;

/// The end of a forwarded call, as far as the carrier saw it.
#[derive(Debug)]
pub enum Outcome {
    /// An answer came back. `response` is kept only where the settlement asks for it.
    Answered { is_error: bool, bytes: u64, response: Option<Bytes>, delivered: bool },
    /// The caller runs it itself, or a request of the server was passed on to the client: how it ends is their affair.
    Passed,
    /// The upstream failed before it answered.
    Failed,
    /// Nobody saw the end.
    Unknown,
}

impl Outcome {
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Answered { is_error: false, .. } => "ok",
            Self::Answered { is_error: true, .. } => "error",
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }

    /// For those who watch; `None` when nobody saw the end.
    pub(super) fn end(&self) -> Option<End<'static>> {
        match self {
            Self::Answered { is_error: false, .. } | Self::Passed => Some(End::Ran),
            Self::Answered { is_error: true, .. } => Some(End::ToolError),
            Self::Failed => Some(End::Failed),
            Self::Unknown => None,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Answered { bytes, .. } => *bytes,
            Self::Passed | Self::Failed | Self::Unknown => 0,
        }
    }

    /// The server says that the call failed. One that was cut off may still do its work.
    pub(super) fn is_failure(&self) -> bool {
        matches!(self, Self::Answered { is_error: true, .. })
    }

    pub(super) fn said(&self) -> Option<&[u8]> {
        match self {
            Self::Answered { response, .. } => response.as_deref(),
            _ => None,
        }
    }

    /// The caller has what it will get: from here on the same call is a new question.
    pub(super) fn delivered(&self) -> bool {
        matches!(self, Self::Answered { delivered: true, .. } | Self::Passed)
    }

    pub(super) fn response(self) -> Option<(Bytes, bool)> {
        match self {
            Self::Answered { response: Some(response), is_error, .. } => Some((response, is_error)),
            _ => None,
        }
    }
}
