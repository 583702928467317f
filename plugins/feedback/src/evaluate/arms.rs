//! What each action earned, in each segment and in all.

use marquetry_policy::Interval;

use super::log::Log;

/// What an action earned in a segment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ArmMean {
    /// The number of the action.
    pub(super) action: usize,
    /// The number of the segment; none of all of them together.
    pub(super) segment: Option<usize>,
    /// How often it was taken, at least once.
    pub(super) decisions: u64,
    /// Its mean reward.
    pub(super) mean: f64,
    /// Where the mean lies; none of a single decision whose reward is not 0 or 1.
    pub(super) interval: Option<Interval>,
}

/// The best action of a segment, and the next.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct BestArm<'a> {
    pub(super) best: &'a ArmMean,
    pub(super) next: Option<&'a ArmMean>,
    /// By how much the best is better than the next, with an interval.
    pub(super) advantage: Option<(f64, Option<Interval>)>,
}

/// Counts, sums and sums of squared deviations (B. Welford, 1962).
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    decisions: u64,
    mean: f64,
    squares: f64,
}

impl Tally {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    fn add(&mut self, reward: f64) {
        self.decisions += 1;
        let before = reward - self.mean;
        self.mean += before / self.decisions as f64;
        self.squares += before * (reward - self.mean);
    }
}

/// The means of all actions: over all segments first, then segment by segment where the log has them.
/// Intervals are Wilson's where all rewards of the log are 0 or 1, else normal. `z` is the normal
/// quantile of the confidence. O(decisions).
pub(super) fn all(log: &Log, by_segment: bool, z: f64) -> Vec<ArmMean> {
    let is_binary = log
        .decisions
        .iter()
        .all(|decision| decision.reward == 0.0 || decision.reward == 1.0);
    let actions = log.actions.len();
    let mut totals = vec![Tally::default(); actions];
    let mut cells = vec![Tally::default(); actions * log.segments.len()];
    for decision in &log.decisions {
        let (action, segment) = (decision.action as usize, decision.segment as usize);
        totals[action].add(decision.reward);
        cells[segment * actions + action].add(decision.reward);
    }
    let segments = (0..log.segments.len()).map(Some).filter(|_| by_segment);
    let places = segments.flat_map(|segment| (0..actions).map(move |action| (action, segment)));
    let tallies = (0..actions)
        .map(|action| (action, None))
        .zip(totals)
        .chain(places.zip(cells));
    tallies
        .filter(|(_, tally)| tally.decisions > 0)
        .map(|((action, segment), tally)| ArmMean {
            action,
            segment,
            decisions: tally.decisions,
            mean: tally.mean,
            interval: if is_binary {
                Some(wilson(tally.mean, tally.decisions, z))
            } else {
                normal(&tally, z)
            },
        })
        .collect()
}

/// The best action of each segment, and of all of them together. Of equals, the first.
pub(super) fn best(arms: &[ArmMean]) -> Vec<BestArm<'_>> {
    arms.chunk_by(|left, right| left.segment == right.segment)
        .filter_map(|of_segment| {
            let mut ranked: Vec<&ArmMean> = of_segment.iter().collect();
            ranked.sort_by(|left, right| right.mean.total_cmp(&left.mean));
            let best = *ranked.first()?;
            let next = ranked.get(1).copied();
            Some(BestArm {
                best,
                next,
                advantage: next.map(|next| difference(best, next)),
            })
        })
        .collect()
}

/// Wilson's score interval of a share.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn wilson(share: f64, count: u64, z: f64) -> Interval {
    let n = count as f64;
    let found = marquetry_kernels::wilson_at(share * n, n, z);
    found.map_or(
        Interval {
            low: 0.0,
            high: 1.0,
        },
        of_kernel,
    )
}

/// The mean plus and minus `z` standard errors.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn normal(tally: &Tally, z: f64) -> Option<Interval> {
    if tally.decisions < 2 {
        return None;
    }
    let n = tally.decisions as f64;
    let error = (tally.squares / (n - 1.0) / n).sqrt();
    Some(of_kernel(marquetry_kernels::normal_at(
        tally.mean, error, z,
    )))
}

fn of_kernel(found: marquetry_kernels::Interval) -> Interval {
    Interval {
        low: found.low,
        high: found.high,
    }
}

/// The difference of two means of different decisions, with an interval from theirs (R. Newcombe,
/// *Interval estimation for the difference between independent proportions*, 1998, method 10). For normal
/// intervals it is the usual one.
fn difference(left: &ArmMean, right: &ArmMean) -> (f64, Option<Interval>) {
    let value = left.mean - right.mean;
    let interval = left
        .interval
        .zip(right.interval)
        .map(|(of_left, of_right)| Interval {
            low: value - (left.mean - of_left.low).hypot(of_right.high - right.mean),
            high: value + (of_left.high - left.mean).hypot(right.mean - of_right.low),
        });
    (value, interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    const Z: f64 = 1.959_963_984_540_054;

    fn close(got: f64, wanted: f64) -> bool {
        (got - wanted).abs() < 5e-5
    }

    #[test]
    fn score_intervals_are_those_that_newcombe_published() {
        // R. Newcombe, Two-sided confidence intervals for the single proportion, 1998, table I, method 3.
        for (events, of, low, high) in [
            (81_u32, 263_u32, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let found = wilson(f64::from(events) / f64::from(of), u64::from(of), Z);
            assert!(
                close(found.low, low) && close(found.high, high),
                "{found:?}"
            );
        }
    }

    #[test]
    fn intervals_of_differences_are_those_that_newcombe_published() {
        // The same author's paper on differences, table II, method 10.
        for ((a, m), (b, n), low, high) in [
            ((56_u32, 70_u32), (48_u32, 80_u32), 0.0524, 0.3339),
            ((9, 10), (3, 10), 0.1705, 0.8090),
            ((10, 10), (0, 20), 0.6791, 1.0),
        ] {
            let arm = |events: u32, of: u32| {
                let mean = f64::from(events) / f64::from(of);
                ArmMean {
                    action: 0,
                    segment: None,
                    decisions: u64::from(of),
                    mean,
                    interval: Some(wilson(mean, u64::from(of), Z)),
                }
            };
            let (_, interval) = difference(&arm(a, m), &arm(b, n));
            let found = interval.unwrap();
            assert!(
                close(found.low, low) && close(found.high, high),
                "{found:?}"
            );
        }
    }

    #[test]
    fn one_reward_that_is_no_share_has_no_interval() {
        let mut tally = Tally::default();
        tally.add(2.5);
        assert_eq!(normal(&tally, Z), None);
        tally.add(3.5);
        let found = normal(&tally, Z).unwrap();
        assert!((found.high - (3.0 + Z * 0.5)).abs() < 1e-12);
    }
}
