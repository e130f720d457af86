//! The reference servers and clients that `fixtures/packages/install` puts in place.
use std::path::{Path, PathBuf};

fn installed(path: &str) -> String {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/packages");
    let path: PathBuf = packages.join(path);
    assert!(path.exists(), "{} is missing: run fixtures/packages/install", path.display());
    path.to_str().unwrap().to_owned()
}

/// The pinned Node where it is to be had, else the machine's own.
pub(crate) fn node() -> String {
    match std::env::consts::OS {
        "linux" => installed("npm/node_modules/.bin/node"),
        _ => "node".to_owned(),
    }
}

/// The command line of a program from the npm packages.
pub(crate) fn npm(program: &str) -> Vec<String> {
    vec![node(), installed(&format!("npm/node_modules/.bin/{program}"))]
}

/// Where scripts find the npm packages to import.
pub(crate) fn npm_root() -> String {
    installed("npm/node_modules")
}

pub(crate) fn python(environment: &str, program: &str) -> String {
    installed(&format!("py-{environment}/bin/{program}"))
}

/// A program beside Hermes Agent: of the environment in `HERMA_TEST_HERMES`, else of the pinned version.
pub(crate) fn hermes(program: &str) -> String {
    match std::env::var("HERMA_TEST_HERMES") {
        Ok(environment) => format!("{environment}/bin/{program}"),
        Err(_) => python("agent", program),
    }
}
