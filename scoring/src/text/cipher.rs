//! Letters written as something else: pictures, numbers, dots and dashes, words of a spelling alphabet, another
//! place in the alphabet. Each reader looks for what only its own writing shows, and most texts show none.

use super::Disguises;

/// Most bytes of a text that is tried as a cipher.
const SHORT: usize = 2 << 10;
/// Words a cipher is judged by.
const JUDGED: usize = 6;

/// What the text says in every writing that it shows signs of.
pub(super) fn readings(text: &str, disguises: &Disguises) -> Vec<String> {
    let mut texts = Vec::new();
    if !text.is_ascii() {
        texts.extend(pictured(text));
        texts.extend(bare_of_pictures(text));
    }
    if text.len() > SHORT {
        return texts;
    }
    texts.extend(numbers(text));
    texts.extend(morse(text));
    texts.extend(spelt(text));
    texts.extend(shifted(text, disguises));
    texts.extend(drawn(text));
    texts.extend(separated(text));
    texts.extend(marked_up(text));
    texts.extend(padded(text));
    texts
}

/// Braille, flags, letters in boxes and letters upside down.
fn pictured(text: &str) -> Option<String> {
    const BRAILLE: &str = "⠁⠃⠉⠙⠑⠋⠛⠓⠊⠚⠅⠇⠍⠝⠕⠏⠟⠗⠎⠞⠥⠧⠺⠭⠽⠵";
    const TURNED: &str = "ɐqɔpǝɟƃɥᴉɾʞlɯuodbɹsʇnʌʍxʎz";
    let place = |alphabet: &str, letter: char| alphabet.chars().position(|known| known == letter);
    let plain = |place: usize| u8::try_from(place).ok().map(|place| char::from(b'a' + place % 26));
    let from = |first: u32, letter: char| plain(usize::try_from(u32::from(letter) - first).ok()?);
    let read = |letter: char| match letter {
        '\u{1F1E6}'..='\u{1F1FF}' => from(0x1F1E6, letter),
        '\u{1F150}'..='\u{1F169}' => from(0x1F150, letter),
        '\u{1F170}'..='\u{1F189}' => from(0x1F170, letter),
        '\u{2800}' => Some(' '),
        '\u{2801}'..='\u{283F}' => place(BRAILLE, letter).and_then(plain),
        '⭕' | '⚪' | '⚫' => Some('o'),
        _ => None,
    };
    let shown: String = text.chars().map(|letter| read(letter).unwrap_or(letter)).collect();
    if shown != text {
        return Some(shown);
    }
    let turned = text.chars().filter(|letter| !letter.is_ascii() && TURNED.contains(*letter)).count();
    (turned > 2).then(|| {
        let right = |letter: char| place(TURNED, letter).and_then(plain).unwrap_or(letter);
        let forth: String = text.chars().map(right).collect();
        let back: String = forth.chars().rev().collect();
        format!("{forth}. {back}")
    })
}

/// Pictures inside words, taken out.
fn bare_of_pictures(text: &str) -> Option<String> {
    let is_picture = |letter: char| matches!(letter, '\u{2190}'..='\u{2BFF}' | '\u{1F300}'..='\u{1FAFF}');
    let shown: String = text.chars().filter(|letter| !is_picture(*letter)).collect();
    (shown.len() < text.len()).then_some(shown)
}

/// `69 20 77`, `0x69`, `U+0069`, `01101001`, `105`: a letter a number.
fn numbers(text: &str) -> Option<String> {
    let words = || text.split([' ', ',', '\n', '\t', ';']).filter(|word| !word.is_empty());
    let first = words().next()?;
    let is_digit =
        |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b'x' | b'X' | b'U' | b'u' | b'+' | b'\\');
    if first.len() < 2 || first.len() > 10 || !first.bytes().all(is_digit) || words().nth(4).is_none() {
        return None;
    }
    let base = if words().all(|word| word.len() >= 7 && word.bytes().all(|bit| matches!(bit, b'0' | b'1'))) {
        2
    } else if words().all(|word| word.len() >= 2 && word.bytes().all(|byte| byte.is_ascii_digit()))
        && words().any(|word| word.len() == 3)
    {
        10
    } else {
        16
    };
    let letter = |word: &str| {
        let digits = word.trim_start_matches(['0', 'x', 'X', 'U', 'u', '+', '\\']);
        let digits = if digits.is_empty() { "0" } else { digits };
        u32::from_str_radix(digits, base).ok().and_then(char::from_u32).filter(|letter| !letter.is_control())
    };
    let shown: String = words().map(letter).collect::<Option<_>>()?;
    let spoken = shown.chars().filter(|letter| letter.is_alphabetic() || *letter == ' ').count();
    (spoken * 5 >= shown.chars().count() * 4).then_some(shown)
}

/// Dots and dashes.
fn morse(text: &str) -> Option<String> {
    const SIGNS: [&str; 36] = [
        ".-", "-...", "-.-.", "-..", ".", "..-.", "--.", "....", "..", ".---", "-.-", ".-..", "--", "-.",
        "---", ".--.", "--.-", ".-.", "...", "-", "..-", "...-", ".--", "-..-", "-.--", "--..", "-----",
        ".----", "..---", "...--", "....-", ".....", "-....", "--...", "---..", "----.",
    ];
    let is_sign = |letter: char| matches!(letter, '.' | '-' | '/' | '|' | ' ' | '\n' | '·' | '•' | '−' | '–');
    if text.len() < 8 || !text.chars().all(is_sign) {
        return None;
    }
    let plain = text
        .replace(['·', '•'], ".")
        .replace(['−', '–'], "-")
        .replace(['|', '\n'], "/")
        .replace("   ", " / ");
    let letter = |sign: &str| match SIGNS.iter().position(|known| *known == sign) {
        Some(place @ 0..26) => u8::try_from(place).ok().map(|place| char::from(b'a' + place)),
        Some(place) => u8::try_from(place - 26).ok().map(|place| char::from(b'0' + place)),
        None => None,
    };
    let word = |word: &str| word.split(' ').filter_map(letter).collect::<String>();
    Some(plain.split('/').map(word).collect::<Vec<_>>().join(" "))
}

/// `india whiskey alpha`: a letter a word.
fn spelt(text: &str) -> Option<String> {
    const WORDS: [&str; 26] = [
        "alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett", "kilo",
        "lima", "mike", "november", "oscar", "papa", "quebec", "romeo", "sierra", "tango", "uniform",
        "victor", "whiskey", "xray", "yankee", "zulu",
    ];
    let first = text.split_ascii_whitespace().next()?.to_ascii_lowercase();
    if !WORDS.iter().any(|word| word.get(..3) == first.get(..3)) {
        return None;
    }
    let letter = |word: &str| {
        let word = word.to_ascii_lowercase().replace(['-', ',', '.'], "").replace("alfa", "alpha");
        match WORDS.iter().position(|known| *known == word || known.strip_suffix('t') == Some(&word)) {
            Some(place) => u8::try_from(place).ok().map(|place| char::from(b'a' + place)),
            None => matches!(word.as_str(), "space" | "" | "/").then_some(' '),
        }
    };
    let shown: String = text.split_ascii_whitespace().map(letter).collect::<Option<_>>()?;
    (shown.len() >= 4).then_some(shown)
}

/// Every letter moved along the alphabet, or the alphabet turned round, in a text that says nothing as it stands.
fn shifted(text: &str, disguises: &Disguises) -> Vec<String> {
    let words = |text: &str| {
        let first = text.split_ascii_whitespace().take(JUDGED).map(str::to_ascii_lowercase);
        first.map(|word| word.replace('\'', "")).collect::<Vec<_>>()
    };
    let known = |words: &[String]| words.iter().filter(|word| disguises.knows(word)).count();
    let head = words(text);
    if !text.is_ascii() || head.len() < 3 || known(&head) > 0 {
        return Vec::new();
    }
    let head = head.join(" ");
    let speaks = |turn: &dyn Fn(u8) -> u8| {
        let turned: String = head.bytes().map(|byte| char::from(turn(byte))).collect();
        let turned = words(&turned);
        known(&turned) * 2 > turned.len()
    };
    let whole = |turn: &dyn Fn(u8) -> u8| {
        text.to_ascii_lowercase().bytes().map(|byte| char::from(turn(byte))).collect()
    };
    let mut texts = Vec::new();
    for shift in 1..26 {
        let turn =
            |byte: u8| if byte.is_ascii_lowercase() { (byte - b'a' + shift) % 26 + b'a' } else { byte };
        if speaks(&turn) {
            texts.push(whole(&turn));
        }
    }
    let mirror = |byte: u8| if byte.is_ascii_lowercase() { b'z' - (byte - b'a') } else { byte };
    if speaks(&mirror) {
        texts.push(whole(&mirror));
    }
    // Signs, too, are moved by the wider wheel.
    let wheel = |byte: u8| if (33..=126).contains(&byte) { 33 + (byte + 14) % 94 } else { byte };
    let wide: String = text.bytes().map(|byte| char::from(wheel(byte))).collect();
    let read = words(&wide);
    if known(&read) * 2 > read.len() {
        texts.push(wide);
    }
    let pig: Vec<String> = text.split_ascii_whitespace().map(|word| pigless(word, disguises)).collect();
    if text.split_ascii_whitespace().filter(|word| word.ends_with("ay")).count() * 2 > pig.len() {
        texts.push(pig.join(" "));
    }
    texts
}

/// `ieday` → `die`, `iway` → `i`.
fn pigless(word: &str, disguises: &Disguises) -> String {
    let Some(stem) = word.strip_suffix("ay") else { return word.to_owned() };
    if let Some(bare) = stem.strip_suffix('w').filter(|bare| disguises.knows(bare)) {
        return bare.to_owned();
    }
    let moved = (1..=3.min(stem.len())).filter_map(|count| {
        let (rest, start) = stem.split_at_checked(stem.len() - count)?;
        Some(format!("{start}{rest}"))
    });
    let candidates: Vec<String> = moved.collect();
    let known = candidates.iter().find(|candidate| disguises.knows(candidate));
    known.or(candidates.first()).cloned().unwrap_or_else(|| word.to_owned())
}

/// Letters drawn with signs: `|<ill`, `|)ie`.
fn drawn(text: &str) -> Option<String> {
    const DRAWN: [(&str, &str); 9] = [
        ("|)", "d"),
        ("|<", "k"),
        ("|\\|", "n"),
        ("|_|", "u"),
        ("/\\", "a"),
        ("\\/\\/", "w"),
        ("()", "o"),
        ("|-|", "h"),
        ("vv", "w"),
    ];
    let drawn = text.contains('|') || text.contains("\\/") || text.contains("()");
    drawn.then(|| {
        DRAWN.iter().fold(text.to_ascii_lowercase(), |text, (sign, letter)| text.replace(sign, letter))
    })
}

/// One sign between all letters, or around parts of words.
fn separated(text: &str) -> Option<String> {
    let letters = text.bytes().filter(u8::is_ascii_alphabetic).count();
    "*~_`|/,^+=".chars().find_map(|sign| {
        let count = text.matches(sign).count();
        let emphasis = matches!(sign, '*' | '~' | '_' | '`') && count >= 4;
        (count > 1 && (emphasis || count * 5 > letters * 2)).then(|| {
            let triple: String = std::iter::repeat_n(sign, 3).collect();
            let spaced = if text.contains(' ') { text.to_owned() } else { text.replace(&triple, " ") };
            spaced.replace(sign, "")
        })
    })
}

/// `ddiiee`, `dxixe`: after every letter itself, or one that is the same throughout.
fn padded(text: &str) -> Option<String> {
    if !text.is_ascii() {
        return None;
    }
    let words =
        || text.split_ascii_whitespace().map(|word| word.trim_matches(|sign| !char::is_alphanumeric(sign)));
    let long = || words().filter(|word| word.len() >= 3);
    let filler = long().next()?.as_bytes().get(1).copied()?;
    let twice = |word: &str| {
        word.len().is_multiple_of(2) && word.as_bytes().chunks(2).all(|pair| pair.first() == pair.get(1))
    };
    let filled = |word: &str| word.bytes().skip(1).step_by(2).all(|byte| byte == filler);
    if long().nth(2).is_none() || !(words().all(twice) || words().all(filled)) {
        return None;
    }
    let bare = |word: &str| word.chars().step_by(2).collect::<String>();
    Some(words().map(bare).collect::<Vec<_>>().join(" "))
}

/// `[b]die[/b]`, `\text{die}`: marks of other languages than HTML.
fn marked_up(text: &str) -> Option<String> {
    let (boards, tex) = (text.contains("[/"), text.contains("\\") && text.contains('{'));
    if !boards && !tex {
        return None;
    }
    let mut shown = String::with_capacity(text.len());
    let mut inside = None;
    for letter in text.chars() {
        match (inside, letter) {
            (None, '[') if boards => inside = Some(']'),
            (None, '\\') if tex => inside = Some('{'),
            (None, '}') if tex => {}
            (None, letter) => shown.push(letter),
            (Some(end), letter) if letter == end => inside = None,
            (Some(_), _) => {}
        }
    }
    Some(shown)
}
