//! Real clients, with their own ideas of time-outs, protocol versions and streams.
use std::{process::Stdio, time::Duration};

use tokio::process::Command;

use crate::{
    conformance::Reference,
    house::{House, Plan},
    packages,
};

/// The first tool runs, the second waits for a person.
const RULES: &str = r#"
[[rule]]
id = "run"
tool = "*echo*"
route = "execute"
[[rule]]
id = "run-too"
tool = "test_simple_text"
route = "execute"
[[rule]]
id = "ask"
tool = "g*"
route = "gate"
"#;

#[derive(Clone, Copy)]
enum Client {
    PythonCurrent,
    PythonHermes,
    Sdk,
    NewSdk,
    Inspector,
}

impl Client {
    /// One whole session: connect, list, call, leave. What it printed.
    async fn run(self, target: &[String], tool: &str, arguments: &str) -> String {
        let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");
        let home = tempfile::tempdir().unwrap();
        let (program, script) = match self {
            Self::PythonCurrent => (packages::python("current", "python"), "current.py"),
            Self::PythonHermes => (packages::python("hermes", "python"), "hermes.py"),
            Self::Sdk => (packages::node(), "sdk.mjs"),
            Self::NewSdk => (packages::node(), "client.mjs"),
            Self::Inspector => (packages::node(), ""),
        };
        let mut command = Command::new(program);
        if let Self::Inspector = self {
            command.arg(&packages::npm("mcp-inspector")[1]).arg("--cli");
            command.args(["--method", "tools/call", "--tool-name", tool]);
            command.args(["--tool-args-json", arguments]);
            // Its options end where the server's command begins.
            command.args(if target.len() > 1 { &["--"][..] } else { &["--transport", "http"] });
        } else {
            command.arg(format!("{scripts}/{script}")).arg(tool).arg(arguments);
        }
        command.args(target).env("NPM_ROOT", packages::npm_root()).env("HOME", home.path());
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = command.output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text + &String::from_utf8_lossy(&output.stderr)
    }
}

struct Scene {
    house: House,
    target: Vec<String>,
    /// Tool, arguments, and what its answer says.
    free: [&'static str; 3],
    gated: [&'static str; 3],
    _upstream: Option<Reference>,
}

async fn over_stdio() -> Scene {
    let house = Plan::default().rules(RULES).open().await;
    let mut server = packages::npm("mcp-server-everything");
    server.push("stdio".to_owned());
    let target = house.wrapped("everything", &server);
    Scene {
        house,
        target,
        free: ["echo", r#"{"message":"well met"}"#, "well met"],
        gated: ["get-sum", r#"{"a":40,"b":2}"#, "of 40 and 2 is 42"],
        _upstream: None,
    }
}

async fn over_http() -> Scene {
    let reference = Reference::start().await;
    let house = Plan::default().url("reference", &reference.url).rules(RULES).open().await;
    let target = vec![house.endpoint("reference").url];
    Scene {
        house,
        target,
        free: ["test_simple_text", "{}", "simple text response"],
        gated: ["greet", r#"{"name":"Ann"}"#, "Hello, Ann!"],
        _upstream: Some(reference),
    }
}

async fn works(client: Client, scene: Scene) {
    let Scene { house, target, .. } = &scene;
    let [tool, arguments, expected] = scene.free;
    let said = client.run(target, tool, arguments).await;
    assert!(said.contains(expected), "{said}");

    let [tool, arguments, expected] = scene.gated;
    let (said, ()) = tokio::join!(client.run(target, tool, arguments), async {
        house.held().await;
        // A person needs a moment.
        tokio::time::sleep(Duration::from_secs(3)).await;
        house.approve().await;
    });
    assert!(said.contains(expected), "approved: {said}");

    let (said, ()) = tokio::join!(client.run(target, tool, arguments), async {
        house.deny("not before Monday").await;
    });
    assert!(said.contains("not before Monday"), "denied: {said}");
    assert!(!said.contains(expected), "denied, and yet it ran: {said}");
}

#[tokio::test]
async fn todays_python_sdk_works_over_stdio() {
    works(Client::PythonCurrent, over_stdio().await).await;
}

#[tokio::test]
async fn todays_python_sdk_works_over_http() {
    works(Client::PythonCurrent, over_http().await).await;
}

#[tokio::test]
async fn the_python_sdk_of_hermes_works_over_stdio() {
    works(Client::PythonHermes, over_stdio().await).await;
}

#[tokio::test]
async fn the_python_sdk_of_hermes_works_over_http() {
    works(Client::PythonHermes, over_http().await).await;
}

#[tokio::test]
async fn the_typescript_sdk_works_over_stdio() {
    works(Client::Sdk, over_stdio().await).await;
}

#[tokio::test]
async fn the_typescript_sdk_works_over_http() {
    works(Client::Sdk, over_http().await).await;
}

#[tokio::test]
async fn the_second_typescript_sdk_works_over_stdio() {
    works(Client::NewSdk, over_stdio().await).await;
}

#[tokio::test]
async fn the_second_typescript_sdk_works_over_http() {
    works(Client::NewSdk, over_http().await).await;
}

#[tokio::test]
async fn the_inspector_works_over_stdio() {
    works(Client::Inspector, over_stdio().await).await;
}

#[tokio::test]
async fn the_inspector_works_over_http() {
    works(Client::Inspector, over_http().await).await;
}
