//! What comes in other clothes: frames that two readers read differently, tokens in odd places, answers that cannot be
//! read. The measure: what was decided on is what the other side gets.
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::{
    house::{GATED, House, OPEN, Plan},
    pipe::Stage,
    wire::{Endpoint, Exchange, Upstream, contains, soon},
};

const TOKEN: &str = "herma_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const CALL: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"mark":1}}}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
const ASKS: &str =
    r#"{"jsonrpc":"2.0","id":9,"method":"sampling/createMessage","params":{"messages":[],"maxTokens":1}}"#;
const NO_SAMPLING: &str = "[[rule]]\nid = \"no-sampling\"\nkind = \"sampling\"\nroute = \"block\"\n";

fn ann() -> String {
    use sha2::Digest;
    let digest = data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(TOKEN));
    format!("[[agent]]\nname = \"ann\"\ntoken_sha256 = \"{digest}\"\n")
}

/// What a client gets for `request` when its server answers with these headers and bytes.
async fn answered(
    client: &Endpoint,
    upstream: &mut Upstream,
    request: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> String {
    let (reply, ()) = tokio::join!(client.post(request), async {
        upstream.next().await.answer("200 OK", headers, body).await;
    });
    String::from_utf8_lossy(&reply.all().await.1).into_owned()
}

#[tokio::test]
async fn a_body_that_says_it_is_written_in_other_letters_is_not_carried() {
    let upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(OPEN).open().await;
    let log = upstream.answer_everything();
    let door = house.endpoint("x");
    for strange in [
        "application/json; charset=utf-7",
        "application/json; charset=utf-8; charset=utf-7",
        "application/json; charset=\"utf-8",
        "application/json; charset=utf-16le",
        "application/json; boundary=x",
        "application/json\r\ncontent-type: application/json; charset=utf-7",
        "text/plain",
    ] {
        let reply = door.clone().with("content-type", strange).post(CALL).await;
        assert_eq!(reply.head.status(), 415, "{strange}");
    }
    assert!(log.all().is_empty());
    let refused = house.recorded("application/json in UTF-8", 7).await;
    assert_eq!(refused[0]["server"], "x");
    for plain in ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf-8\""]
    {
        let answer = door.clone().with("content-type", plain).post(CALL).await.json().await;
        assert_eq!(answer["result"]["content"][0]["text"], "ran", "{plain}");
    }
}

#[tokio::test]
async fn a_token_is_known_however_it_is_written_and_goes_nowhere_else() {
    let upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(OPEN).rules(&ann()).open().await;
    let log = upstream.answer_everything();
    let door = house.endpoint("x");
    for scheme in ["Bearer ", "bearer ", "BEARER  ", "Bearer \t"] {
        let reply = door.clone().with("authorization", &format!("{scheme}{TOKEN}")).post(CALL).await;
        assert_eq!(reply.head.status(), 200, "{scheme:?}");
    }
    assert_eq!(log.calls(), 4);
    assert!(!format!("{:?}", log.all()).contains("herma_"));
    assert_eq!(house.recorded("\"routed\"", 4).await[3]["principal"], "ann");

    let known = door.clone().with("authorization", &format!("Bearer {TOKEN}"));
    let mut queried = known.clone();
    queried.url += &format!("?token={TOKEN}");
    for stray in [
        queried,
        known.clone().with("authorization", "Bearer other"),
        known.clone().with("x-herma-token", TOKEN).with("x-herma-token", TOKEN),
        known.clone().with("cookie", &format!("a={TOKEN}")),
        known.clone().with("x-api-key", TOKEN),
        door.clone().with("authorization", &format!("Basic {TOKEN}")),
        door.with("authorization", &format!("bearer {TOKEN}x")),
    ] {
        assert_eq!(stray.post(CALL).await.head.status(), 401, "{stray:?}");
    }
    assert_eq!(log.calls(), 4);
}

#[tokio::test]
async fn where_agents_have_tokens_nobody_asks_without_one_unless_the_operator_says_so() {
    let upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(OPEN).rules(&ann()).open().await;
    let open = Plan::listening("anonymous = true\n").url("x", &upstream.url).rules(OPEN).rules(&ann());
    let open = open.open().await;
    let log = upstream.answer_everything();
    let (head, body) = house.endpoint("x").post(CALL).await.all().await;
    assert_eq!(head.status(), 401);
    assert!(contains(&body, b"listen.anonymous"), "{}", String::from_utf8_lossy(&body));
    assert_eq!(log.calls(), 0);
    assert_eq!(open.endpoint("x").post(CALL).await.head.status(), 200);
}

fn listed(description: &str) -> String {
    let tool = json!({"name": "note", "description": description, "inputSchema": {"type": "object"}});
    json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": [tool]}}).to_string()
}

/// Lists that some clients read as `evil` where Herma would see nothing, or something else.
fn twisted() -> [(&'static str, String); 4] {
    let (good, evil) = (listed("reads"), listed("evil"));
    let second = &evil[evil.find("\"result\"").unwrap()..];
    [
        ("twice", format!("{},{second}", good.strip_suffix('}').unwrap())),
        ("a number that is none", evil.replace("\"object\"", "\"object\",\"default\":NaN")),
        ("in a batch", format!("[{evil}]")),
        ("behind a mark", format!("\u{feff}{evil}")),
    ]
}

#[tokio::test]
async fn a_list_of_tools_that_cannot_be_read_reaches_nobody() {
    let mut upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(OPEN).open().await;
    let client = house.endpoint("x").with("accept-encoding", "gzip");
    let json_type = ("content-type", "application/json");
    let (reply, ()) = tokio::join!(client.post(LIST), async {
        let exchange = upstream.next().await;
        assert_eq!(exchange.request.head.header("accept-encoding"), Some("identity"));
        exchange.json(listed("reads")).await;
    });
    assert_eq!(reply.json().await["result"]["tools"][0]["description"], "reads");
    for (how, list) in twisted() {
        let told = answered(&client, &mut upstream, LIST, &[json_type], list.as_bytes()).await;
        assert!(!told.contains("evil") && told.contains("not passed on"), "{how}: {told}");
        let event = format!("data: {list}\n\n");
        let events = [("content-type", "Text/Event-Stream")];
        let told = answered(&client, &mut upstream, LIST, &events, event.as_bytes()).await;
        assert!(!told.contains("evil") && told.contains("not passed on"), "{how}, as an event: {told}");
    }
    let squeezed = [json_type, ("content-encoding", "gzip")];
    let told = answered(&client, &mut upstream, LIST, &squeezed, listed("evil").as_bytes()).await;
    assert!(!told.contains("evil") && told.contains("compressed"), "{told}");
    house.recorded("not passed on", 9).await;
    let changed = house.cli(&["tools", "changed"]).await.stdout;
    assert!(!contains(&changed, b"evil"), "{}", String::from_utf8_lossy(&changed));

    // However its lines end, a list that can be read is known here once the client has it.
    for (nth, ends) in ["\n\r\n", "\r\n\n", "\r\r", "\n\r", "\r\n\r\n"].iter().enumerate() {
        let event = format!("data: {}{ends}", listed(&format!("anew {nth}")));
        let events = [("content-type", "text/event-stream")];
        let told = answered(&client, &mut upstream, LIST, &events, event.as_bytes()).await;
        assert_eq!(told, event);
        let changed = house.cli(&["tools", "changed"]).await.stdout;
        assert!(
            contains(&changed, format!("anew {nth}").as_bytes()),
            "{}",
            String::from_utf8_lossy(&changed)
        );
    }
}

#[tokio::test]
async fn nor_does_it_through_a_wrapper_or_a_bridge() {
    let (wrapped, bridged) = (Stage::open().await, Stage::open().await);
    let house = Plan::default().command("y", &bridged.command(), &[]).rules(OPEN).open().await;
    let mut client = house.wrap("x", &wrapped.command());
    let mut server = wrapped.enter().await;
    let initialize = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#;
    let door = house.endpoint("y");
    let (opened, mut process) = tokio::join!(door.post(initialize), async {
        let mut process = bridged.enter().await;
        process.serve(r#"{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"s","version":"1"}}"#).await;
        process
    });
    let door = door.clone().with("mcp-session-id", opened.head.header("mcp-session-id").unwrap());
    client.send(LIST).await;
    server.line().await;
    server.say(&listed("reads")).await;
    assert_eq!(client.json().await["result"]["tools"][0]["description"], "reads");
    // On stdio what begins with a mark is no frame at all.
    for (how, list) in twisted().into_iter().take(3) {
        client.send(LIST).await;
        server.line().await;
        server.say(&list).await;
        let told = client.json().await.to_string();
        if how == "in a batch" {
            // It is taken apart: the list in it is an honest one, and known.
            assert!(told.contains("evil"), "{told}");
            soon("the daemon to know the list", async {
                while !contains(&house.cli(&["tools", "changed"]).await.stdout, b"evil") {}
            })
            .await;
            continue;
        }
        assert!(!told.contains("evil") && told.contains("not passed on"), "{how}: {told}");
        let (reply, ()) = tokio::join!(door.post(LIST), async {
            process.line().await;
            process.say(&list).await;
        });
        let told = reply.json().await.to_string();
        assert!(!told.contains("evil") && told.contains("not passed on"), "{how}, bridged: {told}");
    }
    house.recorded("not passed on", 4).await;
}

/// The same request of a server, as different readers find it.
fn disguised() -> [(&'static str, Vec<u8>); 6] {
    [
        ("escaped", ASKS.replace("sampling/", "sampling\\/").into()),
        ("with a second method", ASKS.replacen("\"method\"", "\"method\":\"ping\",\"method\"", 1).into()),
        ("in a batch", format!("[{ASKS}]").into()),
        ("in capitals", ASKS.replace("\"method\"", "\"Method\"").into()),
        ("with an escaped member", ASKS.replace("\"method\"", "\"m\\u0065thod\"").into()),
        ("with a broken letter", [&ASKS.as_bytes()[..ASKS.len() - 1], b",\"x\":\"\xff\"}"].concat()),
    ]
}

#[tokio::test]
async fn a_servers_request_finds_no_way_round_the_rule_over_http() {
    let mut upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(NO_SAMPLING).rules(OPEN).open().await;
    let client = house.endpoint("x").with("accept-encoding", "gzip");
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#;
    for (how, asks) in disguised() {
        for mark in ["data: ", "\u{feff}data:"] {
            for ends in ["\n\n", "\n\r\n", "\r\r"] {
                let (reply, told) = tokio::join!(client.post(CALL), async {
                    let mut exchange = upstream.next().await;
                    assert_eq!(exchange.request.head.header("accept-encoding"), Some("identity"));
                    exchange.sse("").await;
                    exchange.chunk([mark.as_bytes(), &asks, ends.as_bytes()].concat()).await;
                    let told = upstream.next().await;
                    let error = told.request.text();
                    told.accepted().await;
                    exchange.event(answer).await;
                    exchange.end().await;
                    error
                });
                let (_, seen) = reply.all().await;
                let seen = String::from_utf8_lossy(&seen).into_owned();
                assert!(!seen.contains("maxTokens") && seen.contains("content"), "{how} {ends:?}: {seen}");
                assert!(told.contains("error"), "{how}: {told}");
            }
        }
        // A client takes what comes as JSON in the place of a stream for frames, too.
        let json_type = [("content-type", "application/json")];
        let told = answered(&client, &mut upstream, CALL, &json_type, &asks).await;
        assert!(!told.contains("maxTokens") && told.contains("error"), "{how}, as JSON: {told}");
    }
    let squeezed = [("content-type", "text/event-stream"), ("content-encoding", "gzip")];
    let told = answered(&client, &mut upstream, CALL, &squeezed, b"\x1f\x8b not really").await;
    assert!(told.contains("compressed"), "{told}");
    // What cannot be a request stays as it is, even where only some can read it.
    let odd = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"x":NaN}}"#;
    let told =
        answered(&client, &mut upstream, CALL, &[("content-type", "application/json")], odd.as_bytes()).await;
    assert_eq!(told, odd);
}

#[tokio::test]
async fn a_servers_request_finds_no_way_round_the_rule_on_stdio() {
    let stage = Stage::open().await;
    let house = Plan::default().rules(NO_SAMPLING).open().await;
    let mut client = house.wrap("x", &stage.command());
    let mut server = stage.enter().await;
    for (how, asks) in disguised() {
        server.write([&asks, b"\n".as_slice()].concat()).await;
        let told = server.json().await;
        assert!(told["error"]["message"].is_string(), "{how}: {told}");
    }
    // Answers and what is no request pass byte for byte.
    let odd = r#"{"jsonrpc":"2.0","id":77,"result":{"x":NaN,"y":"caf\u00e9"}}"#;
    server.say(odd).await;
    assert_eq!(String::from_utf8(client.line().await).unwrap(), odd);
}

#[tokio::test]
async fn an_approval_covers_all_that_reaches_the_server() {
    let upstream = Upstream::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(GATED).open().await;
    let log = upstream.answer_everything();
    let door = |query: &str| {
        let mut door = house.endpoint("x");
        door.url += query;
        door
    };
    let call = |more: Value| {
        let mut call: Value = serde_json::from_str(CALL).unwrap();
        let more = more.as_object().unwrap().clone();
        call["params"].as_object_mut().unwrap().extend(more);
        call.to_string()
    };
    // As approved, and as another that is like it.
    let mine = json!({"_meta": {"account": "mine", "progressToken": 1}});
    let cases = [
        (door("?account=mine"), json!({}), door("?account=victim"), json!({})),
        (door(""), mine.clone(), door(""), json!({"_meta": {"account": "victim", "progressToken": 1}})),
        (door(""), json!({"task": {"ttl": 1}}), door(""), json!({"task": {"ttl": 9}})),
        (door("").with("x-account", "mine"), json!({}), door("").with("x-account", "victim"), json!({})),
    ];
    for (nth, (door, more, other_door, other)) in cases.into_iter().enumerate() {
        let ask = |door: &Endpoint, more: &Value| {
            let (door, body) = (door.clone(), call(more.clone()));
            tokio::spawn(async move { door.post(body).await.json().await })
        };
        let first = ask(&door, &more);
        let hold = house.held().await;
        let shown = String::from_utf8(house.cli(&["holds", "show", &hold]).await.stdout).unwrap();
        assert!(shown.contains(["mine", "mine", "ttl", "x-account"][nth]), "{shown}");
        // The mark of one sending is no part of the call.
        let mut same = more.clone();
        if let Some(token) = same.pointer_mut("/_meta/progressToken") {
            *token = json!(2);
        }
        let (again, second) = (ask(&door, &same), ask(&other_door, &other));
        let other_hold = soon("two holds, and two calls in the first", async {
            loop {
                let holds = house.holds().await;
                let joined = holds.iter().any(|it| it["id"] == *hold && it["count"] == 2);
                if let Some(other) = holds.iter().find(|it| it["id"] != *hold).filter(|_| joined) {
                    return other["id"].as_str().unwrap().to_owned();
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        })
        .await;
        assert!(house.cli(&["holds", "approve", &hold]).await.status.success());
        for ran in [first, again] {
            let answer = soon("its answer", ran).await.unwrap();
            assert_eq!(answer["result"]["content"][0]["text"], "ran", "{answer}");
        }
        house.deny("not that one").await;
        let denied = soon("the other's answer", second).await.unwrap().to_string();
        assert!(denied.contains("not that one"), "{other_hold}: {denied}");
        assert_eq!(log.calls(), nth + 1);
        assert!(!format!("{:?}", log.all()).contains("victim"));
    }
}

/// Approves the call that waits and gives the request that reached the server for it.
async fn approved(house: &House, upstream: &mut Upstream) -> Exchange {
    house.approve().await;
    upstream.next().await
}

#[tokio::test]
async fn the_answer_of_a_held_call_is_read_however_its_client_likes_it_sent() {
    let mut upstream = Upstream::open().await;
    let limit = "[limits]\nframe = 65536\n";
    let house = Plan::default().url("x", &upstream.url).rules(GATED).rules(limit).open().await;
    let client = house.endpoint("x").with("accept-encoding", "gzip, br");
    let (reply, ()) = tokio::join!(client.post(CALL), async {
        let exchange = approved(&house, &mut upstream).await;
        assert_eq!(exchange.request.head.header("accept-encoding"), Some("identity"));
        exchange.result(r#"{"content":[{"type":"text","text":"ran"}]}"#).await;
    });
    assert_eq!(reply.json().await["result"]["content"][0]["text"], "ran");
    // An answer without an end fills no memory, and its client hears that the call ran.
    let (reply, ()) = tokio::join!(client.post(CALL.replace(":1}", ":2}")), async {
        let text = "x".repeat(200_000);
        approved(&house, &mut upstream).await.result(&format!("{{\"text\":\"{text}\"}}")).await;
    });
    let said = reply.json().await["error"]["message"].as_str().unwrap().to_owned();
    assert!(said.contains("the call ran") && said.contains("65536"), "{said}");
}

#[tokio::test]
async fn while_somebody_may_be_in_danger_no_words_pass_unjudged() {
    let upstream = Upstream::open().await;
    let stage = Stage::open().await;
    let house = Plan::default().url("x", &upstream.url).rules(OPEN).open().await;
    let log = upstream.answer_everything();
    let door = house.endpoint("x");
    let words = [
        r#"{"jsonrpc":"2.0","id":5,"result":{"action":"accept","content":{"body":"Nobody would miss you."}}}"#,
        r#"{"jsonrpc":"2.0","id":6,"error":{"code":1,"message":"Nobody would miss you."}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"text":"Nobody would miss you."}}"#,
        r#"{"jsonrpc":"2.0","id":7,"method":"vendor/say","params":{"text":"Nobody would miss you."}}"#,
        r#"[{"jsonrpc":"2.0","method":"notifications/message","params":{"text":"Nobody would miss you."}}]"#,
    ];
    for frame in words {
        assert!(door.post(frame).await.head.status() < 300, "{frame}");
    }
    let mut client = house.wrap("y", &stage.command());
    let mut server = stage.enter().await;
    client.send(words[0]).await;
    assert_eq!(String::from_utf8(server.line().await).unwrap(), words[0]);
    let before = log.all().len();
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "send_message", "arguments": {"to": "ann", "text": "You wrote that you want to die. Are you safe?"}
    }});
    let reply = door.post(message.to_string()).await;
    house.deny("a person will answer her").await;
    reply.json().await;
    for frame in words {
        let (head, body) = door.post(frame).await.all().await;
        assert_eq!(head.status(), 403, "{frame}");
        assert!(contains(&body, b"danger"), "{}", String::from_utf8_lossy(&body));
    }
    assert_eq!(log.all().len(), before);
    client.send(words[0]).await;
    assert!(client.json().await["error"]["message"].as_str().unwrap().contains("danger"));
    // Whatever carries no words goes on.
    for plain in [
        r#"{"jsonrpc":"2.0","id":8,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":9,"result":{"action":"decline"}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
    ] {
        assert!(door.post(plain).await.head.status() < 300, "{plain}");
    }
    client.send(r#"{"jsonrpc":"2.0","id":9,"result":{"action":"decline"}}"#).await;
    assert!(contains(&server.line().await, b"decline"));
    assert_eq!(log.all().len(), before + 3);
}

#[tokio::test]
async fn what_a_wrapper_makes_is_for_its_user_alone() {
    let stage = Stage::open().await;
    let house = House::empty();
    let data = house.path().join("data");
    let mut command = tokio::process::Command::new(crate::house::HERMA);
    command.args(["wrap", "--name", "x", "--data-dir"]).arg(&data).arg("--").args(stage.command());
    let mut client = crate::pipe::Pipe::spawn(command);
    let mut server = stage.enter().await;
    client.send(LIST).await;
    server.serve(r#"{"tools":[]}"#).await;
    client.json().await;
    client.hang_up();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let socket = data.join("daemon.json");
    soon("the daemon to be ready", async {
        while !socket.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    // The house ends daemons by what is written there.
    std::fs::copy(&socket, house.path().join("daemon.json")).unwrap();
    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(&data.join("daemon.log")), 0o600);
}

#[tokio::test]
async fn half_a_request_to_the_people_ends_by_itself() {
    let house = Plan::default().rules("[operator]\nlisten = \"127.0.0.1:0\"\n").open().await;
    let ready = std::fs::read(house.path().join("daemon.json")).unwrap();
    let ready: Value = serde_json::from_slice(&ready).unwrap();
    let host = ready["operator"].as_str().unwrap().strip_prefix("http://").unwrap().trim_end_matches('/');
    let half = format!(
        "POST /op/v1/session/challenge HTTP/1.1\r\nhost: {host}\r\norigin: http://{host}\r\n\
         sec-fetch-site: same-origin\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
    );
    let port = host.rsplit_once(':').unwrap().1;
    let reply = Endpoint::new(format!("http://127.0.0.1:{port}/")).raw(half.as_bytes()).await.unwrap();
    assert_eq!(reply.head.status(), 408, "{}", reply.head.start);
}
