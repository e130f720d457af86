//! Passkeys, with an authenticator of our own in the place of the device.
use ed25519_dalek::{Signer, SigningKey};
use herma_warrant::cbor::Writer;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    browser::{Answer, Browser, base64url},
    house::{GATED, Plan},
    wire::{Upstream, soon},
};

const STRICT: &str =
    "[operator]\nlisten = \"127.0.0.1:0\"\n[[approval]]\ntool = \"send_mail\"\nmethod = \"passkey\"\n";

/// What sits in a phone or on a key ring.
pub(crate) struct Device {
    key: SigningKey,
    counter: u32,
}

impl Device {
    pub(crate) fn new(seed: u8) -> Self {
        Self { key: SigningKey::from_bytes(&[seed; 32]), counter: 0 }
    }

    fn id(&self) -> String {
        base64url(&self.key.verifying_key().as_bytes()[..16])
    }

    fn client(browser: &Browser, ceremony: &str, challenge: &str) -> String {
        json!({ "type": ceremony, "challenge": challenge, "origin": browser.origin(), "crossOrigin": false })
            .to_string()
    }

    fn data(&mut self, flags: u8) -> Vec<u8> {
        self.counter += 1;
        let mut data = Sha256::digest("herma.localhost").to_vec();
        data.push(flags);
        data.extend(self.counter.to_be_bytes());
        data
    }

    fn create(&mut self, browser: &Browser, challenge: &str) -> Value {
        let mut data = self.data(0b100_0101);
        data.extend([0; 16]);
        data.extend(16u16.to_be_bytes());
        data.extend(&self.key.verifying_key().as_bytes()[..16]);
        let mut key = Writer::new();
        key.map(4).unsigned(1).unsigned(1).unsigned(3).integer(-8).integer(-1).unsigned(6);
        key.integer(-2).bytes(self.key.verifying_key().as_bytes());
        data.extend(key.finish());
        let mut object = Writer::new();
        object.map(3).text("fmt").text("none").text("attStmt").map(0).text("authData").bytes(&data);
        json!({
            "id": self.id(),
            "client_data": base64url(Self::client(browser, "webauthn.create", challenge).as_bytes()),
            "attestation_object": base64url(&object.finish()),
        })
    }

    pub(crate) fn get(&mut self, browser: &Browser, challenge: &str) -> Value {
        let client = Self::client(browser, "webauthn.get", challenge);
        let data = self.data(0b101);
        let message = [data.as_slice(), &Sha256::digest(&client)].concat();
        json!({
            "id": self.id(),
            "client_data": base64url(client.as_bytes()),
            "authenticator_data": base64url(&data),
            "signature": base64url(&self.key.sign(&message).to_bytes()),
        })
    }

    pub(crate) async fn enrol(&mut self, browser: &Browser, proof: Option<&mut Self>) -> Answer {
        let asked = browser.change("/op/v1/passkeys/challenge", &json!({})).await.good();
        let challenge = asked["challenge"].as_str().unwrap();
        let registration = self.create(browser, challenge);
        let proof = proof.map(|device| device.get(browser, challenge));
        browser.change("/op/v1/passkeys", &json!({ "registration": registration, "proof": proof })).await
    }
}

async fn draft(browser: &Browser, hold: &Value, decision: &str) -> Answer {
    let said =
        json!({ "version": hold["version"], "call_digest": hold["call_digest"], "decision": decision });
    browser.change(&format!("/op/v1/holds/{}/draft", hold["id"].as_str().unwrap()), &said).await
}

async fn touch(browser: &Browser, hold: &Value, draft: &Value, answer: Value) -> Answer {
    let body = json!({ "draft": draft["draft"], "passkey": answer });
    browser.change(&format!("/op/v1/holds/{}/decision", hold["id"].as_str().unwrap()), &body).await
}

#[tokio::test]
async fn what_needs_a_passkey_runs_when_one_was_touched_for_this_very_decision() {
    let upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(STRICT).rules(GATED).open().await;
    let log = upstream.answer_everything();
    let ada = Browser::paired(&house, "ada").await;
    let client = house.endpoint("x");
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"send_mail","arguments":{"to":"ann"}}}"#;
    let agent = tokio::spawn(async move { client.post(call).await.json().await });
    let hold = ada.held(&house).await;
    assert_eq!(hold["quorum"]["method"], "passkey");

    let weak = ada.decide(&hold, "approve").await;
    assert_eq!((weak.status(), weak.json()["needs"].clone()), (403, json!("passkey")), "{}", weak.text);
    assert_eq!(draft(&ada, &hold, "approve").await.status(), 403, "there is none yet");

    let mut device = Device::new(70);
    assert_eq!(device.enrol(&ada, None).await.status(), 201);
    assert_eq!(ada.get("/op/v1/me").await.good()["has_passkey"], true);

    let drafted = draft(&ada, &hold, "approve").await.good();
    let challenge = drafted["challenge"].as_str().unwrap();
    assert_eq!(drafted["credential"], device.id());
    // Neither another device nor an answer to another question will do, and each draft can be tried once.
    let other = Device::new(71).get(&ada, challenge);
    assert_eq!(touch(&ada, &hold, &drafted, other).await.status(), 403);
    let right = device.get(&ada, challenge);
    assert_eq!(touch(&ada, &hold, &drafted, right).await.status(), 409, "the draft was used up");
    let drafted = draft(&ada, &hold, "approve").await.good();
    let elsewhere = device.get(&ada, &base64url(&[1; 32]));
    assert_eq!(touch(&ada, &hold, &drafted, elsewhere).await.status(), 403);
    assert_eq!(log.calls(), 0);

    let drafted = draft(&ada, &hold, "approve").await.good();
    let right = device.get(&ada, drafted["challenge"].as_str().unwrap());
    let said = touch(&ada, &hold, &drafted, right).await.good();
    let receipt = &said["receipt"];
    assert_eq!(receipt["approver"]["method"], "passkey", "{said}");
    assert_eq!(receipt["approver"]["cred_id"], device.id(), "{said}");
    // The challenge is the digest of the receipt without what was put beside it afterwards.
    let mut body = receipt.clone();
    body.as_object_mut().unwrap().retain(|name, _| name != "signature" && name != "evidence");
    let text = serde_json_canonicalizer::to_vec(&body).unwrap();
    assert_eq!(base64url(&Sha256::digest(&text)), drafted["challenge"].as_str().unwrap());
    let answer = soon("the agent's answer", agent).await.unwrap();
    assert_eq!(answer["result"]["content"][0]["text"], "ran");
}

#[tokio::test]
async fn a_further_passkey_takes_the_one_that_is_there() {
    let house = Plan::default().rules(STRICT).open().await;
    let ada = Browser::paired(&house, "ada").await;
    let (mut first, mut second) = (Device::new(70), Device::new(71));
    assert_eq!(first.enrol(&ada, None).await.status(), 201);
    let refused = second.enrol(&ada, None).await;
    assert_eq!((refused.status(), refused.json()["needs"].clone()), (403, json!("passkey")));
    assert_eq!(second.enrol(&ada, Some(&mut Device::new(72))).await.status(), 403, "of nobody");
    assert_eq!(second.enrol(&ada, Some(&mut first)).await.status(), 201);
    // What bob has shows nothing of ada.
    let bob = Browser::paired(&house, "bob").await;
    assert_eq!(Device::new(73).enrol(&bob, None).await.status(), 201);
    let asked = ada.change("/op/v1/passkeys/challenge", &json!({})).await.good();
    let registration = Device::new(74).create(&bob, asked["challenge"].as_str().unwrap());
    let crossed = bob.change("/op/v1/passkeys", &json!({ "registration": registration })).await;
    assert_eq!(crossed.status(), 403, "a challenge is for one session");
    let stolen = bob.change(&format!("/op/v1/keys/{}/remove", first.id()), &json!({})).await;
    assert_eq!(stolen.status(), 404, "everybody removes their own");
    let remove = format!("/op/v1/keys/{}/remove", first.id());
    let asked = ada.change(&remove, &json!({})).await;
    assert_eq!((asked.status(), asked.json()["needs"].clone()), (403, json!("passkey")));
    let answer = second.get(&ada, asked.json()["challenge"].as_str().unwrap());
    ada.change(&remove, &json!({ "passkey": answer })).await.good();
}

#[tokio::test]
async fn a_passkey_signs_in_without_the_terminal_and_a_copy_of_it_is_noticed() {
    let house = Plan::default().rules(STRICT).open().await;
    let ada = Browser::paired(&house, "ada").await;
    let mut device = Device::new(70);
    assert_eq!(device.enrol(&ada, None).await.status(), 201);

    let elsewhere = Browser::new(&house, 99);
    let key =
        json!({ "algorithm": "ed25519", "public": base64url(elsewhere.key.verifying_key().as_bytes()) });
    let signed_in = async |answer: Value| {
        elsewhere.change("/op/v1/session", &json!({ "passkey": answer, "key": key })).await
    };
    let challenge = async || {
        let asked = elsewhere.change("/op/v1/session/challenge", &json!({})).await.good();
        asked["challenge"].as_str().unwrap().to_owned()
    };
    let asked = challenge().await;
    let answer = device.get(&elsewhere, &asked);
    let welcomed = signed_in(answer.clone()).await;
    assert_eq!((welcomed.status(), welcomed.json()["approver"].clone()), (201, json!("ada")));
    assert_eq!(welcomed.json()["method"], "passkey");
    assert_eq!(signed_in(answer).await.status(), 403, "a challenge is answered once");
    assert_eq!(
        signed_in(device.get(&elsewhere, &base64url(&[3; 32]))).await.status(),
        403,
        "nobody asked that"
    );

    let mut copy = Device { key: device.key.clone(), counter: 0 };
    let noticed = signed_in(copy.get(&elsewhere, &challenge().await)).await;
    assert_eq!(noticed.status(), 403);
    assert!(noticed.json()["detail"].as_str().unwrap().contains("backwards"), "{}", noticed.text);

    assert!(house.cli(&["approvers", "remove", "ada"]).await.status.success());
    assert_eq!(signed_in(device.get(&elsewhere, &challenge().await)).await.status(), 403, "ada is gone");
}
