//! The packs hold what they promise.

use herma_scoring::Rules;

#[test]
fn every_rule_bears_out_its_examples() {
    let rules = Rules::shipped().unwrap();
    let wrong = rules.disagreements();
    assert!(wrong.is_empty(), "{} examples disagree:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_page_of_rules_is_that_of_these_packs() {
    let written = include_str!("../../docs/rules.md");
    let wanted = herma_scoring::reference().unwrap();
    let differs = wanted.lines().zip(written.lines()).find(|(wanted, written)| wanted != written);
    assert!(
        written == wanted,
        "docs/rules.md is stale: `herma rules reference > docs/rules.md`; first difference {differs:#?}"
    );
}
