//! The daemon's end of a run: each line of the script becomes a call.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use herma_scoring::Kind;
use herma_warrant::text_form::{from_base64, to_base64};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};

use super::line::{Line, arguments_of, telling};
use super::{TOOLS, refusal};
use crate::call::{Call, Carrier, Credential, Digest, Origin, Shown};
use crate::control::wire::{self, FromRun, Script, ToRun, WireError};
use crate::firewall::outcome::Outcome;
use crate::firewall::permit::Settlement;
use crate::firewall::runs::{Began, Claimed, Running};
use crate::firewall::session::Session;
use crate::firewall::{Admission, Firewall, Waited, Waits, now};
use crate::gate::Stay;
use crate::policy::Mode;

/// The agent's name in the record as long as nobody says better.
const AGENT: &str = "hermes";
/// The tool by which an agent runs code.
const RUNS: &str = "execute_code";
/// The script waits five minutes for each answer, and the agent as long for each line.
const PATIENCE: Duration = Duration::from_secs(240);
/// A `write_file` of some megabytes is a long line.
const LONGEST: usize = 16 << 20;

/// A launcher's connection, and its process.
pub type Arrival = (UnixStream, Script, Option<i32>);

/// Serves every run whose connection comes in, until no more can.
pub async fn attend(mut arrivals: mpsc::UnboundedReceiver<Arrival>, firewall: Arc<Firewall>) {
    while let Some((stream, script, pid)) = arrivals.recv().await {
        let firewall = Arc::clone(&firewall);
        tokio::spawn(async move {
            if let Err(error) = serve(stream, script, pid, firewall).await {
                tracing::debug!(%error, "the connection of a run ended");
            }
        });
    }
}

async fn serve(
    stream: UnixStream,
    script: Script,
    pid: Option<i32>,
    firewall: Arc<Firewall>,
) -> Result<(), WireError> {
    let (read, write) = stream.into_split();
    let (alive, gone) = watch::channel(());
    let (lines, mut incoming) = mpsc::channel(1);
    let reading = tokio::spawn(listen(read, lines, alive));
    let mut run = Run::begin(firewall, script, pid, write, gone);
    run.introduce().await?;
    while let Some((message, payload)) = incoming.recv().await {
        match message {
            FromRun::Line { seq } => run.judge(seq, &payload).await?,
            FromRun::Settled { seq, answered, is_error, bytes, took_us } => {
                let response = (!payload.is_empty()).then_some(payload);
                let outcome = match answered {
                    true => Outcome::Answered { is_error, bytes, response, delivered: true },
                    false => Outcome::Failed,
                };
                run.settle(seq, outcome, Duration::from_micros(took_us));
            }
        }
    }
    reading.abort();
    Ok(())
}

/// Reads ahead of the judge, so that a launcher that goes is noticed while a call waits.
async fn listen(mut read: OwnedReadHalf, lines: mpsc::Sender<(FromRun, Bytes)>, alive: watch::Sender<()>) {
    while let Ok(message) = wire::read_async::<FromRun>(&mut read).await {
        if lines.send(message).await.is_err() {
            break;
        }
    }
    drop(alive);
}

/// What the run may show: its own warrant in the form the script sends, or why there is none. Where calls are only
/// watched, a run without a warrant shows nothing, and the record says what that would have meant.
type Token = Result<(String, Option<Arc<[u8]>>), String>;

struct Run {
    firewall: Arc<Firewall>,
    id: Arc<str>,
    session: Arc<Session>,
    origin: Origin,
    /// The warrant that came with the call that runs the code.
    parent: Option<Arc<[u8]>>,
    token: Token,
    tools: Vec<String>,
    running: Running,
    write: OwnedWriteHalf,
    gone: watch::Receiver<()>,
    unsettled: HashMap<u64, Settlement>,
}

impl Run {
    fn begin(
        firewall: Arc<Firewall>,
        script: Script,
        pid: Option<i32>,
        write: OwnedWriteHalf,
        gone: watch::Receiver<()>,
    ) -> Self {
        let id: Arc<str> = format!("run-{}", firewall.calls.mint()).into();
        let claimed = match Digest::from_hex(&script.sha256) {
            Some(digest) => firewall.runs.claim(&digest, now()),
            None => Claimed::Nobody,
        };
        let (session, tools, parent) = match claimed {
            Claimed::By(parent) => (parent.session, parent.tools, "announced"),
            other => {
                let session = Session::new(&id, AGENT.into(), AGENT.into(), false);
                let session = firewall.sessions.adopt(session.at(script.cwd, script.home).privately());
                let parent = if matches!(other, Claimed::Several) { "ambiguous" } else { "unknown" };
                (session, None, parent)
            }
        };
        let origin = Origin { carrier: Carrier::Sandbox, ..session.origin() };
        let mut run = Self {
            running: firewall.runs.begin(&id, &session, pid),
            parent: session.shown_for(RUNS),
            token: Err("no warrant speaks of this run, and here every call needs one".into()),
            tools: Vec::new(),
            unsettled: HashMap::new(),
            firewall,
            id,
            session,
            origin,
            write,
            gone,
        };
        let warrant = run.grant(tools.as_deref());
        let began = Began {
            run: &run.id,
            origin: &run.origin,
            parent,
            script_sha256: &script.sha256,
            isolated: script.isolated,
            tools: &run.tools,
            warrant: warrant.as_deref(),
        };
        if let Err(error) = run.firewall.record_run(&began) {
            run.token = Err(format!("the record of calls cannot be written, so nothing runs: {error}"));
        }
        run
    }

    /// A warrant for those of the tools that the agent's session has and that its own warrants grant.
    fn grant(&mut self, has: Option<&[String]>) -> Option<String> {
        let asked: Vec<&str> = TOOLS
            .into_iter()
            .filter(|tool| has.is_none_or(|has| has.iter().any(|one| one == tool)))
            .collect();
        let warrants = &self.firewall.warrants;
        match warrants.grant_run(&self.id, &self.origin, &asked, self.parent.as_ref(), now()) {
            Ok(None) => {
                if self.firewall.policy().mode == Mode::Observe {
                    self.token = Ok((String::new(), None));
                }
                None
            }
            Ok(Some(granted)) => {
                self.token = Ok((to_base64(&granted.stack), Some(granted.stack)));
                self.tools = granted.tools;
                Some(granted.warrant.to_string())
            }
            Err(error) => {
                self.token = Err(error.to_string());
                None
            }
        }
    }

    async fn introduce(&mut self) -> Result<(), WireError> {
        let run = self.id.to_string();
        let message = match &self.token {
            Ok((text, _)) => ToRun::Granted { run, warrant: text.clone(), tools: self.tools.clone() },
            Err(why) => ToRun::Ungranted { run, why: why.clone() },
        };
        self.tell(&message, b"").await
    }

    async fn tell(&mut self, message: &ToRun, payload: &[u8]) -> Result<(), WireError> {
        Ok(self.write.write_all(&wire::encode(message, payload)?).await?)
    }

    async fn judge(&mut self, seq: u64, line: &[u8]) -> Result<(), WireError> {
        let (tool, admitted) = self.admit(line).await;
        match admitted {
            Ok(Admission::Permit(permit)) => {
                let (frame, settlement) = permit.spend();
                let (keep, told) = (settlement.keeps_answer(), settlement.told().map(str::to_owned));
                self.running.passes(&tool, &arguments_of(&frame).unwrap_or_default());
                self.unsettled.insert(seq, settlement);
                self.tell(&ToRun::Forward { seq, keep, told }, &frame).await
            }
            Ok(Admission::Answered(answer)) => {
                let answer = match &answer.told {
                    Some(told) => telling(&answer.response, told),
                    None => answer.response.to_vec(),
                };
                self.tell(&ToRun::Reply { seq }, &answer).await
            }
            Err(why) => self.tell(&ToRun::Reply { seq }, &refusal(&why)).await,
        }
    }

    /// Steps 1 to 6 for one line. What went wrong is for the script, in words.
    async fn admit(&mut self, line: &[u8]) -> (String, Result<Admission, String>) {
        let line = match Line::read(line, LONGEST) {
            Ok(line) => line,
            Err(error) => return (String::new(), Err(self.refuse("line", &error.to_string()))),
        };
        let tool = line.tool.clone();
        let admitted = match self.check(&line.token) {
            Ok(stack) => self.ask(line, stack).await,
            Err(why) => Err(self.refuse(&tool, &why)),
        };
        (tool, admitted)
    }

    async fn ask(&mut self, line: Line, stack: Option<Arc<[u8]>>) -> Result<Admission, String> {
        let firewall = Arc::clone(&self.firewall);
        let shown = stack.map(|stack| Shown {
            stack,
            parent: self.parent.clone(),
            credential: Credential::Channel,
            approvals: Vec::new(),
            channel_key: None,
            run: Some(Arc::clone(&self.id)),
        });
        let call = Call {
            id: firewall.calls.mint(),
            origin: self.origin.clone(),
            kind: Kind::Tool,
            frame: line.frame,
            definition: None,
            shown: shown.map(Arc::new),
            beside: None,
            tool: line.tool,
            arguments: line.arguments,
            raw_arguments: line.raw_arguments,
        };
        let mut patience = Patience { gone: self.gone.clone() };
        let admitted = firewall.admit(call, &self.session, &mut patience).await;
        admitted.map_err(|refusal| refusal.to_string())
    }

    /// The token must be the warrant this run was given: the channel is private to the run, and so is what it shows.
    fn check(&self, shown: &str) -> Result<Option<Arc<[u8]>>, String> {
        let (text, stack) = self.token.as_ref().map_err(Clone::clone)?;
        if subtle::ConstantTimeEq::ct_eq(text.as_bytes(), shown.as_bytes()).into() {
            return Ok(stack.clone());
        }
        let why = match from_base64(shown).map(|stack| self.firewall.warrants.verify(&stack, now())) {
            None => "it is no warrant".to_owned(),
            Some(Err(error)) => error.to_string(),
            Some(Ok(_)) => "it was given to somebody else".to_owned(),
        };
        Err(format!("REFUSED: the token of this call is not the warrant of this run: {why}"))
    }

    fn refuse(&self, what: &str, why: &str) -> String {
        self.firewall.record_refused(&self.origin, what, why);
        why.to_owned()
    }

    fn settle(&mut self, seq: u64, outcome: Outcome, took: Duration) {
        self.running.passed();
        if let Some(settlement) = self.unsettled.remove(&seq) {
            settlement.settle_after(took, outcome);
        }
    }
}

/// A script whose call waits.
struct Patience {
    gone: watch::Receiver<()>,
}

impl Waits for Patience {
    async fn wait(&mut self, stay: &mut Stay) -> Waited {
        tokio::select! {
            verdict = stay.decided() => Waited::Decided(verdict),
            // Nothing is ever sent: it changes when the launcher has gone.
            _ = self.gone.changed() => Waited::Gone,
            () = tokio::time::sleep(PATIENCE) => Waited::OutOfPatience,
        }
    }
}
