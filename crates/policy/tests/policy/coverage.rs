//! Intervals cover as often as they say, in 10,000 simulated logs.

use marquetry_policy::{
    DecisionLog, Estimator, Interval, IntervalMethod, LoggedDecision, Random, Weighting,
};

const LOGS: u64 = 10_000;

/// Two contexts, three actions, clicks with these probabilities.
const CLICKS: [[f64; 3]; 2] = [[0.2, 0.5, 0.4], [0.6, 0.3, 0.5]];
/// How they were logged, and how the target would choose.
const LOGGED: [[f64; 3]; 2] = [[0.5, 0.2, 0.3], [0.3, 0.3, 0.4]];
const TARGET: [[f64; 3]; 2] = [[0.1, 0.6, 0.3], [0.5, 0.1, 0.4]];
/// A model that is wrong, as models are.
const PREDICTED: [[f64; 3]; 2] = [[0.3, 0.4, 0.4], [0.5, 0.4, 0.4]];

/// The mean over both contexts, which come equally often.
fn under_target(values: [[f64; 3]; 2]) -> f64 {
    let contexts = values.iter().zip(TARGET);
    let of = |(values, target): (&[f64; 3], [f64; 3])| -> f64 {
        values.iter().zip(target).map(|(v, p)| v * p).sum()
    };
    contexts.map(of).sum::<f64>() / 2.0
}

fn draw(probabilities: [f64; 3], random: &mut Random) -> usize {
    let unit = random.unit();
    if unit < probabilities[0] {
        0
    } else if unit < probabilities[0] + probabilities[1] {
        1
    } else {
        2
    }
}

/// The model's predictions move with something that does not matter, so that means of them take more
/// than a few values.
fn simulate(number: u64, rows: usize) -> DecisionLog {
    let mut random = Random::new(23, number);
    let mut log = DecisionLog::new();
    for _ in 0..rows {
        let context = random.below(2);
        let chosen = draw(LOGGED[context], &mut random);
        let moved = 0.2 * (random.unit() - 0.5);
        let clicked = random.unit() < CLICKS[context][chosen];
        log.push(&LoggedDecision {
            chosen,
            reward: if clicked { 1.0 } else { 0.0 },
            propensity: LOGGED[context][chosen],
            target: &TARGET[context],
            predictions: Some(&PREDICTED[context].map(|value| value + moved)),
        })
        .unwrap();
    }
    log
}

const CASES: [Estimator; 4] = Estimator::ALL;

/// The share of logs in which the interval holds the truth, for each estimator.
fn coverage(rows: usize, level: f64, method: impl Fn(u64) -> IntervalMethod) -> [f64; 4] {
    let mut covered = [0_u32; 4];
    for number in 0..LOGS {
        let log = simulate(number, rows);
        for (estimator, covered) in CASES.into_iter().zip(&mut covered) {
            // The direct method's truth is what its model expects.
            let truth = match estimator {
                Estimator::DirectMethod => under_target(PREDICTED),
                _ => under_target(CLICKS),
            };
            let interval = log.interval(estimator, Weighting::Plain, method(number), level);
            if let Ok(Interval { low, high }) = interval {
                *covered += u32::from(low <= truth && truth <= high);
            }
        }
    }
    covered.map(|count| f64::from(count) / LOGS as f64)
}

/// The standard error of a coverage of 0.95 in 10,000 logs is 0.0022; the rest is what normal and
/// bootstrap intervals, which are right for ever more rows, may be off by at a few hundred.
#[test]
fn normal_intervals_cover() {
    for level in [0.8, 0.95] {
        let found = coverage(400, level, |_| IntervalMethod::Normal {});
        assert!(
            found.iter().all(|share| (share - level).abs() < 0.012),
            "{level}: {found:?}"
        );
    }
}

#[test]
fn bootstrap_intervals_cover() {
    let found = coverage(200, 0.9, |seed| IntervalMethod::Bootstrap {
        replicates: 150,
        seed,
    });
    assert!(
        found.iter().all(|share| (share - 0.9).abs() < 0.015),
        "{found:?}"
    );
}

/// They promise at least their level.
#[test]
fn empirical_bernstein_intervals_cover_at_least() {
    let found = coverage(400, 0.8, |_| IntervalMethod::EmpiricalBernstein {
        least_reward: 0.0,
        largest_reward: 1.0,
        largest_weight: 3.0,
    });
    // None for the self-normalised ratio.
    assert!(
        found[0] >= 0.8 && found[2] >= 0.8 && found[3] >= 0.8,
        "{found:?}"
    );
    assert_eq!(found[1], 0.0);
}
