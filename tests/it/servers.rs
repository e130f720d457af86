//! Real servers: the same lists and answers with Herma as without, and the calls that change
//! something wait for a person.
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{house::Plan, packages, pipe::Pipe, wire::Endpoint};

struct Server {
    command: Vec<String>,
    env: Vec<(&'static str, String)>,
    read: (&'static str, Value),
    write: (&'static str, Value),
    /// What can be seen once the write has run, given the answer to it.
    proof: Box<dyn Fn(&Value) -> bool + Send>,
    _ground: TempDir,
}

fn text(answer: &Value) -> String {
    answer["result"]["content"].to_string()
}

fn filesystem() -> Server {
    let ground = tempfile::tempdir().unwrap();
    let root = ground.path().canonicalize().unwrap();
    std::fs::write(root.join("read.txt"), "some words\n").unwrap();
    let written = root.join("written.txt");
    let mut command = packages::npm("mcp-server-filesystem");
    command.push(root.to_str().unwrap().to_owned());
    Server {
        command,
        env: Vec::new(),
        read: ("read_text_file", json!({"path": root.join("read.txt")})),
        write: ("write_file", json!({"path": written, "content": "new words"})),
        proof: Box::new(move |_| written.exists()),
        _ground: ground,
    }
}

fn everything() -> Server {
    let mut command = packages::npm("mcp-server-everything");
    command.push("stdio".to_owned());
    Server {
        command,
        env: Vec::new(),
        read: ("echo", json!({"message": "grüß dich"})),
        write: ("get-sum", json!({"a": 1.0, "b": 2})),
        proof: Box::new(|answer| text(answer).contains('3')),
        _ground: tempfile::tempdir().unwrap(),
    }
}

fn memory() -> Server {
    let ground = tempfile::tempdir().unwrap();
    let file = ground.path().join("memory.jsonl");
    let entity = json!({"name": "Ann", "entityType": "person", "observations": ["likes tea"]});
    Server {
        command: packages::npm("mcp-server-memory"),
        env: vec![("MEMORY_FILE_PATH", file.to_str().unwrap().to_owned())],
        read: ("read_graph", json!({})),
        write: ("create_entities", json!({"entities": [entity]})),
        proof: Box::new(move |_| file.exists()),
        _ground: ground,
    }
}

fn git() -> Server {
    let ground = tempfile::tempdir().unwrap();
    let root = ground.path().to_str().unwrap().to_owned();
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.args(["-C", &root, "-c", "user.name=t", "-c", "user.email=t@example.org"]);
        assert!(command.args(arguments).output().unwrap().status.success(), "{arguments:?}");
    };
    run(&["init", "-q", "-b", "main"]);
    run(&["commit", "-q", "--allow-empty", "-m", "one"]);
    let branch = Path::new(&root).join(".git/refs/heads/side");
    Server {
        command: vec![packages::python("current", "mcp-server-git"), "--repository".to_owned(), root.clone()],
        env: Vec::new(),
        read: ("git_status", json!({ "repo_path": root })),
        write: ("git_create_branch", json!({"repo_path": root, "branch_name": "side"})),
        proof: Box::new(move |_| branch.exists()),
        _ground: ground,
    }
}

/// The reading tools are left to Herma's own judgement: a user expects them to run.
fn rules(server: &Server) -> String {
    format!("[[rule]]\nid = \"ask\"\ntool = {:?}\nroute = \"gate\"\n", server.write.0)
}

fn call((tool, arguments): &(&str, Value)) -> Value {
    json!({"name": tool, "arguments": arguments})
}

fn direct(server: &Server) -> Pipe {
    let mut command = tokio::process::Command::new(&server.command[0]);
    command.args(&server.command[1..]).envs(server.env.iter().cloned());
    Pipe::spawn(command)
}

async fn works_over_stdio(server: Server) {
    let env: Vec<_> = server.env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut direct = direct(&server);
    let house = Plan::default().rules(&rules(&server)).open().await;
    let mut through = house.wrap_with("real", &server.command, &env);

    assert_eq!(through.initialize().await, direct.initialize().await);
    for (id, method, params) in [(1, "tools/list", json!({})), (2, "tools/call", call(&server.read))] {
        let expected = direct.ask(id, method, params.clone()).await;
        assert_eq!(through.ask(id, method, params).await, expected, "{method}");
    }

    let (answer, ()) =
        tokio::join!(through.ask(4, "tools/call", call(&server.write)), house.deny("the branch is frozen"));
    assert!(answer.to_string().contains("the branch is frozen"), "{answer}");
    assert!(!(server.proof)(&answer), "denied, and yet it ran: {answer}");

    let (answer, ()) = tokio::join!(through.ask(5, "tools/call", call(&server.write)), house.approve());
    assert!((server.proof)(&answer), "approved, and yet it did not run: {answer}");
}

/// A session over HTTP as the protocol's older clients hold it.
pub(crate) struct Session {
    endpoint: Endpoint,
}

impl Session {
    pub(crate) async fn start(endpoint: Endpoint) -> (Self, Value) {
        let params = json!({
            "protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": {"name": "herma-tests", "version": "1"}
        });
        let request = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let reply = endpoint.post(request.to_string()).await;
        let session = reply.head.header("mcp-session-id").map(str::to_owned);
        let answer = reply.json().await;
        let endpoint = endpoint.with("mcp-protocol-version", "2025-06-18");
        let endpoint = match session {
            Some(session) => endpoint.with("mcp-session-id", &session),
            None => endpoint,
        };
        let ready = endpoint.post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
        assert_eq!(ready.head.status(), 202);
        (Self { endpoint }, answer)
    }

    pub(crate) async fn ask(&self, id: i64, method: &str, params: Value) -> Value {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.endpoint.post(request.to_string()).await.json().await
    }
}

async fn works_over_http(server: Server) {
    let env: Vec<_> = server.env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut direct = direct(&server);
    let plan = Plan::default().command("real", &server.command, &env).rules(&rules(&server));
    let house = plan.open().await;

    let (through, initialized) = Session::start(house.endpoint("real")).await;
    assert_eq!(initialized, direct.initialize().await);
    for (id, method, params) in [(1, "tools/list", json!({})), (2, "tools/call", call(&server.read))] {
        let expected = direct.ask(id, method, params.clone()).await;
        assert_eq!(through.ask(id, method, params).await, expected, "{method}");
    }

    let (answer, ()) =
        tokio::join!(through.ask(4, "tools/call", call(&server.write)), house.deny("the branch is frozen"));
    assert!(answer.to_string().contains("the branch is frozen"), "{answer}");
    assert!(!(server.proof)(&answer), "denied, and yet it ran: {answer}");

    let (answer, ()) = tokio::join!(through.ask(5, "tools/call", call(&server.write)), house.approve());
    assert!((server.proof)(&answer), "approved, and yet it did not run: {answer}");
}

#[tokio::test]
async fn the_filesystem_server_works_over_stdio() {
    works_over_stdio(filesystem()).await;
}

#[tokio::test]
async fn the_filesystem_server_works_over_http() {
    works_over_http(filesystem()).await;
}

#[tokio::test]
async fn the_everything_server_works_over_stdio() {
    works_over_stdio(everything()).await;
}

#[tokio::test]
async fn the_everything_server_works_over_http() {
    works_over_http(everything()).await;
}

#[tokio::test]
async fn the_memory_server_works_over_stdio() {
    works_over_stdio(memory()).await;
}

#[tokio::test]
async fn the_memory_server_works_over_http() {
    works_over_http(memory()).await;
}

#[tokio::test]
async fn the_git_server_works_over_stdio() {
    works_over_stdio(git()).await;
}

#[tokio::test]
async fn the_git_server_works_over_http() {
    works_over_http(git()).await;
}
