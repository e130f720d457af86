//! Commands of a person, answered.

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::broadcast::error::RecvError;

use super::server::Control;
use super::wire::{self, Ask, Told, WireError};
use crate::firewall::now;
use crate::gate::{Seen, to_type};
use crate::operator::{Operator, Pairable};
use crate::store::{HoldFilter, HoldRow, HoldState};

/// Rows of one listing.
const MOST: u32 = 200;

pub(super) async fn serve(mut stream: UnixStream, control: &Control) -> Result<(), WireError> {
    loop {
        let (ask, payload) = wire::read_async::<Ask>(&mut stream).await?;
        if matches!(ask, Ask::Watch) {
            return watch(stream, control).await;
        }
        let stops = matches!(ask, Ask::Stop);
        let told =
            answer(ask, payload, control).await.map_or_else(|error| Told::Error(error.to_string()), Told::Ok);
        stream.write_all(&wire::encode(&told, b"")?).await?;
        if stops {
            control.stop.send_replace(true);
        }
    }
}

/// What went wrong is for the person's eyes, whatever room it comes from.
type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn answer(ask: Ask, payload: Bytes, control: &Control) -> Result<Value, Failure> {
    let firewall = &control.firewall;
    Ok(match ask {
        Ask::Status => {
            let mut status = control.status.clone();
            if let Some(fields) = status.as_object_mut() {
                fields.insert(
                    "ledger".into(),
                    firewall.ledger.health().map_or_else(|error| error.to_string(), |()| "ok".into()).into(),
                );
                fields.insert("policy".into(), firewall.policy().revision.as_str().into());
                fields.insert("mode".into(), json!(firewall.policy().mode));
                fields.insert("rules".into(), firewall.rules().digest().into());
                if let Some(why) = &*firewall.unused.load() {
                    fields.insert(
                        "unused".into(),
                        format!("the file as it stands is not in use: {why}").into(),
                    );
                }
                let frozen = firewall.frozen();
                let said = frozen.iter().map(|row| format!("{} by {}: {}", row.what, row.by, row.reason));
                let said = said.collect::<Vec<_>>().join("; ");
                let said = if said.is_empty() { "nothing".to_owned() } else { said };
                fields.insert("frozen".into(), said.into());
            }
            status
        }
        Ask::Holds { all } => {
            let states = if all { Vec::new() } else { HoldState::OPEN.to_vec() };
            let rows =
                firewall.gate.list(HoldFilter { states, limit: Some(MOST), ..HoldFilter::default() }).await?;
            Value::Array(rows.iter().map(row).collect())
        }
        Ask::Hold { id } => {
            let mut told = row(&firewall.gate.show(&id).await?);
            if let Some(fields) = told.as_object_mut() {
                let votes = firewall.gate.votes(&id).await?;
                let votes = votes.iter().map(
                    |vote| json!({ "approver": vote.approver, "subject": vote.subject, "at_ms": vote.at_ms }),
                );
                fields.insert("votes".into(), votes.collect());
                if fields.get("edited").is_some_and(|edited| !edited.is_null()) {
                    let changed = firewall.gate.arguments(&id).await.ok();
                    fields.insert("changed_to".into(), changed.into());
                }
            }
            told
        }
        Ask::Decide { id, digest, version, typed, decision } => {
            let seen = Seen { digest, version, typed };
            row(&firewall.decide(&id, seen, decision, control.approver()).await?)
        }
        Ask::Arguments { id } => firewall.gate.arguments(&id).await?.into(),
        Ask::Similar { id, wish } => serde_json::to_value(firewall.similar(&id, &wish).await?)?,
        Ask::ApproveSimilar { id, seen, wish } => {
            let (hold, rule) = firewall.approve_similar(&id, seen, &wish, control.approver()).await?;
            json!({ "hold": row(&hold), "rule": rule })
        }
        Ask::Standing => serde_json::to_value(firewall.standing())?,
        Ask::Withdraw { rule } => {
            firewall.withdraw_standing(&rule, &control.user).await?;
            Value::Null
        }
        Ask::Freeze { what, reason } => {
            firewall.freeze(&what, &control.user, &reason).await?;
            Value::Null
        }
        Ask::Thaw { what, reason } => {
            if !firewall.thaw(&what, &control.user, &reason).await? {
                return Err(format!("`{what}` is not frozen").into());
            }
            Value::Null
        }
        Ask::Figures => serde_json::to_value(firewall.gate.figures(now()).await?)?,
        Ask::Review(ask) => super::review::answer(ask, control).await?,
        Ask::Latches => serde_json::to_value(firewall.sessions.latches().await?)?,
        Ask::Clear { key, reason } => {
            if !firewall.clear_crisis(&key, &control.approver(), &reason).await? {
                return Err(format!("no crisis latch is set for `{key}`").into());
            }
            Value::Null
        }
        Ask::ChangedTools => serde_json::to_value(firewall.definitions.changed())?,
        Ask::AcceptTool { server, tool } => {
            if !firewall.accept_tool(&server, &tool, None, &control.user).await? {
                return Err(
                    format!("`{tool}` on `{server}` is described as it was at first, or not known").into()
                );
            }
            Value::Null
        }
        Ask::Warrants => {
            let standing = firewall.warrants.standing().into_iter().filter(|stands| stands.at_ms.is_some());
            let told = standing.map(|stands| {
                json!({
                    "party": stands.party.to_string(),
                    "warrant": data_encoding::BASE64URL_NOPAD.encode(&stands.stack),
                    "by": stands.by,
                    "at_ms": stands.at_ms,
                    "here": stands.here,
                })
            });
            let assigned: Vec<_> = told.collect();
            json!({ "assigned": assigned, "revoked": firewall.warrants.revoked().await? })
        }
        Ask::AssignWarrant { party } => {
            let id = firewall.assign_warrant(party.parse()?, payload.to_vec(), &control.user).await?;
            json!({ "warrant": id.to_string() })
        }
        Ask::UnassignWarrant { party } => {
            if !firewall.unassign_warrant(&party.parse()?, &control.user).await? {
                return Err(format!("no command has put a warrant over `{party}`").into());
            }
            Value::Null
        }
        Ask::RevokeWarrant { what, reason } => {
            serde_json::to_value(firewall.revoke_warrant(&what, &control.user, &reason).await?)?
        }
        Ask::Pair { name } => {
            let whom = Pairable { fixed: name.is_some(), name: name.unwrap_or_else(|| control.user.clone()) };
            let people = people(control)?;
            let code = people.pair_code(whom)?;
            json!({ "code": code.code, "name": code.name, "expires_ms": code.expires_ms, "url": people.url() })
        }
        Ask::Approvers => serde_json::to_value(people(control)?.approvers().await?)?,
        Ask::RemoveApprover { name } => {
            if !people(control)?.remove_approver(&name).await? {
                return Err(format!("no approver is named `{name}`").into());
            }
            Value::Null
        }
        Ask::Records(ask) => super::records::answer(ask, control).await?,
        Ask::Stop | Ask::Watch => Value::Null,
    })
}

fn people(control: &Control) -> Result<&Operator, Failure> {
    control.people.as_deref().ok_or_else(|| "the listener for people is off (operator.listen)".into())
}

async fn watch(mut stream: UnixStream, control: &Control) -> Result<(), WireError> {
    let mut news = control.firewall.gate.news();
    let (mut from, mut to) = stream.split();
    let mut closed = [0u8; 1];
    // Whoever has read this misses no change.
    to.write_all(&wire::encode(&Told::Ok(json!({ "watching": true })), b"")?).await?;
    loop {
        let told = tokio::select! {
            changed = news.recv() => match changed {
                Ok(changed) => row(&changed),
                Err(RecvError::Lagged(missed)) => json!({ "missed": missed }),
                Err(RecvError::Closed) => return Ok(()),
            },
            _ = tokio::io::AsyncReadExt::read(&mut from, &mut closed) => return Ok(()),
        };
        to.write_all(&wire::encode(&Told::Ok(told), b"")?).await?;
    }
}

/// A row with what a person saw as JSON and not as text.
fn row(hold: &HoldRow) -> Value {
    let mut value = json!(hold);
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.insert("shown".into(), parsed(&hold.shown));
        if let Some(decision) = &hold.decision {
            fields.insert("decision".into(), parsed(decision));
        }
        fields.insert("needs".into(), parsed(&hold.needs));
        fields.insert("typed".into(), to_type(hold).into());
        fields.remove("key");
    }
    value
}
