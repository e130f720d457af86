//! `herma wrap`: the drop-in in front of a stdio server.
//!
//! Frames that are no calls pass at once; calls are asked of the daemon, and their order among the client's
//! frames is kept. Plain threads and blocking pipes: nothing is faster for four streams.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::carriers::mcp::stdio::{Pump, daemon};
use crate::config::Denial;
use crate::control::wire::{Hello, Role, VERSION, Wrapping};
use crate::review::Ground;

/// How long a server may take to end by itself when its client has gone.
const GRACE: Duration = Duration::from_secs(2);
/// How long a daemon may take to start.
const START: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// What the server is called in policy and record [default: from the command]
    #[arg(long)]
    name: Option<String>,
    /// Do not start a daemon when none runs: calls are refused until there is one
    #[arg(long)]
    no_start: bool,
    /// How a call that may not run is answered: as an error, or as a plain result (Hermes stops calling a
    /// server after three errors)
    #[arg(long, value_enum, default_value_t)]
    denial: Denial,
    /// How long the client is kept waiting for a person, e.g. 4m [default: by client]
    #[arg(long, value_name = "TIME", value_parser = milliseconds)]
    hold_budget: Option<u64>,
    /// The server works on other files than this machine's: none are kept to undo its calls
    #[arg(long)]
    other_files: bool,
    /// The server's command
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

pub fn run(args: Args, data_dir: &Path) -> anyhow::Result<ExitCode> {
    super::log::to_stderr();
    let data_dir = std::path::absolute(data_dir)?;
    if !args.no_start {
        start_daemon(&data_dir);
    }
    let mut server = spawn(&args.command)?;
    let group = Pid::from_child(&server);
    let hello = Hello {
        version: VERSION,
        role: Role::Wrap(Wrapping {
            server: args.name.unwrap_or_else(|| name_of(&args.command)),
            cwd: std::env::current_dir().ok().map(|dir| dir.display().to_string()),
            home: std::env::var("HOME").ok(),
            shares_files: !args.other_files
                && Ground::of_command(args.command.iter().map(OsString::as_os_str)).is_some(),
            denial: args.denial,
            hold_budget_ms: args.hold_budget,
        }),
    };
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (server.stdin.take(), server.stdout.take(), server.stderr.take())
    else {
        anyhow::bail!("the server has no pipes");
    };
    let pump = Arc::new(Pump::new(stdin));
    daemon::keep(Arc::clone(&pump), crate::control::socket(&data_dir), hello);
    pass_on(stderr);
    let from_client = {
        let pump = Arc::clone(&pump);
        thread::spawn(move || read_lines(io::stdin().lock(), |line| pump.from_client(line)))
    };
    let from_server = {
        let pump = Arc::clone(&pump);
        thread::spawn(move || read_server(stdout, &pump))
    };
    // The server's end ends everything; the client's end gives the server time to do the same.
    while !from_server.is_finished() && !from_client.is_finished() {
        pump.wait_for_end();
    }
    if !from_server.is_finished() {
        pump.client_gone(GRACE);
        let patience = Instant::now() + GRACE;
        while !from_server.is_finished() && Instant::now() < patience {
            thread::sleep(Duration::from_millis(5));
        }
    }
    let code = end(&mut server, group);
    pump.server_gone();
    Ok(code)
}

fn milliseconds(text: &str) -> Result<u64, String> {
    let time: jiff::SignedDuration = text.parse().map_err(|_| "write for example 50s or 4m".to_owned())?;
    u64::try_from(time.as_millis()).map_err(|_| "a time before now".to_owned())
}

fn spawn(command: &[OsString]) -> anyhow::Result<Child> {
    let guard = std::env::current_exe().context("cannot find herma itself")?;
    Command::new(guard)
        .arg("guard")
        .arg("--parent")
        .arg(std::process::id().to_string())
        .arg("--")
        .args(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .context("cannot start the server")
}

/// Ends the server and everything it started.
fn end(server: &mut Child, group: Pid) -> ExitCode {
    let patience = Instant::now() + Duration::from_millis(300);
    let mut status = None;
    while status.is_none() && Instant::now() < patience {
        status = server.try_wait().ok().flatten();
        thread::sleep(Duration::from_millis(5));
    }
    let _ = kill_process_group(group, Signal::TERM);
    if status.is_none() {
        let patience = Instant::now() + Duration::from_secs(1);
        while status.is_none() && Instant::now() < patience {
            status = server.try_wait().ok().flatten();
            thread::sleep(Duration::from_millis(5));
        }
    }
    let _ = kill_process_group(group, Signal::KILL);
    let status = status.or_else(|| server.wait().ok());
    status.and_then(|status| u8::try_from(status.code()?).ok()).map_or(ExitCode::SUCCESS, ExitCode::from)
}

/// Gives each line, its line break included, to `take` until the stream ends or nobody takes it any more.
fn read_lines(from: impl Read, mut take: impl FnMut(Vec<u8>) -> bool) {
    let mut from = BufReader::with_capacity(256 << 10, from);
    loop {
        let mut line = Vec::new();
        match from.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                if !take(line) {
                    return;
                }
            }
        }
    }
}

fn read_server(stdout: ChildStdout, pump: &Pump) {
    read_lines(stdout, |line| pump.from_server(line));
    pump.wake();
}

/// The server's words for people, passed on as they are; a full pipe would stop the server.
fn pass_on(mut stderr: ChildStderr) {
    thread::spawn(move || {
        let mut buffer = vec![0u8; 16 << 10];
        while let Ok(read @ 1..) = stderr.read(&mut buffer) {
            let _ = io::stderr().write_all(buffer.get(..read).unwrap_or_default());
        }
    });
}

/// The word of the command that says most: a package's own name, else the program's.
fn name_of(command: &[OsString]) -> String {
    let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
    let launcher = |word: &str| {
        matches!(
            word,
            "npx" | "uvx" | "node" | "bunx" | "pnpm" | "dlx" | "python" | "python3" | "env" | "run" | "uv"
        )
    };
    let word = words.iter().find(|word| {
        let base = word.rsplit('/').next().unwrap_or_default();
        !word.starts_with('-') && !word.contains('=') && !launcher(base)
    });
    let word =
        word.or(words.first()).map(|word| word.rsplit('/').next().unwrap_or_default()).unwrap_or_default();
    let name = word.split('@').find(|part| !part.is_empty()).unwrap_or("server");
    name.trim_end_matches(".js").trim_end_matches(".py").to_owned()
}

/// Starts a daemon for this data directory and waits until it answers. Without one, calls are refused in words.
fn start_daemon(data_dir: &Path) {
    let socket = crate::control::socket(data_dir);
    if UnixStream::connect(&socket).is_ok() {
        return;
    }
    let mut daemon = match spawn_daemon(data_dir) {
        Ok(daemon) => daemon,
        Err(error) => {
            tracing::error!(%error, "no daemon runs and none could be started: calls will be refused");
            return;
        }
    };
    let patience = Instant::now() + START;
    while Instant::now() < patience {
        if UnixStream::connect(&socket).is_ok() {
            tracing::info!(data = %data_dir.display(), "started the daemon; decide with `herma holds watch`");
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let log = log_file(data_dir);
    // It ended: its last word says why.
    let why = match daemon.try_wait() {
        Ok(Some(_)) => std::fs::read_to_string(&log).unwrap_or_default(),
        _ => String::new(),
    };
    let why = why.trim_end().lines().next_back().unwrap_or("it did not answer in time");
    tracing::error!(log = %log.display(), "the daemon did not start, so calls will be refused: {why}");
}

fn spawn_daemon(data_dir: &Path) -> anyhow::Result<Child> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir)?;
    let log = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(log_file(data_dir))?;
    let daemon = Command::new(std::env::current_exe()?)
        .arg("--data-dir")
        .arg(data_dir)
        .args(["serve", "--detached"])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0)
        .spawn()?;
    Ok(daemon)
}

fn log_file(data_dir: &Path) -> PathBuf {
    data_dir.join("daemon.log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_called_after_its_package() {
        for (command, name) in [
            ("npx -y @modelcontextprotocol/server-filesystem /srv", "server-filesystem"),
            ("npx some-server@1.2.3", "some-server"),
            ("/usr/bin/mcp-server-git --repository x", "mcp-server-git"),
            ("node ./dist/index.js", "index"),
            ("uvx mcp-server-time", "mcp-server-time"),
            ("env KEY=v python3 server.py", "server"),
        ] {
            let command: Vec<OsString> = command.split(' ').map(Into::into).collect();
            assert_eq!(name_of(&command), name);
        }
    }
}
