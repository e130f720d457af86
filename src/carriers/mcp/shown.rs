//! Warrants that come with a call, in headers or in `_meta.tenuo`, and go no further.

use bytes::Bytes;
use herma_warrant::approval::SignedApproval;
use herma_warrant::error::FormatError;
use herma_warrant::proof::{Proof, ProofError};
use herma_warrant::text_form::from_base64;
use hyper::header::{HeaderMap, HeaderName};
use serde_json::Value;

use super::frame::params;
use super::members::{Members, around};
use crate::call::{Credential, Shown};
use crate::firewall::session::Session;

const WARRANT: HeaderName = HeaderName::from_static("x-tenuo-warrant");
const PROOF: HeaderName = HeaderName::from_static("x-tenuo-pop");
const APPROVALS: HeaderName = HeaderName::from_static("x-tenuo-approvals");
/// Characters of one part; a stack of the deepest kind fits.
const LONGEST: usize = 64 << 10;

/// What a call presents.
#[derive(Debug, Clone)]
pub(super) enum Presented {
    Warrant(Shown),
    /// The warrant that was proven on this channel before, by a code over this call.
    Code {
        counter: u64,
        tag: [u8; 32],
    },
}

/// A warrant that cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum ShownError {
    #[error("the header `{0}` stands twice")]
    Twice(HeaderName),
    #[error("a warrant came in the headers and in `_meta.tenuo`: send it once")]
    TwoWays,
    #[error("`{0}` came without a warrant")]
    Alone(&'static str),
    #[error("the {0} is not base64")]
    Text(&'static str),
    #[error("the {0} is longer than {LONGEST} characters")]
    Long(&'static str),
    #[error(
        "`_meta.tenuo` has neither `warrant`, `signature` and `approvals` nor `counter` and `code`, as it should"
    )]
    Meta,
    #[error("the {0} cannot be read: {1}")]
    Format(&'static str, FormatError),
    #[error("only a private channel can have a key: over HTTP every call brings its own proof")]
    Public,
    #[error("nothing was proven on this channel yet: send the warrant and a proof with the first call")]
    Unproven,
    #[error("the code of this call does not hold: {0}")]
    Code(#[from] ProofError),
    #[error("the frame cannot be written again without its warrant: {0}")]
    Frame(#[from] serde_json::Error),
}

/// Takes the warrant out of the headers of a call; leaves a copy there for a server that asked for it.
pub(super) fn take(headers: &mut HeaderMap, leave: bool) -> Result<Option<Presented>, ShownError> {
    if ![&WARRANT, &PROOF, &APPROVALS].iter().any(|name| headers.contains_key(*name)) {
        return Ok(None);
    }
    let read = |name: &HeaderName| -> Result<Option<String>, ShownError> {
        let mut values = headers.get_all(name).iter();
        let Some(first) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(ShownError::Twice(name.clone()));
        }
        Ok(Some(String::from_utf8_lossy(first.as_bytes()).into_owned()))
    };
    let (warrant, proof, approvals) = (read(&WARRANT)?, read(&PROOF)?, read(&APPROVALS)?);
    if !leave {
        strip(headers);
    }
    let approvals = approvals
        .map(|text| {
            SignedApproval::decode_list(&bytes(&text, "list of approvals")?)
                .map_err(|error| ShownError::Format("list of approvals", error))
        })
        .transpose()?;
    let shown = shown(warrant.as_deref(), proof.as_deref(), approvals)?;
    Ok(shown.map(Presented::Warrant))
}

/// What is for Herma is not for the server.
pub(super) fn strip(headers: &mut HeaderMap) {
    for name in [WARRANT, PROOF, APPROVALS] {
        headers.remove(name);
    }
}

/// Reads `_meta.tenuo` of a call: `warrant`, `signature` and `approvals`, where the first call of a private channel
/// may add a `channel_key`; later ones send `counter` and `code` instead.
pub(super) fn read(meta: &Value) -> Result<Option<Presented>, ShownError> {
    const KNOWN: [&str; 6] = ["warrant", "signature", "approvals", "channel_key", "counter", "code"];
    let fields = meta.as_object().ok_or(ShownError::Meta)?;
    if fields.keys().any(|key| !KNOWN.contains(&key.as_str())) {
        return Err(ShownError::Meta);
    }
    let text = |name: &str| match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or(ShownError::Meta),
    };
    let fixed = |name: &'static str| -> Result<Option<[u8; 32]>, ShownError> {
        let Some(text) = text(name)? else { return Ok(None) };
        bytes(text, name)?.try_into().map(Some).map_err(|_| ShownError::Meta)
    };
    if let Some(tag) = fixed("code")? {
        let counter = fields.get("counter").and_then(Value::as_u64).ok_or(ShownError::Meta)?;
        if fields.len() != 2 {
            return Err(ShownError::Meta);
        }
        return Ok(Some(Presented::Code { counter, tag }));
    }
    let approvals = match fields.get("approvals") {
        None | Some(Value::Null) => None,
        Some(Value::Array(all)) => {
            let read = all.iter().map(|one| {
                let text = one.as_str().ok_or(ShownError::Meta)?;
                SignedApproval::decode(&bytes(text, "approval")?)
                    .map_err(|error| ShownError::Format("approval", error))
            });
            Some(read.collect::<Result<_, _>>()?)
        }
        Some(_) => return Err(ShownError::Meta),
    };
    let shown = shown(text("warrant")?, text("signature")?, approvals)?;
    let channel_key = fixed("channel_key")?;
    Ok(shown.map(|shown| Presented::Warrant(Shown { channel_key, ..shown })))
}

fn shown(
    warrant: Option<&str>,
    proof: Option<&str>,
    approvals: Option<Vec<SignedApproval>>,
) -> Result<Option<Shown>, ShownError> {
    let Some(warrant) = warrant else {
        return match (proof, approvals) {
            (Some(_), _) => Err(ShownError::Alone("a proof")),
            (None, Some(_)) => Err(ShownError::Alone("an approval")),
            (None, None) => Ok(None),
        };
    };
    let proof = proof
        .map(|text| Proof::decode(&bytes(text, "proof")?).map_err(|error| ShownError::Format("proof", error)))
        .transpose()?;
    Ok(Some(Shown {
        stack: bytes(warrant, "warrant")?.into(),
        credential: proof.map_or(Credential::None, Credential::Proof),
        approvals: approvals.unwrap_or_default(),
        channel_key: None,
    }))
}

fn bytes(text: &str, what: &'static str) -> Result<Vec<u8>, ShownError> {
    if text.len() > LONGEST {
        return Err(ShownError::Long(what));
    }
    from_base64(text).ok_or(ShownError::Text(what))
}

/// The warrant that a call speaks under, its channel's if it brings none itself.
pub(super) fn settle(
    presented: Presented,
    session: &Session,
    tool: &str,
    arguments: &[u8],
) -> Result<Shown, ShownError> {
    match presented {
        Presented::Warrant(Shown { channel_key: Some(_), .. }) if !session.private => Err(ShownError::Public),
        Presented::Warrant(shown) => Ok(shown),
        Presented::Code { .. } if !session.private => Err(ShownError::Public),
        Presented::Code { counter, tag } => {
            let stack = session.believe(counter, tool, arguments, &tag).ok_or(ShownError::Unproven)??;
            Ok(Shown { stack, credential: Credential::Channel, approvals: Vec::new(), channel_key: None })
        }
    }
}

/// The frame without `params._meta.tenuo`, every other byte of a value as it stood.
pub(super) fn without(frame: &Bytes) -> Result<Bytes, ShownError> {
    let Some(raw) = params(frame) else { return Ok(frame.clone()) };
    let mut members = Members::read(raw.get())?;
    for (name, value) in &mut members.0 {
        if name == "_meta" {
            let mut meta = Members::read(value)?;
            meta.0.retain(|(name, _)| name != "tenuo");
            *value = meta.write();
        }
    }
    members.0.retain(|(name, value)| name != "_meta" || value != "{}");
    let (before, after) = around(frame, raw.get().as_bytes());
    Ok([before, members.write().as_bytes(), after].concat().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_loses_its_warrant_and_nothing_else() {
        let frame =
            |params: &str| Bytes::from(format!(r#"{{"id": 1,"method":"tools/call", "params" :{params} }}"#));
        let with = frame(
            r#"{"name":"a","arguments":{"n":1.0, "m":"\u0041"},"_meta":{"tenuo":{"warrant":"x"},"progressToken": 7}}"#,
        );
        let bare = frame(r#"{"name":"a","arguments":{"n":1.0, "m":"\u0041"},"_meta":{"progressToken":7}}"#);
        assert_eq!(without(&with).unwrap(), bare);
        let only = frame(r#"{"name":"a","_meta":{"tenuo":{}}}"#);
        assert_eq!(without(&only).unwrap(), frame(r#"{"name":"a"}"#));
    }

    #[test]
    fn what_two_readers_could_take_for_two_warrants_is_refused() {
        let mut twice = HeaderMap::new();
        twice.append(WARRANT, "aaaa".parse().unwrap());
        twice.append(WARRANT, "bbbb".parse().unwrap());
        assert!(matches!(take(&mut twice, false), Err(ShownError::Twice(_))));
        let mut alone = HeaderMap::new();
        alone.append(PROOF, "aaaa".parse().unwrap());
        assert!(matches!(take(&mut alone, false), Err(ShownError::Alone(_))));
        assert!(matches!(
            read(&serde_json::json!({ "warrant": "a", "Warrant": "b" })),
            Err(ShownError::Meta)
        ));
        assert!(matches!(read(&serde_json::json!({ "warrant": "?" })), Err(ShownError::Text(_))));
    }
}
