//! Whom to tell, by which road, and when.

use std::fmt;
use std::sync::Arc;

use hyper::Uri;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use zeroize::Zeroizing;

use super::sign::SigningSecret;
use crate::store::HoldRow;

/// Everything the operator's file says of notifications.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    pub channels: Vec<Arc<Channel>>,
    /// By their time, earliest first.
    pub rungs: Vec<Rung>,
    /// The channel that gets every signed checkpoint of the ledger.
    pub checkpoints: Option<Arc<str>>,
}

/// One road to a person.
#[derive(Debug, Clone)]
pub struct Channel {
    pub name: Arc<str>,
    pub kind: Kind,
    pub url: Uri,
    pub detail: Detail,
    pub quiet: Option<Quiet>,
    /// Where the people's pages are, as this channel's readers reach them.
    pub link: Option<String>,
}

/// What is spoken on a channel.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A CloudEvents body, signed per Standard Webhooks.
    Webhook(SigningSecret),
    Ntfy {
        topic: String,
        token: Option<Secret>,
    },
}

impl Kind {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Ntfy { .. } => "ntfy",
        }
    }
}

/// How much a message says. Arguments are in none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// How many calls of which class wait, and since when.
    #[default]
    Title,
    /// Also the tool, the server, the agent and the rule.
    Summary,
}

/// A secret that is shown nowhere.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.trim().to_owned()))
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// One step of the ladder: who is told, of what, and how long after it began to wait.
#[derive(Debug, Clone, Default)]
pub struct Rung {
    pub after_ms: i64,
    /// Side-effect classes; with `crisis` unset and none here, every hold.
    pub classes: Vec<String>,
    pub crisis: bool,
    pub to: Vec<Arc<str>>,
}

impl Rung {
    pub(super) fn is_for(&self, row: &HoldRow) -> bool {
        (self.classes.is_empty() && !self.crisis)
            || self.classes.contains(&row.class)
            || (self.crisis && row.crisis)
    }

    /// Tells it from the others in the table of what was sent.
    pub(super) fn key(&self) -> String {
        self.after_ms.to_string()
    }
}

/// Hours in which a channel is not used, except in a crisis.
#[derive(Debug, Clone)]
pub struct Quiet {
    pub from: Time,
    pub to: Time,
    pub zone: TimeZone,
}

impl Quiet {
    /// When the quiet that holds at `now` ends.
    pub(super) fn ends(&self, now: i64) -> Option<i64> {
        let here = Timestamp::from_millisecond(now).ok()?.to_zoned(self.zone.clone());
        let time = here.time();
        let over_midnight = self.from > self.to;
        let is_quiet = match over_midnight {
            false => self.from <= time && time < self.to,
            true => self.from <= time || time < self.to,
        };
        if !is_quiet {
            return None;
        }
        let day = if over_midnight && time >= self.from {
            here.date().checked_add(1.day()).ok()?
        } else {
            here.date()
        };
        let end = day.to_datetime(self.to).to_zoned(self.zone.clone()).ok()?;
        Some(end.timestamp().as_millisecond())
    }
}

impl Setup {
    pub fn channel(&self, name: &str) -> Option<&Arc<Channel>> {
        self.channels.iter().find(|channel| *channel.name == *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_hours_end_in_the_morning_of_their_own_zone() {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let quiet = Quiet { from: Time::constant(22, 0, 0, 0), to: Time::constant(7, 0, 0, 0), zone };
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
        assert_eq!(quiet.ends(at("2026-11-20T20:59Z")), None);
        assert_eq!(quiet.ends(at("2026-11-20T21:00Z")), Some(at("2026-11-21T06:00Z")));
        assert_eq!(quiet.ends(at("2026-11-21T05:59Z")), Some(at("2026-11-21T06:00Z")));
        assert_eq!(quiet.ends(at("2026-11-21T06:00Z")), None);
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
    }
}
