//! What other proxies have lost between a client and its server, one test each.
use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    house::{House, OPEN, Plan, alive, ended},
    pipe::{Peer, Pipe, Stage},
    wire::{Endpoint, JSON_OR_SSE, Upstream, contains, soon},
};

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

struct Stdio {
    client: Pipe,
    server: Peer,
    _house: House,
}

async fn stdio() -> Stdio {
    let stage = Stage::open().await;
    let house = Plan::default().rules(OPEN).open().await;
    let client = house.wrap("x", &stage.command());
    let server = stage.enter().await;
    Stdio { client, server, _house: house }
}

struct Http {
    client: Endpoint,
    upstream: Upstream,
    house: House,
}

async fn http() -> Http {
    let upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(OPEN).open().await;
    Http { client: house.endpoint("x"), upstream, house }
}

fn call(id: impl Into<Value>, tool: &str, arguments: Value) -> String {
    let params = json!({"name": tool, "arguments": arguments});
    json!({"jsonrpc": "2.0", "id": id.into(), "method": "tools/call", "params": params}).to_string()
}

// Lists, progress, news

#[tokio::test]
async fn every_page_of_a_list_can_be_read() {
    let mut it = stdio().await;
    let mut cursor = Value::Null;
    for page in 0..5 {
        let params = if page == 0 { json!({}) } else { json!({ "cursor": cursor }) };
        let request = json!({"jsonrpc": "2.0", "id": page, "method": "tools/list", "params": params});
        it.client.send(&request.to_string()).await;
        let next = if page < 4 { format!(r#","nextCursor":"page {page}""#) } else { String::new() };
        let tool = format!(r#"{{"name":"tool{page}","inputSchema":{{"type":"object"}}}}"#);
        let seen = it.server.serve(&format!(r#"{{"tools":[{tool}]{next}}}"#)).await;
        assert_eq!(seen, request);
        let answer = it.client.json().await;
        assert_eq!(answer["result"]["tools"][0]["name"], format!("tool{page}"));
        cursor = answer["result"]["nextCursor"].clone();
    }
    assert_eq!(cursor, Value::Null);
}

#[tokio::test]
async fn progress_reaches_the_caller_under_its_own_token() {
    let mut it = stdio().await;
    let params = json!({"name": "t", "arguments": {}, "_meta": {"progressToken": "mine/7"}});
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    it.client.send(&request.to_string()).await;
    assert_eq!(it.server.json().await["params"]["_meta"]["progressToken"], "mine/7");
    for step in ["0.5", "1", "50.0"] {
        let news = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":"mine/7","progress":{step}}}}}"#
        );
        it.server.say(&news).await;
        assert_eq!(it.client.line().await, news.as_bytes());
    }
}

#[tokio::test]
async fn a_changed_tool_list_is_announced_on_the_open_stream() {
    let mut it = http().await;
    let changed = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    let (mut stream, mut exchange) = tokio::join!(it.client.send("GET", b""), async {
        let mut exchange = it.upstream.next().await;
        exchange.sse("").await;
        exchange.event("{}").await;
        exchange
    });
    stream.body.until("{}\n\n").await;
    exchange.event(changed).await;
    stream.body.until(changed).await;
}

#[tokio::test]
async fn a_cancelled_call_is_cancelled_at_the_server_while_it_runs() {
    let mut it = stdio().await;
    it.client.send(&call("call-9", "t", json!({}))).await;
    it.server.line().await;
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"call-9"}}"#;
    it.client.send(cancel).await;
    assert_eq!(it.server.line().await, cancel.as_bytes());
}

#[tokio::test]
async fn hanging_up_on_a_call_hangs_up_on_the_server() {
    let mut it = http().await;
    let request = call(1, "t", json!({}));
    let (mut reply, exchange) = tokio::join!(it.client.post(&request), async {
        let mut exchange = it.upstream.next().await;
        exchange.sse("").await;
        exchange.event("{}").await;
        exchange
    });
    reply.body.until("{}").await;
    drop(reply);
    exchange.hung_up().await;
}

// Who gets which answer

#[tokio::test]
async fn two_clients_that_use_the_same_id_get_their_own_answers() {
    let mut it = http().await;
    let ask = |who: &str| it.client.clone().with("x-who", who);
    let (ann, ben) = (ask("ann"), ask("ben"));
    let (ann, ben, ()) = tokio::join!(ann.post(PING), ben.post(PING), async {
        let (first, second) = (it.upstream.next().await, it.upstream.next().await);
        for exchange in [second, first] {
            let who = exchange.request.head.header("x-who").unwrap().to_owned();
            exchange.result(&format!(r#"{{"for":"{who}"}}"#)).await;
        }
    });
    assert_eq!(ann.json().await["result"]["for"], "ann");
    assert_eq!(ben.json().await["result"]["for"], "ben");
}

#[tokio::test]
async fn two_clients_of_one_stdio_server_never_see_each_other() {
    let stage = Stage::open().await;
    let house = Plan::default().rules(OPEN).open().await;
    let mut ann = house.wrap("x", &stage.command());
    let mut anns = stage.enter().await;
    let mut ben = house.wrap("x", &stage.command());
    let mut bens = stage.enter().await;
    ann.send(&call(1, "t", json!({"from": "ann"}))).await;
    ben.send(&call(1, "t", json!({"from": "ben"}))).await;
    bens.serve(r#"{"for":"ben"}"#).await;
    anns.serve(r#"{"for":"ann"}"#).await;
    assert_eq!(ann.json().await["result"]["for"], "ann");
    assert_eq!(ben.json().await["result"]["for"], "ben");
}

#[tokio::test]
async fn answers_may_come_in_any_order() {
    let mut it = stdio().await;
    for id in 1..=3 {
        it.client.send(&call(id, "t", json!({ "n": id }))).await;
        assert_eq!(it.server.json().await["id"], id);
    }
    for id in [2, 3, 1] {
        let answer = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"n":{id}}}}}"#);
        it.server.say(&answer).await;
        assert_eq!(it.client.line().await, answer.as_bytes());
    }
}

#[tokio::test]
async fn a_server_may_ask_its_client_while_a_call_with_the_same_id_runs() {
    let mut it = stdio().await;
    it.client.send(&call(0, "t", json!({}))).await;
    it.server.line().await;
    let ask = r#"{"jsonrpc":"2.0","id":0,"method":"elicitation/create","params":{"message":"?"}}"#;
    it.server.say(ask).await;
    assert_eq!(it.client.line().await, ask.as_bytes());
    let reply = r#"{"jsonrpc":"2.0","id":0,"result":{"action":"accept","content":{"a":1.0}}}"#;
    it.client.send(reply).await;
    assert_eq!(it.server.line().await, reply.as_bytes());
    it.server.say(r#"{"jsonrpc":"2.0","id":0,"result":{"content":[]}}"#).await;
    assert_eq!(it.client.json().await["result"]["content"], json!([]));
}

#[tokio::test]
async fn a_clients_answer_to_its_http_server_arrives() {
    let mut it = http().await;
    let reply = r#"{"jsonrpc":"2.0","id":0,"result":{"action":"decline"}}"#;
    let (answer, ()) = tokio::join!(it.client.post(reply), async {
        let exchange = it.upstream.next().await;
        assert_eq!(exchange.request.text(), reply);
        exchange.accepted().await;
    });
    assert_eq!(answer.head.status(), 202);
}

// Sessions

#[tokio::test]
async fn the_session_id_travels_both_ways_and_survives_an_error() {
    let mut it = http().await;
    let initialize = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#;
    let (reply, ()) = tokio::join!(it.client.post(initialize), async {
        let exchange = it.upstream.next().await;
        let headers = [("content-type", "application/json"), ("mcp-session-id", "s-~!1")];
        exchange.answer("200 OK", &headers, br#"{"jsonrpc":"2.0","id":0,"result":{}}"#).await;
    });
    let session = reply.head.header("mcp-session-id").unwrap().to_owned();
    let client = it.client.clone().with("mcp-session-id", &session);
    for status in ["500 Internal Server Error", "200 OK"] {
        let (reply, ()) = tokio::join!(client.post(PING), async {
            let exchange = it.upstream.next().await;
            assert_eq!(exchange.request.head.header("mcp-session-id"), Some("s-~!1"));
            exchange.answer(status, &[("content-type", "application/json")], b"{}").await;
        });
        assert_eq!(reply.head.start, format!("HTTP/1.1 {status}"));
    }
}

#[tokio::test]
async fn a_lost_session_is_told_with_404_so_that_the_client_starts_anew() {
    let mut it = http().await;
    let client = it.client.clone().with("mcp-session-id", "forgotten");
    let lost = br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}"#;
    for method in ["POST", "GET", "DELETE"] {
        let body = if method == "POST" { PING.as_bytes() } else { b"" };
        let (reply, ()) = tokio::join!(client.send(method, body), async {
            let exchange = it.upstream.next().await;
            exchange.answer("404 Not Found", &[("content-type", "application/json")], lost).await;
        });
        let (head, body) = reply.all().await;
        assert_eq!((head.status(), body.as_slice()), (404, lost.as_slice()), "{method}");
    }
}

#[tokio::test]
async fn ending_a_session_reaches_the_server() {
    let mut it = http().await;
    let client = it.client.clone().with("mcp-session-id", "s1");
    let (reply, ()) = tokio::join!(client.send("DELETE", b""), async {
        let exchange = it.upstream.next().await;
        assert_eq!(exchange.request.method(), "DELETE");
        assert_eq!(exchange.request.head.header("mcp-session-id"), Some("s1"));
        exchange.answer("204 No Content", &[], b"").await;
    });
    assert_eq!(reply.head.status(), 204);
}

#[tokio::test]
async fn a_stream_is_taken_up_again_where_it_broke() {
    let mut it = http().await;
    let client = it.client.clone().with("last-event-id", "7/3").with("mcp-session-id", "s1");
    let events = "id: 7/4\nretry: 250\ndata:\n\nid: 7/5\ndata: {}\n\n";
    let (reply, ()) = tokio::join!(client.send("GET", b""), async {
        let mut exchange = it.upstream.next().await;
        assert_eq!(exchange.request.head.header("last-event-id"), Some("7/3"));
        exchange.sse("").await;
        exchange.chunk(events).await;
        exchange.end().await;
    });
    assert_eq!(reply.all().await.1, events.as_bytes());
}

#[tokio::test]
async fn a_second_stream_that_the_server_refuses_leaves_the_first_alone() {
    let mut it = http().await;
    let (mut first, mut exchange) = tokio::join!(it.client.send("GET", b""), async {
        let mut exchange = it.upstream.next().await;
        exchange.sse("").await;
        exchange.event("1").await;
        exchange
    });
    first.body.until("1\n\n").await;
    let (second, ()) = tokio::join!(it.client.send("GET", b""), async {
        it.upstream.next().await.answer("409 Conflict", &[], b"one stream only").await;
    });
    assert_eq!(second.head.status(), 409);
    exchange.event("2").await;
    first.body.until("2\n\n").await;
}

#[tokio::test]
async fn a_client_that_hangs_up_half_way_hurts_nobody_else() {
    let mut it = http().await;
    let (mut other, mut others) = tokio::join!(it.client.send("GET", b""), async {
        let mut exchange = it.upstream.next().await;
        exchange.sse("").await;
        exchange.event("1").await;
        exchange
    });
    other.body.until("1\n\n").await;
    for _ in 0..20 {
        let (reply, mut exchange) = tokio::join!(it.client.post(PING), async {
            let mut exchange = it.upstream.next().await;
            exchange.sse("").await;
            exchange.event("{}").await;
            exchange
        });
        drop(reply);
        exchange.event(&"x".repeat(100_000)).await;
    }
    others.event("2").await;
    other.body.until("2\n\n").await;
}

// Streams

#[tokio::test]
async fn events_arrive_when_they_are_sent_and_not_at_the_end() {
    let mut it = http().await;
    let (mut reply, mut exchange) = tokio::join!(it.client.post(call(1, "t", json!({}))), async {
        let mut exchange = it.upstream.next().await;
        exchange.sse("").await;
        exchange.event("first").await;
        exchange
    });
    reply.body.until("data: first\n\n").await;
    for event in ["second", "third"] {
        exchange.event(event).await;
        reply.body.until(event).await;
    }
}

#[tokio::test]
async fn the_head_of_a_stream_arrives_before_its_first_event() {
    let mut it = http().await;
    // `send` returns with the head: it would wait in vain for a body.
    let (reply, _exchange) = tokio::join!(it.client.send("GET", b""), async {
        let mut exchange = it.upstream.next().await;
        exchange.sse("x-accel-buffering: no\r\n").await;
        exchange
    });
    assert_eq!(reply.head.status(), 200);
    assert_eq!(reply.head.header("x-accel-buffering"), Some("no"));
}

#[tokio::test]
async fn the_lines_of_a_stream_are_kept_as_they_are() {
    let mut it = http().await;
    let stream = ": hello\n\nevent: message\r\nid: a b\r\nretry: 3000\r\ndata: {\"a\":1}\r\n\r\n\
                  event: vendor/news\ndata: one\ndata: two\ndata\n\nid\nunknown: field\n\n:\n\ndata:no space\n\n";
    let (reply, ()) = tokio::join!(it.client.post(PING), async {
        let mut exchange = it.upstream.next().await;
        exchange.sse("").await;
        exchange.chunk(stream).await;
        exchange.end().await;
    });
    assert_eq!(String::from_utf8(reply.all().await.1).unwrap(), stream);
}

#[tokio::test]
async fn text_that_is_split_inside_a_character_arrives_whole() {
    let text = r#"{"jsonrpc":"2.0","id":1,"result":{"t":"größer 漢字 😀 \ud83d\ude00"}}"#;
    let mut it = http().await;
    let (reply, ()) = tokio::join!(it.client.post(PING), async {
        let mut exchange = it.upstream.next().await;
        exchange.sse("").await;
        for byte in format!("data: {text}\n\n").as_bytes() {
            exchange.chunk([*byte]).await;
        }
        exchange.end().await;
    });
    assert_eq!(String::from_utf8(reply.all().await.1).unwrap(), format!("data: {text}\n\n"));

    let mut it = stdio().await;
    for byte in format!("{text}\n").as_bytes() {
        it.server.write([*byte]).await;
    }
    assert_eq!(String::from_utf8(it.client.line().await).unwrap(), text);
    for byte in format!("{text}\n").as_bytes() {
        it.client.write([*byte]).await;
    }
    assert_eq!(String::from_utf8(it.server.line().await).unwrap(), text);
}

#[tokio::test]
async fn a_five_megabyte_answer_arrives() {
    let big = "0123456789abcdef".repeat(5 * 1024 * 1024 / 16);
    let answer = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"text":"{big}"}}}}"#);
    let mut it = stdio().await;
    it.client.send(PING).await;
    it.server.line().await;
    it.server.say(&answer).await;
    assert!(it.client.line().await == answer.as_bytes());

    let mut it = http().await;
    let (reply, ()) = tokio::join!(async { it.client.post(PING).await.all().await }, async {
        it.upstream.next().await.json(&answer).await;
    });
    assert!(reply.1 == answer.as_bytes());
    let event = format!("data: {answer}\n\n");
    let (reply, ()) = tokio::join!(async { it.client.post(PING).await.all().await }, async {
        let mut exchange = it.upstream.next().await;
        exchange.sse("").await;
        exchange.chunk(&event).await;
        exchange.end().await;
    });
    assert!(reply.1 == event.as_bytes());
}

#[tokio::test]
async fn a_five_megabyte_call_arrives() {
    let request = call(1, "t", json!({"text": "0123456789abcdef".repeat(5 * 1024 * 1024 / 16)}));
    let mut it = stdio().await;
    let mut server = it.server;
    let read = tokio::spawn(async move { server.line().await });
    it.client.send(&request).await;
    assert!(read.await.unwrap() == request.as_bytes());

    let mut it = http().await;
    let (_, ()) = tokio::join!(it.client.post(&request), async {
        let exchange = it.upstream.next().await;
        assert!(exchange.request.body == request.as_bytes());
        exchange.result("{}").await;
    });
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_its_server_back_and_not_the_memory() {
    let mut it = http().await;
    let (mut reply, mut exchange) = tokio::join!(it.client.post(call(1, "t", json!({}))), async {
        let mut exchange = it.upstream.next().await;
        exchange.sse("").await;
        exchange
    });
    let event = format!("data: {}\n\n", "x".repeat(1 << 20));
    let sending = tokio::spawn(async move {
        for _ in 0..96 {
            exchange.chunk(&event).await;
        }
        exchange.end().await;
    });
    // Nobody reads: what is sent now has to wait somewhere.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!sending.is_finished(), "96 MB went somewhere while nobody read");
    let mut length = 0;
    while let Some(piece) = reply.body.piece().await.unwrap() {
        length += piece.len();
    }
    assert_eq!(length, 96 * ((1 << 20) + 8));
    let status = std::fs::read_to_string(format!("/proc/{}/status", it.house.daemon_pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 96 * 1024, "the daemon grew to {peak} kB");
}

// Heads

#[tokio::test]
async fn the_protocols_headers_are_kept() {
    let mut it = http().await;
    let sent = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "=?base64?w7xtbGF1dA==?="),
        ("mcp-param-region", "eu-west"),
        ("accept", JSON_OR_SSE),
        ("content-type", "application/json"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("x-vendor", "kept"),
    ];
    let client = sent.iter().fold(it.client.clone(), |client, (name, value)| client.with(name, value));
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}});
    let params = json!({"name": "ümlaut", "arguments": {"region": "eu-west"}, "_meta": meta});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let (reply, ()) = tokio::join!(client.post(body.to_string()), async {
        let exchange = it.upstream.next().await;
        for (name, value) in sent {
            assert_eq!(exchange.request.head.header(name), Some(value), "{name}");
        }
        let back = [
            ("content-type", "application/json; charset=utf-8"),
            ("x-vendor", "one"),
            ("x-vendor", "two"),
            ("content-encoding", "gzip"),
        ];
        exchange.answer("200 OK", &back, b"\x1f\x8b not really").await;
    });
    let (head, body) = reply.all().await;
    let twice = head.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("x-vendor"));
    assert_eq!(twice.map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(head.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(head.header("content-encoding"), Some("gzip"));
    assert_eq!(body, b"\x1f\x8b not really");
}

#[tokio::test]
async fn the_headers_that_the_operator_gave_a_server_reach_it_and_nobody_else() {
    let mut upstream = Upstream::open().await;
    let own = "headers = { authorization = \"Bearer of-the-server\" }";
    let house = Plan::default().url_with("x", &upstream.url, own).rules(OPEN).open().await;
    let client = house.endpoint("x").with("authorization", "Bearer of-the-client");
    let (reply, ()) = tokio::join!(client.post(PING), async {
        let exchange = upstream.next().await;
        assert_eq!(exchange.request.head.header("authorization"), Some("Bearer of-the-server"));
        exchange.result("{}").await;
    });
    assert!(!format!("{:?}", reply.all().await).contains("of-the-server"));
}

#[tokio::test]
async fn a_name_that_the_operator_allows_is_served() {
    let mut upstream = Upstream::open().await;
    // `[listen]` stands first in the file.
    let hosts = "hosts = [\"herma.example\"]\n";
    let house = Plan::listening(hosts).url("x", &upstream.url).rules(OPEN).open().await;
    let client = house.endpoint("x").with("origin", "https://herma.example");
    let request = String::from_utf8(client.request("POST", PING.as_bytes())).unwrap();
    let (_, address) = client.url.split_once("http://").unwrap();
    let (address, _) = address.split_once('/').unwrap();
    let request = request.replace(&format!("host: {address}"), "host: herma.example");
    let (reply, ()) = tokio::join!(client.raw(request.as_bytes()), async {
        upstream.next().await.result("{}").await;
    });
    assert_eq!(reply.unwrap().head.status(), 200);
}

#[tokio::test]
async fn no_id_that_a_client_may_choose_is_taken_for_one_of_ours() {
    let mut it = stdio().await;
    for id in ["herma-1", "herma-", "", "h-abcdefg", "0"] {
        it.client.send(&call(id, "t", json!({}))).await;
        it.server.serve(r#"{"content":[]}"#).await;
        assert_eq!(it.client.json().await["id"], id);
        let answer = json!({"jsonrpc": "2.0", "id": id, "result": {"action": "accept"}}).to_string();
        it.client.send(&answer).await;
        assert_eq!(it.server.line().await, answer.as_bytes());
    }
}

#[tokio::test]
async fn a_servers_own_errors_arrive_as_it_made_them() {
    let mut it = http().await;
    let body = br#"{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"no","data":{"supported":["2025-11-25"]}}}"#;
    for status in ["400 Bad Request", "401 Unauthorized", "405 Method Not Allowed", "503 Service Unavailable"]
    {
        let (reply, ()) = tokio::join!(it.client.post(PING), async {
            let headers = [("content-type", "application/json"), ("www-authenticate", "Bearer x=1")];
            it.upstream.next().await.answer(status, &headers, body).await;
        });
        let (head, arrived) = reply.all().await;
        assert_eq!(head.start, format!("HTTP/1.1 {status}"));
        assert_eq!(head.header("www-authenticate"), Some("Bearer x=1"));
        assert_eq!(arrived, body);
    }
}

#[tokio::test]
async fn nothing_is_answered_in_the_servers_place() {
    let mut it = stdio().await;
    for method in ["initialize", "server/discover", "ping", "vendor/doit", "tools/list", "tasks/get"] {
        let request = json!({"jsonrpc": "2.0", "id": method, "method": method, "params": {"x": 1}});
        it.client.send(&request.to_string()).await;
        assert_eq!(it.server.json().await, request);
        let answer = json!({"jsonrpc": "2.0", "id": method, "error": {"code": -32601, "message": "no"}});
        it.server.say(&answer.to_string()).await;
        assert_eq!(it.client.json().await, answer);
    }
}

// Processes

#[tokio::test]
async fn a_server_that_floods_its_stderr_does_not_stall() {
    let mut it = stdio().await;
    for _ in 0..32 {
        it.server.complain(&b"a long complaint\n".repeat(4096)).await;
    }
    it.client.send(PING).await;
    it.server.serve("{}").await;
    assert_eq!(it.client.json().await["id"], 1);
    let client = &it.client;
    soon("the server's words", async {
        while !client.stderr().contains("a long complaint") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_prints_junk_does_not_lose_its_client() {
    let mut it = stdio().await;
    for junk in [&b"Server listening on stdio"[..], b"\xff\xfe\x00", b"{\"jsonrpc\":", b""] {
        it.server.write([junk, b"\n"].concat()).await;
    }
    it.client.send(PING).await;
    let request = it.server.serve("{}").await;
    assert_eq!(request["method"], "ping");
    loop {
        let line = it.client.line().await;
        if contains(&line, b"\"result\"") {
            break;
        }
    }
}

#[tokio::test]
async fn the_server_gets_the_environment_and_directory_of_its_client() {
    let stage = Stage::open().await;
    let house = Plan::default().rules(OPEN).open().await;
    let _client = house.wrap_with("x", &stage.command(), &[("HERMA_TEST_MARK", "a=b c")]);
    let server = stage.enter().await;
    let environment = std::fs::read(format!("/proc/{}/environ", server.pid)).unwrap();
    assert!(contains(&environment, b"HERMA_TEST_MARK=a=b c\0"));
    let directory = std::fs::read_link(format!("/proc/{}/cwd", server.pid)).unwrap();
    assert_eq!(directory, std::env::current_dir().unwrap());
}

#[tokio::test]
async fn the_client_sees_that_its_server_has_ended_and_how() {
    let mut it = stdio().await;
    it.server.exit(7).await;
    assert_eq!(it.client.line_or_end().await, None);
    let status = soon("the wrapper to end", it.client.child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(7));
}

#[tokio::test]
async fn the_server_ends_when_its_client_closes_the_pipe() {
    let mut it = stdio().await;
    it.client.hang_up();
    it.server.gone().await;
    soon("the wrapper to end", it.client.child.wait()).await.unwrap();
    ended(it.server.pid).await;
}

#[tokio::test]
async fn a_server_that_ignores_the_end_is_ended_with_all_it_started() {
    let stage = Stage::open().await;
    let house = Plan::default().rules(OPEN).open().await;
    // The shell ignores the polite signal and outlives its input, as `npx` and `sh -c` do.
    let [peer, address] = <[String; 2]>::try_from(stage.command()).unwrap();
    let script = format!("trap '' TERM; '{peer}' {address} sleep; sleep 600");
    let mut client = house.wrap("x", &["sh".into(), "-c".into(), script]);
    let server = stage.enter().await;
    assert!(alive(server.grandchild));
    client.hang_up();
    soon("the wrapper to end", client.child.wait()).await.unwrap();
    ended(server.pid).await;
    ended(server.grandchild).await;
}

#[tokio::test]
async fn stopping_the_wrapper_stops_the_server() {
    let mut it = stdio().await;
    let pid = rustix::process::Pid::from_raw(i32::try_from(it.client.child.id().unwrap()).unwrap());
    rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::TERM).unwrap();
    soon("the wrapper to end", it.client.child.wait()).await.unwrap();
    ended(it.server.pid).await;
}

#[tokio::test]
async fn no_server_is_left_behind_when_the_wrapper_is_killed() {
    let mut it = stdio().await;
    it.client.child.kill().await.unwrap();
    ended(it.server.pid).await;
}

#[tokio::test]
async fn an_unknown_server_is_named_as_such() {
    let it = http().await;
    let elsewhere = Endpoint::new(it.house.endpoint("x").url.replace("/mcp/x", "/mcp/nobody"));
    let (head, body) = elsewhere.post(PING).await.all().await;
    assert_eq!(head.status(), 404);
    assert!(contains(&body, b"no such server"), "{}", String::from_utf8_lossy(&body));
}
