//! Where files live.

use std::path::{Path, PathBuf};

use super::ConfigError;

const FILE: &str = "herma.toml";

/// The one directory with all state: `given`, else `HERMA_DATA_DIR`, else the user's data directory.
pub fn data_dir(given: Option<&Path>) -> Result<PathBuf, ConfigError> {
    if let Some(dir) = given {
        return Ok(dir.to_owned());
    }
    if let Some(dir) = std::env::var_os("HERMA_DATA_DIR").filter(|dir| !dir.is_empty()) {
        return Ok(dir.into());
    }
    own_data_dir()
}

/// Herma's place among the user's data.
pub fn own_data_dir() -> Result<PathBuf, ConfigError> {
    under_home("XDG_DATA_HOME", ".local/share").map(|dir| dir.join("herma"))
}

/// The file to use: `given`, else `herma.toml` in the working directory, else the user's; none is fine.
pub fn find_config(given: Option<&Path>) -> Result<Option<PathBuf>, ConfigError> {
    if let Some(path) = given {
        return Ok(Some(path.to_owned()));
    }
    let here = PathBuf::from(FILE);
    if here.is_file() {
        return Ok(Some(here));
    }
    user_config()
}

/// The user's own file, if there is one. A daemon that starts by itself reads only this one: the working
/// directory of an agent is the agent's to write.
pub fn user_config() -> Result<Option<PathBuf>, ConfigError> {
    let path = user_config_place()?;
    Ok(path.is_file().then_some(path))
}

/// Where the user's own file is, or would be.
pub fn user_config_place() -> Result<PathBuf, ConfigError> {
    Ok(under_home("XDG_CONFIG_HOME", ".config")?.join("herma").join(FILE))
}

fn under_home(variable: &str, fallback: &str) -> Result<PathBuf, ConfigError> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set(variable).or_else(|| set("HOME").map(|home| home.join(fallback))).ok_or(ConfigError::NoHome)
}
