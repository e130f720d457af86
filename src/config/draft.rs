//! The policy of a file as a text of its own: taken out to begin a draft with, and put back.

use std::path::Path;

use toml_edit::DocumentMut;

use super::{ConfigError, Settings, resolve};
use crate::policy::Policy;

/// The parts of the file that say what calls may do. All others stay where they are, with their secrets.
const PARTS: [&str; 4] = ["policy", "rule", "approval", "crisis"];

/// The policy that a file with this text would have.
pub fn draft(text: &str) -> Result<Policy, ConfigError> {
    resolve::draft(text)
}

/// The policy of a file as it is written there, with its comments.
pub fn policy_part(text: &str) -> Option<String> {
    let mut file: DocumentMut = text.parse().ok()?;
    let others: Vec<_> =
        file.iter().map(|(name, _)| name.to_owned()).filter(|name| !is_policy(name)).collect();
    for name in others {
        file.remove(&name);
    }
    // What stands at the end belongs to whatever stands before it, and that may be gone.
    file.set_trailing("");
    Some(file.to_string().trim_start().to_owned())
}

/// The text of the file at `path` with the policy of a draft in the place of its own, once all of it is found to be
/// good. Not a letter of the other parts is changed.
pub fn with_policy(path: &Path, text: &str, draft: &str) -> Result<String, ConfigError> {
    let wrong = |message: &str| ConfigError::Wrong {
        path: Path::new("draft").to_owned(),
        line: 1,
        message: message.to_owned(),
    };
    resolve::draft(draft)?;
    let own: toml::Table = draft.parse().map_err(|_| wrong("it is no TOML"))?;
    if let Some(name) = own.keys().find(|name| !is_policy(name)) {
        return Err(wrong(&format!(
            "`{name}` is no part of the policy: only [policy], [[rule]], [[approval]] and [crisis] are changed here"
        )));
    }
    let mut file: DocumentMut = text.parse().map_err(|_| wrong("the file is no TOML any more"))?;
    for name in PARTS {
        file.remove(name);
    }
    let rest = file.to_string();
    let mut wanted: toml::Table = rest.parse().map_err(|_| wrong("the file is no TOML any more"))?;
    wanted.extend(own);
    let gap = if rest.trim().is_empty() { "" } else { "\n\n" };
    let whole = format!("{}{gap}{}\n", rest.trim_end(), draft.trim());
    // A draft whose parts have no header of their own would fall into the part before it.
    if whole.parse::<toml::Table>().ok() != Some(wanted) {
        return Err(wrong("begin every part with its header: [policy], [[rule]], [[approval]] or [crisis]"));
    }
    Settings::parse(path, &whole)?;
    Ok(whole)
}

fn is_policy(name: &str) -> bool {
    PARTS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# ours\n[[server]]\nname = \"files\"\nurl = \"http://127.0.0.1:1/mcp\" # local\n\n\
        # watch first\n[policy]\nmode = \"observe\"\n\n[[rule]]\nid = \"a\"\nroute = \"gate\" # for now\n\n\
        [holds]\nexpire = \"1h\" # an hour\n";

    #[test]
    fn a_draft_begins_with_the_policy_and_its_comments_and_with_nothing_else() {
        let part = policy_part(FILE).unwrap();
        assert_eq!(
            part,
            "# watch first\n[policy]\nmode = \"observe\"\n\n[[rule]]\nid = \"a\"\nroute = \"gate\" # for now\n"
        );
    }

    #[test]
    fn what_is_not_the_policy_stays_letter_by_letter() {
        let draft = "[[rule]]\nid = \"b\" # new\nroute = \"block\"\n";
        let whole = with_policy(Path::new("herma.toml"), FILE, draft).unwrap();
        assert_eq!(
            whole,
            "# ours\n[[server]]\nname = \"files\"\nurl = \"http://127.0.0.1:1/mcp\" # local\n\n\
             [holds]\nexpire = \"1h\" # an hour\n\n[[rule]]\nid = \"b\" # new\nroute = \"block\"\n"
        );
        let back = with_policy(Path::new("herma.toml"), &whole, &policy_part(FILE).unwrap()).unwrap();
        assert!(back.contains("# watch first\n[policy]") && !back.contains("\"b\""), "{back}");
    }

    #[test]
    fn a_draft_changes_nothing_but_the_policy() {
        let said = |draft: &str| with_policy(Path::new("herma.toml"), FILE, draft).unwrap_err().to_string();
        assert!(
            said("[[server]]\nname = \"x\"\nurl = \"http://127.0.0.1:2\"\n")
                .contains("no part of the policy")
        );
        assert!(said("policy.mode = \"enforce\"\n").contains("begin every part with its header"));
        assert!(said("[[rule]]\nid = \"\"\nroute = \"gate\"\n").contains("needs an `id`"));
        assert!(said("[policy").contains("draft:1"));
    }
}
