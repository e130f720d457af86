//! Commands about the record and about messages to people.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::server::Control;
use crate::store::Erase;

/// What such a command asks.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "about")]
pub enum AskRecords {
    /// Channels, and messages that are not delivered.
    Notices,
    /// Sends given up messages again: one, or all.
    RetryNotices { id: Option<String> },
    /// Sends a message that says nothing.
    TestChannel { name: String },
    /// Forgets what is kept beside the ledger.
    Erase { what: Erase, reason: String },
}

pub(super) async fn answer(
    ask: AskRecords,
    control: &Control,
) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
    Ok(match ask {
        AskRecords::Notices => serde_json::to_value(control.notify.overview().await?)?,
        AskRecords::RetryNotices { id } => json!({ "sent": control.notify.retry(id.as_deref()).await? }),
        AskRecords::TestChannel { name } => {
            control.notify.test(&name).await?;
            Value::Null
        }
        AskRecords::Erase { what, reason } => {
            let erased = control.firewall.erase(&*control.store, what, &control.user, &reason).await?;
            serde_json::to_value(erased)?
        }
    })
}
