//! Every case of the collection has the verdict that is written there.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use herma_warrant::conformance::{Case, ConformanceError, run};

fn collection() -> String {
    let path = format!("{}/../fixtures/warrants/adversarial.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn every_case_of_the_collection_has_its_verdict() {
    let cases = run(&collection()).unwrap();
    assert_eq!(cases.len(), 319);
    let wrong: Vec<&Case> = cases.iter().filter(|case| !case.holds()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_token_scenario_is_refused_for_the_reason_it_names() {
    let file: serde_json::Value = serde_json::from_str(&collection()).unwrap();
    let cases = run(&collection()).unwrap();
    // Allowed, or minted only by an explicit word: these name what a lint says instead.
    let spoken = ["open-capability", "wildcard-tool"];
    for scenario in file["token_scenarios"].as_array().unwrap() {
        let (id, code) = (scenario["id"].as_str().unwrap(), scenario["code"].as_str().unwrap());
        let case = cases.iter().find(|case| case.id == id).unwrap();
        assert!(case.why == code || spoken.contains(&code), "{id}: {code}, and {} was given", case.why);
    }
}

#[test]
fn what_is_no_collection_is_said_to_be_none() {
    assert_eq!(run("[]"), Err(ConformanceError::Shape));
    assert_eq!(run("{}"), Err(ConformanceError::Shape));
    assert!(matches!(run("{"), Err(ConformanceError::Json(_))));
    let case =
        r#"{"token_scenarios": [{"id": "x", "code": "nobody-knows", "expected": "deny", "scenario": "?"}]}"#;
    assert!(!run(case).unwrap().first().unwrap().holds());
}

#[test]
fn values_that_no_call_may_hold_are_judged_all_the_same() {
    let number = |value: &str| {
        let constraint = r#"{"type": "range", "min": 0, "max": 9223372036854775807}"#;
        let case = format!(
            r#"{{"value_cases": [{{"id": "x", "expected": "deny", "constraint": {constraint}, "value": {value}}}]}}"#
        );
        run(&case).unwrap().first().unwrap().got
    };
    assert_eq!(number("9223372036854775807"), "allow");
    for value in ["9223372036854775808", "1e400", "1e99999", r#""\ud800""#, "-0.0000000000000000000000001"] {
        assert_eq!(number(value), "deny", "{value}");
    }
}
