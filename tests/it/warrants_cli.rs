//! `herma warrant`: by hand, against the format's own crate, and against the plugin that Hermes has for it.
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    house::{HERMA, House, OPEN, Plan},
    packages,
    wire::{Endpoint, Log, Upstream, soon},
};

/// What a command said.
struct Said {
    out: String,
    err: String,
    went_well: bool,
}

/// A desk with keys and warrants on it, and no daemon.
struct Desk {
    house: House,
}

impl Desk {
    /// With the key of a root and that of an agent.
    async fn open() -> Self {
        let desk = Self { house: House::empty() };
        desk.run(&["keygen", "--out", "root.key"]).await.well();
        desk.run(&["keygen", "--out", "agent.key"]).await.well();
        desk
    }

    fn path(&self) -> &Path {
        self.house.path()
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path().join(file)).unwrap()
    }

    async fn run(&self, arguments: &[&str]) -> Said {
        self.run_with(&[], arguments).await
    }

    async fn run_with(&self, env: &[(&str, &str)], arguments: &[&str]) -> Said {
        let mut command = Command::new(HERMA);
        command.arg("--data-dir").arg(self.path()).arg("warrant").args(arguments);
        command.envs(env.iter().copied());
        self.finish(command).await
    }

    /// What somebody pastes into a shell.
    async fn shell(&self, line: &str) -> Said {
        let mut command = Command::new("sh");
        command.arg("-c").arg(line);
        let bin = Path::new(HERMA).parent().unwrap().to_str().unwrap();
        command.env("PATH", format!("{bin}:{}", std::env::var("PATH").unwrap()));
        self.finish(command).await
    }

    async fn finish(&self, mut command: Command) -> Said {
        command.current_dir(self.path()).kill_on_drop(true).stdin(std::process::Stdio::null());
        let output = soon("a command", command.output()).await.unwrap();
        Said {
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
            went_well: output.status.success(),
        }
    }

    /// Mints into a file, held by the agent.
    async fn mint(&self, file: &str, more: &[&str]) {
        let mut arguments = vec!["mint", "--key", "root.key", "--holder", "agent.key.pub", "--out", file];
        arguments.extend_from_slice(more);
        self.run(&arguments).await.well();
    }
}

impl Said {
    fn well(self) -> String {
        assert!(self.went_well, "{}{}", self.out, self.err);
        self.out
    }

    fn failed(self) -> String {
        assert!(!self.went_well, "{}{}", self.out, self.err);
        self.out + &self.err
    }
}

fn call(tool: &str, arguments: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
        .to_string()
}

/// A daemon that trusts the root on the desk, before a server that runs everything.
struct Scene {
    house: House,
    door: Endpoint,
    log: Log,
}

impl Scene {
    async fn open(root: &str, more: &str) -> Self {
        let upstream = Upstream::open().await;
        let warrants = format!("\n[warrants]\ntrusted_roots = [{root:?}]\nno_warrant = \"allow\"\n{more}\n");
        let house = Plan::default().url("x", &upstream.url).rules(OPEN).rules(&warrants).open().await;
        Self { door: house.endpoint("x"), house, log: upstream.answer_everything() }
    }

    /// Whether the tool ran, and what the agent was told.
    async fn call(&self, headers: &str, tool: &str, arguments: &Value) -> (bool, String) {
        let before = self.log.calls();
        let door = headers.lines().fold(self.door.clone(), |door, line| {
            let (name, value) = line.split_once(": ").unwrap();
            door.with(name, value)
        });
        let answer = door.post(call(tool, arguments)).await.json().await.to_string();
        (self.log.calls() > before, answer)
    }
}

async fn prove(desk: &Desk, file: &str, tool: &str, arguments: &Value) -> String {
    let arguments = arguments.to_string();
    desk.run(&["prove", "--warrant", file, "--key", "agent.key", "--tool", tool, "--args", &arguments])
        .await
        .well()
}

#[tokio::test]
async fn a_warrant_and_a_proof_made_here_are_accepted_by_the_formats_own_crate() {
    let desk = Desk::open().await;
    let grants = ["--allow", "read:path=/data,mode=a|b", "--allow", "pay:amount=0..40", "--ttl", "1h"];
    desk.mint("root.pem", &grants).await;
    let narrower = ["--allow", "read:path=/data/in", "--holder", "agent.key.pub", "--out", "leaf.pem"];
    desk.run(&[&["attenuate", "root.pem", "--key", "agent.key"][..], &narrower].concat()).await.well();
    let root = HEXLOWER.decode(desk.read("root.key.pub").trim().as_bytes()).unwrap();
    let root = tenuo::PublicKey::from_bytes(&root.try_into().unwrap()).unwrap();
    let theirs = tenuo::Authorizer::new().with_trusted_root(root);
    for (path, granted) in [("/data/in/x", true), ("/data/x", false), ("/data/in/../x", false)] {
        let headers = prove(&desk, "leaf.pem", "read", &json!({"path": path, "mode": "a"})).await;
        let mut lines = headers.lines().map(|line| line.split_once(": ").unwrap().1);
        let mut next = || BASE64URL_NOPAD.decode(lines.next().unwrap().as_bytes()).unwrap();
        let stack = tenuo::wire::decode_stack(&next()).unwrap();
        let proof = tenuo::Signature::from_bytes(&next().try_into().unwrap()).unwrap();
        let arguments: HashMap<String, tenuo::ConstraintValue> =
            [("path".to_owned(), path.into()), ("mode".to_owned(), "a".into())].into();
        let said = theirs.check_chain(&stack.0, "read", &arguments, Some(&proof), &[]);
        assert_eq!(said.is_ok(), granted, "{path}: {:?}", said.err());
    }
}

/// What the real plugin says of each call, with what `herma warrant mint --output env` printed in its environment.
async fn plugin(desk: &Desk, exports: &str, calls: &[Value]) -> Vec<String> {
    let mut command = Command::new(packages::python("tenuo", "python"));
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/plugin.py"));
    command.args(calls.iter().map(Value::to_string)).env("HERMES_HOME", desk.path());
    for line in exports.lines() {
        let (name, value) = line.strip_prefix("export ").unwrap().split_once('=').unwrap();
        command.env(name, value);
    }
    desk.finish(command).await.well().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_plugin_for_hermes_accepts_a_warrant_minted_here() {
    let desk = Desk::open().await;
    let mint = ["mint", "--key", "root.key", "--holder-key", "agent.key", "--output", "env", "--show-secret"];
    let grants = [
        "--allow=read_file:path=/data",
        "--allow=search:query=acme*",
        "--allow=git:action=status|log",
        "--allow=pay:amount=0..40",
        "--allow=now",
    ];
    let exports = desk.run(&[&mint[..], &grants].concat()).await.well();
    let calls = [
        (json!(["read_file", {"path": "/data/a"}]), true),
        (json!(["read_file", {"path": "/etc/a"}]), false),
        (json!(["search", {"query": "acme inc"}]), true),
        (json!(["search", {"query": "other"}]), false),
        (json!(["git", {"action": "log"}]), true),
        (json!(["git", {"action": "push"}]), false),
        (json!(["pay", {"amount": 40}]), true),
        (json!(["pay", {"amount": 41}]), false),
        (json!(["now", {"zone": "utc"}]), true),
        (json!(["send", {}]), false),
    ];
    let said = plugin(&desk, &exports, &calls.clone().map(|(call, _)| call)).await;
    assert_eq!(said.len(), calls.len());
    for ((call, granted), said) in calls.iter().zip(&said) {
        assert_eq!(said == "allow", *granted, "{call}: {said}");
    }
    // What it cannot enforce it must not let pass.
    let limited = desk.run(&[&mint[..], &grants, &["--max-calls", "1"]].concat()).await.well();
    for said in plugin(&desk, &limited, &[json!(["read_file", {"path": "/data/a"}])]).await {
        assert!(said.starts_with("block"), "{said}");
    }
}

#[tokio::test]
async fn a_warrant_of_the_plugin_for_hermes_holds_here() {
    let desk = Desk::open().await;
    let mut command = Command::new(packages::python("tenuo", "hermes-tenuo"));
    command.args(["mint", "--allow", "read_file:path=/data", "--ttl", "1h", "--output", "env"]);
    command.env("HERMES_HOME", desk.path());
    let exports = desk.finish(command).await.well();
    let export = |name: &str| {
        let line = exports.lines().find_map(|line| line.strip_prefix(&format!("export {name}=")));
        line.unwrap().to_owned()
    };
    fs::write(desk.path().join("theirs"), export("TENUO_WARRANT")).unwrap();
    let root = HEXLOWER.encode(&BASE64.decode(export("TENUO_TRUSTED_ROOT").as_bytes()).unwrap());
    desk.run(&["verify", "theirs", "--root", &export("TENUO_TRUSTED_ROOT")]).await.well();
    let scene = Scene::open(&root, "").await;
    let key = export("TENUO_SIGNING_KEY");
    for (path, granted) in [("/data/a", true), ("/etc/a", false)] {
        let arguments = json!({ "path": path });
        let text = arguments.to_string();
        let prove =
            ["prove", "--warrant", "theirs", "--key", "env:THEIRS", "--tool", "read_file", "--args", &text];
        let headers = desk.run_with(&[("THEIRS", &key)], &prove).await.well();
        let (ran, said) = scene.call(&headers, "read_file", &arguments).await;
        assert_eq!(ran, granted, "{path}: {said}");
    }
}

#[tokio::test]
async fn a_proof_of_the_second_version_is_good_for_one_server_and_once() {
    let desk = Desk::open().await;
    desk.mint("w.pem", &["--allow", "read:path=/data"]).await;
    let scene = Scene::open(desk.read("root.key.pub").trim(), "accept_proof_v1 = false").await;
    let arguments = json!({"path": "/data/a"});
    let text = arguments.to_string();
    let ask = ["prove", "--warrant", "w.pem", "--key", "agent.key", "--tool", "read", "--args", &text];
    let first = desk.run(&ask).await.well();
    assert!(!scene.call(&first, "read", &arguments).await.0, "a proof of version 1 was accepted");
    let elsewhere = desk.run(&[&ask[..], &["--server", "y"]].concat()).await.well();
    assert!(!scene.call(&elsewhere, "read", &arguments).await.0, "a proof for another server was accepted");
    let proof = desk.run(&[&ask[..], &["--server", "x"]].concat()).await.well();
    let (ran, said) = scene.call(&proof, "read", &arguments).await;
    assert!(ran, "{said}");
    assert!(!scene.call(&proof, "read", &arguments).await.0, "a proof was accepted twice");
}

#[tokio::test]
async fn an_approved_call_runs_once_without_anybody_else() {
    let desk = Desk::open().await;
    desk.run(&["keygen", "--out", "boss.key"]).await.well();
    desk.mint("w.pem", &["--allow", "pay:amount=0..40", "--gate", "pay", "--approver", "boss.key.pub"]).await;
    let scene = Scene::open(desk.read("root.key.pub").trim(), "").await;
    let arguments = json!({"amount": 7});
    let of = ["--warrant", "w.pem", "--tool", "pay", "--args", "{\"amount\": 7}"];
    let stranger = desk.run(&[&["approve", "--key", "agent.key"][..], &of].concat()).await.failed();
    assert!(stranger.contains("is none of them"), "{stranger}");
    let approval = desk.run(&[&["approve", "--key", "boss.key"][..], &of].concat()).await.well();
    fs::write(desk.path().join("yes"), approval).unwrap();
    let prove = [&["prove", "--key", "agent.key", "--server", "x", "--approval", "yes"][..], &of].concat();
    let (ran, said) = scene.call(&desk.run(&prove).await.well(), "pay", &arguments).await;
    assert!(ran, "{said}");
    let again = desk.run(&prove).await.well();
    let (ran, _) = scene.call(&again, "pay", &arguments).await;
    assert!(!ran, "an approval was good twice");
}

#[tokio::test]
async fn what_is_taken_back_while_nothing_runs_stays_taken_back() {
    let desk = Desk::open().await;
    desk.mint("w.pem", &["--allow", "read:path=/data", "--agent", "ann"]).await;
    let mut scene = Scene::open(desk.read("root.key.pub").trim(), "").await;
    let arguments = json!({"path": "/data/a"});
    let (ran, said) = scene.call(&prove(&desk, "w.pem", "read", &arguments).await, "read", &arguments).await;
    assert!(ran, "{said}");
    scene.house.kill().await;
    let revoked = scene.house.cli(&["warrant", "revoke", "agent:ann", "--reason", "gone"]).await;
    assert!(revoked.status.success(), "{}", String::from_utf8_lossy(&revoked.stderr));
    let listed = scene.house.cli(&["warrant", "list"]).await;
    assert!(String::from_utf8_lossy(&listed.stdout).contains("revoked  agent ann"));
    scene.house.start().await;
    scene.door = scene.house.endpoint("x");
    let (ran, said) = scene.call(&prove(&desk, "w.pem", "read", &arguments).await, "read", &arguments).await;
    assert!(!ran && said.contains("revoked"), "{said}");
    let record = scene.house.cli(&["audit", "grep", "agent:ann"]).await;
    assert!(String::from_utf8_lossy(&record.stdout).contains("gone"), "the record does not say why");
}

#[tokio::test]
async fn everything_can_be_taken_back_at_once_under_a_running_daemon() {
    let desk = Desk::open().await;
    desk.mint("w.pem", &["--allow", "read:path=/data"]).await;
    let scene = Scene::open(desk.read("root.key.pub").trim(), "").await;
    let file = desk.path().join("w.pem");
    let assign = scene.house.cli(&["warrant", "assign", "server:x", file.to_str().unwrap()]).await;
    assert!(assign.status.success(), "{}", String::from_utf8_lossy(&assign.stderr));
    assert!(scene.call("", "read", &json!({"path": "/data/a"})).await.0);
    assert!(!scene.call("", "read", &json!({"path": "/etc/a"})).await.0);
    assert!(scene.house.cli(&["warrant", "revoke", "all", "--reason", "drill"]).await.status.success());
    let (ran, said) = scene.call("", "read", &json!({"path": "/data/a"})).await;
    assert!(!ran && said.contains("revoked"), "{said}");
}

#[tokio::test]
async fn a_warrant_learned_from_the_record_covers_what_was_seen_and_no_more() {
    let desk = Desk::open().await;
    let learning = "\n[ledger]\nlearn = true\n";
    let scene = Scene::open(desk.read("root.key.pub").trim(), learning).await;
    for number in 0..8 {
        scene.call("", "read", &json!({"path": format!("/data/in/{number}")})).await;
    }
    scene.call("", "say", &json!({"text": "words of a person", "mode": "loud"})).await;
    scene.call("", "say", &json!({"text": "others"})).await;
    let data = scene.house.path().to_str().unwrap().to_owned();
    let learned = soon("the record to be written", async {
        loop {
            let learned = desk.run(&["learn", "--data-dir", &data]).await.out;
            if learned.contains("covers 10 of 10 calls") {
                break learned;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(learned.contains("say: anything for text"), "{learned}");
    let record = scene.house.cli(&["audit", "grep", "words of"]).await;
    assert!(record.stdout.is_empty(), "prose was kept in the record");
    let command = learned.split_once("\n\n").unwrap().1.replace("ROOT.key", "root.key");
    desk.shell(&format!("{} --out learned.pem", command.trim())).await.well();
    let replayed = desk.run(&["simulate", "learned.pem", "--data-dir", &data]).await.well();
    assert!(replayed.starts_with("of 10 calls: 10 allowed, 0 held for a person, 0 refused"), "{replayed}");
    let explain = ["explain", "--warrant", "learned.pem", "--server", "x", "--tool", "read", "--args"];
    desk.run(&[&explain[..], &[r#"{"path": "/data/in/9"}"#]].concat()).await.well();
    desk.run(&[&explain[..], &[r#"{"path": "/data/out"}"#]].concat()).await.failed();
}

#[tokio::test]
async fn the_record_keeps_no_arguments_unless_it_is_told_to() {
    let desk = Desk::open().await;
    let scene = Scene::open(desk.read("root.key.pub").trim(), "").await;
    scene.call("", "read", &json!({"path": "/data/secret-plan"})).await;
    soon("the call to be recorded", async {
        while scene.house.cli(&["audit", "grep", "\"routed\""]).await.stdout.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    let data = scene.house.path().to_str().unwrap();
    assert!(scene.house.cli(&["audit", "grep", "secret-plan"]).await.stdout.is_empty());
    let told = desk.run(&["learn", "--data-dir", data]).await.failed();
    assert!(told.contains("learn = true"), "{told}");
    desk.mint("w.pem", &["--allow", "read:path=/data"]).await;
    let told = desk.run(&["simulate", "w.pem", "--data-dir", data]).await.well();
    assert!(told.contains("1 more calls are in the record without their arguments"), "{told}");
}

#[tokio::test]
async fn the_command_that_explain_prints_allows_the_call() {
    let desk = Desk::open().await;
    let grants = ["--allow=pay:amount=0..40,to=ann|bob", "--allow=read:path=/data/in", "--rate=10/1m"];
    desk.mint("w.pem", &grants).await;
    for (tool, arguments) in [
        ("pay", json!({"amount": 41, "to": "eve"})),
        ("pay", json!({"amount": 1, "to": "ann", "note": "it's, {fine}"})),
        ("read", json!({"path": "/data/out/x"})),
        ("write", json!({"path": "/data/in/x", "lines": [1, 2]})),
    ] {
        let text = arguments.to_string();
        let ask = ["explain", "--tool", tool, "--args", &text, "--warrant"];
        let said = desk.run(&[&ask[..], &["w.pem"]].concat()).await.failed();
        let command = said.split_once("herma warrant mint").unwrap().1;
        let command =
            format!("herma warrant mint{command} --out wider.pem").replace("SIGNER.key", "root.key");
        desk.shell(&command.replace('\n', " ").replace("\\ ", " ")).await.well();
        let said = desk.run(&[&ask[..], &["wider.pem"]].concat()).await;
        assert!(said.went_well, "{command}\n{}", said.out);
    }
}

#[tokio::test]
async fn verify_names_the_check_that_fails() {
    let desk = Desk::open().await;
    desk.mint("w.pem", &["--allow", "read:path=/data"]).await;
    let root = ["--root", "root.key.pub"];
    desk.run(&[&["verify", "w.pem"][..], &root].concat()).await.well();
    let said = desk.run(&["verify", "w.pem", "--root", "agent.key.pub"]).await.failed();
    assert!(
        said.contains("no  root        the root of the chain is signed by a key that is not trusted"),
        "{said}"
    );
    let bytes =
        desk.run(&["mint", "--key", "root.key", "--allow", "read", "--output", "base64"]).await.well();
    let mut forged = BASE64URL_NOPAD.decode(bytes.trim().as_bytes()).unwrap();
    *forged.last_mut().unwrap() ^= 1;
    fs::write(desk.path().join("forged"), BASE64URL_NOPAD.encode(&forged)).unwrap();
    let said = desk.run(&[&["verify", "forged"][..], &root].concat()).await.failed();
    assert!(said.contains("no  signatures  the signature of link 0 does not verify"), "{said}");
    desk.mint("short.pem", &["--allow", "read", "--ttl", "1s"]).await;
    soon("a warrant to expire", async {
        while desk.run(&[&["verify", "short.pem"][..], &root].concat()).await.went_well {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await;
    let said = desk.run(&[&["verify", "short.pem"][..], &root].concat()).await.failed();
    assert!(said.contains("no  time        link 0 expired on 20"), "{said}");
    desk.run(&["revoke", "w.pem", "--reason", "test"]).await.well();
    let said = desk.run(&[&["verify", "w.pem"][..], &root].concat()).await.failed();
    assert!(said.contains("no  revocation  link 0 is revoked"), "{said}");
    fs::write(desk.path().join("cut"), &bytes[..100]).unwrap();
    let said = desk.run(&[&["verify", "cut"][..], &root].concat()).await.failed();
    assert!(said.contains("cut is no warrant"), "{said}");
}

#[tokio::test]
async fn a_child_may_only_be_narrower() {
    let desk = Desk::open().await;
    desk.mint("w.pem", &["--allow", "read:path=/data", "--ttl", "10m"]).await;
    let child = ["attenuate", "w.pem", "--key", "agent.key"];
    for (more, told) in [
        (&["--allow", "read:path=/"][..], "asks for more"),
        (&["--allow", "read"], ""),
        (&["--allow", "write"], "adds the tool"),
        (&["--ttl", "1h"], "the parent ends at"),
        (&["--clearance", "system"], "clearance"),
    ] {
        let said = desk.run(&[&child[..], more].concat()).await;
        match told {
            "" => assert!(said.went_well, "{}", said.err),
            told => assert!(said.err.contains(told) && !said.went_well, "{more:?}: {}", said.err),
        }
    }
    let stranger = desk.run(&["attenuate", "w.pem", "--key", "root.key"]).await.failed();
    assert!(stranger.contains("not the holder"), "{stranger}");
    desk.run(&[&child[..], &["--allow", "read:path=/data/in", "--out", "kid.pem"]].concat()).await.well();
    let changes = desk.run(&["diff", "w.pem", "kid.pem"]).await.failed();
    assert!(changes.contains("- read:path: in /data -> in /data/in"), "{changes}");
    assert!(changes.contains("0 wider"), "{changes}");
    let links: Value = serde_json::from_str(&desk.run(&["show", "kid.pem", "--json"]).await.well()).unwrap();
    assert_eq!(
        links[1]["tools"]["read"]["arguments"]["path"],
        json!({"type": "subpath", "root": "/data/in"})
    );
}

#[tokio::test]
async fn lint_names_what_is_wider_than_it_may_be_meant() {
    let desk = Desk::open().await;
    let grants =
        ["--allow=any", "--allow=read:path=/tmp/*,x=*", "--allow=*", "--allow-wildcard-tool", "--ttl=1h"];
    desk.mint("wide.pem", &grants).await;
    let said = desk.run(&["lint", "wide.pem", "--job", "10m"]).await.failed();
    for code in
        ["ttl-too-long", "open-capability", "glob-on-path", "wildcard-argument", "wildcard-tool", "no-server"]
    {
        assert!(said.contains(&format!("({code})")), "{code}: {said}");
    }
    desk.mint("tight.pem", &["--allow=read:path=/data", "--server=fs", "--ttl=5m"]).await;
    desk.run(&["lint", "tight.pem", "--job", "10m"]).await.well();
}

#[tokio::test]
async fn a_secret_key_is_its_owners_alone_and_printed_only_on_demand() {
    let desk = Desk::open().await;
    let mode = |file: &str| fs::metadata(desk.path().join(file)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("root.key"), 0o600);
    let pem = desk.read("agent.key");
    let body: String = pem.lines().filter(|line| !line.starts_with("---")).collect();
    let seed = BASE64.decode(body.as_bytes()).unwrap()[16..].to_vec();
    let mint = ["mint", "--key", "root.key", "--holder-key", "agent.key", "--allow", "read", "--output"];
    let secrets = [HEXLOWER.encode(&seed), BASE64.encode(&seed), body];
    let tells = |said: &Said| secrets.iter().any(|secret| (said.out.clone() + &said.err).contains(secret));
    for form in ["full", "env", "yaml", "pem", "base64"] {
        let said = desk.run(&[&mint[..], &[form]].concat()).await;
        assert!(said.went_well && !tells(&said), "{form}: {}", said.out);
    }
    assert!(tells(&desk.run(&[&mint[..], &["env", "--show-secret"]].concat()).await));
    fs::set_permissions(desk.path().join("root.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let said = desk.run(&["mint", "--key", "root.key", "--allow", "read"]).await.failed();
    assert!(said.contains("others can read the key root.key (mode 644)"), "{said}");
}

#[tokio::test]
async fn every_case_of_the_collection_has_the_verdict_that_is_written_there() {
    let desk = House::empty();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/warrants/adversarial.json");
    let held = desk.cli(&["warrant", "conformance", file]).await;
    let out = String::from_utf8(held.stdout).unwrap();
    assert!(held.status.success(), "{out}");
    let cases = out.lines().count() - 1;
    assert!(cases > 300 && out.ends_with(&format!("{cases} of {cases} cases hold\n")), "{cases}");
    let wrong =
        fs::read_to_string(file).unwrap().replacen("\"expected\": \"deny", "\"expected\": \"allow", 1);
    fs::write(desk.path().join("wrong.json"), wrong).unwrap();
    let wrong = desk.cli(&["warrant", "conformance", desk.path().join("wrong.json").to_str().unwrap()]).await;
    assert!(!wrong.status.success(), "a wrong verdict went unnoticed");
}
