//! Warrants as text and files: base64, PEM, and a file with a magic.

use crate::cbor::{Major, Reader};
use crate::error::FormatError;

const MAGIC: &[u8] = b"TENU\x01";
const ONE: &str = "TENUO WARRANT";
const CHAIN: &str = "TENUO WARRANT CHAIN";

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base64url without padding.
pub fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            let index = (group >> (18 - 6 * place)) & 0x3f;
            text.extend(ALPHABET.get(index as usize).map(|letter| char::from(*letter)));
        }
    }
    text
}

/// Base64 in either alphabet, padded or not. Bits that stand for nothing must be zero.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    let body = match text.strip_suffix("==").or_else(|| text.strip_suffix('=')) {
        Some(body) if text.len().is_multiple_of(4) => body,
        Some(_) => return None,
        None => text,
    };
    let mut bytes = Vec::with_capacity(body.len() / 4 * 3 + 2);
    for chunk in body.as_bytes().chunks(4) {
        let mut group = 0u32;
        for letter in chunk {
            let value = match letter {
                b'A'..=b'Z' => letter - b'A',
                b'a'..=b'z' => letter - b'a' + 26,
                b'0'..=b'9' => letter - b'0' + 52,
                b'-' | b'+' => 62,
                b'_' | b'/' => 63,
                _ => return None,
            };
            group = group << 6 | u32::from(value);
        }
        group <<= 6 * (4 - chunk.len());
        let [_, first, second, third] = group.to_be_bytes();
        match chunk.len() {
            4 => bytes.extend_from_slice(&[first, second, third]),
            3 if third == 0 => bytes.extend_from_slice(&[first, second]),
            2 if second == 0 && third == 0 => bytes.push(first),
            _ => return None,
        }
    }
    Some(bytes)
}

pub fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    text.as_bytes()
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect()
}

/// PEM of one warrant, or of a chain, by what the bytes are.
pub fn to_pem(bytes: &[u8]) -> String {
    let label = if is_stack(bytes) { CHAIN } else { ONE };
    let mut pem = format!("-----BEGIN {label}-----\n");
    for (at, letter) in to_base64(bytes).chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            pem.push('\n');
        }
        pem.push(letter);
    }
    pem.push_str(&format!("\n-----END {label}-----\n"));
    pem
}

/// The form in which a file keeps it.
pub fn to_file(bytes: &[u8]) -> Vec<u8> {
    [MAGIC, bytes].concat()
}

/// Whether the bytes begin like a stack rather than like one warrant.
pub fn is_stack(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    reader.array(usize::MAX).is_ok() && reader.peek() == Ok(Major::Array)
}

/// The bytes of a warrant or stack out of whatever form a person pastes or a file holds: PEM (one chain, or several
/// warrants from root to leaf), base64, the file form, or the bytes themselves.
pub fn read_any(input: &[u8]) -> Result<Vec<u8>, FormatError> {
    if let Some(bytes) = input.strip_prefix(MAGIC) {
        return Ok(bytes.to_vec());
    }
    let Ok(text) = std::str::from_utf8(input) else { return Ok(input.to_vec()) };
    if text.contains("-----BEGIN") {
        return read_pem(text);
    }
    let squeezed: String = text.split_whitespace().collect();
    from_base64(&squeezed).filter(|bytes| !bytes.is_empty()).ok_or(FormatError::Text)
}

fn read_pem(text: &str) -> Result<Vec<u8>, FormatError> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let (label, after) = after.split_once("-----").ok_or(FormatError::Text)?;
        if label != ONE && label != CHAIN {
            return Err(FormatError::Text);
        }
        let (body, after) = after.split_once(&format!("-----END {label}-----")).ok_or(FormatError::Text)?;
        let squeezed: String = body.split_whitespace().collect();
        let bytes = from_base64(&squeezed).filter(|bytes| !bytes.is_empty()).ok_or(FormatError::Text)?;
        if is_stack(&bytes) != (label == CHAIN) {
            return Err(FormatError::Text);
        }
        blocks.push((label, bytes));
        rest = after;
    }
    match blocks.as_slice() {
        [(_, only)] => Ok(only.clone()),
        several if several.iter().all(|(label, _)| *label == ONE) => {
            let mut out = crate::cbor::Writer::new();
            out.array(several.len());
            for (_, bytes) in several {
                out.raw(bytes);
            }
            Ok(out.finish())
        }
        _ => Err(FormatError::Text),
    }
}
