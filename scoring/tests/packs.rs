//! What packs of the operator may do, and what only a trusted one may.

use herma_scoring::{Assessment, Call, Context, Kind, Rules, SideEffect, Source, assess};
use serde_json::{Value, json};

fn judged(rules: &Rules, server: &str, tool: &str, arguments: &Value) -> Assessment {
    let call = Call { kind: Kind::Tool, server, tool, arguments };
    assess(&call, &Context::default(), rules)
}

fn signed(text: &str) -> Result<Rules, herma_scoring::RuleError> {
    Rules::with_packs([Source { name: "ours.toml", text, trusted: true }])
}

fn unsigned(text: &str) -> Result<Rules, herma_scoring::RuleError> {
    Rules::with_packs([("ours.toml", text)])
}

const STAGES: &str = r#"
    [[tool]]
    id = "ours.deploy"
    reason = "Our deploy tool only stages"
    servers = ["ours"]
    tools = ["deploy*"]
    effect = "local"
    match = [{ server = "ours", tool = "deploy" }]
"#;

#[test]
fn an_operators_pack_is_asked_first() {
    let pack = r#"
        [[tool]]
        id = "ours.nightly"
        reason = "Wipes the warehouse"
        servers = ["ours"]
        tools = ["get_nightly"]
        effect = "wreck"
        match = [{ server = "ours", tool = "get_nightly" }]
    "#;
    let rules = unsigned(pack).unwrap();
    assert_eq!(judged(&rules, "ours", "get_nightly", &json!({})).class, SideEffect::Critical);
    assert_eq!(judged(&rules, "theirs", "get_nightly", &json!({})).class, SideEffect::ReadOnly);
    assert_ne!(rules.digest(), Rules::shipped().unwrap().digest());
    assert_eq!(judged(&rules, "ours", "get_nightly", &json!({})).pack_digest, rules.digest());
    let wrong = unsigned("[[tool]]\nnonsense = 1").unwrap_err();
    assert_eq!(wrong.pack, "ours.toml");
}

#[test]
fn lowering_a_shipped_floor_takes_a_trusted_signature() {
    let refused = unsigned(STAGES).unwrap_err().to_string();
    for said in ["ours.toml", "ours.deploy", "lexicon.verb.deploy", "`deploy`", "herma rules sign"] {
        assert!(refused.contains(said), "{said}: {refused}");
    }
    let rules = signed(STAGES).unwrap();
    assert_eq!(judged(&rules, "ours", "deploy", &json!({})).class, SideEffect::LocalReversible);
    assert_eq!(judged(&rules, "theirs", "deploy", &json!({})).class, SideEffect::Critical);
}

#[test]
fn what_an_unsigned_pack_does_not_show_it_does_not_lower_either() {
    let pack = STAGES.replace("tool = \"deploy\"", "tool = \"deployment_status\"");
    let rules = unsigned(&pack).unwrap();
    assert_eq!(judged(&rules, "ours", "deploy", &json!({})).class, SideEffect::Critical);
    assert_eq!(judged(&rules, "ours", "deployment_status", &json!({})).class, SideEffect::LocalReversible);
}

#[test]
fn an_unsigned_pack_lowers_no_floor_by_a_way_around() {
    for (pack, said) in [
        ("[effects.money]\nclass = \"read_only\"", "effect money lowers"),
        ("[effects.lose_remote]\nclass = \"external\"", "effect lose_remote lowers"),
        (
            "[[verb]]\nid = \"x\"\nreason = \"r\"\nwords = [\"pay\"]\neffect = \"read\"\nmatch = [\"pay\"]",
            "rule x lowers",
        ),
        (
            "[[tool]]\nid = \"x\"\nreason = \"r\"\ntools = [\"terminal\"]\neffect = \"read\"\nroles = { command = \"plain\" }\nmatch = [{ tool = \"echo\" }]",
            "rule x lowers",
        ),
        (
            "[[path]]\nid = \"x\"\nreason = \"r\"\nglobs = [\"**\"]\nscratch = true\nmatch = [\"/a\"]",
            "lowers a shipped floor",
        ),
        (
            "[[calm]]\nid = \"x\"\nreason = \"r\"\ncalms = []\ncovers = \"figure\"\nre = \"die\"",
            "rule x takes",
        ),
    ] {
        let refused = unsigned(pack).unwrap_err().to_string();
        assert!(refused.contains(said) && refused.contains("ours.toml"), "{pack}\n{refused}");
    }
}

#[test]
fn an_unsigned_dispatcher_speaks_only_of_tools_nobody_knows() {
    let pack = "[[dispatcher]]\nid = \"x\"\nreason = \"r\"\ntools = [\"delete_repository\", \"gateway\"]\nname = [\"id\"]\narguments = []\nmatch = [{ tool = \"gateway\", args = { id = \"get_it\" } }]";
    let class = |rules: &Rules, tool: &str| judged(rules, "x", tool, &json!({ "id": "get_it" })).class;
    let rules = unsigned(pack).unwrap();
    assert_eq!(class(&rules, "delete_repository"), SideEffect::Critical);
    assert_eq!(class(&rules, "gateway"), SideEffect::ReadOnly);
    assert_eq!(class(&signed(pack).unwrap(), "delete_repository"), SideEffect::ReadOnly);
}

#[test]
fn an_unsigned_pack_may_raise_anything() {
    let rules = unsigned(
        "[effects.send]\nclass = \"critical\"\nundone = \"no\"\nfloor = 0.9\noutbound = true\n\
         [[verb]]\nid = \"x\"\nreason = \"r\"\nwords = [\"frobnicate\"]\neffect = \"money\"\nmatch = [\"frobnicate_it\"]",
    )
    .unwrap();
    assert!(judged(&rules, "slack", "slack_post_message", &json!({})).risk_score >= 0.9);
    assert_eq!(judged(&rules, "x", "frobnicate_it", &json!({})).class, SideEffect::Critical);
}

#[test]
fn no_signature_turns_the_crisis_rule_off() {
    let effect = "[effects.crisis]\nclass = \"critical\"\nfloor = 0.9\n";
    let calm = "[[calm]]\nid = \"x\"\nreason = \"r\"\ncalms = [\"crisis.en.wish\"]\ncovers = \"figure\"\nre = \"(?s).*\"\nmatch = [\"a\"]\n";
    let tool = "[[tool]]\nid = \"x\"\nreason = \"r\"\ntools = [\"*911*\", \"*emergency*\"]\neffect = \"read\"\nmatch = [{ tool = \"call_911\" }]";
    for pack in [effect, tool] {
        let refused = signed(pack).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("no pack can turn"), "{pack}\n{refused}");
    }
    let rules = signed(calm);
    let message = json!({ "action": "send", "message": "I want to kill myself" });
    assert!(rules.is_err() || judged(&rules.unwrap(), "hermes", "send_message", &message).crisis_sensitive);
}
