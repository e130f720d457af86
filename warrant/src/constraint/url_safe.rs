//! URLs that do not lead inside: no loopback, no private network, no metadata service.

use crate::constraint::Verdict;
use crate::constraint::url::{Host, Url, Zone, default_port, parse, zone_v4, zone_v6};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlSafe {
    pub schemes: Vec<String>,
    pub allow_domains: Option<Vec<String>>,
    pub deny_domains: Option<Vec<String>>,
    pub allow_ports: Option<Vec<u16>>,
    pub block_private: bool,
    pub block_loopback: bool,
    pub block_metadata: bool,
    pub block_reserved: bool,
    pub block_internal_tlds: bool,
}

impl Default for UrlSafe {
    fn default() -> Self {
        Self {
            schemes: vec!["http".to_owned(), "https".to_owned()],
            allow_domains: None,
            deny_domains: None,
            allow_ports: None,
            block_private: true,
            block_loopback: true,
            block_metadata: true,
            block_reserved: true,
            block_internal_tlds: false,
        }
    }
}

const LOOPBACK_NAMES: &[&str] = &["localhost", "localdomain", "ip6-localhost", "ip6-loopback", "localhost6"];
const METADATA_NAMES: &[&str] = &["metadata", "metadata.google.internal", "metadata.goog", "instance-data"];
/// Endings that no public name has.
const INTERNAL: &[&str] = &[
    "internal",
    "local",
    "lan",
    "home",
    "corp",
    "intranet",
    "private",
    "home.arpa",
    "svc",
    "cluster.local",
    "test",
    "invalid",
    "onion",
    "domain",
    "localdomain",
    "localhost",
    "docker",
    "consul",
    "workgroup",
    "arpa",
];
/// Public names that are known to point anywhere their reader wants, loopback first of all.
const REBINDING: &[&str] = &[
    "localtest.me",
    "lvh.me",
    "vcap.me",
    "lacolhost.com",
    "yoogle.com",
    "nip.io",
    "sslip.io",
    "xip.io",
    "fuf.me",
    "localho.st",
    "local.gd",
    "rbndr.us",
    "1u.ms",
    "127-0-0-1.org.uk",
    "readme.localtest.me",
    "traefik.me",
    "backname.io",
    "bugbounty.dod.network",
    "spoofed.burpcollaborator.net",
    "burpcollaborator.net",
    "oastify.com",
    "lndo.site",
    "ngrok.io",
    "ngrok-free.app",
    "localhost.run",
    "requestrepo.com",
    "dnslog.cn",
    "ceye.io",
    "ssrf.sh",
];

/// Whether `name` is `domain` or below it.
fn is_under(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|head| head.is_empty() || head.ends_with('.'))
}

fn is_internal(name: &str) -> bool {
    !name.contains('.') || INTERNAL.iter().any(|ending| is_under(name, ending))
}

/// Names of which only a resolver, or a person who reads the script, can say where they lead.
fn is_open_to_doubt(name: &str) -> bool {
    REBINDING.iter().any(|domain| is_under(name, domain))
        || name.split('.').any(|label| label.starts_with("xn--"))
}

/// An entry of a list of domains: the name itself, or with `*.` only what is below it.
fn lists(entry: &str, name: &str) -> bool {
    let entry = entry.to_ascii_lowercase();
    match entry.strip_prefix("*.") {
        Some(domain) => name.strip_suffix(domain).is_some_and(|head| head.len() > 1 && head.ends_with('.')),
        None => entry == name,
    }
}

impl UrlSafe {
    pub(super) fn check(&self, text: &str) -> Verdict {
        let url = match parse(text) {
            Ok(url) => url,
            Err(trick) => return Verdict::Doubtful(trick),
        };
        if !self.schemes.iter().any(|scheme| scheme.eq_ignore_ascii_case(&url.scheme)) {
            return Verdict::Differs("the scheme is not allowed");
        }
        let name = url.host.text();
        if let Some(denied) = &self.deny_domains
            && denied.iter().any(|entry| {
                let entry = entry.to_ascii_lowercase();
                is_under(&name, entry.strip_prefix("*.").unwrap_or(&entry))
            })
        {
            return Verdict::Differs("the host is on the list of refused domains");
        }
        let listed = self.allow_domains.as_ref().map(|list| list.iter().any(|entry| lists(entry, &name)));
        if listed == Some(false) {
            return Verdict::Differs("the host is not on the list of allowed domains");
        }
        if !self.allows_port(&url) {
            return Verdict::Differs("the port is not allowed");
        }
        self.place(&url.host, listed.is_some())
    }

    fn allows_port(&self, url: &Url<'_>) -> bool {
        match &self.allow_ports {
            Some(ports) => {
                url.port.or_else(|| default_port(&url.scheme)).is_some_and(|port| ports.contains(&port))
            }
            // A bare domain on a list means the service that answers at the scheme's own port.
            None => self.allow_domains.is_none() || url.port.is_none(),
        }
    }

    fn place(&self, host: &Host, listed: bool) -> Verdict {
        let zone = match host {
            Host::V4(address) => zone_v4(*address),
            Host::V6(address) => zone_v6(*address),
            Host::Name(name) => return self.place_name(name, listed),
        };
        match zone {
            Zone::Public => Verdict::Matches,
            Zone::Loopback if self.block_loopback => Verdict::Differs("leads to this machine itself"),
            Zone::Private if self.block_private => Verdict::Differs("leads into a private network"),
            Zone::Metadata if self.block_metadata => Verdict::Differs("leads to a metadata service"),
            Zone::Reserved if self.block_reserved => Verdict::Differs("leads to a reserved address"),
            Zone::Embedded => Verdict::Doubtful("an IPv4 address inside IPv6"),
            Zone::Loopback | Zone::Private | Zone::Metadata | Zone::Reserved => Verdict::Matches,
        }
    }

    fn place_name(&self, name: &str, listed: bool) -> Verdict {
        if METADATA_NAMES.iter().any(|metadata| is_under(name, metadata)) {
            return match self.block_metadata {
                true => Verdict::Differs("leads to a metadata service"),
                false => Verdict::Matches,
            };
        }
        if LOOPBACK_NAMES.iter().any(|loopback| is_under(name, loopback)) {
            return match self.block_loopback {
                true => Verdict::Differs("leads to this machine itself"),
                false => Verdict::Matches,
            };
        }
        if listed {
            return Verdict::Matches;
        }
        if is_open_to_doubt(name) {
            return Verdict::Review("where this name leads shows only when it is resolved");
        }
        if is_internal(name) && (self.block_private || self.block_internal_tlds) {
            return Verdict::Differs("a name that only an inner network knows");
        }
        Verdict::Matches
    }

    pub(super) fn narrows(&self, parent: &Self) -> bool {
        let within = |own: &[String], held: &[String]| {
            own.iter().all(|entry| held.iter().any(|other| other.eq_ignore_ascii_case(entry)))
        };
        let domains = match (&self.allow_domains, &parent.allow_domains) {
            (_, None) => self.allow_domains.is_none() || self.listed_are_plain(),
            (None, Some(_)) => false,
            (Some(own), Some(held)) => own.iter().all(|entry| {
                held.iter().any(|other| {
                    other.eq_ignore_ascii_case(entry)
                        || lists(other, &entry.to_ascii_lowercase())
                        || matches!(
                            (entry.strip_prefix("*."), other.strip_prefix("*.")),
                            (Some(own), Some(held)) if is_under(&own.to_ascii_lowercase(), &held.to_ascii_lowercase())
                        )
                })
            }),
        };
        let denied = match (&self.deny_domains, &parent.deny_domains) {
            (_, None) => true,
            (None, Some(held)) => held.is_empty(),
            (Some(own), Some(held)) => within(held, own),
        };
        let ports = match (&self.allow_ports, &parent.allow_ports) {
            (Some(own), Some(held)) => own.iter().all(|port| held.contains(port)),
            (Some(own), None) => parent.allow_domains.is_none() || own.is_empty(),
            (None, Some(held)) => {
                self.allow_domains.is_some()
                    && self.schemes.iter().all(|scheme| {
                        default_port(&scheme.to_ascii_lowercase()).is_some_and(|port| held.contains(&port))
                    })
            }
            (None, None) => true,
        };
        let flags = [
            (self.block_private, parent.block_private),
            (self.block_loopback, parent.block_loopback),
            (self.block_metadata, parent.block_metadata),
            (self.block_reserved, parent.block_reserved),
            (self.block_internal_tlds, parent.block_internal_tlds),
        ];
        domains
            && denied
            && ports
            && within(&self.schemes, &parent.schemes)
            && flags.iter().all(|(own, held)| *own || !held)
    }

    /// Whether every listed name is one that would also pass unlisted.
    fn listed_are_plain(&self) -> bool {
        self.allow_domains.iter().flatten().all(|entry| {
            let entry = entry.to_ascii_lowercase();
            let wild = entry.starts_with("*.");
            let name = entry.strip_prefix("*.").unwrap_or(&entry);
            !is_internal(name) && !is_open_to_doubt(name) && !wild
        })
    }
}
