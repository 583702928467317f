//! What policies do with what they are given, good and bad.

use marquetry_policy::{
    Algorithm, Feedback, Policy, PolicyError, PolicyOptions, PolicyState, Random,
};

fn policy(algorithm: Algorithm) -> Policy {
    Policy::new(PolicyOptions::new(algorithm), ["a", "b", "c"]).unwrap()
}

fn beta() -> Algorithm {
    Algorithm::BetaThompson {
        prior_successes: 1.0,
        prior_failures: 1.0,
    }
}

fn lin_ucb() -> Algorithm {
    Algorithm::LinUcb {
        dimensions: 2,
        alpha: 1.0,
        ridge: 1.0,
    }
}

fn message<Good: std::fmt::Debug>(result: Result<Good, PolicyError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn ucb1_follows_auer() {
    let mut policy = policy(Algorithm::Ucb1 { alpha: 1.0 });
    let everything = policy.all();
    let [a, b, c] = [0, 1, 2].map(|index| everything.arms()[index]);
    let probabilities = |policy: &Policy| policy.probabilities(&[], &everything).unwrap();
    policy.learn(&[], a, 1.0).unwrap();
    // Every action is tried before one is tried again.
    assert_eq!(probabilities(&policy), [0.0, 0.5, 0.5]);
    policy.learn(&[], b, 0.0).unwrap();
    policy.learn(&[], c, 0.4).unwrap();
    assert_eq!(probabilities(&policy), [1.0, 0.0, 0.0]);
    // After 8 rewards of 0 for a: its bound is 1/9 + sqrt(2 ln 11 / 9) = 0.841, that of c is
    // 0.4 + sqrt(2 ln 11) = 2.59.
    for _ in 0..8 {
        policy.learn(&[], a, 0.0).unwrap();
    }
    assert_eq!(probabilities(&policy), [0.0, 0.0, 1.0]);
    let without = policy.eligible(["a", "b"]).unwrap();
    assert_eq!(policy.probabilities(&[], &without), Ok(vec![0.0, 1.0]));
}

#[test]
fn softmax_weighs_by_mean_rewards() {
    let mut policy = policy(Algorithm::Softmax {
        temperature: 0.5,
        initial_mean: 0.0,
    });
    let everything = policy.all();
    policy
        .learn(&[], everything.arms()[0], 0.5 * 2.0_f64.ln())
        .unwrap();
    let found = policy.probabilities(&[], &everything).unwrap();
    for (found, expected) in found.iter().zip([0.5, 0.25, 0.25]) {
        assert!((found - expected).abs() < 1e-15);
    }
}

#[test]
fn beta_rewards_count_as_successes_and_failures() {
    let mut policy = policy(beta());
    let everything = policy.all();
    for reward in [1.0, 0.25, 0.25] {
        policy.learn(&[], everything.arms()[0], reward).unwrap();
    }
    // Beta(2.5, 2.5), and Beta(1, 1).
    let expected = policy.expected_rewards(&[], &everything).unwrap();
    assert_eq!(expected, [0.5, 0.5, 0.5]);
    // P(Beta(2.5, 2.5) > 1/2) is 1/2, but it wins less often against two of which one is far out.
    let found = policy.probabilities(&[], &everything).unwrap();
    assert!(found[0] < 0.3 && found[1] > 0.35, "{found:?}");
}

#[test]
fn a_fixed_policy_is_uniform_where_its_action_is_not_eligible() {
    let policy = policy(Algorithm::Fixed {
        action: "b".to_owned(),
    });
    let found = policy.probabilities(&[], &policy.all());
    assert_eq!(found, Ok(vec![0.0, 1.0, 0.0]));
    let others = policy.eligible(["c", "a"]).unwrap();
    assert_eq!(policy.probabilities(&[], &others), Ok(vec![0.5, 0.5]));
    let unknown = Algorithm::Fixed {
        action: "z".to_owned(),
    };
    assert_eq!(
        message(Policy::new(PolicyOptions::new(unknown), ["a", "b"])),
        "unknown action `z`: the policy knows `a`, `b`"
    );
}

#[test]
fn arms_may_be_added_later() {
    for algorithm in [beta(), lin_ucb(), Algorithm::Ucb1 { alpha: 1.0 }] {
        let mut policy = policy(algorithm);
        let before = policy.all();
        for arm in before.arms() {
            policy.learn(&[1.0, 0.5], *arm, 0.5).unwrap();
        }
        let old = policy.probabilities(&[1.0, 0.5], &before).unwrap();
        let arm = policy.add_arm("d").unwrap();
        assert_eq!(policy.action(arm), Ok("d"));
        // What was is what it was, and the new one can be chosen.
        assert_eq!(policy.probabilities(&[1.0, 0.5], &before), Ok(old));
        let with = policy.probabilities(&[1.0, 0.5], &policy.all()).unwrap();
        assert!(with[3] > 0.2, "{with:?}");
        policy.learn(&[1.0, 0.5], arm, 1.0).unwrap();
        let last = policy.arms().last().unwrap();
        assert_eq!((last.action, last.count, last.mean), ("d", 1, Some(1.0)));
        assert_eq!(
            message(policy.add_arm("d")),
            "action `d` is given twice: every action has a name of its own"
        );
    }
}

#[test]
fn equal_seeds_decide_equally() {
    for algorithm in [beta(), lin_ucb(), Algorithm::Uniform {}] {
        let policy = policy(algorithm);
        let all = policy.all();
        let decide = |seed| {
            let mut random = Random::new(seed, 3);
            let draws = (0..20).map(|_| policy.choose(&[1.0, 0.5], &all, &mut random).unwrap());
            draws.collect::<Vec<_>>()
        };
        assert_eq!(decide(1), decide(1));
        assert_ne!(decide(1), decide(2));
    }
}

#[test]
fn a_batch_is_its_rows_in_order() {
    let contexts: Vec<[f64; 2]> = (0..200_u32)
        .map(|step| [f64::from(step).sin(), f64::from(step).cos()])
        .collect();
    for algorithm in [beta(), lin_ucb()] {
        let mut one_by_one = policy(algorithm);
        let mut at_once = one_by_one.clone();
        let everything = one_by_one.all();
        let rows = contexts
            .iter()
            .enumerate()
            .map(|(index, context)| Feedback {
                context,
                arm: everything.arms()[index % 3],
                reward: (index % 7) as f64 / 7.0,
            });
        let batch: Vec<Feedback<'_>> = rows.collect();
        for row in &batch {
            one_by_one.learn(row.context, row.arm, row.reward).unwrap();
        }
        at_once.learn_all(&batch).unwrap();
        assert_eq!(PolicyState::from(&at_once), PolicyState::from(&one_by_one));
    }
}

#[test]
fn a_bad_batch_teaches_nothing() {
    let mut policy = policy(beta());
    let (untaught, everything) = (policy.clone(), policy.all());
    let row = |reward| Feedback {
        context: &[],
        arm: everything.arms()[1],
        reward,
    };
    assert_eq!(
        message(policy.learn_all(&[row(0.5), row(1.5)])),
        "row 1 of the batch: the reward of action `b` is 1.5: a Beta posterior learns from rewards in [0, 1]"
    );
    assert_eq!(policy, untaught);
}

#[test]
fn bad_rewards_and_contexts_are_refused() {
    let mut linear = policy(lin_ucb());
    let untaught = linear.clone();
    let everything = linear.all();
    let arm = everything.arms()[0];
    let mut random = Random::new(1, 0);
    assert_eq!(
        message(linear.learn(&[1.0, 0.0], arm, f64::NAN)),
        "the reward of action `a` is NaN: it must be a finite number, at most 1e100 in magnitude"
    );
    assert_eq!(
        message(linear.learn(&[1.0], arm, 1.0)),
        "a context of 1 numbers for a policy of 2 dimensions"
    );
    assert_eq!(
        message(linear.learn(&[1.0, f64::INFINITY], arm, 1.0)),
        "entry 1 of the context is inf: it must be a finite number, at most 1e100 in magnitude"
    );
    assert!(linear.decide(&[1.0], &everything, &mut random).is_err());
    assert!(
        linear
            .choose(&[f64::NAN, 0.0], &everything, &mut random)
            .is_err()
    );
    assert!(linear.expected_rewards(&[], &everything).is_err());
    assert_eq!(linear, untaught);
    let mut mean = policy(Algorithm::Ucb1 { alpha: 1.0 });
    assert!(mean.learn(&[], arm, f64::INFINITY).is_err());
    mean.learn(&[], arm, -3.5).unwrap();
    assert_eq!(mean.arms().next().unwrap().mean, Some(-3.5));
}

#[test]
fn the_largest_numbers_that_are_accepted_stay_finite() {
    for algorithm in [
        lin_ucb(),
        Algorithm::LinearThompson {
            dimensions: 2,
            alpha: 1e9,
            ridge: 1e-9,
        },
    ] {
        let mut policy = policy(algorithm);
        let everything = policy.all();
        let mut random = Random::new(1, 0);
        for context in [[1e100, -1e100], [1e-100, 1e100], [0.0, 0.0], [1e-200, 1.0]] {
            for reward in [1e100, -1e100, 0.0] {
                let decision = policy.decide(&context, &everything, &mut random).unwrap();
                assert!(decision.propensity > 0.0 && decision.propensity <= 1.0);
                policy.learn(&context, decision.arm, reward).unwrap();
            }
        }
        let state = PolicyState::from(&policy);
        assert!(Policy::try_from(&state).is_ok());
    }
}

#[test]
fn actions_that_cannot_be_are_refused() {
    let policy = policy(beta());
    let none: [&str; 0] = [];
    assert_eq!(
        message(policy.eligible(none)),
        "no action is eligible: a decision needs at least one"
    );
    assert_eq!(
        message(policy.eligible(["a", "nothing"])),
        "unknown action `nothing`: the policy knows `a`, `b`, `c`"
    );
    assert_eq!(
        message(policy.eligible(["a", "b", "a"])),
        "action `a` is given twice: every action has a name of its own"
    );
    assert_eq!(
        message(Policy::new(PolicyOptions::new(beta()), none)),
        "there are no actions: a policy chooses among at least one"
    );
    let many = Policy::new(
        PolicyOptions::new(beta()),
        (0..12).map(|i| format!("{i:02}")),
    )
    .unwrap();
    assert!(message(many.arm("x")).ends_with("`06`, `07` and 4 more"));
    let mut random = Random::new(1, 0);
    assert_eq!(
        message(policy.choose(&[], &many.all(), &mut random)),
        "arm 3 of a policy of 3 arms: take arms and eligible sets from the policy they are for"
    );
}

#[test]
fn options_may_change_where_what_was_learned_stays_true() {
    let mut linear = policy(lin_ucb());
    let arm = linear.arm("b").unwrap();
    linear.learn(&[1.0, 0.0], arm, 2.0).unwrap();
    let thompson = |dimensions, ridge| {
        PolicyOptions::new(Algorithm::LinearThompson {
            dimensions,
            alpha: 0.1,
            ridge,
        })
    };
    let changed = linear.clone().with_options(thompson(2, 1.0)).unwrap();
    assert_eq!(changed.coefficients(arm), linear.coefficients(arm));
    assert_eq!(
        message(linear.clone().with_options(thompson(3, 1.0))),
        "a policy learned with a linear model of 2 dimensions and ridge 1 cannot go on with a linear model of \
         3 dimensions and ridge 1: keep that option or start a new policy"
    );
    assert!(linear.clone().with_options(thompson(2, 2.0)).is_err());
    assert!(
        linear
            .clone()
            .with_options(PolicyOptions::new(beta()))
            .is_err()
    );
    let greedy = PolicyOptions::new(Algorithm::EpsilonGreedy {
        epsilon: 0.1,
        initial_mean: 0.0,
    });
    let mean = policy(Algorithm::Ucb1 { alpha: 1.0 });
    assert!(mean.clone().with_options(greedy).is_ok());
    assert!(mean.with_options(PolicyOptions::new(beta())).is_err());
}
