//! How long is waited for the database, by itself and by us, and what it means when that is over.

use std::time::Duration;

use tokio_postgres::error::SqlState;

use super::connect::cause;
use crate::JournalError;

/// How long a statement may take, the network included, before its connection is given up. More than
/// [`Patience::WRITING`] has, so that the database mostly says itself that it gave up.
const LONGEST: Duration = Duration::from_secs(15);

/// How long the database lets a session wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For a statement to end.
    pub(super) statement: Duration,
    /// For a lock: whoever waits for one that a paused or broken coordinator holds gets an error.
    pub(super) lock: Duration,
    /// For the next statement of a transaction, so that whoever is paused within one holds no lock.
    pub(super) idle: Duration,
}

impl Patience {
    /// Of those who commit.
    pub(super) const WRITING: Self = Self {
        statement: Duration::from_secs(10),
        lock: Duration::from_secs(2),
        idle: Duration::from_secs(2),
    };
    /// Of readers: they hold no lock that anybody waits for, and may take their time between statements.
    pub(super) const READING: Self = Self {
        statement: Duration::from_secs(30),
        lock: Duration::from_secs(2),
        idle: Duration::from_secs(60),
    };
    /// Of migrations: others wait until one is done.
    pub(super) const MIGRATING: Self = Self {
        statement: Duration::from_secs(60),
        lock: Duration::from_secs(60),
        idle: Duration::from_secs(60),
    };

    /// The settings that make a session have it.
    pub(super) fn settings(self) -> String {
        let Self {
            statement,
            lock,
            idle,
        } = self;
        format!(
            "-c statement_timeout={} -c lock_timeout={} -c idle_in_transaction_session_timeout={}",
            statement.as_millis(),
            lock.as_millis(),
            idle.as_millis()
        )
    }
}

/// Why a statement failed.
#[derive(Debug)]
pub(super) enum Failure {
    Database(tokio_postgres::Error),
    TooSlow,
}

impl Failure {
    /// Whether it waited for a lock for as long as [`Patience::lock`] allows, and so has no effect.
    pub(super) fn is_locked_out(&self) -> bool {
        let code = match self {
            Self::Database(error) => error.code(),
            Self::TooSlow => None,
        };
        code == Some(&SqlState::LOCK_NOT_AVAILABLE)
    }
}

impl From<Failure> for JournalError {
    /// A statement that the database refused has no effect. When the connection broke, or the server
    /// went down around it, nobody knows.
    fn from(failure: Failure) -> Self {
        let error = match failure {
            Failure::Database(error) => error,
            Failure::TooSlow => {
                return Self::Doubtful {
                    reason: format!("the database did not answer within {LONGEST:?}"),
                };
            }
        };
        let reason = cause(&error);
        let is_refusal = error.code().is_some_and(|code| {
            let class = code.code().get(..2).unwrap_or_default();
            // 57P0x: the server was shut down or crashed, or this session of it; 08: the connection
            // failed.
            class != "08" && !code.code().starts_with("57P")
        });
        match is_refusal {
            true if error.code() == Some(&SqlState::DISK_FULL) => Self::Full {
                reason,
                is_doubtful: false,
            },
            true => Self::Storage {
                doing: "write to the journal",
                reason,
            },
            false => Self::Doubtful { reason },
        }
    }
}

/// Waits for a statement that changes something.
pub(super) async fn in_time<T>(
    statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(LONGEST, statement).await {
        Ok(result) => result.map_err(Failure::Database),
        Err(_) => Err(Failure::TooSlow),
    }
}

/// The same for what changes nothing: there is nothing to doubt.
pub(super) async fn read_in_time<T>(
    reading: impl Future<Output = Result<T, JournalError>>,
) -> Result<T, JournalError> {
    tokio::time::timeout(LONGEST, reading)
        .await
        .unwrap_or_else(|_| {
            Err(JournalError::Storage {
                doing: "read the journal",
                reason: format!("the database did not answer within {LONGEST:?}"),
            })
        })
}
