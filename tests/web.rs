//! The people's pages in a real browser, as people and attackers use them. The scenes are in `tests/web/`.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn scene(name: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packages = std::env::var_os("HERMA_TEST_PACKAGES")
        .map_or_else(|| root.join("target/packages/npm"), PathBuf::from);
    let pinned = packages.join("node_modules/.bin/node");
    let node = if pinned.exists() { pinned } else { PathBuf::from("node") };
    let chromium = std::env::var_os("HERMA_TEST_CHROMIUM").unwrap_or_else(|| "/usr/bin/chromium".into());
    assert!(
        Path::new(&chromium).exists() && packages.join("node_modules/playwright-core").exists(),
        "Chromium or playwright-core is missing: run fixtures/packages/install"
    );
    let out = Command::new(node)
        .arg(root.join("tests/web/run.mjs"))
        .arg(name)
        .env("HERMA_TEST_BINARY", env!("CARGO_BIN_EXE_herma"))
        .env("HERMA_TEST_PACKAGES", &packages)
        .env("HERMA_TEST_CHROMIUM", chromium)
        .output()
        .unwrap();
    let said = [out.stdout, out.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(out.status.success(), "{said}");
    print!("{said}");
}

#[test]
fn a_person_decides_everything_by_keyboard() {
    scene("keyboard");
}

#[test]
fn what_agents_write_is_shown_and_never_obeyed() {
    scene("hostile");
}

#[test]
fn what_arrives_or_changes_meanwhile_decides_nothing_else() {
    scene("races");
}

#[test]
fn pages_from_elsewhere_change_and_read_nothing_and_their_links_lead_in() {
    scene("elsewhere");
}

#[test]
fn a_passkey_answers_for_one_decision() {
    scene("passkey");
}

#[test]
fn what_takes_two_people_takes_two_and_only_another_one_ends_a_crisis_of_ones_own() {
    scene("people");
}

#[test]
fn every_page_can_be_read_by_everybody() {
    scene("looks");
}

#[test]
fn every_switch_beside_the_single_decision_works() {
    scene("switches");
}

#[test]
fn a_warrant_is_tried_signed_narrowed_and_lifted_in_the_browser() {
    scene("warrants");
}

#[test]
fn a_draft_of_the_policy_is_kept_compared_and_put_in_force_in_the_browser() {
    scene("drafts");
}

#[test]
fn what_ran_is_looked_at_and_taken_back_in_the_browser() {
    scene("review");
}

#[test]
fn a_newcomer_decides_in_the_browser_within_a_minute_of_starting_the_demo() {
    scene("demo");
}
