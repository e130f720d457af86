//! Whose warrant a call of Hermes stands under: a task's, a job's, a person's.
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use herma_warrant::capability::Capability;
use herma_warrant::key::{PublicKey, SigningKey};
use herma_warrant::mint::{Draft, mint};
use herma_warrant::warrant::WarrantId;

use super::*;

fn root() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A warrant for these tools that ends so many seconds from now.
fn warrant(seed: u8, tools: &[&str], ends: u64) -> Vec<u8> {
    let any = || Capability { allow_unknown: true, ..Capability::default() };
    let tools: BTreeMap<_, _> = tools.iter().map(|tool| ((*tool).to_owned(), any())).collect();
    let holder = PublicKey::of(&SigningKey::from_bytes(&[2; 32]));
    let issued = now() - 60;
    let draft = Draft {
        ttl: 60 + ends,
        tools,
        ..Draft::new(WarrantId::new(issued * 1000, [seed; 10]), holder, issued)
    };
    mint(draft, &root()).unwrap().encode()
}

fn trusting(more: &str) -> String {
    let root = PublicKey::of(&root()).to_hex();
    format!("{}\n[warrants]\ntrusted_roots = [{root:?}]\n{more}", crate::house::OPEN)
}

/// Herma with these warrants in files beside its configuration.
async fn house(rules: &str, files: &[(&str, Vec<u8>)]) -> House {
    let mut house = Plan::default().open().await;
    for (name, warrant) in files {
        std::fs::write(house.path().join(name), warrant).unwrap();
    }
    let place = house.path().join("herma.toml");
    let text = std::fs::read_to_string(&place).unwrap() + rules;
    std::fs::write(place, text).unwrap();
    house.kill().await;
    house.start().await;
    house
}

#[tokio::test]
async fn a_child_has_only_what_its_parent_and_its_task_have_and_the_children_may_start_in_any_order() {
    let task = |name: &str| json!({ "goal": format!("script:{name} do it") });
    let steps = |name: &str, after: u64| {
        json!([
            { "after": after, "calls": [call("terminal", json!({ "command": format!("echo {name}") }))] },
            { "calls": [call("write_file", json!({ "path": format!("{name}.txt"), "content": "x" }))] },
            { "text": "done" },
        ])
    };
    let scripts = json!({
        "main": [
            { "calls": [call("delegate_task", json!({ "tasks": [task("slow"), task("quick")] }))] },
            { "calls": [call("terminal", json!({ "command": "echo again" }))] },
            { "text": "both are done" },
        ],
        "slow": steps("slow", 3),
        "quick": steps("quick", 0),
    });
    // The parent may delegate, and no child may.
    let over = warrant(3, &["delegate_task", "terminal", "read_file"], 3600);
    let house = house(&trusting(""), &[("hermes.tenuo", over)]).await;
    let file = house.path().join("hermes.tenuo");
    let put = house.cli(&["warrant", "assign", "agent:hermes", file.to_str().unwrap()]).await;
    assert!(put.status.success(), "{}", String::from_utf8_lossy(&put.stderr));
    let scene = Scene::with(house, scripts, "").await;
    let said = scene.run("script:main delegate").await;

    let seen = scene.calls().await;
    let parent = &seen.iter().find(|seen| seen.tool == "delegate_task").unwrap().session;
    let record = scene.record().await;
    let children: Vec<&Value> = record
        .iter()
        .filter(|line| line["child_of"] == **parent || line["detail"]["child_of"] == **parent)
        .collect();
    assert_eq!(children.len(), 2, "{said}{record:#?}");
    for child in &children {
        let text = child.to_string();
        assert!(text.contains("\"terminal\"") && text.contains("\"read_file\""), "{text}");
        assert!(!text.contains("delegate_task") && !text.contains("write_file"), "{text}");
    }
    for name in ["slow", "quick"] {
        assert!(scene.result(&format!("call_{name}-0_0")).contains(name), "{said}");
        let refused = scene.result(&format!("call_{name}-1_0"));
        assert!(
            refused.contains("tool-not-granted") && !scene.work(&format!("{name}.txt")).exists(),
            "{refused}"
        );
    }
    let of = |session: &str| seen.iter().filter(|seen| seen.session == session).count();
    let sessions: std::collections::BTreeSet<_> = seen.iter().map(|seen| seen.session.as_str()).collect();
    assert_eq!(sessions.len(), 3, "{seen:#?}");
    for session in sessions.iter().filter(|session| *session != parent) {
        assert_eq!(of(session), 2);
        let told = children.iter().filter(|child| child.to_string().contains(*session)).count();
        assert_eq!(told, 1, "each child has a warrant of its own: {children:#?}");
    }
    assert!(scene.result("call_main-1_0").contains("again"), "the parent goes on");
}

#[tokio::test]
async fn a_job_does_what_its_warrant_says_until_the_warrant_has_run_out() {
    let work = [
        json!({ "calls": [call("terminal", json!({ "command": "echo nightly" }))] }),
        json!({ "text": "[SILENT]" }),
    ];
    let scripts = json!({ "nightly": work.iter().cycle().take(40).collect::<Vec<_>>() });
    let users = "\n[[user]]\nplatform = \"cron\"\nid = \"*\"\nwarrant = \"nightly.tenuo\"\n";
    let house = house(&trusting(users), &[("nightly.tenuo", warrant(4, &["terminal"], 120))]).await;
    let scene = Scene::with(house, scripts, "").await;
    let hermes = async |arguments: &[&str]| {
        let output = eventually("Hermes", scene.hermes(arguments).output()).await.unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    let created = hermes(&["cron", "create", "every 2h", "script:nightly do it", "--deliver", "local"]).await;
    let job = created.split("Created job: ").nth(1).unwrap_or_else(|| panic!("{created}"));
    let job: String = job.chars().take_while(char::is_ascii_alphanumeric).collect();
    let mut ends = Vec::new();
    eventually("the warrant to run out", async {
        while ends.last().is_none_or(|(grant, _)| grant != "refused") {
            hermes(&["cron", "run", &job]).await;
            hermes(&["cron", "tick"]).await;
            let seen = scene.calls().await;
            let own =
                seen.into_iter().filter(|seen| seen.tool == "terminal" && seen.session.starts_with("cron_"));
            ends = own.map(|seen| (seen.grant, seen.outcome)).collect();
            assert!(!ends.is_empty(), "the job called nothing");
        }
    })
    .await;
    assert_eq!(ends[0], ("authorised".to_owned(), "ok".to_owned()), "{ends:?}");
    let last = (ends.len() - 1) * 2;
    assert!(scene.result(&format!("call_nightly-{last}_0")).contains("expired"), "{ends:?}");
}

#[tokio::test]
async fn everybody_has_their_own_warrant_and_nobody_anothers_holds() {
    let rules = format!(
        "\n[[rule]]\nid = \"ask\"\ntool = \"terminal\"\nroute = \"gate\"\n{}{}{}",
        trusting(""),
        "\n[[user]]\nplatform = \"webhook\"\nid = \"webhook:ann\"\nwarrant = \"ann.tenuo\"\n",
        "\n[[user]]\nplatform = \"webhook\"\nid = \"webhook:bob\"\nwarrant = \"bob.tenuo\"\n",
    );
    let files = [
        ("ann.tenuo", warrant(5, &["write_file", "terminal"], 3600)),
        ("bob.tenuo", warrant(6, &["terminal"], 3600)),
    ];
    let steps = |name: &str, place: &Path| {
        json!([
            { "calls": [call("write_file", json!({ "path": place.join(name), "content": "x" }))] },
            { "calls": [call("terminal", json!({ "command": "echo together >> /dev/null" }))] },
            { "text": format!("{name} is done") },
        ])
    };
    let place = tempfile::tempdir().unwrap();
    let scripts = json!({ "ann": steps("ann", place.path()), "bob": steps("bob", place.path()) });
    // Whoever writes by webhook has no such tools unless the operator says so.
    let tools = "platform_toolsets: {webhook: [terminal, file]}\n";
    let scene = Scene::with(house(&rules, &files).await, scripts, tools).await;
    let mut gateway = Gateway::start(&scene, &["ann", "bob"]).await;
    gateway.says("ann", "script:ann begin").await;
    gateway.says("bob", "script:bob begin").await;

    let holds = eventually("a hold for each of them", async {
        loop {
            let holds = scene.house.holds().await;
            if holds.len() == 2 {
                return holds;
            }
            assert!(holds.len() < 3, "{holds:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    assert_ne!(holds[0]["session"], holds[1]["session"], "the same call of two people is two questions");
    assert!(place.path().join("ann").exists() && !place.path().join("bob").exists());
    let seen = scene.calls().await;
    let of = |grant: &str| {
        &seen.iter().find(|seen| seen.tool == "write_file" && seen.grant == grant).unwrap().session
    };
    let (ann, bob) = (of("authorised"), of("refused"));
    let id = |session: &str| {
        let hold = holds.iter().find(|hold| hold["session"] == session).unwrap();
        hold["id"].as_str().unwrap().to_owned()
    };
    let approved = scene.house.cli(&["holds", "approve", &id(ann)]).await;
    assert!(approved.status.success(), "{}", String::from_utf8_lossy(&approved.stderr));
    answered(&scene, "ann is done").await;
    assert_eq!(scene.house.holds().await.len(), 1, "bob's call still waits");
    let denied = scene.house.cli(&["holds", "deny", &id(bob), "--reason", "not for bob"]).await;
    assert!(denied.status.success(), "{}", String::from_utf8_lossy(&denied.stderr));
    answered(&scene, "bob is done").await;
    assert!(scene.result("call_bob-1_0").contains("not for bob"));
    gateway.process.kill().await.unwrap();
}
