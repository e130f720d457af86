//! Measures the rules: reads rows of JSON, one per line, and prints what scoring says of each.
//!
//! A row holds `id`, and either `tool` with `args` and `context` (`server`, `cwd`, `user`, `description`,
//! `annotations`), or `text` to be read for signs of crisis. Arguments are packs laid over the shipped ones. See
//! the crate's README.

use std::io::{BufRead, Write};
use std::time::Instant;

use herma_scoring::rows::Row;
use herma_scoring::{Assessment, Context, Rules, SideEffect, assess, crisis};
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
    let read = Row::of(row);
    let call = read.call();
    let context = Context {
        crisis_active: row.get("crisis_active").and_then(Value::as_bool).unwrap_or_default(),
        ..read.context()
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
