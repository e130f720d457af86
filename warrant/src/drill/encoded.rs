//! Attacks on the bytes themselves.

use super::stage::*;
use crate::cbor::Writer;
use crate::constraint::Constraint;
use crate::decide::Call;
use crate::key::PublicKey;
use crate::warrant::Warrant;

/// The signed bytes of a root, changed before they are signed again.
pub(super) fn resigned(change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Option<Vec<u8>> {
    let mut root = root()?;
    root.signed = change(root.signed);
    root.signature = crate::key::sign(&key(ROOT), &crate::warrant::message(&root.signed));
    Some(root.encode())
}

pub(super) fn unknown_field() -> Option<Verdict> {
    presented_bytes(&resigned(|mut bytes| {
        if let Some(first) = bytes.first_mut() {
            *first += 1;
        }
        bytes.extend_from_slice(&[19, 1]);
        bytes
    })?)
}

pub(super) fn unknown_version() -> Option<Verdict> {
    presented_bytes(&resigned(|mut bytes| {
        if let Some(version) = bytes.get_mut(2) {
            *version = 2;
        }
        bytes
    })?)
}

pub(super) fn unknown_algorithm() -> Option<Verdict> {
    let mut bytes = root()?.encode();
    let at = bytes.len().checked_sub(67)?;
    *bytes.get_mut(at)? = 2;
    presented_bytes(&bytes)
}

pub(super) fn unknown_constraint() -> Option<Verdict> {
    let mut payload = root()?.payload;
    capabilities(&mut payload, |it| {
        it.constraints.insert("path".to_owned(), Constraint::Unknown { id: 40, item: vec![0xf6] });
    });
    called(Warrant::sign(payload, &key(ROOT)), &Call::new(TOOL, &inside()?))
}

pub(super) fn critical_extension() -> Option<Verdict> {
    let mut payload = root()?.payload;
    payload.extensions.insert("tenuo.rate_limit".to_owned(), vec![1]);
    presented(&[Warrant::sign(payload, &key(ROOT))])
}

pub(super) fn indefinite() -> Option<Verdict> {
    let bytes = root()?.encode();
    let body = bytes.get(1..)?;
    presented_bytes(&[&[0x9f], body, &[0xff]].concat())
}

pub(super) fn trailing_bytes() -> Option<Verdict> {
    presented_bytes(&[root()?.encode(), vec![0]].concat())
}

pub(super) fn duplicate_key() -> Option<Verdict> {
    let mut out = Writer::new();
    out.text(TOOL);
    capability().write(&mut out);
    let entry = out.finish();
    presented_bytes(&resigned(|bytes| {
        let Some(at) = bytes.windows(entry.len()).position(|window| window == entry) else { return bytes };
        let (head, tail) = bytes.split_at(at);
        let mut twice = [head, &entry, tail].concat();
        if let Some(count) = twice.get_mut(at.saturating_sub(1)) {
            *count += 1;
        }
        twice
    })?)
}

pub(super) fn too_large() -> Option<Verdict> {
    let mut root = root()?;
    root.signed = vec![0; crate::warrant::MAX_WARRANT + 1];
    presented(&[root])
}

pub(super) fn too_many_links() -> Option<Verdict> {
    presented(&vec![root()?; 65])
}

pub(super) fn too_nested() -> Option<Verdict> {
    let mut payload = root()?.payload;
    let deep = (0..33).fold(Constraint::Wildcard, |inner, _| Constraint::Not(Box::new(inner)));
    capabilities(&mut payload, |it| {
        it.constraints.insert("path".to_owned(), deep.clone());
    });
    presented(&[Warrant::sign(payload, &key(ROOT))])
}

pub(super) fn weak_key() -> Option<Verdict> {
    let mut payload = root()?.payload;
    payload.holder = PublicKey::from_bytes([0; 32]);
    presented(&[Warrant::sign(payload, &key(ROOT))])
}
