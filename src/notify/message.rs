//! What is said: never an argument, and of what agents and servers named only what the channel may know.

use hyper::Uri;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::ladder::Push;
use super::setup::{Channel, Detail, Kind};
use crate::ledger::SignedHead;
use crate::store::HoldRow;

/// Holds that one message names; the rest is counted.
const NAMED: usize = 20;
/// A name of an agent or a server is cut to this.
const NAME: usize = 64;

/// A message in the two forms that channels take.
#[derive(Debug)]
pub(super) struct Message {
    kind: &'static str,
    subject: String,
    title: String,
    /// What stands under the title.
    text: String,
    data: Value,
    /// 3 is ordinary, 5 wakes people up.
    priority: u8,
    link: Option<String>,
}

impl Message {
    pub(super) fn holds(push: &Push, channel: &Channel) -> Self {
        let crisis = push.holds.iter().any(|row| row.crisis);
        let critical = push.holds.iter().any(|row| row.class == "critical");
        let title = title(&push.holds, push.escalated);
        let named = push.holds.iter().take(NAMED);
        let lines: Vec<String> = named.clone().map(|row| line(row, channel.detail)).collect();
        let more = push.holds.len().saturating_sub(NAMED);
        let link =
            |id: &str| channel.link.as_ref().map(|link| format!("{}/h/{id}", link.trim_end_matches('/')));
        let holds: Vec<Value> = named
            .map(|row| {
                let mut hold = json!({
                    "id": row.id,
                    "class": row.class,
                    "crisis": row.crisis,
                    "count": row.count,
                    "since": stamp(row.created_ms),
                    "expires": stamp(row.expires_ms),
                    "url": link(&row.id),
                });
                if let (Detail::Summary, Some(fields)) = (channel.detail, hold.as_object_mut()) {
                    fields.insert("tool".into(), name(&row.tool).into());
                    fields.insert("server".into(), name(&row.server).into());
                    fields.insert("agent".into(), name(&row.principal).into());
                }
                hold
            })
            .collect();
        let first = push.holds.first().map(|row| row.id.clone()).unwrap_or_default();
        Self {
            kind: if push.escalated { "herma.hold.escalated" } else { "herma.hold.waiting" },
            link: link(&first),
            subject: first,
            text: lines.join("\n"),
            data: json!({ "title": title, "holds": holds, "more": more }),
            title,
            priority: if crisis { 5 } else { 3 + u8::from(critical) },
        }
    }

    pub(super) fn checkpoint(head: &SignedHead) -> Self {
        Self {
            kind: "herma.ledger.checkpoint",
            subject: head.size.to_string(),
            title: format!("Ledger signed over {} entries", head.size),
            text: head.note.clone(),
            data: json!({ "origin": head.origin, "size": head.size, "root": head.root, "note": head.note }),
            priority: 1,
            link: None,
        }
    }

    pub(super) fn test() -> Self {
        let title = "Herma can reach you here".to_owned();
        Self {
            kind: "herma.test",
            subject: "test".into(),
            text: "Nothing waits because of this message.".into(),
            data: json!({ "title": title }),
            title,
            priority: 3,
            link: None,
        }
    }

    /// The body as it goes over the wire.
    pub(super) fn body(&self, id: &str, now: i64, channel: &Channel) -> String {
        match &channel.kind {
            Kind::Webhook(_) => json!({
                "specversion": "1.0",
                "id": id,
                "source": "herma",
                "type": self.kind,
                "subject": self.subject,
                "time": stamp(now),
                "datacontenttype": "application/json",
                "data": self.data,
            })
            .to_string(),
            Kind::Ntfy { topic, .. } => {
                let mut body = json!({
                    "topic": topic,
                    "title": self.title,
                    "message": self.text,
                    "priority": self.priority,
                    "tags": [if self.priority == 5 { "rotating_light" } else { "raised_hand" }],
                });
                if let (Some(link), Some(fields)) = (&self.link, body.as_object_mut()) {
                    fields.insert("click".into(), link.as_str().into());
                    // Looking is all that can be done from a push: whoever runs its server could press any other.
                    fields.insert(
                        "actions".into(),
                        json!([{ "action": "view", "label": "Open", "url": link }]),
                    );
                }
                body.to_string()
            }
        }
    }
}

fn title(rows: &[HoldRow], escalated: bool) -> String {
    let crisis = if rows.iter().any(|row| row.crisis) { "CRISIS: " } else { "" };
    let still = if escalated { "still " } else { "" };
    match rows {
        [row] => format!("{crisis}{} call {still}waits: {}", row.class.replace('_', " "), row.id),
        rows => {
            let critical = rows.iter().filter(|row| row.class == "critical").count();
            format!("{crisis}{} calls {still}wait, {critical} critical", rows.len())
        }
    }
}

fn line(row: &HoldRow, detail: Detail) -> String {
    let count = if row.count > 1 { format!(" ×{}", row.count) } else { String::new() };
    let what = match detail {
        Detail::Title => format!("{} ({})", row.id, row.class.replace('_', " ")),
        Detail::Summary => format!(
            "{} ({}): {} on {}, asked by {}",
            row.id,
            row.class.replace('_', " "),
            name(&row.tool),
            name(&row.server),
            name(&row.principal)
        ),
    };
    format!("{what}{count}, until {}", stamp(row.expires_ms))
}

/// A name somebody else chose: short, on one line, and nothing in it that is not seen.
fn name(text: &str) -> String {
    let plain = |c: char| c.is_ascii_graphic() || (c.is_alphanumeric() && !c.is_ascii());
    let kept: String = text.chars().take(NAME).map(|c| if plain(c) { c } else { '?' }).collect();
    if text.chars().count() > NAME { format!("{kept}…") } else { kept }
}

fn stamp(ms: i64) -> String {
    Timestamp::from_millisecond(ms)
        .map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        .unwrap_or_default()
}

/// Where a channel's messages go: ntfy takes JSON at the root, not at the topic.
pub(super) fn address(channel: &Channel) -> Uri {
    let Kind::Ntfy { topic, .. } = &channel.kind else { return channel.url.clone() };
    let text = channel.url.to_string();
    text.strip_suffix(topic.as_str())
        .and_then(|root| root.parse().ok())
        .unwrap_or_else(|| channel.url.clone())
}
