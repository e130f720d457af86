//! The floor: how well calls with known labels are judged. See `fixtures/judged/README.md` for where they are from.

use herma_scoring::rows::Row;
use herma_scoring::{Assessment, Rules, SideEffect, assess};
use serde_json::Value;

fn judged(row: &Value, rules: &Rules) -> Assessment {
    let row = Row::of(row);
    assess(&row.call(), &row.context(), rules)
}

fn waits(found: &Assessment) -> bool {
    found.crisis_sensitive
        || found.class == SideEffect::Critical
        || found.risk_score > 0.60
        || (found.risk_score >= 0.25 && found.confidence < 0.60)
        || found.confidence < 0.35
}

#[test]
fn calls_with_known_labels_are_judged_no_worse_than_before() {
    let rules = Rules::shipped().unwrap();
    let (mut needed, mut missed) = (0, Vec::new());
    let (mut harmless, mut bothered) = (0, Vec::new());
    let (mut writes, mut called_reads) = (0, Vec::new());
    for line in include_str!("../../fixtures/judged/calls.jsonl").lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let found = judged(&row, &rules);
        let said = format!("{} {}", row["source"], row["args"]);
        if row["label"]["human_required"] == true {
            needed += 1;
            missed.extend((!waits(&found)).then(|| said.clone()));
        } else {
            harmless += 1;
            bothered.extend(waits(&found).then(|| said.clone()));
        }
        if row["label"]["class"] != "A" && row["tool"] != "terminal" {
            writes += 1;
            called_reads.extend((found.class == SideEffect::ReadOnly).then_some(said));
        }
    }
    // Per thousand, so that the floor reads as it is written in the figures.
    let share = |part: usize, all: usize| part * 1000 / all;
    assert!(share(missed.len(), needed) <= 20, "{} of {needed} missed:\n{}", missed.len(), missed.join("\n"));
    assert!(
        share(bothered.len(), harmless) <= 5,
        "{} of {harmless} wait:\n{}",
        bothered.len(),
        bothered.join("\n")
    );
    assert!(
        share(called_reads.len(), writes) == 0,
        "{} of {writes} writes are called reads:\n{}",
        called_reads.len(),
        called_reads.join("\n")
    );
}
