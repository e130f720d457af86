//! What reaches whoever is in crisis: nothing that no person has seen.
use super::*;

#[tokio::test]
async fn whoever_is_in_crisis_hears_nothing_that_no_person_has_seen() {
    let scripts = json!({
        "sad": [{ "text": "machine words for the sad one" }],
        "grave": [{ "text": "machine words for the grave one" }],
        "later": [{ "text": "second words for the grave one" }],
        "calm": [{ "text": "it is four o'clock" }],
    });
    let scene = Scene::open(crate::house::OPEN, scripts).await;
    let mut gateway = Gateway::start(&scene, &["sad", "grave", "calm"]).await;

    gateway.says("sad", "script:sad I want to kill myself tonight").await;
    let hold = held_for(&scene, "webhook:sad").await;
    rewrite(&scene, &hold, "Ann here, a person. I am calling you now.").await;
    answered(&scene, "Ann here, a person.").await;

    gateway.says("grave", "script:grave I took all the pills, goodbye").await;
    let hold = held_for(&scene, "webhook:grave").await;
    let denied = scene.house.cli(&["holds", "deny", &hold, "--reason", "I write myself"]).await;
    assert!(denied.status.success(), "{}", String::from_utf8_lossy(&denied.stderr));

    // Somebody else is answered as ever, and plain words of the one in crisis are held all the same.
    gateway.says("calm", "script:calm what time is it").await;
    answered(&scene, "it is four o'clock").await;
    gateway.says("grave", "script:later thank you, all is well").await;
    held_for(&scene, "second words").await;

    let left = answers(&scene);
    assert!(!left.contains("machine words"), "{left}");
    let listed = scene.house.cli(&["crisis", "list"]).await;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(
        listed.contains("hermes/sad") && listed.contains("hermes/grave") && !listed.contains("calm"),
        "{listed}"
    );
    scene.calls().await;
    gateway.process.kill().await.unwrap();
}

/// A person writes the answer anew.
async fn rewrite(scene: &Scene, hold: &str, text: &str) {
    let changed = scene.work("changed.json");
    std::fs::write(&changed, json!({ "text": text }).to_string()).unwrap();
    let typed = scene.house.to_type(hold).await.unwrap();
    let edit =
        ["holds", "edit", hold, "--arguments", changed.to_str().unwrap(), "--yes-irreversible", &typed];
    let edited = scene.house.cli(&edit).await;
    assert!(edited.status.success(), "{}", String::from_utf8_lossy(&edited.stderr));
}

#[tokio::test]
async fn no_surface_shows_an_answer_growing_to_whoever_is_in_crisis() {
    let thinking = |name: &str| {
        json!([
            { "text": format!("{name} thinks aloud"), "calls": [call("read_file", json!({ "path": "none" }))] },
            { "text": format!("{name} has an answer") },
        ])
    };
    let scripts = json!({ "calm": thinking("calm"), "grave": thinking("grave"), "voice": thinking("voice") });
    let shown = "streaming: {enabled: true, transport: edit}\n\
        display: {platforms: {webhook: {streaming: true, interim_assistant_messages: true, tool_progress: all}}}\n";
    let scene = Scene::with(Plan::default().rules(crate::house::OPEN).open().await, scripts, shown).await;
    let (api, key) = (free_port().to_string(), "0123456789abcdef0123456789abcdef");
    let environment = [
        ("API_SERVER_ENABLED", "1"),
        ("API_SERVER_HOST", "127.0.0.1"),
        ("API_SERVER_PORT", &api),
        ("API_SERVER_KEY", key),
    ];
    let mut gateway = Gateway::with(&scene, &["calm", "grave"], &environment).await;
    listens("the API", api.parse().unwrap()).await;

    gateway.says("calm", "script:calm what time is it").await;
    answered(&scene, "calm thinks aloud").await;
    answered(&scene, "calm has an answer").await;

    gateway.says("grave", "script:grave I want to kill myself tonight").await;
    let hold = held_for(&scene, "grave has an answer").await;
    assert!(!answers(&scene).contains("grave "), "{}", answers(&scene));
    rewrite(&scene, &hold, "Ann here, a person.").await;
    answered(&scene, "Ann here, a person.").await;
    assert!(!answers(&scene).contains("grave "), "{}", answers(&scene));

    let endpoint = crate::wire::Endpoint::new(format!("http://127.0.0.1:{api}/v1/chat/completions"))
        .with("authorization", &format!("Bearer {key}"));
    let asked = json!({ "model": "stub-1", "stream": true, "messages": [
        { "role": "user", "content": "script:voice I took all the pills, goodbye" },
    ]});
    let mut reply = eventually("the stream", endpoint.post(asked.to_string())).await;
    let hold = held_for(&scene, "voice has an answer").await;
    rewrite(&scene, &hold, "Bob here, a person.").await;
    let stream = eventually("the answer", reply.body.body()).await.unwrap();
    let stream = String::from_utf8(stream).unwrap();
    assert!(stream.contains("Bob here, a person.") && !stream.contains("voice"), "{stream}");
    gateway.process.kill().await.unwrap();
}

#[tokio::test]
async fn what_a_job_tells_several_is_held_when_one_of_them_is_in_crisis() {
    let work = [json!({ "text": "news of the night" })];
    let scripts = json!({ "several": work, "calm": work });
    let scene = Scene::open(crate::house::OPEN, scripts).await;
    // Somebody has written to the gateway.
    let plugin = concat!(env!("CARGO_MANIFEST_DIR"), "/plugins/hermes");
    let says = format!(
        "import sys; sys.path.insert(0, {plugin:?}); sys.dont_write_bytecode = True\n\
         import herma_hermes as herma\n\
         known = herma._known('x')\n\
         known.platform, known.chats, known.sender = 'telegram', ['4711'], '4711'\n\
         assert herma._hear('x', 'I want to kill myself tonight')\n"
    );
    let mut command = scene.program("python", &["-c", &says]);
    let spoken = command.env("HERMA_DATA_DIR", scene.house.path()).output().await.unwrap();
    assert!(spoken.status.success(), "{}", String::from_utf8_lossy(&spoken.stderr));

    for (script, deliver) in [("calm", "slack:C9,telegram:5"), ("several", "slack:C9,telegram:4711")] {
        let prompt = format!("script:{script} tell");
        let create = ["cron", "create", "every 2h", &prompt, "--deliver", deliver];
        let created = eventually("Hermes", scene.hermes(&create).output()).await.unwrap();
        let created = String::from_utf8_lossy(&created.stdout).into_owned();
        let job = created.split("Created job: ").nth(1).unwrap_or_else(|| panic!("{created}"));
        let job: String = job.chars().take_while(char::is_ascii_alphanumeric).collect();
        let works = async {
            for arguments in [&["cron", "run", &job][..], &["cron", "tick"]] {
                eventually("the job", scene.hermes(arguments).output()).await.unwrap();
            }
        };
        let decides = async {
            if script == "several" {
                let hold = held_for(&scene, "telegram:4711").await;
                let denied = scene.house.cli(&["holds", "deny", &hold, "--reason", "not to her"]).await;
                assert!(denied.status.success(), "{}", String::from_utf8_lossy(&denied.stderr));
            }
        };
        tokio::join!(works, decides);
    }
    let replies: Vec<_> = scene.calls().await.into_iter().filter(|seen| seen.tool == "final_reply").collect();
    assert_eq!(replies.len(), 1, "{replies:?}");
}
