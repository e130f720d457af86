//! Where a request carries its warrant: in headers, or in `_meta.tenuo` of an MCP call. One of them, once.

use crate::approval::{MAX_APPROVALS, SignedApproval};
use crate::proof::Proof;
use crate::text_form::from_base64;
use crate::value::Value;
use crate::warrant::MAX_STACK;

pub const WARRANT: &str = "x-tenuo-warrant";
pub const PROOF: &str = "x-tenuo-pop";
pub const APPROVALS: &str = "x-tenuo-approvals";
/// Everything under this prefix is stripped before a request leaves for a server that did not ask for it.
pub const PREFIX: &str = "x-tenuo-";
/// The member of `_meta`, stripped likewise.
pub const META: &str = "tenuo";
/// A text this long decodes to the largest stack.
const LONGEST: usize = MAX_STACK / 3 * 4 + 4;

/// What a request shows. Nothing of it has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    pub warrant: Vec<u8>,
    pub proof: Option<Proof>,
    pub approvals: Vec<SignedApproval>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CarrierError {
    #[error("the header `{0}` comes twice")]
    DuplicateHeader(&'static str),
    #[error("the request carries different warrants in different places")]
    Conflict,
    #[error("`{0}` comes without a warrant")]
    NoWarrant(&'static str),
    #[error("the {0} cannot be read")]
    Malformed(&'static str),
    #[error("the proof cannot be read")]
    Proof,
}

impl CarrierError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::DuplicateHeader(_) => "duplicate-header",
            Self::Conflict => "conflicting-carriers",
            Self::NoWarrant(_) | Self::Malformed(_) => "malformed-envelope",
            Self::Proof => "proof-invalid",
        }
    }
}

fn bytes(text: &str, what: &'static str) -> Result<Vec<u8>, CarrierError> {
    let decoded = if text.len() > LONGEST { None } else { from_base64(text) };
    decoded.filter(|bytes| !bytes.is_empty()).ok_or(CarrierError::Malformed(what))
}

fn proof(text: &str) -> Result<Proof, CarrierError> {
    from_base64(text).and_then(|bytes| Proof::decode(&bytes).ok()).ok_or(CarrierError::Proof)
}

/// Reads the headers of a request, in any case. Without any of them there is nothing.
pub fn from_headers<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Option<Carried>, CarrierError> {
    let mut found: [(&'static str, Option<&str>); 3] = [(WARRANT, None), (PROOF, None), (APPROVALS, None)];
    for (name, text) in headers {
        let Some((known, slot)) = found.iter_mut().find(|(known, _)| name.eq_ignore_ascii_case(known)) else {
            continue;
        };
        // The same text twice is refused as well: the next reader may join the two.
        if slot.replace(text).is_some() {
            return Err(CarrierError::DuplicateHeader(known));
        }
    }
    let [(_, warrant), (_, pop), (_, approvals)] = found;
    let Some(warrant) = warrant else {
        let left = found.iter().find(|(_, text)| text.is_some());
        return left.map_or(Ok(None), |(name, _)| Err(CarrierError::NoWarrant(name)));
    };
    let approvals = match approvals {
        None => Vec::new(),
        Some(text) => SignedApproval::decode_list(&bytes(text, "approvals")?)
            .map_err(|_| CarrierError::Malformed("approvals"))?,
    };
    Ok(Some(Carried { warrant: bytes(warrant, "warrant")?, proof: pop.map(proof).transpose()?, approvals }))
}

/// Reads the value of `_meta.tenuo`.
pub fn from_meta(meta: &Value) -> Result<Carried, CarrierError> {
    let Value::Object(members) = meta else { return Err(CarrierError::Malformed("envelope")) };
    if members.keys().any(|name| !matches!(name.as_str(), "warrant" | "signature" | "approvals")) {
        return Err(CarrierError::Malformed("envelope"));
    }
    let pop = match members.get("signature") {
        None | Some(Value::Null) => None,
        Some(Value::Text(text)) => Some(proof(text)?),
        Some(_) => return Err(CarrierError::Proof),
    };
    let approvals = match members.get("approvals") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::List(items)) if items.len() <= MAX_APPROVALS => items
            .iter()
            .map(|item| {
                let bytes = item.text().and_then(from_base64)?;
                SignedApproval::decode(&bytes).ok()
            })
            .collect::<Option<_>>()
            .ok_or(CarrierError::Malformed("approvals"))?,
        Some(_) => return Err(CarrierError::Malformed("approvals")),
    };
    let warrant = members.get("warrant").and_then(Value::text).ok_or(CarrierError::Malformed("warrant"))?;
    Ok(Carried { warrant: bytes(warrant, "warrant")?, proof: pop, approvals })
}

/// The one that counts when a request has several places to carry one.
pub fn agree(carried: impl IntoIterator<Item = Carried>) -> Result<Option<Carried>, CarrierError> {
    carried.into_iter().try_fold(None, |known: Option<Carried>, next| match known {
        Some(known) if known != next => Err(CarrierError::Conflict),
        _ => Ok(Some(next)),
    })
}

/// Whether a body is a JSON-RPC batch: one proof speaks for one call, so a batch with a warrant is refused whole.
pub fn is_batch(body: &str) -> bool {
    body.trim_start().starts_with('[')
}
