//! Stands between a script and the agent that started it.
//!
//! The agent gave out one token and takes one connection. Both are kept here: the connection is taken before the
//! script is started, the token is in no environment, and no other process of this user may look into this one.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::line::{telling, with_token};
use super::refusal;
use super::shim::Shim;
use crate::call::Digest;
use crate::control;
use crate::control::wire::{self, FromRun, Hello, Role, Script, ToRun, VERSION};
use crate::firewall::runs::parent_of;

/// Lines and answers longer than this are nobody's.
const LONGEST: u64 = 16 << 20;
/// A script keeps one connection; more than these are an attack.
const CONNECTIONS: usize = 8;
const GENERATIONS: usize = 64;
/// How often what a script left is looked for: it may have children while it is ended.
const ROUNDS: usize = 200;

/// Where the script finds its socket, and what it sends with every line.
pub const SOCKET: &str = "HERMES_RPC_SOCKET";
pub const TOKEN: &str = "HERMES_RPC_TOKEN";

/// What a launcher needs to know.
pub struct Launch {
    pub shim: Shim,
    pub shim_dir: PathBuf,
    /// Where the agent listens.
    pub endpoint: PathBuf,
    /// What the agent wants to see.
    pub token: Zeroizing<String>,
    /// For the interpreter.
    pub args: Vec<OsString>,
    /// This program.
    pub herma: PathBuf,
}

impl std::fmt::Debug for Launch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Launch").field("shim", &self.shim).finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error("this process cannot be kept from others' eyes ({0}), so the script is not started")]
    Unprotected(io::Error),
    #[error("the agent's socket does not answer ({0}), so the script is not started")]
    NoAgent(io::Error),
    #[error("no private place for the script's socket: {0}")]
    NoPlace(io::Error),
    #[error("the interpreter cannot be started: {0}")]
    NoInterpreter(io::Error),
}

/// Keeps other processes of this user from reading this one's memory, and orphans of the script within sight.
pub fn protect() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, getpid, set_child_subreaper, set_dumpable_behavior};
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        set_child_subreaper(Some(getpid()))?;
    }
    Ok(())
}

/// Runs the script to its end.
pub fn run(launch: &Launch) -> Result<ExitStatus, LaunchError> {
    protect().map_err(LaunchError::Unprotected)?;
    let agent = UnixStream::connect(&launch.endpoint).map_err(LaunchError::NoAgent)?;
    let script = script_of(&launch.args);
    let (daemon, warrant) = match introduce(&launch.shim, script.as_deref()) {
        Ok((stream, warrant)) => (Ok(stream), warrant),
        Err(why) => (Err(why), String::new()),
    };
    let gate = Arc::new(Mutex::new(Gate { daemon, agent, token: launch.token.clone(), seq: 0 }));
    let place = Place::new(script.as_deref()).map_err(LaunchError::NoPlace)?;
    let status = if launch.shim.isolate {
        let (ours, theirs) = UnixStream::pair().map_err(LaunchError::NoPlace)?;
        rustix::io::fcntl_setfd(&theirs, rustix::io::FdFlags::empty())
            .map_err(|error| LaunchError::NoPlace(error.into()))?;
        place.hook_sockets().map_err(LaunchError::NoPlace)?;
        let mut child = spawn(launch, &place, &warrant, Some(theirs.as_raw_fd()))?;
        drop(theirs);
        thread::spawn(move || serve(ours, &gate));
        child.wait()
    } else {
        let listener = place.listen().map_err(LaunchError::NoPlace)?;
        let mut child = spawn(launch, &place, &warrant, None)?;
        thread::spawn(move || accept(&listener, &gate));
        child.wait()
    };
    end_what_is_left();
    status.map_err(LaunchError::NoInterpreter)
}

/// The code a shell would show for this end.
pub fn code_of(status: ExitStatus) -> u8 {
    let signal = status.signal().map(|signal| 128 + signal);
    status.code().or(signal).and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

fn script_of(args: &[OsString]) -> Option<PathBuf> {
    args.first().filter(|first| !first.as_encoded_bytes().starts_with(b"-")).map(PathBuf::from)
}

/// Asks the daemon for the run's warrant. Without one nothing the script asks for will pass.
fn introduce(shim: &Shim, script: Option<&Path>) -> Result<(UnixStream, String), String> {
    let sha256 = script.and_then(|script| fs::read(script).ok()).map(|text| Digest::of(&text).to_string());
    let hello = Hello {
        version: VERSION,
        role: Role::Sandbox(Script {
            sha256: sha256.unwrap_or_default(),
            cwd: std::env::current_dir().ok().map(|dir| dir.display().to_string()),
            home: std::env::var("HOME").ok(),
            isolated: shim.isolate,
        }),
    };
    let unreachable = |why: String| format!("Herma cannot be asked ({why}), so nothing runs from here");
    let mut stream = UnixStream::connect(control::socket(&shim.data_dir))
        .map_err(|error| unreachable(error.to_string()))?;
    wire::write(&mut stream, &hello, b"").map_err(|error| unreachable(error.to_string()))?;
    match wire::read::<ToRun>(&mut stream) {
        Ok((ToRun::Granted { warrant, .. }, _)) => Ok((stream, warrant)),
        // The daemon answers each line with the reason, and records it.
        Ok((ToRun::Ungranted { .. }, _)) => Ok((stream, String::new())),
        Ok(_) => Err(unreachable("it answers out of turn".into())),
        Err(error) => Err(unreachable(error.to_string())),
    }
}

fn spawn(
    launch: &Launch,
    place: &Place,
    warrant: &str,
    inherited: Option<i32>,
) -> Result<Child, LaunchError> {
    let mut command = Command::new(&launch.herma);
    command.args(["python", "confine", "--parent", &std::process::id().to_string(), "--shim"]);
    command.arg(&launch.shim_dir).env(SOCKET, place.socket()).env(TOKEN, warrant);
    if let Some(descriptor) = inherited {
        command.env(super::confine::DESCRIPTOR, descriptor.to_string());
        command.env("TMPDIR", place.scratch()).env("PYTHONPATH", place.python_path());
    }
    command.arg("--").args(&launch.args).spawn().map_err(LaunchError::NoInterpreter)
}

/// What the script leaves behind is its own children by now, as this process takes orphans in. Once this one has
/// ended nobody knows them for the code of an agent any more.
fn end_what_is_left() {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    for _ in 0..ROUNDS {
        let Ok(processes) = fs::read_dir("/proc") else { return };
        let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let left: Vec<_> = pids.filter(|pid| *pid != own && descends(*pid, own)).collect();
        for pid in left.iter().filter_map(|pid| rustix::process::Pid::from_raw(*pid)) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        // The dead are taken in and buried, so that the next look sees only who was born meanwhile.
        while matches!(rustix::process::wait(rustix::process::WaitOptions::NOHANG), Ok(Some(_))) {}
        if left.is_empty() {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// A directory that nobody else can enter, gone at the end.
struct Place(PathBuf);

impl Place {
    /// Beside the script if that is private: then the agent clears it away even when this process is killed.
    fn new(script: Option<&Path>) -> io::Result<Self> {
        let private = |dir: &Path| {
            fs::metadata(dir).is_ok_and(|data| {
                data.mode() & 0o077 == 0 && data.uid() == rustix::process::getuid().as_raw()
            })
        };
        let beside = script.and_then(Path::parent).filter(|dir| private(dir)).map(Path::to_owned);
        let mut random = [0u8; 8];
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        let name = format!("herma-{}", data_encoding::HEXLOWER.encode(&random));
        let dir = std::path::absolute(beside.unwrap_or_else(std::env::temp_dir).join(name))?;
        DirBuilder::new().mode(0o700).create(&dir)?;
        Ok(Self(dir))
    }

    fn socket(&self) -> PathBuf {
        self.0.join("rpc")
    }

    fn scratch(&self) -> PathBuf {
        self.0.join("tmp")
    }

    fn listen(&self) -> io::Result<UnixListener> {
        let listener = UnixListener::bind(self.socket())?;
        fs::set_permissions(self.socket(), Permissions::from_mode(0o600))?;
        Ok(listener)
    }

    /// An isolated script can connect to nothing, so what its agent's module does by a name must find the one
    /// connection it was given.
    fn hook_sockets(&self) -> io::Result<()> {
        fs::create_dir(self.scratch())?;
        fs::write(self.0.join("sitecustomize.py"), include_str!("sitecustomize.py"))
    }

    fn python_path(&self) -> OsString {
        let mut path = OsString::from(&self.0);
        if let Some(rest) = std::env::var_os("PYTHONPATH") {
            path.push(":");
            path.push(rest);
        }
        path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn accept(listener: &UnixListener, gate: &Arc<Mutex<Gate>>) {
    let open = Arc::new(());
    for stream in listener.incoming().flatten() {
        if Arc::strong_count(&open) > CONNECTIONS || !is_ours(&stream) {
            continue;
        }
        let (gate, open) = (Arc::clone(gate), Arc::clone(&open));
        thread::spawn(move || {
            serve(stream, &gate);
            drop(open);
        });
    }
}

/// Whether a process that this one started speaks.
fn is_ours(stream: &impl AsFd) -> bool {
    #[cfg(target_os = "linux")]
    {
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        rustix::net::sockopt::socket_peercred(stream).is_ok_and(|peer| {
            peer.uid == rustix::process::getuid() && descends(peer.pid.as_raw_nonzero().get(), own)
        })
    }
    // Elsewhere the directory that nobody else can enter, and the token, have to do.
    #[cfg(not(target_os = "linux"))]
    {
        let _ = stream;
        true
    }
}

fn descends(pid: i32, ancestor: i32) -> bool {
    std::iter::successors(Some(pid), |pid| parent_of(*pid)).take(GENERATIONS).any(|pid| pid == ancestor)
}

fn serve(stream: UnixStream, gate: &Mutex<Gate>) {
    let Ok(mut write) = stream.try_clone() else { return };
    let mut read = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let whole = read.by_ref().take(LONGEST).read_until(b'\n', &mut line);
        if !matches!(whole, Ok(1..)) || line.pop() != Some(b'\n') {
            return;
        }
        // One at a time: the agent answers in order and names no request.
        let mut answer = gate.lock().pass(&line);
        answer.push(b'\n');
        if write.write_all(&answer).is_err() {
            return;
        }
    }
}

/// The two ways a line takes: to the daemon, and if it may, to the agent.
struct Gate {
    daemon: Result<UnixStream, String>,
    agent: UnixStream,
    token: Zeroizing<String>,
    seq: u64,
}

impl Gate {
    /// The answer to a line, without the line's end.
    fn pass(&mut self, line: &[u8]) -> Vec<u8> {
        self.seq += 1;
        let seq = self.seq;
        let daemon = match &mut self.daemon {
            Ok(daemon) => daemon,
            Err(why) => return refusal(why),
        };
        let told =
            wire::write(daemon, &FromRun::Line { seq }, line).and_then(|()| wire::read::<ToRun>(daemon));
        match told {
            Ok((ToRun::Reply { seq: of }, answer)) if of == seq => answer.to_vec(),
            Ok((ToRun::Forward { seq: of, keep, told }, frame)) if of == seq => {
                let answer = self.forward(seq, keep, &frame);
                match told {
                    Some(told) => telling(&answer, &told),
                    None => answer,
                }
            }
            _ => self.lose(),
        }
    }

    fn lose(&mut self) -> Vec<u8> {
        let why = "Herma went away while the script ran: nothing it asks for runs any more";
        self.daemon = Err(why.into());
        refusal(why)
    }

    fn forward(&mut self, seq: u64, keep: bool, frame: &[u8]) -> Vec<u8> {
        let started = Instant::now();
        let answer = with_token(frame, &self.token)
            .ok_or_else(|| io::Error::other("the call cannot be written"))
            .and_then(|line| ask(&mut self.agent, &line));
        let took_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (answered, answer) = match answer {
            Ok(answer) => (true, answer),
            Err(error) => (false, refusal(&format!("the agent did not answer: {error}"))),
        };
        let settled = FromRun::Settled {
            seq,
            answered,
            is_error: is_error(&answer),
            bytes: answer.len() as u64,
            took_us,
        };
        let Ok(daemon) = &mut self.daemon else { return answer };
        let kept: &[u8] = if keep && answered { &answer } else { b"" };
        if wire::write(daemon, &settled, kept).is_err() {
            // It has run: the script gets its answer, and nothing after it.
            let _ = self.lose();
        }
        answer
    }
}

/// Reads as the agent's own module does: an answer ends where what has come ends with the end of a line.
fn ask(agent: &mut UnixStream, line: &[u8]) -> io::Result<Vec<u8>> {
    agent.write_all(line)?;
    let (mut answer, mut chunk) = (Vec::new(), vec![0u8; 64 << 10]);
    while answer.pop_if(|last| *last == b'\n').is_none() {
        let read = agent.read(&mut chunk)?;
        if read == 0 || answer.len() as u64 > LONGEST {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(chunk.get(..read).unwrap_or_default());
    }
    Ok(answer)
}

fn is_error(answer: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Answer {
        #[serde(default)]
        error: serde_json::Value,
    }
    serde_json::from_slice::<Answer>(answer).is_ok_and(|answer| !answer.error.is_null())
}
