//! Every address of this listener, and what one must be to use it.

use hyper::{Method, StatusCode};

use super::problem::Problem;

/// What a request must bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Anybody on this machine.
    Open,
    /// A session.
    Read,
    /// A session, and the signature of its key over this very request.
    Change,
}

/// What is at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Asset,
    PairPage,
    InboxPage,
    HoldPage,
    SessionsPage,
    TimelinePage,
    ReviewsPage,
    ReviewPage,
    SimulatorPage,
    WarrantsPage,
    AuditPage,
    SettingsPage,
    Events,
    Me,
    Figures,
    Inbox,
    Holds,
    Hold,
    Arguments,
    Draft,
    Decide,
    Batch,
    Preview,
    Similar,
    Sessions,
    Timeline,
    Reviews,
    Review,
    AcceptReview,
    Revert,
    Flag,
    StopReview,
    Frozen,
    Freeze,
    Thaw,
    Latches,
    ClearLatch,
    Standing,
    Withdraw,
    Warrants,
    Revoke,
    TryWarrant,
    SignWarrant,
    LiftWarrant,
    Audit,
    Export,
    Checkpoint,
    Proof,
    AcceptTool,
    Unflag,
    TestChannel,
    RetryNotices,
    Policy,
    Simulate,
    Drafts,
    OneDraft,
    SaveDraft,
    RemoveDraft,
    Activate,
    Approvers,
    Settings,
    Pair,
    SignInChallenge,
    SignIn,
    SignOut,
    PasskeyChallenge,
    AddPasskey,
    RemoveKey,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Route {
    pub(super) method: &'static str,
    /// `{}` stands for one segment.
    pub(super) path: &'static str,
    pub(super) access: Access,
    pub(super) endpoint: Endpoint,
}

const fn at(method: &'static str, path: &'static str, access: Access, endpoint: Endpoint) -> Route {
    Route { method, path, access, endpoint }
}

use Access::{Change, Open, Read};

pub(super) const ROUTES: &[Route] = &[
    at("GET", "/", Read, Endpoint::InboxPage),
    at("GET", "/h/{}", Read, Endpoint::HoldPage),
    at("GET", "/s", Read, Endpoint::SessionsPage),
    at("GET", "/s/{}", Read, Endpoint::TimelinePage),
    at("GET", "/review", Read, Endpoint::ReviewsPage),
    at("GET", "/review/{}", Read, Endpoint::ReviewPage),
    at("GET", "/sim", Read, Endpoint::SimulatorPage),
    at("GET", "/w", Read, Endpoint::WarrantsPage),
    at("GET", "/log", Read, Endpoint::AuditPage),
    at("GET", "/settings", Read, Endpoint::SettingsPage),
    at("GET", "/pair", Open, Endpoint::PairPage),
    at("GET", "/assets/{}", Open, Endpoint::Asset),
    at("GET", "/op/v1/events", Read, Endpoint::Events),
    at("GET", "/op/v1/me", Read, Endpoint::Me),
    at("GET", "/op/v1/figures", Read, Endpoint::Figures),
    at("GET", "/op/v1/inbox", Read, Endpoint::Inbox),
    at("GET", "/op/v1/holds", Read, Endpoint::Holds),
    at("POST", "/op/v1/holds/batch", Change, Endpoint::Batch),
    at("GET", "/op/v1/holds/{}", Read, Endpoint::Hold),
    at("GET", "/op/v1/holds/{}/arguments", Read, Endpoint::Arguments),
    at("POST", "/op/v1/holds/{}/draft", Change, Endpoint::Draft),
    at("POST", "/op/v1/holds/{}/decision", Change, Endpoint::Decide),
    at("POST", "/op/v1/holds/{}/similar/preview", Change, Endpoint::Preview),
    at("POST", "/op/v1/holds/{}/similar", Change, Endpoint::Similar),
    at("GET", "/op/v1/sessions", Read, Endpoint::Sessions),
    at("GET", "/op/v1/sessions/{}", Read, Endpoint::Timeline),
    at("GET", "/op/v1/reviews", Read, Endpoint::Reviews),
    at("GET", "/op/v1/reviews/{}", Read, Endpoint::Review),
    at("POST", "/op/v1/reviews/{}/accept", Change, Endpoint::AcceptReview),
    at("POST", "/op/v1/reviews/{}/revert", Change, Endpoint::Revert),
    at("POST", "/op/v1/reviews/{}/flag", Change, Endpoint::Flag),
    at("POST", "/op/v1/reviews/{}/stop", Change, Endpoint::StopReview),
    at("GET", "/op/v1/freeze", Read, Endpoint::Frozen),
    at("POST", "/op/v1/freeze", Change, Endpoint::Freeze),
    at("POST", "/op/v1/thaw", Change, Endpoint::Thaw),
    at("GET", "/op/v1/latches", Read, Endpoint::Latches),
    at("POST", "/op/v1/latches/clear", Change, Endpoint::ClearLatch),
    at("GET", "/op/v1/standing", Read, Endpoint::Standing),
    at("POST", "/op/v1/standing/{}/withdraw", Change, Endpoint::Withdraw),
    at("GET", "/op/v1/warrants", Read, Endpoint::Warrants),
    at("POST", "/op/v1/warrants", Change, Endpoint::SignWarrant),
    at("POST", "/op/v1/warrants/preview", Change, Endpoint::TryWarrant),
    at("POST", "/op/v1/warrants/lift", Change, Endpoint::LiftWarrant),
    at("POST", "/op/v1/warrants/revoke", Change, Endpoint::Revoke),
    at("POST", "/op/v1/tools/accept", Change, Endpoint::AcceptTool),
    at("POST", "/op/v1/tools/unflag", Change, Endpoint::Unflag),
    at("POST", "/op/v1/channels/{}/test", Change, Endpoint::TestChannel),
    at("POST", "/op/v1/notices/retry", Change, Endpoint::RetryNotices),
    at("GET", "/op/v1/audit", Read, Endpoint::Audit),
    at("GET", "/op/v1/audit/export/{}", Read, Endpoint::Export),
    at("GET", "/op/v1/audit/checkpoint", Read, Endpoint::Checkpoint),
    at("GET", "/op/v1/audit/proof/{}", Read, Endpoint::Proof),
    at("GET", "/op/v1/policy", Read, Endpoint::Policy),
    at("POST", "/op/v1/policy/simulate", Change, Endpoint::Simulate),
    at("GET", "/op/v1/policy/drafts", Read, Endpoint::Drafts),
    at("POST", "/op/v1/policy/drafts", Change, Endpoint::SaveDraft),
    at("GET", "/op/v1/policy/drafts/{}", Read, Endpoint::OneDraft),
    at("POST", "/op/v1/policy/drafts/{}/activate", Change, Endpoint::Activate),
    at("POST", "/op/v1/policy/drafts/{}/remove", Change, Endpoint::RemoveDraft),
    at("GET", "/op/v1/approvers", Read, Endpoint::Approvers),
    at("GET", "/op/v1/settings", Read, Endpoint::Settings),
    at("POST", "/op/v1/pair", Open, Endpoint::Pair),
    at("POST", "/op/v1/session/challenge", Open, Endpoint::SignInChallenge),
    at("POST", "/op/v1/session", Open, Endpoint::SignIn),
    at("POST", "/op/v1/session/end", Change, Endpoint::SignOut),
    at("POST", "/op/v1/passkeys/challenge", Change, Endpoint::PasskeyChallenge),
    at("POST", "/op/v1/passkeys", Change, Endpoint::AddPasskey),
    at("POST", "/op/v1/keys/{}/remove", Change, Endpoint::RemoveKey),
];

/// The route of a request and the segment that stands in it.
pub(super) fn find(method: &Method, path: &str) -> Result<(&'static Route, String), Problem> {
    let method = if *method == Method::HEAD { "GET" } else { method.as_str() };
    let mut known = false;
    for route in ROUTES {
        let Some(segment) = fits(route.path, path) else { continue };
        known = true;
        if route.method == method {
            let segment = decode(segment).ok_or_else(|| Problem::malformed("the address cannot be read"))?;
            return Ok((route, segment));
        }
    }
    Err(match known {
        true => {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "this address does not know the method")
        }
        false => Problem::missing("nothing is at this address"),
    })
}

/// Addresses of pages; everything else is for programs.
pub(super) fn is_page(path: &str) -> bool {
    !path.starts_with("/op/") && !path.starts_with("/assets/")
}

/// The one segment that the pattern leaves open; empty when it leaves none.
fn fits<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    let Some((before, after)) = pattern.split_once("{}") else { return (pattern == path).then_some("") };
    let segment = path.strip_prefix(before)?.strip_suffix(after)?;
    (!segment.is_empty() && !segment.contains('/')).then_some(segment)
}

pub(super) fn decode(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let pair = [rest.next()?, rest.next()?];
                *data_encoding::HEXLOWER_PERMISSIVE.decode(&pair).ok()?.first()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_to_one_route() {
        let to = |method: Method, path: &str| {
            find(&method, path).map(|(route, segment)| (route.endpoint, segment))
        };
        assert_eq!(to(Method::GET, "/").unwrap().0, Endpoint::InboxPage);
        assert_eq!(to(Method::HEAD, "/h/h-abc").unwrap(), (Endpoint::HoldPage, "h-abc".into()));
        assert_eq!(to(Method::GET, "/s/a%2Fb%20c").unwrap(), (Endpoint::TimelinePage, "a/b c".into()));
        assert_eq!(to(Method::POST, "/op/v1/holds/batch").unwrap().0, Endpoint::Batch);
        assert_eq!(to(Method::POST, "/op/v1/holds/h-1/decision").unwrap(), (Endpoint::Decide, "h-1".into()));
        for path in ["/h/", "/h/a/b", "//", "/op/v1/holds/h-1/decision/", "/s/%zz", "/s/%ff", "/nothing"] {
            assert!(to(Method::GET, path).is_err(), "{path}");
        }
        let wrong = to(Method::GET, "/op/v1/freeze/x").unwrap_err();
        assert_eq!(wrong.status(), StatusCode::NOT_FOUND);
        assert_eq!(to(Method::POST, "/").unwrap_err().status(), StatusCode::METHOD_NOT_ALLOWED);
    }

    #[test]
    fn the_description_names_every_address_of_the_api_and_no_other() {
        let file = include_str!("../../docs/operator-api.yaml");
        let file: serde_json::Value = serde_saphyr::from_str(file).unwrap();
        let mut described = Vec::new();
        for (path, operations) in file["paths"].as_object().unwrap() {
            let open = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
            let open = open.collect::<Vec<_>>().join("/");
            for method in operations.as_object().unwrap().keys().filter(|key| *key != "parameters") {
                described.push(format!("{} {open}", method.to_uppercase()));
            }
        }
        let mut served: Vec<_> = ROUTES
            .iter()
            .filter(|route| !is_page(route.path) && route.path.starts_with("/op/"))
            .map(|route| format!("{} {}", route.method, route.path))
            .collect();
        described.sort();
        served.sort();
        assert_eq!(described, served);
    }

    #[test]
    fn nothing_that_changes_something_is_open_or_read_by_get() {
        for route in ROUTES {
            let opens =
                [Endpoint::Pair, Endpoint::SignIn, Endpoint::SignInChallenge].contains(&route.endpoint);
            assert_eq!(route.method == "POST" && !opens, route.access == Access::Change, "{}", route.path);
        }
    }
}
