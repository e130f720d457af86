//! Secrets by their shapes: of every kind one that must not be kept, and its neighbour that must be.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeSet;

use herma_scoring::{Rules, redact};

/// Letters and digits without order. Whole tokens stand nowhere in this file: scanners of repositories look for them.
fn noise(alphabet: &str, length: usize) -> String {
    let letters: Vec<char> = alphabet.chars().collect();
    let mut state = 7_usize;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345) & 0x7fff_ffff;
            letters.get((state >> 8) % letters.len()).copied().unwrap()
        })
        .collect()
}

const MIXED: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const LOWER: &str = "abcdefghijklmnopqrstuvwxyz0123456789";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const HEX: &str = "0123456789abcdef";

/// The rule, a secret of its kind, and a text that only resembles it.
fn samples() -> Vec<(&'static str, String, String)> {
    let mixed = |length| noise(MIXED, length);
    let hex = |length| noise(HEX, length);
    let lower = |length| noise(LOWER, length);
    vec![
        (
            "secret.private_key",
            format!("-----BEGIN EC PRIVATE KEY-----\n{}", mixed(64)),
            "-----BEGIN PUBLIC KEY-----".into(),
        ),
        ("secret.aws", format!("AKIA{}", noise(UPPER, 16)), "AKIA is a prefix".into()),
        ("secret.aws", format!("ASIA{}", noise(UPPER, 16)), "ASIA 2026 tour dates".into()),
        ("secret.github", format!("ghp_{}", mixed(36)), "ghp_short".into()),
        ("secret.github", format!("ghs_{}", mixed(36)), "ghs_report_final".into()),
        ("secret.github", format!("github_pat_{}", mixed(82)), "github_pat_ is how they begin".into()),
        ("secret.gitlab", format!("glpat-{}", mixed(20)), "glpat-tutorial".into()),
        ("secret.slack", format!("xoxb-{}-{}", noise("0123456789", 12), mixed(24)), "xoxb-token".into()),
        (
            "secret.slack",
            format!(
                "https://hooks.slack.com/services/T{}/B{}/{}",
                noise(UPPER, 8),
                noise(UPPER, 8),
                mixed(24)
            ),
            "https://hooks.slack.com/services/".into(),
        ),
        ("secret.model_key", format!("sk-ant-{}", mixed(40)), "sk-antelope".into()),
        ("secret.model_key", format!("hf_{}", mixed(34)), "hf_hub_download".into()),
        ("secret.model_key", format!("AIza{}", mixed(35)), "AIza is the prefix".into()),
        ("secret.payment_key", format!("sk_live_{}", mixed(24)), "sk_live_mode".into()),
        (
            "secret.web_token",
            format!("eyJ{}.eyJ{}.{}", mixed(20), mixed(40), mixed(43)),
            "eyJ is how JSON begins in base64".into(),
        ),
        ("secret.other_keys", format!("npm_{}", mixed(36)), "npm_config_registry".into()),
        ("secret.other_keys", format!("dop_v1_{}", hex(64)), "dop_v1_api".into()),
        ("secret.other_keys", format!("SG.{}.{}", mixed(22), mixed(43)), "SG.png".into()),
        ("secret.other_keys", format!("hvs.{}", mixed(24)), "hvs.example.org".into()),
        ("secret.other_keys", format!("AGE-SECRET-KEY-1{}", noise(UPPER, 58)), "AGE-SECRET-KEY".into()),
        ("secret.service_keys", format!("whsec_{}", mixed(32)), "whsec_ is the prefix".into()),
        ("secret.service_keys", format!("whsk_{}", mixed(43)), "whsk_ is the prefix".into()),
        ("secret.service_keys", format!("lin_api_{}", mixed(40)), "lin_api_key".into()),
        ("secret.service_keys", format!("dapi{}", hex(32)), "dapi42".into()),
        ("secret.service_keys", format!("glsa_{}", mixed(32)), "glsa_team".into()),
        ("secret.service_keys", format!("figd_{}", mixed(40)), "figd_export".into()),
        ("secret.service_keys", format!("pul-{}", hex(40)), "pul-request".into()),
        (
            "secret.service_keys",
            format!("{}.atlasv1.{}", lower(14), mixed(64)),
            "see atlas.atlasv1.md".into(),
        ),
        ("secret.service_keys", format!("AccountKey={}==", mixed(86)), "AccountKey=<yours>".into()),
        (
            "secret.bot_token",
            format!("{}:AA{}", noise("123456789", 9), mixed(33)),
            "section 123456789:AA".into(),
        ),
        (
            "secret.address_password",
            format!("redis://app:{}@cache/0", lower(16)),
            "redis://cache:6379/0".into(),
        ),
        ("secret.named", format!("the password is {}", mixed(12)), "the password was changed".into()),
        (
            "secret.assigned",
            format!("client_secret = \"{}\"", mixed(40)),
            "client_secret = \"put-your-own-secret-in-here\"".into(),
        ),
    ]
}

#[test]
fn no_secret_of_a_known_shape_is_kept_and_its_neighbour_is() {
    let rules = Rules::shipped().unwrap();
    let mut wrong = Vec::new();
    for (rule, secret, neighbour) in samples() {
        let core: String = secret.chars().rev().take(12).collect::<Vec<_>>().into_iter().rev().collect();
        for text in [secret.clone(), format!("before {secret} after"), format!("{{\"value\":\"{secret}\"}}")]
        {
            let kept = redact(&text, &rules);
            if kept.contains(&core) || !kept.contains("[redacted: ") {
                wrong.push(format!("{rule}: kept {kept}"));
            }
        }
        if redact(&neighbour, &rules) != neighbour {
            wrong.push(format!("{rule}: took {neighbour:?}: {}", redact(&neighbour, &rules)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_rule_about_secrets_has_a_sample() {
    let shipped: toml::Table = toml::from_str(include_str!("../rules/secrets.toml")).unwrap();
    let patterns = shipped.get("pattern").and_then(toml::Value::as_array).unwrap();
    let rules: BTreeSet<_> = patterns.iter().filter_map(|pattern| pattern.get("id")?.as_str()).collect();
    let sampled: BTreeSet<_> = samples().into_iter().map(|(rule, ..)| rule).collect();
    assert_eq!(rules, sampled);
}
