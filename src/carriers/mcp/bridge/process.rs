//! A stdio server as a process group of its own, ended as a whole.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use memchr::memchr;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// How long a server may take to end by itself once its standard input is closed, and then after SIGTERM.
const GRACE: Duration = Duration::from_secs(1);
/// How long its last words may take to arrive.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// Frames that may wait for a server that does not read.
const BACKLOG: usize = 64;
/// The longest line that is read; a server that writes a longer one is ended.
const LONGEST: usize = 256 << 20;
/// What a server needs of Herma's own environment. All else it gets from its entry in the file.
const INHERITED: [&str; 8] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TERM", "SHELL", "TMPDIR"];

/// How to start a server.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Herma's own program: it runs the server and takes it down when Herma is killed.
    pub guard: PathBuf,
    pub command: String,
    pub args: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub cwd: Option<PathBuf>,
}

/// A running server.
#[derive(Debug)]
pub(super) struct Process {
    stdin: mpsc::Sender<Bytes>,
    stop: watch::Sender<bool>,
    ended: watch::Receiver<bool>,
}

/// The server takes nothing more.
#[derive(Debug)]
pub(super) struct Gone;

impl Process {
    pub(super) fn start(launch: &Launch, server: &Arc<str>) -> io::Result<(Self, Lines<ChildStdout>)> {
        let mut command = Command::new(&launch.guard);
        command
            .arg("guard")
            .arg("--parent")
            .arg(std::process::id().to_string())
            .arg("--")
            .arg(&launch.command)
            .args(&launch.args)
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| {
                name.to_str().is_some_and(|name| INHERITED.contains(&name) || name.starts_with("XDG_"))
            }))
            .envs(&launch.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        if let Some(cwd) = &launch.cwd {
            command.current_dir(cwd);
        }
        let mut child = command.spawn()?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::Error::other("the server has no pipes"));
        };
        let (frames, to_write) = mpsc::channel(BACKLOG);
        let (stop, stopping) = watch::channel(false);
        let (end, ended) = watch::channel(false);
        tokio::spawn(write(stdin, to_write, stop.clone()));
        let words = tokio::spawn(overhear(stderr, Arc::clone(server)));
        tokio::spawn(keep(child, words, stopping, end, Arc::clone(server)));
        Ok((Self { stdin: frames, stop, ended }, Lines::new(stdout)))
    }

    /// Waits for room among the frames that are to be written.
    pub(super) async fn room(&self) -> Result<mpsc::Permit<'_, Bytes>, Gone> {
        self.stdin.reserve().await.map_err(|_| Gone)
    }

    /// Writes a line for which there may be no time to wait. False when there was no room.
    pub(super) fn write_now(&self, line: Bytes) -> bool {
        self.stdin.try_send(line).is_ok()
    }

    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Resolves when nothing of the process group is left.
    pub(super) async fn ended(&self) {
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }
}

async fn write(mut stdin: ChildStdin, mut frames: mpsc::Receiver<Bytes>, stop: watch::Sender<bool>) {
    let mut stopping = stop.subscribe();
    let write_all = async {
        while let Some(line) = frames.recv().await {
            if stdin.write_all(&line).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = write_all => {}
        _ = stopping.wait_for(|stop| *stop) => {}
    }
    // A server that does not listen any more is of no use.
    stop.send_replace(true);
}

/// A server's words for people, and the last of them. A full pipe would stop the server.
async fn overhear(mut stderr: ChildStderr, server: Arc<str>) -> String {
    let mut buffer = vec![0u8; 16 << 10];
    let mut last = String::new();
    while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
        let said = String::from_utf8_lossy(buffer.get(..read).unwrap_or_default());
        for line in said.lines() {
            tracing::debug!(server = &*server, stderr = ?line);
            if !line.trim().is_empty() {
                last = line.chars().take(200).collect();
            }
        }
    }
    last
}

/// Waits for the server's end, or brings it about, and leaves nothing of its group behind.
async fn keep(
    mut child: Child,
    words: JoinHandle<String>,
    mut stopping: watch::Receiver<bool>,
    end: watch::Sender<bool>,
    server: Arc<str>,
) {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let signal = |signal| group.is_some_and(|group| kill_process_group(group, signal).is_ok());
    let by_itself = tokio::select! {
        status = child.wait() => Some(status),
        _ = stopping.wait_for(|stop| *stop) => None,
    };
    match by_itself {
        Some(Ok(status)) => {
            let last_words = timeout(LAST_WORDS, words).await.ok().and_then(Result::ok).unwrap_or_default();
            tracing::warn!(server = &*server, %status, ?last_words, "a server ended by itself");
        }
        Some(Err(error)) => tracing::error!(server = &*server, %error, "a server cannot be waited for"),
        None => {
            if timeout(GRACE, child.wait()).await.is_err() && signal(Signal::TERM) {
                let patience = Instant::now() + GRACE;
                let left = || group.is_some_and(|group| test_kill_process_group(group).is_ok());
                while left() && Instant::now() < patience {
                    let _ = child.try_wait();
                    sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }
    signal(Signal::KILL);
    let _ = child.wait().await;
    end.send_replace(true);
}

/// Cuts a stream into lines without copying them.
#[derive(Debug)]
pub(super) struct Lines<R> {
    from: R,
    buffer: BytesMut,
    searched: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    fn new(from: R) -> Self {
        Self { from, buffer: BytesMut::new(), searched: 0 }
    }

    /// The next line with its break, or what is left at the end. Cancel-safe.
    pub(super) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let unseen = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(at) = memchr(b'\n', unseen) {
                let end = self.searched.saturating_add(at).saturating_add(1);
                self.searched = 0;
                return Ok(Some(self.buffer.split_to(end).freeze()));
            }
            self.searched = self.buffer.len();
            if self.searched > LONGEST {
                return Err(io::Error::other(format!("a line is longer than {LONGEST} bytes")));
            }
            self.buffer.reserve(64 << 10);
            if self.from.read_buf(&mut self.buffer).await? == 0 {
                self.searched = 0;
                let rest = self.buffer.split().freeze();
                return Ok((!rest.is_empty()).then_some(rest));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_found_however_the_stream_is_cut() {
        let text = "{\"a\":\"é\"}\n\n{}\r\nrest".as_bytes();
        for step in 1..text.len() {
            let (mut write, read) = tokio::io::duplex(step);
            tokio::spawn(async move { write.write_all(text).await });
            let mut lines = Lines::new(read);
            let mut all = Vec::new();
            while let Some(line) = lines.next().await.unwrap() {
                all.push(line);
            }
            assert_eq!(all, ["{\"a\":\"é\"}\n", "\n", "{}\r\n", "rest"], "in steps of {step}");
        }
    }
}
