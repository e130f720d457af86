//! Whether arguments that a person changed are what the tool says it takes.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};

use boon::{Compiler, Schemas, UrlLoader};
use serde_json::Value;

/// The schema is known to the compiler under this name; nothing answers there.
const HERE: &str = "http://schema.invalid/tool.json";

/// A server's schema may not make Herma read a file or ask another host.
struct Nowhere;

impl UrlLoader for Nowhere {
    fn load(&self, _url: &str) -> Result<Value, Box<dyn Error>> {
        Err("it refers to a schema elsewhere".into())
    }
}

/// Why they are not, in words.
pub(super) fn check(schema: &Value, arguments: &Value) -> Result<(), String> {
    if schema.is_null() {
        return Ok(());
    }
    // A server writes the schema: what it makes of the validator is not to be Herma's end.
    catch_unwind(AssertUnwindSafe(|| compare(schema, arguments)))
        .unwrap_or_else(|_| Err("the tool's schema cannot be used to check them".into()))
}

fn compare(schema: &Value, arguments: &Value) -> Result<(), String> {
    let mut schemas = Schemas::new();
    let mut compiler = Compiler::new();
    compiler.use_loader(Box::new(Nowhere));
    let unreadable =
        |error: &dyn Error| format!("the tool's schema cannot be read, so nothing can be checked: {error}");
    compiler.add_resource(HERE, schema.clone()).map_err(|error| unreadable(&error))?;
    let index = compiler.compile(HERE, &mut schemas).map_err(|error| unreadable(&error))?;
    schemas.validate(arguments, index).map_err(|error| {
        let said: Vec<String> =
            error.to_string().lines().skip(1).map(|line| line.trim().to_owned()).collect();
        format!("the tool does not take them: {}", said.join("; "))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::check;

    #[test]
    fn changed_arguments_must_be_what_the_tool_takes() {
        let schema = json!({
            "type": "object", "properties": {"to": {"type": "string"}, "count": {"type": "integer", "minimum": 1}},
            "required": ["to"], "additionalProperties": false,
        });
        assert_eq!(check(&schema, &json!({"to": "ann", "count": 2})), Ok(()));
        assert!(check(&schema, &json!({"count": 2})).unwrap_err().contains("to"));
        assert!(check(&schema, &json!({"to": "ann", "count": 0})).unwrap_err().contains("/count"));
        assert!(check(&schema, &json!({"to": "ann", "cc": "bob"})).is_err());
        assert_eq!(check(&serde_json::Value::Null, &json!({"any": 1})), Ok(()));
    }

    #[test]
    fn a_servers_schema_reads_no_file_and_asks_nobody() {
        for elsewhere in ["file:///etc/passwd", "http://127.0.0.1:1/x.json", "other.json"] {
            let said = check(&json!({"$ref": elsewhere}), &json!({})).unwrap_err();
            assert!(said.contains("cannot be read"), "{said}");
        }
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let said = check(&json!({"$ref": "#"}), &json!({}));
        assert!(said.is_err(), "{said:?}");
    }
}
