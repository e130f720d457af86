//! Proofs that can be shown to others and checked offline, without the rest of the ledger: that an entry is in it, as
//! `c2sp.org/tlog-proof` text, and that it continues what an earlier checkpoint covered, as a witness is asked in
//! `c2sp.org/tlog-witness`.

use std::fmt::Write as _;
use std::path::Path;

use data_encoding::BASE64;
use ed25519_dalek::VerifyingKey;
use tlog_tiles::{
    EMPTY_HASH, Hash, TileHashReader, TreeProof, check_record, check_tree, prove_record, prove_tree,
    record_hash,
};

use super::journal::CHECKPOINT;
use super::note;
use super::segment::Reader;
use super::tree::Tiles;
use super::{LedgerError, Record, SignedHead};

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// The newest checkpoint; `None` before the first one is signed.
pub fn head(dir: &Path, key: &VerifyingKey) -> Result<Option<SignedHead>, LedgerError> {
    let path = dir.join(CHECKPOINT);
    match std::fs::read(&path) {
        Ok(note) => note::open(&note, key).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LedgerError::io(&path)(error)),
    }
}

/// Proves that the newest checkpoint covers entry `seq`. The entry goes with it, so that the text is all that is
/// needed to check it.
pub fn prove(dir: &Path, key: &VerifyingKey, seq: u64) -> Result<String, LedgerError> {
    let path = dir.join(CHECKPOINT);
    let note = std::fs::read(&path).map_err(LedgerError::io(&path))?;
    let head = note::open(&note, key)?;
    if seq >= head.size {
        return Err(LedgerError::NoEntry { seq, size: head.size });
    }
    let tiles = Tiles::new(dir);
    let reader = TileHashReader::new(head.size, root(&head)?, &tiles);
    let path = prove_record(head.size, seq, &reader).map_err(refuse)?;
    let entry = Reader::open_from(dir, seq)?
        .filter_map(Result::ok)
        .find(|line| Record::parse(&line.bytes).is_ok_and(|record| record.seq == seq))
        .ok_or_else(|| refuse(format!("entry {seq} is signed, but its line is gone")))?;
    let mut text = format!("{HEADER}\nextra {}\nindex {seq}\n", BASE64.encode(&entry.bytes));
    for hash in path {
        let _ = writeln!(text, "{hash}");
    }
    text.push('\n');
    text.push_str(&head.note);
    Ok(text)
}

/// The entry that goes with a proof.
pub fn entry_of(proof: &str) -> Result<Vec<u8>, LedgerError> {
    let extra = proof.lines().nth(1).and_then(|line| line.strip_prefix("extra "));
    let extra = extra.ok_or_else(|| refuse("no entry goes with it: give it as a file of its own"))?;
    BASE64.decode(extra.as_bytes()).map_err(refuse)
}

/// Checks a proof against the bytes of an entry (without line feed). Returns the entry's number
/// and the checkpoint that covers it.
pub fn check_proof(proof: &str, entry: &[u8], key: &VerifyingKey) -> Result<(u64, SignedHead), LedgerError> {
    let (path, note) =
        proof.split_once("\n\n").ok_or_else(|| refuse("no empty line before the checkpoint"))?;
    let mut lines = path.lines();
    if lines.next() != Some(HEADER) {
        return Err(refuse(format!("does not begin with {HEADER}")));
    }
    let mut line = lines.next().unwrap_or_default();
    if line.starts_with("extra ") {
        line = lines.next().unwrap_or_default();
    }
    let seq =
        line.strip_prefix("index ").and_then(|index| index.parse().ok()).ok_or_else(|| refuse("no index"))?;
    let path = lines.map(Hash::parse_hash).collect::<Result<Vec<_>, _>>().map_err(refuse)?;
    let head = note::open(note.as_bytes(), key)?;
    check_record(&path, head.size, root(&head)?, seq, record_hash(entry)).map_err(refuse)?;
    Ok((seq, head))
}

/// Proves that the newest checkpoint continues `kept`: the body of a request to a witness.
pub fn prove_consistency(dir: &Path, key: &VerifyingKey, kept: &[u8]) -> Result<String, LedgerError> {
    let kept = note::open(kept, key)?;
    let newest = head(dir, key)?.ok_or_else(|| refuse("no checkpoint is signed here yet"))?;
    let mut text = format!("old {}\n", kept.size);
    for hash in consistency(&Tiles::new(dir), &kept, &newest)? {
        let _ = writeln!(text, "{hash}");
    }
    text.push('\n');
    text.push_str(&newest.note);
    Ok(text)
}

/// Checks such a proof against the checkpoint that was kept. Returns both.
pub fn check_consistency(
    proof: &str,
    kept: &[u8],
    key: &VerifyingKey,
) -> Result<(SignedHead, SignedHead), LedgerError> {
    let (path, note) =
        proof.split_once("\n\n").ok_or_else(|| refuse("no empty line before the checkpoint"))?;
    let mut lines = path.lines();
    let old = lines.next().and_then(|line| line.strip_prefix("old ")?.parse::<u64>().ok());
    let path = lines.map(Hash::parse_hash).collect::<Result<Vec<_>, _>>().map_err(refuse)?;
    let (kept, newest) = (note::open(kept, key)?, note::open(note.as_bytes(), key)?);
    if old != Some(kept.size) {
        return Err(refuse(format!("it does not begin at the {} entries of the kept checkpoint", kept.size)));
    }
    follows(&path, &kept, &newest)?;
    Ok((kept, newest))
}

/// The hashes that lead from one signed head to a later one, read from the tiles and checked.
pub(super) fn consistency(
    tiles: &Tiles,
    old: &SignedHead,
    new: &SignedHead,
) -> Result<TreeProof, LedgerError> {
    let reader = TileHashReader::new(new.size, root(new)?, tiles);
    let path = match old.size {
        // Everything continues nothing.
        0 => Vec::new(),
        size if size > new.size => {
            return Err(refuse(format!("{size} entries cannot come before {}", new.size)));
        }
        size => prove_tree(new.size, size, &reader).map_err(refuse)?,
    };
    follows(&path, old, new)?;
    Ok(path)
}

fn follows(path: &TreeProof, old: &SignedHead, new: &SignedHead) -> Result<(), LedgerError> {
    let (before, after) = (root(old)?, root(new)?);
    match old.size {
        0 if path.is_empty() && before == EMPTY_HASH => Ok(()),
        0 => Err(refuse("there is nothing to lead from")),
        size => check_tree(path, new.size, after, size, before).map_err(refuse),
    }
}

fn root(head: &SignedHead) -> Result<Hash, LedgerError> {
    Hash::parse_hash(&head.root).map_err(refuse)
}

fn refuse(error: impl std::fmt::Display) -> LedgerError {
    LedgerError::Proof(error.to_string())
}
