//! Intervals that hold a proportion or a mean 95 times in 100.

use crate::Moments;

/// The 97.5 % quantile of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// An interval, its ends included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The 95 % score interval of a proportion, within 0 to 1; none of no trials.
///
/// E. Wilson, *Probable inference, the law of succession, and statistical inference*, 1927: unlike the
/// normal interval it holds near 0 and 1 and for few trials. Without a correction for continuity, as
/// `proportion_confint(method="wilson")` of statsmodels and `binomtest(...).proportion_ci("wilson")`
/// of SciPy.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub fn wilson(successes: usize, trials: usize) -> Option<Interval> {
    if trials == 0 {
        return None;
    }
    let count = trials as f64;
    let share = successes as f64 / count;
    let shrink = 1.0 + Z * Z / count;
    let centre = (share + Z * Z / (2.0 * count)) / shrink;
    let half = Z / shrink * (share * (1.0 - share) / count + Z * Z / (4.0 * count * count)).sqrt();
    Some(Interval {
        low: (centre - half).max(0.0),
        high: (centre + half).min(1.0),
    })
}

/// The 95 % normal interval of a mean, 1.96 standard errors either way; none of fewer than two numbers.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub fn mean_interval(moments: &Moments) -> Option<Interval> {
    let half = Z * moments.sample_std()? / (moments.count as f64).sqrt();
    Some(Interval {
        low: moments.mean - half,
        high: moments.mean + half,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proportion_has_scipys_interval() {
        // scipy 1.17.1: binomtest(7, 20).proportion_ci(0.95, "wilson"), and of 0 and 20 of 20.
        let interval = wilson(7, 20).unwrap();
        assert!(
            (interval.low - 0.1811918241010821).abs() < 1e-12,
            "{interval:?}"
        );
        assert!(
            (interval.high - 0.5671457233147637).abs() < 1e-12,
            "{interval:?}"
        );
        let none = wilson(0, 20).unwrap();
        assert!(
            none.low == 0.0 && (none.high - 0.16112515805281935).abs() < 1e-12,
            "{none:?}"
        );
        let all = wilson(20, 20).unwrap();
        assert!(
            all.high == 1.0 && (all.low - (1.0 - 0.16112515805281935)).abs() < 1e-12,
            "{all:?}"
        );
        assert_eq!(wilson(0, 0), None);
    }

    #[test]
    fn a_mean_needs_two_numbers_for_an_interval() {
        // Four squares of 4 between them: a sample variance of 4.
        let interval = mean_interval(&Moments::of(&[1.0, 1.0, 5.0, 5.0, 3.0])).unwrap();
        let half = Z * (4.0_f64 / 5.0).sqrt();
        assert!((interval.low - (3.0 - half)).abs() < 1e-12, "{interval:?}");
        assert!((interval.high - (3.0 + half)).abs() < 1e-12, "{interval:?}");
        assert_eq!(mean_interval(&Moments::of(&[1.0])), None);
    }
}
