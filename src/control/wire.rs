//! Messages on the control socket: two lengths, a JSON header, raw bytes.

use std::io::{self, Read, Write};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::records::AskRecords;
use crate::config::Denial;
use crate::firewall::Similar;
use crate::gate::{Decision, Frozen, Seen};

/// Changes when the two sides would no longer understand each other.
pub const VERSION: u32 = 3;
const HEADER_LIMIT: usize = 4 << 20;
const PAYLOAD_LIMIT: usize = 1 << 30;

/// The first message of every connection.
#[derive(Debug, Serialize, Deserialize)]
pub struct Hello {
    pub version: u32,
    pub role: Role,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A person's command.
    Operator,
    /// A wrapped server and its client.
    Wrap(Wrapping),
    /// An agent that asks before it runs a tool of its own.
    Hook(super::hook::Hooking),
    /// A launcher of code that an agent wrote.
    Sandbox(Script),
}

/// What a wrapper says of its server.
#[derive(Debug, Serialize, Deserialize)]
pub struct Wrapping {
    pub server: String,
    pub cwd: Option<String>,
    pub home: Option<String>,
    /// The server works on the files of this machine.
    pub shares_files: bool,
    pub denial: Denial,
    pub hold_budget_ms: Option<u64>,
}

/// What a launcher says of the code it is to run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Script {
    /// Over the script's text; empty when it could not be read.
    pub sha256: String,
    pub cwd: Option<String>,
    pub home: Option<String>,
    pub isolated: bool,
}

/// From a launcher to the daemon.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "say")]
pub enum FromRun {
    /// A line of the script; the payload.
    Line { seq: u64 },
    /// The agent has answered; the payload is the answer if it was asked for.
    Settled { seq: u64, answered: bool, is_error: bool, bytes: u64, took_us: u64 },
}

/// From the daemon to a launcher.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum ToRun {
    /// What the script is to send with every line.
    Granted { run: String, warrant: String, tools: Vec<String> },
    /// The script gets no warrant: nothing it asks for will pass.
    Ungranted { run: String, why: String },
    /// The payload is what the agent is asked, but for its token; `told` is for the script to read with the answer.
    Forward { seq: u64, keep: bool, told: Option<String> },
    /// The payload is the answer for the script.
    Reply { seq: u64 },
}

/// What a command asks.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ask")]
pub enum Ask {
    Status,
    /// Open holds, or the latest of all states.
    Holds {
        all: bool,
    },
    Hold {
        id: String,
    },
    Decide {
        id: String,
        digest: Option<String>,
        #[serde(default)]
        version: Option<u64>,
        /// What was typed, where the hold asks for it.
        #[serde(default)]
        typed: Option<String>,
        #[serde(flatten)]
        decision: Decision,
    },
    /// The raw arguments of a hold, for whoever is to change them.
    Arguments {
        id: String,
    },
    /// The rule that "approve similar" would make, and what it would have answered.
    Similar {
        id: String,
        wish: Similar,
    },
    ApproveSimilar {
        id: String,
        seen: Seen,
        wish: Similar,
    },
    /// The rules that people have made from holds.
    Standing,
    Withdraw {
        rule: String,
    },
    Freeze {
        what: Frozen,
        reason: String,
    },
    Thaw {
        what: Frozen,
        reason: String,
    },
    Figures,
    /// Every change from now on, one message each.
    Watch,
    Review(super::review::ReviewAsk),
    /// Sessions in which somebody is in crisis.
    Latches,
    Clear {
        key: String,
        reason: String,
    },
    /// Tools that are described otherwise than at first.
    ChangedTools,
    AcceptTool {
        server: String,
        tool: String,
    },
    /// Warrants that stand over somebody, and what is revoked.
    Warrants,
    /// Puts a warrant over `party`: `server:NAME`, `agent:NAME` or `session:ID`. The payload is the warrant or stack.
    AssignWarrant {
        party: String,
    },
    UnassignWarrant {
        party: String,
    },
    /// A warrant's id, a key in hex, `agent:NAME`, or `all` that was issued up to now.
    RevokeWarrant {
        what: String,
        reason: String,
    },
    /// A code that makes a browser an approver's: of this name, or of whatever name is typed there.
    Pair {
        name: Option<String>,
    },
    Approvers,
    RemoveApprover {
        name: String,
    },
    /// The record, and messages to people.
    Records(AskRecords),
    Stop,
}

/// What the daemon answers a command.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    Ok(serde_json::Value),
    Error(String),
}

/// Which side of a wrapped server a frame comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Client,
    Server,
}

/// From a wrapped server to the daemon. The frame is the payload.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromWrap {
    /// A frame that waits for an answer.
    /// `twice`: a request of the client under this id is running.
    Frame { seq: u64, side: Side, twice: bool },
    /// A frame that has passed and says something about the session.
    Passed,
    /// The answer to `tools/list`.
    Tools,
    /// The end of a forwarded call; the payload is the answer if it was asked for.
    Settled { seq: u64, answered: bool, is_error: bool, bytes: u64, took_us: u64 },
}

/// From the daemon to a wrapped server.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToWrap {
    Welcome {
        session: String,
    },
    /// Let it through. A payload replaces the frame; `keep` asks for the answer; `swallow` says that the client
    /// must not see it, `amend` that it gets it from the daemon.
    Forward {
        seq: u64,
        keep: bool,
        swallow: bool,
        amend: bool,
    },
    /// Later frames need not wait for this one.
    Held {
        seq: u64,
    },
    /// Do not let it through; the payload is the answer.
    Reply {
        seq: u64,
    },
    /// Do not let it through and say nothing.
    Drop {
        seq: u64,
    },
    /// A frame for the client.
    Say,
    /// A call of Herma's own, the payload; its answer comes back as the end of this call and is not for the client.
    Call {
        seq: u64,
    },
}

/// A connection that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("the control connection ended: {0}")]
    Io(#[from] io::Error),
    #[error("a message on the control socket cannot be read: {0}")]
    Message(#[from] serde_json::Error),
    #[error("a message on the control socket is longer than allowed")]
    TooLong,
}

/// One message, ready to be written.
pub fn encode(header: &impl Serialize, payload: &[u8]) -> Result<Vec<u8>, WireError> {
    let header = serde_json::to_vec(header)?;
    let lengths = (u32::try_from(header.len()), u32::try_from(payload.len()));
    let (Ok(header_len), Ok(payload_len)) = lengths else { return Err(WireError::TooLong) };
    let mut message = Vec::with_capacity(header.len().saturating_add(payload.len()).saturating_add(8));
    message.extend_from_slice(&header_len.to_le_bytes());
    message.extend_from_slice(&payload_len.to_le_bytes());
    message.extend_from_slice(&header);
    message.extend_from_slice(payload);
    Ok(message)
}

pub fn write(to: &mut impl Write, header: &impl Serialize, payload: &[u8]) -> Result<(), WireError> {
    Ok(to.write_all(&encode(header, payload)?)?)
}

pub fn read<T: DeserializeOwned>(from: &mut impl Read) -> Result<(T, Bytes), WireError> {
    let mut prefix = [0u8; 8];
    from.read_exact(&mut prefix)?;
    let (header, payload) = lengths(prefix)?;
    let mut bytes = vec![0u8; header.saturating_add(payload)];
    from.read_exact(&mut bytes)?;
    decode(bytes, header)
}

pub async fn read_async<T: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
) -> Result<(T, Bytes), WireError> {
    let mut prefix = [0u8; 8];
    from.read_exact(&mut prefix).await?;
    let (header, payload) = lengths(prefix)?;
    let mut bytes = vec![0u8; header.saturating_add(payload)];
    from.read_exact(&mut bytes).await?;
    decode(bytes, header)
}

fn lengths(prefix: [u8; 8]) -> Result<(usize, usize), WireError> {
    let [a, b, c, d, e, f, g, h] = prefix;
    let header = u32::from_le_bytes([a, b, c, d]) as usize;
    let payload = u32::from_le_bytes([e, f, g, h]) as usize;
    if header > HEADER_LIMIT || payload > PAYLOAD_LIMIT {
        return Err(WireError::TooLong);
    }
    Ok((header, payload))
}

fn decode<T: DeserializeOwned>(bytes: Vec<u8>, header: usize) -> Result<(T, Bytes), WireError> {
    let mut bytes = Bytes::from(bytes);
    let header = bytes.split_to(header.min(bytes.len()));
    Ok((serde_json::from_slice(&header)?, bytes))
}
