//! A person's command speaking to the daemon.

use std::io::{BufReader, ErrorKind};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::wire::{self, Ask, Hello, Role, Told, VERSION, WireError};

/// Why the daemon could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("no herma runs for {}; start one with `herma serve`", data_dir.display())]
    NotRunning { data_dir: PathBuf, source: std::io::Error },
    #[error("what runs for {} is not this user's: ask as the user who started it", data_dir.display())]
    NotYours { data_dir: PathBuf },
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("{0}")]
    Refused(String),
}

impl ClientError {
    fn of(source: std::io::Error, data_dir: &Path) -> Self {
        let data_dir = data_dir.to_owned();
        match source.kind() {
            ErrorKind::PermissionDenied => Self::NotYours { data_dir },
            _ => Self::NotRunning { data_dir, source },
        }
    }
}

/// A connection for commands.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    pub fn connect(data_dir: &Path) -> Result<Self, ClientError> {
        let mut stream = UnixStream::connect(super::socket(data_dir))
            .map_err(|source| ClientError::of(source, data_dir))?;
        wire::write(&mut stream, &Hello { version: VERSION, role: Role::Operator }, b"")?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    pub fn ask(&mut self, ask: &Ask) -> Result<Value, ClientError> {
        self.ask_with(ask, b"")
    }

    /// The same, with bytes that belong to the question.
    pub fn ask_with(&mut self, ask: &Ask, payload: &[u8]) -> Result<Value, ClientError> {
        wire::write(self.stream.get_mut(), ask, payload)?;
        self.receive()
    }

    /// The next change after an [`Ask::Watch`], whose own answer says that none is missed from then on.
    pub fn receive(&mut self) -> Result<Value, ClientError> {
        match wire::read(&mut self.stream)?.0 {
            Told::Ok(value) => Ok(value),
            Told::Error(message) => Err(ClientError::Refused(message)),
        }
    }
}
