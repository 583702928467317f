//! How much there is at the moment, for metrics.

use marquetry_types::QueueName;

use crate::Engine;

/// Figures of the working set and of the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gauges {
    /// Runs in the working set.
    pub runs: usize,
    /// Workers whose streams are open.
    pub workers: usize,
    /// How many attempts those run at a time.
    pub slots: usize,
    /// How many attempts those were granted.
    pub slots_in_use: usize,
}

impl Engine {
    /// How much there is at the moment. It costs the number of workers, and nothing for runs and stages.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let mut gauges = Gauges {
            runs: self.runs.len(),
            ..Gauges::default()
        };
        for (_, worker) in self.workers.iter() {
            if worker.is_connected {
                gauges.workers += 1;
                gauges.slots = gauges.slots.saturating_add(worker.slots);
                gauges.slots_in_use += worker.granted.len();
            }
        }
        gauges
    }

    /// Stages that may run and wait for a worker, by queue; a queue comes once for each different demand.
    /// It costs the number of demands.
    pub fn ready(&self) -> impl Iterator<Item = (&QueueName, usize)> {
        self.backlog.lengths()
    }
}
