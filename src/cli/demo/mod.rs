//! `herma demo`: an agent's session through the real proxy, with effects that can be looked at on disk.

mod agent;
mod door;
mod place;
mod play;
pub mod server;
mod stage;

use std::io;
use std::path::Path;
use std::process::ExitCode;

use anyhow::bail;
use tokio::signal::unix::{SignalKind, signal};

use door::Door;
use place::{Daemon, Place};
use play::Play;
use stage::Stage;

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Decide by script, check every outcome, and fail if one is another than it should be
    #[arg(long)]
    unattended: bool,
    /// Leave the demo's directory behind
    #[arg(long)]
    keep: bool,
}

pub fn run(args: &Args, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let place = Place::make(data_dir, args.keep)?;
    let stage = Stage::new();
    let daemon = Daemon::start(&place)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let played = runtime.block_on(async {
        let door = (!args.unattended).then(|| Door::new(&place, &stage));
        let mut play = Play::new(&place, &stage, door.as_ref());
        tokio::select! {
            played = play.run() => played,
            failed = renew(door.as_ref()) => failed,
            ended = ended() => {
                ended?;
                bail!("the demo was stopped")
            }
        }
    });
    // A line that is being waited for from the terminal must not keep the demo alive.
    runtime.shutdown_background();
    let stopped = daemon.stop();
    played?;
    stopped?;
    play::show_record(&place, &stage)?;
    if args.keep {
        stage.say(&format!("Everything is left in {}", place.root().display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn renew(door: Option<&Door<'_>>) -> anyhow::Result<()> {
    match door {
        Some(door) => door.renew().await,
        None => std::future::pending().await,
    }
}

/// Resolves when somebody wants the demo to end, or closes its terminal.
async fn ended() -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
    Ok(())
}
