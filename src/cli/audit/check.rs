//! Checking that nobody has touched the record: all of it, one entry, one decision.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use ed25519_dalek::VerifyingKey;
use serde_json::Value;

use super::{LEDGER, VerifyProof, plain, time};
use crate::gate::check_receipt;
use crate::ledger::{self, Reader, Record, Report};

/// Fails if anything is not as it was signed.
pub fn verify(
    data_dir: &Path,
    kept: Option<&Path>,
    key: Option<&Path>,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let key = public_key(data_dir, key)?;
    let name = kept.map(|path| path.display().to_string());
    let note = kept.map(read).transpose()?;
    let kept = name.as_deref().zip(note.as_deref());
    let report = ledger::verify_against(&data_dir.join(LEDGER), &key, kept)?;
    print_report(&report, out)?;
    if let (true, Some(path), Some((name, _))) = (report.is_intact(), &report.continued, kept) {
        let [from, to] = [path.from, path.to].map(grouped);
        writeln!(
            out,
            "continues {name}: {from} entries then, {to} now, consistent by {} hashes",
            path.hashes
        )?;
    }
    Ok(if report.is_intact() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(super) fn proof(data_dir: &Path, seq: u64, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let proof = ledger::prove(&data_dir.join(LEDGER), &public_key(data_dir, None)?, seq)?;
    out.write_all(proof.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn consistency(data_dir: &Path, kept: &Path, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let key = public_key(data_dir, None)?;
    let proof = ledger::prove_consistency(&data_dir.join(LEDGER), &key, &read(kept)?)?;
    out.write_all(proof.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Checks a proof without the ledger, and shows what it is about.
pub(super) fn verify_proof(
    data_dir: &Path,
    wanted: &VerifyProof,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let VerifyProof { proof, entry, checkpoint, key } = wanted;
    let proof = String::from_utf8(read(proof)?).context("the proof is not text")?;
    let key = public_key(data_dir, key.as_deref())?;
    if let Some(kept) = checkpoint {
        let (old, new) = ledger::check_consistency(&proof, &read(kept)?, &key)?;
        let [from, to] = [old.size, new.size].map(grouped);
        writeln!(
            out,
            "the ledger {:?} continues {}: {from} entries then, {to} now",
            new.origin,
            kept.display()
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    if proof.starts_with("old ") {
        bail!("this proof leads from an earlier checkpoint: give that with --checkpoint");
    }
    let entry = match entry {
        Some(path) => read(path)?.trim_ascii_end().to_vec(),
        None => ledger::entry_of(&proof)?,
    };
    let (seq, head) = ledger::check_proof(&proof, &entry, &key)?;
    writeln!(
        out,
        "entry {seq} is in the ledger {:?}: its checkpoint over {} entries holds",
        head.origin, head.size
    )?;
    writeln!(out, "{}", plain(&String::from_utf8_lossy(&entry)))?;
    Ok(ExitCode::SUCCESS)
}

/// Checks a receipt in a file, or that of a hold, which is looked up in the ledger.
pub(super) fn verify_receipt(
    data_dir: &Path,
    which: &str,
    key: Option<&Path>,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let key = public_key(data_dir, key)?;
    let file = PathBuf::from(which);
    if file.is_file() {
        let receipt = check_receipt(&read(&file)?, &key)?;
        print_receipt(&receipt, out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut found = false;
    for (seq, receipt) in receipts_of(&data_dir.join(LEDGER), which)? {
        let receipt = check_receipt(receipt.to_string().as_bytes(), &key)
            .with_context(|| format!("the receipt in entry {seq} does not hold"))?;
        writeln!(out, "entry     {seq}")?;
        print_receipt(&receipt, out)?;
        found = true;
    }
    if !found {
        bail!("{which:?} is neither a file nor a hold with a receipt in this ledger");
    }
    Ok(ExitCode::SUCCESS)
}

fn receipts_of(dir: &Path, hold: &str) -> anyhow::Result<Vec<(u64, Value)>> {
    let mut receipts = Vec::new();
    for line in Reader::open(dir)? {
        let Ok(mut record) = Record::parse(&line?.bytes) else { continue };
        let Some(receipt) = record.detail.remove("receipt") else { continue };
        if receipt.get("hold").and_then(Value::as_str) == Some(hold) {
            receipts.push((record.seq, receipt));
        }
    }
    Ok(receipts)
}

fn print_receipt(receipt: &Value, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "the signature holds")?;
    for (name, value) in receipt.as_object().into_iter().flatten().filter(|(name, _)| *name != "signature") {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Number(ms) if name.ends_with("_at") => ms.as_i64().map(time).unwrap_or_default(),
            other => other.to_string(),
        };
        // What a passkey said stands beside the signed words, and speaks for itself.
        let unsigned = if name == "evidence" { "  (not signed)" } else { "" };
        writeln!(out, "  {:<16}{}{unsigned}", plain(name), plain(&value))?;
    }
    Ok(())
}

/// The key in a file that is given, else that of the data directory.
fn public_key(data_dir: &Path, given: Option<&Path>) -> anyhow::Result<VerifyingKey> {
    match given {
        Some(path) => Ok(ledger::read_public_key(path)?),
        None => {
            ledger::load_public_key(data_dir).context("without its public key the ledger cannot be checked")
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
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

pub(super) fn grouped(number: u64) -> String {
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
