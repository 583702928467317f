//! What holds stages back though a worker is free: groups of which a few attempts run at a time, and
//! rates at which attempts begin.
//!
//! Slots follow from records: a grant names the group in which it counts, so that a take-over counts the
//! same. Rates are a generic cell rate algorithm on grants (ITU-T I.371, a token bucket told by one
//! instant). Their buckets are in memory only: a grant of a run that has ended is not read again, so a
//! coordinator that follows another one takes every bucket for empty. It is never too fast, and as fast
//! as the rate says one token later. The first coordinator of a journal finds them full.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use marquetry_script::ScriptError;
use marquetry_types::{FencingToken, Timestamp};
use marquetry_workflow::{Throttle, group_name};
use serde_json::{Map, Value};

use crate::Waiting;

/// As many buckets are kept before full ones are looked for.
const BUCKETS: usize = 1_024;

/// Holders of slots that are named to whoever asks.
const SHOWN: usize = 3;

/// A [`Throttle`] with the names of its groups.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bounds {
    pub(crate) slot: Option<Slot>,
    pub(crate) rate: Option<Rate>,
}

/// A place in a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    pub(crate) group: String,
    limit: usize,
}

/// A bucket as one stage sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rate {
    pub(crate) group: String,
    /// Between two tokens.
    interval: Duration,
    /// How long an empty bucket takes to be full, less one token.
    tolerance: Duration,
}

impl Rate {
    /// How long an empty bucket takes to be full.
    fn fills_in(&self) -> Duration {
        self.tolerance.saturating_add(self.interval)
    }
}

impl Bounds {
    /// The bounds of a stage whose expressions read `scope`; none where nothing holds it back.
    pub(crate) fn of(
        throttle: &Throttle,
        scope: &Map<String, Value>,
    ) -> Result<Option<Arc<Self>>, ScriptError> {
        if throttle.is_none() {
            return Ok(None);
        }
        let slot = throttle.concurrency.as_ref().map(|it| {
            Ok(Slot {
                group: group_name(&it.group, scope)?,
                limit: usize::try_from(it.limit).unwrap_or(usize::MAX),
            })
        });
        let rate = throttle.rate.as_ref().map(|it| {
            let interval = (it.per / it.limit.max(1)).max(Duration::from_millis(1));
            Ok(Rate {
                group: group_name(&it.group, scope)?,
                interval,
                tolerance: interval.saturating_mul(it.burst.max(1) - 1),
            })
        });
        Ok(Some(Arc::new(Self {
            slot: slot.transpose()?,
            rate: rate.transpose()?,
        })))
    }
}

/// What holds a stage back now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// The group is full.
    Slot,
    /// The bucket is empty until then.
    Until(Timestamp),
}

/// A bucket that was taken from.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// When it will be full: the theoretical arrival time of the algorithm.
    full_at: Timestamp,
    /// How long it takes to be full when it is empty.
    fills_in: Duration,
}

/// Every group that has a grant, and every bucket that was taken from.
#[derive(Debug, Clone)]
pub(crate) struct Throttles {
    slots: BTreeMap<String, BTreeSet<FencingToken>>,
    buckets: BTreeMap<String, Bucket>,
    /// When another coordinator's grants may have emptied every bucket.
    emptied_at: Option<Timestamp>,
    /// Buckets at which full ones are looked for.
    sweep_at: usize,
    /// The last time that anything was decided.
    now: Timestamp,
}

impl Throttles {
    /// Those of a reign that begins at `now`; `is_first` if none was before it.
    pub(crate) fn new(now: Timestamp, is_first: bool) -> Self {
        Self {
            slots: BTreeMap::new(),
            buckets: BTreeMap::new(),
            emptied_at: (!is_first).then_some(now),
            sweep_at: BUCKETS,
            now,
        }
    }

    /// What holds a stage with these bounds back at `now`, if anything does.
    pub(crate) fn held(&self, bounds: &Bounds, now: Timestamp) -> Option<Held> {
        if let Some(slot) = &bounds.slot
            && self.slots.get(&slot.group).map_or(0, BTreeSet::len) >= slot.limit
        {
            return Some(Held::Slot);
        }
        let at = self.next(bounds.rate.as_ref()?);
        (at > now).then_some(Held::Until(at))
    }

    /// When a bucket will be full, as a stage with this rate sees it.
    fn full_at(&self, rate: &Rate) -> Timestamp {
        match (self.buckets.get(&rate.group), self.emptied_at) {
            (Some(bucket), _) => bucket.full_at,
            (None, Some(emptied)) => emptied.saturating_add(rate.fills_in()),
            (None, None) => Timestamp::from_millis(0),
        }
    }

    /// When the next token is there; in the past if one is.
    fn next(&self, rate: &Rate) -> Timestamp {
        let tolerance = i64::try_from(rate.tolerance.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(self.full_at(rate).as_millis().saturating_sub(tolerance))
    }

    /// A grant takes a token.
    pub(crate) fn take_token(&mut self, rate: &Rate, now: Timestamp) {
        let full_at = self.full_at(rate).max(now).saturating_add(rate.interval);
        let before = self.buckets.get(&rate.group);
        let fills_in = before.map_or(Duration::ZERO, |before| before.fills_in);
        let bucket = Bucket {
            full_at,
            fills_in: fills_in.max(rate.fills_in()),
        };
        self.buckets.insert(rate.group.clone(), bucket);
        if self.buckets.len() >= self.sweep_at {
            self.sweep(now);
        }
    }

    /// A full bucket is as good as none, once an empty one of before the reign would be full as well.
    fn sweep(&mut self, now: Timestamp) {
        let emptied_at = self.emptied_at;
        self.buckets.retain(|_, bucket| {
            let since = emptied_at.map(|at| at.saturating_add(bucket.fills_in));
            bucket.full_at > now || since.is_some_and(|at| at > now)
        });
        self.sweep_at = self.buckets.len().saturating_mul(2).max(BUCKETS);
    }

    /// A grant takes a slot.
    pub(crate) fn take_slot(&mut self, group: &str, token: FencingToken) {
        self.slots
            .entry(group.to_owned())
            .or_default()
            .insert(token);
    }

    /// A grant ended.
    pub(crate) fn give_slot(&mut self, group: &str, token: &FencingToken) {
        if let Some(tokens) = self.slots.get_mut(group) {
            tokens.remove(token);
            if tokens.is_empty() {
                self.slots.remove(group);
            }
        }
    }

    /// Time has come to `now`.
    pub(crate) fn at(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// For what a stage with these bounds waits, if it is for one of them.
    pub(crate) fn waiting(&self, bounds: &Bounds) -> Option<Waiting> {
        match self.held(bounds, self.now)? {
            Held::Until(at) => Some(Waiting::Rate {
                group: bounds.rate.as_ref()?.group.clone(),
                at,
            }),
            Held::Slot => {
                let slot = bounds.slot.as_ref()?;
                let tokens = self.slots.get(&slot.group)?;
                let holders = tokens.iter().take(SHOWN).map(|token| &token.attempt);
                Some(Waiting::Concurrency {
                    group: slot.group.clone(),
                    limit: slot.limit,
                    running: tokens.len(),
                    holders: holders
                        .map(|attempt| (attempt.run.clone(), attempt.stage.clone()))
                        .collect(),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(group: String) -> Rate {
        Rate {
            group,
            interval: Duration::from_secs(1),
            tolerance: Duration::from_secs(9),
        }
    }

    #[test]
    fn buckets_that_are_full_again_are_forgotten() {
        let start = Timestamp::from_millis(1_000_000);
        for is_first in [true, false] {
            let mut throttles = Throttles::new(start, is_first);
            let mut most = 0;
            for second in 0..5_000_u64 {
                let now = start.saturating_add(Duration::from_secs(second));
                throttles.take_token(&rate(format!("run-{second}")), now);
                most = most.max(throttles.buckets.len());
            }
            assert!(most <= BUCKETS, "{most}");
        }
    }
}
