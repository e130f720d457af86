use std::sync::Arc;

use herma_scoring::{Context, Rules};
use herma_warrant::capability::Capability;
use herma_warrant::key::SigningKey;
use herma_warrant::limits::{Limits, Rate, Window};
use herma_warrant::mint::{Draft, mint};
use herma_warrant::revocation::RevocationList;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::call::{CallIds, Carrier, Origin};
use crate::store::Sqlite;

/// A Tuesday, 09:00 UTC.
const NINE: u64 = 1_795_510_800;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn root() -> Verifier {
    PublicKey::of(&key(1)).verifier().unwrap()
}

fn setup() -> Setup {
    Setup { trust: Trust::new(vec![root()]), no_warrant: NoWarrant::Block, ..Setup::default() }
}

async fn open(dir: &TempDir, setup: Setup) -> Warrants {
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(dir.path()).unwrap());
    Warrants::restore(store, setup, ms(NINE)).await.unwrap()
}

fn ms(seconds: u64) -> i64 {
    i64::try_from(seconds * 1000).unwrap()
}

fn call(arguments: serde_json::Value) -> Call {
    Call {
        id: CallIds::new(1).mint(),
        origin: Origin {
            carrier: Carrier::Mcp,
            principal: "local".into(),
            session: "s".into(),
            server: "box".into(),
            serves: None,
        },
        kind: Kind::Tool,
        tool: "send".into(),
        raw_arguments: arguments.to_string().into(),
        frame: "frame".into(),
        arguments,
        definition: None,
        shown: None,
        beside: None,
    }
}

fn judge(call: &Call) -> Assessment {
    herma_scoring::assess(&call.pure(), &Context::default(), &Rules::shipped().unwrap())
}

fn stack(limits: Limits) -> Vec<u8> {
    let mut draft = Draft::new(WarrantId([9; 16]), PublicKey::of(&key(2)), NINE);
    draft.ttl = 86_400;
    let capability =
        Capability { allow_unknown: true, limits: Some(Box::new(limits)), ..Capability::default() };
    draft.tools.insert("send".into(), capability);
    mint(draft, &key(1)).unwrap().encode()
}

async fn over_the_box(warrants: &Warrants, limits: Limits) {
    warrants.assign(Party::Server("box".into()), stack(limits), "ann", ms(NINE)).await.unwrap();
}

fn refusal(checked: &Checked) -> &str {
    let Grant::Refused { why } = &checked.grant else { panic!("{checked:?}") };
    why
}

#[tokio::test]
async fn a_clock_that_is_set_back_revives_no_warrant_not_even_over_a_restart() {
    let dir = TempDir::new().unwrap();
    let (call, later) = (call(json!({})), NINE + 7200);
    let assessment = judge(&call);
    let warrants = open(&dir, setup()).await;
    over_the_box(&warrants, Limits::default()).await;
    assert_eq!(warrants.check(&call, &assessment, ms(later)).grant, Grant::Authorised);
    assert!(refusal(&warrants.check(&call, &assessment, ms(NINE))).contains("set back"));
    warrants.keep_clock().await.unwrap();
    drop(warrants);
    let warrants = open(&dir, setup()).await;
    assert!(refusal(&warrants.check(&call, &assessment, ms(NINE))).contains("set back"));
    assert_eq!(warrants.check(&call, &assessment, ms(later)).grant, Grant::Authorised);
}

#[tokio::test]
async fn a_rate_holds_over_a_restart_and_lets_go_when_its_time_is_over() {
    let dir = TempDir::new().unwrap();
    let call = call(json!({}));
    let assessment = judge(&call);
    let limits = Limits { rates: vec![Rate { calls: 1, seconds: 60 }], ..Limits::default() };
    let warrants = open(&dir, setup()).await;
    over_the_box(&warrants, limits).await;
    let go = async |warrants: &Warrants, at: u64| {
        let checked = warrants.check(&call, &assessment, ms(at));
        warrants.spend(checked, SideEffect::External, ms(at)).await.unwrap()
    };
    assert_eq!(go(&warrants, NINE).await, Ok(()));
    drop(warrants);
    let warrants = open(&dir, setup()).await;
    assert!(matches!(go(&warrants, NINE + 59).await, Err(Unusable::TooFast(_))));
    assert_eq!(go(&warrants, NINE + 61).await, Ok(()));
}

#[tokio::test]
async fn a_call_held_past_its_hours_does_not_run_when_it_is_approved() {
    let dir = TempDir::new().unwrap();
    let call = call(json!({}));
    let assessment = judge(&call);
    let warrants = open(&dir, setup()).await;
    let until_ten = Window { days: 0x7f, from: 540, until: 600, offset: 0 };
    over_the_box(&warrants, Limits { windows: vec![until_ten], ..Limits::default() }).await;
    let checked = warrants.check(&call, &assessment, ms(NINE + 3500));
    assert_eq!(checked.grant, Grant::Authorised);
    assert!(warrants.still_stands(&checked, &call, &assessment, ms(NINE + 3590)));
    assert!(!warrants.still_stands(&checked, &call, &assessment, ms(NINE + 3610)));
}

#[tokio::test]
async fn a_warrant_put_over_the_sender_while_a_call_waits_ends_the_wait() {
    let dir = TempDir::new().unwrap();
    let call = call(json!({}));
    let assessment = judge(&call);
    let warrants = open(&dir, Setup { no_warrant: NoWarrant::Allow, ..setup() }).await;
    let checked = warrants.check(&call, &assessment, ms(NINE));
    assert_eq!(checked.grant, Grant::Absent);
    assert!(warrants.still_stands(&checked, &call, &assessment, ms(NINE)));
    over_the_box(&warrants, Limits::default()).await;
    assert!(!warrants.still_stands(&checked, &call, &assessment, ms(NINE)));
}

#[tokio::test]
async fn an_older_signed_list_is_not_taken_up_after_a_newer_one() {
    let dir = TempDir::new().unwrap();
    let call = call(json!({}));
    let assessment = judge(&call);
    let list = |revoked: &[WarrantId], version| {
        RevocationList::sign(revoked.iter().copied().collect(), version, NINE, &key(1))
    };
    let with = |list| Setup { lists: vec![(list, root())], ..setup() };
    let warrants = open(&dir, with(list(&[WarrantId([9; 16])], 2))).await;
    let refused =
        warrants.assign(Party::Server("box".into()), stack(Limits::default()), "ann", ms(NINE)).await;
    assert!(refused.unwrap_err().to_string().contains("revoked"));
    assert!(warrants.replace(with(list(&[], 1))).await.is_err());
    drop(warrants);
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(dir.path()).unwrap());
    assert!(Warrants::restore(store, with(list(&[], 1)), ms(NINE)).await.is_err());
    let warrants = open(&dir, with(list(&[], 3))).await;
    over_the_box(&warrants, Limits::default()).await;
    assert_eq!(warrants.check(&call, &assessment, ms(NINE)).grant, Grant::Authorised);
}

#[tokio::test]
async fn a_file_that_no_longer_asks_for_new_lists_lets_calls_run_again() {
    let dir = TempDir::new().unwrap();
    let call = call(json!({}));
    let assessment = judge(&call);
    let warrants = open(&dir, setup()).await;
    over_the_box(&warrants, Limits::default()).await;
    warrants.replace(Setup { lists_newer_than: Some(3600), ..setup() }).await.unwrap();
    assert!(matches!(warrants.check(&call, &assessment, ms(NINE)).grant, Grant::Refused { .. }));
    warrants.replace(setup()).await.unwrap();
    assert_eq!(warrants.check(&call, &assessment, ms(NINE)).grant, Grant::Authorised);
}

#[tokio::test]
async fn everything_can_be_taken_back_at_once() {
    let dir = TempDir::new().unwrap();
    let call = call(json!({}));
    let assessment = judge(&call);
    let warrants = open(&dir, setup()).await;
    over_the_box(&warrants, Limits::default()).await;
    warrants.revoke("all", "ann", "the laptop is gone", ms(NINE)).await.unwrap();
    assert!(refusal(&warrants.check(&call, &assessment, ms(NINE))).contains("revoked"));
    assert!(warrants.revoke("who knows", "ann", "", ms(NINE)).await.is_err());
}

#[tokio::test]
async fn arguments_that_a_warrant_cannot_speak_of_are_refused() {
    let dir = TempDir::new().unwrap();
    let call = call(json!({ "n": 1, "deep": (0..12).fold(json!(1), |inner, _| json!([inner])) }));
    let assessment = judge(&call);
    let warrants = open(&dir, setup()).await;
    over_the_box(&warrants, Limits::default()).await;
    assert!(refusal(&warrants.check(&call, &assessment, ms(NINE))).contains("cannot speak of"));
}

#[tokio::test]
async fn a_root_that_is_trusted_no_more_takes_its_warrants_with_it() {
    let dir = TempDir::new().unwrap();
    let call = call(json!({}));
    let assessment = judge(&call);
    let warrants = open(&dir, setup()).await;
    over_the_box(&warrants, Limits::default()).await;
    assert_eq!(warrants.check(&call, &assessment, ms(NINE)).grant, Grant::Authorised);
    warrants.replace(Setup { trust: Trust::new(Vec::new()), ..setup() }).await.unwrap();
    assert!(refusal(&warrants.check(&call, &assessment, ms(NINE))).contains("root"));
}

#[tokio::test]
async fn a_child_may_call_only_tools_of_its_own_and_only_until_it_has_reported_back() {
    let dir = TempDir::new().unwrap();
    let warrants = open(&dir, setup()).await;
    let mut draft = Draft::new(WarrantId([8; 16]), PublicKey::of(&key(2)), NINE);
    draft.ttl = 600;
    let any = || Capability { allow_unknown: true, ..Capability::default() };
    draft.tools = ["send", "read", "list"].map(|tool| (tool.to_owned(), any())).into();
    let over_parent = mint(draft, &key(1)).unwrap().encode();
    warrants.assign(Party::Session("parent".into()), over_parent, "ann", ms(NINE)).await.unwrap();
    let of = |session: &str, tool: &str| {
        let call = call(json!({}));
        Call { origin: Origin { session: session.into(), ..call.origin.clone() }, tool: tool.into(), ..call }
    };
    let says = |session: &str, tool: &str, at: u64| {
        let call = of(session, tool);
        warrants.check(&call, &judge(&call), ms(at)).grant
    };
    let tools = |names: &[&str]| names.iter().map(|name| ("box".into(), (*name).into())).collect::<Vec<_>>();
    let grant = |child: &str, names: &[&str]| {
        let origin = of(child, "send").origin;
        warrants.grant_child(&origin, &"parent".into(), None, Some(&tools(names)), ms(NINE)).unwrap()
    };
    // The second task begins first.
    assert_eq!(grant("two", &["read", "other"]).unwrap().tools, ["read"]);
    assert_eq!(grant("one", &["send", "list"]).unwrap().tools, ["list", "send"]);
    assert!(grant("one", &["read"]).is_none(), "what it once was given is not widened by saying more");

    for (session, tool, allowed) in [
        ("one", "send", true),
        ("one", "read", false),
        ("two", "read", true),
        ("two", "other", false),
        ("two", "send", false),
    ] {
        let grant = says(session, tool, NINE);
        assert_eq!(grant == Grant::Authorised, allowed, "{session} {tool}: {grant:?}");
    }
    let waiting = of("one", "send");
    let checked = warrants.check(&waiting, &judge(&waiting), ms(NINE));
    warrants.end_child(&waiting.origin.principal, &"one".into());
    assert!(matches!(says("one", "send", NINE), Grant::Refused { .. }));
    assert!(!warrants.still_stands(&checked, &waiting, &judge(&waiting), ms(NINE)), "nor what waited then");
    assert_eq!(says("two", "read", NINE), Grant::Authorised);
    assert!(matches!(says("two", "read", NINE + 700), Grant::Refused { .. }), "nor longer than its parent");
}

#[tokio::test]
async fn a_session_of_another_agent_is_not_narrowed_by_a_child_of_the_same_name() {
    let dir = TempDir::new().unwrap();
    let warrants = open(&dir, setup()).await;
    over_the_box(&warrants, Limits::default()).await;
    let own = call(json!({}));
    let liar = Origin { principal: "liar".into(), ..own.origin.clone() };
    warrants.grant_child(&liar, &"parent".into(), None, Some(&[]), ms(NINE)).unwrap();
    assert_eq!(warrants.check(&own, &judge(&own), ms(NINE)).grant, Grant::Authorised);
}

fn terms(allow: &str) -> Terms {
    Terms { party: "server:box".into(), allow: allow.into(), ..Terms::default() }
}

async fn place(warrants: &Warrants, terms: &Terms) -> WarrantId {
    let proposed = warrants.propose(terms, ms(NINE)).unwrap();
    warrants.place(proposed, "ada", ms(NINE)).await.unwrap()
}

#[tokio::test]
async fn what_is_made_here_stands_inside_what_a_root_allows_and_goes_with_it() {
    let dir = TempDir::new().unwrap();
    let warrants = open(&dir, setup()).await.signing(key(5));
    over_the_box(&warrants, Limits::default()).await;
    let wider = warrants.propose(&terms("send\nread"), ms(NINE)).unwrap_err().to_string();
    assert!(wider.contains("adds the tool `read`"), "{wider}");
    let longer = Terms { life: Some("2d".into()), ..terms("") };
    assert!(warrants.propose(&longer, ms(NINE)).unwrap_err().to_string().contains("ends at"));
    let made = place(&warrants, &terms("send:to=ann|bob")).await;

    let (ann, eve) = (call(json!({ "to": "ann" })), call(json!({ "to": "eve" })));
    let assessment = judge(&ann);
    let said = warrants.check(&ann, &assessment, ms(NINE));
    assert_eq!(said.grant, Grant::Authorised);
    assert!(warrants.ids(&said).contains(&made.to_hex()), "a freeze of it must be heeded");
    assert!(refusal(&warrants.check(&eve, &assessment, ms(NINE))).contains("to"));

    // Narrowed while a call waits, the call no longer stands.
    place(&warrants, &terms("send:to=bob")).await;
    assert!(!warrants.still_stands(&said, &ann, &assessment, ms(NINE)));
    assert!(warrants.unassign(&Party::Server("box".into())).await.unwrap());
    assert!(warrants.standing().is_empty(), "whoever takes the warrant away takes what narrows it");
}

#[tokio::test]
async fn two_who_narrow_at_once_do_not_undo_each_other() {
    let dir = TempDir::new().unwrap();
    let warrants = open(&dir, Setup::default()).await.signing(key(5));
    let mine = warrants.propose(&terms("send:to=ann|bob"), ms(NINE)).unwrap();
    warrants.place(mine, "ada", ms(NINE)).await.unwrap();
    let [one, other] =
        ["send:to=ann", "send:to=bob"].map(|allow| warrants.propose(&terms(allow), ms(NINE)).unwrap());
    warrants.place(one, "ada", ms(NINE)).await.unwrap();
    let late = warrants.place(other, "bob", ms(NINE)).await;
    assert!(matches!(late, Err(WarrantError::Moved(_))), "{late:?}");
}

#[tokio::test]
async fn a_warrant_of_another_key_in_the_store_lets_nothing_through() {
    let dir = TempDir::new().unwrap();
    let warrants = open(&dir, Setup::default()).await.signing(key(5));
    place(&warrants, &terms("send")).await;
    drop(warrants);
    let warrants = open(&dir, Setup::default()).await.signing(key(6));
    let call = call(json!({}));
    assert!(refusal(&warrants.check(&call, &judge(&call), ms(NINE))).contains("root"));
}
