//! Gauss-Legendre quadrature of 16 points on a panel, and the running integral at its points.

use std::sync::LazyLock;

/// Points of a panel: polynomials up to degree 31 are integrated exactly.
pub(crate) const POINTS: usize = 16;

/// The rule on [-1, 1].
pub(crate) struct Rule {
    pub(crate) points: [f64; POINTS],
    pub(crate) weights: [f64; POINTS],
    /// For function values at the points, row i gives the integral from -1 to point i of the
    /// polynomial through them.
    pub(crate) running: [[f64; POINTS]; POINTS],
}

/// The rule, computed once.
pub(crate) static RULE: LazyLock<Rule> = LazyLock::new(|| {
    let (mut points, mut weights) = ([0.0; POINTS], [0.0; POINTS]);
    for (index, (point, weight)) in points.iter_mut().zip(&mut weights).enumerate() {
        // Newton's method from Tricomi's estimate of the root.
        #[expect(clippy::cast_precision_loss, reason = "16")]
        let angle = (POINTS as f64 - index as f64 - 0.25) / (POINTS as f64 + 0.5);
        let mut x = (std::f64::consts::PI * angle).cos();
        let mut slope = 1.0;
        for _ in 0..8 {
            let values = legendre(x);
            #[expect(clippy::cast_precision_loss, reason = "16")]
            let degree = POINTS as f64;
            slope = degree * (x * values[POINTS] - values[POINTS - 1]) / (x * x - 1.0);
            x -= values[POINTS] / slope;
        }
        *point = x;
        *weight = 2.0 / ((1.0 - x * x) * slope * slope);
    }
    // The interpolant's Legendre coefficients are exact by the rule itself, and
    // (2k + 1) P_k integrates to P_(k+1) - P_(k-1).
    let values = points.map(legendre);
    let mut running = [[0.0; POINTS]; POINTS];
    for i in 0..POINTS {
        for j in 0..POINTS {
            let mut sum = 0.5 * (points[i] + 1.0);
            for k in 1..POINTS {
                sum += 0.5 * values[j][k] * (values[i][k + 1] - values[i][k - 1]);
            }
            running[i][j] = weights[j] * sum;
        }
    }
    Rule {
        points,
        weights,
        running,
    }
});

/// The Legendre polynomials of degree 0 to 16 at `x`, by their recurrence.
fn legendre(x: f64) -> [f64; POINTS + 1] {
    let mut values = [1.0; POINTS + 1];
    values[1] = x;
    let mut degree = 1.0;
    for k in 1..POINTS {
        values[k + 1] =
            ((2.0 * degree + 1.0) * x * values[k] - degree * values[k - 1]) / (degree + 1.0);
        degree += 1.0;
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polynomials_are_integrated_exactly() {
        let rule = &*RULE;
        assert!(rule.points.is_sorted());
        assert!((rule.weights.iter().sum::<f64>() - 2.0).abs() < 1e-14);
        let pairs = rule.points.iter().zip(&rule.weights);
        let square: f64 = pairs.map(|(x, weight)| weight * x.powi(30)).sum();
        assert!((square - 2.0 / 31.0).abs() < 1e-14);
    }

    #[test]
    fn the_running_integral_is_that_of_the_exponential() {
        let rule = &*RULE;
        for (point, row) in rule.points.iter().zip(&rule.running) {
            let terms = row.iter().zip(&rule.points);
            let integral: f64 = terms.map(|(weight, x)| weight * x.exp()).sum();
            let expected = point.exp() - (-1.0_f64).exp();
            assert!((integral - expected).abs() < 1e-14, "{point}");
        }
    }
}
