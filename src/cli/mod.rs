//! The commands, one file each.

pub mod agent;
pub mod audit;
pub mod crisis;
pub mod demo;
pub mod doctor;
pub mod edit;
pub mod enforce;
pub mod eval;
pub mod explain;
pub mod freeze;
pub mod guard;
pub mod holds;
pub mod import;
pub mod install;
pub mod lines;
pub mod log;
pub mod notify;
pub mod pair;
pub mod python;
pub mod report;
pub mod review;
pub mod rules;
pub mod serve;
pub mod similar;
pub mod status;
pub mod tools;
pub mod warrant;
pub mod watch;
pub mod wrap;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What a wrong configuration exits with (EX_USAGE).
pub const EXIT_USAGE: u8 = 64;

/// Stands between an agent and its tools: scores, gates and records every call.
#[derive(Debug, Parser)]
#[command(name = "herma", version, about)]
pub struct Cli {
    /// The one directory with all state [default: $HERMA_DATA_DIR, else ~/.local/share/herma]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Put Herma in front of a stdio MCP server: `herma wrap -- npx some-server`
    Wrap(wrap::Args),
    /// Run the daemon
    Serve(serve::Args),
    /// Play an agent's session through a real proxy and a real server, in a directory of its own
    Demo(demo::Args),
    /// See and decide what waits for a person
    #[command(subcommand)]
    Holds(holds::Holds),
    /// Stop everything that leaves or needs a person, until `herma thaw`; what waits goes on waiting
    Freeze(freeze::Args),
    /// Lift a freeze
    Thaw(freeze::Args),
    /// See what ran and can still be looked at
    #[command(subcommand)]
    Review(review::Review),
    /// Read and verify the record
    #[command(subcommand)]
    Audit(audit::Audit),
    /// How people are told that something waits for them
    #[command(subcommand)]
    Notify(notify::Notify),
    /// See and clear crisis latches
    #[command(subcommand)]
    Crisis(crisis::Crisis),
    /// See and accept tools that their servers describe otherwise than at first
    #[command(subcommand)]
    Tools(tools::Tools),
    /// Make warrants, put them over agents, and see what they say of a call
    #[command(subcommand)]
    Warrant(warrant::Command),
    /// Print the life of a call's score: what was found, what it added, what decided
    Explain(explain::Args),
    /// Judge labelled rows and print the figures
    Eval(eval::Args),
    /// Check packs of rules
    #[command(subcommand)]
    Rules(rules::Command),
    /// Make a token for an agent and the entry for herma.toml
    Agent(agent::Args),
    /// Turn an `mcpServers` block of another client into entries for herma.toml
    Import(import::Args),
    /// What would have waited or been blocked, and how often
    Report(report::Args),
    /// Switch from watching to deciding: mode = "observe" becomes "enforce" in herma.toml
    Enforce(enforce::Args),
    /// Make a one-time code that lets a browser decide
    Pair(pair::Pair),
    /// See and remove who decides in a browser
    #[command(subcommand)]
    Approvers(pair::Approvers),
    /// Open the inbox in a browser
    Open(pair::Open),
    /// Put an agent behind Herma: its servers, and its own tools
    #[command(subcommand)]
    Install(install::Agent),
    /// Put an agent's configuration back as it was
    #[command(subcommand)]
    Uninstall(install::Agent),
    /// Show by doing that everything an agent does goes through Herma
    #[command(subcommand)]
    Doctor(doctor::Agent),
    /// Put the code that an agent writes and runs under a warrant
    #[command(subcommand)]
    Python(python::Python),
    /// What the daemon of this data directory does
    Status(status::Args),
    #[command(hide = true)]
    Guard(guard::Args),
    #[command(hide = true)]
    DemoServer(demo::server::Args),
}

/// Runs one command.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    if let Command::Guard(args) = cli.command {
        return guard::run(args);
    }
    let data_dir = crate::config::data_dir(cli.data_dir.as_deref())?;
    match cli.command {
        Command::Demo(args) => demo::run(&args, &data_dir),
        Command::DemoServer(args) => demo::server::run(&args),
        Command::Wrap(args) => wrap::run(args, &data_dir),
        Command::Serve(args) => serve::run(args, &data_dir),
        Command::Holds(holds) => holds::run(holds, &data_dir),
        Command::Freeze(args) => freeze::freeze(args, &data_dir),
        Command::Thaw(args) => freeze::thaw(args, &data_dir),
        Command::Review(review) => review::run(review, &data_dir),
        Command::Audit(audit) => audit::run(audit, &data_dir),
        Command::Notify(notify) => notify::run(notify, &data_dir),
        Command::Crisis(crisis) => crisis::run(crisis, &data_dir),
        Command::Tools(tools) => tools::run(tools, &data_dir),
        Command::Warrant(command) => warrant::run(command, &data_dir),
        Command::Explain(args) => explain::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Rules(command) => rules::run(&command),
        Command::Agent(args) => agent::run(args),
        Command::Import(args) => import::run(args),
        Command::Report(args) => report::run(&args, &data_dir),
        Command::Enforce(args) => enforce::run(&args, &data_dir),
        Command::Pair(args) => pair::pair(args, &data_dir),
        Command::Approvers(approvers) => pair::approvers(approvers, &data_dir),
        Command::Open(args) => pair::open(args, &data_dir),
        Command::Install(agent) => install::install(agent, &data_dir),
        Command::Uninstall(agent) => install::uninstall(agent, &data_dir),
        Command::Doctor(agent) => doctor::run(agent, &data_dir),
        Command::Python(python) => python::run(python, &data_dir),
        Command::Status(args) => status::run(args, &data_dir),
        Command::Guard(args) => guard::run(args),
    }
}
