//! Who is told of what, when, and how often.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode};
use jiff::civil::Time;
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use super::*;
use crate::store::{HoldRow, Sqlite};

const SECOND: i64 = 1000;
/// 2026-11-20, noon.
const NOON: i64 = 1_795_176_000_000;

fn row(id: &str, session: &str, class: &str, crisis: bool) -> HoldRow {
    HoldRow {
        created_ms: NOON,
        expires_ms: NOON + 3_600_000,
        digest: "ab".repeat(32),
        session: session.into(),
        principal: "hermes".into(),
        tool: "send_\u{202e}mail\nX: y".into(),
        class: class.into(),
        crisis,
        shown: json!({ "arguments": { "to": "ann@example.com", "text": "hunter2" } }).to_string(),
        ..crate::store::tests::hold(id)
    }
}

fn webhook(name: &str) -> Channel {
    let secret = SigningSecret::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    Channel {
        name: name.into(),
        kind: Kind::Webhook(secret),
        url: "http://127.0.0.1:1/hook".parse().unwrap(),
        detail: Detail::Title,
        quiet: None,
        link: Some("http://herma.localhost:4590/".into()),
    }
}

fn ntfy(name: &str) -> Channel {
    let kind = Kind::Ntfy { topic: "mine".into(), token: Some(Secret::new("tk_secret")) };
    Channel {
        kind,
        url: "http://127.0.0.1:1/mine".parse().unwrap(),
        detail: Detail::Summary,
        ..webhook(name)
    }
}

fn rung(after: i64, classes: &[&str], crisis: bool, to: &[&str]) -> Rung {
    Rung {
        after_ms: after * SECOND,
        classes: classes.iter().map(ToString::to_string).collect(),
        crisis,
        to: to.iter().map(|name| (*name).into()).collect(),
    }
}

fn setup(channels: Vec<Channel>, rungs: Vec<Rung>) -> Setup {
    Setup { channels: channels.into_iter().map(Arc::new).collect(), rungs, checkpoints: None }
}

/// What is due at `at` seconds after noon, as channel and holds; it counts as sent.
fn due(ladder: &mut Ladder, at: i64) -> Vec<(String, Vec<String>)> {
    let now = NOON + at * SECOND;
    let (pushes, _) = ladder.due(now);
    let mut told = Vec::new();
    for push in pushes {
        for (hold, rung) in &push.told {
            ladder.sent(hold, rung, &push.channel, now);
        }
        told.push((push.channel.to_string(), push.holds.into_iter().map(|row| row.id).collect()));
    }
    told
}

fn note(ladder: &mut Ladder, row: HoldRow, at: i64) {
    ladder.note(row, NOON + at * SECOND);
}

fn told(channel: &str, holds: &[&str]) -> (String, Vec<String>) {
    (channel.to_owned(), holds.iter().map(ToString::to_string).collect())
}

#[test]
fn the_next_person_is_told_when_nobody_decides_and_nobody_after_a_decision() {
    let channels = vec![webhook("desk"), ntfy("phone"), ntfy("second")];
    let rungs = vec![
        rung(0, &[], false, &["desk"]),
        rung(30, &["critical"], false, &["phone"]),
        rung(300, &[], false, &["second"]),
    ];
    let mut ladder = Ladder::new(setup(channels, rungs));
    note(&mut ladder, row("h-1", "s", "critical", false), 0);
    note(&mut ladder, row("h-2", "t", "external", false), 0);
    assert_eq!(due(&mut ladder, 0), [told("desk", &["h-1"]), told("desk", &["h-2"])]);
    assert_eq!(ladder.due(NOON + SECOND), (vec![], Some(NOON + 30 * SECOND)));
    assert_eq!(due(&mut ladder, 29), []);
    assert_eq!(due(&mut ladder, 30), [told("phone", &["h-1"])]);
    note(&mut ladder, HoldRow { state: HoldState::Approved, ..row("h-1", "s", "critical", false) }, 0);
    assert_eq!(due(&mut ladder, 300), [told("second", &["h-2"])]);
    assert_eq!(due(&mut ladder, 9000), []);
    assert_eq!(ladder.due(NOON + 9000 * SECOND).1, None);
}

#[test]
fn a_person_who_escalates_tells_the_next_at_once() {
    let rungs = vec![rung(0, &[], false, &["desk"]), rung(600, &[], false, &["phone"])];
    let mut ladder = Ladder::new(setup(vec![webhook("desk"), ntfy("phone")], rungs));
    note(&mut ladder, row("h-1", "s", "external", false), 0);
    assert_eq!(due(&mut ladder, 0), [told("desk", &["h-1"])]);
    note(&mut ladder, HoldRow { escalated: 1, ..row("h-1", "s", "external", false) }, 5);
    assert_eq!(due(&mut ladder, 5), [told("phone", &["h-1"])]);
    assert_eq!(due(&mut ladder, 600), []);
}

#[test]
fn one_session_is_brought_up_once_in_thirty_seconds_and_a_crisis_at_once() {
    let mut ladder = Ladder::new(setup(vec![webhook("desk")], vec![]));
    for id in ["h-1", "h-2"] {
        note(&mut ladder, row(id, "s", "external", false), 0);
    }
    assert_eq!(due(&mut ladder, 0), [told("desk", &["h-1", "h-2"])]);
    note(&mut ladder, row("h-3", "s", "external", false), 0);
    note(&mut ladder, row("h-4", "s", "external", false), 0);
    note(&mut ladder, row("h-5", "other", "external", false), 0);
    note(&mut ladder, row("h-6", "s", "external", true), 0);
    assert_eq!(due(&mut ladder, 1), [told("desk", &["h-5"]), told("desk", &["h-6"])]);
    assert_eq!(due(&mut ladder, 29), []);
    assert_eq!(due(&mut ladder, 30), [told("desk", &["h-3", "h-4"])]);
}

#[test]
fn quiet_hours_hold_messages_back_until_morning_and_a_crisis_does_not_know_them() {
    let hours =
        Quiet { from: Time::constant(11, 0, 0, 0), to: Time::constant(13, 0, 0, 0), zone: TimeZone::UTC };
    let mut ladder = Ladder::new(setup(vec![Channel { quiet: Some(hours), ..webhook("desk") }], vec![]));
    note(&mut ladder, row("h-1", "s", "critical", false), 0);
    note(&mut ladder, row("h-2", "s", "critical", false), 0);
    note(&mut ladder, row("h-3", "s", "external", true), 0);
    assert_eq!(due(&mut ladder, 0), [told("desk", &["h-3"])]);
    assert_eq!(ladder.due(NOON).1, Some(NOON + 3600 * SECOND));
    note(&mut ladder, HoldRow { state: HoldState::Denied, ..row("h-2", "s", "critical", false) }, 0);
    assert_eq!(due(&mut ladder, 3599), []);
    assert_eq!(due(&mut ladder, 3600), [told("desk", &["h-1"])]);
}

#[test]
fn a_crisis_that_no_step_names_is_told_to_everybody() {
    let rungs = vec![rung(0, &["critical"], false, &["desk"])];
    let mut ladder = Ladder::new(setup(vec![webhook("desk"), ntfy("phone")], rungs));
    note(&mut ladder, row("h-1", "s", "external", true), 0);
    assert_eq!(due(&mut ladder, 0), [told("desk", &["h-1"]), told("phone", &["h-1"])]);
}

fn push(holds: Vec<HoldRow>) -> Push {
    Push { channel: "c".into(), holds, told: vec![], escalated: false }
}

#[test]
fn a_webhook_is_told_how_many_calls_wait_and_nothing_an_agent_wrote() {
    let channel = webhook("desk");
    let body = Message::holds(&push(vec![row("h-1", "s", "critical", true)]), &channel)
        .body("msg_1", NOON, &channel);
    insta::assert_json_snapshot!(serde_json::from_str::<Value>(&body).unwrap(), @r#"
    {
      "data": {
        "holds": [
          {
            "class": "critical",
            "count": 1,
            "crisis": true,
            "expires": "2026-11-20T13:00:00Z",
            "id": "h-1",
            "since": "2026-11-20T12:00:00Z",
            "url": "http://herma.localhost:4590/h/h-1"
          }
        ],
        "more": 0,
        "title": "CRISIS: critical call waits: h-1"
      },
      "datacontenttype": "application/json",
      "id": "msg_1",
      "source": "herma",
      "specversion": "1.0",
      "subject": "h-1",
      "time": "2026-11-20T12:00:00Z",
      "type": "herma.hold.waiting"
    }
    "#);
}

#[test]
fn a_phone_gets_one_action_that_looks_and_names_without_tricks() {
    let channel = ntfy("phone");
    let rows = vec![row("h-1", "s", "external", false), row("h-2", "s", "critical", false)];
    let body = Message::holds(&push(rows), &channel).body("msg_1", NOON, &channel);
    insta::assert_json_snapshot!(serde_json::from_str::<Value>(&body).unwrap(), @r#"
    {
      "actions": [
        {
          "action": "view",
          "label": "Open",
          "url": "http://herma.localhost:4590/h/h-1"
        }
      ],
      "click": "http://herma.localhost:4590/h/h-1",
      "message": "h-1 (external): send_?mail?X:?y on mail, asked by hermes, until 2026-11-20T13:00:00Z\nh-2 (critical): send_?mail?X:?y on mail, asked by hermes, until 2026-11-20T13:00:00Z",
      "priority": 4,
      "tags": [
        "raised_hand"
      ],
      "title": "2 calls wait, 1 critical",
      "topic": "mine"
    }
    "#);
}

#[test]
fn no_message_is_longer_than_receivers_take_and_none_has_an_argument() {
    let rows: Vec<_> = (0..64)
        .map(|n| HoldRow {
            tool: "t".repeat(5000),
            server: "ü".repeat(5000),
            principal: "p".repeat(5000),
            ..row(&format!("h-{n}"), "s", "critical", true)
        })
        .collect();
    for channel in [Channel { detail: Detail::Summary, ..webhook("desk") }, ntfy("phone")] {
        let body = Message::holds(&push(rows.clone()), &channel).body("msg_1", NOON, &channel);
        assert!(body.len() <= 20_000, "{}", body.len());
        assert!(!body.contains("hunter2") && !body.contains("ann@"), "{body}");
    }
}

/// What was posted, and what the receiver answers, in order; 200 when nothing is left.
#[derive(Default)]
struct Receiver {
    answers: Mutex<VecDeque<Result<u16, String>>>,
    got: Mutex<Vec<(i64, Request<Bytes>)>>,
    rang: Bell,
}

/// A gate whose holds outlive it, what was posted for it, and the time that passes in it.
struct House {
    dir: TempDir,
    store: Arc<dyn Store>,
    /// Milliseconds since noon.
    time: Arc<AtomicI64>,
}

struct Run {
    notify: Arc<Notify>,
    receiver: Arc<Receiver>,
}

struct Door(Arc<Receiver>, Arc<AtomicI64>);

impl Post for Door {
    async fn post(&self, request: Request<Full<Bytes>>) -> Result<StatusCode, String> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let at = self.1.load(Ordering::Relaxed);
        self.0.got.lock().push((at, Request::from_parts(parts, body)));
        self.0.rang.notify_one();
        let answer = self.0.answers.lock().pop_front().unwrap_or(Ok(200));
        answer.map(|code| StatusCode::from_u16(code).unwrap())
    }
}

impl House {
    fn build() -> Self {
        let dir = TempDir::new().unwrap();
        let store = Arc::new(Sqlite::open(dir.path()).unwrap());
        Self { dir, store, time: Arc::default() }
    }

    async fn start(&self, setup: Setup, answers: &[Result<u16, String>]) -> Run {
        let time = Arc::clone(&self.time);
        let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
        let place = self.dir.path().join(format!("ledger-{}", Arc::strong_count(&self.time)));
        let ledger = Ledger::open(&place, key.clone(), "test");
        let ledger = ledger.unwrap();
        let heads = ledger.heads();
        let times = crate::gate::Times::default();
        let gate = Gate::restore(Arc::clone(&self.store), ledger, key, times).await.unwrap();
        let receiver = Arc::new(Receiver::default());
        receiver.answers.lock().extend(answers.iter().cloned());
        let clock: Clock = Arc::new(move || NOON + time.load(Ordering::Relaxed));
        let door = Arc::new(Door(Arc::clone(&receiver), Arc::clone(&self.time)));
        let pool = crate::pool::Pool::new(false);
        let notify = Notify::start_with(setup, Arc::clone(&self.store), gate, heads, clock, door, pool);
        Run { notify: notify.await.unwrap(), receiver }
    }

    /// Waits until the outbox says so. The store lives on a thread of its own, which no clock knows.
    async fn until(&self, is: impl Fn(&[Notice]) -> bool) -> Vec<Notice> {
        loop {
            let notices = self.store.notices().await.unwrap();
            if is(&notices) {
                return notices;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Run {
    /// Waits for the `n`th post; gives the times at which they came.
    async fn posts(&self, n: usize) -> Vec<i64> {
        while self.receiver.got.lock().len() < n {
            self.receiver.rang.notified().await;
        }
        self.receiver.got.lock().iter().map(|(at, _)| *at).collect()
    }
}

#[tokio::test]
async fn a_message_is_signed_so_that_its_receiver_can_check_it() {
    let house = House::build();
    house.store.insert_hold(row("h-1", "s", "critical", false), None).await.unwrap();
    let run = house.start(setup(vec![webhook("desk"), ntfy("phone")], vec![]), &[]).await;
    run.posts(2).await;
    let got = run.receiver.got.lock();
    let (_, request) = got.iter().find(|(_, request)| request.headers().contains_key("webhook-id")).unwrap();
    let header = |name: &str| request.headers()[name].to_str().unwrap();
    assert_eq!(header("content-type"), "application/cloudevents+json; charset=utf-8");
    let secret = SigningSecret::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let seconds = header("webhook-timestamp").parse().unwrap();
    assert_eq!(header("webhook-signature"), secret.sign(header("webhook-id"), seconds, request.body()));
    let body: Value = serde_json::from_slice(request.body()).unwrap();
    assert_eq!(body["id"], header("webhook-id"));
    let (_, phone) = got.iter().find(|(_, request)| !request.headers().contains_key("webhook-id")).unwrap();
    assert_eq!(
        (phone.uri().path(), phone.headers()["authorization"].to_str().unwrap()),
        ("/", "Bearer tk_secret")
    );
}

#[test]
fn a_restart_tells_nobody_twice_and_loses_no_message() {
    let house = House::build();
    // With a runtime end all its tasks, as with a process.
    let life = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let started = || house.start(setup(vec![webhook("desk")], vec![]), &[]);
    life().block_on(async {
        house.store.insert_hold(row("h-1", "s", "critical", false), None).await.unwrap();
        started().await.posts(1).await;
        house.until(<[_]>::is_empty).await;
        assert_eq!(house.store.notified().await.unwrap().len(), 1);
    });
    life().block_on(async {
        // Kept by the first run, not yet delivered when it ended.
        house.store.queue_notice(notice("msg_left"), vec![]).await.unwrap();
        let second = started().await;
        second.posts(1).await;
        house.until(<[_]>::is_empty).await;
        let got = second.receiver.got.lock();
        let ids: Vec<_> = got.iter().map(|(_, request)| &request.headers()["webhook-id"]).collect();
        assert_eq!(ids, ["msg_left"]);
    });
}

/// A message that is due now.
fn notice(id: &str) -> Notice {
    Notice {
        id: id.into(),
        channel: "desk".into(),
        about: "test".into(),
        body: "{}".into(),
        dead: false,
        attempts: 0,
        created_ms: NOON,
        next_ms: NOON,
        error: None,
    }
}

#[tokio::test]
async fn a_receiver_that_fails_is_tried_again_later_and_later_and_then_given_up_visibly() {
    let house = House::build();
    house.store.queue_notice(notice("msg_1"), vec![]).await.unwrap();
    let answers: Vec<_> =
        (0..courier::TRIES).map(|n| if n % 2 == 0 { Ok(500) } else { Err("no route".into()) }).collect();
    let run = house.start(setup(vec![webhook("desk")], vec![]), &answers).await;
    for tried in 1..courier::TRIES {
        let notices = house.until(|notices| notices.iter().all(|notice| notice.attempts == tried)).await;
        house.time.store(notices[0].next_ms - NOON, Ordering::Relaxed);
        run.notify.ring("desk");
    }
    let notices = house.until(|notices| notices.iter().all(|notice| notice.dead)).await;
    let at = run.posts(courier::TRIES as usize).await;
    let pauses: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.windows(2).all(|pair| pair[0] < pair[1]), "{pauses:?}");
    let [dead] = &notices[..] else { panic!("{notices:?}") };
    assert_eq!(
        (dead.attempts, dead.error.as_deref()),
        (courier::TRIES, Some("the receiver cannot be reached: no route"))
    );
    assert_eq!(house.store.dead_notices().await.unwrap(), 1);

    // A person looks, and sends it again.
    let view = run.notify.overview().await.unwrap();
    assert_eq!(view.notices.len(), 1);
    assert!(!serde_json::to_string(&view).unwrap().contains("whsec_"));
    assert_eq!(run.notify.retry(None).await.unwrap(), 1);
    house.until(<[_]>::is_empty).await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_gets_nothing_more_until_a_person_says_so() {
    let house = House::build();
    house.store.queue_notice(notice("msg_1"), vec![]).await.unwrap();
    let run = house.start(setup(vec![webhook("desk")], vec![]), &[Ok(410)]).await;
    house.until(|notices| notices.iter().all(|notice| notice.dead)).await;
    let off = house.store.channels_off().await.unwrap();
    assert_eq!(off.len(), 1);
    assert!(off[0].why.contains("410"), "{off:?}");
    assert_eq!(run.notify.retry(Some("msg_1")).await.unwrap(), 1);
    house.until(<[_]>::is_empty).await;
    assert_eq!(run.receiver.got.lock().len(), 2);
    assert!(house.store.channels_off().await.unwrap().is_empty());
    assert!(matches!(run.notify.retry(Some("msg_9")).await, Err(NotifyError::NoNotice(_))));
}

#[tokio::test]
async fn every_checkpoint_goes_to_the_channel_that_keeps_them() {
    let house = House::build();
    let setup = Setup { checkpoints: Some("desk".into()), ..setup(vec![webhook("desk")], vec![]) };
    let run = house.start(setup, &[]).await;
    run.posts(1).await;
    let got = run.receiver.got.lock();
    let body: Value = serde_json::from_slice(got[0].1.body()).unwrap();
    assert_eq!(body["type"], "herma.ledger.checkpoint");
    let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key();
    let note = body["data"]["note"].as_str().unwrap();
    assert!(note.starts_with("test\n") && note.contains("\u{2014} test "), "{note}");
    let dir =
        std::fs::read_dir(house.dir.path()).unwrap().flatten().find(|entry| entry.path().is_dir()).unwrap();
    let report = crate::ledger::verify_against(&dir.path(), &key, Some(("pushed", note.as_bytes()))).unwrap();
    assert!(report.is_intact(), "{:?}", report.problems);
}
