//! Whom a session speaks with, and who of them is in crisis.

use std::sync::Arc;

use herma_scoring::Rules;

use crate::firewall::session::{Session, Sessions};
use crate::store::{Sqlite, Store};

async fn restored(dir: &std::path::Path) -> Sessions {
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(dir).unwrap());
    Sessions::restore(store).await.unwrap()
}

fn session(sessions: &Sessions, id: &str, sender: Option<&str>, chats: &[&str]) -> Arc<Session> {
    let session = sessions.adopt(Session::hooked(id, "hermes".into(), "hermes".into()));
    let chats: Vec<_> = chats.iter().map(|chat| (*chat).to_owned()).collect();
    sessions.meet(&session, "telegram", sender, &chats);
    session
}

#[tokio::test]
async fn a_crisis_is_its_own_conversations_and_only_a_person_ends_it() {
    let (dir, rules) = (tempfile::tempdir().unwrap(), Rules::shipped().unwrap());
    let sessions = restored(dir.path()).await;
    let (ann, bob) =
        (session(&sessions, "a", Some("4711"), &["-100"]), session(&sessions, "b", Some("5"), &["5"]));
    assert!(sessions.hear(&ann, "I want to kill myself tonight", &rules, 1).await.unwrap());
    assert!(!bob.in_crisis());
    assert!(sessions.speaks_of_crisis(&bob, br#"{"command":"hermes send --to telegram:4711 hi"}"#));
    assert!(!sessions.speaks_of_crisis(&bob, br#"{"command":"hermes send --to telegram:47112 hi"}"#));
    let child = sessions.adopt(Session::hooked("kid", "hermes".into(), "hermes".into()));
    child.inherit(&ann);
    assert!(child.in_crisis() && child.serves() == ann.serves());
    drop(sessions);

    let sessions = restored(dir.path()).await;
    let again = session(&sessions, "c", Some("4711"), &[]);
    let plain = sessions.adopt(Session::new("m", "local".into(), "box".into(), false));
    assert!(again.in_crisis() && !plain.in_crisis());
    assert!(!sessions.leave_crisis("hermes/4711", "telegram:4711", "i am fine", 2).await.unwrap());
    assert!(again.in_crisis(), "nobody clears their own");
    assert!(sessions.leave_crisis("hermes/4711", "dr. lee", "spoke with her", 3).await.unwrap());
    assert!(!again.in_crisis());
}

#[tokio::test]
async fn a_session_that_speaks_with_nobody_known_is_latched_by_itself() {
    let (dir, rules) = (tempfile::tempdir().unwrap(), Rules::shipped().unwrap());
    let sessions = restored(dir.path()).await;
    let (one, other) = (session(&sessions, "one", None, &[]), session(&sessions, "other", None, &[]));
    assert!(sessions.hear(&one, "I want to kill myself tonight", &rules, 1).await.unwrap());
    assert!(one.in_crisis() && !other.in_crisis());
}

#[tokio::test]
async fn what_goes_to_several_is_held_when_one_of_them_is_in_crisis() {
    let (dir, rules) = (tempfile::tempdir().unwrap(), Rules::shipped().unwrap());
    let sessions = restored(dir.path()).await;
    let ann = session(&sessions, "a", Some("4711"), &["4711"]);
    let job = session(&sessions, "cron_j_1", Some("j"), &["slack:C9", "telegram:4711"]);
    let other = session(&sessions, "cron_k_1", Some("k"), &["slack:C9", "telegram:5"]);
    assert!(sessions.hear(&ann, "I want to kill myself tonight", &rules, 1).await.unwrap());
    assert!(job.in_crisis() && !other.in_crisis());
    let serves = job.serves().unwrap();
    assert_eq!(&*serves.conversation, "telegram:slack:C9,telegram:4711");
}
