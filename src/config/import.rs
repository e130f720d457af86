//! Turns another client's `mcpServers` block into `[[server]]` entries.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Why a block cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("this is neither JSON nor YAML that can be read: {0}")]
    Unreadable(String),
    #[error("no `mcpServers`, `mcp_servers` or `servers` block was found")]
    NoServers,
    #[error("no `security` block and no list of allowed people was found")]
    NoPolicy,
    #[error("server `{0}` has neither `command` nor `url`")]
    Neither(String),
    #[error("cannot write TOML: {0}")]
    Unwritable(#[from] toml::ser::Error),
}

#[derive(Deserialize)]
struct Foreign {
    #[serde(default, alias = "mcp_servers", alias = "servers", rename = "mcpServers")]
    servers: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    command: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    cwd: Option<String>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct File {
    server: Vec<Server>,
}

#[derive(Serialize)]
struct Server {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    args: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cwd: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    env: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
}

/// Reads JSON or YAML (Hermes, Claude Code, Cursor, VS Code shapes) and gives the TOML to put into `herma.toml`.
pub fn import(text: &str) -> Result<String, ImportError> {
    let foreign: Foreign = match serde_json::from_str(text) {
        Ok(foreign) => foreign,
        Err(json) if text.trim_start().starts_with('{') => {
            return Err(ImportError::Unreadable(json.to_string()));
        }
        Err(_) => serde_saphyr::from_str(text).map_err(|error| ImportError::Unreadable(error.to_string()))?,
    };
    if foreign.servers.is_empty() {
        return Err(ImportError::NoServers);
    }
    let server = foreign
        .servers
        .into_iter()
        .map(|(name, entry)| {
            if entry.command.is_none() && entry.url.is_none() {
                return Err(ImportError::Neither(name));
            }
            Ok(Server {
                name: name
                    .chars()
                    .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' })
                    .collect(),
                command: entry.command,
                args: entry.args,
                cwd: entry.cwd,
                url: entry.url,
                env: entry.env,
                headers: entry.headers,
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(toml::to_string_pretty(&File { server })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_block_and_a_yaml_block_become_the_same_servers() {
        let json =
            r#"{"mcpServers": {"my files": {"command": "npx", "args": ["-y", "x"], "env": {"K": "v"}}}}"#;
        let yaml = "model: x\nmcp_servers:\n  my files:\n    command: npx\n    args: [\"-y\", x]\n    env: {K: v}\n    timeout: 900\n";
        let toml = import(json).unwrap();
        assert_eq!(toml, import(yaml).unwrap());
        let settings = crate::config::resolve::resolve(std::path::Path::new("herma.toml"), &toml).unwrap();
        assert_eq!(settings.servers.first().map(|server| server.name.as_str()), Some("my-files"));
    }

    #[test]
    fn a_block_without_servers_is_refused_in_words() {
        assert!(matches!(import("{}"), Err(ImportError::NoServers)));
        assert!(matches!(import("{"), Err(ImportError::Unreadable(_))));
        assert!(matches!(import(r#"{"mcpServers":{"a":{}}}"#), Err(ImportError::Neither(_))));
    }
}
