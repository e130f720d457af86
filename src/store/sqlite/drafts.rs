//! The statements about policies that are not in force.

use rusqlite::{Connection, params};

use super::connection::Failure;
use crate::store::DraftRow;

/// In the place of one of the same name.
pub(super) fn put(db: &Connection, draft: &DraftRow) -> Result<(), Failure> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO drafts (name, text, base, saved_by, at_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![draft.name, draft.text, draft.base, draft.by, draft.at_ms])?;
    Ok(())
}

pub(super) fn all(db: &Connection) -> Result<Vec<DraftRow>, Failure> {
    let rows = db
        .prepare_cached("SELECT name, text, base, saved_by, at_ms FROM drafts ORDER BY at_ms DESC, name")?
        .query_map([], |row| {
            Ok(DraftRow {
                name: row.get(0)?,
                text: row.get(1)?,
                base: row.get(2)?,
                by: row.get(3)?,
                at_ms: row.get(4)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

pub(super) fn remove(db: &Connection, name: &str) -> Result<bool, Failure> {
    Ok(db.prepare_cached("DELETE FROM drafts WHERE name = ?1")?.execute([name])? > 0)
}
