//! What an arm has earned.

/// Rewards counted and summed. From sums, means of equal arms are equal to the bit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Tally {
    /// How many rewards there were.
    pub(crate) count: u64,
    /// Their sum.
    pub(crate) total: f64,
}

impl Tally {
    pub(crate) fn mean(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        (self.count > 0).then(|| self.total / self.count as f64)
    }

    pub(crate) fn add(&mut self, reward: f64) {
        self.count = self.count.saturating_add(1);
        self.total += reward;
    }

    /// Successes and failures, for rewards in [0, 1] of which each counts as both.
    pub(crate) fn successes_and_failures(&self) -> (f64, f64) {
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        let failures = self.count as f64 - self.total;
        // Sums of fractions may be a rounding beyond the count.
        (self.total, failures.max(0.0))
    }
}
