//! The words of a command by what they are to a shell. Only for the eye: what a command does, scoring reads.

use std::iter::Peekable;
use std::ops::Range;
use std::str::CharIndices;

/// What a part of a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Program,
    Flag,
    Quoted,
    Variable,
    Operator,
    Redirect,
    Comment,
}

impl Token {
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Program => "t-program",
            Self::Flag => "t-flag",
            Self::Quoted => "t-quoted",
            Self::Variable => "t-variable",
            Self::Operator => "t-operator",
            Self::Redirect => "t-redirect",
            Self::Comment => "t-comment",
        }
    }
}

/// Words behind which another program is named.
const AHEAD: [&str; 18] = [
    "sudo", "doas", "env", "nohup", "time", "nice", "exec", "command", "xargs", "then", "do", "else", "if",
    "elif", "while", "until", "!", "{",
];

/// The parts that have a meaning, in order, apart from each other. What lies between is plain.
pub(super) fn tokens(command: &str) -> Vec<(Range<usize>, Token)> {
    let mut lexer = Lexer {
        text: command,
        rest: command.char_indices().peekable(),
        found: Vec::new(),
        naming: true,
        aimed: false,
        inside: Vec::new(),
    };
    lexer.run();
    lexer.found
}

/// Where a command inside a word begins.
struct Inner {
    at: Range<usize>,
    /// It stands inside double quotes, which go on behind it.
    quoted: bool,
}

struct Lexer<'a> {
    text: &'a str,
    rest: Peekable<CharIndices<'a>>,
    found: Vec<(Range<usize>, Token)>,
    /// The next word names a program.
    naming: bool,
    /// The next word is what a redirect points at.
    aimed: bool,
    /// Open brackets; true for one inside double quotes, which go on behind it.
    inside: Vec<bool>,
}

impl Lexer<'_> {
    fn run(&mut self) {
        while let Some((at, c)) = self.rest.peek().copied() {
            match c {
                '\n' => {
                    self.rest.next();
                    self.naming = true;
                }
                c if c.is_whitespace() => {
                    self.rest.next();
                }
                '#' => self.comment(at),
                '|' | '&' | ';' | '(' => {
                    self.take(at, Token::Operator);
                    self.naming = true;
                    if c == '(' {
                        self.inside.push(false);
                    }
                }
                ')' => {
                    self.take(at, Token::Operator);
                    self.naming = false;
                    if self.inside.pop() == Some(true) {
                        self.go_on_quoted();
                    }
                }
                '<' | '>' => self.redirect(at),
                _ => self.word(at),
            }
        }
    }

    fn here(&mut self) -> usize {
        self.rest.peek().map_or(self.text.len(), |(at, _)| *at)
    }

    fn take(&mut self, at: usize, token: Token) {
        self.rest.next();
        let end = self.here();
        self.add(at..end, token);
    }

    fn add(&mut self, at: Range<usize>, token: Token) {
        if at.is_empty() {
            return;
        }
        match self.found.last_mut() {
            Some((last, kind)) if *kind == token && last.end == at.start => last.end = at.end,
            _ => self.found.push((at, token)),
        }
    }

    /// Behind a command that stood inside double quotes.
    fn go_on_quoted(&mut self) {
        let mut parts = Vec::new();
        let here = self.here();
        let inner = self.quoted(here, '"', &mut parts);
        for (part, token) in parts {
            self.add(part, token);
        }
        self.enter(inner);
    }

    fn comment(&mut self, at: usize) {
        while self.rest.next_if(|(_, c)| *c != '\n').is_some() {}
        let end = self.here();
        self.add(at..end, Token::Comment);
    }

    fn redirect(&mut self, at: usize) {
        while self.rest.next_if(|(_, c)| matches!(c, '<' | '>' | '&' | '|' | '-')).is_some() {}
        let end = self.here();
        self.add(at..end, Token::Redirect);
        self.aimed = true;
    }

    /// Up to the next blank or operator, or to a command inside.
    fn word(&mut self, at: usize) {
        let mut parts = Vec::new();
        let mut inner = None;
        while let Some((here, c)) = self.rest.peek().copied() {
            match c {
                c if c.is_whitespace() => break,
                '|' | '&' | ';' | '(' | ')' | '<' | '>' => break,
                '\\' => {
                    self.rest.next();
                    self.rest.next();
                }
                '\'' | '"' => {
                    self.rest.next();
                    inner = self.quoted(here, c, &mut parts);
                }
                '$' => inner = self.variable(here, &mut parts),
                _ => {
                    self.rest.next();
                }
            }
            if inner.is_some() {
                break;
            }
        }
        let end = inner.as_ref().map_or_else(|| self.here(), |inner: &Inner| inner.at.start);
        self.classify(at..end, parts);
        self.enter(inner);
    }

    /// Gives the whole word its meaning, or each part of it its own.
    fn classify(&mut self, at: Range<usize>, parts: Vec<(Range<usize>, Token)>) {
        let word = self.text.get(at.clone()).unwrap_or_default();
        if word.is_empty() {
            return;
        }
        if std::mem::take(&mut self.aimed) {
            return self.add(at, Token::Redirect);
        }
        if word.starts_with('-') {
            let end = parts.first().map_or(at.end, |(part, _)| part.start);
            self.add(at.start..end, Token::Flag);
        } else if self.naming && !is_setting(word) {
            self.naming = AHEAD.contains(&word);
            return self.add(at, Token::Program);
        }
        for (part, token) in parts {
            self.add(part, token);
        }
    }

    fn enter(&mut self, inner: Option<Inner>) {
        if let Some(Inner { at, quoted }) = inner {
            self.add(at, Token::Operator);
            self.inside.push(quoted);
            self.naming = true;
        }
    }

    /// From behind an opening quote to behind the closing one, or to a command inside.
    fn quoted(&mut self, start: usize, quote: char, parts: &mut Vec<(Range<usize>, Token)>) -> Option<Inner> {
        while let Some((at, c)) = self.rest.next() {
            match c {
                '\\' if quote == '"' => {
                    self.rest.next();
                }
                '$' if quote == '"' && self.rest.next_if(|(_, c)| *c == '(').is_some() => {
                    parts.push((start..at, Token::Quoted));
                    return Some(Inner { at: at..self.here(), quoted: true });
                }
                c if c == quote => break,
                _ => {}
            }
        }
        parts.push((start..self.here(), Token::Quoted));
        None
    }

    fn variable(&mut self, at: usize, parts: &mut Vec<(Range<usize>, Token)>) -> Option<Inner> {
        self.rest.next();
        if self.rest.next_if(|(_, c)| *c == '(').is_some() {
            return Some(Inner { at: at..self.here(), quoted: false });
        }
        if self.rest.next_if(|(_, c)| *c == '{').is_some() {
            while self.rest.next_if(|(_, c)| *c != '}' && *c != '\n').is_some() {}
            self.rest.next_if(|(_, c)| *c == '}');
        } else {
            while self.rest.next_if(|(_, c)| c.is_ascii_alphanumeric() || *c == '_').is_some() {}
        }
        parts.push((at..self.here(), Token::Variable));
        None
    }
}

/// `NAME=value` before a program.
fn is_setting(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}
