//! Permission slips that stand over somebody: what they allow, from whom, how long, and what was used of it.

use maud::{Markup, html};
use serde_json::json;

use super::frame::named;
use super::say::{counted, link as address, moment, short, since, until};
use crate::operator::desk::{Frame, WarrantBook, WarrantLine, WarrantLink, WarrantPreview};
use crate::operator::render::{line, thousands};

pub(super) fn page(frame: &Frame, book: &WarrantBook) -> Markup {
    let now = frame.now_ms;
    html! {
        h1 { "Warrants" }
        p.dim { "Without a warrant: " (line(&book.no_warrant)) ". A warrant only narrows what the policy allows." }
        @if book.warrants.is_empty() {
            div.nothing {
                (super::frame::stone())
                p.lead { "No warrant stands over anybody." }
                p.dim { "From what an agent really did: " code { "herma warrant learn" } }
            }
        }
        @for warrant in &book.warrants { (stands(frame, warrant)) }
        (form(book, now))
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

/// Terms of a new one. Whatever stands over the party already is narrowed by it.
fn form(book: &WarrantBook, now: i64) -> Markup {
    let WarrantBook { terms, learned, preview, .. } = book;
    html! {
        section id="make" {
            h2 { "Make one" }
            p.dim { "Signed by Herma's own key, it narrows whatever stands there and gives nothing: no warrant of a root is replaced by it." }
            form.stacked id="warrant" {
                div.choices {
                    label { "Over" input name="party" required value=(terms.party) placeholder="agent:NAME" autocomplete="off" spellcheck="false"; }
                    label { "Lives" input name="life" size="6" placeholder="8h" autocomplete="off"; }
                    label { "Calls of each tool" input type="number" name="calls" min="1" placeholder="any"; }
                }
                label { "What it allows" span.dim { ", one tool to a line; nothing: what stands there" }
                    textarea.mono name="allow" rows="5" spellcheck="false" placeholder="read_file:path=/data\nsend_mail:to=ann@example.org|bob@example.org" { "\n" (terms.allow) }
                }
                p.dim { code { "tool:arg=value,…" } " with " code { "a|b" } ", " code { "0..40" } ", " code { "/dir" } ", " code { "*.txt" } " or " code { "*" } " as values; " code { "arg?=" } " may be missing." }
                @if let Some(covers) = learned {
                    @if terms.allow.is_empty() { p.note { "Nothing to learn from: the record keeps short plain arguments with " code { "[ledger] learn = true" } "." } }
                    @else { p.note { "Learned from its last 7 days: covers " (line(covers)) " calls." } }
                }
                div.buttons {
                    button.primary data-act="ask" data-post="/op/v1/warrants/preview" { "What would it have said?" }
                    button data-act="query" data-only="party" data-to="/w?learn=1&" { "The least for what it did" }
                }
                p.error data-error role="alert" hidden {}
            }
            div id="warrant-answer" aria-live="polite" { @if let Some(preview) = preview { (tried(preview, now)) } }
        }
    }
}

fn tried(preview: &WarrantPreview, now: i64) -> Markup {
    let count = |name: &str, count: usize| html! { div { dt { (name) } dd { (thousands(count)) } } };
    html! {
        section.card.stacked {
            h3 { "Over " span.object { (line(&preview.terms.party)) } @if let Some(inside) = &preview.inside { ", inside " code { (line(inside)) } } }
            @if let Some(link) = preview.chain.last() { (grants(link, now)) }
            h3 { "Of its calls in the last " (preview.days) " days" }
            @if preview.of_record {
                dl.figures {
                    (count("all", preview.calls)) (count("allowed", preview.allowed)) (count("held", preview.held))
                    (count("refused", preview.refused)) (count("cannot be told", preview.unknown))
                }
            } @else { p.note { "The record does not say for whom an agent worked: nobody can tell." } }
            @if preview.cut { p.note { "The record is longer than what was read: the newest calls were taken." } }
            @if !preview.whys.is_empty() {
                ul.plain { @for why in &preview.whys {
                    li {
                        span.badge.loud[why.said == "refused"] { (if why.said == "unknown" { "cannot be told" } else { why.said }) } " "
                        (line(&why.why)) " "
                        a.dim href=(address("/log?call=", &why.call)) { (counted(why.count as u64, "call", "calls")) }
                    }
                } }
            }
            @if preview.unknown > 0 { p.dim { "The record keeps short plain arguments with " code { "[ledger] learn = true" } "." } }
            div.buttons {
                button.primary data-act="post" data-twice data-post="/op/v1/warrants" data-body=(json!(preview.terms)) { "Sign it, from now on" }
            }
            p.error data-error role="alert" hidden {}
        }
    }
}

fn stands(frame: &Frame, warrant: &WarrantLine) -> Markup {
    let now = frame.now_ms;
    html! {
        article.card.warrant {
            header {
                h2 { "Over " span.object { (line(&warrant.party)) } }
                p.card-facts {
                    @if warrant.here { span.badge { "made here" } " " }
                    "put there by " b { (line(&warrant.by)) } @if let Some(at) = warrant.at_ms { ", " (since(at, now)) }
                }
            }
            @if let Some(refused) = &warrant.refused { p.caution { b { "It does not hold here: " } (line(refused)) } }
            (tree(frame, &warrant.chain, warrant.here))
            div.buttons {
                a.button href={ (address("/w?party=", &warrant.party)) "#make" } { "Narrow…" }
                @if warrant.here {
                    button data-act="post" data-twice data-post="/op/v1/warrants/lift" data-body=(json!({ "party": warrant.party })) { "Lift what was made here" }
                }
            }
            p.error data-error role="alert" hidden {}
        }
    }
}

/// From the root down: each stands inside the one that allowed it.
fn tree(frame: &Frame, chain: &[WarrantLink], here: bool) -> Markup {
    let Some((first, rest)) = chain.split_first() else { return html! {} };
    html! {
        ol.tree {
            li {
                (link(frame, first, rest.is_empty(), here))
                (tree(frame, rest, here))
            }
        }
    }
}

fn link(frame: &Frame, link: &WarrantLink, last: bool, here: bool) -> Markup {
    let frozen = frame.frozen.iter().any(|frozen| frozen.scope == "warrant" && frozen.what == link.hex);
    let gone = json!({ "what": link.id, "reason": "taken back by a person, on the page" });
    html! {
        div.link.last[last] {
            p.link-head {
                code { (line(&link.id)) } " "
                span.dim { "from " code { (line(&short(&link.issuer))) } " to " code { (line(&short(&link.holder))) } }
                @if frozen { " " span.badge.loud { "frozen" } }
            }
            (grants(link, frame.now_ms))
            div.buttons {
                @if !frozen { button data-act="post" data-post="/op/v1/freeze" data-body=(named("warrant", &link.hex)) { "Freeze" } }
                // What is taken back refuses for good; what was made here is lifted.
                @if !here { button data-act="post" data-twice data-post="/op/v1/warrants/revoke" data-body=(gone) { "Take back" @if !last { " with all below" } } }
            }
        }
    }
}

/// How long it lives, what it allows, what was used of it.
fn grants(link: &WarrantLink, now: i64) -> Markup {
    let ms = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000);
    html! {
        (life(ms(link.issued_s), ms(link.expires_s), now))
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
