//! Who is signed in. A cookie only reads; what changes something is signed by the session's key.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::key::PublicKey;
use crate::call::Digest;
use crate::gate::Method;

/// Without a request for so long, a session ends.
pub(crate) const IDLE_MS: i64 = 30 * 60 * 1000;
/// However busy it is, it ends after this.
pub(crate) const END_MS: i64 = 12 * 60 * 60 * 1000;
/// Sessions at the same time; the longest idle goes first.
const MOST: usize = 64;
/// How far a signature's time may be from ours.
pub(crate) const SKEW_MS: i64 = 60_000;
/// Signed requests of one session within twice that time.
const NONCES: usize = 2048;

/// Why a signed request is not taken although its signature holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Replayed {
    #[error("this request was made at another time than now: is the clock right?")]
    Time,
    #[error("this very request was made before")]
    Again,
    #[error("too many requests in too short a time")]
    TooMany,
}

/// One browser of one approver, for as long as it lasts.
#[derive(Debug)]
pub(crate) struct Session {
    /// Names the session in signatures. Not the cookie: that is known by its digest alone.
    pub(crate) id: String,
    pub(crate) approver: String,
    pub(crate) key_id: String,
    pub(crate) key: PublicKey,
    /// How the person was known when it began.
    pub(crate) method: Method,
    pub(crate) began_ms: i64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    used_ms: i64,
    nonces: HashMap<[u8; 16], i64>,
}

impl Session {
    pub(crate) fn idle_ends_ms(&self) -> i64 {
        self.state.lock().used_ms.saturating_add(IDLE_MS)
    }

    pub(crate) fn ends_ms(&self) -> i64 {
        self.began_ms.saturating_add(END_MS)
    }

    fn is_over(&self, now: i64) -> bool {
        now >= self.idle_ends_ms() || now >= self.ends_ms() || now < self.began_ms
    }

    /// Takes a nonce once, as long as requests of its time are taken at all.
    pub(crate) fn take(&self, nonce: [u8; 16], at: i64, now: i64) -> Result<(), Replayed> {
        if at.abs_diff(now) > SKEW_MS.unsigned_abs() {
            return Err(Replayed::Time);
        }
        let mut state = self.state.lock();
        state.nonces.retain(|_, at| at.abs_diff(now) <= SKEW_MS.unsigned_abs());
        if state.nonces.contains_key(&nonce) {
            return Err(Replayed::Again);
        }
        if state.nonces.len() >= NONCES {
            return Err(Replayed::TooMany);
        }
        state.nonces.insert(nonce, at);
        Ok(())
    }
}

/// All sessions, by the digests of their cookies.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sessions(Arc<Mutex<HashMap<[u8; 32], Arc<Session>>>>);

impl Sessions {
    /// Begins a session. `secret` becomes the cookie.
    pub(crate) fn begin(
        &self,
        secret: [u8; 32],
        approver: &str,
        key: PublicKey,
        method: Method,
        now: i64,
    ) -> (String, Arc<Session>) {
        let cookie = super::base64url(&secret);
        let digest = *Digest::of(cookie.as_bytes()).bytes();
        let session = Arc::new(Session {
            id: super::base64url(Digest::of(&digest).bytes().get(..12).unwrap_or_default()),
            approver: approver.to_owned(),
            key_id: key.id(),
            key,
            method,
            began_ms: now,
            state: Mutex::new(State { used_ms: now, nonces: HashMap::new() }),
        });
        let mut all = self.0.lock();
        all.retain(|_, session| !session.is_over(now));
        if all.len() >= MOST {
            let idle =
                all.iter().min_by_key(|(_, session)| session.idle_ends_ms()).map(|(digest, _)| *digest);
            idle.and_then(|digest| all.remove(&digest));
        }
        all.insert(digest, Arc::clone(&session));
        (cookie, session)
    }

    /// The session of a cookie. `touch`: somebody did something, and is not idle.
    pub(crate) fn find(&self, cookie: &str, touch: bool, now: i64) -> Option<Arc<Session>> {
        let digest = *Digest::of(cookie.as_bytes()).bytes();
        let mut all = self.0.lock();
        let session = Arc::clone(all.get(&digest)?);
        if session.is_over(now) {
            all.remove(&digest);
            return None;
        }
        if touch {
            session.state.lock().used_ms = now;
        }
        Some(session)
    }

    /// Whether a session that was found earlier still lasts.
    pub(crate) fn lasts(&self, session: &Session, now: i64) -> bool {
        !session.is_over(now) && self.0.lock().values().any(|known| known.id == session.id)
    }

    /// Ends every session that this is true of.
    pub(crate) fn end(&self, over: impl Fn(&Session) -> bool) {
        self.0.lock().retain(|_, session| !over(session));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(now: i64) -> (Sessions, String, Arc<Session>) {
        let sessions = Sessions::default();
        let key = PublicKey { algorithm: super::super::key::ED25519, bytes: vec![1; 32] };
        let (cookie, session) = sessions.begin([5; 32], "ada", key, Method::Session, now);
        (sessions, cookie, session)
    }

    #[test]
    fn whoever_does_nothing_for_half_an_hour_is_signed_out() {
        let (sessions, cookie, _) = begun(0);
        assert!(sessions.find(&cookie, true, IDLE_MS - 1).is_some());
        assert!(sessions.find(&cookie, false, 2 * IDLE_MS - 2).is_some());
        assert!(sessions.find(&cookie, true, 2 * IDLE_MS - 1).is_none());
        assert!(sessions.find(&cookie, true, 1).is_none(), "an ended session does not come back");
    }

    #[test]
    fn twelve_hours_are_the_end_however_busy_it_is() {
        let (sessions, cookie, session) = begun(0);
        let mut now = 0;
        while now + IDLE_MS / 2 < END_MS {
            now += IDLE_MS / 2;
            assert!(sessions.find(&cookie, true, now).is_some());
        }
        assert!(!sessions.lasts(&session, END_MS));
        assert!(sessions.find(&cookie, true, END_MS).is_none());
    }

    #[test]
    fn a_signed_request_is_good_once_and_now() {
        let (_, _, session) = begun(0);
        assert_eq!(session.take([1; 16], 5, 10), Ok(()));
        assert_eq!(session.take([1; 16], 5, 10), Err(Replayed::Again));
        assert_eq!(session.take([1; 16], 6, 5 + SKEW_MS), Err(Replayed::Again));
        assert_eq!(session.take([2; 16], 0, SKEW_MS + 1), Err(Replayed::Time));
        assert_eq!(session.take([2; 16], 2 * SKEW_MS, 0), Err(Replayed::Time));
        for n in 0..NONCES as u128 {
            let _ = session.take(n.to_be_bytes(), 10, 10);
        }
        assert_eq!(session.take([3; 16], 10, 10), Err(Replayed::TooMany));
        assert_eq!(session.take([3; 16], 10 + 2 * SKEW_MS, 10 + 2 * SKEW_MS), Ok(()));
    }

    #[test]
    fn a_name_that_is_removed_is_signed_out_everywhere() {
        let (sessions, cookie, session) = begun(0);
        sessions.end(|session| session.approver == "bob");
        assert!(sessions.find(&cookie, true, 1).is_some());
        sessions.end(|session| session.approver == "ada");
        assert!(sessions.find(&cookie, true, 1).is_none() && !sessions.lasts(&session, 1));
    }
}
