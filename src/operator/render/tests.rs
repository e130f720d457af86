#![expect(clippy::string_slice, reason = "tests fail by panicking")]

use proptest::prelude::*;
use serde_json::json;

use super::command::{Token, tokens};
use super::letters::{Nature, Sign, nature};
use super::pieces::{Look, pieces};
use super::*;

/// Text as attackers write it: plain letters among everything that hides, turns around or passes for something.
fn hostile() -> impl Strategy<Value = String> {
    let strange = prop_oneof![
        4 => any::<char>(),
        3 => prop::char::range(' ', '~'),
        2 => prop::sample::select(vec![
            '\u{202e}', '\u{2066}', '\u{200b}', '\u{200d}', '\u{fe0f}', '\u{e0041}', '\u{ad}', '\u{a0}', '\u{3000}', '\r', '\n', '\t',
            '\0', '\u{1b}', 'а', 'Ο', 'ѕ', 'ש', 'ع', '\u{301}', '\u{36f}', '\u{1d41a}', '\u{ff41}', '\u{2028}', '<', '&', '"', '\'',
        ]),
        1 => Just(' '),
    ];
    (prop::collection::vec(strange, 0..60), 0usize..40).prop_map(|(letters, blanks)| {
        let text: String = letters.into_iter().collect();
        format!("{text}{}{text}", " ".repeat(blanks))
    })
}

/// What a person reads in markup of text: its tags taken away and its entities read.
fn visible(markup: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for c in markup.chars() {
        match c {
            '<' => inside = true,
            '>' => inside = false,
            c if !inside => text.push(c),
            _ => {}
        }
    }
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

proptest! {
    #[test]
    fn nothing_is_lost_between_the_pieces(text in hostile()) {
        let mut end = 0;
        let mut back = String::new();
        for piece in pieces(&text) {
            prop_assert_eq!(piece.at.start, end);
            end = piece.at.end;
            match piece.look {
                Look::Strange { c, times, .. } | Look::Run { c, times } => back.push_str(&c.to_string().repeat(times)),
                _ => back.push_str(&text[piece.at]),
            }
        }
        prop_assert_eq!(back, text);
    }

    #[test]
    fn no_character_that_hides_or_acts_reaches_the_page(text in hostile()) {
        for markup in [line(&text), block(&text), spoken(&text, "/x", &[]), change(&text, &format!("{text}!"))] {
            let seen = visible(&markup.into_string());
            for c in seen.chars() {
                let hides = matches!(nature(c), Nature::Strange(Sign::Hidden(_)));
                prop_assert!(!hides, "U+{:04X} in {seen:?}", u32::from(c));
            }
        }
    }

    #[test]
    fn markup_of_a_value_holds_no_tag_of_the_value(text in hostile()) {
        let text = format!("<script>alert(1)</script>{text}<img src=x>");
        let value = json!({ text.clone(): text.clone(), "command": text.clone(), "url": format!("https://{text}") });
        let shown = arguments(Arguments { value: &value, reasons: &[], above: None, whole: false }).into_string();
        prop_assert!(!shown.contains("<script") && !shown.contains("<img"), "{shown}");
    }

    #[test]
    fn tokens_of_a_command_lie_in_order_within_it(command in "[a-z $\"'(){}<>|&;#=\\\\\n/-]{0,60}|\\PC{0,40}") {
        let mut end = 0;
        for (at, _) in tokens(&command) {
            prop_assert!(at.start >= end && at.end > at.start, "{at:?} in {command:?}");
            prop_assert!(command.get(at.clone()).is_some(), "{at:?} in {command:?}");
            end = at.end;
        }
    }

    #[test]
    fn wherever_rules_point_the_text_stays_whole(text in hostile(), start in 0usize..80, length in 0usize..40) {
        let reason = herma_scoring::Reason {
            rule: "r".into(), text: "t".into(), factor: "floor".into(), points: 0.1,
            pointer: Some("/x".into()), span: Some((start, start + length)),
        };
        let marked = spoken(&text, "/x", &[reason]).into_string();
        prop_assert_eq!(visible(&marked), visible(&block(&text).into_string()));
    }
}

/// Unicode's own word for it, so that a character missing in our list is found.
#[test]
fn every_character_that_unicode_knows_to_be_invisible_counts_as_hidden() {
    let unseen = regex::Regex::new(
        r"[\p{Cc}\p{Co}\p{Zl}\p{Zp}\p{White_Space}\p{Bidi_Control}\p{Default_Ignorable_Code_Point}]",
    )
    .unwrap();
    let hides = |c: char| unseen.is_match(c.encode_utf8(&mut [0; 4]));
    let missing = ('\0'..=char::MAX).filter(|c| {
        !matches!(c, ' ' | '\n') && hides(*c) && !matches!(nature(*c), Nature::Strange(Sign::Hidden(_)))
    });
    assert_eq!(missing.collect::<Vec<_>>(), [' '; 0]);
}

#[test]
fn what_passes_for_another_letter_is_named() {
    let seen = |text: &str| visible(&line(text).into_string());
    assert_eq!(seen("pаypal"), "pаU+0430 not aypal");
    assert_eq!(seen("москва"), "москва", "an honest word of another script");
    assert_eq!(seen("ѕсоре"), "ѕU+0455 not sсU+0441 not cоU+043E not oрU+0440 not pеU+0435 not e");
    assert_eq!(seen("Grüße, 世界"), "Grüße, 世界");
    assert_eq!(seen("a\u{202e}b"), "aU+202E forces right to leftb");
    assert_eq!(seen("\u{e0068}\u{e0069}"), "U+E0068 tag hU+E0069 tag i");
    assert_eq!(seen("x\u{200b}\u{200b}\u{200b}y"), "xU+200B zero width ×3y");
    assert_eq!(seen(&format!("a{}b", " ".repeat(4000))), "a4,000 spacesb");
}

#[test]
fn letters_from_right_to_left_are_kept_apart() {
    let shown = line("send 100 to שלום 200 / etc").into_string();
    assert!(shown.contains("<bdi dir=\"rtl\">שלום</bdi>"), "{shown}");
}

#[test]
fn the_end_of_a_long_value_is_on_the_page_and_open_when_a_rule_spoke_of_it() {
    let long = format!("{}secret", "a ".repeat(2_000));
    let value = json!({ "note": long });
    let folded = |reasons: &[herma_scoring::Reason], whole| {
        arguments(Arguments { value: &value, reasons, above: None, whole }).into_string()
    };
    let quiet = folded(&[], false);
    assert!(quiet.contains("show 2,006 more characters") && quiet.contains("secret"), "{quiet}");
    assert!(!quiet.contains("<details class=\"more\" open"));
    let reason = herma_scoring::Reason {
        rule: "r".into(),
        text: "t".into(),
        factor: "floor".into(),
        points: 0.1,
        pointer: Some("/note".into()),
        span: Some((4_000, 4_006)),
    };
    let spoken = folded(&[reason], false);
    assert!(spoken.contains("<details class=\"more\" open"), "{spoken}");
    assert!(spoken.contains("<mark title=\"t (r)\">secret</mark>"), "{spoken}");
    assert!(!folded(&[], true).contains("<details"));
}

#[test]
fn a_mark_does_not_slip_when_secrets_were_taken_out_before_it() {
    let reason = herma_scoring::Reason {
        rule: "r".into(),
        text: "t".into(),
        factor: "floor".into(),
        points: 0.1,
        pointer: Some("/x".into()),
        span: Some((20, 24)),
    };
    let marked = spoken("key [redacted: secret.aws] and rm", "/x", &[reason]).into_string();
    assert!(marked.starts_with("<mark") && marked.ends_with("</mark>"), "{marked}");
}

#[test]
fn a_command_is_read_by_its_parts() {
    let command = "cd /srv && CI=1 sudo rm -rf \"$HOME/x $(id -u)\" | tee 2>>log # bye";
    let found: Vec<_> = tokens(command).into_iter().map(|(at, token)| (&command[at], token)).collect();
    assert_eq!(
        found,
        [
            ("cd", Token::Program),
            ("&&", Token::Operator),
            ("sudo", Token::Program),
            ("rm", Token::Program),
            ("-rf", Token::Flag),
            ("\"$HOME/x ", Token::Quoted),
            ("$(", Token::Operator),
            ("id", Token::Program),
            ("-u", Token::Flag),
            (")", Token::Operator),
            ("\"", Token::Quoted),
            ("|", Token::Operator),
            ("tee", Token::Program),
            (">>log", Token::Redirect),
            ("# bye", Token::Comment),
        ]
    );
}

#[test]
fn the_host_of_an_address_stands_out_and_what_poses_as_one_does_not() {
    let shown = address("https://paypal.com@evil.example:8443/paypal.com").unwrap().into_string();
    assert!(shown.contains("<b>evil.example:8443</b>"), "{shown}");
    assert!(shown.contains("<span class=\"warned\">paypal.com@</span>"), "{shown}");
    let slashed = address("https://evil.example\\@good.example/").unwrap().into_string();
    assert!(slashed.contains("<b>evil.example</b>"), "{slashed}");
    assert!(
        address("https://xn--pypal-4ve.com/").unwrap().into_string().contains("letters of another script")
    );
    assert!(address("no address at all").is_none());
}

#[test]
fn an_edit_is_shown_with_both_its_sides() {
    let value = json!({ "edits": [{ "oldText": "a\nb\n", "newText": "a\nc\n" }] });
    let shown = arguments(Arguments { value: &value, reasons: &[], above: None, whole: false }).into_string();
    assert!(shown.contains("1 line out, 1 in"), "{shown}");
    assert!(shown.contains("<div class=\"out\">") && shown.contains("<div class=\"in\">"), "{shown}");
}
