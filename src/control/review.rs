//! What people ask about calls that ran, or are about to.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::server::Control;
use crate::firewall::now;
use crate::store::ReviewRow;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "review")]
pub enum ReviewAsk {
    /// What waits, or everything there is.
    List {
        all: bool,
    },
    /// One, with what taking it back would do now.
    Show {
        id: String,
    },
    Accept {
        id: String,
    },
    /// The same for all with its server, tool and session.
    AcceptGroup {
        id: String,
    },
    /// `digest` names the plan that was shown.
    Revert {
        id: String,
        digest: String,
    },
    Flag {
        id: String,
        reason: String,
    },
    Flags,
    Unflag {
        server: String,
        tool: String,
    },
    /// Keeps a delayed call from running.
    Stop {
        id: String,
    },
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(super) async fn answer(ask: ReviewAsk, control: &Control) -> Result<Value, Failure> {
    let (firewall, by) = (&control.firewall, control.user.as_str());
    let reviews = &firewall.reviews;
    Ok(match ask {
        ReviewAsk::List { all } => reviews.list(all).await?.iter().map(row).collect(),
        ReviewAsk::Show { id } => {
            let shown = reviews.show(&id, &firewall.rules()).await?;
            let mut value = row(&shown.row);
            if let Some(fields) = value.as_object_mut() {
                fields.insert("plan".into(), serde_json::to_value(&shown.plan)?);
            }
            value
        }
        ReviewAsk::Accept { id } => {
            let accepted = reviews.accept(&id, by, now()).await?;
            firewall.note_review(&id, "accepted", by);
            row(&accepted)
        }
        ReviewAsk::AcceptGroup { id } => {
            let accepted = reviews.accept_group(&id, by, now()).await?;
            accepted.iter().for_each(|id| firewall.note_review(id, "accepted", by));
            json!(accepted)
        }
        ReviewAsk::Revert { id, digest } => {
            serde_json::to_value(firewall.revert(&id, &digest, &control.approver()).await?)?
        }
        ReviewAsk::Flag { id, reason } => {
            let flagged = reviews.flag(&id, by, &reason, now()).await?;
            firewall.note_review(&id, "flagged", by);
            row(&flagged)
        }
        ReviewAsk::Flags => serde_json::to_value(reviews.flags().await?)?,
        ReviewAsk::Unflag { server, tool } => {
            if !reviews.unflag(&server, &tool).await? {
                return Err(format!("`{tool}` on `{server}` is not flagged").into());
            }
            firewall.note_review(&format!("{tool} on {server}"), "unflagged", by);
            Value::Null
        }
        ReviewAsk::Stop { id } => {
            let stopped = reviews.stop(&id, by, now()).await?;
            firewall.note_review(&id, "stopped", by);
            row(&stopped)
        }
    })
}

/// A row with what a person sees as JSON and not as text.
fn row(review: &ReviewRow) -> Value {
    let mut value = json!(review);
    if let Some(fields) = value.as_object_mut() {
        for name in ["shown", "undo", "verdict"] {
            let text = fields.get(name).and_then(Value::as_str).unwrap_or("null");
            let parsed = serde_json::from_str::<Value>(text).unwrap_or_default();
            fields.insert(name.into(), parsed);
        }
    }
    value
}
