//! What each action has earned in each segment.

use std::collections::BTreeMap;

/// What an action has earned in a segment, over all that its policy has learned from.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct EarnedRow {
    /// Decisions that were learned from.
    pub decisions: u64,
    /// Those that had a response.
    pub responses: u64,
    /// The sum of the rewards, in the reward's unit.
    pub rewards: f64,
}

impl EarnedRow {
    /// The mean reward of a decision.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub fn mean(&self) -> Option<f64> {
        (self.decisions > 0).then(|| self.rewards / self.decisions as f64)
    }

    fn add(&mut self, other: &Self) {
        self.decisions += other.decisions;
        self.responses += other.responses;
        self.rewards += other.rewards;
    }
}

/// By action and segment, in the order of their names.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Earned(BTreeMap<(String, Option<String>), EarnedRow>);

impl Earned {
    /// Adds what an action earned in a segment.
    pub fn add(&mut self, action: &str, segment: Option<&str>, earned: &EarnedRow) {
        let key = (action.to_owned(), segment.map(str::to_owned));
        self.0.entry(key).or_default().add(earned);
    }

    /// Adds one decision.
    pub fn count(&mut self, action: &str, segment: Option<&str>, reward: f64, responded: bool) {
        let row = EarnedRow {
            decisions: 1,
            responses: u64::from(responded),
            rewards: reward,
        };
        self.add(action, segment, &row);
    }

    /// Adds everything of another.
    pub fn merge(&mut self, other: &Self) {
        for ((action, segment), row) in &other.0 {
            self.add(action, segment.as_deref(), row);
        }
    }

    /// What each action earned in each segment.
    pub fn rows(&self) -> impl Iterator<Item = (&str, Option<&str>, &EarnedRow)> {
        let rows = self.0.iter();
        rows.map(|((action, segment), row)| (action.as_str(), segment.as_deref(), row))
    }

    /// What an action earned in a segment.
    #[must_use]
    pub fn get(&self, action: &str, segment: Option<&str>) -> EarnedRow {
        let key = (action.to_owned(), segment.map(str::to_owned));
        self.0.get(&key).copied().unwrap_or_default()
    }

    /// Everything together.
    #[must_use]
    pub fn total(&self) -> EarnedRow {
        let mut total = EarnedRow::default();
        self.0.values().for_each(|row| total.add(row));
        total
    }
}
