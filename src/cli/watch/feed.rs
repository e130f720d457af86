//! What the daemon says, for as long as it says anything, and again when it is back.

use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::Event;
use super::held::Held;
use crate::control::client::{Client, ClientError};
use crate::control::wire::{Ask, WireError};

/// How long to wait before a daemon that is gone is looked for again.
const AGAIN: Duration = Duration::from_millis(700);

/// Follows the daemon on a thread of its own until nobody listens.
pub(super) fn follow(data_dir: PathBuf, to: Sender<Event>) {
    thread::spawn(move || {
        loop {
            let Err(why) = watch(&data_dir, &to) else { return };
            if to.send(Event::Lost(why.to_string())).is_err() {
                return;
            }
            thread::sleep(AGAIN);
        }
    });
}

/// Returns when nobody listens any more.
fn watch(data_dir: &Path, to: &Sender<Event>) -> Result<(), ClientError> {
    let mut watching = Client::connect(data_dir)?;
    // The first word says that from here on no change is missed; what was before is listed.
    watching.ask(&Ask::Watch)?;
    if to.send(list(data_dir)?).is_err() {
        return Ok(());
    }
    loop {
        let row = watching.receive()?;
        let event = match row.get("missed") {
            Some(_) => list(data_dir)?,
            None => read(row),
        };
        if to.send(event).is_err() {
            return Ok(());
        }
    }
}

fn list(data_dir: &Path) -> Result<Event, ClientError> {
    let rows = Client::connect(data_dir)?.ask(&Ask::Holds { all: false })?;
    let mut rows: Vec<Held> = serde_json::from_value(rows).map_err(WireError::from)?;
    // They come newest first; who has waited longest is seen first.
    rows.reverse();
    Ok(Event::Listed(rows))
}

fn read(row: Value) -> Event {
    match serde_json::from_value(row) {
        Ok(held) => Event::Changed(Box::new(held)),
        Err(error) => Event::Unreadable(error.to_string()),
    }
}

/// Says a decision on a thread of its own, so that the screen never waits for the daemon.
pub(super) fn decide(data_dir: PathBuf, ask: Ask, to: Sender<Event>) {
    thread::spawn(move || {
        let outcome = Client::connect(&data_dir)
            .and_then(|mut client| client.ask(&ask))
            .map(drop)
            .map_err(|error| error.to_string());
        if let Ask::Decide { id, decision, .. } = ask {
            let _ = to.send(Event::Decided { id, decision, outcome });
        }
    });
}
