//! The official suite must see no difference between a server and the same server behind Herma:
//! every check of every scenario with the same outcome, failures included.
use std::{collections::BTreeMap, process::Stdio};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{
    house::{OPEN, Plan},
    packages,
    pipe::example,
    wire::soon,
};

pub(crate) struct Reference {
    pub(crate) url: String,
    _process: Child,
}

impl Reference {
    pub(crate) async fn start() -> Self {
        let mut command = Command::new(example("reference"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let url = soon("the reference server", lines.next_line()).await.unwrap().unwrap();
        Self { url, _process: process }
    }
}

/// How often each (scenario, check, outcome) came.
type Outcomes = BTreeMap<(String, String, String), usize>;

async fn outcomes(url: &str, revision: &str) -> Outcomes {
    let results = tempfile::tempdir().unwrap();
    let suite = packages::npm("conformance");
    let mut command = Command::new(&suite[0]);
    command.arg(&suite[1]).args(["server", "--url", url, "--requirements", revision, "-o"]);
    command.arg(results.path()).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.unwrap();

    let mut outcomes = Outcomes::new();
    for entry in std::fs::read_dir(results.path()).unwrap() {
        let directory = entry.unwrap().path();
        let name = directory.file_name().unwrap().to_str().unwrap().to_owned();
        // Named after the scenario and the time of the run, as `-2026-11-20T07-51-04-901Z`.
        let scenario = &name[..name.len() - 25];
        let checks = std::fs::read(directory.join("checks.json")).unwrap();
        for check in serde_json::from_slice::<Vec<Value>>(&checks).unwrap() {
            let text = |field: &str| check[field].as_str().unwrap_or_default().to_owned();
            *outcomes.entry((scenario.to_owned(), text("id"), text("status"))).or_default() += 1;
        }
    }
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(outcomes.len() > 50, "the suite did not run: {said}");
    outcomes
}

async fn compare(revision: &str) {
    let reference = Reference::start().await;
    let house = Plan::default().url("reference", &reference.url).rules(OPEN).open().await;
    // The suite's own check against DNS rebinding needs the name, not the number.
    let through = house.endpoint("reference").url.replace("127.0.0.1", "localhost");

    let direct = outcomes(&reference.url, revision).await;
    let failed = direct.keys().filter(|(_, _, status)| status == "FAILURE").collect::<Vec<_>>();
    assert!(failed.is_empty(), "the reference server itself fails: {failed:?}");
    let through = outcomes(&through, revision).await;
    let differences: Vec<_> = direct
        .iter()
        .map(|it| ("direct", it))
        .filter(|(_, (key, count))| through.get(*key) != Some(count))
        .chain(
            through
                .iter()
                .map(|it| ("through", it))
                .filter(|(_, (key, count))| direct.get(*key) != Some(count)),
        )
        .collect();
    assert!(differences.is_empty(), "{differences:#?}");
}

#[tokio::test]
async fn the_suite_of_2025_11_25_sees_no_difference() {
    compare("2025-11-25").await;
}

#[tokio::test]
async fn the_suite_of_2026_07_28_sees_no_difference() {
    compare("2026-07-28").await;
}
