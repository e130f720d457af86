//! A passkey for changes that reach beyond one call: where the policy asks for passkeys, or the person has one.

use hyper::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Operator;
use super::access::Asked;
use super::passkey::Assertion;
use super::people::base64url;
use super::problem::Problem;
use crate::call::Digest;
use crate::firewall::now;

impl Operator {
    /// The body of a change once a passkey has answered for it, if one must. Without an answer the problem that comes
    /// back has the challenge; it is good for this very change, in this session, once.
    pub(super) async fn stepped_up<T: DeserializeOwned>(&self, asked: &Asked) -> Result<T, Problem> {
        let session = asked.who()?;
        let mut body: Map<String, Value> = asked.json()?;
        let answer = body.remove("passkey");
        let body = Value::Object(body);
        let keys = self.sign_in.passkeys(&session.approver).await?;
        if self.desk.firewall.policy().asks_for_passkeys() || !keys.is_empty() {
            let about = [asked.path().as_bytes(), b"\n", body.to_string().as_bytes()].concat();
            let about = format!("{} {}", session.id, Digest::of(&about));
            let Some(answer) = answer else {
                if keys.is_empty() {
                    let said = "this takes a passkey: make one on the settings page";
                    return Err(
                        Problem::new(StatusCode::FORBIDDEN, "too-weak", said).with("needs", "passkey")
                    );
                }
                let challenge = self.sign_in.challenge(&about, now())?;
                let ids: Vec<_> = keys.into_iter().map(|key| key.id).collect();
                let said = "a passkey must answer for this change";
                return Err(Problem::new(StatusCode::FORBIDDEN, "too-weak", said)
                    .with("needs", "passkey")
                    .with("challenge", base64url(&challenge))
                    .with("rp_id", self.names.host())
                    .with("credentials", ids));
            };
            let answer: Assertion = serde_json::from_value(answer)
                .map_err(|error| Problem::malformed(format!("`passkey`: {error}")))?;
            self.sign_in.answered(&self.names, &answer, &about, &session.approver, now()).await?;
        }
        serde_json::from_value(body).map_err(|error| Problem::malformed(format!("the body: {error}")))
    }
}
