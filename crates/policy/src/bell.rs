//! The density of one arm's posterior, cut into panels on which it is nearly a polynomial.
//!
//! Gaussian posteriors are taken as they are. Beta posteriors are taken by their log-odds
//! t = ln(x / (1 - x)), in which the density is smooth and log-concave for any shapes, where the one in
//! x has poles at 0 and 1 for shapes below 1. Densities are computed relative to their mode, so that
//! they keep their digits for shapes of a billion.

use crate::posterior::Posterior;

/// Where panels end, in deviations of a Gaussian. Beyond the last the density is below e^-45 of its
/// mode, and so is what lies there of the distribution, nearly.
const MARKS: [f64; 5] = [1.9, 3.8, 5.7, 7.6, 9.5];

/// Where panels of log-odds end besides. The logarithm of 1 + e^t has its singularities at plus and minus
/// pi i, so that around 0 panels are narrow, and farther out no wider than some times their distance.
const CORNERS: [f64; 8] = [1.5, 5.0, 13.0, 35.0, 93.0, 250.0, 660.0, 1750.0];

/// Panels of a density: five on each side of the mode.
const PANELS: usize = 2 * MARKS.len();

/// A density with one mode.
#[derive(Debug, Clone)]
pub(crate) struct Bell {
    mode: f64,
    height: f64,
    shape: Shape,
    /// The ends of its panels, ascending.
    edges: [f64; PANELS + 1],
}

#[derive(Debug, Clone, Copy)]
enum Shape {
    Gaussian { deviation: f64 },
    LogOdds(LogOdds),
}

/// A Beta distribution of log-odds.
#[derive(Debug, Clone, Copy)]
struct LogOdds {
    /// ln(successes / failures)
    mode: f64,
    successes: f64,
    failures: f64,
    /// successes + failures
    total: f64,
}

impl Bell {
    /// The density of a posterior; none of a Gaussian without spread. Gaussian means are taken
    /// relative to `origin`.
    pub(crate) fn new(posterior: Posterior, origin: f64) -> Option<Self> {
        match posterior {
            Posterior::Gaussian { mean, deviation } => {
                let mode = mean - origin;
                // Less than that is less than the position can resolve.
                if deviation <= mode.abs() * 1e-12 || deviation < 1e-290 {
                    return None;
                }
                let height = 1.0 / (deviation * (2.0 * std::f64::consts::PI).sqrt());
                Some(Self::with(
                    mode,
                    height,
                    Shape::Gaussian { deviation },
                    |mark| mark * deviation,
                ))
            }
            Posterior::Beta {
                successes,
                failures,
            } => {
                let total = successes + failures;
                let mode = (successes / failures).ln();
                let shape = LogOdds {
                    mode,
                    successes,
                    failures,
                    total,
                };
                // B(a, b) over its integrand's mode, from Stirling's series of the gamma functions
                // with the large parts taken out.
                let gaussian = 2.0 * std::f64::consts::PI * (1.0 / successes + 1.0 / failures);
                let mass = gaussian.sqrt()
                    * (stirling(successes) + stirling(failures) - stirling(total)).exp();
                Some(Self::with(
                    mode,
                    1.0 / mass,
                    Shape::LogOdds(shape),
                    |mark| shape.mark(mark),
                ))
            }
        }
    }

    fn with(mode: f64, height: f64, shape: Shape, distance: impl Fn(f64) -> f64) -> Self {
        let mut edges = [mode; PANELS + 1];
        for (index, mark) in MARKS.iter().enumerate() {
            edges[MARKS.len() - 1 - index] = mode + distance(-mark);
            edges[MARKS.len() + 1 + index] = mode + distance(*mark);
        }
        Self {
            mode,
            height,
            shape,
            edges,
        }
    }

    /// The density `offset` beyond `t`, in two parts because floats are finer near 0 than near `t`.
    pub(crate) fn density(&self, t: f64, offset: f64) -> f64 {
        let distance = (t - self.mode) + offset;
        let logarithm = match &self.shape {
            Shape::Gaussian { deviation } => {
                let scaled = distance / deviation;
                -0.5 * scaled * scaled
            }
            Shape::LogOdds(shape) => shape.log_density(distance).0,
        };
        self.height * logarithm.exp()
    }

    /// Where the distribution begins, for all that matters.
    pub(crate) const fn low(&self) -> f64 {
        self.edges[0]
    }

    /// Where it ends.
    pub(crate) const fn high(&self) -> f64 {
        self.edges[PANELS]
    }

    /// How far a panel that begins at `t` may go: no farther than the panel of this density around `t`
    /// is wide, nor the next one, and after a narrow one not at once.
    pub(crate) fn reach(&self, t: f64) -> f64 {
        let panel = self.edges.iter().take_while(|edge| **edge <= t).count();
        let Some(end) = self.edges.get(panel) else {
            return f64::INFINITY;
        };
        let to = if panel == 0 {
            self.edges[1]
        } else {
            let start = self.edges[panel - 1];
            let width = end - start;
            let next = self.edges.get(panel + 1).map_or(width, |after| after - end);
            let before = if panel == 1 {
                width
            } else {
                start - self.edges[panel - 2]
            };
            let step = width.min(next).min(before.max(t - start) * 1.5);
            // However panels came out, a walk ends.
            t + step.max(1e-5 * (self.high() - self.low()))
        };
        match self.shape {
            Shape::Gaussian { .. } => to,
            Shape::LogOdds(_) => to.min(next_corner(t)),
        }
    }
}

fn next_corner(t: f64) -> f64 {
    if t < -CORNERS[0] {
        let left = CORNERS.iter().rev().map(|corner| -corner);
        return left
            .into_iter()
            .find(|corner| *corner > t)
            .unwrap_or(f64::INFINITY);
    }
    let mut right = CORNERS.iter().copied();
    right.find(|corner| *corner > t).unwrap_or(f64::INFINITY)
}

impl LogOdds {
    /// The logarithm of the density `distance` from the mode, over that at the mode, and its slope:
    /// a s - n ln(1 + a/n (e^s - 1)), or the same with both sides exchanged. On either side of even
    /// odds one of them neither overflows nor is a small difference of large numbers.
    fn log_density(&self, distance: f64) -> (f64, f64) {
        let even = distance > -self.mode;
        let (along, away) = if even {
            (self.failures, -distance)
        } else {
            (self.successes, distance)
        };
        let grown = along / self.total * away.exp_m1();
        let logarithm = along * away - self.total * grown.ln_1p();
        let slope = along - (along + self.total * grown) / (1.0 + grown);
        (logarithm, if even { -slope } else { slope })
    }

    /// Where the density has fallen to that of a Gaussian `mark` deviations from its mode, on the side
    /// of the mark's sign; about there, and not before.
    fn mark(&self, mark: f64) -> f64 {
        let level = -0.5 * mark * mark;
        let mut distance = mark * (1.0 / self.successes + 1.0 / self.failures).sqrt();
        // The logarithm is concave, so that Newton's method comes to rest from outside. Panels may end
        // anywhere about there.
        for _ in 0..64 {
            let (logarithm, slope) = self.log_density(distance);
            let step = (logarithm - level) / slope;
            if !step.is_finite() {
                break;
            }
            distance -= step;
            if step.abs() < 0.02 * distance.abs() {
                break;
            }
        }
        distance
    }
}

/// What Stirling's formula leaves of ln gamma(x): ln gamma(x) - (x - 1/2) ln x + x - ln(2 pi) / 2
/// (M. Abramowitz and I. Stegun, 6.1.41), to about 1e-15.
fn stirling(x: f64) -> f64 {
    let (mut x, mut sum) = (x, 0.0);
    while x < 12.0 {
        sum += (x + 0.5) * (1.0 / x).ln_1p() - 1.0;
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    let series = 1.0 / 12.0
        - square
            * (1.0 / 360.0 - square * (1.0 / 1260.0 - square * (1.0 / 1680.0 - square / 1188.0)));
    sum + series / x
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quadrature::RULE;

    fn mass(bell: &Bell) -> f64 {
        let rule = &*RULE;
        let (mut at, mut mass) = (bell.low(), 0.0);
        while at < bell.high() {
            let to = bell.reach(at).min(bell.high());
            let half = 0.5 * (to - at);
            for (x, weight) in rule.points.iter().zip(&rule.weights) {
                mass += half * weight * bell.density(at, half + half * x);
            }
            at = to;
        }
        mass
    }

    #[test]
    fn every_density_has_mass_one() {
        let shapes = [0.01, 0.1, 0.5, 1.0, 3.7, 40.0, 1e3, 1e6, 1e9];
        for successes in shapes {
            for failures in shapes {
                let posterior = Posterior::Beta {
                    successes,
                    failures,
                };
                let mass = mass(&Bell::new(posterior, 0.0).unwrap());
                assert!((mass - 1.0).abs() < 1e-11, "{successes} {failures}: {mass}");
            }
        }
        let gaussian = Posterior::Gaussian {
            mean: 1e6,
            deviation: 3.0,
        };
        assert!((mass(&Bell::new(gaussian, 1e6).unwrap()) - 1.0).abs() < 1e-13);
    }

    #[test]
    fn the_remainder_of_stirling_is_that_of_known_factorials() {
        // ln gamma of 1 and 2 is 0, of 1/2 ln(pi) / 2.
        let half_log_two_pi = 0.5 * (2.0 * std::f64::consts::PI).ln();
        assert!((stirling(1.0) - (1.0 - half_log_two_pi)).abs() < 1e-14);
        let two = -1.5 * 2.0_f64.ln() + 2.0 - half_log_two_pi;
        assert!((stirling(2.0) - two).abs() < 1e-14);
        assert!((stirling(0.5) - 0.5 * (1.0 - 2.0_f64.ln())).abs() < 1e-14);
    }

    #[test]
    fn panels_ascend_and_reach_beyond_what_matters() {
        for (successes, failures) in [(0.01, 0.01), (0.01, 1e9), (2.0, 30.0), (1e9, 1e9)] {
            let posterior = Posterior::Beta {
                successes,
                failures,
            };
            let bell = Bell::new(posterior, 0.0).unwrap();
            assert!(
                bell.edges.is_sorted_by(|left, right| left < right),
                "{bell:?}"
            );
            let edge = bell
                .density(bell.high(), 0.0)
                .max(bell.density(bell.low(), 0.0));
            assert!(edge <= bell.height * 1e-19, "{bell:?}");
        }
    }
}
