//! `herma doctor`: shows by doing that each of an agent's roads goes through Herma.
//!
//! The agent itself is run, with its own configuration copied into a directory of its own, against a daemon that
//! refuses what the doctor asks for and a model that asks for exactly that.

mod model;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::carriers::sandbox::shim::Shim;
use crate::cli::install;
use crate::control::client::Client;
use crate::control::wire::Ask;
use model::Model;

/// A cold start of Hermes takes ten seconds where the machine is free.
const RUN: Duration = Duration::from_secs(180);
const START: Duration = Duration::from_secs(10);
/// What the doctor's own daemon refuses. `execute_code` runs, and what its script asks for does not.
const POLICY: &str = r#"
[[rule]]
id = "doctor"
tool = "terminal"
route = "block"
reason = "the doctor asked for it"

[[rule]]
id = "doctor-mcp"
server = "herma-probe"
route = "block"
reason = "the doctor asked for it"

[[rule]]
id = "doctor-script"
tool = "execute_code"
route = "execute"
"#;

#[derive(Debug, clap::Subcommand)]
pub enum Agent {
    /// Hermes Agent
    Hermes(Args),
}

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its directory [default: $HERMES_HOME, else ~/.hermes]
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
    /// Its program [default: `hermes` on the PATH]
    #[arg(long, value_name = "FILE")]
    hermes: Option<PathBuf>,
}

pub fn run(agent: Agent, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let Agent::Hermes(args) = agent;
    let home = install::home(args.home)?;
    let mut report = Report::default();
    look(&home, data_dir, &mut report)?;
    match args.hermes.or_else(|| on_path("hermes")) {
        Some(hermes) => {
            writeln!(
                std::io::stderr(),
                "starting Hermes itself, with your configuration and a model of the doctor's own: a minute or two"
            )?;
            act(&home, &hermes, &mut report)?;
        }
        None => report.fail("hermes can be run", "no `hermes` on the PATH: say --hermes FILE")?,
    }
    let verdict = match report.failed {
        true => "Not every road is closed: a line with FAIL says what to do.",
        false => "Every road that was tried is closed.",
    };
    writeln!(std::io::stdout(), "{verdict}")?;
    Ok(if report.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

#[derive(Default)]
struct Report {
    failed: bool,
}

impl Report {
    fn line(&mut self, word: &str, what: &str, why: &str) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{word}  {what}{}{why}", if why.is_empty() { "" } else { ": " })?;
        Ok(())
    }

    fn pass(&mut self, what: &str) -> anyhow::Result<()> {
        self.line("PASS", what, "")
    }

    fn fail(&mut self, what: &str, what_to_do: &str) -> anyhow::Result<()> {
        self.failed = true;
        self.line("FAIL", what, what_to_do)
    }

    fn check(&mut self, holds: bool, what: &str, what_to_do: &str) -> anyhow::Result<()> {
        if holds { self.pass(what) } else { self.fail(what, what_to_do) }
    }
}

/// What can be seen without running anything.
fn look(home: &Path, data_dir: &Path, report: &mut Report) -> anyhow::Result<()> {
    let answers = Client::connect(data_dir).and_then(|mut client| client.ask(&Ask::Status));
    report.check(
        answers.is_ok(),
        "a daemon answers",
        "start it with `herma serve`: until then every call is refused",
    )?;
    if answers.is_ok() {
        // The socket takes nobody else's commands, so whoever answers runs as we do.
        report.line(
            "WARN",
            "the daemon runs as you do",
            "if Hermes runs as you, too, a hostile program of yours can go around Herma; see SECURITY.md",
        )?;
    }
    let to_do = "run `herma install hermes`";
    report.check(
        install::installed_plugin(home),
        "Herma's plugin is in place, and of this version",
        to_do,
    )?;
    let launcher = install::launcher(home);
    report.check(
        launcher.is_some_and(|python| python.exists()),
        "code that the agent writes is started by Herma",
        to_do,
    )?;
    let config = read_config(home)?;
    let plugins = config.get("plugins").cloned().unwrap_or_default();
    let lists = |list: &str| {
        plugins.get(list).and_then(Value::as_array).is_some_and(|all| all.contains(&json!("herma")))
    };
    report.check(lists("enabled") && !lists("disabled"), "the plugin is enabled", to_do)?;
    let servers = config.get("mcp_servers").and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, entry) in servers {
        if entry.get("enabled") == Some(&json!(false)) {
            continue;
        }
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        let args = entry.get("args").and_then(Value::as_array).cloned().unwrap_or_default();
        let wrapped = text("command").rsplit('/').next() == Some("herma") && args.contains(&json!("wrap"));
        let routed = text("url").contains("/mcp/");
        let to_do = "run `herma install hermes`; what it cannot put behind Herma it names";
        report.check(wrapped || routed, &format!("server `{name}` goes through Herma"), to_do)?;
        if let Some(why) = install::trap(&name) {
            report.line("WARN", &format!("server `{name}`"), why)?;
        }
    }
    Ok(())
}

/// Runs the agent and watches what becomes of its calls.
fn act(home: &Path, hermes: &Path, report: &mut Report) -> anyhow::Result<()> {
    let place = Place::make(home)?;
    let seen = place.plugins(hermes);
    let loaded = seen.as_ref().is_ok_and(|seen| seen.get("loaded") == Some(&json!(true)));
    let why = match &seen {
        Ok(seen) => seen.get("error").and_then(Value::as_str).unwrap_or("it is not listed").to_owned(),
        Err(error) => error.to_string(),
    };
    report.check(loaded, "Hermes loads the plugin", &why)?;
    let is = |key: &str| seen.as_ref().is_ok_and(|seen| seen.get(key) == Some(&json!(true)));
    report.check(
        is("ours"),
        "no other plugin stands in its place",
        "remove the other plugin named `herma`",
    )?;
    report.check(
        is("first"),
        "it is asked first",
        "another plugin puts itself before it: disable that one",
    )?;
    for (how, flags) in [("-z", &["-z"][..]), ("--yolo", &["chat", "-Q", "--yolo", "-q"][..])] {
        let marks: Vec<_> = (0..3).map(|number| place.dir.join(format!("mark-{how}-{number}"))).collect();
        let touch = |number: usize| {
            let mark = marks.get(number).map(|mark| mark.display().to_string()).unwrap_or_default();
            format!("touch {mark}")
        };
        let script = format!("from hermes_tools import terminal\nprint(terminal({:?}))\n", touch(1));
        let calls = vec![
            ("terminal".to_owned(), json!({ "command": touch(0) })),
            ("execute_code".to_owned(), json!({ "code": script })),
            ("mcp__herma_probe__run_command".to_owned(), json!({ "command": touch(2) })),
        ];
        let model = Model::start(calls)?;
        let said = place.run(hermes, flags, &model)?;
        let last = said.trim().lines().next_back().unwrap_or_default();
        for (number, what) in
            ["a tool of its own", "a tool called by a script", "a tool of a server"].iter().enumerate()
        {
            let result = model.result(number);
            let ran = marks.get(number).is_some_and(|mark| mark.exists());
            let refused = result.as_deref().is_some_and(|result| result.contains("rule `doctor"));
            let line = format!("with {how}, {what} that is refused does not run");
            let why = match (ran, &result) {
                (true, _) => "IT RAN. Do not use this installation".to_owned(),
                (false, None) => {
                    format!(
                        "it was never called: is the tool disabled, or did Hermes fail? It said last: {last}"
                    )
                }
                (false, Some(result)) => {
                    format!("it was not refused by Herma: {}", result.chars().take(200).collect::<String>())
                }
            };
            report.check(refused && !ran, &line, &why)?;
        }
    }
    Ok(())
}

/// A daemon and a home of the doctor's own.
struct Place {
    dir: PathBuf,
    config: Value,
    daemon: Child,
}

impl Place {
    fn make(home: &Path) -> anyhow::Result<Self> {
        let mut random = [0u8; 8];
        getrandom::fill(&mut random)?;
        // Short: the path of a Unix socket has 108 bytes.
        let dir =
            std::env::temp_dir().join(format!("herma-doctor-{}", data_encoding::HEXLOWER.encode(&random)));
        fs::create_dir_all(dir.join("home/plugins"))?;
        fs::create_dir_all(dir.join("work"))?;
        fs::write(dir.join("herma.toml"), POLICY)?;
        // The first of this name wins the place of the plugin, as it would in the real home.
        for plugin in fs::read_dir(home.join("plugins")).into_iter().flatten().flatten() {
            std::os::unix::fs::symlink(plugin.path(), dir.join("home/plugins").join(plugin.file_name()))?;
        }
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("--data-dir")
            .arg(dir.join("data"))
            .arg("serve")
            .arg("--config")
            .arg(dir.join("herma.toml"));
        let log = fs::File::create(dir.join("daemon.log"))?;
        if let Some(interpreter) = install::launcher(home) {
            let environment = dir.join("python");
            let shim =
                Shim { interpreter, data_dir: dir.join("data"), isolate: false, workspaces: Vec::new() };
            crate::cli::python::install(&shim, &environment)?;
            fs::write(dir.join("home/.env"), format!("VIRTUAL_ENV={}\n", environment.display()))?;
        }
        let daemon = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        let place = Self { config: read_config(home)?, daemon, dir };
        let patience = Instant::now() + START;
        while Client::connect(&place.dir.join("data")).is_err() {
            if Instant::now() > patience {
                bail!(
                    "the doctor's daemon did not start: {}",
                    fs::read_to_string(place.dir.join("daemon.log"))?
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(place)
    }

    /// What Hermes itself says of its plugins.
    fn plugins(&self, hermes: &Path) -> anyhow::Result<Value> {
        const ASK: &str = include_str!("plugins.py");
        self.write_config(None)?;
        let python = interpreter(hermes)?;
        let mut command = self.command(&python);
        command.arg("-c").arg(ASK).arg(self.dir.join("home/plugins/herma"));
        let output = finish(command)?;
        let last = output.lines().rev().find(|line| line.starts_with('{'));
        Ok(serde_json::from_str(
            last.with_context(|| format!("Hermes said nothing of its plugins: {output}"))?,
        )?)
    }

    fn run(&self, hermes: &Path, flags: &[&str], model: &Model) -> anyhow::Result<String> {
        self.write_config(Some(model))?;
        let mut command = self.command(hermes);
        command.args(flags).arg("do what you were told");
        finish(command)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("HERMES_HOME", self.dir.join("home")).env("HERMA_DATA_DIR", self.dir.join("data"));
        command.env("HOME", self.dir.join("home")).current_dir(self.dir.join("work"));
        command.env_remove("HERMES_SAFE_MODE");
        command
    }

    /// The agent's own configuration, but for its model, its servers and where the daemon is.
    fn write_config(&self, model: Option<&Model>) -> anyhow::Result<()> {
        let mut config = self.config.clone();
        let Some(fields) = config.as_object_mut() else { bail!("config.yaml is not a mapping") };
        if let Some(model) = model {
            fields.insert(
                "model".to_owned(),
                json!({ "default": "doctor", "provider": "custom", "api_key": "none", "context_length": 131_072,
                        "base_url": format!("http://{}/v1", model.address) }),
            );
        }
        let herma = std::env::current_exe()?;
        let wrap = json!([
            "--data-dir",
            self.dir.join("data"),
            "wrap",
            "--no-start",
            "--name",
            "herma-probe",
            "--denial",
            "result",
            "--",
            herma,
            "demo-server",
            self.dir.join("work")
        ]);
        fields.insert(
            "mcp_servers".to_owned(),
            json!({ "herma-probe": { "command": herma, "args": wrap, "timeout": 60 } }),
        );
        fields.insert("auxiliary".to_owned(), json!({ "title_generation": { "enabled": false } }));
        fields.insert("mcp_discovery_timeout".to_owned(), json!(20));
        fields.insert("mcp_single_query_discovery_timeout".to_owned(), json!(20));
        // Newer versions hide servers' tools behind one that searches for them.
        fields.insert("tools".to_owned(), json!({ "tool_search": false }));
        fields
            .insert("security".to_owned(), json!({ "tirith_enabled": false, "allow_lazy_installs": false }));
        // JSON is YAML.
        fs::write(self.dir.join("home/config.yaml"), config.to_string())?;
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ended = self.daemon.kill().is_ok() && self.daemon.wait().is_ok();
        let _removed = fs::remove_dir_all(&self.dir).is_ok();
    }
}

fn read_config(home: &Path) -> anyhow::Result<Value> {
    let place = home.join("config.yaml");
    let text = fs::read_to_string(&place).unwrap_or_default();
    let value: Option<Value> =
        serde_saphyr::from_str(&text).with_context(|| format!("cannot read {}", place.display()))?;
    Ok(value.filter(Value::is_object).unwrap_or_else(|| json!({})))
}

/// The Python that the program's first line names.
fn interpreter(program: &Path) -> anyhow::Result<PathBuf> {
    let real = fs::canonicalize(program).with_context(|| format!("cannot find {}", program.display()))?;
    let beside = real.with_file_name("python");
    if beside.exists() {
        return Ok(beside);
    }
    let text = fs::read(&real)?;
    let first =
        String::from_utf8_lossy(text.split(|byte| *byte == b'\n').next().unwrap_or_default()).into_owned();
    let python = first.strip_prefix("#!").and_then(|line| line.split_whitespace().next()).map(PathBuf::from);
    python.filter(|python| python.exists()).with_context(|| format!("{} names no Python", real.display()))
}

fn finish(mut command: Command) -> anyhow::Result<String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().context("cannot start Hermes")?;
    let stdout = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _cut =
            stdout.is_some_and(|mut stdout| std::io::Read::read_to_end(&mut stdout, &mut text).is_err());
        text
    });
    let patience = Instant::now() + RUN;
    while child.try_wait()?.is_none() {
        if Instant::now() > patience {
            child.kill()?;
            bail!("Hermes did not end within {} s", RUN.as_secs());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let text = reader.join().unwrap_or_default();
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}
