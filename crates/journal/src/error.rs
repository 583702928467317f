//! What can go wrong with a journal, told apart by what the caller must do next.

use marquetry_types::{Diagnostic, Epoch, ErrorCode, RunId, codes};

use crate::DamagedDeployment;

/// An error of a journal. It is cloned to every request that shared the failed transaction, so causes
/// are kept as text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// The journal cannot be opened: nothing was read or written.
    #[error("cannot open the journal {journal}: {reason}")]
    Open {
        /// The database file, or the URL without its password.
        journal: String,
        /// What the file system or the database said.
        reason: String,
    },
    /// The database of the journal does not answer, or lets nobody in at the moment: nothing was read or
    /// written, and the same request may succeed later with nothing changed.
    #[error("the journal {journal} cannot be reached: {reason}")]
    Away {
        /// The URL without its password.
        journal: String,
        /// What the network or the database said.
        reason: String,
    },
    /// The journal was written by a version of Marquetry that stores it in another way.
    #[error(
        "the journal {journal} has format {found}, and this version of marquetry reads format {known}"
    )]
    UnknownFormat {
        /// The database file, or the URL without its password.
        journal: String,
        /// The format it has.
        found: i64,
        /// The format that this version knows.
        known: i64,
    },
    /// A record fails its checksum, is of an unknown version, or is missing. Other runs are not affected.
    #[error("the journal is damaged at record {sequence} of run {run}: {reason}")]
    Damaged {
        /// The run whose history cannot be read.
        run: RunId,
        /// The record's place in that history, counted from 1.
        sequence: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A workflow bundle fails its checksum or is missing.
    #[error("the journal is damaged at workflow bundle {digest}: {reason}")]
    DamagedBundle {
        /// The bundle's digest.
        digest: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A version of a deployed workflow fails its checksum or is missing. Other workflows are not affected.
    #[error(transparent)]
    DamagedDeployment(#[from] DamagedDeployment),
    /// Another coordinator has the journal open for writing.
    #[error("the journal {journal} is in use by {}", holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}")))]
    InUse {
        /// The database file, or the URL without its password.
        journal: String,
        /// The process that holds it, where it could be read.
        holder: Option<u32>,
    },
    /// Another coordinator has taken over: nothing of the request is in the journal, and nothing that
    /// this coordinator sends any more will be.
    #[error("this coordinator, of epoch {ours}, was superseded by epoch {current}")]
    Fenced {
        /// The epoch of the request.
        ours: Epoch,
        /// The journal's epoch.
        current: Epoch,
    },
    /// The request certainly has no effect: the storage refused it before the commit.
    #[error("cannot {doing}: {reason}")]
    Storage {
        /// What was being done, as in `write to the journal`.
        doing: &'static str,
        /// What the database said.
        reason: String,
    },
    /// The disk of the journal is full, or what the journal may take of it.
    #[error("{}: {reason}", if *is_doubtful { "a commit to the journal has an unknown outcome" } else { "cannot write to the journal" })]
    Full {
        /// What the database said.
        reason: String,
        /// As after [`Doubtful`](Self::Doubtful); otherwise the request certainly has no effect.
        is_doubtful: bool,
    },
    /// A page of the database file is not what it was when it was written.
    #[error("{} is damaged: {reason}", journal.as_ref().map_or_else(|| "the journal's file".to_owned(), |path| format!("the journal {path}")))]
    Corrupt {
        /// The database file, where the damage is found on opening it.
        journal: Option<String>,
        /// What the database said.
        reason: String,
    },
    /// The request may or may not have taken effect. Whoever sent it must discard what it believes of
    /// the runs concerned and read them again.
    #[error("a commit to the journal has an unknown outcome: {reason}")]
    Doubtful {
        /// What the database said.
        reason: String,
    },
    /// No such run.
    #[error("there is no run {run}")]
    UnknownRun {
        /// The run.
        run: RunId,
    },
    /// Another run was submitted under the same request id.
    #[error("request {request_id} has already submitted run {run}")]
    DuplicateRequest {
        /// The id that the client gave its request.
        request_id: String,
        /// The run that the first such request made.
        run: RunId,
    },
    /// A backup cannot be written, or is none that can be used.
    #[error("the backup {file} cannot be used: {reason}")]
    Backup {
        /// The file.
        file: String,
        /// Why not.
        reason: String,
    },
    /// A backup would take the place of a journal that has runs. Nothing was changed.
    #[error("the journal {journal} has {runs} runs, which restoring would replace")]
    NotEmpty {
        /// The database file, or the URL without its password.
        journal: String,
        /// How many there are.
        runs: u64,
    },
    /// The records do not continue their run's history: a bug in whoever made them. Nothing was written.
    #[error("a record does not continue run {run}: {reason}")]
    Inconsistent {
        /// The run.
        run: RunId,
        /// Why not.
        reason: String,
    },
}

impl JournalError {
    /// Whether it says something of the storage, and nothing of what was asked of it.
    pub(crate) const fn is_of_storage(&self) -> bool {
        matches!(
            self,
            Self::Storage { .. } | Self::Full { .. } | Self::Corrupt { .. }
        )
    }

    /// The stable code that `docs/errors` explains.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Open { .. }
            | Self::Away { .. }
            | Self::Storage { .. }
            | Self::Doubtful { .. } => codes::JOURNAL,
            Self::UnknownFormat { .. }
            | Self::Damaged { .. }
            | Self::DamagedBundle { .. }
            | Self::DamagedDeployment(_)
            | Self::Corrupt { .. } => codes::DAMAGED_JOURNAL,
            Self::Full { .. } => codes::JOURNAL_FULL,
            Self::InUse { .. } => codes::JOURNAL_IN_USE,
            Self::Backup { .. } => codes::BAD_BACKUP,
            Self::NotEmpty { .. } => codes::JOURNAL_NOT_EMPTY,
            Self::Fenced { .. } => codes::FENCED,
            Self::UnknownRun { .. } => codes::UNKNOWN_RUN,
            Self::DuplicateRequest { .. } => codes::WRONG_RUN_STATE,
            Self::Inconsistent { .. } => codes::INTERNAL,
        }
    }

    /// The error as a person reads it, with what to do.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        let diagnostic = Diagnostic::new(self.code(), self.to_string());
        match self.help() {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    }

    fn help(&self) -> Option<&'static str> {
        match self {
            Self::Open { .. } => Some(
                "check that the folder exists, may be written and has room, or that the database \
                 answers and lets this user in",
            ),
            Self::Away { .. } => Some(
                "start the database, or check the URL's host and port and the network in between; a server waits for it",
            ),
            Self::UnknownFormat { found, known, .. } if found > known => {
                Some("use the newer marquetry that wrote it, or another data folder")
            }
            Self::UnknownFormat { .. } => {
                Some("run or resume a workflow on it once, which brings it up to date")
            }
            Self::Damaged { .. } | Self::DamagedBundle { .. } => Some(
                "restore the journal from a backup, or submit the run again; other runs are not affected",
            ),
            Self::DamagedDeployment(_) => Some(
                "deploy the workflow again, or restore the journal from a backup; other workflows are not affected",
            ),
            Self::InUse { .. } => Some("wait until it ends, or use another data folder"),
            Self::Fenced { .. } => {
                Some("nothing is lost: the newer coordinator goes on with the runs")
            }
            Self::Storage { .. } | Self::Doubtful { .. } => Some(
                "check the health and free space of the disk or the database; nothing acknowledged is lost",
            ),
            Self::Backup { .. } => {
                Some("name a file that `marquetry backup` wrote, or a new one to write")
            }
            Self::NotEmpty { .. } => Some(
                "write a backup of it first, then add `--force`; or name another journal with `--journal`",
            ),
            Self::UnknownRun { .. } => Some(
                "`marquetry runs` lists the runs, and `marquetry sql` finds those that are in the archive only",
            ),
            Self::Full { .. } => Some(
                "make room on the journal's disk: it goes on by itself, and nothing acknowledged is lost",
            ),
            Self::Corrupt { .. } => Some(
                "stop whatever uses the journal, keep a copy of the file with its -wal and -shm, look after the disk, \
                 and restore the journal from a backup",
            ),
            Self::DuplicateRequest { .. } | Self::Inconsistent { .. } => None,
        }
    }

    /// Whether the request may have taken effect all the same, so that memory must be read anew.
    #[must_use]
    pub const fn is_doubtful(&self) -> bool {
        matches!(
            self,
            Self::Doubtful { .. }
                | Self::Full {
                    is_doubtful: true,
                    ..
                }
        )
    }
}

impl From<JournalError> for Diagnostic {
    fn from(error: JournalError) -> Self {
        error.diagnostic()
    }
}
