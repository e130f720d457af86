//! A question of an agent, from its bytes to leave or refusal.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use herma_scoring::Kind;
use herma_scoring::json::{self, Limits};
use serde_json::Value;

use super::Desk;
use crate::call::{Call, Origin};
use crate::carriers::mcp::told;
use crate::firewall::session::Session;
use crate::firewall::{Admission, Permit, Waits};

/// The server under which an agent's own tools are judged.
pub const NATIVE: &str = "hermes";
/// What an answer to a person is called where tools have names.
const REPLY: &str = "final_reply";
/// Arguments longer than this are not read.
const LONGEST: usize = 16 << 20;
/// No client is waited for longer than this, whatever it says.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(1700);

/// How a question ends.
#[derive(Debug)]
pub enum Asked {
    Allowed {
        permit: Box<Permit>,
        call: Box<Call>,
        /// It goes on to a server behind this proxy, which settles it.
        travels: bool,
    },
    Refused {
        message: String,
        code: &'static str,
    },
}

impl Asked {
    fn refused(what: impl Into<String>) -> Self {
        Self::Refused { message: format!("REFUSED: {}", what.into()), code: "fault" }
    }
}

impl Desk {
    /// Steps 1 to 6 for a tool that the agent runs itself.
    pub async fn ask(
        self: &Arc<Self>,
        session: &Arc<Session>,
        tool: &str,
        arguments: Bytes,
        tenuo: Option<&Value>,
        client: &mut impl Waits,
    ) -> Asked {
        let shown = tenuo.map(|meta| told(meta, tool, &arguments).map_err(|error| error.to_string()));
        let received = shown.transpose().and_then(|shown| {
            let call = self.receive(session, tool, arguments)?;
            Ok(Call { shown: shown.map(Arc::new), ..call })
        });
        let call = match received {
            Ok(call) => call,
            Err(why) => {
                self.firewall.record_refused(&session.origin(), tool, &why);
                return Asked::refused(why);
            }
        };
        if session.has_ended() {
            let why = "the session has ended, and its warrant with it";
            self.firewall.record_refused(&call.origin, tool, why);
            return Asked::refused(why);
        }
        let travels = &*call.origin.server != NATIVE;
        let stack = call.shown.as_ref().map(|shown| Arc::clone(&shown.stack));
        let asked = self.admit(call, session, travels, client).await;
        if matches!(asked, Asked::Allowed { .. }) {
            session.shows(tool, stack);
        }
        asked
    }

    /// Whether a script's call was let through on its way here: then it has its line and its leave.
    pub(super) fn has_passed(&self, session: &Session, tool: &str, arguments: &[u8]) -> bool {
        serde_json::from_slice(arguments)
            .is_ok_and(|arguments: Value| self.firewall.runs.is_passing(session, tool, &arguments))
    }

    /// The same for an answer to whoever the session speaks with.
    pub async fn ask_reply(
        self: &Arc<Self>,
        session: &Arc<Session>,
        text: &str,
        client: &mut impl Waits,
    ) -> Asked {
        let to = session.serves().map(|serves| serves.conversation.to_string());
        let arguments = serde_json::json!({ "text": text, "to": to });
        match self.receive(session, REPLY, arguments.to_string().into()) {
            Ok(call) => self.admit(call, session, false, client).await,
            Err(why) => Asked::refused(why),
        }
    }

    async fn admit(
        self: &Arc<Self>,
        call: Call,
        session: &Arc<Session>,
        travels: bool,
        client: &mut impl Waits,
    ) -> Asked {
        match self.firewall.admit(call.clone(), session, client).await {
            Ok(Admission::Permit(permit)) => Asked::Allowed { permit, call: Box::new(call), travels },
            Ok(Admission::Answered(answer)) => Asked::Refused {
                message: format!(
                    "ANSWERED: the identical call that was held has run; it was not run again. Its result: {}",
                    String::from_utf8_lossy(&answer.response)
                ),
                code: "answered",
            },
            Err(refusal) => Asked::Refused { message: refusal.to_string(), code: refusal.code() },
        }
    }

    /// Step 1: what the agent says it will run, read strictly.
    fn receive(&self, session: &Session, tool: &str, raw: Bytes) -> Result<Call, String> {
        let limits = Limits { size: LONGEST, ..Limits::default() };
        let arguments = json::read(&raw, &limits)
            .map_err(|error| format!("the arguments are not JSON that every parser reads alike: {error}"))?;
        if !arguments.is_object() || tool.is_empty() {
            return Err("a call has a tool's name and an object of arguments".to_owned());
        }
        let elsewhere = self.firewall.definitions.called(tool);
        let (server, tool) = match elsewhere {
            Some((server, tool)) => (server.into(), tool),
            None => (Arc::from(NATIVE), tool.to_owned()),
        };
        let frame = frame(&tool, &raw).ok_or("the arguments cannot be written down again")?;
        Ok(Call {
            id: self.firewall.calls.mint(),
            definition: self.firewall.definitions.get(&server, &tool),
            origin: Origin { server, ..session.origin() },
            kind: Kind::Tool,
            tool,
            arguments,
            raw_arguments: raw,
            frame,
            shown: None,
            beside: None,
        })
    }
}

/// The call as MCP would carry it, so that whatever changes its arguments need know one form only.
fn frame(tool: &str, arguments: &[u8]) -> Option<Bytes> {
    let arguments = std::str::from_utf8(arguments).ok()?;
    let tool = Value::from(tool);
    let frame = format!(
        r#"{{"jsonrpc":"2.0","id":0,"method":"tools/call","params":{{"name":{tool},"arguments":{arguments}}}}}"#
    );
    Some(frame.into())
}
