//! For tests of journals and of what stands on them: the conformance suite that every journal passes,
//! a journal that fails on purpose, and a PostgreSQL server that may be killed.

pub mod conformance;
mod faulty;
mod postgres;
pub mod samples;

pub use faulty::{Fault, Faults, FaultyJournal, Gate, ReadFault};
pub use postgres::{BIN as POSTGRES_BIN, PostgresServer, ServerCertificate};
