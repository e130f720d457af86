//! No bytes but the holder's own prove a call, and a proof is read in one spelling only.
#![no_main]

use herma_warrant::carrier::{from_headers, from_meta};
use herma_warrant::json::{read_args, read_document};
use herma_warrant::key::{PublicKey, SigningKey, Verifier};
use herma_warrant::proof::{Audience, Claim, Proof, Session};
use herma_warrant::warrant::WarrantId;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

const NOW: u64 = 1_780_000_000;
const HERE: Audience<'static> = Audience { server: "files", definition: None };

static HOLDER: LazyLock<Verifier> =
    LazyLock::new(|| PublicKey::of(&SigningKey::from_bytes(&[2; 32])).verifier().unwrap());

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let args = read_args(&text).unwrap_or_default();
    let claim = Claim { warrant: WarrantId([1; 16]), tool: "read_file", args: &args };
    if let Ok(proof) = Proof::decode(bytes) {
        assert_eq!(proof.encode(), bytes);
        assert!(proof.verify(&HOLDER, &claim, &HERE, NOW).is_err());
    }
    let tag: [u8; 32] = bytes.iter().zip(0..32).fold([0; 32], |mut tag, (byte, at)| {
        tag[at] = *byte;
        tag
    });
    assert!(Session::new(&[7; 32], [1; 32]).verify(1, "read_file", bytes, &tag).is_err());
    let _ = from_headers(text.lines().filter_map(|line| line.split_once(": ")));
    if let Ok(value) = read_document(&text) {
        let _ = from_meta(&value);
    }
});
