//! What a worker says while no coordinator takes it.

use std::time::{Duration, Instant};

use tonic::Status;

/// What takes no longer is a restart or a take-over, and nobody needs to know.
const USUAL: Duration = Duration::from_secs(5);
/// How often it is said again.
const REMINDER: Duration = Duration::from_secs(30);

/// The time without a coordinator.
#[derive(Debug, Default)]
pub(crate) struct Absence {
    since: Option<Instant>,
    said_at: Option<Instant>,
}

impl Absence {
    /// Another try came to nothing.
    pub(crate) fn goes_on(&mut self, url: &str, status: Option<&Status>) {
        let now = Instant::now();
        let waited = now.duration_since(*self.since.get_or_insert(now));
        if !self.is_due(now, waited) {
            return;
        }
        self.said_at = Some(now);
        let reason = status.map_or("it closed the stream", Status::message);
        tracing::error!(
            url,
            reason,
            waited_s = waited.as_secs(),
            "this worker waits for a coordinator, and tries again until one takes it"
        );
    }

    fn is_due(&self, now: Instant, waited: Duration) -> bool {
        let is_said = self
            .said_at
            .is_some_and(|at| now.duration_since(at) < REMINDER);
        waited >= USUAL && !is_said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_take_over_is_not_worth_a_word_and_an_outage_is_one_now_and_then() {
        let now = Instant::now();
        let mut absence = Absence::default();
        assert!(!absence.is_due(now, USUAL / 2));
        assert!(absence.is_due(now, USUAL));
        absence.said_at = Some(now);
        assert!(!absence.is_due(now + REMINDER / 2, USUAL + REMINDER / 2));
        assert!(absence.is_due(now + REMINDER, USUAL + REMINDER));
    }
}
