//! People are told that something waits, and nobody is told what is in it.
use serde_json::{Value, json};

use crate::{
    house::{GATED, House, Plan},
    wire::{Received, Upstream, soon},
};

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"send_mail","arguments":{"to":"ann@example.com","text":"hunter2"}}}"#;
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A desk that is told by webhook, and a phone that is told when nobody has decided for a second.
fn channels(desk: &Upstream, phone: &Upstream) -> String {
    format!(
        r#"
[[notify]]
name = "desk"
kind = "webhook"
url = "{}"
secret_env = "DESK_SECRET"
link = "http://herma.localhost:4590"

[[notify]]
name = "phone"
kind = "ntfy"
url = "{}/my-topic"
secret_env = "PHONE_TOKEN"
detail = "summary"

[[escalation]]
to = "desk"

[[escalation]]
class = ["external", "critical"]
after = "1s"
to = ["phone"]
"#,
        desk.url, phone.url
    )
}

async fn open(desk: &Upstream, phone: &Upstream) -> (House, Upstream) {
    let upstream = Upstream::open().await;
    let plan = Plan::default().url("x", &upstream.url).rules(GATED).rules(&channels(desk, phone));
    let house = plan.env("DESK_SECRET", SECRET).env("PHONE_TOKEN", "tk_secret").open().await;
    (house, upstream)
}

fn body(request: &Received) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// Checks the signature as the specification's libraries do.
fn is_signed(request: &Received) -> bool {
    use hmac::{Hmac, KeyInit, Mac};
    let header = |name: &str| request.head.header(name).unwrap();
    let secret = data_encoding::BASE64.decode(SECRET.trim_start_matches("whsec_").as_bytes()).unwrap();
    let text = format!("{}.{}.{}", header("webhook-id"), header("webhook-timestamp"), request.text());
    let mac = Hmac::<sha2::Sha256>::new_from_slice(&secret).unwrap().chain_update(text);
    let expected = data_encoding::BASE64.encode(&mac.finalize().into_bytes());
    header("webhook-signature") == format!("v1,{expected}")
}

#[tokio::test]
async fn the_desk_is_told_at_once_the_phone_when_nobody_decides_and_neither_what_is_in_it() {
    let (mut desk, mut phone) = (Upstream::open().await, Upstream::open().await);
    let (house, _upstream) = open(&desk, &phone).await;
    let client = house.endpoint("x");
    let waiting = tokio::spawn(async move { client.post(CALL).await });
    let told = desk.next().await;
    let hold = house.held().await;
    assert!(is_signed(&told.request));
    let said = body(&told.request);
    assert_eq!((&said["specversion"], &said["type"]), (&json!("1.0"), &json!("herma.hold.waiting")));
    assert_eq!(said["data"]["holds"][0]["id"], hold);
    assert_eq!(said["data"]["holds"][0]["url"], format!("http://herma.localhost:4590/h/{hold}"));
    told.accepted().await;

    let pushed = phone.next().await;
    assert_eq!(pushed.request.head.header("authorization"), Some("Bearer tk_secret"));
    assert_eq!(body(&pushed.request)["topic"], "my-topic");
    pushed.json("{}").await;
    for request in desk.log().all().iter().chain(&phone.log().all()) {
        let text = request.text();
        assert!(!text.contains("hunter2") && !text.contains("ann@example.com"), "{text}");
    }
    assert!(!desk.log().all()[0].text().contains("send_mail"));
    waiting.abort();
}

#[tokio::test]
async fn a_hold_that_was_told_before_a_crash_is_not_told_again_and_the_next_step_still_is() {
    let (mut desk, mut phone) = (Upstream::open().await, Upstream::open().await);
    let (mut house, _upstream) = open(&desk, &phone).await;
    let client = house.endpoint("x");
    let waiting = tokio::spawn(async move { client.post(CALL).await });
    desk.next().await.accepted().await;
    // Delivered, and known to be: nothing is left in the outbox.
    soon("the outbox to be empty", async {
        while notices(&house).await["notices"]
            .as_array()
            .is_some_and(|left| left.iter().any(|notice| notice["channel"] == "desk"))
        {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    house.kill().await;
    house.start().await;
    phone.next().await.json("{}").await;
    assert_eq!(desk.log().all().len(), 1);
    waiting.abort();
}

async fn notices(house: &House) -> Value {
    let listed = house.cli(&["notify", "list", "--json"]).await;
    serde_json::from_slice(&listed.stdout).unwrap()
}

#[tokio::test]
async fn a_channel_can_be_tried_out_and_its_secret_is_shown_nowhere() {
    let (mut desk, phone) = (Upstream::open().await, Upstream::open().await);
    let (house, _upstream) = open(&desk, &phone).await;
    let trying = async {
        let told = desk.next().await;
        assert!(is_signed(&told.request));
        assert_eq!(body(&told.request)["type"], "herma.test");
        told.answer("410 Gone", &[], b"").await;
        desk.next().await.accepted().await;
    };
    let asking = async {
        let refused = house.cli(&["notify", "test", "desk"]).await;
        assert!(!refused.status.success());
        assert!(String::from_utf8(refused.stderr).unwrap().contains("410"));
        assert!(house.cli(&["notify", "test", "desk"]).await.status.success());
        let unknown = house.cli(&["notify", "test", "nobody"]).await;
        assert!(String::from_utf8(unknown.stderr).unwrap().contains("no channel is named `nobody`"));
    };
    tokio::join!(trying, asking);
    let listed = house.cli(&["notify", "list"]).await;
    let shown = String::from_utf8(listed.stdout).unwrap();
    assert!(shown.contains("desk") && shown.contains("webhook"), "{shown}");
    let everything = shown + &house.stderr() + &notices(&house).await.to_string();
    assert!(!everything.contains("MfKQ9r8GKYqrTwjUPD8I") && !everything.contains("tk_secret"));
}

#[tokio::test]
async fn a_channel_that_cannot_work_keeps_the_daemon_from_starting_and_is_named_with_its_line() {
    let cases = [
        ("kind = \"webhook\"\nurl = \"http://127.0.0.1:1/x\"", "its messages are signed"),
        ("kind = \"webhook\"\nurl = \"ftp://x\"\nsecret_env = \"DESK_SECRET\"", "no http:// or https:// URL"),
        (
            "kind = \"webhook\"\nurl = \"http://u:p@x/\"\nsecret_env = \"DESK_SECRET\"",
            "must not carry a password",
        ),
        ("kind = \"webhook\"\nurl = \"http://x/\"\nsecret_env = \"UNSET\"", "$UNSET is not set"),
        ("kind = \"ntfy\"\nurl = \"http://x/t\"\nquiet = \"late\"", "write for example \"22:00-07:00\""),
    ];
    for (lines, why) in cases {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("herma.toml");
        std::fs::write(&file, format!("[[notify]]\nname = \"desk\"\n{lines}\n")).unwrap();
        let mut command = tokio::process::Command::new(crate::house::HERMA);
        command
            .arg("serve")
            .arg("--config")
            .arg(&file)
            .arg("--data-dir")
            .arg(dir.path())
            .env("DESK_SECRET", SECRET);
        let output = soon("the refusal", command.kill_on_drop(true).output()).await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(said.contains("herma.toml:") && said.contains(why), "{said}");
        assert!(!said.contains("MfKQ9r8GKYqrTwjUPD8I"), "{said}");
    }
}
