//! A server that Herma starts itself, driven over HTTP as clients do it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use herma::call::Digest;
use herma::carriers::hook::Desk;
use herma::carriers::mcp::bridge::{Bridge, Launch, Limits};
use herma::carriers::mcp::door::{Door, Manners};
use herma::carriers::mcp::http::{self, Agents, Back, Route};
use herma::carriers::mcp::sse::Events;
use herma::config::{Agent, Settings};
use herma::firewall::definitions::Definitions;
use herma::firewall::salts::Salts;
use herma::firewall::session::Sessions;
use herma::firewall::{Firewall, Parts};
use herma::gate::Gate;
use herma::ledger::{Ledger, load_or_create_key};
use herma::review::Reviews;
use herma::store::{Sqlite, Store};
use herma::warrants::{Setup, Warrants};
use herma_scoring::Rules;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(60);
const INITIALIZE: &str =
    r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"clientInfo":{"name":"t"}}}"#;
const MODERN: &str = "2026-07-28";

struct Herma {
    /// None when it runs within the test.
    daemon: Option<Child>,
    dir: TempDir,
    url: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Herma {
    async fn start(arguments: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let config = format!(
            r#"
            listen = {{ agent = "127.0.0.1:0" }}
            [[server]]
            name = "peer"
            command = "python3"
            args = ["{}"{arguments}]
            env = {{ GIVEN = "yes" }}
            [[rule]]
            id = "held"
            tool = "echo"
            arguments = {{ "/hold" = "." }}
            route = "gate"
            [[rule]]
            id = "asked"
            kind = "sampling"
            route = "block"
            [[rule]]
            id = "run"
            kind = "tool"
            route = "execute"
            "#,
            peer().display()
        );
        std::fs::write(dir.path().join("herma.toml"), config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_herma"));
        command.args(["serve", "--config"]).arg(dir.path().join("herma.toml"));
        command.arg("--data-dir").arg(dir.path().join("data")).env("UNWANTED", "secret");
        let daemon = command.stderr(Stdio::null()).spawn().unwrap();
        let status = dir.path().join("data/daemon.json");
        let agent = eventually(|| {
            let status: Value = serde_json::from_slice(&std::fs::read(&status).ok()?).ok()?;
            status["agent"].as_str().map(str::to_owned)
        })
        .await;
        let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        Self { daemon: Some(daemon), dir, url: format!("{agent}/mcp/peer"), client }
    }

    /// Within the test, with agents `ann` and `bob` whose tokens are their names.
    async fn within(limits: Limits) -> (Self, Arc<Door>) {
        let dir = TempDir::new().unwrap();
        let key = load_or_create_key(dir.path()).unwrap();
        let ledger = Ledger::open(&dir.path().join("ledger"), key.clone(), "herma").unwrap();
        let store: Arc<dyn Store> = Arc::new(Sqlite::open(dir.path()).unwrap());
        let settings = Settings::builtin().unwrap();
        let firewall = Firewall::new(Parts {
            rules: Rules::shipped().unwrap(),
            policy: settings.policy,
            gate: Gate::restore(Arc::clone(&store), ledger.clone(), key, settings.times).await.unwrap(),
            definitions: Definitions::new(Arc::clone(&store), ledger.clone()),
            sessions: Sessions::restore(Arc::clone(&store)).await.unwrap(),
            warrants: Warrants::restore(Arc::clone(&store), Setup::default(), 0).await.unwrap(),
            salts: Salts::restore(Arc::clone(&store), 0).await.unwrap(),
            reviews: Reviews::restore(store, dir.path(), Default::default(), [0; 32], 0).await.unwrap(),
            ledger,
            telemetry: Arc::default(),
            seed: 1,
        });
        let door = Arc::new(Door::new(
            Desk::new(firewall, &[2; 32], Vec::new(), settings.crisis),
            [2; 32],
            settings.frame_limit,
        ));
        let launch = Launch {
            guard: env!("CARGO_BIN_EXE_herma").into(),
            command: "python3".into(),
            args: vec![peer().display().to_string()],
            env: BTreeMap::new(),
            cwd: None,
        };
        let manners = Manners::default();
        let bridge = Bridge::new("peer".into(), false, Arc::clone(&door), manners, launch, None, limits);
        let route = Route {
            name: "peer".into(),
            upstream: Back::Process(bridge),
            manners,
            trusted: false,
            files: None,
            road: None,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let agent = |name: &str| Agent { name: name.into(), token: Digest::of(name.as_bytes()) };
        let agents = Agents {
            anonymous: true,
            door: Arc::clone(&door),
            routes: HashMap::from([("peer".to_owned(), Arc::new(route))]),
            agents: vec![agent("ann"), agent("bob")],
            hosts: Vec::new(),
            address,
            agentguard: None,
            sandbox_http: false,
            sandboxes: http::Sandboxes::default(),
        };
        let (stop, stopping) = watch::channel(false);
        tokio::spawn(async move {
            http::serve(listener, Arc::new(agents), stopping).await;
            drop(stop);
        });
        let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        (Self { daemon: None, dir, url: format!("http://{address}/mcp/peer"), client }, door)
    }

    async fn send(&self, method: Method, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let mut request = Request::builder().method(method).uri(&self.url);
        request = request.header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let response = timeout(PATIENCE, self.client.request(request)).await.unwrap().unwrap();
        let (parts, body) = response.into_parts();
        Answer { status: parts.status, headers: parts.headers, body, events: Events::new(usize::MAX) }
    }

    async fn open(&self) -> Session<'_> {
        let body = INITIALIZE;
        let mut answer = self.send(Method::POST, &[("accept", BOTH)], body).await;
        assert_eq!(answer.status, StatusCode::OK);
        let id = answer.headers["mcp-session-id"].to_str().unwrap().to_owned();
        let pid = answer.last().await["result"]["pid"].as_i64().unwrap();
        Session { herma: self, id, pid }
    }

    async fn modern(&self, id: &Value, method: &str, mut params: Value, accept: &str) -> Answer {
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = MODERN.into();
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let headers = [("accept", accept), ("mcp-protocol-version", MODERN), ("mcp-method", method)];
        self.send(Method::POST, &headers, body.to_string()).await
    }

    fn herma(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_herma"));
        command.arg("--data-dir").arg(self.dir.path().join("data")).args(arguments);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    }

    fn stop(&mut self, signal: &str) {
        let mut daemon = self.daemon.take().unwrap();
        Command::new("kill").args([signal, &daemon.id().to_string()]).status().unwrap();
        daemon.wait().unwrap();
    }
}

impl Drop for Herma {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

const BOTH: &str = "application/json, text/event-stream";
const JSON: &str = "application/json";

struct Session<'a> {
    herma: &'a Herma,
    id: String,
    pid: i64,
}

impl Session<'_> {
    async fn post(&self, body: impl Into<Bytes>, accept: &str) -> Answer {
        self.herma.send(Method::POST, &[("accept", accept), ("mcp-session-id", &self.id)], body).await
    }

    async fn call(&self, id: i64, tool: &str, arguments: Value) -> Answer {
        self.post(call(&json!(id), tool, arguments).to_string(), BOTH).await
    }

    async fn listen(&self) -> Answer {
        let headers = [("accept", "text/event-stream"), ("mcp-session-id", self.id.as_str())];
        self.herma.send(Method::GET, &headers, "").await
    }

    async fn delete(&self) -> StatusCode {
        self.herma.send(Method::DELETE, &[("mcp-session-id", self.id.as_str())], "").await.status
    }
}

fn call(id: &Value, tool: &str, arguments: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": tool, "arguments": arguments } })
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Incoming,
    events: Events,
}

impl Answer {
    fn streams(&self) -> bool {
        self.headers.get(CONTENT_TYPE).unwrap_or_else(|| panic!("{}", self.status)) == "text/event-stream"
    }

    async fn raw(&mut self) -> Bytes {
        timeout(PATIENCE, (&mut self.body).collect()).await.unwrap().unwrap().to_bytes()
    }

    async fn json(&mut self) -> Value {
        assert!(!self.streams());
        serde_json::from_slice(&self.raw().await).unwrap()
    }

    /// The next frame of the stream, `None` when it has ended.
    async fn next(&mut self) -> Option<Value> {
        assert!(self.streams(), "{} {:?}", self.status, self.headers);
        loop {
            while let Some(event) = self.events.cut().unwrap() {
                if let Some(data) = event.data() {
                    return Some(serde_json::from_slice(&data).unwrap());
                }
            }
            let frame = timeout(PATIENCE, self.body.frame()).await.expect("an event in time")?;
            self.events.feed(&frame.unwrap().into_data().unwrap());
        }
    }

    /// The answer, whether it comes alone or at the end of a stream.
    async fn last(&mut self) -> Value {
        if !self.streams() {
            return self.json().await;
        }
        let mut last = None;
        while let Some(frame) = self.next().await {
            last = Some(frame);
        }
        last.expect("an answer")
    }

    async fn text(&mut self) -> String {
        let answer = self.last().await;
        answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }
}

fn peer() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bridge/peer.py")
}

async fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "it did not happen in time");
        sleep(Duration::from_millis(20)).await;
    }
}

fn lives(pid: i64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[tokio::test]
async fn each_legacy_session_has_a_process_of_its_own_and_ids_do_not_collide() {
    let herma = Herma::start("").await;
    let (one, two) = tokio::join!(herma.open(), herma.open());
    assert_ne!(one.id, two.id);
    assert_ne!(one.pid, two.pid);
    let mut waiting = one.call(1, "wait", json!({ "say": "one" })).await;
    assert!(waiting.streams());
    assert_eq!(waiting.headers["x-accel-buffering"], "no");
    let echo = two.call(1, "echo", json!({})).await.last().await;
    assert_eq!(echo["result"]["pid"], two.pid);
    assert_eq!(one.call(1, "echo", json!({})).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(one.call(2, "release", json!({})).await.text().await, "ok");
    assert_eq!(waiting.text().await, "one");
    assert_eq!(one.call(1, "echo", json!({})).await.last().await["result"]["pid"], one.pid);
}

#[tokio::test]
async fn a_frame_reaches_the_server_byte_for_byte_and_so_does_its_answer() {
    let herma = Herma::start("").await;
    let session = herma.open().await;
    let frame = r#"{ "params":{"arguments":{"z":1.0,"a":"\u00e9 é","x":[ ] }, "name":"echo","extra":null} ,"method":"tools/call","id": "\u0061" ,"jsonrpc":"2.0"}"#;
    assert_eq!(session.post(frame, BOTH).await.text().await, frame);
    let answer = session.call(7, "junk", json!({})).await.raw().await;
    assert_eq!(
        answer, r#"{"jsonrpc": "2.0", "id": 7, "result": {"content": [], "a": "aé"}}"#,
        "junk is dropped, a flood on stderr hinders nothing, split characters are whole again"
    );
    let broken = "{\"jsonrpc\":\"2.0\",\r\n\"id\":8,\n\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":{\"a\":\"\u{2028}{}\"}}}\n";
    let said = session.post(broken, BOTH).await.text().await;
    assert_eq!(said, broken.trim().replace(['\r', '\n'], " ").replace('\u{2028}', "\\u2028"));
    let size = 9 << 20;
    let big = session.call(9, "big", json!({ "size": size })).await.text().await;
    assert_eq!(big.len(), 2 * size);
}

#[tokio::test]
async fn a_session_must_be_named_and_known() {
    let herma = Herma::start("").await;
    let session = herma.open().await;
    let ping = r#"{"jsonrpc":"2.0","id":5,"method":"ping"}"#;
    let mut missing = herma.send(Method::POST, &[], ping).await;
    assert_eq!(missing.status, StatusCode::BAD_REQUEST);
    assert!(missing.json().await["error"]["message"].as_str().unwrap().contains("initialize"));
    for body in [ping.to_owned(), call(&json!(5), "echo", json!({ "hold": 1 })).to_string()] {
        let mut unknown = herma.send(Method::POST, &[("mcp-session-id", "nobody")], body).await;
        assert_eq!(unknown.status, StatusCode::NOT_FOUND);
        assert_eq!(unknown.json().await["id"], 5);
    }
    assert_eq!(herma.herma(&["holds", "list", "--json"]).trim(), "[]");
    assert_eq!(session.post(ping, JSON).await.json().await["result"], json!({}));
    let modern = [("mcp-protocol-version", MODERN)];
    assert_eq!(herma.send(Method::GET, &modern, "").await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(herma.send(Method::DELETE, &modern, "").await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(herma.send(Method::GET, &[], "").await.status, StatusCode::BAD_REQUEST);
    for id in [json!(null), json!([1])] {
        let unnamed = call(&id, "echo", json!({})).to_string();
        assert_eq!(session.post(unnamed, BOTH).await.status, StatusCode::BAD_REQUEST);
    }
    let batch = format!("[{ping}]");
    assert_eq!(session.post(batch, BOTH).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_concerns_no_request_goes_to_the_listening_stream() {
    let herma = Herma::start("").await;
    let session = herma.open().await;
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    assert_eq!(session.post(initialized, BOTH).await.status, StatusCode::ACCEPTED);
    let mut listening = session.listen().await;
    assert_eq!(listening.next().await.unwrap()["method"], "ping", "it waited for somebody to listen");
    assert_eq!(session.listen().await.status, StatusCode::CONFLICT);
    let pong = r#"{"jsonrpc":"2.0","id":77,"result":{"late":true}}"#;
    assert_eq!(session.post(pong, BOTH).await.status, StatusCode::ACCEPTED);
    let seen: Value = serde_json::from_str(&session.call(1, "seen", json!({})).await.text().await).unwrap();
    assert_eq!(seen[1], json!({ "pong": { "late": true } }));
    let mut notes = session.call(2, "notes", json!({ "count": 200 })).await;
    for n in 0..200 {
        assert_eq!(listening.next().await.unwrap()["params"]["data"], n);
    }
    assert!(!notes.streams(), "nothing but its answer belongs to the request");
    assert_eq!(notes.text().await, "done");
}

#[tokio::test]
async fn progress_and_questions_come_on_the_stream_of_the_request() {
    let herma = Herma::start("").await;
    let session = herma.open().await;
    let mut frame = call(&json!(1), "progress", json!({ "steps": 3 }));
    frame["params"]["_meta"] = json!({ "progressToken": "tok" });
    let mut listening = session.listen().await;
    let mut progress = session.post(frame.to_string(), BOTH).await;
    for step in 1..=3 {
        let params = progress.next().await.unwrap()["params"].clone();
        assert_eq!(params, json!({ "progressToken": "tok", "progress": step }));
    }
    assert_eq!(progress.text().await, "done");
    let mut asking = session.call(2, "ask", json!({})).await;
    assert_eq!(listening.next().await.unwrap()["method"], "roots/list");
    drop(listening);
    let roots = r#"{"jsonrpc":"2.0","id":0,"result":{"roots":[]}}"#;
    assert_eq!(session.post(roots, BOTH).await.status, StatusCode::ACCEPTED);
    assert_eq!(asking.text().await, r#"{"roots": []}"#);
    let mut asking = session.call(3, "ask", json!({})).await;
    assert_eq!(asking.next().await.unwrap()["method"], "roots/list", "nobody else listens");
    session.post(roots, BOTH).await;
    assert_eq!(asking.text().await, r#"{"roots": []}"#);
}

#[tokio::test]
async fn a_client_that_takes_no_streams_gets_its_answer_alone() {
    let herma = Herma::start("").await;
    let session = herma.open().await;
    let notes = call(&json!(1), "notes", json!({ "count": 300 }));
    assert_eq!(session.post(notes.to_string(), JSON).await.json().await["id"], 1);
}

#[tokio::test]
async fn a_session_ends_with_all_its_processes_when_the_client_says_so() {
    let herma = Herma::start("").await;
    let (session, other) = tokio::join!(herma.open(), herma.open());
    let pids: Vec<i64> =
        serde_json::from_str(&session.call(1, "family", json!({})).await.text().await).unwrap();
    assert!(pids.iter().all(|pid| lives(*pid)));
    let mut waiting = session.call(2, "wait", json!({})).await;
    let mut listening = session.listen().await;
    assert_eq!(session.delete().await, StatusCode::OK);
    let ended = waiting.last().await;
    assert_eq!(ended["id"], 2);
    assert!(ended["error"]["message"].as_str().unwrap().contains("ended"), "{ended}");
    while listening.next().await.is_some() {}
    eventually(|| pids.iter().all(|pid| !lives(*pid)).then_some(())).await;
    let gone = |pid: i64| !Path::new(&format!("/proc/{pid}")).exists();
    eventually(|| gone(pids[0]).then_some(())).await;
    assert_eq!(session.delete().await, StatusCode::NOT_FOUND);
    assert_eq!(session.call(3, "echo", json!({})).await.status, StatusCode::NOT_FOUND);
    assert_eq!(other.call(1, "echo", json!({})).await.last().await["result"]["pid"], other.pid);
}

#[tokio::test]
async fn a_server_that_dies_is_told_of_and_started_afresh() {
    let herma = Herma::start("").await;
    let session = herma.open().await;
    let mut waiting = session.call(1, "wait", json!({})).await;
    let died = session.call(2, "die", json!({})).await.last().await;
    assert!(died["error"]["message"].as_str().unwrap().contains("not known"), "{died}");
    assert_eq!(waiting.last().await["id"], 1);
    assert_eq!(session.call(3, "echo", json!({})).await.status, StatusCode::NOT_FOUND);
    let again = herma.open().await;
    assert_eq!(again.call(1, "echo", json!({})).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_opening_that_fails_leaves_no_process() {
    let herma = Herma::start("").await;
    let body = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"fail":true}}"#;
    let mut failed = herma.send(Method::POST, &[("accept", BOTH)], body).await;
    assert_eq!(failed.last().await["error"]["message"], "no");
    let id = failed.headers["mcp-session-id"].to_str().unwrap().to_owned();
    let session = Session { herma: &herma, id, pid: 0 };
    let end = Instant::now() + PATIENCE;
    while session.call(1, "echo", json!({})).await.status != StatusCode::NOT_FOUND {
        assert!(Instant::now() < end);
    }
}

#[tokio::test]
async fn no_process_outlives_the_daemon() {
    for signal in ["-TERM", "-KILL"] {
        let mut herma = Herma::start("").await;
        let session = herma.open().await;
        let pids: Vec<i64> =
            serde_json::from_str(&session.call(1, "family", json!({})).await.text().await).unwrap();
        herma.stop(signal);
        eventually(|| pids.iter().all(|pid| !lives(*pid)).then_some(())).await;
    }
}

#[tokio::test]
async fn a_server_sees_only_the_environment_it_was_given() {
    let herma = Herma::start("").await;
    let session = herma.open().await;
    let env: Value = serde_json::from_str(&session.call(1, "env", json!({})).await.text().await).unwrap();
    assert_eq!(env["GIVEN"], "yes");
    assert!(env["PATH"].is_string());
    assert!(env.get("UNWANTED").is_none() && env.get("CARGO_MANIFEST_DIR").is_none());
}

#[tokio::test]
async fn a_held_call_waits_alone_and_runs_once_when_it_is_approved() {
    let herma = Herma::start("").await;
    let session = herma.open().await;
    let mut held = session.call(1, "echo", json!({ "hold": "me" })).await;
    assert!(held.streams());
    assert_eq!(session.call(2, "echo", json!({})).await.status, StatusCode::OK, "nothing waits behind it");
    let hold = eventually(|| {
        let holds: Value = serde_json::from_str(&herma.herma(&["holds", "list", "--json"])).ok()?;
        holds[0]["id"].as_str().map(str::to_owned)
    })
    .await;
    herma.herma(&["holds", "approve", &hold]);
    assert!(held.text().await.contains(r#""hold":"me""#));
    eventually(|| (herma.herma(&["holds", "list", "--json"]).trim() == "[]").then_some(())).await;
    let record = herma.herma(&["audit", "tail", "--json"]);
    assert!(record.contains(r#""outcome":"ok""#), "{record}");
}

#[tokio::test]
async fn a_legacy_client_that_goes_and_comes_back_finds_its_session() {
    let herma = Herma::start("").await;
    let session = herma.open().await;
    let waiting = session.call(1, "wait", json!({})).await;
    let listening = session.listen().await;
    drop((waiting, listening));
    assert_eq!(session.call(2, "release", json!({})).await.text().await, "ok");
    let end = Instant::now() + PATIENCE;
    while session.listen().await.status != StatusCode::OK {
        assert!(Instant::now() < end, "the old stream still counts");
    }
    while session.call(1, "echo", json!({})).await.status != StatusCode::OK {
        assert!(Instant::now() < end, "the id is still taken");
    }
}

#[tokio::test]
async fn modern_requests_share_a_process_and_no_ids() {
    let herma = Herma::start("").await;
    let discovered = herma.modern(&json!("d"), "server/discover", json!({}), JSON).await.json().await;
    assert_eq!(discovered["id"], "d");
    let params = |tool: &str, arguments: Value, token: Value| json!({ "name": tool, "arguments": arguments, "_meta": { "progressToken": token } });
    let echoes = (0..8).map(|n| {
        let params = params("echo", json!({ "n": n }), json!("tok"));
        let herma = &herma;
        async move { herma.modern(&json!(1), "tools/call", params, BOTH).await.last().await }
    });
    let mut ids = std::collections::HashSet::new();
    let mut pids = std::collections::HashSet::new();
    for (n, answer) in futures_util::future::join_all(echoes).await.into_iter().enumerate() {
        assert_eq!(answer["id"], 1);
        let heard: Value =
            serde_json::from_str(answer["result"]["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(heard["params"]["arguments"]["n"], n);
        assert_eq!(heard["params"]["_meta"]["progressToken"], heard["id"]);
        ids.insert(heard["id"].as_u64().unwrap());
        pids.insert(answer["result"]["pid"].as_i64().unwrap());
    }
    assert_eq!((ids.len(), pids.len()), (8, 1));
    let legacy = herma.open().await;
    assert!(!pids.contains(&legacy.pid), "the eras never share a process");
    let params = params("progress", json!({ "steps": 2 }), json!("mine"));
    let mut progress = herma.modern(&json!("x"), "tools/call", params, BOTH).await;
    assert_eq!(progress.next().await.unwrap()["params"], json!({ "progressToken": "mine", "progress": 1 }));
    assert_eq!(progress.last().await["id"], "x");
    assert!(
        herma
            .modern(&json!(1), "server/discover", json!({}), BOTH)
            .await
            .headers
            .get("mcp-session-id")
            .is_none()
    );
}

#[tokio::test]
async fn a_modern_client_that_leaves_cancels_under_the_servers_own_id() {
    let herma = Herma::start("").await;
    let wait = json!({ "name": "wait", "arguments": {} });
    let waiting = herma.modern(&json!("mine"), "tools/call", wait, BOTH).await;
    assert!(waiting.streams());
    drop(waiting);
    let end = Instant::now() + PATIENCE;
    let seen = json!({ "name": "seen", "arguments": {} });
    let cancelled = loop {
        let seen = herma.modern(&json!("mine"), "tools/call", seen.clone(), BOTH).await.text().await;
        let seen: Value = serde_json::from_str(&seen).unwrap();
        if let Some(frame) = seen.get(0) {
            break frame.clone();
        }
        assert!(Instant::now() < end, "the server was not told");
    };
    assert_eq!(cancelled["method"], "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], 1);
}

#[tokio::test]
async fn subscriptions_carry_the_id_of_the_one_who_listens() {
    let herma = Herma::start("").await;
    let subscription =
        |frame: &Value| frame["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"].clone();
    let mut one = herma.modern(&json!(1), "subscriptions/listen", json!({ "notifications": {} }), BOTH).await;
    let mut other =
        herma.modern(&json!("1"), "subscriptions/listen", json!({ "notifications": {} }), BOTH).await;
    let change = json!({ "name": "change", "arguments": {} });
    let changed = herma.modern(&json!(1), "tools/call", change, BOTH).await;
    assert!(!changed.streams());
    for (stream, id) in [(&mut one, json!(1)), (&mut other, json!("1"))] {
        for method in ["notifications/subscriptions/acknowledged", "notifications/tools/list_changed"] {
            let frame = stream.next().await.unwrap();
            assert_eq!((frame["method"].as_str().unwrap(), subscription(&frame)), (method, id.clone()));
        }
    }
}

#[tokio::test]
async fn a_modern_probe_of_a_legacy_server_tells_the_client_to_initialize() {
    let herma = Herma::start(r#", "legacy""#).await;
    let mut probe = herma.modern(&json!(1), "server/discover", json!({}), BOTH).await;
    assert_eq!(probe.status, StatusCode::BAD_REQUEST);
    assert_eq!(probe.json().await["error"]["code"], -32601);
    let unknown = herma.modern(&json!(1), "no/such", json!({}), JSON).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
    let headers = [("mcp-protocol-version", MODERN), ("mcp-method", "tools/call")];
    let mut other = herma.send(Method::POST, &headers, body).await;
    assert_eq!(other.status, StatusCode::BAD_REQUEST);
    assert_eq!(other.json().await["error"]["code"], -32020);
    assert_eq!(herma.open().await.call(1, "echo", json!({})).await.status, StatusCode::OK);
}

#[tokio::test]
async fn there_is_an_end_to_the_sessions_of_one_server() {
    let limits = Limits { sessions: 2, ..Limits::default() };
    let (herma, _) = Herma::within(limits).await;
    let (one, _other) = tokio::join!(herma.open(), herma.open());
    let mut full = herma.send(Method::POST, &[("accept", BOTH)], INITIALIZE).await;
    assert_eq!(full.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(full.json().await["error"]["message"].as_str().unwrap().contains("2 sessions"));
    assert_eq!(one.delete().await, StatusCode::OK);
    herma.open().await;
}

#[tokio::test]
async fn a_session_nobody_uses_ends_and_one_somebody_listens_to_does_not() {
    let limits = Limits { idle: Duration::from_secs(1), ..Limits::default() };
    let (herma, _) = Herma::within(limits).await;
    let used = herma.open().await;
    let _listening = used.listen().await;
    let idle = herma.open().await;
    eventually(|| (!lives(idle.pid)).then_some(())).await;
    let ping = r#"{"jsonrpc":"2.0","id":5,"method":"ping"}"#;
    assert_eq!(idle.post(ping, BOTH).await.status, StatusCode::NOT_FOUND);
    assert_eq!(used.post(ping, BOTH).await.status, StatusCode::OK);
}

#[tokio::test]
async fn agents_share_neither_sessions_nor_processes() {
    let (herma, door) = Herma::within(Limits::default()).await;
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {} }).to_string();
    let ann = herma.send(Method::POST, &[("accept", BOTH), ("x-herma-token", "ann")], INITIALIZE).await;
    let id = ann.headers["mcp-session-id"].to_str().unwrap().to_owned();
    let status = async |token| {
        let headers = [("accept", BOTH), ("x-herma-token", token), ("mcp-session-id", &id)];
        herma.send(Method::POST, &headers, list.clone()).await.status
    };
    assert_eq!(status("bob").await, StatusCode::NOT_FOUND);
    assert!(door.firewall.definitions.get("peer", "echo").is_none());
    assert_eq!(status("ann").await, StatusCode::OK);
    assert!(door.firewall.definitions.get("peer", "echo").is_some(), "known before the client is");
    let pid = async |token| {
        let mut body: Value = serde_json::from_str(&list).unwrap();
        body["params"]["_meta"] = json!({ "io.modelcontextprotocol/protocolVersion": MODERN });
        let headers = [
            ("accept", BOTH),
            ("x-herma-token", token),
            ("mcp-protocol-version", MODERN),
            ("mcp-method", "tools/list"),
        ];
        herma.send(Method::POST, &headers, body.to_string()).await.last().await["result"]["pid"].clone()
    };
    assert_eq!(pid("ann").await, pid("ann").await);
    assert_ne!(pid("ann").await, pid("bob").await);
}

#[tokio::test]
async fn what_a_server_asks_of_its_client_is_held_back_where_policy_says_so() {
    let herma = Herma::start("").await;
    let session = herma.open().await;
    let mut listening = session.listen().await;
    let refused = session.call(1, "sample", json!({})).await.text().await;
    assert!(refused.contains("asked"), "the server is told which rule: {refused}");
    let asking = session.call(2, "ask", json!({})).await;
    assert_eq!(listening.next().await.unwrap()["method"], "roots/list", "nothing came before it");
    drop(asking);
}
