//! The description of the people's API, held against the server.
use std::collections::BTreeSet;

use boon::{Compiler, Schemas};
use serde_json::{Value, json};

use crate::{
    browser::{Answer, Browser, code},
    house::{GATED, Plan},
    wire::{Upstream, soon},
};

const FILE: &str = "http://herma.test/operator-api.json";

pub(crate) struct Description {
    file: Value,
    tried: BTreeSet<String>,
}

fn escaped(text: &str) -> String {
    text.replace('~', "~0").replace('/', "~1").replace('{', "%7B").replace('}', "%7D")
}

impl Description {
    pub(crate) fn read() -> Self {
        let text = include_str!("../../docs/operator-api.yaml");
        let file = serde_saphyr::from_str(text).unwrap();
        Self { file, tried: BTreeSet::new() }
    }

    /// Follows a `$ref` to where it leads.
    fn place(&self, pointer: String) -> String {
        let plain = pointer.replace("%7B", "{").replace("%7D", "}");
        let found = self.file.pointer(&plain).unwrap_or_else(|| panic!("nothing is at {plain}"));
        found["$ref"].as_str().map_or(pointer, |to| to.trim_start_matches('#').to_owned())
    }

    fn fits(&self, pointer: &str, value: &Value) {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.set_default_draft(boon::Draft::V2020_12);
        compiler.add_resource(FILE, self.file.clone()).unwrap();
        let schema = compiler.compile(&format!("{FILE}#{pointer}"), &mut schemas).unwrap();
        if let Err(error) = schemas.validate(value, schema) {
            panic!("{pointer}: {error:#}\n{value:#}");
        }
    }

    /// Whether the answer is one that the file describes.
    fn answers(&mut self, method: &str, template: &str, answer: &Answer) {
        self.tried.insert(format!("{method} {template}"));
        let operation = format!("/paths/{}/{method}", escaped(template));
        let plain = operation.replace("%7B", "{").replace("%7D", "}");
        let responses = self.file.pointer(&format!("{plain}/responses")).unwrap_or_else(|| panic!("{plain}"));
        let status = answer.status().to_string();
        let named = if responses.get(&status).is_some() { status } else { "default".to_owned() };
        assert!(named != "default" || answer.status() >= 400, "{template} {}", answer.text);
        let response = self.place(format!("{operation}/responses/{named}"));
        let plain = response.replace("%7B", "{").replace("%7D", "}");
        let content = self.file.pointer(&format!("{plain}/content")).unwrap().as_object().unwrap();
        let kind = answer.head.header("content-type").unwrap().split(';').next().unwrap();
        assert!(content.contains_key(kind), "{template} answers {kind}: {}", answer.text);
        if kind.ends_with("json") {
            self.fits(&format!("{response}/content/{}/schema", escaped(kind)), &answer.json());
        }
    }

    /// Sends a body that the file allows, and checks the answer.
    pub(crate) async fn change(
        &mut self,
        browser: &Browser,
        template: &str,
        id: &str,
        body: Value,
    ) -> Answer {
        let operation = format!("/paths/{}/post/requestBody", escaped(template));
        let place = self.place(operation);
        self.fits(&format!("{place}/content/application~1json/schema"), &body);
        let answer = browser.change(&template.replace("{id}", id), &body).await;
        self.answers("post", template, &answer);
        answer
    }

    pub(crate) async fn get(&mut self, browser: &Browser, template: &str, id: &str) -> Answer {
        let answer = browser.get(&template.replace("{id}", id).replace("{seq}", id)).await;
        self.answers("get", template, &answer);
        answer
    }

    fn all(&self) -> BTreeSet<String> {
        let paths = self.file["paths"].as_object().unwrap();
        let operations = paths.iter().flat_map(|(path, operations)| {
            let methods = operations.as_object().unwrap().keys().filter(|key| *key != "parameters");
            methods.map(move |method| format!("{method} {path}"))
        });
        operations.collect()
    }
}

#[tokio::test]
async fn every_address_answers_as_its_description_says() {
    let upstream = Upstream::open().await;
    let people = "[operator]\nlisten = \"127.0.0.1:0\"\n";
    let house = Plan::default().url("x", &upstream.url).rules(people).rules(GATED).open().await;
    let _log = upstream.answer_everything();
    let mut file = Description::read();

    let mut ada = Browser::new(&house, 1);
    let public = crate::browser::base64url(ada.key.verifying_key().as_bytes());
    let key = json!({ "algorithm": "ed25519", "public": public });
    let body = json!({ "code": code(&house, &["--json", "ada"]).await, "label": "test", "key": key });
    let paired = file.change(&ada, "/op/v1/pair", "", body).await;
    ada.welcome(&paired);

    let call = |to: &str| {
        json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": { "name": "send_mail", "arguments": { "to": to, "body": "hello" } },
        })
        .to_string()
    };
    let mut agents = Vec::new();
    for to in ["ann", "bob"] {
        let client = house.endpoint("x");
        agents.push(tokio::spawn(async move { client.post(call(to)).await.json().await }));
    }
    soon("both to wait", async {
        while house.holds().await.len() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;

    let listed = file.get(&ada, "/op/v1/holds", "").await.good();
    let hold = &listed["holds"][0];
    let id = hold["id"].as_str().unwrap();
    let session = hold["session"].as_str().unwrap();
    for path in [
        "me",
        "figures",
        "inbox",
        "sessions",
        "reviews",
        "freeze",
        "latches",
        "standing",
        "warrants",
        "audit",
        "audit/checkpoint",
        "policy",
        "approvers",
        "settings",
    ] {
        file.get(&ada, &format!("/op/v1/{path}"), "").await;
    }
    file.get(&ada, "/op/v1/holds/{id}", id).await.good();
    file.get(&ada, "/op/v1/holds/{id}/arguments", id).await.good();
    file.get(&ada, "/op/v1/sessions/{id}", session).await.good();
    file.get(&ada, "/op/v1/audit/proof/{seq}", "0").await;

    let version = &hold["version"];
    let digest = &hold["call_digest"];
    let said = json!({ "version": version, "call_digest": digest, "decision": "approve" });
    let weak = file.change(&ada, "/op/v1/holds/{id}/draft", id, said.clone()).await;
    assert_eq!(weak.json()["needs"], "passkey");
    let wish = json!({ "scope": "session", "uses": 3, "loosen": { "/body": "any" } });
    file.change(&ada, "/op/v1/holds/{id}/similar/preview", id, wish.clone()).await;
    let likened = json!({ "version": version, "call_digest": digest, "rule": wish });
    file.change(&ada, "/op/v1/holds/{id}/similar", id, likened).await;
    file.change(&ada, "/op/v1/holds/{id}/decision", id, said).await.good();
    let second = &listed["holds"][1];
    let named =
        json!({ "id": second["id"], "version": second["version"], "call_digest": second["call_digest"] });
    let batch = json!({ "holds": [named, named], "decision": "deny", "reason": "not today", "sticky": true });
    let said = file.change(&ada, "/op/v1/holds/batch", "", batch).await.good();
    assert_eq!(said["results"][0]["state"], "denied");
    assert!(said["results"][1]["problem"].is_object());
    for agent in agents {
        soon("the agent's answer", agent).await.unwrap();
    }
    let rules = file.get(&ada, "/op/v1/standing", "").await.good();
    let rule = rules["standing"][0]["id"].as_str().unwrap();
    file.change(&ada, "/op/v1/standing/{id}/withdraw", rule, json!({})).await.good();

    file.change(&ada, "/op/v1/freeze", "", json!({ "what": "agent:eve", "reason": "odd" })).await.good();
    file.get(&ada, "/op/v1/freeze", "").await.good();
    file.change(&ada, "/op/v1/thaw", "", json!({ "what": "agent:eve" })).await.good();
    file.change(&ada, "/op/v1/latches/clear", "", json!({ "key": "local", "reason": "safe" })).await;
    file.get(&ada, "/op/v1/reviews/{id}", "r-none").await;
    for word in ["accept", "revert", "flag", "stop"] {
        let body = if word == "revert" { json!({ "dry_run": true }) } else { json!({}) };
        let missing = file.change(&ada, &format!("/op/v1/reviews/{{id}}/{word}"), "r-none", body).await;
        assert_eq!(missing.status(), 404, "{word}");
    }
    let tool = json!({ "server": "x", "tool": "send_mail", "digest": "ab".repeat(32) });
    assert_eq!(file.change(&ada, "/op/v1/tools/accept", "", tool).await.status(), 404, "it never changed");
    let revoke = json!({ "what": "agent:eve", "reason": "odd" });
    file.change(&ada, "/op/v1/warrants/revoke", "", revoke).await.good();
    file.get(&ada, "/op/v1/warrants", "").await.good();
    let question = json!({ "draft": GATED, "days": 2 });
    file.change(&ada, "/op/v1/policy/simulate", "", question).await.good();

    file.get(&ada, "/op/v1/audit/export/{id}", "jsonl").await;
    let terms = json!({ "party": "agent:eve", "allow": "read_file:path=/data", "calls": 3 });
    file.change(&ada, "/op/v1/warrants/preview", "", terms.clone()).await.good();
    assert_eq!(file.change(&ada, "/op/v1/warrants", "", terms).await.status(), 201);
    file.change(&ada, "/op/v1/warrants/lift", "", json!({ "party": "agent:eve" })).await.good();
    let flagged = json!({ "server": "x", "tool": "send_mail" });
    assert_eq!(file.change(&ada, "/op/v1/tools/unflag", "", flagged).await.status(), 404);
    assert_eq!(file.change(&ada, "/op/v1/channels/{id}/test", "none", json!({})).await.status(), 404);
    file.change(&ada, "/op/v1/notices/retry", "", json!({})).await.good();
    file.change(&ada, "/op/v1/policy/drafts", "", json!({ "name": "a", "draft": GATED })).await.good();
    file.get(&ada, "/op/v1/policy/drafts", "").await.good();
    let draft = file.get(&ada, "/op/v1/policy/drafts/{id}", "a").await.good();
    let activate = json!({ "digest": draft["digest"] });
    file.change(&ada, "/op/v1/policy/drafts/{id}/activate", "a", activate).await.good();
    file.change(&ada, "/op/v1/policy/drafts/{id}/remove", "a", json!({})).await;

    file.change(&ada, "/op/v1/session/challenge", "", json!({})).await.good();
    let answer = json!({ "id": "a", "client_data": "e30", "authenticator_data": "", "signature": "" });
    file.change(&ada, "/op/v1/session", "", json!({ "passkey": answer, "key": key })).await;
    file.change(&ada, "/op/v1/passkeys/challenge", "", json!({})).await.good();
    let made = json!({ "id": "a", "client_data": "e30", "attestation_object": "" });
    file.change(&ada, "/op/v1/passkeys", "", json!({ "registration": made })).await;
    file.change(&ada, "/op/v1/keys/{id}/remove", "none", json!({})).await;
    let events = ada.open(&ada.bytes("GET", "/op/v1/events", &[], "")).await;
    assert_eq!(events.head.header("content-type"), Some("text/event-stream"));
    file.tried.insert("get /op/v1/events".into());
    file.change(&ada, "/op/v1/session/end", "", json!({})).await.good();
    file.get(&ada, "/op/v1/me", "").await;

    assert_eq!(file.all(), file.tried);
}
