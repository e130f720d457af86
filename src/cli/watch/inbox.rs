//! What the person has before them and what their keys do. No terminal, no clock, no daemon.

use std::collections::{HashSet, VecDeque};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::held::Held;
use crate::cli::holds::visible;
use crate::gate::Decision;
use crate::operator::desk::Group;
use crate::store::HoldState;

/// How long a first `a` waits for the second.
pub(super) const ARMED_MS: i64 = 5_000;
/// A second `a` that comes faster is a bouncing key and no decision.
const BOUNCE_MS: i64 = 300;
/// Lines of the log that are kept.
const LOG: usize = 100;
/// Characters of a reason.
const REASON: usize = 500;

/// What the model is told, under the keys 1 to 5.
pub(super) const REASONS: [&str; 5] = [
    "this is not needed for the task",
    "wrong target: look again before you ask again",
    "too much at once: do a smaller part",
    "find a way that can be undone",
    "stop and ask me what I want",
];
pub(super) const CRISIS_REASONS: [&str; 5] = [
    "a person will answer",
    "use the approved wording",
    "say less, and say where a person can be reached",
    "this must not go to this recipient",
    "do not write to this person again",
];

/// What the person asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Act {
    Quit,
    /// The digest is the one that was on the screen.
    Decide {
        id: String,
        digest: String,
        typed: Option<String>,
        decision: Decision,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Focus {
    List,
    Detail,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Dialog {
    None,
    Help,
    /// One more `a` approves.
    Armed {
        id: String,
        since: i64,
    },
    /// The end of the id approves.
    Typing {
        id: String,
        text: String,
    },
    Denying {
        id: String,
        text: String,
        /// Its like is denied at once from now on.
        sticky: bool,
    },
}

/// How the daemon is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Link {
    Connecting,
    Live,
    Lost(String),
}

/// What the drawing found out: rows of the detail pane, and lines there would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) rows: usize,
    pub(super) lines: usize,
}

impl Page {
    pub(super) fn last(self) -> usize {
        self.lines.saturating_sub(self.rows)
    }
}

#[derive(Debug)]
pub(super) struct Inbox {
    /// In order of their groups.
    settled: Vec<Held>,
    /// Came since; they stay below so that nothing moves under the person's hand.
    fresh: Vec<Held>,
    selected: Option<String>,
    pub(super) focus: Focus,
    pub(super) dialog: Dialog,
    pub(super) link: Link,
    pub(super) scroll: usize,
    pub(super) page: Page,
    log: VecDeque<String>,
    /// Decided at this terminal: its log line is written already.
    decided_here: HashSet<String>,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self {
            settled: Vec::new(),
            fresh: Vec::new(),
            selected: None,
            focus: Focus::List,
            dialog: Dialog::None,
            link: Link::Connecting,
            scroll: 0,
            page: Page::default(),
            log: VecDeque::new(),
            decided_here: HashSet::new(),
        }
    }

    pub(super) fn settled(&self) -> &[Held] {
        &self.settled
    }

    pub(super) fn fresh(&self) -> &[Held] {
        &self.fresh
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = &Held> {
        self.all().filter(|held| held.waits())
    }

    pub(super) fn selected(&self) -> Option<&Held> {
        self.find(self.selected.as_deref()?)
    }

    pub(super) fn find(&self, id: &str) -> Option<&Held> {
        self.all().find(|held| held.id == id)
    }

    pub(super) fn log(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.log.iter().map(String::as_str)
    }

    fn all(&self) -> impl Iterator<Item = &Held> {
        self.settled.iter().chain(&self.fresh)
    }

    pub(super) fn note(&mut self, line: String) {
        self.log.push_back(line);
        if self.log.len() > LOG {
            self.log.pop_front();
        }
    }

    /// What the daemon made of a decision that was taken here.
    pub(super) fn decided(
        &mut self,
        at: &str,
        id: String,
        decision: &Decision,
        outcome: &Result<(), String>,
    ) {
        self.note(format!("{at} {}", told(&id, decision, outcome)));
        if outcome.is_ok() {
            self.decided_here.insert(id);
        }
    }

    /// The log line of a change, where it is one that nobody has read yet.
    pub(super) fn news_of(&self, row: &Held) -> Option<String> {
        let known = self.find(&row.id).is_some_and(|known| known.version < row.version);
        let said = matches!(row.state, HoldState::Approved | HoldState::Denied)
            && self.decided_here.contains(&row.id);
        let passing = matches!(row.state, HoldState::Pending | HoldState::Forwarding);
        (known && !said && !passing).then(|| format!("{} {}", row.id, row.ending()))
    }

    /// Everything that waits, as the daemon lists it. True when something is new.
    pub(super) fn listed(&mut self, rows: Vec<Held>) -> bool {
        self.link = Link::Live;
        let first = self.is_empty();
        let gone: Vec<String> = self
            .waiting()
            .filter(|held| !rows.iter().any(|row| row.id == held.id && row.waits()))
            .map(|held| held.id.clone())
            .collect();
        for id in gone {
            self.settle(&id, HoldState::Unknown);
        }
        let mut new = false;
        for row in rows {
            new |= self.changed(row);
        }
        if first {
            self.selected = None;
            self.take_in();
        }
        new
    }

    /// One hold opened or changed. True when it is new.
    pub(super) fn changed(&mut self, row: Held) -> bool {
        if let Some(known) = self.settled.iter_mut().chain(&mut self.fresh).find(|known| known.id == row.id) {
            if row.version >= known.version {
                let (id, state) = (row.id.clone(), row.state);
                *known = row;
                if state != HoldState::Pending {
                    self.settle(&id, state);
                }
            }
            return false;
        }
        if !row.waits() {
            return false;
        }
        if self.is_empty() {
            self.selected = Some(row.id.clone());
            self.scroll = 0;
            self.settled.push(row);
        } else {
            self.fresh.push(row);
        }
        true
    }

    fn is_empty(&self) -> bool {
        self.settled.is_empty() && self.fresh.is_empty()
    }

    /// It waits no longer. Under the person's eyes it stays and says so; elsewhere it goes.
    fn settle(&mut self, id: &str, state: HoldState) {
        if let Some(held) = self.settled.iter_mut().chain(&mut self.fresh).find(|held| held.id == id) {
            held.state = state;
        }
        let asked = match &self.dialog {
            Dialog::Armed { id, .. } | Dialog::Typing { id, .. } | Dialog::Denying { id, .. } => Some(id),
            Dialog::None | Dialog::Help => None,
        };
        if asked.is_some_and(|asked| asked == id) {
            self.dialog = Dialog::None;
        }
        self.clear_ended();
    }

    fn clear_ended(&mut self) {
        let selected = self.selected.clone();
        let stays = |held: &Held| held.waits() || Some(&held.id) == selected.as_ref();
        self.settled.retain(stays);
        self.fresh.retain(stays);
    }

    fn sort(&mut self) {
        self.settled.sort_by_key(|held| (held.group(), held.created_ms));
    }

    /// Takes the new ones into their groups, because the person said so.
    fn take_in(&mut self) {
        self.settled.append(&mut self.fresh);
        self.sort();
        if self.selected().is_none_or(|held| !held.waits()) {
            let next = self.waiting().next().map(|held| held.id.clone());
            self.selected = next;
            self.scroll = 0;
        }
        self.clear_ended();
    }

    fn step(&mut self, forward: bool) {
        let ids: Vec<&str> = self.all().map(|held| held.id.as_str()).collect();
        let at = self.selected.as_deref().and_then(|id| ids.iter().position(|known| *known == id));
        let next = match (at, forward) {
            (Some(at), true) => at.saturating_add(1).min(ids.len().saturating_sub(1)),
            (Some(at), false) => at.saturating_sub(1),
            (None, _) => 0,
        };
        let next = ids.get(next).map(|id| (*id).to_owned());
        if next != self.selected {
            self.selected = next;
            self.scroll = 0;
            self.clear_ended();
        }
    }

    fn scroll_by(&mut self, lines: isize) {
        self.scroll = self.scroll.min(self.page.last()).saturating_add_signed(lines).min(self.page.last());
    }

    /// A first `a` that nobody followed up is forgotten.
    pub(super) fn tick(&mut self, now: i64) {
        if matches!(self.dialog, Dialog::Armed { since, .. } if now.saturating_sub(since) > ARMED_MS) {
            self.dialog = Dialog::None;
        }
    }

    /// Pasted text may be a reason; it is never a key.
    pub(super) fn paste(&mut self, pasted: &str) {
        if let Dialog::Denying { text, .. } = &mut self.dialog {
            append(text, pasted.chars());
        }
    }

    pub(super) fn press(&mut self, key: KeyEvent, now: i64) -> Option<Act> {
        self.tick(now);
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Some(Act::Quit);
        }
        if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
            return None;
        }
        match self.dialog.clone() {
            Dialog::None => self.command(key.code, now),
            Dialog::Help => {
                self.dialog = Dialog::None;
                None
            }
            Dialog::Armed { id, since } => self.confirm(key.code, id, since, now),
            Dialog::Typing { id, text } => self.type_code(key.code, id, text),
            Dialog::Denying { id, text, sticky } => self.type_reason(key.code, id, text, sticky),
        }
    }

    fn command(&mut self, key: KeyCode, now: i64) -> Option<Act> {
        let page = isize::try_from(self.page.rows.saturating_sub(2)).unwrap_or(1).max(1);
        let in_detail = self.focus == Focus::Detail;
        match key {
            KeyCode::Char('q') => return Some(Act::Quit),
            KeyCode::Char('?') => self.dialog = Dialog::Help,
            KeyCode::Char('j') | KeyCode::Down if in_detail => self.scroll_by(1),
            KeyCode::Char('k') | KeyCode::Up if in_detail => self.scroll_by(-1),
            KeyCode::Char('j') | KeyCode::Down => self.step(true),
            KeyCode::Char('k') | KeyCode::Up => self.step(false),
            KeyCode::PageDown | KeyCode::Char(' ') => self.scroll_by(page),
            KeyCode::PageUp => self.scroll_by(-page),
            KeyCode::Home | KeyCode::Char('g') => self.scroll = 0,
            KeyCode::End | KeyCode::Char('G') => self.scroll = self.page.last(),
            KeyCode::Enter => self.focus = Focus::Detail,
            KeyCode::Esc => self.focus = Focus::List,
            KeyCode::Tab | KeyCode::BackTab => {
                self.focus = if in_detail { Focus::List } else { Focus::Detail };
            }
            KeyCode::Char('n') => self.take_in(),
            KeyCode::Char('a') => self.arm(now),
            KeyCode::Char(d @ ('d' | 'D')) => {
                if let Some(id) = self.decidable() {
                    self.dialog = Dialog::Denying { id, text: String::new(), sticky: d == 'D' };
                }
            }
            KeyCode::Char('e') => {
                if let Some(id) = self.decidable() {
                    return self
                        .decide(&id, Decision::Escalate { reason: "somebody else should decide".into() });
                }
            }
            _ => {}
        }
        None
    }

    fn arm(&mut self, now: i64) {
        let Some(id) = self.decidable() else { return };
        let typed = self.selected().is_some_and(Held::needs_typing);
        self.focus = Focus::Detail;
        self.dialog =
            if typed { Dialog::Typing { id, text: String::new() } } else { Dialog::Armed { id, since: now } };
    }

    fn decidable(&mut self) -> Option<String> {
        if self.link != Link::Live {
            self.note("nothing can be decided while herma does not answer".into());
            return None;
        }
        self.selected().filter(|held| held.waits()).map(|held| held.id.clone())
    }

    fn confirm(&mut self, key: KeyCode, id: String, since: i64, now: i64) -> Option<Act> {
        if key != KeyCode::Char('a') {
            self.dialog = Dialog::None;
            return match key {
                KeyCode::Esc => None,
                other => self.command(other, now),
            };
        }
        if now.saturating_sub(since) < BOUNCE_MS {
            return None;
        }
        self.decide(&id, Decision::Approve)
    }

    fn type_code(&mut self, key: KeyCode, id: String, mut text: String) -> Option<Act> {
        match key {
            KeyCode::Esc => self.dialog = Dialog::None,
            KeyCode::Enter => {
                if self.find(&id).is_some_and(|held| held.code() == text) {
                    return self.decide(&id, Decision::Approve);
                }
                self.dialog = Dialog::None;
                self.note(format!("{id}: that was something else; nothing was decided"));
            }
            KeyCode::PageDown | KeyCode::PageUp | KeyCode::Down | KeyCode::Up => {
                self.read_on(key);
            }
            _ => {
                edit(&mut text, key);
                self.dialog = Dialog::Typing { id, text };
            }
        }
        None
    }

    fn type_reason(&mut self, key: KeyCode, id: String, mut text: String, sticky: bool) -> Option<Act> {
        let reasons = self.reasons(&id);
        match key {
            KeyCode::Esc => self.dialog = Dialog::None,
            KeyCode::Char(digit @ '1'..='5') if text.is_empty() => {
                let at = digit.to_digit(10).map_or(0, |digit| digit.saturating_sub(1) as usize);
                let reason = (*reasons.get(at)?).to_owned();
                return self.decide(&id, Decision::Deny { reason, sticky });
            }
            KeyCode::Enter if !text.trim().is_empty() => {
                let reason = text.trim().to_owned();
                return self.decide(&id, Decision::Deny { reason, sticky });
            }
            KeyCode::PageDown | KeyCode::PageUp | KeyCode::Down | KeyCode::Up => {
                self.read_on(key);
            }
            _ => {
                edit(&mut text, key);
                self.dialog = Dialog::Denying { id, text, sticky };
            }
        }
        None
    }

    /// The action can still be read while the question stands.
    fn read_on(&mut self, key: KeyCode) {
        let page = isize::try_from(self.page.rows.saturating_sub(2)).unwrap_or(1).max(1);
        match key {
            KeyCode::PageDown => self.scroll_by(page),
            KeyCode::PageUp => self.scroll_by(-page),
            KeyCode::Down => self.scroll_by(1),
            _ => self.scroll_by(-1),
        }
    }

    pub(super) fn reasons(&self, id: &str) -> [&'static str; 5] {
        match self.find(id).map(Held::group) {
            Some(Group::Crisis) => CRISIS_REASONS,
            _ => REASONS,
        }
    }

    fn decide(&mut self, id: &str, decision: Decision) -> Option<Act> {
        self.dialog = Dialog::None;
        let held = self.find(id).filter(|held| held.waits())?;
        let typed = held.typed.clone().filter(|_| decision.approves());
        Some(Act::Decide { id: held.id.clone(), digest: held.digest.clone(), typed, decision })
    }
}

fn edit(text: &mut String, key: KeyCode) {
    match key {
        KeyCode::Backspace => {
            text.pop();
        }
        KeyCode::Char(c) => append(text, std::iter::once(c)),
        _ => {}
    }
}

fn append(text: &mut String, typed: impl Iterator<Item = char>) {
    let room = REASON.saturating_sub(text.chars().count());
    let typed: String = typed.map(|c| if c.is_control() { ' ' } else { c }).take(room).collect();
    text.push_str(&typed);
}

/// The log line of a decision.
fn told(id: &str, decision: &Decision, outcome: &Result<(), String>) -> String {
    match (outcome, decision) {
        (Ok(()), Decision::Approve) => format!("{id} approved: it runs once, as shown"),
        (Ok(()), Decision::Edit { .. }) => format!("{id} approved with other arguments: it runs once"),
        (Ok(()), Decision::Deny { reason, sticky: false }) => format!("{id} denied: {}", visible(reason)),
        (Ok(()), Decision::Deny { reason, sticky: true }) => {
            format!("{id} denied, and its like in this session: {}", visible(reason))
        }
        (Ok(()), Decision::Escalate { .. }) => format!("{id} goes on waiting: the next person is told"),
        (Err(why), _) => format!("{id} was not decided: {}", visible(why)),
    }
}
