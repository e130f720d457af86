//! What people change on their pages beyond single calls: warrants, the policy, what a hold asks to be typed.
use serde_json::{Value, json};

use crate::{
    browser::Browser,
    house::{GATED, House, OPEN, Plan},
    passkeys::Device,
    wire::{Endpoint, Log, Upstream, soon},
};

const PEOPLE: &str = "[operator]\nlisten = \"127.0.0.1:0\"\n";
const LEARN: &str = "[ledger]\nlearn = true\n";

fn call(tool: &str, arguments: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": tool, "arguments": arguments } })
        .to_string()
}

async fn open(rules: &[&str]) -> (House, Log, Endpoint) {
    let upstream = Upstream::open().await;
    let plan = Plan::default().url("x", &upstream.url).rules(PEOPLE);
    let house = rules.iter().fold(plan, |plan, rules| plan.rules(rules)).open().await;
    let log = upstream.answer_everything();
    let client = house.endpoint("x");
    (house, log, client)
}

/// Whether it ran.
async fn runs(log: &Log, client: &Endpoint, tool: &str, path: &str) -> bool {
    let before = log.calls();
    client.post(call(tool, &json!({ "path": path }))).await.json().await;
    log.calls() > before
}

#[tokio::test]
async fn a_warrant_made_on_the_page_is_tried_on_the_past_and_narrows_from_then_on() {
    let (house, log, client) = open(&[OPEN, LEARN]).await;
    let ada = Browser::paired(&house, "ada").await;
    for path in ["/data/a", "/data/b", "/etc/passwd"] {
        assert!(runs(&log, &client, "read", path).await);
    }
    assert!(runs(&log, &client, "send", "/data/a").await);

    let terms = json!({ "party": "server:x", "allow": "read:path=/data", "life": "1h" });
    let tried = soon("the record to have all four", async {
        loop {
            let tried = ada.change("/op/v1/warrants/preview", &terms).await.good();
            if tried["calls"] == 4 {
                return tried;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!((&tried["allowed"], &tried["refused"], &tried["unknown"]), (&json!(2), &json!(2), &json!(0)));
    assert!(runs(&log, &client, "send", "/data/a").await, "a preview must sign nothing");

    let made = ada.change("/op/v1/warrants", &terms).await;
    assert_eq!(made.status(), 201, "{}", made.text);
    assert!(runs(&log, &client, "read", "/data/a").await);
    assert!(!runs(&log, &client, "read", "/etc/passwd").await);
    assert!(!runs(&log, &client, "send", "/data/a").await);

    // Narrower still, as a child of the first; wider never.
    let wider = json!({ "party": "server:x", "allow": "read:path=/data\nsend" });
    let refused = ada.change("/op/v1/warrants", &wider).await;
    assert_eq!(refused.status(), 422, "{}", refused.text);
    let longer = json!({ "party": "server:x", "life": "2h" });
    assert_eq!(ada.change("/op/v1/warrants/preview", &longer).await.status(), 422);
    let narrower = json!({ "party": "server:x", "allow": "read:path=/data/in", "calls": 1 });
    assert_eq!(ada.change("/op/v1/warrants", &narrower).await.status(), 201);
    assert!(!runs(&log, &client, "read", "/data/a").await);
    assert!(runs(&log, &client, "read", "/data/in/a").await);
    assert!(!runs(&log, &client, "read", "/data/in/a").await, "one call was all");
    let book = ada.get("/op/v1/warrants").await.good();
    assert_eq!(book["warrants"][0]["here"], true);
    assert_eq!(book["warrants"][0]["chain"].as_array().unwrap().len(), 2);

    ada.change("/op/v1/warrants/lift", &json!({ "party": "server:x" })).await.good();
    assert!(runs(&log, &client, "send", "/data/a").await);
    let again = ada.change("/op/v1/warrants/lift", &json!({ "party": "server:x" })).await;
    assert_eq!(again.status(), 404);
    let said = house.cli(&["audit", "grep", "--step", "warrant", "."]).await;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("made") && said.contains("lifted") && said.contains("ada"), "{said}");
}

#[tokio::test]
async fn a_warrant_made_here_gives_nothing_where_every_call_needs_one_of_a_root() {
    let root = "ab".repeat(32);
    let block = format!("[warrants]\ntrusted_roots = [\"{}\"]\n", herma_key(&root));
    let (house, log, client) = open(&[OPEN, &block]).await;
    let ada = Browser::paired(&house, "ada").await;
    assert!(!runs(&log, &client, "read", "/data/a").await);
    let terms = json!({ "party": "server:x", "allow": "read" });
    assert_eq!(ada.change("/op/v1/warrants", &terms).await.status(), 201);
    assert!(!runs(&log, &client, "read", "/data/a").await);
}

/// A public key of some root.
fn herma_key(seed: &str) -> String {
    let seed: [u8; 32] = data_encoding::HEXLOWER.decode(seed.as_bytes()).unwrap().try_into().unwrap();
    data_encoding::HEXLOWER.encode(ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key().as_bytes())
}

#[tokio::test]
async fn a_warrant_made_here_still_narrows_after_a_restart() {
    let (mut house, log, _) = open(&[OPEN]).await;
    let ada = Browser::paired(&house, "ada").await;
    let terms = json!({ "party": "server:x", "allow": "read" });
    assert_eq!(ada.change("/op/v1/warrants", &terms).await.status(), 201);
    house.kill().await;
    house.start().await;
    let client = house.endpoint("x");
    assert!(runs(&log, &client, "read", "/data/a").await);
    assert!(!runs(&log, &client, "send", "/data/a").await);
}

#[tokio::test]
async fn a_draft_is_kept_compared_and_put_in_force_with_the_rest_of_the_file_untouched() {
    let (house, log, client) = open(&["# as it was\n", OPEN]).await;
    let ada = Browser::paired(&house, "ada").await;
    let file = house.path().join("herma.toml");
    let before = std::fs::read_to_string(&file).unwrap();
    let draft = "# nothing runs\n[[rule]]\nid = \"shut\"\ntool = \"*\"\nroute = \"block\"\n";
    ada.change("/op/v1/policy/drafts", &json!({ "name": "shut", "draft": draft })).await.good();
    let kept = ada.get("/op/v1/policy/drafts/shut").await.good();
    assert_eq!((&kept["text"], &kept["stale"], &kept["by"]), (&json!(draft), &json!(false), &json!("ada")));
    assert!(runs(&log, &client, "read", "/a").await, "a draft is not in force");

    let activate = "/op/v1/policy/drafts/shut/activate";
    let other = ada.change(activate, &json!({ "digest": "ab".repeat(32) })).await;
    assert_eq!(other.status(), 409, "not the draft that was looked at");
    let said = ada.change(activate, &json!({ "digest": kept["digest"] })).await.good();
    assert!(!runs(&log, &client, "read", "/a").await, "it is in force before the page hears of it");
    let after = std::fs::read_to_string(&file).unwrap();
    assert!(after.contains(draft.trim()) && !after.contains("\"open\""), "{after}");
    let head = before.split("# as it was").next().unwrap();
    assert!(after.starts_with(head.trim_end()), "{after}");
    assert_eq!(ada.get("/op/v1/policy").await.good()["revision"], said["policy"]);
    assert_eq!(ada.get("/op/v1/policy/drafts").await.good()["drafts"], json!([]));
    let line = house.cli(&["audit", "grep", "--step", "policy", "activates"]).await;
    let line = String::from_utf8_lossy(&line.stdout).into_owned();
    for part in ["ada", "shut", said["before"].as_str().unwrap(), said["after"].as_str().unwrap()] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[tokio::test]
async fn a_draft_of_another_file_or_that_is_not_good_changes_nothing() {
    let (house, log, client) = open(&[OPEN]).await;
    let ada = Browser::paired(&house, "ada").await;
    let file = house.path().join("herma.toml");
    let put = async |name: &str, draft: &str| {
        ada.change("/op/v1/policy/drafts", &json!({ "name": name, "draft": draft })).await.good();
        let digest = ada.get(&format!("/op/v1/policy/drafts/{name}")).await.good()["digest"].clone();
        ada.change(&format!("/op/v1/policy/drafts/{name}/activate"), &json!({ "digest": digest })).await
    };
    let before = std::fs::read_to_string(&file).unwrap();
    for (draft, why) in [
        ("[policy]\nmode = \"perhaps\"\n", "line 2"),
        ("[[server]]\nname = \"y\"\nurl = \"http://127.0.0.1:1\"\n", "no part of the policy"),
        ("policy.mode = \"observe\"\n", "header"),
    ] {
        let refused = put("bad", draft).await;
        assert_eq!(refused.status(), 422, "{}", refused.text);
        assert!(refused.text.contains(why), "{}", refused.text);
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);

    let draft = OPEN.replace("execute", "block");
    ada.change("/op/v1/policy/drafts", &json!({ "name": "late", "draft": draft })).await.good();
    let kept = ada.get("/op/v1/policy/drafts/late").await.good();
    std::fs::write(&file, format!("{before}\n# somebody was here\n")).unwrap();
    let refused =
        ada.change("/op/v1/policy/drafts/late/activate", &json!({ "digest": kept["digest"] })).await;
    assert_eq!((refused.status(), refused.json()["type"].clone()), (409, json!("urn:herma:problem:stale")));
    assert!(refused.text.contains("has changed since"), "{}", refused.text);
    assert!(runs(&log, &client, "read", "/a").await);
    ada.change("/op/v1/policy/drafts/late/remove", &json!({})).await.good();
    assert_eq!(ada.get("/op/v1/policy/drafts/late").await.status(), 404);
}

#[tokio::test]
async fn who_has_a_passkey_touches_it_for_a_warrant_and_for_that_very_one() {
    let (house, log, client) = open(&[OPEN]).await;
    let ada = Browser::paired(&house, "ada").await;
    let mut device = Device::new(80);
    assert_eq!(device.enrol(&ada, None).await.status(), 201);
    let terms = json!({ "party": "server:x", "allow": "read" });
    let asked = ada.change("/op/v1/warrants", &terms).await;
    assert_eq!((asked.status(), asked.json()["needs"].clone()), (403, json!("passkey")));
    let challenge = asked.json()["challenge"].as_str().unwrap().to_owned();
    let with = |terms: &Value, passkey: Value| {
        let mut body = terms.clone();
        body["passkey"] = passkey;
        body
    };
    let other = json!({ "party": "server:x", "allow": "read\nsend" });
    let crossed = with(&other, device.get(&ada, &challenge));
    assert_eq!(ada.change("/op/v1/warrants", &crossed).await.status(), 403, "the touch was for other terms");
    let stale = with(&terms, device.get(&ada, &challenge));
    assert_eq!(ada.change("/op/v1/warrants", &stale).await.status(), 403, "a challenge is good once");
    let asked = ada.change("/op/v1/warrants", &terms).await.json();
    let right = with(&terms, device.get(&ada, asked["challenge"].as_str().unwrap()));
    assert_eq!(ada.change("/op/v1/warrants", &right).await.status(), 201);
    assert!(!runs(&log, &client, "send", "/a").await);
    // Where the policy asks for passkeys, whoever has none changes neither warrants nor the policy.
    let strict = "[[approval]]\nclass = \"critical\"\nmethod = \"passkey\"\n";
    let (house, ..) = open(&[OPEN, strict]).await;
    let bob = Browser::paired(&house, "bob").await;
    let refused = bob.change("/op/v1/warrants", &terms).await;
    assert_eq!((refused.status(), refused.json()["needs"].clone()), (403, json!("passkey")));
    assert!(refused.json().get("challenge").is_none());
}

#[tokio::test]
async fn what_nobody_can_take_back_runs_only_for_who_typed_what_it_is_aimed_at() {
    let (house, log, client) = open(&[GATED]).await;
    let ada = Browser::paired(&house, "ada").await;
    let wipe = call("run_command", &json!({ "command": "rm -rf /srv/harbour", "target": "harbour-9" }));
    let agent = tokio::spawn(async move { client.post(wipe).await.json().await });
    let hold = ada.held(&house).await;
    assert_eq!((&hold["class"], &hold["typed"]), (&json!("critical"), &json!("harbour-9")));
    let id = hold["id"].as_str().unwrap();
    for typed in [Value::Null, json!(""), json!("harbour-8")] {
        let refused = ada.say(&hold, json!({ "decision": "approve", "typed": typed })).await;
        let problem = refused.json();
        assert_eq!((refused.status(), &problem["type"]), (403, &json!("urn:herma:problem:untyped")));
        assert_eq!(problem["typed"], "harbour-9");
    }
    let named = json!({ "id": id, "version": hold["version"], "call_digest": hold["call_digest"] });
    let batch = json!({ "holds": [named], "decision": "approve" });
    let said = ada.change("/op/v1/holds/batch", &batch).await.good();
    assert!(said["results"][0]["problem"].is_object(), "{said}");
    let quiet = house.cli(&["holds", "approve", id]).await;
    let said = String::from_utf8_lossy(&quiet.stderr).into_owned();
    assert!(!quiet.status.success() && said.contains("--yes-irreversible harbour-9"), "{said}");
    let wrong = house.cli(&["holds", "approve", id, "--yes-irreversible", "yes"]).await;
    assert!(!wrong.status.success());
    assert_eq!(log.calls(), 0);
    let right = house.cli(&["holds", "approve", id, "--yes-irreversible", "harbour-9"]).await;
    assert!(right.status.success(), "{}", String::from_utf8_lossy(&right.stderr));
    soon("the agent's answer", agent).await.unwrap();
    assert_eq!(log.calls(), 1);
}

#[tokio::test]
async fn the_record_is_taken_away_as_the_terminal_writes_it() {
    let (house, log, client) = open(&[OPEN]).await;
    let ada = Browser::paired(&house, "ada").await;
    for tool in ["read", "send"] {
        assert!(runs(&log, &client, tool, "/a").await);
    }
    let grep = async |query: &str| ada.get(&format!("/op/v1/audit/export/{query}")).await;
    let lines = soon("both calls in the record", async {
        loop {
            let lines = grep("jsonl?tool=read&step=routed").await.text;
            if lines.lines().count() == 1
                && grep("jsonl?tool=send&step=routed").await.text.lines().count() == 1
            {
                return lines;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    let answer = grep("jsonl?tool=read&step=routed").await;
    assert_eq!(answer.head.header("content-type"), Some("application/jsonl"));
    assert!(answer.head.header("content-disposition").unwrap().contains("herma.jsonl"));
    let whole = house.cli(&["audit", "export"]).await;
    let whole = String::from_utf8(whole.stdout).unwrap();
    assert!(whole.contains(lines.trim()), "{lines}");
    assert_eq!(serde_json::from_str::<Value>(lines.trim()).unwrap()["detail"]["tool_name"], "read");
    let event: Value = serde_json::from_str(grep("ocsf?tool=send&step=routed").await.text.trim()).unwrap();
    assert_eq!(event["class_uid"], 6003);
    assert_eq!(grep("csv").await.status(), 404);
    assert_eq!(grep("jsonl?limit=1").await.status(), 400);
    assert_eq!(grep("jsonl?colour=red").await.status(), 400, "a condition that is not kept");
    let nobody = Browser::new(&house, 1);
    assert_eq!(nobody.get("/op/v1/audit/export/jsonl").await.status(), 401);
}

#[tokio::test]
async fn a_rule_from_a_hold_is_tried_on_all_that_the_record_can_tell() {
    // The rule is learned by risk: no rule of the file holds it.
    let (house, log, client) = open(&[LEARN, "[policy]\nexecute_below = 0.0\ngate_above = 0.0\n"]).await;
    let ada = Browser::paired(&house, "ada").await;
    let post = |client: &Endpoint, note: &str| {
        let (client, body) =
            (client.clone(), call("http_post", &json!({ "url": "https://a.example/v1", "note": note })));
        tokio::spawn(async move { client.post(body).await.json().await })
    };
    for note in ["short", "short"] {
        let agent = post(&client, note);
        house.approve().await;
        soon("the agent's answer", agent).await.unwrap();
    }
    assert_eq!(log.calls(), 2);
    let _agent = post(&client, "short");
    let hold = ada.held(&house).await;
    let path = format!("/op/v1/holds/{}/similar/preview", hold["id"].as_str().unwrap());
    let shown = soon("the record to have all three", async {
        loop {
            let shown = ada.change(&path, &json!({ "scope": "all" })).await.good();
            if shown["calls"] == 3 {
                return shown;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!((&shown["passed"], &shown["unsure"]), (&json!(3), &json!(0)), "{shown}");
    assert!(shown["told"].as_str().unwrap().contains("3 calls of this tool"), "{shown}");
}
