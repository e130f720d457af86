//! The pages: HTML from views, and the files that go with them.

mod audit;
mod decide;
mod frame;
mod hold;
mod inbox;
mod pair;
mod review;
mod say;
mod session;
mod settings;
mod simulator;
#[cfg(test)]
mod tests;
mod warrants;

use maud::html;

use super::desk::{Frame, Page};
use super::render::line;

/// A file of the pages.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    pub content_type: &'static str,
    pub bytes: &'static [u8],
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The whole document.
pub fn render(frame: &Frame, page: &Page) -> String {
    let body = match page {
        Page::Inbox(inbox) => inbox::page(frame, inbox),
        Page::Hold(hold) => hold::page(frame, hold),
        Page::Sessions(list) => session::list(frame, list),
        Page::Timeline(timeline) => session::timeline(frame, timeline),
        Page::Reviews(queue) => review::page(frame, queue),
        Page::Simulator(simulator) => simulator::page(simulator),
        Page::Warrants(book) => warrants::page(frame, book),
        Page::Audit(audit) => audit::page(audit),
        Page::Settings(settings) => settings::page(frame, settings),
        Page::Pair(pair) => pair::page(pair),
        Page::Missing(missing) => pair::missing(missing),
    };
    frame::document(frame, page, &body).into_string()
}

/// What went wrong, for a script that puts it on its page.
pub fn problem(said: &str) -> String {
    html! { p data-problem { (line(said)) } }.into_string()
}

/// What `/assets/NAME` is.
pub fn asset(name: &str) -> Option<Asset> {
    let (content_type, bytes) = match name {
        "herma.css" => ("text/css; charset=utf-8", include_str!("../assets/herma.css")),
        "herma.js" => (SCRIPT, include_str!("../assets/herma.js")),
        "cards.js" => (SCRIPT, include_str!("../assets/cards.js")),
        "reviews.js" => (SCRIPT, include_str!("../assets/reviews.js")),
        "door.js" => (SCRIPT, include_str!("../assets/door.js")),
        "herma.svg" => ("image/svg+xml", include_str!("../assets/herma.svg")),
        _ => return None,
    };
    Some(Asset { content_type, bytes: bytes.as_bytes() })
}
