//! HTTP by hand, on both sides: what is compared is what was on the wire, and a test may be as
//! rude as an attacker.
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::mpsc,
};

/// Longer than anything a test waits for on a busy machine, shorter than a stuck run.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} for {what}"),
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) start: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default()
    }
}

enum Frame {
    Sized(usize),
    Chunked,
    UntilClose,
    Done,
}

/// The reading side of one message: its head, then its body piece by piece as it arrives.
pub(crate) struct Incoming {
    stream: BufReader<OwnedReadHalf>,
    frame: Frame,
}

impl Incoming {
    fn new(stream: OwnedReadHalf) -> Self {
        Self { stream: BufReader::new(stream), frame: Frame::Done }
    }

    async fn head(&mut self, is_request: bool) -> Option<Head> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let mut lines = lines.into_iter();
        let start = lines.next()?;
        let headers = lines
            .filter_map(|line| line.split_once(':').map(|(k, v)| (k.to_owned(), v.trim().to_owned())))
            .collect();
        let head = Head { start, headers };
        let bodiless = matches!(head.status(), 202 | 204 | 304) && !is_request;
        self.frame = match (head.header("transfer-encoding"), head.header("content-length")) {
            (Some(_), _) => Frame::Chunked,
            (None, Some(length)) => Frame::Sized(length.parse().unwrap()),
            (None, None) if is_request || bodiless => Frame::Done,
            (None, None) => Frame::UntilClose,
        };
        Some(head)
    }

    /// The next piece of the body; `None` at its end. A body that is cut off is an error.
    pub(crate) async fn piece(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let wanted = match self.frame {
            Frame::Done => return Ok(None),
            Frame::UntilClose => {
                let mut bytes = vec![0; 65536];
                let read = self.stream.read(&mut bytes).await?;
                bytes.truncate(read);
                return Ok((read > 0).then_some(bytes));
            }
            Frame::Sized(length) => {
                self.frame = Frame::Done;
                length
            }
            Frame::Chunked => {
                let mut size = String::new();
                self.stream.read_line(&mut size).await?;
                usize::from_str_radix(size.trim(), 16).map_err(|_| std::io::ErrorKind::UnexpectedEof)?
            }
        };
        let mut bytes = vec![0; wanted];
        self.stream.read_exact(&mut bytes).await?;
        if matches!(self.frame, Frame::Chunked) {
            self.stream.read_line(&mut String::new()).await?;
        }
        if wanted == 0 {
            self.frame = Frame::Done;
            return Ok(None);
        }
        Ok(Some(bytes))
    }

    pub(crate) async fn body(&mut self) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(piece) = self.piece().await? {
            body.extend(piece);
        }
        Ok(body)
    }

    /// Reads on until `needle` has arrived and returns everything up to then.
    pub(crate) async fn until(&mut self, needle: &str) -> Vec<u8> {
        let mut body = Vec::new();
        soon(needle, async {
            while !contains(&body, needle.as_bytes()) {
                match self.piece().await {
                    Ok(Some(piece)) => body.extend(piece),
                    end => panic!("{end:?} before {needle:?}: {}", String::from_utf8_lossy(&body)),
                }
            }
        })
        .await;
        body
    }
}

pub(crate) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// What a client got back, its body still arriving. Dropping it hangs up.
pub(crate) struct Reply {
    pub(crate) head: Head,
    pub(crate) body: Incoming,
    _open: OwnedWriteHalf,
}

impl Reply {
    pub(crate) async fn all(mut self) -> (Head, Vec<u8>) {
        let body = soon("the whole answer", self.body.body()).await;
        (self.head, body.expect("the answer was cut off"))
    }

    pub(crate) async fn json(self) -> serde_json::Value {
        let (head, body) = self.all().await;
        let text = String::from_utf8(body).unwrap();
        let data = text.lines().filter_map(|line| line.strip_prefix("data:")).next_back();
        serde_json::from_str(data.unwrap_or(&text))
            .unwrap_or_else(|error| panic!("{error}: {} {text:?}", head.start))
    }
}

pub(crate) const JSON_OR_SSE: &str = "application/json, text/event-stream";

/// One endpoint, as a client names it.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Endpoint {
    pub(crate) fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), headers: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn split(&self) -> (&str, &str) {
        let rest = self.url.strip_prefix("http://").unwrap();
        rest.split_at(rest.find('/').unwrap_or(rest.len()))
    }

    /// Sends exactly these bytes and reads what comes back.
    pub(crate) async fn raw(&self, request: &[u8]) -> Option<Reply> {
        let stream = TcpStream::connect(self.split().0.replace("localhost", "127.0.0.1")).await;
        let (read, mut write) = stream.unwrap().into_split();
        // A server that refuses half-way may close while we still write: its answer counts.
        let _refused = write.write_all(request).await.is_err();
        let mut body = Incoming::new(read);
        let head = soon("an answer's head", body.head(false)).await?;
        Some(Reply { head, body, _open: write })
    }

    pub(crate) fn request(&self, method: &str, body: &[u8]) -> Vec<u8> {
        let (host, path) = self.split();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n");
        let named = |name: &str| self.headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name));
        if !named("accept") {
            head += &format!("accept: {JSON_OR_SSE}\r\n");
        }
        if method == "POST" {
            if !named("content-type") {
                head += "content-type: application/json\r\n";
            }
            head += &format!("content-length: {}\r\n", body.len());
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        [head.as_bytes(), b"\r\n", body].concat()
    }

    pub(crate) async fn send(&self, method: &str, body: &[u8]) -> Reply {
        let request = self.request(method, body);
        self.raw(&request).await.expect("the connection closed without an answer")
    }

    pub(crate) async fn post(&self, body: impl AsRef<[u8]>) -> Reply {
        self.send("POST", body.as_ref()).await
    }

    /// Posts one body after the other on one connection, and gives each answer to `told`.
    pub(crate) async fn post_each(
        &self,
        bodies: impl Iterator<Item = String>,
        mut told: impl FnMut(&Head, &[u8]),
    ) {
        let (read, mut write) = TcpStream::connect(self.split().0).await.unwrap().into_split();
        let mut answers = Incoming::new(read);
        for body in bodies {
            write.write_all(&self.request("POST", body.as_bytes())).await.unwrap();
            let head = soon("an answer's head", answers.head(false)).await.unwrap();
            let body = soon("the whole answer", answers.body()).await.unwrap();
            told(&head, &body);
        }
    }
}

/// A request as it reached the upstream.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn method(&self) -> &str {
        self.head.start.split(' ').next().unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The JSON-RPC method, of bodies that have one.
    pub(crate) fn rpc(&self) -> String {
        let body = serde_json::from_slice::<serde_json::Value>(&self.body).unwrap_or_default();
        body["method"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn id(&self) -> String {
        #[derive(serde::Deserialize)]
        struct Id<'a> {
            #[serde(borrow)]
            id: Option<&'a serde_json::value::RawValue>,
        }
        let envelope = serde_json::from_slice::<Id<'_>>(&self.body);
        envelope.ok().and_then(|it| it.id).map_or("null".into(), |id| id.get().to_owned())
    }
}

/// A request that waits for the test to answer it.
pub(crate) struct Exchange {
    pub(crate) request: Received,
    read: Incoming,
    write: OwnedWriteHalf,
}

impl Exchange {
    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        // The client may have hung up: that is what some tests are about.
        let _gone = self.write.write_all(bytes).await.is_err();
    }

    pub(crate) async fn answer(mut self, status: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        self.raw(&[head.as_bytes(), b"connection: close\r\n\r\n", body].concat()).await;
        let _closed = self.write.shutdown().await.is_err();
    }

    pub(crate) async fn json(self, body: impl AsRef<[u8]>) {
        self.answer("200 OK", &[("content-type", "application/json")], body.as_ref()).await;
    }

    pub(crate) async fn accepted(self) {
        self.answer("202 Accepted", &[], b"").await;
    }

    pub(crate) async fn result(self, result: &str) {
        let id = self.request.id();
        self.json(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)).await;
    }

    /// Opens an event stream; more headers may be given as whole lines.
    pub(crate) async fn sse(&mut self, more: &str) {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n";
        self.raw(format!("{head}{more}\r\n").as_bytes()).await;
    }

    pub(crate) async fn chunk(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        self.raw(&chunk).await;
    }

    pub(crate) async fn end(mut self) {
        self.raw(b"0\r\n\r\n").await;
    }

    pub(crate) async fn event(&mut self, message: &str) {
        self.chunk(format!("event: message\ndata: {message}\n\n")).await;
    }

    /// Resolves when the other side hangs up.
    pub(crate) async fn hung_up(mut self) {
        let mut rest = Vec::new();
        soon("the client to hang up", async {
            while !matches!(self.read.stream.read_buf(&mut rest).await, Ok(0) | Err(_)) {}
        })
        .await;
    }
}

/// An HTTP server that records what it gets and answers what the test says.
pub(crate) struct Upstream {
    pub(crate) url: String,
    exchanges: mpsc::UnboundedReceiver<Exchange>,
    log: Arc<Mutex<Vec<Received>>>,
}

impl Upstream {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let (tell, exchanges) = mpsc::unbounded_channel();
        let log: Arc<Mutex<Vec<Received>>> = Arc::default();
        let record = log.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tell, record) = (tell.clone(), record.clone());
                tokio::spawn(async move {
                    stream.set_nodelay(true).unwrap();
                    let (read, write) = stream.into_split();
                    let mut read = Incoming::new(read);
                    let Some(head) = read.head(true).await else {
                        return;
                    };
                    let Ok(body) = read.body().await else { return };
                    let request = Received { head, body };
                    record.lock().unwrap().push(request.clone());
                    // The test may have ended; then nobody is asked.
                    let _over = tell.send(Exchange { request, read, write }).is_err();
                });
            }
        });
        Self { url, exchanges, log }
    }

    pub(crate) async fn next(&mut self) -> Exchange {
        soon("the upstream to be asked", self.exchanges.recv()).await.unwrap()
    }

    /// Answers everything by itself from now on: requests with an empty result, the rest with 202.
    pub(crate) fn answer_everything(mut self) -> Log {
        tokio::spawn(async move {
            while let Some(exchange) = self.exchanges.recv().await {
                let request = &exchange.request;
                match (request.method(), request.rpc().as_str(), request.id().as_str()) {
                    ("POST", "", _) => exchange.accepted().await,
                    ("POST", _, "null") => exchange.accepted().await,
                    ("POST", "tools/call", _) => {
                        exchange.result(r#"{"content":[{"type":"text","text":"ran"}]}"#).await;
                    }
                    ("POST", _, _) => exchange.result("{}").await,
                    ("GET", ..) => exchange.answer("405 Method Not Allowed", &[], b"").await,
                    _ => exchange.answer("200 OK", &[], b"").await,
                }
            }
        });
        Log(self.log)
    }

    pub(crate) fn log(&self) -> Log {
        Log(self.log.clone())
    }
}

/// Everything an upstream has received.
#[derive(Clone)]
pub(crate) struct Log(Arc<Mutex<Vec<Received>>>);

impl Log {
    pub(crate) fn all(&self) -> Vec<Received> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn calls(&self) -> usize {
        self.all().iter().filter(|request| contains(&request.body, b"arguments")).count()
    }
}
