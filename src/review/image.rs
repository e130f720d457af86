//! Files as they were before and after a call, reached without following a link.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, fchmod, fstat, futimens, openat, renameat,
    statat, unlinkat,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::blobs::{Blobs, digest};

/// Directories on the way are only passed through.
const PASS: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// A pipe or a device must neither block nor be taken for a file.
const READ: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// Programs that put what they start in front of other files than this machine's.
const ELSEWHERE: [&str; 19] = [
    "apptainer",
    "bwrap",
    "chroot",
    "distrobox",
    "docker",
    "docker-compose",
    "firejail",
    "flatpak",
    "kubectl",
    "limactl",
    "machinectl",
    "nerdctl",
    "nsenter",
    "oc",
    "podman",
    "ssh",
    "toolbox",
    "unshare",
    "wsl",
];

/// Why a file cannot be kept or put back.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("the call names no file at `{0}`")]
    Unnamed(String),
    #[error("`{0}` is relative, and to what is the server's affair")]
    Relative(String),
    #[error("`{0}` has `..` in it")]
    Upwards(String),
    #[error("{} is outside the directories that may be kept for this server", .0.display())]
    Outside(PathBuf),
    #[error("a link or a file stands on the way to {}", .0.display())]
    Link(PathBuf),
    #[error("{} is no plain file", .0.display())]
    NotPlain(PathBuf),
    #[error("{} is a directory: what is in it is not kept", .0.display())]
    Directory(PathBuf),
    #[error("{} is longer than {max} bytes", .path.display())]
    TooLong { path: PathBuf, max: u64 },
    #[error("{}: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} bytes of earlier files are kept already: `review.keep` allows no more", .0)]
    Full(u64),
    #[error("the kept bytes {0} are damaged or gone")]
    Lost(String),
    #[error("an earlier call on {} has not ended", .0.display())]
    Busy(PathBuf),
    #[error("Herma does not share the server's file system: what is there cannot be checked")]
    Remote,
    #[error("{} is not as the call left it", .0.display())]
    Changed(PathBuf),
}

/// Which files of this machine a server works on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ground {
    /// Nothing outside them is kept; all of the machine when empty.
    pub roots: Vec<PathBuf>,
    /// What relative paths are relative to, where that is known for certain.
    pub relative_to: Option<PathBuf>,
    /// What `~` stands for.
    pub home: Option<PathBuf>,
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum State {
    Absent,
    Directory,
    File { sha256: String, size: u64, mode: u32, mtime: (i64, i64) },
}

/// One file before and after a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    place: Place,
    pub before: State,
    /// How many directories above it were not there.
    missing: usize,
    /// `None` until the call has ended, or when what it left could not be read.
    pub after: Option<State>,
}

/// A path beneath a root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    root: PathBuf,
    rest: PathBuf,
}

/// What was seen, with the bytes of a file.
#[derive(Debug)]
pub struct Seen {
    pub state: State,
    pub bytes: Option<Vec<u8>>,
    missing: usize,
}

enum Parent {
    There(OwnedFd),
    /// So many directories are missing.
    Missing(usize),
}

impl Ground {
    /// That of a server started by this command; none when the command leads elsewhere.
    pub fn of_command<'a>(mut command: impl Iterator<Item = &'a OsStr>) -> Option<Self> {
        let leads_elsewhere = command.any(|word| {
            let name = Path::new(word).file_stem().and_then(OsStr::to_str);
            name.is_some_and(|name| ELSEWHERE.contains(&name))
        });
        (!leads_elsewhere).then(Self::default)
    }

    /// The place a call means by `text`.
    pub fn place(&self, text: &str) -> Result<Place, ImageError> {
        let typed = match (text.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(text),
        };
        let path = match (typed.is_absolute(), &self.relative_to) {
            (true, _) => typed,
            (false, Some(base)) => base.join(typed),
            (false, None) => return Err(ImageError::Relative(text.to_owned())),
        };
        if path.components().any(|part| matches!(part, Component::ParentDir)) {
            return Err(ImageError::Upwards(text.to_owned()));
        }
        let whole = [PathBuf::from("/")];
        let roots = if self.roots.is_empty() { whole.as_slice() } else { &self.roots };
        roots
            .iter()
            .find_map(|root| {
                let rest = path.strip_prefix(root).ok().filter(|rest| rest.file_name().is_some())?;
                Some(Place { root: root.clone(), rest: rest.components().collect() })
            })
            .ok_or(ImageError::Outside(path))
    }
}

impl State {
    /// The same thing; when it was last touched does not matter.
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File { sha256, mode, .. }, Self::File { sha256: others, mode: other, .. }) => {
                sha256 == others && mode == other
            }
            _ => self == other,
        }
    }

    pub fn sha256(&self) -> Option<&str> {
        match self {
            Self::File { sha256, .. } => Some(sha256),
            Self::Absent | Self::Directory => None,
        }
    }
}

impl Place {
    pub fn path(&self) -> PathBuf {
        self.root.join(&self.rest)
    }

    fn io(&self, source: impl Into<io::Error>) -> ImageError {
        ImageError::Io { path: self.path(), source: source.into() }
    }

    /// Opens the directory it is in, one step after the other, so that no link is followed on the way.
    fn parent(&self) -> Result<Parent, ImageError> {
        let steps: Vec<_> = self.rest.parent().into_iter().flat_map(Path::components).collect();
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut at = openat(CWD, &self.root, flags, Mode::empty()).map_err(|error| self.io(error))?;
        for (passed, step) in steps.iter().enumerate() {
            at = match openat(&at, Path::new(step.as_os_str()), PASS, Mode::empty()) {
                Ok(next) => next,
                Err(Errno::NOENT) => return Ok(Parent::Missing(steps.len().saturating_sub(passed))),
                Err(Errno::LOOP | Errno::NOTDIR) => return Err(ImageError::Link(self.path())),
                Err(error) => return Err(self.io(error)),
            };
        }
        Ok(Parent::There(at))
    }

    fn name(&self) -> &Path {
        Path::new(self.rest.file_name().unwrap_or_default())
    }

    /// Whether a link stands at it or on the way to it.
    pub fn has_link(&self) -> bool {
        match self.parent() {
            Ok(Parent::There(parent)) => statat(&parent, self.name(), AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink),
            Ok(Parent::Missing(_)) => false,
            Err(error) => matches!(error, ImageError::Link(_)),
        }
    }

    /// What is there now.
    pub fn look(&self, max: u64) -> Result<Seen, ImageError> {
        match self.parent()? {
            Parent::Missing(missing) => Ok(Seen { state: State::Absent, bytes: None, missing }),
            Parent::There(parent) => self.look_in(&parent, max),
        }
    }

    fn look_in(&self, parent: &OwnedFd, max: u64) -> Result<Seen, ImageError> {
        let opened = match openat(parent, self.name(), READ, Mode::empty()) {
            Ok(opened) => opened,
            Err(Errno::NOENT) => return Ok(Seen { state: State::Absent, bytes: None, missing: 0 }),
            Err(Errno::LOOP) => return Err(ImageError::Link(self.path())),
            Err(Errno::NXIO) => return Err(ImageError::NotPlain(self.path())),
            Err(error) => return Err(self.io(error)),
        };
        let stat = fstat(&opened).map_err(|error| self.io(error))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => return Ok(Seen { state: State::Directory, bytes: None, missing: 0 }),
            FileType::RegularFile => {}
            _ => return Err(ImageError::NotPlain(self.path())),
        }
        let mut bytes = Vec::new();
        let read = File::from(opened).take(max.saturating_add(1)).read_to_end(&mut bytes);
        let size = read.map_err(|error| self.io(error))? as u64;
        if size > max {
            return Err(ImageError::TooLong { path: self.path(), max });
        }
        #[expect(clippy::useless_conversion, reason = "the width of these fields differs between systems")]
        let state = State::File {
            sha256: digest(&bytes),
            size,
            mode: u32::from(stat.st_mode) & 0o7777,
            mtime: (i64::from(stat.st_mtime), stat.st_mtime_nsec as i64),
        };
        Ok(Seen { state, bytes: Some(bytes), missing: 0 })
    }
}

impl Image {
    /// Keeps what is at `place`. `directory`: the call makes a directory there, and leaves one that is there alone.
    pub fn take(place: Place, max: u64, directory: bool, blobs: &Blobs) -> Result<Self, ImageError> {
        let Seen { state, bytes, missing } = place.look(max)?;
        if state == State::Directory && !directory {
            return Err(ImageError::Directory(place.path()));
        }
        if let Some(bytes) = bytes {
            blobs.put(&bytes)?;
        }
        Ok(Self { place, before: state, missing, after: None })
    }

    pub fn path(&self) -> PathBuf {
        self.place.path()
    }

    pub fn now(&self, max: u64) -> Result<Seen, ImageError> {
        self.place.look(max)
    }

    /// Notes what the call has left; gives its bytes back.
    pub fn look_after(&mut self, max: u64) -> Option<Vec<u8>> {
        let seen = self.place.look(max).ok()?;
        self.after = Some(seen.state);
        seen.bytes
    }

    /// Nothing was there before, and nothing came.
    pub fn stayed_absent(&self) -> bool {
        self.before == State::Absent && self.after == Some(State::Absent)
    }

    pub fn has_changed(&self) -> bool {
        self.after.as_ref().is_none_or(|after| !after.is_like(&self.before))
    }

    /// Makes it as it was, if it is still as the call left it.
    pub fn put_back(&self, max: u64, blobs: &Blobs) -> Result<(), ImageError> {
        let place = &self.place;
        let changed = || ImageError::Changed(place.path());
        let now = place.look(max)?.state;
        if now.is_like(&self.before) {
            return Ok(());
        }
        if !self.after.as_ref().is_some_and(|after| after.is_like(&now)) {
            return Err(changed());
        }
        let Parent::There(parent) = place.parent()? else { return Err(changed()) };
        match (&self.before, &now) {
            (State::File { sha256, mode, mtime, .. }, _) => {
                self.write(&parent, &blobs.get(sha256)?, *mode, *mtime, &now, max)
            }
            (State::Absent, State::Directory) => {
                match unlinkat(&parent, place.name(), AtFlags::REMOVEDIR) {
                    Err(Errno::NOTEMPTY | Errno::EXIST) => return Err(changed()),
                    removed => removed.map_err(|error| place.io(error))?,
                }
                self.remove_made();
                Ok(())
            }
            (State::Absent, _) => {
                unlinkat(&parent, place.name(), AtFlags::empty()).map_err(|error| place.io(error))?;
                self.remove_made();
                Ok(())
            }
            (State::Directory, _) => Err(ImageError::Directory(place.path())),
        }
    }

    fn write(
        &self,
        parent: &OwnedFd,
        bytes: &[u8],
        mode: u32,
        mtime: (i64, i64),
        expected: &State,
        max: u64,
    ) -> Result<(), ImageError> {
        let place = &self.place;
        let mut name = OsString::from(".herma-");
        name.push(digest(place.path().as_os_str().as_encoded_bytes()).get(..16).unwrap_or_default());
        let beside = Path::new(&name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // What a revert left behind that was killed here is nobody's.
        let _ = unlinkat(parent, beside, AtFlags::empty());
        let put = || -> io::Result<()> {
            let mut file = File::from(openat(parent, beside, flags, Mode::from_raw_mode(0o600))?);
            file.write_all(bytes)?;
            fchmod(&file, Mode::from_raw_mode(mode))?;
            let time = Timespec { tv_sec: mtime.0, tv_nsec: mtime.1 as _ };
            futimens(&file, &Timestamps { last_access: time, last_modification: time })?;
            file.sync_all()
        };
        let put_and_renamed = put().map_err(|error| place.io(error)).and_then(|()| {
            // The last look before the one step that cannot be taken half.
            if !place.look_in(parent, max)?.state.is_like(expected) {
                return Err(ImageError::Changed(place.path()));
            }
            renameat(parent, beside, parent, place.name()).map_err(|error| place.io(error))
        });
        if put_and_renamed.is_err() {
            let _ = unlinkat(parent, beside, AtFlags::empty());
        }
        put_and_renamed
    }

    /// Directories that the call made on its way go, too, as long as nothing else is in them.
    fn remove_made(&self) {
        let mut rest = self.place.rest.as_path();
        for _ in 0..self.missing {
            let Some(above) = rest.parent().filter(|above| above.file_name().is_some()) else { return };
            let place = Place { root: self.place.root.clone(), rest: above.to_owned() };
            let Ok(Parent::There(parent)) = place.parent() else { return };
            if unlinkat(&parent, place.name(), AtFlags::REMOVEDIR).is_err() {
                return;
            }
            rest = above;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const MAX: u64 = 1 << 20;

    struct Land {
        dir: tempfile::TempDir,
        root: PathBuf,
        blobs: Blobs,
    }

    impl Land {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path().canonicalize().unwrap().join("land");
            fs::create_dir(&root).unwrap();
            let blobs = Blobs::open(&dir.path().join("blobs"), 1 << 30).unwrap();
            Self { dir, root, blobs }
        }

        fn place(&self, name: &str) -> Place {
            let ground = Ground { roots: vec![self.root.clone()], ..Ground::default() };
            ground.place(self.root.join(name).to_str().unwrap()).unwrap()
        }

        fn take(&self, name: &str) -> Result<Image, ImageError> {
            Image::take(self.place(name), MAX, false, &self.blobs)
        }
    }

    #[test]
    fn a_changed_file_gets_its_bytes_its_mode_and_its_time_back() {
        let land = Land::new();
        let file = land.root.join("a.txt");
        fs::write(&file, "before").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let written = fs::metadata(&file).unwrap().modified().unwrap();
        let mut image = land.take("a.txt").unwrap();
        fs::write(&file, "after").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        image.look_after(MAX).unwrap();
        image.put_back(MAX, &land.blobs).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "before");
        let metadata = fs::metadata(&file).unwrap();
        assert_eq!((metadata.permissions().mode() & 0o7777, metadata.modified().unwrap()), (0o640, written));
        assert_eq!(fs::read_dir(&land.root).unwrap().count(), 1, "something was left behind");
        image.put_back(MAX, &land.blobs).unwrap();
    }

    #[test]
    fn a_new_file_goes_and_with_it_the_directories_made_for_it() {
        let land = Land::new();
        fs::create_dir(land.root.join("there")).unwrap();
        let mut image = land.take("there/new/deep/a.txt").unwrap();
        fs::create_dir_all(land.root.join("there/new/deep")).unwrap();
        fs::write(land.root.join("there/new/deep/a.txt"), "x").unwrap();
        image.look_after(MAX).unwrap();
        image.put_back(MAX, &land.blobs).unwrap();
        assert!(land.root.join("there").exists() && !land.root.join("there/new").exists());
    }

    #[test]
    fn what_somebody_else_changed_since_is_left_alone() {
        let land = Land::new();
        let file = land.root.join("a.txt");
        let mut image = land.take("a.txt").unwrap();
        fs::write(&file, "the call's").unwrap();
        image.look_after(MAX).unwrap();
        fs::write(&file, "somebody's").unwrap();
        let error = image.put_back(MAX, &land.blobs).unwrap_err();
        assert!(matches!(error, ImageError::Changed(_)), "{error}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "somebody's");
    }

    #[test]
    fn a_link_is_never_followed_wherever_it_stands_and_whenever_it_came() {
        let land = Land::new();
        let secret = land.dir.path().join("secret");
        fs::create_dir(&secret).unwrap();
        fs::write(secret.join("a.txt"), "secret").unwrap();
        symlink(secret.join("a.txt"), land.root.join("leaf")).unwrap();
        symlink(&secret, land.root.join("way")).unwrap();
        for name in ["leaf", "way/a.txt", "way/new/a.txt"] {
            assert!(matches!(land.take(name), Err(ImageError::Link(_))), "{name}");
        }
        // Swapped in after the image was taken.
        fs::create_dir(land.root.join("sub")).unwrap();
        fs::write(land.root.join("sub/a.txt"), "before").unwrap();
        let mut image = land.take("sub/a.txt").unwrap();
        fs::write(land.root.join("sub/a.txt"), "after").unwrap();
        image.look_after(MAX).unwrap();
        fs::remove_dir_all(land.root.join("sub")).unwrap();
        fs::write(secret.join("a.txt"), "after").unwrap();
        symlink(&secret, land.root.join("sub")).unwrap();
        let error = image.put_back(MAX, &land.blobs).unwrap_err();
        assert!(matches!(error, ImageError::Link(_)), "{error}");
        assert_eq!(fs::read_to_string(secret.join("a.txt")).unwrap(), "after");
    }

    #[test]
    fn a_server_in_a_container_or_on_another_machine_has_other_files() {
        let ground = |command: &str| Ground::of_command(command.split(' ').map(OsStr::new));
        assert!(ground("npx -y @modelcontextprotocol/server-filesystem /srv").is_some());
        for command in
            ["docker run -i mcp/filesystem /srv", "/usr/bin/ssh host server", "env A=1 podman run x"]
        {
            assert_eq!(ground(command), None, "{command}");
        }
    }

    #[test]
    fn what_cannot_be_kept_is_said_and_not_kept() {
        let land = Land::new();
        fs::create_dir(land.root.join("dir")).unwrap();
        assert!(matches!(land.take("dir"), Err(ImageError::Directory(_))));
        let status = std::process::Command::new("mkfifo").arg(land.root.join("pipe")).status().unwrap();
        assert!(status.success() && matches!(land.take("pipe"), Err(ImageError::NotPlain(_))));
        fs::write(land.root.join("long"), vec![0; 2 << 20]).unwrap();
        assert!(matches!(land.take("long"), Err(ImageError::TooLong { .. })));
        let ground = Ground { roots: vec![land.root.clone()], ..Ground::default() };
        assert!(matches!(ground.place("/etc/passwd"), Err(ImageError::Outside(_))));
        assert!(matches!(ground.place("a.txt"), Err(ImageError::Relative(_))));
        let upwards = format!("{}/../secret", land.root.display());
        assert!(matches!(ground.place(&upwards), Err(ImageError::Upwards(_))));
    }
}
