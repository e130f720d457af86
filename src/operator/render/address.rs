//! Web addresses with the one part that counts standing out: whose machine it is.

use maud::{Markup, html};

use super::text::line;

/// The parts of an address, if it is one.
struct Parts<'a> {
    scheme: &'a str,
    /// Names and passwords before the host, which look like a host and are none.
    user: &'a str,
    host: &'a str,
    rest: &'a str,
}

/// The address with its host emphasised; `None` for what is no address.
pub fn address(text: &str) -> Option<Markup> {
    let parts = split(text)?;
    let encoded = parts.host.split('.').any(|label| label.to_ascii_lowercase().starts_with("xn--"));
    Some(html! {
        span.address {
            span.dim { (line(parts.scheme)) }
            @if !parts.user.is_empty() { span.warned { (line(parts.user)) } span.sign { "not the host" } }
            b { (line(parts.host)) }
            @if encoded { span.sign { "letters of another script" } }
            (line(parts.rest))
        }
    })
}

fn split(text: &str) -> Option<Parts<'_>> {
    let (name, _) = text.split_once("://")?;
    let known =
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    let (scheme, rest) = text.split_at_checked(name.len().saturating_add(3)).filter(|_| known)?;
    if text.contains(char::is_whitespace) {
        return None;
    }
    // Browsers take a backslash for a slash.
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_checked(end)?;
    let start = authority.rfind('@').map_or(0, |at| at.saturating_add(1));
    let (user, host) = authority.split_at_checked(start)?;
    Some(Parts { scheme, user, host, rest })
}
