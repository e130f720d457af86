//! One level of the encodings a text survives on its way through tools.

use super::spelling::{reversed, rotated};

/// What the text says once decoded, for each encoding it shows.
pub(super) fn readings(text: &str, turned: bool, backward: bool) -> Vec<String> {
    let mut texts = Vec::new();
    let bytes = text.as_bytes();
    let has = |needle: u8| bytes.contains(&needle);
    if has(b'%') {
        texts.extend(percent(text));
    }
    if bytes.iter().filter(|byte| **byte == b'=').count() > 2 {
        texts.extend(percent(&text.replace('%', "").replace("=\n", "").replace('=', "%")));
    }
    if has(b'&') && has(b';') {
        texts.push(entities(text));
    }
    if has(b'\\') && (text.contains("\\u") || text.contains("\\x") || text.contains("\\1")) {
        texts.push(escapes(text));
    }
    if has(b'<') && has(b'>') {
        texts.push(without_tags(text));
    }
    if !text.is_ascii() {
        if text.chars().any(|letter| matches!(letter, '\u{E0020}'..='\u{E007E}')) {
            let shown =
                |letter: char| char::from_u32(u32::from(letter).wrapping_sub(0xE0000)).filter(char::is_ascii);
            texts.push(text.chars().map(|letter| shown(letter).unwrap_or(letter)).collect());
        }
        if text.contains('\u{202e}') {
            texts.push(text.chars().rev().collect());
        }
    }
    if turned {
        texts.push(text.chars().map(rotated).collect());
    }
    if backward {
        texts.push(text.chars().rev().collect());
        texts.push(text.split(' ').map(reversed).collect::<Vec<_>>().join(" "));
    }
    let is_gap = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b':' | b',');
    for word in bytes.split(is_gap).filter(|word| word.len() >= 12) {
        texts.extend([base64(word), hex(word), base32(word)].into_iter().flatten().filter_map(wording));
    }
    texts
}

fn percent(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let pair =
            (*first == b'%').then(|| tail.get(..2)).flatten().and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

fn entities(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        shown.push_str(before);
        let end = after.bytes().take(9).position(|byte| byte == b';');
        let entity = end.and_then(|end| Some((after.get(..end)?, after.get(end + 1..)?)));
        let letter = entity.and_then(|(name, _)| match name.strip_prefix('#') {
            Some(number) => {
                let hex = number.strip_prefix(['x', 'X']);
                hex.map_or_else(|| number.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok())
                    .and_then(char::from_u32)
            }
            None => match name {
                "amp" => Some('&'),
                "apos" | "rsquo" => Some('\''),
                "nbsp" => Some(' '),
                _ => None,
            },
        });
        match (letter, entity) {
            (Some(letter), Some((_, after))) => {
                shown.push(letter);
                rest = after;
            }
            _ => {
                shown.push('&');
                rest = after;
            }
        }
    }
    shown.push_str(rest);
    shown
}

fn escapes(text: &str) -> String {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        units.extend(before.encode_utf16());
        let digits = match after.bytes().next() {
            Some(b'u') => 4,
            Some(b'x') => 2,
            _ => 0,
        };
        // Three digits after the stroke are octal.
        let octal = after.get(..3).filter(|digits| digits.bytes().all(|digit| matches!(digit, b'0'..=b'7')));
        if let Some(unit) = octal.and_then(|digits| u16::from_str_radix(digits, 8).ok()) {
            units.push(unit);
            rest = after.get(3..).unwrap_or_default();
            continue;
        }
        let unit =
            after.get(1..=digits).filter(|_| digits > 0).and_then(|hex| u16::from_str_radix(hex, 16).ok());
        match unit {
            Some(unit) => {
                units.push(unit);
                rest = after.get(digits + 1..).unwrap_or_default();
            }
            None => rest = after,
        }
    }
    units.extend(rest.encode_utf16());
    String::from_utf16_lossy(&units)
}

fn without_tags(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut inside = false;
    for letter in text.chars() {
        match letter {
            '<' => inside = true,
            '>' => inside = false,
            letter if !inside => shown.push(letter),
            _ => {}
        }
    }
    shown
}

/// Whether a word is a text in another spelling. Of bytes without meaning so many are never all letters.
pub(crate) fn hides_text(word: &str) -> bool {
    const LEAST: usize = 12;
    let printed = |byte: &u8| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
    let plain = |bytes: Vec<u8>| bytes.len() >= LEAST && bytes.iter().all(printed);
    if word.len() <= LEAST {
        return false;
    }
    // A number may happen to spell letters in hexadecimal.
    let number = word.bytes().all(|byte| byte.is_ascii_digit());
    base64(word.as_bytes()).is_some_and(plain)
        || (!number && hex(word.as_bytes()).is_some_and(plain))
        || base32(word.to_ascii_uppercase().as_bytes()).is_some_and(plain)
}

fn base64(word: &[u8]) -> Option<Vec<u8>> {
    unpacked(word, 6, |letter| match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    })
}

fn base32(word: &[u8]) -> Option<Vec<u8>> {
    unpacked(word, 5, |letter| match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'2'..=b'7' => Some(letter - b'2' + 26),
        _ => None,
    })
}

/// The bytes behind letters that stand for `width` bits each.
fn unpacked(word: &[u8], width: u32, value: impl Fn(u8) -> Option<u8>) -> Option<Vec<u8>> {
    let mut bits = 0u32;
    let mut count = 0;
    let mut bytes = Vec::with_capacity(word.len());
    let padding = word.iter().rev().take_while(|byte| **byte == b'=').count();
    for &letter in word.get(..word.len() - padding)? {
        bits = (bits << width | u32::from(value(letter)?)) & 0xffff;
        count += width;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    Some(bytes)
}

fn hex(word: &[u8]) -> Option<Vec<u8>> {
    if word.len() < 16 || !word.len().is_multiple_of(2) || !word.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let pairs = word.chunks_exact(2);
    let bytes = pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    bytes.collect()
}

/// Bytes that are words and not just bytes.
fn wording(bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(bytes).ok()?;
    let letters = text.chars().filter(|letter| letter.is_alphabetic() || *letter == ' ').count();
    (letters * 5 >= text.chars().count() * 4).then_some(text)
}
