mod disk;
mod queries;
mod tampering;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use tempfile::TempDir;

use super::journal::Journal;
use super::*;

const ORIGIN: &str = "herma.example/ledger";

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn check(dir: &Path) -> Report {
    verify(dir, &key().verifying_key()).unwrap()
}

fn entry(number: u64) -> Entry {
    Entry::new(1_700_000_000_000, Step::Received).of(format!("call-{number}")).with("tool", "send_message")
}

/// A ledger of `size` entries, signed after each of `heads`.
fn write(dir: &Path, size: u64, heads: &[u64]) {
    let mut journal = Journal::open(dir, key(), ORIGIN).unwrap();
    for number in 0..size {
        journal.append([entry(number)].iter()).unwrap();
        if heads.contains(&(number + 1)) {
            journal.sign().unwrap();
        }
    }
    journal.sync().unwrap();
}

fn records(dir: &Path) -> Vec<Record> {
    Reader::open(dir).unwrap().map(|line| Record::parse(&line.unwrap().bytes).unwrap()).collect()
}

#[tokio::test]
async fn what_was_recorded_is_there_in_order_and_signed() {
    let dir = TempDir::new().unwrap();
    let ledger = Ledger::open(dir.path(), key(), ORIGIN).unwrap();
    for number in 0..300 {
        ledger.record(entry(number)).unwrap();
    }
    assert_eq!(ledger.record_durable(entry(300)).await.unwrap(), 300);
    ledger.record(entry(301)).unwrap();
    ledger.close().await.unwrap();
    assert!(matches!(ledger.record(entry(302)), Err(LedgerError::Closed)));

    let calls: Vec<_> = records(dir.path()).into_iter().filter_map(|record| record.call).collect();
    let expected: Vec<_> = (0..302).map(|number| format!("call-{number}")).collect();
    assert_eq!(calls, expected);
    let report = check(dir.path());
    assert_eq!(report.problems, []);
    assert_eq!((report.entries, report.signed), (302, 302));
}

#[tokio::test]
async fn a_resting_writer_wakes_for_whoever_waits() {
    let dir = TempDir::new().unwrap();
    let ledger = Ledger::open(dir.path(), key(), ORIGIN).unwrap();
    let all = async {
        for number in 0..20 {
            assert_eq!(ledger.record_durable(entry(number)).await.unwrap(), number);
            // Long enough for the writer to lie down again.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), all).await;
    assert!(in_time.is_ok(), "the writer slept on");
}

#[tokio::test]
async fn the_last_handle_to_go_flushes_and_signs() {
    let dir = TempDir::new().unwrap();
    let ledger = Ledger::open(dir.path(), key(), ORIGIN).unwrap();
    let other = ledger.clone();
    drop(ledger);
    other.record(entry(0)).unwrap();
    drop(other);
    assert_eq!(check(dir.path()).signed, 1);
}

#[tokio::test]
async fn a_checkpoint_can_be_asked_for() {
    let dir = TempDir::new().unwrap();
    let ledger = Ledger::open(dir.path(), key(), ORIGIN).unwrap();
    ledger.record(entry(0)).unwrap();
    let head = ledger.checkpoint().await.unwrap();
    assert_eq!((head.size, head.origin.as_str()), (1, ORIGIN));
    let note = fs::read_to_string(dir.path().join("checkpoint")).unwrap();
    assert_eq!(note, head.note);
}

#[test]
fn an_empty_ledger_is_signed_from_the_start() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 0, &[]);
    let report = check(dir.path());
    assert_eq!(report.problems, []);
    assert_eq!((report.entries, report.checkpoints), (0, 1));
}

#[test]
fn a_reopened_ledger_goes_on_where_it_stopped() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 300, &[100, 300]);
    write(dir.path(), 300, &[4, 300]);
    let report = check(dir.path());
    assert_eq!(report.problems, []);
    assert_eq!((report.entries, report.signed), (600, 600));
    assert!(records(dir.path()).iter().all(|record| record.step == "received"));
}

#[test]
fn entries_that_no_checkpoint_covered_are_taken_up_after_a_crash() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 700, &[10]);
    assert_eq!(check(dir.path()).signed, 10);
    write(dir.path(), 1, &[1]);
    let report = check(dir.path());
    assert_eq!(report.problems, []);
    assert_eq!((report.entries, report.signed), (701, 701));
}

#[test]
fn a_ledger_spans_files_and_levels_of_tiles() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 8200, &[4095, 4096, 4097, 8200]);
    let files = segment::list(dir.path()).unwrap();
    assert_eq!(files, [0, 1, 2]);
    let report = check(dir.path());
    assert_eq!(report.problems, []);
    assert_eq!(report.signed, 8200);
    assert!(dir.path().join("tile/0/031").exists());
    assert!(dir.path().join("tile/1/000.p/32").exists());
    assert!(!dir.path().join("tile/1/000.p/16").exists());
}

#[test]
fn a_torn_last_line_is_cut_off_and_said_so() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 5, &[3]);
    let file = dir.path().join("entries/000000.jsonl");
    let mut text = fs::read(&file).unwrap();
    text.extend_from_slice(b"{\"at\":17000");
    fs::write(&file, &text).unwrap();

    let report = check(dir.path());
    assert_eq!(report.problems, []);
    assert_eq!(report.torn.unwrap().to_string(), "entries/000000.jsonl:6");

    write(dir.path(), 0, &[]);
    let last = records(dir.path()).pop().unwrap();
    assert_eq!((last.seq, last.step.as_str()), (5, "recovered"));
    assert_eq!(last.detail["torn_bytes"]["000000.jsonl"], 11);
    assert_eq!(check(dir.path()).problems, []);
}

#[test]
fn damage_in_the_middle_survives_a_restart_and_is_still_named() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 20, &[20]);
    let file = dir.path().join("entries/000000.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("call-7\"", "call-8\"")).unwrap();
    write(dir.path(), 20, &[20]);
    let report = check(dir.path());
    assert_eq!(report.entries, 40);
    assert_eq!(
        report.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["entry 7 (entries/000000.jsonl:8): bytes changed: its leaf hash differs from tile/0/000.p/40"]
    );
}

#[test]
fn lost_tiles_are_rebuilt_from_the_entries() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 600, &[600]);
    fs::remove_dir_all(dir.path().join("tile")).unwrap();
    write(dir.path(), 1, &[1]);
    let report = check(dir.path());
    assert_eq!(report.problems, []);
    assert_eq!(report.signed, 601);
}

#[tokio::test]
async fn a_ledger_has_one_writer() {
    let dir = TempDir::new().unwrap();
    let ledger = Ledger::open(dir.path(), key(), ORIGIN).unwrap();
    let second = Ledger::open(dir.path(), key(), ORIGIN).unwrap_err();
    assert!(matches!(second, LedgerError::Locked(_)), "{second}");
    ledger.close().await.unwrap();
    drop(ledger);
    Ledger::open(dir.path(), key(), ORIGIN).unwrap();
}

#[test]
fn an_entry_can_be_proved_to_others() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 1000, &[1000]);
    let public = key().verifying_key();
    let lines: Vec<_> = Reader::open(dir.path()).unwrap().map(Result::unwrap).collect();
    for seq in [0, 1, 255, 256, 767, 768, 999] {
        let proof = prove(dir.path(), &public, seq).unwrap();
        let bytes = &lines[usize::try_from(seq).unwrap()].bytes;
        let (found, head) = check_proof(&proof, bytes, &public).unwrap();
        assert_eq!((found, head.size), (seq, 1000));
        assert!(check_proof(&proof, &lines[5].bytes, &public).is_err());
        let other = SigningKey::from_bytes(&[8; 32]).verifying_key();
        assert!(check_proof(&proof, bytes, &other).is_err());
    }
    let beyond = prove(dir.path(), &public, 1000).unwrap_err();
    assert!(matches!(beyond, LedgerError::NoEntry { .. }));
}

#[test]
fn the_key_is_made_once_and_kept_from_others() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let key = load_or_create_key(&data).unwrap();
    assert_eq!(load_or_create_key(&data).unwrap(), key);
    assert_eq!(load_public_key(&data).unwrap(), key.verifying_key());
    let secret = data.join("ledger.key");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&secret), mode(&data)), (0o600, 0o700));

    fs::set_permissions(&secret, fs::Permissions::from_mode(0o640)).unwrap();
    let error = load_or_create_key(&data).unwrap_err().to_string();
    assert!(error.contains("chmod 600"), "{error}");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();

    fs::write(data.join("ledger.pub"), "00".repeat(32)).unwrap();
    let error = load_or_create_key(&data).unwrap_err().to_string();
    assert!(error.contains("does not belong"), "{error}");
}

#[test]
fn a_killed_writer_loses_nothing_it_acknowledged() {
    let dir = TempDir::new().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture"])
        .arg("ledger::tests::writes_until_it_is_killed")
        .env("LEDGER_DIR", dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = 0;
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in lines.map_while(Result::ok) {
        if let Some(seq) = line.strip_prefix("durable ") {
            acknowledged = seq.parse().unwrap();
        }
        if acknowledged >= 300 {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acknowledged >= 300);

    write(dir.path(), 1, &[1]);
    let report = check(dir.path());
    assert_eq!(report.problems, []);
    let durable = records(dir.path())
        .into_iter()
        .filter(|record| record.step == "decided" && record.seq <= acknowledged)
        .count();
    let asked = records(dir.path()).into_iter().filter(|record| record.seq <= acknowledged).count() as u64;
    assert_eq!(asked, acknowledged + 1);
    assert!(durable > 30, "{durable}");
}

#[tokio::test]
#[ignore = "the other half of a_killed_writer_loses_nothing_it_acknowledged"]
async fn writes_until_it_is_killed() {
    let dir = std::env::var("LEDGER_DIR").unwrap();
    let ledger = Ledger::open(Path::new(&dir), key(), ORIGIN).unwrap();
    loop {
        for number in 0..5 {
            ledger.record(entry(number)).unwrap();
        }
        let seq = ledger.record_durable(Entry::new(0, Step::Decided)).await.unwrap();
        println!("durable {seq}");
    }
}
