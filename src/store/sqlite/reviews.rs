//! What undoing a call takes, how often tools were used, and which of them nobody reviews any more.

use rusqlite::{Connection, OptionalExtension, params};

use super::connection::Failure;
use super::statements::{REVIEW, begin, enqueue_review, read_review};
use crate::store::{Flag, ReviewRow, ReviewState};

pub(super) fn review(db: &Connection, id: &str) -> Result<Option<ReviewRow>, Failure> {
    let row = db
        .prepare_cached(&format!("SELECT {REVIEW} FROM reviews WHERE id = ?1"))?
        .query_row([id], read_review)
        .optional()?;
    Ok(row)
}

pub(super) fn all(db: &Connection, limit: u32) -> Result<Vec<ReviewRow>, Failure> {
    let rows = db
        .prepare_cached(&format!(
            "SELECT {REVIEW} FROM reviews ORDER BY created_ms DESC, rowid DESC LIMIT ?1"
        ))?
        .query_map([limit], read_review)?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

pub(super) fn open(db: &mut Connection, review: &ReviewRow, kept: &str) -> Result<(), Failure> {
    let change = begin(db)?;
    enqueue_review(&change, review)?;
    keep(&change, &review.id, kept)?;
    Ok(change.commit()?)
}

pub(super) fn keep(db: &Connection, review: &str, kept: &str) -> Result<(), Failure> {
    db.prepare_cached("INSERT OR REPLACE INTO review_kept (review, kept) VALUES (?1, ?2)")?
        .execute([review, kept])?;
    Ok(())
}

pub(super) fn kept(db: &Connection, review: &str) -> Result<Option<String>, Failure> {
    let kept = db
        .prepare_cached("SELECT kept FROM review_kept WHERE review = ?1")?
        .query_row([review], |row| row.get(0))
        .optional()?;
    Ok(kept)
}

/// What is kept for calls that can still be taken back, oldest first.
pub(super) fn all_kept(db: &Connection) -> Result<Vec<(String, String)>, Failure> {
    let kept = db
        .prepare_cached(
            "SELECT kept.review, kept.kept FROM review_kept AS kept JOIN reviews ON reviews.id = kept.review
             ORDER BY reviews.created_ms, reviews.rowid",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    Ok(kept)
}

/// Ends the reviews whose time is over, and forgets what was kept for all that have ended.
pub(super) fn expire(db: &mut Connection, now: i64) -> Result<u64, Failure> {
    let change = begin(db)?;
    let mut expired = 0;
    for state in ReviewState::ALL.into_iter().filter(|state| state.is_revertible()) {
        expired += change
            .prepare_cached(
                "UPDATE reviews SET state = ?3, version = version + 1 WHERE state = ?1 AND expires_ms <= ?2",
            )?
            .execute(params![state.as_str(), now, ReviewState::Expired.as_str()])?;
    }
    let open: Vec<String> = ReviewState::ALL
        .into_iter()
        .filter(|state| state.is_revertible() || *state == ReviewState::Reverting)
        .map(|state| format!("'{state}'"))
        .collect();
    change.execute(
        &format!(
            "DELETE FROM review_kept WHERE review IN (SELECT id FROM reviews WHERE state NOT IN ({}))",
            open.join(", ")
        ),
        [],
    )?;
    change.commit()?;
    Ok(expired as u64)
}

/// How often the tool was used, this time included.
pub(super) fn count_use(db: &Connection, server: &str, tool: &str) -> Result<u64, Failure> {
    let uses = db
        .prepare_cached(
            "INSERT INTO review_uses (server, tool, uses) VALUES (?1, ?2, 1)
             ON CONFLICT (server, tool) DO UPDATE SET uses = uses + 1 RETURNING uses",
        )?
        .query_row([server, tool], |row| row.get::<_, i64>(0))?;
    Ok(uses.cast_unsigned())
}

pub(super) fn flag(db: &Connection, flag: &Flag) -> Result<(), Failure> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO review_flags (server, tool, by, reason, at_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![flag.server, flag.tool, flag.by, flag.reason, flag.at_ms])?;
    Ok(())
}

pub(super) fn unflag(db: &Connection, server: &str, tool: &str) -> Result<bool, Failure> {
    let removed = db
        .prepare_cached("DELETE FROM review_flags WHERE server = ?1 AND tool = ?2")?
        .execute([server, tool])?;
    Ok(removed > 0)
}

pub(super) fn flags(db: &Connection) -> Result<Vec<Flag>, Failure> {
    let flags = db
        .prepare_cached("SELECT server, tool, by, reason, at_ms FROM review_flags ORDER BY server, tool")?
        .query_map([], |row| {
            Ok(Flag {
                server: row.get(0)?,
                tool: row.get(1)?,
                by: row.get(2)?,
                reason: row.get(3)?,
                at_ms: row.get(4)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(flags)
}
