//! The vectors that the format publishes, with the seeds they were made from.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use herma_warrant::approval::{Approved, SignedApproval, request_hash};
use herma_warrant::cbor::Reader;
use herma_warrant::constraint::{Constraint, Shlex};
use herma_warrant::error::ChainError;
use herma_warrant::json::read_args;
use herma_warrant::key::{PublicKey, SigningKey};
use herma_warrant::proof::{Audience, Claim, Proof};
use herma_warrant::revocation::{RevocationList, Revocations, Revoked};
use herma_warrant::text_form::{from_base64, from_hex};
use herma_warrant::value::Value;
use herma_warrant::verify::{Chain, Trust};
use herma_warrant::warrant::{Payload, Warrant};
use serde_json::Value as Json;

const NOWHERE: Audience<'static> = Audience { server: "", definition: None };

fn file(name: &str) -> Json {
    let path = format!("{}/../fixtures/warrants/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn seed(byte: u8) -> SigningKey {
    SigningKey::from_bytes(&[byte; 32])
}

fn trust(key: &SigningKey) -> Trust {
    Trust::new(vec![PublicKey::of(key).verifier().unwrap()])
}

/// Payload and signature pairs of a section, in order.
fn pairs(section: &str) -> Vec<(Vec<u8>, Vec<u8>, bool)> {
    let vectors = file("tenuo-vectors.json");
    let mut payload = None;
    let mut pairs = Vec::new();
    for item in vectors["items"].as_array().unwrap() {
        let label = item["label"].as_str().unwrap();
        if !item["section"].as_str().unwrap().starts_with(section) || item["kind"] != "hex" {
            continue;
        }
        let bytes = || from_hex(item["data"].as_str().unwrap()).unwrap();
        if label.contains("Payload CBOR") {
            payload = Some(bytes());
        } else if label.starts_with("Signature") || label.contains("Invalid Child Signature") {
            pairs.push((payload.take().unwrap(), bytes(), item["verifies"] == true));
        }
    }
    pairs
}

/// The envelope around a payload and its signature.
fn envelope(payload: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut out = herma_warrant::cbor::Writer::new();
    out.array(3).unsigned(1).bytes(payload).array(2).unsigned(1).bytes(signature);
    out.finish()
}

fn stack(pairs: &[(Vec<u8>, Vec<u8>, bool)]) -> Vec<u8> {
    let mut out = herma_warrant::cbor::Writer::new();
    out.array(pairs.len());
    for (payload, signature, _) in pairs {
        out.raw(&envelope(payload, signature));
    }
    out.finish()
}

fn verify(section: &str, now: u64) -> Result<Chain, ChainError> {
    let pairs = pairs(section);
    assert!(!pairs.is_empty(), "no vectors in {section}");
    Chain::verify(&stack(&pairs), &trust(&seed(1)), &Revocations::default(), now)
}

const THEN: u64 = 1_704_067_210;

#[test]
fn every_published_payload_reads_and_writes_back_to_the_same_bytes() {
    let all = pairs("A.");
    assert_eq!(all.len(), 44);
    for (bytes, _, _) in all {
        let payload = match Payload::decode(&bytes) {
            Ok(payload) => payload,
            Err(error) => panic!("{error}: {bytes:02x?}"),
        };
        assert_eq!(payload.encode(), bytes, "{payload:?}");
    }
}

#[test]
fn every_published_signature_verifies_but_the_one_that_is_not_meant_to() {
    let mut held = 0;
    for (payload, signature, verifies) in pairs("A.") {
        let parsed = Payload::decode(&payload).unwrap();
        let key = parsed.issuer.verifier().unwrap();
        let message = [b"tenuo-warrant-v1".as_slice(), &[1], &payload].concat();
        assert_eq!(key.holds(&message, &signature.try_into().unwrap()), verifies);
        held += usize::from(verifies);
    }
    assert_eq!(held, 43);
}

#[test]
fn the_published_chain_of_three_verifies() {
    let chain = verify("A.3 ", THEN).unwrap();
    assert_eq!(chain.links().len(), 3);
    let stack = file("tenuo-vectors.json")["items"].as_array().unwrap().clone();
    let published = stack.iter().find(|item| item["label"] == "WarrantStack CBOR (851 bytes)").unwrap();
    let bytes = from_hex(published["data"].as_str().unwrap()).unwrap();
    let chain = Chain::verify(&bytes, &trust(&seed(1)), &Revocations::default(), THEN).unwrap();
    assert_eq!(Warrant::encode_stack(chain.links()), bytes);
}

#[test]
fn the_published_attacks_are_refused_for_what_they_are() {
    let expected = [
        ("A.10 ", "chain-broken"),
        ("A.11 ", "chain-widened"),
        ("A.12 ", "chain-broken"),
        ("A.13 ", "chain-ttl"),
        ("A.15 ", "chain-widened"),
        ("A.17 ", "chain-widened"),
    ];
    for (section, code) in expected {
        let error = verify(section, THEN).expect_err(section);
        assert_eq!(error.code(), code, "{section}: {error}");
    }
    let (payload, signature, _) = &pairs("A.14 ")[0];
    let forged = envelope(payload, signature);
    let error = Chain::verify(&forged, &trust(&seed(1)), &Revocations::default(), THEN).unwrap_err();
    assert_eq!(error, ChainError::Signature { link: 0 });
}

#[test]
fn the_published_expired_warrant_is_expired() {
    assert_eq!(verify("A.5 ", 1_704_067_202).unwrap_err().code(), "expired");
    verify("A.5 ", 1_704_067_200).unwrap();
}

#[test]
fn a_published_revocation_list_revokes_the_child_of_its_vector() {
    let vectors = file("tenuo-vectors.json");
    let find = |label: &str| {
        let items = vectors["items"].as_array().unwrap();
        let item = items.iter().find(|item| item["label"].as_str().unwrap().starts_with(label)).unwrap();
        from_hex(item["data"].as_str().unwrap()).unwrap()
    };
    let list = RevocationList::decode(&find("Complete SignedRevocationList")).unwrap();
    let mut revocations = Revocations::default();
    let revoker = PublicKey::of(&seed(1)).verifier().unwrap();
    revocations.adopt(&list, &revoker).unwrap();
    let bytes = stack(&pairs("A.22 "));
    let error = Chain::verify(&bytes, &trust(&seed(1)), &revocations, THEN).unwrap_err();
    assert_eq!(error, ChainError::Revoked { link: 1 });
    let signed = SignedApproval::decode(&find("Complete SignedApproval Envelope")).unwrap();
    let hash = from_hex("586ebf1bfceaa54616f1bcf0d90bc7729a1c2b9a512c175bd65f98f6ef1443d1").unwrap();
    let approval = signed.verify(&hash.try_into().unwrap(), 1_704_067_201).unwrap();
    assert_eq!(approval.external_id, "arn:aws:iam::123456789012:user/security-admin");
    revocations.revoke(Revoked::All { until: THEN });
    assert!(verify("A.1 ", THEN).is_ok());
}

#[test]
fn every_published_proof_is_made_and_verified_byte_for_byte() {
    let file = file("pop_canonical.json");
    let key = |name: &str| {
        let bytes = from_hex(file[name].as_str().unwrap()).unwrap();
        SigningKey::from_bytes(&bytes.try_into().unwrap())
    };
    let holder = key("holder_priv_hex");
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 11);
    for case in cases {
        let bytes = from_base64(case["warrant_b64"].as_str().unwrap()).unwrap();
        let warrant = Warrant::decode(&bytes).unwrap();
        assert_eq!(warrant.encode(), bytes);
        let args = read_args(&case["args"].to_string()).unwrap();
        let claim = Claim { warrant: warrant.payload.id, tool: case["tool"].as_str().unwrap(), args: &args };
        let now = case["timestamp"].as_u64().unwrap();
        let proof = Proof::sign_v1(&holder, &claim, now);
        let expected = from_hex(case["expected_signature_hex"].as_str().unwrap()).unwrap();
        assert_eq!(proof.encode(), expected, "{}", case["name"]);
        let holder = PublicKey::of(&holder).verifier().unwrap();
        proof.verify(&holder, &claim, &NOWHERE, now).unwrap();
    }
}

#[test]
fn the_published_envelope_of_a_call_holds_with_its_delegation_and_approval() {
    let file = file("tenuo-meta-conformance.json");
    let delegated = &file["delegated"];
    let bytes = from_base64(delegated["warrant"].as_str().unwrap()).unwrap();
    let links = Warrant::decode_stack(&bytes).unwrap();
    let root = links[0].payload.issuer.verifier().unwrap();
    let now = links[1].payload.issued_at;
    let chain = Chain::verify(&bytes, &Trust::new(vec![root]), &Revocations::default(), now).unwrap();
    let args = read_args(delegated["args_json"].as_str().unwrap()).unwrap();
    let claim = Claim { warrant: links[1].payload.id, tool: "read_file", args: &args };
    let proof = Proof::decode(&from_base64(delegated["signature"].as_str().unwrap()).unwrap()).unwrap();
    proof.verify(chain.holder(), &claim, &NOWHERE, 1_700_000_000).unwrap();
    let approval = from_base64(delegated["approvals"][0].as_str().unwrap()).unwrap();
    let approval = SignedApproval::decode(&approval).unwrap();
    let hash = request_hash(&claim, &chain.holder().public_key());
    assert_eq!(Approved::of(std::slice::from_ref(&approval), &hash, 1_700_000_010).refused, None);
    assert_eq!(SignedApproval::decode(&approval.encode()).unwrap(), approval);
}

#[test]
fn arguments_that_mean_the_same_prove_the_same_and_others_do_not() {
    let file = file("tenuo-meta-conformance.json");
    for case in file["valid"].as_array().unwrap() {
        let read = |name: &str| read_args(case[name].as_str().unwrap()).unwrap();
        assert_eq!(read("args"), read("equivalent"));
        assert_ne!(read("args"), read("tampered"));
    }
    for text in file["invalid_arguments"].as_array().unwrap() {
        assert!(read_args(text.as_str().unwrap()).is_err(), "{text}");
    }
}

#[test]
fn published_command_lines_get_the_published_verdict_or_a_stricter_one() {
    // We take the exact program only, and no comment.
    let stricter = ["basename after normpath", "comment hides a later operator"];
    for case in file("shlex.json")["cases"].as_array().unwrap() {
        let allow =
            case["allow"].as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect();
        let constraint = Constraint::Shlex(Shlex { allow });
        let name = case["name"].as_str().unwrap();
        let verdict = constraint.check(&Value::from(case["command"].as_str().unwrap())).word();
        let expected = case["matches"] == true && !stricter.contains(&name);
        assert_eq!(verdict == "allow", expected, "{name}: {verdict}");
    }
}

#[test]
fn a_constraint_of_an_unknown_kind_reads_and_denies_by_name() {
    let bytes = from_hex("821880a166637573746f6d6464617461").unwrap();
    let mut payload = Payload::decode(&pairs("A.1 ")[0].0).unwrap();
    let written = payload.encode();
    let at = written.windows(3).position(|window| window == [0x82, 0x10, 0xf6]).unwrap();
    let spliced = [&written[..at], &bytes, &written[at + 3..]].concat();
    payload = Payload::decode(&spliced).unwrap();
    let args = read_args(r#"{"path": "/data/x"}"#).unwrap();
    let misfit = payload.tools["read_file"].check(&args).unwrap_err();
    assert_eq!(misfit.code, "unknown-constraint");
    assert!(Reader::new(&from_hex("a200010002").unwrap()).skip(8).is_err());
}
