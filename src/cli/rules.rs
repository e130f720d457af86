//! `herma rules`: packs of rules, shipped and one's own.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use herma_scoring::Rules;

use crate::config::packs::{self, Pack};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Run every example in the packs of a directory, laid over the shipped ones
    Check {
        /// Where the packs are (`*.toml`, directories below included)
        dir: PathBuf,
        /// A key of `trusted_packs`, as herma.toml names it
        #[arg(long, value_name = "KEY")]
        trust: Vec<String>,
    },
    /// Print every shipped rule as a page
    Reference,
    /// Make a key that signs packs
    Keygen {
        /// The file to keep it in
        file: PathBuf,
    },
    /// Sign a pack, so that it may lower what the shipped ones hold for a person
    Sign {
        /// The file that `herma rules keygen` made
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        pack: PathBuf,
    },
}

pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    match command {
        Command::Check { dir, trust } => return check(dir, trust, &mut out),
        Command::Reference => write!(out, "{}", herma_scoring::reference()?)?,
        Command::Keygen { file } => {
            let public = packs::make_key(file)?;
            writeln!(out, "# into herma.toml, above the first [section]; {} signs\n", file.display())?;
            writeln!(out, "trusted_packs = [\"{public}\"]")?;
        }
        Command::Sign { key, pack } => writeln!(out, "{}", packs::sign(pack, key)?.display())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn check(dir: &Path, trust: &[String], out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let keys = trust.iter().map(|key| packs::public_key(key).context("a --trust key has 64 hex digits"));
    let packs = packs::read(dir, &keys.collect::<Result<Vec<_>, _>>()?)?;
    anyhow::ensure!(!packs.is_empty(), "no pack (*.toml) in {}", dir.display());
    let rules = compile(&packs)?;
    let wrong = rules.disagreements();
    for line in &wrong {
        writeln!(out, "{}", super::holds::visible(line))?;
    }
    writeln!(out, "{} packs, digest {}, {} examples disagree", packs.len(), rules.digest(), wrong.len())?;
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The shipped rules, or those with the packs of `dir` laid over them, trusted by nobody.
pub(super) fn load(dir: Option<&Path>) -> anyhow::Result<Rules> {
    let packs = dir.map(|dir| packs::read(dir, &[])).transpose()?;
    compile(&packs.unwrap_or_default())
}

pub(super) fn compile(packs: &[Pack]) -> anyhow::Result<Rules> {
    Ok(Rules::with_packs(packs.iter().map(Pack::source))?)
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
            std::fs::write(dir.path().join("mine.toml"), text).unwrap();
            run(&Command::Check { dir: dir.path().to_owned(), trust: Vec::new() })
        };
        assert_eq!(check(pack("frobnicate_thing")).unwrap(), ExitCode::SUCCESS);
        assert_eq!(check(pack("get_thing")).unwrap(), ExitCode::FAILURE);
        assert!(check("verb = 7".to_owned()).is_err());
    }

    #[test]
    fn a_pack_that_lowers_a_floor_passes_the_check_once_it_is_signed() {
        let dir = tempfile::tempdir().unwrap();
        let (pack, secret) = (dir.path().join("packs/mine.toml"), dir.path().join("pack.key"));
        std::fs::create_dir(dir.path().join("packs")).unwrap();
        let lowers = "[[tool]]\nid = \"mine\"\nreason = \"r\"\nservers = [\"ours\"]\ntools = [\"deploy\"]\neffect = \"local\"\nmatch = [{ server = \"ours\", tool = \"deploy\" }]\n";
        std::fs::write(&pack, lowers).unwrap();
        let check = |trust: &[String]| check(&dir.path().join("packs"), trust, &mut Vec::new());
        let refused = check(&[]).unwrap_err().to_string();
        assert!(refused.contains("mine.toml") && refused.contains("herma rules sign"), "{refused}");
        let public = packs::make_key(&secret).unwrap();
        packs::sign(&pack, &secret).unwrap();
        assert_eq!(check(&[public]).unwrap(), ExitCode::SUCCESS);
    }
}
