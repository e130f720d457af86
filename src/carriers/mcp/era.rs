//! Legacy and modern MCP, told apart per request.

use serde::Deserialize;
use serde_json::Value;

/// Before 2026-07-28 there are handshakes, sessions and requests from the server; since then none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Era {
    #[default]
    Legacy,
    Modern,
}

/// What a modern request says of its client in `_meta`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    pub era: Era,
    pub client_name: String,
    pub client_version: String,
    pub elicits_forms: bool,
    pub runs_tasks: bool,
}

const PREFIX: &str = "io.modelcontextprotocol/";

impl Declared {
    /// Reads `params._meta` of a request.
    pub fn read(params: &Value) -> Self {
        let meta = params.get("_meta");
        let entry = |name: &str| meta.and_then(|meta| meta.get(format!("{PREFIX}{name}")));
        let Some(version) = entry("protocolVersion").and_then(Value::as_str) else { return Self::default() };
        let text = |name| {
            let info = entry("clientInfo").and_then(|info| info.get(name)).and_then(Value::as_str);
            info.unwrap_or_default().to_owned()
        };
        let capabilities = entry("clientCapabilities");
        let capability = |name| capabilities.and_then(|all| all.get(name));
        Self {
            era: if version >= "2026-07-28" { Era::Modern } else { Era::Legacy },
            client_name: text("name"),
            client_version: text("version"),
            elicits_forms: capability("elicitation").is_some_and(elicits_forms),
            runs_tasks: capability("extensions")
                .is_some_and(|extensions| extensions.get("io.modelcontextprotocol/tasks").is_some()),
        }
    }
}

/// `elicitation: {}` and `{form: {}}` both mean forms; `{url: {}}` alone does not.
pub fn elicits_forms(capability: &Value) -> bool {
    capability.as_object().is_some_and(|modes| modes.is_empty() || modes.contains_key("form"))
}

/// The parts of a legacy `initialize` that matter here.
#[derive(Debug, Default, Deserialize)]
pub struct Initialize {
    #[serde(rename = "clientInfo", default)]
    pub client: Info,
    #[serde(default)]
    pub capabilities: Value,
}

#[derive(Debug, Default, Deserialize)]
pub struct Info {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub version: String,
}
