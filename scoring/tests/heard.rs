//! The floor: how well signs of a crisis are heard, in lines written for this test and kept out of the training.

use herma_scoring::{Rules, crisis};

/// Lines of `text` that are heard as a crisis, and those that are not.
fn told_apart<'t>(text: &'t str, rules: &Rules) -> (Vec<&'t str>, Vec<&'t str>) {
    text.lines().partition(|line| crisis::signals(line, rules).is_some())
}

#[test]
fn people_in_danger_are_heard_no_less_than_before() {
    let (heard, missed) = told_apart(include_str!("heard/crisis.txt"), &Rules::shipped().unwrap());
    let share = heard.len() * 1000 / (heard.len() + missed.len());
    assert!(share >= 960, "{share} of a thousand, not heard:\n{}", missed.join("\n"));
}

#[test]
fn everyday_words_alarm_nobody_more_than_before() {
    let (alarmed, calm) = told_apart(include_str!("heard/harmless.txt"), &Rules::shipped().unwrap());
    let share = alarmed.len() * 1000 / (alarmed.len() + calm.len());
    assert!(share <= 25, "{share} of a thousand, heard as a crisis:\n{}", alarmed.join("\n"));
}

#[test]
fn other_languages_are_heard_and_left_alone_no_worse_than_before() {
    let rules = Rules::shipped().unwrap();
    let (heard, missed) = told_apart(include_str!("heard/crisis_elsewhere.txt"), &rules);
    let share = heard.len() * 1000 / (heard.len() + missed.len());
    assert!(share >= 620, "{share} of a thousand, not heard:\n{}", missed.join("\n"));
    let (alarmed, calm) = told_apart(include_str!("heard/harmless_elsewhere.txt"), &rules);
    let share = alarmed.len() * 1000 / (alarmed.len() + calm.len());
    assert!(share <= 35, "{share} of a thousand, heard as a crisis:\n{}", alarmed.join("\n"));
}
