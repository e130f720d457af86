//! The pure call: what is to be done, without who asks or how it came in.

use serde::Serialize;
use serde_json::Value;

/// What sort of request this is. Tools act; the others read, or spend a person's tokens or attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `tools/call`
    Tool,
    /// `resources/read`
    Resource,
    /// `prompts/get`
    Prompt,
    /// `sampling/createMessage`: the server asks the client's model
    Sampling,
    /// `elicitation/create`: the server asks the client's user
    Elicitation,
}

/// One invocation, borrowed from the frame it came in.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub kind: Kind,
    /// The operator's name for the server, or the agent's name for native tools (`hermes`).
    pub server: &'a str,
    /// Tool name; for a resource its URI, for a prompt its name, else the method.
    pub tool: &'a str,
    /// The arguments, read strictly ([`crate::json`]); `Null` when the call has none.
    pub arguments: &'a Value,
}

/// What a server says of a tool in `tools/list`. Hostile text: it may raise risk, never lower it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Definition {
    pub name: String,
    pub description: String,
    pub input_schema: Value,
    pub hints: Hints,
}

/// MCP tool annotations; absent is not the same as false.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hints {
    pub read_only: Option<bool>,
    pub destructive: Option<bool>,
    pub idempotent: Option<bool>,
    pub open_world: Option<bool>,
}

/// What is known around the call.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'a> {
    /// The tool's definition as last listed, if it was listed.
    pub definition: Option<&'a Definition>,
    /// The definition is not the one first seen: certainty drops.
    pub definition_changed: bool,
    /// The operator vouches for this server's annotations.
    pub trusted_server: bool,
    /// Working directory and home of the agent, when known; paths are judged lexically.
    pub cwd: Option<&'a str>,
    pub home: Option<&'a str>,
    /// A person in this session or conversation is in crisis: everything outbound waits.
    pub crisis_active: bool,
    /// Addresses and domains (`example.org`) the operator expects messages to go to; unknown when absent.
    pub known_recipients: Option<&'a [String]>,
}
