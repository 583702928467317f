//! The journal: the durable truth about runs, and the only thing that survives a coordinator.
//!
//! A [`Journal`] keeps the engine's records, and the versions of deployed workflows. [`SqliteJournal`] keeps them in one SQLite file,
//! [`PostgresJournal`] in a database that several coordinators share; both pass [`testing::conformance`]. What may be relied on
//! stands at the traits: commit before acting, all or nothing, fencing by epoch, and a damaged record
//! that costs its own run only.
//!
//! Nothing here reads a clock or decides what happens next; what a record means is the engine's.

mod archive;
mod backup;
mod cached;
mod deployment;
mod envelope;
mod error;
mod histories;
mod history;
mod journal;
mod leadership;
mod loading;
mod location;
mod postgres;
mod requests;
mod rows;
mod schedules;
mod sqlite;
pub mod testing;

pub use archive::{ArchiveBatch, Backlog, Discard, Discarded, FinishedThrough, StoredRun};
pub use backup::{Contents, Restored, backup, restore};
pub use deployment::{DamagedDeployment, Deployed, Deployment, Deployments};
pub use error::JournalError;
pub use journal::{Journal, JournalReader, LoadedRun, Page, RunFilter, Unfinished};
pub use leadership::{Campaign, Candidate, Leader};
pub use location::{Location, open, open_read_only};
pub use postgres::{PostgresJournal, PostgresReader};
pub use sqlite::{Options, SqliteJournal, SqliteReader};
