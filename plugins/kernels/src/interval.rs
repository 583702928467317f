//! Intervals that hold a proportion or a mean as often as they say.

use crate::Moments;

/// The 97.5 % quantile of the standard normal distribution: intervals of so many standard errors hold 95
/// times in 100.
pub const Z_95: f64 = 1.959_963_984_540_054;

/// An interval, its ends included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The 95 % score interval of a proportion: [`wilson_at`] of counts.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub fn wilson(successes: usize, trials: usize) -> Option<Interval> {
    wilson_at(successes as f64, trials as f64, Z_95)
}

/// The score interval of a proportion, `z` standard errors wide, within 0 to 1; none of no trials.
///
/// E. Wilson, *Probable inference, the law of succession, and statistical inference*, 1927: unlike the
/// normal interval it holds near 0 and 1 and for few trials. Without a correction for continuity, as
/// `proportion_confint(method="wilson")` of statsmodels and `binomtest(...).proportion_ci("wilson")`
/// of SciPy.
#[must_use]
pub fn wilson_at(successes: f64, trials: f64, z: f64) -> Option<Interval> {
    if trials <= 0.0 {
        return None;
    }
    let share = successes / trials;
    let square = z * z / trials;
    let centre = share + square / 2.0;
    let spread = share * (1.0 - share) / trials + square / (4.0 * trials);
    let half = z * spread.max(0.0).sqrt();
    // Of none and of all the ends are exact, whatever was rounded.
    let low = if share <= 0.0 { 0.0 } else { centre - half };
    let high = if share >= 1.0 {
        1.0
    } else {
        (centre + half) / (1.0 + square)
    };
    Some(Interval {
        low: (low / (1.0 + square)).max(0.0),
        high: high.min(1.0),
    })
}

/// The 95 % normal interval of a mean, 1.96 standard errors either way; none of fewer than two numbers.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub fn mean_interval(moments: &Moments) -> Option<Interval> {
    let error = moments.sample_std()? / (moments.count as f64).sqrt();
    Some(normal_at(moments.mean, error, Z_95))
}

/// The normal interval of a mean with that standard error, `z` of them either way.
#[must_use]
pub fn normal_at(mean: f64, error: f64, z: f64) -> Interval {
    Interval {
        low: mean - z * error,
        high: mean + z * error,
    }
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
        let half = Z_95 * (4.0_f64 / 5.0).sqrt();
        assert!((interval.low - (3.0 - half)).abs() < 1e-12, "{interval:?}");
        assert!((interval.high - (3.0 + half)).abs() < 1e-12, "{interval:?}");
        assert_eq!(mean_interval(&Moments::of(&[1.0])), None);
    }
}
