//! A call with its origin: who asks, by which road, for what, with which exact bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use herma_scoring::{Definition, Kind};
use herma_warrant::approval::SignedApproval;
use herma_warrant::proof::Proof;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// The road a call comes in by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Carrier {
    #[default]
    Mcp,
    /// An agent that runs its tools itself and asks first.
    Hook,
    /// Code that the agent wrote, calling tools back.
    Sandbox,
}

impl Carrier {
    pub fn name(self) -> &'static str {
        match self {
            Self::Mcp => "mcp",
            Self::Hook => "hook",
            Self::Sandbox => "sandbox",
        }
    }
}

/// Who asks and through what.
#[derive(Debug, Clone)]
pub struct Origin {
    pub carrier: Carrier,
    /// The agent's name: from its token, or `local` for an unnamed agent on this machine.
    pub principal: Arc<str>,
    /// The agent's own session, as far as its carrier shows one.
    pub session: Arc<str>,
    /// The operator's name for the server.
    pub server: Arc<str>,
    /// Whose conversation it serves, where the carrier knows.
    pub serves: Option<Serves>,
}

/// Whom an agent works for in a session, as its own road has told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serves {
    /// Approvals and answers of one conversation are never another's.
    pub conversation: Arc<str>,
    /// Platform and sender, `telegram:4711`.
    pub user: Option<Arc<str>>,
}

/// A tool as a server listed it.
#[derive(Debug)]
pub struct Listed {
    pub definition: Definition,
    /// Over the RFC 8785 form of the whole entry, so that no part of it can change unseen.
    pub digest: Digest,
    /// It is not the definition that was first seen under this name; its canonical text, to be looked at.
    pub changed: Option<String>,
    /// Clients refuse a success without structured content for such a tool.
    pub has_output_schema: bool,
}

impl Listed {
    /// It is not the definition that was first seen under this name.
    pub fn is_changed(&self) -> bool {
        self.changed.is_some()
    }
}

/// One tool invocation, ready to be judged and, with a permit, forwarded byte for byte.
#[derive(Debug, Clone)]
pub struct Call {
    pub id: CallId,
    pub origin: Origin,
    pub kind: Kind,
    pub tool: String,
    pub arguments: Value,
    /// The arguments exactly as they stand in the frame; empty when the call has none.
    pub raw_arguments: Bytes,
    /// The bytes that leave if the call is permitted.
    pub frame: Bytes,
    pub definition: Option<Arc<Listed>>,
    /// The warrant that came with the call.
    pub shown: Option<Arc<Shown>>,
    /// What else reaches the server with it, if anything does.
    pub beside: Option<Arc<Beside>>,
}

/// What reaches a server with a call and is neither its tool nor its arguments. A server may act on it, so people see
/// it, and another of it makes another call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Beside {
    /// Of the agent's URL.
    pub query: Option<String>,
    /// Other members of `params`.
    pub params: Map<String, Value>,
    /// Headers that are none of HTTP's or MCP's own; of their values, which may be secrets, the digests.
    pub headers: BTreeMap<String, String>,
}

impl Beside {
    /// `None` where nothing is.
    #[must_use]
    pub fn if_any(self) -> Option<Arc<Self>> {
        (self != Self::default()).then(|| Arc::new(self))
    }
}

/// A warrant as a call presents it, not believed yet.
#[derive(Debug, Clone)]
pub struct Shown {
    pub stack: Arc<[u8]>,
    pub credential: Credential,
    pub approvals: Vec<SignedApproval>,
    /// The key under which later calls of a private channel are to be believed without a proof.
    pub channel_key: Option<[u8; 32]>,
    /// The run of a sandbox that shows it.
    pub run: Option<Arc<str>>,
    /// What the call that began the run was made under.
    pub parent: Option<Arc<[u8]>>,
}

/// How a call shows that the warrant is its sender's own.
#[derive(Debug, Clone)]
pub enum Credential {
    None,
    Proof(Proof),
    /// By a code under the key of its private channel, which has been checked.
    Channel,
}

/// Names a call in the ledger: the process's start in base 36 and a counter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct CallId(Arc<str>);

impl From<CallId> for Arc<str> {
    fn from(id: CallId) -> Self {
        id.0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Mints call ids that are unique over restarts.
#[derive(Debug)]
pub struct CallIds {
    prefix: String,
    next: AtomicU64,
}

impl CallIds {
    /// `seed` must differ between two runs, e.g. random bits.
    pub fn new(seed: u64) -> Self {
        Self { prefix: format!("c{:08x}", seed as u32), next: AtomicU64::new(1) }
    }

    pub fn mint(&self) -> CallId {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        CallId(format!("{}-{n}", self.prefix).into())
    }
}

/// SHA-256, shown as lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// A digest over `bytes` that cannot be guessed back from short texts without `salt`.
    pub fn salted(salt: &[u8], bytes: &[u8]) -> Self {
        Self(Sha256::new().chain_update(salt).chain_update(bytes).finalize().into())
    }
}

impl Digest {
    pub fn from_hex(text: &str) -> Option<Self> {
        data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?.try_into().ok().map(Self)
    }

    /// Enough of it to tell two apart by eye.
    pub fn short(&self) -> String {
        self.to_string().chars().take(16).collect()
    }

    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Arguments that have no canonical form cannot be named by a digest, so they cannot be approved.
#[derive(Debug, thiserror::Error)]
#[error("the arguments have no canonical form: {0}")]
pub struct NotCanonical(#[from] serde_json::Error);

impl Call {
    /// What approvals, tickets and the ledger know this call by: SHA-256 over the RFC 8785 form of everything
    /// that makes it this call and no other, the raw argument bytes included.
    pub fn digest(&self) -> Result<Digest, NotCanonical> {
        #[derive(Serialize)]
        struct Named<'a> {
            arguments: &'a Value,
            arguments_sha256: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            beside: Option<&'a Beside>,
            #[serde(skip_serializing_if = "Option::is_none")]
            conversation: Option<&'a str>,
            definition: Option<String>,
            kind: Kind,
            principal: &'a str,
            server: &'a str,
            tool: &'a str,
        }
        let named = Named {
            arguments: &self.arguments,
            arguments_sha256: Digest::of(&self.raw_arguments).to_string(),
            beside: self.beside.as_deref(),
            conversation: self.origin.serves.as_ref().map(|serves| &*serves.conversation),
            definition: self.definition.as_ref().map(|listed| listed.digest.to_string()),
            kind: self.kind,
            principal: &self.origin.principal,
            server: &self.origin.server,
            tool: &self.tool,
        };
        Ok(Digest::of(&serde_json_canonicalizer::to_vec(&named)?))
    }

    /// The same call with other arguments: in its frame nothing else changes. `None` when the frame has no place for
    /// them.
    pub fn with_arguments(&self, arguments: Value, raw_arguments: Bytes) -> Option<Self> {
        let place = self.place_of_arguments()?;
        let (before, after) = (self.frame.get(..place.start)?, self.frame.get(place.end..)?);
        let member = if place.is_empty() { b"\"arguments\":".as_slice() } else { b"" };
        let comma = if place.is_empty() { b",".as_slice() } else { b"" };
        let frame = [before, member, &raw_arguments, comma, after].concat().into();
        Some(Self { arguments, raw_arguments, frame, ..self.clone() })
    }

    /// Where the arguments stand in the frame. An empty place is where a member of that name can be put in.
    fn place_of_arguments(&self) -> Option<Range<usize>> {
        #[derive(Deserialize)]
        struct Outer<'a> {
            #[serde(borrow)]
            params: &'a RawValue,
        }
        #[derive(Deserialize)]
        struct Params<'a> {
            #[serde(borrow, default)]
            arguments: Option<&'a RawValue>,
        }
        let within = |part: &[u8]| {
            let start = (part.as_ptr() as usize).checked_sub(self.frame.as_ptr() as usize)?;
            let end = start.checked_add(part.len())?;
            (self.frame.get(start..end)? == part).then_some(start..end)
        };
        if !self.raw_arguments.is_empty()
            && let Some(place) = within(&self.raw_arguments)
        {
            return Some(place);
        }
        let outer: Outer<'_> = serde_json::from_slice(&self.frame).ok()?;
        if !outer.params.get().starts_with('{') {
            return None;
        }
        let params: Params<'_> = serde_json::from_str(outer.params.get()).ok()?;
        match params.arguments {
            Some(arguments) => within(arguments.get().as_bytes()),
            None => {
                let inside = within(outer.params.get().as_bytes())?.start.checked_add(1)?;
                Some(inside..inside)
            }
        }
    }

    /// The view the pure scorer takes.
    pub fn pure(&self) -> herma_scoring::Call<'_> {
        herma_scoring::Call {
            kind: self.kind,
            server: &self.origin.server,
            tool: &self.tool,
            arguments: &self.arguments,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(frame: &'static str, arguments: &'static str) -> Call {
        let frame = Bytes::from_static(frame.as_bytes());
        let at = memchr::memmem::find(&frame, arguments.as_bytes()).unwrap();
        let (server, id) = ("x".into(), CallIds::new(1).mint());
        Call {
            id,
            origin: Origin {
                carrier: Carrier::Mcp,
                principal: "p".into(),
                session: "s".into(),
                server,
                serves: None,
            },
            kind: Kind::Tool,
            tool: "t".into(),
            arguments: json!({}),
            raw_arguments: frame.slice(at..at + arguments.len()),
            frame,
            definition: None,
            shown: None,
            beside: None,
        }
    }

    #[test]
    fn of_a_changed_call_only_the_arguments_are_other_bytes() {
        let edited =
            |call: &Call| call.with_arguments(json!({"a": 2}), Bytes::from_static(b"{\"a\":2}")).unwrap();
        let usual = call(
            r#"{ "id":1, "params":{"name":"t", "arguments" : {"a": 1.0} ,"_meta":{}}}"#,
            r#"{"a": 1.0}"#,
        );
        let expected = r#"{ "id":1, "params":{"name":"t", "arguments" : {"a":2} ,"_meta":{}}}"#;
        assert_eq!(edited(&usual).frame, expected);
        // The frame was rewritten since the arguments were cut out of it.
        let moved = Call { raw_arguments: Bytes::from_static(b"{\"a\": 1.0}"), ..usual.clone() };
        assert_eq!(edited(&moved).frame, expected);
        let without = call(r#"{"params":{ "name":"t"},"id":"x"}"#, "");
        assert_eq!(edited(&without).frame, r#"{"params":{"arguments":{"a":2}, "name":"t"},"id":"x"}"#);
        assert!(call(r#"{"params":[1],"id":"x"}"#, "").with_arguments(json!({}), Bytes::new()).is_none());
    }
}
