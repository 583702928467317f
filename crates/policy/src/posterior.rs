//! What Thompson sampling believes of an arm, and draws from it.

use crate::Random;

/// The posterior of one arm's mean reward.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Posterior {
    /// Beta, of shapes above 0.
    Beta { successes: f64, failures: f64 },
    /// Gaussian, of a deviation of at least 0.
    Gaussian { mean: f64, deviation: f64 },
}

impl Posterior {
    /// A draw, on a scale that is the same for every arm of a policy and orders as the reward does:
    /// the log-odds of a Beta variate, which near 0 and 1 tell apart what the variate cannot.
    pub(crate) fn draw(&self, random: &mut Random) -> f64 {
        match *self {
            Self::Beta {
                successes,
                failures,
            } => {
                let success = random.gamma(successes);
                let failure = random.gamma(failures);
                (success.factor / failure.factor).ln() + (success.exponent - failure.exponent)
            }
            Self::Gaussian { mean, deviation } => mean + deviation * random.normal(),
        }
    }
}
