//! A cluster in one thread: coordinators, workers, clients, a journal and the network between them, under
//! a seeded scheduler with virtual time.
//!
//! The engine and the worker's half of the protocol are the real ones; what stands around them is a
//! small mirror without I/O. Whatever a seed does to the cluster, it does again: [`run`] is a function
//! of its arguments. After every step the `audit` checks what must hold of the journal and of what is
//! sent, from records of its own.
//!
//! - `world`: the queue of events and the processes; `chaos`: what goes wrong.
//! - `coordinator`: the reign and the campaigns around it, as a machine without I/O.
//! - `worker`: a process around the pure agent, with stages that take virtual time.
//! - `client`: who submits, cancels and resumes, and asks again when unanswered.
//! - `journal`: what a journal promises, in memory; `storage`: the way there and back.
//! - `network`: streams, in order unless something goes wrong.
//! - `audit`: the invariants; `mutation`: rules broken on purpose, to see that the audit notices.

mod audit;
mod chaos;
mod client;
mod coordinator;
mod dice;
mod journal;
mod message;
mod mutation;
mod network;
mod report;
mod storage;
mod worker;
mod workload;
mod world;

pub use audit::Invariant;
pub use chaos::Fault;
pub use mutation::Mutation;
pub use report::{Report, Violation};

/// What a simulation does beyond its seed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// A rule to break.
    pub mutation: Option<Mutation>,
    /// Keep every event as text.
    pub trace: bool,
}

/// Lives through the cluster that `seed` describes. A violated invariant ends it, and comes with the last
/// events before it.
#[must_use]
pub fn run(seed: u64, options: &Options) -> Report {
    let report = world::World::new(seed, options).live();
    if report.violation.is_none() || options.trace {
        return report;
    }
    // Text costs more than all else: it is made only where somebody will read it.
    let traced = Options {
        trace: true,
        ..options.clone()
    };
    Report {
        trace: Vec::new(),
        ..world::World::new(seed, &traced).live()
    }
}
