//! The agent of the demo: an MCP client that starts its server behind `herma wrap`, as any client would.

use anyhow::Context;
use rmcp::ServiceExt;
use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ClientConfig, ContentBlock, Implementation, JsonObject,
};
use rmcp::service::{RoleClient, RunningService};
use rmcp::transport::TokioChildProcess;
use serde_json::Value;
use tokio::process::Command;

use super::place::Place;

pub(super) const SERVER: &str = "demo";

pub(super) struct Agent {
    service: RunningService<RoleClient, ClientConfig>,
}

/// What the agent is told of one call.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) is_error: bool,
    /// What Herma did with it, when it did not let it run.
    pub(super) decision: Option<String>,
}

impl Agent {
    pub(super) async fn start(place: &Place) -> anyhow::Result<Self> {
        let herma = std::env::current_exe().context("cannot find herma itself")?;
        let mut command = Command::new(&herma);
        command
            .arg("--data-dir")
            .arg(place.data())
            .args(["wrap", "--no-start", "--name", SERVER, "--"])
            .arg(&herma)
            .arg("demo-server")
            .arg(place.project())
            .current_dir(place.project());
        let (transport, _) = TokioChildProcess::builder(command).stderr(place.log("wrap.log")?).spawn()?;
        let info = Implementation::new("herma-demo-agent", env!("CARGO_PKG_VERSION"));
        let service = ClientConfig::new(ClientCapabilities::default(), info)
            .serve(transport)
            .await
            .context("the agent cannot reach its server")?;
        Ok(Self { service })
    }

    pub(super) async fn tools(&self) -> anyhow::Result<Vec<String>> {
        let tools = self.service.list_all_tools().await?;
        Ok(tools.into_iter().map(|tool| tool.name.into_owned()).collect())
    }

    /// Asks until there is an answer: a call that waits for longer than a client may be kept is told to ask
    /// again, exactly as before.
    pub(super) async fn call(&self, tool: &'static str, arguments: &JsonObject) -> anyhow::Result<Answer> {
        loop {
            let request = CallToolRequestParams::new(tool).with_arguments(arguments.clone());
            let result = self.service.call_tool(request).await?;
            let text: Vec<&str> = result
                .content
                .iter()
                .filter_map(ContentBlock::as_text)
                .map(|text| text.text.as_str())
                .collect();
            let decision = result
                .meta
                .as_ref()
                .and_then(|meta| meta.get("herma/decision")?.get("decision")?.as_str())
                .map(str::to_owned);
            if decision.as_deref() == Some("pending") {
                continue;
            }
            return Ok(Answer { text: text.join("\n"), is_error: result.is_error == Some(true), decision });
        }
    }

    pub(super) async fn leave(self) -> anyhow::Result<()> {
        self.service.cancel().await?;
        Ok(())
    }
}

/// The members of an object literal.
pub(super) fn arguments(value: Value) -> JsonObject {
    match value {
        Value::Object(fields) => fields,
        _ => JsonObject::new(),
    }
}
