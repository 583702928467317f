//! A stored policy is the policy, and a damaged one is refused.

use marquetry_policy::{Algorithm, Policy, PolicyError, PolicyOptions, PolicyState, Random};
use proptest::prelude::*;

fn load(text: &str) -> Result<Policy, String> {
    let state: PolicyState = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Policy::try_from(&state).map_err(|error| error.to_string())
}

fn store(policy: &Policy) -> String {
    serde_json::to_string(&PolicyState::from(policy)).unwrap()
}

fn any_algorithm() -> impl Strategy<Value = Algorithm> {
    prop_oneof![
        Just(Algorithm::Uniform {}),
        Just(Algorithm::Fixed {
            action: "b".to_owned()
        }),
        (0.0..1.0).prop_map(|epsilon| Algorithm::EpsilonGreedy {
            epsilon,
            initial_mean: 0.5
        }),
        (0.01..10.0).prop_map(|temperature| Algorithm::Softmax {
            temperature,
            initial_mean: 0.0
        }),
        Just(Algorithm::Ucb1 { alpha: 0.7 }),
        Just(Algorithm::BetaThompson {
            prior_successes: 0.3,
            prior_failures: 2.0
        }),
        Just(Algorithm::LinUcb {
            dimensions: 4,
            alpha: 0.1,
            ridge: 0.3
        }),
        Just(Algorithm::LinearThompson {
            dimensions: 4,
            alpha: 0.1,
            ridge: 7.0
        }),
    ]
}

/// Decides and learns for a while; what was decided.
fn live(policy: &mut Policy, seed: u64, steps: u32) -> Vec<(usize, f64)> {
    let mut random = Random::new(seed, 0);
    let mut world = Random::new(seed, 1);
    let mut decided = Vec::new();
    for _ in 0..steps {
        let context: Vec<f64> = (0..4).map(|_| world.normal()).collect();
        let decision = policy.decide(&context, &policy.all(), &mut random).unwrap();
        policy.learn(&context, decision.arm, world.unit()).unwrap();
        decided.push((decision.arm.index(), decision.propensity));
    }
    decided
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_stored_policy_goes_on_bit_for_bit(
        algorithm in any_algorithm(),
        seed in any::<u64>(),
    ) {
        let options = PolicyOptions { algorithm, explore: 0.05 };
        let mut policy = Policy::new(options, ["a", "b", "c"]).unwrap();
        live(&mut policy, seed, 50);
        policy.add_arm("d").unwrap();
        let text = store(&policy);
        let mut loaded = load(&text).unwrap();
        prop_assert_eq!(store(&loaded), text);
        prop_assert_eq!(&loaded, &policy);
        prop_assert_eq!(live(&mut loaded, seed ^ 1, 50), live(&mut policy, seed ^ 1, 50));
        prop_assert_eq!(loaded, policy);
    }
}

fn linear() -> Policy {
    let options = PolicyOptions::new(Algorithm::LinUcb {
        dimensions: 2,
        alpha: 1.0,
        ridge: 1.0,
    });
    let mut policy = Policy::new(options, ["a", "b"]).unwrap();
    let arm = policy.arm("a").unwrap();
    policy.learn(&[1.0, 0.0], arm, 0.5).unwrap();
    policy
}

/// The published format: a change of it is a new version, and must read this one.
#[test]
fn the_format_is_what_was_published() {
    assert_eq!(
        store(&linear()),
        r#"{"format":1,"options":{"algorithm":{"kind":"lin_ucb","dimensions":2,"alpha":1.0,"ridge":1.0},"explore":0.0},"arms":[{"action":"a","count":1,"total":"0.5","linear":{"factor":"1.4142135623730951 0.0 1.0","target":"0.35355339059327373 0.0"}},{"action":"b","count":0,"total":"0.0","linear":{"factor":"1.0 0.0 1.0","target":"0.0 0.0"}}]}"#
    );
}

#[test]
fn damage_is_found_and_named() {
    let good = store(&linear());
    let cases = [
        (
            "\"format\":1",
            "\"format\":2",
            "stored policy: format is 2: this version reads 1",
        ),
        (
            "\"dimensions\":2",
            "\"dimensions\":3",
            "stored policy: arm `a` has 3 entries of the factor and 2 of the target: 3 dimensions have 6 and 3",
        ),
        (
            "1.4142135623730951",
            "NaN",
            "stored policy: arm `a` has the entry NaN: entries are finite numbers",
        ),
        (
            "1.4142135623730951",
            "0.5",
            "stored policy: arm `a` has the pivot 0.5 in column 0: with a ridge of 1 none is below 1",
        ),
        (
            "\"total\":\"0.5\"",
            "\"total\":\"inf\"",
            "stored policy: arm `a` has 1 rewards that sum to inf: the sum must be from -1e100 to 1e100",
        ),
        (
            "\"kind\":\"lin_ucb\",\"dimensions\":2,\"alpha\":1.0,\"ridge\":1.0",
            "\"kind\":\"uniform\"",
            "stored policy: arm `a` has a linear model: `uniform` has none",
        ),
        (
            ",\"linear\":{\"factor\":\"1.0 0.0 1.0\",\"target\":\"0.0 0.0\"}",
            "",
            "stored policy: arm `b` has no linear model: `lin_ucb` needs one",
        ),
        (
            "\"action\":\"b\"",
            "\"action\":\"a\"",
            "action `a` is given twice: every action has a name of its own",
        ),
        (
            "\"alpha\":1.0",
            "\"alpha\":-1.0",
            "option `alpha` is -1: it must be from 0 to 1e9",
        ),
    ];
    for (from, to, expected) in cases {
        let damaged = good.replacen(from, to, 1);
        assert_ne!(damaged, good, "{from}");
        assert_eq!(load(&damaged), Err(expected.to_owned()));
    }
    let negative = good.replace("\"count\":1", "\"count\":-1");
    assert!(
        load(&negative)
            .unwrap_err()
            .contains("invalid value: integer `-1`")
    );
    let words = good.replace("\"0.5\"", "\"half\"");
    assert!(load(&words).unwrap_err().contains("`half` is not a number"));
    let unknown = good.replacen("\"count\"", "\"pulls\"", 1);
    assert!(
        load(&unknown)
            .unwrap_err()
            .contains("unknown field `pulls`")
    );
}

#[test]
fn successes_beyond_the_count_are_refused() {
    let options = PolicyOptions::new(Algorithm::BetaThompson {
        prior_successes: 1.0,
        prior_failures: 1.0,
    });
    let mut state = PolicyState::from(&Policy::new(options, ["a"]).unwrap());
    state.arms[0].count = 3;
    state.arms[0].total = 3.5;
    let refused = Policy::try_from(&state);
    assert!(
        matches!(refused, Err(PolicyError::State { .. })),
        "{refused:?}"
    );
    state.arms[0].total = 3.0;
    assert!(Policy::try_from(&state).is_ok());
}
