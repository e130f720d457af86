//! URLs. One that two parsers could read differently is refused before anything is asked of it.

use crate::constraint::path::has_escape;
use crate::text::{has_look_alike, has_unseen};
use std::net::{Ipv4Addr, Ipv6Addr};

const LONGEST: usize = 8192;

/// The parts of a URL that has one reading only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url<'a> {
    pub(crate) scheme: String,
    pub(crate) host: Host,
    /// Only when it is not the scheme's own.
    pub(crate) port: Option<u16>,
    pub(crate) path: &'a str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    Name(String),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl Host {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::V4(address) => address.to_string(),
            Self::V6(address) => format!("[{address}]"),
        }
    }
}

pub(crate) fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

pub(crate) fn parse(text: &str) -> Result<Url<'_>, &'static str> {
    if text.len() > LONGEST {
        return Err("longer than any URL needs to be");
    }
    if has_unseen(text) {
        return Err("control or invisible characters");
    }
    if text.chars().any(char::is_whitespace) {
        return Err("blanks");
    }
    if text.contains('\\') {
        return Err("a backslash, which is a slash to some parsers");
    }
    if text.contains(['"', '<', '>', '^', '`', '{', '|', '}']) {
        return Err("characters that no URL holds unescaped");
    }
    if has_look_alike(text, "./\\:@?#%") {
        return Err("characters that pass for dots, slashes or marks");
    }
    let (scheme, rest) = text.split_once(':').ok_or("no scheme")?;
    let named = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    if !named {
        return Err("no scheme");
    }
    let rest = rest.strip_prefix("//").ok_or("no `//` after the scheme")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at_checked(end).ok_or("no host")?;
    if authority.is_empty() {
        return Err("no host");
    }
    if authority.contains('@') {
        return Err("a name or password before the host");
    }
    if !tail.starts_with('/') && tail.contains('@') {
        return Err("an `@` right after the host, which some parsers take for its end");
    }
    let scheme = scheme.to_ascii_lowercase();
    let (host, port) = split_port(authority)?;
    let host = parse_host(host)?;
    let port = match port {
        None => None,
        Some(digits) => {
            let canonical = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
            let port = digits.parse::<u16>().ok().filter(|_| canonical).ok_or("a port that is none")?;
            (default_port(&scheme) != Some(port)).then_some(port)
        }
    };
    let path = tail.split(['?', '#']).next().unwrap_or("");
    Ok(Url { scheme, host, port, path })
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), &'static str> {
    let (host, after) = if authority.starts_with('[') {
        let end = authority.find(']').ok_or("a bracket that does not close")?;
        authority.split_at_checked(end + 1).ok_or("a bracket that does not close")?
    } else {
        let end = authority.find(':').unwrap_or(authority.len());
        authority.split_at_checked(end).ok_or("no host")?
    };
    match after.strip_prefix(':') {
        None if after.is_empty() => Ok((host, None)),
        Some(port) if !port.is_empty() => Ok((host, Some(port))),
        _ => Err("a port that is none"),
    }
}

fn parse_host(text: &str) -> Result<Host, &'static str> {
    if let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        let address: Ipv6Addr = inner.parse().map_err(|_| "brackets around what is no address")?;
        // The mapped range is printed with dots by some and in hex by others: either is recognised later.
        let canonical = address.to_string();
        return if canonical.eq_ignore_ascii_case(inner) || address.to_ipv4().is_some() {
            Ok(Host::V6(address))
        } else {
            Err("an address that is not in its plain form")
        };
    }
    parse_name(text)
}

fn parse_name(text: &str) -> Result<Host, &'static str> {
    if !text.is_ascii() {
        return Err("a host that is not plain ASCII");
    }
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')) {
        return Err("characters that no host has");
    }
    let name = text.to_ascii_lowercase();
    if name.len() > 253 || name.split('.').any(|label| label.is_empty() || label.len() > 63) {
        return Err("an empty or overlong label in the host");
    }
    if name.split('.').any(|label| label.starts_with('-') || label.ends_with('-')) {
        return Err("a label that begins or ends with a hyphen");
    }
    let last = name.rsplit('.').next().unwrap_or("");
    let hex =
        last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if hex || last.bytes().all(|byte| byte.is_ascii_digit()) {
        let address: Ipv4Addr = name.parse().map_err(|_| "an address that is not in its plain form")?;
        return Ok(Host::V4(address));
    }
    Ok(Host::Name(name))
}

/// Refuses paths that the server at the other end may walk differently.
pub(crate) fn scan_path(path: &str) -> Result<(), &'static str> {
    if has_escape(path) {
        return Err("an encoded dot, slash or control in the path");
    }
    for segment in path.split('/') {
        let name = segment.split(';').next().unwrap_or("");
        if !name.is_empty() && name.bytes().all(|byte| byte == b'.') {
            return Err("a dot segment in the path");
        }
    }
    if path.contains("//") { Err("an empty segment in the path") } else { Ok(()) }
}

/// What an address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    Public,
    Loopback,
    Private,
    Metadata,
    Reserved,
    /// An IPv4 address in disguise.
    Embedded,
}

pub(crate) fn zone_v4(address: Ipv4Addr) -> Zone {
    match address.octets() {
        [169, 254, 169, 254 | 253 | 123]
        | [169, 254, 170, 2 | 23]
        | [168, 63, 129, 16]
        | [100, 100, 100, 200]
        | [192, 0, 0, 192] => Zone::Metadata,
        [127, ..] => Zone::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] | [169, 254, ..] => {
            Zone::Private
        }
        [0, ..]
        | [192, 0, 0 | 2, _]
        | [192, 31, 196, _]
        | [192, 52, 193, _]
        | [192, 88, 99, _]
        | [192, 175, 48, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [224..=255, ..] => Zone::Reserved,
        _ => Zone::Public,
    }
}

pub(crate) fn zone_v6(address: Ipv6Addr) -> Zone {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Zone::Loopback,
        [0, 0, 0, 0, 0, 0, 0, 0] => Zone::Reserved,
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] => Zone::Metadata,
        [0, 0, 0, 0, ..] | [0x64, 0xff9b, ..] | [0x2002, ..] => Zone::Embedded,
        [0x2001, 0, ..] => Zone::Embedded,
        [0x2001, 1..=0x1ff, ..]
        | [0x2001, 0xdb8, ..]
        | [0x3fff, 0..=0xfff, ..]
        | [0x2620, 0x4f, 0x8000, ..] => Zone::Reserved,
        [0xfc00..=0xfdff, ..] | [0xfe80..=0xfeff, ..] => Zone::Private,
        [0x2000..=0x3fff, ..] => Zone::Public,
        _ => Zone::Reserved,
    }
}
