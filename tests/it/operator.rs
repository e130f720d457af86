//! The people's listener, as people and attackers find it.
use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    browser::{Browser, base64url, code, now},
    house::{GATED, House, OPEN, Plan},
    wire::{Endpoint, Log, Upstream, soon},
};

const PEOPLE: &str = "[operator]\nlisten = \"127.0.0.1:0\"\n";

fn call(to: &str) -> String {
    json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "send_mail", "arguments": { "to": to, "body": "see you at noon" } },
    })
    .to_string()
}

/// A house where everything waits, its upstream, and a call that waits already.
async fn waiting(to: &str) -> (House, Log, tokio::task::JoinHandle<Value>) {
    let upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(PEOPLE).rules(GATED).open().await;
    let log = upstream.answer_everything();
    let (client, body) = (house.endpoint("x"), call(to));
    let agent = tokio::spawn(async move { client.post(body).await.json().await });
    house.held().await;
    (house, log, agent)
}

#[tokio::test]
async fn a_paired_browser_sees_what_waits_and_lets_it_run() {
    let (house, log, agent) = waiting("ann@example.com").await;
    let ada = Browser::paired(&house, "ada").await;
    let inbox = ada.get("/op/v1/inbox").await.good();
    let row = &inbox["groups"][0]["rows"][0];
    assert_eq!(row["phrase"], json!({ "verb": "Send a message to", "object": "ann@example.com" }));
    let hold = ada.held(&house).await;
    assert_eq!(hold["arguments"]["to"], "ann@example.com");
    let said = ada.decide(&hold, "approve").await.good();
    assert_eq!(said["receipt"]["approver"]["id"], "ada");
    assert_eq!(said["receipt"]["approver"]["method"], "session");
    let answer = soon("the agent's answer", agent).await.unwrap();
    assert_eq!(answer["result"]["content"][0]["text"], "ran");
    assert_eq!(log.calls(), 1);
    let again = ada.decide(&hold, "approve").await;
    assert_eq!(again.status(), 409, "{}", again.text);
}

#[tokio::test]
async fn a_denial_says_why_to_the_model() {
    let (house, log, agent) = waiting("ann").await;
    let ada = Browser::paired(&house, "ada").await;
    let hold = ada.held(&house).await;
    ada.say(&hold, json!({ "decision": "deny", "reason": "call her instead" })).await.good();
    let answer = soon("the agent's answer", agent).await.unwrap();
    assert!(
        answer["result"]["content"][0]["text"].as_str().unwrap().contains("call her instead"),
        "{answer}"
    );
    assert_eq!(log.calls(), 0);
}

#[tokio::test]
async fn a_stale_page_decides_nothing() {
    let (house, log, _agent) = waiting("ann").await;
    let ada = Browser::paired(&house, "ada").await;
    let hold = ada.held(&house).await;
    let mut other = hold.clone();
    other["call_digest"] = "ab".repeat(32).into();
    let refused = ada.decide(&other, "approve").await;
    assert_eq!((refused.status(), refused.json()["type"].clone()), (409, json!("urn:herma:problem:stale")));
    let mut old = hold.clone();
    old["version"] = 99.into();
    let refused = ada.decide(&old, "approve").await;
    assert_eq!((refused.status(), refused.json()["version"].clone()), (409, hold["version"].clone()));
    other["call_digest"] = "abcd".into();
    assert_eq!(ada.decide(&other, "approve").await.status(), 400, "a prefix is for those who type");
    assert_eq!(log.calls(), 0);
}

#[tokio::test]
async fn a_stolen_cookie_reads_and_decides_nothing() {
    let (house, log, _agent) = waiting("ann").await;
    let ada = Browser::paired(&house, "ada").await;
    let hold = ada.held(&house).await;
    let thief = Browser { key: ed25519_dalek::SigningKey::from_bytes(&[200; 32]), ..ada.clone() };
    assert_eq!(thief.get("/op/v1/inbox").await.status(), 200);
    let refused = thief.decide(&hold, "approve").await;
    assert_eq!(
        (refused.status(), refused.json()["type"].clone()),
        (403, json!("urn:herma:problem:unsigned"))
    );
    let path = format!("/op/v1/holds/{}/decision", hold["id"].as_str().unwrap());
    let body =
        json!({ "version": hold["version"], "call_digest": hold["call_digest"], "decision": "approve" });
    let origin = ada.origin();
    let unsigned = [("content-type", "application/json"), ("origin", origin.as_str())];
    let answer = thief.raw(&thief.bytes("POST", &path, &unsigned, &body.to_string())).await;
    assert_eq!(answer.status(), 403);
    for change in
        ["/op/v1/freeze", "/op/v1/session/end", "/op/v1/passkeys/challenge", "/op/v1/policy/simulate"]
    {
        assert_eq!(thief.change(change, &json!({})).await.status(), 403, "{change}");
    }
    assert_eq!(log.calls(), 0);
}

#[tokio::test]
async fn a_request_that_was_seen_cannot_be_made_again() {
    let (house, ..) = waiting("ann").await;
    let ada = Browser::paired(&house, "ada").await;
    let freeze = json!({ "what": "all", "reason": "lunch" });
    let request = ada.signed("/op/v1/freeze", &freeze);
    ada.raw(&request).await.good();
    ada.change("/op/v1/thaw", &json!({ "what": "all" })).await.good();
    let again = ada.raw(&request).await;
    assert_eq!((again.status(), again.json()["type"].clone()), (403, json!("urn:herma:problem:replayed")));
    // A signature for one address or body is none for another, and an old one is none at all.
    let elsewhere = String::from_utf8(ada.signed("/op/v1/freeze", &freeze)).unwrap();
    let elsewhere = elsewhere.replace("POST /op/v1/freeze", "POST /op/v1/freeze?x=1");
    assert_eq!(ada.raw(elsewhere.as_bytes()).await.status(), 403);
    let changed = String::from_utf8(ada.signed("/op/v1/freeze", &freeze)).unwrap().replace("lunch", "never");
    assert_eq!(ada.raw(changed.as_bytes()).await.status(), 403);
    let (origin, body) = (ada.origin(), freeze.to_string());
    let old = ada.signature("/op/v1/freeze", body.as_bytes(), now() - 120_000);
    let headers = [
        ("content-type", "application/json"),
        ("origin", origin.as_str()),
        ("herma-signature", old.as_str()),
    ];
    assert_eq!(ada.raw(&ada.bytes("POST", "/op/v1/freeze", &headers, &body)).await.status(), 403);
    assert_eq!(ada.get("/op/v1/freeze").await.good()["frozen"], json!([]));
}

#[tokio::test]
async fn another_session_of_the_same_key_cannot_use_its_signatures() {
    let house = Plan::default().rules(PEOPLE).open().await;
    let first = Browser::paired(&house, "ada").await;
    let second = Browser::paired(&house, "ada").await;
    assert_ne!(first.session, second.session);
    let crossed = Browser { cookie: second.cookie.clone(), ..first.clone() };
    assert_eq!(crossed.change("/op/v1/freeze", &json!({ "what": "all" })).await.status(), 403);
}

#[tokio::test]
async fn a_code_is_good_once_for_five_tries_and_for_one_name() {
    let house = Plan::default().rules(PEOPLE).open().await;
    let browser = Browser::new(&house, 1);
    assert_eq!(browser.pair("ABCDEFGH", "eve").await.status(), 403, "no code was made");
    let good = code(&house, &["--json", "ada"]).await;
    assert_eq!(browser.pair(&good, "eve").await.status(), 422, "the code is for ada");
    assert_eq!(browser.pair(&good, "ada").await.status(), 403, "it was used up");
    let good = code(&house, &["--json"]).await;
    for left in (1..5).rev() {
        assert_eq!(browser.pair("AAAAAAAA", "").await.json()["tries_left"], left);
    }
    assert_eq!(browser.pair("AAAAAAAA", "").await.status(), 403);
    assert_eq!(browser.pair(&good, "").await.status(), 403, "the sixth try is one too many");
    let good = code(&house, &["--json", "ada"]).await;
    assert_eq!(
        browser.pair(&format!("{}-{}", &good[..4], &good[4..]).to_lowercase(), "").await.status(),
        201
    );
    assert_eq!(browser.pair(&good, "").await.status(), 403, "a code is good once");
    // Whoever gets a code without a name cannot take the name of somebody who decides here.
    let other = Browser::new(&house, 2);
    let taken = other.pair(&code(&house, &["--json"]).await, "ada").await;
    assert_eq!((taken.status(), taken.json()["type"].clone()), (409, json!("urn:herma:problem:taken")));
    let stranger = other.pair(&code(&house, &["--json"]).await, "bob\u{202e}").await;
    assert_eq!(stranger.status(), 422);
}

#[tokio::test]
async fn the_key_must_be_the_one_that_signed_the_pairing() {
    let house = Plan::default().rules(PEOPLE).open().await;
    let browser = Browser::new(&house, 1);
    let good = code(&house, &["--json", "ada"]).await;
    let foreign = base64url(ed25519_dalek::SigningKey::from_bytes(&[9; 32]).verifying_key().as_bytes());
    let body = json!({ "code": good, "key": { "algorithm": "ed25519", "public": foreign } });
    assert_eq!(browser.change("/op/v1/pair", &body).await.status(), 403);
    let weak = json!({ "code": good, "key": { "algorithm": "ed25519", "public": base64url(&[0; 32]) } });
    assert_eq!(browser.change("/op/v1/pair", &weak).await.status(), 422);
    assert_eq!(browser.pair(&good, "").await.status(), 201, "neither has used the code up");
}

#[tokio::test]
async fn a_page_of_another_name_reaches_nothing() {
    let (house, ..) = waiting("ann").await;
    let ada = Browser::paired(&house, "ada").await;
    let port = ada.host.rsplit_once(':').unwrap().1.to_owned();
    let names = [format!("evil.example:{port}"), format!("localhost:{port}"), format!("127.0.0.1:{port}")];
    for host in names.iter().map(String::as_str).chain(["herma.localhost", "herma.localhost:1", ""]) {
        let rebound = Browser { host: host.to_owned(), ..ada.clone() };
        for path in ["/", "/pair", "/op/v1/inbox", "/op/v1/events", "/assets/x"] {
            let answer = rebound.raw(&rebound.bytes("GET", path, &[], "")).await;
            assert_eq!(answer.status(), 421, "{host} {path}");
            assert!(answer.head.header("content-security-policy").is_some());
        }
        assert_eq!(rebound.change("/op/v1/freeze", &json!({ "what": "all" })).await.status(), 421, "{host}");
    }
    let absolute =
        format!("GET http://evil.example/ HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", ada.host);
    assert_eq!(ada.raw(absolute.as_bytes()).await.status(), 421);
}

#[tokio::test]
async fn no_other_page_changes_anything_whatever_it_sends() {
    let (house, ..) = waiting("ann").await;
    let ada = Browser::paired(&house, "ada").await;
    let port: u16 = ada.host.rsplit_once(':').unwrap().1.parse().unwrap();
    let body = json!({ "what": "all" }).to_string();
    let own = ada.origin();
    let origins = [
        "null".to_owned(),
        format!("http://localhost:{port}"),
        format!("http://herma.localhost:{}", port ^ 1),
        format!("https://herma.localhost:{port}"),
        "http://evil.example".to_owned(),
    ];
    for kind in ["text/plain", "application/json", "application/x-www-form-urlencoded", "multipart/form-data"]
    {
        for origin in &origins {
            let signature = ada.signature("/op/v1/freeze", body.as_bytes(), now());
            let headers = [("content-type", kind), ("origin", origin), ("herma-signature", &signature)];
            let answer = ada.raw(&ada.bytes("POST", "/op/v1/freeze", &headers, &body)).await;
            assert_eq!(answer.status(), 403, "{kind} from {origin}");
        }
        let signature = ada.signature("/op/v1/freeze", body.as_bytes(), now());
        let none = [("content-type", kind), ("herma-signature", signature.as_str())];
        assert_eq!(ada.raw(&ada.bytes("POST", "/op/v1/freeze", &none, &body)).await.status(), 403, "{kind}");
        if kind != "application/json" {
            let ours = [("content-type", kind), ("origin", &own), ("herma-signature", &signature)];
            assert_eq!(
                ada.raw(&ada.bytes("POST", "/op/v1/freeze", &ours, &body)).await.status(),
                415,
                "{kind}"
            );
        }
    }
    for site in ["same-site", "cross-site", "none", "junk"] {
        let signature = ada.signature("/op/v1/freeze", body.as_bytes(), now());
        let headers = [
            ("content-type", "application/json"),
            ("origin", own.as_str()),
            ("sec-fetch-site", site),
            ("herma-signature", &signature),
        ];
        assert_eq!(
            ada.raw(&ada.bytes("POST", "/op/v1/freeze", &headers, &body)).await.status(),
            403,
            "{site}"
        );
    }
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECTX"] {
        let answer = ada.raw(&ada.bytes(method, "/op/v1/freeze", &[], "")).await;
        assert_eq!(answer.status(), 405, "{method}");
        assert!(answer.head.headers.iter().all(|(name, _)| !name.starts_with("access-control")), "{method}");
    }
    assert_eq!(ada.get("/op/v1/freeze").await.good()["frozen"], json!([]));
}

#[tokio::test]
async fn a_page_on_another_port_reads_nothing_and_a_link_opens_a_page() {
    let (house, ..) = waiting("ann").await;
    let ada = Browser::paired(&house, "ada").await;
    let from = |site: &str, mode: &str, dest: &str, path: &str| {
        let headers = [("sec-fetch-site", site), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)];
        ada.bytes("GET", path, &headers, "")
    };
    let status = async |request: Vec<u8>| ada.raw(&request).await.status();
    assert_eq!(status(from("same-site", "cors", "empty", "/op/v1/inbox")).await, 403);
    assert_eq!(status(from("same-site", "navigate", "iframe", "/")).await, 403);
    assert_eq!(status(from("same-site", "no-cors", "image", "/assets/x")).await, 403);
    assert_eq!(status(from("cross-site", "navigate", "document", "/op/v1/inbox")).await, 403);
    assert_eq!(status(from("cross-site", "navigate", "document", "/")).await, 200);
    assert_eq!(status(from("none", "navigate", "document", "/")).await, 200);
}

#[tokio::test]
async fn agents_find_nothing_of_it_on_their_listener() {
    let (house, ..) = waiting("ann").await;
    let ada = Browser::paired(&house, "ada").await;
    let hold = ada.held(&house).await;
    let id = hold["id"].as_str().unwrap();
    let agents = house.agent().to_owned();
    let pages = ["/", "/pair", "/s", "/review", "/sim", "/w", "/log", "/settings", "/assets/herma.js"];
    let data = ["/op/v1/inbox", "/op/v1/events", "/op/v1/holds", "/op/v1/me", "/op/v1/audit", "/op/v1/pair"];
    let changes = [format!("/h/{id}"), format!("/op/v1/holds/{id}"), format!("/op/v1/holds/{id}/decision")];
    for path in pages.into_iter().chain(data).chain(changes.iter().map(String::as_str)) {
        for method in ["GET", "POST"] {
            let agent = Endpoint::new(format!("{agents}{path}")).with("cookie", &ada.cookie);
            assert_eq!(agent.send(method, b"{}").await.head.status(), 404, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn nobody_who_is_not_signed_in_sees_anything() {
    let (house, ..) = waiting("ann@secret.example").await;
    let nobody = Browser::new(&house, 1);
    let pages = ["/", "/h/h-abc", "/s", "/s/-", "/review", "/sim", "/w", "/log", "/settings"];
    for page in pages {
        let answer = nobody.get(page).await;
        assert_eq!(answer.status(), 401, "{page}");
        assert!(!answer.text.contains("secret.example"));
    }
    for data in
        ["inbox", "holds", "events", "me", "figures", "sessions", "reviews", "warrants", "audit", "settings"]
    {
        let answer = nobody.get(&format!("/op/v1/{data}")).await;
        assert_eq!(answer.status(), 401, "{data}");
        assert_eq!(answer.head.header("content-type"), Some("application/problem+json"));
    }
    let forged = Browser { cookie: "__Host-herma=AAAA".into(), ..nobody.clone() };
    assert_eq!(forged.get("/op/v1/inbox").await.status(), 401);
    let ada = Browser::paired(&house, "ada").await;
    let two = Browser { cookie: format!("{}; {}", ada.cookie, forged.cookie), ..ada.clone() };
    assert_eq!(two.get("/op/v1/inbox").await.status(), 401, "a cookie that somebody tossed in counts");
}

#[tokio::test]
async fn every_answer_forbids_what_a_page_of_ours_does_not_do() {
    let (house, ..) = waiting("ann").await;
    let ada = Browser::paired(&house, "ada").await;
    for path in ["/", "/pair", "/nothing", "/op/v1/inbox", "/op/v1/nothing", "/assets/nothing"] {
        let answer = ada.get(path).await;
        let header = |name: &str| answer.head.header(name).unwrap_or_default().to_owned();
        let policy = header("content-security-policy");
        for part in
            ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for"]
        {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin");
        assert!(header("cache-control").starts_with("no-"), "{path}");
    }
}

#[tokio::test]
async fn signing_out_or_being_removed_ends_it_at_once() {
    let house = Plan::default().rules(PEOPLE).open().await;
    let ada = Browser::paired(&house, "ada").await;
    let bob = Browser::paired(&house, "bob").await;
    let listening = ada.open(&ada.bytes("GET", "/op/v1/events", &[], "")).await;
    ada.change("/op/v1/session/end", &json!({})).await.good();
    assert_eq!(ada.get("/op/v1/me").await.status(), 401);
    let mut listening = listening;
    bob.change("/op/v1/freeze", &json!({ "what": "all" })).await.good();
    let heard = String::from_utf8(listening.body.until("signed-out").await).unwrap();
    assert!(!heard.contains("event: freeze"), "{heard}");
    assert!(house.cli(&["approvers", "remove", "bob"]).await.status.success());
    assert_eq!(bob.get("/op/v1/me").await.status(), 401);
    let list = house.cli(&["approvers", "list", "--json"]).await;
    let list: Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!(list.as_array().map(Vec::len), Some(1), "{list}");
}

#[tokio::test]
async fn what_happens_is_told_as_it_happens_and_again_to_a_page_that_was_away() {
    let upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(PEOPLE).rules(GATED).open().await;
    let _log = upstream.answer_everything();
    let ada = Browser::paired(&house, "ada").await;
    let since = ada.get("/op/v1/inbox").await.good()["last_event"].as_u64().unwrap();
    let mut events = ada.open(&ada.bytes("GET", "/op/v1/events", &[], "")).await;
    assert_eq!(events.head.header("content-type"), Some("text/event-stream"));
    events.body.until("listening").await;
    let (client, body) = (house.endpoint("x"), call("ann"));
    let agent = tokio::spawn(async move { client.post(body).await.json().await });
    let heard = String::from_utf8(events.body.until("\"pending\"").await).unwrap();
    assert!(heard.contains("event: hold"), "{heard}");
    assert!(house.cli(&["freeze", "--reason", "x"]).await.status.success());
    events.body.until("event: freeze").await;
    drop(events);
    let hold = ada.held(&house).await;
    ada.decide(&hold, "deny").await.good();
    soon("the agent's answer", agent).await.unwrap();
    let back = format!("{since}");
    let mut events = ada.open(&ada.bytes("GET", "/op/v1/events", &[("last-event-id", &back)], "")).await;
    let missed = String::from_utf8(events.body.until("\"denied\"").await).unwrap();
    assert!(missed.contains("\"pending\"") && missed.contains("event: freeze"), "{missed}");
    let mut events = ada.open(&ada.bytes("GET", "/op/v1/events", &[("last-event-id", "17")], "")).await;
    events.body.until("event: reload").await;
}

#[tokio::test]
async fn a_batch_names_each_hold_and_each_fails_alone() {
    let upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(PEOPLE).rules(GATED).open().await;
    let log = upstream.answer_everything();
    let ada = Browser::paired(&house, "ada").await;
    let agents: Vec<_> = ["ann", "bob", "cyd"]
        .map(|to| {
            let (client, body) = (house.endpoint("x"), call(to));
            tokio::spawn(async move { client.post(body).await.json().await })
        })
        .into();
    soon("all three to wait", async {
        while house.holds().await.len() < 3 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let listed = ada.get("/op/v1/holds?state=pending&limit=10").await.good();
    let rows = listed["holds"].as_array().unwrap();
    let named = |row: &Value, version: &Value| json!({ "id": row["id"], "version": version, "call_digest": row["call_digest"] });
    let holds = json!([
        named(&rows[0], &rows[0]["version"]),
        named(&rows[1], &rows[1]["version"]),
        named(&rows[2], &json!(77)),
    ]);
    let said =
        ada.change("/op/v1/holds/batch", &json!({ "holds": holds, "decision": "approve" })).await.good();
    let results = said["results"].as_array().unwrap();
    assert_eq!(results[0]["state"], "approved", "{said}");
    assert_eq!(results[1]["state"], "approved", "{said}");
    assert_eq!(results[2]["problem"]["status"], 409, "{said}");
    let answered = || agents.iter().filter(|agent| agent.is_finished()).count();
    soon("two of them to be answered", async {
        while answered() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!((log.calls(), answered()), (2, 2));
    let all = json!({ "holds": "all", "decision": "approve" });
    assert_eq!(ada.change("/op/v1/holds/batch", &all).await.status(), 400, "there is no `all`");
}

#[tokio::test]
async fn an_audit_finds_who_decided_and_proves_the_line() {
    let (house, _log, agent) = waiting("ann").await;
    let ada = Browser::paired(&house, "ada").await;
    let hold = ada.held(&house).await;
    ada.decide(&hold, "approve").await.good();
    soon("the agent's answer", agent).await.unwrap();
    let page = ada.get("/op/v1/audit?approver=ada&step=decided").await.good();
    let entry = &page["entries"][0];
    assert_eq!(entry["detail"]["receipt"]["hold"], hold["id"], "{page}");
    assert_eq!(ada.get("/op/v1/audit?approver=eve&step=decided").await.good()["entries"], json!([]));
    assert_eq!(ada.get("/op/v1/audit?nonsense=1").await.status(), 400);
    let digest = hold["call_digest"].as_str().unwrap();
    assert!(
        !ada.get(&format!("/op/v1/audit?digest={digest}")).await.good()["entries"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    // Signed when the daemon stops; then an earlier line can be shown to others.
    let seq = entry["seq"].as_u64().unwrap();
    let proof = ada.get(&format!("/op/v1/audit/proof/{seq}")).await;
    match proof.status() {
        200 => assert!(proof.text.starts_with("c2sp.org/tlog-proof@v1\n"), "{}", proof.text),
        status => assert_eq!((status, entry["proven"].clone()), (404, json!(false)), "{}", proof.text),
    }
    let session = hold["session"].as_str().unwrap();
    let timeline = ada.get(&format!("/op/v1/sessions/{session}")).await.good();
    assert_eq!(timeline["calls"][0]["decided"]["by"], "ada", "{timeline}");
    assert_eq!(timeline["calls"][0]["hold"], hold["id"]);
    assert_eq!(ada.get("/op/v1/sessions").await.good()["sessions"][0]["calls"], 1);
}

#[tokio::test]
async fn a_draft_of_the_policy_says_what_would_go_another_way() {
    let upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(PEOPLE).rules(OPEN).open().await;
    let _log = upstream.answer_everything();
    let ada = Browser::paired(&house, "ada").await;
    for to in ["ann", "bob"] {
        house.endpoint("x").post(call(to)).await.json().await;
    }
    let replayed = async |draft: &str| {
        let body = json!({ "draft": draft, "days": 1 });
        ada.change("/op/v1/policy/simulate", &body).await.good()
    };
    let answer = replayed(GATED).await;
    assert_eq!((&answer["calls"], &answer["changed_total"]), (&json!(2), &json!(2)), "{answer}");
    assert_eq!(answer["hits"]["gated"], 2);
    let wrong = replayed("[[rule]]\nid = 7\n").await;
    assert_eq!((&wrong["kind"], &wrong["line"]), (&json!("wrong"), &json!(2)), "{wrong}");
    let pasted =
        json!({ "call": { "server": "x", "tool": "delete_database", "arguments": { "name": "prod" } } });
    let judged = ada.change("/op/v1/policy/simulate", &pasted).await.good();
    assert_eq!(judged["now"]["rule"], "open", "{judged}");
    assert!(!judged["reasons"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn no_secret_stands_in_the_log_the_record_an_environment_or_an_address() {
    let (house, ..) = waiting("ann").await;
    let code = code(&house, &["--json", "ada"]).await;
    let mut ada = Browser::new(&house, 5);
    let answer = ada.pair(&code, "").await;
    answer.good();
    ada.welcome(&answer);
    let cookie = ada.cookie.split_once('=').unwrap().1.to_owned();
    assert!(!answer.text.contains(&cookie), "only the cookie header has it");
    let hold = ada.held(&house).await;
    ada.decide(&hold, "deny").await.good();
    ada.get("/").await;
    let record = house.cli(&["audit", "tail", "-n", "1000", "--json"]).await;
    let database = std::fs::read(house.path().join("herma.db")).unwrap();
    let journal = std::fs::read(house.path().join("herma.db-wal")).unwrap_or_default();
    let mut places = vec![house.stderr().into_bytes(), record.stdout, database, journal];
    // What any program of the same user can read of the daemon without asking.
    for shown in ["environ", "cmdline"] {
        places.push(std::fs::read(format!("/proc/{}/{shown}", house.daemon_pid())).unwrap());
    }
    for secret in [&code, &cookie] {
        for place in &places {
            assert!(!crate::wire::contains(place, secret.as_bytes()), "{secret}");
        }
    }
    let settings = ada.get("/op/v1/settings").await;
    assert!(!settings.text.contains(&cookie) && settings.good()["approvers"][0]["name"] == "ada");
}

#[tokio::test]
async fn what_is_too_long_or_unreadable_is_refused_in_words() {
    let house = Plan::default().rules(PEOPLE).open().await;
    let ada = Browser::paired(&house, "ada").await;
    let long = json!({ "what": "all", "reason": "x".repeat(1 << 20) });
    let answer = ada.change("/op/v1/freeze", &long).await;
    assert_eq!(answer.status(), 413);
    for body in [json!([]), json!({}), json!({ "what": "everything" }), json!({ "what": "all", "more": 1 })] {
        let answer = ada.change("/op/v1/freeze", &body).await;
        assert_eq!(answer.status(), 400, "{body}");
        assert!(answer.json()["detail"].as_str().unwrap().starts_with("the body"), "{}", answer.text);
    }
    for path in ["/op/v1/holds/h-none", "/op/v1/sessions/none", "/op/v1/audit/proof/9999999", "/nothing"] {
        assert_eq!(ada.get(path).await.status(), 404, "{path}");
    }
    for path in ["/op/v1/holds?state=odd", "/op/v1/holds?limit=x", "/op/v1/audit/proof/x", "/s/%ff"] {
        assert_eq!(ada.get(path).await.status(), 400, "{path}");
    }
}

#[tokio::test]
async fn an_address_that_others_can_reach_needs_encryption_in_front() {
    let dir = tempfile::tempdir().unwrap();
    let refused = async |operator: &str| {
        let file = dir.path().join("herma.toml");
        std::fs::write(&file, format!("[operator]\n{operator}\n")).unwrap();
        let mut serve = tokio::process::Command::new(crate::house::HERMA);
        serve.arg("serve").arg("--config").arg(&file).arg("--data-dir").arg(dir.path());
        let output = soon("the refusal", serve.kill_on_drop(true).output()).await.unwrap();
        assert_eq!(output.status.code(), Some(64));
        String::from_utf8(output.stderr).unwrap()
    };
    let said = refused("listen = \"0.0.0.0:4590\"").await;
    assert!(said.contains("behind_tls"), "{said}");
    let said = refused("listen = \"0.0.0.0:4590\"\nbehind_tls = true").await;
    assert!(said.contains("hosts"), "{said}");
    let said = refused("listen = \"nowhere\"").await;
    assert!(said.contains("IP:PORT"), "{said}");
    let said = refused("hosts = [\"http://x/\"]").await;
    assert!(said.contains("no host name"), "{said}");
}

#[tokio::test]
async fn a_listener_that_is_off_is_nowhere_and_says_so() {
    let house = Plan::default().rules("[operator]\nlisten = \"off\"\n").open().await;
    let ready = std::fs::read_to_string(house.path().join("daemon.json")).unwrap();
    assert!(serde_json::from_str::<Value>(&ready).unwrap()["operator"].is_null());
    let refused = house.cli(&["pair"]).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("operator.listen"));
    let open = house.cli(&["open", "--print"]).await;
    assert!(!open.status.success());
}
