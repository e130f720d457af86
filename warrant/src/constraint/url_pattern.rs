//! URLs by pattern: scheme, host, port and path, each on its own.

use crate::constraint::Verdict;
use crate::constraint::url::{Url, default_port, parse, scan_path};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlPattern {
    text: String,
    parts: Option<Parts>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    /// `None` is any scheme.
    scheme: Option<String>,
    host: HostPattern,
    port: Option<u16>,
    /// `None` is any path.
    path: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum HostPattern {
    Just(String),
    /// Names below, not the name itself.
    Below(String),
}

impl HostPattern {
    fn takes(&self, host: &str) -> bool {
        match self {
            Self::Just(name) => name == host,
            Self::Below(domain) => {
                host.strip_suffix(domain.as_str()).is_some_and(|head| head.len() > 1 && head.ends_with('.'))
            }
        }
    }
}

impl UrlPattern {
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), parts: Parts::parse(text) }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn is_clean(&self) -> bool {
        self.parts.is_some()
    }

    pub(super) fn check(&self, text: &str) -> Verdict {
        let Some(parts) = &self.parts else {
            return Verdict::Doubtful("the pattern names a query, a login or no host and cannot be read");
        };
        let url = match parse(text) {
            Ok(url) => url,
            Err(trick) => return Verdict::Doubtful(trick),
        };
        if let Err(trick) = scan_path(url.path) {
            return Verdict::Doubtful(trick);
        }
        parts.check(&url)
    }

    pub(super) fn narrows(&self, parent: &Self) -> bool {
        let (Some(own), Some(held)) = (&self.parts, &parent.parts) else { return false };
        own.narrows(held)
    }
}

impl Parts {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        if rest.contains(['?', '#', '@', '[', ']', '{', '\\', '%']) || rest.chars().any(char::is_whitespace) {
            return None;
        }
        let scheme = match scheme {
            "*" => None,
            other => Some(other.to_ascii_lowercase()),
        };
        let end = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end)?;
        let (host, below) = match authority.strip_prefix("*.") {
            Some(domain) => (domain, true),
            None => (authority, false),
        };
        let probe = format!("{}://{host}/", scheme.as_deref().unwrap_or("https"));
        let url = parse(&probe).ok()?;
        let has_port = host.contains(':');
        let port = has_port.then(|| url.port.or_else(|| default_port(&url.scheme))).flatten();
        if has_port && scheme.is_none() {
            return None;
        }
        let name = url.host.text();
        let host = if below { HostPattern::Below(name) } else { HostPattern::Just(name) };
        if scan_path(path).is_err() {
            return None;
        }
        Some(Self { scheme, host, port, path: (!path.is_empty()).then(|| path.to_owned()) })
    }

    fn check(&self, url: &Url<'_>) -> Verdict {
        if self.scheme.as_ref().is_some_and(|scheme| *scheme != url.scheme) {
            return Verdict::Differs("another scheme");
        }
        if !self.host.takes(&url.host.text()) {
            return Verdict::Differs("another host");
        }
        let port = url.port.or_else(|| default_port(&url.scheme));
        let wanted = self.port.or_else(|| default_port(&url.scheme));
        if port != wanted {
            return Verdict::Differs("another port");
        }
        match &self.path {
            Some(pattern) if !takes_path(pattern, if url.path.is_empty() { "/" } else { url.path }) => {
                Verdict::Differs("another path")
            }
            _ => Verdict::Matches,
        }
    }

    fn narrows(&self, parent: &Self) -> bool {
        let scheme = parent.scheme.is_none() || self.scheme == parent.scheme;
        let host = match (&self.host, &parent.host) {
            (HostPattern::Just(own), held) => held.takes(own),
            (HostPattern::Below(own), HostPattern::Below(held)) => own == held || parent.host.takes(own),
            (HostPattern::Below(_), HostPattern::Just(_)) => false,
        };
        let port = self.port == parent.port
            || (parent.port.is_none() && self.port == self.scheme.as_deref().and_then(default_port))
            || (self.port.is_none()
                && parent.port == self.scheme.as_deref().and_then(default_port)
                && self.scheme.is_some());
        let path = match (&self.path, &parent.path) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(held)) if own == held => true,
            (Some(own), Some(held)) => {
                !own.contains('*') && takes_path(held, own)
                    || held.strip_suffix('*').is_some_and(|open| {
                        !open.contains('*')
                            && open.ends_with('/')
                            && own.len() > open.len()
                            && own.starts_with(open)
                    })
            }
        };
        scheme && host && port && path
    }
}

/// A star alone at the end takes all that is below, anywhere else one segment or a part of one.
fn takes_path(pattern: &str, path: &str) -> bool {
    let mut wanted = pattern.split('/').peekable();
    let mut found = path.split('/').peekable();
    while let Some(segment) = wanted.next() {
        if segment == "*" && wanted.peek().is_none() {
            return found.next().is_some_and(|first| !first.is_empty());
        }
        let Some(name) = found.next() else { return false };
        let fits = match segment.split_once('*') {
            None => segment == name,
            Some((head, tail)) => {
                !tail.contains('*')
                    && name.len() > head.len() + tail.len()
                    && name.starts_with(head)
                    && name.ends_with(tail)
            }
        };
        if !fits {
            return false;
        }
    }
    found.next().is_none()
}
