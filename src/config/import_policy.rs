//! Turns another agent's `security:` block and its lists of people into Herma's policy, key by key.
//!
//! What has no place in rules is not forced into one: a list of the only tools or paths is what a warrant says, and
//! the command that mints it is printed instead.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use regex::Regex;
use serde::Serialize;
use serde_json::{Map, Value};

use super::import::ImportError;

/// Characters that begin another command, or take one from somewhere.
const NO_OPERATORS: &str = r"[^;&|`$()<>\n\r]*";
/// Tools of the agent that take a path.
const FILE_TOOLS: [&str; 4] = ["read_file", "write_file", "patch", "search_files"];
/// Lists of people: the variable's end, and what stands for everybody.
const ALLOWED: &str = "_ALLOWED_USERS";
const EVERYBODY: &str = "_ALLOW_ALL_USERS";
const KEYS: [&str; 7] = [
    "command_allowlist",
    "command_denylist",
    "tool_allowlist",
    "filesystem_allowed_paths",
    "dangerous_command_policy",
    "dangerous_patterns",
    "approval_mode",
];

/// What a file became: the TOML to put into `herma.toml`, the account of every key in its comments.
#[derive(Debug, Default)]
struct Taken {
    account: Vec<(String, String)>,
    policy: BTreeMap<&'static str, String>,
    rules: Vec<Rule>,
    users: Vec<User>,
    grants: Vec<String>,
    home: Option<String>,
}

#[derive(Debug, Serialize)]
struct Rule {
    id: String,
    tool: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'static str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    arguments: BTreeMap<&'static str, String>,
    route: &'static str,
    reason: String,
}

#[derive(Debug, Serialize)]
struct User {
    platform: String,
    id: String,
}

#[derive(Serialize)]
struct File<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    policy: &'a BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "<[Rule]>::is_empty")]
    rule: &'a [Rule],
    #[serde(skip_serializing_if = "<[User]>::is_empty")]
    user: &'a [User],
}

/// Reads YAML, JSON or `NAME=value` lines and gives the TOML, with what each key became in comments above it. `home`
/// is what `~` stands for.
pub fn import_policy(text: &str, home: Option<&str>) -> Result<String, ImportError> {
    let mut taken = Taken { home: home.map(str::to_owned), ..Taken::default() };
    for (name, value) in people(text) {
        taken.people(&name, &value);
    }
    if let Some(block) = block(text)? {
        let dangerous = block.get("dangerous_command_policy").and_then(Value::as_str).unwrap_or_default();
        for (key, value) in &block {
            taken.key(key, value, dangerous);
        }
    }
    if taken.account.is_empty() {
        return Err(ImportError::NoPolicy);
    }
    taken.write()
}

/// The `security:` block, or a file that is one.
fn block(text: &str) -> Result<Option<Map<String, Value>>, ImportError> {
    let whole: Value = match serde_json::from_str(text) {
        Ok(whole) => whole,
        Err(json) if text.trim_start().starts_with('{') => {
            return Err(ImportError::Unreadable(json.to_string()));
        }
        Err(_) => match serde_saphyr::from_str(text) {
            Ok(whole) => whole,
            // Lines of an environment file are no YAML.
            Err(_) if !people(text).is_empty() => return Ok(None),
            Err(error) => return Err(ImportError::Unreadable(error.to_string())),
        },
    };
    let Value::Object(mut whole) = whole else { return Ok(None) };
    let block = match whole.remove("security") {
        Some(Value::Object(block)) => Some(block),
        Some(_) => return Err(ImportError::Unreadable("`security` is no block".into())),
        None => Some(whole).filter(|whole| KEYS.iter().any(|key| whole.contains_key(*key))),
    };
    Ok(block)
}

/// Lists of people, as environment files and YAML write them.
fn people(text: &str) -> Vec<(String, String)> {
    let pairs = text.lines().filter_map(|line| {
        let line = line.trim().trim_start_matches("export ");
        let (name, value) = line.split_once(['=', ':'])?;
        Some((name.trim().to_owned(), value.trim().trim_matches(['"', '\'']).to_owned()))
    });
    let known = |name: &str| name.ends_with(ALLOWED) || name.ends_with(EVERYBODY);
    let plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    pairs.filter(|(name, _)| known(name) && plain(name)).collect()
}

impl Taken {
    fn note(&mut self, key: &str, became: impl Into<String>) {
        self.account.push((key.to_owned(), became.into()));
    }

    fn key(&mut self, key: &str, value: &Value, dangerous: &str) {
        let texts = list(value);
        match key {
            "command_allowlist" => self.commands(key, &texts, "execute"),
            "command_denylist" => self.commands(key, &texts, "block"),
            "dangerous_patterns" => {
                let route = if is_deny(dangerous) { "block" } else { "gate" };
                self.patterns(key, &texts, route);
            }
            "tool_allowlist" => {
                self.grants.extend(texts.iter().cloned());
                self.note(key, "a warrant for these tools and no others: the command is below");
            }
            "filesystem_allowed_paths" => self.paths(key, &texts),
            "dangerous_command_policy" => self.dangerous(key, dangerous),
            "approval_mode" => self.mode(key, value.as_str().unwrap_or_default()),
            _ => self.note(key, "not taken: Herma has no key for it"),
        }
    }

    fn commands(&mut self, key: &str, entries: &[String], route: &'static str) {
        let (mut rules, mut open) = (Vec::new(), Vec::new());
        for (at, entry) in entries.iter().enumerate() {
            if entry.trim_matches(['*', ' ']).is_empty() {
                open.push(entry.clone());
                continue;
            }
            let pattern = if route == "execute" { whole_command(entry) } else { anywhere(entry) };
            let verb = if route == "execute" { "allowed" } else { "denied" };
            let id = format!("{verb}-command-{}", at + 1);
            rules.push(rule(id, route, pattern, format!("`{entry}` is {verb} by the imported list")));
        }
        let said = match (route, open.is_empty()) {
            ("execute", true) => format!(
                "{} rules that let these commands run, each alone and without shell operators; the crisis rule and \
                 warrants stand above them, other commands go by their risk",
                rules.len()
            ),
            ("execute", false) => {
                format!("{} rules; `{}` not taken: it allows every command", rules.len(), open.join("`, `"))
            }
            (_, true) => {
                format!("{} rules that block these commands wherever they stand in a line", rules.len())
            }
            (_, false) => {
                format!("{} rules; `{}` not taken: it denies every command", rules.len(), open.join("`, `"))
            }
        };
        self.rules.extend(rules);
        self.note(key, said);
    }

    fn patterns(&mut self, key: &str, patterns: &[String], route: &'static str) {
        let mut left = Vec::new();
        let mut count = 0;
        for pattern in patterns {
            match Regex::new(pattern) {
                Ok(_) => {
                    count += 1;
                    let reason = "it matches an imported dangerous pattern".to_owned();
                    self.rules.push(rule(
                        format!("dangerous-pattern-{count}"),
                        route,
                        pattern.clone(),
                        reason,
                    ));
                }
                Err(_) => left.push(pattern.clone()),
            }
        }
        let what = if route == "block" { "block" } else { "hold" };
        let mut said = format!("{count} rules that {what} commands which match");
        if !left.is_empty() {
            let _ = write!(
                said,
                "; not taken, as they look ahead or behind or are broken: `{}`",
                left.join("`, `")
            );
        }
        self.note(key, said);
    }

    fn paths(&mut self, key: &str, paths: &[String]) {
        let (roots, odd): (Vec<_>, Vec<_>) = paths.iter().partition(|path| path.starts_with(['/', '~']));
        let mut said = format!(
            "a warrant that keeps {} beneath them: the command is below; `terminal` is kept nowhere by a path in an \
             argument, so it goes by its risk",
            FILE_TOOLS.join(", ")
        );
        if !odd.is_empty() {
            let odd: Vec<_> = odd.into_iter().cloned().collect();
            let _ = write!(said, "; not taken, as they are not absolute: `{}`", odd.join("`, `"));
        }
        let home = self.home.as_deref().unwrap_or("~");
        let whole = |root: &String| match root.strip_prefix('~') {
            Some(rest) => format!("{home}{rest}"),
            None => root.clone(),
        };
        let roots: Vec<String> = roots.into_iter().map(whole).collect();
        let value = match roots.as_slice() {
            [] => None,
            [one] => Some(format!("={}", one.trim_end_matches('/'))),
            many => {
                let subpath = |root: &String| serde_json::json!({ "type": "subpath", "root": root.trim_end_matches('/') });
                let many: Vec<Value> = many.iter().map(subpath).collect();
                Some(format!(":={}", serde_json::json!({ "type": "any", "constraints": many })))
            }
        };
        for tool in FILE_TOOLS.into_iter().filter(|_| value.is_some()) {
            let granted = format!("{tool}:path{}", value.as_deref().unwrap_or_default());
            self.grants.retain(|grant| grant != tool);
            self.grants.push(granted);
        }
        self.note(key, said);
    }

    fn dangerous(&mut self, key: &str, policy: &str) {
        let said = if is_deny(policy) {
            self.rules.push(Rule {
                id: "dangerous-commands".into(),
                tool: "terminal",
                class: Some("critical"),
                arguments: BTreeMap::new(),
                route: "block",
                reason: "dangerous commands are denied by the imported policy".into(),
            });
            "a rule that blocks commands Herma finds critical"
        } else if matches!(policy, "allow" | "auto" | "off") {
            "not taken: what Herma finds critical waits for a person; `mode = \"observe\"` with \
             `observe_also = [\"critical\"]` is the word that it need not"
        } else {
            "nothing to add: what Herma finds critical waits for a person"
        };
        self.note(key, said);
    }

    fn mode(&mut self, key: &str, mode: &str) {
        let (name, word, said) = match mode {
            "manual" | "always" | "strict" | "prompt" => (
                "profile",
                "strict",
                "profile = \"strict\": calls on which operators differ wait for a person",
            ),
            "smart" | "auto" | "balanced" => (
                "profile",
                "balanced",
                "profile = \"balanced\": risk and confidence decide; no model is asked",
            ),
            "off" | "yolo" | "none" => (
                "mode",
                "observe",
                "mode = \"observe\": everything is recorded and little is held; crises and critical calls wait all \
                 the same",
            ),
            _ => return self.note(key, format!("not taken: `{mode}` is no mode that is known here")),
        };
        self.policy.insert(name, word.to_owned());
        self.note(key, said);
    }

    fn people(&mut self, name: &str, value: &str) {
        if name.ends_with(EVERYBODY) {
            let set = matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "yes");
            let said = if set { "not taken: Herma has no entry for everybody" } else { "nothing to add" };
            return self.note(name, said);
        }
        let platform = name.trim_end_matches(ALLOWED).to_ascii_lowercase();
        let ids: Vec<_> = value.split(',').map(str::trim).filter(|id| !id.is_empty() && *id != "*").collect();
        let said = match ids.len() {
            0 => "not taken: it names nobody".to_owned(),
            count => format!(
                "{count} `user` entries; who may write to the agent is still for the agent to check, and a \
                 `warrant` in an entry says what it may do for them"
            ),
        };
        let user = |id: &str| User { platform: platform.clone(), id: id.to_owned() };
        self.users.extend(ids.into_iter().map(user));
        self.note(name, said);
    }

    fn write(&self) -> Result<String, ImportError> {
        let mut text = String::from("# What became of each key:\n");
        for (key, became) in &self.account {
            let _ = writeln!(text, "#   {}: {}", one_line(key), one_line(became));
        }
        if !self.grants.is_empty() {
            let _ = writeln!(text, "#\n# The warrant (put it over the agent with `herma warrant assign`):");
            let _ = writeln!(text, "#   herma warrant mint --key ROOT.key --ttl 30d \\");
            for grant in &self.grants {
                let _ = writeln!(text, "#     --allow '{}' \\", one_line(grant).replace('\'', "'\\''"));
            }
            let _ = writeln!(text, "#     > agent.warrant");
        }
        let file = File { policy: &self.policy, rule: &self.rules, user: &self.users };
        let _ = write!(text, "\n{}", toml::to_string_pretty(&file)?);
        Ok(text)
    }
}

fn is_deny(policy: &str) -> bool {
    matches!(policy, "deny" | "block" | "reject" | "never")
}

fn list(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
        Value::String(text) => vec![text.clone()],
        _ => Vec::new(),
    }
}

fn rule(id: String, route: &'static str, pattern: String, reason: String) -> Rule {
    Rule {
        id,
        tool: "terminal",
        class: None,
        arguments: BTreeMap::from([("/command", pattern)]),
        route,
        reason,
    }
}

/// The command and nothing beside it. `*` is any words, and no operator that would bring in another command.
fn whole_command(entry: &str) -> String {
    let entry = entry.trim();
    let literal = entry.split('*').map(regex::escape).collect::<Vec<_>>().join(NO_OPERATORS);
    let rest = if entry.contains('*') { String::new() } else { format!(r"(\s{NO_OPERATORS})?") };
    format!(r"^\s*{literal}{rest}$")
}

/// The words, as a command or in one, wherever they stand in the line.
fn anywhere(entry: &str) -> String {
    let words = entry.trim().trim_end_matches('*').trim_end();
    let literal = words.split('*').map(regex::escape).collect::<Vec<_>>().join(".*");
    let literal = literal.split_whitespace().collect::<Vec<_>>().join(r"\s+");
    format!(r#"(^|[\s;&|`$()<>/'"]){literal}($|[\s;&|`$()<>'"])"#)
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &str = r#"
model: x
security:
  command_allowlist: ["git status", "ls *", "*"]
  command_denylist: ["rm -rf", "curl * | sh"]
  tool_allowlist: [read_file, terminal]
  filesystem_allowed_paths: ["/srv/work", "~/notes", "relative"]
  dangerous_command_policy: deny
  dangerous_patterns: ['mkfs\.', '(?=look)']
  approval_mode: manual
  redact_secrets: true
"#;

    fn rules(toml: &str) -> crate::policy::Policy {
        let own = toml.split("[[user]]").next().unwrap_or_default();
        crate::config::resolve::resolve(std::path::Path::new("herma.toml"), own).unwrap().policy
    }

    #[test]
    fn every_key_says_what_it_became() {
        let toml = import_policy(BLOCK, Some("/home/ann")).unwrap();
        for said in [
            "command_allowlist: 2 rules; `*` not taken",
            "command_denylist: 2 rules that block",
            "tool_allowlist: a warrant",
            "not absolute: `relative`",
            "dangerous_patterns: 1 rules that block",
            "`(?=look)`",
            "approval_mode: profile = \"strict\"",
            "redact_secrets: not taken",
            "--allow 'terminal'",
            r#"--allow 'read_file:path:={"constraints":[{"root":"/srv/work","type":"subpath"},{"root":"/home/ann/notes","type":"subpath"}],"type":"any"}'"#,
        ] {
            assert!(toml.contains(said), "{said}\n{toml}");
        }
        assert_eq!(rules(&toml).rules.len(), 2 + 2 + 1 + 1);
    }

    #[test]
    fn an_allowed_command_brings_no_other_with_it_and_a_denied_one_is_found_anywhere() {
        let allowed = Regex::new(&whole_command("git log *")).unwrap();
        assert!(allowed.is_match("git log --oneline -3"));
        for other in ["git log; rm -rf /", "git log $(id)", "git log | sh", "git log\nid", "echo git log x"] {
            assert!(!allowed.is_match(other), "{other}");
        }
        let plain = Regex::new(&whole_command("ls")).unwrap();
        assert!(plain.is_match("ls -l") && !plain.is_match("lsof") && !plain.is_match("ls && id"));
        let denied = Regex::new(&anywhere("rm -rf")).unwrap();
        for command in ["rm -rf /", "cd x && rm  -rf .", "sh -c 'rm -rf x'", "/bin/rm -rf x", "(rm -rf x)"] {
            assert!(denied.is_match(command), "{command}");
        }
        assert!(!denied.is_match("firm -rfx"));
    }

    #[test]
    fn lists_of_people_become_users() {
        let env = "OPENAI_API_KEY=secret\nTELEGRAM_ALLOWED_USERS=123, 456\nexport DISCORD_ALLOWED_USERS=\"7\"\nSLACK_ALLOW_ALL_USERS=true\n";
        let toml = import_policy(env, None).unwrap();
        assert_eq!(toml.matches("[[user]]").count(), 3, "{toml}");
        assert!(toml.contains("platform = \"telegram\"\nid = \"456\""), "{toml}");
        assert!(toml.contains("SLACK_ALLOW_ALL_USERS: not taken"), "{toml}");
        assert!(!toml.contains("secret"), "{toml}");
    }

    #[test]
    fn a_file_without_any_of_it_is_refused_in_words() {
        assert!(matches!(import_policy("model: x\n", None), Err(ImportError::NoPolicy)));
        assert!(matches!(import_policy("{", None), Err(ImportError::Unreadable(_))));
    }
}
