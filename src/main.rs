//! argv to command, nothing else.

use std::process::ExitCode;

use clap::Parser;
use herma::cli::{Cli, EXIT_USAGE, python, run};
use herma::config::ConfigError;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match python::as_interpreter().unwrap_or_else(|| run(Cli::parse())) {
        Ok(code) => code,
        // Whoever read the output, `head` say, has seen enough.
        Err(error) if error.root_cause().downcast_ref().is_some_and(is_broken_pipe) => ExitCode::SUCCESS,
        Err(error) => {
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "herma: {error:#}");
            if error.is::<ConfigError>() { ExitCode::from(EXIT_USAGE) } else { ExitCode::FAILURE }
        }
    }
}

fn is_broken_pipe(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::BrokenPipe
}
