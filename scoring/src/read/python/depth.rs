//! How deep a program may nest, told from its tokens alone: what reads or drops a tree goes as deep as the tree.

use ruff_python_ast::token::TokenKind;
use ruff_python_parser::{Mode, lexer};

/// Nesting at most. Every level costs stack in the visitors and when the tree is dropped.
const DEEPEST: usize = 160;

/// What is open between two brackets.
#[derive(Default)]
struct Level {
    /// Tokens since the last comma that may each nest what follows or what came before.
    chain: usize,
    /// `lambda a, b:` nests across commas.
    lambdas: usize,
    /// A text with holes: its parts lie side by side.
    text: bool,
}

impl Level {
    fn depth(&self) -> usize {
        1 + self.chain + self.lambdas
    }
}

/// Whether the tree of a text may be deeper than can be read safely.
pub(super) fn is_too_deep(text: &str, mode: Mode) -> bool {
    let mut lexer = lexer::lex(text, mode);
    let mut level = Level::default();
    let mut around: Vec<Level> = Vec::new();
    let mut blocks = 0usize;
    // The depth of all that is around.
    let mut outer = 0usize;
    loop {
        match lexer.next_token() {
            TokenKind::EndOfFile => return false,
            TokenKind::Indent => blocks += 1,
            TokenKind::Dedent => blocks = blocks.saturating_sub(1),
            TokenKind::Newline => {
                level = Level::default();
                around.clear();
                outer = 0;
            }
            TokenKind::Comma | TokenKind::Semi => level.chain = 0,
            TokenKind::Lambda => level.lambdas += 1,
            open @ (TokenKind::Lpar
            | TokenKind::Lsqb
            | TokenKind::Lbrace
            | TokenKind::FStringStart
            | TokenKind::TStringStart) => {
                level.chain = if level.text { 1 } else { level.chain + 1 };
                outer += level.depth();
                let text = matches!(open, TokenKind::FStringStart | TokenKind::TStringStart);
                around.push(std::mem::replace(&mut level, Level { text, ..Level::default() }));
            }
            TokenKind::Rpar
            | TokenKind::Rsqb
            | TokenKind::Rbrace
            | TokenKind::FStringEnd
            | TokenKind::TStringEnd => {
                level = around.pop().unwrap_or_default();
                outer = outer.saturating_sub(level.depth());
            }
            TokenKind::Name
            | TokenKind::Int
            | TokenKind::Float
            | TokenKind::Complex
            | TokenKind::String
            | TokenKind::FStringMiddle
            | TokenKind::TStringMiddle
            | TokenKind::Comment
            | TokenKind::NonLogicalNewline => {}
            _ => level.chain += 1,
        }
        if blocks + outer + level.depth() > DEEPEST {
            return true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_programs_are_not_deep_ones() {
        for text in [
            "x = [1, -2, (3, 4)]\n".repeat(2_000),
            format!("x = [{}]", "{'a': -1, 'b': lambda_(2)}, ".repeat(2_000)),
            format!("x = f'{}'", "{a.b + 1} and ".repeat(500)),
            format!("x = ({})", "'a' 'b'\n".repeat(2_000)),
            format!("if a:\n  pass\n{}", "elif a == 'x' and b:\n  pass\n".repeat(1_000)),
            "d = df.a(x).b(y).c(z)[1:2].d(lambda r: r + 1, key=2)\n".repeat(500),
        ] {
            assert!(!is_too_deep(&text, Mode::Ipython), "{}", text.get(..60).unwrap());
        }
    }
}
