//! How one word may be spelt: with signs for letters, with letters lost, doubled or swapped.

pub(super) fn spell(letter: char, one: char) -> Option<char> {
    Some(match letter {
        'a'..='z' => letter,
        '0' => 'o',
        '1' | '!' | '|' => one,
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' | '+' => 't',
        '8' => 'b',
        '9' => 'g',
        '6' => 'g',
        '(' => 'c',
        _ => return None,
    })
}

/// `20mg`, `4pm`, `500ml`: a number and its unit.
pub(super) fn is_measure(word: &str) -> bool {
    let unit = word.trim_start_matches(|letter: char| letter.is_ascii_digit());
    unit.len() < word.len()
        && unit.len() <= 3
        && matches!(
            unit,
            "mg" | "g"
                | "ml"
                | "mcg"
                | "pm"
                | "am"
                | "th"
                | "st"
                | "nd"
                | "rd"
                | "h"
                | "k"
                | "kg"
                | "x"
                | "px"
                | "gb"
                | "mb"
                | "s"
                | "ms"
                | "m"
                | "d"
        )
}

pub(super) fn camel(raw: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut before = ' ';
    let mut letters = raw.chars().filter(|letter| letter.is_alphanumeric()).peekable();
    while let Some(letter) = letters.next() {
        let begins = before.is_lowercase() || letters.peek().is_some_and(|next| next.is_lowercase());
        if parts.is_empty() || (letter.is_uppercase() && begins) {
            parts.push(String::new());
        }
        before = letter;
        if let Some(part) = parts.last_mut() {
            part.extend(letter.to_lowercase());
        }
    }
    parts
}

/// The one letter of a token that is nothing else.
pub(super) fn single(raw: &str) -> Option<char> {
    let mut letters = raw.chars();
    let letter = letters.next().filter(|letter| letter.is_alphabetic())?;
    letters.all(|sign| matches!(sign, '.' | ',' | '-' | '_' | '*' | '~')).then_some(letter)
}

pub(super) fn squeeze(word: &str) -> String {
    let mut squeezed = String::with_capacity(word.len());
    for letter in word.chars() {
        if !squeezed.ends_with(letter) {
            squeezed.push(letter);
        }
    }
    squeezed
}

/// One letter lost, doubled or swapped with its neighbour; or the vowels gone.
pub(super) fn misspellings(key: &str) -> Vec<String> {
    let letters: Vec<char> = key.chars().collect();
    let mut spellings = Vec::new();
    let is_vowel = |letter: &char| matches!(letter, 'a' | 'e' | 'i' | 'o' | 'u');
    let consonants: String = letters
        .iter()
        .enumerate()
        .filter(|(index, letter)| *index == 0 || !is_vowel(letter))
        .map(|(_, letter)| letter)
        .collect();
    if consonants.len() >= 3 {
        spellings.push(consonants);
    }
    if letters.len() >= 5 {
        for gone in 1..letters.len() {
            let kept = letters.iter().enumerate().filter(|(index, _)| *index != gone);
            spellings.push(kept.map(|(_, letter)| letter).collect());
        }
        for at in 1..letters.len() - 1 {
            let mut swapped = letters.clone();
            swapped.swap(at, at + 1);
            spellings.push(swapped.into_iter().collect());
        }
    }
    spellings.retain(|spelling| spelling != key);
    spellings
}

pub(super) fn reversed(word: &str) -> String {
    word.chars().rev().collect()
}

pub(super) fn rotated(letter: char) -> char {
    let turn = |first: u8| move |byte: u8| char::from((byte - first + 13) % 26 + first);
    match u8::try_from(letter) {
        Ok(byte @ b'a'..=b'z') => turn(b'a')(byte),
        Ok(byte @ b'A'..=b'Z') => turn(b'A')(byte),
        _ => letter,
    }
}
