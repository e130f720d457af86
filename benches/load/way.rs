//! The ways from a client to the server: directly, through a floor, through Herma.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context;
use hyper::Uri;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::Mutex;

use crate::Cell;
use crate::client::{self, Era, Heard, Load, Pipes};
use crate::machine::{self, Usage};

/// What stands between, in the order it is measured.
pub(crate) const NAMES: [&str; 5] = ["floor-raw", "floor-peek", "herma", "floor-pump", "herma-wrap"];
pub(crate) const DIRECT: &str = "direct";

/// What a way is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Base {
    Http,
    Stdio,
}

impl Base {
    /// The least that a proxy which reads what passes can cost.
    pub(crate) fn floor(self) -> &'static str {
        match self {
            Self::Http => "floor-peek",
            Self::Stdio => "floor-pump",
        }
    }
}

/// An open way. Its processes end with it.
pub(crate) struct Way {
    pub(crate) name: &'static str,
    road: Road,
    processes: Vec<Child>,
    /// From the start of the process to its first answer.
    start: Duration,
    _dir: Option<TempDir>,
}

enum Road {
    Http(Uri),
    Stdio(Mutex<Pipes>),
}

/// One way, one cell, one round.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) per_second: f64,
    pub(crate) cpu_us: f64,
    pub(crate) before: Usage,
    pub(crate) after: Usage,
    pub(crate) start_ms: f64,
}

impl Way {
    /// Opens the direct way and those of `names` that are compared with it.
    pub(crate) async fn open_all(
        base: Base,
        names: &[String],
        old: Option<&Path>,
    ) -> anyhow::Result<Vec<Self>> {
        let this = Path::new(env!("CARGO_BIN_EXE_herma"));
        let wanted = |name: &str| names.iter().any(|wanted| wanted == name);
        let mut ways = Vec::new();
        match base {
            Base::Http => {
                let (server, address) = listen("http-server", None).await?;
                let to: Uri = format!("http://{address}/mcp").parse()?;
                ways.push(Self::over_http(DIRECT, to.clone(), vec![server], None, Instant::now()).await?);
                for name in NAMES.into_iter().filter(|name| wanted(name)) {
                    let from = Instant::now();
                    match name {
                        "floor-raw" | "floor-peek" => {
                            let (floor, address) = listen(name, Some(&to)).await?;
                            let uri = format!("http://{address}/mcp").parse()?;
                            ways.push(Self::over_http(name, uri, vec![floor], None, from).await?);
                        }
                        "herma" => {
                            ways.push(Self::through_herma(name, this, &to).await?);
                            if let Some(old) = old {
                                ways.push(Self::through_herma("herma, old", old, &to).await?);
                            }
                        }
                        _ => {}
                    }
                }
            }
            Base::Stdio => {
                let own = std::env::current_exe()?;
                let mut server = Command::new(&own);
                server.args(["--as", "stdio-server"]);
                ways.push(Self::over_stdio(DIRECT, server, vec![], None).await?);
                if wanted("floor-pump") {
                    let mut pump = Command::new(&own);
                    pump.args(["--as", "floor-pump"]);
                    ways.push(Self::over_stdio("floor-pump", pump, vec![], None).await?);
                }
                if wanted("herma-wrap") {
                    ways.push(Self::through_wrap("herma-wrap", this).await?);
                    if let Some(old) = old {
                        ways.push(Self::through_wrap("herma-wrap, old", old).await?);
                    }
                }
            }
        }
        Ok(ways)
    }

    async fn through_herma(name: &'static str, program: &Path, to: &Uri) -> anyhow::Result<Self> {
        let from = Instant::now();
        let dir = tempfile::tempdir()?;
        let (herma, agent) = serve(program, dir.path(), to).await?;
        Self::over_http(name, format!("{agent}/mcp/echo").parse()?, vec![herma], Some(dir), from).await
    }

    async fn through_wrap(name: &'static str, program: &Path) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let nowhere = Uri::from_static("http://127.0.0.1:9/mcp");
        let (daemon, _) = serve(program, dir.path(), &nowhere).await?;
        let mut wrap = Command::new(program);
        wrap.arg("--data-dir").arg(dir.path()).args(["wrap", "--no-start", "--name", "echo", "--"]);
        wrap.arg(std::env::current_exe()?).args(["--as", "stdio-server"]);
        Self::over_stdio(name, wrap, vec![daemon], Some(dir)).await
    }

    async fn over_http(
        name: &'static str,
        uri: Uri,
        processes: Vec<Child>,
        dir: Option<TempDir>,
        from: Instant,
    ) -> anyhow::Result<Self> {
        Self { name, road: Road::Http(uri), processes, start: Duration::ZERO, _dir: dir }
            .first_answer(from)
            .await
    }

    async fn over_stdio(
        name: &'static str,
        mut command: Command,
        mut processes: Vec<Child>,
        dir: Option<TempDir>,
    ) -> anyhow::Result<Self> {
        let from = Instant::now();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(to_server), Some(from_server)) = (child.stdin.take(), child.stdout.take()) else {
            anyhow::bail!("no pipes");
        };
        processes.push(child);
        let road = Road::Stdio(Mutex::new(Pipes::new(to_server, from_server)));
        Self { name, road, processes, start: Duration::ZERO, _dir: dir }.first_answer(from).await
    }

    async fn first_answer(mut self, from: Instant) -> anyhow::Result<Self> {
        let cell = Cell { in_flight: 1, size: 200 };
        let one = Load { cell, era: Era::Legacy, warm: Duration::ZERO, time: Duration::ZERO, at_least: 1 };
        self.drive(&one).await.with_context(|| format!("{} gives no answer", self.name))?;
        self.start = from.elapsed();
        Ok(self)
    }

    pub(crate) async fn drive(&self, load: &Load) -> anyhow::Result<Heard> {
        match &self.road {
            Road::Http(uri) => client::http(uri, load).await,
            Road::Stdio(pipes) => pipes.lock().await.run(load).await,
        }
    }

    pub(crate) async fn measure(&self, load: &Load) -> anyhow::Result<Slice> {
        let roots: Vec<u32> = self.processes.iter().filter_map(Child::id).collect();
        let before = machine::usage(&roots).unwrap_or_default();
        let mut heard = self.drive(load).await?;
        let after = machine::usage(&roots).unwrap_or_default();
        heard.took.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let last = heard.took.len().saturating_sub(1) as f64;
            heard.took.get((last * share).round() as usize).copied().context("no call came back in time")
        };
        Ok(Slice {
            p50: at(0.5)?,
            p99: at(0.99)?,
            per_second: heard.took.len() as f64 / load.time.as_secs_f64(),
            cpu_us: (after.cpu_us - before.cpu_us) / heard.calls as f64,
            before,
            after,
            start_ms: self.start.as_secs_f64() * 1e3,
        })
    }
}

/// Starts this program under another role, and learns where it listens.
async fn listen(role: &str, to: Option<&Uri>) -> anyhow::Result<(Child, String)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--as", role]);
    if let Some(to) = to {
        command.arg("--to").arg(to.to_string());
    }
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let stdout = child.stdout.take().context("no pipe")?;
    let address =
        BufReader::new(stdout).lines().next_line().await?.with_context(|| format!("{role} did not start"))?;
    Ok((child, address))
}

/// Starts Herma as anybody would, in front of one server. Gives the address for agents.
async fn serve(program: &Path, dir: &Path, to: &Uri) -> anyhow::Result<(Child, String)> {
    let config = dir.join("herma.toml");
    std::fs::write(
        &config,
        format!("[listen]\nagent = \"127.0.0.1:0\"\n\n[[server]]\nname = \"echo\"\nurl = \"{to}\"\n"),
    )?;
    let mut child = Command::new(program)
        .arg("--data-dir")
        .arg(dir)
        .args(["serve", "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut said = BufReader::new(child.stderr.take().context("no pipe")?).lines();
    let agent = loop {
        let line = said.next_line().await?.context("herma did not start")?;
        let url = line.split_once("agents connect to ").and_then(|(_, rest)| rest.split_once("/mcp/"));
        if let Some((url, _)) = url {
            break url.to_owned();
        }
    };
    tokio::spawn(pass_on(said));
    Ok((child, agent))
}

/// A full pipe would stop the process, and what it says now is worth reading.
async fn pass_on(mut lines: Lines<BufReader<ChildStderr>>) {
    while let Ok(Some(line)) = lines.next_line().await {
        if line.contains("ERROR") || line.contains("WARN") {
            eprintln!("{line}");
        }
    }
}
