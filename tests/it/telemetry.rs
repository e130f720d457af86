//! What is measured, and where it goes.
use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value as Any,
    trace::v1::{Span, span::SpanKind},
};

use crate::{
    house::{GATED, House, OPEN, Plan},
    wire::{Endpoint, Upstream, soon},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn call(meta: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0", "id":7,"method":"tools/call","params":{{"name":"send_mail","arguments":{{"to":"ann","text":"hunter2"}}{meta}}}}}"#
    )
}

fn traced() -> String {
    call(&format!(r#", "_meta":{{"traceparent":"00-{TRACE}-{PARENT}-01","tracestate":"a=b"}}"#))
}

fn receiver_at(receiver: &Upstream) -> String {
    receiver.url.trim_end_matches("/mcp").to_owned()
}

/// Waits for the spans of as many calls, read by the published types.
async fn spans(receiver: &mut Upstream, count: usize) -> Vec<Span> {
    let mut spans = Vec::new();
    while spans.len() < count {
        let sent = receiver.next().await;
        assert!(sent.request.head.start.starts_with("POST /v1/traces "), "{}", sent.request.head.start);
        assert_eq!(sent.request.head.header("content-type"), Some("application/json"));
        assert!(!sent.request.text().contains("hunter2"));
        let request: ExportTraceServiceRequest = serde_json::from_slice(&sent.request.body).unwrap();
        for resource in request.resource_spans {
            spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
        sent.json("{}").await;
    }
    spans
}

fn text(span: &Span, name: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key == name);
    match found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
        Some(Any::StringValue(text)) => text.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

#[tokio::test]
async fn a_held_call_is_a_span_of_its_callers_trace_with_the_wait_as_a_child() {
    let mut receiver = Upstream::open().await;
    let upstream = Upstream::open().await;
    let otlp = format!("[telemetry]\notlp = \"{}\"\npropagate = true\n", receiver_at(&receiver));
    let house = Plan::default().url("x", &upstream.url).rules(GATED).rules(&otlp).open().await;
    let log = upstream.answer_everything();
    let client = house.endpoint("x");
    let waiting = tokio::spawn(async move { client.post(traced()).await.all().await });
    house.approve().await;
    waiting.await.unwrap();
    // Its own trace passes as it came, to the byte.
    assert_eq!(log.all().iter().find(|request| request.rpc() == "tools/call").unwrap().text(), traced());

    let spans = spans(&mut receiver, 2).await;
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let call = spans.iter().find(|span| span.name == "tools/call send_mail").unwrap();
    let wait = spans.iter().find(|span| span.name == "hold").unwrap();
    assert_eq!((hex(&call.trace_id), hex(&call.parent_span_id)), (TRACE.into(), PARENT.into()));
    assert_eq!((wait.trace_id.clone(), &wait.parent_span_id), (call.trace_id.clone(), &call.span_id));
    assert_eq!(call.kind(), SpanKind::Client);
    assert_eq!(call.trace_state, "a=b");
    let said = [
        "gen_ai.operation.name",
        "gen_ai.tool.name",
        "mcp.method.name",
        "jsonrpc.request.id",
        "herma.decision",
    ];
    assert_eq!(said.map(|name| text(call, name)), ["execute_tool", "send_mail", "tools/call", "7", "gate"]);
    assert_eq!(text(wait, "herma.verdict"), "approved");
    assert!(call.start_time_unix_nano <= wait.start_time_unix_nano);
    assert!(
        wait.end_time_unix_nano <= call.end_time_unix_nano
            && wait.start_time_unix_nano < wait.end_time_unix_nano
    );
}

#[tokio::test]
async fn a_call_without_a_trace_gets_one_only_where_the_file_says_so() {
    for propagate in [false, true] {
        let mut receiver = Upstream::open().await;
        let upstream = Upstream::open().await;
        let otlp = format!("[telemetry]\notlp = \"{}\"\npropagate = {propagate}\n", receiver_at(&receiver));
        let house = Plan::default().url("x", &upstream.url).rules(OPEN).rules(&otlp).open().await;
        let log = upstream.answer_everything();
        house.endpoint("x").post(call("")).await.json().await;
        let forwarded = log.all().iter().find(|request| request.rpc() == "tools/call").unwrap().text();
        let [span] = &spans(&mut receiver, 1).await[..] else { panic!() };
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let ours =
            format!(r#""_meta":{{"traceparent":"00-{}-{}-01"}},"#, hex(&span.trace_id), hex(&span.span_id));
        if propagate {
            assert_eq!(forwarded.replace(&ours, ""), call(""));
            assert!(forwarded.contains(&ours), "{forwarded}");
        } else {
            assert_eq!(forwarded, call(""));
        }
    }
}

#[tokio::test]
async fn a_refused_call_and_an_unsampled_one_are_told_from_one_that_ran() {
    let mut receiver = Upstream::open().await;
    let upstream = Upstream::open().await;
    let otlp = format!("[telemetry]\notlp = \"{}\"\n", receiver_at(&receiver));
    let block = OPEN.replace("execute", "block");
    let house = Plan::default().url("x", &upstream.url).rules(&block).rules(&otlp).open().await;
    let _log = upstream.answer_everything();
    // The caller does not record its trace, so nobody does.
    house.endpoint("x").post(traced().replace("-01\"", "-00\"")).await.json().await;
    house.endpoint("x").post(call("")).await.json().await;
    let [span] = &spans(&mut receiver, 1).await[..] else { panic!() };
    assert_eq!(text(span, "error.type"), "blocked");
    assert_ne!(data_encoding::HEXLOWER.encode(&span.trace_id), TRACE);
}

#[tokio::test]
async fn a_receiver_that_is_not_there_costs_no_call_and_is_counted() {
    let upstream = Upstream::open().await;
    let telemetry = "[telemetry]\notlp = \"http://127.0.0.1:9\"\nmetrics = \"127.0.0.1:0\"\n";
    let house = Plan::default().url("x", &upstream.url).rules(OPEN).rules(telemetry).open().await;
    let log = upstream.answer_everything();
    house.endpoint("x").post(call("")).await.json().await;
    assert_eq!(log.calls(), 1);
    soon("the dropped span to be counted", async {
        while figure(&metrics(&house).await, "herma_spans_dropped_total") < 1.0 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await;
}

fn at(house: &House) -> Endpoint {
    let ready = std::fs::read(house.path().join("daemon.json")).unwrap();
    let ready: serde_json::Value = serde_json::from_slice(&ready).unwrap();
    Endpoint::new(ready["metrics"].as_str().unwrap())
}

/// The samples by name and labels, after everything that `promtool check metrics` would complain of.
async fn metrics(house: &House) -> BTreeMap<String, f64> {
    let (head, page) = at(house).send("GET", b"").await.all().await;
    assert_eq!(head.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let page = String::from_utf8(page).unwrap();
    assert!(page.ends_with('\n'));
    let (mut types, mut helps) = (BTreeMap::new(), BTreeSet::new());
    let mut samples = BTreeMap::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            assert!(helps.insert(rest.split(' ').next().unwrap().to_owned()), "{line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| {
                name.strip_suffix(end)
                    .filter(|family| types.get(*family).is_some_and(|kind| kind == "histogram"))
            });
            let family = family.unwrap_or(name);
            assert!(types.contains_key(family) && helps.contains(family), "{line}");
            assert!(samples.insert(series.to_owned(), value.parse::<f64>().unwrap()).is_none(), "{line}");
        }
    }
    samples
}

fn figure(samples: &BTreeMap<String, f64>, series: &str) -> f64 {
    *samples.get(series).unwrap_or_else(|| panic!("{series} is not among {samples:#?}"))
}

#[tokio::test]
async fn figures_are_what_prometheus_reads_and_count_what_happened() {
    let upstream = Upstream::open().await;
    let metrics_on = "[telemetry]\nmetrics = \"127.0.0.1:0\"\n";
    let house = Plan::default().url("x", &upstream.url).rules(GATED).rules(metrics_on).open().await;
    let _log = upstream.answer_everything();
    let client = house.endpoint("x");
    let waiting = tokio::spawn(async move { client.post(call("")).await.all().await });
    let hold = house.held().await;
    assert_eq!(figure(&metrics(&house).await, "herma_holds_pending"), 1.0);
    assert!(house.cli(&["holds", "approve", &hold]).await.status.success());
    waiting.await.unwrap();
    // Decisions are counted by whoever hears of them, a moment after.
    let samples = soon("the decision to be counted", async {
        loop {
            let samples = metrics(&house).await;
            if figure(&samples, "herma_decision_seconds_count") > 0.0 {
                break samples;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(figure(&samples, "herma_holds_pending"), 0.0);
    let gated: f64 = samples
        .iter()
        .filter(|(name, _)| name.starts_with("herma_calls_total{route=\"gate\""))
        .map(|(_, n)| n)
        .sum();
    assert_eq!(gated, 1.0);
    assert_eq!(figure(&samples, "herma_decision_seconds_count"), 1.0);
    assert_eq!(figure(&samples, "herma_decision_seconds_bucket{le=\"+Inf\"}"), 1.0);
    assert!(figure(&samples, "herma_ledger_lines_total") >= 4.0);
    assert!(figure(&samples, "herma_ledger_fsync_seconds_count") >= 2.0);
    assert_eq!(figure(&samples, "herma_notify_dead_letters"), 0.0);
    assert_eq!(figure(&samples, "herma_ledger_up"), 1.0);
    // Buckets hold what is below their end, so they never fall.
    let decision = samples.iter().filter(|(name, _)| name.starts_with("herma_ledger_fsync_seconds_bucket"));
    assert!(
        decision.map(|(_, count)| *count).fold(0.0, f64::max)
            <= figure(&samples, "herma_ledger_fsync_seconds_count")
    );
}

#[tokio::test]
async fn figures_are_served_to_this_machine_alone_and_under_its_own_name() {
    let metrics_on = "[telemetry]\nmetrics = \"127.0.0.1:0\"\n";
    let house = Plan::default().rules(metrics_on).open().await;
    let own = at(&house);
    let request = String::from_utf8(own.request("GET", b"")).unwrap();
    let rebound =
        request.lines().map(|line| if line.starts_with("host:") { "host: evil.example" } else { line });
    let rebound = rebound.collect::<Vec<_>>().join("\r\n") + "\r\n\r\n";
    assert_eq!(own.raw(rebound.as_bytes()).await.unwrap().head.status(), 421);
    assert_eq!(own.send("POST", b"").await.head.status(), 405);
    let other = Endpoint::new(own.url.replace("/metrics", "/mcp/x"));
    assert_eq!(other.send("GET", b"").await.head.status(), 404);

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("herma.toml");
    std::fs::write(&file, "[telemetry]\nmetrics = \"0.0.0.0:9464\"\n").unwrap();
    let mut command = tokio::process::Command::new(crate::house::HERMA);
    command.arg("serve").arg("--config").arg(&file).arg("--data-dir").arg(dir.path());
    let output = soon("the refusal", command.kill_on_drop(true).output()).await.unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8(output.stderr).unwrap().contains("ask nobody who they are"));
}
