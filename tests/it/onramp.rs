//! Watch first, then decide: observe, report, learn, enforce; and what another tool's policy becomes.
use serde_json::Value;

use crate::{
    house::{House, Plan},
    wire::{Upstream, soon},
};

const WATCHING: &str = r#"
# a week of this, then we decide
[policy]
mode = "observe" # do not hold yet

[[rule]]
id = "mail"
tool = "send"
route = "gate"

[[rule]]
id = "no-lookup"
tool = "lookup"
route = "block"

[ledger]
learn = true
"#;

fn call(id: u32, tool: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{{"to":"ann"}}}}}}"#
    )
}

async fn said(house: &House, arguments: &[&str]) -> String {
    let output = house.cli(arguments).await;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn what_watching_saw_is_reported_and_one_command_makes_it_count() {
    let upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(WATCHING).open().await;
    let log = upstream.answer_everything();
    let client = house.endpoint("x");
    for (id, tool) in [(1, "read_file"), (2, "send"), (3, "send"), (4, "lookup")] {
        let answer = client.post(call(id, tool)).await.json().await;
        assert_eq!(answer["result"]["content"][0]["text"], "ran", "{answer}");
    }
    assert_eq!(log.calls(), 4);

    // The last line is on its way to the disk.
    let report = soon("the last call in the record", async {
        loop {
            let report: Value = serde_json::from_str(&said(&house, &["report", "--json"]).await).unwrap();
            if report["calls"] == 4 {
                return report;
            }
        }
    });
    let report = report.await;
    let figures =
        ["calls", "run", "hold", "block", "held", "blocked"].map(|name| report[name].as_u64().unwrap());
    assert_eq!(figures, [4, 1, 2, 1, 0, 0], "{report}");
    assert_eq!(report["by_rule"][0][0], "mail");
    assert_eq!(report["hold_per_day"], 2.0);
    let text = said(&house, &["report", "--since", "1h"]).await;
    assert!(text.starts_with("4 calls in 1 sessions"), "{text}");
    assert!(text.contains("herma enforce"), "{text}");
    house.recorded("\"outcome\"", 1).await;
    assert!(said(&house, &["warrant", "learn"]).await.contains("herma warrant mint"));

    let file = house.path().join("herma.toml");
    let before = std::fs::read_to_string(&file).unwrap();
    let shown = said(&house, &["enforce", "--dry-run"]).await;
    assert!(
        shown.contains("-mode = \"observe\" # do not hold yet\n+mode = \"enforce\" # do not hold yet"),
        "{shown}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
    let shown = said(&house, &["enforce"]).await;
    assert!(shown.contains("held and blocked from now on"), "{shown}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before.replace("\"observe\"", "\"enforce\""));
    let answer = client.post(call(5, "lookup")).await.json().await;
    assert!(answer.to_string().contains("no-lookup"), "{answer}");
    assert_eq!(log.calls(), 4);
    assert!(said(&house, &["enforce"]).await.contains("enforces already"));
}

#[tokio::test]
async fn a_security_block_becomes_policy_that_herma_takes() {
    let house = House::empty();
    let yaml = house.path().join("config.yaml");
    let block = "security:\n  command_denylist: [\"rm -rf\"]\n  approval_mode: manual\n  tool_allowlist: [read_file]\n  \
                 surprise: 1\n";
    std::fs::write(&yaml, block).unwrap();
    let toml = said(&house, &["import", "policy", yaml.to_str().unwrap()]).await;
    assert!(toml.contains("#   surprise: not taken"), "{toml}");
    assert!(toml.contains("--allow 'read_file'"), "{toml}");
    let file = house.path().join("herma.toml");
    std::fs::write(&file, &toml).unwrap();
    let explained = house
        .cli(&[
            "explain",
            "--config",
            file.to_str().unwrap(),
            "--server",
            "hermes",
            "--tool",
            "terminal",
            "--args",
            r#"{"command":"cd / && rm -rf x"}"#,
        ])
        .await;
    let text = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(text.contains("denied-command-1"), "{text}\n{}", String::from_utf8_lossy(&explained.stderr));
    let wrong = house.cli(&["import", "policy", "/dev/null"]).await;
    assert!(!wrong.status.success());
}
