//! People take calls back in their browsers.
use serde_json::{Value, json};

use crate::{
    browser::Browser,
    operator_api::Description,
    review::{LOOK, Scene, filesystem},
};

const PEOPLE: &str = "[operator]\nlisten = \"127.0.0.1:0\"\n";
const REVIEW: &str = "/op/v1/reviews/{id}";
const REVERT: &str = "/op/v1/reviews/{id}/revert";

async fn scene() -> (Scene, Browser, Description) {
    let scene = Scene::wrapped(&[PEOPLE, LOOK].concat(), filesystem, &[]).await;
    let ada = Browser::paired(&scene.house, "ada").await;
    (scene, ada, Description::read())
}

fn plan(review: &Value) -> Value {
    json!({ "plan": review["plan"]["digest"] })
}

#[tokio::test]
async fn an_edit_is_looked_at_and_taken_back_in_the_browser_and_only_as_it_was_shown() {
    let (mut scene, ada, mut file) = scene().await;
    std::fs::write(scene.root.join("a.txt"), "first\n").unwrap();
    scene.write("a.txt", "second\n").await;
    let id = scene.review_of("write_file").await;
    let shown = file.get(&ada, REVIEW, &id).await.good();
    let did = shown["plan"]["files"][0]["did"].as_str().unwrap();
    assert!(did.contains("-first") && did.contains("+second"), "{did}");
    assert_eq!(shown["principal"], "local");
    let listed = file.get(&ada, "/op/v1/reviews", "").await.good();
    assert_eq!((&listed["reviews"][0]["id"], &listed["reviews"][0]["plan"]), (&json!(id), &Value::Null));

    // Nothing is taken back that was not shown, and nothing at all while something else is there.
    for body in [json!({}), json!({ "plan": "abcd" })] {
        assert_eq!(ada.change(&REVERT.replace("{id}", &id), &body).await.status(), 400, "{body}");
    }
    std::fs::write(scene.root.join("a.txt"), "somebody else's\n").unwrap();
    let moved = file.change(&ada, REVERT, &id, plan(&shown)).await;
    assert_eq!((moved.status(), &moved.json()["type"]), (409, &json!("urn:herma:problem:stale")));
    let conflict = file.change(&ada, REVERT, &id, json!({ "dry_run": true })).await.good();
    let conflicting = &conflict["plan"]["files"][0];
    assert!(conflicting["since"].as_str().unwrap().contains("+somebody else's"), "{conflict}");
    assert!(conflicting["before"]["sha256"] != conflicting["now"]["sha256"], "{conflict}");
    let refused = file.change(&ada, REVERT, &id, plan(&conflict)).await.good();
    assert_eq!(refused["result"], "conflict");
    assert_eq!(scene.read("a.txt"), "somebody else's\n");

    std::fs::write(scene.root.join("a.txt"), "second\n").unwrap();
    let again = file.get(&ada, REVIEW, &id).await.good();
    let reverted = file.change(&ada, REVERT, &id, plan(&again)).await.good();
    assert_eq!(reverted["result"], "reverted", "{reverted}");
    assert_eq!(scene.read("a.txt"), "first\n");
    let after = file.get(&ada, REVIEW, &id).await.good();
    assert_eq!((&after["state"], &after["plan"]), (&json!("reverted"), &Value::Null));
    let record = scene.house.cli(&["audit", "tail", "--json"]).await.stdout;
    assert!(String::from_utf8(record).unwrap().contains("operator:ada"));
}

#[tokio::test]
async fn a_tool_that_somebody_objects_to_waits_from_then_on_and_the_like_are_accepted_together() {
    let (mut scene, ada, mut file) = scene().await;
    for name in ["a.txt", "b.txt", "c.txt"] {
        scene.write(name, "text\n").await;
    }
    let id = scene.review_of("write_file").await;
    let flagged =
        file.change(&ada, &format!("{REVIEW}/flag"), &id, json!({ "reason": "too free" })).await.good();
    assert_eq!((&flagged["state"], &flagged["flagged"]), (&json!("flagged"), &json!(true)));
    assert_ne!(flagged["plan"], Value::Null, "it can still be taken back");
    let rest = file.get(&ada, "/op/v1/reviews", "").await.good();
    let first = rest["reviews"][0]["id"].as_str().unwrap();
    let accepted =
        file.change(&ada, &format!("{REVIEW}/accept"), first, json!({ "group": true })).await.good();
    assert_eq!(accepted["accepted"].as_array().unwrap().len(), 2);
    let over = file.change(&ada, &format!("{REVIEW}/stop"), first, json!({})).await;
    assert_eq!((over.status(), &over.json()["type"]), (410, &json!("urn:herma:problem:over")));
    let page = ada.get(&format!("/review/{first}")).await;
    assert!(page.status() == 200 && page.text.contains("accepted"), "{}", page.text);
    let record = String::from_utf8(scene.house.cli(&["audit", "tail", "--json"]).await.stdout).unwrap();
    assert_eq!(record.matches("\"verdict\":\"accepted\"").count(), 2, "{record}");
}
