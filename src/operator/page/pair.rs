//! The door: signing in, and what is not here.

use maud::{Markup, html};

use super::frame::stone;
use crate::operator::desk::{MissingView, PairView};
use crate::operator::render::line;

pub(super) fn page(pair: &PairView) -> Markup {
    html! {
        div.door {
            (stone())
            h1 { "Herma" }
            p.lead { "Agents stop here. You decide what passes." }
            form.pair id="pair" data-next=(pair.next) {
                p { "In a terminal on this machine, run" }
                p.command-line { code { "herma pair" } }
                label { "The code it prints"
                    input name="code" required autocomplete="one-time-code" autocapitalize="characters" spellcheck="false"
                        maxlength="11" placeholder="XXXX-XXXX" autofocus;
                }
                label { "Your name in the record, if it is not the one the terminal says"
                    input name="name" autocomplete="nickname" maxlength="64" spellcheck="false";
                }
                p.error data-error role="alert" hidden {}
                button.primary data-act="pair" { "Pair this browser" }
            }
            @if pair.passkeys {
                p.or { "or" }
                button data-act="sign-in" { "Sign in with a passkey" }
            }
            p.dim { "This browser makes a key that cannot leave it. Every decision is signed with it." }
            noscript { p.caution { "Signing in needs the page's script." } }
        }
    }
}

pub(super) fn missing(missing: &MissingView) -> Markup {
    html! {
        div.door {
            (stone())
            h1 { "Not here" }
            p { (line(&missing.what)) }
            p { a href="/" { "To the inbox" } }
        }
    }
}
