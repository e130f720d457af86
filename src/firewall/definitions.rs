//! What servers say of their tools, pinned when first seen.

use std::collections::HashMap;
use std::sync::Arc;

use herma_scoring::{Definition, Hints};
use parking_lot::RwLock;
use serde::Serialize;
use serde_json::Value;

use super::now;
use crate::call::{Digest, Listed};
use crate::ledger::{Entry, Ledger, Step};
use crate::store::{Pinned, Store, StoreError};

/// A tool that its server describes otherwise than at first.
#[derive(Debug, Serialize)]
pub struct Changed {
    pub server: String,
    pub tool: String,
    pub now: String,
}

/// All listed tools, by server and name.
#[derive(Debug)]
pub struct Definitions {
    store: Arc<dyn Store>,
    ledger: Ledger,
    listed: RwLock<HashMap<String, HashMap<String, Arc<Listed>>>>,
}

impl Definitions {
    pub fn new(store: Arc<dyn Store>, ledger: Ledger) -> Self {
        Self { store, ledger, listed: RwLock::default() }
    }

    pub fn get(&self, server: &str, tool: &str) -> Option<Arc<Listed>> {
        self.listed.read().get(server)?.get(tool).cloned()
    }

    /// The server and tool that an agent calls `name`, where it names the tools of its servers `mcp__server__tool` and
    /// writes `_` for all but letters and digits. `None` when there is none, or more than one.
    pub fn called(&self, name: &str) -> Option<(String, String)> {
        let plain = |name: &str| {
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect::<String>()
        };
        let rest = name.strip_prefix("mcp__")?;
        let listed = self.listed.read();
        let mut found = listed.iter().flat_map(|(server, tools)| {
            let rest = rest.strip_prefix(&plain(server)).and_then(|rest| rest.strip_prefix("__"));
            let tools = tools.keys().filter(move |tool| rest == Some(plain(tool).as_str()));
            tools.map(|tool| (server.clone(), tool.clone()))
        });
        found.next().filter(|_| found.next().is_none())
    }

    /// Takes in the `tools` of one `tools/list` answer.
    pub async fn learn(&self, server: &str, tools: &[Value]) -> Result<(), StoreError> {
        for tool in tools {
            let Some(name) = tool.get("name").and_then(Value::as_str) else { continue };
            let Ok(text) = serde_json_canonicalizer::to_string(tool) else { continue };
            let digest = Digest::of(text.as_bytes());
            if self.get(server, name).is_some_and(|listed| listed.digest == digest) {
                continue;
            }
            let pinned = self.store.put_definition(server, name, &digest.to_string(), &text).await?;
            let changed = matches!(pinned, Pinned::Changed { .. });
            if changed {
                tracing::warn!(server, tool = name, "the tool is not defined as it was when first seen");
                let entry = Entry::new(now(), Step::Definition)
                    .with("server", server)
                    .with("tool", name)
                    .with("digest", digest.to_string());
                if let Err(error) = self.ledger.record(entry) {
                    tracing::error!(%error, "a changed tool definition could not be recorded");
                }
            }
            let listed = Arc::new(Listed {
                definition: read(name, tool),
                digest,
                changed: changed.then_some(text),
                has_output_schema: tool.get("outputSchema").is_some_and(|schema| !schema.is_null()),
            });
            let mut all = self.listed.write();
            all.entry(server.to_owned()).or_default().insert(name.to_owned(), listed);
        }
        Ok(())
    }

    /// The tools that are described otherwise than at first.
    pub fn changed(&self) -> Vec<Changed> {
        let listed = self.listed.read();
        let tools = listed.iter().flat_map(|(server, tools)| tools.iter().map(move |tool| (server, tool)));
        tools
            .filter_map(|(server, (tool, listed))| {
                let now = listed.changed.clone()?;
                Some(Changed { server: server.clone(), tool: tool.clone(), now })
            })
            .collect()
    }

    /// A person has looked: the present description is the one to compare with. False when it was not changed.
    pub async fn accept(&self, server: &str, tool: &str) -> Result<bool, StoreError> {
        let Some(known) = self.get(server, tool) else { return Ok(false) };
        let Some(text) = &known.changed else { return Ok(false) };
        self.store.accept_definition(server, tool, &known.digest.to_string(), text).await?;
        let accepted = Arc::new(Listed {
            definition: known.definition.clone(),
            digest: known.digest,
            changed: None,
            has_output_schema: known.has_output_schema,
        });
        let mut all = self.listed.write();
        all.entry(server.to_owned()).or_default().insert(tool.to_owned(), accepted);
        Ok(true)
    }
}

fn read(name: &str, tool: &Value) -> Definition {
    let text = |key| tool.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let hint = |key| tool.get("annotations").and_then(|hints| hints.get(key)).and_then(Value::as_bool);
    Definition {
        name: name.to_owned(),
        description: text("description"),
        input_schema: tool.get("inputSchema").cloned().unwrap_or_default(),
        hints: Hints {
            read_only: hint("readOnlyHint"),
            destructive: hint("destructiveHint"),
            idempotent: hint("idempotentHint"),
            open_world: hint("openWorldHint"),
        },
    }
}
