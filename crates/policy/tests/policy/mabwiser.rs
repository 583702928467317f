//! LinUCB against MABWiser, choice by choice. `fixtures/make_mabwiser.py` made the choices.

use marquetry_policy::{Algorithm, Policy, PolicyOptions, Random};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    arms: usize,
    dimensions: usize,
    worlds: Vec<World>,
}

#[derive(Deserialize)]
struct World {
    alpha: f64,
    contexts: Vec<Vec<f64>>,
    choices: Vec<usize>,
    rewards: Vec<f64>,
    scores_of_the_first_context_at_the_end: Vec<f64>,
}

/// MABWiser takes the first of equal arms and we draw among them, so where arms are equal, its choice
/// must be one of them; elsewhere it must be ours.
#[test]
fn lin_ucb_chooses_as_mabwiser_does() {
    let fixture: Fixture = serde_json::from_str(&crate::fixture("mabwiser.json")).unwrap();
    for world in &fixture.worlds {
        let options = PolicyOptions::new(Algorithm::LinUcb {
            dimensions: fixture.dimensions,
            alpha: world.alpha,
            ridge: 1.0,
        });
        let names = (0..fixture.arms).map(|arm| arm.to_string());
        let mut policy = Policy::new(options, names).unwrap();
        let everything = policy.all();
        let mut random = Random::new(1, 0);
        let mut alone = 0;
        for (step, context) in world.contexts.iter().enumerate() {
            let theirs = world.choices[step];
            let probabilities = policy.probabilities(context, &everything).unwrap();
            assert!(
                probabilities[theirs] > 0.0,
                "step {step}: {probabilities:?}"
            );
            if probabilities[theirs] == 1.0 {
                let ours = policy.decide(context, &everything, &mut random).unwrap();
                assert_eq!(ours.arm.index(), theirs, "step {step}");
                alone += 1;
            }
            let arm = everything.arms()[theirs];
            policy.learn(context, arm, world.rewards[step]).unwrap();
        }
        assert!(
            alone > world.contexts.len() - 20,
            "only {alone} without equals"
        );
        // score = mean + alpha deviation, of which the mean is known from the coefficients.
        let first = &world.contexts[0];
        let means = policy.expected_rewards(first, &everything).unwrap();
        let wide = policy
            .clone()
            .with_options(PolicyOptions::new(Algorithm::LinearThompson {
                dimensions: fixture.dimensions,
                alpha: world.alpha,
                ridge: 1.0,
            }))
            .unwrap();
        assert_eq!(wide.expected_rewards(first, &everything).unwrap(), means);
        let best = world.scores_of_the_first_context_at_the_end.iter();
        for (arm, (score, mean)) in best.zip(&means).enumerate() {
            let theta = policy
                .coefficients(everything.arms()[arm])
                .unwrap()
                .unwrap();
            let by_theta: f64 = theta.iter().zip(first).map(|(t, x)| t * x).sum();
            assert!((by_theta - mean).abs() < 1e-12, "arm {arm}");
            let deviation = (score - mean) / world.alpha;
            assert!(
                (deviation - posterior_deviation(world, arm, first)).abs() < 1e-9,
                "arm {arm}: {deviation}"
            );
        }
    }
}

/// sqrt(x' A^-1 x), by conjugate gradients on the rows that an arm was rewarded on.
fn posterior_deviation(world: &World, arm: usize, x: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let multiply = |v: &[f64]| {
        let mut product = v.to_vec();
        for (context, choice) in world.contexts.iter().zip(&world.choices) {
            if *choice == arm {
                let along = dot(context, v);
                for (sum, entry) in product.iter_mut().zip(context) {
                    *sum += along * entry;
                }
            }
        }
        product
    };
    let mut solution = vec![0.0; x.len()];
    let mut residual = x.to_vec();
    let mut direction = x.to_vec();
    for _ in 0..100 {
        let norm = dot(&residual, &residual);
        if norm < 1e-28 {
            break;
        }
        let product = multiply(&direction);
        let step = norm / dot(&direction, &product);
        for index in 0..x.len() {
            solution[index] += step * direction[index];
            residual[index] -= step * product[index];
        }
        let ratio = dot(&residual, &residual) / norm;
        for index in 0..x.len() {
            direction[index] = residual[index] + ratio * direction[index];
        }
    }
    dot(x, &solution).sqrt()
}
