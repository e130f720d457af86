//! Opening the file, its schema, and what SQLite's errors mean here.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior};

use crate::store::StoreError;

/// How long SQLite waits for another process to let go of the file.
const LOCK_WAIT: Duration = Duration::from_secs(2);

const MIGRATIONS: [&str; 9] = [
    include_str!("0001_holds.sql"),
    include_str!("0002_latches_reviews.sql"),
    include_str!("0003_warrants.sql"),
    include_str!("0004_decisions.sql"),
    include_str!("0005_people.sql"),
    include_str!("0006_notices.sql"),
    include_str!("0007_erasure.sql"),
    include_str!("0008_review_undo.sql"),
    include_str!("0009_drafts.sql"),
];

/// Why a statement did not succeed, before it is known which file it was about.
#[derive(Debug)]
pub(super) enum Failure {
    Store(StoreError),
    Sqlite(rusqlite::Error),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Failure {
    pub(super) fn at(self, path: &Path) -> StoreError {
        let error = match self {
            Self::Store(error) => return error,
            Self::Sqlite(error) => error,
        };
        let path = path.to_owned();
        let why = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked(path),
            Some(ErrorCode::DiskFull) => StoreError::Full(path),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt { path, why },
            Some(_) => StoreError::Io { path, why },
            // A value that is not what this program wrote there.
            None => StoreError::Corrupt { path, why },
        }
    }

    pub(super) fn is_duplicate(&self) -> bool {
        matches!(
            self,
            Self::Sqlite(error)
                if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
        )
    }
}

pub(super) fn open(path: &Path) -> Result<Connection, Failure> {
    make(path)?;
    let mut connection = connect(path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON;
         PRAGMA secure_delete = ON;",
    )?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

fn connect(path: &Path) -> Result<Connection, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(LOCK_WAIT)?;
    Ok(connection)
}

/// Makes the file where there is none. A new one is written beside its place and put there whole, so that it is
/// synced once and not at every step of its making.
fn make(path: &Path) -> Result<(), Failure> {
    if path.exists() {
        return Ok(());
    }
    let io = |error: io::Error| StoreError::Io { path: path.to_owned(), why: error.to_string() };
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let dir = path.parent().unwrap_or(path);
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io)?;
    // SQLite would create it readable by others; its journals take over the file's mode.
    OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&new).map_err(io)?;
    let mut connection = connect(&new)?;
    connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA journal_mode = WAL;")?;
    migrate(&mut connection, &new)?;
    connection.close().map_err(|(_, error)| error)?;
    File::open(&new).and_then(|file| file.sync_all()).map_err(io)?;
    let placed = match fs::hard_link(&new, path) {
        Ok(()) => fs::remove_file(&new),
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fs::remove_file(&new),
        // Some file systems have no links.
        Err(_) => fs::rename(&new, path),
    };
    placed.and_then(|()| File::open(dir)?.sync_all()).map_err(io)?;
    Ok(())
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), Failure> {
    let known = MIGRATIONS.len() as u32;
    let found = version(connection)?;
    if found == known {
        return Ok(());
    }
    // Another process may have migrated meanwhile: what counts is what is found under the lock.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    if found > known {
        return Err(Failure::Store(StoreError::Newer { path: path.to_owned(), found, known }));
    }
    for migration in MIGRATIONS.iter().skip(found as usize) {
        transaction.execute_batch(migration)?;
    }
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL) STRICT;
         DELETE FROM schema_version;",
    )?;
    transaction.execute("INSERT INTO schema_version VALUES (?1)", [known])?;
    Ok(transaction.commit()?)
}

fn version(connection: &Connection) -> Result<u32, Failure> {
    let exists = connection
        .query_row("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_version'", [], |_| {
            Ok(())
        })
        .optional()?;
    if exists.is_none() {
        return Ok(0);
    }
    Ok(connection.query_row("SELECT version FROM schema_version", [], |row| row.get(0))?)
}
