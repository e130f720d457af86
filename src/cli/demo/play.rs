//! The five steps. What is said of each is read from the daemon, the record and the disk.

use std::fs;
use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rmcp::model::JsonObject;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::agent::{Agent, Answer, arguments};
use super::door::Door;
use super::place::{DELETION, POLICY, Place};
use super::server::{DEPLOYED, OUTBOX};
use super::stage::{Fate, Stage};
use crate::cli::{audit, holds, review};
use crate::control::client::Client;
use crate::control::review::ReviewAsk;
use crate::control::wire::Ask;
use crate::gate::Decision;
use crate::ledger::{Reader, Record};

const GLANCE: Duration = Duration::from_millis(15);
/// How long a hold, or a line of the record, may take to appear.
const PATIENCE: Duration = Duration::from_secs(5);
/// Lines of the record that are shown at the end.
const TAIL: usize = 24;

pub(super) struct Play<'a> {
    place: &'a Place,
    stage: &'a Stage,
    /// The way into the browser, when a person decides.
    door: Option<&'a Door<'a>>,
    /// Lines of the person at this terminal.
    lines: Option<mpsc::UnboundedReceiver<String>>,
}

impl<'a> Play<'a> {
    pub(super) fn new(place: &'a Place, stage: &'a Stage, door: Option<&'a Door<'a>>) -> Self {
        let lines = (door.is_some() && io::stdin().is_terminal()).then(read_lines);
        Self { place, stage, door, lines }
    }

    pub(super) async fn run(&mut self) -> anyhow::Result<()> {
        let agent = Agent::start(self.place).await?;
        self.introduce(&agent.tools().await?).await?;
        self.read(&agent).await.context("step 1, a read")?;
        self.edit(&agent).await.context("step 2, an edit")?;
        self.remove(&agent).await.context("step 3, rm -rf")?;
        self.message(&agent).await.context("step 4, a message to a person in crisis")?;
        self.deploy(&agent).await.context("step 5, a deployment")?;
        agent.leave().await
    }

    async fn introduce(&mut self, tools: &[String]) -> anyhow::Result<()> {
        let stage = self.stage;
        stage.title("Herma demo: five calls of an agent, and what stands between it and its tools")?;
        stage.gap()?;
        stage.say(&format!("The agent works on a small site in {}", self.place.project().display()))?;
        stage.say(&format!(
            "Its MCP server is real and runs behind `herma wrap`. Tools: {}.",
            tools.join(", ")
        ))?;
        stage
            .say(&format!("Only send_message stops short of the world: its effect is a line in {OUTBOX}."))?;
        stage.say("The policy is Herma's default and one rule:")?;
        stage.gap()?;
        stage.quote(POLICY.lines().skip(2).collect::<Vec<_>>().join("\n").as_str())?;
        let Some(door) = self.door else { return Ok(()) };
        stage.gap()?;
        door.show()?;
        stage.gap()?;
        stage.say("Or run the inbox in a second terminal:")?;
        stage.gap()?;
        stage.command(&watch_command(&self.place.data()))?;
        stage.gap()?;
        if self.lines.is_some() {
            stage.say("or decide here when you are asked.")?;
            stage.ask("Enter begins. ")?;
            self.line().await?;
        }
        Ok(())
    }

    async fn read(&mut self, agent: &Agent) -> anyhow::Result<()> {
        let call = arguments(json!({ "path": "README.md" }));
        self.stage.step(1, "The agent reads a file")?;
        let answer = self.play(agent, "read_file", &call).await?;
        self.routed("read_file", "execute", Fate::Ran, "It changes nothing, so it runs.").await?;
        ensure!(
            !answer.is_error && answer.text.contains("Harbour"),
            "the file was not read: {}",
            answer.text
        );
        self.stage.say(&format!(
            "It got {} bytes, beginning with: {}",
            answer.text.len(),
            answer.text.lines().next().unwrap_or_default()
        ))?;
        Ok(())
    }

    async fn edit(&mut self, agent: &Agent) -> anyhow::Result<()> {
        let edits = json!([{ "oldText": "echo none", "newText": "node --test" }]);
        let call = arguments(json!({ "path": self.project("package.json").canonicalize()?, "edits": edits }));
        self.stage.step(2, "It edits a file that others will run")?;
        let answer = self.play(agent, "edit_file", &call).await?;
        self.routed(
            "edit_file",
            "review",
            Fate::RanForReview,
            "It can be undone, so it runs; others will run this file, so a person looks at it afterwards.",
        )
        .await?;
        let text = fs::read_to_string(self.project("package.json"))?;
        ensure!(!answer.is_error && text.contains("node --test"), "the file was not edited: {}", answer.text);
        self.stage.say("On disk: package.json has the new text. A person can still look at it:")?;
        self.stage.gap()?;
        self.stage.command("herma review list")?;
        let waiting = self.client()?.ask(&Ask::Review(ReviewAsk::List { all: false }))?;
        let mut listed = Vec::new();
        review::list(&waiting, &mut listed)?;
        self.stage.quote(&String::from_utf8_lossy(&listed))?;
        let queued = waiting
            .as_array()
            .is_some_and(|rows| rows.iter().any(|row| row.get("tool") == Some(&json!("edit_file"))));
        ensure!(queued, "the edit is not in the review queue");
        Ok(())
    }

    async fn remove(&mut self, agent: &Agent) -> anyhow::Result<()> {
        let call = arguments(json!({ "command": DELETION }));
        self.stage.step(3, "It wants to delete the site")?;
        let meaning = "It cannot be taken back, so it waits for a person.";
        let scripted = "the site is the only copy: move it away instead";
        let (answer, approved) = self.play_held(agent, "run_command", &call, meaning, scripted).await?;
        let there = self.project("site/index.html").exists();
        self.told(&answer, approved)?;
        self.stage
            .say(&format!("On disk: site/index.html is {}.", if there { "still there" } else { "gone" }))?;
        ensure!(there != approved, "the effect on disk is not what was decided");
        Ok(())
    }

    async fn message(&mut self, agent: &Agent) -> anyhow::Result<()> {
        let call = arguments(json!({
            "to": "robin@example.org",
            "message": "Hello Robin, you wrote that you do not want to go on living. Thank you for telling us. \
                        You do not have to be alone with this. May a colleague call you this evening?",
        }));
        self.stage.step(4, "It answers somebody who wrote that they do not want to go on living")?;
        let meaning =
            "Somebody may be in crisis, so a person reads it first: no rule and no score can change that.";
        let (answer, approved) =
            self.play_held(agent, "send_message", &call, meaning, "a person will answer").await?;
        let sent = fs::read_to_string(self.project(OUTBOX)).map_or(0, |text| text.lines().count());
        self.told(&answer, approved)?;
        self.stage.say(&match sent {
            0 => "On disk: the outbox is empty.".to_owned(),
            1 => "On disk: the outbox has one line.".to_owned(),
            more => format!("On disk: the outbox has {more} lines."),
        })?;
        ensure!(sent == usize::from(approved), "the effect on disk is not what was decided");
        Ok(())
    }

    async fn deploy(&mut self, agent: &Agent) -> anyhow::Result<()> {
        let call = arguments(json!({ "target": "production" }));
        self.stage.step(5, "It tries what the policy forbids")?;
        let answer = self.play(agent, "deploy", &call).await?;
        self.routed("deploy", "block", Fate::Blocked, "No person is asked: the policy has decided.").await?;
        ensure!(answer.decision.as_deref() == Some("blocked"), "it was not blocked: {}", answer.text);
        self.stage.say(&format!("The agent was told: {}", answer.text))?;
        let deployed = self.project(DEPLOYED).exists();
        self.stage.say(&format!(
            "On disk: {}.",
            if deployed { "it was deployed" } else { "nothing was deployed" }
        ))?;
        ensure!(!deployed, "it was deployed all the same");
        Ok(())
    }

    async fn play(&self, agent: &Agent, tool: &'static str, call: &JsonObject) -> anyhow::Result<Answer> {
        self.stage.call(tool, &Value::Object(call.clone()))?;
        tokio::select! {
            answer = agent.call(tool, call) => answer,
            row = self.hold_of(tool) => bail!("it was held and should not have been: {}", why(&row?)),
        }
    }

    /// A call that waits. Returns what the agent was told, and whether it was approved.
    async fn play_held(
        &mut self,
        agent: &Agent,
        tool: &'static str,
        call: &JsonObject,
        meaning: &str,
        scripted: &str,
    ) -> anyhow::Result<(Answer, bool)> {
        self.stage.call(tool, &Value::Object(call.clone()))?;
        let mut answer = pin!(agent.call(tool, call));
        let row = tokio::select! {
            row = self.hold_of(tool) => row?,
            answer = &mut answer => bail!("it was not held: the agent was told {:?}", answer?.text),
        };
        self.routed(tool, "gate", Fate::Held, meaning).await?;
        self.stage.gap()?;
        self.stage.command(&format!("herma holds show {}", text(&row, "id")))?;
        let mut shown = Vec::new();
        holds::show(&row, &mut shown)?;
        self.stage.quote(&String::from_utf8_lossy(&shown))?;
        self.stage.gap()?;
        let answer = if self.door.is_some() {
            tokio::select! {
                answer = &mut answer => {
                    self.stage.elsewhere()?;
                    answer?
                }
                asked = self.ask_person(&row) => {
                    asked?;
                    answer.await?
                }
            }
        } else {
            self.decide(&row, Decision::deny(scripted))?;
            answer.await?
        };
        let row = self.client()?.ask(&Ask::Hold { id: text(&row, "id").to_owned() })?;
        let decision = row.get("decision").map(|decision| text(decision, "decision"));
        if self.door.is_none() {
            ensure!(answer.decision.as_deref() == Some("denied"), "it was not denied: {}", answer.text);
            ensure!(answer.text.contains(scripted), "the reason did not reach the agent: {}", answer.text);
        }
        Ok((answer, decision == Some("approve")))
    }

    fn told(&self, answer: &Answer, approved: bool) -> anyhow::Result<()> {
        let words = match answer.text.trim() {
            "" => "it ran and printed nothing",
            words => words,
        };
        self.stage.fate(
            if approved { Fate::Approved } else { Fate::Denied },
            &format!("The agent was told: {words}"),
        )?;
        Ok(())
    }

    /// Returns when a decision was given here. One that is given elsewhere ends the wait from outside.
    async fn ask_person(&mut self, row: &Value) -> anyhow::Result<()> {
        if self.lines.is_none() {
            self.stage.say("It waits for you, in the browser or in the second terminal.")?;
            return std::future::pending().await;
        }
        let id = text(row, "id");
        let end: String = id.chars().skip(id.chars().count().saturating_sub(4)).collect();
        let code = row.get("typed").and_then(Value::as_str).map_or(end, holds::visible);
        loop {
            self.stage.ask("(a)pprove, (d)eny, or decide in the browser: ")?;
            let decision = match self.line().await?.trim() {
                "a" | "approve" => {
                    self.stage.ask(&format!("It runs once, as shown. Type {code} to approve: "))?;
                    if self.line().await?.trim() != code {
                        self.stage.say("That was something else; nothing is decided.")?;
                        continue;
                    }
                    Decision::Approve
                }
                "d" | "deny" => {
                    self.stage.ask("Why? The agent reads it: ")?;
                    let reason = self.line().await?.trim().to_owned();
                    Decision::deny(if reason.is_empty() {
                        "a person decided against it".into()
                    } else {
                        reason
                    })
                }
                _ => continue,
            };
            match self.decide(row, decision) {
                Ok(()) => return Ok(()),
                Err(error) => self.stage.say(&format!("{error:#}"))?,
            }
        }
    }

    fn decide(&self, row: &Value, decision: Decision) -> anyhow::Result<()> {
        let ask = Ask::Decide {
            id: text(row, "id").to_owned(),
            digest: Some(text(row, "digest").to_owned()),
            version: None,
            typed: row.get("typed").and_then(Value::as_str).map(str::to_owned),
            decision,
        };
        self.client()?.ask(&ask)?;
        Ok(())
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        match &mut self.lines {
            Some(lines) => lines.recv().await.context("the terminal is closed"),
            None => bail!("there is no terminal"),
        }
    }

    /// The pending hold of a call of `tool`.
    async fn hold_of(&self, tool: &str) -> anyhow::Result<Value> {
        loop {
            let rows = self.client()?.ask(&Ask::Holds { all: false })?;
            let found = rows
                .as_array()
                .into_iter()
                .flatten()
                .find(|row| text(row, "tool") == tool && text(row, "state") == "pending");
            if let Some(row) = found {
                return Ok(row.clone());
            }
            sleep(GLANCE).await;
        }
    }

    /// Finds in the record where the call went, says so, and fails when it should have gone elsewhere.
    async fn routed(&self, tool: &str, route: &str, fate: Fate, meaning: &str) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        let record = loop {
            let found = self.records()?.into_iter().rev().find(|record| {
                record.step == "routed" && record.detail.get("tool_name") == Some(&json!(tool))
            });
            match found {
                Some(record) => break record,
                None if Instant::now() > end => bail!("the record does not know of the call"),
                None => sleep(GLANCE).await,
            }
        };
        let fact = |name: &str| match record.detail.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        };
        let judged = format!(
            "by rule {}: class {}, risk {}, confidence {}",
            fact("rule"),
            fact("class"),
            fact("risk_score"),
            fact("confidence")
        );
        ensure!(
            fact("route") == route,
            "it should have gone to `{route}` and went to `{}` {judged}",
            fact("route")
        );
        self.stage.fate(fate, &judged)?;
        self.stage.say(meaning)?;
        Ok(())
    }

    fn records(&self) -> anyhow::Result<Vec<Record>> {
        records(self.place)
    }

    fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::connect(&self.place.data())?)
    }

    fn project(&self, name: &str) -> PathBuf {
        self.place.project().join(name)
    }
}

/// The end: what was written of all this, and whether it can be trusted.
pub(super) fn show_record(place: &Place, stage: &Stage) -> anyhow::Result<()> {
    let records = records(place)?;
    stage.heading("What the record says, in short (herma audit tail has all of it)")?;
    let skip = records.len().saturating_sub(TAIL);
    records.iter().skip(skip).try_for_each(|record| stage.entry(record))?;
    stage.heading("Whether anybody has touched it (herma audit verify)")?;
    let mut report = Vec::new();
    let code = audit::verify(&place.data(), None, None, &mut report)?;
    stage.quote(&String::from_utf8_lossy(&report))?;
    ensure!(code == std::process::ExitCode::SUCCESS, "the record does not verify");
    stage.gap()?;
    stage.say(
        "Now with your own server: put `herma wrap --` in front of its command in your agent's settings.",
    )?;
    Ok(())
}

fn records(place: &Place) -> anyhow::Result<Vec<Record>> {
    let mut records = Vec::new();
    for line in Reader::open(&place.data().join(audit::LEDGER))? {
        let line = line?;
        if line.whole {
            records.push(Record::parse(&line.bytes)?);
        }
    }
    Ok(records)
}

fn why(row: &Value) -> String {
    let fact = |name: &str| row.pointer(&format!("/shown/{name}")).map(Value::to_string).unwrap_or_default();
    format!("rule {}, {}, judged {}", fact("rule"), fact("why"), fact("assessment"))
}

pub(super) fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The command that starts the inbox, as it can be pasted into a shell.
fn watch_command(data: &std::path::Path) -> String {
    let herma = std::env::args().next().unwrap_or_else(|| "herma".into());
    format!("{} --data-dir {} holds watch", quoted(&herma), quoted(&data.display().to_string()))
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Lines of the terminal, read on a thread that nobody has to wait for.
fn read_lines() -> mpsc::UnboundedReceiver<String> {
    let (to, lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if to.send(line).is_err() {
                return;
            }
        }
    });
    lines
}
