//! The statements, one function to each question of the store.

use std::str::FromStr;
use std::time::SystemTime;

use rusqlite::types::{FromSqlError, Type};
use rusqlite::{
    Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params, params_from_iter,
};

use super::connection::Failure;
use super::decisions;
use crate::store::{
    HoldChange, HoldFilter, HoldRow, Latch, LatchEvent, Order, Pinned, Purged, ReviewChange, ReviewRow,
    ReviewState, StoreError, UnknownState,
};

const HOLD: &str = "id, key, digest, state, version, created_ms, expires_ms, session, principal, \
                    server, tool, class, crisis, shown, decision, decided_ms, count, \
                    needs, approvals, escalated, edited";

pub(super) fn insert_hold(
    db: &mut Connection,
    hold: &HoldRow,
    arguments: Option<&[u8]>,
) -> Result<(), Failure> {
    let change = begin(db)?;
    change
        .prepare_cached(&format!(
            "INSERT INTO holds ({HOLD})
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
                     ?18, ?19, ?20, ?21)"
        ))?
        .execute(params![
            hold.id,
            hold.key,
            hold.digest,
            hold.state.as_str(),
            hold.version.cast_signed(),
            hold.created_ms,
            hold.expires_ms,
            hold.session,
            hold.principal,
            hold.server,
            hold.tool,
            hold.class,
            hold.crisis,
            hold.shown,
            hold.decision,
            hold.decided_ms,
            hold.count,
            hold.needs,
            hold.approvals,
            hold.escalated,
            hold.edited,
        ])
        .map_err(|error| exists("hold", &hold.id, error))?;
    if let Some(bytes) = arguments {
        change
            .prepare_cached("INSERT INTO arguments (hold, bytes) VALUES (?1, ?2)")?
            .execute(params![hold.id, bytes])?;
    }
    Ok(change.commit()?)
}

pub(super) fn hold(db: &Connection, id: &str) -> Result<Option<HoldRow>, Failure> {
    Ok(db
        .prepare_cached(&format!("SELECT {HOLD} FROM holds WHERE id = ?1"))?
        .query_row([id], read_hold)
        .optional()?)
}

pub(super) fn find_open(db: &Connection, key: &str) -> Result<Option<HoldRow>, Failure> {
    Ok(db
        .prepare_cached(&format!(
            "SELECT {HOLD} FROM holds WHERE key = ?1 AND state IN ('pending', 'approved')"
        ))?
        .query_row([key], read_hold)
        .optional()?)
}

fn wanted(filter: &HoldFilter) -> (String, Vec<&str>) {
    let mut values: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
    let mut wanted = Vec::new();
    if !values.is_empty() {
        wanted.push(format!("state IN ({})", vec!["?"; values.len()].join(", ")));
    }
    if let Some(session) = &filter.session {
        wanted.push("session = ?".into());
        values.push(session);
    }
    if let Some((server, tool)) = &filter.tool {
        wanted.push("server = ? AND tool = ?".into());
        values.extend([server.as_str(), tool.as_str()]);
    }
    if let Some(since) = filter.since_ms {
        wanted.push(format!("created_ms >= {since}"));
    }
    if let Some(crisis) = filter.crisis {
        wanted.push(format!("crisis = {}", u8::from(crisis)));
    }
    if !filter.classes.is_empty() {
        wanted.push(format!("class IN ({})", vec!["?"; filter.classes.len()].join(", ")));
        values.extend(&filter.classes);
    }
    let wanted = if wanted.is_empty() { String::new() } else { format!("WHERE {}", wanted.join(" AND ")) };
    (wanted, values)
}

pub(super) fn count_holds(db: &Connection, filter: &HoldFilter) -> Result<u64, Failure> {
    let (wanted, values) = wanted(filter);
    let count = db
        .prepare_cached(&format!("SELECT count(*) FROM holds {wanted}"))?
        .query_row(params_from_iter(values), |row| row.get::<_, i64>(0))?;
    Ok(count.cast_unsigned())
}

pub(super) fn holds(db: &Connection, filter: &HoldFilter) -> Result<Vec<HoldRow>, Failure> {
    let (wanted, values) = wanted(filter);
    let order = match filter.order {
        Order::NewestFirst => "DESC",
        Order::OldestFirst => "ASC",
    };
    let limit = filter.limit.map_or(-1, i64::from);
    let rows = db
        .prepare_cached(&format!(
            "SELECT {HOLD} FROM holds {wanted}
             ORDER BY created_ms {order}, rowid {order} LIMIT {limit}"
        ))?
        .query_map(params_from_iter(values), read_hold)?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

pub(super) fn change_hold(
    db: &mut Connection,
    id: &str,
    version: u64,
    change: HoldChange,
) -> Result<HoldRow, Failure> {
    let transaction = begin(db)?;
    let mut row = hold(&transaction, id)?.ok_or_else(|| missing("hold", id))?;
    if row.version != version {
        return Err(stale(row.version));
    }
    if let Some(next) = change.state {
        if !row.state.may_become(next) {
            return Err(Failure::Store(StoreError::Forbidden {
                what: "hold",
                id: id.into(),
                from: row.state.as_str(),
                to: next.as_str(),
            }));
        }
        row.state = next;
    }
    row.version += 1;
    row.decision = change.decision.or(row.decision);
    row.decided_ms = change.decided_ms.or(row.decided_ms);
    row.expires_ms = change.expires_ms.unwrap_or(row.expires_ms);
    row.count = change.count.unwrap_or(row.count);
    row.approvals = change.approvals.unwrap_or(row.approvals);
    row.escalated = change.escalated.unwrap_or(row.escalated);
    if let Some(vote) = &change.vote {
        decisions::vote(&transaction, id, vote)?;
    }
    row.edited = change.edited.or(row.edited);
    if let Some(proposed) = &change.proposed {
        decisions::keep_edit(&transaction, id, proposed)?;
    }
    transaction
        .prepare_cached(
            "UPDATE holds SET state = ?2, version = ?3, decision = ?4, decided_ms = ?5,
                    expires_ms = ?6, count = ?7, approvals = ?8, escalated = ?9, edited = ?10
             WHERE id = ?1",
        )?
        .execute(params![
            id,
            row.state.as_str(),
            row.version.cast_signed(),
            row.decision,
            row.decided_ms,
            row.expires_ms,
            row.count,
            row.approvals,
            row.escalated,
            row.edited,
        ])?;
    transaction.commit()?;
    Ok(row)
}

pub(super) fn arguments(db: &Connection, id: &str) -> Result<Option<Vec<u8>>, Failure> {
    Ok(db
        .prepare_cached("SELECT bytes FROM arguments WHERE hold = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?)
}

pub(super) fn put_definition(
    db: &mut Connection,
    [server, tool, digest, json]: &[String; 4],
) -> Result<Pinned, Failure> {
    let change = begin(db)?;
    let first: Option<String> = change
        .prepare_cached("SELECT digest FROM definitions WHERE server = ?1 AND tool = ?2")?
        .query_row([server, tool], |row| row.get(0))
        .optional()?;
    let pinned = match first {
        Some(first) if first == *digest => Pinned::Same,
        Some(first) => Pinned::Changed { first },
        None => {
            change
                .prepare_cached("INSERT INTO definitions VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![server, tool, digest, json, now()])?;
            Pinned::New
        }
    };
    change.commit()?;
    Ok(pinned)
}

pub(super) fn pinned_definition(
    db: &Connection,
    [server, tool]: &[String; 2],
) -> Result<Option<String>, Failure> {
    Ok(db
        .prepare_cached("SELECT json FROM definitions WHERE server = ?1 AND tool = ?2")?
        .query_row([server, tool], |row| row.get(0))
        .optional()?)
}

pub(super) fn accept_definition(
    db: &Connection,
    [server, tool, digest, json]: &[String; 4],
) -> Result<(), Failure> {
    db.prepare_cached("INSERT OR REPLACE INTO definitions VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
        server,
        tool,
        digest,
        json,
        now()
    ])?;
    Ok(())
}

pub(super) fn set_latch(db: &mut Connection, latch: &Latch) -> Result<(), Failure> {
    let change = begin(db)?;
    change.prepare_cached("INSERT OR IGNORE INTO latches VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        latch.key,
        latch.since_ms,
        latch.by,
        latch.reason
    ])?;
    let event =
        LatchEvent { at_ms: latch.since_ms, set: true, by: latch.by.clone(), reason: latch.reason.clone() };
    add_latch_event(&change, &latch.key, &event)?;
    Ok(change.commit()?)
}

pub(super) fn clear_latch(db: &mut Connection, key: &str, event: &LatchEvent) -> Result<bool, Failure> {
    let change = begin(db)?;
    let cleared = change.prepare_cached("DELETE FROM latches WHERE key = ?1")?.execute([key])? > 0;
    if cleared {
        add_latch_event(&change, key, event)?;
    }
    change.commit()?;
    Ok(cleared)
}

fn add_latch_event(db: &Transaction<'_>, key: &str, event: &LatchEvent) -> Result<(), Failure> {
    db.prepare_cached(
        "INSERT INTO latch_events (key, at_ms, is_set, by, reason) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![key, event.at_ms, event.set, event.by, event.reason])?;
    Ok(())
}

pub(super) fn latches(db: &Connection) -> Result<Vec<Latch>, Failure> {
    let rows = db
        .prepare_cached("SELECT key, since_ms, by, reason FROM latches ORDER BY since_ms, key")?
        .query_map([], |row| {
            Ok(Latch { key: row.get(0)?, since_ms: row.get(1)?, by: row.get(2)?, reason: row.get(3)? })
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

pub(super) fn latch_history(db: &Connection, key: &str) -> Result<Vec<LatchEvent>, Failure> {
    let rows = db
        .prepare_cached("SELECT at_ms, is_set, by, reason FROM latch_events WHERE key = ?1 ORDER BY id")?
        .query_map([key], |row| {
            Ok(LatchEvent { at_ms: row.get(0)?, set: row.get(1)?, by: row.get(2)?, reason: row.get(3)? })
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

pub(super) const REVIEW: &str = "id, call, state, version, created_ms, expires_ms, session, server, tool, \
                      shown, undo, verdict, reviewed_ms";

pub(super) fn enqueue_review(db: &Connection, review: &ReviewRow) -> Result<(), Failure> {
    db.prepare_cached(&format!(
        "INSERT INTO reviews ({REVIEW})
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
    ))?
    .execute(params![
        review.id,
        review.call,
        review.state.as_str(),
        review.version.cast_signed(),
        review.created_ms,
        review.expires_ms,
        review.session,
        review.server,
        review.tool,
        review.shown,
        review.undo,
        review.verdict,
        review.reviewed_ms,
    ])
    .map_err(|error| exists("review", &review.id, error))?;
    Ok(())
}

pub(super) fn reviews(db: &Connection, state: ReviewState, limit: u32) -> Result<Vec<ReviewRow>, Failure> {
    let rows = db
        .prepare_cached(&format!(
            "SELECT {REVIEW} FROM reviews WHERE state = ?1 ORDER BY created_ms, rowid LIMIT ?2"
        ))?
        .query_map(params![state.as_str(), limit], read_review)?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

pub(super) fn change_review(
    db: &mut Connection,
    id: &str,
    version: u64,
    change: ReviewChange,
) -> Result<ReviewRow, Failure> {
    let transaction = begin(db)?;
    let mut row = transaction
        .prepare_cached(&format!("SELECT {REVIEW} FROM reviews WHERE id = ?1"))?
        .query_row([id], read_review)
        .optional()?
        .ok_or_else(|| missing("review", id))?;
    if row.version != version {
        return Err(stale(row.version));
    }
    if let Some(next) = change.state {
        if !row.state.may_become(next) {
            return Err(Failure::Store(StoreError::Forbidden {
                what: "review",
                id: id.into(),
                from: row.state.as_str(),
                to: next.as_str(),
            }));
        }
        row.state = next;
    }
    row.version += 1;
    row.verdict = change.verdict.or(row.verdict);
    row.reviewed_ms = change.reviewed_ms.or(row.reviewed_ms);
    transaction
        .prepare_cached(
            "UPDATE reviews SET state = ?2, version = ?3, verdict = ?4, reviewed_ms = ?5
             WHERE id = ?1",
        )?
        .execute(params![id, row.state.as_str(), row.version.cast_signed(), row.verdict, row.reviewed_ms,])?;
    transaction.commit()?;
    Ok(row)
}

pub(super) fn purge(db: &Connection, before_ms: i64) -> Result<Purged, Failure> {
    let arguments = db.execute(
        "DELETE FROM arguments WHERE hold IN (
             SELECT id FROM holds
             WHERE created_ms < ?1 AND state NOT IN ('pending', 'approved', 'forwarding'))",
        [before_ms],
    )?;
    db.execute(
        "DELETE FROM edits WHERE hold IN (
             SELECT id FROM holds
             WHERE created_ms < ?1 AND state NOT IN ('pending', 'approved', 'forwarding'))",
        [before_ms],
    )?;
    // The write-ahead log still holds the bytes until it has been folded in. A reader that keeps
    // it open delays that, no more.
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(Purged { arguments: arguments as u64 })
}

pub(super) fn begin(db: &mut Connection) -> Result<Transaction<'_>, Failure> {
    Ok(db.transaction_with_behavior(TransactionBehavior::Immediate)?)
}

fn read_hold(row: &Row<'_>) -> rusqlite::Result<HoldRow> {
    Ok(HoldRow {
        id: row.get("id")?,
        key: row.get("key")?,
        digest: row.get("digest")?,
        state: read_state(row)?,
        version: row.get::<_, i64>("version")?.cast_unsigned(),
        created_ms: row.get("created_ms")?,
        expires_ms: row.get("expires_ms")?,
        session: row.get("session")?,
        principal: row.get("principal")?,
        server: row.get("server")?,
        tool: row.get("tool")?,
        class: row.get("class")?,
        crisis: row.get("crisis")?,
        shown: row.get("shown")?,
        decision: row.get("decision")?,
        decided_ms: row.get("decided_ms")?,
        count: row.get("count")?,
        needs: row.get("needs")?,
        approvals: row.get("approvals")?,
        escalated: row.get("escalated")?,
        edited: row.get("edited")?,
    })
}

pub(super) fn read_review(row: &Row<'_>) -> rusqlite::Result<ReviewRow> {
    Ok(ReviewRow {
        id: row.get("id")?,
        call: row.get("call")?,
        state: read_state(row)?,
        version: row.get::<_, i64>("version")?.cast_unsigned(),
        created_ms: row.get("created_ms")?,
        expires_ms: row.get("expires_ms")?,
        session: row.get("session")?,
        server: row.get("server")?,
        tool: row.get("tool")?,
        shown: row.get("shown")?,
        undo: row.get("undo")?,
        verdict: row.get("verdict")?,
        reviewed_ms: row.get("reviewed_ms")?,
    })
}

pub(super) fn read_state<S: FromStr<Err = UnknownState>>(row: &Row<'_>) -> rusqlite::Result<S> {
    let column = row.as_ref().column_index("state")?;
    row.get::<_, String>(column)?.parse().map_err(|error| unreadable(column, error))
}

/// A text that this program did not write there.
pub(super) fn unreadable(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    let error = FromSqlError::other(error);
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

fn exists(what: &'static str, id: &str, error: rusqlite::Error) -> Failure {
    let failure = Failure::from(error);
    if failure.is_duplicate() { Failure::Store(StoreError::Exists { what, id: id.into() }) } else { failure }
}

fn missing(what: &'static str, id: &str) -> Failure {
    Failure::Store(StoreError::Missing { what, id: id.into() })
}

fn stale(current: u64) -> Failure {
    Failure::Store(StoreError::Stale { current })
}

/// For the operator's eyes only: nothing is decided by when a definition was pinned.
fn now() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
