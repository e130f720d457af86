//! The people who decide, and their keys.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::connection::Failure;
use super::statements::{begin, unreadable};
use crate::store::{ApproverRow, KeyKind, KeyRow, StoreError, UnknownState};

const KEY: &str = "id, approver, kind, algorithm, public, label, added_ms, used_ms, counter";

/// Adds the approver if the name is new, and the key; a key of somebody else is never taken over.
pub(super) fn add_key(db: &mut Connection, approver: &ApproverRow, key: &KeyRow) -> Result<(), Failure> {
    let change = begin(db)?;
    change
        .prepare_cached("INSERT OR IGNORE INTO approvers (name, handle, added_ms) VALUES (?1, ?2, ?3)")?
        .execute(params![approver.name, approver.handle, approver.added_ms])?;
    let added = change
        .prepare_cached(&format!(
            "INSERT INTO approver_keys ({KEY}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (id) DO UPDATE SET label = excluded.label WHERE approver = excluded.approver"
        ))?
        .execute(params![
            key.id,
            key.approver,
            key.kind.as_str(),
            key.algorithm,
            key.public,
            key.label,
            key.added_ms,
            key.used_ms,
            key.counter
        ])?;
    if added == 0 {
        return Err(StoreError::Exists { what: "key", id: key.id.clone() }.into());
    }
    Ok(change.commit()?)
}

pub(super) fn approvers(db: &Connection) -> Result<Vec<ApproverRow>, Failure> {
    let rows = db
        .prepare_cached("SELECT name, handle, added_ms FROM approvers ORDER BY name")?
        .query_map([], |row| {
            Ok(ApproverRow { name: row.get(0)?, handle: row.get(1)?, added_ms: row.get(2)? })
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

pub(super) fn keys(db: &Connection) -> Result<Vec<KeyRow>, Failure> {
    let rows = db
        .prepare_cached(&format!("SELECT {KEY} FROM approver_keys ORDER BY added_ms, id"))?
        .query_map([], read_key)?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

pub(super) fn key(db: &Connection, id: &str) -> Result<Option<KeyRow>, Failure> {
    Ok(db
        .prepare_cached(&format!("SELECT {KEY} FROM approver_keys WHERE id = ?1"))?
        .query_row([id], read_key)
        .optional()?)
}

/// False when the counter has not grown since: of two that use one key, one is a copy.
pub(super) fn use_key(db: &mut Connection, id: &str, counter: u32, at_ms: i64) -> Result<bool, Failure> {
    let used = db
        .prepare_cached(
            "UPDATE approver_keys SET counter = ?2, used_ms = ?3
             WHERE id = ?1 AND (counter < ?2 OR (counter = 0 AND ?2 = 0))",
        )?
        .execute(params![id, counter, at_ms])?;
    Ok(used > 0)
}

pub(super) fn remove_key(db: &mut Connection, id: &str) -> Result<bool, Failure> {
    Ok(db.prepare_cached("DELETE FROM approver_keys WHERE id = ?1")?.execute([id])? > 0)
}

pub(super) fn remove_approver(db: &mut Connection, name: &str) -> Result<bool, Failure> {
    Ok(db.prepare_cached("DELETE FROM approvers WHERE name = ?1")?.execute([name])? > 0)
}

fn read_key(row: &Row<'_>) -> rusqlite::Result<KeyRow> {
    let kind: String = row.get(2)?;
    let kind = [KeyKind::Browser, KeyKind::Passkey].into_iter().find(|known| known.as_str() == kind);
    Ok(KeyRow {
        id: row.get(0)?,
        approver: row.get(1)?,
        kind: kind.ok_or_else(|| unreadable(2, UnknownState("kind of key".into())))?,
        algorithm: row.get(3)?,
        public: row.get(4)?,
        label: row.get(5)?,
        added_ms: row.get(6)?,
        used_ms: row.get(7)?,
        counter: row.get(8)?,
    })
}
