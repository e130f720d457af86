//! The plan of the house, held against the house.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Who may import whom. ARCHITECTURE.md says why.
const MAY: &[(&str, &[&str])] = &[
    ("call", &[]),
    ("policy", &[]),
    ("ledger", &[]),
    ("store", &[]),
    ("pool", &[]),
    ("listen", &[]),
    ("notify", &["gate", "ledger", "pool", "store"]),
    ("telemetry", &["call", "gate", "ledger", "listen", "pool", "store"]),
    ("gate", &["call", "ledger", "policy", "store"]),
    ("review", &["call", "store"]),
    ("warrants", &["call", "store"]),
    (
        "operator",
        &[
            "call", "config", "firewall", "gate", "ledger", "listen", "notify", "policy", "review", "store",
            "warrants",
        ],
    ),
    ("config", &["call", "gate", "notify", "policy", "review", "telemetry", "warrants"]),
    ("firewall", &["call", "gate", "ledger", "policy", "review", "store", "telemetry", "warrants"]),
    ("control", &["config", "firewall", "gate", "notify", "operator", "store"]),
    ("carriers", &["call", "config", "control", "firewall", "gate", "listen", "policy", "pool", "review"]),
];

/// A file longer than this probably holds two ideas.
const LINES: usize = 650;

fn sources(place: &Path) -> Vec<PathBuf> {
    if place.is_file() {
        return vec![place.to_owned()];
    }
    let Ok(entries) = fs::read_dir(place) else { return Vec::new() };
    let mut files: Vec<_> = entries.flat_map(|entry| sources(&entry.unwrap().path())).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    files
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn is_test(file: &Path) -> bool {
    file.components().any(|part| part.as_os_str().to_string_lossy().starts_with("tests"))
}

#[test]
fn rooms_import_only_what_the_plan_allows() {
    let mut wrong = Vec::new();
    for (room, may) in MAY {
        let files =
            [sources(&root().join(format!("src/{room}"))), sources(&root().join(format!("src/{room}.rs")))];
        let files: Vec<_> = files.concat().into_iter().filter(|file| !is_test(file)).collect();
        assert!(!files.is_empty(), "there is no room `{room}`");
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            let used: BTreeSet<_> = text
                .split("crate::")
                .skip(1)
                .map(|rest| {
                    rest.split(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap().to_owned()
                })
                .collect();
            wrong.extend(
                used.into_iter()
                    .filter(|used| {
                        used != room
                            && !may.contains(&used.as_str())
                            && MAY.iter().any(|(name, _)| name == used)
                    })
                    .map(|used| format!("{} imports {used}", file.display())),
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_pure_crates_know_neither_each_other_nor_the_outside() {
    for pure in ["scoring", "warrant"] {
        let manifest = fs::read_to_string(root().join(pure).join("Cargo.toml")).unwrap();
        for outside in ["tokio", "hyper", "herma-", "rusqlite", "getrandom", "jiff", "mio"] {
            let depends = manifest.lines().any(|line| line.starts_with(outside));
            assert!(!depends, "{pure} depends on {outside}");
        }
        for file in sources(&root().join(pure).join("src")).into_iter().filter(|file| !is_test(file)) {
            let text = fs::read_to_string(&file).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap();
            for outside in [
                "std::fs",
                "TcpStream",
                "UdpSocket",
                "ToSocketAddrs",
                "std::env",
                "std::process",
                "std::time",
                "std::io",
                "std::thread",
            ] {
                assert!(!text.contains(outside), "{} uses {outside}", file.display());
            }
        }
    }
}

#[test]
fn no_file_holds_two_ideas() {
    let places = ["src", "scoring/src", "warrant/src"];
    for file in places.iter().flat_map(|place| sources(&root().join(place))) {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= LINES, "{} has {lines} lines", file.display());
    }
}

#[test]
fn every_test_that_is_named_against_an_attack_exists() {
    let security = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let table = security.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let named: BTreeSet<_> = table
        .filter_map(|row| row.rsplit_once(" | "))
        .flat_map(|(_, tests)| tests.split('`').skip(1).step_by(2))
        .map(|test| test.rsplit("::").next().unwrap())
        .collect();
    assert!(named.len() > 30, "{named:?}");
    let text: String = ["src", "tests"]
        .iter()
        .flat_map(|place| sources(&root().join(place)))
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let tests: Vec<_> = text.split("fn ").map(|rest| rest.split('(').next().unwrap()).collect();
    // `…` stands for a part that is left out.
    let is = |test: &str, name: &str| {
        let (head, tail) = name.split_once('…').unwrap_or((name, ""));
        if head == name { test == name } else { test.starts_with(head) && test.ends_with(tail) }
    };
    let missing = named.into_iter().filter(|name| match name.strip_suffix(".mjs") {
        Some(scene) => !text.contains(&format!("scene(\"{scene}\")")),
        None => !tests.iter().any(|test| is(test, name)),
    });
    assert_eq!(missing.collect::<Vec<_>>(), [""; 0]);
}
