//! Hermes Agent itself, with its plugin, against a model that says what the test tells it to say.
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{
    house::{House, Plan},
    packages,
    wire::soon,
};

#[path = "hermes/heard.rs"]
mod heard;
#[path = "hermes/roads.rs"]
mod roads;
#[path = "hermes/whose.rs"]
mod whose;

/// A cold start of Hermes on a machine that builds something else.
const PATIENCE: Duration = Duration::from_secs(300);

async fn eventually<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
}

/// A home of Hermes, a model, and a Herma between Hermes and everything.
struct Scene {
    house: House,
    dir: tempfile::TempDir,
    _model: Child,
}

impl Scene {
    async fn open(rules: &str, scripts: Value) -> Self {
        Self::with(Plan::default().rules(rules).open().await, scripts, "").await
    }

    async fn with(house: House, scripts: Value, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for place in ["home", "work", "user"] {
            std::fs::create_dir(dir.path().join(place)).unwrap();
        }
        std::fs::write(dir.path().join("scripts.json"), scripts.to_string()).unwrap();
        let (port, model) = start_model(dir.path()).await;
        let config = format!(
            "model: {{default: stub-1, provider: custom, base_url: \"http://127.0.0.1:{port}/v1\", api_key: k, context_length: 131072}}\n\
             agent: {{api_max_retries: 1}}\n\
             approvals: {{mode: manual, timeout: 5}}\n\
             security: {{tirith_enabled: false, allow_lazy_installs: false}}\n\
             auxiliary: {{title_generation: {{enabled: false}}}}\n\
             mcp_discovery_timeout: 30\nmcp_single_query_discovery_timeout: 30\n\
             tools: {{tool_search: false}}\n{more}"
        );
        std::fs::write(dir.path().join("home/config.yaml"), config).unwrap();
        let scene = Self { house, dir, _model: model };
        let home = scene.home();
        let config = scene.house.path().join("herma.toml");
        let places = ["--home", home.to_str().unwrap(), "--config", config.to_str().unwrap()];
        let installed = scene.house.cli(&[&["install", "hermes"], &places[..]].concat()).await;
        assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
        scene
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    fn work(&self, name: &str) -> PathBuf {
        self.dir.path().join("work").join(name)
    }

    fn hermes(&self, arguments: &[&str]) -> Command {
        self.program("hermes", arguments)
    }

    fn program(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(packages::hermes(name));
        command.args(arguments).current_dir(self.dir.path().join("work"));
        command.env("HERMES_HOME", self.home()).env("HOME", self.dir.path().join("user"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// One whole session; what it printed.
    async fn run(&self, prompt: &str) -> String {
        let output = eventually("Hermes to end", self.hermes(&["-z", prompt]).output()).await.unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }

    /// What Hermes wrote for itself.
    fn log(&self) -> String {
        std::fs::read_to_string(self.home().join("logs/agent.log")).unwrap_or_default()
    }

    /// What came back to the model from each call, by its id.
    fn result(&self, call: &str) -> String {
        let log = std::fs::read_to_string(self.dir.path().join("model.jsonl")).unwrap_or_default();
        let messages = log.lines().flat_map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["last"].as_array().cloned().unwrap_or_default()
        });
        let mut results = messages.filter(|message| message["tool_call_id"] == call);
        results.next().unwrap_or_else(|| panic!("{call} never came back: {log}"))["content"].to_string()
    }

    /// Every line of the record, oldest first.
    async fn record(&self) -> Vec<Value> {
        let output = self.house.cli(&["audit", "tail", "--json", "-n", "10000"]).await;
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Every call in the record with its session, its route and its end; the table of what was seen.
    async fn calls(&self) -> Vec<Seen> {
        let record = self.record().await;
        let detail = |line: &Value, name: &str| {
            let value = line.get(name).or_else(|| line["detail"].get(name)).cloned().unwrap_or_default();
            value.as_str().map_or_else(|| value.to_string(), str::to_owned)
        };
        let routed = record.iter().filter(|line| line["step"] == "routed");
        let seen = routed.map(|line| {
            let ends = record.iter().filter(|end| end["call"] == line["call"]);
            let outcome = ends.map(|end| detail(end, "outcome")).find(|outcome| outcome != "null");
            Seen {
                server: detail(line, "server"),
                tool: detail(line, "tool_name"),
                session: detail(line, "session"),
                grant: detail(line, "grant"),
                risk: detail(line, "risk_score"),
                route: detail(line, "route"),
                outcome: outcome.unwrap_or_default(),
            }
        });
        let seen: Vec<_> = seen.collect();
        for Seen { server, tool, session, grant, risk, route, outcome } in &seen {
            println!(
                "{server:10} {tool:22} {session:28} risk {risk:6} warrant {grant:10} {route:8} {outcome}"
            );
        }
        seen
    }
}

#[derive(Debug)]
struct Seen {
    server: String,
    tool: String,
    session: String,
    grant: String,
    risk: String,
    route: String,
    outcome: String,
}

async fn start_model(dir: &Path) -> (u16, Child) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/model.py");
    let mut command = Command::new(packages::hermes("python"));
    command.arg(script).arg(dir.join("scripts.json")).arg(dir.join("model.jsonl"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut model = command.spawn().unwrap();
    let mut line = String::new();
    soon("the model", BufReader::new(model.stdout.take().unwrap()).read_line(&mut line)).await.unwrap();
    (line.trim().parse().unwrap(), model)
}

fn call(name: &str, args: Value) -> Value {
    json!({ "name": name, "args": args })
}

/// What a rule of each kind would say of a day's work.
const DAY: &str = r#"
[[rule]]
id = "no-secrets"
tool = "terminal"
arguments = { "/command" = ".*forbidden.*" }
route = "block"
reason = "not here"

[[rule]]
id = "no-moving"
server = "files"
tool = "move_file"
route = "block"
reason = "files stay where they are"

[[rule]]
id = "day"
tool = "*"
route = "execute"
"#;

fn files(place: &Path) -> String {
    let mut command = packages::npm("mcp-server-filesystem");
    command.push(place.to_str().unwrap().to_owned());
    let (program, arguments) = command.split_first().unwrap();
    format!("mcp_servers:\n  files:\n    command: {program:?}\n    args: {arguments:?}\n")
}

#[tokio::test]
async fn every_call_of_a_days_work_is_seen_judged_and_settled() {
    let script = "from hermes_tools import terminal, read_file\nprint(terminal('echo inner'))\nprint(terminal('echo forbidden'))\nprint(read_file('notes.txt'))\n";
    let scripts = json!({ "main": [
        { "calls": [call("terminal", json!({ "command": "echo first" }))] },
        { "calls": [call("write_file", json!({ "path": "notes.txt", "content": "one\ntwo\n" }))] },
        { "calls": [call("patch", json!({ "mode": "replace", "path": "notes.txt", "old_string": "two", "new_string": "three" }))] },
        { "calls": [
            call("read_file", json!({ "path": "notes.txt" })),
            call("search_files", json!({ "pattern": "three", "path": "." })),
            call("mcp__files__list_allowed_directories", json!({})),
        ] },
        { "calls": [call("execute_code", json!({ "code": script }))] },
        { "calls": [call("terminal", json!({ "command": "echo forbidden > made.txt" }))] },
        // Three refusals in a row: Hermes must go on calling the server.
        { "calls": [call("mcp__files__move_file", json!({ "source": "a", "destination": "b" }))] },
        { "calls": [call("mcp__files__move_file", json!({ "source": "a", "destination": "c" }))] },
        { "calls": [call("mcp__files__move_file", json!({ "source": "a", "destination": "d" }))] },
        { "calls": [call("mcp__files__list_allowed_directories", json!({}))] },
        { "text": "a day's work" },
    ]});
    let house = Plan::default().rules(DAY).open().await;
    let served = tempfile::tempdir().unwrap();
    let scene = Scene::with(house, scripts, &files(served.path())).await;
    let said = scene.run("do a day's work").await;
    assert!(said.contains("a day's work"), "{said}{}", scene.log());

    assert!(scene.result("call_main-0_0").contains("first"));
    assert!(scene.result("call_main-3_0").contains("three"));
    let nested = scene.result("call_main-4_0");
    assert!(nested.contains("inner") && nested.contains("rule `no-secrets`"), "{nested}");
    assert!(scene.result("call_main-5_0").contains("rule `no-secrets`"));
    assert!(!scene.work("made.txt").exists(), "a refused command ran");
    for step in 6..9 {
        assert!(scene.result(&format!("call_main-{step}_0")).contains("rule `no-moving`"));
    }
    let still = scene.result("call_main-9_0");
    assert!(still.contains("Allowed directories"), "the server was given up: {still}");

    let seen = scene.calls().await;
    let tools: Vec<_> = seen.iter().map(|seen| seen.tool.as_str()).collect();
    let expected = [
        "terminal",
        "write_file",
        "patch",
        "read_file",
        "search_files",
        "list_allowed_directories",
        "execute_code",
        "terminal",
        "terminal",
        "read_file",
        "terminal",
        "move_file",
        "move_file",
        "move_file",
        "list_allowed_directories",
    ];
    assert_eq!(tools, expected, "each call once, in its order");
    let first = &seen[0].session;
    assert!(!first.is_empty() && seen.iter().all(|seen| seen.session == *first), "one session: {seen:#?}");
    for seen in &seen {
        let settled = matches!(
            (seen.route.as_str(), seen.outcome.as_str()),
            ("block", "") | ("execute" | "review", "ok")
        );
        assert!(settled, "{seen:?}");
        assert!(seen.risk != "null" && seen.grant != "null", "{seen:?}");
    }
    assert_eq!(seen.iter().filter(|seen| seen.server == "files").count(), 5);
}

#[tokio::test]
async fn a_held_call_runs_when_approved_and_one_whose_agent_died_never_does() {
    let gated = "[[rule]]\nid = \"ask\"\ntool = \"terminal\"\nroute = \"gate\"\n";
    let scripts = json!({
        "yes": [{ "calls": [call("terminal", json!({ "command": "touch approved" }))] }, { "text": "over" }],
        "gone": [{ "calls": [call("terminal", json!({ "command": "touch orphan" }))] }, { "text": "over" }],
        "cut": [{ "calls": [call("terminal", json!({ "command": "touch cut" }))] }, { "text": "over" }],
    });
    let mut scene = Scene::open(gated, scripts).await;
    let (said, ()) = tokio::join!(scene.run("script:yes"), eventually("an approval", approve(&scene.house)));
    assert!(said.contains("over") && scene.work("approved").exists(), "{said}");

    let mut hermes = scene.hermes(&["-z", "script:gone"]).spawn().unwrap();
    eventually("a hold", waiting(&scene.house)).await;
    hermes.kill().await.unwrap();
    eventually("the hold to end", async {
        while !scene.house.holds().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(!scene.work("orphan").exists());

    let hermes = scene.hermes(&["-z", "script:cut"]).spawn().unwrap();
    eventually("a hold", waiting(&scene.house)).await;
    scene.house.kill().await;
    eventually("Hermes to end", hermes.wait_with_output()).await.unwrap();
    let refused = scene.result("call_cut-0_0");
    assert!(refused.contains("REFUSED") && refused.contains("not run"), "{refused}");
    assert!(!scene.work("cut").exists(), "it ran without a daemon");
}

async fn waiting(house: &House) -> Value {
    loop {
        if let Some(hold) = house.holds().await.first() {
            return hold.clone();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn approve(house: &House) {
    let hold = waiting(house).await;
    let output = house.cli(&["holds", "approve", hold["id"].as_str().unwrap()]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn the_plugin_fails_closed_whatever_its_daemon_does() {
    let mut command = Command::new(packages::hermes("python"));
    command.args(["-m", "unittest", "discover", "-s"]);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/plugins/hermes/tests"));
    let output = eventually("the plugin's own tests", command.output()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("OK"), "{said}");
}

#[tokio::test]
async fn the_doctor_finds_a_fresh_installation_closed_and_names_what_is_open() {
    let scene = Scene::open("", json!({})).await;
    let (home, hermes) = (scene.home(), packages::hermes("hermes"));
    let arguments = ["doctor", "hermes", "--home", home.to_str().unwrap(), "--hermes", &hermes];
    let doctor = || async {
        let mut command = Command::new(crate::house::HERMA);
        command.args(arguments).arg("--data-dir").arg(scene.house.path()).stdin(Stdio::null());
        let output = eventually("the doctor", command.output()).await.unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (healthy, said) = doctor().await;
    assert!(healthy && !said.contains("FAIL"), "{said}");
    assert_eq!(said.matches("does not run").count(), 6, "{said}");

    let config = home.join("config.yaml");
    let open = std::fs::read_to_string(&config).unwrap().replace("[\"herma\"]", "[]");
    std::fs::write(&config, open + "mcp_servers:\n  free: {command: node, args: [x.js]}\n").unwrap();
    let (healthy, said) = doctor().await;
    assert!(!healthy && said.contains("FAIL  the plugin is enabled"), "{said}");
    assert!(said.contains("FAIL  server `free` goes through Herma"), "{said}");
    assert!(said.contains("IT RAN"), "{said}");
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn listens(what: &str, port: u16) {
    eventually(what, async {
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

/// A gateway with webhooks for its only platform.
struct Gateway {
    process: Child,
    port: u16,
}

impl Gateway {
    async fn start(scene: &Scene, routes: &[&str]) -> Self {
        Self::with(scene, routes, &[]).await
    }

    async fn with(scene: &Scene, routes: &[&str], environment: &[(&str, &str)]) -> Self {
        let port = free_port();
        let routes: Vec<_> = routes
            .iter()
            .map(|route| {
                format!("{route}: {{secret: INSECURE_NO_AUTH, prompt: \"{{message}}\", deliver: log}}")
            })
            .collect();
        let platform = format!(
            "platforms: {{webhook: {{enabled: true, extra: {{host: 127.0.0.1, port: {port}, routes: {{{}}}}}}}}}\n",
            routes.join(", ")
        );
        let config = scene.home().join("config.yaml");
        let text = std::fs::read_to_string(&config).unwrap() + &platform;
        std::fs::write(&config, text).unwrap();
        let mut command = scene.hermes(&["gateway", "run"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).envs(environment.iter().copied());
        let process = command.spawn().unwrap();
        listens("the gateway", port).await;
        Self { process, port }
    }

    async fn says(&self, route: &str, words: &str) {
        let url = format!("http://127.0.0.1:{}/webhooks/{route}", self.port);
        let body = json!({ "message": words }).to_string();
        let answer = crate::wire::Endpoint::new(url).post(body).await;
        assert!(answer.head.status() < 300, "{:?}", answer.head);
    }
}

/// Every answer that left the gateway.
fn answers(scene: &Scene) -> String {
    let log = std::fs::read_to_string(scene.home().join("logs/agent.log")).unwrap_or_default();
    log.lines().filter(|line| line.contains("[webhook] Response for")).collect::<Vec<_>>().join("\n")
}

async fn answered(scene: &Scene, words: &str) {
    eventually(words, async {
        while !answers(scene).contains(words) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

/// The hold of this conversation.
async fn held_for(scene: &Scene, route: &str) -> String {
    eventually("a hold", async {
        loop {
            let holds = scene.house.holds().await;
            if let Some(hold) = holds.iter().find(|hold| hold["shown"].to_string().contains(route)) {
                return hold["id"].as_str().unwrap().to_owned();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await
}
