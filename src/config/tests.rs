use std::path::Path;

use super::resolve::resolve;
use super::*;

fn settings(text: &str) -> Settings {
    resolve(Path::new("herma.toml"), text).unwrap()
}

fn refusal(text: &str) -> String {
    resolve(Path::new("herma.toml"), text).unwrap_err().to_string()
}

#[test]
fn an_empty_file_means_loopback_no_servers_and_the_default_policy() {
    let settings = settings("");
    assert_eq!(settings.listen.agent.to_string(), "127.0.0.1:7420");
    assert!(settings.servers.is_empty());
    assert!(settings.policy.rules.is_empty());
}

#[test]
fn servers_are_commands_or_urls() {
    let settings = settings(
        r#"
        [[server]]
        name = "files"
        command = "npx"
        args = ["-y", "server"]
        denial = "result"
        hold_budget = "4m"

        [[server]]
        name = "remote"
        url = "https://mcp.example/mcp"
        headers = { x-key = "abc" }
        "#,
    );
    let [files, remote] = settings.servers.as_slice() else { panic!("two servers") };
    assert_eq!(files.denial, Denial::Result);
    assert_eq!(files.hold_budget, Some(Duration::from_secs(240)));
    assert!(matches!(&remote.upstream, Upstream::Http { headers, .. } if headers.len() == 1));
}

#[test]
fn what_is_wrong_is_said_with_file_and_line() {
    for (text, said) in [
        ("\n[listen]\nagnet = 1", "herma.toml:3: unknown field `agnet`"),
        ("[listen]\nagent = \"here\"", "herma.toml:2: `here` is no address"),
        ("[listen]\nagent = \"0.0.0.0:80\"", "herma.toml:2: `0.0.0.0:80` can be reached from other machines"),
        ("[[server]]\nname = \"a b\"\ncommand = \"x\"", "herma.toml:1: server name `a b`"),
        ("[[server]]\nname = \"a\"", "herma.toml:1: server `a` needs exactly one of"),
        ("[[server]]\nname = \"a\"\nurl = \"ftp://x\"", "herma.toml:1: `ftp://x` is no http"),
        (
            "[[server]]\nname = \"a\"\nurl = \"http://u:p@x/\"",
            "herma.toml:1: a URL must not carry a password",
        ),
        (
            "[[server]]\nname = \"a\"\ncommand = \"x\"\nhold_budget = \"soon\"",
            "herma.toml:1: `soon` is no length of time",
        ),
        (
            "[[server]]\nname = \"a\"\ncommand = \"x\"\nenv = { K = \"${HERMA_NOT_SET_ANYWHERE}\" }",
            "herma.toml:1: `K` names ${HERMA_NOT_SET_ANYWHERE}, which is not set",
        ),
        (
            "[[agent]]\nname = \"a\"\ntoken_sha256 = \"zz\"",
            "herma.toml:1: agent `a`: token_sha256 must be 64 hex digits",
        ),
        ("[policy]\ngate_above = 1.5", "herma.toml:1: policy.gate_above is 1.5"),
        ("[policy]\nexecute_below = 0.9", "herma.toml:1: policy.execute_below is above"),
        ("[[rule]]\nid = \"r\"\nroute = \"run\"", "herma.toml:3: unknown variant `run`"),
        ("[[rule]]\nid = \"r\"\nroute = \"gate\"\narguments = { \"/a\" = \"(\" }", "herma.toml:1: rule `r`"),
        (
            "[[rule]]\nid = \"r\"\nroute = \"gate\"\n[[rule]]\nid = \"r\"\nroute = \"gate\"",
            "two rules have the id `r`",
        ),
        ("[limits]\nframe = 3", "herma.toml:2: limits.frame"),
        ("trusted_packs = [\"12\"]", "herma.toml:1: a key of trusted_packs has 64 hex digits"),
        ("rule_packs = [\"nowhere.toml\"]", "herma.toml:1: rule pack: cannot read"),
    ] {
        let refusal = refusal(text);
        assert!(refusal.contains(said), "{refusal:?} does not say {said:?}");
    }
}

#[test]
fn two_policies_have_the_same_revision_exactly_when_they_say_the_same() {
    let revision = |text: &str| settings(text).policy.revision;
    let one = "[[rule]]\nid = \"r\"\nroute = \"gate\"\n";
    assert_eq!(revision(one), revision(&format!("# a remark\n{one}")));
    assert_ne!(revision(one), revision(&one.replace("gate", "block")));
}

#[test]
fn a_profile_is_one_of_three_words_and_part_of_the_revision() {
    let with = |profile: &str| settings(&format!("[policy]\nprofile = \"{profile}\"")).policy;
    assert_eq!(settings("").policy.profile, crate::policy::Profile::Balanced);
    assert_eq!(with("quiet").profile, crate::policy::Profile::Quiet);
    assert_ne!(with("strict").revision, with("quiet").revision);
    assert!(refusal("[policy]\nprofile = \"lax\"").contains("herma.toml:2: unknown variant `lax`"));
}

#[test]
fn a_rule_may_name_an_amount() {
    let text = "[[rule]]\nid = \"r\"\nroute = \"block\"\nabove = { \"/amount\" = 100 }";
    assert_eq!(settings(text).policy.rules.len(), 1);
    assert!(refusal(&text.replace("/amount", "amount")).contains("not a JSON pointer"));
}

#[test]
fn who_may_approve_is_read_and_what_nobody_could_fulfil_is_refused() {
    let settings = settings(
        r#"
        [[approval]]
        class = ["critical", "external"]
        crisis = false
        quorum = 2
        method = "passkey"
        approvers = ["ada", "bob"]

        [crisis]
        personal = true
        second_person = "ada"

        [holds]
        per_session = 5
        "#,
    );
    let [approval] = settings.policy.approvals.as_slice() else { panic!("one approval") };
    assert_eq!((approval.quorum, approval.method), (2, Some(crate::policy::Method::Passkey)));
    assert_eq!(settings.policy.second_person().unwrap(), ["ada"]);
    assert_eq!((settings.times.per_session, settings.times.per_agent), (5, 64));
    for (text, said) in [
        ("[[approval]]\nquorum = 0", "quorum is 0"),
        ("[[approval]]\nquorum = 2\napprovers = [\"ada\"]", "2 people must approve and 1 are named"),
        ("[[approval]]\nmethod = \"shouting\"", "unknown variant `shouting`"),
        ("[holds]\nper_session = 0", "so many calls cannot wait"),
    ] {
        let refused = refusal(text);
        assert!(refused.contains(said), "{refused}");
    }
    let revisions = ["", "[[approval]]\nquorum = 2", "[crisis]\npersonal = true"]
        .map(|text| self::settings(text).policy.revision);
    assert!(revisions.windows(2).all(|pair| pair[0] != pair[1]), "a changed policy must be another");
}
