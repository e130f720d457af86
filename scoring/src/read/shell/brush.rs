//! brush-parser's tree as [`Script`].

use brush_parser::ast::{
    self, AndOr, Command, CommandPrefixOrSuffixItem as Item, CompoundCommand, IoFileRedirectKind,
    IoFileRedirectTarget, IoRedirect, SourceLocation,
};
use brush_parser::word::{
    Parameter, ParameterExpr, ParameterTransformOp, SpecialParameter, SubstringMatchKind, TildeExpr,
    WordPiece, WordPieceWithSource,
};
use brush_parser::{Parser, ParserOptions};

use super::braces;
use super::syntax::{Change, Piece, Pipeline, Redirect, Script, Simple, Stage, Syntax, Unreadable, Word};

/// Bash, by brush-parser.
#[derive(Debug)]
pub(crate) struct Brush;

const BYTES: usize = 64 << 10;
const DEPTH: usize = 6;
const NODES: usize = 2_000;
/// The parser descends once per open bracket or compound keyword; beyond this its stack and time are at risk.
const OPEN: usize = 24;

impl Syntax for Brush {
    fn parse(&self, text: &str) -> Result<Script, Unreadable> {
        parse(text, &mut NODES.clone(), 0)
    }
}

fn parse(text: &str, nodes: &mut usize, depth: usize) -> Result<Script, Unreadable> {
    if text.len() > BYTES || depth > DEPTH || nested(text) > OPEN {
        return Err(Unreadable::TooLarge);
    }
    let options = ParserOptions::default();
    let program = Parser::new(text.as_bytes(), &options).parse_program().map_err(|_| Unreadable::Syntax)?;
    let mut reader = Reader { options, nodes, depth };
    let lists: Vec<Script> =
        program.complete_commands.iter().map(|list| reader.list(list)).collect::<Result<_, _>>()?;
    Ok(Script(lists.into_iter().flat_map(|script| script.0).collect()))
}

/// How deep brackets and compound commands can nest at most.
fn nested(text: &str) -> usize {
    let mut open = 0usize;
    let mut most = 0;
    for byte in text.bytes() {
        match byte {
            b'(' | b'{' => open += 1,
            b')' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    let keywords = text
        .split(|letter: char| letter.is_whitespace() || letter == ';')
        .filter(|word| matches!(*word, "if" | "while" | "until" | "for" | "case" | "!" | "select"));
    let sums = text.matches("$[").count();
    most.max(sums).max(keywords.count().saturating_sub(OPEN))
}

struct Reader<'n> {
    options: ParserOptions,
    nodes: &'n mut usize,
    depth: usize,
}

type Read<T> = Result<T, Unreadable>;

impl Reader<'_> {
    fn spend(&mut self) -> Read<()> {
        *self.nodes = self.nodes.checked_sub(1).ok_or(Unreadable::TooLarge)?;
        Ok(())
    }

    fn list(&mut self, list: &ast::CompoundList) -> Read<Script> {
        let mut pipelines = Vec::new();
        for item in &list.0 {
            pipelines.push(self.pipeline(&item.0.first, false)?);
            let mut turned = item.0.first.bang;
            for next in &item.0.additional {
                let (AndOr::And(pipeline) | AndOr::Or(pipeline)) = next;
                pipelines.push(self.pipeline(pipeline, matches!(next, AndOr::And(_)) && !turned)?);
                turned = pipeline.bang;
            }
        }
        Ok(Script(pipelines))
    }

    fn pipeline(&mut self, pipeline: &ast::Pipeline, follows: bool) -> Read<Pipeline> {
        let stages = pipeline.seq.iter().map(|command| self.command(command)).collect::<Read<_>>()?;
        Ok(Pipeline { stages, follows })
    }

    fn command(&mut self, command: &Command) -> Read<Stage> {
        self.spend()?;
        match command {
            Command::Simple(simple) => Ok(Stage::Simple(self.simple(simple)?)),
            Command::Compound(compound, redirects) => self.compound(compound, redirects.as_ref()),
            Command::Function(function) => {
                let body = self.compound(&function.body.0, function.body.1.as_ref())?;
                Ok(Stage::Function {
                    name: function.fname.value.clone(),
                    body: Script(vec![Pipeline { stages: vec![body], follows: false }]),
                })
            }
            Command::ExtendedTest(test, redirects) => {
                let mut words = Vec::new();
                self.test(&test.expr, &mut words)?;
                Ok(Stage::Group {
                    variable: None,
                    words,
                    parts: Vec::new(),
                    redirects: self.redirects(redirects.as_ref())?,
                    apart: false,
                })
            }
        }
    }

    fn test(&mut self, test: &ast::ExtendedTestExpr, words: &mut Vec<Word>) -> Read<()> {
        use ast::ExtendedTestExpr::{And, BinaryTest, Not, Or, Parenthesized, UnaryTest};
        self.spend()?;
        match test {
            And(left, right) | Or(left, right) => {
                self.test(left, words)?;
                self.test(right, words)
            }
            Not(inner) | Parenthesized(inner) => self.test(inner, words),
            UnaryTest(_, word) => {
                words.push(self.word(&word.value)?);
                Ok(())
            }
            BinaryTest(_, left, right) => {
                words.push(self.word(&left.value)?);
                words.push(self.word(&right.value)?);
                Ok(())
            }
        }
    }

    fn compound(&mut self, compound: &CompoundCommand, redirects: Option<&ast::RedirectList>) -> Read<Stage> {
        let (mut variable, mut words) = (None, Vec::new());
        let parts = match compound {
            CompoundCommand::Arithmetic(arithmetic) => {
                words.push(self.word(&arithmetic.expr.value)?);
                Vec::new()
            }
            CompoundCommand::ArithmeticForClause(clause) => {
                for part in [&clause.initializer, &clause.condition, &clause.updater].into_iter().flatten() {
                    words.push(self.word(&part.value)?);
                }
                vec![self.list(&clause.body.list)?]
            }
            CompoundCommand::BraceGroup(group) => vec![self.list(&group.list)?],
            CompoundCommand::Subshell(subshell) => vec![self.list(&subshell.list)?],
            CompoundCommand::ForClause(clause) => {
                let mut values = Vec::new();
                for word in clause.values.iter().flatten() {
                    values.extend(self.words(&word.value)?);
                }
                variable = Some((clause.variable_name.clone(), values));
                vec![self.list(&clause.body.list)?]
            }
            CompoundCommand::CaseClause(clause) => {
                words.push(self.word(&clause.value.value)?);
                let patterns = clause.cases.iter().flat_map(|case| &case.patterns);
                words.push(Word(self.asides(patterns.map(|pattern| pattern.value.as_str()), false)?));
                clause
                    .cases
                    .iter()
                    .filter_map(|case| case.cmd.as_ref())
                    .map(|list| self.list(list))
                    .collect::<Read<_>>()?
            }
            CompoundCommand::IfClause(clause) => {
                let mut parts = vec![self.list(&clause.condition)?, self.list(&clause.then)?];
                for other in clause.elses.iter().flatten() {
                    if let Some(condition) = &other.condition {
                        parts.push(self.list(condition)?);
                    }
                    parts.push(self.list(&other.body)?);
                }
                parts
            }
            CompoundCommand::WhileClause(clause) | CompoundCommand::UntilClause(clause) => {
                vec![self.list(&clause.0)?, self.list(&clause.1.list)?]
            }
            CompoundCommand::Coprocess(coprocess) => {
                let stages = vec![self.command(&coprocess.body)?];
                vec![Script(vec![Pipeline { stages, follows: false }])]
            }
        };
        let apart = matches!(compound, CompoundCommand::Subshell(_) | CompoundCommand::Coprocess(_));
        Ok(Stage::Group { variable, words, parts, redirects: self.redirects(redirects)?, apart })
    }

    fn redirects(&mut self, redirects: Option<&ast::RedirectList>) -> Read<Vec<Redirect>> {
        let mut read = Vec::new();
        for redirect in redirects.iter().flat_map(|list| &list.0) {
            read.extend(self.redirect(redirect)?);
        }
        Ok(read)
    }

    fn redirect(&mut self, redirect: &IoRedirect) -> Read<Option<Redirect>> {
        self.spend()?;
        Ok(match redirect {
            IoRedirect::File(
                _,
                IoFileRedirectKind::DuplicateInput | IoFileRedirectKind::DuplicateOutput,
                IoFileRedirectTarget::Fd(number),
            ) => descriptor(&number.to_string()),
            IoRedirect::File(_, kind, target) => {
                let word = match target {
                    IoFileRedirectTarget::Filename(word) | IoFileRedirectTarget::Duplicate(word) => {
                        self.word(&word.value)?
                    }
                    IoFileRedirectTarget::Fd(_) => return Ok(None),
                    IoFileRedirectTarget::ProcessSubstitution(kind, subshell) => {
                        Word(vec![self.process(kind, subshell)?])
                    }
                };
                match kind {
                    IoFileRedirectKind::Read => Some(Redirect::Read(word)),
                    IoFileRedirectKind::DuplicateInput => match word.0.as_slice() {
                        [Piece::Text(number)] => descriptor(number),
                        _ => None,
                    },
                    // `>& file` writes both; `>&2` and `>&-` only point elsewhere.
                    IoFileRedirectKind::DuplicateOutput => match word.0.as_slice() {
                        [Piece::Text(text)]
                            if !text.starts_with(|first: char| first.is_ascii_digit() || first == '-') =>
                        {
                            Some(Redirect::Write(word))
                        }
                        _ => None,
                    },
                    IoFileRedirectKind::Write
                    | IoFileRedirectKind::Append
                    | IoFileRedirectKind::ReadAndWrite
                    | IoFileRedirectKind::Clobber => Some(Redirect::Write(word)),
                }
            }
            IoRedirect::HereString(number, word) => {
                Some(Redirect::Here(number_of(number.as_ref()), self.word(&word.value)?))
            }
            IoRedirect::HereDocument(number, document) if document.requires_expansion => {
                let pieces = brush_parser::word::parse_heredoc(&document.doc.value, &self.options)
                    .map_err(|_| Unreadable::Syntax)?;
                Some(Redirect::Here(number_of(number.as_ref()), Word(self.pieces(&pieces, true)?)))
            }
            IoRedirect::HereDocument(number, document) => Some(Redirect::Here(
                number_of(number.as_ref()),
                Word(vec![Piece::Text(document.doc.value.clone())]),
            )),
            IoRedirect::OutputAndError(word, _) => Some(Redirect::Write(self.word(&word.value)?)),
        })
    }

    fn simple(&mut self, command: &ast::SimpleCommand) -> Read<Simple> {
        let mut simple = Simple::default();
        let prefix = command.prefix.iter().flat_map(|items| &items.0);
        for item in prefix {
            self.item(item, true, &mut simple)?;
        }
        if let Some(word) = &command.word_or_name {
            simple.words.extend(self.words(&word.value)?);
        }
        for item in command.suffix.iter().flat_map(|items| &items.0) {
            self.item(item, false, &mut simple)?;
        }
        simple.span = command.location().map(|span| (span.start.index, span.end.index));
        Ok(simple)
    }

    fn item(&mut self, item: &Item, before: bool, simple: &mut Simple) -> Read<()> {
        self.spend()?;
        match item {
            Item::IoRedirect(redirect) => simple.redirects.extend(self.redirect(redirect)?),
            Item::Word(word) => simple.words.extend(self.words(&word.value)?),
            Item::AssignmentWord(assignment, _) if before => {
                let value = match &assignment.value {
                    ast::AssignmentValue::Scalar(word) => self.word(&word.value)?,
                    ast::AssignmentValue::Array(words) => {
                        let mut pieces = Vec::new();
                        for (index, (place, word)) in words.iter().enumerate() {
                            pieces
                                .extend(self.asides(place.iter().map(|place| place.value.as_str()), false)?);
                            let word = self.word(&word.value)?;
                            if let ast::AssignmentName::VariableName(name) = &assignment.name {
                                simple.assigns.push((format!("{name}[{index}]"), word.clone()));
                            }
                            pieces.extend(word.0);
                            pieces.push(Piece::Text(" ".to_owned()));
                        }
                        Word(pieces)
                    }
                };
                let name = match &assignment.name {
                    ast::AssignmentName::VariableName(name) => name.clone(),
                    ast::AssignmentName::ArrayElementName(name, index) => {
                        let aside = self.asides(std::iter::once(index.as_str()), false)?;
                        simple.assigns.push((format!("{name}[]"), Word(aside)));
                        format!("{name}[{index}]")
                    }
                };
                let value = if assignment.append { appended(&name, &assignment.value, value) } else { value };
                simple.assigns.push((name, value));
            }
            Item::AssignmentWord(_, word) => simple.words.push(self.word(&word.value)?),
            Item::ProcessSubstitution(kind, subshell) => {
                let process = self.process(kind, subshell)?;
                simple.words.push(Word(vec![process]));
            }
        }
        Ok(())
    }

    fn process(
        &mut self,
        kind: &ast::ProcessSubstitutionKind,
        subshell: &ast::SubshellCommand,
    ) -> Read<Piece> {
        let script = self.list(&subshell.list)?;
        Ok(match kind {
            ast::ProcessSubstitutionKind::Read => Piece::Process(script),
            ast::ProcessSubstitutionKind::Write => Piece::Sink(script),
        })
    }

    fn word(&mut self, raw: &str) -> Read<Word> {
        self.spend()?;
        if !raw.contains(['$', '`', '\'', '"', '\\']) {
            return Ok(Word(vec![Piece::Text(raw.to_owned())]));
        }
        let inner = raw.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
        if let Some(inner) = inner.filter(|inner| !inner.contains('\'')) {
            return Ok(Word(vec![Piece::Text(inner.to_owned())]));
        }
        let pieces = brush_parser::word::parse(raw, &self.options).map_err(|_| Unreadable::Syntax)?;
        Ok(Word(self.pieces(&pieces, false)?))
    }

    /// The word, or the words its braces stand for.
    fn words(&mut self, raw: &str) -> Read<Vec<Word>> {
        match braces::spread(raw) {
            Some(words) => words.iter().map(|word| self.word(word)).collect(),
            None => Ok(vec![self.word(raw)?]),
        }
    }

    /// What a shell expands on the way, whatever becomes of the value: indices, patterns, offsets, messages.
    fn asides<'t>(&mut self, texts: impl Iterator<Item = &'t str>, quoted: bool) -> Read<Vec<Piece>> {
        texts.filter(|text| runs(text)).map(|text| Ok(Piece::Aside(self.inner(text, quoted)?))).collect()
    }

    /// A word inside an expansion, where the parser takes `<(cmd)` for letters. Between double quotes single ones
    /// quote nothing.
    fn inner(&mut self, raw: &str, quoted: bool) -> Read<Word> {
        if !runs(raw) {
            return self.word(raw);
        }
        let raw = raw.replace("<(", "$(").replace(">(", "$(");
        self.word(&if quoted { raw.replace('\'', "") } else { raw })
    }

    fn variable(&mut self, expansion: &ParameterExpr, quoted: bool) -> Read<Vec<Piece>> {
        use ParameterExpr::{
            AssignDefaultValues, IndicateErrorIfNullOrUnset, Parameter, UseAlternativeValue, UseDefaultValues,
        };
        let mut read = self.asides(beside(expansion).into_iter(), quoted)?;
        match expansion {
            Parameter { parameter, indirect } => {
                read.push(named(parameter, None, indirect.then_some(Change::Follow), quoted));
            }
            IndicateErrorIfNullOrUnset { parameter, .. } => read.push(named(parameter, None, None, quoted)),
            UseDefaultValues { parameter, indirect: false, default_value, .. }
            | AssignDefaultValues { parameter, indirect: false, default_value, .. } => {
                let fallback = default_value.as_deref().map(|raw| self.inner(raw, quoted)).transpose()?;
                read.push(named(parameter, fallback, None, quoted));
            }
            UseAlternativeValue { alternative_value: Some(raw), .. } => {
                read.extend(self.inner(raw, quoted)?.0)
            }
            other => read.push(match changed(other) {
                Some((parameter, change)) => named(parameter, None, Some(change), quoted),
                None => Piece::Unknown,
            }),
        }
        Ok(read)
    }

    fn pieces(&mut self, pieces: &[WordPieceWithSource], quoted: bool) -> Read<Vec<Piece>> {
        let mut read = Vec::with_capacity(pieces.len());
        for piece in pieces {
            self.spend()?;
            match &piece.piece {
                WordPiece::Text(text) => read.push(Piece::Text(text.clone())),
                WordPiece::SingleQuotedText(text) => read.push(Piece::Text(text.clone())),
                WordPiece::AnsiCQuotedText(text) => read.push(Piece::Text(ansi(text))),
                WordPiece::DoubleQuotedSequence(inner) | WordPiece::GettextDoubleQuotedSequence(inner) => {
                    if inner.is_empty() {
                        read.push(Piece::Text(String::new()));
                    }
                    read.extend(self.pieces(inner, true)?);
                }
                WordPiece::TildeExpansion(TildeExpr::Home) => read.push(Piece::Text("~".to_owned())),
                WordPiece::TildeExpansion(TildeExpr::UserHome(user)) => {
                    read.push(Piece::Text(format!("~{user}")))
                }
                WordPiece::TildeExpansion(_) => read.push(Piece::Unknown),
                WordPiece::ParameterExpansion(expansion) => read.extend(self.variable(expansion, quoted)?),
                WordPiece::CommandSubstitution(text) | WordPiece::BackquotedCommandSubstitution(text) => {
                    read.push(Piece::Command { script: parse(text, self.nodes, self.depth + 1)?, quoted });
                }
                WordPiece::EscapeSequence(text) => {
                    let text = text.strip_prefix('\\').unwrap_or(text);
                    read.push(Piece::Text(if text == "\n" { String::new() } else { text.to_owned() }));
                }
                WordPiece::ArithmeticExpression(expression) => {
                    read.push(Piece::Aside(self.word(&expression.value)?));
                    read.push(Piece::Unknown);
                }
            }
        }
        Ok(read)
    }
}

/// The texts in an expansion that are expanded beside its value. What stands in for a missing value is read as one.
fn beside(expansion: &ParameterExpr) -> Vec<&str> {
    use ParameterExpr as Expr;
    let (parameter, texts): (&Parameter, [Option<&str>; 2]) = match expansion {
        Expr::Parameter { parameter, .. }
        | Expr::UseDefaultValues { parameter, indirect: false, .. }
        | Expr::AssignDefaultValues { parameter, indirect: false, .. }
        | Expr::UseAlternativeValue { parameter, .. }
        | Expr::ParameterLength { parameter, .. }
        | Expr::Transform { parameter, .. } => (parameter, [None, None]),
        Expr::UseDefaultValues { parameter, default_value: text, .. }
        | Expr::AssignDefaultValues { parameter, default_value: text, .. }
        | Expr::IndicateErrorIfNullOrUnset { parameter, error_message: text, .. }
        | Expr::RemoveSmallestSuffixPattern { parameter, pattern: text, .. }
        | Expr::RemoveLargestSuffixPattern { parameter, pattern: text, .. }
        | Expr::RemoveSmallestPrefixPattern { parameter, pattern: text, .. }
        | Expr::RemoveLargestPrefixPattern { parameter, pattern: text, .. }
        | Expr::UppercaseFirstChar { parameter, pattern: text, .. }
        | Expr::UppercasePattern { parameter, pattern: text, .. }
        | Expr::LowercaseFirstChar { parameter, pattern: text, .. }
        | Expr::LowercasePattern { parameter, pattern: text, .. } => (parameter, [text.as_deref(), None]),
        Expr::ReplaceSubstring { parameter, pattern, replacement, .. } => {
            (parameter, [Some(pattern), replacement.as_deref()])
        }
        Expr::Substring { parameter, offset, length, .. } => {
            (parameter, [Some(&offset.value), length.as_ref().map(|length| length.value.as_str())])
        }
        Expr::VariableNames { .. } | Expr::MemberKeys { .. } => return Vec::new(),
    };
    let index = match parameter {
        Parameter::NamedWithIndex { index, .. } => Some(index.as_str()),
        _ => None,
    };
    index.into_iter().chain(texts.into_iter().flatten()).collect()
}

/// What an expansion makes of a value; `None` where only running it tells.
fn changed(expansion: &ParameterExpr) -> Option<(&Parameter, Change)> {
    use ParameterExpr as Expr;
    let plain = |pattern: &Option<String>| {
        let pattern = pattern.clone().unwrap_or_default();
        (!pattern.contains(['$', '`', '\'', '"', '\\'])).then_some(pattern)
    };
    let strip = |pattern, end, longest| Some(Change::Strip { pattern: plain(pattern)?, end, longest });
    Some(match expansion {
        Expr::Substring { parameter, indirect: false, offset, length } => {
            let length = match length {
                Some(length) => Some(length.value.trim().parse().ok()?),
                None => None,
            };
            (parameter, Change::Slice { from: offset.value.trim().parse().ok()?, length })
        }
        Expr::RemoveSmallestSuffixPattern { parameter, indirect: false, pattern } => {
            (parameter, strip(pattern, true, false)?)
        }
        Expr::RemoveLargestSuffixPattern { parameter, indirect: false, pattern } => {
            (parameter, strip(pattern, true, true)?)
        }
        Expr::RemoveSmallestPrefixPattern { parameter, indirect: false, pattern } => {
            (parameter, strip(pattern, false, false)?)
        }
        Expr::RemoveLargestPrefixPattern { parameter, indirect: false, pattern } => {
            (parameter, strip(pattern, false, true)?)
        }
        Expr::ReplaceSubstring { parameter, indirect: false, pattern, replacement, match_kind } => {
            let pattern = plain(&Some(pattern.clone()))?;
            let with = plain(replacement)?;
            (
                parameter,
                Change::Replace { pattern, with, all: matches!(match_kind, SubstringMatchKind::Anywhere) },
            )
        }
        Expr::UppercaseFirstChar { parameter, indirect: false, .. } => {
            (parameter, Change::Upper { all: false })
        }
        Expr::UppercasePattern { parameter, indirect: false, .. } => (parameter, Change::Upper { all: true }),
        Expr::LowercaseFirstChar { parameter, indirect: false, .. } => {
            (parameter, Change::Lower { all: false })
        }
        Expr::LowercasePattern { parameter, indirect: false, .. } => (parameter, Change::Lower { all: true }),
        Expr::Transform { parameter, indirect: false, op } => match op {
            ParameterTransformOp::CapitalizeInitial => (parameter, Change::Upper { all: false }),
            ParameterTransformOp::ToUpperCase => (parameter, Change::Upper { all: true }),
            ParameterTransformOp::ToLowerCase => (parameter, Change::Lower { all: true }),
            ParameterTransformOp::ExpandEscapeSequences => (parameter, Change::Unescape),
            ParameterTransformOp::PromptExpand => (parameter, Change::Prompt),
            _ => return None,
        },
        _ => return None,
    })
}

/// `$x` by the name its value is kept under; `$@` stands for all that was given.
fn named(parameter: &Parameter, fallback: Option<Word>, change: Option<Change>, quoted: bool) -> Piece {
    let (name, quoted) = match parameter {
        Parameter::Named(name) => (name.clone(), quoted),
        Parameter::NamedWithIndex { name, index } => (format!("{name}[{index}]"), quoted),
        Parameter::NamedWithAllIndices { name, .. } => (name.clone(), false),
        Parameter::Positional(index) => (index.to_string(), quoted),
        Parameter::Special(SpecialParameter::AllPositionalParameters { .. }) => ("@".to_owned(), false),
        Parameter::Special(_) => return Piece::Unknown,
    };
    Piece::Variable { name, fallback, change, quoted }
}

/// `x+=y`, `x+=(y)`: what the name held comes first.
fn appended(name: &str, added: &ast::AssignmentValue, value: Word) -> Word {
    let nothing = Some(Word(Vec::new()));
    let held = Piece::Variable { name: name.to_owned(), fallback: nothing, change: None, quoted: true };
    let apart = matches!(added, ast::AssignmentValue::Array(_)).then(|| Piece::Text(" ".to_owned()));
    Word(std::iter::once(held).chain(apart).chain(value.0).collect())
}

/// Whether a text holds a command.
pub(super) fn runs(text: &str) -> bool {
    text.contains("$(") || text.contains('`') || text.contains("<(") || text.contains(">(")
}

fn number_of(number: Option<&i32>) -> u32 {
    number.and_then(|number| u32::try_from(*number).ok()).unwrap_or_default()
}

/// Input from descriptor 3 and up; the first three are what they always are.
fn descriptor(number: &str) -> Option<Redirect> {
    number.parse().ok().filter(|number| *number > 2).map(Redirect::From)
}

/// `$'\x72\155'` as the shell reads it.
pub(super) fn ansi(text: &str) -> String {
    let mut read = Vec::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            read.extend(letter.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        match letters.next() {
            Some('x') => read.push(byte(digits(&mut letters, 16, 2, 0))),
            Some(first @ '0'..='7') => {
                // `printf` takes one digit more after a zero.
                let most = if first == '0' { 3 } else { 2 };
                read.push(byte(digits(&mut letters, 8, most, first.to_digit(8).unwrap_or(0))));
            }
            Some(kind @ ('u' | 'U')) => {
                let value = digits(&mut letters, 16, if kind == 'u' { 4 } else { 8 }, 0);
                read.extend(char::from_u32(value).unwrap_or('\u{fffd}').encode_utf8(&mut [0; 4]).bytes());
            }
            Some('n') => read.push(b'\n'),
            Some('t') => read.push(b'\t'),
            Some('r') => read.push(b'\r'),
            Some('a' | 'b' | 'f' | 'v' | 'e' | 'E') => read.push(b' '),
            Some(other) => read.extend(other.encode_utf8(&mut [0; 4]).bytes()),
            None => {}
        }
    }
    String::from_utf8_lossy(&read).into_owned()
}

fn digits(
    letters: &mut std::iter::Peekable<std::str::Chars<'_>>,
    radix: u32,
    most: usize,
    first: u32,
) -> u32 {
    let mut value = first;
    for _ in 0..most {
        let Some(digit) = letters.peek().and_then(|next| next.to_digit(radix)) else {
            break;
        };
        value = value.wrapping_mul(radix).wrapping_add(digit);
        letters.next();
    }
    value
}

fn byte(value: u32) -> u8 {
    u8::try_from(value & 0xff).unwrap_or_default()
}
