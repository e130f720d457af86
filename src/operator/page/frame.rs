//! What stands around every page: the head, the way to the other pages, what is frozen, the keys.

use maud::{DOCTYPE, Markup, html};
use serde_json::{Value, json};

use super::say::{link, since};
use crate::operator::desk::{Frame, FrozenView, Page};
use crate::operator::render::line;

/// Page, address, key behind `g`.
const PAGES: [(&str, &str, &str); 7] = [
    ("Inbox", "/", "i"),
    ("Sessions", "/s", "s"),
    ("Review", "/review", "r"),
    ("Simulator", "/sim", "p"),
    ("Warrants", "/w", "w"),
    ("Audit", "/log", "l"),
    ("Settings", "/settings", "t"),
];

const KEYS: [(&str, &[(&str, &str)]); 3] = [
    (
        "Inbox",
        &[
            ("j k", "next, previous"),
            ("Enter", "open on a page of its own"),
            ("a", "show the call; again: approve it once"),
            ("d", "deny; 1–5 choose a reason"),
            ("e", "edit the arguments, then approve"),
            ("s", "approve similar calls"),
            ("x", "select for a batch"),
            ("u", "take back my last denial, while it counts down"),
            ("/", "filter"),
        ],
    ),
    ("Lists", &[("n p", "next, previous flagged call"), ("y r f", "accept, revert, flag a review")]),
    (
        "Everywhere",
        &[
            ("g i", "inbox"),
            ("g s", "sessions"),
            ("g r", "review"),
            ("g p", "simulator"),
            ("g w", "warrants"),
            ("g l", "audit"),
            ("g t", "settings"),
            ("Esc", "close"),
            ("?", "these keys"),
        ],
    ),
];

pub(super) fn document(frame: &Frame, page: &Page, body: &Markup) -> Markup {
    let (name, here) = title(page);
    let waiting = frame.figures.pending;
    html! {
        (DOCTYPE)
        html lang="en" data-session=[frame.who.as_ref().map(|who| &who.session)] data-page=(name) data-now=(frame.now_ms)
            data-passkey[frame.who.as_ref().is_some_and(|who| who.has_passkey)] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { @if waiting > 0 { "(" (waiting) ") " } (name) " · Herma" }
                link rel="icon" href="/assets/herma.svg" type="image/svg+xml";
                link rel="stylesheet" href="/assets/herma.css";
                script src="/assets/herma.js" type="module" {}
                @if let Some(more) = script(page) { script src={ "/assets/" (more) } type="module" {} }
            }
            body {
                a.skip href="#main" { "Skip to the page" }
                @if frame.who.is_some() { (header(frame, here)) }
                @for frozen in &frame.frozen { (frozen_bar(frozen, frame.now_ms)) }
                main id="main" tabindex="-1" { (body) }
                @if frame.who.is_some() { (keys()) }
                div id="said" role="status" aria-live="polite" {}
            }
        }
    }
}

fn title(page: &Page) -> (&'static str, &'static str) {
    match page {
        Page::Inbox(_) => ("Inbox", "/"),
        Page::Hold(_) => ("Hold", "/"),
        Page::Sessions(_) => ("Sessions", "/s"),
        Page::Timeline(_) => ("Session", "/s"),
        Page::Reviews(_) => ("Review", "/review"),
        Page::Simulator(_) => ("Simulator", "/sim"),
        Page::Warrants(_) => ("Warrants", "/w"),
        Page::Audit(_) => ("Audit", "/log"),
        Page::Settings(_) => ("Settings", "/settings"),
        Page::Pair(_) => ("Sign in", ""),
        Page::Missing(_) => ("Not here", ""),
    }
}

/// What only this page needs.
fn script(page: &Page) -> Option<&'static str> {
    match page {
        Page::Inbox(_) | Page::Hold(_) => Some("cards.js"),
        Page::Reviews(_) => Some("reviews.js"),
        Page::Pair(_) | Page::Settings(_) => Some("door.js"),
        _ => None,
    }
}

fn header(frame: &Frame, here: &str) -> Markup {
    let waiting = frame.figures.pending;
    let frozen = frame.frozen.iter().any(|frozen| frozen.scope == "all");
    html! {
        header.top {
            a.brand href="/" aria-label="Herma, inbox" { (stone()) span { "Herma" } }
            nav aria-label="Pages" {
                @for (name, address, key) in PAGES {
                    a href=(address) data-go=(key) aria-current=[(address == here).then_some("page")] {
                        (name)
                        @if address == "/" { " " span.count id="waiting" hidden[waiting == 0] { (waiting) } }
                    }
                }
            }
            div.top-end {
                @if !frozen { button.quiet data-act="post" data-post="/op/v1/freeze" data-body=(named("all", "")) { "Freeze all" } }
                button.quiet data-act="keys" aria-label="Keys" title="Keys (?)" { "?" }
            }
        }
    }
}

fn frozen_bar(frozen: &FrozenView, now: i64) -> Markup {
    html! {
        div.frozen role="alert" {
            p {
                b { "Frozen: " }
                @match frozen.scope.as_str() {
                    "all" => "every agent",
                    scope => { (line(scope)) " " code { (line(&frozen.what)) } },
                }
                ". What would do more than read is denied until this is lifted. "
                span.dim {
                    "By " (line(&frozen.by)) ", " (since(frozen.since_ms, now))
                    @if !frozen.reason.is_empty() { ": " (line(&frozen.reason)) }
                }
            }
            button data-act="post" data-post="/op/v1/thaw" data-body=(named(&frozen.scope, &frozen.what)) { "Lift" }
        }
    }
}

/// What is frozen or lifted, as the API takes it.
pub(super) fn named(scope: &str, what: &str) -> Value {
    let what = if scope == "all" { scope.to_owned() } else { format!("{scope}:{what}") };
    json!({ "what": what })
}

fn keys() -> Markup {
    html! {
        dialog.keys id="keys" aria-labelledby="keys-title" {
            h2 id="keys-title" { "Keys" }
            div.keys-columns {
                @for (name, keys) in KEYS {
                    section {
                        h3 { (name) }
                        dl {
                            @for (key, what) in keys {
                                div {
                                    dt { @for part in key.split(' ') { kbd { (part) } " " } }
                                    dd { (what) }
                                }
                            }
                        }
                    }
                }
            }
            p.dim { "A herma was a boundary stone: travellers passed it, or did not." }
            button data-act="close" autofocus { "Close" }
        }
    }
}

/// The mark: a head on a pillar.
pub(super) fn stone() -> Markup {
    html! {
        svg.stone width="18" height="24" viewBox="0 0 18 24" aria-hidden="true" {
            path d="M9 .8a2.7 2.7 0 0 1 1.600 4.870V7h3.200v1.200h1.700v1.900h-1.900l-.9 10.700H14V23H4v-2.200h1.300L4.400 10.100H2.500V8.200h1.700V7h3.200V5.670A2.700 2.700 0 0 1 9 .8Z" {}
        }
    }
}

/// A way to one session.
pub(super) fn session(id: &str) -> Markup {
    html! { a.session href=(link("/s/", id)) { (line(id)) } }
}
