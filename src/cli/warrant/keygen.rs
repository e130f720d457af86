//! `herma warrant keygen`: a signing key.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use herma_warrant::key::PublicKey;

use super::key::{self, Form};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the secret key goes, for its owner alone; the public one goes beside it, with `.pub` at its end
    #[arg(long, value_name = "FILE", default_value = "warrant.key")]
    out: PathBuf,
    /// How the secret key is written
    #[arg(long, value_enum, default_value = "pem")]
    format: Form,
    /// Print the secret key, too
    #[arg(long)]
    show_secret: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let made = key::create(&args.out, args.format)?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}", PublicKey::of(&made).to_hex())?;
    if args.show_secret {
        out.write_all(key::write_secret(&made, args.format).as_bytes())?;
    }
    let mut told = io::stderr().lock();
    writeln!(told, "secret key in {}: keep it where agents cannot read it", args.out.display())?;
    writeln!(told, "public key in {}", key::beside(&args.out).display())?;
    writeln!(told, "to trust what it signs, put the public key into herma.toml:")?;
    writeln!(told, "  [warrants]\n  trusted_roots = [\"{}\"]", PublicKey::of(&made).to_hex())?;
    Ok(ExitCode::SUCCESS)
}
