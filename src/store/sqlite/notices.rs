//! The statements about messages to people.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::connection::Failure;
use super::statements::begin;
use crate::store::{ChannelOff, Notice, Notified};

const NOTICE: &str = "id, channel, about, body, dead, attempts, created_ms, next_ms, error";
/// Messages given up that are kept; the oldest go first.
const DEAD: i64 = 1000;

pub(super) fn queue(db: &mut Connection, notice: &Notice, told: &[Notified]) -> Result<(), Failure> {
    let change = begin(db)?;
    put(&change, notice)?;
    for told in told {
        change
            .prepare_cached(
                "INSERT OR IGNORE INTO notified (hold, rung, channel, at_ms) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![told.hold, told.rung, told.channel, told.at_ms])?;
    }
    Ok(change.commit()?)
}

pub(super) fn put(db: &Connection, notice: &Notice) -> Result<(), Failure> {
    db.prepare_cached(&format!(
        "INSERT OR REPLACE INTO notices ({NOTICE}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
    ))?
    .execute(params![
        notice.id,
        notice.channel,
        notice.about,
        notice.body,
        notice.dead,
        notice.attempts,
        notice.created_ms,
        notice.next_ms,
        notice.error,
    ])?;
    if notice.dead {
        db.prepare_cached(
            "DELETE FROM notices WHERE dead AND id NOT IN (
                 SELECT id FROM notices WHERE dead ORDER BY created_ms DESC LIMIT ?1)",
        )?
        .execute([DEAD])?;
    }
    Ok(())
}

pub(super) fn delivered(db: &Connection, id: &str) -> Result<(), Failure> {
    db.prepare_cached("DELETE FROM notices WHERE id = ?1")?.execute([id])?;
    Ok(())
}

pub(super) fn next(db: &Connection, channel: &str) -> Result<Option<Notice>, Failure> {
    Ok(db
        .prepare_cached(&format!(
            "SELECT {NOTICE} FROM notices WHERE channel = ?1 AND NOT dead ORDER BY next_ms, created_ms LIMIT 1"
        ))?
        .query_row([channel], read)
        .optional()?)
}

pub(super) fn all(db: &Connection) -> Result<Vec<Notice>, Failure> {
    let mut rows = db.prepare_cached(&format!("SELECT {NOTICE} FROM notices ORDER BY created_ms"))?;
    Ok(rows.query_map([], read)?.collect::<Result<_, _>>()?)
}

pub(super) fn count_dead(db: &Connection) -> Result<u64, Failure> {
    let count: i64 = db.query_row("SELECT count(*) FROM notices WHERE dead", [], |row| row.get(0))?;
    Ok(count.cast_unsigned())
}

/// Forgets what was told of holds that are over, and gives the rest.
pub(super) fn notified(db: &Connection) -> Result<Vec<Notified>, Failure> {
    db.execute("DELETE FROM notified WHERE hold NOT IN (SELECT id FROM holds WHERE state = 'pending')", [])?;
    let mut rows = db.prepare_cached("SELECT hold, rung, channel, at_ms FROM notified")?;
    let read = |row: &Row<'_>| {
        Ok(Notified { hold: row.get(0)?, rung: row.get(1)?, channel: row.get(2)?, at_ms: row.get(3)? })
    };
    Ok(rows.query_map([], read)?.collect::<Result<_, _>>()?)
}

pub(super) fn switch_off(db: &mut Connection, off: &ChannelOff) -> Result<(), Failure> {
    let change = begin(db)?;
    change.execute(
        "INSERT OR REPLACE INTO channels_off (channel, since_ms, why) VALUES (?1, ?2, ?3)",
        params![off.channel, off.since_ms, off.why],
    )?;
    change.execute(
        "UPDATE notices SET dead = 1, error = ?2 WHERE channel = ?1 AND NOT dead",
        params![off.channel, off.why],
    )?;
    Ok(change.commit()?)
}

pub(super) fn switch_on(db: &Connection, channel: &str) -> Result<(), Failure> {
    db.execute("DELETE FROM channels_off WHERE channel = ?1", [channel])?;
    Ok(())
}

pub(super) fn off(db: &Connection) -> Result<Vec<ChannelOff>, Failure> {
    let mut rows = db.prepare_cached("SELECT channel, since_ms, why FROM channels_off ORDER BY channel")?;
    let read =
        |row: &Row<'_>| Ok(ChannelOff { channel: row.get(0)?, since_ms: row.get(1)?, why: row.get(2)? });
    Ok(rows.query_map([], read)?.collect::<Result<_, _>>()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Notice> {
    Ok(Notice {
        id: row.get("id")?,
        channel: row.get("channel")?,
        about: row.get("about")?,
        body: row.get("body")?,
        dead: row.get("dead")?,
        attempts: row.get("attempts")?,
        created_ms: row.get("created_ms")?,
        next_ms: row.get("next_ms")?,
        error: row.get("error")?,
    })
}
