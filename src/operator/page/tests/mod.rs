mod sample;

use sample::Sample;

use super::{asset, render};

/// In every text of every view: markup, and characters that hide or turn around.
const PAYLOAD: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>\u{202e}\u{200b}";

#[test]
fn no_text_of_a_view_becomes_markup_or_hides_on_any_page() {
    let honest = Sample(str::to_owned).pages();
    let hostile = Sample(|text: &str| format!("{text}{PAYLOAD}")).pages();
    for ((name, frame, page), (_, bad_frame, bad_page)) in honest.into_iter().zip(hostile) {
        let (good, bad) = (render(&frame, &page), render(&bad_frame, &bad_page));
        assert!((1..=2).contains(&good.matches("<script").count()), "{name}");
        assert_eq!(good.matches("<script").count(), bad.matches("<script").count(), "{name}");
        assert!(!bad.contains("<img"), "{name}");
        // In attributes and fields such characters are bytes, written out where they are looked at before they count;
        // between tags they would be seen, or rather not.
        let mut inside = false;
        let fields =
            bad.split("<textarea").map(|part| part.split_once("</textarea>").map_or(part, |(_, rest)| rest));
        for c in fields.flat_map(str::chars) {
            match c {
                '<' => inside = true,
                '>' => inside = false,
                '\u{202e}' | '\u{200b}' => assert!(inside, "{name} shows U+{:04X}", u32::from(c)),
                _ => {}
            }
        }
    }
}

#[test]
fn pages_need_nothing_that_the_content_policy_forbids() {
    for (name, frame, page) in Sample(str::to_owned).pages() {
        let document = render(&frame, &page);
        for forbidden in
            [" style=", "<style", " onclick=", "javascript:", " src=\"http", " href=\"http", "<form action"]
        {
            assert!(!document.contains(forbidden), "{name} has {forbidden}");
        }
        assert!(document.starts_with("<!DOCTYPE html>"), "{name}");
    }
}

#[test]
fn the_count_of_what_waits_stands_in_the_title() {
    let sample = Sample(str::to_owned);
    let document = render(&sample.frame(), &super::Page::Inbox(sample.inbox()));
    assert!(document.contains("<title>(6) Inbox · Herma</title>"), "{document}");
}

#[test]
fn nothing_is_offered_twice_and_a_crisis_offers_no_shortcut() {
    let sample = Sample(str::to_owned);
    let crisis = render(&sample.frame(), &super::Page::Hold(Box::new(sample.crisis())));
    assert!(crisis.contains("Edit the text…") && !crisis.contains("data-act=\"similar\""), "{crisis}");
    assert!(crisis.contains("A person will answer"));
    let inbox = render(&sample.frame(), &super::Page::Inbox(sample.inbox()));
    let picks = inbox.matches("data-act=\"pick\"").count();
    assert_eq!(picks, 3, "only what is neither a crisis nor critical is decided in a batch");
}

const SCRIPTS: [&str; 4] = ["herma.js", "cards.js", "reviews.js", "door.js"];

fn script(name: &str) -> &'static str {
    std::str::from_utf8(asset(name).unwrap().bytes).unwrap()
}

#[test]
fn every_button_of_a_page_does_something_there() {
    for (name, frame, page) in Sample(str::to_owned).pages() {
        let document = render(&frame, &page);
        let loaded = SCRIPTS.iter().filter(|file| document.contains(&format!("\"/assets/{file}\"")));
        let loaded: String = loaded.map(|file| script(file)).collect();
        for act in document.split("data-act=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            let known = [format!("  {act}: "), format!("  \"{act}\": "), format!("  {act},\n")];
            assert!(known.iter().any(|known| loaded.contains(known)), "{name}: nothing does {act}");
        }
    }
}

#[test]
fn a_page_says_who_may_decide_and_when_nobody_may() {
    let sample = Sample(str::to_owned);
    let said = |approvers: Option<&[&str]>| {
        let mut view = sample.critical();
        let named = |named: &[&str]| named.iter().map(|name| (*name).to_owned()).collect();
        view.row.quorum.approvers = approvers.map(named);
        let document = render(&sample.frame(), &super::Page::Hold(Box::new(view)));
        document.split_once("Who may say</dt><dd>").unwrap().1.split_once(", by").unwrap().0.to_owned()
    };
    assert_eq!(said(None), "anybody who is paired");
    assert_eq!(said(Some(&["ada", "ben"])), "ada, ben");
    assert_eq!(said(Some(&[])), "nobody until somebody is named in the configuration");
}

#[test]
fn the_files_of_the_pages_are_small_and_make_no_markup() {
    for file in SCRIPTS {
        let script = script(file);
        for sink in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "DOMParser",
            "eval(",
            "Function(",
        ] {
            assert!(!script.contains(sink), "{file}: {sink}");
        }
        assert!(script.len() < 16 * 1024, "{file}: {}", script.len());
    }
    assert!(asset("herma.css").is_some_and(|file| file.content_type.starts_with("text/css")));
    assert!(asset("../mod.rs").is_none());
}
