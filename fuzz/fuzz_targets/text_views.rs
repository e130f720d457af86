//! What a text says through its disguises, by way of a call that sends it: no input breaks a decoder, and a
//! disguise around harmless words never makes them a crisis that the words alone are not.

#![no_main]

use std::sync::LazyLock;

use herma_scoring::{Call, Context, Kind, Rules, assess};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

static RULES: LazyLock<Rules> = LazyLock::new(|| Rules::shipped().expect("the shipped packs compile"));

fuzz_target!(|parts: (&str, &str)| {
    let (subject, body) = parts;
    let judge = |arguments: &serde_json::Value| {
        let call = Call { kind: Kind::Tool, server: "mail", tool: "send_email", arguments };
        assess(&call, &Context::default(), &RULES)
    };
    let both = judge(&json!({ "subject": subject, "body": body }));
    let alone = judge(&json!({ "subject": subject, "body": "" }));
    // A second text never makes the first one safe.
    assert!(both.crisis_sensitive || !alone.crisis_sensitive);
});
