//! Bytes of files as they were, each kept once under its digest, for this user alone.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::image::ImageError;
use crate::call::Digest;

/// Younger bytes may belong to a call that is being written down.
const YOUNG: Duration = Duration::from_secs(10 * 60);

/// The store of kept bytes.
#[derive(Debug)]
pub struct Blobs {
    dir: PathBuf,
    /// Bytes that may be kept in all.
    limit: u64,
    used: AtomicU64,
    next: AtomicU64,
}

/// The name of some bytes.
pub(super) fn digest(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

impl Blobs {
    pub fn open(dir: &Path, limit: u64) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut used = 0u64;
        for entry in fs::read_dir(dir)? {
            used = used.saturating_add(entry?.metadata()?.len());
        }
        Ok(Self { dir: dir.to_owned(), limit, used: AtomicU64::new(used), next: AtomicU64::new(0) })
    }

    /// Keeps the bytes; once this returns they are on the disk.
    pub fn put(&self, bytes: &[u8]) -> Result<String, ImageError> {
        let name = digest(bytes);
        let path = self.dir.join(&name);
        let broken = |source| ImageError::Io { path: path.clone(), source };
        if let Ok(known) = File::options().append(true).open(&path) {
            // They are young again.
            known.set_modified(SystemTime::now()).map_err(broken)?;
            return Ok(name);
        }
        let used = self.used.load(Ordering::Relaxed);
        if used.saturating_add(bytes.len() as u64) > self.limit {
            return Err(ImageError::Full(used));
        }
        let new = self.dir.join(format!("new-{}", self.next.fetch_add(1, Ordering::Relaxed)));
        let write = || -> io::Result<()> {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(broken)?;
        self.used.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(name)
    }

    /// The bytes under this name, if they are still what was put there.
    pub fn get(&self, name: &str) -> Result<Vec<u8>, ImageError> {
        let lost = || ImageError::Lost(name.to_owned());
        if Digest::from_hex(name).is_none() {
            return Err(lost());
        }
        let bytes = fs::read(self.dir.join(name)).map_err(|_| lost())?;
        if digest(&bytes) == name { Ok(bytes) } else { Err(lost()) }
    }

    /// Forgets what nothing refers to any more.
    pub fn sweep(&self, live: &HashSet<String>) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let age = metadata.modified()?.elapsed().unwrap_or_default();
            if age > YOUNG && !live.contains(entry.file_name().to_string_lossy().as_ref()) {
                fs::remove_file(entry.path())?;
                let _ = self.used.try_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                    Some(used.saturating_sub(metadata.len()))
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn equal_bytes_are_kept_once_for_this_user_alone_and_no_longer_than_needed() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(&dir.path().join("kept"), 10).unwrap();
        let name = blobs.put(b"123456").unwrap();
        assert_eq!(blobs.put(b"123456").unwrap(), name);
        assert_eq!(blobs.get(&name).unwrap(), b"123456");
        let file = dir.path().join("kept").join(&name);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(blobs.put(b"abcdef"), Err(ImageError::Full(6))));
        blobs.sweep(&HashSet::new()).unwrap();
        assert!(file.exists(), "young bytes stay");
        File::options().append(true).open(&file).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        blobs.sweep(&HashSet::from([name.clone()])).unwrap();
        assert!(file.exists(), "bytes that a review needs stay");
        blobs.sweep(&HashSet::new()).unwrap();
        assert!(!file.exists());
        blobs.put(b"abcdef").unwrap();
    }

    #[test]
    fn damaged_bytes_are_never_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path(), 10).unwrap();
        let name = blobs.put(b"123").unwrap();
        fs::write(dir.path().join(&name), "124").unwrap();
        assert!(matches!(blobs.get(&name), Err(ImageError::Lost(_))));
        assert!(matches!(blobs.get("../secrets"), Err(ImageError::Lost(_))));
    }
}
