//! The way from the demo into the browser: where the inbox is, and a code for it that is always fresh.

use std::cell::Cell;
use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use super::place::Place;
use super::play::text;
use super::stage::Stage;
use crate::control::client::Client;
use crate::control::wire::Ask;
use crate::firewall::now;

const GLANCE: Duration = Duration::from_millis(500);

pub(super) struct Door<'a> {
    place: &'a Place,
    stage: &'a Stage,
    /// When the code that was shown last ends.
    code_ends_ms: Cell<Option<i64>>,
}

impl<'a> Door<'a> {
    pub(super) fn new(place: &'a Place, stage: &'a Stage) -> Self {
        Self { place, stage, code_ends_ms: Cell::new(None) }
    }

    /// Says where to go and with what.
    pub(super) fn show(&self) -> anyhow::Result<()> {
        let (url, code) = self.code()?;
        self.stage.say("You decide. In the browser, open")?;
        self.stage.gap()?;
        self.stage.command(&url)?;
        self.stage.gap()?;
        self.stage.say("and type this code; it is good once, for a minute, and a fresh one follows:")?;
        self.stage.gap()?;
        self.stage.command(&code)?;
        Ok(())
    }

    /// Shows a fresh code whenever one has ended unused. Ends with an error alone.
    pub(super) async fn renew(&self) -> anyhow::Result<()> {
        loop {
            sleep(GLANCE).await;
            let ended = self.code_ends_ms.get().is_some_and(|end| end <= now());
            if !ended {
                continue;
            }
            if self.is_anybody_in()? {
                self.code_ends_ms.set(None);
                continue;
            }
            let (_, code) = self.code()?;
            self.stage.gap()?;
            self.stage.say(&format!("A fresh code for the browser: {code}"))?;
        }
    }

    fn code(&self) -> anyhow::Result<(String, String)> {
        let told = self.ask(&Ask::Pair { name: None })?;
        self.code_ends_ms.set(told.get("expires_ms").and_then(Value::as_i64));
        let code = text(&told, "code");
        let (first, last) = code.split_at_checked(4).unwrap_or((code, ""));
        Ok((text(&told, "url").to_owned(), format!("{first}-{last}")))
    }

    fn is_anybody_in(&self) -> anyhow::Result<bool> {
        Ok(self.ask(&Ask::Approvers)?.as_array().is_some_and(|all| !all.is_empty()))
    }

    fn ask(&self, ask: &Ask) -> anyhow::Result<Value> {
        Ok(Client::connect(&self.place.data())?.ask(ask)?)
    }
}
