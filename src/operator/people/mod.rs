//! Who is at the browser: pairing, sessions, and the keys that requests are signed with.

pub(super) mod key;
pub(super) mod pairing;
pub(super) mod session;
pub(super) mod signature;

/// URL-safe base64 without padding, as WebAuthn has it.
pub(super) fn base64url(bytes: &[u8]) -> String {
    data_encoding::BASE64URL_NOPAD.encode(bytes)
}

pub(super) fn from_base64url(text: &str) -> Option<Vec<u8>> {
    data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).ok()
}

/// A name that people write and read: short, one line, no invisible letters.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '.' | '-' | '_' | '@' | '+' | '\'');
    (1..=64).contains(&name.chars().count()) && name.trim() == name && name.chars().all(plain)
}
