//! Ours verify in the `tenuo` crate and theirs verify here; where verdicts differ, ours is the stricter.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use herma_warrant::admit::{Credential, ProofRules, admit};
use herma_warrant::approval::{SignedApproval, request_hash};
use herma_warrant::capability::Capability;
use herma_warrant::constraint::{Cidr, Constraint, Glob, Range, Shlex, Subpath, UrlPattern, UrlSafe};
use herma_warrant::decide::{Call, Outcome};
use herma_warrant::gate::{ArgGate, Gates, ToolGate};
use herma_warrant::json::read_args;
use herma_warrant::key::{PublicKey, SigningKey};
use herma_warrant::limits::Limits;
use herma_warrant::mint::{Draft, Issues, attenuate, mint};
use herma_warrant::proof::{Claim, Proof};
use herma_warrant::revocation::{RevocationList, Revocations};
use herma_warrant::value::{Args, Number, Value};
use herma_warrant::verify::{Chain, Trust};
use herma_warrant::warrant::{Warrant, WarrantId};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

const RULES: ProofRules = ProofRules { accept_v1: true };

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn their_key(seed: u8) -> tenuo::SigningKey {
    tenuo::SigningKey::from_bytes(&[seed; 32])
}

fn trust() -> Trust {
    Trust::new(vec![PublicKey::of(&key(1)).verifier().unwrap()])
}

fn authorizer() -> tenuo::Authorizer {
    tenuo::Authorizer::new().with_trusted_root(their_key(1).public_key())
}

fn theirs(value: &Value) -> tenuo::ConstraintValue {
    match value {
        Value::Null => tenuo::ConstraintValue::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(Number::Int(value)) => (*value).into(),
        Value::Number(number) => number.to_f64().into(),
        Value::Text(text) => text.as_str().into(),
        Value::List(items) => tenuo::ConstraintValue::List(items.iter().map(theirs).collect()),
        Value::Object(members) => tenuo::ConstraintValue::Object(
            members.iter().map(|(name, value)| (name.clone(), theirs(value))).collect(),
        ),
    }
}

fn their_args(args: &Args) -> HashMap<String, tenuo::ConstraintValue> {
    args.iter().map(|(name, value)| (name.clone(), theirs(value))).collect()
}

fn draft(number: u8, holder: u8, tool: &str, constraints: &[(&str, Constraint)]) -> Draft {
    let now = now();
    let mut draft = Draft::new(WarrantId::new(now * 1000, [number; 10]), PublicKey::of(&key(holder)), now);
    let constraints =
        constraints.iter().map(|(name, constraint)| ((*name).to_owned(), constraint.clone())).collect();
    draft.tools.insert(tool.to_owned(), Capability { constraints, ..Capability::default() });
    draft
}

/// What they say of a stack of ours and a call with its proof.
fn they_allow(
    links: &[Warrant],
    tool: &str,
    args: &Args,
    proof: &Proof,
    approvals: &[SignedApproval],
) -> bool {
    let stack = tenuo::wire::decode_stack(&Warrant::encode_stack(links)).unwrap();
    assert_eq!(tenuo::wire::encode_stack(&stack).unwrap(), Warrant::encode_stack(links));
    let signature = tenuo::Signature::from_bytes(&proof.encode().try_into().unwrap()).unwrap();
    let approvals: Vec<tenuo::approval::SignedApproval> =
        approvals.iter().map(|approval| tenuo_cbor(&approval.encode())).collect();
    authorizer().check_chain(&stack.0, tool, &their_args(args), Some(&signature), &approvals).is_ok()
}

fn tenuo_cbor(bytes: &[u8]) -> tenuo::approval::SignedApproval {
    ciborium::from_reader(bytes).unwrap()
}

fn we_say(links: &[u8], tool: &str, args: &Args, proof: &Proof, approvals: &[SignedApproval]) -> Outcome {
    let chain = Chain::verify(links, &trust(), &Revocations::default(), now()).unwrap();
    let call = Call::new(tool, args);
    admit(&chain, &call, Credential::Proof(proof), approvals, RULES, now()).unwrap().decision.outcome
}

fn everything() -> Vec<(&'static str, Constraint, Value)> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    vec![
        ("exact", Constraint::Exact(Value::from("x")), Value::from("x")),
        (
            "float",
            Constraint::Exact(Value::Number(Number::from_f64(0.1).unwrap())),
            Value::Number(Number::from_f64(0.1).unwrap()),
        ),
        ("pattern", Constraint::Pattern(Glob::new("staging-*")), Value::from("staging-1")),
        ("range", Constraint::Range(Range::new(Some(1.into()), Number::from_f64(99.5))), Value::from(50)),
        ("one_of", Constraint::OneOf(vec![Value::from("a"), Value::from(1)]), Value::from(1)),
        ("none_of", Constraint::NotOneOf(vec![Value::from("prod")]), Value::from("dev")),
        ("cidr", Constraint::Cidr(Cidr::new("10.0.0.0/8")), Value::from("10.1.2.3")),
        (
            "url",
            Constraint::UrlPattern(UrlPattern::new("https://h.example/*")),
            Value::from("https://h.example/a"),
        ),
        (
            "contains",
            Constraint::Contains(vec![Value::from("a")]),
            Value::List(vec![Value::from("a"), Value::from("b")]),
        ),
        (
            "subset",
            Constraint::Subset(vec![Value::from("a"), Value::from("b")]),
            Value::List(vec![Value::from("b")]),
        ),
        (
            "all",
            Constraint::All(vec![Constraint::Wildcard, Constraint::Pattern(Glob::new("a*"))]),
            Value::from("ab"),
        ),
        (
            "any",
            Constraint::Any(vec![Constraint::Exact(Value::from("a")), Constraint::Exact(Value::Null)]),
            Value::Null,
        ),
        ("not", Constraint::Not(Box::new(Constraint::Exact(Value::from("a")))), Value::from("b")),
        (
            "wildcard",
            Constraint::Wildcard,
            Value::Object(BTreeMap::from([("k".to_owned(), Value::Bool(true))])),
        ),
        ("subpath", Constraint::Subpath(Subpath::new("/data")), Value::from("/data/a")),
        (
            "url_safe",
            Constraint::UrlSafe(UrlSafe { allow_domains: Some(texts(&["h.example"])), ..UrlSafe::default() }),
            Value::from("https://h.example/"),
        ),
        ("shlex", Constraint::Shlex(Shlex { allow: texts(&["ls"]) }), Value::from("ls -la")),
    ]
}

#[test]
fn a_chain_of_ours_with_every_kind_of_constraint_is_accepted_there() {
    let constraints: Vec<_> =
        everything().into_iter().map(|(name, constraint, _)| (name, constraint)).collect();
    let args: Args = everything().into_iter().map(|(name, _, value)| (name.to_owned(), value)).collect();
    let root = mint(draft(1, 2, "do", &constraints), &key(1)).unwrap();
    let mut inherited =
        Draft::inherit(&root.payload, WarrantId::new(now() * 1000, [2; 10]), PublicKey::of(&key(3)), now());
    inherited.ttl = 60;
    let child = attenuate(&root, inherited, &key(2)).unwrap();
    let claim = Claim { warrant: child.payload.id, tool: "do", args: &args };
    let proof = Proof::sign_v1(&key(3), &claim, now());
    let links = [root, child];
    assert!(they_allow(&links, "do", &args, &proof, &[]));
    assert_eq!(we_say(&Warrant::encode_stack(&links), "do", &args, &proof, &[]), Outcome::Authorised);
    let mut other = args.clone();
    other.insert("subpath".to_owned(), Value::from("/etc"));
    let claim = Claim { warrant: links[1].payload.id, tool: "do", args: &other };
    let proof = Proof::sign_v1(&key(3), &claim, now());
    assert!(!they_allow(&links, "do", &other, &proof, &[]));
}

#[test]
fn a_chain_of_theirs_with_its_proof_is_accepted_here() {
    let mut set = tenuo::ConstraintSet::new();
    set.insert("path", tenuo::Constraint::Subpath(tenuo::Subpath::new("/data").unwrap()));
    set.insert("limit", tenuo::Constraint::Range(tenuo::Range::new(Some(0.0), Some(10.5)).unwrap()));
    set.insert("note", tenuo::Constraint::Wildcard(tenuo::Wildcard::new()));
    let root = tenuo::Warrant::builder()
        .capability("read_file", set)
        .ttl(Duration::from_secs(60))
        .session_id("session-1")
        .agent_id("agent-1")
        .holder(their_key(2).public_key())
        .build(&their_key(1))
        .unwrap();
    let child =
        root.attenuate().inherit_all().holder(their_key(3).public_key()).build(&their_key(2)).unwrap();
    let args =
        read_args(r#"{"path": "/data/a", "limit": 0.5, "note": {"b": [1, 2.5, null], "a": "\u00e9"}}"#)
            .unwrap();
    let signature = child.sign(&their_key(3), "read_file", &their_args(&args)).unwrap();
    let bytes = tenuo::wire::encode_stack(&tenuo::wire::WarrantStack(vec![root, child])).unwrap();
    let links = Warrant::decode_stack(&bytes).unwrap();
    assert_eq!(links[0].payload.session_id.as_deref(), Some("session-1"));
    assert_eq!(links[0].payload.encode(), links[0].payload_bytes());
    assert_eq!(links[1].payload.encode(), links[1].payload_bytes());
    let proof = Proof::decode(&signature.to_bytes()).unwrap();
    assert_eq!(we_say(&bytes, "read_file", &args, &proof, &[]), Outcome::Authorised);
}

#[test]
fn a_single_warrant_goes_both_ways_as_text_and_pem() {
    let ours = mint(draft(1, 2, "ping", &[]), &key(1)).unwrap();
    let pem = herma_warrant::text_form::to_pem(&ours.encode());
    let theirs = tenuo::wire::decode_pem_chain(&pem).unwrap();
    assert_eq!(tenuo::wire::encode(&theirs.0[0]).unwrap(), ours.encode());
    let theirs = tenuo::wire::encode_pem_stack(&theirs).unwrap();
    let back = herma_warrant::text_form::read_any(theirs.as_bytes()).unwrap();
    assert_eq!(Warrant::decode_stack(&back).unwrap(), vec![ours]);
}

#[test]
fn an_issuer_of_ours_issues_there_and_an_issuer_of_theirs_here() {
    let now = now();
    let mut issuing = Draft::new(WarrantId::new(now * 1000, [1; 10]), PublicKey::of(&key(2)), now);
    issuing.issues = Some(Issues { tools: vec!["ping".to_owned()], max_depth: Some(3), bounds: None });
    let issuer = mint(issuing, &key(1)).unwrap();
    let issued = attenuate(&issuer, draft(2, 3, "ping", &[]), &key(2)).unwrap();
    let args = read_args("{}").unwrap();
    let claim = Claim { warrant: issued.payload.id, tool: "ping", args: &args };
    let proof = Proof::sign_v1(&key(3), &claim, now);
    let links = [issuer, issued];
    assert!(they_allow(&links, "ping", &args, &proof, &[]));
    assert_eq!(we_say(&Warrant::encode_stack(&links), "ping", &args, &proof, &[]), Outcome::Authorised);
    assert!(attenuate(&links[0], draft(3, 2, "ping", &[]), &key(2)).is_err(), "an issuer issued to itself");
}

#[test]
fn gates_and_approvals_mean_the_same_on_both_sides() {
    let mut draft = draft(1, 2, "pay", &[("amount", Constraint::Wildcard)]);
    let above = Constraint::Range(Range::new(Some(100.into()), None));
    let gate =
        ToolGate { args: Some(BTreeMap::from([("amount".to_owned(), ArgGate::When(above))])), message: None };
    draft.gates = Some(Gates(BTreeMap::from([("pay".to_owned(), gate)])));
    draft.required_approvers = Some(vec![PublicKey::of(&key(7)), PublicKey::of(&key(8))]);
    draft.min_approvals = Some(1);
    let links = [mint(draft, &key(1)).unwrap()];
    for (text, gated) in [(r#"{"amount": 99}"#, false), (r#"{"amount": 100}"#, true)] {
        let args = read_args(text).unwrap();
        let claim = Claim { warrant: links[0].payload.id, tool: "pay", args: &args };
        let proof = Proof::sign_v1(&key(2), &claim, now());
        assert_eq!(they_allow(&links, "pay", &args, &proof, &[]), !gated);
        let bytes = Warrant::encode_stack(&links);
        assert_eq!(matches!(we_say(&bytes, "pay", &args, &proof, &[]), Outcome::Gated(_)), gated);
        let hash = request_hash(&claim, &PublicKey::of(&key(2)));
        let approval = herma_warrant::approval::Approval {
            request_hash: hash,
            nonce: [1; 16],
            external_id: "ada".to_owned(),
            approved_at: now(),
            expires_at: now() + 60,
            extensions: BTreeMap::new(),
        };
        let approvals = [approval.sign(&key(8))];
        assert!(they_allow(&links, "pay", &args, &proof, &approvals));
        assert_eq!(we_say(&bytes, "pay", &args, &proof, &approvals), Outcome::Authorised);
    }
}

#[test]
fn a_revocation_list_of_theirs_is_read_here_and_ours_there() {
    let id = WarrantId::new(now() * 1000, [1; 10]);
    let theirs = tenuo::SignedRevocationList::builder()
        .revoke(id.to_string())
        .version(3)
        .build(&their_key(1))
        .unwrap();
    let list = RevocationList::decode(&theirs.to_bytes().unwrap()).unwrap();
    list.verify(&PublicKey::of(&key(1)).verifier().unwrap()).unwrap();
    assert!(list.revoked.contains(&id));
    assert_eq!(list.version, 3);
    let ours = RevocationList::sign([id].into(), 4, now(), &key(1));
    let there = tenuo::SignedRevocationList::from_bytes(&ours.encode()).unwrap();
    there.verify(&their_key(1).public_key()).unwrap();
    assert!(there.is_revoked(&id.to_string()));
}

#[test]
fn a_verifier_that_does_not_know_our_limits_refuses_them() {
    let mut draft = draft(1, 2, "ping", &[]);
    let limits = Limits { max_calls: Some(1), ..Limits::default() };
    draft.tools.insert(
        "ping".to_owned(),
        Capability { limits: Some(Box::new(limits)), allow_unknown: true, ..Capability::default() },
    );
    draft.tools.insert(
        "pong".to_owned(),
        Capability {
            constraints: BTreeMap::from([(
                "a".to_owned(),
                Constraint::Optional(Box::new(Constraint::Wildcard)),
            )]),
            ..Capability::default()
        },
    );
    let links = [mint(draft, &key(1)).unwrap()];
    for (tool, text) in
        [("ping", "{}"), ("ping", r#"{"herma:limits": null}"#), ("pong", "{}"), ("pong", r#"{"a": 1}"#)]
    {
        let args = read_args(text).unwrap();
        let claim = Claim { warrant: links[0].payload.id, tool, args: &args };
        let proof = Proof::sign_v1(&key(2), &claim, now());
        assert!(!they_allow(&links, tool, &args, &proof, &[]), "{tool} {text}");
        let ours = we_say(&Warrant::encode_stack(&links), tool, &args, &proof, &[]);
        assert_eq!(
            ours == Outcome::Authorised,
            text != r#"{"herma:limits": null}"#,
            "{tool} {text}: {ours:?}"
        );
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter_map("a number", Number::from_f64).prop_map(Value::Number),
        "[a-z/.\u{430}\u{e9} ]{0,12}".prop_map(|text| Value::from(text.as_str())),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            prop::collection::btree_map("[a-z]{1,4}", inner, 0..4).prop_map(Value::Object),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn proofs_over_any_arguments_are_the_same_bytes_on_both_sides(
        args in prop::collection::btree_map("[a-z\u{e9}]{1,6}", any_value(), 0..5)
    ) {
        let ours = mint(draft(1, 2, "do", &[]), &key(1)).unwrap();
        let theirs = tenuo::wire::decode(&ours.encode()).unwrap();
        let claim = Claim { warrant: ours.payload.id, tool: "do", args: &args };
        let at = 1_700_000_017;
        let signature = theirs.sign_with_timestamp(&their_key(2), "do", &their_args(&args), Some(at)).unwrap();
        let proof = Proof::sign_v1(&key(2), &claim, at.cast_unsigned());
        prop_assert_eq!(proof.encode(), signature.to_bytes().to_vec());
        let hash = tenuo::approval::compute_request_hash(
            &ours.payload.id.to_string(), "do", &their_args(&args), Some(&their_key(2).public_key()),
        );
        prop_assert_eq!(request_hash(&claim, &PublicKey::of(&key(2))), hash);
    }

    #[test]
    fn what_one_constraint_allows_here_is_allowed_there(value in any_value(), which in 0usize..17) {
        let (_, constraint, good) = everything().swap_remove(which);
        let links = [mint(draft(1, 2, "do", &[("it", constraint.clone())]), &key(1)).unwrap()];
        let theirs = tenuo::wire::decode(&links[0].encode()).unwrap();
        for value in [value, good] {
            let args = Args::from([("it".to_owned(), value.clone())]);
            let ours = links[0].payload.tools["do"].check(&args);
            let allowed = theirs.check_constraints("do", &their_args(&args)).is_ok();
            // Numbers are numbers here, whatever their encoding, and so are lists of paths paths.
            let wider = matches!(value, Value::Number(_) | Value::List(_));
            prop_assert!(ours != Ok(None) || allowed || wider, "{:?} takes {} and they do not", constraint, value);
        }
    }
}
