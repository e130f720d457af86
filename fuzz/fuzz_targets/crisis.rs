//! The crisis reader over any text: it ends, and the places it names are in the text.

#![no_main]

use std::sync::LazyLock;

use herma_scoring::{Rules, crisis};
use libfuzzer_sys::fuzz_target;

static RULES: LazyLock<Rules> = LazyLock::new(|| Rules::shipped().expect("the shipped packs compile"));

fuzz_target!(|text: &str| {
    if let Some(evidence) = crisis::signals(text, &RULES) {
        assert!(evidence.score >= 0.8 && evidence.rules.len() == evidence.spans.len());
        assert!(evidence.spans.iter().all(|(from, to)| from <= to && *to <= text.len()));
    }
});
