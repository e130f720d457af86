//! Who is to be told of what, at which time: pure, time is an argument.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::setup::{Rung, Setup};
use crate::store::{HoldRow, HoldState};

/// One session is brought up once in this time on a channel, whatever waits in it.
const PAUSE_MS: i64 = 30_000;

/// A message that is due: one channel, one session, all of its holds that have come to a rung.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Push {
    pub(super) channel: Arc<str>,
    pub(super) holds: Vec<HoldRow>,
    /// What the table of sent messages will say: hold and rung.
    pub(super) told: Vec<(String, String)>,
    /// Somebody has been told before and has not decided.
    pub(super) escalated: bool,
}

#[derive(Debug)]
pub(super) struct Ladder {
    setup: Setup,
    waiting: BTreeMap<String, Waiting>,
    /// By channel, session and whether it was about a crisis: such a message waits for no other.
    last: HashMap<(Arc<str>, String, bool), i64>,
}

#[derive(Debug)]
struct Waiting {
    row: HoldRow,
    /// Rungs a person asked for before their time.
    hurried: HashSet<String>,
    /// Rung and channel.
    told: HashSet<(String, String)>,
}

/// A rung's message on one channel and when it is due.
struct Due {
    hold: String,
    rung: String,
    channel: Arc<str>,
    at: i64,
    escalated: bool,
}

impl Ladder {
    pub(super) fn new(mut setup: Setup) -> Self {
        let all = || setup.channels.iter().map(|channel| Arc::clone(&channel.name)).collect();
        if setup.rungs.is_empty() {
            setup.rungs.push(Rung { to: all(), ..Rung::default() });
        }
        // A crisis that no step names is everybody's.
        if !setup.rungs.iter().any(|rung| rung.crisis || rung.classes.is_empty()) {
            setup.rungs.push(Rung { crisis: true, to: all(), ..Rung::default() });
        }
        setup.rungs.sort_by_key(|rung| rung.after_ms);
        Self { setup, waiting: BTreeMap::new(), last: HashMap::new() }
    }

    /// A hold as it stands now. Whoever passed it on wants the next step to be told at once.
    pub(super) fn note(&mut self, row: HoldRow, now: i64) {
        if row.state != HoldState::Pending {
            self.waiting.remove(&row.id);
            return;
        }
        match self.waiting.get_mut(&row.id) {
            Some(waiting) => {
                let passed_on = row.escalated > waiting.row.escalated;
                let id = row.id.clone();
                waiting.row = row;
                if passed_on {
                    self.hurry(&id, now);
                }
            }
            None => {
                let waiting = Waiting { row, hurried: HashSet::new(), told: HashSet::new() };
                self.waiting.insert(waiting.row.id.clone(), waiting);
            }
        }
    }

    /// What waits now, and nothing else does.
    pub(super) fn replace(&mut self, rows: Vec<HoldRow>, now: i64) {
        let open: HashSet<String> = rows.iter().map(|row| row.id.clone()).collect();
        self.waiting.retain(|id, _| open.contains(id));
        rows.into_iter().for_each(|row| self.note(row, now));
    }

    /// This was sent, now or before a restart.
    pub(super) fn sent(&mut self, hold: &str, rung: &str, channel: &str, at: i64) {
        let Some(waiting) = self.waiting.get_mut(hold) else { return };
        waiting.told.insert((rung.to_owned(), channel.to_owned()));
        let last =
            self.last.entry((channel.into(), waiting.row.session.clone(), waiting.row.crisis)).or_insert(at);
        *last = at.max(*last);
    }

    fn hurry(&mut self, hold: &str, now: i64) {
        let Some(waiting) = self.waiting.get_mut(hold) else { return };
        let next = self.setup.rungs.iter().find(|rung| {
            rung.is_for(&waiting.row)
                && waiting.row.created_ms.saturating_add(rung.after_ms) > now
                && !waiting.hurried.contains(&rung.key())
        });
        waiting.hurried.extend(next.map(Rung::key));
    }

    /// The messages of this moment, and when the next one will be due.
    pub(super) fn due(&mut self, now: i64) -> (Vec<Push>, Option<i64>) {
        self.last.retain(|_, at| at.saturating_add(PAUSE_MS) > now);
        let (due, later): (Vec<Due>, Vec<Due>) =
            self.waiting.values().flat_map(|waiting| self.steps(waiting, now)).partition(|due| due.at <= now);
        let mut pushes: BTreeMap<(Arc<str>, String, bool), Push> = BTreeMap::new();
        for Due { hold, rung, channel, escalated, .. } in due {
            let Some(waiting) = self.waiting.get(&hold) else { continue };
            let group = (Arc::clone(&channel), waiting.row.session.clone(), waiting.row.crisis);
            let push = pushes.entry(group).or_insert_with(|| Push {
                channel,
                holds: Vec::new(),
                told: Vec::new(),
                escalated: false,
            });
            if push.holds.iter().all(|row| row.id != hold) {
                push.holds.push(waiting.row.clone());
            }
            push.escalated |= escalated;
            push.told.push((hold, rung));
        }
        (pushes.into_values().collect(), later.iter().map(|due| due.at).min())
    }

    fn steps<'a>(&'a self, waiting: &'a Waiting, now: i64) -> impl Iterator<Item = Due> + 'a {
        let row = &waiting.row;
        let mine = self.setup.rungs.iter().filter(|rung| rung.is_for(row)).enumerate();
        mine.flat_map(move |(place, rung)| rung.to.iter().map(move |channel| (place, rung, channel)))
            .filter_map(move |(place, rung, name)| {
                let channel = self.setup.channel(name)?;
                let key = rung.key();
                if waiting.told.contains(&(key.clone(), name.to_string())) {
                    return None;
                }
                let mut at = row.created_ms.saturating_add(rung.after_ms);
                if waiting.hurried.contains(&key) {
                    at = at.min(now);
                }
                let group = (Arc::clone(name), row.session.clone(), row.crisis);
                if let Some(last) = self.last.get(&group) {
                    at = at.max(last.saturating_add(PAUSE_MS));
                }
                // Quiet hours hold a message back; they never decide, and a crisis does not know them.
                if let Some(quiet) = channel.quiet.as_ref().filter(|_| !row.crisis) {
                    at = at.max(quiet.ends(at.max(now)).unwrap_or(at));
                }
                Some(Due {
                    hold: row.id.clone(),
                    rung: key,
                    channel: Arc::clone(name),
                    at,
                    escalated: place > 0,
                })
            })
    }
}
