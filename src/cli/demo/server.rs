//! `herma demo-server`: a small MCP server whose tools really do what they say, inside one directory.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use anyhow::{Context, bail};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, JsonObject,
    ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt};
use serde_json::{Value, json};

/// What `send_message` writes to instead of a network.
pub const OUTBOX: &str = "outbox.jsonl";
/// What `deploy` leaves behind.
pub const DEPLOYED: &str = "deployed.txt";

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The one directory the tools work in
    dir: PathBuf,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let dir =
        fs::canonicalize(&args.dir).with_context(|| format!("cannot work in {}", args.dir.display()))?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let server = DemoServer { dir }.serve(rmcp::transport::stdio()).await?;
        server.waiting().await?;
        Ok(ExitCode::SUCCESS)
    })
}

struct DemoServer {
    dir: PathBuf,
}

impl ServerHandler for DemoServer {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("herma-demo", env!("CARGO_PKG_VERSION")))
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let result = match self.call(&request.name, &arguments) {
            Ok(text) => CallToolResult::success(vec![ContentBlock::text(text)]),
            Err(error) => CallToolResult::error(vec![ContentBlock::text(format!("{error:#}"))]),
        };
        Ok(result.into())
    }
}

fn tools() -> Vec<Tool> {
    let tool = |name: &'static str, description: &'static str, fields: Value| {
        let required: Vec<&String> =
            fields.as_object().map(|fields| fields.keys().collect()).unwrap_or_default();
        let mut schema = JsonObject::new();
        schema.insert("type".into(), "object".into());
        schema.insert("required".into(), json!(required));
        schema.insert("properties".into(), fields.clone());
        Tool::new(name, description, Arc::new(schema))
    };
    let text = json!({ "type": "string" });
    let edit = json!({ "type": "object", "properties": { "oldText": text, "newText": text } });
    vec![
        tool("read_file", "Reads a file", json!({ "path": text })),
        tool("list_directory", "Lists a directory", json!({ "path": text })),
        tool(
            "edit_file",
            "Replaces text in a file",
            json!({ "path": text, "edits": { "type": "array", "items": edit } }),
        ),
        tool("run_command", "Runs a shell command in the project", json!({ "command": text })),
        tool("send_message", "Sends a message to a person", json!({ "to": text, "message": text })),
        tool("deploy", "Deploys the project", json!({ "target": text })),
    ]
}

impl DemoServer {
    fn call(&self, tool: &str, arguments: &Value) -> anyhow::Result<String> {
        let text = |name: &str| {
            arguments
                .get(name)
                .and_then(Value::as_str)
                .with_context(|| format!("`{name}` is missing or no string"))
        };
        match tool {
            "read_file" => Ok(fs::read_to_string(self.inside(text("path")?)?)?),
            "list_directory" => list(&self.inside(text("path")?)?),
            "edit_file" => edit(&self.inside(text("path")?)?, arguments),
            "run_command" => self.run_command(text("command")?),
            "send_message" => self.send_message(text("to")?, text("message")?),
            "deploy" => {
                fs::write(self.dir.join(DEPLOYED), text("target")?)?;
                Ok("deployed".into())
            }
            other => bail!("there is no tool `{other}`"),
        }
    }

    /// Links are followed before it is asked where a path leads.
    fn inside(&self, path: &str) -> anyhow::Result<PathBuf> {
        let path = Path::new(path);
        let path = path.strip_prefix(&self.dir).unwrap_or(path);
        if path.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
            bail!("paths stay in the project");
        }
        let path = fs::canonicalize(self.dir.join(path))?;
        if !path.starts_with(&self.dir) {
            bail!("the path leads out of the project");
        }
        Ok(path)
    }

    fn run_command(&self, command: &str) -> anyhow::Result<String> {
        let output = Command::new("/bin/sh")
            .args(["-c", command])
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .output()?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        if !output.status.success() {
            bail!("{}: {said}", output.status);
        }
        Ok(said)
    }

    fn send_message(&self, to: &str, message: &str) -> anyhow::Result<String> {
        let mut outbox = OpenOptions::new().create(true).append(true).open(self.dir.join(OUTBOX))?;
        writeln!(outbox, "{}", json!({ "to": to, "message": message }))?;
        Ok("put into the outbox".into())
    }
}

fn list(dir: &Path) -> anyhow::Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names.join("\n"))
}

fn edit(path: &Path, arguments: &Value) -> anyhow::Result<String> {
    let mut text = fs::read_to_string(path)?;
    let edits = arguments.get("edits").and_then(Value::as_array).context("`edits` is missing or no list")?;
    for edit in edits {
        let part = |name: &str| {
            edit.get(name).and_then(Value::as_str).with_context(|| format!("`{name}` is missing"))
        };
        let (old, new) = (part("oldText")?, part("newText")?);
        if text.matches(old).count() != 1 {
            bail!("`oldText` must be in the file exactly once");
        }
        text = text.replacen(old, new, 1);
    }
    fs::write(path, text)?;
    Ok("edited".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_do_what_they_say_and_files_outside_cannot_be_reached() {
        let home = tempfile::TempDir::new().unwrap();
        let dir = fs::canonicalize(home.path()).unwrap().join("project");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("a.txt"), "one two").unwrap();
        fs::write(home.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink("../secret", dir.join("link")).unwrap();
        let server = DemoServer { dir: dir.clone() };
        let call = |tool, arguments: Value| server.call(tool, &arguments);

        assert_eq!(call("read_file", json!({ "path": "a.txt" })).unwrap(), "one two");
        for path in ["../secret", "/etc/passwd", "link"] {
            assert!(call("read_file", json!({ "path": path })).is_err(), "{path}");
        }
        let edits = json!([{ "oldText": "two", "newText": "three" }]);
        call("edit_file", json!({ "path": "a.txt", "edits": edits })).unwrap();
        assert_eq!(fs::read_to_string(dir.join("a.txt")).unwrap(), "one three");
        assert!(call("edit_file", json!({ "path": "a.txt", "edits": edits })).is_err());
        call("run_command", json!({ "command": "rm a.txt" })).unwrap();
        assert_eq!(call("list_directory", json!({ "path": "." })).unwrap(), "link");
        call("send_message", json!({ "to": "ann", "message": "hello" })).unwrap();
        let sent = fs::read_to_string(dir.join(OUTBOX)).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&sent).unwrap(), json!({ "to": "ann", "message": "hello" }));
    }
}
