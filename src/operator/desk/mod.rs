//! What people see: one typed view to a page, rendered by `page` and sent as it is by the JSON API.
//!
//! Text in here is as hostile as the calls it comes from; who renders it makes it safe.

mod drafts;
mod history;
mod holds;
mod phrase;
mod read;
mod reviews;
mod simulate;
mod warrants;

use herma_scoring::crisis::HelpLine;
use herma_scoring::{Reason, Reversibility, SideEffect, Undo};
use serde::Serialize;
use serde_json::Value;

use crate::gate::Method;
use crate::notify::Overview;
use crate::policy::Route;
use crate::review::FilePlan;
use crate::store::{HoldState, Latch, ReviewState};

pub use drafts::{DraftLine, DraftView};
pub use phrase::{LATCHED, only_latched, phrase, scope, standing};
pub(super) use read::Desk;
use read::aside;
pub use simulate::{Changed, Replay, SimAnswer, SimCall, SimRoute, Simulator};
pub(super) use simulate::{Opened, Question};
pub(super) use warrants::Begin;
pub use warrants::{
    ReplayedWhy, RevokedLine, WarrantBook, WarrantLine, WarrantLink, WarrantPreview, WarrantTool,
};

/// A page and what it shows.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Page {
    Inbox(Inbox),
    Hold(Box<HoldView>),
    Sessions(SessionList),
    Timeline(Timeline),
    Reviews(ReviewQueue),
    Simulator(Simulator),
    Warrants(WarrantBook),
    Audit(AuditPage),
    Settings(Box<SettingsView>),
    /// Nobody is signed in: the same address shows this until somebody is.
    Pair(PairView),
    Missing(MissingView),
}

/// What stands around every page.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Frame {
    pub now_ms: i64,
    /// Nobody is signed in when `None`.
    pub who: Option<Who>,
    pub figures: Figures,
    pub frozen: Vec<FrozenView>,
}

/// Who is signed in in this browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Who {
    pub approver: String,
    /// Names the session in signatures; no secret.
    pub session: String,
    pub method: Method,
    /// The approver has a passkey that this host name can ask for.
    pub has_passkey: bool,
    pub idle_ends_ms: i64,
    pub ends_ms: i64,
}

/// The person's own figures.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Figures {
    pub pending: u64,
    /// When the oldest that waits was opened.
    pub oldest_ms: Option<i64>,
    pub decided_today: u64,
    pub approved_today: u64,
    /// 0–1, of what was decided today.
    pub approved_share: Option<f64>,
    /// From opened to decided, of what was decided today.
    pub median_seconds: Option<f64>,
}

/// In the order in which a person should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    Crisis,
    Critical,
    High,
    Other,
}

/// What a call would do, in our words: "Send a message to" and the raw text that it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Phrase {
    pub verb: String,
    pub object: Option<String>,
}

/// One line of the inbox.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub id: String,
    pub version: u64,
    /// The call digest; a decision names it.
    pub call_digest: String,
    pub state: HoldState,
    pub group: Group,
    pub phrase: Phrase,
    pub server: String,
    pub tool: String,
    pub principal: String,
    pub session: String,
    pub class: SideEffect,
    pub reversibility: Reversibility,
    pub risk_score: f64,
    pub confidence: f64,
    pub crisis: bool,
    pub outbound: bool,
    /// How many equal calls it stands for.
    pub count: u32,
    pub created_ms: i64,
    pub expires_ms: i64,
    /// How it could be undone once it ran.
    pub undo: Option<Undo>,
    /// How often the agent asked for the like, and how often people said no.
    pub asked: Option<Asked>,
    pub escalated: u32,
    pub quorum: Quorum,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Asked {
    pub asked: u32,
    pub denied: u32,
}

/// Whose word is needed, and whose is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quorum {
    pub need: u32,
    /// Names of those who have approved so far.
    pub have: Vec<String>,
    /// The weakest method that may decide.
    pub method: Method,
    /// Only these; anybody if `None`.
    pub approvers: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Inbox {
    pub figures: Figures,
    /// Groups without rows are left out.
    pub groups: Vec<InboxGroup>,
    /// Waiting holds beyond those listed.
    pub more: u64,
    /// Ids of agents of which one is in crisis with somebody: everything outbound of theirs waits.
    pub latches: Vec<Latch>,
    /// Where the event stream goes on from this page.
    pub last_event: u64,
}

#[derive(Debug, Clone, Serialize)]
pub struct InboxGroup {
    pub group: Group,
    pub rows: Vec<Row>,
    /// Rows of this group beyond those listed.
    pub more: u64,
}

/// Everything about one hold.
#[derive(Debug, Clone, Serialize)]
pub struct HoldView {
    #[serde(flatten)]
    pub row: Row,
    /// `tool`, `resource`, `prompt`, `sampling` or `elicitation`.
    pub kind: String,
    /// What the agent's client says it is.
    pub client: String,
    /// Redacted; pointers and spans of `reasons` point into it.
    pub arguments: Value,
    pub arguments_sha256: String,
    /// The query of the agent's URL, which reaches the server too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Other members of `params`, and names of unusual headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra: Option<Value>,
    /// A person changed the arguments.
    pub edited: bool,
    /// To what, once it was let go so; raw, as it left.
    pub changed_to: Option<String>,
    /// SHA-256 of the RFC 8785 form of what was shown; the receipt names it.
    pub render_digest: String,
    pub reasons: Vec<Reason>,
    pub route: Route,
    pub rule: String,
    pub why: String,
    pub warrant: Option<WarrantMatch>,
    pub definition: DefinitionView,
    pub scope: Scope,
    /// The calls of this session before this one, newest first. What the agent did, not what it says.
    pub strip: Vec<Moment>,
    /// What must be typed before approval, where it cannot be undone.
    pub typed: Option<String>,
    /// What happens when a person does nothing.
    pub on_expiry: &'static str,
    /// The signed receipt, once decided.
    pub receipt: Option<Value>,
    pub policy: String,
    pub rules: String,
    /// Whether "approve similar" may be offered.
    pub may_generalise: bool,
    /// Whom to call, where whoever reads this may be the one in danger.
    pub help_lines: Vec<HelpLine>,
    /// The tool's input schema, for the editor.
    pub input_schema: Option<Value>,
}

/// Who and what the call would reach.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Scope {
    pub recipients: Vec<String>,
    /// `message`, `mail`, `post`, … when the tool is one that speaks.
    pub channel: Option<String>,
    /// The whole text that would be sent.
    pub message: Option<Pointed>,
    pub url: Option<Pointed>,
    pub path: Option<Pointed>,
    pub command: Option<Pointed>,
    pub statement: Option<Pointed>,
    pub code: Option<Pointed>,
    pub amount: Option<Pointed>,
    /// Before and after, where the arguments hold both.
    pub change: Option<(Pointed, Pointed)>,
}

/// A text of the arguments and where it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pointed {
    pub pointer: String,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WarrantMatch {
    /// `absent`, `authorised`, `gated` or `refused`.
    pub grant: String,
    pub why: Option<String>,
}

/// What the server says of the tool.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct DefinitionView {
    pub digest: Option<String>,
    /// Not what it was when first seen.
    pub changed: bool,
    /// The definition that was first seen, when it changed.
    pub first: Option<Value>,
    pub now: Option<Value>,
}

/// One call in the life of a session.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moment {
    /// The number of its line in the record.
    pub seq: u64,
    pub call: String,
    pub at_ms: i64,
    pub server: String,
    pub tool: String,
    pub class: String,
    pub risk_score: f64,
    pub confidence: f64,
    pub crisis: bool,
    pub route: String,
    pub rule: String,
    /// In observe mode: the route that was not taken.
    pub would: Option<String>,
    /// Rules that spoke, with their points: "why was this let through?"
    pub reasons: Vec<(String, f64)>,
    pub grant: String,
    /// `answered`, `error`, `failed`, `unknown`, …; `None` while it runs or when it did not.
    pub outcome: Option<String>,
    pub took_us: Option<u64>,
    pub hold: Option<String>,
    /// Who decided its hold, and what.
    pub decided: Option<Decided>,
    pub review: Option<String>,
    /// The call of `execute_code` that this one was made by.
    pub parent: Option<String>,
    /// Held, blocked, denied, or in crisis.
    pub flagged: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decided {
    pub by: String,
    pub decision: String,
    pub at_ms: i64,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct SessionList {
    pub sessions: Vec<SessionLine>,
    /// Where older ones begin.
    pub next: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SessionLine {
    pub id: String,
    pub principal: String,
    pub servers: Vec<String>,
    pub calls: u64,
    pub flagged: u64,
    pub highest_risk: f64,
    pub first_ms: i64,
    pub last_ms: i64,
    pub frozen: bool,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Timeline {
    pub session: String,
    pub principal: String,
    /// Newest first.
    pub calls: Vec<Moment>,
    /// Where older ones begin.
    pub next: Option<u64>,
    pub frozen: bool,
    pub in_crisis: bool,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct ReviewQueue {
    /// Tools whose calls wait because somebody objected to one.
    pub flags: Vec<FlagView>,
    pub reviews: Vec<ReviewLine>,
    pub more: u64,
}

/// A tool somebody objected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlagView {
    pub server: String,
    pub tool: String,
    pub by: String,
    pub reason: String,
    pub at_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReviewLine {
    pub id: String,
    pub version: u64,
    pub call: String,
    pub state: ReviewState,
    pub phrase: Phrase,
    pub server: String,
    pub tool: String,
    pub principal: String,
    pub session: String,
    pub created_ms: i64,
    /// When its undo ends.
    pub expires_ms: i64,
    pub arguments: Value,
    pub undo: Option<Value>,
    /// What taking it back would do now. Left out of listings, and where nothing can be taken back.
    pub plan: Option<PlanView>,
    /// Somebody has objected to a call of this tool: the next ones wait.
    pub flagged: bool,
    /// What it cannot take back.
    pub residue: Option<String>,
    pub verdict: Option<Value>,
}

/// What taking a call back would do, as things stand now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanView {
    /// Whoever takes the call back says it to this plan and no other.
    pub digest: String,
    pub files: Vec<FilePlan>,
    /// The call that takes the effect back, redacted.
    pub call: Option<Value>,
    /// Why it cannot be done as things stand.
    pub conflicts: Vec<String>,
    /// Later calls on the same files: they are taken back first.
    pub newer: Vec<String>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct AuditPage {
    pub query: AuditQuery,
    /// Newest first.
    pub entries: Vec<AuditEntry>,
    /// Where older ones begin.
    pub next: Option<u64>,
    pub checkpoint: Option<CheckpointView>,
    /// Why the record cannot be written at the moment.
    pub trouble: Option<String>,
}

/// All that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditQuery {
    pub agent: Option<String>,
    pub tool: Option<String>,
    pub server: Option<String>,
    pub session: Option<String>,
    pub route: Option<String>,
    pub step: Option<String>,
    pub approver: Option<String>,
    pub call: Option<String>,
    pub digest: Option<String>,
    pub from_ms: Option<i64>,
    pub to_ms: Option<i64>,
    /// Entries below this number.
    pub before: Option<u64>,
    pub limit: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditEntry {
    pub seq: u64,
    pub at_ms: i64,
    pub call: Option<String>,
    pub step: String,
    pub detail: Value,
    /// Covered by the last checkpoint: a proof can be downloaded.
    pub proven: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckpointView {
    pub origin: String,
    pub size: u64,
    pub root: String,
    /// The signed text.
    pub note: String,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct SettingsView {
    pub approvers: Vec<ApproverView>,
    pub version: &'static str,
    pub mode: String,
    pub profile: String,
    pub policy: String,
    pub rules: String,
    pub file: Option<String>,
    pub url: String,
    pub hosts: Vec<String>,
    /// Channels, and messages that did not arrive yet.
    pub messages: Overview,
    /// What `[[approval]]` asks for, one by one.
    pub approvals: Vec<String>,
    /// Calls that may wait at once.
    pub holds_per_session: usize,
    pub holds_per_agent: usize,
    /// How long raw arguments of held calls are kept; `None` for ever.
    pub arguments_kept_ms: Option<i64>,
    pub decisions_kept_ms: Option<i64>,
    pub hold_expires_s: u64,
    pub ticket_s: u64,
    pub session_idle_s: u64,
    pub session_end_s: u64,
    pub changed_tools: Vec<ChangedTool>,
    pub latches: Vec<Latch>,
    pub standing: Vec<StandingView>,
    /// Programs of the same user can do what the user can.
    pub advisory: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangedTool {
    pub server: String,
    pub tool: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApproverView {
    pub name: String,
    pub added_ms: i64,
    pub keys: Vec<KeyView>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyView {
    pub id: String,
    /// `browser` or `passkey`.
    pub kind: String,
    pub label: String,
    pub added_ms: i64,
    pub used_ms: Option<i64>,
}

/// A rule that a person made from a hold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StandingView {
    pub id: String,
    pub words: String,
    pub by: String,
    pub made_ms: i64,
    pub expires_ms: Option<i64>,
    pub uses: u64,
    pub max_uses: Option<u64>,
    pub allows: bool,
}

/// Something that is frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FrozenView {
    /// `all`, `agent`, `session` or `warrant`.
    pub scope: String,
    /// Which one; empty for `all`.
    pub what: String,
    pub by: String,
    pub since_ms: i64,
    pub reason: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PairView {
    /// There are approvers with passkeys: signing in by one is possible.
    pub passkeys: bool,
    /// Where the person wanted to go.
    pub next: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MissingView {
    pub what: String,
}
