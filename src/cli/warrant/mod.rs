//! `herma warrant`: keys, warrants, and what they say of a call.

mod approve;
mod assign;
mod attenuate;
mod conformance;
mod diff;
mod explain;
mod key;
mod keygen;
mod learn;
mod limits;
mod lint;
mod mint;
mod output;
mod past;
mod presented;
mod prove;
mod revoke;
mod show;
mod simulate;
mod terms;
mod trust;
mod verify;
mod written;

use std::path::Path;
use std::process::ExitCode;

const PARITY: &str = "\
Coming from hermes-tenuo, whose values --allow understands as they are:
  hermes-tenuo mint     herma warrant keygen, herma warrant mint
  hermes-tenuo status   herma warrant list
  hermes-tenuo verify   herma warrant verify
  hermes-tenuo doctor   herma warrant verify, herma warrant lint, herma status
  hermes-tenuo audit    herma audit tail, herma audit grep, herma audit verify
  hermes-tenuo demo     herma demo
  mint --task ID        herma warrant mint --output base64 --out FILE
and its keys, with their twins in the environment:
  warrant, TENUO_WARRANT                `warrant` of an [[agent]] or [[server]], or herma warrant assign
  trusted_root, TENUO_TRUSTED_ROOT      [warrants] trusted_roots
  signing_key_env, TENUO_SIGNING_KEY    herma warrant prove --key env:TENUO_SIGNING_KEY
  require_warrant                       [warrants] no_warrant = \"block\"
  require_session_warrant               the same, with herma warrant assign session:ID
  child_warrant                         herma warrant attenuate
  on_denial: log                        [policy] mode = \"observe\"
  audit_log                             always: herma audit

Keys are PKCS#8 PEM, 64 hex digits or base64, in files that only their owner may read. The root \
key need not be on the machine that runs Herma: herma.toml names its public half under \
[warrants] trusted_roots.";

#[derive(Debug, clap::Subcommand)]
#[command(after_help = PARITY)]
pub enum Command {
    /// Make a signing key: a file for its owner alone, and its public half beside it
    Keygen(keygen::Args),
    /// Sign a warrant that nobody else has signed before
    Mint(Box<mint::Args>),
    /// Sign a narrower child of a warrant that one holds
    Attenuate(Box<attenuate::Args>),
    /// Print a warrant and its parents in words
    Show(show::Args),
    /// Check a warrant against the roots that are trusted, and name the check that fails
    #[command(visible_alias = "doctor")]
    Verify(verify::Args),
    /// Say which link allows or refuses a call, by which rule, and what would change that
    Explain(explain::Args),
    /// Name what is wider than whoever minted it may think
    Lint(lint::Args),
    /// Compare what two warrants allow
    Diff(diff::Args),
    /// Take back a warrant, a key, an agent, or all: at once, and for good; no daemon needed
    Revoke(revoke::Args),
    /// Put a warrant over a server, an agent or a session
    Assign(assign::Assign),
    /// Take it away again
    Unassign(assign::Unassign),
    /// Print which warrants stand over whom, and what is taken back
    #[command(visible_alias = "status")]
    List(assign::List),
    /// Sign one call, and print the headers that carry the warrant and the proof
    #[command(visible_alias = "sign-request")]
    Prove(prove::Args),
    /// Approve one call that a warrant gates, with a key that the warrant names
    Approve(approve::Args),
    /// Ask a warrant about the calls of the past
    Simulate(simulate::Args),
    /// Propose the least warrant that covers the calls of the past
    Learn(learn::Args),
    /// Run a file of cases with the verdict that must be given
    Conformance(conformance::Args),
}

pub fn run(command: Command, data_dir: &Path) -> anyhow::Result<ExitCode> {
    match command {
        Command::Keygen(args) => keygen::run(&args),
        Command::Mint(args) => mint::run(&args),
        Command::Attenuate(args) => attenuate::run(&args),
        Command::Show(args) => show::run(&args),
        Command::Verify(args) => verify::run(&args, data_dir),
        Command::Explain(args) => explain::run(&args, data_dir),
        Command::Lint(args) => lint::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Revoke(args) => revoke::run(&args, data_dir),
        Command::Assign(args) => assign::assign(&args, data_dir),
        Command::Unassign(args) => assign::unassign(&args, data_dir),
        Command::List(args) => assign::list(&args, data_dir),
        Command::Prove(args) => prove::run(&args),
        Command::Approve(args) => approve::run(&args),
        Command::Simulate(args) => simulate::run(&args, data_dir),
        Command::Learn(args) => learn::run(&args, data_dir),
        Command::Conformance(args) => conformance::run(&args),
    }
}

/// The second it is, as warrants count.
fn now() -> u64 {
    u64::try_from(crate::firewall::now().div_euclid(1000)).unwrap_or(0)
}

fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
