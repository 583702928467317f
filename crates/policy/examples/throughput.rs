//! How many decisions a second a policy takes and learns from, on one thread: JSON lines of `case`,
//! `per_second` and what it was measured on.
//!
//! `cargo run --release -p marquetry-policy --example throughput`

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::time::Instant;

use marquetry_policy::{Algorithm, Arm, Policy, PolicyError, PolicyOptions, Random};

const DIMENSIONS: usize = 32;
const ARMS: usize = 10;
/// Contexts to cycle through, so that drawing them is not measured.
const CONTEXTS: usize = 1024;

fn main() -> Result<(), PolicyError> {
    let beta = || Algorithm::BetaThompson {
        prior_successes: 1.0,
        prior_failures: 1.0,
    };
    let lin_ucb = Algorithm::LinUcb {
        dimensions: DIMENSIONS,
        alpha: 1.0,
        ridge: 1.0,
    };
    let linear_thompson = || Algorithm::LinearThompson {
        dimensions: DIMENSIONS,
        alpha: 0.1,
        ridge: 1.0,
    };
    let epsilon_greedy = Algorithm::EpsilonGreedy {
        epsilon: 0.1,
        initial_mean: 0.0,
    };
    let softmax = Algorithm::Softmax {
        temperature: 0.1,
        initial_mean: 0.0,
    };
    let with = decide;
    let without = choose;
    measure("beta_thompson", beta(), 1_000_000, without)?;
    measure("lin_ucb", lin_ucb, 500_000, with)?;
    measure("linear_thompson", linear_thompson(), 500_000, without)?;
    measure("epsilon_greedy", epsilon_greedy, 1_000_000, with)?;
    measure("softmax", softmax, 1_000_000, with)?;
    measure("ucb1", Algorithm::Ucb1 { alpha: 1.0 }, 1_000_000, with)?;
    measure("beta_thompson with propensity", beta(), 10_000, with)?;
    measure(
        "linear_thompson with propensity",
        linear_thompson(),
        10_000,
        with,
    )
}

type Take = fn(&Policy, &[f64], &mut Random) -> Result<Arm, PolicyError>;

fn choose(policy: &Policy, context: &[f64], random: &mut Random) -> Result<Arm, PolicyError> {
    policy.choose(context, &policy.all(), random)
}

fn decide(policy: &Policy, context: &[f64], random: &mut Random) -> Result<Arm, PolicyError> {
    Ok(policy.decide(context, &policy.all(), random)?.arm)
}

/// The best of three runs of `steps` decisions, each learned from at once.
fn measure(case: &str, algorithm: Algorithm, steps: usize, take: Take) -> Result<(), PolicyError> {
    let mut random = Random::new(1, 0);
    let contexts: Vec<Vec<f64>> = (0..CONTEXTS)
        .map(|_| (0..DIMENSIONS).map(|_| random.normal() / 5.7).collect())
        .collect();
    let mut best = 0.0_f64;
    for run in 0..3 {
        let names = (0..ARMS).map(|arm| format!("action {arm}"));
        let mut policy = Policy::new(PolicyOptions::new(algorithm.clone()), names)?;
        let mut random = Random::new(2, run);
        let begun = Instant::now();
        for step in 0..steps {
            let context = &contexts[step % CONTEXTS];
            let arm = take(&policy, context, &mut random)?;
            let likely = 0.05 + 0.01 * arm.index() as f64;
            let reward = if random.unit() < likely { 1.0 } else { 0.0 };
            policy.learn(context, arm, reward)?;
        }
        best = best.max(steps as f64 / begun.elapsed().as_secs_f64());
    }
    println!(
        r#"{{"case":"{case}","per_second":{best:.0},"dimensions":{DIMENSIONS},"arms":{ARMS},"steps":{steps}}}"#
    );
    Ok(())
}
