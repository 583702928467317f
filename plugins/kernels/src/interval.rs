//! Confidence intervals of shares and means.

/// The interval of a share by E. Wilson (1927): `successes` of `trials`, `z` standard deviations wide (1.96
/// for 95 %). It stays within 0 and 1 and is sensible for few trials; none of no trials.
#[must_use]
pub fn wilson(successes: f64, trials: f64, z: f64) -> Option<(f64, f64)> {
    if trials <= 0.0 {
        return None;
    }
    let share = successes / trials;
    let square = z * z / trials;
    let centre = (share + square / 2.0) / (1.0 + square);
    let spread = share * (1.0 - share) / trials + square / (4.0 * trials);
    let half = z * spread.max(0.0).sqrt() / (1.0 + square);
    // Of none and of all the ends are exact, whatever was rounded.
    let low = if successes <= 0.0 { 0.0 } else { centre - half };
    let high = if successes >= trials {
        1.0
    } else {
        centre + half
    };
    Some((low.max(0.0), high.min(1.0)))
}

/// The normal interval of a mean from the sum and the sum of squares of `count` values; none of fewer than
/// two.
#[must_use]
pub fn normal(count: f64, sum: f64, squares: f64, z: f64) -> Option<(f64, f64)> {
    if count < 2.0 {
        return None;
    }
    let mean = sum / count;
    let variance = ((squares - sum * mean) / (count - 1.0)).max(0.0);
    let half = z * (variance / count).sqrt();
    Some((mean - half, mean + half))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: Option<(f64, f64)>, expected: (f64, f64)) {
        let (low, high) = found.unwrap();
        let error = (low - expected.0).abs().max((high - expected.1).abs());
        assert!(error < 1e-9, "{low} {high}");
    }

    // SciPy 1.17.1, binomtest(8, 10).proportion_ci(method="wilson").
    #[test]
    fn shares_have_the_interval_of_wilson() {
        let z = 1.959_963_984_540_054;
        near(
            wilson(8.0, 10.0, z),
            (0.490_162_471_536_641_8, 0.943_317_848_545_624_8),
        );
        near(wilson(0.0, 10.0, z), (0.0, 0.277_532_799_862_889_2));
        assert_eq!(wilson(0.0, 0.0, z), None);
    }

    #[test]
    fn means_have_the_normal_interval() {
        // Of 1, 2, 3: mean 2, variance 1.
        let half = 1.96 * (1.0_f64 / 3.0).sqrt();
        near(normal(3.0, 6.0, 14.0, 1.96), (2.0 - half, 2.0 + half));
        assert_eq!(normal(1.0, 6.0, 36.0, 1.96), None);
    }
}
