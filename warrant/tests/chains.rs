//! Whatever chain somebody makes: no call is allowed that any of its links refuses.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use ed25519_dalek::Signer as _;
use herma_warrant::capability::Capability;
use herma_warrant::cbor::Writer;
use herma_warrant::constraint::{Constraint, Glob, Range, Subpath};
use herma_warrant::decide::{Call, Outcome, decide};
use herma_warrant::gate::{Gates, ToolGate};
use herma_warrant::key::{PublicKey, SigningKey};
use herma_warrant::limits::Limits;
use herma_warrant::mint::{Draft, attenuate, mint};
use herma_warrant::revocation::Revocations;
use herma_warrant::value::{Args, Value};
use herma_warrant::verify::{Chain, Trust};
use herma_warrant::warrant::{Payload, Warrant, WarrantId};
use proptest::prelude::*;
use std::collections::BTreeMap;

const NOW: u64 = 1_780_000_000;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8) -> PublicKey {
    PublicKey::of(&key(seed))
}

fn sealed(payload: &Payload, seed: u8) -> Warrant {
    let signed = payload.encode();
    let signature = key(seed).sign(&[b"tenuo-warrant-v1".as_slice(), &[1], &signed].concat()).to_bytes();
    let mut out = Writer::new();
    out.array(3).unsigned(1).bytes(&signed).array(2).unsigned(1).bytes(&signature);
    Warrant::decode(&out.finish()).unwrap()
}

fn verify(links: &[Warrant]) -> Option<Chain> {
    let trust = Trust::new(vec![public(1).verifier().unwrap()]);
    Chain::verify(&Warrant::encode_stack(links), &trust, &Revocations::default(), NOW).ok()
}

fn constraint() -> impl Strategy<Value = Constraint> {
    let text =
        prop_oneof![Just("/data"), Just("/data/a"), Just("/data/a/b"), Just("/etc"), Just("x"), Just("xy")];
    prop_oneof![
        Just(Constraint::Wildcard),
        text.clone().prop_map(|text| Constraint::Exact(Value::from(text))),
        text.clone().prop_map(|text| Constraint::Subpath(Subpath::new(text))),
        prop_oneof![Just("*"), Just("/data/*"), Just("/data/a/*"), Just("x*")]
            .prop_map(|text| Constraint::Pattern(Glob::new(text))),
        prop::collection::vec(text.prop_map(Value::from), 0..3).prop_map(Constraint::OneOf),
        (0i64..5, 3i64..9)
            .prop_map(|(min, max)| Constraint::Range(Range::new(Some(min.into()), Some(max.into())))),
        Just(Constraint::NotOneOf(vec![Value::from("/etc")])),
    ]
}

fn limits() -> impl Strategy<Value = Option<Box<Limits>>> {
    prop_oneof![
        6 => Just(None),
        1 => Just(Some(Box::new(Limits { servers: ["files".to_owned()].into(), ..Limits::default() }))),
        1 => Just(Some(Box::new(Limits { max_calls: Some(3), ..Limits::default() }))),
        1 => Just(Some(Box::new(Limits { sandbox: Some("run".to_owned()), ..Limits::default() }))),
    ]
}

fn capability() -> impl Strategy<Value = Capability> {
    let names = prop_oneof![4 => Just("a"), 1 => Just("b")].prop_map(str::to_owned);
    (prop::collection::btree_map(names, constraint(), 0..3), prop::bool::weighted(0.1), limits())
        .prop_map(|(constraints, allow_unknown, limits)| Capability { constraints, allow_unknown, limits })
}

fn tools() -> impl Strategy<Value = BTreeMap<String, Capability>> {
    let names = prop_oneof![4 => Just("read"), 1 => Just("write"), 1 => Just("*")].prop_map(str::to_owned);
    prop::collection::btree_map(names, capability(), 1..3)
}

#[derive(Debug, Clone)]
struct Link {
    tools: BTreeMap<String, Capability>,
    clearance: Option<u8>,
    gated: bool,
}

fn link() -> impl Strategy<Value = Link> {
    (tools(), prop::option::weighted(0.3, prop_oneof![Just(10u8), Just(30)]), prop::bool::weighted(0.2))
        .prop_map(|(tools, clearance, gated)| Link { tools, clearance, gated })
}

fn args() -> impl Strategy<Value = Args> {
    let value = prop_oneof![
        Just("/data"),
        Just("/data/a"),
        Just("/data/a/b"),
        Just("/data/../etc"),
        Just("/etc"),
        Just("x"),
        Just("xyz"),
    ]
    .prop_map(Value::from);
    let value = prop_oneof![3 => value, 1 => (0i64..10).prop_map(Value::from)];
    let names = prop_oneof![5 => Just("a"), 1 => Just("b")].prop_map(str::to_owned);
    prop::collection::btree_map(names, value, 0..3)
}

fn payload(link: &Link, number: u8, parent: Option<&Warrant>) -> Payload {
    let mut draft = Draft::new(WarrantId::new(NOW * 1000, [number; 10]), public(number + 1), NOW);
    draft.allow_wildcard_tool = true;
    let mut payload = mint(draft, &key(number)).unwrap().payload;
    payload.tools = link.tools.clone();
    payload.clearance = link.clearance;
    if link.gated {
        payload.gates = Some(Gates(BTreeMap::from([("read".to_owned(), ToolGate::default())])));
    }
    payload.depth = parent.map_or(0, |parent| parent.payload.depth + 1);
    payload.parent_hash = parent.map(Warrant::hash);
    payload
}

/// Signs whatever the links say, as holders who keep to no rule would.
fn forge(links: &[Link]) -> Vec<Warrant> {
    let mut chain: Vec<Warrant> = Vec::new();
    for (number, link) in (1u8..).zip(links) {
        let payload = payload(link, number, chain.last());
        chain.push(sealed(&payload, number));
    }
    chain
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_chain_allows_nothing_that_one_of_its_links_refuses(
        first in link(), rest in prop::collection::vec((link(), any::<bool>()), 0..3), args in args(),
        server in prop::option::of(Just("files")), sandbox in prop::option::of(Just("run")),
        clearance in prop::option::weighted(0.2, Just(20u8)),
    ) {
        // Half of the links are their parent again, or chains that verify would be rare.
        let links: Vec<Link> = rest.iter().fold(vec![first], |mut links, (link, again)| {
            links.push(if *again { links.last().unwrap().clone() } else { link.clone() });
            links
        });
        let call = Call { server, sandbox, clearance, ..Call::new("read", &args) };
        let Some(chain) = verify(&forge(&links)) else { return Ok(()) };
        let decision = decide(&chain, &call, &[], NOW);
        for link in &links {
            let alone = verify(&[sealed(&payload(link, 1, None), 1)]).unwrap();
            let verdict = decide(&alone, &call, &[], NOW);
            match decision.outcome {
                Outcome::Authorised => prop_assert_eq!(verdict.outcome, Outcome::Authorised),
                Outcome::Gated(_) => prop_assert!(!matches!(verdict.outcome, Outcome::Refused(_))),
                Outcome::Refused(_) => {}
            }
        }
    }

    #[test]
    fn what_we_attenuate_verifies_and_takes_less(parent in link(), child in link(), args in args()) {
        let root = sealed(&payload(&parent, 1, None), 1);
        let mut draft = Draft::inherit(&root.payload, WarrantId::new(NOW * 1000, [2; 10]), public(3), NOW);
        draft.tools = child.tools;
        if let Ok(child) = attenuate(&root, draft, &key(2)) {
            let links = [root, child];
            let chain = verify(&links).expect("what we mint verifies");
            let call = Call::new("read", &args);
            let leaf = links[1].payload.capability("read").map(|capability| capability.check(&args));
            let held = links[0].payload.capability("read").map(|capability| capability.check(&args));
            if leaf == Some(Ok(None)) {
                prop_assert_eq!(held, Some(Ok(None)), "{:?}", decide(&chain, &call, &[], NOW).outcome);
            }
        }
    }
}
