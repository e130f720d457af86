//! What holds for every input, one function per reader. `cargo +nightly fuzz run shell` runs one without end;
//! the tests of `herma-scoring` run all of them over mutated seeds.

use std::sync::LazyLock;

use herma_scoring::json::{Limits, read};
use herma_scoring::{Assessment, Call, Context, Kind, Rules, SideEffect, assess};
use serde_json::{Value, json};

static RULES: LazyLock<Rules> = LazyLock::new(|| match Rules::shipped() {
    Ok(rules) => rules,
    Err(error) => panic!("{error}"),
});

fn judged(tool: &str, arguments: &Value) -> Assessment {
    let call = Call { kind: Kind::Tool, server: "hermes", tool, arguments };
    let context = Context { cwd: Some("/home/dev/project"), home: Some("/home/dev"), ..Context::default() };
    let found = assess(&call, &context, &RULES);
    assert!((0.0..=1.0).contains(&found.risk_score), "risk {}", found.risk_score);
    assert!((0.0..=1.0).contains(&found.confidence), "confidence {}", found.confidence);
    for reason in &found.reasons {
        assert!(reason.points.is_finite(), "{reason:?}");
        if let (Some(pointer), Some((start, end))) = (&reason.pointer, reason.span) {
            let text = arguments.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            assert!(start <= end && end <= text.len(), "{reason:?} in {} bytes", text.len());
        }
    }
    found
}

fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

/// A command, and the same with a dangerous one after it, which a person has to see.
pub fn shell(data: &[u8]) {
    let command = text(data);
    let alone = judged("terminal", &json!({ "command": command }));
    // What could not be read waits as it is; after a here-document or a backslash the next line is no command.
    if alone.confidence < 0.35 || command.len() > 2_048 || command.contains(['\\', '<']) {
        return;
    }
    let both = judged("terminal", &json!({ "command": format!("{command}\nrm -rf /home/dev/projects") }));
    let waits = both.class == SideEffect::Critical || both.risk_score > 0.60 || both.confidence < 0.35;
    assert!(waits, "{command:?}: {both:?}");
}

pub fn python(data: &[u8]) {
    judged("execute_code", &json!({ "code": text(data) }));
}

pub fn sql(data: &[u8]) {
    judged("query", &json!({ "sql": text(data) }));
}

pub fn path(data: &[u8]) {
    let path = text(data);
    judged("read_file", &json!({ "path": path }));
    judged("write_file", &json!({ "path": path, "content": "x" }));
}

pub fn url(data: &[u8]) {
    judged("browser_navigate", &json!({ "url": text(data) }));
}

pub fn powershell(data: &[u8]) {
    let quoted = text(data).replace('\'', "'\\''");
    judged("terminal", &json!({ "command": format!("powershell -Command '{quoted}'") }));
    judged("terminal", &json!({ "command": format!("cmd /c '{quoted}'") }));
}

/// A frame: what is read is what any other reader reads.
pub fn frame(data: &[u8]) {
    if let Ok(read) = read(data, &Limits::default()) {
        let plain: Value = match serde_json::from_slice(data) {
            Ok(plain) => plain,
            Err(error) => panic!("read by one reader alone: {error}"),
        };
        assert_eq!(read, plain);
    }
}

/// The first line names the tool, the rest are its arguments.
pub fn call(data: &[u8]) {
    let text = text(data);
    let (tool, arguments) = text.split_once('\n').unwrap_or((&text, "{}"));
    if let Ok(arguments) = serde_json::from_str::<Value>(arguments) {
        judged(tool, &arguments);
    }
}
