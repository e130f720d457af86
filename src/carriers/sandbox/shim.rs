//! The directory that an agent takes for its Python: `bin/python` is Herma, and a file says what is behind it.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

const FILE: &str = "herma-python.json";
/// Hermes asks for these two names.
const NAMES: [&str; 2] = ["python", "python3"];

/// What stands behind the launcher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shim {
    /// The interpreter that runs the scripts.
    pub interpreter: PathBuf,
    /// Of the daemon that judges their calls.
    pub data_dir: PathBuf,
    /// Scripts see their workspace and no network.
    #[serde(default)]
    pub isolate: bool,
    /// What isolated scripts may write to, beside the directory they are started in.
    #[serde(default)]
    pub workspaces: Vec<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum ShimError {
    #[error("cannot write to {}: {source}", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("{} is there and is none of ours: name another directory", .0.display())]
    Taken(PathBuf),
    #[error("{} cannot be read ({why}): run `herma python install` again", path.display())]
    Unreadable { path: PathBuf, why: String },
    #[error("{} is this launcher itself: name the interpreter behind it with --interpreter", .0.display())]
    Circle(PathBuf),
}

impl Shim {
    /// Reads what stands in the directory.
    pub fn read(dir: &Path) -> Result<Self, ShimError> {
        let path = dir.join(FILE);
        let unreadable = |why: String| ShimError::Unreadable { path: path.clone(), why };
        let text = fs::read(&path).map_err(|error| unreadable(error.to_string()))?;
        serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))
    }

    /// Makes the directory an environment whose Python is `herma`; one that is there is made anew.
    pub fn install(&self, dir: &Path, herma: &Path) -> Result<(), ShimError> {
        let same = |path: &Path| fs::canonicalize(path).ok() == fs::canonicalize(herma).ok();
        if same(&self.interpreter) {
            return Err(ShimError::Circle(self.interpreter.clone()));
        }
        let bin = dir.join("bin");
        let unwritable = |path: &Path| {
            let path = path.to_owned();
            move |source| ShimError::Unwritable { path, source }
        };
        fs::create_dir_all(&bin).map_err(unwritable(&bin))?;
        for name in NAMES {
            let link = bin.join(name);
            match fs::symlink_metadata(&link) {
                Ok(_) if !dir.join(FILE).exists() => return Err(ShimError::Taken(link)),
                Ok(_) => fs::remove_file(&link).map_err(unwritable(&link))?,
                Err(_) => {}
            }
            symlink(herma, &link).map_err(unwritable(&link))?;
        }
        let path = dir.join(FILE);
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        fs::write(&path, text).map_err(unwritable(&path))
    }
}

/// The directory of the launcher that was started under this name, if it is one.
pub fn of_program(program: &OsStr) -> Option<PathBuf> {
    let program = Path::new(program);
    let name = program.file_name()?.to_str()?;
    if name == "herma" || !name.starts_with("python") {
        return None;
    }
    let dir = |bin: &Path| Some(bin.parent()?.to_owned()).filter(|dir| dir.join(FILE).is_file());
    if program.components().count() > 1 {
        return dir(std::path::absolute(program).ok()?.parent()?);
    }
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).find(|place| place.join(name).is_file())?;
    dir(&found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shim(interpreter: &str) -> Shim {
        Shim {
            interpreter: interpreter.into(),
            data_dir: "/data".into(),
            isolate: true,
            workspaces: vec!["/work".into()],
        }
    }

    #[test]
    fn an_environment_is_known_by_its_python() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = shim("/usr/bin/python3");
        let herma = std::env::current_exe().unwrap();
        for _ in 0..2 {
            wanted.install(dir.path(), &herma).unwrap();
        }
        let python = dir.path().join("bin/python3");
        let found = of_program(python.as_os_str()).unwrap();
        assert_eq!(Shim::read(&found).unwrap(), wanted);
        assert_eq!(of_program(OsStr::new("/usr/bin/herma")), None);
        assert_eq!(of_program(OsStr::new("/usr/bin/python3")), None);
    }

    #[test]
    fn an_environment_of_somebody_elses_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("bin")).unwrap();
        fs::write(dir.path().join("bin/python"), "").unwrap();
        let herma = std::env::current_exe().unwrap();
        assert!(matches!(shim("/usr/bin/python3").install(dir.path(), &herma), Err(ShimError::Taken(_))));
        let circle = shim(herma.to_str().unwrap());
        assert!(matches!(circle.install(dir.path(), &herma), Err(ShimError::Circle(_))));
    }
}
