//! How sure a share and a mean are, and how unevenly an amount is spread.

use crate::Moments;

/// The quantile of the standard normal distribution at 0.975: intervals of it cover 95 %.
const NORMAL_975: f64 = 1.959_963_984_540_054;

/// An interval that covers the true value with 95 %.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval95 {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// Where the probability of a success lies, seen `successes` of `trials` (no more than those): the score
/// interval of E. Wilson, *Probable inference, the law of succession, and statistical inference*, 1927,
/// without a correction for continuity. It stays within 0 and 1 and holds for few trials. None of none.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub fn wilson(successes: usize, trials: usize) -> Option<Interval95> {
    if trials == 0 {
        return None;
    }
    let count = trials as f64;
    let share = successes.min(trials) as f64 / count;
    let squared = NORMAL_975 * NORMAL_975;
    let scale = 1.0 + squared / count;
    let centre = (share + squared / (2.0 * count)) / scale;
    let spread = share * (1.0 - share) / count + squared / (4.0 * count * count);
    let half = NORMAL_975 / scale * spread.sqrt();
    Some(Interval95 {
        low: (centre - half).clamp(0.0, share),
        high: (centre + half).clamp(share, 1.0),
    })
}

/// Where the mean of the distribution lies that numbers with these moments were drawn from: the mean plus
/// and minus 1.96 standard errors, right for many numbers. None of fewer than two.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub fn mean_interval(moments: &Moments) -> Option<Interval95> {
    let error = moments.sample_std()? / (moments.count as f64).sqrt();
    let half = NORMAL_975 * error;
    Some(Interval95 {
        low: moments.mean - half,
        high: moments.mean + half,
    })
}

/// The Gini coefficient of an amount over groups of (members, amount): 0 where every group has its share
/// of the members, near 1 where few members have all of it. Within a group it is taken as spread
/// evenly, so this is the inequality between groups (C. Gini, *Variabilità e mutabilità*, 1912).
///
/// None where a member count or an amount is negative or not finite, or all amounts or counts are 0.
#[must_use]
pub fn gini_of_groups(groups: &[(f64, f64)]) -> Option<f64> {
    let is_fit = |number: f64| number.is_finite() && number >= 0.0;
    if !groups
        .iter()
        .all(|(members, amount)| is_fit(*members) && is_fit(*amount))
    {
        return None;
    }
    let mut groups: Vec<(f64, f64)> = groups.to_vec();
    groups.retain(|(members, amount)| *members > 0.0 || *amount > 0.0);
    // By amount a member, without a division that members of 0 would spoil.
    groups.sort_by(|left, right| (left.1 * right.0).total_cmp(&(right.1 * left.0)));
    let members: f64 = groups.iter().map(|group| group.0).sum();
    let amounts: f64 = groups.iter().map(|group| group.1).sum();
    if members <= 0.0 || amounts <= 0.0 {
        return None;
    }
    let mut below = 0.0;
    let mut area = 0.0;
    for (count, amount) in groups {
        let next = below + amount;
        area += count / members * (below + next) / amounts;
        below = next;
    }
    Some((1.0 - area).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, wanted: f64) -> bool {
        (got - wanted).abs() <= 1e-12 * wanted.abs().max(1.0)
    }

    #[test]
    fn shares_have_scipys_wilson_intervals() {
        // scipy 1.17.1: binomtest(k, n).proportion_ci(method="wilson").
        let published = [
            (0, 10, 0.0, 0.277_532_799_862_889_26),
            (7, 20, 0.181_191_824_101_082_1, 0.567_145_723_314_763_7),
            (250, 1000, 0.224_153_098_983_691_4, 0.277_760_280_259_086_17),
            (3, 3, 0.438_502_968_244_954_6, 1.0),
        ];
        for (successes, trials, low, high) in published {
            let found = wilson(successes, trials).unwrap();
            assert!(
                close(found.low, low) && close(found.high, high),
                "{successes} of {trials}: {found:?}"
            );
        }
        assert_eq!(wilson(0, 0), None);
    }

    #[test]
    fn a_mean_of_one_number_has_no_interval() {
        assert_eq!(mean_interval(&Moments::of(&[3.0])), None);
        let found = mean_interval(&Moments::of(&[1.0, 2.0, 3.0, 4.0])).unwrap();
        let error = (5.0_f64 / 3.0).sqrt() / 2.0;
        assert!(close(found.high - 2.5, 1.959_963_984_540_054 * error));
        assert!(close(found.high - 2.5, 2.5 - found.low));
    }

    #[test]
    fn concentration_is_none_for_even_groups_and_large_for_few_with_all() {
        assert_eq!(gini_of_groups(&[(10.0, 5.0), (30.0, 15.0)]), Some(0.0));
        // Shares of members 0.9 and 0.1, all of the amount with the tenth.
        assert!(close(
            gini_of_groups(&[(1.0, 100.0), (9.0, 0.0)]).unwrap(),
            0.9
        ));
        assert_eq!(gini_of_groups(&[(1.0, -1.0), (9.0, 5.0)]), None);
        assert_eq!(gini_of_groups(&[(1.0, 0.0)]), None);
        assert_eq!(gini_of_groups(&[]), None);
    }
}
