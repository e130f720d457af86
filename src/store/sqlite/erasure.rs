//! The statements that forget.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::connection::Failure;
use super::statements::begin;
use crate::store::{Erase, Erased};

const DAY_MS: i64 = 86_400_000;
const OVER: &str = "state NOT IN ('pending', 'approved', 'forwarding')";
/// What a person sees in the place of a view that is gone.
const GONE: &str = r#"{"erased":true}"#;

/// The salt of a day: the one that is kept, else `fresh`, which is kept from now on.
pub(super) fn salt(db: &mut Connection, day: i64, fresh: &[u8; 32]) -> Result<[u8; 32], Failure> {
    let change = begin(db)?;
    change
        .execute("INSERT OR IGNORE INTO salts (day, salt) VALUES (?1, ?2)", params![day, fresh.as_slice()])?;
    let salt = change.query_row("SELECT salt FROM salts WHERE day = ?1", [day], |row| row.get(0))?;
    change.commit()?;
    Ok(salt)
}

pub(super) fn erase(db: &mut Connection, what: &Erase) -> Result<Erased, Failure> {
    let change = begin(db)?;
    let erased = match what {
        Erase::Call(call) => {
            let hold = change
                .query_row("SELECT id FROM holds
                     WHERE id = ?1 OR CASE WHEN json_valid(shown) THEN json_extract(shown, '$.call') = ?1 END", [call], |row| {
                    row.get::<_, String>(0)
                })
                .optional()?;
            let subject = hold.unwrap_or_else(|| call.clone());
            let mut erased = forget(&change, "id = ?1", "id = ?1", &subject)?;
            erased.previews += forget_reviews(&change, "call = ?1", call)?;
            erased
        }
        Erase::Before(ms) => {
            let mut erased = forget(&change, "created_ms < ?1", "created_ms < ?1", ms)?;
            erased.salts = forget_salts(&change, *ms)?;
            erased
        }
        Erase::Person(name) => {
            // Named in what is raw or in what is shown; letters of either case.
            let named = "principal = ?1 OR instr(lower(shown), lower(?1)) > 0 OR id IN (
                SELECT hold FROM (SELECT hold, bytes FROM arguments UNION ALL SELECT hold, bytes FROM edits)
                WHERE instr(lower(CAST(bytes AS TEXT)), lower(?1)) > 0)";
            forget(&change, named, "instr(lower(shown), lower(?1)) > 0", name)?
        }
    };
    change.commit()?;
    // The write-ahead log still holds the bytes until it has been folded in.
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(erased)
}

/// Forgets of the holds and reviews that fit, as far as they are over.
fn forget(
    change: &Transaction<'_>,
    holds: &str,
    reviews: &str,
    subject: &dyn rusqlite::ToSql,
) -> Result<Erased, Failure> {
    let kept: i64 = change.query_row(
        &format!("SELECT count(*) FROM holds WHERE ({holds}) AND NOT {OVER}"),
        [subject],
        |row| row.get(0),
    )?;
    let previews = change.execute(
        &format!("UPDATE holds SET shown = '{GONE}' WHERE ({holds}) AND {OVER} AND shown <> '{GONE}'"),
        [subject],
    )?;
    // What the view named is gone with it, so the arguments go by the views that are.
    let arguments = change.execute(
        &format!(
            "DELETE FROM arguments WHERE hold IN (SELECT id FROM holds WHERE shown = '{GONE}' AND {OVER})"
        ),
        [],
    )?;
    let edits = change.execute(
        &format!("DELETE FROM edits WHERE hold IN (SELECT id FROM holds WHERE shown = '{GONE}' AND {OVER})"),
        [],
    )?;
    let reviews = forget_reviews(change, reviews, subject)?;
    Ok(Erased {
        arguments: (arguments + edits) as u64,
        previews: previews as u64 + reviews,
        salts: 0,
        kept: kept.cast_unsigned(),
    })
}

fn forget_reviews(
    change: &Transaction<'_>,
    reviews: &str,
    subject: &dyn rusqlite::ToSql,
) -> Result<u64, Failure> {
    let over = "state NOT IN ('open', 'reverting')";
    let changed = change.execute(
        &format!("UPDATE reviews SET shown = '{GONE}' WHERE ({reviews}) AND {over} AND shown <> '{GONE}'"),
        [subject],
    )?;
    Ok(changed as u64)
}

/// Of whole days only: the salt of a day that is not over is in use.
pub(super) fn forget_salts(db: &Connection, before_ms: i64) -> Result<u64, Failure> {
    let days = before_ms.div_euclid(DAY_MS);
    Ok(db.execute("DELETE FROM salts WHERE day < ?1", [days])? as u64)
}

/// Forgets decided holds and reviews themselves; what the ledger says of them stays.
pub(super) fn forget_decided(db: &mut Connection, before_ms: i64) -> Result<u64, Failure> {
    let change = begin(db)?;
    for table in ["arguments", "edits", "hold_votes"] {
        let over = format!("SELECT id FROM holds WHERE created_ms < ?1 AND {OVER}");
        change.execute(&format!("DELETE FROM {table} WHERE hold IN ({over})"), [before_ms])?;
    }
    let holds =
        change.execute(&format!("DELETE FROM holds WHERE created_ms < ?1 AND {OVER}"), [before_ms])?;
    let reviews = change.execute(
        "DELETE FROM reviews WHERE created_ms < ?1 AND state NOT IN ('open', 'reverting')",
        [before_ms],
    )?;
    change.commit()?;
    Ok((holds + reviews) as u64)
}
