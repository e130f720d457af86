use std::fs;
use std::io::Write;

use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::check::{proof, verify_proof, verify_receipt};
use super::export::export;
use super::read::{grep, show, tail};
use super::*;
use crate::ledger::{Entry, Format, Ledger, Step, load_or_create_key};

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
    let (text, found) = told(|out| grep(&dir, &matching(r#""step":"(held|started)""#, true), out));
    assert!(found);
    assert_eq!(text.lines().count(), 2);
    assert_eq!(text.lines().next(), Some(r#"{"at":1795160725123,"seq":0,"step":"started"}"#));
    let (text, found) = told(|out| grep(&dir, &matching("nothing", false), out));
    assert_eq!((text.as_str(), found), ("", false));
    assert!(grep(&dir, &matching("(", false), &mut Vec::new()).is_err());
}

#[tokio::test]
async fn verify_says_intact_or_names_every_problem_and_fails() {
    let data = data().await;
    let (text, intact) = told(|out| verify(data.path(), None, None, out));
    assert!(intact);
    assert!(text.starts_with("3 entries, 2 checkpoints: intact\n"), "{text}");

    let file = data.path().join(LEDGER).join("entries/000000.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("ann", "bob")).unwrap();
    let (text, intact) = told(|out| verify(data.path(), None, None, out));
    assert!(!intact);
    assert!(text.contains(": 1 problem\n"), "{text}");
    assert!(text.contains("\n  entry 2 (entries/000000.jsonl:3): bytes changed"), "{text}");
}

#[tokio::test]
async fn a_proof_can_be_printed() {
    let data = data().await;
    let (text, _) = told(|out| proof(data.path(), 1, out));
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nextra "), "{text}");
    assert_eq!(text.lines().nth(2), Some("index 1"));
}

#[test]
fn numbers_are_grouped() {
    let grouped: Vec<_> = [0, 999, 1204, 1_000_000].map(super::check::grouped).into();
    assert_eq!(grouped, ["0", "999", "1,204", "1,000,000"]);
}

fn matching(pattern: &str, json: bool) -> Grep {
    Grep { pattern: Some(pattern.to_owned()), json, ..Grep::default() }
}

#[tokio::test]
async fn a_proof_is_checked_without_the_ledger_and_with_another_key_it_fails() {
    let data = data().await;
    let (text, _) = told(|out| proof(data.path(), 1, out));
    let elsewhere = TempDir::new().unwrap();
    let [file, key] = ["proof.txt", "ledger.pub"].map(|name| elsewhere.path().join(name));
    fs::write(&file, &text).unwrap();
    fs::copy(data.path().join("ledger.pub"), &key).unwrap();
    let wanted = VerifyProof { proof: file.clone(), entry: None, checkpoint: None, key: Some(key.clone()) };
    let (said, held) = told(|out| verify_proof(elsewhere.path(), &wanted, out));
    assert!(held && said.starts_with("entry 1 is in the ledger"), "{said}");
    assert!(said.contains("send_message"), "{said}");

    let other = SigningKey::from_bytes(&[9; 32]).verifying_key();
    fs::write(&key, data_encoding::HEXLOWER.encode(other.as_bytes())).unwrap();
    assert!(verify_proof(elsewhere.path(), &wanted, &mut Vec::new()).is_err());
}

/// The receipt of hold `h-1`, signed with the key of `data`.
fn receipt(data: &Path) -> Value {
    let mut receipt = json!({
        "approver": { "id": "ann", "method": "terminal" }, "call_digest": "ab".repeat(32),
        "decided_at": 1_795_160_725_123_i64, "decision": "approve", "hold": "h-1", "nonce": "00", "v": 1,
    });
    let body = serde_json_canonicalizer::to_vec(&receipt).unwrap();
    let signature = load_or_create_key(data).unwrap().sign(&body);
    receipt["signature"] = data_encoding::BASE64.encode(&signature.to_bytes()).into();
    receipt
}

#[tokio::test]
async fn a_receipt_holds_in_a_file_and_in_the_ledger_and_not_when_changed() {
    let data = data().await;
    let receipt = receipt(data.path());
    let ledger =
        Ledger::open(&data.path().join(LEDGER), load_or_create_key(data.path()).unwrap(), "herma.example")
            .unwrap();
    ledger.record(Entry::new(1, Step::Decided).with("receipt", receipt.clone())).unwrap();
    ledger.close().await.unwrap();
    let (said, held) = told(|out| verify_receipt(data.path(), "h-1", None, out));
    assert!(held && said.contains("the signature holds"), "{said}");

    let file = data.path().join("receipt.json");
    let check = |text: String| {
        fs::write(&file, text).unwrap();
        verify_receipt(data.path(), file.to_str().unwrap(), None, &mut Vec::new()).map(drop)
    };
    check(receipt.to_string()).unwrap();
    check(serde_json::to_string_pretty(&receipt).unwrap()).unwrap();
    let error = check(receipt.to_string().replace("approve\"", "deny\"")).unwrap_err();
    assert!(error.to_string().contains("was changed afterwards"), "{error}");
    // Whoever reads the first of two would read another decision.
    let twice = receipt.to_string().replacen('{', "{\"decision\":\"deny\",", 1);
    assert!(check(twice).is_err());
    assert!(verify_receipt(data.path(), "h-9", None, &mut Vec::new()).is_err());
}

#[tokio::test]
async fn an_export_fails_and_says_so_when_entries_are_missing() {
    let data = data().await;
    let wanted = |format| Export { format, since: None, until: None };
    let (lines, whole) = told(|out| export(data.path(), &wanted(Format::Jsonl), out, &mut Vec::new()));
    assert!(whole);
    let file = data.path().join(LEDGER).join("entries/000000.jsonl");
    assert_eq!(lines, fs::read_to_string(&file).unwrap());

    fs::write(&file, [lines.lines().next().unwrap(), lines.lines().nth(2).unwrap(), ""].join("\n")).unwrap();
    let mut err = Vec::new();
    let (lines, whole) = told(|out| export(data.path(), &wanted(Format::Jsonl), out, &mut err));
    assert!(!whole);
    assert_eq!(lines.lines().nth(1), Some(r#"{"gap":{"first":1,"last":1,"unreadable":null}}"#));
    assert_eq!(String::from_utf8(err).unwrap(), "herma: entries 1 to 1 are missing or unreadable\n");
}

#[test]
fn times_are_read_as_people_type_them() {
    let now = 1_795_176_000_000;
    let read = |text| moment_at(text, now).unwrap();
    assert_eq!(read("2026-11-20"), 1_795_132_800_000);
    assert_eq!(read("2026-11-20T08:00Z"), 1_795_161_600_000);
    assert_eq!(now - read("1h"), 3_600_000);
    assert_eq!(now - read("30d"), 2_592_000_000);
    assert!(moment_at("soon", now).is_err());
}
