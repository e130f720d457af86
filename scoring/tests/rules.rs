//! The packs hold what they promise.

use herma_scoring::Rules;

#[test]
fn every_rule_bears_out_its_examples() {
    let rules = Rules::shipped().unwrap();
    let wrong = rules.disagreements();
    assert!(wrong.is_empty(), "{} examples disagree:\n{}", wrong.len(), wrong.join("\n"));
}
