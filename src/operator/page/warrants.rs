//! Permission slips that stand over somebody: what they allow, from whom, how long, and what was used of it.

use maud::{Markup, html};
use serde_json::json;

use super::say::{moment, short, since, until};
use crate::operator::desk::{Frame, WarrantBook, WarrantLine, WarrantLink};
use crate::operator::render::line;

pub(super) fn page(frame: &Frame, book: &WarrantBook) -> Markup {
    let now = frame.now_ms;
    html! {
        h1 { "Warrants" }
        p.dim { "Without a warrant: " (line(&book.no_warrant)) ". A warrant only narrows what the policy allows." }
        @if book.warrants.is_empty() {
            div.nothing {
                (super::frame::stone())
                p.lead { "No warrant stands over anybody." }
                p.dim { "Make one from what an agent really did: " code { "herma warrant learn" } }
            }
        }
        @for warrant in &book.warrants { (stands(warrant, now)) }
        @if !book.revoked.is_empty() {
            section {
                h2 { "Taken back" }
                table.wide {
                    thead { tr { th scope="col" { "what" } th scope="col" { "by" } th scope="col" { "when" } th scope="col" { "why" } } }
                    tbody {
                        @for row in &book.revoked {
                            tr {
                                td data-label="what" { (line(&row.kind)) " " code { (line(&row.value)) } }
                                td data-label="by" { (line(&row.by)) }
                                td data-label="when" { (since(row.at_ms, now)) }
                                td data-label="why" { (line(&row.reason)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn stands(warrant: &WarrantLine, now: i64) -> Markup {
    html! {
        article.card.warrant {
            header {
                h2 { "Over " span.object { (line(&warrant.party)) } }
                p.card-facts {
                    "put there by " b { (line(&warrant.by)) } @if let Some(at) = warrant.at_ms { ", " (since(at, now)) }
                }
            }
            @if let Some(refused) = &warrant.refused { p.caution { b { "It does not hold here: " } (line(refused)) } }
            (tree(&warrant.chain, now))
        }
    }
}

/// From the root down: each stands inside the one that allowed it.
fn tree(chain: &[WarrantLink], now: i64) -> Markup {
    let Some((first, rest)) = chain.split_first() else { return html! {} };
    html! {
        ol.tree {
            li {
                (link(first, now, rest.is_empty()))
                (tree(rest, now))
            }
        }
    }
}

fn link(link: &WarrantLink, now: i64, last: bool) -> Markup {
    let ms = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000);
    let (issued, expires) = (ms(link.issued_s), ms(link.expires_s));
    html! {
        div.link.last[last] {
            p.link-head {
                code { (line(&link.id)) } " "
                span.dim { "from " code { (line(&short(&link.issuer))) } " to " code { (line(&short(&link.holder))) } }
            }
            (life(issued, expires, now))
            @if link.tools.is_empty() { p.dim { "no tool" } }
            dl.facts {
                @for tool in &link.tools {
                    div {
                        dt { code { (line(&tool.tool)) } }
                        dd {
                            @if tool.terms.is_empty() { "with any arguments" }
                            @for term in &tool.terms { span.term { (line(term)) } " " }
                        }
                    }
                }
                @for (pool, used) in &link.used { div { dt { "used of " (line(pool)) } dd { (line(used)) } } }
            }
            button data-act="post" data-twice data-post="/op/v1/warrants/revoke" data-body=(json!({ "what": link.id, "reason": "taken back by a person, on the page" })) { "Take back" @if !last { " with all below" } }
        }
    }
}

fn life(issued: i64, expires: i64, now: i64) -> Markup {
    let whole = expires.saturating_sub(issued).max(1);
    let gone = now.saturating_sub(issued).clamp(0, whole);
    let width = gone.saturating_mul(200) / whole;
    html! {
        p.life {
            svg.bar width="200" height="6" viewBox="0 0 200 6" aria-hidden="true" {
                rect.bar-all width="200" height="6" rx="1" {}
                rect.bar-part width=(width) height="6" rx="1" {}
            }
            " " @if now >= expires { b { "expired" } } @else { "ends " (until(expires, now)) } " "
            span.dim { "issued " (moment(issued)) " UTC" }
        }
    }
}
