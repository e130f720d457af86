//! The ledger on the disk, as its one writer sees it: segments, tiles, checkpoints.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use serde_json::{Map, Value};
use tlog_tiles::record_hash;

use super::entry::write_line;
use super::note::{self, PastHead, Signer};
use super::segment::{self, LINES, Opener, Reader, Segment};
use super::tree::{Edge, Tiles, partial_tiles, write_whole};
use super::writer::now;
use super::{Entry, LedgerError, Record, SignedHead, Step};

pub(super) const CHECKPOINT: &str = "checkpoint";
pub(super) const PAST_CHECKPOINTS: &str = "checkpoints.jsonl";

/// A checkpoint is due after so many entries, but no oftener than once in `SIGN_PAUSE`, or after
/// so long if there is anything new.
const SIGN_ENTRIES: u64 = 256;
const SIGN_PAUSE: Duration = Duration::from_secs(1);
const SIGN_INTERVAL: Duration = Duration::from_secs(60);
/// How much, and for how long, entries nobody waits for may stay off the disk.
const SYNC_BYTES: usize = 1024 * 1024;
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct Journal {
    dir: PathBuf,
    opener: Opener,
    segment: Segment,
    tiles: Tiles,
    edge: Edge,
    signer: Signer,
    head: SignedHead,
    past: File,
    past_len: u64,
    signed_at: Instant,
    dirty_since: Option<Instant>,
    /// Held as long as the journal lives.
    _lock: File,
}

impl Journal {
    pub(super) fn open(dir: &Path, key: SigningKey, origin: &str) -> Result<Self, LedgerError> {
        Self::open_on(dir, key, origin, Box::new(segment::open_file))
    }

    pub(super) fn open_on(
        dir: &Path,
        key: SigningKey,
        origin: &str,
        opener: Opener,
    ) -> Result<Self, LedgerError> {
        let signer = Signer::new(key, origin)?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir.join("entries"))
            .map_err(LedgerError::io(dir))?;
        let lock = lock(dir)?;

        let mut damage = Damage::default();
        let past_path = dir.join(PAST_CHECKPOINTS);
        damage.cut(&past_path)?;
        let past = segment::appender(&past_path).map_err(LedgerError::io(&past_path))?;
        let past_len = past.metadata().map_err(LedgerError::io(&past_path))?.len();
        if let Some(last) = segment::list(dir)?.last() {
            damage.cut(&segment::path(dir, *last))?;
        }

        let tiles = Tiles::new(dir);
        let signed = damage.read_head(dir, &signer)?;
        let (edge, head) = damage.read_tree(dir, &tiles, signed)?;
        let file = edge.size() / LINES;
        let path = segment::path(dir, file);
        let segment = Segment::open(&path, file, &opener).map_err(LedgerError::io(&path))?;
        let mut journal = Self {
            dir: dir.to_owned(),
            opener,
            segment,
            tiles,
            head: match &head {
                Some(head) => head.clone(),
                None => signer.sign(edge.size(), edge.root().map_err(tree)?)?,
            },
            edge,
            signer,
            past,
            past_len,
            signed_at: Instant::now(),
            dirty_since: None,
            _lock: lock,
        };
        if head.is_none() {
            journal.publish(journal.head.clone())?;
        }
        if let Some(entry) = damage.entry() {
            journal.append(std::iter::once(&entry))?;
            journal.sign()?;
        }
        Ok(journal)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn head(&self) -> &SignedHead {
        &self.head
    }

    /// How many entries the next [`Journal::append`] may take.
    pub(super) fn room(&self) -> usize {
        usize::try_from(LINES - self.edge.size() % LINES).unwrap_or(usize::MAX)
    }

    /// Appends to the current segment, all entries or none. Returns the number of the first.
    pub(super) fn append<'a>(
        &mut self,
        entries: impl Iterator<Item = &'a Entry>,
    ) -> Result<u64, LedgerError> {
        let first = self.edge.size();
        self.turn(first / LINES)?;
        let mut text = String::new();
        let mut leaves = Vec::new();
        for (seq, entry) in (first..).zip(entries) {
            let start = text.len();
            write_line(&mut text, entry, seq);
            leaves.push(record_hash(text.as_bytes().get(start..).unwrap_or_default()));
            text.push('\n');
        }
        self.segment.append(text.as_bytes()).map_err(self.segment_error())?;
        self.dirty_since.get_or_insert_with(Instant::now);
        for leaf in leaves {
            self.edge.push(leaf);
        }
        Ok(first)
    }

    pub(super) fn sync(&mut self) -> Result<(), LedgerError> {
        self.segment.sync().map_err(self.segment_error())?;
        self.dirty_since = None;
        Ok(())
    }

    pub(super) fn sync_if_due(&mut self) -> Result<(), LedgerError> {
        let late = self.dirty_since.is_some_and(|since| since.elapsed() >= SYNC_INTERVAL);
        if late || self.segment.unsynced() >= SYNC_BYTES {
            self.sync()?;
        }
        Ok(())
    }

    pub(super) fn sign_if_due(&mut self) -> Result<(), LedgerError> {
        if self.sign_due_in().is_some_and(|rest| rest.is_zero()) {
            self.sign()?;
        }
        Ok(())
    }

    /// How long the writer may rest before it has to sync or sign.
    pub(super) fn due(&self) -> Option<Duration> {
        let sync = self.dirty_since.map(|since| SYNC_INTERVAL.saturating_sub(since.elapsed()));
        sync.into_iter().chain(self.sign_due_in()).min()
    }

    fn sign_due_in(&self) -> Option<Duration> {
        let new = self.edge.size() - self.head.size;
        let pause = match new {
            0 => return None,
            1..SIGN_ENTRIES => SIGN_INTERVAL,
            _ => SIGN_PAUSE,
        };
        Some(pause.saturating_sub(self.signed_at.elapsed()))
    }

    /// Signs a checkpoint over all entries. What it covers is on the disk before it is.
    pub(super) fn sign(&mut self) -> Result<(), LedgerError> {
        self.sync()?;
        if self.edge.size() > self.head.size {
            let root = self.edge.root().map_err(tree)?;
            let head = self.signer.sign(self.edge.size(), root)?;
            self.publish(head)?;
        }
        Ok(())
    }

    fn publish(&mut self, head: SignedHead) -> Result<(), LedgerError> {
        let io = |error| LedgerError::io(&self.dir.join("tile"))(error);
        for (tile, data) in self.edge.full() {
            self.tiles.write(tile, data).map_err(io)?;
        }
        let partial = self.edge.partial();
        for (tile, data) in &partial {
            self.tiles.write(tile, data).map_err(io)?;
        }

        let path = self.dir.join(CHECKPOINT);
        write_whole(&path, head.note.as_bytes(), true).map_err(LedgerError::io(&path))?;
        sync_dir(&self.dir)?;
        // After the checkpoint: a reader takes the last of these for no newer than that.
        self.keep(&head)?;

        for (tile, _) in self.edge.full() {
            self.tiles.remove_partials(tile);
        }
        for old in partial_tiles(self.head.size) {
            if partial.iter().all(|(tile, _)| *tile != old) {
                self.tiles.remove(&old);
            }
        }
        self.edge.forget_full();
        self.head = head;
        self.signed_at = Instant::now();
        Ok(())
    }

    fn keep(&mut self, head: &SignedHead) -> Result<(), LedgerError> {
        let path = self.dir.join(PAST_CHECKPOINTS);
        let past = PastHead { at: now(), note: head.note.clone() };
        let mut line = serde_json::to_vec(&past).map_err(|error| LedgerError::Entry(error.to_string()))?;
        line.push(b'\n');
        self.past
            .set_len(self.past_len)
            .and_then(|()| self.past.write_all(&line))
            .and_then(|()| self.past.sync_data())
            .map_err(LedgerError::io(&path))?;
        self.past_len += line.len() as u64;
        Ok(())
    }

    /// Goes to the segment `file`, once the one before it is safe.
    fn turn(&mut self, file: u64) -> Result<(), LedgerError> {
        if self.segment.file == file {
            return Ok(());
        }
        self.sync()?;
        let path = segment::path(&self.dir, file);
        let open = Segment::open(&path, file, &self.opener).map_err(LedgerError::io(&path))?;
        sync_dir(&self.dir.join("entries"))?;
        self.segment = open;
        Ok(())
    }

    fn segment_error(&self) -> impl FnOnce(io::Error) -> LedgerError + use<> {
        let path = segment::path(&self.dir, self.segment.file);
        move |source| LedgerError::Io { path, source }
    }
}

/// What [`Journal::open`] finds in a state that a clean stop does not leave.
#[derive(Default)]
struct Damage {
    cut: Map<String, Value>,
    findings: Vec<String>,
}

impl Damage {
    fn cut(&mut self, path: &Path) -> Result<(), LedgerError> {
        let bytes = segment::cut_torn_line(path).map_err(LedgerError::io(path))?;
        if bytes > 0 {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            self.cut.insert(name.into_owned(), bytes.into());
        }
        Ok(())
    }

    /// The signed checkpoint, if there is one that holds.
    fn read_head(&mut self, dir: &Path, signer: &Signer) -> Result<Option<SignedHead>, LedgerError> {
        let path = dir.join(CHECKPOINT);
        let note = match std::fs::read(&path) {
            Ok(note) => note,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !segment::list(dir)?.is_empty() {
                    self.findings.push("the signed checkpoint was gone".into());
                }
                return Ok(None);
            }
            Err(error) => return Err(LedgerError::io(&path)(error)),
        };
        match note::open(&note, &signer.verifying_key()) {
            Ok(head) => Ok(Some(head)),
            Err(error) => {
                self.findings.push(error.to_string());
                Ok(None)
            }
        }
    }

    /// The tree over all entries, from the tiles of the checkpoint and the entries after it, or
    /// from all entries if the tiles do not lead to the signed root. The checkpoint only comes
    /// back if the tree continues it.
    fn read_tree(
        &mut self,
        dir: &Path,
        tiles: &Tiles,
        signed: Option<SignedHead>,
    ) -> Result<(Edge, Option<SignedHead>), LedgerError> {
        let leads_to =
            |edge: &Edge, head: &SignedHead| edge.root().is_ok_and(|root| root.to_string() == head.root);
        let loaded = match &signed {
            Some(head) => Edge::load(tiles, head.size)
                .map_err(LedgerError::io(dir))?
                .filter(|edge| leads_to(edge, head)),
            None => None,
        };
        let mut confirmed = loaded.is_some();
        let mut edge = loaded.unwrap_or_default();
        let start = edge.size();
        for line in Reader::open_from(dir, start)? {
            let line = line?;
            let position = line.place.file * LINES + line.place.line - 1;
            let seq = Record::parse(&line.bytes).map_or(position, |record| record.seq);
            if seq >= start {
                edge.push(record_hash(&line.bytes));
                confirmed |=
                    signed.as_ref().is_some_and(|head| head.size == edge.size() && leads_to(&edge, head));
            }
        }
        if signed.is_some() && !confirmed {
            self.findings.push("neither the tiles nor the entries lead to the signed root".into());
        }
        Ok((edge, signed.filter(|_| confirmed)))
    }

    fn entry(self) -> Option<Entry> {
        let mut entry = Entry::new(now(), Step::Recovered);
        if !self.cut.is_empty() {
            entry = entry.with("torn_bytes", self.cut);
        }
        if !self.findings.is_empty() {
            entry = entry.with("findings", self.findings);
        }
        (!entry.detail.is_empty()).then_some(entry)
    }
}

fn lock(dir: &Path) -> Result<File, LedgerError> {
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(LedgerError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::Locked(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(LedgerError::io(&path)(error)),
    }
}

fn sync_dir(dir: &Path) -> Result<(), LedgerError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(LedgerError::io(dir))
}

fn tree(error: tlog_tiles::Error) -> LedgerError {
    LedgerError::Checkpoint(format!("cannot compute the root: {error}"))
}
