//! For tests of journals and of what stands on them: the conformance suite that every journal passes,
//! and a journal that fails on purpose.

pub mod conformance;
mod faulty;
pub mod samples;

pub use faulty::{Fault, Faults, FaultyJournal, Gate};
