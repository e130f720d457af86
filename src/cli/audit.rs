//! `herma audit`: reading the ledger, and checking that nobody has touched it.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::Timestamp;
use regex::bytes::Regex;
use serde_json::Value;

use crate::ledger::{self, Follower, LedgerError, Line, Reader, Record, Report};

/// The ledger's directory in the data directory.
pub const LEDGER: &str = "ledger";

/// How often `tail --follow` looks for new entries.
const GLANCE: Duration = Duration::from_millis(200);
/// The longest value on a line of its entry; `show` gives the rest.
const VALUE: usize = 80;

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
    /// Find entries by a regular expression over their stored text
    Grep {
        pattern: String,
        /// Print the entries as they are stored
        #[arg(long)]
        json: bool,
    },
    /// Check every entry against the signed checkpoints
    Verify,
    /// Print a proof that an entry is in the ledger, to be checked without the ledger
    Prove {
        /// The entry's number
        seq: u64,
    },
}

pub fn run(audit: Audit, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let dir = data_dir.join(LEDGER);
    let mut out = io::stdout().lock();
    let outcome = match audit {
        Audit::Tail { lines, follow, json } => tail(&dir, lines, follow, json, &mut out),
        Audit::Show { which, json } => show(&dir, &which, json, &mut out),
        Audit::Grep { pattern, json } => grep(&dir, &pattern, json, &mut out),
        Audit::Verify => verify(data_dir, &mut out),
        Audit::Prove { seq } => prove(data_dir, seq, &mut out),
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

pub fn tail(
    dir: &Path,
    count: usize,
    follow: bool,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let mut follower = Follower::open(dir, count as u64)?;
    let mut last = VecDeque::new();
    while let Some(line) = follower.poll()? {
        last.push_back(line);
        if last.len() > count {
            last.pop_front();
        }
    }
    for line in &last {
        print(line, json, out)?;
    }
    if !follow {
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        out.flush()?;
        match follower.poll()? {
            Some(line) => print(&line, json, out)?,
            None => std::thread::sleep(GLANCE),
        }
    }
}

pub fn show(dir: &Path, which: &str, json: bool, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let number: Option<u64> = which.parse().ok();
    let mut found = false;
    for line in Reader::open(dir)? {
        let line = line?;
        let Ok(record) = Record::parse(&line.bytes) else {
            continue;
        };
        if Some(record.seq) != number && record.call.as_deref() != Some(which) {
            continue;
        }
        if json {
            print(&line, json, out)?;
        } else {
            if found {
                writeln!(out)?;
            }
            print_whole(&record, out)?;
        }
        found = true;
    }
    if !found {
        bail!("no entry and no call is named {which:?}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Like `grep`, fails if nothing matches.
pub fn grep(dir: &Path, pattern: &str, json: bool, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let pattern = Regex::new(pattern).context("the pattern is not a regular expression")?;
    let mut found = ExitCode::FAILURE;
    for line in Reader::open(dir)? {
        let line = line?;
        if line.whole && pattern.is_match(&line.bytes) {
            print(&line, json, out)?;
            found = ExitCode::SUCCESS;
        }
    }
    Ok(found)
}

/// Fails if anything is not as it was signed.
pub fn verify(data_dir: &Path, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let report = ledger::verify(&data_dir.join(LEDGER), &public_key(data_dir)?)?;
    print_report(&report, out)?;
    Ok(if report.is_intact() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub fn prove(data_dir: &Path, seq: u64, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let proof = ledger::prove(&data_dir.join(LEDGER), &public_key(data_dir)?, seq)?;
    out.write_all(proof.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn public_key(data_dir: &Path) -> Result<ed25519_dalek::VerifyingKey, anyhow::Error> {
    ledger::load_public_key(data_dir).context("without its public key the ledger cannot be checked")
}

fn print_report(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let count = |number: u64, one: &str, many: &str| {
        format!("{} {}", grouped(number), if number == 1 { one } else { many })
    };
    let held = format!(
        "{}, {}",
        count(report.entries, "entry", "entries"),
        count(report.checkpoints, "checkpoint", "checkpoints"),
    );
    let problems = report.problems.len() as u64 + report.more;
    if problems == 0 {
        writeln!(out, "{held}: intact")?;
    } else {
        writeln!(out, "{held}: {}", count(problems, "problem", "problems"))?;
    }
    if let Some(root) = &report.root {
        writeln!(out, "signed root over {}: {root}", grouped(report.signed))?;
    }
    for problem in &report.problems {
        writeln!(out, "  {}", plain(&problem.to_string()))?;
    }
    if report.more > 0 {
        writeln!(out, "  and {} more", grouped(report.more))?;
    }
    let unsigned = report.entries.saturating_sub(report.signed);
    if unsigned > 0 {
        writeln!(out, "{} after the last checkpoint: not signed yet", count(unsigned, "entry", "entries"))?;
    }
    if let Some(place) = report.torn {
        writeln!(out, "{place} is incomplete: it is being written, or its writer was killed")?;
    }
    Ok(())
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn print(line: &Line, json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json {
        out.write_all(&line.bytes)?;
        return out.write_all(b"\n");
    }
    match Record::parse(&line.bytes) {
        Ok(record) => writeln!(out, "{}", one_line(&record)),
        Err(LedgerError::Entry(why)) => {
            writeln!(out, "{:>8}  cannot be read: {}", line.place, plain(&why))
        }
        Err(error) => writeln!(out, "{:>8}  {}", line.place, plain(&error.to_string())),
    }
}

fn one_line(record: &Record) -> String {
    let call = record.call.as_deref().unwrap_or("-");
    let mut text =
        format!("{:>8}  {}  {:<10}  {:<12}", record.seq, time(record.at), plain(&record.step), plain(call),);
    for (name, value) in &record.detail {
        let value = bare(value);
        let mut short: String = value.chars().take(VALUE).collect();
        if short.len() < value.len() {
            short.push('…');
        }
        let _ = write!(text, "  {}={}", plain(name), plain(&short));
    }
    text.truncate(text.trim_end().len());
    text
}

fn print_whole(record: &Record, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "entry   {}", record.seq)?;
    writeln!(out, "time    {}", time(record.at))?;
    writeln!(out, "step    {}", plain(&record.step))?;
    if let Some(call) = &record.call {
        writeln!(out, "call    {}", plain(call))?;
    }
    let width = record.detail.keys().map(|name| name.chars().count()).max();
    for (name, value) in &record.detail {
        let width = width.unwrap_or_default();
        writeln!(out, "  {:<width$}  {}", plain(name), plain(&bare(value)))?;
    }
    Ok(())
}

/// A value as a person writes it: strings without quotes where that is not misleading.
fn bare(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() && !text.contains([' ', '=', '"']) => text.clone(),
        other => other.to_string(),
    }
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

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::ledger::{Entry, Ledger, Step, load_or_create_key};

    /// A data directory whose ledger holds three entries.
    async fn data() -> TempDir {
        let data = TempDir::new().unwrap();
        let key = load_or_create_key(data.path()).unwrap();
        let ledger = Ledger::open(&data.path().join(LEDGER), key, "herma.example").unwrap();
        let at = 1_795_160_725_123;
        ledger.record(Entry::new(at, Step::Started)).unwrap();
        let held = Entry::new(at + 1, Step::Held)
            .of("c-1")
            .with("tool", "send_message")
            .with("to", "Ann\u{202e} B")
            .with("risk", 0.7)
            .with("preview", "x".repeat(200));
        ledger.record(held).unwrap();
        let decided = Entry::new(at + 2, Step::Decided).of("c-1").with("by", "ann");
        ledger.record(decided).unwrap();
        ledger.close().await.unwrap();
        data
    }

    fn told(ask: impl FnOnce(&mut dyn Write) -> anyhow::Result<ExitCode>) -> (String, bool) {
        let mut out = Vec::new();
        let code = ask(&mut out).unwrap();
        (String::from_utf8(out).unwrap(), code == ExitCode::SUCCESS)
    }

    #[tokio::test]
    async fn tail_shows_one_line_to_an_entry() {
        let data = data().await;
        let dir = data.path().join(LEDGER);
        let (text, _) = told(|out| tail(&dir, 2, false, false, out));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[0],
            format!(
                "       1  2026-11-20 07:45:25.124Z  held        c-1           preview={}…  \
                 risk=0.7  to=\"Ann\\u{{202e}} B\"  tool=send_message",
                "x".repeat(80)
            )
        );
        assert_eq!(lines[1..], ["       2  2026-11-20 07:45:25.125Z  decided     c-1           by=ann"]);
    }

    #[tokio::test]
    async fn tail_follows_until_nobody_reads() {
        struct Reads(usize);
        impl Write for Reads {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
                self.0 = self.0.checked_sub(lines).ok_or(io::ErrorKind::BrokenPipe)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let data = data().await;
        let dir = data.path().join(LEDGER);
        let followed = dir.clone();
        let tail =
            tokio::task::spawn_blocking(move || tail(&followed, 1, true, true, &mut Reads(2)).unwrap_err());
        let key = load_or_create_key(data.path()).unwrap();
        let ledger = Ledger::open(&dir, key, "herma.example").unwrap();
        while !tail.is_finished() {
            ledger.record_durable(Entry::new(0, Step::Received)).await.unwrap();
        }
        assert!(is_broken_pipe(&tail.await.unwrap()));
    }

    #[tokio::test]
    async fn show_tells_everything_of_an_entry_or_a_call() {
        let data = data().await;
        let dir = data.path().join(LEDGER);
        let (call, _) = told(|out| show(&dir, "c-1", false, out));
        assert_eq!(call.matches("entry   ").count(), 2);
        assert!(call.contains(&"x".repeat(200)));
        let (entry, _) = told(|out| show(&dir, "2", false, out));
        assert_eq!(
            entry,
            "entry   2\ntime    2026-11-20 07:45:25.125Z\nstep    decided\ncall    c-1\n  by  ann\n"
        );
        let error = show(&dir, "c-9", false, &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "no entry and no call is named \"c-9\"");
    }

    #[tokio::test]
    async fn grep_prints_what_matches_as_it_is_stored() {
        let data = data().await;
        let dir = data.path().join(LEDGER);
        let (text, found) = told(|out| grep(&dir, r#""step":"(held|started)""#, true, out));
        assert!(found);
        assert_eq!(text.lines().count(), 2);
        assert_eq!(text.lines().next(), Some(r#"{"at":1795160725123,"seq":0,"step":"started"}"#));
        let (text, found) = told(|out| grep(&dir, "nothing", false, out));
        assert_eq!((text.as_str(), found), ("", false));
        assert!(grep(&dir, "(", false, &mut Vec::new()).is_err());
    }

    #[tokio::test]
    async fn verify_says_intact_or_names_every_problem_and_fails() {
        let data = data().await;
        let (text, intact) = told(|out| verify(data.path(), out));
        assert!(intact);
        assert!(text.starts_with("3 entries, 2 checkpoints: intact\n"), "{text}");

        let file = data.path().join(LEDGER).join("entries/000000.jsonl");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("ann", "bob")).unwrap();
        let (text, intact) = told(|out| verify(data.path(), out));
        assert!(!intact);
        assert!(text.contains(": 1 problem\n"), "{text}");
        assert!(text.contains("\n  entry 2 (entries/000000.jsonl:3): bytes changed"), "{text}");
    }

    #[tokio::test]
    async fn a_proof_can_be_printed() {
        let data = data().await;
        let (proof, _) = told(|out| prove(data.path(), 1, out));
        assert!(proof.starts_with("c2sp.org/tlog-proof@v1\nindex 1\n"), "{proof}");
    }

    #[test]
    fn numbers_are_grouped() {
        let grouped: Vec<_> = [0, 999, 1204, 1_000_000].map(grouped).into();
        assert_eq!(grouped, ["0", "999", "1,204", "1,000,000"]);
    }
}
