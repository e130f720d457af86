//! Turns the packs under `rules/` from TOML into JSON without their examples, and the patterns of the crisis packs
//! into tables that are read where they lie, and names all of it by one digest: at every start that takes a tenth of
//! the time, and leaves on the disk what nobody asks for.

use std::error::Error;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

#[path = "src/rules/index.rs"]
#[expect(dead_code, reason = "the build lays out, the crate reads")]
mod index;
#[path = "src/text/letters.rs"]
mod letters;
#[path = "src/rules/literals.rs"]
mod literals;
#[path = "src/packed.rs"]
mod packed;
#[path = "src/text/spelling.rs"]
#[expect(dead_code, reason = "the build lays out, the crate reads")]
mod spelling;
#[path = "src/rules/ways.rs"]
mod ways;
#[path = "src/text/words.rs"]
#[expect(dead_code, reason = "the build lays out, the crate reads")]
mod words;

use index::Layout;
use letters::fold_pattern;
use words::Vocabulary;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=rules");
    println!("cargo::rerun-if-changed=model/crisis.bin");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let (mut layout, mut vocabulary) = (Layout::default(), Vocabulary::default());
    let mut digest = Sha256::new();
    convert(Path::new("rules"), &out, &mut digest, &mut |pack| {
        for rules in ["crisis", "calm"] {
            for rule in pack.get_mut(rules).and_then(Value::as_array_mut).into_iter().flatten() {
                take_apart(rule, &mut layout)?;
            }
        }
        learn(pack.get("fold").and_then(Value::as_object), &mut vocabulary);
        Ok(())
    })?;
    let tables = [("crisis.index", layout.lay()), ("crisis.words", words::lay(&vocabulary))];
    for (name, table) in &tables {
        std::fs::write(out.join(name), table)?;
        note(&mut digest, name, table);
    }
    note(&mut digest, "crisis.bin", &std::fs::read("model/crisis.bin")?);
    let digest: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(std::fs::write(out.join("shipped.digest"), digest)?)
}

fn note(digest: &mut Sha256, name: &str, bytes: &[u8]) {
    for part in [name.as_bytes(), bytes] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
}

/// What goes into the tables instead of the JSON.
type Take<'t> = dyn FnMut(&mut Value) -> Result<(), String> + 't;

fn convert(from: &Path, to: &Path, digest: &mut Sha256, take: &mut Take<'_>) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(to)?;
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(from)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    paths.sort();
    for path in paths {
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            convert(&path, &target, digest, take)?;
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            let mut pack: Value = toml::from_str(&std::fs::read_to_string(&path)?)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            strip(&mut pack);
            take(&mut pack).map_err(|error| format!("{}: {error}", path.display()))?;
            let pack = pack.to_string();
            note(digest, &path.to_string_lossy(), pack.as_bytes());
            std::fs::write(target, pack)?;
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

fn take_apart(rule: &mut Value, layout: &mut Layout) -> Result<(), String> {
    let Some(fields) = rule.as_object_mut() else { return Ok(()) };
    let mut texts = |name: &str| match fields.remove(name) {
        Some(Value::Array(items)) => {
            items.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
        }
        Some(Value::String(text)) => vec![text],
        _ => Vec::new(),
    };
    let (re, phrases, stems) = (texts("re").concat(), texts("phrases"), texts("stems"));
    let id = fields.get("id").and_then(Value::as_str).unwrap_or_default();
    layout.take(id, &ways::ways(&re, &phrases, &stems)?)
}

/// The words of a pack that texts are read by.
fn learn(fold: Option<&Map<String, Value>>, vocabulary: &mut Vocabulary) {
    let Some(fold) = fold else { return };
    let list = |name: &str| {
        let items = fold.get(name).and_then(Value::as_array).into_iter().flatten();
        let items: Vec<String> = items.filter_map(Value::as_str).map(str::to_owned).collect();
        items
    };
    vocabulary.keys.extend(list("keys"));
    vocabulary.hearts.extend(list("hearts"));
    vocabulary.spared.extend(list("spared"));
    vocabulary.known.extend(list("known"));
    let words = fold.get("words").and_then(Value::as_object).into_iter().flatten();
    vocabulary
        .words
        .extend(words.filter_map(|(word, means)| Some((word.clone(), means.as_str()?.to_owned()))));
}
