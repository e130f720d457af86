//! Coming in and going out, over HTTP.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use serde_json::json;

use super::super::Operator;
use super::super::access::{Asked, set_cookie};
use super::super::events::News;
use super::super::people::session::Session;
use super::super::problem::Problem;
use super::super::reply;
use super::super::sign_in::challenge_body;
use super::{Answer, Nothing, ok};
use crate::firewall::now;

impl Operator {
    pub(super) async fn pair(&self, asked: &Asked) -> Answer {
        let (cookie, session) = self.sign_in.pair(asked, now()).await?;
        self.events.tell(&News::Approvers);
        self.welcome(&cookie, &session).await
    }

    pub(super) fn sign_in_challenge(&self, asked: &Asked) -> Answer {
        let Nothing {} = asked.json()?;
        ok(&challenge_body(&self.names, &self.sign_in.challenge("", now())?))
    }

    pub(super) async fn sign_in(&self, asked: &Asked) -> Answer {
        let (cookie, session) = self.sign_in.sign_in(&self.names, asked, now()).await?;
        self.welcome(&cookie, &session).await
    }

    async fn welcome(&self, cookie: &str, session: &Arc<Session>) -> Answer {
        let mut response = reply::json(StatusCode::CREATED, &self.sign_in.who(session).await?);
        let mut cookie = HeaderValue::from_str(cookie).map_err(|error| Problem::fault(&error))?;
        cookie.set_sensitive(true);
        response.headers_mut().insert(header::SET_COOKIE, cookie);
        Ok(response)
    }

    pub(super) fn sign_out(&self, asked: &Asked) -> Answer {
        let Nothing {} = asked.json()?;
        self.sign_in.sign_out(asked.who()?, now())?;
        let mut response = reply::json(StatusCode::OK, &json!({ "signed_out": true }));
        if let Ok(cookie) = HeaderValue::from_str(&set_cookie("", 0)) {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        Ok(response)
    }

    pub(super) async fn passkey_challenge(&self, asked: &Asked) -> Answer {
        let Nothing {} = asked.json()?;
        ok(&self.sign_in.creation(&self.names, asked.who()?, now()).await?)
    }

    pub(super) async fn add_passkey(&self, asked: &Asked) -> Answer {
        let key = self.sign_in.add_passkey(&self.names, asked, now()).await?;
        self.events.tell(&News::Approvers);
        Ok(reply::json(StatusCode::CREATED, &json!({ "id": key.id, "label": key.label })))
    }

    /// Whoever has only the browser cannot do away with the passkey that it would take.
    pub(super) async fn remove_key(&self, asked: &Asked) -> Answer {
        let passkeys = self.sign_in.passkeys(&asked.who()?.approver).await?;
        let Nothing {} = match passkeys.iter().any(|key| key.id == asked.segment) {
            true => self.stepped_up(asked).await?,
            false => asked.json()?,
        };
        self.sign_in.remove_key(asked, now()).await?;
        self.events.tell(&News::Approvers);
        ok(&json!({ "removed": asked.segment }))
    }
}
