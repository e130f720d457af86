//! `[sandbox]`: whether sandboxes elsewhere may ask over HTTP.

use serde::Deserialize;

/// As typed, and as meant.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sandbox {
    /// `POST /sandbox/v1/call` is answered on the agents' listener.
    pub http: bool,
}
