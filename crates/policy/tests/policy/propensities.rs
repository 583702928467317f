//! Propensities are right: against frequencies of a million decisions for every policy, and against
//! SciPy for Thompson sampling (`fixtures/make_propensities.py`).

use marquetry_policy::{Algorithm, Eligible, Policy, PolicyOptions, Random};
use serde::Deserialize;

const DRAWS: u32 = 1_000_000;
const CONTEXT: [f64; 3] = [1.0, -0.4, 0.7];

/// Frequencies of so many draws are further than this many standard deviations from their probability
/// in less than one of 100,000 cases. (Some 100 are compared here, with fixed seeds.)
const DEVIATIONS: f64 = 4.5;

#[track_caller]
fn assert_frequencies(what: &str, counts: &[u32], probabilities: &[f64]) {
    let draws = f64::from(DRAWS);
    for (count, p) in counts.iter().zip(probabilities) {
        let deviation = (p * (1.0 - p) / draws).sqrt();
        let error = (f64::from(*count) / draws - p).abs();
        assert!(
            error <= DEVIATIONS * deviation + 1e-9,
            "{what}: {counts:?} of {probabilities:?}"
        );
    }
}

/// Compares both ways to decide with the probabilities, and the propensities of decisions with them.
fn check(what: &str, policy: &Policy, eligible: &Eligible) {
    let probabilities = policy.probabilities(&CONTEXT, eligible).unwrap();
    let sum: f64 = probabilities.iter().sum();
    assert!((sum - 1.0).abs() < 1e-12, "{what}: {sum}");
    let mut random = Random::new(17, 0);
    let mut chosen = vec![0; eligible.len()];
    for _ in 0..DRAWS {
        let arm = policy.choose(&CONTEXT, eligible, &mut random).unwrap();
        chosen[eligible.position(arm).unwrap()] += 1;
    }
    assert_frequencies(&format!("{what}, chosen"), &chosen, &probabilities);
    let distribution = policy.distribution(&CONTEXT, eligible).unwrap();
    assert_eq!(distribution.probabilities(), probabilities);
    assert_eq!(distribution.arms(), eligible.arms());
    let mut decided = vec![0; eligible.len()];
    for _ in 0..DRAWS {
        let decision = distribution.decide(&mut random);
        let position = eligible.position(decision.arm).unwrap();
        assert_eq!(decision.propensity, probabilities[position], "{what}");
        decided[position] += 1;
    }
    assert_frequencies(&format!("{what}, decided"), &decided, &probabilities);
    // One decision by the policy itself is one of its distribution.
    let direct = policy
        .decide(&CONTEXT, eligible, &mut Random::new(5, 5))
        .unwrap();
    assert_eq!(direct, distribution.decide(&mut Random::new(5, 5)));
}

/// A policy of six arms of which some are equal, some were never rewarded, and some are good.
fn taught(algorithm: Algorithm, explore: f64) -> Policy {
    let options = PolicyOptions { algorithm, explore };
    let names = ["a", "b", "c", "d", "e", "f"];
    let mut policy = Policy::new(options, names).unwrap();
    for step in 0..40_u32 {
        let angle = f64::from(step);
        let context = [1.0, angle.sin(), angle.cos()];
        for (name, every) in [("a", 3), ("b", 2), ("c", 2), ("d", 5)] {
            let arm = policy.arm(name).unwrap();
            let reward = if step % every == 0 { 1.0 } else { 0.0 };
            policy.learn(&context, arm, reward).unwrap();
        }
    }
    policy
}

fn algorithms() -> Vec<Algorithm> {
    vec![
        Algorithm::Uniform {},
        Algorithm::Fixed {
            action: "d".to_owned(),
        },
        Algorithm::EpsilonGreedy {
            epsilon: 0.2,
            initial_mean: 0.0,
        },
        Algorithm::EpsilonGreedy {
            epsilon: 0.1,
            initial_mean: 2.0,
        },
        Algorithm::Softmax {
            temperature: 0.2,
            initial_mean: 0.3,
        },
        Algorithm::Ucb1 { alpha: 1.0 },
        Algorithm::BetaThompson {
            prior_successes: 1.0,
            prior_failures: 1.0,
        },
        Algorithm::BetaThompson {
            prior_successes: 0.05,
            prior_failures: 0.5,
        },
        Algorithm::LinUcb {
            dimensions: 3,
            alpha: 0.3,
            ridge: 1.0,
        },
        Algorithm::LinearThompson {
            dimensions: 3,
            alpha: 0.5,
            ridge: 1.0,
        },
        Algorithm::LinearThompson {
            dimensions: 3,
            alpha: 0.0,
            ridge: 1.0,
        },
    ]
}

#[test]
fn a_million_decisions_have_the_stated_propensities() {
    for algorithm in algorithms() {
        for explore in [0.0, 0.15] {
            let policy = taught(algorithm.clone(), explore);
            let what = format!("{algorithm:?} with {explore}");
            if explore == 0.0 {
                check(&what, &policy, &policy.all());
            }
            // b and c have earned the same.
            let some = policy.eligible(["d", "c", "b", "a"]).unwrap();
            if explore > 0.0
                || !matches!(algorithm, Algorithm::Uniform {} | Algorithm::Fixed { .. })
            {
                check(&what, &policy, &some);
            }
            let one = policy.eligible(["e"]).unwrap();
            assert_eq!(policy.probabilities(&CONTEXT, &one), Ok(vec![1.0]));
        }
    }
}

#[test]
fn equal_arms_share_the_propensity_of_the_best() {
    let some = |policy: &Policy| policy.eligible(["a", "b", "c", "d"]).unwrap();
    let of = |algorithm: Algorithm| {
        let policy = taught(algorithm, 0.0);
        policy.probabilities(&CONTEXT, &some(&policy)).unwrap()
    };
    let close = |actual: Vec<f64>, expected: [f64; 4]| {
        let pairs = actual.iter().zip(expected);
        pairs.for_each(|(a, e)| assert!((a - e).abs() < 1e-15, "{actual:?}"));
    };
    close(
        of(Algorithm::EpsilonGreedy {
            epsilon: 0.2,
            initial_mean: 0.0,
        }),
        [0.05, 0.45, 0.45, 0.05],
    );
    close(of(Algorithm::Ucb1 { alpha: 1.0 }), [0.0, 0.5, 0.5, 0.0]);
    let lin_ucb = Algorithm::LinUcb {
        dimensions: 3,
        alpha: 0.3,
        ridge: 1.0,
    };
    close(of(lin_ucb), [0.0, 0.5, 0.5, 0.0]);
}

#[test]
fn exploration_bounds_propensities_from_below() {
    for algorithm in algorithms() {
        let policy = taught(algorithm, 0.3);
        let probabilities = policy.probabilities(&CONTEXT, &policy.all()).unwrap();
        let floor = 0.3 / 6.0;
        assert!(probabilities.iter().all(|p| *p >= floor * (1.0 - 1e-12)));
    }
}

#[derive(Deserialize)]
struct Fixture {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    kind: String,
    arms: Vec<[f64; 2]>,
    best: Vec<f64>,
}

/// A linear policy of one dimension whose posteriors, at context 1, are the given Gaussians: with ridge
/// r and one reward in the context c, the precision is r + c² and the mean reward c / (r + c²).
fn gaussian_policy(arms: &[[f64; 2]]) -> Policy {
    let ridge = 1e-3;
    let options = PolicyOptions::new(Algorithm::LinearThompson {
        dimensions: 1,
        alpha: 1.0,
        ridge,
    });
    let names = (0..arms.len()).map(|arm| arm.to_string());
    let mut policy = Policy::new(options, names).unwrap();
    let everything = policy.all();
    for (arm, [mean, deviation]) in everything.arms().iter().zip(arms) {
        let precision = 1.0 / (deviation * deviation);
        let context = (precision - ridge).sqrt();
        let reward = mean * precision / context;
        policy.learn(&[context], *arm, reward).unwrap();
    }
    policy
}

fn beta_policy(arms: &[[f64; 2]]) -> Policy {
    let (least, prior) = (0.5, 0.5);
    let options = PolicyOptions::new(Algorithm::BetaThompson {
        prior_successes: least,
        prior_failures: prior,
    });
    let names = (0..arms.len()).map(|arm| arm.to_string());
    let mut policy = Policy::new(options, names).unwrap();
    let everything = policy.all();
    for (arm, [successes, failures]) in everything.arms().iter().zip(arms) {
        // Shares of successes and failures that add up to both.
        let total = successes - least + failures - prior;
        let count = total.round();
        assert!((total - count).abs() < 1e-9, "{total} is no count");
        for _ in 0..count as u32 {
            let reward = (successes - least) / count;
            policy.learn(&[], *arm, reward).unwrap();
        }
    }
    policy
}

#[test]
fn thompson_propensities_are_those_of_scipy() {
    let fixture: Fixture = serde_json::from_str(&crate::fixture("propensities.json")).unwrap();
    for group in fixture.groups {
        let policy = match group.kind.as_str() {
            "beta" => beta_policy(&group.arms),
            _ => gaussian_policy(&group.arms),
        };
        let found = policy.probabilities(&[1.0], &policy.all()).unwrap();
        for (actual, expected) in found.iter().zip(&group.best) {
            let arms = &group.arms;
            assert!(
                (actual - expected).abs() < 1e-9,
                "{arms:?}: {actual}, {expected}"
            );
        }
    }
}
