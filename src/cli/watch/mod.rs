//! `herma holds watch`: the inbox in a terminal.

mod detail;
mod draw;
mod feed;
mod held;
mod inbox;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use crossterm::event::{self, DisableBracketedPaste, EnableBracketedPaste, KeyEvent, KeyEventKind};
use crossterm::execute;
use ratatui::DefaultTerminal;
use serde::Deserialize;
use serde_json::Value;

use super::holds::{time, visible};
use crate::control::wire::Ask;
use crate::firewall::now;
use crate::gate::Decision;
use draw::Paint;
use held::Held;
use inbox::{Act, Inbox, Link};

/// Ages and countdowns are shown in seconds.
const TICK: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Stay silent when something new waits
    #[arg(long)]
    no_bell: bool,
}

enum Event {
    Key(KeyEvent),
    Paste(String),
    Resized,
    Listed(Vec<Held>),
    Changed(Box<Held>),
    Unreadable(String),
    Lost(String),
    Decided { id: String, decision: Decision, outcome: Result<(), String> },
}

pub fn run(args: &Args, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let (to, events) = mpsc::channel();
    feed::follow(data_dir.to_owned(), to.clone());
    if !io::stdout().is_terminal() {
        return print_changes(&events, &mut io::stdout().lock());
    }
    let mut terminal = ratatui::try_init()?;
    let _restore = Restore;
    execute!(io::stdout(), EnableBracketedPaste)?;
    read_keys(to.clone());
    let paint = Paint { colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) };
    attend(&mut terminal, &events, &to, args, data_dir, paint)
}

/// Leaves the terminal as it was, however the watching ends.
struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        let _ = execute!(io::stdout(), DisableBracketedPaste);
        ratatui::restore();
    }
}

fn read_keys(to: Sender<Event>) {
    thread::spawn(move || {
        while let Ok(read) = event::read() {
            let event = match read {
                event::Event::Key(key) if key.kind == KeyEventKind::Press => Event::Key(key),
                event::Event::Paste(text) => Event::Paste(text),
                event::Event::Resize(..) => Event::Resized,
                _ => continue,
            };
            if to.send(event).is_err() {
                return;
            }
        }
    });
}

fn attend(
    terminal: &mut DefaultTerminal,
    events: &Receiver<Event>,
    to: &Sender<Event>,
    args: &Args,
    data_dir: &Path,
    paint: Paint,
) -> anyhow::Result<ExitCode> {
    let mut inbox = Inbox::new();
    loop {
        inbox.tick(now());
        let mut page = inbox.page;
        terminal.draw(|frame| page = draw::draw(frame, &inbox, now(), paint))?;
        inbox.page = page;
        let event = match events.recv_timeout(TICK) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Ok(ExitCode::SUCCESS),
        };
        let news = match event {
            Event::Key(key) => {
                match inbox.press(key, now()) {
                    Some(Act::Quit) => return Ok(ExitCode::SUCCESS),
                    Some(Act::Decide { id, digest, typed, decision }) => {
                        let ask = Ask::Decide { id, digest: Some(digest), version: None, typed, decision };
                        feed::decide(data_dir.to_owned(), ask, to.clone());
                    }
                    None => {}
                }
                false
            }
            Event::Paste(text) => {
                inbox.paste(&text);
                false
            }
            Event::Resized => false,
            other => take(&mut inbox, other, &clock()),
        };
        if news && !args.no_bell {
            ring(&mut io::stdout().lock(), inbox.waiting().count())?;
        }
    }
}

/// A bell, and the two sequences by which terminals show a note of the desktop (OSC 9 and OSC 777). Nothing of a
/// call stands in them: whatever else reads this terminal must not be told.
fn ring(out: &mut impl Write, waiting: usize) -> io::Result<()> {
    let said = if waiting == 1 { "1 call waits".to_owned() } else { format!("{waiting} calls wait") };
    write!(out, "\x07\x1b]9;Herma: {said}\x1b\\\x1b]777;notify;Herma;{said}\x1b\\")?;
    out.flush()
}

/// What the daemon said goes into the inbox. True when something new waits.
fn take(inbox: &mut Inbox, event: Event, at: &str) -> bool {
    match event {
        Event::Listed(rows) => inbox.listed(rows),
        Event::Changed(row) => {
            if let Some(line) = inbox.news_of(&row) {
                inbox.note(format!("{at} {line}"));
            }
            inbox.changed(*row)
        }
        Event::Unreadable(what) => {
            inbox.note(format!("{at} herma sent what this command cannot read: {}", visible(&what)));
            false
        }
        Event::Lost(why) => {
            if inbox.link == Link::Live {
                inbox.note(format!("{at} the connection to herma is lost"));
            }
            inbox.link = Link::Lost(why);
            false
        }
        Event::Decided { id, decision, outcome } => {
            inbox.decided(at, id, &decision, &outcome);
            false
        }
        Event::Key(_) | Event::Paste(_) | Event::Resized => false,
    }
}

fn clock() -> String {
    time(now()).split(' ').nth(1).unwrap_or_default().to_owned()
}

/// For pipes and logs: one line to a change.
fn print_changes(events: &Receiver<Event>, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let mut lost = false;
    while let Ok(event) = events.recv() {
        let lines = match event {
            Event::Listed(rows) => {
                lost = false;
                rows.iter().map(line).collect()
            }
            Event::Changed(row) => vec![line(&row)],
            Event::Lost(why) if !lost => {
                lost = true;
                vec![format!("lost: {}", visible(&why))]
            }
            Event::Unreadable(what) => vec![format!("unreadable: {}", visible(&what))],
            _ => Vec::new(),
        };
        for line in lines {
            match writeln!(out, "{line}").and_then(|()| out.flush()) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
                other => other?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A hold in a list: its id, how grave it is, since when it waits, and what would run.
pub fn listed(row: &Value) -> serde_json::Result<String> {
    let held = Held::deserialize(row)?;
    let count = if held.count > 1 { format!("  ×{}", held.count) } else { String::new() };
    let state = if held.waits() { String::new() } else { format!("  ({})", held.state) };
    let (word, waited) = (draw::word(held.group()), draw::span(now().saturating_sub(held.created_ms)));
    Ok(format!("{:<10} {word:<8} {waited:>6}  {}{count}{state}", held.id, held.phrase()))
}

fn line(held: &Held) -> String {
    let count = if held.count > 1 { format!(" ×{}", held.count) } else { String::new() };
    format!(
        "{} {} {} {}{count}: {}",
        time(now()),
        held.id,
        held.state,
        draw::word(held.group()),
        held.phrase()
    )
}
