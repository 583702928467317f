//! The bias-corrected and accelerated bootstrap of B. Efron, *Better bootstrap confidence intervals*,
//! 1987; B. Efron and R. Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 14.

use super::Interval;
use super::estimate::Terms;
use crate::{Random, normal};

/// The interval of at least two terms.
pub(super) fn bca(terms: &Terms, replicates: usize, seed: u64, level: f64) -> Interval {
    let value = terms.value();
    let mut values = resample(terms, replicates, seed);
    values.sort_by(f64::total_cmp);
    let (Some(least), Some(largest)) = (values.first(), values.last()) else {
        return Interval {
            low: value,
            high: value,
        };
    };
    if least == largest {
        return Interval {
            low: *least,
            high: *largest,
        };
    }
    let bias = bias_correction(&values, value);
    let acceleration = acceleration(terms);
    let end = |share: f64| {
        let shifted = bias + normal::quantile(share);
        let z = bias + shifted / (1.0 - acceleration * shifted);
        quantile(&values, normal::cdf(z))
    };
    let risk = 0.5 * (1.0 - level);
    Interval {
        low: end(risk),
        high: end(1.0 - risk),
    }
}

/// The estimates of resamples with replacement. A ratio whose denominators were all drawn as 0 is left
/// out.
fn resample(terms: &Terms, replicates: usize, seed: u64) -> Vec<f64> {
    let rows = terms.len();
    #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
    let count = rows as f64;
    let mut random = Random::new(seed, 0);
    let mut values = Vec::with_capacity(replicates);
    for _ in 0..replicates {
        let mut sum = 0.0;
        match &terms.denominators {
            None => {
                for _ in 0..rows {
                    sum += terms.terms[random.below(rows)];
                }
                values.push(sum / count);
            }
            Some(denominators) => {
                let mut over = 0.0;
                for _ in 0..rows {
                    let row = random.below(rows);
                    sum += terms.terms[row];
                    over += denominators[row];
                }
                if over > 0.0 {
                    values.push(sum / over);
                }
            }
        }
    }
    values
}

/// The normal quantile of the share of replicates below the estimate, equal ones by half.
fn bias_correction(sorted: &[f64], value: f64) -> f64 {
    let below = sorted.partition_point(|replicate| *replicate < value);
    let up_to = sorted.partition_point(|replicate| *replicate <= value);
    #[expect(clippy::cast_precision_loss, reason = "at most a million")]
    let (count, rank) = (sorted.len() as f64, 0.5 * (below + up_to) as f64);
    let share = rank / count;
    // One beyond all replicates is not infinitely far.
    normal::quantile(share.clamp(0.5 / count, 1.0 - 0.5 / count))
}

/// A sixth of the skewness of the jackknife's influences.
fn acceleration(terms: &Terms) -> f64 {
    let influences: Vec<f64> = match &terms.denominators {
        // Leaving out a term moves a mean by its difference from it.
        None => {
            let mean = terms.value();
            terms.terms.iter().map(|term| term - mean).collect()
        }
        Some(denominators) => {
            let (sum, over): (f64, f64) = (terms.terms.iter().sum(), denominators.iter().sum());
            let value = sum / over;
            let rows = terms.terms.iter().zip(denominators);
            let without = rows.map(|(term, denominator)| {
                let left = over - denominator;
                if left > 0.0 {
                    (sum - term) / left
                } else {
                    value
                }
            });
            let without: Vec<f64> = without.collect();
            #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
            let mean = without.iter().sum::<f64>() / without.len() as f64;
            without.iter().map(|estimate| mean - estimate).collect()
        }
    };
    let scale = influences.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    if scale == 0.0 {
        return 0.0;
    }
    let (mut squares, mut cubes) = (0.0, 0.0);
    for influence in influences {
        let scaled = influence / scale;
        squares += scaled * scaled;
        cubes += scaled * scaled * scaled;
    }
    cubes / (6.0 * squares.powf(1.5))
}

/// The number of rank `share` (B + 1) of B sorted ones, between the two nearest in proportion: with that
/// rank, few replicates cover as often as many.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len() - 1;
    #[expect(clippy::cast_precision_loss, reason = "at most a million")]
    let position = (share * (last + 2) as f64 - 1.0).clamp(0.0, last as f64);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and a length"
    )]
    let below = (position.floor() as usize).min(last);
    let above = (below + 1).min(last);
    sorted[below] + (position - position.floor()) * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_of(terms: Vec<f64>) -> Terms {
        Terms {
            terms,
            denominators: None,
        }
    }

    #[test]
    fn equal_terms_are_a_point() {
        let found = bca(&mean_of(vec![0.5; 10]), 200, 1, 0.95);
        assert_eq!((found.low, found.high), (0.5, 0.5));
    }

    #[test]
    fn skewed_terms_shift_the_interval_to_their_tail() {
        // One large term in ten.
        let terms: Vec<f64> = (0..100)
            .map(|i| if i % 10 == 0 { 10.0 } else { 0.1 })
            .collect();
        let terms = mean_of(terms);
        let found = bca(&terms, 4000, 1, 0.95);
        let value = terms.value();
        assert!(found.high - value > 1.2 * (value - found.low), "{found:?}");
    }

    #[test]
    fn the_acceleration_is_that_of_the_jackknife() {
        // A ratio with equal denominators is a mean.
        let terms = vec![0.0, 1.0, 1.0, 5.0];
        let ratio = Terms {
            denominators: Some(vec![2.0; 4]),
            terms: terms.clone(),
        };
        let of_mean = acceleration(&mean_of(terms.clone()));
        assert!((of_mean - acceleration(&ratio)).abs() < 1e-12);
        let mean = 1.75;
        let sum = |power: i32| {
            terms
                .iter()
                .map(|term| (term - mean).powi(power))
                .sum::<f64>()
        };
        let expected = sum(3) / (6.0 * sum(2).powf(1.5));
        assert!((of_mean - expected).abs() < 1e-12);
    }

    #[test]
    fn a_ratio_that_draws_nothing_is_left_out() {
        let terms = Terms {
            terms: vec![1.0, 0.0],
            denominators: Some(vec![1.0, 0.0]),
        };
        let found = resample(&terms, 400, 1);
        assert!(found.len() < 340 && found.len() > 260, "{}", found.len());
        assert!(found.iter().all(|value| *value == 1.0));
    }
}
