//! Servers by URL, other homes, and what asking costs.
use super::*;

#[tokio::test]
async fn a_server_by_url_is_reached_through_the_daemon_and_its_calls_are_of_their_session() {
    let (web, door) = (free_port(), free_port());
    let everything = packages::npm("mcp-server-everything");
    let mut server = Command::new(&everything[0]);
    server.args(&everything[1..]).arg("streamableHttp").env("PORT", web.to_string());
    server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let mut server = server.spawn().unwrap();
    listens("the server", web).await;

    let mut house = Plan::default().rules(DAY).open().await;
    let file = house.path().join("herma.toml");
    let fixed = std::fs::read_to_string(&file).unwrap().replace("127.0.0.1:0", &format!("127.0.0.1:{door}"));
    std::fs::write(&file, fixed).unwrap();
    let scripts = json!({ "main": [
        { "calls": [call("mcp__remote__echo", json!({ "message": "over there" }))] },
        { "calls": [call("terminal", json!({ "command": "echo here" }))] },
        { "text": "both are done" },
    ]});
    let entry = format!("mcp_servers:\n  remote:\n    url: \"http://127.0.0.1:{web}/mcp\"\n");
    house.kill().await;
    house.start().await;
    let mut scene = Scene::with(house, scripts, &entry).await;
    let config = std::fs::read_to_string(scene.home().join("config.yaml")).unwrap();
    assert!(config.contains(&format!("http://127.0.0.1:{door}/mcp/remote")), "{config}");
    scene.house.kill().await;
    scene.house.start().await;

    let said = scene.run("script:main call it").await;
    let there = scene.result("call_main-0_0");
    assert!(there.contains("over there"), "{there}{said}");
    let seen = scene.calls().await;
    let calls: Vec<_> = seen.iter().map(|seen| (seen.server.as_str(), seen.tool.as_str())).collect();
    assert_eq!(calls, [("remote", "echo"), ("hermes", "terminal")], "each once");
    assert_eq!(seen[0].session, seen[1].session, "and of one session");
    assert!(seen.iter().all(|seen| seen.outcome == "ok"), "{seen:?}");
    server.kill().await.unwrap();
}

#[tokio::test]
async fn asking_costs_little_beside_what_hermes_does_itself() {
    let scene = Scene::open(crate::house::OPEN, json!({})).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/cost.py");
    let mut command = scene.program("python", &[script, "100"]);
    command.env("HERMA_DATA_DIR", scene.house.path());
    let output = eventually("the measurement", command.output()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{said}{}", String::from_utf8_lossy(&output.stderr));
    let last = said.lines().last().unwrap_or_default();
    let cost: Value = serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert_eq!(cost["calls"], 100, "{cost}");
    let seen = scene.calls().await;
    assert_eq!(seen.iter().filter(|seen| seen.tool == "read_file" && seen.outcome == "ok").count(), 100);
    let (added, own) = (cost["added_ms"].as_f64().unwrap(), cost["hermes_ms"].as_f64().unwrap());
    assert!(added > 0.0 && own > 0.0, "{cost}");
}

#[tokio::test]
async fn what_an_installation_would_change_is_shown_without_the_secrets_in_it() {
    let house = Plan::default().open().await;
    let (home, config) = (tempfile::tempdir().unwrap(), house.path().join("herma.toml"));
    let before = "mcp_servers:\n  web:\n    url: \"http://127.0.0.1:9/mcp\"\n    \
        headers: {Authorization: \"Bearer s3cr3t\", X-Team: \"${TEAM}\"}\n";
    let file = home.path().join("config.yaml");
    std::fs::write(&file, before).unwrap();
    let places = ["--home", home.path().to_str().unwrap(), "--config", config.to_str().unwrap()];
    let herma = async |words: &[&str]| {
        let output = house.cli(&[words, &places[..]].concat()).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let said = herma(&["install", "hermes", "--dry-run"]).await;
    assert!(!said.contains("s3cr3t") && said.contains("[masked]") && said.contains("${TEAM}"), "{said}");
    assert!(said.contains("web: Hermes has tools of its own under this name"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);

    assert!(!herma(&["install", "hermes"]).await.contains("s3cr3t"));
    assert!(std::fs::read_to_string(&config).unwrap().contains("Bearer s3cr3t"), "the file has what works");
    assert!(!herma(&["uninstall", "hermes"]).await.contains("s3cr3t"));
    assert!(std::fs::read_to_string(&file).unwrap().contains("Bearer s3cr3t"));
}
