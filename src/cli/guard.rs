//! `herma guard`: runs a command and takes its whole process group with it when its parent is gone.
//!
//! A server that does not end when its standard input does would outlive a killed launcher. The guard leads
//! the group, keeps out of the pipes between server and client, and looks for its parent.

use std::ffi::OsString;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, getpgrp, getppid, kill_process_group};

const LOOK: Duration = Duration::from_millis(250);
const LAST_LOOK: Duration = Duration::from_millis(10);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Process id of the parent
    #[arg(long)]
    parent: i32,
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let parent = Pid::from_raw(args.parent);
    let (program, arguments) = args.command.split_first().context("no command")?;
    let mut child = Command::new(program)
        .args(arguments)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    thread::spawn(move || {
        while getppid() == parent {
            thread::sleep(LOOK);
        }
        let _ = kill_process_group(getpgrp(), Signal::KILL);
    });
    let status = child.wait()?;
    // A parent's death may end the command first, by the end of its input; what the command started stays.
    for _ in 0..5 {
        if getppid() != parent {
            let _ = kill_process_group(getpgrp(), Signal::KILL);
        }
        thread::sleep(LAST_LOOK);
    }
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
