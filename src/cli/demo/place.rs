//! The demo's own directory and the daemon that works in it.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use herma_scoring::{Call, Context, Kind, Rules, SideEffect, assess};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::json;

use crate::config::own_data_dir;
use crate::control::client::Client;
use crate::control::wire::Ask;

/// How long the daemon may take to come up, and to go down.
const PATIENCE: Duration = Duration::from_secs(10);
const GLANCE: Duration = Duration::from_millis(10);

/// The whole policy of the demo.
pub(super) const POLICY: &str = r#"# Everything that is not said here is Herma's default.

[[rule]]
id = "no-deploys"
tool = "deploy"
route = "block"
reason = "deployments are made by people, on weekdays"
"#;

/// What the agent wants and should not.
pub(super) const DELETION: &str = "rm -rf site/";

/// The project the agent works on.
const PROJECT: [(&str, &str); 4] = [
    (
        "README.md",
        "# Harbour\n\nA small site. `site/` is what visitors see; nothing else has a copy of it.\n",
    ),
    ("package.json", "{\n  \"name\": \"harbour\",\n  \"scripts\": {\n    \"test\": \"echo none\"\n  }\n}\n"),
    ("site/index.html", "<!doctype html>\n<title>Harbour</title>\n<p>Open every day.\n"),
    ("site/contact.html", "<!doctype html>\n<title>Contact</title>\n<p>harbour@example.org\n"),
];

/// A directory that goes when the demo does, unless it is to be kept.
#[derive(Debug)]
pub(super) struct Place {
    root: PathBuf,
    keep: bool,
    /// Herma had no directory before.
    first: bool,
}

impl Place {
    /// In `home` or beside it, or by the user's data where that lies among temporary files: those count as scratch,
    /// which anybody may delete unasked. And what Herma keeps itself nobody may edit unasked.
    pub(super) fn make(home: &Path, keep: bool) -> anyhow::Result<Self> {
        let rules = Rules::shipped()?;
        let mut random = [0u8; 5];
        getrandom::fill(&mut random)?;
        let name = data_encoding::BASE32_NOPAD.encode(&random).to_lowercase();
        let homes = [std::path::absolute(home)?, own_data_dir()?];
        let roots = homes.iter().flat_map(|home| {
            [home.join(format!("demo-{name}")), home.with_file_name(format!("herma-demo-{name}"))]
        });
        let Some(root) = roots.into_iter().find(|root| is_fit(root, &rules)) else {
            let [given, own] = homes.map(|home| home.display().to_string());
            bail!(
                "{given} and {own} lie where files count as scratch, and deleting those is never held: name another --data-dir"
            );
        };
        let first = root.parent().is_some_and(|home| !home.exists());
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&root)
            .with_context(|| format!("cannot make {}", root.display()))?;
        let place = Self { root, keep, first };
        fs::write(place.config(), POLICY)?;
        for (name, text) in PROJECT {
            let path = place.project().join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(path, text)?;
        }
        Ok(place)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    pub(super) fn project(&self) -> PathBuf {
        self.root.join("project")
    }

    pub(super) fn config(&self) -> PathBuf {
        self.root.join("herma.toml")
    }

    /// Where programs of the demo write what is not part of the play.
    pub(super) fn log(&self, name: &str) -> anyhow::Result<File> {
        Ok(File::create(self.root.join(name))?)
    }
}

/// Whether deleting what lies in a project there would be held, and changing a file of it would not.
fn is_fit(root: &Path, rules: &Rules) -> bool {
    let project = root.join("project");
    let (cwd, file) = (project.display().to_string(), project.join("package.json").display().to_string());
    let is_critical = |tool: &str, arguments: serde_json::Value| {
        let call = Call { kind: Kind::Tool, server: "demo", tool, arguments: &arguments };
        let context = Context { cwd: Some(&cwd), ..Context::default() };
        assess(&call, &context, rules).class == SideEffect::Critical
    };
    is_critical("run_command", json!({ "command": DELETION }))
        && !is_critical("edit_file", json!({ "path": file, "edits": [] }))
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.keep {
            let _ = fs::remove_dir_all(&self.root);
            if let Some(home) = self.root.parent().filter(|_| self.first) {
                let _ = fs::remove_dir(home);
            }
        }
    }
}

/// `herma serve` for the demo's directory. It ends with the demo, even when that is killed.
#[derive(Debug)]
pub(super) struct Daemon {
    process: Child,
    data: PathBuf,
}

impl Daemon {
    pub(super) fn start(place: &Place) -> anyhow::Result<Self> {
        let herma = std::env::current_exe().context("cannot find herma itself")?;
        let process = Command::new(&herma)
            .arg("guard")
            .arg("--parent")
            .arg(std::process::id().to_string())
            .arg("--")
            .arg(&herma)
            .arg("--data-dir")
            .arg(place.data())
            .arg("serve")
            .arg("--config")
            .arg(place.config())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(place.log("daemon.log")?)
            .process_group(0)
            .spawn()
            .context("cannot start the daemon")?;
        let mut daemon = Self { process, data: place.data() };
        let socket = crate::control::socket(&place.data());
        let end = Instant::now() + PATIENCE;
        while UnixStream::connect(&socket).is_err() {
            if daemon.process.try_wait()?.is_some() || Instant::now() > end {
                let said = fs::read_to_string(place.root().join("daemon.log")).unwrap_or_default();
                bail!("the daemon did not start: {}", said.trim());
            }
            thread::sleep(GLANCE);
        }
        Ok(daemon)
    }

    /// Ends it in order, so that the record is signed to its last line.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        Client::connect(&self.data)?.ask(&Ask::Stop)?;
        let end = Instant::now() + PATIENCE;
        while self.process.try_wait()?.is_none() {
            if Instant::now() > end {
                bail!("the daemon did not stop");
            }
            thread::sleep(GLANCE);
        }
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            let _ = kill_process_group(Pid::from_child(&self.process), Signal::KILL);
            let _ = self.process.wait();
        }
    }
}
