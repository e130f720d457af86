//! The daemon's end of the control socket.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};

use super::hook::Hooking;
use super::operator;
use super::wire::{self, Hello, Role, Script, Told, VERSION, Wrapping};
use crate::firewall::Firewall;
use crate::gate::{Approver, Method};
use crate::notify::Notify;
use crate::operator::Operator;
use crate::store::Store;

/// Who is turned away is read so far and so long, and no further.
const MOST_UNREAD: u64 = 1 << 20;
const HEARD_OUT: Duration = Duration::from_secs(1);

/// What commands reach.
#[derive(Debug)]
pub struct Control {
    pub firewall: Arc<Firewall>,
    /// The listener for people, unless it is off.
    pub people: Option<Arc<Operator>>,
    pub store: Arc<dyn Store>,
    pub notify: Arc<Notify>,
    /// Where connections of wrapped servers go.
    pub wraps: mpsc::UnboundedSender<(UnixStream, Wrapping)>,
    /// Where connections of agents with hooks go.
    pub hooks: mpsc::UnboundedSender<(UnixStream, Hooking)>,
    /// Where connections of launchers go, with their process.
    pub runs: mpsc::UnboundedSender<(UnixStream, Script, Option<i32>)>,
    pub stop: watch::Sender<bool>,
    pub status: serde_json::Value,
    /// The name of the user whose commands decide.
    pub user: String,
}

impl Control {
    /// Whoever speaks here runs under Herma's own user.
    pub(super) fn approver(&self) -> Approver {
        Approver::new(self.user.clone(), Method::Terminal)
    }
}

/// Binds the socket for this user alone.
pub fn bind(data_dir: &Path) -> io::Result<UnixListener> {
    let path = super::socket(data_dir);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

pub async fn serve(listener: UnixListener, control: Arc<Control>) {
    let mut stop = control.stop.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let control = Arc::clone(&control);
        tokio::spawn(async move {
            if let Err(error) = meet(stream, control).await {
                tracing::debug!(%error, "a control connection ended");
            }
        });
    }
}

async fn meet(mut stream: UnixStream, control: Arc<Control>) -> Result<(), wire::WireError> {
    let peer = stream.peer_cred()?;
    if peer.uid() != rustix::process::getuid().as_raw() {
        tracing::warn!(uid = peer.uid(), "another user tried the control socket");
        return Ok(());
    }
    // Before anything it says is read: code of an agent could decide its own holds here, or fetch itself a warrant.
    if peer.pid().is_some_and(|pid| control.firewall.runs.holds(pid)) {
        tracing::warn!(pid = peer.pid(), "code in a sandbox tried the control socket");
        return turn_away(stream, "this is not for code that an agent wrote").await;
    }
    let (hello, _) = wire::read_async::<Hello>(&mut stream).await?;
    if hello.version != VERSION {
        let said = "this command and the running daemon are of different versions: restart the daemon";
        return turn_away(stream, said).await;
    }
    match hello.role {
        Role::Operator if peer.pid().is_some_and(|pid| control.firewall.runs.serves(pid)) => {
            tracing::warn!(pid = peer.pid(), "a server that agents use tried to decide");
            turn_away(stream, "a server that agents use decides nothing: ask from a terminal of your own")
                .await
        }
        Role::Operator => operator::serve(stream, &control).await,
        Role::Wrap(wrapping) => {
            // Nobody takes it any more when the daemon is about to end.
            let _ = control.wraps.send((stream, wrapping));
            Ok(())
        }
        Role::Hook(hooking) => {
            let _ = control.hooks.send((stream, hooking));
            Ok(())
        }
        Role::Sandbox(script) => {
            let _ = control.runs.send((stream, script, peer.pid()));
            Ok(())
        }
    }
}

/// Says why, and hears the other side out: one that still writes would otherwise see a broken pipe and no reason.
async fn turn_away(mut stream: UnixStream, why: &str) -> Result<(), wire::WireError> {
    stream.write_all(&wire::encode(&Told::Error(why.to_owned()), b"")?).await?;
    stream.shutdown().await?;
    let (mut unread, mut rest) = (tokio::io::sink(), stream.take(MOST_UNREAD));
    let _ = tokio::time::timeout(HEARD_OUT, tokio::io::copy(&mut rest, &mut unread)).await;
    Ok(())
}
