//! Hermes Agent, put behind Herma: its file, its plugin, its launcher.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use herma_scoring::{Rules, redact};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Args;
use super::yaml::{Document, diff};
use crate::carriers::sandbox::shim::Shim;
use crate::cli::python;
use crate::config::{Settings, user_config_place};

/// The plugin, as this binary was built with it.
const PLUGIN: [(&str, &str); 3] = [
    ("plugin.yaml", include_str!("../../../plugins/hermes/herma_hermes/plugin.yaml")),
    ("__init__.py", include_str!("../../../plugins/hermes/herma_hermes/__init__.py")),
    ("daemon.py", include_str!("../../../plugins/hermes/herma_hermes/daemon.py")),
];

/// Longer than any hold of a call that came by the plugin, as Hermes counts from the dispatch.
const TIMEOUT: u64 = 900;
/// The most that newer versions let a hook run.
const HOOK_TIMEOUT: u64 = 600;
/// What Hermes takes for the virtual environment of its scripts.
const LAUNCHER: &str = "herma-python";
const NOTE: &str = "herma-install.json";
/// Names of toolsets that are built into Hermes. It keeps servers and toolsets in one list of names.
const TOOLSETS: &str = "web search x_search vision video image_gen video_gen computer_use terminal skills browser \
    cronjob file tts todo memory context_engine session_search project clarify code_execution delegation \
    homeassistant kanban discord discord_admin yuanbao feishu_doc feishu_drive spotify debugging safe coding";

/// What stood there before, so that it can be put back.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Before {
    /// By server: the members that were changed, as they were.
    servers: BTreeMap<String, BTreeMap<String, Value>>,
    /// Members of `plugins`, the same.
    plugins: BTreeMap<String, Value>,
}

/// Where Hermes keeps its things, and where Herma keeps its own.
#[derive(Debug)]
pub(super) struct Place {
    home: PathBuf,
    data_dir: PathBuf,
    herma: PathBuf,
    config: Option<PathBuf>,
    dry_run: bool,
}

/// The directory of Hermes: `given`, else `$HERMES_HOME`, else `~/.hermes`.
pub fn home(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = given.or_else(|| set("HERMES_HOME")).or_else(|| set("HOME").map(|home| home.join(".hermes")));
    let home = home.context("no home directory: say --home DIR")?;
    Ok(std::path::absolute(home)?)
}

/// What stands behind the launcher of this home, if there is one.
pub fn launcher(home: &Path) -> Option<PathBuf> {
    let dir = home.join(LAUNCHER);
    let text = fs::read_to_string(home.join(".env")).unwrap_or_default();
    let last = text.lines().rev().find_map(|line| line.strip_prefix("VIRTUAL_ENV="))?;
    (Path::new(last) == dir).then(|| Shim::read(&dir).ok())?.map(|shim| shim.interpreter)
}

/// What goes wrong with a server of this name, if something does.
pub fn trap(server: &str) -> Option<&'static str> {
    TOOLSETS.split(' ').any(|name| name == server).then_some(
        "Hermes has tools of its own under this name, and where the server is on it turns those on as well: \
         rename the server",
    )
}

/// Whether the plugin in this home is the one of this binary.
pub fn installed_plugin(home: &Path) -> bool {
    let dir = home.join("plugins/herma");
    PLUGIN.iter().all(|(name, text)| fs::read_to_string(dir.join(name)).is_ok_and(|found| found == *text))
}

impl Place {
    pub(super) fn find(args: Args, data_dir: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            home: home(args.home)?,
            data_dir: std::path::absolute(data_dir)?,
            herma: std::env::current_exe().context("cannot find herma itself")?,
            config: args.config,
            dry_run: args.dry_run,
        })
    }

    pub(super) fn install(&self) -> anyhow::Result<ExitCode> {
        let before = self.read()?;
        let mut file = Document::read(&before).with_context(|| self.file().display().to_string())?;
        let mut note = self.note();
        let mut said = Vec::new();
        let mut routes = String::new();
        let servers = file.at(&["mcp_servers"]).and_then(Value::as_object).cloned().unwrap_or_default();
        let mut secrets = Vec::new();
        for (name, entry) in &servers {
            said.extend(trap(name).map(|why| format!("{name}: {why}")));
            let headers = entry.get("headers").and_then(Value::as_object);
            secrets.extend(headers.into_iter().flat_map(|all| all.values()).filter_map(Value::as_str));
            match self.behind(&mut file, name, entry, &mut routes) {
                Ok(changed) => {
                    if !changed.is_empty() {
                        note.servers.entry(name.clone()).or_insert(changed);
                    }
                }
                Err(why) => said.push(format!(
                    "{name}: stays as it is ({why}); its calls are still asked about by the plugin"
                )),
            }
        }
        self.enable(&mut file, &mut note);
        let after =
            file.checked("mcp_servers and plugins").with_context(|| self.file().display().to_string())?;
        self.show(&before, &after, &file.lost, &routes, &secrets)?;
        if !self.dry_run {
            self.write(&before, &after)?;
            self.write_plugin()?;
            self.write_launcher()?;
            fs::write(self.home.join(NOTE), serde_json::to_string_pretty(&note)?)?;
            self.add_routes(&routes)?;
        }
        let mut out = std::io::stdout().lock();
        let home = self.home.display();
        writeln!(out, "{home}/plugins/herma\n+ the plugin that asks Herma before every tool call")?;
        writeln!(
            out,
            "{home}/.env\n+ VIRTUAL_ENV={home}/{LAUNCHER}, so that Herma starts the code that the agent writes"
        )?;
        for line in said {
            writeln!(out, "{line}")?;
        }
        if !self.dry_run {
            writeln!(out, "Hermes asks Herma from its next start on. See that it does: herma doctor hermes")?;
        }
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn uninstall(&self) -> anyhow::Result<ExitCode> {
        let before = self.read()?;
        let mut file = Document::read(&before).with_context(|| self.file().display().to_string())?;
        let note = self.note();
        for (name, members) in &note.servers {
            for (member, value) in members {
                put_back(&mut file, &["mcp_servers", name, member], value);
            }
        }
        let kept = without_us(file.at(&["plugins", "enabled"]));
        match kept.as_array().is_some_and(Vec::is_empty) {
            true => file.remove(&["plugins", "enabled"]),
            false => file.put(&["plugins", "enabled"], kept),
        }
        file.remove(&["plugins", "entries", "herma"]);
        for (member, value) in &note.plugins {
            put_back(&mut file, &["plugins", member], value);
        }
        let after =
            file.checked("mcp_servers and plugins").with_context(|| self.file().display().to_string())?;
        let headers = note.servers.values().filter_map(|members| members.get("headers")?.as_object());
        let secrets: Vec<&str> = headers.flat_map(|all| all.values()).filter_map(Value::as_str).collect();
        self.show(&before, &after, &file.lost, "", &secrets)?;
        if !self.dry_run {
            self.write(&before, &after)?;
            let _ = fs::remove_file(self.home.join(NOTE));
            let _ = fs::remove_dir_all(self.home.join("plugins/herma"));
            let _ = fs::remove_dir_all(self.home.join(LAUNCHER));
            let kept = self.environment().into_iter().filter(|line| !self.is_launcher(line));
            self.write_environment(&kept.collect::<Vec<_>>())?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Puts one server behind Herma. Gives back the members that were changed, as they were.
    fn behind(
        &self,
        file: &mut Document,
        name: &str,
        entry: &Value,
        routes: &mut String,
    ) -> Result<BTreeMap<String, Value>, String> {
        let member = |key: &str| entry.get(key).cloned().unwrap_or_default();
        let mut changed = BTreeMap::new();
        let mut put = |key: &str, value: Value| {
            if member(key) != value {
                changed.insert(key.to_owned(), member(key));
                file.put(&["mcp_servers", name, key], value);
            }
        };
        if let Some(command) = entry.get("command").and_then(Value::as_str) {
            let words = entry.get("args").and_then(Value::as_array).cloned().unwrap_or_default();
            let inner = words.iter().position(|word| word == "--").filter(|_| is_herma(command));
            let original = match inner {
                Some(at) => words.get(at.saturating_add(1)..).unwrap_or_default().to_vec(),
                None => std::iter::once(Value::from(command)).chain(words).collect(),
            };
            let mut args = vec![
                json!("--data-dir"),
                json!(self.data_dir),
                json!("wrap"),
                json!("--name"),
                json!(name),
                json!("--denial"),
                json!("result"),
                json!("--"),
            ];
            args.extend(original);
            put("command", json!(self.herma));
            put("args", Value::Array(args));
        } else if let Some(url) = entry.get("url").and_then(Value::as_str) {
            if let Some(key) = ["auth", "oauth", "client_cert", "client_key", "ssl_verify"]
                .iter()
                .find(|key| entry.get(**key).is_some())
            {
                return Err(format!("Herma cannot speak to it with `{key}`"));
            }
            if member("transport") == "sse" {
                return Err("it speaks the old SSE transport".to_owned());
            }
            let (listen, known) = self.listening().map_err(|error| error.to_string())?;
            let route: String = name
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' })
                .collect();
            let ours = format!("http://{listen}/mcp/{route}");
            if url != ours {
                if known.contains(&route) {
                    return Err(format!("herma.toml has another server named `{route}`"));
                }
                routes.push_str(&table(&route, url, entry.get("headers")));
                put("url", json!(ours));
                if entry.get("headers").is_some() {
                    changed.insert("headers".to_owned(), member("headers"));
                    file.remove(&["mcp_servers", name, "headers"]);
                }
            }
        } else {
            return Err("it has neither `command` nor `url`".to_owned());
        }
        if member("timeout").as_u64().is_none_or(|seconds| seconds < TIMEOUT) {
            changed.insert("timeout".to_owned(), member("timeout"));
            file.put(&["mcp_servers", name, "timeout"], json!(TIMEOUT));
        }
        Ok(changed)
    }

    /// The plugin is listed first, with where to find the daemon.
    fn enable(&self, file: &mut Document, note: &mut Before) {
        let mut enabled = vec![json!("herma")];
        enabled.extend(without_us(file.at(&["plugins", "enabled"])).as_array().cloned().unwrap_or_default());
        file.put(&["plugins", "enabled"], Value::Array(enabled));
        if file
            .at(&["plugins", "disabled"])
            .and_then(Value::as_array)
            .is_some_and(|all| all.contains(&json!("herma")))
        {
            let kept = without_us(file.at(&["plugins", "disabled"]));
            file.put(&["plugins", "disabled"], kept);
        }
        file.put(&["plugins", "entries", "herma", "data_dir"], json!(self.data_dir));
        let timeout = file.at(&["plugins", "hook_callback_timeout"]).cloned().unwrap_or_default();
        if timeout != HOOK_TIMEOUT && timeout != 0 {
            note.plugins.entry("hook_callback_timeout".to_owned()).or_insert(timeout);
            file.put(&["plugins", "hook_callback_timeout"], json!(HOOK_TIMEOUT));
        }
    }

    /// Where agents connect, and which routes there are. Values from the environment are not needed for that.
    fn listening(&self) -> anyhow::Result<(String, Vec<String>)> {
        let place = self.routes_file()?;
        let text = fs::read_to_string(&place).unwrap_or_default();
        let file: toml::Table = text.parse().with_context(|| format!("cannot read {}", place.display()))?;
        let listen = file.get("listen").and_then(|listen| listen.get("agent")).and_then(toml::Value::as_str);
        let listen = match listen {
            Some(listen) => listen.to_owned(),
            None => Settings::builtin()?.listen.agent.to_string(),
        };
        let servers =
            file.get("server").and_then(toml::Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let names = servers.iter().filter_map(|server| Some(server.get("name")?.as_str()?.to_owned()));
        Ok((listen, names.collect()))
    }

    fn routes_file(&self) -> anyhow::Result<PathBuf> {
        Ok(match &self.config {
            Some(file) => file.clone(),
            None => user_config_place()?,
        })
    }

    fn add_routes(&self, routes: &str) -> anyhow::Result<()> {
        if routes.is_empty() {
            return Ok(());
        }
        let place = self.routes_file()?;
        if let Some(dir) = place.parent() {
            fs::create_dir_all(dir)?;
        }
        let before = fs::read_to_string(&place).unwrap_or_default();
        let gap = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
        replace(&place, &format!("{before}{gap}{routes}"))?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "Restart the daemon so that it serves them: herma status --stop, then herma serve")?;
        Ok(())
    }

    /// The changes, for somebody's screen: what `secrets` and the rules know is masked there and only there.
    fn show(
        &self,
        before: &str,
        after: &str,
        lost: &[String],
        routes: &str,
        secrets: &[&str],
    ) -> anyhow::Result<()> {
        let rules = Rules::shipped()?;
        let masked = |line: &str| redact(&mask(line, secrets), &rules).into_owned();
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", self.file().display())?;
        let lines = diff(before, after);
        if lines.is_empty() {
            writeln!(out, "  nothing to change")?;
        }
        for line in lines {
            writeln!(out, "{}", masked(&line))?;
        }
        for comment in lost {
            writeln!(out, "  a comment could not be kept: # {}", masked(comment))?;
        }
        if !routes.is_empty() {
            writeln!(out, "{}", self.routes_file()?.display())?;
            for line in routes.lines() {
                writeln!(out, "+ {}", masked(line))?;
            }
        }
        Ok(())
    }

    fn write(&self, before: &str, after: &str) -> anyhow::Result<()> {
        if before == after {
            return Ok(());
        }
        fs::create_dir_all(&self.home)?;
        if !before.is_empty() {
            let backup = self.home.join("config.yaml.before-herma");
            // The oldest is the one that Herma has not touched.
            if !backup.exists() {
                fs::copy(self.file(), backup)?;
            }
        }
        replace(&self.file(), after)
    }

    fn write_plugin(&self) -> anyhow::Result<()> {
        let dir = self.home.join("plugins/herma");
        let manifest = fs::read_to_string(dir.join("plugin.yaml")).unwrap_or_default();
        if dir.exists() && !manifest.contains("Asks Herma before") {
            bail!("{} is somebody else's plugin: move it away", dir.display());
        }
        fs::create_dir_all(&dir)?;
        for (name, text) in PLUGIN {
            fs::write(dir.join(name), text)?;
        }
        Ok(())
    }

    /// The scripts of `execute_code` get an interpreter that puts them under a warrant.
    fn write_launcher(&self) -> anyhow::Result<()> {
        let dir = self.home.join(LAUNCHER);
        let mut lines = self.environment();
        let before = lines
            .iter()
            .filter(|line| !self.is_launcher(line))
            .find_map(|line| line.strip_prefix("VIRTUAL_ENV="));
        let python = match before {
            Some(environment) => Path::new(environment.trim_matches('"')).join("bin/python"),
            None => python::found().context("no python3 on the PATH for the scripts of execute_code")?,
        };
        let shim = Shim {
            interpreter: python,
            data_dir: self.data_dir.clone(),
            isolate: false,
            workspaces: Vec::new(),
        };
        python::install(&shim, &dir)?;
        lines.retain(|line| !self.is_launcher(line));
        // Of two lines the later one counts.
        lines.push(format!("VIRTUAL_ENV={}", dir.display()));
        self.write_environment(&lines)
    }

    fn is_launcher(&self, line: &str) -> bool {
        line.strip_prefix("VIRTUAL_ENV=").is_some_and(|dir| Path::new(dir) == self.home.join(LAUNCHER))
    }

    fn environment(&self) -> Vec<String> {
        let text = fs::read_to_string(self.home.join(".env")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn write_environment(&self, lines: &[String]) -> anyhow::Result<()> {
        let place = self.home.join(".env");
        match lines {
            [] => {
                let _ = fs::remove_file(&place);
                Ok(())
            }
            lines => {
                if !place.exists() {
                    // Secrets will be put here.
                    fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&place)?;
                }
                replace(&place, &(lines.join("\n") + "\n"))
            }
        }
    }

    fn file(&self) -> PathBuf {
        self.home.join("config.yaml")
    }

    fn read(&self) -> anyhow::Result<String> {
        match fs::read_to_string(self.file()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            read => read.with_context(|| format!("cannot read {}", self.file().display())),
        }
    }

    fn note(&self) -> Before {
        let text = fs::read_to_string(self.home.join(NOTE)).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }
}

/// Written whole, with the rights it had.
fn replace(place: &Path, text: &str) -> anyhow::Result<()> {
    let new = place.with_extension("herma-new");
    fs::write(&new, text)?;
    if let Ok(known) = fs::metadata(place) {
        fs::set_permissions(&new, known.permissions())?;
    }
    fs::rename(&new, place).with_context(|| format!("cannot write {}", place.display()))
}

/// What was not there goes again.
fn put_back(file: &mut Document, path: &[&str], value: &Value) {
    match value {
        Value::Null => file.remove(path),
        value => file.put(path, value.clone()),
    }
}

/// A line without these values, as they are and as YAML, JSON and TOML write them. What only names a variable of the
/// environment says nothing.
fn mask(line: &str, secrets: &[&str]) -> String {
    let named = |secret: &str| secret.starts_with("${") && secret.ends_with('}');
    let mut longest: Vec<&str> =
        secrets.iter().copied().filter(|one| !one.is_empty() && !named(one)).collect();
    longest.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
    longest.iter().fold(line.to_owned(), |line, secret| {
        let quoted = Value::from(*secret).to_string();
        let escaped = quoted.trim_matches('"');
        line.replace(escaped, "[masked]").replace(secret, "[masked]")
    })
}

fn is_herma(command: &str) -> bool {
    Path::new(command).file_stem().is_some_and(|name| name == "herma")
}

fn without_us(list: Option<&Value>) -> Value {
    let all = list.and_then(Value::as_array).cloned().unwrap_or_default();
    all.into_iter().filter(|name| name != "herma").collect()
}

/// A server by URL as herma.toml has it. Hermes writes `${env:NAME}` where we write `${NAME}`.
fn table(name: &str, url: &str, headers: Option<&Value>) -> String {
    let text = |value: &str| toml::Value::from(value.replace("${env:", "${")).to_string();
    let mut table =
        format!("\n[[server]]\nname = {}\nurl = {}\ndenial = \"result\"\n", text(name), text(url));
    let headers = headers.and_then(Value::as_object).filter(|headers| !headers.is_empty());
    if let Some(headers) = headers {
        let pairs = headers.iter().filter_map(|(name, value)| {
            Some(format!("{} = {}", toml::Value::from(name.as_str()), text(value.as_str()?)))
        });
        table.push_str(&format!("headers = {{ {} }}\n", pairs.collect::<Vec<_>>().join(", ")));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_screen_shows_of_headers_has_no_values() {
        let secrets = ["Bearer abc", "abc", "${TOKEN}", "a\"b"];
        let shown = |line| mask(line, &secrets);
        assert_eq!(
            shown("- headers: {Authorization: \"Bearer abc\"}"),
            "- headers: {Authorization: \"[masked]\"}"
        );
        assert_eq!(shown("headers = { X-Key = \"a\\\"b\" }"), "headers = { X-Key = \"[masked]\" }");
        assert_eq!(shown("- X-Key: ${TOKEN}"), "- X-Key: ${TOKEN}");
    }

    #[test]
    fn the_plugin_speaks_the_version_of_its_daemon() {
        let says = format!("\nVERSION = {}\n", crate::control::wire::VERSION);
        assert!(PLUGIN.iter().any(|(_, text)| text.contains(&says)), "plugins/hermes is of another version");
    }
}
