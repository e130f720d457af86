//! Votes, edits, standing rules, freezes, and the figures of decided holds.

use rusqlite::{Connection, OptionalExtension, params};

use super::connection::Failure;
use super::statements::read_state;
use crate::store::{AskedRow, Decided, Edited, FreezeRow, StandingRow, VoteRow};

pub(super) fn vote(db: &Connection, hold: &str, vote: &VoteRow) -> Result<(), Failure> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO hold_votes (hold, approver, subject, receipt, at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![hold, vote.approver, vote.subject, vote.receipt, vote.at_ms])?;
    Ok(())
}

pub(super) fn keep_edit(db: &Connection, hold: &str, edit: &Edited) -> Result<(), Failure> {
    db.prepare_cached("INSERT OR REPLACE INTO edits (hold, digest, bytes) VALUES (?1, ?2, ?3)")?
        .execute(params![hold, edit.digest, edit.bytes])?;
    Ok(())
}

pub(super) fn votes(db: &Connection, hold: &str) -> Result<Vec<VoteRow>, Failure> {
    let rows = db
        .prepare_cached(
            "SELECT approver, subject, receipt, at_ms FROM hold_votes WHERE hold = ?1 ORDER BY at_ms, approver",
        )?
        .query_map([hold], |row| {
            Ok(VoteRow { approver: row.get(0)?, subject: row.get(1)?, receipt: row.get(2)?, at_ms: row.get(3)? })
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

pub(super) fn edit(db: &Connection, hold: &str, digest: &str) -> Result<Option<Vec<u8>>, Failure> {
    Ok(db
        .prepare_cached("SELECT bytes FROM edits WHERE hold = ?1 AND digest = ?2")?
        .query_row([hold, digest], |row| row.get(0))
        .optional()?)
}

pub(super) fn add_standing(db: &Connection, row: &StandingRow) -> Result<(), Failure> {
    db.prepare_cached(
        "INSERT INTO standing (id, rule, made_ms, expires_ms, max_uses, used) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![row.id, row.rule, row.made_ms, row.expires_ms, row.max_uses, row.used])?;
    Ok(())
}

pub(super) fn standing(db: &Connection, now_ms: i64) -> Result<Vec<StandingRow>, Failure> {
    let rows = db
        .prepare_cached(
            "SELECT id, rule, made_ms, expires_ms, max_uses, used FROM standing
             WHERE withdrawn_ms IS NULL AND expires_ms > ?1 AND (max_uses IS NULL OR used < max_uses)
             ORDER BY made_ms, id",
        )?
        .query_map([now_ms], |row| {
            Ok(StandingRow {
                id: row.get(0)?,
                rule: row.get(1)?,
                made_ms: row.get(2)?,
                expires_ms: row.get(3)?,
                max_uses: row.get(4)?,
                used: row.get(5)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// True when a use was left and is taken.
pub(super) fn use_standing(db: &Connection, id: &str, now_ms: i64) -> Result<bool, Failure> {
    let taken = db
        .prepare_cached(
            "UPDATE standing SET used = used + 1
             WHERE id = ?1 AND withdrawn_ms IS NULL AND expires_ms > ?2
                   AND (max_uses IS NULL OR used < max_uses)",
        )?
        .execute(params![id, now_ms])?;
    Ok(taken > 0)
}

pub(super) fn withdraw_standing(db: &Connection, id: &str, now_ms: i64) -> Result<bool, Failure> {
    let taken = db
        .prepare_cached("UPDATE standing SET withdrawn_ms = ?2 WHERE id = ?1 AND withdrawn_ms IS NULL")?
        .execute(params![id, now_ms])?;
    Ok(taken > 0)
}

pub(super) fn freeze(db: &Connection, row: &FreezeRow) -> Result<(), Failure> {
    db.prepare_cached(
        "INSERT INTO freezes (what, by, reason, at_ms) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (what) DO NOTHING",
    )?
    .execute(params![row.what, row.by, row.reason, row.at_ms])?;
    Ok(())
}

pub(super) fn thaw(db: &Connection, what: &str) -> Result<bool, Failure> {
    Ok(db.prepare_cached("DELETE FROM freezes WHERE what = ?1")?.execute([what])? > 0)
}

pub(super) fn frozen(db: &Connection) -> Result<Vec<FreezeRow>, Failure> {
    let rows = db
        .prepare_cached("SELECT what, by, reason, at_ms FROM freezes ORDER BY at_ms, what")?
        .query_map([], |row| {
            Ok(FreezeRow { what: row.get(0)?, by: row.get(1)?, reason: row.get(2)?, at_ms: row.get(3)? })
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// Rows are numbered as they come: no index has to be kept for this.
pub(super) fn asked(db: &Connection, limit: u32) -> Result<Vec<AskedRow>, Failure> {
    let mut rows = db
        .prepare_cached(
            "SELECT id, key, principal, session, server, tool, state, created_ms, decided_ms,
                    CASE state WHEN 'denied' THEN decision END AS denial
             FROM holds ORDER BY rowid DESC LIMIT ?1",
        )?
        .query_map([limit], |row| {
            Ok(AskedRow {
                hold: row.get("id")?,
                key: row.get("key")?,
                of: [row.get("principal")?, row.get("session")?, row.get("server")?, row.get("tool")?],
                state: read_state(row)?,
                created_ms: row.get("created_ms")?,
                decided_ms: row.get("decided_ms")?,
                denial: row.get("denial")?,
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    rows.reverse();
    Ok(rows)
}

pub(super) fn decided_since(db: &Connection, since_ms: i64) -> Result<Vec<Decided>, Failure> {
    let rows = db
        .prepare_cached("SELECT state = 'denied', created_ms, decided_ms FROM holds WHERE decided_ms >= ?1")?
        .query_map([since_ms], |row| {
            Ok(Decided { denied: row.get(0)?, created_ms: row.get(1)?, decided_ms: row.get(2)? })
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}
