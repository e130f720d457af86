//! The key that signs checkpoints, and the half of it that checks them.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use data_encoding::HEXLOWER_PERMISSIVE as HEX;
use ed25519_dalek::{SECRET_KEY_LENGTH, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use super::LedgerError;

const SECRET: &str = "ledger.key";
const PUBLIC: &str = "ledger.pub";

/// Reads `ledger.key` in the data directory, or makes it, and `ledger.pub` beside it.
///
/// Whoever can read the secret can rewrite the ledger unseen: a file that others may read is
/// refused.
pub fn load_or_create_key(data_dir: &Path) -> Result<SigningKey, LedgerError> {
    let path = data_dir.join(SECRET);
    let key = match std::fs::File::open(&path) {
        Ok(mut file) => {
            let mode = file.metadata().map_err(LedgerError::io(&path))?.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(refuse(
                    &path,
                    format!("others can read the ledger's key (mode {:o}): chmod 600 it", mode & 0o777),
                ));
            }
            let mut text = Zeroizing::new(String::new());
            file.read_to_string(&mut text).map_err(LedgerError::io(&path))?;
            SigningKey::from_bytes(&*parse(&path, &text)?)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(data_dir)?,
        Err(error) => return Err(LedgerError::io(&path)(error)),
    };
    publish(data_dir, &key.verifying_key())?;
    Ok(key)
}

/// Reads the public key that checkpoints are checked with.
pub fn load_public_key(data_dir: &Path) -> Result<VerifyingKey, LedgerError> {
    read_public_key(&data_dir.join(PUBLIC))
}

/// Reads such a key from a file of its own.
pub fn read_public_key(path: &Path) -> Result<VerifyingKey, LedgerError> {
    let text = std::fs::read_to_string(path).map_err(LedgerError::io(path))?;
    VerifyingKey::from_bytes(&*parse(path, &text)?)
        .map_err(|_| refuse(path, "not an Ed25519 public key".into()))
}

fn create(data_dir: &Path) -> Result<SigningKey, LedgerError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .map_err(LedgerError::io(data_dir))?;
    let path = data_dir.join(SECRET);
    let mut secret = Zeroizing::new([0; SECRET_KEY_LENGTH]);
    getrandom::fill(&mut *secret)
        .map_err(|error| refuse(&path, format!("no randomness for a new key: {error}")))?;
    let text = Zeroizing::new(format!("{}\n", HEX.encode(&*secret)));
    write_new(&path, text.as_bytes(), 0o600).map_err(LedgerError::io(&path))?;
    Ok(SigningKey::from_bytes(&secret))
}

fn publish(data_dir: &Path, key: &VerifyingKey) -> Result<(), LedgerError> {
    let path = data_dir.join(PUBLIC);
    match load_public_key(data_dir) {
        Ok(known) if known == *key => Ok(()),
        Ok(_) => Err(refuse(
            &path,
            format!(
                "does not belong to {SECRET}: restore the right one, or move the ledger away and start a new one"
            ),
        )),
        Err(LedgerError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            let text = format!("{}\n", HEX.encode(key.as_bytes()));
            write_new(&path, text.as_bytes(), 0o644).map_err(LedgerError::io(&path))
        }
        Err(error) => Err(error),
    }
}

fn parse(path: &Path, text: &str) -> Result<Zeroizing<[u8; 32]>, LedgerError> {
    let bytes = HEX.decode(text.trim().as_bytes()).map(Zeroizing::new);
    bytes
        .ok()
        .and_then(|bytes| Some(Zeroizing::new(<[u8; 32]>::try_from(bytes.as_slice()).ok()?)))
        .ok_or_else(|| refuse(path, "expected 64 hexadecimal digits".into()))
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn refuse(path: &Path, why: String) -> LedgerError {
    LedgerError::Key { path: path.to_owned(), why }
}
