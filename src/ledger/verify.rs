//! Finds what was done to a ledger, and names it.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use ed25519_dalek::VerifyingKey;
use tlog_tiles::{Hash, Tile, record_hash};

use super::journal::{CHECKPOINT, PAST_CHECKPOINTS};
use super::note::{self, PastHead};
use super::proof::consistency;
use super::segment::{Line, Place, Reader};
use super::tree::{Edge, Tiles, hashes, leaf_tile};
use super::{LedgerError, Record, SignedHead};

/// More than this many problems are counted, not listed.
const LISTED: usize = 1000;

#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Lines found in the segments.
    pub entries: u64,
    /// Entries that the newest checkpoint covers. The rest is not signed yet.
    pub signed: u64,
    /// Checkpoints whose signature holds.
    pub checkpoints: u64,
    /// The signed root, in base64.
    pub root: Option<String>,
    /// What leads from a checkpoint that was kept elsewhere to the newest one, if it does.
    pub continued: Option<Continued>,
    /// The line that is incomplete, if the last one is: still being written, or cut by a kill.
    pub torn: Option<Place>,
    pub problems: Vec<Problem>,
    /// Problems beyond those listed.
    pub more: u64,
}

/// A consistency proof (RFC 6962) that holds, in figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continued {
    /// Entries that the kept checkpoint covers.
    pub from: u64,
    /// Entries that the newest one covers.
    pub to: u64,
    pub hashes: usize,
}

impl Report {
    pub fn is_intact(&self) -> bool {
        self.problems.is_empty()
    }

    fn add(&mut self, problem: Problem) {
        if self.problems.len() < LISTED {
            self.problems.push(problem);
        } else {
            self.more += 1;
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    #[error("entry {seq} ({place}): bytes changed: its leaf hash differs from {tile}")]
    Changed { seq: u64, place: Place, tile: String },
    #[error("entry {seq} ({place}): cannot be read: {why}")]
    Unreadable { seq: u64, place: Place, why: String },
    #[error("entry {seq} ({place}) stands out of order")]
    Misplaced { seq: u64, place: Place },
    #[error("entry {seq} ({place}) stands there a second time")]
    Repeated { seq: u64, place: Place },
    #[error("entry {seq} ({place}): its line is cut off")]
    Torn { seq: u64, place: Place },
    #[error("{}", missing(*first, *last))]
    Missing { first: u64, last: u64 },
    #[error("{tile}: differs from the entries it stands for")]
    Tile { tile: String },
    #[error("{tile}: missing or too short")]
    NoTile { tile: String },
    #[error("{file}: {why}")]
    Checkpoint { file: String, why: String },
    #[error("{file}: nothing leads from its {from} entries to the {to} of the newest checkpoint: {why}")]
    Inconsistent { file: String, from: u64, to: u64, why: String },
    #[error("{file}: the signed root over {size} entries is {signed}, the entries lead to {found}")]
    Root { file: String, size: u64, signed: String, found: String },
}

fn missing(first: u64, last: u64) -> String {
    if first == last {
        format!("entry {first} is missing")
    } else {
        format!("entries {first} to {last} are missing")
    }
}

/// Reads the whole ledger in `dir` and holds it against every checkpoint that `key` signed.
///
/// May run while the ledger is being written. What it cannot see: entries after the newest
/// checkpoint that were changed into other well-formed entries, and a ledger put back as a whole
/// to an earlier signed state. Against both, keep checkpoints elsewhere.
pub fn verify(dir: &Path, key: &VerifyingKey) -> Result<Report, LedgerError> {
    verify_against(dir, key, None)
}

/// The same, and against a checkpoint that was kept elsewhere, given with the name to call it by: a proof must lead from
/// it to the newest one, and the ledger must hold every entry it covers and lead to its root.
pub fn verify_against(
    dir: &Path,
    key: &VerifyingKey,
    kept: Option<(&str, &[u8])>,
) -> Result<Report, LedgerError> {
    let mut report = Report::default();
    let mut heads = read_heads(dir, key, &mut report)?;
    let tiles = Tiles::new(dir);
    if let Some((file, note)) = kept {
        let head = Head { file: file.into(), head: note::open(note, key)? };
        compare_kept(&head, heads.last(), &tiles, &mut report);
        let at = heads.partition_point(|known| known.head.size <= head.head.size);
        heads.insert(at, head);
    }

    let mut from_tiles = Walk::new(&heads, &tiles);
    from_tiles.read_tiles()?;
    if from_tiles.agrees {
        find_changes(dir, &heads, &tiles, &mut report)?;
        from_tiles.tell(&mut report);
        return Ok(report);
    }

    // The tiles are not what was signed. If the entries are, only the tiles are damaged.
    let mut from_entries = Walk::new(&heads, &tiles);
    let intact = read_in_order(dir, &mut from_entries, &mut report)?;
    if intact || from_entries.agrees {
        from_entries.tell(&mut report);
    }
    Ok(report)
}

fn compare_kept(kept: &Head, newest: Option<&Head>, tiles: &Tiles, report: &mut Report) {
    let (file, from) = (kept.file.clone(), kept.head.size);
    let Some(newest) = newest.filter(|newest| newest.head.size >= from) else {
        let why = format!("covers {from} entries, and nothing signed here covers as many");
        return report.add(Problem::Checkpoint { file, why });
    };
    let to = newest.head.size;
    match consistency(tiles, &kept.head, &newest.head) {
        Ok(path) => report.continued = Some(Continued { from, to, hashes: path.len() }),
        Err(error) => report.add(Problem::Inconsistent { file, from, to, why: reason(error) }),
    }
}

/// A signed head and the file it was found in.
struct Head {
    file: String,
    head: SignedHead,
}

/// All heads whose signature holds, smallest first.
fn read_heads(dir: &Path, key: &VerifyingKey, report: &mut Report) -> Result<Vec<Head>, LedgerError> {
    let mut heads: Vec<Head> = Vec::new();
    // Before the newest checkpoint, so that a running writer cannot make that look outdated.
    let past = read(&dir.join(PAST_CHECKPOINTS))?.unwrap_or_default();
    let mut lines = past.split_inclusive(|byte| *byte == b'\n');
    let mut number = 0;
    while let Some(line) = lines.next().filter(|line| line.ends_with(b"\n")) {
        number += 1;
        let file = format!("{PAST_CHECKPOINTS}:{number}");
        let opened = serde_json::from_slice::<PastHead>(line)
            .map_err(|error| LedgerError::Checkpoint(error.to_string()))
            .and_then(|past| note::open(past.note.as_bytes(), key));
        match opened {
            Ok(head) => heads.push(Head { file, head }),
            Err(error) => report.add(Problem::Checkpoint { file, why: reason(error) }),
        }
    }
    let first = heads.first().map(|head| head.head.size);
    if let Some(pair) = heads.windows(2).find_map(|pair| match pair {
        [before, after] if after.head.size < before.head.size => Some(after),
        _ => None,
    }) {
        report.add(Problem::Checkpoint {
            file: pair.file.clone(),
            why: "covers fewer entries than the one before it".into(),
        });
    }
    let largest = heads.iter().map(|head| head.head.size).max();

    let refuse = |why: String| Problem::Checkpoint { file: CHECKPOINT.into(), why };
    match read(&dir.join(CHECKPOINT))? {
        None => report.add(refuse("missing: nothing says what this ledger held".into())),
        Some(note) => match note::open(&note, key) {
            Err(error) => report.add(refuse(reason(error))),
            Ok(head) => {
                // The first checkpoint of a ledger covers nothing.
                if first.is_none_or(|first| first > 0) && head.size > 0 {
                    let why = "the checkpoints that were signed at first are gone".into();
                    report.add(Problem::Checkpoint { file: PAST_CHECKPOINTS.into(), why });
                }
                if let Some(largest) = largest.filter(|largest| *largest > head.size) {
                    report.add(refuse(format!(
                        "covers {} entries, but one over {largest} was signed before",
                        head.size
                    )));
                }
                if heads.last().is_none_or(|last| last.head != head) {
                    heads.push(Head { file: CHECKPOINT.into(), head });
                }
            }
        },
    }
    heads.sort_by_key(|head| head.head.size);
    report.checkpoints = heads.len() as u64;
    if let Some(newest) = heads.last() {
        report.signed = newest.head.size;
        report.root = Some(newest.head.root.clone());
    }
    Ok(heads)
}

/// An error without the words that its problem says already.
fn reason(error: LedgerError) -> String {
    match error {
        LedgerError::Checkpoint(why) | LedgerError::Entry(why) | LedgerError::Proof(why) => why,
        other => other.to_string(),
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, LedgerError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LedgerError::io(path)(error)),
    }
}

/// Rebuilds the tree leaf by leaf, and compares it with every signed head and every tile.
struct Walk<'a> {
    heads: std::iter::Peekable<std::slice::Iter<'a, Head>>,
    size: u64,
    disk: &'a Tiles,
    edge: Edge,
    /// Whether the newest head has been reached, and its root found.
    agrees: bool,
    found: Vec<Problem>,
}

impl<'a> Walk<'a> {
    fn new(heads: &'a [Head], disk: &'a Tiles) -> Self {
        let size = heads.last().map_or(0, |head| head.head.size);
        let mut walk = Self {
            heads: heads.iter().peekable(),
            size,
            disk,
            edge: Edge::default(),
            agrees: false,
            found: Vec::new(),
        };
        walk.compare_heads();
        walk
    }

    /// Feeds the leaves from the tiles themselves.
    fn read_tiles(&mut self) -> Result<(), LedgerError> {
        while self.edge.size() < self.size {
            let tile = leaf_tile(self.edge.size(), self.size);
            let Some(data) = self.load(&tile)? else {
                return Ok(());
            };
            for leaf in hashes(&data) {
                self.push(leaf)?;
            }
        }
        Ok(())
    }

    /// Leaves beyond the newest head are nobody's word: they are not compared.
    fn push(&mut self, leaf: Hash) -> Result<(), LedgerError> {
        if self.edge.size() >= self.size {
            return Ok(());
        }
        self.edge.push(leaf);
        for (tile, data) in self.edge.full().to_vec() {
            self.compare_tile(&tile, &data)?;
        }
        self.edge.forget_full();
        self.compare_heads();
        if self.edge.size() == self.size {
            for (tile, data) in self.edge.partial() {
                self.compare_tile(&tile, &data)?;
            }
        }
        Ok(())
    }

    fn compare_heads(&mut self) {
        while let Some(Head { file, head }) = self.heads.next_if(|head| head.head.size == self.edge.size()) {
            let found = match self.edge.root() {
                Ok(root) => root.to_string(),
                Err(error) => error.to_string(),
            };
            self.agrees = found == head.root;
            if !self.agrees {
                self.found.push(Problem::Root {
                    file: file.clone(),
                    size: head.size,
                    signed: head.root.clone(),
                    found,
                });
            }
        }
        self.agrees &= self.heads.peek().is_none();
    }

    fn compare_tile(&mut self, tile: &Tile, data: &[u8]) -> Result<(), LedgerError> {
        match self.load(tile)? {
            Some(stored) if stored == data => {}
            Some(_) => self.found.push(Problem::Tile { tile: Tiles::name(tile) }),
            None => self.found.push(Problem::NoTile { tile: Tiles::name(tile) }),
        }
        Ok(())
    }

    fn load(&self, tile: &Tile) -> Result<Option<Vec<u8>>, LedgerError> {
        self.disk.read(tile).map_err(LedgerError::io(Path::new(&Tiles::name(tile))))
    }

    fn tell(self, report: &mut Report) {
        for problem in self.found {
            report.add(problem);
        }
    }
}

/// The signed leaf hashes, read tile by tile.
struct Leaves<'a> {
    tiles: &'a Tiles,
    size: u64,
    loaded: HashMap<u64, Vec<Hash>>,
}

impl Leaves<'_> {
    fn get(&mut self, seq: u64) -> Result<Option<Hash>, LedgerError> {
        if seq >= self.size {
            return Ok(None);
        }
        let tile = leaf_tile(seq, self.size);
        let index = tile.level_index();
        if !self.loaded.contains_key(&index) {
            // Entries come nearly in order: a few tiles are enough, whatever the size.
            if self.loaded.len() >= 16 {
                self.loaded.clear();
            }
            let data = self.tiles.read(&tile).map_err(LedgerError::io(Path::new(&Tiles::name(&tile))))?;
            self.loaded.insert(index, hashes(&data.unwrap_or_default()).collect());
        }
        let within = usize::try_from(seq % 256).ok();
        Ok(self.loaded.get(&index).and_then(|leaves| leaves.get(within?).copied()))
    }
}

/// Holds every line against the signed leaves: tells changed entries from missing, moved and
/// repeated ones.
fn find_changes(dir: &Path, heads: &[Head], tiles: &Tiles, report: &mut Report) -> Result<(), LedgerError> {
    let size = heads.last().map_or(0, |head| head.head.size);
    let mut leaves = Leaves { tiles, size, loaded: HashMap::new() };
    let mut seen = vec![false; usize::try_from(size).unwrap_or(usize::MAX)];
    let mut expected = 0;
    let mut lines = Reader::open(dir)?.peekable();
    while let Some(line) = lines.next() {
        let line = line?;
        let last = lines.peek().is_none();
        let leaf = record_hash(&line.bytes);
        let claimed = Record::parse(&line.bytes);
        let place = line.place;

        if leaves.get(expected)? == Some(leaf) {
            see(&mut seen, expected);
            if !line.whole {
                report.add(Problem::Torn { seq: expected, place });
            }
            report.entries += 1;
            expected += 1;
            continue;
        }
        let genuine = match &claimed {
            Ok(record) if leaves.get(record.seq)? == Some(leaf) => Some(record.seq),
            _ => None,
        };
        if let Some(seq) = genuine {
            report.entries += 1;
            if see(&mut seen, seq) {
                report.add(Problem::Repeated { seq, place });
            } else if seq < expected {
                report.add(Problem::Misplaced { seq, place });
            } else {
                expected = seq + 1;
            }
        } else if expected < size {
            report.entries += 1;
            see(&mut seen, expected);
            report.add(Problem::Changed {
                seq: expected,
                place,
                tile: Tiles::name(&leaf_tile(expected, size)),
            });
            expected += 1;
        } else {
            follow(&line, last, claimed, &mut expected, report);
        }
    }
    let mut seq = 0;
    for run in seen.chunk_by(|one, next| one == next) {
        let next = seq + run.len() as u64;
        if run.first() == Some(&false) {
            report.add(Problem::Missing { first: seq, last: next - 1 });
        }
        seq = next;
    }
    Ok(())
}

/// Remembers that an entry was met. Says whether it had been met before.
fn see(seen: &mut [bool], seq: u64) -> bool {
    usize::try_from(seq)
        .ok()
        .and_then(|seq| seen.get_mut(seq))
        .is_some_and(|seen| std::mem::replace(seen, true))
}

/// Feeds the walk from the entries. Says whether their numbers run on without a break.
fn read_in_order(dir: &Path, walk: &mut Walk<'_>, report: &mut Report) -> Result<bool, LedgerError> {
    let before = report.problems.len();
    let mut expected = 0;
    let mut lines = Reader::open(dir)?.peekable();
    while let Some(line) = lines.next() {
        let line = line?;
        let last = lines.peek().is_none();
        if follow(&line, last, Record::parse(&line.bytes), &mut expected, report) {
            walk.push(record_hash(&line.bytes))?;
        }
    }
    if expected < walk.size {
        report.add(Problem::Missing { first: expected, last: walk.size - 1 });
    }
    Ok(report.problems.len() == before)
}

/// Checks a line by its number alone, where no signed leaf says more. Says whether it counts as
/// an entry.
fn follow(
    line: &Line,
    last: bool,
    claimed: Result<Record, LedgerError>,
    expected: &mut u64,
    report: &mut Report,
) -> bool {
    let place = line.place;
    if last && !line.whole {
        report.torn = Some(place);
        return false;
    }
    report.entries += 1;
    match claimed {
        Ok(record) => {
            let seq = record.seq;
            if seq > *expected {
                report.add(Problem::Missing { first: *expected, last: seq - 1 });
            } else if seq < *expected {
                report.add(Problem::Misplaced { seq, place });
            }
            *expected = seq.saturating_add(1).max(*expected);
        }
        Err(error) => {
            report.add(Problem::Unreadable { seq: *expected, place, why: reason(error) });
            *expected += 1;
        }
    }
    true
}
