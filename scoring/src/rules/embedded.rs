//! The shipped packs. A test checks that none is forgotten.

/// One pack in the binary.
#[derive(Debug)]
pub(super) struct Embedded {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
}

/// What the crisis packs among them look for.
pub(super) const INDEX: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/crisis.index"));

/// The words they know, with every disguise.
pub(super) const WORDS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/crisis.words"));

/// SHA-256 over all of them and the weights of the second opinion, in hex.
pub(super) const DIGEST: &str = include_str!(concat!(env!("OUT_DIR"), "/shipped.digest"));

macro_rules! packs {
    ($($name:literal),* $(,)?) => {
        /// What is read at the start: JSON without examples.
        pub(super) static PACKS: &[Embedded] =
            &[$(Embedded { name: $name, text: include_str!(concat!(env!("OUT_DIR"), "/", $name)) }),*];

        /// The same as people read it: TOML with its examples. Apart from the others, because what lies between
        /// pages that are read is in memory too.
        pub(super) static SOURCES: &[Embedded] =
            &[$(Embedded { name: $name, text: include_str!(concat!("../../rules/", $name)) }),*];
    };
}

packs![
    "model.toml",
    "signals.toml",
    "lexicon.toml",
    "tools/dispatchers.toml",
    "tools/life.toml",
    "tools/hermes.toml",
    "tools/files.toml",
    "tools/code.toml",
    "tools/messaging.toml",
    "tools/data.toml",
    "tools/browser.toml",
    "tools/operations.toml",
    "shell/wrappers.toml",
    "shell/options.toml",
    "shell/verbs.toml",
    "shell/files.toml",
    "shell/system.toml",
    "shell/network.toml",
    "shell/develop.toml",
    "shell/cloud.toml",
    "shell/data.toml",
    "shell/windows.toml",
    "shell/services.toml",
    "paths.toml",
    "net.toml",
    "secrets.toml",
    "sql.toml",
    "code.toml",
    "python.toml",
    "message.toml",
    "crisis/en.toml",
    "crisis/en_veiled.toml",
    "crisis/en_around.toml",
    "crisis/en_told.toml",
    "crisis/lines.toml",
    "crisis/ar.toml",
    "crisis/de.toml",
    "crisis/es.toml",
    "crisis/fr.toml",
    "crisis/hi.toml",
    "crisis/it.toml",
    "crisis/ja.toml",
    "crisis/ko.toml",
    "crisis/nl.toml",
    "crisis/pl.toml",
    "crisis/pt.toml",
    "crisis/ru.toml",
    "crisis/tr.toml",
    "crisis/uk.toml",
    "crisis/vi.toml",
    "crisis/zh.toml",
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    fn files(directory: &Path, names: &mut Vec<String>, root: &Path) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, names, root);
            } else {
                names.push(path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/"));
            }
        }
    }

    #[test]
    fn every_pack_on_disk_is_in_the_binary() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
        let mut on_disk = Vec::new();
        files(&root, &mut on_disk, &root);
        on_disk.sort();
        let mut embedded: Vec<_> = super::PACKS.iter().map(|pack| pack.name.to_owned()).collect();
        embedded.sort();
        assert_eq!(on_disk, embedded);
    }
}
