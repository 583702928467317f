//! Connections that read. In WAL mode they see the last commit and never wait for the writer.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use super::connect;
use super::rows::storage;
use crate::JournalError;

/// Connections that are kept open for the next reader.
const MOST_IDLE: usize = 4;

/// A pool of read-only connections. Each read runs on tokio's threads for blocking work.
#[derive(Debug, Clone)]
pub(super) struct Readers {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Opens the first connection, which checks the file.
    pub(super) fn open(path: &Path) -> Result<Self, JournalError> {
        let first = connect::open_reader(path)?;
        let shared = Shared {
            path: path.to_owned(),
            idle: Mutex::new(vec![first]),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Runs `read` on a connection, all of it on one state of the database.
    pub(super) async fn read<T, F>(&self, read: F) -> Result<T, JournalError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, JournalError> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let done = tokio::task::spawn_blocking(move || shared.read(read)).await;
        done.unwrap_or_else(|error| {
            Err(JournalError::Storage {
                doing: "read the journal",
                reason: error.to_string(),
            })
        })
    }
}

impl Shared {
    fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect::open_reader(&self.path)?,
        };
        let reading = storage("read the journal");
        let transaction = connection.unchecked_transaction().map_err(reading)?;
        let result = read(&transaction);
        transaction.finish().map_err(reading)?;
        let is_sound = !result.as_ref().is_err_and(JournalError::is_of_storage);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if is_sound && idle.len() < MOST_IDLE {
            idle.push(connection);
        }
        result
    }
}
