//! Turns the packs under `rules/` from TOML into JSON without their examples: read at every start, that takes
//! a tenth of the time.

use std::error::Error;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=rules");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    convert(Path::new("rules"), &out)
}

fn convert(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            convert(&path, &target)?;
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            let mut pack: Value = toml::from_str(&std::fs::read_to_string(&path)?)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            strip(&mut pack);
            std::fs::write(target, pack.to_string())?;
        }
    }
    Ok(())
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            // A tool's rule asks for arguments by name, and one may be called so.
            fields
                .retain(|name, value| !(matches!(name.as_str(), "match" | "not_match") && value.is_array()));
            fields.iter_mut().filter(|(name, _)| *name != "args").for_each(|(_, value)| strip(value));
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}
