//! Nothing but the very bytes of a signed chain verifies.
#![no_main]

use herma_warrant::capability::Capability;
use herma_warrant::key::{PublicKey, SigningKey};
use herma_warrant::mint::{Draft, attenuate, mint};
use herma_warrant::revocation::Revocations;
use herma_warrant::verify::{Chain, Trust};
use herma_warrant::warrant::{Warrant, WarrantId};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

const NOW: u64 = 1_780_000_000;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

static STAGE: LazyLock<(Vec<u8>, Trust)> = LazyLock::new(|| {
    let mut draft = Draft::new(WarrantId([1; 16]), PublicKey::of(&key(2)), NOW);
    draft.tools.insert("read_file".to_owned(), Capability::default());
    let root = mint(draft, &key(1)).unwrap();
    let inherited = Draft::inherit(&root.payload, WarrantId([2; 16]), PublicKey::of(&key(3)), NOW);
    let child = attenuate(&root, inherited, &key(2)).unwrap();
    let trust = Trust::new(vec![PublicKey::of(&key(1)).verifier().unwrap()]);
    (Warrant::encode_stack(&[root, child]), trust)
});

fuzz_target!(|edits: &[u8]| {
    let (good, trust) = &*STAGE;
    let judge = |bytes: &[u8]| Chain::verify(bytes, trust, &Revocations::default(), NOW);
    assert!(judge(edits).is_err());
    // Three bytes are one edit: where, and what is put there.
    let mut bytes = good.clone();
    for edit in edits.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([edit[0], edit[1]])) % bytes.len();
        match edit[2] {
            0 if bytes.len() > 1 => drop(bytes.remove(at)),
            1 => bytes.insert(at, edit[0]),
            other => bytes[at] ^= other,
        }
    }
    if bytes != *good {
        assert!(judge(&bytes).is_err());
    }
});
