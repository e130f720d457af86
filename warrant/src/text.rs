//! Text that looks like other text.

use unicode_normalization::UnicodeNormalization;
use unicode_security::confusable_detection::skeleton as unicode_skeleton;

/// Characters that are not seen, or that change how others are seen: controls, zero width, direction, fillers.
pub(crate) fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{ffff}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

pub(crate) fn has_unseen(text: &str) -> bool {
    if text.is_ascii() {
        text.bytes().any(|byte| byte < b' ' || byte == 0x7f)
    } else {
        text.chars().any(is_unseen)
    }
}

/// Whether a reader that normalises, or a person, takes some character for one of `marks`.
pub(crate) fn has_look_alike(text: &str, marks: &str) -> bool {
    if text.is_ascii() {
        return false;
    }
    let drawn_alike = |c: char| match c {
        '\u{2044}' | '\u{2215}' | '\u{29f8}' | '\u{2571}' | '\u{1735}' | '\u{3033}' | '\u{31d3}'
        | '\u{4e3f}' => '/',
        '\u{2216}' | '\u{29f5}' | '\u{29f9}' | '\u{2572}' | '\u{31d4}' | '\u{4e36}' => '\\',
        '\u{3002}' | '\u{ff61}' | '\u{a4f8}' | '\u{701}' | '\u{702}' | '\u{660}' | '\u{6f0}' | '\u{a60e}' => {
            '.'
        }
        other => other,
    };
    text.chars().filter(|c| !c.is_ascii()).any(|c| c.nfkc().map(drawn_alike).any(|seen| marks.contains(seen)))
}

/// The text as it would pass a careless comparison: case, blanks, unseen characters and look-alikes set aside.
pub(crate) fn skeleton(text: &str) -> String {
    if text.is_ascii() {
        return text.trim_matches(|c: char| c.is_whitespace() || c.is_control()).to_ascii_lowercase();
    }
    let seen: String = text.nfkc().filter(|c| !is_unseen(*c)).collect();
    unicode_skeleton(seen.trim()).collect::<String>().to_lowercase()
}

/// Whether two texts pass for one another in a careless comparison.
pub(crate) fn looks_like(one: &str, other: &str) -> bool {
    if skeleton(one) == skeleton(other) {
        return true;
    }
    let drawn = |text: &str| {
        let seen: String = text.nfkc().filter(|c| !is_unseen(*c)).collect();
        unicode_skeleton(&seen.trim().to_lowercase()).collect::<String>().to_lowercase()
    };
    !(one.is_ascii() && other.is_ascii()) && drawn(one) == drawn(other)
}
