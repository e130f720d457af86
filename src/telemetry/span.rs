//! One call as a span, with its wait for a person as a child.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use herma_scoring::Kind;

use super::context;
use super::otlp::{Attribute, Sample};
use super::traces::Tracer;
use crate::call::Call;

/// The span of a call; empty when nobody asks for traces. It is sent when it is dropped.
#[derive(Debug)]
pub struct Span(Option<Box<Draft>>);

#[derive(Debug)]
struct Draft {
    tracer: Arc<Tracer>,
    sample: Sample,
    wait: Option<Sample>,
    /// The caller was in no trace: what we add is the first of it.
    is_first: bool,
    ended: bool,
}

/// What steps 2 to 4 say of a call.
#[derive(Debug, Clone, Copy)]
pub struct Routed<'a> {
    pub route: &'a str,
    pub rule: &'a str,
    pub class: &'a str,
    pub grant: &'a str,
    pub risk_score: f64,
    pub confidence: f64,
    pub crisis_sensitive: bool,
}

/// How a call ended, for those who watch.
#[derive(Debug, Clone, Copy)]
pub enum End<'a> {
    Ran,
    /// The tool answered with an error.
    ToolError,
    /// It was let out, and no answer came back.
    Failed,
    /// It did not run; the stable word says why.
    Refused(&'a str),
}

impl Span {
    pub(super) fn none() -> Self {
        Self(None)
    }

    pub(super) fn begin(tracer: &Arc<Tracer>, call: &Call, private: bool) -> Self {
        let envelope = context::read(&call.frame);
        if envelope.context.as_ref().is_some_and(|context| !context.sampled) {
            return Self(None);
        }
        let Some((own_trace, id)) = random() else { return Self(None) };
        let (trace, parent, state) = match &envelope.context {
            Some(context) => (context.trace, Some(context.parent), context.state.clone()),
            None => (own_trace, None, String::new()),
        };
        let method = method(call.kind);
        let name =
            if call.kind == Kind::Tool { format!("{method} {}", call.tool) } else { method.to_owned() };
        let mut sample = Sample::new(trace, id, parent, name, SystemTime::now());
        sample.state = state;
        sample.add("mcp.method.name", method);
        if call.kind == Kind::Tool {
            sample.add("gen_ai.operation.name", "execute_tool");
            sample.add("gen_ai.tool.name", call.tool.as_str());
        }
        sample.add("mcp.session.id", &*call.origin.session);
        sample.add("network.transport", if private { "pipe" } else { "tcp" });
        if let Some(id) = envelope.id {
            sample.add("jsonrpc.request.id", id);
        }
        if let Some(version) = envelope.protocol {
            sample.add("mcp.protocol.version", version);
        }
        sample.add("herma.call.id", call.id.to_string());
        sample.add("herma.carrier", call.origin.carrier.name());
        sample.add("herma.server", &*call.origin.server);
        sample.add("herma.agent", &*call.origin.principal);
        let is_first = parent.is_none();
        Self(Some(Box::new(Draft { tracer: Arc::clone(tracer), sample, wait: None, is_first, ended: false })))
    }

    pub fn routed(&mut self, routed: Routed<'_>) {
        let Some(draft) = &mut self.0 else { return };
        draft.sample.add("herma.decision", routed.route);
        draft.sample.add("herma.rule", routed.rule);
        draft.sample.add("herma.class", routed.class);
        draft.sample.add("herma.grant", routed.grant);
        draft.sample.add("herma.risk.score", Attribute::Number(routed.risk_score));
        draft.sample.add("herma.risk.confidence", Attribute::Number(routed.confidence));
        draft.sample.add("herma.crisis_sensitive", Attribute::Flag(routed.crisis_sensitive));
    }

    /// From here on the call waits for a person.
    pub fn wait(&mut self, hold: &str) {
        let Some(draft) = &mut self.0 else { return };
        let Some((_, id)) = random() else { return };
        draft.sample.add("herma.hold.id", hold);
        let parent = Some(draft.sample.id);
        let mut wait = Sample::new(draft.sample.trace, id, parent, "hold".to_owned(), SystemTime::now());
        wait.is_internal = true;
        wait.add("herma.hold.id", hold);
        // A person's change can make the call another question.
        if let Some(before) = draft.wait.replace(wait) {
            draft.tracer.send(before);
        }
    }

    /// The wait is over, with this word.
    pub fn waited(&mut self, verdict: &str) {
        if let Some(wait) = self.0.as_mut().and_then(|draft| draft.wait.as_mut()) {
            wait.add("herma.verdict", verdict);
            wait.end = SystemTime::now();
        }
    }

    /// The bytes that leave: with our trace in it where the file asks for that and the caller sent none.
    pub fn stamp(&self, frame: Bytes) -> Bytes {
        let Some(draft) = &self.0 else { return frame };
        if !draft.tracer.propagates || !draft.is_first {
            return frame;
        }
        let traceparent = context::written(&draft.sample.trace, &draft.sample.id);
        context::added(&frame, &traceparent).unwrap_or(frame)
    }

    /// The call has an end. `took` is the time since it was let out, when somebody measured it.
    pub fn end(&mut self, end: End<'_>, took: Option<Duration>) {
        let Some(draft) = &mut self.0 else { return };
        let error = match end {
            End::Ran => None,
            End::ToolError => Some("tool_error"),
            End::Failed => Some("upstream_error"),
            End::Refused(code) => Some(code),
        };
        if let Some(error) = error {
            draft.sample.add("error.type", error);
            draft.sample.is_error = true;
        }
        if let Some(took) = took {
            draft.sample.add("herma.upstream.seconds", Attribute::Number(took.as_secs_f64()));
        }
        draft.ended = true;
    }

    /// Goes on elsewhere; what is left here is empty.
    #[must_use]
    pub fn take(&mut self) -> Self {
        Self(self.0.take())
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let Some(draft) = self.0.take() else { return };
        let Draft { tracer, mut sample, wait, ended, .. } = *draft;
        sample.end = SystemTime::now();
        if !ended {
            sample.add("error.type", "unknown");
            sample.is_error = true;
        }
        if let Some(mut wait) = wait {
            if wait.end < wait.start {
                wait.end = sample.end;
            }
            tracer.send(wait);
        }
        tracer.send(sample);
    }
}

fn method(kind: Kind) -> &'static str {
    match kind {
        Kind::Tool => "tools/call",
        Kind::Resource => "resources/read",
        Kind::Prompt => "prompts/get",
        Kind::Sampling => "sampling/createMessage",
        Kind::Elicitation => "elicitation/create",
    }
}

fn random() -> Option<([u8; 16], [u8; 8])> {
    let mut ids = ([0; 16], [0; 8]);
    getrandom::fill(&mut ids.0).ok()?;
    getrandom::fill(&mut ids.1).ok()?;
    Some(ids)
}
