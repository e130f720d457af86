//! What people write and read: grants, explanations, lints, differences, what was learned.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use herma_warrant::capability::Capability;
use herma_warrant::constraint::{Constraint, Glob, Range, Shlex, Subpath, UrlSafe, Verdict};
use herma_warrant::decide::Call;
use herma_warrant::diff::{Direction, diff};
use herma_warrant::explain::explain;
use herma_warrant::json::read_args;
use herma_warrant::key::{PublicKey, SigningKey};
use herma_warrant::learn::{Options, Seen, learn};
use herma_warrant::lint::lint;
use herma_warrant::mint::{Draft, MintError, mint};
use herma_warrant::revocation::Revocations;
use herma_warrant::show::tree;
use herma_warrant::syntax::{SyntaxError, read_duration, read_grant, read_grants, read_value, write_grant};
use herma_warrant::value::{Number, Value};
use herma_warrant::verify::{Chain, Trust};
use herma_warrant::warrant::{Warrant, WarrantId};

const NOW: u64 = 1_780_000_000;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn granted(grants: &[&str]) -> Warrant {
    let mut draft = Draft::new(WarrantId::new(NOW * 1000, [1; 10]), PublicKey::of(&key(2)), NOW);
    draft.tools = read_grants(grants.iter().copied(), Some("/home/ada")).unwrap();
    draft.allow_wildcard_tool = true;
    mint(draft, &key(1)).unwrap()
}

fn chain(warrant: &Warrant) -> Chain {
    let trust = Trust::new(vec![PublicKey::of(&key(1)).verifier().unwrap()]);
    Chain::verify(&warrant.encode(), &trust, &Revocations::default(), NOW).unwrap()
}

#[test]
fn the_short_form_means_what_it_means_elsewhere() {
    let read = |value: &str| read_value(value, Some("/home/ada")).unwrap();
    assert_eq!(read("*"), Constraint::Wildcard);
    assert_eq!(read("/data"), Constraint::Subpath(Subpath::new("/data")));
    assert_eq!(read("~/notes"), Constraint::Subpath(Subpath::new("/home/ada/notes")));
    assert_eq!(read("acme*"), Constraint::Pattern(Glob::new("acme*")));
    assert_eq!(read("status|diff"), Constraint::OneOf(vec!["status".into(), "diff".into()]));
    assert_eq!(read("0..4000"), Constraint::Range(Range::new(Some(0.into()), Some(4000.into()))));
    assert_eq!(read("-1.5..2"), Constraint::Range(Range::new(Number::from_json("-1.5"), Some(2.into()))));
    assert_eq!(read("5"), Constraint::Exact("5".into()));
    assert_eq!(read("w"), Constraint::Exact("w".into()));
    let (tool, constraints) = read_grant("write_file:path=/tmp/out, mode=w, n:=5, note?=*", None).unwrap();
    assert_eq!(tool, "write_file");
    assert_eq!(constraints["n"], Constraint::Exact(5.into()));
    assert!(constraints["note"].is_optional());
    let (_, constraints) =
        read_grant(r#"run:command:={"type": "shlex", "allow": ["ls", "git"]},x=1"#, None).unwrap();
    assert_eq!(
        constraints["command"],
        Constraint::Shlex(Shlex { allow: vec!["ls".to_owned(), "git".to_owned()] })
    );
    assert_eq!(constraints.len(), 2);
}

#[test]
fn a_grant_that_cannot_be_read_says_why() {
    assert_eq!(read_grant(":a=b", None).unwrap_err(), SyntaxError::Tool(":a=b".to_owned()));
    assert_eq!(read_grant("t:a", None).unwrap_err(), SyntaxError::Pair("a".to_owned()));
    assert_eq!(read_grant("t:a=1,a=2", None).unwrap_err(), SyntaxError::Twice("a".to_owned()));
    assert_eq!(read_value("5..1", None).unwrap_err(), SyntaxError::Upside("5..1".to_owned()));
    assert!(matches!(read_value("0..9007199254740993", None).unwrap_err(), SyntaxError::Number(_)));
    assert!(matches!(read_value("~/x", None).unwrap_err(), SyntaxError::Home(_)));
    assert!(matches!(read_grant("t:a:={", None).unwrap_err(), SyntaxError::Json { .. }));
    assert_eq!(read_duration("8h"), Ok(28_800));
    assert!(read_duration("8y").is_err());
}

#[test]
fn what_is_written_reads_back() {
    let grants = [
        "read_file:path=/data",
        "t:a=x*,b=1|2,c=0..10,d=*,e?=w",
        r#"t:a:=5,b:=[1,"x, y"],c:={"allow":["ls"],"type":"shlex"}"#,
        r#"t:a:={"constraints":[{"root":"/a","type":"subpath"},{"root":"/b","type":"subpath"}],"type":"any"}"#,
        r#"t:a:="x, {y",b:="\"[,",c=1"#,
        "ping",
    ];
    for grant in grants {
        let (tool, constraints) = read_grant(grant, None).unwrap();
        let written = write_grant(&tool, &constraints);
        assert_eq!(read_grant(&written, None).unwrap(), (tool, constraints), "{written}");
    }
}

#[test]
fn an_explanation_names_link_argument_rule_nearest_value_and_what_it_would_take() {
    let warrant = granted(&["read_file:path=/data,mode=text|binary,limit=0..100"]);
    let chain = chain(&warrant);
    let args = read_args(r#"{"path": "/etc/passwd", "mode": "txt", "limit": 200, "more": 1}"#).unwrap();
    let explanation = explain(&chain, &Call::new("read_file", &args), NOW);
    let find = |argument: &str| explanation.findings.iter().find(|it| it.argument == argument).unwrap();
    assert_eq!(find("path").nearest, Some("/data/passwd".into()));
    assert_eq!(find("mode").nearest, Some("text".into()));
    assert_eq!(find("limit").nearest, Some(100.into()));
    assert_eq!(find("more").why, "is not named by the warrant");
    assert_eq!(find("limit").rule.as_deref(), Some("at least 0 and at most 100"));
    for finding in &explanation.findings {
        let (_, constraints) = read_grant(finding.widen.as_deref().unwrap(), None).unwrap();
        let value = &args[&finding.argument];
        assert_eq!(constraints[&finding.argument].check(value), Verdict::Matches, "{finding:?}");
    }
    assert!(explanation.to_string().contains("would take: --allow 'read_file:"));
    let other = explain(&chain, &Call::new("read_fil", &args), NOW);
    assert_eq!(other.findings[0].nearest, Some("read_file".into()));
}

#[test]
fn the_nearest_value_is_always_allowed() {
    let cases = [
        (Constraint::Shlex(Shlex { allow: vec!["ls".to_owned()] }), Value::from("rm -rf /")),
        (Constraint::Pattern(Glob::new("staging-*")), Value::from("prod")),
        (Constraint::Subset(vec!["a".into()]), Value::List(vec!["a".into(), "b".into()])),
        (Constraint::Contains(vec!["a".into()]), Value::List(vec!["b".into()])),
        (
            Constraint::UrlSafe(UrlSafe {
                allow_domains: Some(vec!["*.h.com".to_owned()]),
                ..UrlSafe::default()
            }),
            "http://x/".into(),
        ),
        (Constraint::Subpath(Subpath::new("/data")), Value::from("/data/../etc/..")),
        (Constraint::NotOneOf(vec!["a".into()]), Value::from("a")),
    ];
    for (constraint, value) in cases {
        if let Some(nearest) = constraint.nearest(&value) {
            assert_eq!(constraint.check(&nearest), Verdict::Matches, "{constraint:?}: {nearest}");
        }
        assert_ne!(constraint.check(&value), Verdict::Matches);
    }
}

#[test]
fn lint_names_what_is_wider_than_it_looks() {
    let warrant = granted(&[
        "*",
        "open",
        "read_file:path=/data/*,any=*",
        r#"grep:pattern:={"type":"regex","pattern":"a+"},root=/,x:={"type":"not_one_of","excluded":["prod"]}"#,
        r#"fetch:url:={"type":"url_safe"}"#,
    ]);
    let codes: Vec<_> = lint(&warrant.payload, Some(60)).iter().map(|lint| lint.code).collect();
    let wanted = [
        "ttl-too-long",
        "wildcard-tool",
        "open-capability",
        "glob-on-path",
        "wildcard-argument",
        "unanchored-regex",
        "whole-disk",
        "exclusion-list",
        "any-domain",
        "no-server",
    ];
    for code in wanted {
        assert!(codes.contains(&code), "{code} in {codes:?}");
    }
    let mut draft = Draft::new(WarrantId::new(0, [0; 10]), PublicKey::of(&key(2)), NOW);
    draft.tools.insert("*".to_owned(), Capability::default());
    assert_eq!(mint(draft, &key(1)).unwrap_err(), MintError::WildcardTool);
}

#[test]
fn what_can_never_be_allowed_is_not_minted() {
    for value in [
        r#"{"type": "cel", "expression": "true"}"#,
        r#"{"type": "subpath", "root": "/data/../etc"}"#,
        r#"{"type": "url_pattern", "pattern": "https://h.com/a?x=1"}"#,
        r#"{"type": "range", "max": 9007199254740993}"#,
        r#"{"type": "all", "constraints": []}"#,
    ] {
        let mut draft = Draft::new(WarrantId::new(0, [0; 10]), PublicKey::of(&key(2)), NOW);
        draft.tools = read_grants([format!("t:a:={value}").as_str()], None).unwrap();
        assert!(matches!(mint(draft, &key(1)), Err(MintError::Constraint { .. })), "{value}");
    }
}

#[test]
fn a_difference_says_which_way_it_goes() {
    let (old, new) = (granted(&["a:path=/data,n=0..9", "b"]), granted(&["a:path=/data/x,n=0..10", "c"]));
    let changes = diff(&old.payload, &new.payload);
    let direction =
        |place: &str| changes.iter().find(|change| change.place == place).map(|change| change.direction);
    assert_eq!(direction("a:path"), Some(Direction::Narrower));
    assert_eq!(direction("a:n"), Some(Direction::Wider));
    assert_eq!(direction("b"), Some(Direction::Narrower));
    assert_eq!(direction("c"), Some(Direction::Wider));
    assert_eq!(diff(&old.payload, &old.payload), Vec::new());
}

#[test]
fn a_tree_tells_a_chain_in_words() {
    let shown = tree(&[granted(&["read_file:path=/data", "open"])], NOW + 120);
    for words in
        ["good for another 3 min", "path: in /data", "open, with any arguments", "may be passed on 64 times"]
    {
        assert!(shown.contains(words), "{words} in {shown}");
    }
}

fn seen(tool: &str, args: &str) -> Seen {
    Seen { tool: tool.to_owned(), server: Some("files".to_owned()), args: read_args(args).unwrap() }
}

#[test]
fn what_was_seen_is_learned_with_roots_choices_ranges_and_optional_arguments() {
    let mut calls: Vec<Seen> = (0..20)
        .map(|n| {
            let extra = if n % 2 == 0 { r#", "mode": "text""# } else { "" };
            seen("read_file", &format!(r#"{{"path": "/data/reports/{n}.txt", "limit": {}{extra}}}"#, 100 + n))
        })
        .collect();
    calls.push(seen("read_file", r#"{"path": "/data/reports/../../etc/passwd", "limit": 100}"#));
    calls.push(seen("ping", "{}"));
    let learned = learn(&calls, Options::default());
    let read = &learned.tools["read_file"].constraints;
    assert_eq!(read["path"], Constraint::Subpath(Subpath::new("/data/reports")));
    assert_eq!(read["mode"], Constraint::Optional(Box::new(Constraint::Exact("text".into()))));
    assert_eq!(read["limit"], Constraint::Range(Range::new(Some(95.into()), Some(124.into()))));
    assert_eq!(learned.coverage(), "21 of 22");
    assert_eq!(learned.uncovered, vec![20]);
    assert!(learned.tools["read_file"].limits.as_ref().unwrap().servers.contains("files"));
    let unbound = learn(&calls, Options { bind_servers: false, ..Options::default() });
    assert!(!unbound.tools["ping"].is_open(), "a tool that was called without arguments is granted without");
    let mut draft = Draft::new(WarrantId::new(0, [0; 10]), PublicKey::of(&key(2)), NOW);
    draft.tools = learned.tools;
    mint(draft, &key(1)).unwrap();
}

#[test]
fn urls_commands_and_lists_are_learned_as_what_they_are() {
    let calls = [
        seen("fetch", r#"{"url": "https://a.example/x"}"#),
        seen("fetch", r#"{"url": "https://b.example/y?q=1"}"#),
        seen("run", r#"{"command": "ls -la"}"#),
        seen("run", r#"{"command": "git status"}"#),
        seen("tag", r#"{"tags": ["a", "b"], "at": null}"#),
        seen("tag", r#"{"tags": ["c"], "at": "x"}"#),
        seen("copy", r#"{"from": "/data/a", "to": "/backup/a"}"#),
        seen("copy", r#"{"from": "/srv/b/c", "to": "/backup/b/c"}"#),
    ];
    let learned = learn(&calls, Options { few: 1, ..Options::default() });
    assert_eq!(learned.coverage(), "8 of 8", "{:#?}", learned.tools);
    let Constraint::UrlSafe(safe) = &learned.tools["fetch"].constraints["url"] else { panic!("a URL") };
    assert_eq!(safe.allow_domains.as_ref().unwrap().join(" "), "a.example b.example");
    let Constraint::Shlex(shlex) = &learned.tools["run"].constraints["command"] else { panic!("a command") };
    assert_eq!(shlex.allow, ["git", "ls"]);
    assert!(matches!(&learned.tools["copy"].constraints["from"], Constraint::Any(roots) if roots.len() == 2));
    assert_eq!(learned.tools["copy"].constraints["to"], Constraint::Subpath(Subpath::new("/backup")));
}
