//! A model that asks for the tools it was told to ask for, on loopback: what an agent does can then be watched.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use serde_json::{Value, json};

/// The longest request that is read.
const LONGEST: usize = 64 << 20;

/// A running model. Its thread ends with the process.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) address: SocketAddr,
    /// What came back from the tools, by the id of the call.
    results: Arc<Mutex<Vec<(String, String)>>>,
}

impl Model {
    /// Asks for the calls one after the other, then says that it is done.
    pub(super) fn start(calls: Vec<(String, Value)>) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let results = Arc::new(Mutex::new(Vec::new()));
        let shared = (Arc::new(calls), Arc::clone(&results));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (calls, results) = shared.clone();
                thread::spawn(move || {
                    let _hung_up = serve(stream, &calls, &results).is_err();
                });
            }
        });
        Ok(Self { address, results })
    }

    pub(super) fn result(&self, call: usize) -> Option<String> {
        let id = id(call);
        self.results.lock().iter().find(|(known, _)| *known == id).map(|(_, result)| result.clone())
    }
}

fn id(call: usize) -> String {
    format!("call_doctor_{call}")
}

fn serve(
    stream: TcpStream,
    calls: &[(String, Value)],
    results: &Mutex<Vec<(String, String)>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut start = String::new();
    reader.read_line(&mut start)?;
    let mut length = 0usize;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or_default();
        }
    }
    let mut body = vec![0u8; length.min(LONGEST)];
    reader.read_exact(&mut body)?;
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    if start.starts_with("GET") {
        let models = json!({ "object": "list", "data": [{ "id": "doctor", "object": "model", "context_length": 131_072 }] });
        return answer(stream, "application/json", &models.to_string());
    }
    let messages = request.get("messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut done = 0usize;
    for message in messages {
        let text = |key: &str| message.get(key).and_then(Value::as_str).map(str::to_owned);
        if let (Some("tool"), Some(id)) = (message.get("role").and_then(Value::as_str), text("tool_call_id"))
        {
            done = done.saturating_add(1);
            let mut results = results.lock();
            if !results.iter().any(|(known, _)| *known == id) {
                results.push((id, text("content").unwrap_or_default()));
            }
        }
    }
    let has_tools = request.get("tools").and_then(Value::as_array).is_some_and(|tools| !tools.is_empty());
    let next = calls.get(done).filter(|_| has_tools).map(|(name, arguments)| {
        json!({ "index": 0, "id": id(done), "type": "function",
                "function": { "name": name, "arguments": arguments.to_string() } })
    });
    let finish = if next.is_some() { "tool_calls" } else { "stop" };
    let usage = json!({ "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 });
    let base = |kind: &str, choices: Value| json!({ "id": "doctor", "created": 1, "model": "doctor", "object": kind, "choices": choices, "usage": usage });
    let mut message = json!({ "role": "assistant", "content": if next.is_some() { "" } else { "done" } });
    if let (Some(call), Some(fields)) = (next, message.as_object_mut()) {
        fields.insert("tool_calls".to_owned(), json!([call]));
    }
    if request.get("stream").and_then(Value::as_bool) != Some(true) {
        let choices = json!([{ "index": 0, "message": message, "finish_reason": finish }]);
        return answer(stream, "application/json", &base("chat.completion", choices).to_string());
    }
    let chunk = |delta: Value, finish: Value| {
        base("chat.completion.chunk", json!([{ "index": 0, "delta": delta, "finish_reason": finish }]))
    };
    let events = format!(
        "data: {}\n\ndata: {}\n\ndata: [DONE]\n\n",
        chunk(message, Value::Null),
        chunk(json!({}), finish.into())
    );
    answer(stream, "text/event-stream", &events)
}

fn answer(mut stream: TcpStream, kind: &str, body: &str) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}
