//! What `echo` and `printf` print.

use super::Arg;
use super::brush::ansi;

/// Bytes of output kept: a format may repeat for as long as there are words.
const LONGEST: usize = 64 << 10;

pub(super) fn spoken(name: &str, args: &[Arg]) -> String {
    let words = args.iter().map(|arg| arg.text.as_str());
    if name == "printf" {
        return match words.skip_while(|word| *word == "--").collect::<Vec<_>>().split_first() {
            Some((format, words)) => formatted(format, words),
            None => String::new(),
        };
    }
    let is_option = |word: &&str| {
        word.strip_prefix('-').is_some_and(|letters| {
            !letters.is_empty() && letters.bytes().all(|byte| matches!(byte, b'n' | b'e' | b'E'))
        })
    };
    let escapes = words.clone().take_while(is_option).any(|word| word.contains('e'));
    let open = words.clone().take_while(is_option).any(|word| word.contains('n'));
    let text = words.skip_while(is_option).collect::<Vec<_>>().join(" ");
    let mut text = if escapes { ansi(&text) } else { text };
    if !open {
        text.push('\n');
    }
    text
}

/// The format, again and again until its words are used up.
fn formatted(format: &str, words: &[&str]) -> String {
    let format = ansi(format);
    let mut text = String::new();
    let mut words = words.iter();
    loop {
        let before = words.len();
        let mut letters = format.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                text.push(letter);
                continue;
            }
            match letters.find(|letter| letter.is_ascii_alphabetic() || *letter == '%') {
                Some('%') | None => text.push('%'),
                Some('b') => text.push_str(&ansi(words.next().unwrap_or(&""))),
                Some(_) => text.push_str(words.next().unwrap_or(&"")),
            }
        }
        if words.len() == 0 || words.len() == before || text.len() > LONGEST {
            return text;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_what_a_shell_prints() {
        let printed = |name: &str, words: &[&str]| {
            spoken(name, &words.iter().map(|word| Arg::word(word)).collect::<Vec<_>>())
        };
        assert_eq!(printed("printf", &[r"\x72\155 %s\n", "-rf"]), "rm -rf\n");
        assert_eq!(printed("printf", &["%s ", "rm", "-rf"]), "rm -rf ");
        assert_eq!(printed("printf", &["%d%%"]), "%");
        assert_eq!(printed("echo", &["-ne", r"\x72m"]), "rm");
        assert_eq!(printed("echo", &["-rf", r"\x72m"]), "-rf \\x72m\n");
    }
}
