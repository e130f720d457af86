//! Public lines for people in danger, by country: for a person to see, never for anything to call.

use serde::{Deserialize, Serialize};

use crate::Rules;

/// What is said above the lines, to the one who reads them.
pub const FOR_YOU: &str = "If it is you who is in danger, or somebody beside you: these lines are there to listen. \
                           Nobody has been called or written to for you.";

/// One line, as its pack has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HelpLine {
    pub name: String,
    /// A number, or an address.
    pub contact: String,
    /// Countries where it answers (ISO 3166); none: wherever one is.
    #[serde(default, skip_serializing)]
    pub regions: Vec<String>,
    /// The day on which it was written down. Nobody has called it.
    pub entered: String,
    /// Where that can be seen.
    pub source: String,
}

impl Rules {
    /// The lines of a country, and those that answer everywhere.
    pub fn help_lines(&self, region: Option<&str>) -> Vec<&HelpLine> {
        let there = |line: &&HelpLine| region.is_some_and(|here| line.regions.iter().any(|one| one == here));
        let everywhere = |line: &&HelpLine| line.regions.is_empty();
        let local = self.lines.iter().filter(there);
        local.chain(self.lines.iter().filter(everywhere)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_has_its_own_lines_and_an_unknown_one_those_for_everybody() {
        let rules = Rules::shipped().unwrap();
        let contacts = |region| -> Vec<_> {
            rules.help_lines(region).into_iter().map(|line| line.contact.clone()).collect()
        };
        let american = contacts(Some("US"));
        assert!(american.contains(&"call or text 988".to_owned()) && american.contains(&"911".to_owned()));
        assert!(!american.contains(&"116 123".to_owned()));
        assert_eq!(contacts(None), contacts(Some("XX")));
        assert!(contacts(None).iter().all(|contact| contact.starts_with("https://")));
    }

    #[test]
    fn every_line_says_where_it_answers_when_it_was_entered_and_where_to_look() {
        let rules = Rules::shipped().unwrap();
        assert!(rules.lines.len() > 10);
        for line in &rules.lines {
            let day: Vec<_> = line.entered.split('-').map(str::len).collect();
            assert!(day == [4, 2, 2] && line.source.starts_with("https://"), "{line:?}");
            let country = |code: &String| code.len() == 2 && code.chars().all(|c| c.is_ascii_uppercase());
            assert!(line.regions.iter().all(country), "{line:?}");
        }
    }

    #[test]
    fn only_a_pack_that_somebody_trusted_signed_may_name_a_line() {
        let text =
            "[[line]]\nname = \"n\"\ncontact = \"1\"\nentered = \"2026-01-01\"\nsource = \"https://x\"\n";
        let refused = Rules::with_packs([("mine.toml", text)]).unwrap_err();
        assert!(refused.to_string().contains("signed"), "{refused}");
        let trusted = crate::Source { name: "mine.toml", text, trusted: true };
        let rules = Rules::with_packs([trusted]).unwrap();
        assert_eq!(rules.help_lines(None)[0].contact, "1");
    }
}
