//! Coming in: a code from the terminal or a passkey, and the keys that are known from then on.

use std::collections::HashMap;
use std::sync::Arc;

use hyper::StatusCode;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::access::Asked;
use super::desk::Who;
use super::guard::Names;
use super::passkey::{self, Assertion, PasskeyError, Registration};
use super::people::key::PublicKey;
use super::people::pairing::{CODE_LIFE_MS, Issued, PairError, Pairing};
use super::people::session::{END_MS, Session, Sessions};
use super::people::{base64url, from_base64url, is_name};
use super::problem::Problem;
use crate::gate::{Draft, GateError, Method};
use crate::ledger::{Entry, Ledger, Step};
use crate::store::{ApproverRow, KeyKind, KeyRow, Store, StoreError};

/// How long a passkey may be looked for.
const CHALLENGE_MS: i64 = 2 * 60 * 1000;
/// Questions that wait for a passkey at the same time; the oldest goes first.
const OPEN: usize = 64;
const KEYS: usize = 32;
const LABEL: usize = 64;

/// Everything that knows who is there.
#[derive(Debug)]
pub(super) struct SignIn {
    pub(super) sessions: Sessions,
    pairing: Pairing,
    /// Challenges for signing in, and those for new passkeys with their sessions.
    asked: Mutex<HashMap<[u8; 32], Question>>,
    drafts: Mutex<HashMap<[u8; 32], Drafted>>,
    store: Arc<dyn Store>,
    ledger: Ledger,
}

#[derive(Debug)]
struct Question {
    at_ms: i64,
    /// Empty for whoever is not signed in; with the digest of a change behind it where that is answered for.
    session: String,
}

/// A decision that waits for its passkey.
#[derive(Debug)]
struct Drafted {
    at_ms: i64,
    session: String,
    key: KeyRow,
    draft: Draft,
}

/// For whom the terminal makes a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairable {
    pub name: String,
    /// The page may not choose another name.
    pub fixed: bool,
}

/// A code for the terminal to show.
#[derive(Debug, Clone, Serialize)]
pub struct Code {
    pub code: String,
    pub name: String,
    pub expires_ms: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BrowserKey {
    algorithm: String,
    public: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PairBody {
    code: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    label: String,
    key: BrowserKey,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignInBody {
    passkey: Assertion,
    #[serde(default)]
    label: String,
    key: BrowserKey,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PasskeyBody {
    #[serde(default)]
    label: String,
    registration: Registration,
    /// By a passkey that is known already, where there is one.
    proof: Option<Assertion>,
}

impl From<PasskeyError> for Problem {
    fn from(error: PasskeyError) -> Self {
        Self::new(StatusCode::FORBIDDEN, "passkey", error.to_string())
    }
}

impl From<PairError> for Problem {
    fn from(error: PairError) -> Self {
        let left = match error {
            PairError::Wrong { left } => left,
            PairError::NoCode | PairError::Dead => 0,
        };
        Self::new(StatusCode::FORBIDDEN, "code", error.to_string()).with("tries_left", left)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        GateError::from(error).into()
    }
}

impl SignIn {
    pub(super) fn new(store: Arc<dyn Store>, ledger: Ledger) -> Self {
        Self {
            sessions: Sessions::default(),
            pairing: Pairing::default(),
            asked: Mutex::default(),
            drafts: Mutex::default(),
            store,
            ledger,
        }
    }

    /// A new code; the one before is dead.
    pub(super) fn issue(&self, whom: Pairable, now: i64) -> Result<Code, Problem> {
        if !is_name(&whom.name) {
            return Err(Problem::unusable("a name has 1 to 64 letters, digits, spaces or . - _ @ + '"));
        }
        let name = whom.name.clone();
        let code = self.pairing.issue(Issued { name: whom.name, fixed: whom.fixed }, random()?, now);
        self.note(now, "code", &name, "terminal")?;
        Ok(Code { code, name, expires_ms: now.saturating_add(CODE_LIFE_MS) })
    }

    /// A browser with the right code becomes its approver's. Gives the cookie.
    pub(super) async fn pair(&self, asked: &Asked, now: i64) -> Result<(String, Arc<Session>), Problem> {
        let body: PairBody = asked.json()?;
        let key = self.signed_by(asked, &body.key)?;
        // Before the code is used up: a name that cannot be is no reason to make another one.
        if !body.name.is_empty() && !is_name(&body.name) {
            return Err(Problem::unusable("a name has 1 to 64 letters, digits, spaces or . - _ @ + '"));
        }
        let issued = self.pairing.redeem(&body.code, now).inspect_err(|error| {
            // While no code is good, nobody can fill the record by asking.
            if *error != PairError::NoCode {
                let _ = self.note(now, "refused", "", "code");
            }
        })?;
        let name = match (body.name.as_str(), issued.fixed) {
            ("", _) => issued.name.clone(),
            (name, false) => name.to_owned(),
            (name, true) if name == issued.name => issued.name.clone(),
            _ => return Err(Problem::unusable(format!("this code is for `{}`", issued.name))),
        };
        let known = self.store.approvers().await?.iter().any(|row| row.name == name);
        if known && name != issued.name {
            let said =
                format!("`{name}` decides here already: `herma pair {name}` makes a code for that name");
            return Err(Problem::new(StatusCode::CONFLICT, "taken", said));
        }
        self.add_browser(&name, &key, &body.label, now).await?;
        self.note(now, "paired", &name, "terminal")?;
        self.begin(&name, key, Method::Session, now)
    }

    /// A challenge for whoever is not signed in.
    pub(super) fn challenge(&self, session: &str, now: i64) -> Result<[u8; 32], Problem> {
        let challenge = random()?;
        let mut asked = self.asked.lock();
        asked.retain(|_, question| now.saturating_sub(question.at_ms) < CHALLENGE_MS);
        make_room(&mut asked, |question| question.at_ms);
        asked.insert(challenge, Question { at_ms: now, session: session.to_owned() });
        Ok(challenge)
    }

    /// A challenge can be answered once.
    fn take_challenge(&self, client_data: &str, session: &str, now: i64) -> Result<[u8; 32], Problem> {
        #[derive(Deserialize)]
        struct Challenged {
            challenge: String,
        }
        let bytes = from_base64url(client_data).ok_or(PasskeyError::Unreadable)?;
        let named: Challenged = serde_json::from_slice(&bytes).map_err(|_| PasskeyError::Unreadable)?;
        let named = from_base64url(&named.challenge).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let named = named.ok_or(PasskeyError::Challenge)?;
        let question = self.asked.lock().remove(&named).ok_or(PasskeyError::Challenge)?;
        let fresh = now.saturating_sub(question.at_ms) < CHALLENGE_MS;
        if fresh && question.session == session { Ok(named) } else { Err(PasskeyError::Challenge.into()) }
    }

    /// A passkey of the approver answered the challenge that was given for `about`.
    pub(super) async fn answered(
        &self,
        names: &Names,
        answer: &Assertion,
        about: &str,
        approver: &str,
        now: i64,
    ) -> Result<(), Problem> {
        let challenge = self.take_challenge(&answer.client_data, about, now)?;
        let key = self.passkey(&answer.id, Some(approver)).await?;
        self.touch(names, answer, &challenge, &key, now).await
    }

    /// A person with a passkey signs in, in any browser.
    pub(super) async fn sign_in(
        &self,
        names: &Names,
        asked: &Asked,
        now: i64,
    ) -> Result<(String, Arc<Session>), Problem> {
        let body: SignInBody = asked.json()?;
        let key = self.signed_by(asked, &body.key)?;
        let challenge = self.take_challenge(&body.passkey.client_data, "", now)?;
        let passkey = self.passkey(&body.passkey.id, None).await?;
        self.touch(names, &body.passkey, &challenge, &passkey, now).await?;
        self.add_browser(&passkey.approver, &key, &body.label, now).await?;
        self.note(now, "signed_in", &passkey.approver, "passkey")?;
        self.begin(&passkey.approver, key, Method::Passkey, now)
    }

    pub(super) fn sign_out(&self, session: &Session, now: i64) -> Result<(), Problem> {
        self.sessions.end(|known| known.id == session.id);
        self.note(now, "signed_out", &session.approver, "session")
    }

    /// What a browser needs to make a passkey for whoever is signed in.
    pub(super) async fn creation(
        &self,
        names: &Names,
        session: &Session,
        now: i64,
    ) -> Result<Value, Problem> {
        let approvers = self.store.approvers().await?;
        let row = approvers.iter().find(|row| row.name == session.approver);
        let row = row.ok_or_else(|| Problem::missing("this approver was removed"))?;
        let known: Vec<_> = self.passkeys(&session.approver).await?.into_iter().map(|key| key.id).collect();
        let challenge = self.challenge(&session.id, now)?;
        Ok(passkey::creation(names, &row.name, &row.handle, &challenge, &known))
    }

    /// A new passkey. Who has one already shows that it is still they, by that one.
    pub(super) async fn add_passkey(
        &self,
        names: &Names,
        asked: &Asked,
        now: i64,
    ) -> Result<KeyRow, Problem> {
        let session = asked.who()?;
        let body: PasskeyBody = asked.json()?;
        let challenge = self.take_challenge(&body.registration.client_data, &session.id, now)?;
        let made = body.registration.check(names, &challenge)?;
        if !self.passkeys(&session.approver).await?.is_empty() {
            let proof = body.proof.ok_or_else(|| {
                let said = "a further passkey is added with one that is there: send `proof`";
                Problem::new(StatusCode::FORBIDDEN, "too-weak", said).with("needs", "passkey")
            })?;
            let old = self.passkey(&proof.id, Some(&session.approver)).await?;
            self.touch(names, &proof, &challenge, &old, now).await?;
        }
        let row = KeyRow {
            id: made.id,
            approver: session.approver.clone(),
            kind: KeyKind::Passkey,
            algorithm: made.key.algorithm,
            public: made.key.bytes,
            label: label(&body.label, "passkey"),
            added_ms: now,
            used_ms: None,
            counter: made.counter,
        };
        self.add(&row, now).await?;
        self.note(now, "passkey_added", &session.approver, "session")?;
        Ok(row)
    }

    /// Everybody removes their own keys; others' are removed in the terminal.
    pub(super) async fn remove_key(&self, asked: &Asked, now: i64) -> Result<(), Problem> {
        let session = asked.who()?;
        let key = self.store.key(&asked.segment).await?;
        let key = key.filter(|key| key.approver == session.approver);
        let key = key.ok_or_else(|| Problem::missing("no key of yours has this id"))?;
        self.store.remove_key(&key.id).await?;
        self.sessions.end(|session| session.key_id == key.id);
        self.note(now, "key_removed", &session.approver, "session")
    }

    /// The terminal removes an approver: nothing of theirs works from here on. False when there was none.
    pub(super) async fn remove(&self, name: &str, now: i64) -> Result<bool, Problem> {
        let was_there = self.store.remove_approver(name).await?;
        self.sessions.end(|session| session.approver == name);
        if was_there {
            self.note(now, "removed", name, "terminal")?;
        }
        Ok(was_there)
    }

    /// Keeps a drafted decision until its passkey answers.
    pub(super) fn keep(&self, draft: Draft, session: &Session, key: KeyRow, now: i64) {
        let mut drafts = self.drafts.lock();
        drafts.retain(|_, drafted| now.saturating_sub(drafted.at_ms) < CHALLENGE_MS);
        make_room(&mut drafts, |drafted| drafted.at_ms);
        let drafted = Drafted { at_ms: now, session: session.id.clone(), key, draft };
        drafts.insert(*drafted.draft.digest().bytes(), drafted);
    }

    /// The drafted decision that a passkey was touched for, with the evidence of it.
    pub(super) async fn taken(
        &self,
        names: &Names,
        digest: &[u8; 32],
        answer: &Assertion,
        session: &Session,
        now: i64,
    ) -> Result<(Draft, Value), Problem> {
        let drafted = self.drafts.lock().remove(digest).filter(|drafted| drafted.session == session.id);
        let drafted = drafted.filter(|drafted| now.saturating_sub(drafted.at_ms) < CHALLENGE_MS);
        let drafted = drafted.ok_or_else(|| {
            Problem::new(StatusCode::CONFLICT, "stale", "this draft is used, too old, or not of this session")
        })?;
        if answer.id != drafted.key.id {
            return Err(PasskeyError::Unknown.into());
        }
        // Removed meanwhile, it is no longer anybody's.
        let key = self.passkey(&answer.id, Some(&session.approver)).await?;
        self.touch(names, answer, digest, &key, now).await?;
        Ok((drafted.draft, answer.evidence(&PublicKey::of_row(&key))))
    }

    pub(super) async fn passkeys(&self, approver: &str) -> Result<Vec<KeyRow>, Problem> {
        let mut keys = self.store.keys().await?;
        keys.retain(|key| key.kind == KeyKind::Passkey && key.approver == approver);
        // The one that was used last is the one that is at hand.
        keys.sort_by_key(|key| std::cmp::Reverse(key.used_ms));
        Ok(keys)
    }

    pub(super) async fn has_passkeys(&self) -> Result<bool, Problem> {
        Ok(self.store.keys().await?.iter().any(|key| key.kind == KeyKind::Passkey))
    }

    pub(super) async fn who(&self, session: &Session) -> Result<Who, Problem> {
        Ok(Who {
            approver: session.approver.clone(),
            session: session.id.clone(),
            method: session.method,
            has_passkey: !self.passkeys(&session.approver).await?.is_empty(),
            idle_ends_ms: session.idle_ends_ms(),
            ends_ms: session.ends_ms(),
        })
    }

    /// The key that is to be known, once the request is signed with it.
    fn signed_by(&self, asked: &Asked, key: &BrowserKey) -> Result<PublicKey, Problem> {
        let bytes =
            from_base64url(&key.public).ok_or_else(|| Problem::malformed("the key is not base64url"))?;
        let key = PublicKey::of_browser(&key.algorithm, bytes)
            .map_err(|error| Problem::unusable(error.to_string()))?;
        asked.check(&asked.signature()?, &key, "")?;
        Ok(key)
    }

    async fn passkey(&self, id: &str, approver: Option<&str>) -> Result<KeyRow, Problem> {
        let key = self.store.key(id).await?.filter(|key| key.kind == KeyKind::Passkey);
        let key = key.filter(|key| approver.is_none_or(|approver| approver == key.approver));
        key.ok_or_else(|| PasskeyError::Unknown.into())
    }

    async fn touch(
        &self,
        names: &Names,
        answer: &Assertion,
        challenge: &[u8; 32],
        key: &KeyRow,
        now: i64,
    ) -> Result<(), Problem> {
        let counter = answer.check(names, challenge, &PublicKey::of_row(key))?;
        if self.store.use_key(&key.id, counter, now).await? {
            return Ok(());
        }
        self.note(now, "refused", &key.approver, "passkey_counter")?;
        let said = "this passkey counts backwards: there may be a copy of it. Remove it and make another one";
        Err(Problem::new(StatusCode::FORBIDDEN, "passkey", said))
    }

    async fn add_browser(
        &self,
        approver: &str,
        key: &PublicKey,
        name: &str,
        now: i64,
    ) -> Result<(), Problem> {
        let row = KeyRow {
            id: key.id(),
            approver: approver.to_owned(),
            kind: KeyKind::Browser,
            algorithm: key.algorithm,
            public: key.bytes.clone(),
            label: label(name, "browser"),
            added_ms: now,
            used_ms: Some(now),
            counter: 0,
        };
        self.add(&row, now).await
    }

    async fn add(&self, key: &KeyRow, now: i64) -> Result<(), Problem> {
        let keys = self.store.keys().await?;
        if keys.iter().filter(|known| known.approver == key.approver).count() >= KEYS
            && !keys.iter().any(|known| known.id == key.id)
        {
            return Err(Problem::unusable(format!("an approver has {KEYS} keys at most: remove some")));
        }
        let handle = random::<32>()?.to_vec();
        let approver = ApproverRow { name: key.approver.clone(), handle, added_ms: now };
        match self.store.add_key(approver, key.clone()).await {
            Err(StoreError::Exists { .. }) => {
                let said = "this key is somebody else's: forget it in this browser and pair again";
                Err(Problem::new(StatusCode::CONFLICT, "taken", said))
            }
            added => Ok(added?),
        }
    }

    fn begin(
        &self,
        approver: &str,
        key: PublicKey,
        method: Method,
        now: i64,
    ) -> Result<(String, Arc<Session>), Problem> {
        let (secret, session) = self.sessions.begin(random()?, approver, key, method, now);
        Ok((super::access::set_cookie(&secret, END_MS / 1000), session))
    }

    fn note(&self, now: i64, what: &str, who: &str, how: &str) -> Result<(), Problem> {
        let entry = Entry::new(now, Step::Access).with("how", how).with("what", what).with("who", who);
        self.ledger.record(entry).map(drop).map_err(Problem::from)
    }
}

pub(super) fn challenge_body(names: &Names, challenge: &[u8; 32]) -> Value {
    json!({ "challenge": base64url(challenge), "rp_id": names.host() })
}

fn make_room<V>(open: &mut HashMap<[u8; 32], V>, at: impl Fn(&V) -> i64) {
    if open.len() < OPEN {
        return;
    }
    if let Some(oldest) = open.iter().min_by_key(|(_, value)| at(value)).map(|(key, _)| *key) {
        open.remove(&oldest);
    }
}

fn label(typed: &str, otherwise: &str) -> String {
    let label: String = typed.chars().filter(|c| !c.is_control()).take(LABEL).collect();
    if label.trim().is_empty() { otherwise.to_owned() } else { label }
}

fn random<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0u8; N];
    getrandom::fill(&mut bytes).map_err(|error| Problem::fault(&error))?;
    Ok(bytes)
}
