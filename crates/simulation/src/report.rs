//! What became of a seed.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::{Fault, Invariant};

/// What became of the cluster that a seed describes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Events that were handled.
    pub steps: u64,
    /// Virtual time that passed, in milliseconds.
    pub virtual_ms: u64,
    /// How often each fault struck.
    pub faults: BTreeMap<Fault, u64>,
    /// Runs in the journal.
    pub runs: u64,
    /// Attempts in the journal.
    pub attempts: u64,
    /// Epochs in the journal.
    pub epochs: u64,
    /// What did not hold, if anything.
    pub violation: Option<Violation>,
    /// Every event as text, where the options ask for it.
    #[serde(skip)]
    pub trace: Vec<String>,
}

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// What was seen.
    pub what: String,
    /// Virtual time, in milliseconds since the start.
    pub at_ms: u64,
    /// The last events before it.
    pub events: Vec<String>,
}

impl Report {
    /// The command that lives through this seed again and prints every event.
    #[must_use]
    pub fn replay(&self) -> String {
        format!(
            "cargo run -p marquetry-simulation --bin simulate -- --seed {} --trace",
            self.seed
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.violation {
            None => write!(
                formatter,
                "seed {}: {} runs and {} attempts in {} steps: all holds",
                self.seed, self.runs, self.attempts, self.steps
            ),
            Some(violation) => {
                for event in &violation.events {
                    writeln!(formatter, "  {event}")?;
                }
                writeln!(
                    formatter,
                    "seed {}: at {} ms: {} does not hold: {}",
                    self.seed, violation.at_ms, violation.invariant, violation.what
                )?;
                write!(formatter, "replay it with: {}", self.replay())
            }
        }
    }
}
