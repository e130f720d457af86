//! `herma demo`, as a newcomer runs it.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A home for Herma that does not lie among scratch files, as a temporary directory would.
fn home() -> TempDir {
    tempfile::Builder::new().prefix(".herma-test-").tempdir_in(std::env::home_dir().unwrap()).unwrap()
}

fn demo(home: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_herma"))
        .args(["demo", "--unattended"])
        .args(more)
        .env("HERMA_DATA_DIR", home)
        .output()
        .unwrap()
}

#[test]
fn the_demo_runs_holds_queues_and_blocks_for_real_and_leaves_nothing_behind() {
    let home = home();
    let demo = demo(home.path(), &[]);
    let (said, wrong) = (String::from_utf8(demo.stdout).unwrap(), String::from_utf8(demo.stderr).unwrap());
    assert!(demo.status.success(), "{said}{wrong}");
    assert_eq!(wrong, "");
    let mut rest = said.as_str();
    for line in [
        "RAN  by rule risk: class read_only",
        "RAN, TO BE REVIEWED  by rule undo: class local_reversible",
        "edit_file on demo",
        "HELD  by rule critical: class critical",
        "rm -rf site/",
        "the site is the only copy: move it away instead",
        "On disk: site/index.html is still there.",
        "HELD  by rule crisis: class external",
        "A PERSON MAY BE IN CRISIS",
        "a person will answer",
        "On disk: the outbox is empty.",
        "BLOCKED  by rule no-deploys",
        "On disk: nothing was deployed.",
        "routed      deploy  block  no-deploys",
        ": intact",
    ] {
        let (_, after) =
            rest.split_once(line).unwrap_or_else(|| panic!("`{line}` is missing or late in\n{said}"));
        rest = after;
    }
    assert!(said.lines().all(|line| line.chars().count() <= 100), "{said}");
    assert!(!said.contains('\x1b'), "{said}");
    assert_eq!(home.path().read_dir().unwrap().count(), 0);
}

#[test]
fn where_files_count_as_scratch_the_demo_goes_elsewhere_or_says_so() {
    let (scratch, home) = (TempDir::new().unwrap(), home());
    let demo = |own: &Path| {
        let mut demo = Command::new(env!("CARGO_BIN_EXE_herma"));
        demo.args(["demo", "--unattended"]).env("HERMA_DATA_DIR", scratch.path()).env("XDG_DATA_HOME", own);
        demo.output().unwrap()
    };
    let elsewhere = demo(home.path());
    let said = String::from_utf8(elsewhere.stdout).unwrap();
    assert!(elsewhere.status.success(), "{said}{}", String::from_utf8_lossy(&elsewhere.stderr));
    assert!(said.contains(&home.path().display().to_string()), "{said}");
    // What lies below `build` can be made again, too.
    let nowhere = demo(&home.path().join("build"));
    let wrong = String::from_utf8(nowhere.stderr).unwrap();
    assert_eq!((nowhere.status.code(), nowhere.stdout.len()), (Some(1), 0), "{wrong}");
    assert!(wrong.contains("lie where files count as scratch"), "{wrong}");
    assert_eq!(scratch.path().read_dir().unwrap().count(), 0);
    assert_eq!(home.path().read_dir().unwrap().count(), 0);
    // As on a newcomer's machine: what Herma keeps itself nobody edits unasked.
    let usual = demo(&home.path().join(".local/share"));
    assert!(usual.status.success(), "{}", String::from_utf8_lossy(&usual.stderr));
}

#[test]
fn what_the_demo_keeps_can_be_looked_at_afterwards() {
    let home = home();
    assert!(demo(home.path(), &["--keep"]).status.success());
    let place = home.path().read_dir().unwrap().next().unwrap().unwrap().path();
    assert!(place.join("project/site/index.html").exists());
    let verify = Command::new(env!("CARGO_BIN_EXE_herma"))
        .arg("--data-dir")
        .arg(place.join("data"))
        .args(["audit", "verify"])
        .output()
        .unwrap();
    assert!(verify.status.success());
}
