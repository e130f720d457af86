//! `herma audit`: reading the ledger, and checking that nobody has touched it.

mod check;
mod erase;
mod export;
mod read;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use jiff::Timestamp;

pub use check::verify;
pub use erase::Erase;
pub use export::Export;
pub use read::Grep;

/// The ledger's directory in the data directory.
pub const LEDGER: &str = "ledger";

#[derive(Debug, Clone, clap::Subcommand)]
pub enum Audit {
    /// Show the last entries
    Tail {
        /// How many
        #[arg(short = 'n', long, default_value_t = 20)]
        lines: usize,
        /// Go on as new entries are written
        #[arg(short, long)]
        follow: bool,
        /// Print the entries as they are stored
        #[arg(long)]
        json: bool,
    },
    /// Show everything about one entry, or about all entries of one call
    Show {
        /// An entry's number or a call's id
        which: String,
        /// Print the entries as they are stored
        #[arg(long)]
        json: bool,
    },
    /// Find entries: by agent, tool, route, approver, time, digest, or a regular expression
    Grep(Grep),
    /// Write the record out for other programs
    Export(Export),
    /// Forget raw arguments, views and salts; the record keeps its lines and says what was forgotten
    Erase(Erase),
    /// Check every entry against the signed checkpoints
    Verify {
        /// A checkpoint that was kept elsewhere: the ledger must continue it
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
        /// The ledger's public key [default: ledger.pub in the data directory]
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
    /// Print a proof that an entry is in the ledger, to be checked without the ledger
    #[command(alias = "prove")]
    Proof {
        /// The entry's number
        seq: u64,
    },
    /// Print a proof that the ledger continues what an earlier checkpoint covered, to be checked without the ledger
    Consistency {
        /// The earlier checkpoint
        checkpoint: PathBuf,
    },
    /// Check such a proof
    VerifyProof(VerifyProof),
    /// Check that a decision was signed here and not changed since
    VerifyReceipt {
        /// A file with the receipt, or a hold's id
        which: String,
        /// The ledger's public key [default: ledger.pub in the data directory]
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
}

#[derive(Debug, Clone, clap::Args)]
pub struct VerifyProof {
    proof: PathBuf,
    /// The entry's line, if it does not go with the proof
    #[arg(long, value_name = "FILE")]
    entry: Option<PathBuf>,
    /// The earlier checkpoint, if the proof leads from one
    #[arg(long, value_name = "FILE", conflicts_with = "entry")]
    checkpoint: Option<PathBuf>,
    /// The ledger's public key [default: ledger.pub in the data directory]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

pub fn run(audit: Audit, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let dir = data_dir.join(LEDGER);
    let mut stdout = io::stdout().lock();
    let mut terminal = Terminal(io::stdout());
    let out: &mut dyn Write = if stdout.is_terminal() { &mut terminal } else { &mut stdout };
    let outcome = match audit {
        Audit::Tail { lines, follow, json } => read::tail(&dir, lines, follow, json, out),
        Audit::Show { which, json } => read::show(&dir, &which, json, out),
        Audit::Grep(wanted) => read::grep(&dir, &wanted, out),
        Audit::Export(wanted) => export::export(data_dir, &wanted, out, &mut io::stderr().lock()),
        Audit::Erase(wanted) => erase::erase(data_dir, wanted, out),
        Audit::Verify { checkpoint, key } => verify(data_dir, checkpoint.as_deref(), key.as_deref(), out),
        Audit::Proof { seq } => check::proof(data_dir, seq, out),
        Audit::Consistency { checkpoint } => check::consistency(data_dir, &checkpoint, out),
        Audit::VerifyProof(wanted) => check::verify_proof(data_dir, &wanted, out),
        Audit::VerifyReceipt { which, key } => check::verify_receipt(data_dir, &which, key.as_deref(), out),
    };
    match outcome {
        // Whoever read our output has seen enough.
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        outcome => outcome,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Unix milliseconds of a time as people type it: a day, an instant, or how long ago.
fn moment(text: &str) -> anyhow::Result<i64> {
    moment_at(text, crate::firewall::now())
}

fn moment_at(text: &str, now: i64) -> anyhow::Result<i64> {
    let day = || Some(format!("{text}T00:00Z").parse::<Timestamp>().ok()?.as_millisecond());
    let ago = || {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let hours = match unit {
            "d" => number.parse::<i64>().ok()?.checked_mul(24)?,
            _ => return Some(text.parse::<jiff::SignedDuration>().ok()?.as_millis() as i64),
        };
        hours.checked_mul(3_600_000)
    };
    let instant = text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond);
    instant
        .or_else(day)
        .or_else(|| ago().map(|ago| now.saturating_sub(ago)))
        .with_context(|| format!("{text:?} is no time: write 2026-11-20, 2026-11-20T08:00Z, 2h or 30d"))
}

fn time(at: i64) -> String {
    Timestamp::from_millisecond(at)
        .map_or_else(|_| format!("{at} ms"), |time| time.strftime("%Y-%m-%d %H:%M:%S%.3fZ").to_string())
}

/// What an agent wrote must not move the cursor, turn the text around or hide in it.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() || is_invisible(letter) {
            let _ = write!(plain, "\\u{{{:x}}}", u32::from(letter));
        } else {
            plain.push(letter);
        }
    }
    plain
}

/// JSON that says the same in letters that do nothing to a terminal.
fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for letter in json.chars() {
        if (letter.is_control() && letter != '\n') || is_invisible(letter) {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(letter);
        }
    }
    escaped
}

/// Where people read: entries as they are stored are JSON that an agent had a hand in.
struct Terminal<W>(W);

impl<W: Write> Write for Terminal<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(escaped(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn is_invisible(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}
