//! A fresh warrant in the form that was asked for.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use data_encoding::BASE64;
use herma_warrant::key::{PublicKey, SigningKey};
use herma_warrant::warrant::Warrant;
use herma_warrant::{lint, show, text_form};

use super::key;
use crate::cli::holds::visible;

/// For whom it is.
#[derive(Debug, clap::Args)]
pub(super) struct Holder {
    /// Who may use it: a public key, or its file
    #[arg(long, value_name = "KEY", conflicts_with_all = ["holder_key", "new_holder"])]
    holder: Option<String>,
    /// The holder's own key, for the forms that a plugin reads
    #[arg(long, value_name = "FILE", conflicts_with = "new_holder")]
    holder_key: Option<String>,
    /// Makes a key for the holder, in this file
    #[arg(long, value_name = "FILE")]
    new_holder: Option<PathBuf>,
}

/// The public key of a holder, and the secret one if this command knows it.
pub(super) struct Held {
    pub(super) public: PublicKey,
    secret: Option<SigningKey>,
}

impl Holder {
    /// Whoever is named; nobody named, `own`.
    pub(super) fn read(&self, own: PublicKey) -> anyhow::Result<Held> {
        let known = |secret: SigningKey| Held { public: PublicKey::of(&secret), secret: Some(secret) };
        Ok(match (&self.holder, &self.holder_key, &self.new_holder) {
            (Some(given), _, _) => Held { public: key::public(given)?, secret: None },
            (_, Some(file), _) => known(key::signing(file)?),
            (_, _, Some(file)) => known(key::create(file, key::Form::Pem)?),
            (None, None, None) => Held { public: own, secret: None },
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    /// The entry for Hermes's config.yaml, and what it grants, in words
    Full,
    Pem,
    /// As the header X-Tenuo-Warrant carries it
    Base64,
    /// The lines of the entry for Hermes's config.yaml
    Yaml,
    /// Lines for a shell
    Env,
    /// The bytes, behind a mark that names them
    File,
}

#[derive(Debug, clap::Args)]
pub(super) struct Output {
    #[arg(long, value_enum, default_value = "pem")]
    output: Form,
    /// Into this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the holder's secret key where a form has a place for it
    #[arg(long)]
    show_secret: bool,
}

impl Output {
    /// Prints the stack; what it grants, and what may be wider than it is meant, is told beside it.
    pub(super) fn print(&self, stack: &[u8], links: &[Warrant], held: &Held) -> anyhow::Result<()> {
        let text = self.form(stack, links, held)?;
        match &self.out {
            Some(file) => {
                fs::write(file, &text).with_context(|| format!("cannot write {}", file.display()))?
            }
            None => io::stdout().lock().write_all(&text)?,
        }
        let mut told = io::stderr().lock();
        for line in show::tree(links, super::now()).lines() {
            writeln!(told, "{}", visible(line))?;
        }
        let leaf = links.last().context("nothing was signed")?;
        for lint in lint::lint(&leaf.payload, None).iter().filter(|lint| lint.code != "no-server") {
            writeln!(told, "look at {}", visible(&lint.to_string()))?;
        }
        Ok(())
    }

    fn form(&self, stack: &[u8], links: &[Warrant], held: &Held) -> anyhow::Result<Vec<u8>> {
        let warrant = BASE64.encode(stack);
        let root = links.first().context("nothing was signed")?.payload.issuer;
        let root = BASE64.encode(root.bytes());
        let secret = match &held.secret {
            Some(secret) if self.show_secret => {
                let text = key::write_secret(secret, key::Form::Base64);
                format!("export TENUO_SIGNING_KEY={}", text.trim_end())
            }
            _ => "# export TENUO_SIGNING_KEY=… with the holder's key; --show-secret with --holder-key or \
                  --new-holder prints it"
                .to_owned(),
        };
        let text = match self.output {
            Form::File => return Ok(text_form::to_file(stack)),
            Form::Pem => text_form::to_pem(stack),
            Form::Base64 => format!("{}\n", text_form::to_base64(stack)),
            Form::Env => {
                format!("export TENUO_WARRANT={warrant}\n{secret}\nexport TENUO_TRUSTED_ROOT={root}\n")
            }
            Form::Yaml => format!(
                "# Add to ~/.hermes/config.yaml under plugins.entries.hermes-tenuo:\n\
                 warrant: {warrant}\ntrusted_root: {root}\n{}\n",
                commented(&secret)
            ),
            Form::Full => format!(
                "# Add to ~/.hermes/config.yaml\n\
                 plugins:\n  enabled:\n    - hermes-tenuo\n  entries:\n    hermes-tenuo:\n\
                 \x20     warrant: {warrant}\n      trusted_root: {root}\n      signing_key_env: TENUO_SIGNING_KEY\n\n\
                 {}\n\n{}",
                commented(&secret),
                show::tree(links, super::now())
                    .lines()
                    .map(|line| format!("# {}\n", visible(line)))
                    .collect::<String>()
            ),
        };
        Ok(text.into_bytes())
    }
}

fn commented(line: &str) -> String {
    if line.starts_with('#') { line.to_owned() } else { format!("# {line}") }
}
