//! Labelled rows, as the files that measure the rules hold them: `{"id", "tool", "args", "context"}`, where the
//! context has `server`, `cwd`, `user`, and what the server says of the tool: `description`, `params`,
//! `annotations`.

use serde_json::{Map, Value};

use crate::{Call, Context, Definition, Hints, Kind};

/// A call to judge, with what is known around it.
#[derive(Debug)]
pub struct Row<'a> {
    row: &'a Value,
    definition: Option<Definition>,
    home: Option<String>,
}

impl<'a> Row<'a> {
    pub fn of(row: &'a Value) -> Self {
        let context = |name: &str| row.get("context")?.get(name);
        let hint = |name: &str| context("annotations")?.get(name)?.as_bool();
        let field = |name: &Value| Some((name.as_str()?.to_owned(), Value::Null));
        let described = context("description").and_then(Value::as_str);
        let definition = described.map(|description| {
            let params = context("params").and_then(Value::as_array);
            let properties: Map<String, Value> = params.into_iter().flatten().filter_map(field).collect();
            Definition {
                name: text(row, "/tool").to_owned(),
                description: description.to_owned(),
                input_schema: serde_json::json!({ "properties": properties }),
                hints: Hints {
                    read_only: hint("readOnlyHint"),
                    destructive: hint("destructiveHint"),
                    idempotent: hint("idempotentHint"),
                    open_world: hint("openWorldHint"),
                },
            }
        });
        let home = context("user").and_then(Value::as_str).map(|user| format!("/home/{user}"));
        Self { row, definition, home }
    }

    pub fn call(&self) -> Call<'a> {
        Call {
            kind: Kind::Tool,
            server: text(self.row, "/context/server"),
            tool: text(self.row, "/tool"),
            arguments: self.row.get("args").unwrap_or(&Value::Null),
        }
    }

    pub fn context(&self) -> Context<'_> {
        Context {
            definition: self.definition.as_ref(),
            cwd: self.row.pointer("/context/cwd").and_then(Value::as_str),
            home: self.home.as_deref(),
            ..Context::default()
        }
    }
}

fn text<'a>(row: &'a Value, pointer: &str) -> &'a str {
    row.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
