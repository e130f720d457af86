//! A Herma of one's own: its data in a temporary directory, its daemon on a free port, both gone
//! at the end of the test.
use std::{
    os::unix::process::CommandExt,
    process::{Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::process::{Pid, Signal};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{
    pipe::{Pipe, collect},
    wire::{Endpoint, soon},
};

pub(crate) const HERMA: &str = env!("CARGO_BIN_EXE_herma");

/// Everything runs: for tests about what is carried, not about what is decided.
pub(crate) const OPEN: &str = r#"
[[rule]]
id = "open"
tool = "*"
route = "execute"
"#;

/// Everything waits for a person.
pub(crate) const GATED: &str = r#"
[[rule]]
id = "gated"
tool = "*"
route = "gate"
reason = "a person looks at everything here"
"#;

pub(crate) fn direct() -> bool {
    std::env::var_os("HERMA_TEST_DIRECT").is_some()
}

#[derive(Default)]
pub(crate) struct Plan {
    pack: Option<String>,
    listen: String,
    config: String,
    upstreams: Vec<(String, String)>,
    env: Vec<(String, String)>,
}

impl Plan {
    /// With a variable in the environment of the daemon.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a rule pack of one's own.
    pub(crate) fn pack(mut self, text: &str) -> Self {
        self.pack = Some(text.to_owned());
        self
    }

    /// With more lines for `[listen]`.
    pub(crate) fn listening(lines: &str) -> Self {
        Self { listen: lines.to_owned(), ..Self::default() }
    }

    pub(crate) fn url(self, name: &str, url: &str) -> Self {
        self.url_with(name, url, "")
    }

    /// A server by URL, with more lines for its table.
    pub(crate) fn url_with(mut self, name: &str, url: &str, more: &str) -> Self {
        self.config += &format!("\n[[server]]\nname = {name:?}\nurl = {url:?}\n{more}\n");
        self.upstreams.push((name.to_owned(), url.to_owned()));
        self
    }

    pub(crate) fn command(mut self, name: &str, command: &[String], env: &[(&str, &str)]) -> Self {
        let (program, arguments) = command.split_first().unwrap();
        let env: Vec<_> = env.iter().map(|(key, value)| format!("{key} = {value:?}")).collect();
        let env = env.join(", ");
        self.config += &format!(
            "\n[[server]]\nname = {name:?}\ncommand = {program:?}\nargs = {arguments:?}\nenv = {{ {env} }}\n"
        );
        self
    }

    pub(crate) fn rules(mut self, rules: &str) -> Self {
        self.config += rules;
        self
    }

    pub(crate) async fn open(self) -> House {
        House::open(self).await
    }
}

pub(crate) struct House {
    dir: TempDir,
    upstreams: Vec<(String, String)>,
    env: Vec<(String, String)>,
    daemon: Option<Daemon>,
}

struct Daemon {
    child: Child,
    stderr: Arc<Mutex<Vec<u8>>>,
    agent: String,
}

impl House {
    /// A data directory and nothing in it: `wrap` finds no daemon and starts its own.
    pub(crate) fn empty() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), upstreams: Vec::new(), env: Vec::new(), daemon: None }
    }

    async fn open(plan: Plan) -> Self {
        let mut house = Self::empty();
        house.upstreams = plan.upstreams;
        house.env = plan.env;
        let mut top = String::new();
        if let Some(text) = plan.pack {
            let pack = house.path().join("pack.toml");
            std::fs::write(&pack, text).unwrap();
            top += &format!("rule_packs = [{pack:?}]\n");
        }
        let config = format!("{top}[listen]\nagent = \"127.0.0.1:0\"\n{}{}", plan.listen, plan.config);
        std::fs::write(house.dir.path().join("herma.toml"), config).unwrap();
        if !direct() {
            house.start().await;
        }
        house
    }

    /// Starts the daemon, again if it has been killed.
    pub(crate) async fn start(&mut self) {
        let ready = self.dir.path().join("daemon.json");
        // A killed daemon leaves its file behind; the new one's is what we wait for.
        let _absent = std::fs::remove_file(&ready).is_err();
        let mut command = std::process::Command::new(HERMA);
        command.arg("serve").arg("--config").arg(self.dir.path().join("herma.toml"));
        command.arg("--data-dir").arg(self.dir.path()).envs(self.env.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.process_group(0);
        let mut child = Command::from(command).kill_on_drop(true).spawn().unwrap();
        let stderr = collect(child.stderr.take().unwrap());
        let agent = soon("the daemon to be ready", async {
            loop {
                let text = std::fs::read(&ready).unwrap_or_default();
                if let Ok(ready) = serde_json::from_slice::<Value>(&text) {
                    // Without servers by URL or command there is no door for agents.
                    break ready["agent"].as_str().unwrap_or_default().to_owned();
                }
                if let Some(status) = child.try_wait().unwrap() {
                    // What it said last is read by somebody else.
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    let stderr = stderr.lock().unwrap();
                    panic!("the daemon ended: {status}\n{}", String::from_utf8_lossy(&stderr));
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        self.daemon = Some(Daemon { child, stderr, agent });
    }

    /// Ends the daemon the hard way, as a crash or an out-of-memory kill does.
    pub(crate) async fn kill(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        daemon.child.kill().await.unwrap();
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        self.dir.path()
    }

    pub(crate) fn daemon_pid(&self) -> i32 {
        let ready = std::fs::read(self.path().join("daemon.json")).unwrap();
        let ready: Value = serde_json::from_slice(&ready).unwrap();
        i32::try_from(ready["pid"].as_i64().unwrap()).unwrap()
    }

    pub(crate) fn agent(&self) -> &str {
        &self.daemon.as_ref().unwrap().agent
    }

    /// The endpoint an agent is given for this server.
    pub(crate) fn endpoint(&self, server: &str) -> Endpoint {
        let (_, upstream) = self
            .upstreams
            .iter()
            .find(|(name, _)| name == server)
            .map_or((String::new(), String::new()), Clone::clone);
        match &self.daemon {
            Some(daemon) => Endpoint::new(format!("{}/mcp/{server}", daemon.agent)),
            None => Endpoint::new(upstream),
        }
    }

    /// What a client's configuration starts: the server behind `herma wrap`.
    pub(crate) fn wrapped(&self, name: &str, server: &[String]) -> Vec<String> {
        if direct() {
            return server.to_vec();
        }
        let dir = self.dir.path().to_str().unwrap();
        let mut command: Vec<String> =
            [HERMA, "wrap", "--name", name, "--data-dir", dir, "--"].map(str::to_owned).to_vec();
        command.extend_from_slice(server);
        command
    }

    pub(crate) fn wrap(&self, name: &str, server: &[String]) -> Pipe {
        self.wrap_with(name, server, &[])
    }

    pub(crate) fn wrap_with(&self, name: &str, server: &[String], env: &[(&str, &str)]) -> Pipe {
        let line = self.wrapped(name, server);
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).envs(env.iter().copied());
        Pipe::spawn(command)
    }

    pub(crate) async fn cli(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(HERMA);
        command.args(arguments).arg("--data-dir").arg(self.dir.path()).stdin(Stdio::null());
        soon("the command line", command.kill_on_drop(true).output()).await.unwrap()
    }

    pub(crate) async fn holds(&self) -> Vec<Value> {
        let output = self.cli(&["holds", "list", "--json"]).await;
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
        let holds: Value = serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{e}: {stdout}"));
        holds.as_array().cloned().unwrap_or_else(|| panic!("a list was expected: {stdout}"))
    }

    /// Waits until a call is held and returns its id.
    pub(crate) async fn held(&self) -> String {
        soon("a call to be held", async {
            loop {
                if let Some(hold) = self.holds().await.first() {
                    let id = &hold["id"];
                    return id.as_str().map_or_else(|| id.to_string(), str::to_owned);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await
    }

    pub(crate) async fn approve(&self) {
        let id = self.held().await;
        self.approve_one(&id).await;
    }

    /// Types whatever it takes.
    pub(crate) async fn approve_one(&self, id: &str) {
        let typed = self.to_type(id).await;
        let mut said = vec!["holds", "approve", id];
        said.extend(typed.iter().flat_map(|typed| ["--yes-irreversible", typed]));
        let output = self.cli(&said).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// What a hold asks to be typed.
    pub(crate) async fn to_type(&self, id: &str) -> Option<String> {
        let shown = self.cli(&["holds", "show", id, "--json"]).await;
        let hold: Value = serde_json::from_slice(&shown.stdout).unwrap();
        hold["typed"].as_str().map(str::to_owned)
    }

    pub(crate) async fn deny(&self, reason: &str) {
        let id = self.held().await;
        let output = self.cli(&["holds", "deny", &id, "--reason", reason]).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// What the entries say that have this in them, once there are so many: what only read or was refused is written
    /// a moment after its answer.
    pub(crate) async fn recorded(&self, pattern: &str, least: usize) -> Vec<Value> {
        soon("the record", async {
            loop {
                let output = self.cli(&["audit", "grep", pattern, "--json"]).await;
                let text = String::from_utf8(output.stdout).unwrap();
                let line = |line| serde_json::from_str::<Value>(line).unwrap()["detail"].take();
                let found: Vec<_> = text.lines().map(line).collect();
                if found.len() >= least {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await
    }

    pub(crate) fn stderr(&self) -> String {
        let daemon = self.daemon.as_ref();
        let text = daemon.map(|it| it.stderr.lock().unwrap().clone()).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- stderr of the daemon ---\n{}", self.stderr());
        }
        // A daemon that `wrap` has started is not our child: its own file names it.
        let left = std::fs::read(self.dir.path().join("daemon.json")).unwrap_or_default();
        let left = serde_json::from_slice::<Value>(&left).unwrap_or_default();
        let own = self.daemon.as_ref().and_then(|daemon| daemon.child.id());
        let pids = [left["pid"].as_i64(), own.map(i64::from)];
        for pid in pids.into_iter().flatten() {
            // The number may by now belong to somebody else.
            let is_ours = std::fs::read_link(format!("/proc/{pid}/exe"))
                .is_ok_and(|program| program.file_name() == std::path::Path::new(HERMA).file_name());
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw).filter(|_| is_ours) {
                let _not_a_leader = rustix::process::kill_process_group(pid, Signal::KILL).is_err();
                let _gone = rustix::process::kill_process(pid, Signal::KILL).is_err();
            }
        }
    }
}

/// Whether a process still runs: a zombie does not.
pub(crate) fn alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    !matches!(state, None | Some("Z" | "X"))
}

pub(crate) async fn ended(pid: i32) {
    soon("a process to end", async {
        while alive(pid) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}
