//! `herma rules`: packs of rules, shipped and one's own.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use herma_scoring::Rules;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Run every example in the packs of a directory, laid over the shipped ones
    Check {
        /// Where the packs are (`*.toml`, directories below included)
        dir: PathBuf,
    },
}

pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let Command::Check { dir } = command;
    let mut out = io::stdout().lock();
    let packs = packs(dir)?;
    anyhow::ensure!(!packs.is_empty(), "no pack (*.toml) in {}", dir.display());
    let rules = compile(&packs)?;
    let wrong = rules.disagreements();
    for line in &wrong {
        writeln!(out, "{}", super::holds::visible(line))?;
    }
    writeln!(out, "{} packs, digest {}, {} examples disagree", packs.len(), rules.digest(), wrong.len())?;
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The shipped rules, or those with the packs of `dir` laid over them.
pub(super) fn load(dir: Option<&Path>) -> anyhow::Result<Rules> {
    compile(&dir.map(packs).transpose()?.unwrap_or_default())
}

fn compile(packs: &[(String, String)]) -> anyhow::Result<Rules> {
    Ok(Rules::with_packs(packs.iter().map(|(name, text)| (name.as_str(), text.as_str())))?)
}

/// Name and text of every pack, in the order of their names.
fn packs(dir: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut packs = Vec::new();
    let entries = fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            packs.extend(self::packs(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            packs.push((path.display().to_string(), text));
        }
    }
    packs.sort();
    Ok(packs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_whose_example_is_wrong_fails_the_check() {
        let dir = tempfile::tempdir().unwrap();
        let pack = |example: &str| {
            format!(
                "[[verb]]\nid = \"mine.verb\"\nreason = \"r\"\nwords = [\"frobnicate\"]\neffect = \"money\"\nmatch = [\"{example}\"]\n"
            )
        };
        let check = |text: String| {
            fs::write(dir.path().join("mine.toml"), text).unwrap();
            run(&Command::Check { dir: dir.path().to_owned() })
        };
        assert_eq!(check(pack("frobnicate_thing")).unwrap(), ExitCode::SUCCESS);
        assert_eq!(check(pack("get_thing")).unwrap(), ExitCode::FAILURE);
        assert!(check("verb = 7".to_owned()).is_err());
    }
}
