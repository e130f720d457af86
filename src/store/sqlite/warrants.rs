//! What must be known of warrants after a restart.

use herma_warrant::limits::Rate;
use herma_warrant::spent::{Budgets, Draw, Pace, Paces};
use herma_warrant::warrant::WarrantId;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::connection::Failure;
use super::statements::{begin, unreadable};
use crate::store::{Assigned, RevokedRow, Unusable, UseUp, WarrantState};

/// All of it is used up, or nothing is.
pub(super) fn use_up(db: &mut Connection, uses: &UseUp) -> Result<Result<(), Unusable>, Failure> {
    let change = begin(db)?;
    let done = draw(&change, &uses.draws)?
        .and(step(&change, &uses.paces, uses.now)?)
        .and(spend(&change, &uses.keys, uses.now)?);
    if done.is_ok() {
        advance(&change, uses.now)?;
        change.commit()?;
    }
    Ok(done)
}

fn draw(change: &Transaction<'_>, draws: &[Draw]) -> Result<Result<(), Unusable>, Failure> {
    let mut spent = Vec::new();
    for draw in draws {
        let known = change
            .prepare_cached("SELECT spent FROM warrant_budgets WHERE warrant = ?1 AND pool = ?2")?
            .query_row(params![draw.warrant.to_hex(), draw.pool], |row| {
                row.get::<_, String>(0)?.parse::<u128>().map_err(|error| unreadable(0, error))
            })
            .optional()?;
        spent.extend(known.map(|known| (draw.warrant, draw.pool.clone(), known)));
    }
    let mut budgets = Budgets::restore(spent);
    if let Err(exhausted) = budgets.draw(draws) {
        return Ok(Err(exhausted.into()));
    }
    for (warrant, pool, spent) in budgets.entries() {
        change
            .prepare_cached(
                "INSERT OR REPLACE INTO warrant_budgets (warrant, pool, spent) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![warrant.to_hex(), pool, spent.to_string()])?;
    }
    Ok(Ok(()))
}

fn step(change: &Transaction<'_>, paces: &[Pace], now: u64) -> Result<Result<(), Unusable>, Failure> {
    let mut made = Vec::new();
    for Pace { warrant, rate } in paces {
        let since = now.saturating_sub(u64::from(rate.seconds)).cast_signed();
        let of = params![warrant.to_hex(), rate.calls, rate.seconds, since];
        change
            .prepare_cached(
                "DELETE FROM warrant_paces WHERE warrant = ?1 AND calls = ?2 AND seconds = ?3 AND at <= ?4",
            )?
            .execute(of)?;
        let rows = change
            .prepare_cached(
                "SELECT at FROM warrant_paces WHERE warrant = ?1 AND calls = ?2 AND seconds = ?3 AND at > ?4",
            )?
            .query_map(of, |row| Ok((*warrant, *rate, row.get::<_, i64>(0)?.cast_unsigned())))?
            .collect::<Result<Vec<_>, _>>()?;
        made.extend(rows);
    }
    if let Err(fast) = Paces::restore(made).step(paces, now) {
        return Ok(Err(fast.into()));
    }
    for Pace { warrant, rate: Rate { calls, seconds } } in paces {
        change
            .prepare_cached(
                "INSERT INTO warrant_paces (warrant, calls, seconds, at) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![warrant.to_hex(), calls, seconds, now.cast_signed()])?;
    }
    Ok(Ok(()))
}

fn spend(
    change: &Transaction<'_>,
    keys: &[([u8; 32], u64)],
    now: u64,
) -> Result<Result<(), Unusable>, Failure> {
    if keys.is_empty() {
        return Ok(Ok(()));
    }
    change.prepare_cached("DELETE FROM warrant_used WHERE until <= ?1")?.execute([now.cast_signed()])?;
    for (key, until) in keys {
        let added = change
            .prepare_cached("INSERT OR IGNORE INTO warrant_used (key, until) VALUES (?1, ?2)")?
            .execute(params![key, until.cast_signed()])?;
        if added == 0 {
            return Ok(Err(Unusable::Again));
        }
    }
    Ok(Ok(()))
}

fn advance(db: &Connection, to: u64) -> Result<(), Failure> {
    db.prepare_cached(
        "INSERT INTO clock (id, latest) VALUES (1, ?1)
         ON CONFLICT (id) DO UPDATE SET latest = max(latest, excluded.latest)",
    )?
    .execute([to.cast_signed()])?;
    Ok(())
}

pub(super) fn advance_clock(db: &mut Connection, to: u64) -> Result<(), Failure> {
    advance(db, to)
}

pub(super) fn state(db: &Connection, now: u64) -> Result<WarrantState, Failure> {
    let used = db
        .prepare("SELECT key, until FROM warrant_used WHERE until > ?1")?
        .query_map([now.cast_signed()], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned())))?
        .collect::<Result<_, _>>()?;
    let revoked = db
        .prepare("SELECT kind, value, at_ms, by, reason FROM warrant_revoked ORDER BY at_ms")?
        .query_map([], read_revoked)?
        .collect::<Result<_, _>>()?;
    let lists = db
        .prepare("SELECT bytes FROM warrant_lists")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let assigned = db
        .prepare("SELECT subject, stack, by, at_ms FROM warrants_assigned ORDER BY subject")?
        .query_map([], |row| {
            Ok(Assigned {
                subject: row.get(0)?,
                stack: row.get::<_, Vec<u8>>(1)?.into(),
                by: row.get(2)?,
                at_ms: row.get(3)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    let latest = db.query_row("SELECT latest FROM clock", [], |row| row.get::<_, i64>(0)).optional()?;
    Ok(WarrantState { used, revoked, lists, assigned, latest: latest.map_or(0, i64::cast_unsigned) })
}

fn read_revoked(row: &Row<'_>) -> rusqlite::Result<RevokedRow> {
    Ok(RevokedRow {
        kind: row.get(0)?,
        value: row.get(1)?,
        at_ms: row.get(2)?,
        by: row.get(3)?,
        reason: row.get(4)?,
    })
}

/// What was drawn of the budgets of one warrant.
pub(super) fn drawn(db: &Connection, warrant: WarrantId) -> Result<Vec<(String, u128)>, Failure> {
    let rows = db
        .prepare_cached("SELECT pool, spent FROM warrant_budgets WHERE warrant = ?1 ORDER BY pool")?
        .query_map([warrant.to_hex()], |row| {
            let spent = row.get::<_, String>(1)?.parse().map_err(|error| unreadable(1, error))?;
            Ok((row.get(0)?, spent))
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

pub(super) fn revoke(db: &mut Connection, row: &RevokedRow) -> Result<(), Failure> {
    db.prepare_cached(
        "INSERT INTO warrant_revoked (kind, value, at_ms, by, reason) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (kind, value) DO NOTHING",
    )?
    .execute(params![row.kind, row.value, row.at_ms, row.by, row.reason])?;
    Ok(())
}

pub(super) fn keep_list(db: &mut Connection, issuer: &str, bytes: &[u8]) -> Result<(), Failure> {
    db.prepare_cached("INSERT OR REPLACE INTO warrant_lists (issuer, bytes) VALUES (?1, ?2)")?
        .execute(params![issuer, bytes])?;
    Ok(())
}

pub(super) fn assign(db: &mut Connection, row: &Assigned) -> Result<(), Failure> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO warrants_assigned (subject, stack, by, at_ms) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![row.subject, &*row.stack, row.by, row.at_ms])?;
    Ok(())
}

pub(super) fn unassign(db: &mut Connection, subject: &str) -> Result<bool, Failure> {
    Ok(db.prepare_cached("DELETE FROM warrants_assigned WHERE subject = ?1")?.execute([subject])? > 0)
}
