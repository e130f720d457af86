//! A person's browser without its screen: pairs, keeps a cookie, signs what it changes.
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    house::House,
    wire::{Endpoint, Head, Reply},
};

static NONCE: AtomicU64 = AtomicU64::new(1);

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: Head,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.status()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {:?}", self.text))
    }

    /// The JSON of an answer that is no refusal.
    pub(crate) fn good(&self) -> Value {
        assert!(matches!(self.status(), 200 | 201), "{} {}", self.head.start, self.text);
        self.json()
    }
}

#[derive(Clone)]
pub(crate) struct Browser {
    /// Where to connect: an address, whatever the host is called.
    pub(crate) address: String,
    pub(crate) host: String,
    pub(crate) key: SigningKey,
    pub(crate) cookie: String,
    pub(crate) session: String,
}

pub(crate) fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

impl Browser {
    /// Not signed in.
    pub(crate) fn new(house: &House, seed: u8) -> Self {
        let ready = std::fs::read(house.path().join("daemon.json")).unwrap();
        let ready: Value = serde_json::from_slice(&ready).unwrap();
        let url = ready["operator"].as_str().unwrap();
        let host = url.strip_prefix("http://").unwrap().trim_end_matches('/').to_owned();
        let port = host.rsplit_once(':').unwrap().1;
        Self {
            address: format!("http://127.0.0.1:{port}"),
            host,
            key: SigningKey::from_bytes(&[seed; 32]),
            cookie: String::new(),
            session: String::new(),
        }
    }

    /// Paired with a code from the terminal.
    pub(crate) async fn paired(house: &House, name: &str) -> Self {
        let mut browser = Self::new(house, name.len() as u8 + name.as_bytes()[0]);
        let answer = browser.pair(&code(house, &["--json", name]).await, "").await;
        let who = answer.good();
        assert_eq!(who["approver"], name);
        browser.welcome(&answer);
        browser
    }

    pub(crate) fn welcome(&mut self, answer: &Answer) {
        let cookie = answer.head.header("set-cookie").unwrap();
        self.cookie = cookie.split(';').next().unwrap().to_owned();
        answer.json()["session"].as_str().unwrap().clone_into(&mut self.session);
    }

    pub(crate) async fn pair(&self, code: &str, name: &str) -> Answer {
        let public = base64url(self.key.verifying_key().as_bytes());
        let body = json!({
            "code": code, "name": name, "label": "test", "key": { "algorithm": "ed25519", "public": public },
        });
        let anonymous = Self { session: String::new(), ..self.clone() };
        anonymous.change("/op/v1/pair", &body).await
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.host)
    }

    /// The header with which this browser signs a request.
    pub(crate) fn signature(&self, path: &str, body: &[u8], at: i64) -> String {
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&NONCE.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let nonce = base64url(&nonce);
        let (digest, origin, session) =
            (HEXLOWER.encode(&Sha256::digest(body)), self.origin(), &self.session);
        let message = format!(
            r#"{{"body":"{digest}","method":"POST","nonce":"{nonce}","origin":"{origin}","path":"{path}","session":"{session}","time":{at},"v":"herma-request-v1"}}"#
        );
        let signature = base64url(&self.key.sign(message.as_bytes()).to_bytes());
        format!("t={at}, n={nonce}, s={signature}")
    }

    /// The bytes of a signed change.
    pub(crate) fn signed(&self, path: &str, body: &Value) -> Vec<u8> {
        let body = body.to_string();
        let signature = self.signature(path, body.as_bytes(), now());
        let origin = self.origin();
        self.bytes(
            "POST",
            path,
            &[
                ("content-type", "application/json"),
                ("origin", &origin),
                ("sec-fetch-site", "same-origin"),
                ("herma-signature", &signature),
            ],
            &body,
        )
    }

    pub(crate) fn bytes(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.host);
        if !self.cookie.is_empty() {
            head += &format!("cookie: {}\r\n", self.cookie);
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if method == "POST" {
            head += &format!("content-length: {}\r\n", body.len());
        }
        format!("{head}\r\n{body}").into_bytes()
    }

    pub(crate) async fn open(&self, request: &[u8]) -> Reply {
        Endpoint::new(self.address.clone()).raw(request).await.expect("the listener hung up")
    }

    pub(crate) async fn raw(&self, request: &[u8]) -> Answer {
        let (head, body) = self.open(request).await.all().await;
        Answer { head, text: String::from_utf8(body).unwrap() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.raw(&self.bytes("GET", path, &[("sec-fetch-site", "same-origin")], "")).await
    }

    pub(crate) async fn change(&self, path: &str, body: &Value) -> Answer {
        self.raw(&self.signed(path, body)).await
    }

    /// Waits until something is held, and returns all of it.
    pub(crate) async fn held(&self, house: &House) -> Value {
        let id = house.held().await;
        self.get(&format!("/op/v1/holds/{id}")).await.good()
    }

    pub(crate) async fn decide(&self, hold: &Value, decision: &str) -> Answer {
        self.say(hold, json!({ "decision": decision })).await
    }

    /// A decision on what is in `hold`, with whatever else `said` has.
    pub(crate) async fn say(&self, hold: &Value, mut said: Value) -> Answer {
        said["version"] = hold["version"].clone();
        said["call_digest"] = hold["call_digest"].clone();
        if hold["typed"].is_string() && said.get("typed").is_none() {
            said["typed"] = hold["typed"].clone();
        }
        let id = hold["id"].as_str().unwrap();
        self.change(&format!("/op/v1/holds/{id}/decision"), &said).await
    }
}

/// A fresh code from the terminal.
pub(crate) async fn code(house: &House, more: &[&str]) -> String {
    let output = house.cli(&[&["pair"], more].concat()).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_str(&text).unwrap();
    told["code"].as_str().unwrap().to_owned()
}
