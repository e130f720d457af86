//! What the rules make of every tool of the servers people run.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use herma_scoring::{Call, Context, Definition, Hints, Kind, Rules, SideEffect, assess};
use serde_json::{Value, json};

fn listed() -> Vec<(String, Definition)> {
    let text = include_str!("../../fixtures/calls/tools.json");
    let servers: Value = serde_json::from_str(text).unwrap();
    let mut tools = Vec::new();
    for (server, list) in servers.as_object().unwrap() {
        for tool in list.as_array().unwrap() {
            let hint = |name: &str| tool["annotations"][name].as_bool();
            let definition = Definition {
                name: tool["name"].as_str().unwrap().to_owned(),
                description: tool["description"].as_str().unwrap_or_default().to_owned(),
                input_schema: Value::Null,
                hints: Hints {
                    read_only: hint("readOnlyHint"),
                    destructive: hint("destructiveHint"),
                    idempotent: hint("idempotentHint"),
                    open_world: hint("openWorldHint"),
                },
            };
            tools.push((server.clone(), definition));
        }
    }
    tools
}

fn judged(rules: &Rules, server: &str, tool: &str, arguments: &Value) -> herma_scoring::Assessment {
    let call = Call { kind: Kind::Tool, server, tool, arguments };
    assess(&call, &Context::default(), rules)
}

#[test]
fn every_listed_tool_has_the_class_on_record() {
    let rules = Rules::shipped().unwrap();
    let arguments = json!({});
    let lines: Vec<String> = listed()
        .iter()
        .map(|(server, definition)| {
            let call = Call { kind: Kind::Tool, server, tool: &definition.name, arguments: &arguments };
            let context = Context { definition: Some(definition), ..Context::default() };
            let found = assess(&call, &context, &rules);
            let away = if found.outbound { "outbound" } else { "here" };
            format!(
                "{server}/{} {:?} {:?} {away} risk {:.2} confidence {:.2}",
                definition.name, found.class, found.reversibility, found.risk_score, found.confidence
            )
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn every_native_tool_of_hermes_is_known_with_and_without_its_server() {
    let rules = Rules::shipped().unwrap();
    let text = include_str!("../../fixtures/calls/hermes.json");
    let tools: Vec<Value> = serde_json::from_str(text).unwrap();
    assert_eq!(tools.len(), 79);
    for tool in &tools {
        let name = tool["tool"].as_str().unwrap();
        let mut arguments = json!({});
        for (argument, kind) in tool["args"].as_object().unwrap() {
            let value = kind.as_array().map_or(json!("x"), |options| options[0].clone());
            arguments[argument] =
                if argument == "action" && !kind.is_array() { json!("list") } else { value };
        }
        for server in ["hermes", "anything"] {
            let found = judged(&rules, server, name, &arguments);
            let known = found.reasons.iter().any(|reason| reason.rule.starts_with("hermes."));
            assert!(known, "{server}/{name}: {:?}", found.reasons);
            let reads = tool["cls"] == "R" || tool["cls"] == "RN" || tool["cls"] == "H";
            if reads {
                assert_eq!(found.class, SideEffect::ReadOnly, "{name}");
            } else if matches!(tool["cls"].as_str(), Some("E" | "C")) {
                assert!(found.class > SideEffect::ReadOnly, "{name}: {found:?}");
            }
        }
    }
}

#[test]
fn a_message_to_people_is_external_and_outbound() {
    let rules = Rules::shipped().unwrap();
    for (server, tool) in [
        ("server-slack", "slack_post_message"),
        ("telegram", "interact"),
        ("twilio", "TwilioApiV2010--CreateMessage"),
        ("line-bot", "push_text_message"),
        ("gmail-mcp", "send_email"),
        ("hermes", "send_message"),
    ] {
        let found = judged(&rules, server, tool, &json!({"text": "see you at five"}));
        assert_eq!(found.class, SideEffect::External, "{tool}");
        assert!(found.outbound && !found.crisis_sensitive, "{tool}");
    }
}

#[test]
fn what_cannot_be_taken_back_waits_for_a_person() {
    let rules = Rules::shipped().unwrap();
    for (server, tool) in [
        ("server-github", "merge_pull_request"),
        ("kubernetes", "exec_in_pod"),
        ("kubernetes", "kubectl_delete"),
        ("atlassian", "jira_delete_issue"),
        ("mongodb", "drop-database"),
        ("bank", "transfer_funds"),
    ] {
        let found = judged(&rules, server, tool, &json!({}));
        assert_eq!(found.class, SideEffect::Critical, "{tool}");
        assert!(found.risk_score > 0.5, "{tool}: {}", found.risk_score);
    }
}

#[test]
fn a_harmless_echo_runs() {
    let rules = Rules::shipped().unwrap();
    for server in ["everything", "whatever"] {
        let found = judged(&rules, server, "echo", &json!({"message": "hello"}));
        assert_eq!(found.class, SideEffect::ReadOnly);
        assert!(found.risk_score < 0.25 && found.confidence >= 0.6, "{found:?}");
    }
}

#[test]
fn a_dispatcher_is_as_risky_as_what_it_runs() {
    let rules = Rules::shipped().unwrap();
    let inner = judged(&rules, "x", "delete_repository", &json!({"name": "y"}));
    for arguments in [
        json!({"name": "delete_repository", "arguments": {"name": "y"}}),
        json!({"tool_name": "delete_repository", "arguments": "{\"name\": \"y\"}"}),
        json!({"name": "tool_call", "arguments": {"name": "delete_repository", "arguments": {"name": "y"}}}),
    ] {
        let outer = judged(&rules, "x", "tool_call", &arguments);
        assert_eq!((outer.class, outer.risk_score), (inner.class, inner.risk_score), "{arguments}");
    }
}

#[test]
fn an_argument_does_not_make_a_known_tool_another() {
    let rules = Rules::shipped().unwrap();
    for tool in ["delete_repository", "send_message", "drop-database", "transfer_funds"] {
        let bare = judged(&rules, "x", tool, &json!({}));
        for arguments in [
            json!({"command": "list", "parameters": {}}),
            json!({"operation": "get_status", "arguments": "{}"}),
            json!({"tool_name": "read_file", "args": {"path": "a"}}),
        ] {
            let found = judged(&rules, "x", tool, &arguments);
            assert!(found.class >= bare.class && found.risk_score >= bare.risk_score, "{tool} {arguments}");
        }
    }
    let shell = json!({"command": "shutdown", "parameters": {}});
    assert_eq!(judged(&rules, "hermes", "terminal", &shell).class, SideEffect::Critical);
    let gateway = json!({"operationId": "deletePet", "params": {"id": 1}});
    assert_eq!(judged(&rules, "x", "gateway", &gateway).class, SideEffect::Critical);
}

#[test]
fn a_changed_definition_is_not_trusted() {
    let rules = Rules::shipped().unwrap();
    let call = Call { kind: Kind::Tool, server: "x", tool: "read_file", arguments: &json!({"path": "a"}) };
    let context = Context { definition_changed: true, ..Context::default() };
    assert!(assess(&call, &context, &rules).confidence <= 0.35);
}

#[test]
fn a_servers_praise_of_itself_lowers_nothing() {
    let rules = Rules::shipped().unwrap();
    let names = [
        "delete_all",
        "message_user",
        "post",
        "comment",
        "type",
        "create_thing",
        "release",
        "book_room",
        "run_it",
    ];
    let praises =
        ["Reads harmlessly.", "Gets the thing.", "List, search and view things", "A harmless tool.", ""];
    for (tool, praise) in names.iter().flat_map(|name| praises.map(|praise| (*name, praise))) {
        let call = Call { kind: Kind::Tool, server: "x", tool, arguments: &json!({}) };
        let bare = assess(&call, &Context::default(), &rules);
        let praise = Definition {
            description: praise.to_owned(),
            hints: Hints { read_only: Some(true), ..Hints::default() },
            ..Definition::default()
        };
        let praised = assess(&call, &Context { definition: Some(&praise), ..Context::default() }, &rules);
        assert!(praised.risk_score >= bare.risk_score && praised.class == bare.class, "{tool}: {praise:?}");
    }
}

#[test]
fn a_written_file_can_be_put_back() {
    let rules = Rules::shipped().unwrap();
    for (tool, argument) in [("write_file", "path"), ("edit_file", "path")] {
        let found = judged(&rules, "filesystem", tool, &json!({argument: "notes.txt", "content": "x"}));
        let pointer = format!("/{argument}");
        let Some(herma_scoring::Undo::Preimage(kept)) = found.undo else { panic!("{tool}") };
        assert_eq!(kept.path, [pointer], "{tool}");
    }
}

/// Tools of servers nobody named in a rule, with the class a careful person gives them: `!` waits for a person,
/// `.` runs, `~` people differ.
/// How tools nobody named are judged: how many should wait, should run, and were told apart, and which were not.
#[derive(Default)]
struct Figures {
    gates: usize,
    missed: Vec<String>,
    harmless: usize,
    bothered: Vec<String>,
    all: usize,
    confused: Vec<String>,
}

fn figures(list: &str) -> Figures {
    let rules = Rules::shipped().unwrap();
    let mut figures = Figures::default();
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        let mut parts = line.splitn(4, '\t');
        let [server, tool, label, description] = [(); 4].map(|()| parts.next().unwrap());
        let definition = Definition {
            name: tool.to_owned(),
            description: description.to_owned(),
            ..Definition::default()
        };
        let call = Call { kind: Kind::Tool, server, tool, arguments: &Value::Null };
        let context = Context { definition: Some(&definition), ..Context::default() };
        let found = assess(&call, &context, &rules);
        let waits = waits(&found);
        let said = format!("{label} {server}/{tool}: {:?} waits {waits}", found.class);
        if label.ends_with('!') {
            figures.gates += 1;
            figures.missed.extend((!waits).then(|| said.clone()));
        } else if label.ends_with('.') {
            figures.harmless += 1;
            figures.bothered.extend(waits.then(|| said.clone()));
        }
        figures.all += 1;
        let reads = found.class == SideEffect::ReadOnly;
        figures.confused.extend((label.starts_with('A') != reads).then_some(said));
    }
    figures
}

impl Figures {
    /// At most so many of a thousand are wrong.
    fn hold(&self, missed: usize, bothered: usize, confused: usize) {
        let share = |part: &[String], all: usize| part.len() * 1000 / all;
        let lines = |part: &[String]| part.join("\n");
        assert!(share(&self.missed, self.gates) <= missed, "{} gates:\n{}", self.gates, lines(&self.missed));
        let bothers = share(&self.bothered, self.harmless);
        assert!(bothers <= bothered, "{} run:\n{}", self.harmless, lines(&self.bothered));
        assert!(
            share(&self.confused, self.all) <= confused,
            "{} tools:\n{}",
            self.all,
            lines(&self.confused)
        );
    }
}

#[test]
fn tools_nobody_named_are_judged_by_their_words() {
    let figures = figures(include_str!("../../fixtures/unseen/tools.tsv"));
    assert!(figures.gates > 200 && figures.harmless > 500);
    figures.hold(5, 10, 30);
}

#[test]
fn tools_of_public_servers_are_judged_by_their_words() {
    let figures = figures(include_str!("../../fixtures/unseen/public.tsv"));
    assert!(figures.gates > 40 && figures.harmless > 200);
    figures.hold(30, 20, 30);
}

#[test]
fn a_noun_that_is_a_verb_too_speaks_by_what_stands_after_it() {
    let rules = Rules::shipped().unwrap();
    for (tool, class) in [
        ("refund_status", SideEffect::ReadOnly),
        ("issue_refund", SideEffect::Critical),
        ("protect_list_cameras", SideEffect::ReadOnly),
        ("compute_instances_delete", SideEffect::Critical),
        ("compute_route", SideEffect::ReadOnly),
        ("search_index_delete", SideEffect::Critical),
        ("search_deleted_items", SideEffect::ReadOnly),
    ] {
        assert_eq!(judged(&rules, "x", tool, &json!({})).class, class, "{tool}");
    }
}

#[test]
fn the_server_says_what_a_tool_of_its_is_about() {
    let rules = Rules::shipped().unwrap();
    for (server, tool) in [("okta", "update_group"), ("route53", "create_record"), ("keychain", "read_entry")]
    {
        assert!(waits(&judged(&rules, server, tool, &json!({}))), "{server}/{tool}");
        assert!(!waits(&judged(&rules, "contacts", tool, &json!({}))), "{tool}");
    }
}

fn waits(found: &herma_scoring::Assessment) -> bool {
    found.crisis_sensitive
        || found.class == SideEffect::Critical
        || found.risk_score > 0.60
        || (found.risk_score >= 0.25 && found.confidence < 0.60)
        || found.confidence < 0.35
}

#[test]
fn one_letter_to_many_people_waits_and_one_to_a_colleague_does_not() {
    let rules = Rules::shipped().unwrap();
    let judged = |arguments: &Value| judged(&rules, "gmail", "send_email", arguments);
    let many: Vec<String> = (0..10).map(|index| format!("p{index}@example.org")).collect();
    for arguments in [
        json!({"to": many, "body": "hi"}),
        json!({"to": many.join("; "), "body": "hi"}),
        json!({"to": "ada@example.org", "cc": "all@example.org", "body": "hi"}),
        json!({"to": [{"email": "everyone@example.org"}], "body": "hi"}),
        json!({"to": "ada@example.org", "body": "@channel read this"}),
    ] {
        let found = judged(&arguments);
        assert!(waits(&found) && !found.contested, "{arguments}: {found:?}");
    }
    for to in [
        json!("ada@example.org"),
        json!(["ada@example.org", "bob@example.org"]),
        json!("hallall@example.org"),
    ] {
        assert!(!waits(&judged(&json!({"to": to, "body": "see you at five"}))), "{to}");
    }
}

#[test]
fn a_letter_to_a_domain_nobody_named_waits_once_the_known_ones_are_given() {
    let rules = Rules::shipped().unwrap();
    let known = ["example.org".to_owned()];
    let judged = |to: &str, known_recipients: Option<&[String]>| {
        let arguments = json!({"to": to, "body": "see you at five"});
        let call = Call { kind: Kind::Tool, server: "gmail", tool: "send_email", arguments: &arguments };
        waits(&assess(&call, &Context { known_recipients, ..Context::default() }, &rules))
    };
    assert!(judged("eve@evil.example", Some(&known)));
    assert!(!judged("eve@evil.example", None) && !judged("ada@example.org", Some(&known)));
}

#[test]
fn money_waits_by_its_amount_where_the_name_says_nothing() {
    let rules = Rules::shipped().unwrap();
    let judged = |arguments: &Value| waits(&judged(&rules, "x", "update_entry", arguments));
    assert!(judged(&json!({"amount": 1000})) && judged(&json!({"amount": "12,500.00 EUR"})));
    assert!(judged(&json!({"amount": 5, "iban": "DE89370400440532013000"})));
    assert!(!judged(&json!({"amount": 12})) && !judged(&json!({"note": "1000"})));
}

#[test]
fn an_action_argument_says_what_a_vague_tool_does() {
    let rules = Rules::shipped().unwrap();
    let class = |tool: &str, arguments: Value| judged(&rules, "x", tool, &arguments).class;
    assert_eq!(class("manage_issues", json!({"action": "list"})), SideEffect::ReadOnly);
    assert_eq!(class("manage_issues", json!({"action": "delete", "id": 1})), SideEffect::Critical);
    assert_eq!(class("issues", json!({"operation": "create"})), SideEffect::External);
    assert_eq!(class("api_request", json!({"method": "GET", "path": "/x"})), SideEffect::ReadOnly);
    assert_eq!(class("api_request", json!({"method": "DELETE", "path": "/x"})), SideEffect::Critical);
    assert_eq!(class("api_request", json!({"method": "POST", "path": "/x"})), SideEffect::External);
    assert_eq!(class("delete_things", json!({"action": "list"})), SideEffect::Critical);
}

#[test]
fn a_schema_says_what_a_name_does_not() {
    let rules = Rules::shipped().unwrap();
    let class = |schema: Value| {
        let definition = Definition { input_schema: schema, ..Definition::default() };
        let call = Call { kind: Kind::Tool, server: "x", tool: "update_entry", arguments: &Value::Null };
        assess(&call, &Context { definition: Some(&definition), ..Context::default() }, &rules).class
    };
    assert_eq!(class(json!({"properties": {"title": {}}})), SideEffect::External);
    assert_eq!(class(json!({"properties": {"amount": {}, "iban": {}}})), SideEffect::Critical);
    assert_eq!(class(json!({"properties": {"new_password": {}}})), SideEffect::Critical);
}

#[test]
fn arguments_make_a_call_wait_that_the_name_alone_would_not() {
    let rules = Rules::shipped().unwrap();
    for (tool, safe, grave) in [
        ("update_file", json!({"visibility": "private"}), json!({"visibility": "public"})),
        ("update_file", json!({"public": false}), json!({"public": true})),
        ("update_document", json!({"type": "page"}), json!({"type": "anyone"})),
        ("add_thing", json!({"from": "a@b.example"}), json!({"forward_to": "a@b.example"})),
        ("browser_click", json!({"element": "Next page"}), json!({"element": "Terminate instance"})),
        ("browser_navigate", json!({"url": "https://x.example/a"}), json!({"url": "javascript:alert(1)"})),
        (
            "browser_navigate",
            json!({"url": "file:///tmp/a.html"}),
            json!({"url": "file:///home/a/.ssh/id_rsa"}),
        ),
        (
            "graphql",
            json!({"query": "{ deletedUsers { id } }"}),
            json!({"query": "mutation { deleteUser(id: 1) }"}),
        ),
    ] {
        let (safe_call, grave_call) = (judged(&rules, "x", tool, &safe), judged(&rules, "x", tool, &grave));
        assert!(safe_call.risk_score < 0.60, "{tool} {safe}: {safe_call:?}");
        assert!(grave_call.risk_score > 0.60, "{tool} {grave}: {grave_call:?}");
    }
}

#[test]
fn a_list_of_calls_is_as_risky_as_the_worst_of_them() {
    let rules = Rules::shipped().unwrap();
    let calls = |tool: &str| json!({"calls": [{"name": "list_users", "arguments": {}}, {"name": tool, "arguments": {"id": 1}}]});
    let worst = judged(&rules, "x", "batch", &calls("delete_user"));
    assert_eq!(worst.class, SideEffect::Critical);
    assert!(worst.reasons.iter().any(|reason| reason.pointer.as_deref() == Some("/calls/1")), "{worst:?}");
    assert!(judged(&rules, "x", "batch", &calls("get_user")).class < SideEffect::Critical);
}

#[test]
fn a_rehearsal_runs_only_where_the_tool_lists_it() {
    let rules = Rules::shipped().unwrap();
    let judge = |schema: Value, arguments: Value| {
        let definition = Definition {
            name: "delete_records".to_owned(),
            description: "Deletes records".to_owned(),
            input_schema: schema,
            hints: Hints::default(),
        };
        let call = Call { kind: Kind::Tool, server: "x", tool: "delete_records", arguments: &arguments };
        let context = Context { definition: Some(&definition), ..Context::default() };
        assess(&call, &context, &rules).class
    };
    let listed = json!({"properties": {"dry_run": {"type": "boolean"}}});
    assert_eq!(judge(listed.clone(), json!({"dry_run": true})), SideEffect::ReadOnly);
    assert_eq!(judge(listed, json!({"dry_run": false})), SideEffect::Critical);
    assert_eq!(judge(json!({"properties": {}}), json!({"dry_run": true})), SideEffect::Critical);
}

#[test]
fn a_draft_reaches_nobody_whatever_its_words() {
    let rules = Rules::shipped().unwrap();
    let letter = json!({"to": "a@b.example", "body": "I hereby resign."});
    for (tool, waits) in [("save_draft", false), ("create_reply_draft", false), ("send_draft", true)] {
        assert_eq!(judged(&rules, "x", tool, &letter).risk_score > 0.60, waits, "{tool}");
    }
}
