//! Logs go to standard error; what they say is set by `HERMA_LOG` (for example `herma=debug`).

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

pub fn to_stderr() {
    let filter = EnvFilter::try_from_env("HERMA_LOG").unwrap_or_else(|_| EnvFilter::new("warn,herma=info"));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = log.with_ansi(colour).try_init();
}
