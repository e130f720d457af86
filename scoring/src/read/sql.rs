//! SQL, by statement: what it reads, changes or drops.

use std::borrow::Cow;

use sqlparser::ast::{BinaryOperator, Expr, Query, SetExpr, Statement, UnaryOperator, Value, With};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserError};

use crate::rules::pack::Scope;
use crate::rules::{Rules, Signal};
use crate::weigh::{Findings, Place};

/// Whether the text opens like a statement.
pub(crate) fn is_statement(text: &str) -> bool {
    const OPENINGS: [&str; 17] = [
        "select", "insert", "update", "delete", "drop", "truncate", "alter", "create", "grant", "revoke",
        "with", "merge", "replace", "vacuum", "explain", "show", "pragma",
    ];
    let mut words = text.split(|letter: char| !letter.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    words.next().is_some_and(|first| OPENINGS.iter().any(|opening| first.eq_ignore_ascii_case(opening)))
        && words.next().is_some()
}

/// Whether a text given as a command is no command but a statement.
pub(crate) fn is_bare_statement(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let (Some(first), Some(second)) = (words.next(), words.next()) else {
        return false;
    };
    let second = second.to_ascii_lowercase();
    match first.to_ascii_lowercase().as_str() {
        "drop" | "create" | "alter" => {
            matches!(second.as_str(), "table" | "database" | "schema" | "index" | "user" | "role" | "view")
        }
        "delete" => second == "from",
        "insert" => second == "into",
        "grant" | "revoke" => text.to_ascii_lowercase().contains(" on "),
        "truncate" => second == "table" || first == "TRUNCATE",
        "update" => text.to_ascii_lowercase().contains(" set "),
        "select" => text.to_ascii_lowercase().contains(" from "),
        _ => false,
    }
}

/// A client's own word for a question about the database: `\\dt`, `\\l`.
fn describes(text: &str) -> bool {
    let word = text.trim();
    let letters = word.strip_prefix('\\').filter(|rest| !rest.contains('\\'));
    letters.is_some_and(|rest| {
        rest.starts_with(['d', 'l', 'z']) || matches!(rest, "conninfo" | "timing" | "x" | "?" | "h")
    })
}

/// Adds what each statement does.
pub(crate) fn read<'r>(text: &str, at: &Place, rules: &'r Rules, findings: &mut Findings<'r>) {
    let Some(patterns) = rules.patterns.get(&Scope::Sql) else {
        return;
    };
    if describes(text) {
        return;
    }
    let (whole, text) = (text.len() <= BYTES, text.get(..text.floor_char_boundary(BYTES)).unwrap_or(text));
    let bare = without_literals(text);
    let mut known = whole;
    for statement in bare.split(';').filter(|statement| !statement.trim().is_empty()) {
        let statement = performed(statement);
        let found = patterns.find(statement);
        known &= !found.is_empty();
        for (rule, span) in found {
            let start = offset(&bare, statement);
            findings.add(rule, at.span((start + span.0, start + span.1)));
        }
        let start = offset(&bare, statement);
        let written = text.get(start..start + statement.len()).unwrap_or_default();
        if changes_rows(statement) {
            let spelled = statement.chars().filter(|letter| !letter.is_whitespace()).count();
            match (spelled <= PARSED).then(|| takes_every_row(written)).flatten() {
                Some(true) => {
                    findings
                        .add(rules.signal(Signal::SqlEveryRow), at.span((start, start + statement.len())));
                }
                Some(false) => {}
                None => known = false,
            }
        }
    }
    if !known {
        findings.add(rules.signal(Signal::SqlOpaque), at.clone());
    }
}

/// What a statement that explains another does: only with `analyze` is that one run.
fn performed(statement: &str) -> &str {
    const EXPLAINED: [&str; 6] = ["select", "insert", "update", "delete", "merge", "with"];
    let is_gap = |letter: char| !letter.is_ascii_alphanumeric() && letter != '_';
    let trimmed = statement.trim_start();
    let mut runs = false;
    for (index, word) in trimmed.split(is_gap).filter(|word| !word.is_empty()).enumerate() {
        let lower = word.to_ascii_lowercase();
        match lower.as_str() {
            "explain" if index == 0 => {}
            _ if index == 0 => break,
            "analyze" | "analyse" => runs = true,
            lower if EXPLAINED.contains(&lower) => {
                let start = offset(trimmed, word);
                let (explain, inner) = trimmed.split_at_checked(start).unwrap_or_default();
                return if runs { inner } else { explain };
            }
            _ => {}
        }
    }
    statement
}

/// Bytes read of a text; what is beyond is not known.
const BYTES: usize = 64 << 10;
/// Letters of a statement, those in its literals aside, that are parsed: a tree as deep as its text is long would
/// not be let go of safely.
const PARSED: usize = 2 << 10;
/// How deep the parser goes at most, on any stack.
const RECURSION: usize = 24;

fn changes_rows(bare: &str) -> bool {
    let lower = bare.to_ascii_lowercase();
    lower.contains("update") || lower.contains("delete")
}

/// Whether the statement, or one within it, changes or deletes rows without choosing them; `None` when it is nested
/// too deep to tell.
fn takes_every_row(statement: &str) -> Option<bool> {
    let parser = Parser::new(&GenericDialect {}).with_recursion_limit(RECURSION).try_with_sql(statement);
    match parser.and_then(|mut parser| parser.parse_statements()) {
        Ok(parsed) => Some(parsed.iter().any(every_row)),
        Err(ParserError::RecursionLimitExceeded) => None,
        // A dialect the parser does not know; the patterns have spoken.
        Err(_) => Some(false),
    }
}

fn every_row(statement: &Statement) -> bool {
    match statement {
        Statement::Update(update) => chooses_nothing(update.selection.as_ref()) && update.limit.is_none(),
        Statement::Delete(delete) => {
            chooses_nothing(delete.selection.as_ref()) && delete.using.is_none() && delete.limit.is_none()
        }
        Statement::Query(query) => every_row_within(query),
        Statement::Explain { analyze: true, statement, .. } => every_row(statement),
        Statement::Prepare { statement, .. } => every_row(statement),
        _ => false,
    }
}

fn every_row_within(query: &Query) -> bool {
    let named = |with: &With| with.cte_tables.iter().any(|table| every_row_within(&table.query));
    query.with.as_ref().is_some_and(named)
        || match query.body.as_ref() {
            SetExpr::Update(statement) | SetExpr::Delete(statement) => every_row(statement),
            SetExpr::Query(inner) => every_row_within(inner),
            _ => false,
        }
}

fn chooses_nothing(condition: Option<&Expr>) -> bool {
    condition.is_none_or(always)
}

/// A condition that holds for every row: `1 = 1`, `true`, `not false`, `id = id`, `x or 1 = 1`.
fn always(condition: &Expr) -> bool {
    match condition {
        Expr::Nested(inner) => always(inner),
        Expr::Value(value) => match &value.value {
            Value::Boolean(holds) => *holds,
            Value::Number(number, _) => number != "0",
            _ => false,
        },
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
            matches!(expr.as_ref(), Expr::Value(value) if value.value == Value::Boolean(false))
        }
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => left == right,
        Expr::BinaryOp { left, op: BinaryOperator::Or, right } => always(left) || always(right),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => always(left) && always(right),
        _ => false,
    }
}

fn offset(whole: &str, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize)
}

/// The text with strings and comments blanked, byte for byte, so that a word in a value is not a command.
fn without_literals(text: &str) -> Cow<'_, str> {
    if !text.contains(['\'', '-', '/', '#']) {
        return Cow::Borrowed(text);
    }
    let mut bare = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let length = if letter == '\'' {
            rest.get(1..).and_then(|inner| inner.find('\'')).map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") && !rest.starts_with("/*!") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else {
            bare.push(letter);
            rest = rest.get(letter.len_utf8()..).unwrap_or_default();
            continue;
        };
        bare.extend(std::iter::repeat_n(' ', length));
        rest = rest.get(length..).unwrap_or_default();
    }
    Cow::Owned(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_no_deletion_unless_it_is_carried_out() {
        for (statement, runs) in [
            ("explain delete from t", "explain "),
            (" EXPLAIN (analyze, buffers) update t set a = 1", "update t set a = 1"),
            ("explain analyze delete from t", "delete from t"),
            ("delete from t", "delete from t"),
            ("select explain from t", "select explain from t"),
        ] {
            assert_eq!(performed(statement), runs, "{statement}");
        }
    }

    #[test]
    fn a_statement_that_chooses_no_rows_takes_them_all() {
        for statement in [
            "update users set a = 1",
            "UPDATE users SET a = 'x where y' WHERE 1 = 1",
            "delete from users",
            "delete from users where true",
            "delete from users where id = id or name = 'x'",
            "with gone as (delete from users returning *) select * from gone",
            "update t set a = 1 where (not false)",
            "explain analyze delete from users",
        ] {
            assert_eq!(takes_every_row(statement), Some(true), "{statement}");
        }
        for statement in [
            "update users set a = 1 where id = 2",
            "delete from users where id in (1, 2)",
            "delete from users where created < now() and 1 = 1",
            "with x as (select 1) select * from x",
            "explain delete from users",
            "delete from users limit 1",
            "select 'delete from users'",
        ] {
            assert_eq!(takes_every_row(statement), Some(false), "{statement}");
        }
    }
}
