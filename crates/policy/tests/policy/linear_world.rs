//! How well the linear policies learn, in the world in which the house measures it.

use marquetry_policy::{Algorithm, Policy, PolicyOptions, Random};

const DIMENSIONS: usize = 20;
const ARMS: usize = 10;

/// Arms and contexts uniform on the unit sphere, reward theta_a . x + 0.1 N(0, 1).
struct World {
    thetas: Vec<Vec<f64>>,
    random: Random,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, 0);
        let thetas = (0..ARMS).map(|_| sphere(&mut random)).collect();
        Self { thetas, random }
    }

    fn mean(&self, arm: usize, context: &[f64]) -> f64 {
        let terms = self.thetas[arm].iter().zip(context);
        terms.map(|(theta, x)| theta * x).sum()
    }
}

fn sphere(random: &mut Random) -> Vec<f64> {
    let mut x: Vec<f64> = (0..DIMENSIONS).map(|_| random.normal()).collect();
    let norm = x.iter().map(|value| value * value).sum::<f64>().sqrt();
    for value in &mut x {
        *value /= norm;
    }
    x
}

/// What a policy loses to the best arm over `steps` decisions.
fn regret(algorithm: Algorithm, steps: usize, seed: u64) -> f64 {
    let mut world = World::new(seed);
    let names = (0..ARMS).map(|arm| format!("arm {arm}"));
    let mut policy = Policy::new(PolicyOptions::new(algorithm), names).unwrap();
    let everything = policy.all();
    let mut random = Random::new(seed, 1);
    let mut lost = 0.0;
    for _ in 0..steps {
        let context = sphere(&mut world.random);
        let arm = policy.choose(&context, &everything, &mut random).unwrap();
        let best = (0..ARMS).map(|arm| world.mean(arm, &context));
        let mean = world.mean(arm.index(), &context);
        lost += best.fold(f64::NEG_INFINITY, f64::max) - mean;
        let reward = mean + 0.1 * world.random.normal();
        policy.learn(&context, arm, reward).unwrap();
    }
    lost
}

fn mean_regret(algorithm: &Algorithm, steps: usize) -> f64 {
    let regrets = (1..=5).map(|seed| regret(algorithm.clone(), steps, seed));
    regrets.sum::<f64>() / 5.0
}

/// The textbook's LinUCB reaches 102 +- 5.
#[test]
fn lin_ucb_regrets_at_most_110_in_100_000_decisions() {
    let algorithm = Algorithm::LinUcb {
        dimensions: DIMENSIONS,
        alpha: 1.0,
        ridge: 1.0,
    };
    let regret = mean_regret(&algorithm, 100_000);
    assert!(regret > 80.0 && regret <= 110.0, "{regret}");
}

/// The textbook's linear Thompson sampling reaches 151 +- 5.
#[test]
fn linear_thompson_regrets_at_most_160_in_100_000_decisions() {
    let algorithm = Algorithm::LinearThompson {
        dimensions: DIMENSIONS,
        alpha: 0.1,
        ridge: 1.0,
    };
    let regret = mean_regret(&algorithm, 100_000);
    assert!(regret > 120.0 && regret <= 160.0, "{regret}");
}

#[test]
fn uniform_choices_regret_the_whole_difference() {
    // The best of ten arms is about 1.5 / sqrt(20) above the mean arm, a decision.
    let regret = mean_regret(&Algorithm::Uniform {}, 2000);
    assert!(regret > 0.25 * 2000.0, "{regret}");
}
