//! What a request must be before anybody looks at what it wants.
//!
//! A page of another name (DNS rebinding), of another port on this name, or of another site must not reach
//! anything here: browsers send it all, so each of these is checked and none of them alone is trusted.

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode, Uri};

use super::problem::Problem;

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// No script but our own file, no frame, no form, nothing from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'none'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; \
     trusted-types 'none'";

const HEADERS: [(&str, &str); 9] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), publickey-credentials-get=(self)"),
    ("cache-control", "no-store"),
];

/// The names under which people reach this listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// `herma.localhost:4590` and the like, in lower case.
    authorities: Vec<String>,
    scheme: &'static str,
}

impl Names {
    /// `hosts` are names with or without a port; `port` is meant where none is written.
    pub fn new(hosts: &[String], port: u16, https: bool) -> Self {
        let (scheme, usual) = if https { ("https", 443) } else { ("http", 80) };
        let authorities = hosts
            .iter()
            .flat_map(|host| {
                let host = host.to_ascii_lowercase();
                let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
                match has_port {
                    true => vec![host],
                    // Browsers leave the usual port out.
                    false if port == usual => vec![format!("{host}:{port}"), host],
                    false => vec![format!("{host}:{port}")],
                }
            })
            .collect();
        Self { authorities, scheme }
    }

    /// Where people go.
    pub fn url(&self) -> String {
        format!("{}://{}/", self.scheme, self.authorities.first().map_or("", String::as_str))
    }

    /// All names with their ports.
    pub fn all(&self) -> Vec<String> {
        self.authorities.clone()
    }

    /// The host without its port: what passkeys are bound to.
    pub fn host(&self) -> &str {
        let first = self.authorities.first().map_or("", String::as_str);
        first.rsplit_once(':').map_or(first, |(host, _)| host)
    }

    pub fn is_origin(&self, origin: &str) -> bool {
        let (scheme, rest) = origin.split_once("://").unwrap_or_default();
        scheme == self.scheme && self.is_authority(rest)
    }

    fn is_authority(&self, authority: &str) -> bool {
        self.authorities.iter().any(|known| known.eq_ignore_ascii_case(authority))
    }
}

/// One exact `Host`, whatever name the request line has.
pub(super) fn check_host(names: &Names, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let only = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok(),
        _ => None,
    };
    let line = uri.authority().is_none_or(|authority| names.is_authority(authority.as_str()));
    if line && only.is_some_and(|host| names.is_authority(host)) {
        return Ok(());
    }
    let said = format!("this name is not served here: go to {} (operator.hosts)", names.url());
    Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "host", said))
}

/// Reading is `GET`, changing is `POST`, nothing else exists.
pub(super) fn check_method(method: &Method) -> Result<(), Problem> {
    if matches!(*method, Method::GET | Method::HEAD | Method::POST) {
        return Ok(());
    }
    Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "only GET, HEAD and POST are known here"))
}

/// Whoever changes something is a page of ours.
pub(super) fn check_origin(names: &Names, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let refused = || Err(Problem::new(StatusCode::FORBIDDEN, "origin", "this comes from no page of ours"));
    match (origins.next(), origins.next()) {
        (None, _) if *method == Method::POST => refused(),
        (None, _) => Ok(()),
        (Some(origin), None) if origin.to_str().is_ok_and(|origin| names.is_origin(origin)) => Ok(()),
        _ => refused(),
    }
}

/// What the browser says of where the request was made. A link from elsewhere may open a page, and nothing more.
pub(super) fn check_site(method: &Method, headers: &HeaderMap, is_page: bool) -> Result<(), Problem> {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let opens_page = is_page
        && *method != Method::POST
        && text(&MODE) == Some("navigate")
        && text(&DEST) == Some("document");
    match text(&SITE) {
        None | Some("same-origin") => Ok(()),
        Some("none") if *method != Method::POST => Ok(()),
        Some(_) if opens_page => Ok(()),
        Some(_) => Err(Problem::new(StatusCode::FORBIDDEN, "site", "a page of another site asked for this")),
    }
}

/// JSON in plain bytes: what no form and no simple cross-site request can send.
pub(super) fn check_content(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    if *method != Method::POST {
        return Ok(());
    }
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
    let kind = match (kinds.next(), kinds.next()) {
        (Some(kind), None) => kind.to_str().unwrap_or_default(),
        _ => "",
    };
    if kind.eq_ignore_ascii_case("application/json") && !headers.contains_key(header::CONTENT_ENCODING) {
        return Ok(());
    }
    let said = "send `content-type: application/json`, uncompressed";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content", said))
}

/// On every answer, whatever it is.
pub(super) fn harden(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::new(&["herma.localhost".into(), "box.example:8443".into()], 4590, false)
    }

    fn with(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_the_exact_names_are_served() {
        let uri = Uri::from_static("/");
        let served = |host: &str| check_host(&names(), &uri, &with(&[("host", host)])).is_ok();
        assert!(
            served("herma.localhost:4590") && served("HERMA.localhost:4590") && served("box.example:8443")
        );
        for host in [
            "herma.localhost",
            "herma.localhost:4591",
            "localhost:4590",
            "127.0.0.1:4590",
            "evil.example",
            "",
        ] {
            assert!(!served(host), "{host}");
        }
        assert!(check_host(&names(), &uri, &with(&[])).is_err());
        let twice = with(&[("host", "herma.localhost:4590"), ("host", "herma.localhost:4590")]);
        assert!(check_host(&names(), &uri, &twice).is_err());
        let absolute = Uri::from_static("http://evil.example/");
        assert!(check_host(&names(), &absolute, &with(&[("host", "herma.localhost:4590")])).is_err());
    }

    #[test]
    fn a_change_needs_our_own_page() {
        let check = |origin: &[(&'static str, &str)]| check_origin(&names(), &Method::POST, &with(origin));
        assert!(check(&[("origin", "http://herma.localhost:4590")]).is_ok());
        assert!(check(&[]).is_err());
        for origin in
            ["null", "https://herma.localhost:4590", "http://herma.localhost:4591", "http://localhost:4590"]
        {
            assert!(check(&[("origin", origin)]).is_err(), "{origin}");
        }
    }

    #[test]
    fn a_link_from_elsewhere_opens_a_page_and_reads_no_data() {
        let link = [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        assert!(check_site(&Method::GET, &with(&link), true).is_ok());
        assert!(check_site(&Method::GET, &with(&link), false).is_err());
        assert!(check_site(&Method::POST, &with(&link), true).is_err());
        let frame =
            [("sec-fetch-site", "same-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
        assert!(check_site(&Method::GET, &with(&frame), true).is_err());
        assert!(check_site(&Method::GET, &with(&[("sec-fetch-site", "none")]), false).is_ok());
        assert!(check_site(&Method::POST, &with(&[("sec-fetch-site", "none")]), false).is_err());
    }

    #[test]
    fn a_body_is_json_and_says_so() {
        let check = |kind: &[(&'static str, &str)]| check_content(&Method::POST, &with(kind)).is_ok();
        assert!(check(&[("content-type", "application/json")]));
        for kind in
            ["text/plain", "application/json; charset=utf-16", "application/x-www-form-urlencoded", ""]
        {
            assert!(!check(&[("content-type", kind)]), "{kind}");
        }
        assert!(!check(&[("content-type", "application/json"), ("content-encoding", "gzip")]));
    }
}
