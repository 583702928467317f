//! A rule with bounds, and what it asks for at an instant.

use std::time::Duration;

use marquetry_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Cron, Every, Zone};

/// How late an occurrence may be noticed and still count as on time: with [`CatchUp::Skip`] one that is
/// later is missed. Longer than a take-over by another coordinator lasts.
pub const ON_TIME: Duration = Duration::from_secs(60);

/// How many missed occurrences are counted; beyond that [`Due::missed`] stays where it is. A rule that was
/// not asked for years must not keep its coordinator busy.
const MOST_COUNTED: u64 = 100_000;

/// When a workflow runs by itself. Written to journals: add fields with a default, never rename.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The rule.
    pub when: When,
    /// Whose wall clock [`When::Cron`] goes by; an interval knows none.
    #[serde(default)]
    pub timezone: Zone,
    /// Nothing occurs before it. An interval counts from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Nothing occurs at it or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// What becomes of occurrences that were missed.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// A delay that spreads the load of schedules with the same rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Jitter>,
}

/// The rule of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// By the wall clock.
    Cron(Cron),
    /// After an interval of elapsed time, in milliseconds.
    Every(Every),
}

/// What becomes of occurrences that nobody asked for in time: the coordinator was not there, or several
/// came between two questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// They are missed: only the newest is made, and only if it is at most [`ON_TIME`] late.
    Skip,
    /// The newest is made, however late; those before it are missed.
    #[default]
    Latest,
    /// All are made, the oldest first; of more than `limit` the newest.
    All {
        /// How many are made at a time, at least 1.
        limit: u32,
    },
}

/// A delay between zero and a bound, the same for every occurrence of a schedule and different for
/// schedules with different seeds, so that they do not all begin in the same second. The occurrences stay
/// what they are: only the moment at which they fall due moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jitter {
    /// The longest delay.
    pub up_to: Duration,
    /// What the delay follows from: a hash of the names of workflow and schedule, say.
    pub seed: u64,
}

impl Jitter {
    /// The delay, in whole milliseconds.
    #[must_use]
    pub fn delay(self) -> Duration {
        let choices = u64::try_from(self.up_to.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(mixed(self.seed) % choices.saturating_add(1))
    }
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood, 2014), so that similar seeds differ in every bit.
const fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One time at which a schedule asks for a run, with the stretch of time whose data the run is about: from
/// the previous occurrence of the rule up to this one, `[interval_start, interval_end)`. The intervals of a
/// rule join without gaps, and do not depend on `from`, `to` or what was missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Occurrence {
    /// When, by the rule; a jitter does not move it.
    pub at: Timestamp,
    /// The previous occurrence of the rule.
    pub interval_start: Timestamp,
    /// The same as `at`.
    pub interval_end: Timestamp,
}

/// What a schedule asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The runs to make now, the oldest first.
    pub occurrences: Vec<Occurrence>,
    /// When to ask again: when the next occurrence falls due, its jitter included. None if nothing comes.
    pub next: Option<Timestamp>,
    /// How many occurrences are passed over for good; counted up to 100 000.
    pub missed: u64,
    /// Up to where everything is decided: the `last` of the next question.
    pub until: Timestamp,
}

/// Why no list of past occurrences can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackfillError {
    /// The end is not after the beginning.
    #[error("the end {to} is not after the beginning {from}")]
    Empty {
        /// The beginning.
        from: Timestamp,
        /// The end.
        to: Timestamp,
    },
    /// There are more occurrences than asked for.
    #[error("there are more than {limit} occurrences from {from} to {to}; take a shorter time")]
    TooMany {
        /// The beginning.
        from: Timestamp,
        /// The end.
        to: Timestamp,
        /// How many were allowed.
        limit: usize,
    },
}

impl Schedule {
    /// A schedule of a rule in UTC, without bounds, that catches up with the latest occurrence.
    #[must_use]
    pub fn new(when: When) -> Self {
        Self {
            when,
            timezone: Zone::UTC,
            from: None,
            to: None,
            catch_up: CatchUp::default(),
            jitter: None,
        }
    }

    /// What falls due after `last` and up to `now`. `last` is where the schedule began to count, then the
    /// [`Due::until`] or the [`Occurrence::at`] of the answer before. Asked in this way at any instants, no
    /// occurrence is told twice, and each is told or counted as missed.
    ///
    /// If the clock stands before `last`, nothing is due.
    #[must_use]
    pub fn due(&self, last: Timestamp, now: Timestamp) -> Due {
        let delay = self.jitter.map_or(Duration::ZERO, Jitter::delay);
        let undelayed = minus(now, milliseconds(delay));
        let until = undelayed.max(last);
        let lower = self.from.map_or(last, |from| last.max(minus(from, 1)));
        let upper = self.to.map_or(until, |to| until.min(minus(to, 1)));
        let (most, not_before) = match self.catch_up {
            CatchUp::Skip => (1, minus(undelayed, milliseconds(ON_TIME))),
            CatchUp::Latest => (1, Timestamp::from_millis(i64::MIN)),
            CatchUp::All { limit } => (limit as usize, Timestamp::from_millis(i64::MIN)),
        };
        let mut occurrences = Vec::new();
        let mut missed = 0;
        // From the newest back, because the newest are made.
        let mut tick = self.tick_before(plus(upper, 1));
        while let Some(at) = tick.filter(|at| *at > lower && missed < MOST_COUNTED) {
            let before = self.tick_before(at);
            match before {
                Some(interval_start) if occurrences.len() < most && at >= not_before => {
                    occurrences.push(Occurrence {
                        at,
                        interval_start,
                        interval_end: at,
                    });
                }
                _ => missed += 1,
            }
            tick = before;
        }
        occurrences.reverse();
        Due {
            occurrences,
            next: self
                .occurrence_after(until)
                .map(|next| next.saturating_add(delay)),
            missed,
            until,
        }
    }

    /// Every occurrence of the rule whose data interval lies within `[from, to)`, the oldest first. The
    /// bounds of the schedule do not matter: they say when it runs by itself.
    ///
    /// # Errors
    /// The range is empty, or more than `limit` occurrences lie within it.
    pub fn backfill(
        &self,
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> Result<Vec<Occurrence>, BackfillError> {
        if to <= from {
            return Err(BackfillError::Empty { from, to });
        }
        let mut occurrences = Vec::new();
        let mut start = self.tick_after(minus(from, 1));
        while let Some(interval_start) = start {
            let end = self.tick_after(interval_start);
            let Some(at) = end.filter(|end| *end <= to) else {
                break;
            };
            if occurrences.len() >= limit {
                return Err(BackfillError::TooMany { from, to, limit });
            }
            occurrences.push(Occurrence {
                at,
                interval_start,
                interval_end: at,
            });
            start = end;
        }
        Ok(occurrences)
    }

    /// The first occurrence after an instant, within the bounds of the schedule.
    #[must_use]
    pub fn occurrence_after(&self, after: Timestamp) -> Option<Timestamp> {
        let after = self.from.map_or(after, |from| after.max(minus(from, 1)));
        let next = self.tick_after(after)?;
        self.to.is_none_or(|to| next < to).then_some(next)
    }

    /// The first occurrence of the rule after an instant, whatever the bounds.
    fn tick_after(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.when {
            When::Cron(cron) => cron.next_after(after, &self.timezone),
            When::Every(every) => every.next_after(after, self.anchor()),
        }
    }

    fn tick_before(&self, before: Timestamp) -> Option<Timestamp> {
        match &self.when {
            When::Cron(cron) => cron.last_before(before, &self.timezone),
            When::Every(every) => every.last_before(before, self.anchor()),
        }
    }

    fn anchor(&self) -> Timestamp {
        self.from.unwrap_or_default()
    }
}

impl std::fmt::Display for When {
    /// As a workflow file has it.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cron(cron) => cron.fmt(formatter),
            Self::Every(every) => write!(formatter, "every {every}"),
        }
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

const fn minus(instant: Timestamp, milliseconds: i64) -> Timestamp {
    Timestamp::from_millis(instant.as_millis().saturating_sub(milliseconds))
}

const fn plus(instant: Timestamp, milliseconds: i64) -> Timestamp {
    Timestamp::from_millis(instant.as_millis().saturating_add(milliseconds))
}
