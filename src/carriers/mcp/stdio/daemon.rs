//! The wrapped side's connection to the daemon, kept up while the server lives.

use std::io::{BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::Pump;
use crate::control::wire::{self, FromWrap, Hello, ToWrap};

const RETRY: Duration = Duration::from_millis(100);

/// The way to the daemon, while there is one.
#[derive(Debug)]
pub struct Daemon {
    way: Mutex<Way>,
    next: AtomicU64,
}

#[derive(Debug)]
enum Way {
    /// What is written can wait for the next message: each one wakes the daemon.
    Open {
        stream: UnixStream,
        waiting: Vec<u8>,
    },
    LostSince(Instant),
}

impl Default for Daemon {
    fn default() -> Self {
        Self { way: Mutex::new(Way::LostSince(Instant::now())), next: AtomicU64::new(0) }
    }
}

impl Daemon {
    pub(super) fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// False when there is no daemon.
    pub(super) fn say(&self, message: &FromWrap, payload: &[u8]) -> bool {
        let mut way = self.way();
        let Way::Open { stream, waiting } = &mut *way else { return false };
        let said = wire::encode(message, payload).is_ok_and(|encoded| {
            waiting.extend_from_slice(&encoded);
            stream.write_all(waiting).is_ok()
        });
        waiting.clear();
        if !said {
            *way = Way::LostSince(Instant::now());
        }
        said
    }

    /// Says it with the next message, or at the next [`Daemon::flush`].
    pub(super) fn say_later(&self, message: &FromWrap) {
        if let Way::Open { waiting, .. } = &mut *self.way()
            && let Ok(encoded) = wire::encode(message, b"")
        {
            waiting.extend_from_slice(&encoded);
        }
    }

    pub(super) fn flush(&self) {
        let mut way = self.way();
        let Way::Open { stream, waiting } = &mut *way else { return };
        if waiting.is_empty() {
            return;
        }
        let said = stream.write_all(waiting).is_ok();
        waiting.clear();
        if !said {
            *way = Way::LostSince(Instant::now());
        }
    }

    /// There has been no daemon for this long.
    pub(super) fn is_lost(&self, patience: Duration) -> bool {
        matches!(&*self.way(), Way::LostSince(since) if since.elapsed() > patience)
    }

    pub(super) fn open(&self, stream: UnixStream) {
        *self.way() = Way::Open { stream, waiting: Vec::new() };
    }

    fn lose(&self) {
        let mut way = self.way();
        if matches!(*way, Way::Open { .. }) {
            *way = Way::LostSince(Instant::now());
        }
    }

    fn way(&self) -> MutexGuard<'_, Way> {
        self.way.lock()
    }
}

/// Connects, listens, and connects again for as long as the process lives.
pub fn keep(pump: Arc<Pump>, socket: PathBuf, hello: Hello) {
    let mut first = connect(&pump, &socket, &hello);
    thread::spawn(move || {
        loop {
            if let Some(mut stream) = first.take().or_else(|| connect(&pump, &socket, &hello)) {
                while let Ok((message, payload)) = wire::read::<ToWrap>(&mut stream) {
                    pump.hear(message, payload);
                }
                pump.daemon.lose();
                tracing::warn!("the daemon went away; calls wait a moment for it and are then refused");
            }
            pump.give_up_old();
            thread::sleep(RETRY);
        }
    });
}

fn connect(pump: &Pump, socket: &PathBuf, hello: &Hello) -> Option<BufReader<UnixStream>> {
    let mut stream = UnixStream::connect(socket).ok()?;
    wire::write(&mut stream, hello, b"").ok()?;
    let reader = stream.try_clone().ok()?;
    pump.connected(stream);
    Some(BufReader::with_capacity(64 << 10, reader))
}
