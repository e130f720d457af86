//! What a warrant costs, beside one raw signature check and beside the `tenuo` crate, as ratios of one run.
//! `cargo bench -p herma-warrant`.
#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to measure")]

use divan::{Bencher, black_box};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use herma_warrant::admit::{Credential, ProofRules, admit};
use herma_warrant::capability::Capability;
use herma_warrant::constraint::{Constraint, Range, Subpath};
use herma_warrant::decide::{Call, Outcome};
use herma_warrant::json::read_args;
use herma_warrant::key::PublicKey;
use herma_warrant::mint::{Draft, attenuate, mint};
use herma_warrant::proof::{Claim, Proof, Session};
use herma_warrant::revocation::Revocations;
use herma_warrant::value::{Args, Value};
use herma_warrant::verify::{Chain, ChainCache, Trust};
use herma_warrant::warrant::{Warrant, WarrantId};
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

const NOW: u64 = 1_780_000_000;
const TOOL: &str = "read_file";
const RULES: ProofRules = ProofRules { accept_v1: true };

fn main() {
    let quick = std::env::args().any(|argument| argument == "--test");
    print_ratios(if quick { 1 } else { 400 });
    divan::main();
}

fn key(byte: u8) -> SigningKey {
    SigningKey::from_bytes(&[byte; 32])
}

fn capability() -> Capability {
    let constraints = BTreeMap::from([
        ("path".to_owned(), Constraint::Subpath(Subpath::new("/data"))),
        ("mode".to_owned(), Constraint::Exact(Value::from("text"))),
        ("limit".to_owned(), Constraint::Range(Range::new(Some(0.into()), Some(1000.into())))),
    ]);
    Capability { constraints, ..Capability::default() }
}

fn draft(number: u8, holder: &SigningKey) -> Draft {
    let mut draft = Draft::new(WarrantId::new(NOW * 1000, [number; 10]), PublicKey::of(holder), NOW);
    draft.tools.insert(TOOL.to_owned(), capability());
    draft
}

/// Chains of so many links, from key 1 to the key one after the last link.
fn links(count: u8) -> Vec<Warrant> {
    let mut links = vec![mint(draft(1, &key(2)), &key(1)).unwrap()];
    for number in 2..=count {
        let parent = links.last().unwrap();
        links.push(attenuate(parent, draft(number, &key(number + 1)), &key(number)).unwrap());
    }
    links
}

/// One call and all that both verifiers need for it.
struct Scene {
    bytes: Vec<u8>,
    trust: Trust,
    revocations: Revocations,
    args: Args,
    proof: Proof,
    chain: Chain,
    theirs: tenuo::Authorizer,
    their_args: HashMap<String, tenuo::ConstraintValue>,
    their_proof: tenuo::Signature,
}

impl Scene {
    fn new(count: u8) -> Self {
        let links = links(count);
        let bytes = Warrant::encode_stack(&links);
        let trust = Trust::new(vec![PublicKey::of(&key(1)).verifier().unwrap()]);
        let revocations = Revocations::default();
        let args =
            read_args(r#"{"path": "/data/reports/2026/q3.txt", "mode": "text", "limit": 200}"#).unwrap();
        let id = links.last().unwrap().payload.id;
        let proof = Proof::sign_v1(&key(count + 1), &Claim { warrant: id, tool: TOOL, args: &args }, NOW);
        let chain = Chain::verify(&bytes, &trust, &revocations, NOW).unwrap();
        let root = tenuo::PublicKey::from_bytes(&key(1).verifying_key().to_bytes()).unwrap();
        let their_args = HashMap::from([
            ("path".to_owned(), "/data/reports/2026/q3.txt".into()),
            ("mode".to_owned(), "text".into()),
            ("limit".to_owned(), 200i64.into()),
        ]);
        let their_proof = tenuo::Signature::from_bytes(&proof.encode().try_into().unwrap()).unwrap();
        let theirs = tenuo::Authorizer::new().with_trusted_root(root);
        Self { bytes, trust, revocations, args, proof, chain, theirs, their_args, their_proof }
    }

    fn admit(&self, chain: &Chain) {
        let call = Call::new(TOOL, &self.args);
        let admission = admit(chain, &call, Credential::Proof(&self.proof), &[], RULES, NOW).unwrap();
        assert_eq!(admission.decision.outcome, Outcome::Authorised);
    }

    fn cold(&self) {
        let chain = Chain::verify(black_box(&self.bytes), &self.trust, &self.revocations, NOW).unwrap();
        self.admit(&chain);
    }

    fn warm(&self, cache: &ChainCache) {
        let digest = ChainCache::digest(black_box(&self.bytes));
        self.admit(&cache.get(&digest, &self.trust, &self.revocations, NOW).unwrap());
    }

    fn cache(&self) -> ChainCache {
        let mut cache = ChainCache::new(16);
        cache.verify(&self.bytes, &self.trust, &self.revocations, NOW).unwrap();
        cache
    }

    fn theirs_cold(&self) {
        let stack = tenuo::wire::decode_stack(black_box(&self.bytes)).unwrap();
        let now = i64::try_from(NOW).unwrap();
        self.theirs
            .check_chain_with_pop_args_as_of(
                &stack.0,
                TOOL,
                &self.their_args,
                &self.their_args,
                Some(&self.their_proof),
                &[],
                now,
            )
            .unwrap();
    }

    fn constraints(&self) {
        for link in self.chain.links() {
            let capability = link.payload.capability(TOOL).unwrap();
            assert_eq!(capability.check(black_box(&self.args)), Ok(None));
        }
    }
}

/// A message as long as the proof's.
fn raw() -> (VerifyingKey, Vec<u8>, ed25519_dalek::Signature) {
    let message = vec![7u8; 200];
    (key(1).verifying_key(), message.clone(), key(1).sign(&message))
}

/// The least microseconds that one run took, over many batches: what is left is noise of the machine.
fn least(batches: u32, mut run: impl FnMut()) -> f64 {
    (0..batches).map(|_| batch(&mut run)).fold(f64::INFINITY, f64::min)
}

/// The same of two, taken in turns: what slows the machine down slows both.
fn least_of_two(batches: u32, mut one: impl FnMut(), mut other: impl FnMut()) -> (f64, f64) {
    (0..batches).fold((f64::INFINITY, f64::INFINITY), |(least_one, least_other), _| {
        (least_one.min(batch(&mut one)), least_other.min(batch(&mut other)))
    })
}

fn batch(run: &mut impl FnMut()) -> f64 {
    let begun = Instant::now();
    (0..8).for_each(|_| run());
    begun.elapsed().as_secs_f64() * 1e6 / 8.0
}

fn print_ratios(batches: u32) {
    let (verifier, message, signature) = raw();
    let signer = key(1);
    let (one, three) = (Scene::new(1), Scene::new(3));
    let cache = three.cache();
    let line = |what: &str, (ours, other): (f64, f64), of: &str, most: f64| {
        println!("{what:<28} {ours:>8.2} us = {:.2} of {of} ({other:.1} us); at most {most}", ours / other);
    };
    let verify = || verifier.verify_strict(black_box(&message), &signature).unwrap();
    let sign = || {
        black_box(signer.sign(black_box(&message)));
    };
    line("cold, one link", least_of_two(batches, || one.cold(), || one.theirs_cold()), "tenuo", 0.65);
    line("cold, three links", least_of_two(batches, || three.cold(), || three.theirs_cold()), "tenuo", 0.65);
    line("warm, three links", least_of_two(batches, || three.warm(&cache), verify), "verify_strict", 1.15);
    let ready = draft(1, &key(2));
    let minted = least_of_two(batches, || drop(black_box(mint(ready.clone(), &signer).unwrap())), sign);
    line("mint", minted, "sign", 2.0);
    let (mut ours, mut peer) = (Session::new(&[9; 32], [1; 32]), Session::new(&[9; 32], [1; 32]));
    let body = br#"{"path": "/data/reports/2026/q3.txt", "mode": "text", "limit": 200}"#;
    let tagged_and_verified = least(batches, || {
        let (counter, tag) = ours.tag(TOOL, body);
        peer.verify(counter, TOOL, body, &tag).unwrap();
    });
    line("session MAC", (tagged_and_verified / 2.0, 1.0), "a microsecond", 1.0);
    line("3 constraints on 3 links", (least(batches, || three.constraints()), 1.0), "a microsecond", 1.0);
}

#[divan::bench]
fn raw_verify_strict(bencher: Bencher<'_, '_>) {
    let (verifier, message, signature) = raw();
    bencher.bench(|| verifier.verify_strict(black_box(&message), &signature));
}

#[divan::bench(args = [1, 3])]
fn cold(bencher: Bencher<'_, '_>, links: u8) {
    let scene = Scene::new(links);
    bencher.bench(|| scene.cold());
}

#[divan::bench(args = [1, 3])]
fn cold_in_tenuo(bencher: Bencher<'_, '_>, links: u8) {
    let scene = Scene::new(links);
    bencher.bench(|| scene.theirs_cold());
}

#[divan::bench(args = [1, 3])]
fn warm(bencher: Bencher<'_, '_>, links: u8) {
    let scene = Scene::new(links);
    let cache = scene.cache();
    bencher.bench(|| scene.warm(&cache));
}

#[divan::bench]
fn parse_three_links(bencher: Bencher<'_, '_>) {
    let scene = Scene::new(3);
    bencher.bench(|| Warrant::decode_stack(black_box(&scene.bytes)));
}

#[divan::bench]
fn constraints_of_three_links(bencher: Bencher<'_, '_>) {
    let scene = Scene::new(3);
    bencher.bench(|| scene.constraints());
}
