//! Which characters would act, hide, or pass for another.

/// What is wrong with a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// It has no honest look of its own; its short name, where it has one.
    Hidden(&'static str),
    /// It looks like this one.
    Lookalike(char),
    /// It belongs to another script than the letters around it.
    Foreign,
}

/// What a character is when nothing around it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    Plain,
    Blank,
    Break,
    /// A letter written from right to left.
    Leftward,
    /// A mark over the letter before.
    Mark,
    Strange(Sign),
}

/// The scripts whose letters are taken for one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Latin,
    Other(&'static str),
}

pub(super) fn nature(c: char) -> Nature {
    match c {
        '\n' => Nature::Break,
        ' ' => Nature::Blank,
        '!'..='~' => Nature::Plain,
        _ if is_mark(c) => Nature::Mark,
        _ => match hidden(c).map(Sign::Hidden).or_else(|| disguised(c).map(Sign::Lookalike)) {
            Some(sign) => Nature::Strange(sign),
            None if is_leftward(c) => Nature::Leftward,
            None => Nature::Plain,
        },
    }
}

/// The short name of a character that has no honest look.
fn hidden(c: char) -> Option<&'static str> {
    Some(match c {
        '\t' => "tab",
        '\r' => "CR",
        '\0' => "NUL",
        '\u{7}' => "bell",
        '\u{8}' => "backspace",
        '\u{1b}' => "ESC",
        '\u{7f}' => "DEL",
        '\u{ad}' => "soft hyphen",
        '\u{a0}' | '\u{202f}' | '\u{2007}' => "fixed space",
        '\u{1680}' | '\u{2000}'..='\u{2006}' | '\u{2008}'..='\u{200a}' | '\u{205f}' | '\u{3000}' => "space",
        '\u{200b}' => "zero width",
        '\u{200c}' => "non-joiner",
        '\u{200d}' => "joiner",
        '\u{200e}' | '\u{200f}' | '\u{61c}' => "direction mark",
        '\u{202a}' | '\u{202b}' | '\u{2066}'..='\u{2068}' => "direction begins",
        '\u{202c}' | '\u{2069}' => "direction ends",
        '\u{202d}' => "forces left to right",
        '\u{202e}' => "forces right to left",
        '\u{2028}' | '\u{2029}' | '\u{85}' => "line break",
        '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' | '\u{180b}'..='\u{180d}' | '\u{180f}' => {
            "variant"
        }
        '\u{e0000}'..='\u{e007f}' => "tag",
        '\u{feff}' => "byte order mark",
        '\u{fffd}' => "replaced",
        '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}' => "private",
        '\u{34f}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180e}'
        | '\u{2060}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffc}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0080}'..='\u{e00ff}'
        | '\u{e01f0}'..='\u{e0fff}' => "invisible",
        _ if c.is_control() => "control",
        _ => return None,
    })
}

/// A character that looks like this one of ASCII, in whatever text it stands.
fn disguised(c: char) -> Option<char> {
    let letter = |first: u32, base: char| {
        let offset = u32::from(c).checked_sub(first)?;
        char::from_u32(u32::from(base).checked_add(offset)?)
    };
    match c {
        '\u{ff01}'..='\u{ff5e}' => letter(0xff01, '!'),
        '\u{1d400}'..='\u{1d6a3}' => {
            let at = u32::from(c).checked_sub(0x1d400)?.checked_rem(52)?;
            let base = if at < 26 { u32::from('A') } else { u32::from('a').checked_sub(26)? };
            char::from_u32(base.checked_add(at)?)
        }
        '\u{1d7ce}'..='\u{1d7ff}' => {
            char::from_digit(u32::from(c).checked_sub(0x1d7ce)?.checked_rem(10)?, 10)
        }
        '\u{24b6}'..='\u{24cf}' => letter(0x24b6, 'A'),
        '\u{24d0}'..='\u{24e9}' => letter(0x24d0, 'a'),
        '\u{2010}'..='\u{2012}' | '\u{2212}' | '\u{2043}' | '\u{fe63}' => Some('-'),
        '\u{2044}' | '\u{2215}' | '\u{29f8}' | '\u{2571}' => Some('/'),
        '\u{2216}' | '\u{29f5}' | '\u{29f9}' | '\u{fe68}' => Some('\\'),
        '\u{2236}' | '\u{a789}' | '\u{2d0}' | '\u{fe55}' => Some(':'),
        '\u{2024}' | '\u{a4f8}' | '\u{fe52}' => Some('.'),
        '\u{37e}' | '\u{fe54}' => Some(';'),
        '\u{1c3}' => Some('!'),
        '\u{1c0}' | '\u{2223}' | '\u{2502}' => Some('|'),
        '\u{2b9}' | '\u{2bc}' | '\u{2c8}' | '\u{2032}' => Some('\''),
        '\u{2217}' | '\u{204e}' => Some('*'),
        '\u{ff5f}' => Some('('),
        'ɑ' => Some('a'),
        'ɡ' => Some('g'),
        'ꓑ'..='ꓽ' | '\u{13a0}'..='\u{13f4}' | '\u{ab70}'..='\u{abbf}' => None,
        _ => None,
    }
}

fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{34e}' | '\u{350}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

fn is_leftward(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}'
        | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

pub(super) fn script(c: char) -> Option<Script> {
    Some(match c {
        'A'..='Z' | 'a'..='z' | '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}' if c.is_alphabetic() => {
            Script::Latin
        }
        '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}' => Script::Other("Greek"),
        '\u{400}'..='\u{52f}'
        | '\u{1c80}'..='\u{1c8f}'
        | '\u{2de0}'..='\u{2dff}'
        | '\u{a640}'..='\u{a69f}' => Script::Other("Cyrillic"),
        '\u{530}'..='\u{58f}' => Script::Other("Armenian"),
        '\u{13a0}'..='\u{13ff}' | '\u{ab70}'..='\u{abbf}' => Script::Other("Cherokee"),
        '\u{2c80}'..='\u{2cff}' => Script::Other("Coptic"),
        '\u{a4d0}'..='\u{a4ff}' => Script::Other("Lisu"),
        '\u{250}'..='\u{2af}' | '\u{1d00}'..='\u{1d7f}' => Script::Other("phonetic"),
        _ => return None,
    })
}

/// The Latin letter that this letter of another script is taken for.
pub(super) fn taken_for(c: char) -> Option<char> {
    const PAIRS: &[(&str, &str)] = &[
        ("аеорсухіјѕһԁԛԝѵкмтгґ", "aeopcyxijshdqwvkmtrr"),
        ("АВЕКМНОРСТХУІЈЅԌԚԜ", "ABEKMHOPCTXYIJSGQW"),
        ("ονρυικαγτωχ", "ovpuikaytwx"),
        ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX"),
        ("օոսցհյք", "onughjp"),
        ("ᎪᏴᏟᎠᎬᏀᎻᎥᎫᏦᏞᎷᏢᎡᏚᎢᏙᎳᎩᏃ", "ABCDEGHiJKLMPRSTVWYZ"),
    ];
    PAIRS.iter().find_map(|(strange, plain)| {
        strange.chars().zip(plain.chars()).find_map(|(from, to)| (from == c).then_some(to))
    })
}
