//! Addresses: where they lead once every disguise of a host is taken off.

use std::net::{Ipv4Addr, Ipv6Addr};

use unicode_normalization::UnicodeNormalization as _;

use crate::rules::{Rule, Rules, Signal, glob};
use crate::text::decode;
use crate::weigh::{Findings, Place};

/// Adds what the host says.
pub(crate) fn read<'r>(text: &str, at: &Place, rules: &'r Rules, findings: &mut Findings<'r>) {
    let Some(host) = host(text) else {
        if text.contains("://") {
            findings.doubt(
                rules.signal(Signal::UrlUnreadable),
                rules.model.confidence.sources_disagree,
                at.clone(),
            );
        }
        return;
    };
    for rule in taking(text, &host, rules) {
        findings.add(rule, at.span((0, text.len())));
    }
    if speaks(text) {
        findings.speaks = true;
    }
    if carries_data(text) {
        findings.add(rules.signal(Signal::UrlCarriesData), at.span((0, text.len())));
    }
}

/// Whether the address is more than a question: an encoded file, a dump, a conversation.
fn carries_data(text: &str) -> bool {
    const LONGEST: usize = 400;
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut steps = place.split('/');
    let authority = steps.next().unwrap_or_default();
    let queried = query.split('&').any(|pair| {
        let (name, value) = pair.split_once('=').filter(|(_, value)| !value.is_empty()).unwrap_or(("", pair));
        let name = name.to_ascii_lowercase();
        let signs = LONG_BY_NATURE.iter().any(|mark| name.ends_with(mark));
        let resumes = RESUMES.iter().any(|mark| name.contains(mark));
        (value.len() > LONGEST && !signs) || (!resumes && hides(value))
    });
    queried || steps.any(|step| step.len() > LONGEST || hides(step)) || names_data(authority)
}

/// Signatures of storage services are long.
const LONG_BY_NATURE: [&str; 5] = ["signature", "security-token", "sig", "credential", "policy"];

/// Where a list or a sign-in goes on is often written in base64.
const RESUMES: [&str; 7] = ["state", "cursor", "after", "before", "page", "next", "continu"];

fn hides(value: &str) -> bool {
    let value = value.replace("%3D", "=").replace("%3d", "=").replace("%2B", "+").replace("%2F", "/");
    decode::hides_text(&value)
}

/// Whether who asks, or the name of the host, is a text in disguise: whoever answers for the domain reads both.
fn names_data(authority: &str) -> bool {
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if user.split(':').any(hides) {
        return true;
    }
    let mut labels: Vec<&str> = host.split('.').collect();
    labels.truncate(labels.len().saturating_sub(2));
    let encoded = |label: &&str| {
        label.len() >= 30
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && label.bytes().any(|byte| byte.is_ascii_digit())
    };
    labels.iter().filter(|label| encoded(label)).count() > 1 || hides(&labels.concat())
}

/// Ids of the rules that take the address.
pub(crate) fn ids(text: &str, rules: &Rules) -> Vec<String> {
    let host = host(text).unwrap_or_default();
    taking(text, &host, rules).map(|rule| rule.id.clone()).collect()
}

/// The rules that take a host, or a host at a port.
fn taking<'r>(text: &str, host: &str, rules: &'r Rules) -> impl Iterator<Item = &'r Rule> {
    let names = [host.to_owned(), format!("{host}:{}", port(text).unwrap_or_default())];
    let takes = move |hosts: &[String]| {
        hosts.iter().any(|pattern| names.iter().any(|name| glob::matches(pattern, name)))
    };
    rules.hosts.iter().filter(move |(hosts, _)| takes(hosts)).map(|(_, rule)| rule)
}

fn authority(text: &str) -> Option<&str> {
    let text = text.trim();
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    rest.split(['/', '?', '#', '\\']).next().filter(|authority| authority.len() <= LONGEST)
}

fn port(text: &str) -> Option<&str> {
    let (_, port) = authority(text)?.rsplit_once(':')?;
    (!port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit())).then_some(port)
}

/// The path a `file:` address names.
pub(crate) fn file(text: &str) -> Option<String> {
    let text = text.trim_matches(|letter: char| letter.is_whitespace() || letter.is_control());
    let (scheme, rest) = text.split_once(':')?;
    if scheme.eq_ignore_ascii_case("view-source") {
        return file(rest);
    }
    let rest = rest.split(['?', '#']).next().filter(|_| scheme.eq_ignore_ascii_case("file"))?;
    let rest = rest.replace('\\', "/");
    let path = match rest.strip_prefix("//") {
        // What stands before the path is a machine: this one.
        Some(rest) if !rest.starts_with(['~', '.', '$']) => {
            rest.find('/').and_then(|start| rest.get(start..)).unwrap_or(rest)
        }
        Some(rest) => rest,
        None => &rest,
    };
    Some(unescaped(path))
}

/// Schemes whose address is a message, or the person it goes to.
const SENDS: [&str; 24] = [
    "mailto",
    "sms",
    "smsto",
    "mms",
    "mmsto",
    "tel",
    "telprompt",
    "callto",
    "facetime",
    "facetime-audio",
    "whatsapp",
    "tg",
    "skype",
    "xmpp",
    "sip",
    "sips",
    "im",
    "imessage",
    "msteams",
    "viber",
    "signal",
    "sgnl",
    "slack",
    "line",
];

/// Whether whoever opens the address sends words with it: by its scheme, or to another host in its query.
pub(crate) fn speaks(text: &str) -> bool {
    // What the query asks for is no message.
    const ASKED: [&str; 10] =
        ["q", "query", "search", "s", "term", "keyword", "keywords", "k", "sort", "filter"];
    const SAID: [&str; 16] = [
        "text", "message", "msg", "m", "body", "content", "comment", "note", "caption", "reply", "say",
        "status", "subject", "payload", "data", "words",
    ];
    const POSTS: [&str; 8] = [
        "sendmessage",
        "sendphoto",
        "senddocument",
        "chat.postmessage",
        "postmessage",
        "webhooks",
        "send_message",
        "send-message",
    ];
    let text = text.trim();
    if text
        .split_once(':')
        .is_some_and(|(scheme, _)| SENDS.iter().any(|known| scheme.eq_ignore_ascii_case(known)))
    {
        return true;
    }
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let posts = |part: &str| POSTS.iter().any(|known| part.eq_ignore_ascii_case(known));
    path.split('/').skip(3).any(posts)
        || query.split('&').filter_map(|pair| pair.split_once('=')).any(|(name, value)| {
            let name = name.to_ascii_lowercase();
            let words = ["+", "%20", " "].iter().any(|gap| value.contains(gap));
            let asked = ASKED.contains(&name.as_str());
            !value.is_empty() && !asked && (words || SAID.contains(&name.as_str()))
        })
}

/// Bytes of a host with its user and port: a name has 253, and every letter may be escaped.
const LONGEST: usize = 2_048;

/// The host of an address, in lower case; numbers in any notation as dotted decimals.
pub(crate) fn host(text: &str) -> Option<String> {
    let authority = authority(text)?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(inner) => {
            let address: Ipv6Addr = inner.split(']').next()?.parse().ok()?;
            return Some(
                embedded(address).map_or_else(|| address.to_string(), |embedded| embedded.to_string()),
            );
        }
        None => host.split(':').next()?,
    };
    let host = unescaped(host).nfkc().collect::<String>().replace('。', ".");
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if host.is_empty() || host.contains(char::is_whitespace) {
        return None;
    }
    Some(ipv4(&host).map_or(host, |address| address.to_string()))
}

/// The IPv4 address inside: mapped, compatible, or behind the translating prefixes `64:ff9b::` and `2002:`.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let pair = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(pair(high, low))
        }
        [0x2002, high, low, ..] => Some(pair(high, low)),
        _ => None,
    }
}

/// `%31` as the digit it is.
fn unescaped(host: &str) -> String {
    let mut read = Vec::with_capacity(host.len());
    let mut bytes = host.as_bytes().iter();
    while let Some(byte) = bytes.next() {
        let escaped = (*byte == b'%').then(|| bytes.as_slice().get(..2)).flatten();
        let code = escaped.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        if code.is_some() {
            bytes.nth(1);
        }
        read.push(code.unwrap_or(*byte));
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// `2852039166`, `0xA9FEA9FE`, `0251.0376.0251.0376`, `169.254.43518`: all the same machine to a resolver.
fn ipv4(host: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u64> = host.split('.').map(number).collect::<Option<_>>()?;
    let (last, first) = parts.split_last()?;
    if first.len() > 3 || first.iter().any(|part| *part > 255) || *last >= 1u64 << (8 * (4 - first.len())) {
        return None;
    }
    let mut address = 0u64;
    for part in first {
        address = address << 8 | part;
    }
    address = address << (8 * (4 - first.len())) | last;
    u32::try_from(address).ok().map(Ipv4Addr::from)
}

fn number(text: &str) -> Option<u64> {
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok();
    }
    match text.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => u64::from_str_radix(octal, 8).ok(),
        _ => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_takes_a_text_along_is_told_from_one_that_asks() {
        for text in [
            "https://x.example/c?d=cm9vdDp4OjA6MDpyb290Oi9yb290Oi9iaW4vYmFzaA==",
            "https://x.example/cm9vdDp4OjA6MDpyb290Oi9yb290Oi9iaW4vYmFzaA/p.png",
            "https://x.example/?726f6f743a783a303a303a726f6f743a2f726f6f74",
            "https://cm9vdDp4OjA6MDpyb290Oi9yb290Oi9iaW4vYmFzaA:x@x.example/",
            "http://726f6f743a783a303a303a726f6f743a2f726f6f74.x.example/",
            "http://ojxw65b2pa5daorqhjzg633uhixxe33poq.x.example/",
        ] {
            assert!(carries_data(text), "{text}");
        }
        for text in [
            "https://github.com/o/r/commit/3f786850e387550fdab836ed7e6dc881de23001b",
            "https://example.org/?cursor=eyJpZCI6MTAwLCJuYW1lIjoiYSBsb25nIG5hbWUifQ==",
            "https://example.org/search?q=how+to+read+a+very+long+question+about+base64",
            "https://docs.example.org/d/1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgvE2upms/edit",
            "https://example.org/123e4567e89b12d3a456426614174000",
            "https://my-app-git-feature-branch-name-my-team.vercel.app/",
            "https://user:password@example.org/",
        ] {
            assert!(!carries_data(text), "{text}");
        }
    }

    #[test]
    fn the_metadata_address_is_known_in_every_notation() {
        for text in [
            "http://169.254.169.254/latest/meta-data/",
            "http://2852039166/",
            "http://0xA9FEA9FE/",
            "http://0251.0376.0251.0376",
            "http://169.254.43518/x",
            "http://[::ffff:169.254.169.254]:80/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[2002:a9fe:a9fe::]/",
            "http://%31%36%39.254.169.254/",
            "http://１６９。２５４。１６９。２５４/",
            "http://user:pw@169.254.169.254:80?x",
        ] {
            assert_eq!(host(text).as_deref(), Some("169.254.169.254"), "{text}");
        }
        assert_eq!(host("https://Example.COM./a").as_deref(), Some("example.com"));
    }

    #[test]
    fn a_file_address_is_the_path_it_names() {
        for text in [
            "file:///etc/shadow",
            "FILE:/etc/shadow",
            " file://localhost/etc/shadow#x",
            "file:///etc/sh%61dow",
            "view-source:file:///etc/shadow",
        ] {
            assert_eq!(file(text).as_deref(), Some("/etc/shadow"), "{text}");
        }
        assert_eq!(file("https://x.example/file:///etc"), None);
    }

    #[test]
    fn an_address_that_carries_words_is_told_from_one_that_asks() {
        for text in [
            "mailto:bob@x.example?body=go",
            "SMS:+4711",
            "https://api.telegram.example/bot1/sendMessage?chat_id=4711",
            "https://x.example/?m=go",
            "https://x.example/share?t=go+ahead",
        ] {
            assert!(speaks(text), "{text}");
        }
        for text in [
            "https://x.example/a?page=2&lang=en",
            "https://x.example/search?q=a+b",
            "https://x.example/sendmessage-guide",
        ] {
            assert!(!speaks(text), "{text}");
        }
    }
}
