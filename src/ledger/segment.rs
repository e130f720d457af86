//! The files that hold the entries, 4,096 lines to each.

use std::collections::VecDeque;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{LedgerError, MAX_ENTRY_BYTES, Record};

/// Entries per file: sixteen tiles of the tree.
pub(super) const LINES: u64 = 4096;

/// Where a line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub file: u64,
    /// Counted from one, as editors do.
    pub line: u64,
}

impl Place {
    /// The number of the entry that stands there.
    pub fn seq(self) -> u64 {
        self.file.saturating_mul(LINES).saturating_add(self.line.saturating_sub(1))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", name(self.file), self.line)
    }
}

fn name(file: u64) -> String {
    format!("entries/{file:06}.jsonl")
}

pub(super) fn path(dir: &Path, file: u64) -> PathBuf {
    dir.join(name(file))
}

/// The numbers of the files there are, in order.
pub(super) fn list(dir: &Path) -> Result<Vec<u64>, LedgerError> {
    let entries = dir.join("entries");
    let io = LedgerError::io(&entries);
    let mut files = Vec::new();
    let listing = match std::fs::read_dir(&entries) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        Err(error) => return Err(io(error)),
    };
    for entry in listing {
        let entry = entry.map_err(LedgerError::io(&entries))?;
        let file = entry.file_name();
        let stem = file.to_str().and_then(|name| name.strip_suffix(".jsonl"));
        files.extend(stem.and_then(|stem| stem.parse::<u32>().ok()).map(u64::from));
    }
    files.sort_unstable();
    Ok(files)
}

/// The file in which entries of this time and later begin.
pub(super) fn since(dir: &Path, at: i64) -> Result<u64, LedgerError> {
    let files = list(dir)?;
    let begins_later = |file: &u64| {
        let mut lines = Reader::open_only(dir, [*file, *file]).into_iter().flatten();
        let first = lines.next().and_then(Result::ok).and_then(|line| Record::parse(&line.bytes).ok());
        first.is_some_and(|record| record.at >= at)
    };
    let after = files.partition_point(|file| !begins_later(file));
    Ok(after.checked_sub(1).and_then(|before| files.get(before)).copied().unwrap_or_default())
}

/// What a segment is written to: a file, or in tests a disk that runs full.
pub(super) trait Medium: Send {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;
    fn set_len(&mut self, len: u64) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
}

impl Medium for File {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        Write::write_all(self, bytes)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

pub(super) type Opener = Box<dyn Fn(&Path) -> io::Result<(Box<dyn Medium>, u64)> + Send>;

/// Opens a file to append to it. Says how long it is.
pub(super) fn open_file(path: &Path) -> io::Result<(Box<dyn Medium>, u64)> {
    let file = appender(path)?;
    let len = file.metadata()?.len();
    Ok((Box::new(file), len))
}

pub(super) fn appender(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// A file being appended to, which can be put right after a failed write or sync.
///
/// After a failed sync the kernel may forget what it did not write and report success the next
/// time, so everything since the last good sync is kept here and written again.
pub(super) struct Segment {
    pub(super) file: u64,
    medium: Box<dyn Medium>,
    synced: u64,
    tail: Vec<u8>,
    doubtful: bool,
}

impl Segment {
    pub(super) fn open(path: &Path, file: u64, opener: &Opener) -> io::Result<Self> {
        let (mut medium, synced) = opener(path)?;
        if synced > 0 {
            // Whoever wrote it before may have been killed before it was safe.
            medium.sync()?;
        }
        Ok(Self { file, medium, synced, tail: Vec::new(), doubtful: false })
    }

    pub(super) fn unsynced(&self) -> usize {
        self.tail.len()
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.restore()?;
        if let Err(error) = self.medium.write_all(bytes) {
            self.doubtful = true;
            return Err(error);
        }
        self.tail.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.restore()?;
        if self.tail.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.medium.sync() {
            self.doubtful = true;
            return Err(error);
        }
        self.synced += self.tail.len() as u64;
        self.tail.clear();
        Ok(())
    }

    fn restore(&mut self) -> io::Result<()> {
        if self.doubtful {
            self.medium.set_len(self.synced)?;
            self.medium.write_all(&self.tail)?;
            self.doubtful = false;
        }
        Ok(())
    }
}

/// Cuts an incomplete last line off. Says how many bytes went.
pub(super) fn cut_torn_line(path: &Path) -> io::Result<u64> {
    const CHUNK: u64 = 64 * 1024;
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let len = file.metadata()?.len();
    let mut end = len;
    let mut chunk = Vec::new();
    let keep = loop {
        if end == 0 {
            break 0;
        }
        let start = end.saturating_sub(CHUNK);
        file.seek(SeekFrom::Start(start))?;
        chunk.clear();
        (&file).take(end - start).read_to_end(&mut chunk)?;
        if let Some(at) = memchr::memrchr(b'\n', &chunk) {
            break start + at as u64 + 1;
        }
        end = start;
    };
    if keep < len {
        file.set_len(keep)?;
        file.sync_all()?;
    }
    Ok(len - keep)
}

/// One line of a segment, whatever it contains.
#[derive(Debug, Clone)]
pub struct Line {
    pub place: Place,
    /// Without the line feed.
    pub bytes: Vec<u8>,
    /// False if no line feed followed: the line is still being written, or was torn.
    pub whole: bool,
}

/// Reads the lines of all segments in order.
#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    files: VecDeque<u64>,
    current: Option<(Place, BufReader<File>)>,
}

impl Reader {
    pub fn open(dir: &Path) -> Result<Self, LedgerError> {
        Self::open_from(dir, 0)
    }

    /// Begins at the file that holds entry `seq`.
    pub fn open_from(dir: &Path, seq: u64) -> Result<Self, LedgerError> {
        let mut files: VecDeque<u64> = list(dir)?.into();
        files.retain(|file| *file >= seq / LINES);
        Ok(Self { dir: dir.to_owned(), files, current: None })
    }

    /// Reads these files only, those that are there.
    pub(super) fn open_only(dir: &Path, files: [u64; 2]) -> Result<Self, LedgerError> {
        let mut there: VecDeque<u64> = list(dir)?.into();
        there.retain(|file| files.contains(file));
        Ok(Self { dir: dir.to_owned(), files: there, current: None })
    }

    fn read(&mut self) -> Result<Option<Line>, LedgerError> {
        loop {
            let Some((place, reader)) = &mut self.current else {
                let Some(file) = self.files.pop_front() else {
                    return Ok(None);
                };
                let path = path(&self.dir, file);
                let opened = File::open(&path).map_err(LedgerError::io(&path))?;
                self.current = Some((Place { file, line: 0 }, BufReader::new(opened)));
                continue;
            };
            let mut bytes = Vec::new();
            // A line without end must not fill the memory: it comes in pieces and fits nowhere.
            reader
                .take(MAX_ENTRY_BYTES as u64 + 1)
                .read_until(b'\n', &mut bytes)
                .map_err(LedgerError::io(&path(&self.dir, place.file)))?;
            if bytes.is_empty() {
                self.current = None;
                continue;
            }
            place.line += 1;
            let place = *place;
            let whole = bytes.pop_if(|last| *last == b'\n').is_some();
            if !whole && bytes.len() <= MAX_ENTRY_BYTES {
                // The end: what a writer adds from now on would look like another line.
                self.current = None;
            }
            return Ok(Some(Line { place, bytes, whole }));
        }
    }
}

impl Iterator for Reader {
    type Item = Result<Line, LedgerError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// Reads whole lines from the newest to the oldest, one file in memory at a time.
#[derive(Debug)]
pub struct Backwards {
    dir: PathBuf,
    /// The files that are still to come, the newest last.
    files: Vec<u64>,
    lines: Vec<Line>,
    before: u64,
}

impl Backwards {
    /// Begins below entry `before`, or at the end.
    pub fn open(dir: &Path, before: Option<u64>) -> Result<Self, LedgerError> {
        let before = before.unwrap_or(u64::MAX);
        let mut files = list(dir)?;
        files.retain(|file| file.saturating_mul(LINES) < before);
        Ok(Self { dir: dir.to_owned(), files, lines: Vec::new(), before })
    }

    fn read(&mut self) -> Result<Option<Line>, LedgerError> {
        loop {
            if let Some(line) = self.lines.pop() {
                return Ok(Some(line));
            }
            let Some(file) = self.files.pop() else { return Ok(None) };
            let only = Reader { dir: self.dir.clone(), files: VecDeque::from([file]), current: None };
            for line in only {
                let line = line?;
                if line.whole && line.place.seq() < self.before {
                    self.lines.push(line);
                }
            }
        }
    }
}

impl Iterator for Backwards {
    type Item = Result<Line, LedgerError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// Reads whole lines as they are written, for as long as somebody asks.
#[derive(Debug)]
pub struct Follower {
    dir: PathBuf,
    /// The file being read, or to be read as soon as it is there.
    place: Place,
    reader: Option<BufReader<File>>,
    partial: Vec<u8>,
}

impl Follower {
    /// Begins early enough to come by the last `lines` lines.
    pub fn open(dir: &Path, lines: u64) -> Result<Self, LedgerError> {
        let last = list(dir)?.pop().unwrap_or_default();
        Ok(Self {
            dir: dir.to_owned(),
            place: Place { file: last.saturating_sub(lines / LINES + 1), line: 0 },
            reader: None,
            partial: Vec::new(),
        })
    }

    /// The next line, if it has been written.
    pub fn poll(&mut self) -> Result<Option<Line>, LedgerError> {
        loop {
            if let Some(reader) = &mut self.reader {
                reader
                    .read_until(b'\n', &mut self.partial)
                    .map_err(LedgerError::io(&path(&self.dir, self.place.file)))?;
                if self.partial.pop_if(|last| *last == b'\n').is_some() {
                    self.place.line += 1;
                    return Ok(Some(Line {
                        place: self.place,
                        bytes: std::mem::take(&mut self.partial),
                        whole: true,
                    }));
                }
            }
            let done = self.reader.is_some();
            let next = self.place.file + u64::from(done);
            let Some(file) = list(&self.dir)?.into_iter().find(|file| *file >= next) else {
                return Ok(None);
            };
            let path = path(&self.dir, file);
            let opened = File::open(&path).map_err(LedgerError::io(&path))?;
            self.reader = Some(BufReader::new(opened));
            self.partial.clear();
            self.place = Place { file, line: 0 };
        }
    }
}
