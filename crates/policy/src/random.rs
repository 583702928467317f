//! Draws from a seed that stay the same in every version of every dependency.
//!
//! ChaCha8 is a published stream; what is made of its words is made here, because the conversions of
//! `rand` and `rand_distr` may change with their versions. Logarithms and exponentials are the
//! platform's, so that draws of a normal or a gamma variate may differ between platforms in the last
//! bit.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::ziggurat;

/// 2^-53: the step of the evenly spaced numbers on [0, 1) that a float holds exactly.
const UNIT_STEP: f64 = 1.0 / 9_007_199_254_740_992.0;

/// A stream of draws from a seed.
#[derive(Debug, Clone)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// The stream numbered `stream` of a seed. Streams of one seed are independent: give each customer
    /// or each replicate one of its own, and a result does not depend on who came before.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(stream);
        Self(generator)
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform on [0, 1), of the 2^53 evenly spaced numbers.
    pub fn unit(&mut self) -> f64 {
        unit_of(self.word())
    }

    /// Uniform on 0..`bound`, exactly; 0 for a bound of 0. By multiplication and rejection
    /// (D. Lemire, *Fast random integer generation in an interval*, 2019).
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = bound as u64;
        if bound < 2 {
            return 0;
        }
        loop {
            let product = u128::from(self.word()) * u128::from(bound);
            #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
            let low = product as u64;
            if low >= bound || low >= bound.wrapping_neg() % bound {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "the upper half is below a bound that was a usize"
                )]
                return (product >> 64) as usize;
            }
        }
    }

    /// A standard normal variate, by the ziggurat of Marsaglia and Tsang (2000) in the form of
    /// J. Doornik, *An improved ziggurat method*, 2005.
    pub fn normal(&mut self) -> f64 {
        ziggurat::normal(self)
    }

    /// A gamma variate of a shape above 0 and scale 1, as `factor * exp(exponent)`.
    ///
    /// By G. Marsaglia and W. Tsang, *A simple method for generating gamma variables*, 2000. A shape
    /// below 1 is one above it times U^(1/shape), which underflows for small shapes: so it comes
    /// apart, and callers compare logarithms.
    pub(crate) fn gamma(&mut self, shape: f64) -> Gamma {
        if shape < 1.0 {
            // In (0, 1], so that the logarithm is finite.
            let unit = 1.0 - self.unit();
            return Gamma {
                factor: self.gamma_from_one(shape + 1.0),
                exponent: unit.ln() / shape,
            };
        }
        Gamma {
            factor: self.gamma_from_one(shape),
            exponent: 0.0,
        }
    }

    fn gamma_from_one(&mut self, shape: f64) -> f64 {
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let root = 1.0 + c * x;
            if root <= 0.0 {
                continue;
            }
            let v = root * root * root;
            let unit = 1.0 - self.unit();
            let square = x * x;
            if unit < 1.0 - 0.0331 * square * square
                || unit.ln() < 0.5 * square + d * (1.0 - v + v.ln())
            {
                return d * v;
            }
        }
    }
}

/// A gamma variate in two parts: `factor * exp(exponent)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gamma {
    pub(crate) factor: f64,
    pub(crate) exponent: f64,
}

/// The upper 53 bits of a word as a number on [0, 1).
pub(crate) fn unit_of(word: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a float exactly")]
    let numerator = (word >> 11) as f64;
    numerator * UNIT_STEP
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normal;

    #[test]
    fn a_seed_names_its_draws() {
        let mut random = Random::new(7, 0);
        let drawn: Vec<usize> = (0..5).map(|_| random.below(1000)).collect();
        // Fixed forever: logged decisions are reproduced from their seeds.
        assert_eq!(drawn, [157, 167, 704, 726, 601]);
        assert!((Random::new(7, 0).normal() - -0.178_768_657_715_932).abs() < 1e-14);
    }

    #[test]
    fn integers_are_fair() {
        let mut random = Random::new(1, 0);
        let mut counts = [0_u32; 7];
        for _ in 0..70_000 {
            counts[random.below(7)] += 1;
        }
        // 10,000 expected, standard deviation 93.
        assert!(
            counts.iter().all(|count| count.abs_diff(10_000) < 470),
            "{counts:?}"
        );
        assert_eq!((random.below(0), random.below(1)), (0, 0));
    }

    /// The largest distance between the empirical and a given distribution function
    /// (Kolmogorov-Smirnov), times the root of the size: above 1.95 with probability 0.001.
    fn kolmogorov(mut draws: Vec<f64>, cdf: impl Fn(f64) -> f64) -> f64 {
        draws.sort_by(f64::total_cmp);
        let size = draws.len() as f64;
        let distance = draws.iter().enumerate().map(|(rank, draw)| {
            let expected = cdf(*draw);
            let (below, above) = (rank as f64 / size, (rank + 1) as f64 / size);
            (expected - below).abs().max((above - expected).abs())
        });
        distance.fold(0.0, f64::max) * size.sqrt()
    }

    #[test]
    fn normal_draws_are_normal_in_body_and_tail() {
        let mut random = Random::new(3, 0);
        let draws: Vec<f64> = (0..1_000_000).map(|_| random.normal()).collect();
        // 2 P(Z > 3.7) = 2.156e-4, in the tail that the ziggurat's base layer draws.
        let tail = draws.iter().filter(|draw| draw.abs() > 3.7).count();
        assert!(tail.abs_diff(216) < 60, "{tail}");
        let distance = kolmogorov(draws, normal::cdf);
        assert!(distance < 1.95, "{distance}");
    }

    #[test]
    fn gamma_draws_have_the_distribution_of_their_shape() {
        type Cdf = fn(f64) -> f64;
        // Known in closed form: shape 1 is exponential, shape 2 a sum of two of them, and shape 1/2
        // half of a squared normal.
        let cases: [(f64, Cdf); 3] = [
            (1.0, |x| 1.0 - (-x).exp()),
            (2.0, |x| 1.0 - (1.0 + x) * (-x).exp()),
            (0.5, |x| 2.0 * normal::cdf((2.0 * x).sqrt()) - 1.0),
        ];
        for (shape, cdf) in cases {
            let mut random = Random::new(4, 0);
            let draws = (0..200_000).map(|_| {
                let drawn = random.gamma(shape);
                drawn.factor * drawn.exponent.exp()
            });
            let distance = kolmogorov(draws.collect(), cdf);
            assert!(distance < 1.95, "shape {shape}: {distance}");
        }
    }

    #[test]
    fn small_shapes_do_not_underflow() {
        let mut random = Random::new(5, 0);
        for _ in 0..10_000 {
            let drawn = random.gamma(0.01);
            assert!(drawn.factor > 0.0 && drawn.exponent.is_finite());
        }
    }
}
