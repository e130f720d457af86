//! What each letter folds to. The build script folds the packs' patterns by it too, so it knows nothing else.

use unicode_normalization::UnicodeNormalization;

/// A pattern of a pack as the texts it will meet are folded: case, spaces and other signs untouched.
pub(crate) fn fold_pattern(pattern: &str) -> String {
    let mut folded = String::with_capacity(pattern.len());
    let apostrophe = |letter: &char| matches!(letter, '\'' | '\u{2019}');
    for letter in pattern.nfkc().filter(|letter| !is_dropped(*letter) && !apostrophe(letter)) {
        match base(letter) {
            Base::Letter(letter) => folded.push(letter),
            Base::Pair(pair) => folded.push_str(pair),
        }
    }
    // The one kind of space a folded text has.
    folded.replace(r"\s", " ")
}

/// Invisible letters, and marks over Latin, Greek, Cyrillic and Arabic ones.
pub(crate) fn is_dropped(letter: char) -> bool {
    matches!(u32::from(letter),
        0xAD | 0x300..=0x36F | 0x115F | 0x1160 | 0x3164 | 0xFFA0 | 0x483..=0x489 | 0x61C | 0x640 | 0x64B..=0x65F | 0x670 | 0x93C | 0x180E
        | 0x1AB0..=0x1AFF | 0x1DC0..=0x1DFF | 0x200B..=0x200F | 0x202A..=0x202E | 0x2060..=0x206F
        | 0x20D0..=0x20FF | 0xFE00..=0xFE0F | 0xFE20..=0xFE2F | 0xFEFF | 0xE0000..=0xE0FFF)
}

pub(crate) enum Base {
    Letter(char),
    Pair(&'static str),
}

/// The letter without its mark, where marks are spelling and not sound.
pub(crate) fn base(letter: char) -> Base {
    Base::Letter(match letter {
        '\0'..='\u{7f}' => letter,
        'ß' => return Base::Pair("ss"),
        'æ' => return Base::Pair("ae"),
        'œ' => return Base::Pair("oe"),
        'ø' => 'o',
        'đ' => 'd',
        'ł' => 'l',
        'ı' => 'i',
        'أ' | 'إ' | 'آ' | 'ٱ' => 'ا',
        'ى' => 'ي',
        'ة' => 'ه',
        'ؤ' => 'و',
        'ئ' => 'ي',
        'ँ' => 'ं',
        '\u{1d00}'..='\u{1d22}' | '\u{250}'..='\u{2af}' | 'ꜰ' | 'ꜱ' => small_capital(letter),
        '\u{c0}'..='\u{24f}' | '\u{370}'..='\u{52f}' | '\u{1e00}'..='\u{1fff}' => {
            let mut first = letter;
            unicode_normalization::char::decompose_canonical(letter, |part| {
                if !is_dropped(part) {
                    first = part;
                }
            });
            first
        }
        other => other,
    })
}

fn small_capital(letter: char) -> char {
    match letter {
        'ᴀ' => 'a',
        'ʙ' => 'b',
        'ᴄ' => 'c',
        'ᴅ' => 'd',
        'ᴇ' => 'e',
        'ꜰ' => 'f',
        'ɢ' => 'g',
        'ʜ' => 'h',
        'ɪ' => 'i',
        'ᴊ' => 'j',
        'ᴋ' => 'k',
        'ʟ' => 'l',
        'ᴍ' => 'm',
        'ɴ' => 'n',
        'ᴏ' => 'o',
        'ᴘ' => 'p',
        'ʀ' => 'r',
        'ꜱ' => 's',
        'ᴛ' => 't',
        'ᴜ' => 'u',
        'ᴠ' => 'v',
        'ᴡ' => 'w',
        'ʏ' => 'y',
        'ᴢ' => 'z',
        other => other,
    }
}
