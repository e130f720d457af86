//! An auditor at work, on the record of a real daemon.
use serde_json::Value;

use crate::{
    house::{GATED, House, Plan},
    wire::Upstream,
};

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"send_mail","arguments":{"to":"ann@example.com","text":"hunter2"}}}"#;

/// A house in which one call was approved and has run, and the hold's id.
async fn after_a_call() -> (House, String) {
    let upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(GATED).open().await;
    let _log = upstream.answer_everything();
    let client = house.endpoint("x");
    let waiting = tokio::spawn(async move { client.post(CALL).await.all().await });
    let hold = house.held().await;
    assert!(house.cli(&["holds", "approve", &hold]).await.status.success());
    waiting.await.unwrap();
    (house, hold)
}

async fn told(house: &House, arguments: &[&str]) -> String {
    let output = house.cli(arguments).await;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn the_whole_way_of_a_call_is_found_by_its_tool_and_its_receipt_holds_away_from_here() {
    let (house, hold) = after_a_call().await;
    // The end of the call is written a moment after its answer has left.
    let steps = crate::wire::soon("the end of the call", async {
        loop {
            let found = house.cli(&["audit", "grep", "--tool", "send_*", "--since", "1h", "--json"]).await;
            let found = lines(&String::from_utf8(found.stdout).unwrap());
            let steps: Vec<_> = found.iter().map(|line| line["step"].as_str().unwrap().to_owned()).collect();
            if steps.last().is_some_and(|step| step == "settled") {
                break steps;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(steps, ["routed", "held", "decided", "forwarded", "settled"]);
    let decided =
        lines(&told(&house, &["audit", "grep", "--agent", "local", "--step", "decided", "--json"]).await);
    let receipt = &decided[0]["detail"]["receipt"];
    let approver = receipt["approver"]["id"].as_str().unwrap();
    let by = told(&house, &["audit", "grep", "--approver", approver, "--json"]).await;
    assert_eq!(lines(&by), decided);
    assert!(told(&house, &["audit", "verify-receipt", &hold]).await.contains("the signature holds"));

    let elsewhere = tempfile::tempdir().unwrap();
    let [file, key] = ["receipt.json", "herma.pub"].map(|name| elsewhere.path().join(name));
    std::fs::write(&file, receipt.to_string()).unwrap();
    std::fs::copy(house.path().join("ledger.pub"), &key).unwrap();
    let check = || async {
        let mut command = tokio::process::Command::new(crate::house::HERMA);
        command.args(["audit", "verify-receipt"]).arg(&file).arg("--key").arg(&key);
        command.arg("--data-dir").arg(elsewhere.path()).output().await.unwrap()
    };
    assert!(check().await.status.success());
    std::fs::write(&file, receipt.to_string().replace("approve", "deny")).unwrap();
    assert!(!check().await.status.success());
}

#[tokio::test]
async fn a_proof_and_a_kept_checkpoint_are_checked_against_the_running_ledger() {
    let (mut house, _) = after_a_call().await;
    // A clean stop signs what is there.
    let pid = house.daemon_pid();
    told(&house, &["status", "--stop"]).await;
    crate::house::ended(pid).await;
    let kept = house.path().join("kept");
    std::fs::copy(house.path().join("ledger/checkpoint"), &kept).unwrap();
    let proof = house.path().join("proof.txt");
    std::fs::write(&proof, told(&house, &["audit", "proof", "1"]).await).unwrap();
    let said = told(&house, &["audit", "verify-proof", proof.to_str().unwrap()]).await;
    assert!(said.contains("\"step\":\"routed\""), "{said}");
    house.start().await;
    let kept = kept.to_str().unwrap();
    let verified = told(&house, &["audit", "verify", "--checkpoint", kept]).await;
    assert!(verified.contains("intact") && verified.contains("continues"), "{verified}");

    // The other way about, away from here: the newest head and what leads to it, for whoever keeps the old one.
    let path = house.path().join("consistency.txt");
    std::fs::write(&path, told(&house, &["audit", "consistency", kept]).await).unwrap();
    let path = path.to_str().unwrap();
    let said = told(&house, &["audit", "verify-proof", path, "--checkpoint", kept]).await;
    assert!(said.contains("continues"), "{said}");
    assert!(!house.cli(&["audit", "verify-proof", path]).await.status.success());
}

#[tokio::test]
async fn what_is_exported_for_other_programs_has_no_argument_in_it() {
    let (house, _) = after_a_call().await;
    let jsonl = told(&house, &["audit", "export"]).await;
    let ocsf = told(&house, &["audit", "export", "--format", "ocsf", "--since", "1h"]).await;
    let events = lines(&ocsf);
    assert!(events.iter().all(|event| event["class_uid"] == 6003));
    assert!(events.iter().any(|event| event["disposition"] == "Approved"));
    assert!(!jsonl.contains("hunter2") && !ocsf.contains("hunter2"));
}

#[tokio::test]
async fn what_was_erased_is_gone_and_the_record_verifies_and_says_who_wanted_it() {
    let (house, hold) = after_a_call().await;
    let before = std::fs::read(house.path().join("herma.db")).unwrap();
    let said =
        told(&house, &["audit", "erase", "--person", "ann@example.com", "--reason", "asked in writing"])
            .await;
    assert!(said.starts_with("forgotten: 1 raw arguments, 1 views"), "{said}");
    let held = |bytes: &[u8]| bytes.windows(7).any(|at| at == b"hunter2");
    let files =
        ["herma.db", "herma.db-wal"].map(|name| std::fs::read(house.path().join(name)).unwrap_or_default());
    assert!(!files.iter().any(|file| held(file)), "the arguments are still there ({} before)", before.len());
    assert!(!told(&house, &["holds", "show", &hold, "--json"]).await.contains("ann@example.com"));

    let record = told(&house, &["audit", "grep", "--step", "erased", "--json"]).await;
    assert!(record.contains("asked in writing") && !record.contains("ann@"), "{record}");
    assert_eq!(record.lines().count(), 2);
    assert!(told(&house, &["audit", "verify"]).await.contains("intact"));
    let nobody = house.cli(&["audit", "erase", "--person", "", "--reason", "x"]).await;
    assert!(!nobody.status.success());
    assert!(!house.cli(&["audit", "erase", "--reason", "x"]).await.status.success());
}
