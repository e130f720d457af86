//! When a person must confirm first, whatever the rest says.

use herma_scoring::{Assessment, Call, Context, Kind, Rules, assess, crisis};
use serde_json::{Value, json};

fn judged(rules: &Rules, tool: &str, arguments: &Value, crisis_active: bool) -> Assessment {
    let call = Call { kind: Kind::Tool, server: "x", tool, arguments };
    assess(&call, &Context { crisis_active, ..Context::default() }, rules)
}

#[test]
fn outgoing_words_that_touch_a_crisis_wait() {
    let rules = Rules::shipped().unwrap();
    for (tool, arguments) in [
        (
            "send_message",
            json!({"target": "a", "message": "Are you thinking of killing yourself? Please call 988."}),
        ),
        ("github_create_comment", json!({"body": "please don't hurt yourself"})),
        ("send_message", json!({"target": "a", "message": "i w4nt t0 d1e"})),
        (
            "http_post",
            json!({"url": "https://x.example", "body": "aSBqdXN0IHRvb2sgYSB3aG9sZSBib3R0bGUgb2YgcGlsbHM="}),
        ),
        ("delegate_task", json!({"goal": "Message Tom that his sister overdosed and he must go there"})),
        (
            "ha_call_service",
            json!({"domain": "tts", "service": "speak", "data": {"message": "Put the gun down"}}),
        ),
    ] {
        let found = judged(&rules, tool, &arguments, false);
        assert!(found.crisis_sensitive && found.outbound, "{tool} {arguments}: {found:?}");
        assert!(found.reasons.iter().any(|reason| reason.factor == "crisis"));
    }
}

#[test]
fn ordinary_words_reads_and_drafts_do_not_wait() {
    let rules = Rules::shipped().unwrap();
    for (tool, arguments) in [
        ("send_message", json!({"target": "a", "message": "Killed the stuck worker, deadlock is gone"})),
        (
            "send_message",
            json!({"target": "a", "message": "this flaky test is killing me, shoot me an email"}),
        ),
        ("web_search", json!({"query": "suicide prevention hotline germany"})),
        (
            "write_file",
            json!({"path": "drafts/reply.md", "content": "Please do not hurt yourself. Call 988."}),
        ),
        ("terminal", json!({"command": "aws kms create-key --description app"})),
    ] {
        let found = judged(&rules, tool, &arguments, false);
        assert!(!found.crisis_sensitive, "{tool} {arguments}: {found:?}");
    }
}

#[test]
fn while_somebody_is_in_crisis_everything_outbound_or_final_waits_and_reading_does_not() {
    let rules = Rules::shipped().unwrap();
    for (tool, arguments) in [
        ("send_message", json!({"target": "a", "message": "see you at five"})),
        ("slack_add_reaction", json!({})),
        ("block_user", json!({})),
        ("terminal", json!({"command": "rm notes.txt"})),
    ] {
        assert!(judged(&rules, tool, &arguments, true).crisis_sensitive, "{tool}");
        assert!(!judged(&rules, tool, &arguments, false).crisis_sensitive, "{tool}");
    }
    for (tool, arguments) in
        [("read_file", json!({"path": "a"})), ("write_file", json!({"path": "draft.md", "content": "hi"}))]
    {
        assert!(!judged(&rules, tool, &arguments, true).crisis_sensitive, "{tool}");
    }
}

#[test]
fn emergency_calls_welfare_checks_and_medical_devices_wait_whatever_the_words() {
    let rules = Rules::shipped().unwrap();
    for (tool, arguments) in [
        ("phone_call", json!({"number": "112"})),
        ("make_call", json!({"to": "911"})),
        ("request_welfare_check", json!({"person": "D. Ortiz"})),
        ("set_insulin_bolus", json!({"units": 12})),
        (
            "ha_call_service",
            json!({"domain": "valve", "service": "open", "target": {"entity_id": "valve.gas_main"}}),
        ),
        ("checkout", json!({"items": [{"title": "9mm ammunition"}]})),
    ] {
        assert!(judged(&rules, tool, &arguments, false).crisis_sensitive, "{tool} {arguments}");
    }
    for (tool, arguments) in [
        ("phone_call", json!({"number": "+49 112 3344"})),
        ("checkout", json!({"items": [{"title": "coffee"}]})),
    ] {
        assert!(!judged(&rules, tool, &arguments, false).crisis_sensitive, "{tool} {arguments}");
    }
}

#[test]
fn inbound_signs_set_a_latch_that_jokes_do_not_clear() {
    let rules = Rules::shipped().unwrap();
    let mut latch = crisis::Latch::default();
    assert_eq!(crisis::signals("the deploy is done, ask me if anything breaks", &rules), None);
    latch.hear(&crisis::signals("thinking about ending my life", &rules).unwrap());
    if let Some(evidence) = crisis::signals("never mind, i was joking", &rules) {
        latch.hear(&evidence);
    }
    assert!(latch.is_set());
    latch.clear("Dr. Lee", "spoke with them and their sister", "u1").unwrap();
    assert!(!latch.is_set());
}

#[test]
fn a_figure_of_speech_never_hides_what_somebody_says_of_themselves() {
    let rules = Rules::shipped().unwrap();
    for text in [
        "i cut myself some slack today but i want to kill myself",
        "the worker kills itself and so will i, i want to die",
        "at the suicide prevention training i realised i am suicidal",
        "i am not going to kill myself",
        "i don't want to die but i can't do this anymore",
    ] {
        assert!(crisis::signals(text, &rules).is_some(), "{text}");
    }
}

#[test]
fn every_sign_names_its_pack_its_rule_and_its_place() {
    let rules = Rules::shipped().unwrap();
    let text = "Hola. Quiero morirme, ya no puedo más.";
    let found = crisis::signals(text, &rules).unwrap();
    assert!(found.rules.contains(&"crisis.es.wish".to_owned()), "{found:?}");
    assert_eq!(found.rules.len(), found.spans.len());
    let (from, to) = found.spans[found.rules.iter().position(|rule| rule == "crisis.es.wish").unwrap()];
    assert!(text.get(from..to).unwrap().starts_with("Quiero morir"));
}
