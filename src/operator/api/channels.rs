//! Messages to people: tried, and sent again.

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::super::Operator;
use super::super::access::Asked;
use super::super::problem::Problem;
use super::{Answer, Nothing, ok};
use crate::notify::NotifyError;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetryBody {
    /// One; all that were given up when it is not named.
    id: Option<String>,
}

impl From<NotifyError> for Problem {
    fn from(error: NotifyError) -> Self {
        use NotifyError as E;
        match error {
            E::Unknown(_) | E::NoNotice(_) => Self::missing(error.to_string()),
            E::Unreachable(_) | E::Refused(_) | E::Gone | E::Token => {
                Self::new(StatusCode::BAD_GATEWAY, "channel", error.to_string())
            }
            E::Store(error) => error.into(),
            E::Gate(error) => error.into(),
            E::Randomness(_) => Self::fault(&error),
        }
    }
}

impl Operator {
    /// Sends a message that says nothing, and waits for what its receiver says.
    pub(super) async fn test_channel(&self, asked: &Asked) -> Answer {
        let Nothing {} = asked.json()?;
        self.desk.notify.test(&asked.segment).await?;
        ok(&json!({ "told": asked.segment }))
    }

    pub(super) async fn retry_notices(&self, asked: &Asked) -> Answer {
        let RetryBody { id } = asked.json()?;
        ok(&json!({ "sent": self.desk.notify.retry(id.as_deref()).await? }))
    }
}
