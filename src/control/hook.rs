//! Messages of agents that run their tools themselves and ask before they do.
//!
//! One connection is one question. That of a call stays open while the call runs: its end says how the call ended,
//! and an agent that dies has said that too.

use serde::{Deserialize, Serialize};

/// What an agent says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hooking {
    /// Its kind: `hermes`.
    pub agent: String,
    /// The token of an agent with a name of its own.
    #[serde(default)]
    pub token: Option<String>,
    #[serde(default)]
    pub cwd: Option<String>,
    #[serde(default)]
    pub home: Option<String>,
}

/// Who asks: ids are routing handles and open nothing.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Asker {
    pub session: String,
    /// The agent's id of the call.
    pub call: String,
    pub platform: String,
    /// Where the answer goes: of a job, there may be several.
    pub chats: Vec<String>,
    pub sender: Option<String>,
    /// The session that handed it its work.
    pub parent: Option<String>,
    /// The tools of such a session, where the agent knows them.
    pub tools: Option<Vec<String>>,
    /// A script of this session asks.
    pub nested: bool,
    /// How long it can wait for a person.
    pub patience_ms: u64,
}

/// From an agent to the daemon.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "say")]
pub enum FromHook {
    /// Wants a mark for a call that goes on to a server behind this proxy.
    Mark { session: String, call: String },
    /// May this run? The payload is the arguments. `tenuo` is a warrant that comes with the call, as in MCP's `_meta`.
    Ask {
        tool: String,
        #[serde(default)]
        tenuo: Option<serde_json::Value>,
        #[serde(flatten)]
        asker: Asker,
    },
    /// It has ended; the payload is what came of it. On the connection that asked.
    Settle { ok: bool, took_us: u64, bytes: u64 },
    /// Is anybody in crisis there? The payload is what somebody said just now, if anybody did.
    Hear {
        #[serde(flatten)]
        asker: Asker,
    },
    /// May this be answered? The payload is the answer to the person.
    Reply {
        #[serde(flatten)]
        asker: Asker,
    },
    /// A child has done its part of the work: its session, and what it was allowed, are over.
    Stop { session: String },
    /// The agent runs code under this digest, which may ask for tools itself.
    Script {
        session: String,
        sha256: String,
        /// The tools of the session, where the agent knows them: the code has no others.
        #[serde(default)]
        tools: Option<Vec<String>>,
    },
    /// Nobody waits for this session any more.
    Finalize { session: String },
}

/// From the daemon to an agent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum ToHook {
    Marked {
        mark: serde_json::Value,
    },
    /// A person is asked; said again while that lasts.
    Held {
        hold: String,
    },
    /// It may run, once. `edited`: with the payload for its arguments, or its text. `keep`: its result is wanted.
    /// `told`: what the agent must hear with the result.
    Allow {
        edited: bool,
        keep: bool,
        told: Option<String>,
    },
    Block {
        message: String,
        code: String,
    },
    /// Nothing may be answered, or only the payload.
    Silence {
        message: String,
    },
    Noted {
        crisis: bool,
    },
}
