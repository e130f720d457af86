//! Code that an agent wrote, calling its tools back through `herma python`.
//!
//! The agent here speaks the wire format of Hermes's `execute_code`: one connection, one token, one line for each
//! call. The scripts are run by a real Python.
use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use herma::control::client::Client;
use herma::control::wire::Ask;
use herma_warrant::capability::Capability;
use herma_warrant::constraint::Constraint;
use herma_warrant::key::{PublicKey, SigningKey};
use herma_warrant::mint::{Draft, mint};
use herma_warrant::value::Value as Said;
use herma_warrant::warrant::{Warrant, WarrantId};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;
use tokio::process::Command;

use crate::{
    house::{House, OPEN, Plan},
    wire::soon,
};

/// What the agent gave out; it looks like what Hermes gives out.
/// Of this test alone: others run beside it, and theirs may be seen before their launcher has hidden it.
static REAL: LazyLock<String> =
    LazyLock::new(|| format!("rk7Yw3mJ0a-4vQpZ1sT8uNcXbE5hGdLfOiR{:08x}", std::process::id()));

/// What Hermes puts beside the script, with the token to be sent as an argument.
const MODULE: &str = r#"
import json, os, socket
_sock = None
def send(line):
    global _sock
    if _sock is None:
        _sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        _sock.connect(os.environ["HERMES_RPC_SOCKET"])
        _sock.settimeout(60)
    _sock.sendall(line + b"\n")
    buf = b""
    while not buf.endswith(b"\n"):
        chunk = _sock.recv(65536)
        if not chunk:
            raise RuntimeError("Agent process disconnected")
        buf += chunk
    return json.loads(buf)
def call(tool, token=None, **args):
    token = os.environ.get("HERMES_RPC_TOKEN", "") if token is None else token
    return send(json.dumps({"tool": tool, "args": args, "token": token}).encode())
def tell(**what):
    print(json.dumps(what), flush=True)
"#;

/// The agent's side: answers every line that shows the right token, on the one connection it takes.
struct Agent {
    dir: TempDir,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Agent {
    fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("agent.sock")).unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&lines);
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (read, mut write) = stream.into_split();
            let mut read = BufReader::new(read).lines();
            while let Ok(Some(line)) = read.next_line().await {
                let line: Value = serde_json::from_str(&line).unwrap();
                let answer = match line["token"] == *REAL {
                    true => json!({ "output": format!("ran {}", line["tool"].as_str().unwrap()) }),
                    false => json!({ "error": "Unauthorized RPC request" }),
                };
                seen.lock().unwrap().push(line);
                write.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
            }
        });
        Self { dir, lines }
    }

    fn calls(&self) -> Vec<Value> {
        self.lines.lock().unwrap().clone()
    }

    fn tools(&self) -> Vec<String> {
        self.calls().iter().map(|line| line["tool"].as_str().unwrap().to_owned()).collect()
    }
}

/// A Herma, its launcher and a place for scripts.
struct Scene {
    house: House,
    dir: TempDir,
}

struct Told {
    output: Output,
    lines: Vec<Value>,
}

impl Told {
    #[track_caller]
    fn only(&self) -> &Value {
        assert_eq!(self.lines.len(), 1, "{}", self.all());
        &self.lines[0]
    }

    fn all(&self) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        format!("{}\n{}", text(&self.output.stdout), text(&self.output.stderr))
    }
}

async fn scene(rules: &str) -> Scene {
    scene_with(rules, &[]).await
}

async fn scene_with(rules: &str, install: &[&str]) -> Scene {
    let house = Plan::default().rules(rules).open().await;
    let dir = tempfile::tempdir().unwrap();
    let shim = dir.path().join("shim");
    let installed = house.cli(&[&["python", "install", shim.to_str().unwrap()], install].concat()).await;
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    Scene { house, dir }
}

impl Scene {
    fn python(&self) -> PathBuf {
        self.dir.path().join("shim/bin/python")
    }

    /// A script as the agent starts it: staged in a private directory, the module beside it, a workspace around it.
    fn command(&self, agent: &Agent, script: &str) -> Command {
        let mut random = [0u8; 6];
        getrandom::fill(&mut random).unwrap();
        let staged = self.dir.path().join(format!("staged-{random:x?}").replace([' ', ',', '[', ']'], ""));
        std::fs::DirBuilder::new().mode(0o700).create(&staged).unwrap();
        std::fs::write(staged.join("tools.py"), MODULE).unwrap();
        std::fs::write(staged.join("script.py"), format!("from tools import *\n{script}")).unwrap();
        let workspace = self.workspace();
        std::fs::create_dir_all(&workspace).unwrap();
        let mut command = Command::new(self.python());
        command.arg(staged.join("script.py")).current_dir(&workspace).env_clear().kill_on_drop(true);
        command.env("PATH", "/usr/bin:/bin").env("HOME", self.dir.path().join("home"));
        command.env("PYTHONPATH", &staged).env("VIRTUAL_ENV", self.dir.path().join("shim"));
        command
            .env("HERMES_RPC_SOCKET", agent.dir.path().join("agent.sock"))
            .env("HERMES_RPC_TOKEN", REAL.as_str());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn workspace(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    async fn run(&self, agent: &Agent, script: &str) -> Told {
        let child = self.command(agent, script).spawn().unwrap();
        self.end(child).await
    }

    async fn end(&self, child: tokio::process::Child) -> Told {
        let output = soon("the script to end", child.wait_with_output()).await.unwrap();
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Told { output, lines }
    }

    fn assign(&self, to: &str, warrant: &Warrant) {
        let mut control = Client::connect(self.house.path()).unwrap();
        control.ask_with(&Ask::AssignWarrant { party: to.into() }, &warrant.encode()).unwrap();
    }
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn trusting(more: &str) -> String {
    format!("{OPEN}\n[warrants]\ntrusted_roots = [\"{}\"]\n{more}\n", PublicKey::of(&key(1)).to_hex())
}

/// Reads one file, and nothing else.
fn reading(path: &str) -> Warrant {
    let constraints = BTreeMap::from([("path".to_owned(), Constraint::Exact(Said::Text(path.to_owned())))]);
    let mut draft = Draft::new(WarrantId::new(now() * 1000, [3; 10]), PublicKey::of(&key(2)), now());
    draft.tools.insert("read_file".to_owned(), Capability { constraints, ..Capability::default() });
    mint(draft, &key(1)).unwrap()
}

#[track_caller]
fn assert_refused(answer: &Value, why: &str) {
    assert!(answer["error"].as_str().is_some_and(|said| said.contains(why)), "{why}: {answer}");
}

#[tokio::test]
async fn a_script_calls_tools_under_a_warrant_of_its_own_and_each_call_is_in_the_record() {
    let (scene, agent) = (scene(OPEN).await, Agent::open());
    let script = r#"
tell(first=call("read_file", path="/srv/a", limit=5), second=call("terminal", command="ls", timeout=None),
     token=os.environ["HERMES_RPC_TOKEN"], where=os.environ["HERMES_RPC_SOCKET"])
raise SystemExit(7)
"#;
    let told = scene.run(&agent, script).await;
    assert_eq!(told.output.status.code(), Some(7), "{}", told.all());
    let said = told.only();
    assert_eq!(said["first"], json!({ "output": "ran read_file" }), "{}", told.all());
    assert_eq!(said["second"], json!({ "output": "ran terminal" }));
    assert_eq!(
        agent.calls()[0],
        json!({ "tool": "read_file", "args": { "path": "/srv/a", "limit": 5 }, "token": *REAL })
    );
    assert_eq!(agent.calls()[1]["args"], json!({ "command": "ls", "timeout": null }));
    assert_ne!(said["token"], *REAL);
    assert!(!Path::new(said["where"].as_str().unwrap()).exists());

    let calls = scene.house.recorded(r#""routed""#, 2).await;
    let tools: Vec<_> = calls.iter().map(|line| line["tool_name"].as_str().unwrap()).collect();
    assert_eq!(tools, ["read_file", "terminal"], "{calls:?}");
    for call in &calls {
        assert_eq!(
            (&call["carrier"], &call["grant"], &call["route"]),
            (&json!("sandbox"), &json!("authorised"), &json!("execute"))
        );
    }
    let run = &scene.house.recorded(r#""run":"run-"#, 1).await[0];
    assert_eq!(run["tools"].as_array().unwrap().len(), 7, "{run}");
    assert_eq!(run["parent"], "unknown");
}

#[tokio::test]
async fn what_a_rule_blocks_never_reaches_the_agent_and_the_script_reads_why() {
    let rules = format!(
        "{OPEN}\n[[rule]]\nid = \"no-shell\"\ntool = \"terminal\"\nroute = \"block\"\nreason = \"no shell\"\n"
    );
    let (scene, agent) = (scene(&rules).await, Agent::open());
    let script = r#"tell(blocked=call("terminal", command="ls"), after=call("read_file", path="/a"))"#;
    let told = scene.run(&agent, script).await;
    assert_refused(&told.only()["blocked"], "no shell");
    assert_eq!(told.only()["after"], json!({ "output": "ran read_file" }));
    assert_eq!(agent.tools(), ["read_file"]);
}

#[tokio::test]
async fn a_held_call_of_a_script_waits_for_a_person() {
    let rules = "[[rule]]\nid = \"ask\"\ntool = \"terminal\"\nroute = \"gate\"\n";
    let (scene, agent) = (scene(rules).await, Agent::open());
    let script = r#"tell(answer=call("terminal", command="make"))"#;
    let child = scene.command(&agent, script).spawn().unwrap();
    scene.house.approve().await;
    assert_eq!(scene.end(child).await.only()["answer"], json!({ "output": "ran terminal" }));

    let second = Agent::open();
    let child = scene.command(&second, &script.replace("make", "make all")).spawn().unwrap();
    scene.house.deny("not today").await;
    assert_refused(&scene.end(child).await.only()["answer"], "not today");
    assert_eq!(second.tools().len(), 0);
}

#[tokio::test]
async fn what_a_person_changes_is_what_the_agent_runs_and_the_script_reads_so() {
    let rules = "[[rule]]\nid = \"ask\"\ntool = \"terminal\"\nroute = \"gate\"\n";
    let (scene, agent) = (scene(rules).await, Agent::open());
    let child =
        scene.command(&agent, r#"tell(answer=call("terminal", command="make all"))"#).spawn().unwrap();
    let hold = scene.house.held().await;
    let changed = scene.dir.path().join("changed");
    std::fs::write(&changed, r#"{"command":"make check"}"#).unwrap();
    let output = scene.house.cli(&["holds", "edit", &hold, "--arguments", changed.to_str().unwrap()]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = scene.end(child).await;
    assert_eq!(agent.calls()[0]["args"], json!({ "command": "make check" }), "{}", told.all());
    assert_eq!(told.only()["answer"]["output"], "ran terminal");
    assert!(told.only()["answer"]["herma"].to_string().contains("make check"), "{}", told.all());
}

#[tokio::test]
async fn a_script_that_is_killed_while_it_waits_leaves_nothing_to_approve() {
    let rules = "[[rule]]\nid = \"ask\"\ntool = \"terminal\"\nroute = \"gate\"\n";
    let (scene, agent) = (scene(rules).await, Agent::open());
    let mut child = scene.command(&agent, r#"call("terminal", command="make")"#).spawn().unwrap();
    scene.house.held().await;
    child.kill().await.unwrap();
    soon("the hold to end", async {
        while !scene.house.holds().await.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(agent.tools().len(), 0);
}

#[tokio::test]
async fn a_forged_a_replayed_and_a_widened_warrant_get_a_script_nowhere() {
    let (scene, first, second) =
        (scene(&trusting("no_warrant = \"allow\"")).await, Agent::open(), Agent::open());
    let told = scene.run(&first, r#"tell(mine=os.environ["HERMES_RPC_TOKEN"])"#).await;
    let replayed = told.only()["mine"].as_str().unwrap().to_owned();
    let operators = herma_warrant::text_form::to_base64(&reading("/a").encode());
    let token = REAL.as_str();
    let script = format!(
        r#"
import base64
mine = os.environ["HERMES_RPC_TOKEN"]
raw = bytearray(base64.urlsafe_b64decode(mine + "=" * (-len(mine) % 4)))
at = raw.find(b"read_file")
raw[at:at + 9] = b"send_mail"
widened = base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("=")
tell(none=call("read_file", token="", path="/a"), junk=call("read_file", token="x" * 43, path="/a"),
     real=call("read_file", token="{token}", path="/a"),
     replayed=call("read_file", token="{replayed}", path="/a"), widened=call("read_file", token=widened, path="/a"),
     operators=call("read_file", token="{operators}", path="/a"),
     cut=call("read_file", token=mine[:-4], path="/a"))
"#
    );
    let told = scene.run(&second, &script).await;
    for (name, answer) in told.only().as_object().unwrap() {
        assert_refused(answer, "not the warrant of this run");
        assert!(!answer.to_string().contains("output"), "{name}");
    }
    assert_eq!(second.tools().len(), 0, "{:?}", second.calls());
    assert_eq!(scene.house.recorded(r#""refused""#, 7).await.len(), 7);
}

#[tokio::test]
async fn two_calls_in_one_line_and_a_tool_outside_the_seven_are_refused() {
    let (scene, agent) = (scene(OPEN).await, Agent::open());
    let script = r#"
token = os.environ["HERMES_RPC_TOKEN"]
twice = '{"tool":"read_file","tool":"terminal","args":{"command":"ls"},"token":"%s"}' % token
more = '{"tool":"read_file","args":{},"token":"%s","as":"root"}' % token
tell(twice=send(twice.encode()), more=send(more.encode()), other=call("send_message", to="ann"))
"#;
    let told = scene.run(&agent, script).await;
    assert_refused(&told.only()["twice"], "twice");
    assert_refused(&told.only()["more"], "nothing else");
    assert_refused(&told.only()["other"], "not among those that are granted");
    assert_eq!(agent.tools().len(), 0);
}

#[tokio::test]
async fn the_fifty_first_call_of_a_run_is_refused() {
    let (scene, agent) = (scene(OPEN).await, Agent::open());
    let script = r#"
answers = [call("read_file", path=f"/srv/{n}") for n in range(51)]
tell(ran=sum("output" in a for a in answers), last=answers[-1])
"#;
    let told = scene.run(&agent, script).await;
    assert_eq!(told.only()["ran"], 50, "{}", told.all());
    assert_refused(&told.only()["last"], "exhausted");
    assert_eq!(agent.tools().len(), 50);
}

#[tokio::test]
async fn a_script_may_do_no_more_than_the_agent_it_belongs_to() {
    let (scene, agent) = (scene(&trusting("")).await, Agent::open());
    scene.assign("agent:hermes", &reading("/srv/a"));
    let script = r#"
tell(may=call("read_file", path="/srv/a"), other=call("read_file", path="/srv/b"), shell=call("terminal", command="ls"))
"#;
    let told = scene.run(&agent, script).await;
    assert_eq!(told.only()["may"], json!({ "output": "ran read_file" }), "{}", told.all());
    assert_refused(&told.only()["other"], "path");
    assert_refused(&told.only()["shell"], "not among those that are granted");
    assert_eq!(agent.tools(), ["read_file"]);
    let run = &scene.house.recorded(r#""run":"run-"#, 1).await[0];
    assert_eq!(run["tools"], json!(["read_file"]));
}

#[tokio::test]
async fn where_every_call_needs_a_warrant_a_script_of_nobodys_calls_nothing() {
    let (scene, agent) = (scene(&trusting("")).await, Agent::open());
    let told = scene.run(&agent, r#"tell(answer=call("read_file", path="/a"))"#).await;
    assert_refused(&told.only()["answer"], "every call needs one");
    assert_eq!(agent.tools().len(), 0);
}

#[tokio::test]
async fn where_calls_are_only_watched_a_script_without_a_warrant_runs_and_the_record_says_what_would_be() {
    let (scene, agent) = (scene(&trusting("[policy]\nmode = \"observe\"")).await, Agent::open());
    let told = scene.run(&agent, r#"tell(answer=call("read_file", path="/a"))"#).await;
    assert_eq!(told.only()["answer"], json!({ "output": "ran read_file" }), "{}", told.all());
    let call = &scene.house.recorded(r#""routed""#, 1).await[0];
    assert_eq!((&call["would"], &call["rule"]), (&json!("block"), &json!("warrant")), "{call}");
}

#[tokio::test]
async fn where_unwarranted_calls_wait_those_of_a_script_wait() {
    let (scene, agent) = (scene(&trusting("no_warrant = \"gate\"")).await, Agent::open());
    let child = scene.command(&agent, r#"tell(answer=call("read_file", path="/a"))"#).spawn().unwrap();
    scene.house.approve().await;
    assert_eq!(scene.end(child).await.only()["answer"], json!({ "output": "ran read_file" }));
}

#[tokio::test]
async fn without_a_daemon_nothing_a_script_asks_for_runs() {
    let (mut scene, agent) = (scene(OPEN).await, Agent::open());
    let script = r#"
tell(before=call("read_file", path="/a"))
import sys
sys.stdin.readline()
tell(after=call("read_file", path="/b"))
"#;
    let mut command = scene.command(&agent, script);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    soon("the first call", async {
        while agent.tools().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    scene.house.kill().await;
    child.stdin.take().unwrap().write_all(b"\n").await.unwrap();
    let told = scene.end(child).await;
    assert_eq!(told.lines[0]["before"], json!({ "output": "ran read_file" }));
    assert_refused(&told.lines[1]["after"], "Herma went away");

    let late = Agent::open();
    let told = scene.run(&late, r#"tell(answer=call("read_file", path="/a"))"#).await;
    assert_refused(&told.only()["answer"], "Herma cannot be asked");
    assert_eq!((agent.tools().len(), late.tools().len()), (1, 0));
}

#[tokio::test]
async fn the_agents_token_is_nowhere_a_script_can_look_and_its_socket_answers_nobody_else() {
    let (scene, agent) = (scene(OPEN).await, Agent::open());
    let (token, real) = (REAL.as_str(), agent.dir.path().join("agent.sock"));
    let script = format!(
        r#"
import glob, socket
found, readable = [], 0
parent = os.getppid()
for place in glob.glob("/proc/[0-9]*/environ") + ["/proc/self/environ", f"/proc/{{parent}}/environ", f"/proc/{{parent}}/cmdline"]:
    try:
        text = open(place, "rb").read()
        readable += 1
    except OSError:
        continue
    # The test names the token in this script, and no process is named by it.
    if b"{token}" in text:
        found.append(place)
def memory():
    try:
        with open(f"/proc/{{parent}}/mem", "rb") as mem:
            mem.seek(int(open(f"/proc/{{parent}}/maps").readline().split("-")[0], 16))
            return len(mem.read(16))
    except OSError as error:
        return error.strerror
def descriptors():
    try:
        return [os.readlink(place) for place in glob.glob(f"/proc/{{parent}}/fd/*")] or "none to see"
    except OSError as error:
        return error.strerror
def directly():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(1)
    try:
        s.connect("{}")
        s.sendall(b'{{"tool":"terminal","args":{{"command":"id"}},"token":"{token}"}}\n')
        return s.recv(100).decode()
    except OSError as error:
        return str(error)
tell(found=found, memory=memory(), descriptors=descriptors(), directly=directly())
"#,
        real.display()
    );
    let told = scene.run(&agent, &script).await;
    let said = told.only();
    assert_eq!(said["found"], json!([]), "{said}");
    assert!(said["memory"].is_string(), "{said}");
    assert!(said["descriptors"].is_string(), "{said}");
    assert_eq!(said["directly"], "timed out", "{said}");
    assert_eq!(agent.tools().len(), 0);
}

#[tokio::test]
async fn a_script_can_neither_decide_a_hold_nor_fetch_itself_a_warrant() {
    let rules = "[[rule]]\nid = \"ask\"\ntool = \"terminal\"\nroute = \"gate\"\n[[rule]]\nid = \"open\"\ntool = \"*\"\nroute = \"execute\"\n";
    let (scene, agent) = (scene(rules).await, Agent::open());
    let control = scene.house.path().join("control.sock");
    let script = format!(
        r#"
import struct, subprocess, threading, time
def ask(role):
    s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect("{control}")
    header = json.dumps({{"version": 1, "role": role}}).encode()
    s.sendall(struct.pack("<II", len(header), 0) + header)
    header, payload = struct.unpack("<II", s.recv(8))
    return json.loads(s.recv(header))
held = {{}}
waits = threading.Thread(target=lambda: held.update(call("terminal", command="make")), daemon=True)
waits.start()
time.sleep(0.3)
# A process that has left its session and lost its parent is still of this run.
orphan = "import subprocess,sys,os; os.setsid()\nif os.fork(): os._exit(0)\n" \
         "print(subprocess.run(['{herma}', '--data-dir', '{data}', 'holds', 'list'], capture_output=True).stderr.decode())"
tell(operator=ask("operator"), sandbox=ask({{"sandbox": {{"sha256": "", "cwd": None, "home": None, "isolated": False}}}}),
     orphan=subprocess.run([sys.executable, "-c", orphan], capture_output=True).stdout.decode())
"#,
        control = control.display(),
        herma = crate::house::HERMA,
        data = scene.house.path().display(),
    );
    let child = scene.command(&agent, &format!("import sys\n{script}")).spawn().unwrap();
    let told = scene.end(child).await;
    let said = told.only();
    for how in ["operator", "sandbox", "orphan"] {
        assert!(said[how].to_string().contains("not for code that an agent wrote"), "{how}: {said}");
    }
    assert_eq!(agent.tools().len(), 0);
}

#[tokio::test]
async fn nothing_a_script_leaves_behind_outlives_its_run() {
    let (scene, agent) = (scene(OPEN).await, Agent::open());
    let script = r#"
import subprocess, sys, time
orphan = """
import os, time
os.setsid()
if os.fork(): os._exit(0)
open("pid", "w").write(str(os.getpid()))
os.rename("pid", "left")
time.sleep(600)
"""
subprocess.run([sys.executable, "-c", orphan], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
while not os.path.exists("left"): time.sleep(0.01)
tell(left=int(open("left").read()))
"#;
    let told = scene.run(&agent, script).await;
    let left = told.only()["left"].as_i64().unwrap();
    assert!(!crate::house::alive(left.try_into().unwrap()), "it could decide what its own agent asked for");
}

#[tokio::test]
async fn python_for_anything_else_is_plain_python() {
    let scene = scene(OPEN).await;
    let mut command = Command::new(scene.python());
    command.args(["-c", "import sys; print(sys.argv[1:]); raise SystemExit(3)", "a b", "--shim"]);
    let output = soon("python", command.output()).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "['a b', '--shim']\n");
    assert_eq!(output.status.code(), Some(3));
    let mut command = Command::new(scene.python());
    command.args(["-c", "print(1)"]).env("HERMES_RPC_DIR", "/tmp/rpc").env("HERMES_RPC_TOKEN", REAL.as_str());
    let output = soon("python", command.output()).await.unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("/sandbox/v1/call"));
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn an_isolated_script_has_its_tools_and_its_workspace_and_nothing_else() {
    let (scene, agent) = (scene_with(OPEN, &["--isolate"]).await, Agent::open());
    let hermes = scene.dir.path().join("home/.hermes");
    std::fs::create_dir_all(&hermes).unwrap();
    std::fs::write(hermes.join(".env"), "KEY=secret").unwrap();
    std::fs::write(scene.dir.path().join("beside"), "private").unwrap();
    let script = r#"
import ctypes, socket, subprocess, tempfile
def attempt(what):
    try:
        return what()
    except OSError as error:
        return error.strerror
def udp():
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9))
def unix(kind):
    s = socket.socket(socket.AF_UNIX, kind)
    return s.connect("AGENT") or s.sendto(b"x", "AGENT")
open("made", "w").write("here")
tell(tcp=attempt(lambda: socket.create_connection(("127.0.0.1", 9))), udp=attempt(udp),
     unix=attempt(lambda: unix(socket.SOCK_STREAM)), datagram=attempt(lambda: unix(socket.SOCK_DGRAM)),
     secret=attempt(lambda: open(os.path.expanduser("~/.hermes/.env")).read()),
     beside=attempt(lambda: open("BESIDE").read()), shadow=attempt(lambda: open("/etc/shadow").read()),
     parent=attempt(lambda: open(f"/proc/{os.getppid()}/environ").read()),
     kill=attempt(lambda: os.kill(os.getppid(), 9)),
     tmp=attempt(lambda: tempfile.TemporaryFile().write(b"x")), program=subprocess.run(["echo", "hi"], capture_output=True).stdout.decode(),
     tool=call("read_file", path="/a"))
subprocess.Popen(["sleep", "1234567"], start_new_session=True)
"#;
    let script = script
        .replace("AGENT", agent.dir.path().join("agent.sock").to_str().unwrap())
        .replace("BESIDE", scene.dir.path().join("beside").to_str().unwrap());
    let told = scene.run(&agent, &script).await;
    let said = told.only();
    for what in ["tcp", "udp", "unix", "datagram", "kill"] {
        assert_eq!(said[what], "Operation not permitted", "{what}: {said}");
    }
    for what in ["secret", "beside", "shadow", "parent"] {
        assert_eq!(said[what], "Permission denied", "{what}: {said}");
    }
    assert_eq!((&said["tmp"], &said["program"]), (&json!(1), &json!("hi\n")));
    assert_eq!(said["tool"], json!({ "output": "ran read_file" }));
    assert_eq!(std::fs::read_to_string(scene.workspace().join("made")).unwrap(), "here");
    let left = std::fs::read_dir("/proc").unwrap().flatten().any(|process| {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        line.windows(7).any(|part| part == b"1234567")
            && crate::house::alive(process.file_name().to_string_lossy().parse().unwrap())
    });
    assert!(!left, "what the script started outlives it");
}

/// What an agent does with code its model wrote, and nothing of it patched.
const HERMES: &str = r#"
import json, sys
from tools.code_execution_tool import execute_code
code = '''
import os
from hermes_tools import read_file, terminal
def said(call):
    try:
        return call()
    except Exception as error:
        return repr(error)
print(os.environ["HERMES_RPC_TOKEN"][:2], len(os.environ["HERMES_RPC_TOKEN"]) > 200)
print("READ", said(lambda: read_file(PATH)))
print("SHELL", said(lambda: terminal("echo from-the-shell")))
print("BLOCKED", said(lambda: terminal("forbidden")))
'''.replace("PATH", repr(sys.argv[1]))
print("RESULT", execute_code(code, task_id="t", enabled_tools=["read_file", "terminal"]))
"#;

async fn real_hermes(install: &[&str]) -> (String, Vec<Value>) {
    let rules = format!(
        "{OPEN}\n[[rule]]\nid = \"no\"\ntool = \"terminal\"\narguments = {{ \"/command\" = \"forbidden\" }}\nroute = \
         \"block\"\nreason = \"not here\"\n"
    );
    let scene = scene_with(&rules, install).await;
    let home = scene.dir.path().join("home/.hermes");
    std::fs::create_dir_all(&home).unwrap();
    std::fs::create_dir_all(scene.workspace()).unwrap();
    std::fs::write(scene.workspace().join("note"), "a-note").unwrap();
    let config = "security: {tirith_enabled: false, allow_lazy_installs: false}\napprovals: {mode: manual}\n";
    std::fs::write(home.join("config.yaml"), config).unwrap();
    let mut hermes = Command::new(crate::packages::python("agent", "python"));
    hermes
        .args(["-c", HERMES])
        .arg(scene.workspace().join("note"))
        .current_dir(scene.workspace())
        .env_clear();
    hermes.env("PATH", "/usr/bin:/bin").env("HOME", scene.dir.path().join("home")).env("HERMES_HOME", &home);
    hermes.env("VIRTUAL_ENV", scene.dir.path().join("shim")).env("TERMINAL_CWD", scene.workspace());
    let output = soon("hermes", hermes.kill_on_drop(true).output()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let calls = scene.house.recorded(r#""routed""#, 3).await;
    (format!("{text}\n{}", String::from_utf8_lossy(&output.stderr)), calls)
}

#[tokio::test]
async fn real_hermes_runs_its_code_under_a_warrant_and_nothing_of_it_is_patched() {
    let (said, calls) = real_hermes(&[]).await;
    for word in ["True", "a-note", "from-the-shell", "not here"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let tools: Vec<_> = calls.iter().map(|call| call["tool_name"].as_str().unwrap()).collect();
    assert_eq!(tools, ["read_file", "terminal", "terminal"], "{calls:?}");
    assert!(said.contains("\"tool_calls_made\": 2"), "{said}");
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn real_hermes_runs_isolated_code() {
    let (said, calls) = real_hermes(&["--isolate"]).await;
    for word in ["a-note", "from-the-shell", "not here"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert_eq!(calls.len(), 3, "{said}");
}
