//! What must not be taken, by the name of what is wrong with it.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use herma_warrant::admit::{Credential, ProofRules, admit};
use herma_warrant::capability::Capability;
use herma_warrant::cbor::{CborError, Reader, Writer};
use herma_warrant::constraint::{Constraint, Subpath};
use herma_warrant::decide::Call;
use herma_warrant::error::ChainError;
use herma_warrant::gate::{Gates, ToolGate};
use herma_warrant::json::read_args;
use herma_warrant::key::{PublicKey, SigningKey};
use herma_warrant::mint::{Draft, MintError, attenuate, mint};
use herma_warrant::proof::{Audience, Claim, Proof, ProofError, Session};
use herma_warrant::revocation::{Revocations, Revoked};
use herma_warrant::spent::{SpentError, SpentMemory};
use herma_warrant::verify::{Chain, ChainCache, Trust};
use herma_warrant::warrant::{Payload, Warrant, WarrantId};
use std::collections::BTreeMap;

const NOW: u64 = 1_780_000_000;
const TOOL: &str = "read_file";
const HERE: Audience<'static> = Audience { server: "", definition: None };

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8) -> PublicKey {
    PublicKey::of(&key(seed))
}

fn trust() -> Trust {
    Trust::new(vec![public(1).verifier().unwrap()])
}

fn id(number: u8) -> WarrantId {
    WarrantId::new(NOW * 1000, [number; 10])
}

fn draft(number: u8, holder: u8) -> Draft {
    let mut draft = Draft::new(id(number), public(holder), NOW);
    let constraints = BTreeMap::from([("path".to_owned(), Constraint::Subpath(Subpath::new("/data")))]);
    draft.tools.insert(TOOL.to_owned(), Capability { constraints, ..Capability::default() });
    draft
}

fn three() -> Vec<Warrant> {
    let root = mint(draft(1, 2), &key(1)).unwrap();
    let child = attenuate(&root, draft(2, 3), &key(2)).unwrap();
    let leaf = attenuate(&child, draft(3, 4), &key(3)).unwrap();
    vec![root, child, leaf]
}

fn verify(bytes: &[u8]) -> Result<Chain, ChainError> {
    Chain::verify(bytes, &trust(), &Revocations::default(), NOW)
}

fn code(links: &[Warrant]) -> &'static str {
    verify(&Warrant::encode_stack(links)).unwrap_err().code()
}

/// A payload signed by whoever, as the bytes of an envelope.
fn sealed(payload: &Payload, seed: u8) -> Warrant {
    use ed25519_dalek::Signer as _;
    let signed = payload.encode();
    let signature = key(seed).sign(&[b"tenuo-warrant-v1".as_slice(), &[1], &signed].concat()).to_bytes();
    let mut out = Writer::new();
    out.array(3).unsigned(1).bytes(&signed).array(2).unsigned(1).bytes(&signature);
    Warrant::decode(&out.finish()).unwrap()
}

/// The last link of a chain of two, changed by hand and signed by the honest holder of the first.
fn changed(change: impl FnOnce(&mut Payload)) -> &'static str {
    let mut draft = draft(1, 2);
    draft.session_id = Some("one".to_owned());
    draft.gates = Some(Gates(BTreeMap::from([(TOOL.to_owned(), ToolGate::default())])));
    draft.required_approvers = Some(vec![public(7), public(8)]);
    draft.min_approvals = Some(2);
    draft.clearance = Some(20);
    let root = mint(draft, &key(1)).unwrap();
    let inherited = Draft::inherit(&root.payload, id(2), public(3), NOW);
    let mut payload = attenuate(&root, inherited, &key(2)).unwrap().payload;
    change(&mut payload);
    code(&[root, sealed(&payload, 2)])
}

#[test]
fn truncated_anywhere_it_is_no_warrant() {
    let bytes = Warrant::encode_stack(&three());
    verify(&bytes).unwrap();
    for end in 0..bytes.len() {
        assert!(verify(&bytes[..end]).is_err(), "{end} bytes of {}", bytes.len());
    }
}

#[test]
fn one_flipped_bit_anywhere_is_noticed() {
    let bytes = Warrant::encode_stack(&three()[..1]);
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(verify(&flipped).is_err(), "byte {at}");
    }
}

#[test]
fn oversized_it_is_refused_before_it_is_read() {
    let mut single = vec![0x83, 1];
    single.resize(64 * 1024 + 1, 0);
    assert_eq!(verify(&single).unwrap_err().code(), "too-large");
    let mut stack = vec![0x81, 0x83];
    stack.resize(256 * 1024 + 1, 0);
    assert_eq!(verify(&stack).unwrap_err().code(), "too-large");
    let mut promise = Writer::new();
    promise.array(usize::MAX >> 1);
    assert_eq!(Reader::new(&promise.finish()).array(usize::MAX), Err(CborError::Truncated));
}

#[test]
fn nested_too_deep_it_is_refused() {
    let deep = (0..32).fold(Constraint::Wildcard, |inner, _| Constraint::Not(Box::new(inner)));
    let mut payload = three().remove(0).payload;
    payload.tools.get_mut(TOOL).unwrap().constraints.insert("path".to_owned(), deep);
    let error = Payload::decode(&payload.encode()).unwrap_err();
    assert_eq!(error.code(), "too-deep");
    let links = vec![three().remove(0); 65];
    assert_eq!(code(&links), "too-deep");
    let bytes = vec![0x81; 4096];
    assert_eq!(verify(&bytes).unwrap_err().code(), "non-canonical");
}

#[test]
fn the_same_warrant_in_other_bytes_is_another_and_refused() {
    let bytes = three().remove(0).encode();
    let other = [
        ("an indefinite length", [&[0x9f], &bytes[1..], &[0xff]].concat()),
        ("trailing bytes", [&bytes[..], &[0]].concat()),
        ("a longer head", [&[0x98, 3], &bytes[1..]].concat()),
        ("a longer version", [&[0x83, 0x18, 1], &bytes[2..]].concat()),
        ("a tag", [&[0xd9, 0xd9, 0xf7], &bytes[..]].concat()),
    ];
    for (what, bytes) in other {
        assert_eq!(verify(&bytes).unwrap_err().code(), "non-canonical", "{what}");
    }
}

#[test]
fn a_key_that_comes_twice_or_out_of_order_is_refused() {
    let read = |bytes: &[u8]| Reader::new(bytes).value(4);
    assert_eq!(read(&[0xa2, 0x61, b'a', 1, 0x61, b'a', 2]), Err(CborError::DuplicateKey));
    assert_eq!(read(&[0xa2, 0x61, b'b', 1, 0x61, b'a', 2]), Err(CborError::Unsorted));
    assert_eq!(Payload::decode(&[0xa2, 0, 1, 0, 1]).unwrap_err().code(), "non-canonical");
    assert_eq!(Payload::decode(&[0xa2, 1, 0x50]).unwrap_err().code(), "non-canonical");
    assert_eq!(Payload::decode(&[0xa1, 0x13, 1]).unwrap_err().code(), "unknown-field");
}

#[test]
fn numbers_that_are_not_in_their_shortest_form_are_refused() {
    let read = |bytes: &[u8]| Reader::new(bytes).value(4);
    for bytes in
        [&[0x18, 23][..], &[0x19, 0, 255], &[0x1a, 0, 0, 255, 255], &[0x1b, 0, 0, 0, 0, 255, 255, 255, 255]]
    {
        assert_eq!(read(bytes), Err(CborError::NotShortest), "{bytes:02x?}");
    }
    for float in [&[0xfa, 0x3f, 0x80, 0, 0][..], &[0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]] {
        assert_eq!(read(float), Err(CborError::NotShortest), "{float:02x?}");
    }
    assert_eq!(read(&[0xf9, 0x7e, 0]), Err(CborError::Range), "NaN");
}

#[test]
fn weak_keys_are_refused_wherever_they_stand() {
    let weak = PublicKey::from_bytes([0; 32]);
    assert!(matches!(mint(Draft { holder: weak, ..draft(1, 2) }, &key(1)), Err(MintError::Holder(_))));
    let mut payload = three().remove(0).payload;
    payload.holder = weak;
    assert_eq!(code(&[sealed(&payload, 1)]), "weak-key");
    payload.holder = PublicKey::from_bytes([0xff; 32]);
    assert_eq!(code(&[sealed(&payload, 1)]), "malformed-key");
}

#[test]
fn forged_reordered_cut_and_spliced_chains_are_refused() {
    let links = three();
    let [root, child, leaf] = links.as_slice() else { panic!("three links") };
    let swap = |links: &[&Warrant]| code(&links.iter().map(|link| (*link).clone()).collect::<Vec<_>>());
    assert_eq!(swap(&[child, root, leaf]), "chain-broken", "reordered");
    assert_eq!(swap(&[root, leaf]), "chain-broken", "the middle is cut out");
    assert_eq!(swap(&[child, leaf]), "chain-broken", "the root is cut off");
    assert_eq!(swap(&[leaf]), "chain-broken", "the leaf alone");
    assert_eq!(swap(&[root, root]), "chain-broken", "the root twice");
    let other = mint(Draft { ttl: 200, ..draft(9, 2) }, &key(1)).unwrap();
    assert_eq!(swap(&[&other, child, leaf]), "chain-broken", "under another root");
    assert_eq!(code(&[mint(draft(1, 2), &key(5)).unwrap()]), "untrusted-root");
    assert_eq!(
        code(&[sealed(&root.payload, 5)]),
        "signature-invalid",
        "the name of the root, another's signature"
    );
}

#[test]
fn what_a_child_may_not_do_is_refused_by_name() {
    assert_eq!(changed(|payload| payload.expires_at += 1), "chain-ttl");
    assert_eq!(changed(|payload| payload.gates = None), "chain-widened", "a stripped gate");
    assert_eq!(changed(|payload| payload.gates = Some(Gates::default())), "chain-widened", "an emptied gate");
    assert_eq!(changed(|payload| payload.clearance = Some(30)), "chain-widened", "more clearance");
    assert_eq!(changed(|payload| payload.session_id = None), "session-mismatch", "another session");
    assert_eq!(changed(|payload| payload.min_approvals = Some(1)), "chain-widened", "fewer approvals");
    assert_eq!(
        changed(|payload| payload.required_approvers = Some(vec![public(7), public(9)])),
        "chain-widened"
    );
    assert_eq!(changed(|payload| payload.depth = 2), "chain-broken", "a skipped depth");
    assert_eq!(changed(|payload| payload.parent_hash = Some([0; 32])), "chain-broken", "another parent");
    assert_eq!(changed(|payload| payload.issued_at -= 1), "chain-broken", "older than its parent");
    assert_eq!(changed(|payload| payload.issuer = public(5)), "signature-invalid", "a swapped issuer");
    let widen = |payload: &mut Payload| {
        payload.tools.get_mut(TOOL).unwrap().constraints.insert("path".to_owned(), Constraint::Wildcard);
    };
    assert_eq!(changed(widen), "chain-widened");
    let bare = mint(draft(1, 2), &key(1)).unwrap();
    let mut payload = attenuate(&bare, draft(2, 3), &key(2)).unwrap().payload;
    payload.clearance = Some(50);
    assert_eq!(code(&[bare, sealed(&payload, 2)]), "chain-widened", "clearance out of nowhere");
}

#[test]
fn it_is_good_to_the_last_second_and_not_one_longer() {
    let bytes = three().remove(0).encode();
    let at = |now| Chain::verify(&bytes, &trust(), &Revocations::default(), now);
    at(NOW + 299).unwrap();
    assert_eq!(at(NOW + 300).unwrap_err(), ChainError::Expired { link: 0, at: NOW + 300 });
    at(NOW - 30).unwrap();
    assert_eq!(at(NOW - 31).unwrap_err().code(), "not-yet-valid");
}

#[test]
fn a_revoked_ancestor_takes_its_children_along_even_out_of_the_cache() {
    let links = three();
    let bytes = Warrant::encode_stack(&links);
    let mut cache = ChainCache::new(4);
    let mut revocations = Revocations::default();
    cache.verify(&bytes, &trust(), &revocations, NOW).unwrap();
    assert!(cache.get(&ChainCache::digest(&bytes), &trust(), &revocations, NOW).is_some());
    assert!(cache.get(&ChainCache::digest(&bytes), &trust(), &revocations, NOW + 300).is_none());
    revocations.revoke(Revoked::Warrant(links[1].payload.id));
    assert_eq!(
        cache.verify(&bytes, &trust(), &revocations, NOW).unwrap_err(),
        ChainError::Revoked { link: 1 }
    );
    for revoked in [Revoked::Key(public(2)), Revoked::All { until: NOW }] {
        let revocations = Revocations::restore(7, [revoked]);
        assert_eq!(
            cache.verify(&bytes, &trust(), &revocations, NOW).unwrap_err(),
            ChainError::Revoked { link: 0 }
        );
    }
    let later =
        Revocations::restore(7, [Revoked::All { until: NOW - 1 }, Revoked::Agent("other".to_owned())]);
    cache.verify(&bytes, &trust(), &later, NOW).unwrap();
}

#[test]
fn only_the_holder_proves_and_only_for_this_call_here_and_now() {
    let chain = verify(&Warrant::encode_stack(&three())).unwrap();
    let args = read_args(r#"{"path": "/data/a"}"#).unwrap();
    let other = read_args(r#"{"path": "/data/b"}"#).unwrap();
    let claim = Claim { warrant: id(3), tool: TOOL, args: &args };
    let judge =
        |proof: &Proof, claim: &Claim<'_>, now| proof.verify(chain.holder(), claim, &HERE, now).map(drop);
    let v1 = Proof::sign_v1(&key(4), &claim, NOW);
    let v2 = Proof::sign_v2(&key(4), &claim, &HERE, [1; 16], NOW, 60);
    for proof in [&v1, &v2] {
        assert_eq!(Proof::decode(&proof.encode()).unwrap(), *proof);
        assert_eq!(judge(proof, &claim, NOW), Ok(()));
        assert_eq!(judge(proof, &Claim { args: &other, ..claim }, NOW), Err(ProofError::Invalid));
        assert_eq!(judge(proof, &Claim { tool: "write_file", ..claim }, NOW), Err(ProofError::Invalid));
        assert_eq!(judge(proof, &Claim { warrant: id(2), ..claim }, NOW), Err(ProofError::Invalid));
        assert_eq!(judge(proof, &claim, NOW + 61), Err(ProofError::Expired));
        assert_eq!(judge(proof, &claim, NOW - 60), Err(ProofError::Future));
    }
    let swapped = Proof::sign_v1(&key(3), &claim, NOW);
    assert_eq!(judge(&swapped, &claim, NOW), Err(ProofError::Invalid), "an earlier holder");
    let elsewhere = Audience { server: "other", definition: None };
    assert_eq!(v2.verify(chain.holder(), &claim, &elsewhere, NOW), Err(ProofError::Invalid));
    let of_tool = Audience { server: "", definition: Some(&[1; 32]) };
    assert_eq!(v2.verify(chain.holder(), &claim, &of_tool, NOW), Err(ProofError::Invalid));
    let call = Call::new(TOOL, &args);
    let strict = ProofRules { accept_v1: false };
    assert_eq!(admit(&chain, &call, Credential::Proof(&v1), &[], strict, NOW), Err(ProofError::Version));
    assert_eq!(admit(&chain, &call, Credential::None, &[], strict, NOW), Err(ProofError::Missing));
    let long = Proof::V2 { nonce: [0; 16], issued_at: NOW, expires_at: NOW + 121, signature: [0; 64] };
    assert_eq!(judge(&long, &claim, NOW), Err(ProofError::LivesTooLong));
}

#[test]
fn a_proof_is_good_once() {
    let args = read_args("{}").unwrap();
    let claim = Claim { warrant: id(1), tool: TOOL, args: &args };
    let holder = public(4).verifier().unwrap();
    let proven = Proof::sign_v1(&key(4), &claim, NOW).verify(&holder, &claim, &HERE, NOW).unwrap();
    let mut memory = SpentMemory::new(2);
    memory.spend(proven.key, proven.until, NOW).unwrap();
    assert_eq!(memory.spend(proven.key, proven.until, NOW), Err(SpentError::Again));
    // While the proof would still verify it is remembered.
    let last = (NOW..)
        .take_while(|now| Proof::sign_v1(&key(4), &claim, NOW).verify(&holder, &claim, &HERE, *now).is_ok());
    assert!(last.last().unwrap() < proven.until);
    memory.spend([2; 32], NOW + 10, NOW).unwrap();
    assert_eq!(memory.spend([3; 32], NOW + 10, NOW), Err(SpentError::Full), "full, it forgets nothing");
    memory.spend([3; 32], NOW + 20, NOW + 10).unwrap();
}

#[test]
fn a_session_takes_each_call_once_and_none_that_was_changed() {
    let (mut caller, mut verifier) = (Session::new(&[5; 32], [1; 32]), Session::new(&[5; 32], [1; 32]));
    let (counter, tag) = caller.tag(TOOL, b"{}");
    assert_eq!(verifier.verify(counter, TOOL, b"{ }", &tag), Err(ProofError::Invalid));
    assert_eq!(verifier.verify(counter, "write_file", b"{}", &tag), Err(ProofError::Invalid));
    assert_eq!(verifier.verify(counter + 1, TOOL, b"{}", &tag), Err(ProofError::Invalid));
    assert_eq!(verifier.verify(counter, TOOL, b"{}", &tag), Ok(()));
    assert_eq!(verifier.verify(counter, TOOL, b"{}", &tag), Err(ProofError::Replayed));
    let mut elsewhere = Session::new(&[5; 32], [2; 32]);
    assert_eq!(elsewhere.verify(counter, TOOL, b"{}", &tag), Err(ProofError::Invalid), "another chain");
    assert!(!format!("{caller:?}").contains('5'), "the key is not shown");
}

#[test]
fn no_error_shows_a_key_or_a_signature() {
    let links = three();
    let bytes = Warrant::encode_stack(&links);
    let secrets: Vec<String> = (1..=9)
        .flat_map(|seed| [public(seed).to_hex(), herma_warrant::text_form::to_hex(&[seed; 32])])
        .collect();
    for at in (0..bytes.len()).step_by(3) {
        let mut broken = bytes.clone();
        broken[at] ^= 0x41;
        let Err(error) = verify(&broken) else { continue };
        let shown = format!("{error} {error:?}");
        assert!(secrets.iter().all(|secret| !shown.contains(secret)), "{shown}");
    }
}
