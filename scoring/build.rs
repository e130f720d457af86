//! Turns the packs under `rules/` from TOML into JSON without their examples, the patterns of the crisis packs
//! taken apart: read at every start, that takes a tenth of the time.

use std::error::Error;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

#[path = "src/text/letters.rs"]
mod letters;
#[path = "src/rules/ways.rs"]
mod ways;

use letters::fold_pattern;

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
            for rules in ["crisis", "calm"] {
                for rule in pack.get_mut(rules).and_then(Value::as_array_mut).into_iter().flatten() {
                    take_apart(rule).map_err(|error| format!("{}: {error}", path.display()))?;
                }
            }
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

fn take_apart(rule: &mut Value) -> Result<(), String> {
    let Some(fields) = rule.as_object_mut() else { return Ok(()) };
    let mut texts = |name: &str| match fields.remove(name) {
        Some(Value::Array(items)) => {
            items.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
        }
        Some(Value::String(text)) => vec![text],
        _ => Vec::new(),
    };
    let (re, phrases, stems) = (texts("re").concat(), texts("phrases"), texts("stems"));
    let ways = ways::ways(&re, &phrases, &stems)?;
    fields.insert("ways".to_owned(), json!(ways));
    Ok(())
}
