//! The signature that a change carries: `herma-signature: t=<unix ms>, n=<nonce>, s=<signature>`.
//!
//! It is made over the RFC 8785 form of everything that makes the request this one and no other, so that a cookie
//! alone changes nothing and a request that was seen cannot be made again.

use hyper::header::{HeaderMap, HeaderName};
use serde::Serialize;

use super::from_base64url;
use super::key::PublicKey;
use crate::call::Digest;

const HEADER: HeaderName = HeaderName::from_static("herma-signature");

/// A signature that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignatureError {
    #[error("a change needs the header `herma-signature`: t=<unix ms>, n=<16 bytes>, s=<signature>")]
    Missing,
    #[error("the signature is not of this session's key over this request")]
    Wrong,
}

/// What is signed. The names are in the order of RFC 8785.
#[derive(Debug, Serialize)]
pub(crate) struct Signed<'a> {
    /// SHA-256 of the body, in hex.
    pub(crate) body: String,
    pub(crate) method: &'a str,
    /// In base64url.
    pub(crate) nonce: &'a str,
    pub(crate) origin: &'a str,
    /// With its query.
    pub(crate) path: &'a str,
    /// Empty as long as there is none.
    pub(crate) session: &'a str,
    pub(crate) time: i64,
    pub(crate) v: &'static str,
}

/// What every signed request says it is.
pub(crate) const VERSION: &str = "herma-request-v1";

/// The header, read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header<'a> {
    pub(crate) time: i64,
    pub(crate) nonce: [u8; 16],
    nonce_text: &'a str,
    signature: Vec<u8>,
}

/// The request that a signature is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) origin: &'a str,
    pub(crate) body: &'a [u8],
}

impl<'a> Header<'a> {
    pub(crate) fn read(headers: &'a HeaderMap) -> Result<Self, SignatureError> {
        let mut all = headers.get_all(HEADER).iter();
        let text = match (all.next(), all.next()) {
            (Some(text), None) => text.to_str().ok(),
            _ => None,
        };
        Self::parse(text.unwrap_or_default()).ok_or(SignatureError::Missing)
    }

    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(", ");
        let time = parts.next()?.strip_prefix("t=")?.parse().ok()?;
        let nonce_text = parts.next()?.strip_prefix("n=")?;
        let nonce = from_base64url(nonce_text)?.try_into().ok()?;
        let signature = from_base64url(parts.next()?.strip_prefix("s=")?)?;
        parts.next().is_none().then_some(Self { time, nonce, nonce_text, signature })
    }

    pub(crate) fn check(
        &self,
        key: &PublicKey,
        session: &str,
        request: Request<'_>,
    ) -> Result<(), SignatureError> {
        let signed = Signed {
            body: Digest::of(request.body).to_string(),
            method: request.method,
            nonce: self.nonce_text,
            origin: request.origin,
            path: request.path,
            session,
            time: self.time,
            v: VERSION,
        };
        let message = serde_json_canonicalizer::to_vec(&signed).map_err(|_| SignatureError::Wrong)?;
        if key.signed(&message, &self.signature) { Ok(()) } else { Err(SignatureError::Wrong) }
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};

    use super::super::base64url;
    use super::*;

    #[test]
    fn a_signature_is_for_one_request_of_one_session() {
        let key = SigningKey::from_bytes(&[3; 32]);
        let public = PublicKey::of_browser("ed25519", key.verifying_key().to_bytes().to_vec()).unwrap();
        let nonce = base64url(&[9; 16]);
        let digest = Digest::of(b"{}");
        let message = format!(
            r#"{{"body":"{digest}","method":"POST","nonce":"{nonce}","origin":"http://herma.localhost:4590","path":"/op/v1/freeze","session":"abc","time":17,"v":"herma-request-v1"}}"#
        );
        let signature = base64url(&key.sign(message.as_bytes()).to_bytes());
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, format!("t=17, n={nonce}, s={signature}").parse().unwrap());
        let header = Header::read(&headers).unwrap();
        let origin = "http://herma.localhost:4590";
        let good = Request { method: "POST", path: "/op/v1/freeze", origin, body: b"{}" };
        assert_eq!(header.check(&public, "abc", good), Ok(()));
        assert!(header.check(&public, "abd", good).is_err());
        for other in [
            Request { method: "GET", ..good },
            Request { path: "/op/v1/thaw", ..good },
            Request { origin: "http://herma.localhost:1", ..good },
            Request { body: b"{ }", ..good },
        ] {
            assert!(header.check(&public, "abc", other).is_err(), "{other:?}");
        }
        headers.append(HEADER, "t=17, n=AA, s=AA".parse().unwrap());
        assert_eq!(Header::read(&headers), Err(SignatureError::Missing));
    }
}
