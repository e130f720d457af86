use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use ed25519_dalek::{Signer, SigningKey};
use herma_warrant::cbor::Writer;

use super::*;

const CHALLENGE: [u8; 32] = [8; 32];
const ORIGIN: &str = "http://herma.localhost:4590";

fn names() -> Names {
    Names::new(&["herma.localhost".into()], 4590, false)
}

fn client(ceremony: &str, challenge: &[u8], origin: &str) -> Vec<u8> {
    json!({ "type": ceremony, "challenge": base64url(challenge), "origin": origin, "crossOrigin": false })
        .to_string()
        .into_bytes()
}

fn authenticator(host: &str, flags: u8, counter: u32) -> Vec<u8> {
    let mut data = Digest::of(host.as_bytes()).bytes().to_vec();
    data.push(flags);
    data.extend(counter.to_be_bytes());
    data
}

/// An authenticator of our own.
struct Device(SigningKey);

impl Device {
    fn new() -> Self {
        Self(SigningKey::from_bytes(&[4; 32]))
    }

    fn cose(&self) -> Vec<u8> {
        let mut key = Writer::new();
        key.map(4).unsigned(1).unsigned(1).unsigned(3).integer(-8).integer(-1).unsigned(6);
        key.integer(-2).bytes(self.0.verifying_key().as_bytes());
        key.finish()
    }

    fn register(&self, flags: u8, origin: &str) -> Registration {
        let mut data = authenticator("herma.localhost", flags, 0);
        data.extend([0; 16]);
        data.extend(3u16.to_be_bytes());
        data.extend(b"abc");
        data.extend(self.cose());
        let mut object = Writer::new();
        object.map(3).text("fmt").text("none").text("attStmt").map(0).text("authData").bytes(&data);
        Registration {
            id: base64url(b"abc"),
            client_data: base64url(&client("webauthn.create", &CHALLENGE, origin)),
            attestation_object: base64url(&object.finish()),
        }
    }

    fn assert(&self, client: &[u8], data: &[u8]) -> Assertion {
        let message = [data, Digest::of(client).bytes()].concat();
        Assertion {
            id: base64url(b"abc"),
            client_data: base64url(client),
            authenticator_data: base64url(data),
            signature: base64url(&self.0.sign(&message).to_bytes()),
        }
    }
}

#[test]
fn a_passkey_is_made_and_then_known() {
    let device = Device::new();
    let made = device.register(0b100_0101, ORIGIN).check(&names(), &CHALLENGE).unwrap();
    assert_eq!((made.id.as_str(), made.counter), ("YWJj", 0));
    let answer = device
        .assert(&client("webauthn.get", &CHALLENGE, ORIGIN), &authenticator("herma.localhost", 0b101, 7));
    assert_eq!(answer.check(&names(), &CHALLENGE, &made.key), Ok(7));
}

#[test]
fn a_passkey_that_knew_nobody_or_was_asked_elsewhere_is_not_taken() {
    let device = Device::new();
    let refused = |registration: Registration| registration.check(&names(), &CHALLENGE).unwrap_err();
    assert_eq!(refused(device.register(0b100_0001, ORIGIN)), PasskeyError::Unverified);
    assert_eq!(refused(device.register(0b101, ORIGIN)), PasskeyError::Unreadable);
    assert_eq!(refused(device.register(0b100_0101, "http://evil.example")), PasskeyError::Origin);
    let other_id = Registration { id: "AAAA".into(), ..device.register(0b100_0101, ORIGIN) };
    assert_eq!(refused(other_id), PasskeyError::Unreadable);
    let challenged = device.register(0b100_0101, ORIGIN).check(&names(), &[9; 32]);
    assert_eq!(challenged, Err(PasskeyError::Challenge));
}

#[test]
fn an_assertion_is_for_one_question_one_page_and_one_host() {
    let device = Device::new();
    let key = PublicKey::read_cose(&mut Reader::new(&device.cose())).unwrap();
    let here = authenticator("herma.localhost", 0b101, 7);
    let check = |client: &[u8], data: &[u8]| {
        device.assert(client, data).check(&names(), &CHALLENGE, &key).unwrap_err()
    };
    let good = client("webauthn.get", &CHALLENGE, ORIGIN);
    assert_eq!(check(&client("webauthn.get", &[1; 32], ORIGIN), &here), PasskeyError::Challenge);
    assert_eq!(
        check(&client("webauthn.get", &CHALLENGE, "http://localhost:4590"), &here),
        PasskeyError::Origin
    );
    assert_eq!(check(&client("webauthn.create", &CHALLENGE, ORIGIN), &here), PasskeyError::Unreadable);
    assert_eq!(check(&good, &authenticator("localhost", 0b101, 7)), PasskeyError::Party);
    assert_eq!(check(&good, &authenticator("herma.localhost", 0b001, 7)), PasskeyError::Unverified);
    assert_eq!(check(&good, &authenticator("herma.localhost", 0b1_0101, 7)), PasskeyError::Unreadable);
    let mut forged = device.assert(&good, &here);
    forged.authenticator_data = base64url(&authenticator("herma.localhost", 0b101, 8));
    assert_eq!(forged.check(&names(), &CHALLENGE, &key), Err(PasskeyError::Signature));
}

#[test]
fn a_p256_passkey_signs_as_most_devices_do() {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref()).unwrap();
    let point = pair.public_key().as_ref();
    let mut cose = Writer::new();
    cose.map(5).unsigned(1).unsigned(2).unsigned(3).integer(-7).integer(-1).unsigned(1);
    cose.integer(-2).bytes(&point[1..33]).integer(-3).bytes(&point[33..]);
    let cose = cose.finish();
    let key = PublicKey::read_cose(&mut Reader::new(&cose)).unwrap();
    let client = client("webauthn.get", &CHALLENGE, ORIGIN);
    let data = authenticator("herma.localhost", 0b1_1101, 0);
    let message = [data.as_slice(), Digest::of(&client).bytes()].concat();
    let answer = Assertion {
        id: "x".into(),
        client_data: base64url(&client),
        authenticator_data: base64url(&data),
        signature: base64url(pair.sign(&random, &message).unwrap().as_ref()),
    };
    assert_eq!(answer.check(&names(), &CHALLENGE, &key), Ok(0));
}

#[test]
fn a_key_off_its_curve_is_none() {
    let mut cose = Writer::new();
    cose.map(5).unsigned(1).unsigned(2).unsigned(3).integer(-7).integer(-1).unsigned(1);
    cose.integer(-2).bytes(&[1; 32]).integer(-3).bytes(&[1; 32]);
    let cose = cose.finish();
    assert_eq!(PublicKey::read_cose(&mut Reader::new(&cose)), Err(KeyError::Weak));
}
