//! Both ends of a stdio connection: the client's side of a child, and the server that a test plays.
use std::{
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::wire::soon;

/// A child that speaks lines, as an MCP client sees its server.
pub(crate) struct Pipe {
    pub(crate) child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    stderr: Arc<Mutex<Vec<u8>>>,
}

impl Pipe {
    pub(crate) fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stderr = collect(child.stderr.take().unwrap());
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdin, stdout, stderr }
    }

    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(bytes.as_ref()).await.unwrap();
        stdin.flush().await.unwrap();
    }

    pub(crate) async fn send(&mut self, line: &str) {
        self.write(format!("{line}\n")).await;
    }

    pub(crate) async fn line_or_end(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        soon("a line from the server", self.stdout.read_until(b'\n', &mut line)).await.unwrap();
        (line.pop() == Some(b'\n')).then_some(line)
    }

    pub(crate) async fn line(&mut self) -> Vec<u8> {
        match self.line_or_end().await {
            Some(line) => line,
            None => panic!("the server closed its output; its stderr: {}", self.stderr()),
        }
    }

    pub(crate) async fn json(&mut self) -> Value {
        let line = self.line().await;
        serde_json::from_slice(&line)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&line)))
    }

    pub(crate) async fn answer_to(&mut self, id: &Value) -> Value {
        loop {
            let message = self.json().await;
            if message.get("method").is_none() && message.get("id") == Some(id) {
                return message;
            }
        }
    }

    pub(crate) async fn ask(&mut self, id: i64, method: &str, params: Value) -> Value {
        let request = serde_json::json!({"jsonrpc":"2.0","id":id,"method":method,"params":params});
        self.send(&request.to_string()).await;
        self.answer_to(&id.into()).await
    }

    /// The handshake of a client that speaks the protocol of most servers today.
    pub(crate) async fn initialize(&mut self) -> Value {
        let params = serde_json::json!({
            "protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": {"name": "herma-tests", "version": "1"}
        });
        let answer = self.ask(0, "initialize", params).await;
        self.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
        answer
    }

    pub(crate) fn hang_up(&mut self) {
        self.stdin = None;
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().unwrap()).into_owned()
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = self.stderr();
            eprintln!("--- stderr of the pipe ---\n{}", text.get(..8000).unwrap_or(&text));
        }
    }
}

pub(crate) fn collect(mut stream: impl tokio::io::AsyncRead + Unpin + Send + 'static) -> Arc<Mutex<Vec<u8>>> {
    let collected: Arc<Mutex<Vec<u8>>> = Arc::default();
    let into = collected.clone();
    tokio::spawn(async move {
        let mut piece = vec![0; 65536];
        while let Ok(read @ 1..) = stream.read(&mut piece).await {
            into.lock().unwrap().extend(&piece[..read]);
        }
    });
    collected
}

/// Where the peers of the tests were built: beside the test itself.
pub(crate) fn example(name: &str) -> String {
    let mut path: PathBuf = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples");
    path.push(name);
    assert!(path.exists(), "{} is missing: cargo build --examples", path.display());
    path.to_str().unwrap().to_owned()
}

/// The place where stdio servers report to the test that plays them.
pub(crate) struct Stage {
    listener: TcpListener,
}

impl Stage {
    pub(crate) async fn open() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(crate) fn command(&self) -> Vec<String> {
        vec![example("peer"), self.listener.local_addr().unwrap().to_string()]
    }

    pub(crate) async fn enter(&self) -> Peer {
        let (stream, _) = soon("the server to start", self.listener.accept()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (read, write) = stream.into_split();
        let mut read = BufReader::new(read);
        let mut ids = String::new();
        read.read_line(&mut ids).await.unwrap();
        let mut ids = ids.split_whitespace().map(|id| id.parse().unwrap());
        Peer { pid: ids.next().unwrap(), grandchild: ids.next().unwrap(), read, write }
    }
}

/// A running stdio server, played by the test.
pub(crate) struct Peer {
    pub(crate) pid: i32,
    pub(crate) grandchild: i32,
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

impl Peer {
    pub(crate) async fn line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        soon("a line for the server", self.read.read_until(b'\n', &mut line)).await.unwrap();
        assert_eq!(line.pop(), Some(b'\n'), "the server's input ended");
        line
    }

    pub(crate) async fn json(&mut self) -> Value {
        serde_json::from_slice(&self.line().await).unwrap()
    }

    /// Waits for the process to end.
    pub(crate) async fn gone(&mut self) {
        let mut rest = Vec::new();
        // A reset connection is as gone as a closed one.
        let _reset = soon("the server to end", self.read.read_to_end(&mut rest)).await.is_err();
    }

    async fn order(&mut self, kind: u8, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        let order = [&[kind], &length[..], bytes].concat();
        self.write.write_all(&order).await.unwrap();
    }

    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.order(b'o', bytes.as_ref()).await;
    }

    pub(crate) async fn say(&mut self, line: &str) {
        self.write(format!("{line}\n")).await;
    }

    pub(crate) async fn complain(&mut self, bytes: &[u8]) {
        self.order(b'e', bytes).await;
    }

    pub(crate) async fn exit(&mut self, code: u8) {
        self.order(b'x', &[code]).await;
    }

    /// Reads one request and answers it with this result.
    pub(crate) async fn serve(&mut self, result: &str) -> Value {
        let request = self.json().await;
        let id = &request["id"];
        self.say(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)).await;
        request
    }
}
