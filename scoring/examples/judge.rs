//! Measures the rules: reads rows of JSON, one per line, and prints what scoring says of each.
//!
//! A row holds `id`, and either `tool` with `args` and `context` (`server`, `cwd`, `user`, `description`,
//! `annotations`), or `text` to be read for signs of crisis. Arguments are packs laid over the shipped ones. See
//! the crate's README.

use std::io::{BufRead, Write};
use std::time::Instant;

use herma_scoring::{Assessment, Call, Context, Definition, Hints, Kind, Rules, SideEffect, assess, crisis};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let packs = files.iter().map(|file| Ok((file.as_str(), std::fs::read_to_string(file)?)));
    let packs: Vec<(&str, String)> = packs.collect::<std::io::Result<_>>()?;
    let rules = Rules::with_packs(packs.iter().map(|(file, text)| (*file, text.as_str())))?;
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let row: Value = serde_json::from_str(&line?)?;
        let verdict = match row.get("text").and_then(Value::as_str) {
            Some(text) => heard(&row, text, &rules),
            None => judged(&row, &rules),
        };
        writeln!(output, "{verdict}")?;
    }
    Ok(())
}

fn heard(row: &Value, text: &str, rules: &Rules) -> Value {
    let start = Instant::now();
    let evidence = crisis::signals(text, rules);
    let us = start.elapsed().as_secs_f64() * 1e6;
    json!({ "id": row.get("id"), "crisis": evidence.is_some(), "rules": evidence.map(|evidence| evidence.rules), "us": us })
}

fn judged(row: &Value, rules: &Rules) -> Value {
    let text = |pointer: &str| row.pointer(pointer).and_then(Value::as_str);
    let hint = |name: &str| row.pointer(&format!("/context/annotations/{name}")).and_then(Value::as_bool);
    let definition = text("/context/description").map(|description| Definition {
        name: text("/tool").unwrap_or_default().to_owned(),
        description: description.to_owned(),
        input_schema: Value::Null,
        hints: Hints {
            read_only: hint("readOnlyHint"),
            destructive: hint("destructiveHint"),
            idempotent: hint("idempotentHint"),
            open_world: hint("openWorldHint"),
        },
    });
    let home = text("/context/user").map(|user| format!("/home/{user}"));
    let server = text("/context/server").unwrap_or_default();
    let tool = text("/tool").unwrap_or_default();
    let call = Call { kind: Kind::Tool, server, tool, arguments: row.get("args").unwrap_or(&Value::Null) };
    let context = Context {
        definition: definition.as_ref(),
        cwd: text("/context/cwd"),
        home: home.as_deref(),
        crisis_active: row.get("crisis_active").and_then(Value::as_bool).unwrap_or_default(),
        ..Context::default()
    };
    let start = Instant::now();
    let assessment = assess(&call, &context, rules);
    let us = start.elapsed().as_secs_f64() * 1e6;
    json!({
        "id": row.get("id"),
        "human_required": gates(&assessment),
        "class": letter(assessment.class),
        "risk": assessment.risk_score,
        "confidence": assessment.confidence,
        "crisis": assessment.crisis_sensitive,
        "reasons": assessment.reasons.iter().map(|reason| json!({ "factor": reason.factor, "points": reason.points })).collect::<Vec<_>>(),
        "rules": assessment.reasons.iter().map(|reason| &reason.rule).collect::<Vec<_>>(),
        "us": us,
    })
}

/// The default route: whether a person sees the call first.
fn gates(assessment: &Assessment) -> bool {
    let (risk, confidence) = (assessment.risk_score, assessment.confidence);
    assessment.crisis_sensitive
        || assessment.class == SideEffect::Critical
        || risk > 0.60
        || (risk >= 0.25 && confidence < 0.60)
        || confidence < 0.35
}

fn letter(class: SideEffect) -> &'static str {
    match class {
        SideEffect::ReadOnly => "A",
        SideEffect::LocalReversible => "B",
        SideEffect::External => "C",
        SideEffect::Critical => "D",
    }
}
